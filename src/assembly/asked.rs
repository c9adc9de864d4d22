//! What is asked for that only a builder does, and what makes an image where nothing says it.

use mlbuild_manifests::lock::LockedBuild;
use mlbuild_templates::PackageRequest;
use mlbuild_templates::compose::INPUTS_CONTEXT;
use mlbuild_templates::dockerfile::Instruction;
use mlbuild_templates::spec::PythonEnvironment;
use mlbuild_wheels::Compression as LayerCompression;

use crate::env_vars;
use crate::plan::{BuildPlan, Compression, Context, NoCache, Output, RunOptions};
use crate::planning::compose::Composed;
use crate::resolve;
use crate::settings::{ImageSettings, Method, Source};

/// What makes an image, as far as that is known before its packages are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Chosen {
    /// What makes it.
    pub method: Method,
    /// Why a builder does, where nobody asked for one by this method.
    pub reason: Option<String>,
}

/// What makes an image: what the settings say, else what made that of the lock, else mlbuild itself unless
/// something is asked for that only a builder does. `plan` gives the build of the open form, `pinned` is
/// what the lock pins.
///
/// # Errors
/// Those of `plan`.
pub fn choose<E>(
    settings: &ImageSettings,
    composed: &Composed,
    plan: impl FnOnce() -> Result<BuildPlan, E>,
    pinned: Option<&LockedBuild>,
) -> Result<Chosen, E> {
    let (method, reason) = match (settings.build.method, pinned) {
        (Some(asked), _) => (asked, None),
        (None, Some(build)) if build.is_assembled() => (Method::Auto, None),
        (None, Some(_)) => (Method::Buildkit, None),
        (None, None) if !is_composed(composed) => (Method::Buildkit, None),
        (None, None) if settings.build.builder.is_some() => (Method::Buildkit, None),
        (None, None) => match check(settings, composed, &plan()?, Method::Auto) {
            Ok(()) => (Method::Auto, None),
            Err(reason) => (Method::Buildkit, Some(reason)),
        },
    };
    Ok(Chosen { method, reason })
}

/// Whether the Dockerfile is a built-in template's.
fn is_composed(composed: &Composed) -> bool {
    composed.template.is_some() && composed.path.is_none()
}

/// That no step has to be run, as far as that is known before packages are looked for. Where a builder
/// may make the image instead, nothing is begun that it would have to do again: looking for packages in the
/// base, or into a base for Debian packages.
///
/// # Errors
/// The reason, for people.
pub fn check(
    settings: &ImageSettings,
    composed: &Composed,
    plan: &BuildPlan,
    method: Method,
) -> Result<(), String> {
    if !is_composed(composed) {
        return Err("its Dockerfile or template is your own".to_owned());
    }
    let nothing = PackageRequest::default();
    let request = composed.request.as_ref().unwrap_or(&nothing);
    if method == Method::Auto
        && let Some(first) = request.apt.first()
    {
        return Err(format!(
            "the Debian package {first} may have to be installed"
        ));
    }
    if request.environment != Some(PythonEnvironment::Venv) {
        return Err("it has no environment of its own for packages".to_owned());
    }
    check_spec(settings)?;
    if method == Method::Auto {
        resolve::check_request(request)?;
    }
    if let Some(other) = settings.build.repack
        && pinned_layers(other).is_none()
    {
        return Err(only_packed_as(other));
    }
    check_settings(settings, composed)?;
    check_plan(plan)
}

/// Why layers of wheels aren't written with a compression.
pub(super) fn only_packed_as(other: Compression) -> String {
    format!(
        "its layers are to be packed with {other}, and those of wheels are zstd:3, gzip:6, estargz or \
         zstd:chunked"
    )
}

/// How layers of wheels are packed with a compression: they have one form for each.
pub(super) fn pinned_layers(asked: Compression) -> Option<LayerCompression> {
    match asked {
        Compression::Zstd(3) => Some(LayerCompression::Zstd),
        Compression::Gzip(6) => Some(LayerCompression::Gzip),
        Compression::Estargz => Some(LayerCompression::Estargz),
        Compression::ZstdChunked => Some(LayerCompression::ZstdChunked),
        Compression::Zstd(_) | Compression::Gzip(_) | Compression::None => None,
    }
}

/// Steps of a composed image that are run.
pub(super) fn check_spec(settings: &ImageSettings) -> Result<(), String> {
    let Source::Composed { spec, .. } = &settings.source else {
        return Ok(());
    };
    if spec.user.as_ref().is_some_and(|user| user.sudo) {
        return Err("sudo for its user is set up by a step that is run".to_owned());
    }
    match spec.run.is_empty() {
        true => Ok(()),
        false => Err("a command of yours has to be run".to_owned()),
    }
}

/// Settings that only steps, or a builder's exporter, would see.
pub(super) fn check_settings(settings: &ImageSettings, composed: &Composed) -> Result<(), String> {
    let build = &settings.build;
    let found = if !build.secrets.is_empty() {
        "its steps are given secrets"
    } else if !build.ssh.is_empty() {
        "its steps are given ssh keys"
    } else if build.run != RunOptions::default() {
        "its steps have settings of their own (network, hosts, memory, limits)"
    } else if !build.entitlements.is_empty() {
        "its steps are allowed more than usual"
    } else if !build.cache_from.is_empty() {
        "its steps may come from a cache"
    } else if matches!(build.no_cache, NoCache::Stages(_)) {
        "stages of it are to be built anew"
    } else if build.image.as_ref().is_some_and(|attrs| !attrs.is_empty()) {
        "its output has attributes of a builder's exporter"
    } else {
        return check_arguments(settings, composed);
    };
    Err(found.to_owned())
}

/// Arguments that no ARG takes are a builder's own, or its steps'.
fn check_arguments(settings: &ImageSettings, composed: &Composed) -> Result<(), String> {
    let instructions = composed.typed.iter().flat_map(|typed| &typed.instructions);
    let declared: Vec<&str> = instructions
        .filter_map(|instruction| match instruction {
            Instruction::Arg { name, .. } => Some(name.as_str()),
            _ => None,
        })
        .chain([env_vars::SOURCE_DATE_EPOCH])
        .collect();
    let mut given = settings.build.args.keys();
    match given.find(|name| !declared.contains(&name.as_str())) {
        Some(name) => Err(format!("the build argument {name} is for its steps")),
        None => Ok(()),
    }
}

/// What only a builder does.
pub(super) fn check_plan(plan: &BuildPlan) -> Result<(), String> {
    let others = plan
        .named_contexts
        .keys()
        .any(|name| name != INPUTS_CONTEXT);
    let kinds = |out: &Output| match out.kind.as_str() {
        "image" => true,
        "sif" => out.attrs.is_empty(),
        "oci" => out.attrs.keys().all(|name| name == "tar"),
        kind => kind == "docker" && out.dest.is_none() && out.attrs.is_empty(),
    };
    let attested = plan.attestations.values().any(Option::is_some);
    let foreign = plan.outputs.iter().find(|out| !kinds(out));
    let found = match &plan.context {
        Context::Folder { .. } | Context::Empty => None,
        _ => Some("its context isn't a folder of this machine".to_owned()),
    };
    let found = found
        .or_else(|| others.then(|| "it has further build contexts".to_owned()))
        .or_else(|| attested.then(|| "it is to have a builder's attestations".to_owned()))
        .or_else(|| {
            plan.target
                .as_ref()
                .map(|name| format!("it ends at the stage {name}"))
        })
        .or_else(|| {
            foreign.map(|out| {
                let mut text = format!("type={}", out.kind);
                for name in out.attrs.keys().filter(|name| *name != "tar") {
                    text = format!("{text},{name}=…");
                }
                format!("only a builder writes {text}")
            })
        })
        .or_else(|| {
            let policy = plan.source_policy.as_ref();
            policy.map(|_| "it is to follow a builder's source policy".to_owned())
        })
        .or_else(|| {
            let exports = !plan.cache_to.is_empty();
            exports.then(|| "a cache of build steps is to be exported".to_owned())
        });
    found.map_or(Ok(()), Err)
}
