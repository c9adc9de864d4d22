//! A plan as the Dockerfile frontend and the session know it.

use std::collections::BTreeMap;
use std::path::Path;

use mlbuild_buildkit::fsutil::SendOptions;
use mlbuild_buildkit::{
    AuthOptions, CacheOption, Env, Export, LocalSource, RefusedHosts, Secret,
    SecretSource as Served, Session, SessionBuilder, SolveOptions, SshSource, context_key,
};

use mlbuild_templates::compose::INPUTS_CONTEXT;

use super::{BuildInputs, BuilderError, log_ins, packages, source_policy};
use crate::host::HostSettings;
use crate::plan::{BuildPlan, Context, NoCache, SecretSource};

/// The name under which the Dockerfile travels.
const DOCKERFILE: &str = "dockerfile";
const CONTEXT: &str = "context";

/// What the frontend is told, by name.
type Attrs = BTreeMap<String, String>;

pub(super) fn prepare(
    inputs: &BuildInputs<'_>,
    exports: Vec<Export>,
    default_network: Option<&str>,
) -> Result<(SolveOptions, Session, RefusedHosts), BuilderError> {
    let plan = inputs.plan;
    let network = plan.run.network.as_deref().or(default_network);
    let mut attrs = frontend_attrs(plan, inputs, network);
    let mut auth = AuthOptions::from_env(&Env::process(), log_ins::hosts(plan));
    auth.given = inputs.redaction.given.clone();
    let refused = auth.refused.clone();
    let mut session = Session::builder().auth(auth);
    let (name, text) = (&plan.dockerfile.file_name, &plan.dockerfile.text);
    let mut dockerfiles = dockerfile_files(plan, name, text);
    let asked = inputs.asks_packages.then(|| packages::question(plan));
    let question = asked.flatten().map(|(name, text, question)| {
        dockerfiles.extend(dockerfile_files(plan, &name, &text));
        question
    });
    session = session.local(DOCKERFILE, LocalSource::Memory(dockerfiles));
    session = main_context(session, &mut attrs, inputs)?;
    for (name, context) in &plan.named_contexts {
        session = named_context(session, &mut attrs, plan, (name, context))?;
    }
    for (id, source) in &plan.secrets {
        if let Some(served) = secret(source, inputs.host) {
            session = session.secret(id.clone(), served);
        }
    }
    for (id, socket) in inputs.ssh {
        let socket = socket.clone();
        session = session.ssh(id.clone(), SshSource { socket });
    }
    let session = session.build()?;
    let options = SolveOptions {
        frontend_attrs: attrs,
        exports,
        cache_from: caches(&plan.cache_from),
        cache_to: caches(&plan.cache_to),
        entitlements: entitlements(plan, network),
        source_policy: plan
            .source_policy
            .as_ref()
            .map(source_policy::read)
            .transpose()?,
        question,
        ..SolveOptions::default()
    };
    Ok((options, session, refused))
}

/// Serves the main context, or has the builder fetch it.
fn main_context(
    mut session: SessionBuilder,
    attrs: &mut Attrs,
    inputs: &BuildInputs<'_>,
) -> Result<SessionBuilder, BuilderError> {
    let plan = inputs.plan;
    let url = match &plan.context {
        Context::Folder { path } => {
            let session = session.local(CONTEXT, folder(path, plan));
            return Ok(session.shared_key(context_key(path) + inputs.transfer_key));
        }
        Context::Empty => {
            return Ok(session.local(CONTEXT, LocalSource::Memory(BTreeMap::new())));
        }
        Context::OciLayout { .. } => return Err(BuilderError::LayoutAsContext),
        Context::Stdin => session.upload(tokio::io::stdin()),
        Context::Remote { url } => url.clone(),
    };
    attrs.insert(CONTEXT.into(), url);
    if !plan.dockerfile.text.is_empty() {
        attrs.insert("dockerfilekey".into(), DOCKERFILE.into());
    }
    Ok(session)
}

/// Serves a named context, or has the builder fetch it.
fn named_context(
    session: SessionBuilder,
    attrs: &mut Attrs,
    plan: &BuildPlan,
    (name, context): (&String, &Context),
) -> Result<SessionBuilder, BuilderError> {
    let key = format!("context:{name}");
    Ok(match context {
        Context::Folder { path } => {
            attrs.insert(key, format!("local:{name}"));
            // A locked build's inputs are told apart by their times.
            let source = if name == INPUTS_CONTEXT {
                LocalSource::dir(path.clone())
            } else {
                folder(path, plan)
            };
            session.local(name.clone(), source)
        }
        Context::Remote { url } => {
            attrs.insert(key, url.clone());
            session
        }
        Context::OciLayout { path, reference } => {
            let digest = reference.as_deref().unwrap_or_default();
            attrs.insert(key, format!("oci-layout://{name}@{digest}"));
            session.oci_layout(name, path.clone())
        }
        Context::Stdin | Context::Empty => {
            return Err(BuilderError::NamedContext { name: name.clone() });
        }
    })
}

/// A secret as the session serves it; `None` for a setting that the host doesn't have.
fn secret(source: &SecretSource, host: &HostSettings) -> Option<Served> {
    Some(match source {
        SecretSource::File(path) => Served::File(path.clone()),
        SecretSource::Env(name) => Served::Env(name.clone()),
        SecretSource::Host(setting) => {
            let value = host.files.get(setting)?;
            Served::Value(Secret::new(String::from_utf8_lossy(&value.0)))
        }
    })
}

fn folder(path: &Path, plan: &BuildPlan) -> LocalSource {
    LocalSource::Dir {
        path: path.to_owned(),
        options: SendOptions {
            normalise: plan.normalise(),
            ..SendOptions::default()
        },
    }
}

fn frontend_attrs(
    plan: &BuildPlan,
    inputs: &BuildInputs<'_>,
    network: Option<&str>,
) -> BTreeMap<String, String> {
    let mut attrs = BTreeMap::new();
    let mut set = |key: &str, value: String| attrs.insert(key.to_owned(), value);
    set("filename", plan.dockerfile.file_name.clone());
    if let Some(target) = &plan.target {
        set("target", target.clone());
    }
    if !plan.platforms.is_empty() {
        set("platform", plan.platforms.join(","));
    }
    match &plan.no_cache {
        NoCache::Off => {}
        NoCache::All => {
            set("no-cache", String::new());
        }
        NoCache::Stages(stages) => {
            set("no-cache", stages.join(","));
        }
    }
    if let Some(network) = network {
        set("force-network-mode", network.to_owned());
    }
    if !plan.run.add_hosts.is_empty() {
        set("add-hosts", plan.run.add_hosts.join(","));
    }
    if let Some(size) = plan.run.shm_size {
        set("shm-size", size.to_string());
    }
    if !plan.run.ulimits.is_empty() {
        set("ulimit", plan.run.ulimits.join(","));
    }
    for (name, value) in &plan.labels {
        set(&format!("label:{name}"), value.clone());
    }
    for (name, value) in &inputs.host.proxies {
        // Predefined ARGs of Dockerfiles: not part of the cache key, not in the history.
        set(
            &format!("build-arg:{name}"),
            String::from_utf8_lossy(&value.0).into_owned(),
        );
    }
    for (name, value) in &plan.build_args {
        set(&format!("build-arg:{name}"), value.clone());
    }
    if let Some(epoch) = plan.source_date_epoch {
        set("build-arg:SOURCE_DATE_EPOCH", epoch.to_string());
    }
    for (kind, value) in &plan.attestations {
        if let Some(value) = value {
            set(&format!("attest:{kind}"), value.clone());
        }
    }
    attrs
}

/// A Dockerfile, and the ignore file that is its own.
fn dockerfile_files(plan: &BuildPlan, name: &str, text: &str) -> BTreeMap<String, Vec<u8>> {
    let mut files = BTreeMap::new();
    files.insert(name.to_owned(), text.as_bytes().to_vec());
    if let Some(ignore) = &plan.dockerfile.ignore {
        files.insert(
            format!("{name}.dockerignore"),
            ignore.text.clone().into_bytes(),
        );
    }
    files
}

fn caches(caches: &[crate::plan::Typed]) -> Vec<CacheOption> {
    caches
        .iter()
        .map(|cache| CacheOption {
            kind: cache.kind.clone(),
            attrs: cache.attrs.clone(),
        })
        .collect()
}

fn entitlements(plan: &BuildPlan, network: Option<&str>) -> Vec<String> {
    let mut all = plan.entitlements.clone();
    if network == Some("host") && !all.iter().any(|name| name == "network.host") {
        all.push("network.host".into());
    }
    all
}
