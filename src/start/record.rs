//! A run's record: written down before the container starts, and finished when it has ended.

use std::path::Path;
use std::thread::{self, JoinHandle};

use mlbuild_manifests::LockFile;
use mlbuild_manifests::lock::{FILE_NAME, LockedImage};
use mlbuild_manifests::run_record::{
    RecordsPlace, RunCommand, RunData, RunHost, RunImage, RunPlatform,
};
use mlbuild_templates::reference;
use oci_spec::distribution::Reference;
use oci_spec::image::Digest;
use signal_hook::low_level::signal_name;

use super::child::RunEnd;
use super::error::StartError;
use super::gpu::GpuUse;
use super::{Start, StartRequest};
use crate::records::data::{self, DataError, DataWish};
use crate::records::{
    GitError, RunExit, RunStart, Snapshot, StartedRun, project_folder, this_host,
};
use crate::reporter::Reporter;

/// A record that is about to be written: git is asked for the code's state while the runtime is asked
/// for the image.
pub(crate) struct PendingRecord {
    place: RecordsPlace,
    code: Asked<Option<Snapshot>, GitError>,
    data: Asked<Vec<RunData>, DataError>,
}

/// What another thread finds out.
enum Asked<T, E> {
    For(JoinHandle<Result<T, E>>),
    Known(Box<T>),
}

impl<T, E> Asked<T, E> {
    fn answer(self) -> Result<T, E> {
        match self {
            Self::For(thread) => thread.join().expect("looking at files doesn't panic"),
            Self::Known(known) => Ok(*known),
        }
    }
}

/// All that a record says of files.
pub(crate) struct OfFiles {
    pub(crate) place: RecordsPlace,
    pub(crate) code: Option<Snapshot>,
    pub(crate) data: Vec<RunData>,
}

impl PendingRecord {
    /// Begins it, where the request wants a record.
    pub(crate) fn of_request(request: &StartRequest) -> Option<Self> {
        request
            .record
            .then(|| Self::begin(&request.folder, &request.data))
    }

    /// Begins to look at the code of the project that `folder` belongs to, and at the data.
    pub(crate) fn begin(folder: &Path, data: &[DataWish]) -> Self {
        let project = project_folder(folder);
        let here = project.clone();
        let (from, within, wishes) = (folder.to_owned(), project.clone(), data.to_vec());
        let data = move || {
            let taken = wishes.iter().map(|wish| data::take(wish, &from, &within));
            taken.collect()
        };
        Self {
            place: RecordsPlace::of(&project),
            code: Asked::For(thread::spawn(move || Snapshot::take(&here))),
            data: Asked::For(thread::spawn(data)),
        }
    }

    /// Of a project whose folder isn't where the code is from.
    pub(crate) fn of(project: &Path, code: Option<Snapshot>) -> Self {
        Self {
            place: RecordsPlace::of(project),
            code: Asked::Known(Box::new(code)),
            data: Asked::Known(Box::default()),
        }
    }

    /// The same, once git has said what it knows: as long as that is waited for, Ctrl-C has to end this
    /// process, so it is done before signals are held.
    ///
    /// # Errors
    /// Where data can't be read.
    pub(crate) fn settled(self, reporter: &dyn Reporter) -> Result<Self, StartError> {
        let OfFiles { place, code, data } = self.of_files(reporter)?;
        Ok(Self {
            place,
            code: Asked::Known(Box::new(code)),
            data: Asked::Known(Box::new(data)),
        })
    }

    /// The state of the code, where git has said it already.
    pub(crate) fn code(&self) -> Option<&Snapshot> {
        match &self.code {
            Asked::Known(known) => known.as_ref().as_ref(),
            Asked::For(_) => None,
        }
    }

    /// Where it goes, the state of the code, and the data; what can't be recorded is said, once.
    ///
    /// # Errors
    /// Where data can't be read.
    pub(crate) fn of_files(self, reporter: &dyn Reporter) -> Result<OfFiles, StartError> {
        let (is_code_new, is_data_new) = (
            matches!(self.code, Asked::For(_)),
            matches!(self.data, Asked::For(_)),
        );
        let code = self.code.answer().unwrap_or_else(|error| {
            reporter.warning(format!("the code's state isn't recorded: {error}"));
            None
        });
        let left_out = code.iter().flat_map(|code| &code.state.left_out);
        for left_out in left_out.filter(|_| is_code_new) {
            reporter.warning(format!("not recorded: {left_out}"));
        }
        let data = self.data.answer()?;
        for one in data.iter().filter(|_| is_data_new) {
            tell_of(one, reporter);
        }
        Ok(OfFiles {
            place: self.place,
            code,
            data,
        })
    }

    /// Writes down that the run starts.
    ///
    /// # Errors
    /// Where the id is taken, or the record can't be written.
    pub(super) fn write(
        self,
        start: &Start,
        display: Option<String>,
        reporter: &dyn Reporter,
    ) -> Result<StartedRun, StartError> {
        let OfFiles { place, code, data } = self.of_files(reporter)?;
        let project = place.project();
        let lock = LockFile::load(&project.join(FILE_NAME)).unwrap_or_default();
        let (image, entry) = image(&start.image.asked, &start.image.start, &lock);
        let run = RunStart {
            id: start.run_id.clone(),
            lock: entry.and_then(|entry| lock.checksum(&entry.key())),
            image,
            code,
            command: RunCommand {
                display,
                ..command(start, project)
            },
            host: host(start),
            cluster: None,
            slurm: None,
            data,
        };
        begin(run, &place)
    }
}

/// What of data isn't in its fingerprint.
fn tell_of(data: &RunData, reporter: &dyn Reporter) {
    let name = &data.name;
    if data.sample.is_none() {
        reporter.note(format!(
            "{name} is recorded by its name: nobody looked at it"
        ));
    }
    for left_out in &data.left_out {
        reporter.warning(format!("data {name}: not read: {left_out}"));
    }
}

/// Writes the record of a run that starts.
///
/// # Errors
/// Where the id is taken, or the record can't be written.
pub(crate) fn begin(run: RunStart, place: &RecordsPlace) -> Result<StartedRun, StartError> {
    Ok(run.write_to(place)?)
}

/// Writes down how a run ended. That this fails is no failure of the run.
pub(crate) fn record_end(run: StartedRun, exit: RunExit, reporter: &dyn Reporter) {
    if let Err(error) = run.finish(exit) {
        reporter.warning(format!("the end of the run isn't recorded: {error}"));
    }
}

/// Writes down how the run ended, where it did.
pub(super) fn finish(run: StartedRun, end: &Result<RunEnd, StartError>, reporter: &dyn Reporter) {
    let exit = match end {
        Ok(RunEnd::Exited(code)) => RunExit::of_code(*code),
        Ok(RunEnd::Killed(signal)) => RunExit {
            code: Some(128 + signal),
            signal: signal_name(*signal).map(str::to_owned),
        },
        // It runs on, and nobody waits for its end.
        Ok(RunEnd::Detached { .. }) => return,
        Err(_) => RunExit::default(),
    };
    record_end(run, exit, reporter);
}

/// The image as records have it: what the lock says of its digest, else the digest alone.
pub(crate) fn image<'a>(
    asked: &str,
    start: &str,
    lock: &'a LockFile,
) -> (RunImage, Option<&'a LockedImage>) {
    let mut image = RunImage {
        reference: asked.to_owned(),
        ..RunImage::default()
    };
    let Some((name, digest)) = start.split_once('@') else {
        image.image_id = start.parse().ok();
        return (image, None);
    };
    image.reference = reference(asked, name);
    let Ok(digest) = digest.parse::<Digest>() else {
        return (image, None);
    };
    let is_of = |entry: &&LockedImage| {
        let published = entry.published.as_ref().map(|published| &published.digest);
        published == Some(&digest) || entry.platforms.values().any(|p| p.manifest == digest)
    };
    let entry = lock.images().find(is_of);
    for (platform, digests) in entry.iter().flat_map(|entry| &entry.platforms) {
        let digests = RunPlatform {
            manifest: digests.manifest.clone(),
            config: digests.config.clone(),
        };
        image.platforms.insert(platform.clone(), digests);
    }
    let is_manifest = image.platforms.values().any(|p| p.manifest == digest);
    match (image.platforms.is_empty(), is_manifest) {
        (true, _) => image.digest = Some(digest),
        (false, true) => {}
        (false, false) => image.index = Some(digest),
    }
    (image, entry)
}

/// The name that was asked for, where the digest is one of its repository; else that repository.
fn reference(asked: &str, name: &str) -> String {
    let parse = |text: &str| reference::parse(text).ok();
    let Some((asked, name)) = parse(asked).zip(parse(name)) else {
        return name.to_owned();
    };
    let place = |r: &Reference| format!("{}/{}", r.registry(), r.repository());
    match asked.tag() {
        Some(tag) if place(&asked) == place(&name) => format!("{}:{tag}", place(&asked)),
        _ => place(&name),
    }
}

fn command(start: &Start, project: &Path) -> RunCommand {
    let spec = &start.spec;
    let options = match start.argv.as_slice() {
        // What Apptainer is started with says nothing to another program.
        [] => spec.options.words(),
        // `docker run …options… image …command…`
        argv => argv[2..argv.len() - spec.command.len() - 1].to_vec(),
    };
    RunCommand {
        program: Some(start.runtime.cli.program().to_owned()),
        options,
        argv: spec.command.clone(),
        environment: spec.env().map(|variable| variable.name.clone()).collect(),
        mounts: spec.mounts(),
        accelerator: match &start.gpu {
            GpuUse::Given { accelerators, .. } if accelerators.nvidia.is_some() => {
                Some("cuda".to_owned())
            }
            GpuUse::Given { accelerators, .. } if accelerators.rocm.is_some() => {
                Some("rocm".to_owned())
            }
            _ => None,
        },
        project: Some(project.to_string_lossy().into_owned()),
        display: None,
    }
}

fn host(start: &Start) -> RunHost {
    let mut host = this_host();
    host.runtime = Some(start.runtime.name_and_version());
    if let GpuUse::Given { accelerators, .. } = &start.gpu {
        if let Some(nvidia) = &accelerators.nvidia {
            host.driver.clone_from(&nvidia.driver);
            host.devices = nvidia.gpus.iter().map(|gpu| gpu.name.clone()).collect();
        } else if let Some(rocm) = &accelerators.rocm {
            host.driver.clone_from(&rocm.driver);
            host.devices = rocm
                .gpus
                .iter()
                .map(|gpu| format!("AMD {}", gpu.target))
                .collect();
        }
    }
    host
}

#[cfg(test)]
mod tests {
    use super::reference;

    #[test]
    fn the_name_that_was_asked_for_stays_where_the_digest_is_its() {
        let asked = "docker.io/library/debian:12";
        assert_eq!(reference("debian:12", "debian"), asked);
        assert_eq!(reference("mine:v1", "debian"), "docker.io/library/debian");
        assert_eq!(
            reference("127.0.0.1:5000/a/b:v1", "127.0.0.1:5000/a/b"),
            "127.0.0.1:5000/a/b:v1"
        );
    }
}
