//! The real uv and this crate install the same wheels: the same tree, file by file.
//!
//! Not compared: what the environment had before (`bin/activate`, `pyvenv.cfg` …), and uv's
//! `.lock`. Of two entries with one path uv takes either one, by chance; here the later one counts.

use std::collections::BTreeMap;
use std::io::Read as _;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::support::{python, run, tools, wheels};
use mlbuild_wheels::{Compression, Target, Wheel, write_wheels};
use sha2::{Digest as _, Sha256};

/// Mode and content of each path; no content for folders.
type Tree = BTreeMap<String, (u32, Option<Vec<u8>>)>;

#[test]
fn small_wheels_are_installed_as_uv_does() {
    compare(&wheels("short"));
}

#[test]
#[ignore = "downloads 700 MB"]
fn large_wheels_are_installed_as_uv_does() {
    compare(&wheels("long"));
}

/// A wheel with everything that the format allows and tools leave open.
#[test]
fn an_odd_wheel_is_installed_as_uv_does() {
    let folder = tempfile::tempdir().unwrap();
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/peers/odd_wheel.py");
    run(Command::new("python3").arg(script).arg(folder.path()));
    compare(&[folder.path().join("odd-1.0-py3-none-any.whl")]);
}

fn compare(wheels: &[PathBuf]) {
    assert!(!wheels.is_empty());
    let top = tempfile::tempdir().unwrap();
    let mut differ = Vec::new();
    for wheel in wheels {
        let prefix = top.path().join("venv");
        let (by_uv, by_us) = (by_uv(wheel, &prefix), by_us(wheel, &prefix));
        let paths = by_uv.keys().chain(by_us.keys());
        for path in paths.filter(|path| by_uv.get(*path) != by_us.get(*path)) {
            let show = |tree: &Tree| tree.get(path).map(|(mode, _)| format!("{mode:o}"));
            let name = wheel.file_name().unwrap().to_string_lossy();
            differ.push(format!(
                "{name}: {path}: uv {:?}, mlbuild {:?}",
                show(&by_uv),
                show(&by_us)
            ));
        }
    }
    assert!(differ.is_empty(), "{}", differ.join("\n"));
}

fn by_uv(wheel: &Path, prefix: &Path) -> Tree {
    let _ = std::fs::remove_dir_all(prefix);
    let uv = || {
        let mut uv = Command::new(tools().join("uv"));
        uv.env("UV_CACHE_DIR", prefix.with_file_name("cache"))
            .env("UV_LINK_MODE", "copy")
            .env("UV_NO_INSTALLER_METADATA", "1")
            .env("UV_NO_CONFIG", "1");
        uv
    };
    run(uv().args(["venv", "-q", "--python", &python()]).arg(prefix));
    let before = read_folder(prefix);
    let into = prefix.join("bin/python");
    run(uv()
        .args([
            "pip",
            "install",
            "-q",
            "--no-deps",
            "--no-index",
            "--python",
        ])
        .arg(into)
        .arg(wheel));
    let mut tree = read_folder(prefix);
    tree.retain(|path, _| !before.contains_key(path) && path != ".lock");
    tree
}

/// What is below a folder; links are of the environment and left out.
fn read_folder(top: &Path) -> Tree {
    let (mut tree, mut todo) = (Tree::new(), vec![top.to_owned()]);
    while let Some(folder) = todo.pop() {
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            let (path, meta) = (entry.path(), entry.metadata().unwrap());
            let name = path.strip_prefix(top).unwrap().to_str().unwrap().to_owned();
            let mode = meta.permissions().mode() & 0o7777;
            if meta.is_dir() {
                tree.insert(name, (mode, None));
                todo.push(path);
            } else if meta.is_file() {
                tree.insert(name, (mode, Some(std::fs::read(path).unwrap())));
            }
        }
    }
    tree
}

fn by_us(wheel: &Path, prefix: &Path) -> Tree {
    let target = Target::new(python().parse().unwrap(), prefix.to_str().unwrap()).unwrap();
    let name = wheel.file_name().unwrap().to_str().unwrap();
    let sha256 = hex::encode(Sha256::digest(std::fs::read(wheel).unwrap()));
    let wheel = Wheel::open(name, wheel, &sha256).unwrap();
    let mut blob = Vec::new();
    write_wheels(&[wheel], &target, Compression::Zstd, &mut blob).unwrap();
    let mut tree = Tree::new();
    let mut tar = tar::Archive::new(zstd::Decoder::new(&blob[..]).unwrap());
    for entry in tar.entries().unwrap() {
        let mut entry = entry.unwrap();
        let path = String::from_utf8(entry.path_bytes().into_owned()).unwrap();
        let Some(path) = path.strip_prefix(&format!("{}/", target.folder())) else {
            continue;
        };
        let mode = entry.header().mode().unwrap();
        let (path, is_folder) = match path.strip_suffix('/') {
            Some(path) => (path, true),
            None => (path, false),
        };
        let mut content = Vec::new();
        entry.read_to_end(&mut content).unwrap();
        tree.insert(path.to_owned(), (mode, (!is_folder).then_some(content)));
    }
    // Folders that the environment has before its packages.
    let site = target.site_packages();
    let above = Path::new(&site).ancestors().map(|p| p.to_str().unwrap());
    for path in above.chain(["bin"]) {
        tree.remove(path);
    }
    tree
}
