//! The run's record.

use mlbuild_manifests::LockFile;
use mlbuild_manifests::lock::FILE_NAME;
use mlbuild_manifests::run_record::{RunCommand, RunSlurm};

use super::super::error::SubmitError;
use super::{INTERRUPTED, SlurmFollowEnd, SlurmSubmission};
use crate::error::ErrorKind;
use crate::records::{RunExit, RunStart, StartedRun, this_host};
use crate::reporter::Reporter;
use crate::slurm::Slurm;
use crate::start::record::{OfFiles, PendingRecord, begin, image, record_end};

/// What records have as the program that started it.
const PROGRAM: &str = "slurm";

/// What is of one submission, or says where: the rest makes the same job again.
const OF_ONE: [&str; 8] = [
    "ssh",
    "run-id",
    "dry-run",
    "output",
    "format",
    "no-record",
    "trust",
    "dependency",
];

/// Writes down that the run starts.
///
/// # Errors
/// Where the id is taken, or the record can't be written.
pub(super) fn write(
    pending: PendingRecord,
    submission: &SlurmSubmission,
    slurm: &Slurm,
    reporter: &dyn Reporter,
) -> Result<StartedRun, SubmitError> {
    let files = pending.of_files(reporter)?;
    let run = start(&files, submission, slurm);
    Ok(begin(run, &files.place)?)
}

/// What is known of the run.
pub(super) fn start(files: &OfFiles, submission: &SlurmSubmission, slurm: &Slurm) -> RunStart {
    let OfFiles { place, code, data } = files;
    let project = place.project();
    let lock = LockFile::load(&project.join(FILE_NAME)).unwrap_or_default();
    let request = &submission.request.run;
    let spec = &request.spec;
    let (image, entry) = image(&submission.named, &spec.image, &lock);
    let mut host = this_host();
    host.runtime = Some(slurm.version.clone());
    let environment = spec.env().map(|variable| variable.name.clone());
    RunStart {
        id: request.run_id.clone(),
        lock: entry.and_then(|entry| lock.checksum(&entry.key())),
        image,
        code: code.clone(),
        command: RunCommand {
            program: Some(PROGRAM.to_owned()),
            options: spec.options.words(),
            argv: spec.command.clone(),
            environment: environment.collect(),
            mounts: spec.mounts(),
            project: Some(project.to_string_lossy().into_owned()),
            ..RunCommand::default()
        },
        host,
        cluster: None,
        slurm: Some(RunSlurm {
            cluster: slurm.name.clone().unwrap_or_default(),
            login: submission.request.login.clone(),
            job: None,
            runtime: submission.runtime.to_string(),
            options: request.flags.options().clone().without(&OF_ONE).words(),
        }),
        data: data.clone(),
    }
}

/// Writes down that Slurm didn't take it after all.
pub(super) fn refused(run: StartedRun, reporter: &dyn Reporter) {
    record_end(run, RunExit::default(), reporter);
}

/// Writes down how the run ended.
pub(super) fn finish(
    run: StartedRun,
    end: &Result<SlurmFollowEnd, SubmitError>,
    reporter: &dyn Reporter,
) {
    let exit = match end {
        Ok(SlurmFollowEnd::Ended(end)) => RunExit {
            code: end.code,
            signal: None,
        },
        Ok(SlurmFollowEnd::Cancelled) => RunExit::of_code(INTERRUPTED),
        // The connection is lost, and the job may run on.
        Err(error) if error.kind() == ErrorKind::Environment => return,
        Err(_) => RunExit::default(),
    };
    record_end(run, exit, reporter);
}
