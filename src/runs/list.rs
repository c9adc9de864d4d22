//! The runs of a project, filtered and sorted.

use std::cmp::Ordering;
use std::path::Path;

use jiff::Timestamp;
use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::{RunRecordError, RunStatus, RunSummary};

use super::{RunsError, complete};
use crate::records::Store;
use crate::reporter::Reporter;
use crate::runtime::shell_line;

/// Which runs are listed, and in which order.
#[derive(Debug, Clone, Default)]
pub struct ListRequest {
    /// Only runs that got this far.
    pub state: Option<RunState>,
    /// Only runs whose image's reference or digest holds this text.
    pub image: Option<String>,
    /// Only runs of commits that begin so.
    pub commit: Option<String>,
    /// Only runs whose command holds this text.
    pub command: Option<String>,
    /// Only runs on this host.
    pub host: Option<String>,
    /// Only runs since this time.
    pub since: Option<Timestamp>,
    /// What they are sorted by.
    pub sort: SortBy,
    /// Whether the order is turned round.
    pub is_reversed: bool,
    /// At most this many runs.
    pub limit: Option<usize>,
}

/// How far a run got, and how it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RunState {
    /// Bound to an image, and not started by mlbuild.
    Bound,
    /// Started, and not seen to end: it runs, or mlbuild or its machine crashed.
    Started,
    /// Ended, in whichever way.
    Finished,
    /// Ended with exit code 0.
    Succeeded,
    /// Ended with another exit code, or by a signal.
    Failed,
}

impl RunState {
    /// True for a run that is so.
    pub fn is_of(self, run: &RunSummary) -> bool {
        let (status, code) = (run.status, run.exit_code);
        match self {
            RunState::Bound => status == RunStatus::Bound,
            RunState::Started => status == RunStatus::Started,
            RunState::Finished => status == RunStatus::Finished,
            RunState::Succeeded => status == RunStatus::Finished && code == Some(0),
            RunState::Failed => status == RunStatus::Finished && code != Some(0),
        }
    }
}

/// What runs are sorted by. Runs that are equal otherwise stand newest first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum SortBy {
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

/// The runs that were asked for: what a list shows of each. Whole records are read one by one, with
/// [`Store::load`], since thousands of them have no room in memory.
#[derive(Debug, Default)]
pub struct RunList {
    /// In the order that was asked for.
    pub runs: Vec<RunSummary>,
    /// Records that can't be read. Each was a warning, too.
    pub unreadable: Vec<RunRecordError>,
}

/// Lists the runs of a project. Records of detached runs that have ended are completed first.
///
/// # Errors
/// Where the folder can't be read.
pub async fn list(
    project: &Path,
    request: &ListRequest,
    reporter: &dyn Reporter,
) -> Result<RunList, RunsError> {
    let store = Store::of(project);
    let mut list = read(request, &store)?;
    if complete(&store, &list.runs, reporter).await > 0 {
        list = read(request, &store)?;
    }
    for error in &list.unreadable {
        reporter.warning(error.to_string());
    }
    list.runs.retain(|run| request.wants(run));
    sort(&mut list.runs, request.sort, |run| run);
    if request.is_reversed {
        list.runs.reverse();
    }
    list.runs.truncate(request.limit.unwrap_or(usize::MAX));
    Ok(list)
}

/// Whole records only where they are needed, and no longer.
fn read(request: &ListRequest, store: &Store) -> Result<RunList, RunsError> {
    let listing = match &request.image {
        Some(wanted) => store.summaries_of(|record| is_of_image(record, wanted))?,
        None => store.summaries()?,
    };
    Ok(RunList {
        runs: listing.records,
        unreadable: listing.unreadable,
    })
}

/// True where the image's reference or a digest of it holds a text.
pub(super) fn is_of_image(RunRecord { image, .. }: &RunRecord, wanted: &str) -> bool {
    let manifests = image.platforms.values().map(|p| &p.manifest);
    let mut digests = manifests
        .chain(&image.index)
        .chain(&image.digest)
        .chain(&image.image_id);
    image.reference.contains(wanted) || digests.any(|d| d.as_ref().contains(wanted))
}

impl ListRequest {
    /// All conditions but the image's, for which a record is read.
    pub(super) fn wants(&self, run: &RunSummary) -> bool {
        let commit = |wanted: &String| {
            let commit = run.commit.as_ref();
            commit.is_some_and(|commit| commit.starts_with(wanted.as_str()))
        };
        let command = |wanted: &String| {
            let argv = run.argv.as_ref();
            argv.is_some_and(|argv| shell_line(argv).contains(wanted.as_str()))
        };
        self.state.is_none_or(|state| state.is_of(run))
            && self.commit.as_ref().is_none_or(commit)
            && self.command.as_ref().is_none_or(command)
            && (self.host.is_none() || self.host == run.host)
            && self.since.is_none_or(|since| run.when() >= since)
    }
}

/// Sorts what has summaries.
pub(super) fn sort<T>(runs: &mut [T], by: SortBy, summary: impl Fn(&T) -> &RunSummary) {
    let newest =
        |a: &RunSummary, b: &RunSummary| b.when().cmp(&a.when()).then_with(|| b.id.cmp(&a.id));
    runs.sort_by(|a, b| {
        let (a, b) = (summary(a), summary(b));
        let first = match by {
            SortBy::Created => Ordering::Equal,
            SortBy::Duration => b.duration().cmp(&a.duration()),
            SortBy::Id => a.id.cmp(&b.id),
            SortBy::Image => a.reference.cmp(&b.reference),
            SortBy::Status => a.status.cmp(&b.status),
        };
        first.then_with(|| newest(a, b))
    });
}
