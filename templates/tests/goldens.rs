//! The matrix of specs under `integration/goldens/dockerfiles/`: each `NAME.toml` composes to
//! exactly `NAME.Dockerfile`, which a person can open and build.
//!
//! Set `UPDATE_GOLDENS=1` to write the Dockerfiles anew. That BuildKit's own linter finds nothing
//! in them is tested where a BuildKit is (`integration/daemons/goldens.rs`).

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use mlbuild_templates::{ComposeContext, ImageSpec, SecretUse, compose};
use serde::Deserialize;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Golden {
    spec: ImageSpec,
    /// The settings of the host's network that the build is given.
    #[serde(default)]
    secrets: BTreeSet<String>,
    /// Whether packages come from recorded files.
    #[serde(default)]
    locked: bool,
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../integration/goldens/dockerfiles")
}

fn goldens() -> Vec<(PathBuf, Golden)> {
    let entries = std::fs::read_dir(folder())
        .unwrap()
        .map(|entry| entry.unwrap().path());
    let mut specs: Vec<PathBuf> = entries
        .filter(|p| p.extension().is_some_and(|e| e == "toml"))
        .collect();
    specs.sort();
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let golden = toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        (path, golden)
    };
    specs.into_iter().map(read).collect()
}

fn composed(golden: &Golden) -> String {
    let secrets = SecretUse::ALL.into_iter();
    let secrets = secrets.filter(|s| {
        golden
            .secrets
            .contains(s.id().trim_start_matches("mlbuild-"))
    });
    let context = ComposeContext {
        secrets: secrets.collect(),
        locked: golden.locked,
        ..ComposeContext::default()
    };
    assert_eq!(
        context.secrets.len(),
        golden.secrets.len(),
        "an unknown secret"
    );
    compose(&golden.spec, &context)
        .unwrap_or_else(|e| panic!("{e}"))
        .text
}

#[test]
fn every_spec_composes_to_its_golden() {
    let goldens = goldens();
    assert!(goldens.len() > 20, "the goldens are gone");
    for (path, golden) in goldens {
        let text = composed(&golden);
        let file = path.with_extension("Dockerfile");
        if std::env::var_os("UPDATE_GOLDENS").is_some() {
            std::fs::write(&file, &text).unwrap();
        }
        let golden = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            text == golden,
            "{} differs: run with UPDATE_GOLDENS=1 and look at the change",
            file.display()
        );
    }
}

#[test]
fn no_golden_is_left_without_a_spec() {
    for entry in std::fs::read_dir(folder()).unwrap() {
        let path = entry.unwrap().path();
        assert!(path.with_extension("toml").exists(), "{}", path.display());
    }
}

#[test]
fn a_parser_reads_every_golden_and_nothing_new_is_needed_to_build_it() {
    for (path, golden) in goldens().into_iter().filter(|(_, g)| !g.locked) {
        let text = composed(&golden);
        let parsed =
            parse_dockerfile::parse(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert_eq!(parsed.stages().len(), 1, "{}", path.display());
        // Docker 20.10's own frontend has none of these, and fetching a newer one needs a registry.
        for new in [
            "# syntax",
            "<<",
            "--link",
            "--parents",
            "--exclude",
            "--network",
        ] {
            assert!(!text.contains(new), "{}: {new}", path.display());
        }
    }
}

#[test]
fn a_spec_survives_being_written_down() {
    for (path, golden) in goldens() {
        let text = toml::to_string(&golden.spec).unwrap();
        let again: ImageSpec =
            toml::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}\n{text}", path.display()));
        assert_eq!(again, golden.spec, "{}", path.display());
    }
}
