//! Settings, Dockerfile and pins → the plan.

use std::collections::{BTreeMap, BTreeSet};

use mlbuild_templates::PackageRequest;
use mlbuild_templates::project::manifests::Asked;
use sha2::{Digest as _, Sha256};

use super::bases::Bases;
use super::compose::Composed;
use super::{PlanningError, ignore, layouts, repack};
use crate::env_vars;
use crate::pin::{self, ExpandError, ImageUse, PinContext};
use crate::plan::{AskedFor, AskedPackage, BuildPlan, Context, NoCache, Output, PlannedDockerfile};
use crate::settings::{ImageSettings, Source, Upgrade};

/// Build arguments: the template's, then the user's.
pub fn build_args(settings: &ImageSettings, composed: &Composed) -> BTreeMap<String, String> {
    let mut args = composed.args.clone();
    args.extend(settings.build.args.clone());
    args
}

/// The images that the Dockerfile names.
///
/// # Errors
/// Where an ARG in a `FROM` has no value.
pub fn images(settings: &ImageSettings, composed: &Composed) -> Result<Vec<ImageUse>, ExpandError> {
    let args = build_args(settings, composed);
    let platform = match settings.build.platforms.as_slice() {
        [] => Some(NATIVE),
        [one] => Some(one.as_str()),
        _ => None,
    };
    let context = PinContext {
        build_args: args
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
            .collect(),
        named_contexts: settings
            .build
            .contexts
            .keys()
            .chain(composed.contexts.keys())
            .map(String::as_str)
            .collect::<BTreeSet<_>>(),
        platform,
        target: settings.build.target.as_deref(),
    };
    if composed.text.is_empty() {
        // The builder fetches it with the context.
        return Ok(Vec::new());
    }
    pin::images(&composed.text, &context)
}

/// The platform of this machine, as builders name it.
#[cfg(target_arch = "x86_64")]
pub const NATIVE: &str = "linux/amd64";
/// The platform of this machine, as builders name it.
#[cfg(target_arch = "aarch64")]
pub const NATIVE: &str = "linux/arm64";

/// The plan.
///
/// # Errors
/// Where the context's ignore file can't be read.
pub fn plan(
    settings: &ImageSettings,
    composed: &Composed,
    uses: &[ImageUse],
    bases: &Bases,
) -> Result<BuildPlan, PlanningError> {
    let build = &settings.build;
    let ignore = match &settings.context {
        Context::Folder { path } => Some(ignore::effective(
            path,
            composed.path.as_deref(),
            &needed(settings, composed),
        )?),
        _ => None,
    };
    let mut secrets = composed.secrets.clone();
    secrets.extend(build.secrets.clone());
    let mut named_contexts = layouts::resolve(&build.contexts)?;
    named_contexts.extend(composed.contexts.clone());
    let repack = repack::repack(settings)?;
    let mut args = build_args(settings, composed);
    if let Some(repack) = &repack {
        // For what RUN steps write: dates in files can't be held back afterwards.
        let name = env_vars::SOURCE_DATE_EPOCH.to_owned();
        args.entry(name).or_insert_with(|| repack.epoch.to_string());
    }
    let names = uses.iter().map(|used| used.reference.clone());
    Ok(BuildPlan {
        tags: settings.tags.iter().map(ToString::to_string).collect(),
        dockerfile: PlannedDockerfile {
            name: composed.name.clone(),
            file_name: composed.file_name.clone(),
            text: pin::pin(&composed.text, uses, |reference| bases.written(reference)),
            ignore,
            sha256: hex::encode(Sha256::digest(composed.text.as_bytes())),
        },
        context: settings.context.clone(),
        named_contexts,
        bases: names
            .map(|name| (name.clone(), bases.digest(&name)))
            .collect(),
        platforms: build.platforms.clone(),
        target: build.target.clone(),
        build_args: args,
        labels: build.labels.clone(),
        annotations: build.annotations.clone(),
        run: build.run.clone(),
        entitlements: build.entitlements.clone(),
        cache_from: build.cache_from.clone(),
        cache_to: build.cache_to.clone(),
        no_cache: no_cache(settings),
        secrets,
        ssh: build.ssh.clone(),
        attestations: build.attestations.clone(),
        outputs: outputs(settings),
        // As an argument it reaches RUN steps on every builder, and that is all it is needed for.
        source_date_epoch: build.source_date_epoch.filter(|_| repack.is_none()),
        same_bits: false,
        repack,
        source_policy: build.source_policy.clone(),
        asked: asked(settings, composed.request.as_ref()),
    })
}

/// Which packages a composed image asks for, and where.
pub fn asked(settings: &ImageSettings, request: Option<&PackageRequest>) -> AskedFor {
    let packages = |asked: &[Asked]| {
        let package = |asked: &Asked| AskedPackage {
            name: asked.text.clone(),
            origin: asked.origin.clone(),
        };
        asked.iter().map(package).collect()
    };
    AskedFor {
        project: settings.project.clone(),
        python: request.map_or(Vec::new(), |request| packages(&request.asked)),
        apt: request.map_or(Vec::new(), |request| packages(&request.asked_apt)),
    }
}

/// Files and folders of the context that a composed image needs, however large they are.
fn needed(settings: &ImageSettings, composed: &Composed) -> Vec<String> {
    let files = composed.request.iter().flat_map(|request| &request.files);
    let mut needed: Vec<String> = files.cloned().collect();
    if let Source::Composed { spec, .. } = &settings.source
        && let Some(serving) = &spec.serving
    {
        needed.push(serving.model.to_string());
    }
    needed
}

/// Packages only move when the steps that install them run again.
fn no_cache(settings: &ImageSettings) -> NoCache {
    let moves = |what: &Upgrade| matches!(what, Upgrade::All | Upgrade::Apt | Upgrade::Python);
    if settings.lock.upgrade.iter().any(moves) {
        NoCache::All
    } else {
        settings.build.no_cache.clone()
    }
}

/// `--push`, `--load` and `--output` as exporters. With none of them the image
/// goes into the builder's own store, which is Docker's where Docker builds.
fn outputs(settings: &ImageSettings) -> Vec<Output> {
    let build = &settings.build;
    let mut outputs = build.outputs.clone();
    let mut attrs = build.image.clone().unwrap_or_default();
    for (name, value) in &build.annotations {
        attrs.insert(format!("annotation.{name}"), value.clone());
    }
    if build.push {
        attrs.insert("push".to_owned(), "true".to_owned());
    }
    let asked = build.push || build.image.is_some();
    if asked || (build.outputs.is_empty() && !build.load) {
        outputs.push(Output {
            kind: "image".into(),
            attrs,
            dest: None,
        });
    }
    if build.load {
        outputs.push(Output {
            kind: "docker".into(),
            attrs: BTreeMap::new(),
            dest: None,
        });
    }
    outputs
}
