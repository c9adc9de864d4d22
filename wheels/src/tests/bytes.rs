//! The bytes of layers. Where one of these digests changes, every layer that anybody has made
//! becomes another: then [`LAYER_FORMAT`](crate::LAYER_FORMAT) changes too.

use crate::testing::{SmallWheel, ZipEntry};
use crate::{Compression, LAYER_FORMAT, Layer, Target, Wheel, write_wheels};

fn wheel() -> SmallWheel {
    let text: String = (0..60_000u64)
        .map(|n| format!("{:x} ", n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 30))
        .collect();
    let entry_points = b"[console_scripts]\npinned = pinned:main\n";
    SmallWheel::new("pinned")
        .file("pinned/__init__.py", b"def main(): pass\n")
        .file(
            &format!("pinned/{}/{}.py", "long".repeat(30), "name".repeat(30)),
            b"",
        )
        .entry(ZipEntry::new("pinned/caf\u{e9}.txt", text.as_bytes()).mode(0o100755))
        .file("pinned-1.0.dist-info/entry_points.txt", entry_points)
}

fn layer(wheels: &[Wheel], compression: Compression) -> Layer {
    let target = Target::new("3.11".parse().unwrap(), "/opt/venv").unwrap();
    write_wheels(wheels, &target, compression, std::io::sink())
        .unwrap()
        .0
}

#[test]
fn the_bytes_of_a_layer_are_pinned() {
    let wheels = [wheel().open().unwrap()];
    let [zstd, gzip, chunked, estargz] = [
        Compression::Zstd,
        Compression::Gzip,
        Compression::ZstdChunked,
        Compression::Estargz,
    ]
    .map(|compression| layer(&wheels, compression));
    assert_eq!(zstd.diff_id, gzip.diff_id);
    assert_eq!(zstd.diff_id, chunked.diff_id);
    // It has two more files in its tar.
    assert_ne!(zstd.diff_id, estargz.diff_id);
    for lazy in [&chunked, &estargz] {
        assert_eq!(Compression::of(&lazy.descriptor()), Some(lazy.compression));
    }
    let all = format!(
        "{LAYER_FORMAT}\n{}\n{}\n{}\n{}\n{}",
        zstd.diff_id, zstd.digest, gzip.digest, chunked.digest, estargz.digest
    );
    insta::assert_snapshot!(all, @r#"
    1
    sha256:b327765e7fa162328d43977cf551513757d62409ebff71c6a10a5b8ae74b3042
    sha256:f114391ac3c74f8cd3fdccab74fa41a5ae7d9ea0e7a54985c8843047bac8b921
    sha256:551d682e649dea4c098ee30d3c615af432951d23ca97a394999e1691c2316da2
    sha256:918b83d6b6fe9e06370108c2f1ef21a6239519864e228331e5597228065f96c3
    sha256:c3e52bc15b021de9e20c09f71a3d19af22b880c09a11071f0f2d605025110c66
    "#);
}

#[test]
fn how_a_wheel_was_zipped_and_the_order_of_several_make_no_difference() {
    let mut entries: Vec<_> = ["a", "b", "c"]
        .map(|name| ZipEntry::new(&format!("w/{name}.py"), name.as_bytes()))
        .to_vec();
    let of = |entries: &[ZipEntry]| {
        let mut wheel = SmallWheel::new("w");
        for entry in entries {
            wheel = wheel.entry(entry.clone());
        }
        // RECORD has one order in both.
        let record = "w-1.0.dist-info/RECORD,,\n";
        layer(&[wheel.record(record).open().unwrap()], Compression::Zstd)
    };
    let first = of(&entries);
    entries.reverse();
    entries[1].method = 0;
    assert_eq!(of(&entries), first);
    let (a, b) = (SmallWheel::new("a"), SmallWheel::new("b"));
    let forth = [a.open().unwrap(), b.open().unwrap()];
    let back = [b.open().unwrap(), a.open().unwrap()];
    assert_eq!(
        layer(&forth, Compression::Zstd),
        layer(&back, Compression::Zstd)
    );
}

#[test]
fn other_parameters_are_other_layers() {
    let wheels = [wheel().open().unwrap()];
    let of = |python: &str, prefix| {
        let target = Target::new(python.parse().unwrap(), prefix).unwrap();
        write_wheels(&wheels, &target, Compression::Zstd, std::io::sink())
            .unwrap()
            .0
    };
    assert_ne!(of("3.11", "/opt/venv"), of("3.12", "/opt/venv"));
    assert_ne!(of("3.11", "/opt/venv"), of("3.11", "/srv/venv"));
    assert_eq!(of("3.11", "/opt/venv"), of("3.11.9", "/opt/venv"));
}
