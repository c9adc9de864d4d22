//! stdout is the answer, stderr the story.
//!
//! Much of both was written by others: records, labels, what registries and builders say. Characters
//! that a terminal obeys are written out here, in all that mlbuild says (see
//! [`mlbuild_progress::printable`]). What a container prints passes as it is, as it does with
//! `docker logs`.

use std::io::{ErrorKind, IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use mlbuild_progress::{Notes, printable};

use super::json_lines;
use super::shown::shown;
use crate::error::{CommandError, CommandResult};

/// Writes the answer and a line end to stdout. Of several lines a reader may want the first few
/// only, as `head` does.
///
/// # Errors
/// Where stdout is full, or closed before its one line: whoever reads it did not get the answer.
pub fn answer(text: &str) -> CommandResult {
    answer_as_it_is(&printable::text(text))
}

/// As [`answer`], for JSON of many lines, which is made while it is written.
///
/// # Errors
/// As [`answer`].
pub fn json_answer(value: &impl serde::Serialize) -> CommandResult {
    let mut out = Lines {
        out: std::io::BufWriter::new(std::io::stdout().lock()),
        line: Vec::new(),
    };
    let written = serde_json::to_writer_pretty(&mut out, value)
        .map_err(std::io::Error::from)
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    match written {
        // Whoever reads had enough of it.
        Err(error) if error.kind() == ErrorKind::BrokenPipe => Ok(()),
        written => written.map_err(not_written),
    }
}

/// Passes whole lines on, with the characters written out that a terminal obeys.
struct Lines<W> {
    out: W,
    line: Vec<u8>,
}

impl<W: Write> Write for Lines<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let (lines, rest) = match bytes.iter().rposition(|byte| *byte == b'\n') {
            Some(end) => bytes.split_at(end + 1),
            None => (&[][..], bytes),
        };
        if !lines.is_empty() {
            self.line.extend_from_slice(lines);
            let text = String::from_utf8_lossy(&self.line);
            self.out.write_all(printable::text(&text).as_bytes())?;
            self.line.clear();
        }
        self.line.extend_from_slice(rest);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.out.flush()
    }
}

/// As [`answer`], for a document that is kept in a file: as it is, unless a terminal shows it.
///
/// # Errors
/// As [`answer`].
pub fn document(text: &str) -> CommandResult {
    if std::io::stdout().is_terminal() {
        return answer(text);
    }
    answer_as_it_is(text)
}

/// As [`answer`], for text whose parts went through [`printable`], and which has colours.
///
/// # Errors
/// As [`answer`].
pub fn coloured(text: &str) -> CommandResult {
    answer_as_it_is(text)
}

fn answer_as_it_is(text: &str) -> CommandResult {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let mut out = std::io::stdout().lock();
    let written = out
        .write_all(text.as_bytes())
        .and_then(|()| out.write_all(b"\n"))
        .and_then(|()| out.flush());
    match written {
        Err(error) if error.kind() == ErrorKind::BrokenPipe && text.contains('\n') => Ok(()),
        written => written.map_err(not_written),
    }
}

/// Writes bytes that are kept in a file to stdout: as they are, unless a terminal shows them.
///
/// # Errors
/// As [`answer`].
pub fn document_bytes(bytes: &[u8]) -> CommandResult {
    if std::io::stdout().is_terminal() {
        return answer(&String::from_utf8_lossy(bytes));
    }
    write_bytes(bytes).map_err(not_written)
}

/// Writes what a container printed to stdout, as it is.
///
/// # Errors
/// As [`answer`].
pub fn answer_bytes(bytes: &[u8]) -> CommandResult {
    write_bytes(bytes).map_err(not_written)
}

/// Writes bytes to stdout as they are.
///
/// # Errors
/// Where stdout is full or closed.
pub fn write_bytes(bytes: &[u8]) -> std::io::Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(bytes)?;
    out.flush()
}

fn not_written(error: std::io::Error) -> CommandError {
    CommandError::work(format!("cannot write the answer to stdout: {error}"))
}

/// The progress that is being drawn on stderr: what is written beside it would tear it.
static DRAWN: Mutex<Option<Notes>> = Mutex::new(None);

/// Has the story written above a progress as long as that is drawn.
pub(super) fn tell_above(notes: Option<Notes>) {
    *DRAWN.lock().unwrap_or_else(PoisonError::into_inner) = notes;
}

/// Writes a line of the story to stderr; a closed stderr is no reason to stop.
pub fn note(text: &str) {
    if json_lines::is_chosen() {
        return json_lines::note(text);
    }
    write_line(&shown(text));
}

/// Set where stderr is to have no lines of progress.
static IS_QUIET: AtomicBool = AtomicBool::new(false);

pub(super) fn set_quiet(is_quiet: bool) {
    IS_QUIET.store(is_quiet, Ordering::Relaxed);
}

/// As [`note`], for whoever watches the progress.
pub fn progress_note(text: &str) {
    if !IS_QUIET.load(Ordering::Relaxed) {
        note(text);
    }
}

/// A line as it is.
pub(super) fn write_line(text: &str) {
    let drawn = DRAWN.lock().unwrap_or_else(PoisonError::into_inner);
    if !drawn.as_ref().is_some_and(|notes| notes.write(text)) {
        let _ = writeln!(std::io::stderr(), "{text}");
    }
}

/// Writes a warning to stderr.
pub fn warning(text: &str) {
    if json_lines::is_chosen() {
        return json_lines::warning(text);
    }
    let (on, off) = colours("\x1b[33m");
    write_line(&format!("{on}warning:{off} {}", shown(text)));
}

/// Writes an error and its hints to stderr.
pub fn error(error: &CommandError) {
    if json_lines::is_chosen() {
        return json_lines::error(error);
    }
    let (on, off) = colours("\x1b[31m");
    let mut err = std::io::stderr().lock();
    let message = shown(error.message());
    let _ = writeln!(err, "{on}error:{off} {message}");
    for hint in error.hints() {
        let _ = writeln!(err, "  hint: {}", shown(hint));
    }
    for evidence in error.evidences() {
        let _ = writeln!(err, "\n{}", shown(evidence));
    }
}

/// Rows in columns. No cell can begin a row of its own.
pub fn table<R: AsRef<[String]>>(rows: &[R]) -> String {
    let cells = |row: &R| {
        row.as_ref()
            .iter()
            .map(|c| printable::line(c).into_owned())
            .collect()
    };
    let rows: Vec<Vec<String>> = rows.iter().map(cells).collect();
    let mut widths: Vec<usize> = Vec::new();
    for row in &rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (cell, width) in row.iter().zip(&mut widths) {
            *width = cell.chars().count().max(*width);
        }
    }
    let line = widths.iter().sum::<usize>() + 2 * widths.len();
    let spaces = " ".repeat(line);
    let mut text = String::with_capacity(rows.len() * line);
    for row in &rows {
        for (cell, width) in row.iter().zip(&widths) {
            text.push_str(cell);
            text.push_str(&spaces[..width + 2 - cell.chars().count()]);
        }
        text.truncate(text.trim_end_matches(' ').len());
        text.push('\n');
    }
    text
}

fn colours(on: &'static str) -> (&'static str, &'static str) {
    let no_color = std::env::var_os(mlbuild::env_vars::NO_COLOR).is_some_and(|v| !v.is_empty());
    if std::io::stderr().is_terminal() && !no_color {
        (on, "\x1b[0m")
    } else {
        ("", "")
    }
}
