//! The run's record.

use mlbuild_manifests::LockFile;
use mlbuild_manifests::lock::FILE_NAME;
use mlbuild_manifests::run_record::{RunCluster, RunCommand};

use super::Submission;
use super::error::SubmitError;
use super::follow::FollowEnd;
use crate::error::ErrorKind;
use crate::kubernetes::Cluster;
use crate::records::{RunExit, RunStart, StartedRun, this_host};
use crate::reporter::Reporter;
use crate::start::record::{OfFiles, PendingRecord, begin, image, record_end};

/// What records have as the program that started it.
const PROGRAM: &str = "kubernetes";

/// Writes down that the run starts.
///
/// # Errors
/// Where the id is taken, or the record can't be written.
pub(super) fn write(
    pending: PendingRecord,
    submission: &Submission,
    cluster: &Cluster,
    version: &str,
    reporter: &dyn Reporter,
) -> Result<StartedRun, SubmitError> {
    let files = pending.of_files(reporter)?;
    let run = start(&files, submission, cluster, version);
    Ok(begin(run, &files.place)?)
}

/// What is known of the run.
pub(super) fn start(
    files: &OfFiles,
    submission: &Submission,
    cluster: &Cluster,
    version: &str,
) -> RunStart {
    let OfFiles { place, code, data } = files;
    let project = place.project();
    let lock = LockFile::load(&project.join(FILE_NAME)).unwrap_or_default();
    let spec = &submission.request.spec;
    let (image, entry) = image(&submission.named, &spec.image, &lock);
    let mut host = this_host();
    host.runtime = Some(format!("kubernetes {version}"));
    RunStart {
        id: submission.request.run_id.clone(),
        lock: entry.and_then(|entry| lock.checksum(&entry.key())),
        image,
        code: code.clone(),
        command: RunCommand {
            program: Some(PROGRAM.to_owned()),
            // Those of docker alone: with them the run can be started again without a cluster.
            options: spec.options.words(),
            argv: spec.command.clone(),
            environment: submission.names.clone(),
            mounts: spec.mounts(),
            project: Some(project.to_string_lossy().into_owned()),
            ..RunCommand::default()
        },
        host,
        cluster: Some(place_of(submission, cluster)),
        slurm: None,
        data: data.clone(),
    }
}

/// What is of one submission, or says where: the rest makes the same Job again.
const OF_ONE: [&str; 8] = [
    "namespace",
    "context",
    "kubeconfig",
    "run-id",
    "dry-run",
    "output",
    "format",
    "no-record",
];

/// Where the Job is, so that it is found without a word, and can be made again.
fn place_of(submission: &Submission, cluster: &Cluster) -> RunCluster {
    let own = submission.request.flags.options().clone();
    let file = own.text("kubeconfig").map(|file| {
        let whole = std::path::absolute(file).unwrap_or_else(|_| file.into());
        whole.to_string_lossy().into_owned()
    });
    RunCluster {
        context: cluster.context.clone(),
        kubeconfig: file,
        server: cluster.url.clone(),
        namespace: cluster.namespace.clone(),
        job: submission.job().to_owned(),
        options: own.without(&OF_ONE).words(),
    }
}

/// Writes down that the cluster didn't take it after all.
pub(super) fn refused(run: StartedRun, reporter: &dyn Reporter) {
    record_end(run, RunExit::default(), reporter);
}

/// Writes down how the run ended.
pub(super) fn finish(
    run: StartedRun,
    end: &Result<FollowEnd, SubmitError>,
    reporter: &dyn Reporter,
) {
    let exit = match end {
        Ok(FollowEnd::Ended(end)) => RunExit {
            code: end.code,
            signal: None,
        },
        Ok(FollowEnd::Cancelled) => RunExit::of_code(super::INTERRUPTED),
        // The connection is lost, and the Job may run on.
        Err(error) if error.kind() == ErrorKind::Environment => return,
        Err(_) => RunExit::default(),
    };
    record_end(run, exit, reporter);
}
