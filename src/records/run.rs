//! One run: written down before it starts, finished when it has ended.

use std::path::Path;

use jiff::Timestamp;
use mlbuild_manifests::held::HeldFolder;
use mlbuild_manifests::run_record::{
    FOLDER_NAME, RecordsPlace, RunCluster, RunCommand, RunData, RunHost, RunImage, RunOutcome,
    RunRecordError, RunSlurm, RunStatus, whole_seconds,
};
use mlbuild_manifests::{RunId, RunRecord};
use mlbuild_secrets::{redact_command, redact_options};
use oci_spec::image::Digest;

use super::Snapshot;

/// What is known of a run before its container starts.
#[derive(Clone, Debug)]
pub struct RunStart {
    /// Its id.
    pub id: RunId,
    /// Checksum of the image's entry in the lock.
    pub lock: Option<Digest>,
    /// Its image.
    pub image: RunImage,
    /// The code, where it is in a git repository.
    pub code: Option<Snapshot>,
    /// What is started. Values of variables in its options are left out when it is written.
    pub command: RunCommand,
    /// Where.
    pub host: RunHost,
    /// The cluster, where it runs in one.
    pub cluster: Option<RunCluster>,
    /// The cluster of Slurm's, where it runs in one.
    pub slurm: Option<RunSlurm>,
    /// Its data, as far as it was named.
    pub data: Vec<RunData>,
}

/// A run whose record says that it started.
#[derive(Clone, Debug)]
#[must_use = "a run that isn't finished looks as if it had crashed"]
pub struct StartedRun {
    record: RunRecord,
    /// Held: the run itself may have the project mounted, and could put a link in its place.
    folder: HeldFolder,
}

/// How a run ended.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunExit {
    /// The container's exit code, where it is known.
    pub code: Option<i32>,
    /// The signal that ended it (`SIGKILL`), where that is known.
    pub signal: Option<String>,
}

impl RunExit {
    /// An end with this exit code.
    pub fn of_code(code: i32) -> Self {
        Self {
            code: Some(code),
            signal: None,
        }
    }
}

impl RunStart {
    /// Writes the record with the status `started` into the project's folder of records.
    ///
    /// # Errors
    /// Where the id was started before or is bound to another image, or a file can't be written.
    pub fn write(self, project: &Path) -> Result<StartedRun, RunRecordError> {
        self.write_to(&RecordsPlace::of(project))
    }

    /// As [`RunStart::write`], where the records went when somebody was asked about it.
    ///
    /// # Errors
    /// As [`RunStart::write`]; also where something else stands there by now.
    pub fn write_to(self, place: &RecordsPlace) -> Result<StartedRun, RunRecordError> {
        let now = whole_seconds(Timestamp::now());
        let mut record = RunRecord::new(self.id, now, self.image).with_data(self.data);
        if let Some(mut cluster) = self.cluster {
            cluster.options = redact_options(&cluster.options);
            record = record.in_cluster(cluster);
        }
        if let Some(mut slurm) = self.slurm {
            slurm.options = redact_options(&slurm.options);
            record = record.under_slurm(slurm);
        }
        record.lock = self.lock;
        let (state, patch) = match self.code {
            Some(code) => (Some(code.state), code.patch),
            None => (None, None),
        };
        record.git = state;
        record.command = Some(RunCommand {
            options: redact_options(&without_values(&self.command.options)),
            argv: redact_command(&self.command.argv),
            ..self.command
        });
        record.host = Some(self.host);
        record.outcome = Some(RunOutcome {
            status: RunStatus::Started,
            started: now,
            ended: None,
            exit_code: None,
            signal: None,
        });
        let held = place.hold().map_err(|source| RunRecordError::Write {
            path: place.folder(),
            source,
        })?;
        record.start_in(&held, patch.as_deref())?;
        Ok(StartedRun {
            record,
            folder: held,
        })
    }
}

impl StartedRun {
    /// The record as it stands.
    pub fn record(&self) -> &RunRecord {
        &self.record
    }

    /// Writes down what the image's digest turned out to be of. That this fails is no failure of
    /// the run: the end is written with it once more.
    pub fn tell_apart(&mut self, learned: RunImage) {
        let reference = std::mem::take(&mut self.record.image.reference);
        self.record.image = RunImage {
            reference,
            ..learned
        };
        let _ = self.record.replace_in(&self.folder);
    }

    /// Writes down the number of its job of Slurm's. That this fails is no failure of the run: the end is
    /// written with it once more.
    pub fn has_job(&mut self, number: u64) {
        if let Some(slurm) = &mut self.record.slurm {
            slurm.job = Some(number);
        }
        let _ = self.record.replace_in(&self.folder);
    }

    /// A run that another process started and left; `None` if it has ended, or has no record.
    ///
    /// # Errors
    /// Where the record can't be read.
    pub fn resume(project: &Path, id: &RunId) -> Result<Option<Self>, RunRecordError> {
        let folder = project.join(FOLDER_NAME);
        let path = RunRecord::path(&folder, id);
        if !path.exists() {
            return Ok(None);
        }
        let held = HeldFolder::open(&folder).map_err(|source| RunRecordError::Read {
            path: folder.clone(),
            source,
        })?;
        let record = RunRecord::load(&path)?;
        let is_open = record.status() == RunStatus::Started;
        Ok(is_open.then_some(Self {
            record,
            folder: held,
        }))
    }

    /// Takes a record back: the run never started after all.
    pub fn discard(project: &Path, id: &RunId) {
        let folder = project.join(FOLDER_NAME);
        let _ = std::fs::remove_file(RunRecord::path(&folder, id));
        let _ = std::fs::remove_file(RunRecord::patch_path(&folder, id));
    }

    /// Writes down how the run ended, in one step. Returns the finished record.
    ///
    /// # Errors
    /// Where the file can't be written; the record then still says `started`.
    pub fn finish(mut self, exit: RunExit) -> Result<RunRecord, RunRecordError> {
        let outcome = self.record.outcome.as_mut().expect("set when it started");
        outcome.status = RunStatus::Finished;
        outcome.ended = Some(whole_seconds(Timestamp::now()));
        outcome.exit_code = exit.code;
        outcome.signal = exit.signal;
        self.record.replace_in(&self.folder)?;
        Ok(self.record)
    }
}

/// Writes down how a run ended that nobody waited for.
///
/// # Errors
/// Where the file can't be written; the record then still says `started`.
pub fn finish_later(
    mut record: RunRecord,
    folder: &Path,
    exit: RunExit,
    ended: Timestamp,
) -> Result<(), RunRecordError> {
    let Some(outcome) = &mut record.outcome else {
        return Ok(());
    };
    outcome.status = RunStatus::Finished;
    // A clock that was set back meanwhile doesn't make it end before it started.
    outcome.ended = Some(whole_seconds(ended).max(outcome.started));
    outcome.exit_code = exit.code;
    outcome.signal = exit.signal;
    record.replace(folder)
}

/// Writes down that a run under Slurm is done once more, as this job. A run that isn't recorded here stays so.
///
/// # Errors
/// Where its record can't be read or written.
pub fn start_again(project: &Path, id: &RunId, job: u64) -> Result<(), RunRecordError> {
    let folder = project.join(FOLDER_NAME);
    let path = RunRecord::path(&folder, id);
    if !path.exists() {
        return Ok(());
    }
    let mut record = RunRecord::load(&path)?;
    let Some(slurm) = &mut record.slurm else {
        return Ok(());
    };
    slurm.job = Some(job);
    record.outcome = Some(RunOutcome {
        status: RunStatus::Started,
        started: whole_seconds(Timestamp::now()),
        ended: None,
        exit_code: None,
        signal: None,
    });
    record.replace(&folder)
}

/// Docker's options with `-e NAME=value` cut to `-e NAME`: values may be secrets.
fn without_values(options: &[String]) -> Vec<String> {
    let mut is_variable = false;
    let name_of = |variable: &str| variable.split('=').next().unwrap_or_default().to_owned();
    let cut = |option: &String| {
        if std::mem::take(&mut is_variable) {
            return name_of(option);
        }
        if let Some(variable) = option.strip_prefix("--env=") {
            return format!("--env={}", name_of(variable));
        }
        // `-e`, `-eNAME=value`, `-ite`: short flags without a value may stand before it.
        let short = option
            .strip_prefix('-')
            .filter(|rest| !rest.starts_with('-'));
        let before =
            |rest: &str| rest.len() - rest.trim_start_matches(['d', 'i', 't', 'P', 'q']).len();
        if let Some(rest) = short
            && let Some(variable) = rest[before(rest)..].strip_prefix('e')
        {
            is_variable = variable.is_empty();
            let flags = &option[..option.len() - variable.len()];
            return format!("{flags}{}", name_of(variable));
        }
        is_variable = option == "--env";
        option.clone()
    };
    options.iter().map(cut).collect()
}

#[cfg(test)]
mod tests {
    use super::without_values;

    #[test]
    fn values_of_variables_are_not_recorded() {
        let given = [
            "-it",
            "-e",
            "A=1",
            "--env",
            "B=2",
            "--env=C=3",
            "-eD=4",
            "-ite",
            "E=5",
            "-e",
            "F",
            "--name",
            "x=y",
            "--env-file",
            "a=b",
            "-v",
            "/e=1:/x",
        ];
        let cut = without_values(&given.map(str::to_owned));
        assert_eq!(
            cut.join(" "),
            "-it -e A --env B --env=C -eD -ite E -e F --name x=y --env-file a=b -v /e=1:/x"
        );
    }
}
