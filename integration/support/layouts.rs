//! OCI layouts to push: real digests over made-up content.

use std::fs;
use std::path::Path;

use mlbuild::image::OciLayout;
use mlbuild::image::layer::Packing;
use oci_spec::image::{Digest, MediaType};
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

/// One image for linux/amd64 of these steps and layers, with a configuration's settings.
pub fn built(layers: &[(&str, Vec<u8>)], packing: Packing, settings: Value) -> Made {
    let folder = tempfile::tempdir().unwrap();
    let (mut blobs, mut ids, mut history) = (Vec::new(), Vec::new(), Vec::new());
    for (step, tar) in layers {
        let kind = match packing {
            Packing::Plain => MediaType::ImageLayer,
            Packing::Gzip => MediaType::ImageLayerGzip,
            Packing::Zstd => MediaType::ImageLayerZstd,
            Packing::Lazy(_) => panic!("no layer of a test is pulled lazily"),
        };
        let (bytes, layer) = packing.pack(tar.clone(), kind.clone());
        blobs.push(blob(folder.path(), kind.as_ref(), &bytes));
        ids.push(layer.diff_id.to_string());
        history.push(json!({ "created_by": step }));
    }
    let config = json!({ "architecture": "amd64", "os": "linux", "config": settings,
        "rootfs": { "type": "layers", "diff_ids": ids }, "history": history });
    let config = document(
        folder.path(),
        "application/vnd.oci.image.config.v1+json",
        &config,
    );
    let top = manifest(folder.path(), config, blobs);
    finish(folder, top)
}

/// The same image as older Dockers save it.
pub fn as_docker_archive(layers: &[Vec<u8>], settings: Value) -> TempDir {
    let folder = tempfile::tempdir().unwrap();
    let ids = layers
        .iter()
        .map(|tar| format!("sha256:{}", hex::encode(Sha256::digest(tar))));
    let config = json!({ "architecture": "amd64", "os": "linux", "config": settings,
        "rootfs": { "type": "layers", "diff_ids": ids.collect::<Vec<_>>() } });
    let file = fs::File::create(folder.path().join("saved.tar")).unwrap();
    let mut archive = tar::Builder::new(file);
    let mut add = |name: &str, bytes: &[u8]| {
        let mut header = tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        header.set_mode(0o644);
        archive.append_data(&mut header, name, bytes).unwrap();
    };
    let names: Vec<_> = (0..layers.len())
        .map(|n| format!("{n}/layer.tar"))
        .collect();
    for (name, tar) in names.iter().zip(layers) {
        add(name, tar);
    }
    add("config.json", config.to_string().as_bytes());
    let list = json!([{ "Config": "config.json", "RepoTags": null, "Layers": names }]);
    add("manifest.json", list.to_string().as_bytes());
    archive.finish().unwrap();
    folder
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
