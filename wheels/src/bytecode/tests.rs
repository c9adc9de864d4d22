//! Bytecode: what is asked for, what is taken, and where it goes.

use std::collections::BTreeMap;
use std::io::Read as _;

use super::*;
use crate::testing::SmallWheel;
use crate::{Compression, LayerKey, LayerStore, write_compiled};

fn target() -> Target {
    Target::new("3.11".parse().unwrap(), "/opt/venv").unwrap()
}

fn wheel() -> SmallWheel {
    SmallWheel::new("w")
        .file("w/__init__.py", b"a = 1\n")
        .file("w/b.py", b"b = 2\n")
        .file("w/data.txt", b"no module")
        .file("pip/core.py", b"pip has none")
        .file("w/__pycache__/b.cpython-311.pyc", b"the wheel's own")
        .file("w/__pycache__/c.py", b"nobody looks there")
        .file("w-1.0.data/purelib/moved.py", b"m = 3\n")
        .file("w-1.0.data/scripts/run.py", b"#!python\n")
}

fn pyc(content: &[u8]) -> Vec<u8> {
    [b"\xa7\x0d\r\n\x01\0\0\0hashhash", content].concat()
}

fn record(number: u32, bytes: &[u8]) -> Vec<u8> {
    let length = bytes.len() as u32;
    [&number.to_le_bytes()[..], &length.to_le_bytes(), bytes].concat()
}

fn sources() -> (Sources, Vec<u8>) {
    let mut given = Vec::new();
    let sources = write_sources(&wheel().open().unwrap(), &target(), &mut given).unwrap();
    (sources, given)
}

fn kept(answer: &[u8]) -> Result<Bytecode, String> {
    let mut file = tempfile::tempfile().unwrap();
    let read = read_answer(&sources().0, answer, &mut file);
    read.map_err(|error| error.to_string())?;
    Ok(Bytecode::open(file).unwrap())
}

#[test]
fn a_compiler_gets_the_modules_where_they_are_installed() {
    let (sources, given) = sources();
    let paths: Vec<&str> = sources.0.iter().map(|one| one.cache.as_str()).collect();
    let site = "lib/python3.11/site-packages";
    assert_eq!(
        paths,
        [
            format!("{site}/__pycache__/moved.cpython-311.pyc"),
            format!("{site}/w/__pycache__/__init__.cpython-311.pyc"),
            format!("{site}/w/__pycache__/b.cpython-311.pyc"),
        ]
    );
    let first = format!("{site}/moved.py");
    let start = [
        &(first.len() as u32).to_le_bytes()[..],
        &6u32.to_le_bytes(),
        first.as_bytes(),
    ];
    assert!(given.starts_with(&[&start.concat()[..], b"m = 3\n"].concat()));
}

#[test]
fn what_a_compiler_answers_takes_the_place_of_the_wheels_own() {
    let answer = [record(0, &pyc(b"moved")), record(2, &pyc(&[7; 5000]))].concat();
    let bytecode = kept(&answer).unwrap();
    let mut blob = Vec::new();
    let wheels = [wheel().open().unwrap()];
    let made = write_compiled(
        &wheels,
        &[bytecode],
        &target(),
        Compression::Zstd,
        &mut blob,
    );
    let (_, files) = made.unwrap();
    assert!(files.0.iter().all(|file| !file.path.ends_with(".pyc")));
    let mut tar = tar::Archive::new(zstd::Decoder::new(&blob[..]).unwrap());
    let mut found = BTreeMap::new();
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let mode = entry.header().mode().unwrap();
        if path.contains("__pycache__") {
            let mut bytes = Vec::new();
            entry.read_to_end(&mut bytes).unwrap();
            found.insert(path, (mode, bytes));
        }
    }
    let site = "opt/venv/lib/python3.11/site-packages";
    let expected = [
        (format!("{site}/__pycache__/"), (0o755, Vec::new())),
        (
            format!("{site}/__pycache__/moved.cpython-311.pyc"),
            (0o644, pyc(b"moved")),
        ),
        (format!("{site}/w/__pycache__/"), (0o755, Vec::new())),
        (
            format!("{site}/w/__pycache__/b.cpython-311.pyc"),
            (0o644, pyc(&[7; 5000])),
        ),
    ];
    assert_eq!(found, BTreeMap::from(expected));
}

#[test]
fn an_answer_that_is_none_is_refused() {
    let most = 64 * 1024 + 24 * 6;
    let why = |answer: &[u8]| kept(answer).unwrap_err();
    let all = [
        why(&record(3, &pyc(b""))),
        why(&[record(1, &pyc(b"")), record(1, &pyc(b""))].concat()),
        why(&[record(1, &pyc(b"")), record(0, &pyc(b""))].concat()),
        why(&record(0, &vec![0; most + 1])),
        why(&record(0, b"short")),
        why(&record(0, b"\xa7\x0d\r\n\0\0\0\0timetime")),
        why(&record(0, &pyc(b"cut off"))[..20]),
        why(&record(0, &pyc(b""))[..7]),
    ];
    insta::assert_snapshot!(all.join("\n"), @r"
    it is no bytecode of this wheel: it speaks of source 3
    it is no bytecode of this wheel: it speaks of source 1
    it is no bytecode of this wheel: it speaks of source 0
    it is no bytecode of this wheel: lib/python3.11/site-packages/__pycache__/moved.cpython-311.pyc has 65681 bytes, and 65680 are allowed
    it is no bytecode of this wheel: lib/python3.11/site-packages/__pycache__/moved.cpython-311.pyc has another header
    it is no bytecode of this wheel: lib/python3.11/site-packages/__pycache__/moved.cpython-311.pyc has another header
    failed to fill whole buffer
    unexpected end of file
    ");
    assert!(kept(b"").unwrap().is_empty());
}

#[test]
fn it_is_found_by_wheel_and_compiler_and_a_damaged_file_is_none() {
    let top = tempfile::tempdir().unwrap();
    let store = LayerStore::open(top.path(), u64::MAX).unwrap();
    let sha256 = wheel().sha256();
    let key = |compiler: &str| BytecodeKey::of(&sha256, &target(), compiler);
    assert!(store.bytecode(&key("one")).is_none());
    let answer = record(1, &pyc(b"x"));
    store
        .keep_bytecode(&key("one"), &sources().0, &answer[..])
        .unwrap();
    assert_eq!(store.bytecode(&key("one")).unwrap().len(), 1);
    assert!(store.bytecode(&key("another")).is_none());
    let layer = |compiler| LayerKey::of([&*sha256], &target(), Compression::Zstd, compiler);
    assert_ne!(layer(None), layer(Some("one")));
    assert_ne!(layer(Some("another")), layer(Some("one")));

    let refused = store.keep_bytecode(&key("two"), &sources().0, &b"\xff"[..]);
    assert!(refused.is_err() && store.bytecode(&key("two")).is_none());
    let folder = top.path().join("bytecode");
    assert_eq!(std::fs::read_dir(&folder).unwrap().count(), 1);
    let file = folder.join(key("one").as_str());
    for length in [0, 7, 8, 20] {
        let bytes = std::fs::read(&file).unwrap();
        std::fs::write(&file, &bytes[..length.min(bytes.len())]).unwrap();
        assert!(store.bytecode(&key("one")).is_none(), "{length}");
        std::fs::write(&file, bytes).unwrap();
    }
    store.bytecode(&key("one")).unwrap();
}
