//! What references mean: moved tags, platforms, mirrors, and what isn't there.

use std::collections::BTreeMap;

use mlbuild::registry::{Registry, RegistryError, RegistryOptions, parse_platform};
use oci_spec::distribution::Reference;

use super::{client, options, reference, silent};
use crate::support::engines::Engines;
use crate::support::layouts::{fresh_seed, image, index};

#[tokio::test]
async fn a_moved_tag_is_noticed_and_the_digest_stays() {
    let host = Engines::from_env().registry;
    let (old, new) = (image(fresh_seed(), &[10]), image(fresh_seed() + 7, &[20]));
    let to = reference(&host, "moved:latest");
    let registry = client();
    registry
        .push_layout(&old.layout, &to, &[], silent())
        .await
        .unwrap();
    let before = registry.resolve(&to, None).await.unwrap();
    assert!(registry.exists(&to, &old.top).await.unwrap());

    registry
        .push_layout(&new.layout, &to, &[], silent())
        .await
        .unwrap();
    assert!(!registry.exists(&to, &old.top).await.unwrap());
    assert!(registry.exists(&to, &new.top).await.unwrap());
    let pinned = registry.resolve(&before.reference, None).await.unwrap();
    assert_eq!(pinned.descriptor.digest(), &old.top);
}

#[tokio::test]
async fn a_platform_is_chosen_or_refused_with_those_there_are() {
    let host = Engines::from_env().registry;
    let registry = client();
    let to = reference(&host, "platforms:v1");
    registry
        .push_layout(&index(fresh_seed()).layout, &to, &[], silent())
        .await
        .unwrap();

    let arm = parse_platform("linux/arm64/v8").unwrap();
    let resolved = registry.resolve(&to, Some(&arm)).await.unwrap();
    assert_eq!(resolved.manifests.len(), 1);

    let ppc = parse_platform("linux/ppc64le").unwrap();
    let error = registry.resolve(&to, Some(&ppc)).await.unwrap_err();
    assert_eq!(
        error.to_string(),
        format!("{to} has no image for linux/ppc64le; it has linux/amd64, linux/arm64")
    );

    let single = reference(&host, "single:v1");
    registry
        .push_layout(&image(fresh_seed(), &[1]).layout, &single, &[], silent())
        .await
        .unwrap();
    let error = registry.resolve(&single, Some(&arm)).await.unwrap_err();
    assert!(
        error
            .to_string()
            .ends_with("no image for linux/arm64; it has linux/amd64"),
        "{error}"
    );
}

#[tokio::test]
async fn what_is_not_there_is_none_or_not_found() {
    let host = Engines::from_env().registry;
    let missing = reference(&host, "nowhere:v9");
    assert_eq!(client().head(&missing).await.unwrap(), None);
    let error = client().resolve(&missing, None).await.unwrap_err();
    assert!(matches!(error, RegistryError::NotFound { .. }));
    assert_eq!(
        error.to_string(),
        format!("{missing} isn't in the registry")
    );
}

#[tokio::test]
async fn the_real_base_resolves() {
    let engines = Engines::from_env();
    let base: Reference = engines.base.parse().unwrap();
    let images = client().images(&base, None).await.unwrap();
    assert_eq!(images.len(), 1);
    assert!(
        images[0]
            .layers
            .iter()
            .all(|l| l.blob.digest() != &l.diff_id),
        "compressed layers"
    );
}

#[tokio::test]
async fn a_mirror_is_asked_first_and_its_failure_is_no_harm() {
    let host = Engines::from_env().registry;
    let made = image(fresh_seed(), &[10]);
    let to: Reference = format!("{host}/hub/library/mirrored:v1").parse().unwrap();
    client()
        .push_layout(&made.layout, &to, &[], silent())
        .await
        .unwrap();

    let with = |mirrors: Vec<String>, of: &str| {
        let mirrors = BTreeMap::from([(of.to_owned(), mirrors)]);
        Registry::new(RegistryOptions {
            mirrors,
            ..options()
        })
    };
    let registry = with(
        vec!["127.0.0.1:1".to_owned(), format!("http://{host}/hub")],
        "docker.io",
    );
    let resolved = registry
        .resolve(&"mirrored:v1".parse().unwrap(), None)
        .await
        .unwrap();
    assert_eq!(resolved.descriptor.digest(), &made.top);
    assert!(
        resolved
            .reference
            .to_string()
            .starts_with("docker.io/library/mirrored:v1@sha256:")
    );

    let registry = with(vec!["127.0.0.1:1".to_owned()], &host);
    let resolved = registry.resolve(&to, None).await.unwrap();
    assert_eq!(resolved.descriptor.digest(), &made.top);
}
