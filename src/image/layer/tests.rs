//! Layers as builders write them, and layers that somebody made to do harm.

use std::io::Read;
use std::ops::ControlFlow;

use oci_spec::image::MediaType;
use proptest::prelude::*;

use super::*;
use crate::image::ImageLayer;

type Found = Vec<(LayerEntry, Vec<u8>)>;

fn read(blob: &[u8], layer: &ImageLayer) -> Result<Found, LayerError> {
    read_within(blob, layer, &LayerLimits::for_blob(layer.blob.size()))
}

fn read_within(blob: &[u8], layer: &ImageLayer, limits: &LayerLimits) -> Result<Found, LayerError> {
    let mut found = Vec::new();
    read_layer(blob, layer, limits, &mut |entry, content| {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        found.push((entry.clone(), bytes));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// A tar as a layer that isn't packed.
fn plain(tar: &[u8]) -> ImageLayer {
    Packing::Plain.pack(tar.to_vec(), MediaType::ImageLayer).1
}

fn entry(path: &str, kind: EntryKind) -> LayerEntry {
    LayerEntry::plain(path, kind)
}

fn link(path: &str, kind: EntryKind, to: &str) -> LayerEntry {
    LayerEntry {
        link: Some(to.into()),
        ..entry(path, kind)
    }
}

fn file(path: &str, content: &[u8]) -> (LayerEntry, Vec<u8>) {
    let size = content.len() as u64;
    let entry = LayerEntry {
        size,
        ..entry(path, EntryKind::File)
    };
    (entry, content.to_vec())
}

/// A tar with one entry of this name, which our own writer would not write.
fn tar_with(name: &str, kind: tar::EntryType, to: Option<&str>) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    append(&mut builder, name, kind, to);
    builder.into_inner().unwrap()
}

fn append(builder: &mut tar::Builder<Vec<u8>>, name: &str, kind: tar::EntryType, to: Option<&str>) {
    let mut header = tar::Header::new_ustar();
    header.as_old_mut().name[..name.len()].copy_from_slice(name.as_bytes());
    if let Some(to) = to {
        header.as_old_mut().linkname[..to.len()].copy_from_slice(to.as_bytes());
    }
    header.set_entry_type(kind);
    header.set_mode(0o644);
    header.set_uid(0);
    header.set_gid(0);
    header.set_size(0);
    header.set_mtime(0);
    header.set_cksum();
    builder.append(&header, &[][..]).unwrap();
}

/// The error of a tar, without its digest.
fn refusal(tar: &[u8]) -> String {
    read(tar, &plain(tar)).unwrap_err().problem.to_string()
}

#[test]
fn every_packing_of_a_layer_reads_the_same() {
    let entries = vec![
        (entry("", EntryKind::Folder), Vec::new()),
        file("etc/passwd", b"root:x:0:0\n"),
        (link("lib", EntryKind::Symlink, "/usr/../lib"), Vec::new()),
        (
            link("etc/again", EntryKind::HardLink, "etc/passwd"),
            Vec::new(),
        ),
        (entry("opt", EntryKind::Opaque), Vec::new()),
        (entry("tmp/gone", EntryKind::Whiteout), Vec::new()),
    ];
    let tar = write_tar(&entries);
    for (packing, media_type) in [
        (Packing::Plain, MediaType::ImageLayer),
        (Packing::Gzip, MediaType::ImageLayerGzip),
        (Packing::Zstd, MediaType::ImageLayerZstd),
        // What is in it counts, not what it is called.
        (Packing::Gzip, MediaType::ImageLayerZstd),
    ] {
        let (blob, layer) = packing.pack(tar.clone(), media_type);
        assert_eq!(read(&blob, &layer).unwrap(), entries, "{packing:?}");
    }
}

#[test]
fn the_writer_writes_what_other_tars_read() {
    let long = format!("{}/{}", "d".repeat(90), "f".repeat(90));
    let mut one = file(&long, b"content");
    one.0.uid = 1_000_000_055;
    one.0.mtime.nanos = 500_000_000;
    one.0.xattrs.insert(b"user.a".to_vec(), b"12".to_vec());
    let tar = write_tar(&[one]);
    let mut archive = tar::Archive::new(tar.as_slice());
    let mut found = archive.entries().unwrap().next().unwrap().unwrap();
    assert_eq!(found.path_bytes().as_ref(), long.as_bytes());
    let mut content = String::new();
    found.read_to_string(&mut content).unwrap();
    assert_eq!(content, "content");
    let records: Vec<_> = found
        .pax_extensions()
        .unwrap()
        .unwrap()
        .flatten()
        .map(|r| r.key().unwrap().to_owned())
        .collect();
    assert_eq!(records[..2], ["SCHILY.xattr.user.a", "mtime"]);
}

#[test]
fn long_names_of_gnu_tar_are_read() {
    let long = format!("{}/{}", "d".repeat(200), "f".repeat(200));
    let mut builder = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(3);
    header.set_mode(0o600);
    builder
        .append_data(&mut header, &long, &b"abc"[..])
        .unwrap();
    let tar = builder.into_inner().unwrap();
    let found = read(&tar, &plain(&tar)).unwrap();
    assert_eq!(found[0].0.path, EntryPath::from(long.as_str()));
    assert_eq!(found[0].1, b"abc");
}

#[test]
fn paths_that_lead_out_are_refused() {
    use tar::EntryType::{Link, Regular, Symlink};
    let of = |name, kind, to| refusal(&tar_with(name, kind, to));
    insta::assert_snapshot!(of("../etc/passwd", Regular, None), @"refused: the path `../etc/passwd` leads out of the image");
    insta::assert_snapshot!(of("a/../../b", Regular, None), @"refused: the path `a/../../b` leads out of the image");
    insta::assert_snapshot!(of("/etc/passwd", Regular, None), @"refused: the path `/etc/passwd` is absolute");
    insta::assert_snapshot!(of("a", Link, Some("../../etc/shadow")), @"refused: the path `a` is a hard link out of the image");
    insta::assert_snapshot!(of("a", Link, Some("/etc/shadow")), @"refused: the path `a` is a hard link out of the image");
    insta::assert_snapshot!(of("a/.wh...", Regular, None), @"refused: the path `a/.wh...` is a whiteout of nothing");
    insta::assert_snapshot!(of("./", Symlink, Some("/")), @"refused: the path `./` is the root, and no folder");

    let through = |name, kind, to| {
        let mut builder = tar::Builder::new(Vec::new());
        append(&mut builder, "a", Symlink, Some("/"));
        append(&mut builder, name, kind, to);
        refusal(&builder.into_inner().unwrap())
    };
    insta::assert_snapshot!(through("a/etc/passwd", Regular, None), @"refused: the path `a/etc/passwd` leads through a symbolic link of the same layer");
    insta::assert_snapshot!(through("b", Link, Some("a/etc/shadow")), @"refused: the path `b` is a hard link through a symbolic link of the same layer");

    // Where a symbolic link leads is up to the container, and its place may be taken.
    let mut builder = tar::Builder::new(Vec::new());
    append(&mut builder, "a", Symlink, Some("../../.."));
    append(&mut builder, "a", tar::EntryType::Directory, None);
    append(&mut builder, "a/b", Regular, None);
    let tar = builder.into_inner().unwrap();
    assert_eq!(read(&tar, &plain(&tar)).unwrap().len(), 3);
}

#[test]
fn a_message_names_layer_and_path_and_can_not_rewrite_the_terminal() {
    let tar = tar_with("../\x1b[2Jx", tar::EntryType::Regular, None);
    let layer = plain(&tar);
    let message = read(&tar, &layer).unwrap_err().to_string();
    let expected = format!(
        "layer {}: refused: the path `../\\u{{1b}}[2Jx`",
        layer.blob.digest()
    );
    assert!(message.starts_with(&expected), "{message}");
}

#[test]
fn a_small_blob_can_not_become_much() {
    let tar = write_tar(&[file("zeros", &vec![0; 8 << 20])]);
    let (blob, layer) = Packing::Zstd.pack(tar, MediaType::ImageLayerZstd);
    let limits = |unpacked, entries, names| LayerLimits {
        unpacked,
        entries,
        names,
    };
    let of = |limits| {
        let error = read_within(&blob, &layer, &limits).unwrap_err();
        let text = error.problem.to_string();
        text.replace(&layer.blob.size().to_string(), "[SIZE]")
    };
    insta::assert_snapshot!(of(limits(1 << 20, 9, 99)), @"refused: it holds more bytes, more than the 1048576 that [SIZE] bytes may unpack to");
    insta::assert_snapshot!(of(limits(1 << 30, 0, 99)), @"refused: it holds more entries, more than the 0 that [SIZE] bytes may unpack to");
    insta::assert_snapshot!(of(limits(1 << 30, 9, 4)), @"refused: it holds more bytes of names, more than the 4 that [SIZE] bytes may unpack to");
    assert!(read_within(&blob, &layer, &limits(9 << 20, 1, 5)).is_ok());
    assert_eq!(LayerLimits::for_blob(1000).unpacked, 1 << 30);
    assert_eq!(LayerLimits::for_blob(1 << 30).unpacked, 200 << 30);
    assert_eq!(LayerLimits::for_blob(u64::MAX).unpacked, u64::MAX);
}

#[test]
fn an_extension_header_is_not_read_before_its_size_is_known() {
    let mut header = tar::Header::new_ustar();
    header.set_entry_type(tar::EntryType::XHeader);
    header.set_size(1 << 33);
    header.set_cksum();
    insta::assert_snapshot!(refusal(header.as_bytes()), @"isn't a tar that can be read: an extension header of 8589934592 bytes, more than 1048576");
}

#[test]
fn what_is_no_layer_is_told() {
    insta::assert_snapshot!(refusal(&[b'x'; 2048]), @"isn't a tar that can be read at `xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx`: numeric field was not a number: xxxxxxxx when getting cksum for xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx");
    insta::assert_snapshot!(refusal(&tar_with("a", tar::EntryType::GNUSparse, None)), @"isn't a tar that can be read at `a`: an entry of a kind that images don't have");
    let mut layer = plain(b"");
    layer
        .blob
        .set_media_type(MediaType::ImageLayerNonDistributableGzip);
    insta::assert_snapshot!(read(b"", &layer).unwrap_err(), @"layer sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855: application/vnd.oci.image.layer.nondistributable.v1.tar+gzip can't be read as a layer");
    assert_eq!(read(b"", &plain(b"")).unwrap(), []);
}

#[test]
fn what_the_manifest_says_is_checked() {
    let tar = write_tar(&[file("a", b"1")]);
    let (blob, layer) = Packing::Gzip.pack(tar.clone(), MediaType::ImageLayerGzip);
    let other = mlbuild_manifests::digest::sha256(b"other");
    let mut wrong = layer.clone();
    wrong.diff_id = other.clone();
    let error = read(&blob, &wrong).unwrap_err();
    assert!(
        matches!(*error.problem, LayerProblem::DiffId { .. }),
        "{error}"
    );
    let mut wrong = layer.clone();
    wrong.blob.set_digest(other);
    let error = read(&blob, &wrong).unwrap_err();
    assert!(
        matches!(*error.problem, LayerProblem::Digest { .. }),
        "{error}"
    );
    let longer = [blob.as_slice(), b"more"].concat();
    let error = read(&longer, &layer).unwrap_err();
    assert!(
        matches!(*error.problem, LayerProblem::TooLong { .. }),
        "{error}"
    );
}

/// An error of whoever reads, at any size of blob, is no word about the layer.
#[test]
fn what_the_reader_of_a_layer_says_is_what_is_told() {
    let tar = write_tar(&[file("a", &[7; 300_000]), file("b", b"b")]);
    let layer = plain(&tar);
    let limits = LayerLimits::for_blob(layer.blob.size());
    for read in [0, 10, 300_000] {
        let error = read_layer(&tar[..], &layer, &limits, &mut |_, content| {
            std::io::copy(&mut content.take(read), &mut std::io::sink())?;
            Err(std::io::Error::other("no room"))
        });
        let error = error.unwrap_err().to_string();
        assert!(
            error.ends_with("can't be taken in at `a`: no room"),
            "{error}"
        );
    }
    // A layer that ends early does so for everybody, also where the reader passes the error on.
    let cut = &tar[..100_000];
    let error = read_layer(cut, &layer, &limits, &mut |_, content| {
        std::io::copy(content, &mut std::io::sink())?;
        Ok(ControlFlow::Continue(()))
    });
    let error = error.unwrap_err();
    assert!(
        matches!(*error.problem, LayerProblem::Truncated { .. }),
        "{error}"
    );
}

#[test]
fn every_cut_is_noticed() {
    let entries = [file("a", &[7; 3000]), file("b", b"2")];
    let tar = write_tar(&entries);
    for packing in [Packing::Plain, Packing::Gzip, Packing::Zstd] {
        let (blob, layer) = packing.pack(tar.clone(), MediaType::ImageLayer);
        for end in 0..blob.len() {
            let error = read(&blob[..end], &layer).unwrap_err();
            assert!(
                matches!(*error.problem, LayerProblem::Truncated { .. }),
                "{packing:?}, cut at {end}: {error}"
            );
        }
    }
}

fn any_entry() -> impl Strategy<Value = (LayerEntry, Vec<u8>)> {
    let path =
        "[a-zé]{1,60}(/[a-z .]{1,60}){0,3}".prop_map(|p| p.replace("/.", "/x").replace("/ ", "/y"));
    let kinds = prop::sample::select(vec![
        EntryKind::File,
        EntryKind::Folder,
        EntryKind::HardLink,
        EntryKind::CharDevice,
        EntryKind::Fifo,
        EntryKind::Whiteout,
    ]);
    let xattrs = prop::collection::btree_map(
        "[a-z.]{1,9}".prop_map(String::into_bytes),
        prop::collection::vec(any::<u8>(), 0..30),
        0..3,
    );
    let ids = (0u64..5_000_000_000, 0u64..5_000_000_000, 0u32..0o10000);
    let time = (-5_000_000_000i64..20_000_000_000, 0u32..1_000_000_000);
    let content = prop::collection::vec(any::<u8>(), 0..2000);
    (path, kinds, ids, time, xattrs, content).prop_map(
        |(path, kind, (uid, gid, mode), (seconds, nanos), xattrs, content)| {
            let is_file = kind == EntryKind::File;
            let content = if is_file { content } else { Vec::new() };
            let entry = LayerEntry {
                path: EntryPath::from(path.as_str()),
                kind,
                mode,
                uid,
                gid,
                uname: b"me".to_vec(),
                gname: "\u{e9}".repeat(20).into_bytes(),
                mtime: Mtime { seconds, nanos },
                size: content.len() as u64,
                link: (kind == EntryKind::HardLink).then(|| b"some/where".to_vec()),
                device: (kind == EntryKind::CharDevice).then_some((1, 3)),
                xattrs,
            };
            (entry, content)
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn what_is_written_reads_back(entries in prop::collection::vec(any_entry(), 0..6)) {
        let tar = write_tar(&entries);
        let (blob, layer) = Packing::Gzip.pack(tar, MediaType::ImageLayerGzip);
        prop_assert_eq!(read(&blob, &layer).unwrap(), entries);
    }

    #[test]
    fn a_changed_blob_is_an_error(
        entries in prop::collection::vec(any_entry(), 1..4),
        at in any::<prop::sample::Index>(),
        with in 1u8..=255,
        zstd in any::<bool>(),
    ) {
        let packing = if zstd { Packing::Zstd } else { Packing::Gzip };
        let (mut blob, layer) = packing.pack(write_tar(&entries), MediaType::ImageLayer);
        let at = at.index(blob.len());
        blob[at] ^= with;
        prop_assert!(read(&blob, &layer).is_err());
    }

    #[test]
    fn a_tar_that_was_tampered_with_never_panics(
        entries in prop::collection::vec(any_entry(), 1..5),
        edits in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..20),
        mends in any::<bool>(),
    ) {
        let mut tar = write_tar(&entries);
        for (at, with) in edits {
            let at = at.index(tar.len());
            tar[at] = with;
        }
        if mends {
            mend(&mut tar);
        }
        // The digests are those of the tampered tar, so that its content is what is judged.
        if let Ok(found) = read(&tar, &plain(&tar)) {
            for (entry, content) in found {
                prop_assert_eq!(entry.size, content.len() as u64);
                prop_assert!(!entry.path.to_string().contains("/../"));
            }
        }
    }
}

/// Gives every block that could be a header the checksum of one.
fn mend(tar: &mut [u8]) {
    for block in tar.chunks_exact_mut(512) {
        if &block[257..262] == b"ustar" {
            let sum = super::headers::sum((&*block).try_into().unwrap());
            block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
        }
    }
}
