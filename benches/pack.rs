//! What writing a layer's final bytes costs, beside `gzip -6` and `zstd -3` on the same tar.
//! `cargo bench --bench pack [FOLDER]` prints it; the folder's files are the layer (default:
//! `/usr/lib`, up to 400 MB).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Instant;

use mlbuild::image::compare::{LayerStore, Side};
use mlbuild::image::pack::{PackOptions, PackedFolder, pack};
use mlbuild::image::{ImageLayer, PlatformImage};
use mlbuild::plan::{Compression, Repack};
use oci_spec::image::{Descriptor, Digest, MediaType, PlatformBuilder};
use serde_json::json;
use sha2::{Digest as _, Sha256};

const RUNS: usize = 5;

struct Tar(PathBuf);

impl LayerStore for Tar {
    fn open(&self, _: &ImageLayer) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(File::open(&self.0)?))
    }
}

/// Median seconds, and the bytes that came out.
fn median(mut run: impl FnMut() -> u64) -> (f64, u64) {
    let mut size = run();
    let mut times = Vec::new();
    for _ in 0..RUNS {
        let began = Instant::now();
        size = run();
        times.push(began.elapsed().as_secs_f64());
    }
    times.sort_by(f64::total_cmp);
    (times[RUNS / 2], size)
}

fn tool(line: &str, tar: &Path, out: &Path) -> u64 {
    let ended = Command::new("sh")
        .args(["-c", &format!("{line} < \"$1\" > \"$2\""), "sh"])
        .args([tar, out])
        .status();
    assert!(ended.expect("sh").success(), "{line}");
    out.metadata().expect("written").len()
}

fn main() {
    let given = std::env::args().skip(1).find(|word| !word.starts_with('-'));
    let source = given.unwrap_or_else(|| "/usr/lib".to_owned());
    let folder = tempfile::tempdir().expect("a folder");
    let (tar, out) = (folder.path().join("layer.tar"), folder.path().join("out"));
    // As many files as fit, whole.
    let script = "cd \"$1\" && find . -type f -size -20M -printf '%s %p\\n' | sort -k2 | \
                  awk '(n += $1) < 400e6 { sub(/^[0-9]+ /, \"\"); print }' | tar -cf \"$2\" -T -";
    let made = Command::new("sh")
        .args(["-c", script, "sh", &source])
        .arg(&tar)
        .status();
    assert!(made.expect("sh").success(), "tar");
    let bytes = std::fs::read(&tar).expect("the tar");
    let digest: Digest = format!("sha256:{}", hex::encode(Sha256::digest(&bytes)))
        .parse()
        .expect("a digest");
    let blob = Descriptor::new(MediaType::ImageLayer, bytes.len() as u64, digest.clone());
    drop(bytes);
    let image = PlatformImage {
        platform: PlatformBuilder::default()
            .os("linux")
            .architecture("amd64")
            .build()
            .expect("a platform"),
        manifest: blob.clone(),
        config: blob.clone(),
        layers: vec![ImageLayer {
            blob: blob.clone(),
            diff_id: digest,
        }],
    };
    let store = Tar(tar.clone());
    let side = Side {
        image,
        config: json!({"rootfs": {"type": "layers", "diff_ids": []}}),
        manifest: None,
        store: &store,
    };
    let ours = |compression| {
        let options = PackOptions {
            repack: Repack {
                epoch: 1_700_000_000,
                compression,
            },
            drops_unchanged: false,
            annotations: Default::default(),
            known: Default::default(),
        };
        let into = folder.path().join("packed");
        let _ = std::fs::remove_dir_all(&into);
        let into = PackedFolder::create(&into).expect("a folder");
        let packed = pack(&side, None, &options, &into).expect("packed");
        packed.image.layers[0].blob.size()
    };
    let gzip = median(|| tool("gzip -6", &tar, &out));
    let cases = [
        ("`gzip -6`", gzip),
        ("`zstd -3`", median(|| tool("zstd -q -3", &tar, &out))),
        ("mlbuild, zstd:3", median(|| ours(Compression::Zstd(3)))),
        ("mlbuild, gzip:6", median(|| ours(Compression::Gzip(6)))),
        ("mlbuild, none", median(|| ours(Compression::None))),
    ];
    println!(
        "{} MB of {source}, medians of {RUNS}\n\n| | ms | MB | times as quick as gzip -6 |\n| --- | --- | --- | --- |",
        blob.size() / 1_000_000
    );
    for (name, (took, size)) in cases {
        println!(
            "| {name} | {:.0} | {:.1} | {:.1} |",
            took * 1000.0,
            size as f64 / 1e6,
            gzip.0 / took
        );
    }
}
