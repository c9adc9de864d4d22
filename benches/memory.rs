//! The most memory that a command ever has, at a size for which tests have no time: `diff` of two images of
//! four layers of 950,000 entries. `cargo bench --bench memory [ENTRIES]` prints it, and fails where it is
//! more than is promised. The images take some hundred megabytes of the temporary folder.

#[path = "../integration/support/peak.rs"]
mod peak;

use std::fs::{self, File};
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// Of each layer, where nobody says otherwise.
const ENTRIES: u64 = 950_000;
const LAYERS: usize = 4;
/// What is promised, in KiB.
const PROMISED: u64 = 200_000;
/// Bytes of each tenth file.
const CONTENT: &[u8] = b"{\"label\": 7, \"box\": [12, 40, 200, 180], \"source\": \"camera-3\"}\n";

/// Hashes and counts what passes.
struct Hashed<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W> Hashed<W> {
    fn new(inner: W) -> Self {
        Self {
            inner,
            hash: Sha256::new(),
            size: 0,
        }
    }
}

impl<W: Write> Write for Hashed<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// What a layer of the second image has that the first one's hasn't.
#[derive(Clone, Copy)]
enum Differs {
    OneTime,
    AllTimes,
    AllNames,
    Order,
}

const DIFFERENCES: [Differs; LAYERS] = [
    Differs::OneTime,
    Differs::AllTimes,
    Differs::AllNames,
    Differs::Order,
];

/// A layer as a tar, compressed; its descriptor and the digest of the tar.
fn write_layer(
    blobs: &Path,
    layer: usize,
    is_second: bool,
    entries: u64,
) -> io::Result<(Value, String)> {
    let half = blobs.join("half");
    let file = Hashed::new(BufWriter::new(File::create(&half)?));
    let packed = zstd::Encoder::new(file, 1)?;
    let mut tar = tar::Builder::new(Hashed::new(packed));
    for place in 0..entries {
        let (header, content) = entry(layer, is_second, place, entries)?;
        tar.append(&header, content)?;
    }
    let tar = tar.into_inner()?;
    let mut file = tar.inner.finish()?;
    file.flush()?;
    let size = file.size;
    let (digest, diff_id) = (digest(file.hash), digest(tar.hash));
    fs::rename(&half, blobs.join(digest.trim_start_matches("sha256:")))?;
    let kind = "application/vnd.oci.image.layer.v1.tar+zstd";
    let descriptor = json!({ "mediaType": kind, "digest": digest, "size": size });
    Ok((descriptor, diff_id))
}

/// What stands at a place of a layer.
fn entry(
    layer: usize,
    is_second: bool,
    place: u64,
    entries: u64,
) -> io::Result<(tar::Header, &'static [u8])> {
    let differs = DIFFERENCES[layer];
    let n = match differs {
        Differs::Order if is_second => entries - 1 - place,
        _ => place,
    };
    let is_other = match differs {
        Differs::OneTime => is_second && n == entries / 2,
        Differs::AllTimes | Differs::AllNames => is_second,
        Differs::Order => false,
    };
    let content = if n.is_multiple_of(10) { CONTENT } else { &[] };
    let word = match differs {
        Differs::AllNames if is_other => "other",
        _ => "sample",
    };
    let part = n / 1000;
    let mut header = tar::Header::new_ustar();
    header.set_path(format!(
        "srv/datasets/layer-{layer}/part-{part:04}/{word}-{n:07}-annotated.json"
    ))?;
    header.set_entry_type(tar::EntryType::Regular);
    header.set_mode(0o644);
    header.set_mtime(1_700_000_000 + u64::from(is_other));
    header.set_size(content.len() as u64);
    header.set_cksum();
    Ok((header, content))
}

fn digest(hash: Sha256) -> String {
    format!("sha256:{}", hex::encode(hash.finalize()))
}

/// A document among the blobs; its descriptor.
fn document(blobs: &Path, kind: &str, value: &Value) -> io::Result<Value> {
    let bytes = serde_json::to_vec(value)?;
    let digest = digest(Sha256::new_with_prefix(&bytes));
    fs::write(blobs.join(digest.trim_start_matches("sha256:")), &bytes)?;
    Ok(json!({ "mediaType": kind, "digest": digest, "size": bytes.len() }))
}

/// One of the two images, as a layout in a folder.
fn write_image(folder: &Path, is_second: bool, entries: u64) -> io::Result<()> {
    let blobs = folder.join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let (mut layers, mut ids) = (Vec::new(), Vec::new());
    for layer in 0..LAYERS {
        let (descriptor, id) = write_layer(&blobs, layer, is_second, entries)?;
        layers.push(descriptor);
        ids.push(id);
    }
    let config = json!({ "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": { "type": "layers", "diff_ids": ids } });
    let config = document(&blobs, "application/vnd.oci.image.config.v1+json", &config)?;
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest =
        json!({ "schemaVersion": 2, "mediaType": kind, "config": config, "layers": layers });
    let manifest = document(&blobs, kind, &manifest)?;
    let index = json!({ "schemaVersion": 2, "manifests": [manifest] });
    fs::write(folder.join("index.json"), index.to_string())?;
    fs::write(
        folder.join("oci-layout"),
        r#"{"imageLayoutVersion":"1.0.0"}"#,
    )
}

fn main() {
    let given = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let entries = given.map_or(ENTRIES, |text| text.parse().expect("a number of entries"));
    let folder = tempfile::tempdir().expect("a folder");
    let images = ["first", "second"].map(|name| folder.path().join(name));
    for (image, is_second) in images.iter().zip([false, true]) {
        write_image(image, is_second, entries).expect("an image");
    }
    let mut command = Command::new(env!("CARGO_BIN_EXE_mlbuild"));
    command
        .args(["diff", "--format", "json"])
        .args(&images)
        .env("MLBUILD_STATE_DIR", folder.path().join("state"));
    let began = Instant::now();
    let (code, answer, peak) = peak::measured(&mut command);
    let took = began.elapsed().as_secs();
    assert_eq!(code, Some(4));
    // It read all of it.
    let answer: Value = serde_json::from_slice(&answer).expect("JSON");
    let layers = &answer["platforms"]["linux/amd64"]["layers"];
    let counts = |layer: usize| layers[layer]["counts"].clone();
    assert_eq!(counts(0), json!({ "mtime": 1 }));
    assert_eq!(counts(1), json!({ "mtime": entries }));
    assert_eq!(
        counts(2),
        json!({ "only in first": entries, "only in second": entries })
    );
    assert_eq!(
        (counts(3), layers[3]["order"].is_string()),
        (json!({}), true)
    );
    println!(
        "| diff | layers | entries of each | seconds | MB at the peak |\n| --- | --- | --- | --- | --- |\n\
         | of two images | {LAYERS} | {entries} | {took} | {} |",
        peak * 1024 / 1_000_000
    );
    assert!(
        peak < PROMISED,
        "{peak} KiB at the peak, {PROMISED} are promised"
    );
}
