//! The checked-in code is exactly what the generator makes of `protos/`.

#[path = "../examples/generate/generator.rs"]
mod generator;

use std::collections::BTreeSet;
use std::path::Path;

#[test]
fn regenerating_changes_nothing() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let files = generator::generate(root).expect("the protos compile");
    for (path, text) in &files {
        let checked_in = std::fs::read_to_string(root.join(path)).unwrap_or_default();
        assert!(
            checked_in == *text,
            "{path} is stale: run `cargo run -p mlbuild-proto --example generate`"
        );
    }

    let on_disk: BTreeSet<String> = std::fs::read_dir(root.join("src/generated"))
        .expect("src/generated exists")
        .map(|e| format!("src/generated/{}", e.unwrap().file_name().to_string_lossy()))
        .collect();
    let generated: BTreeSet<String> = files
        .into_keys()
        .filter(|p| p.starts_with("src/generated/"))
        .collect();
    assert_eq!(on_disk, generated);
}

#[test]
fn every_proto_file_has_a_provenance() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let provenance = std::fs::read_to_string(root.join("PROVENANCE.toml")).unwrap();
    for entry in std::fs::read_dir(root.join("protos")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        assert!(provenance.contains(&format!("name = \"{name}\"")), "{name}");
    }
}
