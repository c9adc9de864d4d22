//! What a build is doing, for a person or a program to read.
//!
//! | step | type | module |
//! | --- | --- | --- |
//! | the builder's messages, folded into steps | [`State`] | `state`, `log` |
//! | steps that the client takes itself | [`LocalSteps`] | `local` |
//! | what a program hears of a step | [`StepEvent`] | `events` |
//! | how it is shown | [`Drawing`] | `tty`, `plain`, `rawjson` |
//! | what happened | [`BuildTrace`] | `trace` |
//! | why it failed | [`Failure`](explain::Failure) | [`explain`] |
//!
//! [`Progress::follow`] takes the builder's status messages on a thread of its own, so that a slow
//! terminal never keeps the session from answering the builder. [`ProgressHandle::finish`] ends it
//! and returns the [`BuildTrace`].
//!
//! Nothing here talks to a builder, and nothing is drawn without a [`Drawing`].

mod drawing;
mod events;
pub mod explain;
mod follow;
mod local;
mod log;
mod mode;
mod output;
mod plain;
pub mod printable;
mod rawjson;
mod renderer;
mod state;
mod terminal;
#[cfg(test)]
mod testing;
mod text;
mod trace;
mod tty;

pub use self::{
    drawing::{Drawing, Notes},
    events::{StepEvent, StepOutcome},
    follow::{Progress, ProgressHandle, Titles},
    local::{LocalStep, LocalSteps},
    log::{LogLine, LogStream, LogTail},
    mode::ProgressMode,
    output::ProgressOutput,
    state::{State, Step, StepStatus, Task, Warning, WarningSource},
    terminal::{Size, restore_terminal},
    text::{human_bytes, human_duration},
    trace::{BuildTrace, TraceStep},
};

#[cfg(test)]
mod tests;
