//! Documents about an image: goldens, and what must hold for all of them.

mod support;

use std::collections::BTreeSet;

use mlbuild_manifests::attest::{
    Component, PackageKind, Subject, cyclonedx, provenance, spdx, with_hashes,
};
use serde_json::Value;
use support::{digest, pinned};

fn subject() -> Subject {
    Subject {
        name: "ghcr.io/acme/Cracks".to_owned(),
        digest: digest(0x42),
        platform: "linux/amd64".to_owned(),
        created: "2026-03-01T12:00:00Z".parse().unwrap(),
        distribution: Some("debian".to_owned()),
    }
}

fn component(kind: PackageKind, name: &str, version: &str) -> Component {
    Component {
        kind,
        name: name.to_owned(),
        version: version.to_owned(),
        sha256: None,
    }
}

fn components() -> Vec<Component> {
    let deb = |arch: &str| PackageKind::Debian {
        arch: arch.to_owned(),
    };
    let entry = pinned("ghcr.io/acme/cracks");
    let pins = &entry.build.as_ref().unwrap().platforms["linux/amd64"];
    let mut found = vec![
        component(deb("amd64"), "libstdc++6", "1:12.2.0-14+deb12u1"),
        component(deb("amd64"), "libstdc--6", "1"),
        component(PackageKind::Python, "numpy", "2.3.1"),
    ];
    for file in &pins.python_packages {
        found.push(component(PackageKind::Python, &file.name, &file.version));
    }
    with_hashes(found, pins)
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).unwrap()
}

#[test]
fn what_is_in_it_is_said_in_spdx() {
    insta::assert_snapshot!(String::from_utf8(spdx(&subject(), &components())).unwrap());
}

#[test]
fn what_is_in_it_is_said_in_cyclonedx() {
    insta::assert_snapshot!(String::from_utf8(cyclonedx(&subject(), &components())).unwrap());
}

#[test]
fn how_it_was_made_is_said() {
    let entry = pinned("ghcr.io/acme/cracks");
    insta::assert_snapshot!(String::from_utf8(provenance(&subject(), &entry)).unwrap());
}

#[test]
fn no_two_components_have_one_name() {
    let document = json(&spdx(&subject(), &components()));
    let packages = document["packages"].as_array().unwrap();
    let ids: BTreeSet<_> = packages
        .iter()
        .map(|p| p["SPDXID"].as_str().unwrap())
        .collect();
    assert_eq!(ids.len(), packages.len());
    // Letters, digits, `.` and `-`: all that SPDX allows.
    let plain = |c: char| c.is_ascii_alphanumeric() || c == '.' || c == '-';
    assert!(ids.iter().all(|id| id.chars().all(plain)), "{ids:?}");
    let pinned = packages
        .iter()
        .filter(|p| p["checksums"].is_array())
        .count();
    assert!(
        pinned > 1 && pinned < packages.len(),
        "the image and what is pinned: {pinned}"
    );
}
