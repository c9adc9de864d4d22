//! Which digest each base image is built from: the lock's, or what the registry says now.

use std::collections::{BTreeMap, BTreeSet};

use mlbuild_manifests::lock::{LockedBase, LockedImage};
use mlbuild_templates::reference;
use oci_spec::distribution::Reference;

use super::PlanningError;
use crate::builder::Builder;
use crate::pin::ImageUse;
use crate::registry::{Registry, RegistryError, mirror, platform_name};
use crate::reporter::Reporter;
use crate::settings::{LockMode, LockSettings, Upgrade};

/// The base images of one build.
#[derive(Debug, Default)]
pub struct Bases {
    /// Pins, by reference as the Dockerfile has it.
    pub pins: BTreeMap<String, LockedBase>,
    /// Images without a pin: no registry has them, and why.
    pub unpinned: BTreeMap<String, PlanningError>,
    /// What is written in a reference's place, with its digest: copies of images that are gone.
    pub stand_ins: BTreeMap<String, String>,
    /// The stand-ins of each platform: a copy is for one.
    pub copies: BTreeMap<String, BTreeMap<String, String>>,
    /// Pins that moved: reference, old digest, new digest.
    pub moved: Vec<(String, String, String)>,
}

impl Bases {
    /// Says which pins moved.
    pub fn tell_moved(&self, reporter: &dyn Reporter) {
        for (reference, old, new) in &self.moved {
            reporter.note(format!("{reference} moved: {old} -> {new}"));
        }
    }

    /// The digest that a reference is pinned to.
    pub fn digest(&self, reference: &str) -> Option<String> {
        self.pins.get(reference).map(|pin| pin.digest.to_string())
    }

    /// These for one platform, with its stand-ins.
    pub fn of_platform(&self, platform: &str) -> Self {
        Bases {
            pins: self.pins.clone(),
            stand_ins: self.copies.get(platform).cloned().unwrap_or_default(),
            ..Bases::default()
        }
    }

    /// A reference as it is built: pinned, or its stand-in.
    pub fn written(&self, reference: &str) -> Option<String> {
        let pinned = || Some(format!("{reference}@{}", self.digest(reference)?));
        self.stand_ins.get(reference).cloned().or_else(pinned)
    }

    /// Refuses images that are for other platforms than what is built: builders
    /// take an image without an index as it is, and its programs can't run.
    ///
    /// # Errors
    /// The first such image, with the platforms it is for.
    pub fn check_platforms(
        &self,
        uses: &[ImageUse],
        platforms: &[String],
    ) -> Result<(), PlanningError> {
        for used in uses.iter().filter(|used| used.is_base) {
            let Some(pin) = self.pins.get(&used.reference) else {
                continue;
            };
            let has: Vec<&str> = pin.platforms.keys().map(String::as_str).collect();
            let missing = platforms.iter().find(|wanted| {
                !has.iter()
                    .any(|has| os_and_machine(has) == os_and_machine(wanted))
            });
            if let Some(missing) = missing.filter(|_| !has.is_empty()) {
                return Err(PlanningError::BasePlatform {
                    reference: used.reference.clone(),
                    line: used.line,
                    has: has.into_iter().map(str::to_owned).collect(),
                    wanted: missing.clone(),
                });
            }
        }
        Ok(())
    }

    /// # Errors
    /// The registry's word on the first image that isn't pinned.
    pub fn refuse_unpinned(&mut self) -> Result<(), PlanningError> {
        match self.unpinned.pop_first() {
            Some((_, error)) => Err(error),
            None => Ok(()),
        }
    }

    /// Whether a base is in no registry that could be asked.
    pub fn has_unpinned(&self) -> bool {
        !self.unpinned.is_empty()
    }

    /// Lets images pass that only the builder's Docker has: made there, never pushed.
    ///
    /// # Errors
    /// The registry's word on an image that Docker doesn't have either.
    pub async fn accept_local(
        &mut self,
        builder: &Builder,
        reporter: &dyn Reporter,
    ) -> Result<(), PlanningError> {
        for reference in self.unpinned.keys().cloned().collect::<Vec<_>>() {
            let local = match builder.client().docker() {
                Some(_) => builder.docker_image_id(&reference).await?,
                None => None,
            };
            let Some(id) = local else {
                return self.refuse_unpinned();
            };
            reporter.warning(format!(
                "{reference} is in no registry: this build uses Docker's {id}, and the lock can't pin it"
            ));
            self.unpinned.remove(&reference);
        }
        Ok(())
    }

    /// Has copies in the registry `to` used for a platform where originals are gone.
    ///
    /// # Errors
    /// Where the place can't be part of a name.
    pub async fn use_mirror(
        &mut self,
        registry: &Registry,
        to: &str,
        platform: &str,
        reporter: &dyn Reporter,
    ) -> Result<(), PlanningError> {
        for (written, base) in &self.pins {
            let original = reference::parse(written)?;
            let exact = original.clone_with_digest(base.digest.to_string());
            if matches!(registry.head(&exact).await, Ok(Some(_))) {
                continue;
            }
            let Some((copy, digest)) = mirror::name(to, base, platform)? else {
                continue;
            };
            if matches!(registry.exists(&copy, &digest).await, Ok(true)) {
                reporter.note(format!(
                    "{written} is out of reach: its copy {copy} stands in"
                ));
                let copy = format!("{copy}@{digest}");
                let of_platform = self.copies.entry(platform.to_owned()).or_default();
                of_platform.insert(written.clone(), copy);
            }
        }
        Ok(())
    }
}

/// The pins that the lock has; nothing is looked up.
pub fn from_lock(uses: &[ImageUse], locked: Option<&LockedImage>) -> Bases {
    let mut bases = Bases::default();
    for reference in unpinned(uses) {
        if let Some(pin) = locked.and_then(|image| image.base(reference)) {
            bases.pins.insert(reference.to_owned(), pin.clone());
        }
    }
    bases
}

/// Pins each base image.
///
/// # Errors
/// [`crate::error::ErrorKind::Difference`] where `--locked` or `--frozen` would have to pin anew;
/// the registry's errors where an image is refused or isn't there.
pub async fn resolve(
    uses: &[ImageUse],
    locked: Option<&LockedImage>,
    lock: &LockSettings,
    pull: bool,
    registry: &Registry,
) -> Result<Bases, PlanningError> {
    let mut bases = from_lock(uses, locked);
    let upgrade = pull
        || lock
            .upgrade
            .iter()
            .any(|what| matches!(what, Upgrade::All | Upgrade::Base));
    let wanted: Vec<&str> = unpinned(uses)
        .into_iter()
        .filter(|reference| upgrade || !bases.pins.contains_key(*reference))
        .collect();
    if lock.mode > LockMode::Free && !wanted.is_empty() {
        return Err(PlanningError::NoPin {
            has_entry: locked.is_some(),
            mode: lock.mode,
            references: wanted.into_iter().map(str::to_owned).collect(),
        });
    }
    for reference in wanted {
        let parsed = reference::parse(reference).map_err(|source| PlanningError::BaseName {
            reference: reference.to_owned(),
            source,
        })?;
        match look_up(registry, reference, &parsed).await {
            Ok(pin) => {
                let old = bases.pins.insert(reference.to_owned(), pin.clone());
                if let Some(old) = old.filter(|old| old.digest != pin.digest) {
                    bases.moved.push((
                        reference.to_owned(),
                        old.digest.to_string(),
                        pin.digest.to_string(),
                    ));
                }
            }
            Err(error) => {
                let line = uses.iter().find(|used| used.reference == reference);
                let line = line.map_or(0, |used| used.line);
                let source = Box::new(error);
                let error = PlanningError::Unpinned { line, source };
                bases.unpinned.insert(reference.to_owned(), error);
            }
        }
    }
    Ok(bases)
}

async fn look_up(
    registry: &Registry,
    written: &str,
    reference: &Reference,
) -> Result<LockedBase, RegistryError> {
    let resolved = registry.resolve(reference, None).await?;
    Ok(LockedBase {
        reference: written.to_owned(),
        digest: resolved.descriptor.digest().clone(),
        platforms: resolved
            .manifests
            .iter()
            .map(|(platform, manifest)| (platform_name(platform), manifest.digest().clone()))
            .collect(),
    })
}

/// `linux/amd64` of `linux/amd64/v3`.
fn os_and_machine(platform: &str) -> (&str, &str) {
    let mut parts = platform.split('/');
    (parts.next().unwrap_or(""), parts.next().unwrap_or(""))
}

/// References that have no digest of their own.
fn unpinned(uses: &[ImageUse]) -> BTreeSet<&str> {
    uses.iter()
        .map(|used| used.reference.as_str())
        .filter(|reference| !reference.contains('@'))
        .collect()
}
