//! How the image is built: flags with buildx's names, and `[build]`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use oci_spec::distribution::Reference;

use super::{BuildRequest, SettingsError, each, outputs};
use crate::config::{BuildConfig, Config, Method};
use crate::env_vars;
use crate::plan::spec::Spec;
use crate::plan::{
    Compression, Context, NoCache, Output, Place, RunOptions, SecretSource, SpecError, SshKeys,
    Typed,
};

/// How the image is built.
#[derive(Debug, Clone)]
pub struct BuildSettings {
    /// Address of the builder, as given.
    pub builder: Option<String>,
    /// Certificates for a `tcp://` builder.
    pub tls: EndpointTls,
    /// Whether a private builder may be started; `None`: ask, on a terminal.
    pub start_builder: Option<bool>,
    /// Build arguments.
    pub args: BTreeMap<String, String>,
    /// Stage.
    pub target: Option<String>,
    /// Platforms.
    pub platforms: Vec<String>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Settings of RUN steps.
    pub run: RunOptions,
    /// Entitlements.
    pub entitlements: Vec<String>,
    /// Cache sources.
    pub cache_from: Vec<Typed>,
    /// Cache destinations.
    pub cache_to: Vec<Typed>,
    /// What is built anew.
    pub no_cache: NoCache,
    /// Look for newer base images.
    pub pull: bool,
    /// Secrets by id.
    pub secrets: BTreeMap<String, SecretSource>,
    /// ssh by id.
    pub ssh: BTreeMap<String, SshKeys>,
    /// Further contexts.
    pub contexts: BTreeMap<String, Context>,
    /// Attestations.
    pub attestations: BTreeMap<String, Option<String>>,
    /// Registries, with or without a path, that all images come from; `None`: anywhere.
    pub base_registries: Option<Vec<String>>,
    /// Source policy.
    pub source_policy: Option<serde_json::Value>,
    /// Seconds since 1970-01-01.
    pub source_date_epoch: Option<i64>,
    /// How mlbuild writes the final bytes, where it does.
    pub repack: Option<Compression>,
    /// What makes the image; `None`: nothing says it.
    pub method: Option<Method>,
    /// Push to the registry.
    pub push: bool,
    /// Load into Docker.
    pub load: bool,
    /// Exporter attributes of the image, where `--output` names an image.
    pub image: Option<BTreeMap<String, String>>,
    /// Outputs into files.
    pub outputs: Vec<Output>,
    /// Pass the host's network settings to RUN steps.
    pub host_network_settings: bool,
    /// apt source list for RUN steps.
    pub apt_sources: Option<PathBuf>,
    /// apt source list with `{time}` for the time, of archives that keep every state.
    pub apt_snapshots: Option<PathBuf>,
}

/// Certificates for a `tcp://` builder.
#[derive(Debug, Clone, Default)]
pub struct EndpointTls {
    /// CA certificate.
    pub ca: Option<PathBuf>,
    /// Client certificate.
    pub cert: Option<PathBuf>,
    /// Client key.
    pub key: Option<PathBuf>,
    /// Name in the builder's certificate.
    pub server_name: Option<String>,
}

/// What a flag or a key of `[build]` gives, by name.
type Pairs = BTreeMap<String, String>;

pub(super) fn resolve(
    request: &BuildRequest,
    config: &Config,
    tags: &[Reference],
    named: bool,
) -> Result<BuildSettings, SettingsError> {
    let file = &config.build;
    let outputs = outputs::resolve(request, tags)?;
    if outputs.push && !named {
        let name = tags[0].repository().rsplit('/').next().unwrap_or("NAME");
        let name = name.to_owned();
        return Err(SettingsError::PushWithoutName { name });
    }
    let args = build_args(request, file)?;
    let policy = request.source_policy_file.as_deref();
    Ok(BuildSettings {
        builder: request.builder.clone().or_else(|| file.builder.clone()),
        tls: request.tls.clone(),
        start_builder: request.start_builder,
        source_date_epoch: source_date_epoch(&args)?,
        args,
        target: request.target.clone().or_else(|| file.target.clone()),
        platforms: platforms(request, file)?,
        labels: pairs("labels", &request.labels)?,
        annotations: pairs("annotations", &request.annotations)?,
        run: run_options(request, file)?,
        entitlements: entitlements(&request.allow)?,
        cache_from: each(
            Place::Request("cache_from"),
            file.cache_from.iter().chain(&request.cache_from),
            |spec| spec.cache(),
        )?,
        cache_to: each(
            Place::Request("cache_to"),
            file.cache_to.iter().chain(&request.cache_to),
            |spec| spec.cache(),
        )?,
        no_cache: no_cache(request),
        pull: request.pull,
        secrets: each(
            Place::Request("secrets"),
            file.secrets.iter().chain(&request.secrets),
            |spec| spec.secret(),
        )?
        .into_iter()
        .collect(),
        ssh: each(Place::Request("ssh"), &request.ssh, |spec| spec.ssh())?
            .into_iter()
            .collect(),
        contexts: contexts(request, file)?,
        attestations: attestations(request)?,
        base_registries: request.base_registries.clone(),
        source_policy: policy.map(source_policy).transpose()?,
        repack: repack(request.repack.as_deref(), file.repack.as_deref())?,
        method: request.method.or(config.image.method),
        push: outputs.push,
        load: request.load,
        image: outputs.image,
        outputs: outputs.others,
        host_network_settings: !request.no_host_network_settings
            && file.host_network_settings.unwrap_or(true),
        apt_sources: file.apt_sources.as_ref().map(PathBuf::from),
        apt_snapshots: file.apt_snapshots.as_ref().map(PathBuf::from),
    })
}

/// The file's, then the request's; one without a value has that of the environment, or is left out.
fn build_args(request: &BuildRequest, file: &BuildConfig) -> Result<Pairs, SpecError> {
    let mut args = file.args.clone();
    for arg in &request.build_args {
        args.extend(Spec::new(Place::Request("build_args"), arg).pair_or_env()?);
    }
    Ok(args)
}

/// As a build argument, else as the environment has it.
fn source_date_epoch(args: &Pairs) -> Result<Option<i64>, SettingsError> {
    let given = args.get(env_vars::SOURCE_DATE_EPOCH).cloned();
    let given = given.or_else(|| std::env::var(env_vars::SOURCE_DATE_EPOCH).ok());
    let given = given.filter(|value| !value.is_empty());
    given.map(|text| epoch_seconds(&text)).transpose()
}

fn pairs(field: &'static str, given: &[String]) -> Result<Pairs, SpecError> {
    let pair = |text: &String| Spec::new(Place::Request(field), text).pair();
    given.iter().map(pair).collect()
}

fn platforms(request: &BuildRequest, file: &BuildConfig) -> Result<Vec<String>, SpecError> {
    let (place, given) = if request.platforms.is_empty() {
        (Place::File("[build] platforms"), &file.platforms)
    } else {
        (Place::Request("platforms"), &request.platforms)
    };
    let mut all: Vec<String> = Vec::new();
    for text in given {
        let spec = Spec::new(place, text);
        let platform = spec.platform()?;
        if all.contains(&platform) {
            return Err(spec.error("this platform is there twice"));
        }
        all.push(platform);
    }
    Ok(all)
}

fn run_options(request: &BuildRequest, file: &BuildConfig) -> Result<RunOptions, SpecError> {
    let network = match (&request.network, &file.network) {
        (Some(mode), _) => Spec::new(Place::Request("network"), mode),
        (None, Some(mode)) => Spec::new(Place::File("[build] network"), mode),
        (None, None) => Spec::new(Place::Request("network"), "default"),
    };
    let network = network.network()?;
    let size = request.shm_size.as_deref();
    let size = size.map(|size| Spec::new(Place::Request("shm_size"), size).size());
    Ok(RunOptions {
        network,
        add_hosts: each(Place::Request("add_hosts"), &request.add_hosts, |spec| {
            spec.add_host()
        })?,
        shm_size: size.transpose()?,
        ulimits: each(Place::Request("ulimits"), &request.ulimits, |spec| {
            spec.ulimit()
        })?,
    })
}

fn no_cache(request: &BuildRequest) -> NoCache {
    if request.no_cache {
        NoCache::All
    } else if request.no_cache_filter.is_empty() {
        NoCache::Off
    } else {
        NoCache::Stages(request.no_cache_filter.clone())
    }
}

/// The file's, then the request's; of one name the last counts.
fn contexts(
    request: &BuildRequest,
    file: &BuildConfig,
) -> Result<BTreeMap<String, Context>, SpecError> {
    let mut contexts = BTreeMap::new();
    for (name, place) in &file.contexts {
        let spec = Spec::new(Place::File("[build.contexts]"), place);
        contexts.insert(name.clone(), spec.context()?);
    }
    let here = Place::Request("build_contexts");
    for pair in &request.build_contexts {
        let (name, place) = Spec::new(here, pair).pair()?;
        contexts.insert(name, Spec::new(here, &place).context()?);
    }
    Ok(contexts)
}

fn entitlements(allowed: &[String]) -> Result<Vec<String>, SettingsError> {
    const KNOWN: &[&str] = &["network.host", "security.insecure", "device"];
    let is_known = |entitlement: &String| {
        let name = entitlement.split('=').next().unwrap_or_default();
        KNOWN.contains(&name)
    };
    match allowed.iter().find(|allowed| !is_known(allowed)) {
        Some(unknown) => Err(SettingsError::Entitlement {
            entitlement: unknown.clone(),
            known: KNOWN,
        }),
        None => Ok(allowed.to_vec()),
    }
}

fn attestations(request: &BuildRequest) -> Result<BTreeMap<String, Option<String>>, SpecError> {
    let given = each(Place::Request("attests"), &request.attests, |spec| {
        spec.attestation()
    })?;
    let mut all: BTreeMap<_, _> = given.into_iter().collect();
    for (name, value) in [("provenance", &request.provenance), ("sbom", &request.sbom)] {
        if let Some(value) = value {
            let switch = Spec::new(Place::Request(name), value).attestation_switch()?;
            all.insert(name.to_owned(), switch);
        }
    }
    Ok(all)
}

/// The request's, else the file's setting; `false` in either switches it off.
fn repack(request: Option<&str>, file: Option<&str>) -> Result<Option<Compression>, SettingsError> {
    let (place, text) = match (request, file) {
        (Some(text), _) => (Place::Request("repack"), text),
        (None, Some(text)) => (Place::File("[build] repack"), text),
        (None, None) => return Ok(None),
    };
    if text == "false" {
        return Ok(None);
    }
    let parsed = text.parse().map(Some);
    parsed.map_err(|why: String| SettingsError::Compression {
        place,
        compression: text.to_owned(),
        why,
    })
}

fn source_policy(path: &Path) -> Result<serde_json::Value, SettingsError> {
    let text = std::fs::read(path).map_err(|source| SettingsError::PolicyUnreadable {
        path: path.to_owned(),
        source,
    })?;
    serde_json::from_slice(&text).map_err(|source| SettingsError::PolicyInvalid {
        path: path.to_owned(),
        source,
    })
}

/// Seconds since 1970-01-01, not in the future: a time to come holds nothing still.
///
/// # Errors
/// Where the text says no such time.
pub fn epoch_seconds(text: &str) -> Result<i64, SettingsError> {
    let seconds = text.parse().ok().filter(|seconds| *seconds >= 0);
    let text = text.to_owned();
    match seconds {
        None => Err(SettingsError::Epoch { text }),
        Some(seconds) if seconds > jiff::Timestamp::now().as_second() => {
            Err(SettingsError::EpochToCome { text })
        }
        Some(seconds) => Ok(seconds),
    }
}
