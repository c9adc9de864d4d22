//! What builders say of themselves, and the calls around a build.

use std::collections::BTreeMap;

use mlbuild_buildkit::sourcepolicy::{MatchType, Policy, PolicyAction, Rule, Selector, Update};
use mlbuild_buildkit::{BuilderKind, CacheOption, Feature, SolveError};

use super::{Build, all_builders, buildkitd, connect, docker, folder, pairs, read};
use crate::support::engines::Engines;

#[tokio::test]
async fn builders_tell_what_they_are() {
    for (name, client) in all_builders().await {
        let info = client.info().await.unwrap();
        assert_eq!(
            info.native_platform(),
            Some("linux/amd64"),
            "{name}: {info:?}"
        );
        let has = |f| info.supports(f);
        let (push, policy, lint) = match name {
            "buildkitd" => (true, true, true),
            "Docker, containerd store" => (true, true, info.buildkit.unwrap().minor >= 14),
            "Docker, classic store" => (false, true, info.buildkit.unwrap().minor >= 14),
            _ => (false, false, false),
        };
        assert_eq!(
            (
                has(Feature::Push),
                has(Feature::SourcePolicy),
                has(Feature::Lint)
            ),
            (push, policy, lint),
            "{name}: {info:?}"
        );
        let is_docker = matches!(info.kind, BuilderKind::Docker { .. });
        assert_eq!(is_docker, name != "buildkitd");
    }
}

#[tokio::test]
async fn buildkits_own_linter_is_asked() {
    let client = buildkitd().await;
    let none = BTreeMap::new();
    let clean = client
        .lint(b"FROM scratch\nCOPY a /a\n", &none)
        .await
        .unwrap();
    assert_eq!(clean, []);
    let found = client
        .lint(b"FROM scratch as x\nCOPY a /a\n", &none)
        .await
        .unwrap();
    let rules: Vec<_> = found.iter().map(|w| (w.rule.as_str(), w.line)).collect();
    assert_eq!(rules, [("FromAsCasing", Some(1))]);
    let error = client
        .lint(b"FROM scratch\nCOPI a /a\n", &none)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, SolveError::Build(f) if f.message.contains("COPI")),
        "{error}"
    );
}

#[tokio::test]
async fn a_dockerfile_is_outlined() {
    let client = buildkitd().await;
    let text = b"ARG WHO=you\nFROM scratch\nARG WHO\nCOPY a /$WHO\n";
    let outline = client
        .outline(text, &pairs(&[("WHO", "me")]))
        .await
        .unwrap();
    assert_eq!(outline["args"][0]["name"], "WHO", "{outline}");
    assert_eq!(outline["args"][0]["value"], "me", "{outline}");
}

#[tokio::test]
async fn linting_is_refused_where_the_daemon_is_too_old() {
    let client = connect(&docker(&Engines::from_env().docker_20)).await;
    let error = client
        .lint(b"FROM scratch\n", &BTreeMap::new())
        .await
        .unwrap_err();
    assert!(
        error.to_string().contains("needs BuildKit 0.14.0"),
        "{error}"
    );
}

#[tokio::test]
async fn a_cache_goes_to_a_folder_and_comes_back() {
    let engines = Engines::from_env();
    let text = format!("FROM {}\nRUN date +%s%N > /stamp\n", engines.base);
    let dir = folder(&[("Dockerfile", &text)]);
    let cache = tempfile::tempdir().unwrap();
    let path = cache.path().to_str().unwrap();
    let client = buildkitd().await;
    let mut first = Build::new(&client, dir.path());
    first.options.cache_to = vec![CacheOption {
        kind: "local".into(),
        attrs: pairs(&[("dest", path), ("mode", "max")]),
    }];
    first.run().await.output();
    assert!(read(&cache, "index.json").contains("\"latest\""));

    let mut second = Build::new(&client, dir.path());
    second.options.cache_from = vec![
        CacheOption {
            kind: "local".into(),
            attrs: pairs(&[("src", path)]),
        },
        // Nothing is there yet: left out, not an error.
        CacheOption {
            kind: "local".into(),
            attrs: pairs(&[("src", "/nowhere/cache")]),
        },
    ];
    let outcome = second.run().await;
    let steps = outcome.steps();
    assert!(
        steps
            .keys()
            .any(|s| s.starts_with("importing cache manifest from local")),
        "{steps:?}"
    );
    outcome.output();
}

#[tokio::test]
async fn a_cache_goes_to_a_registry_and_inline() {
    let engines = Engines::from_env();
    let dir = folder(&[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    let client = buildkitd().await;
    let cache = format!("{}/wire/cache:1", engines.registry);
    let option = |kind: &str, attrs: &[(&str, &str)]| CacheOption {
        kind: kind.into(),
        attrs: pairs(attrs),
    };
    let mut build = Build::new(&client, dir.path());
    let insecure = ("registry.insecure", "true");
    build.options.cache_to = vec![option("registry", &[("ref", &cache), insecure])];
    let steps = build.run().await.steps();
    assert!(
        steps.keys().any(|s| s == "exporting cache to registry"),
        "{steps:?}"
    );

    let image = format!("{}/wire/inline:1", engines.registry);
    let attrs = [("name", image.as_str()), ("push", "true"), insecure];
    let mut build = Build::new(&client, dir.path()).export("image", &attrs, None);
    build.options.cache_to = vec![option("inline", &[])];
    let config = build.run().await.output().config_digest.unwrap();
    let url = format!("http://{}/v2/wire/inline/blobs/{config}", engines.registry);
    let config = reqwest::get(url).await.unwrap().text().await.unwrap();
    assert!(config.contains("moby.buildkit.cache.v0"), "{config}");
}

#[tokio::test]
async fn a_source_policy_converts_and_denies() {
    let engines = Engines::from_env();
    let client = buildkitd().await;
    let dir = folder(&[(
        "Dockerfile",
        "FROM mlbuild.example/base:1\nCOPY Dockerfile /\n",
    )]);
    let rule = |action: PolicyAction, to: Option<String>| Policy {
        version: 1,
        rules: vec![Rule {
            action: action.into(),
            selector: Some(Selector {
                identifier: "docker-image://mlbuild.example/base:1".into(),
                match_type: MatchType::Exact.into(),
                ..Default::default()
            }),
            updates: to.map(|identifier| Update {
                identifier,
                ..Default::default()
            }),
        }],
    };
    let base = format!("docker-image://{}", engines.base);
    let mut build = Build::new(&client, dir.path());
    build.options.source_policy = Some(rule(PolicyAction::Convert, Some(base)));
    build.run().await.output();

    let mut build = Build::new(&client, dir.path());
    build.options.source_policy = Some(rule(PolicyAction::Deny, None));
    let error = build.run().await.error().to_string();
    assert!(error.contains("denied by policy"), "{error}");
}

#[tokio::test]
async fn host_networking_needs_its_entitlement() {
    let engines = Engines::from_env();
    let text = format!("FROM {}\nRUN cat /proc/net/route > /route\n", engines.base);
    let dir = folder(&[("Dockerfile", &text)]);
    let client = buildkitd().await;
    let build = || {
        Build::new(&client, dir.path())
            .attr("force-network-mode", "host")
            .attr("no-cache", "")
    };
    let error = build().run().await.error().to_string();
    assert!(error.contains("network.host is not allowed"), "{error}");
    let mut allowed = build();
    allowed.options.entitlements = vec!["network.host".into()];
    allowed.run().await.output();
}

#[tokio::test]
async fn provenance_names_the_base() {
    let engines = Engines::from_env();
    let text = format!("FROM {}\nCOPY Dockerfile /provenance\n", engines.base);
    let dir = folder(&[("Dockerfile", &text)]);
    let client = buildkitd().await;
    let out = tempfile::tempdir().unwrap();
    let target = mlbuild_buildkit::ExportTarget::File(out.path().join("image.tar"));
    let build = Build::new(&client, dir.path())
        .attr("attest:provenance", "mode=min")
        .export("oci", &[], Some(target));
    let reference = build.options.reference.clone();
    let output = build.run().await.output();
    let media_type = output.descriptor.unwrap().media_type().to_string();
    assert!(media_type.contains("index"), "{media_type}");

    let record = client.build_record(&reference).await.unwrap().unwrap();
    assert_eq!(record.frontend, "dockerfile.v0");
    let attestations = client.attestations(&reference).await.unwrap();
    assert_eq!(attestations.len(), 1);
    assert!(
        attestations[0]
            .predicate_type
            .starts_with("https://slsa.dev/provenance/")
    );
    let text = attestations[0].predicate.to_string();
    let digest = base_digest(&engines).await;
    assert!(
        text.contains(digest.trim_start_matches("sha256:")),
        "{text}"
    );
    assert!(
        client
            .build_record("mlbuild-no-such-build")
            .await
            .unwrap()
            .is_none()
    );
}

#[tokio::test]
async fn build_arguments_targets_and_labels_arrive() {
    let dir = folder(&[
        (
            "sub/My.Dockerfile",
            "FROM scratch AS one\nARG WHO\nCOPY a /$WHO\nFROM scratch AS two\n",
        ),
        ("a", "x"),
    ]);
    for (name, client) in all_builders().await {
        let out = Build::new(&client, dir.path())
            .attr("filename", "sub/My.Dockerfile")
            .attr("build-arg:WHO", "me")
            .attr("target", "one")
            .files()
            .await;
        assert_eq!(read(&out, "me"), "x", "{name}");
    }
}

/// The base's digest, as its registry tells it.
async fn base_digest(engines: &Engines) -> String {
    let (repository, tag) = engines.base.rsplit_once(':').unwrap();
    let repository = repository.rsplit('/').next().unwrap();
    let url = format!(
        "http://{}/v2/{repository}/manifests/{tag}",
        engines.registry
    );
    let accept = "application/vnd.oci.image.manifest.v1+json, \
         application/vnd.oci.image.index.v1+json, \
         application/vnd.docker.distribution.manifest.v2+json";
    let request = reqwest::Client::new().get(url).header("accept", accept);
    let answer = request.send().await.unwrap();
    let digest = answer.headers().get("docker-content-digest").unwrap();
    digest.to_str().unwrap().to_string()
}
