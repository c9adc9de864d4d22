//! Refuses what the daemon at hand would drop without a word.

use super::SolveOptions;
use crate::error::SolveError;
use crate::info::{BuilderInfo, Feature};

/// Something that a request asks for, in the user's words, and what it needs.
pub(super) type Wanted = (String, Feature);

pub(super) fn refuse_ignored(wanted: &[Wanted], info: &BuilderInfo) -> Result<(), SolveError> {
    for (what, feature) in wanted {
        if let Some(reason) = info.missing(*feature) {
            return Err(SolveError::Options(format!(
                "{what} isn't possible with this builder: {reason}"
            )));
        }
    }
    Ok(())
}

/// What the request asks for beyond the oldest builder.
pub(super) fn wanted(options: &SolveOptions) -> Vec<Wanted> {
    let mut wanted = Vec::new();
    for export in &options.exports {
        let feature = match export.kind.as_str() {
            "image" => Some(Feature::ImageExporter),
            "oci" => Some(Feature::OciExporter),
            "docker" => Some(Feature::DockerExporter),
            _ => None,
        };
        if let Some(feature) = feature {
            wanted.push((format!("the `{}` exporter", export.kind), feature));
        }
        for (key, value) in &export.attrs {
            let feature = match key.as_str() {
                "push" | "push-by-digest" if value == "true" => Feature::Push,
                "compression" if value != "gzip" => Feature::Compression,
                "compression-level" | "force-compression" => Feature::Compression,
                "rewrite-timestamp" if value == "true" => Feature::RewriteTimestamp,
                _ => continue,
            };
            wanted.push((format!("`{key}={value}`"), feature));
        }
    }
    if options.exports.len() > 1 {
        wanted.push(("more than one export".into(), Feature::SeveralExporters));
    }
    for (key, value) in &options.frontend_attrs {
        if key == "platform" && value.contains(',') {
            wanted.push((format!("building for {value}"), Feature::MultiPlatform));
        }
        // The values `false` and `disabled=true` turn one off.
        if let Some(kind) = key.strip_prefix("attest:")
            && value != "false"
            && !value.contains("disabled=true")
        {
            wanted.push((format!("a `{kind}` attestation"), Feature::Attestations));
        }
        if let Some(name) = key.strip_prefix("context:") {
            wanted.push((
                format!("the build context `{name}`"),
                Feature::NamedContexts,
            ));
            if value.starts_with("oci-layout:") {
                wanted.push((
                    format!("the OCI layout `{name}`"),
                    Feature::OciLayoutContexts,
                ));
            }
        }
    }
    for cache in &options.cache_to {
        let feature = match cache.kind.as_str() {
            "registry" => Feature::CacheRegistry,
            "local" => Feature::CacheLocal,
            "inline" => Feature::CacheInline,
            "gha" => Feature::CacheGha,
            "s3" | "azblob" => Feature::CacheS3,
            _ => continue,
        };
        wanted.push((format!("cache export to `{}`", cache.kind), feature));
    }
    if options.source_policy.is_some() {
        wanted.push(("a source policy".into(), Feature::SourcePolicy));
    }
    wanted
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::info::{BuildKitVersion, BuilderKind, ImageStore};
    use crate::solve::Export;

    #[test]
    fn push_to_a_classic_store_is_refused() {
        let info = BuilderInfo {
            kind: BuilderKind::Docker {
                version: "26.1.5".into(),
                store: ImageStore::Classic,
            },
            buildkit: BuildKitVersion::of_docker("26.1.5"),
            buildkit_text: String::new(),
            workers: vec![],
        };
        let push = |value: &str| SolveOptions {
            exports: vec![Export {
                kind: "moby".into(),
                attrs: [("push".to_string(), value.to_string())].into(),
                output: None,
            }],
            ..Default::default()
        };
        assert!(refuse_ignored(&wanted(&push("false")), &info).is_ok());
        let error = refuse_ignored(&wanted(&push("true")), &info).unwrap_err();
        assert!(
            error
                .to_string()
                .starts_with("`push=true` isn't possible with this builder: Docker 26.1.5"),
            "{error}"
        );
    }
}
