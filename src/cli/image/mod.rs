//! `mlbuild image`: from a few flags to a pushed, locked image.

mod answer;

use crate::build;
use crate::cli::support::output::{self, Terminal};
use crate::cli::support::trust;
use crate::error::CommandResult;
use crate::flags::ImageArgs;
use crate::host;
use crate::planning::compose;
use crate::settings;

/// Runs the verb.
///
/// # Errors
/// One error of a documented kind.
pub async fn run(args: ImageArgs) -> CommandResult {
    let settings = settings::resolve(args)?;
    if settings.answer.print.is_none() {
        trust::check(&settings.project, &settings.wishes, settings.trust)?;
    }
    let reporter = Terminal::new(settings.answer.progress);
    if settings.answer.write {
        let host = host::of_this_machine(settings.build.host_network_settings);
        let written = compose::write_variants(&settings, &host, &reporter)?;
        return output::answer(&written.join("\n"));
    }
    if let Some(what) = settings.answer.print {
        let planned = build::plan(&settings, &reporter)?;
        return answer::print(what, &planned, &settings);
    }
    if settings.answer.dry_run {
        let outcome = build::dry_run(&settings, &reporter).await?;
        return answer::dry_run(&outcome, settings.answer.format);
    }
    let outcome = build::run(&settings, &reporter).await?;
    answer::built(&outcome, &settings.answer)
}
