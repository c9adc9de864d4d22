//! After the build: what the registry confirms goes into the lock, the run
//! record and the referrers.

use std::collections::BTreeMap;

use jiff::Timestamp;
use mlbuild_manifests::document::{
    Document, LOCK_ARTIFACT_TYPE, RUN_ARTIFACT_TYPE, RUN_ID_ANNOTATION,
};
use mlbuild_manifests::lock::{
    Builder, ImageKey, Inputs, LockedBuild, LockedImage, LockedPackages, PublishedImage,
};
use mlbuild_manifests::run_record::{
    Binding, FOLDER_NAME, RunImage, RunPlatform, RunRecord, RunRecordError,
};
use mlbuild_manifests::{LockFile, atomic};
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest};

use super::BuildError;
use crate::image::PlatformImage;
use crate::lock::file::{load, platform};
use crate::planning::bases::Bases;
use crate::registry::{Attachment, Registry, platform_name};
use crate::reporter::Reporter;
use crate::settings::{ImageSettings, LockMode};

/// What the registry has now.
#[derive(Debug, Clone)]
pub struct Confirmed {
    /// The first tag.
    pub reference: Reference,
    /// What it names.
    pub descriptor: Descriptor,
    /// True if that is an index.
    pub is_index: bool,
    /// The images, by platform.
    pub images: Vec<PlatformImage>,
}

impl Confirmed {
    /// `REF@sha256:…`.
    pub fn pinned(&self) -> String {
        format!("{}@{}", self.reference, self.descriptor.digest())
    }

    /// The image as a run record has it.
    pub fn run_image(&self) -> RunImage {
        let platforms = self.images.iter().map(|image| {
            let digests = RunPlatform {
                manifest: image.manifest.digest().clone(),
                config: image.config.digest().clone(),
            };
            (platform_name(&image.platform), digests)
        });
        RunImage {
            reference: self.reference.to_string(),
            index: self.is_index.then(|| self.descriptor.digest().clone()),
            digest: None,
            image_id: None,
            platforms: platforms.collect(),
        }
    }
}

/// Asks the registry what each tag names now. `built` is what the builder says it pushed.
///
/// # Errors
/// Where the registry can't be asked, or names something else.
pub async fn confirm(
    registry: &Registry,
    tags: &[Reference],
    built: Option<&str>,
) -> Result<Confirmed, BuildError> {
    let mut first = None;
    for tag in tags {
        let resolved = registry.resolve(tag, None).await?;
        let digest = resolved.descriptor.digest().to_string();
        if let Some(built) = built.filter(|built| *built != digest) {
            return Err(BuildError::PushedOver {
                tag: Box::new(tag.clone()),
                found: digest,
                pushed: built.to_owned(),
            });
        }
        first.get_or_insert(resolved);
    }
    let resolved = first.ok_or(BuildError::PushWithoutName)?;
    let images = registry.images(&resolved.reference, None).await?;
    Ok(Confirmed {
        reference: tags[0].clone(),
        descriptor: resolved.descriptor,
        is_index: resolved.is_index,
        images,
    })
}

/// What there is to write down about one build.
pub struct Entry<'a> {
    /// Settings.
    pub settings: &'a ImageSettings,
    /// Key of the lock's entry.
    pub key: &'a ImageKey,
    /// What it was made from.
    pub inputs: Inputs,
    /// Base images.
    pub bases: &'a Bases,
    /// Builder's name and version.
    pub builder: (String, String),
    /// What the registry confirmed; `None` where nothing was pushed.
    pub confirmed: Option<&'a Confirmed>,
    /// Packages of the image, where they could be listed.
    pub packages: Option<LockedPackages>,
    /// What it was built from, where that was pinned.
    pub build: Option<LockedBuild>,
}

impl Entry<'_> {
    fn locked(&self) -> LockedImage {
        let platforms = self
            .confirmed
            .map(|confirmed| confirmed.images.iter().map(platform).collect());
        LockedImage {
            name: self.key.name.clone(),
            tag: self.key.tag.clone(),
            target: self.key.target.clone(),
            variant: self.settings.variant.clone(),
            created: Timestamp::now(),
            derived: None,
            inputs: self.inputs.clone(),
            bases: self.bases.pins.values().cloned().collect(),
            builder: Some(Builder {
                name: self.builder.0.clone(),
                version: self.builder.1.clone(),
            }),
            platforms: platforms.unwrap_or_default(),
            published: self.confirmed.map(|confirmed| PublishedImage {
                reference: confirmed.reference.to_string(),
                digest: confirmed.descriptor.digest().clone(),
                media_type: confirmed.descriptor.media_type().to_string(),
                size: confirmed.descriptor.size(),
            }),
            packages: self.packages.clone(),
            build: self.build.clone(),
        }
    }

    /// Writes the lock, where one is kept and may change; returns the entry's checksum.
    ///
    /// # Errors
    /// Where the lock can't be written.
    pub fn write_lock(&self) -> Result<Option<(Digest, LockedImage)>, BuildError> {
        let Some(file) = self.settings.lock.file.as_deref() else {
            return Ok(None);
        };
        if self.settings.lock.mode > LockMode::Free {
            let lock = load(file)?;
            let entry = lock.get(self.key).cloned();
            return Ok(lock.checksum(self.key).zip(entry));
        }
        let image = self.locked();
        let written = LockFile::update(file, |lock| {
            let keep = lock
                .get(self.key)
                .filter(|old| says_enough(old, &image))
                .cloned();
            if keep.is_none() {
                lock.insert(image);
            }
            lock.checksum(self.key).zip(lock.get(self.key).cloned())
        });
        Ok(written?)
    }
}

/// True if the old entry says all that the new one does: they differ in nothing
/// but when they were made, or the same inputs were now built without a push.
fn says_enough(old: &LockedImage, new: &LockedImage) -> bool {
    let mut new = new.clone();
    new.created = old.created;
    if new.published.is_none() && old.inputs.context.is_some() {
        new.published.clone_from(&old.published);
        new.platforms.clone_from(&old.platforms);
        new.builder.clone_from(&old.builder);
    }
    *old == new
}

/// Refuses a build whose lock or record can't be written, before anything is built or pushed.
///
/// # Errors
/// [`BuildError::Unwritable`].
pub fn check_writable(settings: &ImageSettings) -> Result<(), BuildError> {
    let lock = settings.lock.file.clone();
    let lock = lock.filter(|_| settings.lock.mode == LockMode::Free);
    let runs = settings.project.join(FOLDER_NAME);
    // Made with the first record, not before the first image.
    let runs = if runs.is_dir() {
        runs
    } else {
        settings.project.clone()
    };
    let record = settings.build.push.then(|| runs.join("record"));
    for (file, name) in [
        (lock, None),
        (record, Some(settings.project.join(FOLDER_NAME))),
    ] {
        let Some(file) = file else { continue };
        // A pipe or device is what the person wants to have.
        if file.exists() && !file.is_file() {
            continue;
        }
        atomic::check_writable(&file).map_err(|source| BuildError::Unwritable {
            path: name.unwrap_or(file),
            source,
        })?;
    }
    Ok(())
}

/// Refuses an id that is bound to another image, before anything is written down.
///
/// # Errors
/// As [`bind`].
pub fn check_run(settings: &ImageSettings, confirmed: &Confirmed) -> Result<(), BuildError> {
    let id = settings.lock.run_id.clone();
    let record = RunRecord::new(id, Timestamp::now(), confirmed.run_image());
    Ok(record.check(&settings.project.join(FOLDER_NAME))?)
}

/// Binds the run to the image: a record on disk, and records beside the image.
///
/// # Errors
/// Where the id is bound to another image, or a record can't be written.
pub async fn bind(
    settings: &ImageSettings,
    registry: &Registry,
    confirmed: &Confirmed,
    lock: Option<&(Digest, LockedImage)>,
    reporter: &dyn Reporter,
) -> Result<String, BuildError> {
    let id = settings.lock.run_id.clone();
    let mut record = RunRecord::new(id.clone(), Timestamp::now(), confirmed.run_image());
    record.lock = lock.map(|(checksum, _)| checksum.clone());
    let place = &settings.lock.records;
    let held = place.hold().map_err(|source| RunRecordError::Write {
        path: place.folder(),
        source,
    })?;
    let bound = record.bind_in(&held)?;
    let none = BTreeMap::new();
    let named = BTreeMap::from([(RUN_ID_ANNOTATION.to_owned(), id.to_string())]);
    let run = matches!(bound, Binding::New(_)).then(|| record.to_json());
    let lock = lock.map(|(_, entry)| entry.to_json());
    let run = run.as_deref().map(|run| [(RUN_ARTIFACT_TYPE, run)]);
    let lock = lock.as_deref().map(|lock| [(LOCK_ARTIFACT_TYPE, lock)]);
    let run = run.as_ref().map(|blobs| (blobs, &named));
    let lock = lock.as_ref().map(|blobs| (blobs, &none));
    let documents: Vec<Attachment<'_>> = [run, lock]
        .into_iter()
        .flatten()
        .map(|(blobs, annotations)| Attachment {
            artifact_type: blobs[0].0,
            blobs,
            annotations,
        })
        .collect();
    let attached = registry.attach_all(&confirmed.reference, &confirmed.descriptor, &documents);
    if let Err(error) = attached.await {
        reporter.warning(format!(
            "the run's record is on disk only; the registry did not take it: {error}"
        ));
    }
    Ok(id.to_string())
}
