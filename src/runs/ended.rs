//! Runs that were left in the background: nobody waited for their end, but the runtime knows it, or
//! the cluster.

use std::time::Duration;

use jiff::Timestamp;
use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::{RunStatus, RunSummary};

use crate::kubernetes::{self, ClusterTarget, JobRef, connect};
use crate::records::{RunExit, Store, finish_later, this_host};
use crate::reporter::Reporter;
use crate::runtime::RuntimeCli;
use crate::start::containers;
use crate::start::runtime_cli;

/// A cluster that nobody asked for may take so long.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);

/// Completes the records of this machine's detached runs that have ended; returns how many.
/// Where the runtime doesn't answer, or has removed the container, a record stays as it is.
pub async fn complete<'a>(
    store: &Store,
    runs: impl IntoIterator<Item = &'a RunSummary>,
    reporter: &dyn Reporter,
) -> usize {
    let here = this_host().name;
    let may_be = |run: &&RunSummary| {
        run.status == RunStatus::Started && run.host.as_deref() == Some(here.as_str())
    };
    let mut completed = 0;
    for run in runs.into_iter().filter(may_be) {
        let Ok(record) = store.find(&run.id) else {
            continue;
        };
        if was_detached(&record) {
            completed += usize::from(complete_one(store, record, reporter).await.is_some());
        }
    }
    completed
}

fn was_detached(record: &RunRecord) -> bool {
    let options = record.command.iter().flat_map(|command| &command.options);
    options.into_iter().any(|option| option == "--detach")
}

async fn complete_one(store: &Store, record: RunRecord, reporter: &dyn Reporter) -> Option<()> {
    let program = record.command.as_ref()?.program.as_deref();
    let cli = RuntimeCli::ALL
        .into_iter()
        .find(|cli| Some(cli.program()) == program)?;
    let found = runtime_cli::find(Some(cli)).await.ok()?;
    let end = containers::end_of(&found, &record.id).await?;
    let exit = RunExit::of_code(end.code);
    write(store, record, exit, end.at, reporter)
}

/// Completes the record of a run in a cluster, where its Job is over; true if it was. Where the
/// cluster doesn't answer, or the Job is gone, the record stays as it is.
pub async fn complete_in_cluster(
    store: &Store,
    record: &RunRecord,
    reporter: &dyn Reporter,
) -> bool {
    if record.status() != RunStatus::Started {
        return false;
    }
    let Some(place) = &record.cluster else {
        return false;
    };
    let looked = async {
        let cluster = connect(&ClusterTarget::of_run(place)).await.ok()?;
        cluster
            .find(&JobRef::of_run(record.id.as_str(), place))
            .await
            .ok()
    };
    let found = tokio::time::timeout(ANSWER_TIMEOUT, looked)
        .await
        .ok()
        .flatten();
    let Some(found) = found else {
        reporter.note("its cluster can't be asked, or has no such Job any more");
        return false;
    };
    let kubernetes::State::Ended(end) = found.state() else {
        return false;
    };
    let exit = RunExit {
        code: end.code,
        signal: None,
    };
    let at = found.ended().unwrap_or_else(Timestamp::now);
    write(store, record.clone(), exit, at, reporter).is_some()
}

fn write(
    store: &Store,
    record: RunRecord,
    exit: RunExit,
    at: Timestamp,
    reporter: &dyn Reporter,
) -> Option<()> {
    match finish_later(record, store.folder(), exit, at) {
        Ok(()) => Some(()),
        Err(error) => {
            reporter.warning(format!("the end of a run isn't recorded: {error}"));
            None
        }
    }
}
