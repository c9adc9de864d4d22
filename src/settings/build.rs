//! How the image is built: flags with buildx's names, and `[build]`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::distribution::Reference;

use super::{BuildRequest, each, outputs};
use crate::config::Config;
use crate::env_vars;
use crate::error::{CommandError, CommandResult};
use crate::plan::spec::Spec;
use crate::plan::{
    Compression, Context, NoCache, Output, RunOptions, SecretSource, SshKeys, Typed,
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
    /// Source policy.
    pub source_policy: Option<serde_json::Value>,
    /// Seconds since 1970-01-01.
    pub source_date_epoch: Option<i64>,
    /// How mlbuild writes the final bytes, where it does.
    pub repack: Option<Compression>,
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

pub(super) fn resolve(
    request: &BuildRequest,
    config: &Config,
    tags: &[Reference],
    named: bool,
) -> CommandResult<BuildSettings> {
    let file = &config.build;
    let outputs = outputs::resolve(request, tags)?;
    if outputs.push && !named {
        return Err(
            CommandError::user("--push needs a name for the image").hint(format!(
                "give -t REGISTRY/{}",
                tags[0].repository().rsplit('/').next().unwrap_or("NAME")
            )),
        );
    }

    let mut build_args = file.args.clone();
    for arg in &request.build_args {
        let pair = Spec::new("--build-arg", arg)
            .pair_or_env()
            .map_err(CommandError::user)?;
        build_args.extend(pair);
    }
    let epoch = build_args
        .get(env_vars::SOURCE_DATE_EPOCH)
        .cloned()
        .or_else(|| std::env::var(env_vars::SOURCE_DATE_EPOCH).ok())
        .filter(|value| !value.is_empty());
    let source_date_epoch = epoch.map(|text| epoch_seconds(&text)).transpose()?;

    let mut labels = BTreeMap::new();
    for label in &request.labels {
        labels.extend([Spec::new("--label", label)
            .pair()
            .map_err(CommandError::user)?]);
    }
    let mut annotations = BTreeMap::new();
    for annotation in &request.annotations {
        annotations.extend([Spec::new("--annotation", annotation)
            .pair()
            .map_err(CommandError::user)?]);
    }
    let platforms = match request.platforms.is_empty() {
        false => each("--platform", &request.platforms, |spec| spec.platform())?,
        true => each("mlbuild.toml: [build] platforms", &file.platforms, |spec| {
            spec.platform()
        })?,
    };
    let network = match (&request.network, &file.network) {
        (Some(mode), _) => Spec::new("--network", mode),
        (None, Some(mode)) => Spec::new("mlbuild.toml: [build] network", mode),
        (None, None) => Spec::new("--network", "default"),
    };
    let network = network.network().map_err(CommandError::user)?;
    let shm_size = request
        .shm_size
        .as_deref()
        .map(|size| Spec::new("--shm-size", size).size());
    let run = RunOptions {
        network,
        add_hosts: each("--add-host", &request.add_hosts, |spec| spec.add_host())?,
        shm_size: shm_size.transpose().map_err(CommandError::user)?,
        ulimits: each("--ulimit", &request.ulimits, |spec| spec.ulimit())?,
    };

    let secret_lines = file.secrets.iter().chain(&request.secrets);
    let secrets: Vec<_> = each("--secret", secret_lines, |spec| spec.secret())?;
    let ssh = each("--ssh", &request.ssh, |spec| spec.ssh())?;
    let mut contexts = BTreeMap::new();
    for (name, place) in &file.contexts {
        let spec = Spec::new("mlbuild.toml: [build.contexts]", place);
        contexts.insert(name.clone(), spec.context().map_err(CommandError::user)?);
    }
    for pair in &request.build_contexts {
        let (name, place) = Spec::new("--build-context", pair)
            .pair()
            .map_err(CommandError::user)?;
        let context = Spec::new("--build-context", &place)
            .context()
            .map_err(CommandError::user)?;
        contexts.insert(name, context);
    }

    Ok(BuildSettings {
        builder: request.builder.clone().or_else(|| file.builder.clone()),
        tls: request.tls.clone(),
        start_builder: request.start_builder,
        args: build_args,
        target: request.target.clone().or_else(|| file.target.clone()),
        platforms,
        labels,
        annotations,
        run,
        entitlements: entitlements(&request.allow)?,
        cache_from: each(
            "--cache-from",
            file.cache_from.iter().chain(&request.cache_from),
            |spec| spec.cache(),
        )?,
        cache_to: each(
            "--cache-to",
            file.cache_to.iter().chain(&request.cache_to),
            |spec| spec.cache(),
        )?,
        no_cache: match (request.no_cache, request.no_cache_filter.is_empty()) {
            (true, _) => NoCache::All,
            (false, false) => NoCache::Stages(request.no_cache_filter.clone()),
            (false, true) => NoCache::Off,
        },
        pull: request.pull,
        secrets: secrets.into_iter().collect(),
        ssh: ssh.into_iter().collect(),
        contexts,
        attestations: attestations(request)?,
        source_policy: request
            .source_policy_file
            .as_deref()
            .map(source_policy)
            .transpose()?,
        source_date_epoch,
        repack: repack(request.repack.as_deref(), file.repack.as_deref())?,
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

fn entitlements(allowed: &[String]) -> CommandResult<Vec<String>> {
    const KNOWN: [&str; 3] = ["network.host", "security.insecure", "device"];
    for entitlement in allowed {
        let name = entitlement
            .split_once('=')
            .map_or(entitlement.as_str(), |(name, _)| name);
        if !KNOWN.contains(&name) {
            return Err(
                CommandError::user(format!("--allow {entitlement}: unknown entitlement"))
                    .hint(format!("there are {}", KNOWN.join(", "))),
            );
        }
    }
    Ok(allowed.to_vec())
}

fn attestations(request: &BuildRequest) -> CommandResult<BTreeMap<String, Option<String>>> {
    let mut all: BTreeMap<_, _> = each("--attest", &request.attests, |spec| spec.attestation())?
        .into_iter()
        .collect();
    for (flag, name, value) in [
        ("--provenance", "provenance", &request.provenance),
        ("--sbom", "sbom", &request.sbom),
    ] {
        if let Some(value) = value {
            let switch = Spec::new(flag, value)
                .attestation_switch()
                .map_err(CommandError::user)?;
            all.insert(name.to_owned(), switch);
        }
    }
    Ok(all)
}

/// The flag, else the file's setting; `false` in either switches it off.
fn repack(flag: Option<&str>, file: Option<&str>) -> CommandResult<Option<Compression>> {
    let (place, text) = match (flag, file) {
        (Some(text), _) => ("--repack", text),
        (None, Some(text)) => ("mlbuild.toml: [build] repack", text),
        (None, None) => return Ok(None),
    };
    if text == "false" {
        return Ok(None);
    }
    let parsed = text.parse().map(Some);
    parsed.map_err(|why: String| CommandError::user(format!("{place}={text}: {why}")))
}

fn source_policy(path: &std::path::Path) -> CommandResult<serde_json::Value> {
    let flag = format!("--source-policy-file {}", path.display());
    let text =
        std::fs::read(path).map_err(|error| CommandError::user(format!("{flag}: {error}")))?;
    serde_json::from_slice(&text).map_err(|error| CommandError::user(format!("{flag}: {error}")))
}

/// Seconds since 1970-01-01, not in the future: a time to come holds nothing still.
///
/// # Errors
/// Where the text says no such time.
pub fn epoch_seconds(text: &str) -> CommandResult<i64> {
    let name = env_vars::SOURCE_DATE_EPOCH;
    let seconds: i64 = text
        .parse()
        .ok()
        .filter(|seconds| *seconds >= 0)
        .ok_or_else(|| {
            CommandError::user(format!(
                "{name}={text}: not a number of seconds since 1970-01-01"
            ))
        })?;
    if seconds > jiff::Timestamp::now().as_second() {
        return Err(
            CommandError::user(format!("{name}={text}: it lies in the future"))
                .hint("times are only held down to the epoch, so a future one changes nothing"),
        );
    }
    Ok(seconds)
}
