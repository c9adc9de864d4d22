//! `mlbuild runs list`.

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::{RunRecordError, RunStatus};
use serde_json::json;

use super::{ProjectArgs, as_json, duration, ending, lasted, short_commit, time};
use crate::cli::output;
use crate::error::CommandResult;
use crate::flags::Format;
use crate::runtime::shell_line;

/// Most characters of a command in the table.
const COMMAND: usize = 60;

/// Flags of `mlbuild runs list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// Only runs that got this far.
    #[arg(long, value_enum)]
    pub status: Option<StatusArg>,
    /// Only runs whose image's reference or digest holds this text.
    #[arg(long, value_name = "TEXT")]
    pub image: Option<String>,
    /// Only runs of commits that begin so.
    #[arg(long, value_name = "COMMIT")]
    pub commit: Option<String>,
    /// Only runs whose command holds this text.
    #[arg(long, value_name = "TEXT")]
    pub command: Option<String>,
    /// Only runs on this host.
    #[arg(long, value_name = "NAME")]
    pub host: Option<String>,
    /// Only runs since this time: 30d, 12h, 2026-03-01.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    pub since: Option<Timestamp>,
    /// What the runs are sorted by.
    #[arg(long, value_enum, default_value_t)]
    pub sort: SortArg,
    /// Turn the order round.
    #[arg(long)]
    pub reverse: bool,
    /// At most this many runs.
    #[arg(short = 'n', long, value_name = "NUMBER")]
    pub limit: Option<usize>,
    /// Where the records are.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// How far a run got, and how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum StatusArg {
    /// Bound to an image, and not started by mlbuild.
    Bound,
    /// Started, and not seen to end: it runs, or mlbuild or its machine crashed.
    Started,
    /// Ended.
    Finished,
    /// Ended with exit code 0.
    Ok,
    /// Ended with another exit code, or by a signal.
    Failed,
}

impl StatusArg {
    /// True for a run that is so.
    pub fn is_of(self, record: &RunRecord) -> bool {
        let status = record.status();
        let code = record.outcome.as_ref().and_then(|o| o.exit_code);
        match self {
            StatusArg::Bound => status == RunStatus::Bound,
            StatusArg::Started => status == RunStatus::Started,
            StatusArg::Finished => status == RunStatus::Finished,
            StatusArg::Ok => status == RunStatus::Finished && code == Some(0),
            StatusArg::Failed => status == RunStatus::Finished && code != Some(0),
        }
    }
}

/// What runs are sorted by.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum SortArg {
    /// When they started, newest first.
    #[default]
    Created,
    /// How long they took, longest first.
    Duration,
    /// Their id.
    Id,
    /// Their image's reference.
    Image,
    /// How far they got.
    Status,
}

/// Runs the verb.
///
/// # Errors
/// Where the folder can't be read. A record that can't be is named in a warning.
pub fn run(args: &ListArgs) -> CommandResult {
    let listing = args.project.store()?.all()?;
    for error in &listing.unreadable {
        output::warning(&error.to_string());
    }
    let mut records = listing.records;
    records.retain(|record| args.wants(record));
    sort(&mut records, args.sort);
    if args.reverse {
        records.reverse();
    }
    records.truncate(args.limit.unwrap_or(usize::MAX));
    match args.format {
        Format::Json => {
            let answer = json!({
                "runs": records.iter().map(as_json).collect::<Vec<_>>(),
                "unreadable": listing.unreadable.iter().map(unreadable).collect::<Vec<_>>(),
            });
            output::answer(&format!("{answer:#}"))
        }
        Format::Text if records.is_empty() => {
            output::note("no runs");
            Ok(())
        }
        Format::Text => output::answer(&table(&records)),
    }
}

fn unreadable(error: &RunRecordError) -> serde_json::Value {
    json!({ "file": error.path(), "message": error.to_string() })
}

impl ListArgs {
    fn wants(&self, record: &RunRecord) -> bool {
        let holds = |text: &str, wanted: &str| text.contains(wanted);
        let image = |wanted: &String| {
            let image = &record.image;
            let manifests = image.platforms.values().map(|p| &p.manifest);
            let mut digests = manifests
                .chain(&image.index)
                .chain(&image.digest)
                .chain(&image.image_id);
            holds(&image.reference, wanted) || digests.any(|d| holds(d.as_ref(), wanted))
        };
        let commit = |wanted: &String| {
            let git = record.git.as_ref();
            let commit = git.and_then(|git| git.commit.as_ref());
            commit.is_some_and(|commit| commit.starts_with(wanted.as_str()))
        };
        let command = |wanted: &String| {
            let command = record.command.as_ref();
            command.is_some_and(|command| holds(&shell_line(&command.argv), wanted))
        };
        let host = |wanted: &String| record.host.as_ref().is_some_and(|h| h.name == *wanted);
        self.status.is_none_or(|status| status.is_of(record))
            && self.image.as_ref().is_none_or(image)
            && self.commit.as_ref().is_none_or(commit)
            && self.command.as_ref().is_none_or(command)
            && self.host.as_ref().is_none_or(host)
            && self.since.is_none_or(|since| when(record) >= since)
    }
}

/// When a run started, or was bound to its image.
pub fn when(record: &RunRecord) -> Timestamp {
    let outcome = record.outcome.as_ref();
    outcome.map_or(record.created, |outcome| outcome.started)
}

/// Runs that are equal otherwise stand newest first.
fn sort(records: &mut [RunRecord], by: SortArg) {
    records.sort_by(|a, b| when(b).cmp(&when(a)).then_with(|| b.id.cmp(&a.id)));
    match by {
        SortArg::Created => {}
        SortArg::Duration => records.sort_by_key(|r| std::cmp::Reverse(duration(r))),
        SortArg::Id => records.sort_by(|a, b| a.id.cmp(&b.id)),
        SortArg::Image => records.sort_by(|a, b| a.image.reference.cmp(&b.image.reference)),
        SortArg::Status => records.sort_by_key(|r| r.status()),
    }
}

fn table(records: &[RunRecord]) -> String {
    let mut rows = vec![
        [
            "RUN", "STARTED", "STATUS", "TOOK", "IMAGE", "CODE", "COMMAND",
        ]
        .map(str::to_owned),
    ];
    rows.extend(records.iter().map(row));
    let widths: Vec<usize> = (0..rows[0].len())
        .map(|column| rows.iter().map(|r| r[column].chars().count()).max())
        .map(|width| width.unwrap_or(0))
        .collect();
    let mut text = String::new();
    for row in &rows {
        let start = text.len();
        for (cell, width) in row.iter().zip(&widths) {
            let space = width + 2 - cell.chars().count();
            text.push_str(cell);
            text.extend(std::iter::repeat_n(' ', space));
        }
        text.truncate(start + text[start..].trim_end().len());
        text.push('\n');
    }
    text
}

fn row(record: &RunRecord) -> [String; 7] {
    let code = record.git.as_ref().map_or(String::new(), |git| {
        let commit = git.commit.as_deref().map_or("none", short_commit);
        format!("{commit}{}", if git.dirty { "+" } else { "" })
    });
    let command = record.command.as_ref();
    let line = command.map_or(String::new(), |command| shell_line(&command.argv));
    let one_line = line.replace('\n', " ");
    let mut shown: String = one_line.chars().take(COMMAND).collect();
    if one_line.chars().count() > COMMAND {
        shown.push('…');
    }
    [
        record.id.to_string(),
        when(record).strftime("%Y-%m-%d %H:%M").to_string(),
        ending(record),
        duration(record).map_or(String::new(), lasted),
        record.image.reference.clone(),
        code,
        shown,
    ]
}
