//! Images that were kept for runs which nobody has a record of any more are removed from their registry.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use futures::{StreamExt as _, TryStreamExt as _};
use mlbuild_manifests::LockFile;
use mlbuild_manifests::document::{LOCK_ARTIFACT_TYPE, RUN_ARTIFACT_TYPE, RUN_ID_ANNOTATION};
use oci_spec::distribution::Reference;
use oci_spec::image::Digest;
use serde::Serialize;

use super::RunsError;
use super::needed::{self, Needed};
use crate::records::Store;
use crate::registry::{Referrer, Registry, RegistryError};
use crate::reporter::Reporter;

/// Questions to a registry at once.
const AT_ONCE: usize = 8;

/// Where garbage is looked for.
#[derive(Debug, Clone, Default)]
pub struct GcRequest {
    /// Repositories (`HOST/NAME`); none: those of the lock and of the records.
    pub repositories: Vec<String>,
}

/// What can go, and what of the kept images can't.
#[derive(Debug, Clone, Default, Serialize)]
pub struct GcPlan {
    /// Images that nothing needs.
    pub garbage: Vec<Garbage>,
    /// Tags of runs that stay.
    pub kept: Vec<Kept>,
}

/// An image that nothing needs.
#[derive(Debug, Clone, Serialize)]
pub struct Garbage {
    /// `HOST/NAME@sha256:…`
    pub image: String,
    /// Its tags, all of runs without a record.
    pub tags: Vec<String>,
    /// Digests of the records and locks that are attached to it.
    pub attached: Vec<String>,
    /// Digests of its platforms' manifests that no other image of the repository has.
    pub platforms: Vec<String>,
}

/// A tag that stays.
#[derive(Debug, Clone, Serialize)]
pub struct Kept {
    /// `HOST/NAME:run-ID`
    pub image: String,
    /// What needs it.
    pub why: String,
}

/// Looks for images with a run's tag (`run-ID`) that no lock, run, attestation or other tag needs.
///
/// A run counts as long as the project's folder, or any branch or tag of its repository that this clone
/// knows, has its record; a digest, as long as a record or a lock there names it.
///
/// # Errors
/// Where the project's files or branches can't be read, or a registry can't be asked.
pub async fn gc_plan(
    project: &Path,
    images: &[Reference],
    request: &GcRequest,
    registry: &Registry,
) -> Result<GcPlan, RunsError> {
    let needed = Needed::of(project)?;
    let mut plan = GcPlan::default();
    for repository in repositories(images, request)? {
        let tagged = Tagged::of(registry, &repository).await?;
        tagged.sort(registry, &needed, &mut plan).await?;
    }
    // By name, not by digest: runs are found where a reader looks for them.
    plan.kept.sort_by(|a, b| a.image.cmp(&b.image));
    plan.garbage
        .sort_by(|a, b| (&a.tags, &a.image).cmp(&(&b.tags, &b.image)));
    Ok(plan)
}

/// Removes garbage: what is attached first, so that nothing is left that no tag leads to.
///
/// # Errors
/// Where the registry doesn't remove it. What was removed by then is gone.
pub async fn remove_garbage(garbage: &Garbage, registry: &Registry) -> Result<(), RunsError> {
    let image = RegistryError::reference(&garbage.image)?;
    let top = image.digest().unwrap_or_default().to_owned();
    let (attached, platforms) = (garbage.attached.iter(), garbage.platforms.iter());
    for digest in attached.chain([&top]).chain(platforms) {
        registry
            .delete(&image.clone_with_digest(digest.clone()))
            .await?;
    }
    Ok(())
}

/// Those of the images that a registry doesn't have whole: manifests, configurations
/// and layers are asked for.
///
/// # Errors
/// Where a registry can't be asked.
pub async fn lost(
    images: &[Reference],
    registry: &Registry,
) -> Result<BTreeSet<String>, RunsError> {
    let mut lost = BTreeSet::new();
    for image in images {
        let is_whole = match registry.images(image, None).await {
            Ok(platforms) => {
                let layers = platforms
                    .iter()
                    .flat_map(|one| one.layers.iter().map(|layer| layer.blob.clone()));
                let layers: Vec<_> = layers.collect();
                registry.missing_blobs(image, &layers).await?.is_empty()
            }
            Err(RegistryError::NotFound { .. }) => false,
            Err(error) => return Err(error.into()),
        };
        if !is_whole {
            lost.insert(image.to_string());
        }
    }
    Ok(lost)
}

/// The images, by digest, that the project's lock and records name and a registry had.
///
/// # Errors
/// Where the lock or the records can't be read. A record that can't be is named in a warning.
pub fn named_images(project: &Path, reporter: &dyn Reporter) -> Result<Vec<Reference>, RunsError> {
    let listing = Store::of(project).all()?;
    for error in &listing.unreadable {
        reporter.warning(error.to_string());
    }
    let mut images = BTreeMap::new();
    for record in &listing.records {
        let image = needed::published(record)?;
        images.extend(image.map(|image| (image.to_string(), image)));
    }
    let lock = LockFile::load(&project.join(needed::LOCK))?;
    for published in lock.images().filter_map(|image| image.published.as_ref()) {
        let image = RegistryError::reference(&published.reference)?;
        let image = image.clone_with_digest(published.digest.to_string());
        images.insert(image.to_string(), image);
    }
    Ok(images.into_values().collect())
}

fn repositories(images: &[Reference], request: &GcRequest) -> Result<Vec<Reference>, RunsError> {
    let named = request.repositories.iter();
    let mut found: Vec<Reference> = named
        .map(|name| RegistryError::reference(name))
        .collect::<Result<_, _>>()?;
    if found.is_empty() {
        found.extend_from_slice(images);
    }
    let key = |image: &Reference| (image.registry().to_owned(), image.repository().to_owned());
    found.sort_by_key(key);
    found.dedup_by_key(|image| key(image));
    Ok(found)
}

/// The tags of a repository, by what they name.
struct Tagged {
    repository: Reference,
    /// Digest, and its tags.
    tags: BTreeMap<String, Vec<String>>,
}

impl Tagged {
    async fn of(registry: &Registry, repository: &Reference) -> Result<Self, RunsError> {
        let tags = registry.tags(repository).await?;
        let heads = tags.into_iter().map(|tag| async move {
            let tagged = Reference::with_tag(
                repository.registry().to_owned(),
                repository.repository().to_owned(),
                tag.clone(),
            );
            let found = registry.head(&tagged).await?;
            Ok::<_, RegistryError>(found.map(|found| (found.digest().to_string(), tag)))
        });
        let heads = futures::stream::iter(heads.collect::<Vec<_>>());
        let found: Vec<_> = heads.buffered(AT_ONCE).try_collect().await?;
        let mut by_digest: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (digest, tag) in found.into_iter().flatten() {
            by_digest.entry(digest).or_default().push(tag);
        }
        Ok(Self {
            repository: repository.clone(),
            tags: by_digest,
        })
    }

    /// Adds what can go and what stays to the plan.
    async fn sort(
        &self,
        registry: &Registry,
        needed: &Needed,
        plan: &mut GcPlan,
    ) -> Result<(), RunsError> {
        let is_of_run = |tag: &String| needed::run_of(tag).is_some();
        let mut garbage = Vec::new();
        // What other images of the repository are made of.
        let mut in_use: BTreeSet<String> = BTreeSet::new();
        for (digest, tags) in &self.tags {
            if tags.iter().all(|tag| self.is_of_attached(tag)) {
                continue;
            }
            let image = self.repository.clone_with_digest(digest.clone());
            let platforms = registry.members(&image).await?;
            let platforms: Vec<String> = platforms.iter().map(Digest::to_string).collect();
            let why = if tags.iter().any(is_of_run) {
                self.why(registry, &image, &platforms, tags, needed).await?
            } else {
                Some(String::new())
            };
            match why {
                None => garbage.push((image, tags, platforms)),
                Some(why) => {
                    in_use.extend(platforms);
                    let of_runs = tags.iter().filter(|tag| is_of_run(tag));
                    plan.kept.extend(of_runs.map(|tag| Kept {
                        image: format!("{}:{tag}", self.name()),
                        why: why.clone(),
                    }));
                }
            }
        }
        for (image, tags, mut platforms) in garbage {
            // What is attached to a platform that stays is that of the image which it stays for.
            platforms.retain(|one| {
                !in_use.contains(one)
                    && !self.tags.contains_key(one)
                    && !needed.digests.contains(one)
            });
            let attached = self.attached(registry, &image, &platforms).await?;
            plan.garbage.push(Garbage {
                image: image.to_string(),
                tags: tags.clone(),
                attached,
                platforms,
            });
        }
        Ok(())
    }

    fn name(&self) -> String {
        format!(
            "{}/{}",
            self.repository.registry(),
            self.repository.repository()
        )
    }

    /// Whether a tag is that of documents which are attached to an image.
    fn is_of_attached(&self, tag: &str) -> bool {
        let digest = tag.replacen('-', ":", 1);
        digest.starts_with("sha256:") && digest.parse::<Digest>().is_ok()
    }

    /// Why an image with a run's tag stays; `None`: nothing needs it.
    async fn why(
        &self,
        registry: &Registry,
        image: &Reference,
        platforms: &[String],
        tags: &[String],
        needed: &Needed,
    ) -> Result<Option<String>, RunsError> {
        if let Some(other) = tags.iter().find(|tag| needed::run_of(tag).is_none()) {
            return Ok(Some(format!("the tag {other} names it too")));
        }
        let runs: Vec<&str> = tags.iter().filter_map(|tag| needed::run_of(tag)).collect();
        if let Some(run) = runs.iter().find(|run| needed.runs.contains(**run)) {
            return Ok(Some(format!("run {run} has a record")));
        }
        let own = image.digest().map(str::to_owned);
        let mut digests = own.iter().chain(platforms);
        if let Some(digest) = digests.find(|digest| needed.digests.contains(*digest)) {
            return Ok(Some(format!("a lock or a record names {digest}")));
        }
        for subject in own.iter().chain(platforms) {
            for referrer in referrers(registry, image, subject).await? {
                let run = referrer.annotations.get(RUN_ID_ANNOTATION);
                match referrer.artifact_type.as_str() {
                    LOCK_ARTIFACT_TYPE => {}
                    RUN_ARTIFACT_TYPE if run.is_some_and(|run| runs.contains(&run.as_str())) => {}
                    RUN_ARTIFACT_TYPE => {
                        let run = run.map_or("another", String::as_str);
                        return Ok(Some(format!("the record of run {run} is attached to it")));
                    }
                    other => return Ok(Some(format!("{other} is attached to it"))),
                }
            }
        }
        Ok(None)
    }

    /// Digests of all that is attached to an image and its platforms, with the lists that registries
    /// without one of their own keep.
    async fn attached(
        &self,
        registry: &Registry,
        image: &Reference,
        platforms: &[String],
    ) -> Result<Vec<String>, RunsError> {
        let mut attached = Vec::new();
        let own = image.digest().map(str::to_owned);
        for subject in own.iter().chain(platforms) {
            let found = referrers(registry, image, subject).await?;
            attached.extend(found.iter().map(|one| one.descriptor.digest().to_string()));
            let tag = subject.replacen(':', "-", 1);
            let lists = self.tags.iter().filter(|(_, tags)| **tags == [tag.clone()]);
            attached.extend(lists.map(|(digest, _)| digest.clone()));
        }
        Ok(attached)
    }
}

async fn referrers(
    registry: &Registry,
    image: &Reference,
    subject: &str,
) -> Result<Vec<Referrer>, RunsError> {
    let subject: Digest = subject.parse().expect("it was read as one");
    Ok(registry.referrers(image, &subject, None).await?)
}
