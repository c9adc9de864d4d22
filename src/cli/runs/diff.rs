//! `mlbuild runs diff`: what changed between two runs, readable at a glance.

use std::fmt::Write as _;
use std::path::Path;

use clap::Args;
use mlbuild_manifests::{LockedImage, RunRecord};
use serde_json::json;

use super::{ProjectArgs, short, short_commit};
use crate::cli::output;
use crate::cli::registry_args::RegistryArgs;
use crate::error::CommandResult;
use crate::flags::Format;
use crate::records::{Difference, Git, Side, compare, entry_of};
use crate::registry::Registry;
use crate::runs::attached;
use crate::runtime::shell_line;

/// Values longer than this, in characters, stand below each other.
const BESIDE: usize = 36;

/// Names longer than this, in characters, don't widen the column.
const WHAT: usize = 24;

/// Flags of `mlbuild runs diff`.
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// Id of the first run, or its beginning.
    #[arg(value_name = "A")]
    pub old: String,
    /// Id of the second run, or its beginning.
    #[arg(value_name = "B")]
    pub new: String,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Where the records are.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the verb.
///
/// # Errors
/// Where a run isn't known or its record can't be read.
pub async fn run(args: &DiffArgs) -> CommandResult {
    let store = args.project.store()?;
    let (old, new) = (store.find(&args.old)?, store.find(&args.new)?);
    let project = args.project.folder()?;
    let registry = args.registry.client(&project)?;
    let locks = (
        lock(&old, &project, &registry).await,
        lock(&new, &project, &registry).await,
    );
    let is_known = |record: &RunRecord, found: bool| found || record.lock.is_none();
    for (record, found) in [(&old, locks.0.is_some()), (&new, locks.1.is_some())] {
        if !is_known(record, found) && old.lock != new.lock {
            output::note(&format!(
                "packages aren't compared: neither mlbuild.lock, nor its history, nor the registry has the entry of {}",
                record.id
            ));
        }
    }
    let found = compare(
        Side {
            record: &old,
            lock: locks.0.as_ref(),
        },
        Side {
            record: &new,
            lock: locks.1.as_ref(),
        },
        shell_line,
    );
    let between = commits_between(&project, &old, &new);
    match args.format {
        Format::Json => {
            let answer = json!({
                "old": old.id,
                "new": new.id,
                "differences": found,
                "between_commits": between,
            });
            output::answer(&format!("{answer:#}"))
        }
        Format::Text if found.is_empty() => {
            output::answer(&format!("{} and {} are the same", old.id, new.id))
        }
        Format::Text => {
            let heading = format!("{} -> {}\n", old.id, new.id);
            output::answer(&(heading + &text(&found, between.as_deref())))
        }
    }
}

/// The lock's entry of a run: from this machine, else from the registry.
async fn lock(record: &RunRecord, project: &Path, registry: &Registry) -> Option<LockedImage> {
    match entry_of(record, project) {
        Some(entry) => Some(entry),
        None => attached::lock_entry(registry, record).await,
    }
}

/// What git says of two commits, where both are here: `2 files changed, 3 insertions(+)`.
fn commits_between(project: &Path, old: &RunRecord, new: &RunRecord) -> Option<String> {
    let commit = |record: &RunRecord| record.git.as_ref()?.commit.clone();
    let (old, new) = (commit(old)?, commit(new)?);
    if old == new {
        return None;
    }
    let said = Git::at(project).text(&["diff", "--shortstat", &old, &new, "--"]);
    said.ok()
        .map(|said| said.trim().to_owned())
        .filter(|said| !said.is_empty())
}

fn text(found: &[Difference], between: Option<&str>) -> String {
    let widths = found.iter().map(|d| d.what.chars().count());
    let width = widths.filter(|&width| width <= WHAT).max().unwrap_or(0);
    let mut text = String::new();
    let mut area = "";
    for difference in found {
        if difference.area != area {
            area = difference.area;
            let _ = writeln!(text, "{area}");
        }
        let (old, new) = (shown(&difference.old, area), shown(&difference.new, area));
        let what = &difference.what;
        let line = match (old, new) {
            (Some(old), Some(new)) if old.len() + new.len() > 2 * BESIDE => {
                let space = "";
                format!("{what:<width$}  - {old}\n  {space:<width$}  + {new}")
            }
            (Some(old), Some(new)) => format!("{what:<width$}  {old} -> {new}"),
            (Some(old), None) => format!("{what:<width$}  - {old}"),
            (None, Some(new)) => format!("{what:<width$}  + {new}"),
            (None, None) => continue,
        };
        let _ = writeln!(text, "  {line}");
        if (area, what.as_str()) == ("code", "commit")
            && let Some(between) = between
        {
            let space = "";
            let _ = writeln!(text, "  {space:<width$}  {between}");
        }
    }
    text
}

fn shown(value: &Option<String>, area: &str) -> Option<String> {
    let value = value.as_deref()?;
    let is_commit =
        area == "code" && value.len() >= 40 && value.bytes().all(|b| b.is_ascii_hexdigit());
    Some(if is_commit {
        short_commit(value).to_owned()
    } else {
        short(value)
    })
}
