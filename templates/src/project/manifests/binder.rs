//! repo2docker's files: `apt.txt` and `runtime.txt`.

use std::path::Path;

use super::{Asked, Unused, UnusedKind, text_of};
use crate::project::ProjectError;

/// The packages of an `apt.txt`, with the line of each, and lines that name none.
///
/// # Errors
/// Where it can't be read.
pub fn apt_list(project: &Path, file: &str) -> Result<(Vec<Asked>, Vec<Unused>), ProjectError> {
    let text = text_of(project, file)?;
    let (mut packages, mut unused) = (Vec::new(), Vec::new());
    for (number, line) in text.lines().enumerate() {
        let line = line.split('#').next().unwrap_or("");
        for word in line.split_whitespace() {
            let origin = format!("{file}:{}", number + 1);
            match word.parse::<crate::value::AptPackage>() {
                Ok(_) => packages.push(Asked {
                    text: word.to_owned(),
                    origin,
                }),
                Err(error) => unused.push(Unused {
                    kind: UnusedKind::default(),
                    what: format!("{origin}: {word}"),
                    why: error.to_string(),
                    next: "correct the line".into(),
                }),
            }
        }
    }
    Ok((packages, unused))
}

/// The Python version of a `runtime.txt`: `python-3.10`, `python-3.10.4`; the error says what else it names.
///
/// # Errors
/// Where it names something else than Python 3.
pub fn python_of_runtime(text: &str) -> Result<String, String> {
    let line = text
        .lines()
        .map(str::trim)
        .find(|line| !line.is_empty())
        .unwrap_or("");
    let version = line.strip_prefix("python-").unwrap_or(line);
    let is_version =
        version.starts_with("3.") && version.chars().all(|c| c.is_ascii_digit() || c == '.');
    is_version
        .then(|| version.to_owned())
        .ok_or(format!("{line:?} isn't a Python 3 version"))
}
