//! Keeps the floors of the house: which crate, and which module of the hall,
//! may know which other. ARCHITECTURE.md draws them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::support::{read, repository};

/// Modules of the hall that stand beside each other between `cli` and `plan`.
const MIDDLE: [&str; 9] = [
    "kubernetes",
    "builder",
    "registry",
    "image",
    "runtime",
    "display",
    "accelerator",
    "records",
    "package_store",
];

#[test]
fn crates_know_only_the_floor_below() {
    for (manifest, allowed) in [
        ("proto/Cargo.toml", &[][..]),
        ("secrets/Cargo.toml", &[][..]),
        (
            "buildkit/Cargo.toml",
            &["mlbuild-proto", "mlbuild-secrets"][..],
        ),
        (
            "progress/Cargo.toml",
            &["mlbuild-buildkit", "mlbuild-proto", "mlbuild-secrets"][..],
        ),
        ("templates/Cargo.toml", &["mlbuild-secrets"][..]),
        ("manifests/Cargo.toml", &["mlbuild-secrets"][..]),
        ("wheels/Cargo.toml", &[][..]),
        (
            "Cargo.toml",
            &[
                "mlbuild-buildkit",
                "mlbuild-manifests",
                "mlbuild-progress",
                "mlbuild-secrets",
                "mlbuild-templates",
            ][..],
        ),
    ] {
        let document: toml::Table = read(&repository().join(manifest)).parse().expect(manifest);
        let Some(dependencies) = document.get("dependencies").and_then(|d| d.as_table()) else {
            continue;
        };
        for name in dependencies
            .keys()
            .filter(|name| name.starts_with("mlbuild-"))
        {
            assert!(
                allowed.contains(&name.as_str()),
                "{manifest} depends on {name}"
            );
        }
    }
}

#[test]
fn modules_of_the_hall_know_only_the_floor_below() {
    let sources = rust_files(&repository().join("src"));
    assert!(sources.len() > 5, "the hall's sources were not found");
    let mut broken = Vec::new();
    for path in sources {
        let inside = path
            .strip_prefix(repository().join("src"))
            .expect("a file of src/");
        let module = module_of(inside);
        for named in modules_named_in(&read(&path)) {
            if !may_know(&module, &named) {
                broken.push(format!("{}: {module} may not know {named}", path.display()));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

fn may_know(module: &str, named: &str) -> bool {
    let middle = |name: &str| MIDDLE.contains(&name);
    match module {
        "cli" | "lib" | "main" => true,
        _ if module == named => true,
        _ if named == "cli" => false,
        "plan" => !middle(named),
        // What is pushed is a layout, and what is pulled has layers: `image` reads both.
        "registry" if named == "image" => true,
        _ if middle(module) => !middle(named),
        _ => true,
    }
}

/// `builder/connect.rs` and `builder.rs` are of the module `builder`.
fn module_of(inside: &Path) -> String {
    let first = inside.components().next().expect("a path").as_os_str();
    let first = first.to_str().expect("a UTF-8 name");
    first.strip_suffix(".rs").unwrap_or(first).to_owned()
}

/// The top-level modules that a source names by `crate::`.
fn modules_named_in(source: &str) -> BTreeSet<String> {
    let path = Regex::new(r"\bcrate::(?:\{([^;]*)\}|([a-z_]+))").expect("a regex");
    let word = Regex::new(r"(?:^|,)\s*([a-z_]+)").expect("a regex");
    let code: String = source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect();
    let mut names = BTreeSet::new();
    for found in path.captures_iter(&code) {
        match (found.get(1), found.get(2)) {
            (Some(group), _) => {
                let flat = without_inner_groups(group.as_str());
                names.extend(word.captures_iter(&flat).map(|w| w[1].to_owned()));
            }
            (_, Some(name)) => drop(names.insert(name.as_str().to_owned())),
            _ => {}
        }
    }
    names
}

fn without_inner_groups(group: &str) -> String {
    let mut depth = 0;
    group
        .chars()
        .filter(|c| {
            depth += i32::from(*c == '{');
            let keep = depth == 0;
            depth -= i32::from(*c == '}');
            keep
        })
        .collect()
}

fn rust_files(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in std::fs::read_dir(folder).expect("src/ can be read") {
        let path = entry.expect("an entry of src/").path();
        if path.is_dir() {
            files.extend(rust_files(&path));
        } else if path.extension().is_some_and(|e| e == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

#[test]
fn reads_names_out_of_use_groups() {
    let names = modules_named_in(
        "use crate::{plan::{A, image}, cli};\n// crate::display\nlet x = crate::registry::push();",
    );
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        ["cli", "plan", "registry"]
    );
    assert!(!may_know("builder", "registry"));
    assert!(may_know("builder", "plan"));
    assert!(!may_know("plan", "builder"));
    assert!(may_know("cli", "builder"));
}
