//! `mlbuild runs list`.

use std::cmp::Ordering;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::{RunRecordError, RunStatus, RunSummary};
use serde_json::json;

use super::{ProjectArgs, as_json, ended, ending, lasted, short_commit, time};
use crate::cli::output;
use crate::error::CommandResult;
use crate::flags::Format;
use crate::records::Store;
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
    pub fn is_of(self, run: &RunSummary) -> bool {
        let (status, code) = (run.status, run.exit_code);
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

/// A run, and the rest of its record where that is needed.
struct Entry {
    run: RunSummary,
    record: Option<RunRecord>,
}

/// Runs the verb.
///
/// # Errors
/// Where the folder can't be read. A record that can't be is named in a warning.
pub async fn run(args: &ListArgs) -> CommandResult {
    let store = args.project.store()?;
    let mut unreadable = Vec::new();
    let mut entries = read(args, &store, &mut unreadable)?;
    if ended::complete(&store, entries.iter().map(|entry| &entry.run)).await > 0 {
        unreadable.clear();
        entries = read(args, &store, &mut unreadable)?;
    }
    for error in &unreadable {
        output::warning(&error.to_string());
    }
    entries.retain(|entry| args.wants(entry));
    sort(&mut entries, args.sort);
    if args.reverse {
        entries.reverse();
    }
    entries.truncate(args.limit.unwrap_or(usize::MAX));
    match args.format {
        Format::Json => {
            let records = entries.iter().filter_map(|entry| entry.record.as_ref());
            let answer = json!({
                "runs": records.map(as_json).collect::<Vec<_>>(),
                "unreadable": unreadable.iter().map(shown).collect::<Vec<_>>(),
            });
            output::answer(&format!("{answer:#}"))
        }
        Format::Text if entries.is_empty() => {
            output::note("no runs");
            Ok(())
        }
        Format::Text => output::answer(&table(&entries)),
    }
}

/// Whole records only where they are asked for.
fn read(
    args: &ListArgs,
    store: &Store,
    unreadable: &mut Vec<RunRecordError>,
) -> CommandResult<Vec<Entry>> {
    if args.format == Format::Json || args.image.is_some() {
        let listing = store.all()?;
        unreadable.extend(listing.unreadable);
        let whole = |record: RunRecord| Entry {
            run: RunSummary::of(&record),
            record: Some(record),
        };
        return Ok(listing.records.into_iter().map(whole).collect());
    }
    let listing = store.summaries()?;
    unreadable.extend(listing.unreadable);
    let listed = |run| Entry { run, record: None };
    Ok(listing.records.into_iter().map(listed).collect())
}

fn shown(error: &RunRecordError) -> serde_json::Value {
    json!({ "file": error.path(), "message": error.to_string() })
}

impl ListArgs {
    fn wants(&self, Entry { run, record }: &Entry) -> bool {
        let holds = |text: &str, wanted: &str| text.contains(wanted);
        let image = |wanted: &String| {
            let Some(RunRecord { image, .. }) = record else {
                return false;
            };
            let manifests = image.platforms.values().map(|p| &p.manifest);
            let mut digests = manifests
                .chain(&image.index)
                .chain(&image.digest)
                .chain(&image.image_id);
            holds(&image.reference, wanted) || digests.any(|d| holds(d.as_ref(), wanted))
        };
        let commit = |wanted: &String| {
            let commit = run.commit.as_ref();
            commit.is_some_and(|commit| commit.starts_with(wanted.as_str()))
        };
        let command = |wanted: &String| {
            let argv = run.argv.as_ref();
            argv.is_some_and(|argv| holds(&shell_line(argv), wanted))
        };
        self.status.is_none_or(|status| status.is_of(run))
            && self.image.as_ref().is_none_or(image)
            && self.commit.as_ref().is_none_or(commit)
            && self.command.as_ref().is_none_or(command)
            && (self.host.is_none() || self.host == run.host)
            && self.since.is_none_or(|since| run.when() >= since)
    }
}

/// Runs that are equal otherwise stand newest first.
fn sort(entries: &mut [Entry], by: SortArg) {
    let newest =
        |a: &RunSummary, b: &RunSummary| b.when().cmp(&a.when()).then_with(|| b.id.cmp(&a.id));
    entries.sort_by(|Entry { run: a, .. }, Entry { run: b, .. }| {
        let first = match by {
            SortArg::Created => Ordering::Equal,
            SortArg::Duration => b.duration().cmp(&a.duration()),
            SortArg::Id => a.id.cmp(&b.id),
            SortArg::Image => a.reference.cmp(&b.reference),
            SortArg::Status => a.status.cmp(&b.status),
        };
        first.then_with(|| newest(a, b))
    });
}

fn table(entries: &[Entry]) -> String {
    let names = [
        "RUN", "STARTED", "STATUS", "TOOK", "IMAGE", "CODE", "COMMAND",
    ];
    let mut rows = vec![names.map(str::to_owned)];
    rows.extend(entries.iter().map(|entry| row(&entry.run)));
    output::table(&rows)
}

fn row(run: &RunSummary) -> [String; 7] {
    let code = run.dirty.map_or(String::new(), |dirty| {
        let commit = run.commit.as_deref().map_or("none", short_commit);
        format!("{commit}{}", if dirty { "+" } else { "" })
    });
    let mut shown = run.argv.as_deref().map_or(String::new(), shell_line);
    if let Some((end, _)) = shown.char_indices().nth(COMMAND) {
        shown.truncate(end);
        shown.push('…');
    }
    if shown.contains('\n') {
        shown = shown.replace('\n', " ");
    }
    [
        run.id.clone(),
        run.when().strftime("%Y-%m-%d %H:%M").to_string(),
        ending(run),
        run.duration().map_or(String::new(), lasted),
        run.reference.clone(),
        code,
        shown,
    ]
}
