//! What of the context is never sent: the project's ignore file, and mlbuild's own files.
//!
//! The lock and the run records change with every build; sent along, they
//! would make every build differ from the one before.

use std::path::{Path, PathBuf};

use super::{PlanningError, large};
use crate::plan::IgnoreFile;

/// Never part of an image unless an ignore file says `!mlbuild.lock`.
const OWN_FILES: &str = "mlbuild.lock\nmlbuild.runs\n";

/// How many lines of every ignore file are mlbuild's own.
pub(super) const OWN_LINES: usize = 2;

/// For a composed image whose project has no ignore file: what nobody wants in an image.
const USUAL: &str = ".git\n.venv\nvenv\n**/__pycache__\n**/.ipynb_checkpoints\n.mypy_cache\n.pytest_cache\n.ruff_cache\nwandb\n";

/// The same: what holds secrets, by its name.
const SECRET: &str = "**/.env\n**/.netrc\n**/.ssh\n**/*.pem\n";

/// Whether a usual pattern is there for files that hold secrets.
pub(super) fn is_of_secrets(pattern: &str) -> bool {
    SECRET.lines().any(|line| line == pattern)
}

/// The ignore file that counts for a context folder: the Dockerfile's own, else
/// the context's, else (for composed images) a usual one. That leaves out large files of data too,
/// but for what is `needed`.
///
/// # Errors
/// Where a file is there and can't be read.
pub fn effective(
    root: &Path,
    dockerfile: Option<&Path>,
    needed: &[String],
) -> Result<IgnoreFile, PlanningError> {
    let own = dockerfile.map(|file| {
        let mut name = file.as_os_str().to_owned();
        name.push(".dockerignore");
        PathBuf::from(name)
    });
    for file in own.into_iter().chain([root.join(".dockerignore")]) {
        match mlbuild_files::read(&file) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes);
                // Ours come first, so that a line of the project can take them back.
                return Ok(IgnoreFile {
                    name: file.display().to_string(),
                    text: format!("{OWN_FILES}{}", text.trim_start_matches('\u{feff}')),
                    is_of_project: true,
                    large: String::new(),
                });
            }
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => return Err(PlanningError::File { path: file, source }),
        }
    }
    let mut text = OWN_FILES.to_owned();
    let mut large = String::new();
    if dockerfile.is_none() {
        text += USUAL;
        text += SECRET;
        large = large::lines(root, &text, needed)?;
        text += &large;
    }
    Ok(IgnoreFile {
        name: ".dockerignore".into(),
        text,
        is_of_project: false,
        large,
    })
}
