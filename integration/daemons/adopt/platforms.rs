//! Images for several platforms.

use serde_json::json;

use super::{Pushed, Shop};
use crate::image::{name_and_tag, unique};
use crate::support::http;

const INDEX: &str = "application/vnd.oci.image.index.v1+json";
const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";

#[test]
fn every_platform_is_given_away_and_attestations_are_not() {
    let shop = Shop::new();
    let tag = unique(&shop.engines.registry, "adopt-platforms");
    shop.build(&tag, &["--uid", "1000", "--user", "vorph"]);
    let one = Pushed::get(&tag);
    let (host, (name, _)) = (one.host.as_str(), name_and_tag(&tag));

    // The same files for another machine: only the configuration tells them apart.
    let mut config = one.config.clone();
    config["architecture"] = "arm64".into();
    let config = serde_json::to_vec(&config).unwrap();
    let mut manifest = one.manifest.clone();
    manifest["config"]["digest"] = http::put_blob(host, name, &config).into();
    manifest["config"]["size"] = config.len().into();
    let mut list = Vec::new();
    for (arch, manifest) in [("amd64", &one.manifest), ("arm64", &manifest)] {
        let bytes = serde_json::to_vec(manifest).unwrap();
        let digest = http::sha256(&bytes);
        http::put_manifest(host, name, &digest, MANIFEST, &bytes);
        list.push(
            json!({ "mediaType": MANIFEST, "digest": digest, "size": bytes.len(),
            "platform": { "os": "linux", "architecture": arch } }),
        );
        list.push(
            json!({ "mediaType": MANIFEST, "digest": digest, "size": bytes.len(),
            "annotations": { "vnd.docker.reference.type": "attestation-manifest" },
            "platform": { "os": "unknown", "architecture": "unknown" } }),
        );
    }
    let index = json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": list });
    http::put_manifest(host, name, "both", INDEX, index.to_string().as_bytes());

    let both = tag.replace(":v1", ":both");
    let ran = shop.adopt(&both, &["--uid", "2000"]);
    assert!(
        ran.stderr.contains("attestations tell of the old image"),
        "{}",
        ran.stderr
    );
    let (_, index) = http::manifest(host, name, "both-uid2000");
    let list = index["manifests"].as_array().unwrap();
    let platforms: Vec<_> = list
        .iter()
        .map(|m| &m["platform"]["architecture"])
        .collect();
    assert_eq!(platforms, ["amd64", "arm64"]);
    for entry in list {
        let digest = entry["digest"].as_str().unwrap();
        let (_, manifest) = http::manifest(host, name, digest);
        let config = http::json_blob(host, name, &manifest["config"]["digest"]);
        assert_eq!(config["architecture"], entry["platform"]["architecture"]);
        let last = manifest["layers"].as_array().unwrap().last().unwrap();
        assert_ne!(Some(last), one.layers().last());
    }
    assert_eq!(shop.sh(ran.answer(), "id -u"), "2000");
}
