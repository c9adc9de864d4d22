//! Files of variables or labels, as docker's client reads them.

use super::value::Assignment;

/// What a file holds: `NAME=VALUE` or `NAME` in a line, `#` before a comment.
///
/// # Errors
/// The number of a line that is neither, from 1, and what is wrong with it.
pub fn assignments(text: &str) -> Result<Vec<Assignment>, (usize, String)> {
    let mut found = Vec::new();
    for (number, line) in text.lines().enumerate() {
        let line = line.trim_start();
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        found.push(line.parse().map_err(|why| (number + 1, why))?);
    }
    Ok(found)
}
