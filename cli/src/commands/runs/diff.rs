//! `mlbuild runs diff`: what changed between two runs, readable at a glance.

use std::fmt::Write as _;

use clap::Args;
use serde_json::json;

use super::{short, short_commit};
use crate::error::CommandResult;
use crate::support::format::Format;
use crate::support::output;
use crate::support::project_args::ProjectArgs;
use crate::support::registry_args::RegistryArgs;
use crate::support::terminal::Terminal;
use mlbuild::records::Difference;
use mlbuild::runs;

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
    let project = args.project.folder()?;
    let registry = args.registry.client(&project)?;
    let compared = runs::compare(
        &project,
        &args.old,
        &args.new,
        &registry,
        &Terminal::default(),
    )
    .await?;
    let (old, new) = (&compared.old, &compared.new);
    match args.format {
        Format::Json => output::answer(&format!("{:#}", json!(compared))),
        Format::Text if compared.differences.is_empty() => {
            output::answer(&format!("{old} and {new} are the same"))
        }
        Format::Text => {
            let between = compared.between_commits.as_deref();
            let heading = format!("{old} -> {new}\n");
            output::answer(&(heading + &text(&compared.differences, between)))
        }
    }
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
