//! The registry hosts that a build names. A builder gets the log-ins of these and of no other.

use std::collections::BTreeSet;

use mlbuild_buildkit::{StatusResponse, VertexWarning};
use mlbuild_templates::reference;

use crate::pin::{self, ExpandError, PinContext};
use crate::plan::{BuildPlan, Context, Typed};

/// Docker Hub: its frontends and scanners are used where a build names none.
const HUB: &str = "docker.io";
/// BuildKit's scheme of images in registries.
const IMAGE: &str = "docker-image://";

/// The hosts of every image that a plan reads or writes: names, bases, `COPY --from`, frontends,
/// contexts, caches, attestations' scanners, and what the user's source policy puts in their place.
pub(super) fn hosts(plan: &BuildPlan) -> BTreeSet<String> {
    // What can't be expanded, the builder refuses.
    let mut names = images_read(plan).unwrap_or_default();
    names.extend(plan.tags.iter().chain(plan.bases.keys()).cloned());
    let caches = plan.cache_from.iter().chain(&plan.cache_to);
    names.extend(caches.filter_map(|cache: &Typed| cache.attrs.get("ref").cloned()));
    for output in &plan.outputs {
        let written = output.attrs.get("name").map(String::as_str);
        names.extend(written.unwrap_or_default().split(',').map(str::to_owned));
    }
    if let Some(policy) = &plan.source_policy {
        images_of(policy, &mut names);
    }
    let mut hosts: BTreeSet<String> = names
        .iter()
        .filter_map(|name| reference::parse(name.trim()).ok())
        .map(|reference| reference.registry().to_owned())
        .collect();
    hosts.insert(HUB.to_owned());
    hosts
}

/// The images that a plan reads, as it names them: bases, `COPY --from`, frontends, contexts,
/// attestations' scanners.
///
/// # Errors
/// Where a name in the Dockerfile can't be expanded.
pub fn images_read(plan: &BuildPlan) -> Result<Vec<String>, ExpandError> {
    let platform = match plan.platforms.as_slice() {
        [one] => Some(one.as_str()),
        _ => None,
    };
    let args = plan.build_args.iter();
    let context = PinContext {
        build_args: args.map(|(k, v)| (k.as_str(), v.as_str())).collect(),
        named_contexts: plan.named_contexts.keys().map(String::as_str).collect(),
        platform,
        ..PinContext::default()
    };
    let text = &plan.dockerfile.text;
    let images = pin::images(text, &context)?;
    let mut names: Vec<String> = images.into_iter().map(|image| image.reference).collect();
    names.extend(frontends(text));
    names.extend(plan.build_args.get("BUILDKIT_SYNTAX").cloned());
    for context in plan.named_contexts.values().chain([&plan.context]) {
        if let Context::Remote { url } = context {
            names.extend(url.strip_prefix(IMAGE).map(str::to_owned));
        }
    }
    for value in plan.attestations.values().flatten() {
        let fields = value.split(',');
        names.extend(fields.filter_map(|f| f.strip_prefix("generator=").map(str::to_owned)));
    }
    Ok(names)
}

/// What is said of hosts whose log-ins the builder asked for and didn't get.
pub(super) fn warning(refused: &[String]) -> Option<StatusResponse> {
    if refused.is_empty() {
        return None;
    }
    let short = format!(
        "the builder asked for the log-in of {}, which this build doesn't name: it got none",
        refused.join(", ")
    );
    let warnings = vec![VertexWarning {
        level: 1,
        short: short.into_bytes().into(),
        ..VertexWarning::default()
    }];
    Some(StatusResponse {
        warnings,
        ..StatusResponse::default()
    })
}

/// Images that parse Dockerfiles: `# syntax=docker/dockerfile:1` before the first statement.
fn frontends(text: &str) -> impl Iterator<Item = String> {
    let heads = text.lines().map(str::trim);
    let heads = heads.take_while(|line| line.is_empty() || line.starts_with(['#', '/']));
    heads.filter_map(|line| {
        let (key, value) = line.trim_start_matches(['#', '/']).split_once('=')?;
        let is_syntax = key.trim().eq_ignore_ascii_case("syntax");
        is_syntax.then(|| {
            value
                .split_whitespace()
                .next()
                .unwrap_or_default()
                .to_owned()
        })
    })
}

/// Every image that a source policy writes.
fn images_of(policy: &serde_json::Value, names: &mut Vec<String>) {
    use serde_json::Value;
    match policy {
        Value::String(text) => {
            names.extend(text.strip_prefix(IMAGE).map(str::to_owned));
        }
        Value::Array(all) => all.iter().for_each(|value| images_of(value, names)),
        Value::Object(all) => all.values().for_each(|value| images_of(value, names)),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_that_names_an_image_counts() {
        let text = "# syntax=front.example/f:1\nARG A=arg.example\nFROM $A/x AS one\n\
                    FROM base.example:5000/b\nCOPY --from=copy.example/c /a /b\n\
                    RUN --mount=type=bind,from=mount.example/m true\nCOPY --from=one / /\n";
        let typed = |host: &str| Typed {
            kind: "registry".into(),
            attrs: [("ref".to_owned(), format!("{host}/cache:1"))].into(),
        };
        let mut plan = BuildPlan::of_dockerfile("Dockerfile", text.to_owned());
        plan.tags = vec!["tag.example/t:1".into()];
        plan.cache_from = vec![typed("from.example")];
        plan.cache_to = vec![typed("to.example")];
        let url = "docker-image://context.example/i".to_owned();
        plan.named_contexts = [("c".to_owned(), Context::Remote { url })].into();
        plan.attestations = [("sbom".to_owned(), Some("generator=scan.example/s".into()))].into();
        let policy = r#"{"rules":[{"updates":{"identifier":"docker-image://policy.example/p"}}]}"#;
        plan.source_policy = serde_json::from_str(policy).ok();
        let expected = [
            "arg.example",
            "base.example:5000",
            "context.example",
            "copy.example",
            "docker.io",
            "from.example",
            "front.example",
            "mount.example",
            "policy.example",
            "scan.example",
            "tag.example",
            "to.example",
        ];
        assert_eq!(hosts(&plan), expected.map(str::to_owned).into());
    }
}
