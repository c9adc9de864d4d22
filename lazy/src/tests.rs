//! Blobs read back as their readers read them: whole, and each piece by itself.

use std::io::{Read as _, Write as _};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use sha2::{Digest as _, Sha256};

use crate::{CHUNK, Format, LazyWriter, Written};

const BOTH: [Format; 2] = [Format::Estargz, Format::ZstdChunked];

/// Bytes that neither repeat nor are random.
fn words(length: usize) -> Vec<u8> {
    let numbers = (0u64..).map(|n| n.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40);
    let text = numbers.flat_map(|n| format!("{n} ").into_bytes());
    text.take(length).collect()
}

/// One entry of each kind, names that need records, and files below, at and above the size of a piece.
fn tree() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let mut add = |name: &str, kind: tar::EntryType, link: &str, content: &[u8]| {
        let long = format!("27 SCHILY.xattr.user.a=b\0c\n{}", record("path", name));
        let mut records = tar::Header::new_ustar();
        records.set_entry_type(tar::EntryType::XHeader);
        records.set_size(long.len() as u64);
        records.set_path("PaxHeaders.0/x").unwrap();
        records.set_cksum();
        if name.len() > 100 || !name.is_ascii() {
            tar.append(&records, long.as_bytes()).unwrap();
        }
        let mut header = tar::Header::new_ustar();
        let short: String = name.chars().filter(char::is_ascii).take(99).collect();
        header.set_path(short).unwrap();
        header.set_entry_type(kind);
        header.set_mode(0o4751);
        header.set_uid(1000);
        header.set_gid(7);
        header.set_mtime(1_700_000_000);
        header.set_size(content.len() as u64);
        header.set_device_major(1).unwrap();
        header.set_device_minor(3).unwrap();
        if !link.is_empty() {
            header.set_link_name(link).unwrap();
        }
        header.set_cksum();
        tar.append(&header, content).unwrap();
    };
    use tar::EntryType as Kind;
    add("opt/", Kind::Directory, "", b"");
    add("opt/empty", Kind::Regular, "", b"");
    add("opt/small", Kind::Regular, "", b"print(1)\n");
    add("opt/even", Kind::Regular, "", &words(1024));
    add("opt/piece", Kind::Regular, "", &words(CHUNK));
    add("opt/large", Kind::Regular, "", &words(2 * CHUNK + 5));
    add("opt/link", Kind::Symlink, "small", b"");
    add("opt/same", Kind::Link, "opt/small", b"");
    add("opt/null", Kind::Char, "", b"");
    add("opt/disk", Kind::Block, "", b"");
    add("opt/pipe", Kind::Fifo, "", b"");
    add(
        &format!("opt/{}", "long/".repeat(40)),
        Kind::Directory,
        "",
        b"",
    );
    add("opt/größe", Kind::Regular, "", b"3");
    tar.into_inner().unwrap()
}

fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let digits = (1..).find(|n| (rest + n).to_string().len() == *n).unwrap();
    format!("{} {key}={value}\n", rest + digits)
}

fn pack(tar: &[u8], format: Format, step: usize) -> std::io::Result<(Vec<u8>, Written)> {
    let mut writer = LazyWriter::new(Vec::new(), format)?;
    for part in tar.chunks(step) {
        writer.write_all(part)?;
    }
    writer.finish()
}

fn unpack(blob: &[u8], format: Format) -> Vec<u8> {
    let mut tar = Vec::new();
    match format {
        Format::Estargz => flate2::read::MultiGzDecoder::new(blob).read_to_end(&mut tar),
        Format::ZstdChunked => zstd::stream::read::Decoder::new(blob)
            .unwrap()
            .read_to_end(&mut tar),
    }
    .unwrap();
    tar
}

fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}

/// The files of a tar: names and contents.
fn files(tar: &[u8]) -> Vec<(String, Vec<u8>)> {
    let mut archive = tar::Archive::new(tar);
    let entries = archive.entries().unwrap();
    let read = entries.map(|entry| {
        let mut entry = entry.unwrap();
        let name = String::from_utf8(entry.path_bytes().to_vec()).unwrap();
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        (name, content)
    });
    read.collect()
}

/// The table of contents, found as each format's readers find it.
fn toc(blob: &[u8], written: &Written, format: Format) -> Value {
    let said = |name: &str| written.annotations[name].as_str();
    match format {
        Format::Estargz => {
            let footer = &blob[blob.len() - 51..];
            let at = std::str::from_utf8(&footer[16..32]).unwrap();
            let at = usize::from_str_radix(at, 16).unwrap();
            let all = files(&unpack(&blob[at..], format));
            let [(name, text)] = all.as_slice() else {
                panic!("{all:?}");
            };
            assert_eq!(name, "stargz.index.json");
            assert_eq!(
                said("containerd.io/snapshot/stargz/toc.digest"),
                digest(text)
            );
            serde_json::from_slice(text).unwrap()
        }
        Format::ZstdChunked => {
            let footer = &blob[blob.len() - 64..];
            assert_eq!(&footer[56..], b"GNUlInUx");
            let numbers: Vec<usize> = footer[..56]
                .chunks(8)
                .map(|n| usize::try_from(u64::from_le_bytes(n.try_into().unwrap())).unwrap())
                .collect();
            let place = said("io.github.containers.zstd-chunked.manifest-position");
            assert_eq!(
                place,
                format!("{}:{}:{}:1", numbers[0], numbers[1], numbers[2])
            );
            let packed = &blob[numbers[0]..numbers[0] + numbers[1]];
            let sum = said("io.github.containers.zstd-chunked.manifest-checksum");
            assert_eq!(sum, digest(packed));
            serde_json::from_slice(&unpack(packed, format)).unwrap()
        }
    }
}

#[test]
fn the_tar_in_it_is_the_one_that_came_in() {
    let tar = tree();
    for format in BOTH {
        let (blob, written) = pack(&tar, format, 100_000).unwrap();
        let back = unpack(&blob, format);
        assert_eq!(format!("sha256:{}", written.diff_id), digest(&back));
        assert_eq!(format!("sha256:{}", written.digest), digest(&blob));
        assert_eq!(written.size, blob.len() as u64);
        assert_eq!(written.unpacked, back.len() as u64);
        match format {
            Format::ZstdChunked => assert!(back == tar),
            Format::Estargz => {
                let (all, before) = (files(&back), files(&tar));
                assert_eq!(all[0], (".no.prefetch.landmark".to_owned(), vec![0xf]));
                assert!(all[1..all.len() - 1] == before[..]);
                assert_eq!(all[all.len() - 1].0, "stargz.index.json");
                let size = &written.annotations["io.containers.estargz.uncompressed-size"];
                assert_eq!(*size, back.len().to_string());
            }
        }
    }
}

#[test]
fn each_piece_of_a_file_can_be_read_by_itself() {
    let tar = tree();
    for format in BOTH {
        let (blob, written) = pack(&tar, format, 1 << 20).unwrap();
        let toc = toc(&blob, &written, format);
        let entries = toc["entries"].as_array().unwrap();
        for (name, content) in files(&tar)
            .iter()
            .filter(|(_, content)| !content.is_empty())
        {
            let of_file: Vec<&Value> = entries.iter().filter(|e| e["name"] == **name).collect();
            assert_eq!(of_file.len(), content.len().div_ceil(CHUNK), "{name}");
            assert_eq!(of_file[0]["digest"], digest(content));
            assert_eq!(of_file[0]["size"], content.len());
            for (entry, piece) in of_file.iter().zip(content.chunks(CHUNK)) {
                let at = usize::try_from(entry["offset"].as_u64().unwrap()).unwrap();
                let read = &unpack(&blob[at..], format)[..piece.len()];
                assert!(read == piece, "{name}");
                if of_file.len() > 1 {
                    assert_eq!(entry["chunkDigest"], digest(piece));
                    assert_eq!(entry["chunkSize"], piece.len());
                }
            }
        }
        let found = |name: &str| entries.iter().find(|e| e["name"] == name).unwrap();
        let long = format!("opt/{}", "long/".repeat(40));
        assert_eq!(found(&long)["xattrs"]["user.a"], STANDARD.encode("b\0c"));
        assert_eq!(found("opt/link")["linkName"], "small");
        assert_eq!(found("opt/same")["type"], "hardlink");
        assert_eq!(found("opt/null")["devMinor"], 3);
        assert_eq!(found("opt/größe")["modtime"], "2023-11-14T22:13:20Z");
    }
}

#[test]
fn the_tar_can_be_put_together_from_its_files() {
    let tar = tree();
    let (blob, written) = pack(&tar, Format::ZstdChunked, 1 << 20).unwrap();
    let place = &written.annotations["io.github.containers.zstd-chunked.tarsplit-position"];
    let numbers: Vec<usize> = place.split(':').map(|n| n.parse().unwrap()).collect();
    let packed = &blob[numbers[0]..numbers[0] + numbers[1]];
    let toc = toc(&blob, &written, Format::ZstdChunked);
    assert_eq!(toc["tarSplitDigest"], digest(packed));
    let lines = unpack(packed, Format::ZstdChunked);
    assert_eq!(lines.len(), numbers[2]);
    let contents: std::collections::BTreeMap<String, Vec<u8>> = files(&tar).into_iter().collect();
    let mut again = Vec::new();
    for (at, line) in lines.split_inclusive(|b| *b == b'\n').enumerate() {
        let line: Value = serde_json::from_slice(line).unwrap();
        assert_eq!(line["position"], at);
        match line["type"].as_u64() {
            Some(2) => again.extend(STANDARD.decode(line["payload"].as_str().unwrap()).unwrap()),
            _ => again.extend(&contents[line["name"].as_str().unwrap()]),
        }
    }
    assert!(again == tar);
}

#[test]
fn the_first_second_is_a_time() {
    let mut tar = tar::Builder::new(Vec::new());
    let mut header = tar::Header::new_gnu();
    header.set_size(1);
    header.set_mode(0o644);
    header.set_mtime(0);
    tar.append_data(&mut header, "a", &b"x"[..]).unwrap();
    let tar = tar.into_inner().unwrap();
    for (format, modified) in [
        (Format::Estargz, Value::Null),
        (Format::ZstdChunked, "1970-01-01T00:00:00Z".into()),
    ] {
        let (blob, written) = pack(&tar, format, 1 << 20).unwrap();
        let toc = toc(&blob, &written, format);
        let entries = toc["entries"].as_array().unwrap();
        let entry = entries.iter().find(|entry| entry["name"] == "a").unwrap();
        assert_eq!(entry["modtime"], modified, "{format:?}");
    }
}

#[test]
fn the_same_tar_gives_the_same_bytes_however_it_comes() {
    let tar = tree();
    for format in BOTH {
        let whole = pack(&tar, format, tar.len()).unwrap();
        for step in [511, 4096, 1_000_003] {
            assert!(
                pack(&tar, format, step).unwrap() == whole,
                "{format:?} {step}"
            );
        }
        let none = vec![0; 1024];
        assert!(pack(&none, format, 1).is_ok());
    }
}

#[test]
fn a_layer_that_was_estargz_before_has_one_table_of_contents() {
    let (blob, _) = pack(&tree(), Format::Estargz, 1 << 20).unwrap();
    let before = unpack(&blob, Format::Estargz);
    let (again, _) = pack(&before, Format::Estargz, 1 << 20).unwrap();
    assert!(again == blob);
}

#[test]
fn what_is_no_tar_is_refused() {
    let tar = tree();
    let mut named = tar.clone();
    named[0] = 0xff;
    let mut unknown = tar.clone();
    unknown[156] = b'S';
    let mut latin = tar::Header::new_ustar();
    latin.as_mut_bytes()[..5].copy_from_slice(b"gr\xf6\xdfe");
    latin.set_size(0);
    latin.set_cksum();
    let cases: [(&[u8], &str); 6] = [
        (&tar[..tar.len() - 512], "end of file"),
        (&tar[..1000], "end of file"),
        (&named, "damaged"),
        (&unknown, "damaged"),
        (&[&tar[..], &[0; 512]].concat(), "more than two blocks"),
        (latin.as_bytes(), "isn't UTF-8"),
    ];
    for format in BOTH {
        for (tar, why) in &cases {
            let error = pack(tar, format, 512).unwrap_err().to_string();
            assert!(error.contains(why), "{error}: {why}");
        }
    }
}
