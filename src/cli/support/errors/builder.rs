//! Errors of `builder`.

use std::io::ErrorKind;

use mlbuild_buildkit::SolveError;
use mlbuild_progress::explain::Failure;

use crate::builder::{self, BuildError};
use crate::cli::support::hints;
use crate::error::{CommandError, chain};

impl From<BuildError> for CommandError {
    fn from(error: BuildError) -> Self {
        match error {
            BuildError::Command(error) => error,
            BuildError::Failed(failure) => failed(&failure),
            BuildError::Solve(error) => solve(&error),
        }
    }
}

fn solve(error: &SolveError) -> CommandError {
    match error {
        SolveError::Cancelled => builder::cancelled(),
        SolveError::Build(_) => CommandError::work(chain(error)),
        SolveError::Lost { .. } => CommandError::environment(chain(error))
            .hint("see whether the builder still runs: mlbuild doctor"),
        SolveError::Options(_) | SolveError::Session(_) => CommandError::user(chain(error)),
        SolveError::Output { path, source } if source.kind() == ErrorKind::StorageFull => {
            let folder = path.parent().unwrap_or(path).display();
            CommandError::environment(chain(error))
                .hint(format!("this machine's disk is full: df -h {folder}"))
        }
        SolveError::Output { .. } | SolveError::Request(_) | SolveError::Answer(_) => {
            CommandError::environment(chain(error))
        }
    }
}

/// A failed step, with a hint where the cause is a usual one.
fn failed(failure: &Failure) -> CommandError {
    // What the builder could not push, the registry refused or didn't take.
    let error = if failure.message.contains("failed to push ") {
        CommandError::environment(failure)
    } else {
        CommandError::work(failure)
    };
    let Some(hint) = hints::of(failure) else {
        return error;
    };
    let next = hint.next.iter().map(|next| format!("\n    {next}"));
    error.hint(format!("{}{}", hint.cause, next.collect::<String>()))
}
