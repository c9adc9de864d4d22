//! The run on paper.

use mlbuild_manifests::LockFile;
use mlbuild_manifests::lock::FILE_NAME;
use mlbuild_manifests::run_record::{RunCluster, RunCommand};

use super::Submission;
use super::follow::Outcome;
use crate::cli::run::record::{Paper, begin, end, image};
use crate::error::{CommandResult, ErrorKind};
use crate::kubernetes::Cluster;
use crate::records::{RunExit, RunStart, StartedRun, this_host};

/// What records have as the program that started it.
const PROGRAM: &str = "kubernetes";

/// Writes down that the run starts.
///
/// # Errors
/// Where the id is taken, or the record can't be written.
pub(super) fn write(
    paper: Paper,
    submission: &Submission,
    cluster: &Cluster,
    version: &str,
) -> CommandResult<StartedRun> {
    let (project, code) = paper.code();
    let lock = LockFile::load(&project.join(FILE_NAME)).unwrap_or_default();
    let spec = &submission.asked.spec;
    let (image, entry) = image(&submission.named, &spec.image, &lock);
    let mut host = this_host();
    host.runtime = Some(format!("kubernetes {version}"));
    let run = RunStart {
        id: submission.asked.run_id.clone(),
        lock: entry.and_then(|entry| lock.checksum(&entry.key())),
        image,
        code,
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
        cluster: Some(place(submission, cluster)),
    };
    begin(run, &project)
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
fn place(submission: &Submission, cluster: &Cluster) -> RunCluster {
    let own = submission.asked.wishes.options().clone();
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
pub(super) fn refused(run: StartedRun) {
    end(run, RunExit::default());
}

/// Writes down how the run ended.
pub(super) fn finish(run: StartedRun, outcome: &CommandResult<Outcome>) {
    let exit = match outcome {
        Ok(Outcome::Ended(end)) => RunExit {
            code: end.code,
            signal: None,
        },
        Ok(Outcome::Cancelled) => RunExit::of_code(super::INTERRUPTED),
        // The connection is lost, and the Job may run on.
        Err(error) if error.kind == ErrorKind::Environment => return,
        Err(_) => RunExit::default(),
    };
    end(run, exit);
}
