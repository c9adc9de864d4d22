//! stdout is the answer, stderr the story.

use std::io::{IsTerminal, Write};
use std::sync::{Mutex, PoisonError};

use mlbuild_buildkit::progress::Notes;

use crate::error::{CommandError, CommandResult};

/// Writes the answer and a line end to stdout.
///
/// # Errors
/// Where stdout is closed or full: whoever reads it did not get the answer.
pub fn answer(text: &str) -> CommandResult {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())
        .and_then(|()| {
            if text.ends_with('\n') {
                Ok(())
            } else {
                out.write_all(b"\n")
            }
        })
        .and_then(|()| out.flush())
        .map_err(not_written)
}

/// Writes bytes to stdout as they are.
///
/// # Errors
/// As [`answer`].
pub fn answer_bytes(bytes: &[u8]) -> CommandResult {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)
        .and_then(|()| out.flush())
        .map_err(not_written)
}

fn not_written(error: std::io::Error) -> CommandError {
    CommandError::work(format!("cannot write the answer to stdout: {error}"))
}

/// The progress that is being drawn on stderr: what is written beside it would tear it.
static DRAWN: Mutex<Option<Notes>> = Mutex::new(None);

/// Has the story written above a progress as long as that is drawn.
pub fn tell_above(notes: Option<Notes>) {
    *DRAWN.lock().unwrap_or_else(PoisonError::into_inner) = notes;
}

/// Writes a line of the story to stderr; a closed stderr is no reason to stop.
pub fn note(text: &str) {
    let drawn = DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
    if !drawn.as_ref().is_some_and(|notes| notes.write(text)) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

/// Writes a warning to stderr.
pub fn warning(text: &str) {
    let (on, off) = colours("\x1b[33m");
    note(&format!("{on}warning:{off} {text}"));
}

/// Writes an error and its hints to stderr.
pub fn error(error: &CommandError) {
    let (on, off) = colours("\x1b[31m");
    let mut err = std::io::stderr().lock();
    let _ = writeln!(err, "{on}error:{off} {}", error.message());
    for hint in error.hints() {
        let _ = writeln!(err, "  hint: {hint}");
    }
}

/// Rows in columns.
pub fn table(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.extend(std::iter::repeat_n(' ', width + 2 - cell.chars().count()));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}

fn colours(on: &'static str) -> (&'static str, &'static str) {
    let no_color = std::env::var_os(crate::env_vars::NO_COLOR).is_some_and(|v| !v.is_empty());
    if std::io::stderr().is_terminal() && !no_color {
        (on, "\x1b[0m")
    } else {
        ("", "")
    }
}
