//! `mlbuild runs list`.

use std::cell::RefCell;
use std::path::Path;

use clap::{Args, ValueEnum};
use jiff::Timestamp;
use mlbuild_manifests::run_record::{RunRecordError, RunSummary};
use serde::ser::{Serialize, SerializeMap as _, Serializer};
use serde_json::{Value, json};

use super::{as_json, ending, lasted, short_commit};
use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::output;
use crate::support::project_args::ProjectArgs;
use crate::support::terminal::Terminal;
use crate::support::time;
use mlbuild::records::Store;
use mlbuild::runs::{self, ListRequest, RunList, RunState, SortBy, TrackedRun};
use mlbuild::runtime::shell_line;
use mlbuild::trackers::mlflow::MlflowRun;

/// Most characters of a command in the table.
const COMMAND: usize = 60;

/// Before the name of an experiment.
const MLFLOW: &str = "mlflow";

/// Flags of `mlbuild runs list`.
#[derive(Debug, Clone, Args)]
pub struct ListArgs {
    /// List the runs of MLflow that mlbuild's plugin tagged, of one experiment or of all: `mlflow`, `mlflow:EXPERIMENT`.
    #[arg(long, value_name = "TRACKER", value_parser = tracker)]
    pub from: Option<FromTracker>,
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

/// A tracker whose runs are listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FromTracker {
    /// MLflow's experiment, by name.
    pub experiment: Option<String>,
}

fn tracker(text: &str) -> Result<FromTracker, String> {
    let experiment = match text.split_once(':') {
        None if text == MLFLOW => None,
        Some((MLFLOW, name)) if !name.is_empty() => Some(name.to_owned()),
        _ => return Err("mlflow or mlflow:EXPERIMENT is one".to_owned()),
    };
    Ok(FromTracker { experiment })
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
    pub(super) fn state(self) -> RunState {
        match self {
            StatusArg::Bound => RunState::Bound,
            StatusArg::Started => RunState::Started,
            StatusArg::Finished => RunState::Finished,
            StatusArg::Ok => RunState::Succeeded,
            StatusArg::Failed => RunState::Failed,
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

impl SortArg {
    fn by(self) -> SortBy {
        match self {
            SortArg::Created => SortBy::Created,
            SortArg::Duration => SortBy::Duration,
            SortArg::Id => SortBy::Id,
            SortArg::Image => SortBy::Image,
            SortArg::Status => SortBy::Status,
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// Where the folder can't be read. A record that can't be is named in a warning.
pub async fn run(args: ListArgs) -> CommandResult {
    let project = args.project.folder()?;
    let request = ListRequest {
        state: args.status.map(StatusArg::state),
        image: args.image,
        commit: args.commit,
        command: args.command,
        host: args.host,
        since: args.since,
        sort: args.sort.by(),
        is_reversed: args.reverse,
        limit: args.limit,
    };
    if let Some(from) = args.from {
        return of_mlflow(&project, &from, &request, args.format).await;
    }
    let list = runs::list(&project, &request, &Terminal::default()).await?;
    match args.format {
        Format::Json => {
            let store = Store::of(&project);
            output::json_answer(&Answer::of(&store, list))
        }
        Format::Text if list.runs.is_empty() => {
            output::note("no runs");
            Ok(())
        }
        Format::Text => output::answer(&table(list.runs.iter().map(|run| row(run, ending(run))))),
    }
}

/// The same of MLflow's runs.
async fn of_mlflow(
    project: &Path,
    from: &FromTracker,
    request: &ListRequest,
    format: Format,
) -> CommandResult {
    if request.host.is_some() {
        return Err(
            CommandError::user("--host: MLflow doesn't say where its runs ran")
                .hint("leave out --host, or --from"),
        );
    }
    let experiment = from.experiment.as_deref();
    let list = runs::list_tracked(project, experiment, request, &Terminal::default()).await?;
    match format {
        Format::Json => output::answer(&format!(
            "{:#}",
            json!({
                "runs": list.runs.iter().map(tracked_as_json).collect::<Vec<_>>(),
                "unreadable": list.unreadable.iter().map(|why| json!({ "message": why })).collect::<Vec<_>>(),
            })
        )),
        Format::Text if list.runs.is_empty() => {
            output::note("no runs that mlbuild's plugin tagged");
            Ok(())
        }
        Format::Text => {
            output::answer(&table(list.runs.iter().map(|tracked| {
                row(&tracked.summary, tracked.run.status.as_str().to_owned())
            })))
        }
    }
}

fn tracked_as_json(tracked: &TrackedRun) -> Value {
    let mut value = as_json(&tracked.record);
    let MlflowRun { id, experiment, .. } = &tracked.run;
    value["mlflow"] = json!({
        "run": id,
        "name": tracked.run.name(),
        "experiment": experiment,
        "status": tracked.run.status.as_str(),
        "started": tracked.run.started,
        "ended": tracked.run.ended,
    });
    value
}

/// The answer for scripts. Records are read when they are written, one at a time: thousands of them have
/// no room in memory.
struct Answer<'a> {
    store: &'a Store,
    runs: Vec<RunSummary>,
    unreadable: RefCell<Vec<RunRecordError>>,
}

impl<'a> Answer<'a> {
    fn of(store: &'a Store, list: RunList) -> Self {
        Self {
            store,
            runs: list.runs,
            unreadable: RefCell::new(list.unreadable),
        }
    }

    /// A record; `None` where it can't be read, which a list that shows less of it doesn't see.
    fn record(&self, run: &RunSummary) -> Option<Value> {
        match self.store.load(&run.id) {
            Ok(record) => Some(as_json(&record)),
            Err(error) => {
                output::warning(&error.to_string());
                self.unreadable.borrow_mut().push(error);
                None
            }
        }
    }
}

impl Serialize for Answer<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("runs", &Records(self))?;
        let unreadable = self.unreadable.borrow();
        let shown: Vec<Value> = unreadable.iter().map(shown).collect();
        map.serialize_entry("unreadable", &shown)?;
        map.end()
    }
}

/// The records of an answer.
struct Records<'a>(&'a Answer<'a>);

impl Serialize for Records<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let Self(answer) = self;
        serializer.collect_seq(answer.runs.iter().filter_map(|run| answer.record(run)))
    }
}

fn shown(error: &RunRecordError) -> Value {
    json!({ "file": error.path(), "message": error.to_string() })
}

fn table(rows_of_runs: impl Iterator<Item = [String; 7]>) -> String {
    let names = [
        "RUN", "STARTED", "STATUS", "TOOK", "IMAGE", "CODE", "COMMAND",
    ];
    let mut rows = vec![names.map(str::to_owned)];
    rows.extend(rows_of_runs);
    output::table(&rows)
}

fn row(run: &RunSummary, ending: String) -> [String; 7] {
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
        ending,
        run.duration().map_or(String::new(), lasted),
        run.reference.clone(),
        code,
        shown,
    ]
}
