//! `--progress json`: the story as JSON objects, one a line on stderr, for programs that call mlbuild.
//!
//! Each has an `event`: `note`, `detail`, `warning`, `log-in`, `project-file`, `solve-started`, `step`,
//! `solve-finished` or, as the last, `error`. More may come with later versions.

use std::io::Write;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde_json::Value;

use super::project_file;
use super::shown::shown;
use crate::error::CommandError;
use mlbuild::error::ErrorKind;
use mlbuild::reporter::{Event, StepEvent};

/// One line.
#[derive(Serialize)]
#[serde(tag = "event", rename_all = "kebab-case")]
enum Line<'a> {
    Note {
        text: &'a str,
    },
    Detail {
        text: &'a str,
    },
    Warning {
        text: &'a str,
    },
    LogIn {
        text: &'a str,
    },
    ProjectFile {
        file: &'a str,
        used: bool,
        why: &'a str,
        next: Option<String>,
    },
    SolveStarted,
    Step(&'a StepEvent),
    SolveFinished {
        steps: usize,
        cached: usize,
    },
    Error {
        kind: &'static str,
        exit_code: u8,
        message: &'a str,
        hints: &'a [String],
    },
}

/// Whether the story is told so, from the moment that a verb has read `--progress`.
static CHOSEN: AtomicBool = AtomicBool::new(false);

/// Has the story told so.
pub(super) fn choose() {
    CHOSEN.store(true, Ordering::Relaxed);
}

/// Whether it is.
pub(super) fn is_chosen() -> bool {
    CHOSEN.load(Ordering::Relaxed)
}

pub(super) fn note(text: &str) {
    write(&Line::Note { text });
}

pub(super) fn warning(text: &str) {
    write(&Line::Warning { text });
}

pub(super) fn error(error: &CommandError) {
    write(&Line::Error {
        kind: match error.kind {
            ErrorKind::Work => "work",
            ErrorKind::User => "user",
            ErrorKind::Environment => "environment",
            ErrorKind::Difference => "difference",
            ErrorKind::Runtime => "runtime",
        },
        exit_code: error.kind.exit_code(),
        message: error.message(),
        hints: error.hints(),
    });
}

/// Writes what a use case tells; false where it has no line of its own, and is told in words.
pub(super) fn event(event: &Event) -> bool {
    let line = match event {
        Event::Note(text) => Line::Note { text },
        Event::Detail(text) => Line::Detail { text },
        Event::LogIn(text) => {
            // The log-in is what it is about: nothing of it is taken out.
            write_value(&Line::LogIn { text }, |_| ());
            return true;
        }
        Event::Warning(text) => Line::Warning { text },
        Event::ProjectFile(found) => Line::ProjectFile {
            file: &found.file,
            used: found.used,
            why: &found.why,
            next: found.next.as_ref().map(project_file::next),
        },
        Event::SolveStarted => Line::SolveStarted,
        Event::Step(step) => Line::Step(step),
        Event::SolveFinished { steps, cached } => Line::SolveFinished {
            steps: *steps,
            cached: *cached,
        },
        _ => return false,
    };
    write(&line);
    true
}

fn write(line: &Line) {
    write_value(line, cleaned);
}

fn write_value(line: &Line, clean: fn(&mut Value)) {
    let mut value = serde_json::to_value(line).expect("plain data");
    clean(&mut value);
    // A closed stderr is no reason to stop.
    let _ = writeln!(std::io::stderr(), "{value}");
}

/// No secret and nothing that a terminal obeys, in any text.
fn cleaned(value: &mut Value) {
    match value {
        Value::String(text) => *text = shown(text),
        Value::Array(values) => values.iter_mut().for_each(cleaned),
        Value::Object(fields) => fields.values_mut().for_each(cleaned),
        _ => {}
    }
}
