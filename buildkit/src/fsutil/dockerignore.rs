//! Reads ignore files (`.dockerignore`) into a pattern list.
//!
//! One pattern a line; `#` at the start of a line makes a comment; white space
//! around a pattern is dropped, the path is cleaned, and a leading `/` means
//! nothing. What the patterns mean is left to [`super::patterns`]. The
//! behaviour mirrors moby's `ignorefile` reader, which the daemon uses.

use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::error::FsError;
use super::gopath;
use super::patterns::PatternMatcher;
use super::tree::Tree;

/// The longest line the daemon's own reader takes, in bytes.
const MAX_LINE: usize = 64 * 1024;

/// The name of a context's own ignore file.
pub const DEFAULT_NAME: &str = ".dockerignore";

/// An ignore file that the daemon would refuse.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line} is longer than {MAX_LINE} bytes")]
pub struct LineTooLong {
    /// Counted from 1.
    pub line: usize,
}

/// The patterns of an ignore file, in order. Bytes that aren't UTF-8 become
/// U+FFFD, as they do on their way through the daemon.
pub fn parse(content: &[u8]) -> Result<Vec<String>, LineTooLong> {
    let lines = parse_lines(content)?.into_iter();
    Ok(lines.map(|(_, pattern)| pattern).collect())
}

/// As [`parse`], each pattern with the line that it stands in, counted from 1.
pub fn parse_lines(content: &[u8]) -> Result<Vec<(usize, String)>, LineTooLong> {
    let content = content.strip_prefix(b"\xef\xbb\xbf").unwrap_or(content);
    let mut patterns = Vec::new();
    for (number, line) in content.split(|b| *b == b'\n').enumerate() {
        if line.len() >= MAX_LINE {
            return Err(LineTooLong { line: number + 1 });
        }
        if line.first() == Some(&b'#') {
            continue;
        }
        let text = gopath::lossy(line);
        let text = text.trim();
        if text.is_empty() {
            continue;
        }
        let (sign, text) = match text.strip_prefix('!') {
            Some(rest) => ("!", rest.trim()),
            None => ("", text),
        };
        let mut path = String::new();
        if !text.is_empty() {
            path = gopath::lossy(&gopath::clean(text.as_bytes())).into_owned();
            if path.len() > 1 && path.starts_with('/') {
                path.remove(0);
            }
        }
        patterns.push((number + 1, format!("{sign}{path}")));
    }
    Ok(patterns)
}

/// The patterns that a build of this context applies: those next to the
/// Dockerfile (`<Dockerfile>.dockerignore`) if that file exists, else the
/// context's own. A broken pattern is an error that names the file.
pub fn of_context(tree: &Tree, dockerfile: Option<&Path>) -> Result<Vec<String>, FsError> {
    let mut found = None;
    if let Some(dockerfile) = dockerfile {
        let mut name = dockerfile.as_os_str().to_owned();
        name.push(DEFAULT_NAME);
        match std::fs::read(&name) {
            Ok(content) => found = Some((gopath::lossy(name.as_bytes()).into_owned(), content)),
            Err(e) if e.kind() == std::io::ErrorKind::PermissionDenied => {
                return Err(FsError::io("read", name.as_bytes(), e));
            }
            Err(_) => {}
        }
    }
    if found.is_none() {
        let content = tree.read_in_root(DEFAULT_NAME.as_bytes())?;
        found = content.map(|content| {
            let path = tree.root().join(DEFAULT_NAME);
            (path.display().to_string(), content)
        });
    }
    match found {
        Some((file, content)) => of_text(&file, &content),
        None => Ok(Vec::new()),
    }
}

/// The patterns of an ignore file's content; `file` names it in errors.
pub fn of_text(file: &str, content: &[u8]) -> Result<Vec<String>, FsError> {
    let broken = |reason: String| FsError::IgnoreFile {
        file: file.to_owned(),
        reason,
    };
    let patterns = parse(content).map_err(|e| broken(e.to_string()))?;
    PatternMatcher::new(&patterns).map_err(|e| broken(e.to_string()))?;
    Ok(patterns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_trimmed_cleaned_and_relative() {
        let text = b"\xef\xbb\xbf# comment\n\n  a/./b/ \r\n/c\n! /d//e\n #kept\n!\n/\n";
        assert_eq!(
            parse(text).unwrap(),
            ["a/b", "c", "!d/e", "#kept", "!", "/"]
        );
    }

    #[test]
    fn a_huge_line_is_refused_as_the_daemon_does() {
        let mut text = b"a\n".to_vec();
        text.extend(vec![b'x'; MAX_LINE]);
        assert_eq!(parse(&text), Err(LineTooLong { line: 2 }));
    }
}
