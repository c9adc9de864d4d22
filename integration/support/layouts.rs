//! OCI layouts to push: real digests over made-up content.

use std::fs;
use std::path::Path;

use mlbuild::image::OciLayout;
use oci_spec::image::Digest;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tempfile::TempDir;

/// A layout in a folder that goes with it.
pub struct Made {
    pub folder: TempDir,
    pub layout: OciLayout,
    pub top: Digest,
}

/// Bytes that no compressor or cache can guess, the same for the same seed.
pub fn noise(seed: u64, size: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(size + 8);
    while bytes.len() < size {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(size);
    bytes
}

/// A seed that no earlier run used: registries remember blobs.
pub fn fresh_seed() -> u64 {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap();
    now.as_nanos() as u64
}

/// One image for linux/amd64 with layers of these sizes.
pub fn image(seed: u64, sizes: &[usize]) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let manifest = write_image(folder.path(), "amd64", seed, sizes);
    finish(folder, manifest)
}

/// An index with linux/amd64, linux/arm64 and provenance, as builders export it.
pub fn index(seed: u64) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path();
    let mut manifests = Vec::new();
    for (n, arch) in ["amd64", "arm64"].into_iter().enumerate() {
        let mut image = write_image(path, arch, seed + n as u64, &[1000, 2000]);
        image["platform"] = json!({ "architecture": arch, "os": "linux" });
        let digest = image["digest"].clone();
        manifests.push(image);
        let statement = blob(path, "application/vnd.in-toto+json", arch.as_bytes());
        let config = json!({ "architecture": "unknown", "os": "unknown", "config": {},
            "rootfs": { "type": "layers", "diff_ids": [statement["digest"]] } });
        let config = document(path, "application/vnd.oci.image.config.v1+json", &config);
        let mut attestation = manifest(path, config, vec![statement]);
        attestation["platform"] = json!({ "architecture": "unknown", "os": "unknown" });
        attestation["annotations"] = json!({ "vnd.docker.reference.type": "attestation-manifest",
            "vnd.docker.reference.digest": digest });
        manifests.push(attestation);
    }
    let kind = "application/vnd.oci.image.index.v1+json";
    let index = json!({ "schemaVersion": 2, "mediaType": kind, "manifests": manifests });
    let top = document(path, kind, &index);
    finish(folder, top)
}

/// The same layout as a tar.
pub fn as_tar(made: &Made) -> OciLayout {
    let path = made.folder.path().join("image.tar");
    let mut tar = tar::Builder::new(fs::File::create(&path).unwrap());
    for name in ["oci-layout", "index.json", "blobs"] {
        let from = made.folder.path().join(name);
        if from.is_dir() {
            tar.append_dir_all(name, from).unwrap();
        } else {
            tar.append_path_with_name(from, name).unwrap();
        }
    }
    tar.finish().unwrap();
    OciLayout::open(&path).unwrap()
}

fn write_image(folder: &Path, arch: &str, seed: u64, sizes: &[usize]) -> Value {
    let kind = "application/vnd.oci.image.layer.v1.tar";
    let layers: Vec<Value> = sizes
        .iter()
        .enumerate()
        .map(|(n, size)| blob(folder, kind, &noise(seed + 1000 * n as u64, *size)))
        .collect();
    let ids: Vec<Value> = layers.iter().map(|l| l["digest"].clone()).collect();
    let config = json!({ "architecture": arch, "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": ids }, "seed": seed });
    let config = document(folder, "application/vnd.oci.image.config.v1+json", &config);
    manifest(folder, config, layers)
}

fn manifest(folder: &Path, config: Value, layers: Vec<Value>) -> Value {
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let text = json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers });
    document(folder, kind, &text)
}

fn document(folder: &Path, kind: &str, value: &Value) -> Value {
    blob(folder, kind, &serde_json::to_vec(value).unwrap())
}

fn blob(folder: &Path, kind: &str, bytes: &[u8]) -> Value {
    let hash = hex::encode(Sha256::digest(bytes));
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs).unwrap();
    fs::write(blobs.join(&hash), bytes).unwrap();
    json!({ "mediaType": kind, "digest": format!("sha256:{hash}"), "size": bytes.len() })
}

fn finish(folder: TempDir, top: Value) -> Made {
    let index = json!({ "schemaVersion": 2, "manifests": [top] });
    fs::write(folder.path().join("index.json"), index.to_string()).unwrap();
    fs::write(
        folder.path().join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
    .unwrap();
    let layout = OciLayout::open(folder.path()).unwrap();
    Made {
        layout,
        folder,
        top: top["digest"].as_str().unwrap().parse().unwrap(),
    }
}
