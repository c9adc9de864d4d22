//! What the builder at hand can't do is refused before anything runs: daemons
//! drop fields and attributes that they don't know without a word.

use mlbuild_buildkit::{BuilderInfo, Feature};

use super::{BuilderError, PlanFeature};
use crate::host::HostSettings;
use crate::pin::runs_on_target;
use crate::plan::{BuildPlan, Context};

pub(super) fn check(
    plan: &BuildPlan,
    host: &HostSettings,
    info: &BuilderInfo,
) -> Result<(), BuilderError> {
    check_provenance(plan, host)?;
    for (wanted, feature) in wanted(plan) {
        if let Some(why) = info.missing(feature) {
            return Err(BuilderError::Unsupported {
                feature: wanted,
                why: why.to_string(),
            });
        }
    }
    let known = match runs_on_target(&plan.dockerfile.text) {
        true => info.platforms(),
        // Files can be copied for any platform.
        false => Vec::new(),
    };
    for platform in &plan.platforms {
        if !known.is_empty() && !known.contains(&platform.as_str()) {
            return Err(BuilderError::Platform {
                platform: platform.clone(),
                builder: info.to_string(),
                known: known.iter().map(|&name| name.to_owned()).collect(),
            });
        }
    }
    Ok(())
}

/// Full provenance records every build argument, proxies with their passwords included.
fn check_provenance(plan: &BuildPlan, host: &HostSettings) -> Result<(), BuilderError> {
    let provenance = plan.attestations.get("provenance").and_then(Option::as_ref);
    let is_full = provenance.is_some_and(|value| !value.contains("mode=min"));
    let with_login = host
        .proxies
        .iter()
        .find(|(_, value)| value.0.contains(&b'@'));
    match with_login.filter(|_| is_full) {
        Some((name, _)) => Err(BuilderError::PasswordInProvenance {
            variable: name.clone(),
        }),
        None => Ok(()),
    }
}

/// What the plan asks for, with the feature of a builder that it needs.
fn wanted(plan: &BuildPlan) -> Vec<(PlanFeature, Feature)> {
    let mut wanted = Vec::new();
    let mut want = |wants, feature| wanted.push((wants, feature));
    if plan.platforms.len() > 1 {
        want(PlanFeature::SeveralPlatforms, Feature::MultiPlatform);
    }
    if plan.attestations.values().any(Option::is_some) {
        want(PlanFeature::Attestations, Feature::Attestations);
    }
    if plan.source_policy.is_some() {
        want(PlanFeature::SourcePolicy, Feature::SourcePolicy);
    }
    if !plan.named_contexts.is_empty() {
        want(PlanFeature::NamedContexts, Feature::NamedContexts);
    }
    if plan
        .named_contexts
        .values()
        .any(|context| matches!(context, Context::OciLayout { .. }))
    {
        want(PlanFeature::LayoutContext, Feature::OciLayoutContexts);
    }
    if plan.source_date_epoch.is_some() {
        want(PlanFeature::SourceDateEpoch, Feature::SourceDateEpoch);
    }
    if !plan.annotations.is_empty() {
        want(PlanFeature::Annotations, Feature::ImageExporter);
    }
    for cache in &plan.cache_to {
        let feature = match cache.kind.as_str() {
            "inline" => Feature::CacheInline,
            "registry" => Feature::CacheRegistry,
            "local" => Feature::CacheLocal,
            "gha" => Feature::CacheGha,
            _ => Feature::CacheS3,
        };
        wanted.push((PlanFeature::CacheTo(cache.kind.clone()), feature));
    }
    for output in &plan.outputs {
        for (key, feature) in [
            ("compression", Feature::Compression),
            ("compression-level", Feature::Compression),
            ("force-compression", Feature::Compression),
            ("rewrite-timestamp", Feature::RewriteTimestamp),
        ] {
            if output.attrs.contains_key(key) {
                wanted.push((PlanFeature::OutputOption(key), feature));
            }
        }
    }
    wanted
}
