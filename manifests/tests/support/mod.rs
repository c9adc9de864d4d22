//! Entries to test with.
#![allow(dead_code, reason = "each test target uses some of it")]

use std::collections::BTreeMap;

use mlbuild_manifests::LockedImage;
use mlbuild_manifests::lock::{
    AptPackage, Builder, Derived, Inputs, LockedBase, LockedBuild, LockedLayer, LockedPackages,
    LockedPlatform, PinnedDeb, PinnedFile, Pins, PublishedImage, PythonPackage,
};
use oci_spec::image::Digest;

/// A digest made of one repeated byte.
pub fn digest(byte: u8) -> Digest {
    format!("sha256:{}", format!("{byte:02x}").repeat(32))
        .parse()
        .unwrap()
}

/// An entry with everything in it.
pub fn full(name: &str) -> LockedImage {
    LockedImage {
        name: name.to_owned(),
        tag: Some("v1".to_owned()),
        target: Some("serve".to_owned()),
        variant: None,
        created: "2026-03-01T12:00:00Z".parse().unwrap(),
        derived: None,
        inputs: Inputs {
            mlbuild: "0.1.0".to_owned(),
            template: Some("tensorflow".to_owned()),
            spec: Some(digest(1)),
            dockerfile: digest(2),
            context: Some(digest(3)),
            settings: Some(digest(4)),
            args: BTreeMap::from([
                ("USER_UID".to_owned(), "1000".to_owned()),
                (
                    "GREETING".to_owned(),
                    "a \"b\" \\ $c\nd\té\u{7f}".to_owned(),
                ),
            ]),
        },
        bases: vec![LockedBase {
            reference: "docker.io/library/python:3.12-slim".to_owned(),
            digest: digest(5),
            platforms: platforms(),
        }],
        builder: Some(Builder {
            name: "buildkitd".to_owned(),
            version: "v0.32.2".to_owned(),
        }),
        platforms: BTreeMap::from([
            ("linux/amd64".to_owned(), platform(0x10)),
            ("linux/arm/v7".to_owned(), platform(0x20)),
        ]),
        published: Some(PublishedImage {
            reference: format!("{name}:v1"),
            digest: digest(0x30),
            media_type: "application/vnd.oci.image.index.v1+json".to_owned(),
            size: 857,
        }),
        packages: Some(LockedPackages {
            apt: vec![AptPackage {
                name: "libgl1".to_owned(),
                version: "1.6.0-1".to_owned(),
                arch: "amd64".to_owned(),
                sha256: Some("ab".repeat(32)),
                size: Some(88512),
            }],
            python: vec![PythonPackage {
                name: "numpy".to_owned(),
                version: "2.3.1".to_owned(),
                file: Some("numpy-2.3.1-cp312-cp312-manylinux_2_28_x86_64.whl".to_owned()),
                sha256: Some("cd".repeat(32)),
                size: Some(16_600_000),
            }],
        }),
        build: None,
    }
}

/// An entry with as little in it as may be.
pub fn small(name: &str) -> LockedImage {
    LockedImage {
        name: name.to_owned(),
        tag: None,
        target: None,
        variant: None,
        created: "2026-03-01T12:00:00Z".parse().unwrap(),
        derived: None,
        inputs: Inputs {
            mlbuild: "0.1.0".to_owned(),
            template: None,
            spec: None,
            dockerfile: digest(2),
            context: None,
            settings: None,
            args: BTreeMap::new(),
        },
        bases: Vec::new(),
        builder: None,
        platforms: BTreeMap::from([("linux/amd64".to_owned(), platform(0x10))]),
        published: None,
        packages: None,
        build: None,
    }
}

/// An entry whose packages are pinned.
pub fn pinned(name: &str) -> LockedImage {
    let file = |name: &str, byte: &str, source| PinnedFile {
        name: name.to_owned(),
        version: "1.17.0".to_owned(),
        file: format!("{name}-1.17.0.whl"),
        sha256: byte.repeat(32),
        size: 11050,
        source,
        build_only: false,
    };
    let pins = Pins {
        build_requested: Vec::new(),
        python: Some("3.12.4".to_owned()),
        pip: Some("24.0".to_owned()),
        uv: Some(file("uv", "0a", false)),
        requested: vec!["tree".to_owned()],
        apt: vec![PinnedDeb {
            name: "tree".to_owned(),
            version: "1:2.1.0-1".to_owned(),
            arch: "amd64".to_owned(),
            sha256: "0b".repeat(32),
            size: 52464,
            suite: "bookworm".to_owned(),
            component: "main".to_owned(),
            path: "pool/main/t/tree/tree_2.1.0-1_amd64.deb".to_owned(),
            build_only: false,
        }],
        layers: Vec::new(),
        python_packages: vec![file("old", "0c", true), file("six", "0d", false)],
        rattler: None,
        conda: Vec::new(),
    };
    LockedImage {
        tag: Some("pinned".to_owned()),
        build: Some(LockedBuild {
            request: digest(0x50),
            epoch: 1_700_000_000,
            media_types: "oci".to_owned(),
            compression: "zstd".to_owned(),
            level: 3,
            as_of: Some("2026-03-01T23:59:59Z".parse().expect("a time")),
            method: None,
            bytecode: false,
            vendored: Some(digest(0x51)),
            platforms: BTreeMap::from([("linux/amd64".to_owned(), pins)]),
        }),
        ..full(name)
    }
}

/// An entry of an image that was given to another user.
pub fn derived(name: &str) -> LockedImage {
    LockedImage {
        derived: Some(Derived {
            from: format!("{name}:v1@{}", digest(0x40)),
            uid: 2000,
            gid: 100,
            name: "vorph".to_owned(),
        }),
        tag: Some("v1-uid2000".to_owned()),
        ..full(name)
    }
}

fn platforms() -> BTreeMap<String, Digest> {
    BTreeMap::from([
        ("linux/amd64".to_owned(), digest(6)),
        ("linux/arm/v7".to_owned(), digest(7)),
    ])
}

fn platform(first: u8) -> LockedPlatform {
    let layer = |n| LockedLayer {
        digest: digest(first + n),
        diff_id: digest(first + n + 1),
        size: 1000 + u64::from(n),
        media_type: "application/vnd.oci.image.layer.v1.tar+gzip".to_owned(),
    };
    LockedPlatform {
        manifest: digest(first),
        config: digest(first + 1),
        layers: vec![layer(2), layer(4)],
    }
}
