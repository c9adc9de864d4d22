//! Pushing: big and many layers, skipping, mounting, indexes, tars.

use std::process::Command;

use mlbuild::registry::PushHints;

use super::cable::Cable;
use super::own::Own;
use super::{Heard, client, reference, silent};
use crate::support::engines::Engines;
use crate::support::layouts::{as_tar, fresh_seed, image, index};

const MIB: usize = 1 << 20;

#[tokio::test]
async fn big_and_many_layers_arrive_and_are_skipped_the_second_time() {
    let engines = Engines::from_env();
    let mut sizes = vec![64 * MIB + 1, 0, 1];
    sizes.extend((1..60).map(|n| n * 1000));
    let made = image(fresh_seed(), &sizes);
    let to = reference(&engines.registry, "big:v1");

    let heard = Heard::default();
    let published = client()
        .push_layout(&made.layout, &to, &[], heard.listener())
        .await
        .unwrap();
    assert_eq!(published.descriptor.digest(), &made.top);
    assert_eq!(published.pinned(), format!("{to}@{}", made.top));
    // The empty layer may be in the registry from an earlier run.
    assert!(heard.uploaded() >= sizes.len() && heard.uploaded() <= sizes.len() + 1);

    let again = Heard::default();
    client()
        .push_layout(&made.layout, &to, &[], again.listener())
        .await
        .unwrap();
    assert_eq!((again.existing(), again.uploaded()), (sizes.len() + 1, 0));

    // Another program reads what we pushed.
    let skopeo = Command::new(engines.bin.join("skopeo"))
        .args(["inspect", "--tls-verify=false", &format!("docker://{to}")])
        .output()
        .unwrap();
    assert!(
        skopeo.status.success(),
        "{}",
        String::from_utf8_lossy(&skopeo.stderr)
    );
    let said: serde_json::Value = serde_json::from_slice(&skopeo.stdout).unwrap();
    assert_eq!(said["Digest"], made.top.to_string());
    assert_eq!(said["Layers"].as_array().unwrap().len(), sizes.len());
}

#[tokio::test]
async fn a_neighbour_gives_its_blobs() {
    let engines = Engines::from_env();
    let made = image(fresh_seed(), &[5 * MIB, 100]);
    let near = reference(&engines.registry, "near:v1");
    let registry = client();
    registry
        .push_layout(&made.layout, &near, &[], silent())
        .await
        .unwrap();

    let heard = Heard::default();
    let to = reference(&engines.registry, &format!("mounted-{}:v1", fresh_seed()));
    let from = [
        "mlbuild-registry-tests/nowhere".to_owned(),
        near.repository().to_owned(),
    ];
    let published = registry
        .push_layout(&made.layout, &to, &from, heard.listener())
        .await
        .unwrap();
    assert_eq!((heard.mounted(), heard.uploaded()), (3, 0));
    assert!(
        registry
            .exists(&to, published.descriptor.digest())
            .await
            .unwrap()
    );
}

#[tokio::test]
async fn an_index_goes_with_its_platforms_and_attestations() {
    let engines = Engines::from_env();
    let made = index(fresh_seed());
    let to = reference(&engines.registry, "index:v1");
    let registry = client();
    let published = registry
        .push_layout(&made.layout, &to, &[], silent())
        .await
        .unwrap();
    assert_eq!(published.descriptor.digest(), &made.top);

    let resolved = registry.resolve(&to, None).await.unwrap();
    assert!(resolved.is_index);
    assert_eq!(resolved.manifests.len(), 2, "attestations are no images");
    let in_registry = registry.images(&to, None).await.unwrap();
    let on_disk = made.layout.images().unwrap();
    let facts = |images: &[mlbuild::image::PlatformImage]| -> Vec<_> {
        images
            .iter()
            .map(|i| (i.manifest.digest().clone(), i.layers.clone()))
            .collect()
    };
    assert_eq!(facts(&in_registry), facts(&on_disk));
}

#[tokio::test]
async fn a_tar_is_pushed_as_it_lies() {
    let engines = Engines::from_env();
    let made = image(fresh_seed(), &[3 * MIB, 7]);
    let to = reference(&engines.registry, "tar:v1");
    let tar = as_tar(&made);
    let published = client()
        .push_layout(&tar, &to, &[], silent())
        .await
        .unwrap();
    assert_eq!(published.descriptor.digest(), &made.top);
}

#[tokio::test]
async fn without_a_tag_the_digest_is_the_name() {
    let engines = Engines::from_env();
    let made = image(fresh_seed(), &[10]);
    let to = reference(&engines.registry, "untagged").clone_with_digest(made.top.to_string());
    let published = client()
        .push_layout(&made.layout, &to, &[], silent())
        .await
        .unwrap();
    assert_eq!(
        published.reference.digest(),
        Some(made.top.to_string().as_str())
    );
    assert!(client().exists(&to, &made.top).await.unwrap());
}

/// What is known of a repository saves questions; where it is wrong, they are asked.
#[tokio::test]
async fn hints_save_questions_and_may_be_wrong() {
    let own = Own::start();
    let seed = fresh_seed();
    let (first, second) = (image(seed, &[MIB, 2000]), image(seed, &[MIB, 2000, 30]));
    let base = reference(&own.host, "before:v1");
    let near = base.repository().to_owned();
    client()
        .push_layout(&first.layout, &base, &[], silent())
        .await
        .unwrap();
    let named = first.layout.closure(first.layout.top().unwrap()).unwrap();
    let layers = named.iter().filter(|(_, is_document)| !is_document);
    let lent = |from: &str| PushHints {
        mount_from: vec![from.to_owned()],
        lenders: layers
            .clone()
            .map(|(blob, _)| (blob.digest().clone(), from.to_owned()))
            .collect(),
        before: None,
        is_doubted: false,
    };
    let before = |digest: &oci_spec::image::Digest| PushHints {
        before: Some(digest.clone()),
        ..PushHints::default()
    };
    // What is known, where it is pushed to, and: questions for blobs, blobs that are there, lent and sent.
    let cases = [
        (
            "the image before",
            before(&first.top),
            "before",
            [0, 2, 0, 2],
        ),
        (
            "no image before",
            before(&second.top),
            "nothing",
            [4, 0, 0, 4],
        ),
        // The others are mounted, too, once they have been asked for: the first case has brought them there.
        ("a lender", lent(&near), "lent", [2, 0, 4, 0]),
        ("no lender", lent("nowhere/at-all"), "unlent", [4, 0, 0, 4]),
    ];
    for (what, hints, to, expected) in cases {
        let cable = Cable::to(&own.host, Box::new(|_| false)).await;
        let to = reference(&cable.host, &format!("{to}:v2"));
        let heard = Heard::default();
        let pushed = client()
            .push_knowing(&second.layout, &to, &hints, heard.listener())
            .await;
        assert_eq!(pushed.unwrap().descriptor.digest(), &second.top, "{what}");
        let requests = cable.requests();
        let asked = requests.iter().filter(|request| request.method == "HEAD");
        let found = [
            asked.count(),
            heard.existing(),
            heard.mounted(),
            heard.uploaded(),
        ];
        assert_eq!(found, expected, "{what}: {requests:?}");
    }

    // The image before is there, and one of its layers isn't.
    let layer = first.layout.top().unwrap();
    let manifest: serde_json::Value =
        serde_json::from_slice(&first.layout.document(layer).unwrap()).unwrap();
    let digest = manifest["layers"][0]["digest"].as_str().unwrap();
    let hex = digest.strip_prefix("sha256:").unwrap();
    let data = own.folder().join("data/docker/registry/v2");
    let link = format!("repositories/{near}/_layers/sha256/{hex}");
    std::fs::remove_dir_all(data.join(link)).unwrap();
    std::fs::remove_dir_all(data.join("blobs/sha256").join(&hex[..2]).join(hex)).unwrap();
    let third = image(seed, &[MIB, 2000, 40]);
    let heard = Heard::default();
    client()
        .push_knowing(&third.layout, &base, &before(&first.top), heard.listener())
        .await
        .unwrap();
    let kept = client().images(&base, None).await.unwrap();
    let blobs: Vec<_> = kept[0].layers.iter().map(|l| l.blob.clone()).collect();
    assert_eq!((heard.uploaded(), blobs.len()), (3, 3));
    assert_eq!(client().missing_blobs(&base, &blobs).await.unwrap(), []);
}
