//! What the builder at hand can't do is refused before anything runs: daemons
//! drop fields and attributes that they don't know without a word.

use mlbuild_buildkit::{BuilderInfo, Feature};

use crate::error::{CommandError, CommandResult};
use crate::host::HostSettings;
use crate::pin::runs_on_target;
use crate::plan::{BuildPlan, Context};

pub(super) fn check(plan: &BuildPlan, host: &HostSettings, info: &BuilderInfo) -> CommandResult {
    check_provenance(plan, host)?;
    for (flag, feature) in wanted(plan) {
        if let Some(why) = info.missing(feature) {
            return Err(CommandError::user(format!("{flag}: {why}"))
                .hint("name another builder with --builder, or leave the flag out"));
        }
    }
    let known = match runs_on_target(&plan.dockerfile.text) {
        true => info.platforms(),
        // Files can be copied for any platform.
        false => Vec::new(),
    };
    for platform in &plan.platforms {
        if !known.is_empty() && !known.contains(&platform.as_str()) {
            return Err(CommandError::environment(format!(
                "--platform {platform}: {info} builds for {}",
                known.join(", ")
            ))
            .hint("for RUN steps of another architecture the builder's machine needs QEMU: apt install qemu-user-static binfmt-support"));
        }
    }
    Ok(())
}

/// Full provenance records every build argument, proxies with their passwords included.
fn check_provenance(plan: &BuildPlan, host: &HostSettings) -> CommandResult {
    let provenance = plan.attestations.get("provenance").and_then(Option::as_ref);
    let is_full = provenance.is_some_and(|value| !value.contains("mode=min"));
    let with_login = host
        .proxies
        .iter()
        .find(|(_, value)| value.0.contains(&b'@'));
    match with_login.filter(|_| is_full) {
        Some((name, _)) => Err(CommandError::user(format!(
            "--provenance: the attestation would record {name} with its password"
        ))
        .hint("give --provenance=mode=min, which records no arguments")
        .hint("or keep the proxy from RUN steps: --no-host-network-settings")),
        None => Ok(()),
    }
}

/// Features that the plan needs, with the flag that asks for each.
fn wanted(plan: &BuildPlan) -> Vec<(String, Feature)> {
    let mut wanted = Vec::new();
    let mut want = |flag: &str, feature| wanted.push((flag.to_owned(), feature));
    if plan.platforms.len() > 1 {
        want("--platform with several platforms", Feature::MultiPlatform);
    }
    if plan.attestations.values().any(Option::is_some) {
        want("--attest, --provenance or --sbom", Feature::Attestations);
    }
    if plan.source_policy.is_some() {
        want("--source-policy-file", Feature::SourcePolicy);
    }
    if !plan.named_contexts.is_empty() {
        want("--build-context", Feature::NamedContexts);
    }
    if plan
        .named_contexts
        .values()
        .any(|context| matches!(context, Context::OciLayout { .. }))
    {
        want("--build-context oci-layout://", Feature::OciLayoutContexts);
    }
    if plan.source_date_epoch.is_some() {
        want("SOURCE_DATE_EPOCH", Feature::SourceDateEpoch);
    }
    if !plan.annotations.is_empty() {
        want("--annotation", Feature::ImageExporter);
    }
    for cache in &plan.cache_to {
        let feature = match cache.kind.as_str() {
            "inline" => Feature::CacheInline,
            "registry" => Feature::CacheRegistry,
            "local" => Feature::CacheLocal,
            "gha" => Feature::CacheGha,
            _ => Feature::CacheS3,
        };
        wanted.push((format!("--cache-to type={}", cache.kind), feature));
    }
    for output in &plan.outputs {
        for (key, feature) in [
            ("compression", Feature::Compression),
            ("compression-level", Feature::Compression),
            ("force-compression", Feature::Compression),
            ("rewrite-timestamp", Feature::RewriteTimestamp),
        ] {
            if output.attrs.contains_key(key) {
                wanted.push((format!("--output …,{key}="), feature));
            }
        }
    }
    wanted
}
