//! What the lock and the records of runs say of an image.

use std::collections::BTreeMap;
use std::path::Path;

use mlbuild_manifests::document::{RUN_ARTIFACT_TYPE, RUN_ID_ANNOTATION};
use mlbuild_manifests::lock::FILE_NAME;
use mlbuild_manifests::{LockFile, LockedImage, RunRecord};
use mlbuild_templates::reference;
use oci_spec::image::Digest;

use super::remote::Found;
use super::report::{InspectReport, LockFacts, PackageFacts, RunFacts};
use crate::lock::beside::digests_named;
use crate::lock::{Fit, lock_beside_image};
use crate::records::Store;
use crate::registry::Registry;
use crate::reporter::Reporter;

/// Where an attached document comes from.
const REGISTRY: &str = "registry";

/// Adds what the project's own files say: they win over what is attached.
pub(super) fn add(report: &mut InspectReport, project: &Path, reporter: &dyn Reporter) {
    match LockFile::load(&project.join(FILE_NAME)) {
        Ok(lock) => add_lock(report, &lock),
        Err(error) => reporter.warning(error.to_string()),
    }
    let records = match Store::of(project).all() {
        Ok(listing) => listing.records,
        Err(error) => return reporter.warning(error.to_string()),
    };
    let digests = report.digests();
    let of_it = records.iter().filter(|record| {
        let mut named = digests_of(record);
        named.any(|digest| digests.contains(digest.as_ref()))
    });
    let found: Vec<_> = of_it
        .map(|record| (record.id.to_string(), record.status().as_str()))
        .collect();
    for (id, status) in found {
        let run = run(report, id);
        run.is_recorded = true;
        run.status = Some(status);
    }
    report.runs.sort_by(|a, b| a.id.cmp(&b.id));
}

/// Adds what travels with the image in the registry.
pub(super) async fn add_attached(
    report: &mut InspectReport,
    found: &Found,
    registry: &Registry,
    reporter: &dyn Reporter,
) {
    let images = found.opened.images.values();
    let manifests = images.map(|image| image.image.manifest.digest());
    let subjects = [found.top.digest()].into_iter().chain(manifests);
    let mut subjects: Vec<Digest> = subjects.cloned().collect();
    subjects.dedup();
    let exact = found
        .reference
        .clone_with_digest(found.top.digest().to_string());
    for subject in &subjects {
        let attached = registry.referrers(&exact, subject, Some(RUN_ARTIFACT_TYPE));
        let attached = match attached.await {
            Ok(attached) => attached,
            Err(error) => return reporter.warning(error.to_string()),
        };
        for referrer in attached {
            if let Some(id) = referrer.annotations.get(RUN_ID_ANNOTATION) {
                run(report, id.clone()).is_attached = true;
            }
        }
    }
    if report.lock.is_some() {
        return;
    }
    let beside = match lock_beside_image(registry, &exact, &subjects).await {
        Ok(beside) => beside,
        Err(error) => return reporter.warning(error.to_string()),
    };
    if let Some(beside) = beside.filter(|beside| beside.fit == Fit::Named) {
        let mut lock = LockFile::default();
        lock.insert(beside.entry.clone());
        take(report, &lock, &beside.entry, REGISTRY, true);
    }
}

fn add_lock(report: &mut InspectReport, lock: &LockFile) {
    if let Some(entry) = lock.images().find(|entry| is_of(entry, report)) {
        return take(report, lock, entry, FILE_NAME, true);
    }
    // Another image has the name there: worth a word, and no more.
    let Ok(wanted) = reference::parse(&report.image) else {
        return;
    };
    let name = format!("{}/{}", wanted.registry(), wanted.repository());
    let mut named = lock.images().filter(|entry| entry.name == name);
    if let Some(entry) = named.find(|entry| entry.tag.as_deref() == wanted.tag())
        && report.lock.is_none()
    {
        take(report, lock, entry, FILE_NAME, false);
    }
}

fn take(
    report: &mut InspectReport,
    lock: &LockFile,
    entry: &LockedImage,
    from: &'static str,
    is_this_image: bool,
) {
    report.lock = Some(LockFacts {
        from,
        entry: entry.key().to_string(),
        checksum: lock.checksum(&entry.key()),
        created: entry.created.to_string(),
        is_this_image,
        digest: entry.published.as_ref().map(|p| p.digest.clone()),
        template: entry.inputs.template.clone(),
        bases: entry.bases.clone(),
    });
    if !is_this_image {
        return;
    }
    report.derived_from.clone_from(&entry.derived);
    report.packages = entry.packages.as_ref().map(|packages| {
        let apt = packages.apt.iter();
        let python = packages.python.iter();
        PackageFacts {
            from,
            apt: apt
                .map(|p| (format!("{}:{}", p.name, p.arch), p.version.clone()))
                .collect::<BTreeMap<_, _>>(),
            python: python
                .map(|p| (p.name.clone(), p.version.clone()))
                .collect(),
            conda: BTreeMap::new(),
        }
    });
}

/// True if the entry is about this image.
fn is_of(entry: &LockedImage, report: &InspectReport) -> bool {
    let digests = report.digests();
    digests_named(entry).any(|digest| digests.contains(digest.as_ref()))
}

/// The digests that a record names.
fn digests_of(record: &RunRecord) -> impl Iterator<Item = &Digest> {
    let image = &record.image;
    let own = image.index.iter().chain(&image.digest);
    let own = own.chain(&image.image_id);
    own.chain(
        image
            .platforms
            .values()
            .flat_map(|p| [&p.manifest, &p.config]),
    )
}

fn run(report: &mut InspectReport, id: String) -> &mut RunFacts {
    let at = report.runs.iter().position(|run| run.id == id);
    let at = at.unwrap_or_else(|| {
        report.runs.push(RunFacts {
            id,
            status: None,
            is_recorded: false,
            is_attached: false,
        });
        report.runs.len() - 1
    });
    &mut report.runs[at]
}
