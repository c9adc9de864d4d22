//! Keeps the layers: which crate, and which module of `src/`, may import which other. What isn't
//! allowed here is an error, and ARCHITECTURE.md draws the same two tables.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};

use regex::Regex;

use crate::support::{read, repository};

/// A crate or module, and those that it may import: of what stands above it, nothing else.
type Layer = (&'static str, &'static [&'static str]);

/// The workspace's crates by their folders; `src` is the root crate.
const CRATES: &[Layer] = &[
    ("proto", &[]),
    ("files", &[]),
    ("secrets", &[]),
    ("waits", &[]),
    ("lazy", &[]),
    ("wheels", &["lazy"]),
    ("sif", &[]),
    ("templates", &["files", "secrets", "wheels"]),
    ("manifests", &["files", "secrets"]),
    ("docker", &["secrets", "waits"]),
    ("buildkit", &["proto", "docker", "secrets", "waits"]),
    ("progress", &["proto", "buildkit"]),
    (
        "src",
        &[
            "files",
            "secrets",
            "waits",
            "templates",
            "manifests",
            "lazy",
            "wheels",
            "sif",
            "docker",
            "buildkit",
            "progress",
        ],
    ),
    (
        "cli",
        &[
            "files",
            "secrets",
            "waits",
            "templates",
            "manifests",
            "wheels",
            "buildkit",
            "progress",
            "src",
        ],
    ),
    ("examples/library", &["src"]),
];

/// The modules of the root crate.
const MODULES: &[Layer] = &[
    ("env_vars", &[]),
    ("scratch", &["env_vars"]),
    ("error", &[]),
    ("loopback", &[]),
    ("nearest", &[]),
    ("on_path", &[]),
    ("tee", &[]),
    ("redirects", &[]),
    ("reporter", &[]),
    ("shell", &[]),
    ("testing", &["reporter"]),
    ("accelerator", &["shell"]),
    ("display", &["reporter"]),
    ("pin", &["nearest"]),
    ("plan", &[]),
    ("host", &["plan"]),
    ("package_store", &["env_vars", "error"]),
    ("runtime", &["error", "nearest", "shell"]),
    ("kubernetes", &["error", "runtime"]),
    ("slurm", &["error", "on_path", "shell"]),
    ("config", &["error", "nearest", "runtime"]),
    ("image", &["error", "plan"]),
    ("assemble", &["error", "package_store", "image"]),
    (
        "registry",
        &["error", "loopback", "redirects", "reporter", "image"],
    ),
    ("image_source", &["error", "image", "registry"]),
    (
        "known_base",
        &[
            "env_vars",
            "error",
            "image",
            "assemble",
            "registry",
            "image_source",
        ],
    ),
    (
        "package_index",
        &["error", "redirects", "plan", "host", "package_store"],
    ),
    (
        "resolve",
        &[
            "env_vars",
            "shell",
            "plan",
            "host",
            "package_store",
            "assemble",
            "package_index",
        ],
    ),
    (
        "trust",
        &[
            "env_vars", "error", "reporter", "plan", "host", "runtime", "config",
        ],
    ),
    ("records", &["env_vars", "nearest", "config"]),
    (
        "pull",
        &[
            "env_vars",
            "error",
            "reporter",
            "image",
            "registry",
            "records",
            "image_source",
        ],
    ),
    (
        "queue",
        &[
            "env_vars", "error", "loopback", "nearest", "runtime", "config", "trust",
        ],
    ),
    (
        "settings",
        &[
            "env_vars", "error", "nearest", "reporter", "shell", "plan", "config", "registry",
            "trust",
        ],
    ),
    (
        "private_engine",
        &[
            "env_vars",
            "error",
            "on_path",
            "redirects",
            "reporter",
            "shell",
        ],
    ),
    (
        "trackers",
        &["env_vars", "error", "loopback", "redirects", "reporter"],
    ),
    (
        "builder",
        &[
            "env_vars",
            "error",
            "loopback",
            "reporter",
            "pin",
            "plan",
            "host",
            "private_engine",
            "settings",
        ],
    ),
    (
        "planning",
        &[
            "env_vars",
            "error",
            "reporter",
            "accelerator",
            "pin",
            "plan",
            "host",
            "package_store",
            "config",
            "image",
            "registry",
            "records",
            "settings",
            "builder",
        ],
    ),
    (
        "assembly",
        &[
            "env_vars",
            "error",
            "plan",
            "registry",
            "assemble",
            "known_base",
            "resolve",
            "settings",
            "planning",
        ],
    ),
    (
        "lock",
        &[
            "assembly",
            "env_vars",
            "error",
            "reporter",
            "pin",
            "plan",
            "host",
            "package_store",
            "package_index",
            "known_base",
            "resolve",
            "assemble",
            "image",
            "registry",
            "trust",
            "records",
            "settings",
            "builder",
            "planning",
        ],
    ),
    (
        "build",
        &[
            "assembly",
            "env_vars",
            "error",
            "reporter",
            "pin",
            "plan",
            "host",
            "image",
            "assemble",
            "known_base",
            "registry",
            "trust",
            "pull",
            "image_source",
            "settings",
            "builder",
            "planning",
            "lock",
        ],
    ),
    (
        "start",
        &[
            "env_vars",
            "error",
            "on_path",
            "tee",
            "reporter",
            "accelerator",
            "display",
            "runtime",
            "config",
            "private_engine",
            "registry",
            "records",
            "pull",
            "trackers",
        ],
    ),
    (
        "agent",
        &[
            "env_vars",
            "error",
            "reporter",
            "runtime",
            "kubernetes",
            "registry",
            "queue",
            "records",
            "start",
        ],
    ),
    (
        "submit",
        &[
            "env_vars",
            "error",
            "reporter",
            "runtime",
            "kubernetes",
            "slurm",
            "image",
            "registry",
            "records",
            "start",
        ],
    ),
    (
        "runs",
        &[
            "error",
            "reporter",
            "runtime",
            "kubernetes",
            "registry",
            "records",
            "trackers",
            "lock",
            "start",
        ],
    ),
    (
        "restore",
        &[
            "env_vars", "error", "on_path", "reporter", "runtime", "registry", "records", "pull",
            "trackers", "runs",
        ],
    ),
    (
        "doctor",
        &[
            "env_vars",
            "shell",
            "on_path",
            "accelerator",
            "display",
            "runtime",
            "plan",
            "host",
            "private_engine",
            "registry",
            "start",
        ],
    ),
    ("diff", &["error", "image", "registry", "image_source"]),
    (
        "inspect",
        &[
            "error",
            "reporter",
            "runtime",
            "image",
            "registry",
            "image_source",
            "records",
            "pull",
            "lock",
            "start",
        ],
    ),
    (
        "attest",
        &[
            "env_vars",
            "error",
            "on_path",
            "tee",
            "reporter",
            "shell",
            "image",
            "registry",
            "image_source",
            "lock",
        ],
    ),
    (
        "base",
        &[
            "env_vars", "error", "on_path", "reporter", "image", "registry", "settings",
        ],
    ),
    ("adopt", &["error", "reporter", "image", "registry", "lock"]),
    (
        "rebase",
        &[
            "error",
            "reporter",
            "plan",
            "image",
            "assemble",
            "registry",
            "image_source",
            "known_base",
            "assembly",
            "lock",
            "builder",
            "build",
        ],
    ),
    (
        "verify",
        &[
            "error",
            "reporter",
            "plan",
            "image",
            "host",
            "assemble",
            "registry",
            "image_source",
            "trust",
            "records",
            "pull",
            "settings",
            "builder",
            "planning",
            "assembly",
            "lock",
            "build",
            "diff",
            "rebase",
        ],
    ),
];

/// The file of the root crate that names all modules.
const TOP: &str = "lib";

#[test]
fn crates_depend_on_what_their_row_names() {
    let root: toml::Table = read(&repository().join("Cargo.toml"))
        .parse()
        .expect("the workspace");
    let members = root["workspace"]["members"].as_array().expect("members");
    let mut folders: BTreeSet<&str> = members.iter().filter_map(|m| m.as_str()).collect();
    folders.insert("src");
    let known: BTreeSet<&str> = CRATES.iter().map(|(name, _)| *name).collect();
    assert_eq!(folders, known, "each crate has a row in CRATES");
    for (folder, allowed) in CRATES {
        let manifest = if *folder == "src" {
            "Cargo.toml".to_owned()
        } else {
            format!("{folder}/Cargo.toml")
        };
        let document: toml::Table = read(&repository().join(&manifest))
            .parse()
            .expect("a manifest");
        let dependencies = document.get("dependencies").and_then(|d| d.as_table());
        let ours = dependencies
            .into_iter()
            .flat_map(|table| table.keys())
            .filter_map(|name| match name.as_str() {
                "mlbuild" => Some("src"),
                _ => name.strip_prefix("mlbuild-"),
            });
        for name in ours {
            assert!(
                allowed.contains(&name),
                "{manifest} may not depend on {name}"
            );
        }
    }
}

#[test]
fn modules_import_what_their_row_names() {
    let sources = sources();
    let modules = MODULES.iter().map(|(name, _)| *name);
    let known: BTreeSet<&str> = modules.chain([TOP]).collect();
    let there: BTreeSet<&str> = sources
        .iter()
        .map(|(_, module, _)| module.as_str())
        .collect();
    assert_eq!(there, known, "each module of src/ has a row in MODULES");
    let mut broken = Vec::new();
    for (path, module, text) in &sources {
        for named in modules_named_in(text) {
            if !may_import(module, &named) {
                broken.push(format!("{path}: {module} may not import {named}"));
            }
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

/// So there can be no circle.
#[test]
fn a_row_names_only_what_stands_above_it() {
    for layers in [CRATES, MODULES] {
        let mut above = BTreeSet::new();
        for (name, allowed) in layers {
            for other in *allowed {
                assert!(above.contains(other), "{name} names {other}");
            }
            assert!(above.insert(*name), "{name} has two rows");
        }
    }
}

#[test]
fn the_library_neither_prints_nor_reads_arguments() {
    let forbidden = Regex::new(
        r"\be?println!|\be?print!|\bstd::env::args|\bclap::|\bprocess::exit\(|\btokio::runtime::(?:Runtime|Builder)",
    )
    .expect("a pattern");
    let mut broken = Vec::new();
    for (path, _, text) in sources() {
        for found in forbidden.find_iter(&code_of(&text)) {
            broken.push(format!("{path}: {}", found.as_str()));
        }
    }
    assert!(broken.is_empty(), "{}", broken.join("\n"));
}

#[test]
fn architecture_draws_the_same_tables() {
    let document = read(&repository().join("ARCHITECTURE.md"));
    for table in [drawn("crate", CRATES), drawn("module", MODULES)] {
        assert!(
            document.contains(&table),
            "ARCHITECTURE.md has not this table:\n\n{table}"
        );
    }
    for (module, _) in MODULES {
        let row = format!("\n| `{module}` | ");
        assert!(
            document.matches(&row).count() >= 2,
            "ARCHITECTURE.md doesn't say what `{module}` is for"
        );
    }
}

fn drawn(of: &str, layers: &[Layer]) -> String {
    let mut table = format!("| {of} | may import |\n| --- | --- |\n");
    for (name, allowed) in layers {
        let mut names: Vec<String> = allowed.iter().map(|name| format!("`{name}`")).collect();
        if names.is_empty() {
            names.push("–".to_owned());
        }
        let _ = writeln!(table, "| `{name}` | {} |", names.join(", "));
    }
    table
}

fn may_import(module: &str, named: &str) -> bool {
    let row = MODULES.iter().find(|(name, _)| *name == module);
    match row {
        Some((_, allowed)) => module == named || allowed.contains(&named),
        None => module == TOP,
    }
}

/// Each source of the root crate: its path, its module and its text.
fn sources() -> Vec<(String, String, String)> {
    let root = repository().join("src");
    let files = rust_files(&root).into_iter();
    let sources: Vec<_> = files
        .map(|path| {
            let inside = path.strip_prefix(&root).expect("a file of src/");
            (
                format!("src/{}", inside.display()),
                module_of(inside),
                read(&path),
            )
        })
        .collect();
    assert!(sources.len() > 100, "the sources were not found");
    sources
}

/// `builder/connect.rs` and `builder.rs` are of the module `builder`.
fn module_of(inside: &Path) -> String {
    let first = inside.components().next().expect("a path").as_os_str();
    let first = first.to_str().expect("a UTF-8 name");
    first.strip_suffix(".rs").unwrap_or(first).to_owned()
}

/// A source without its lines of comment.
fn code_of(source: &str) -> String {
    source
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .flat_map(|line| [line, "\n"])
        .collect()
}

/// The top-level modules that a source names by `crate::`.
fn modules_named_in(source: &str) -> BTreeSet<String> {
    let path = Regex::new(r"\bcrate::(?:\{([^;]*)\}|([a-z_]+))").expect("a regex");
    let word = Regex::new(r"(?:^|,)\s*([a-z_]+)").expect("a regex");
    let code = code_of(source);
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
        "use crate::{plan::{A, image}, queue};\n// crate::display\nlet x = crate::registry::push();",
    );
    assert_eq!(
        names.into_iter().collect::<Vec<_>>(),
        ["plan", "queue", "registry"]
    );
    assert!(!may_import("builder", "registry"));
    assert!(!may_import("queue", "builder"));
    assert!(may_import("builder", "plan"));
    assert!(!may_import("plan", "builder"));
    assert!(!may_import("unknown", "plan"));
    assert!(may_import("lib", "builder"));
}
