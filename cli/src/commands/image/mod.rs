//! `mlbuild image`: from a few flags to a pushed, locked image.

mod answer;

use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::image_args::ImageArgs;
use crate::support::output;
use crate::support::terminal::Terminal;
use mlbuild::build;

/// Prints what a build would do, for a person.
///
/// # Errors
/// Where it can't be printed.
pub(super) fn print_dry_run(outcome: &build::DryRun) -> CommandResult {
    answer::dry_run(outcome, Format::Text)
}

/// Runs the verb.
///
/// # Errors
/// One error of a documented kind.
pub async fn run(args: ImageArgs) -> CommandResult {
    let (request, reporter) = (args.request(), Terminal::new(args.progress()));
    let output = &args.output;
    if args.compose.write {
        let written = build::write_dockerfiles(&request, args.compose.force, &reporter)?;
        return output::answer(&written.join("\n"));
    }
    if let Some(what) = output.print {
        let planned = build::plan(&request, &reporter)?;
        return answer::print(what, &planned, output.format);
    }
    if output.explain {
        let choices = build::explain(&request, &reporter)?;
        return answer::explained(&choices, output.format);
    }
    if output.dry_run {
        let outcome = build::dry_run(&request, &reporter).await?;
        return answer::dry_run(&outcome, output.format);
    }
    let outcome = build::run(&request, &reporter).await;
    let outcome = outcome.map_err(|error| CommandError::from(error).verbose(args.build.verbose))?;
    answer::built(&outcome, output)
}
