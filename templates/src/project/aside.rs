//! Files that bear on an environment and that mlbuild doesn't read: why, and what to do instead.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::detect::{to_build, to_use};
use super::manifests::Kind;
use crate::dockerfile::shell_quote;

const OWN_DOCKERFILE: &str =
    "put what it does into a Dockerfile of your own, where the image needs it";
const EXPORT_CONDA: &str = "export its packages (conda env export --from-history, pixi workspace export conda-environment) and name that file: -r environment.yml";

/// Name, why it isn't used, what to do.
const KNOWN: [(&str, &str, &str); 30] = [
    (
        "install.R",
        "packages of R aren't installed",
        OWN_DOCKERFILE,
    ),
    (
        "DESCRIPTION",
        "packages of R aren't installed",
        OWN_DOCKERFILE,
    ),
    (
        "renv.lock",
        "packages of R aren't installed",
        OWN_DOCKERFILE,
    ),
    (
        "Project.toml",
        "packages of Julia aren't installed",
        OWN_DOCKERFILE,
    ),
    (
        "Manifest.toml",
        "packages of Julia aren't installed",
        OWN_DOCKERFILE,
    ),
    (
        "JuliaProject.toml",
        "packages of Julia aren't installed",
        OWN_DOCKERFILE,
    ),
    ("default.nix", "Nix isn't used", OWN_DOCKERFILE),
    ("shell.nix", "Nix isn't used", OWN_DOCKERFILE),
    ("flake.nix", "Nix isn't used", OWN_DOCKERFILE),
    ("guix.scm", "Guix isn't used", OWN_DOCKERFILE),
    ("manifest.scm", "Guix isn't used", OWN_DOCKERFILE),
    (
        "pixi.lock",
        "its pins aren't read: versions are chosen anew",
        EXPORT_CONDA,
    ),
    (
        "conda-lock.yml",
        "its pins aren't read: versions are chosen anew",
        EXPORT_CONDA,
    ),
    (
        "conda-lock.yaml",
        "its pins aren't read: versions are chosen anew",
        EXPORT_CONDA,
    ),
    (
        "package.json",
        "packages of Node aren't installed",
        OWN_DOCKERFILE,
    ),
    (
        "Gemfile",
        "packages of Ruby aren't installed",
        OWN_DOCKERFILE,
    ),
    (
        "docker-compose.yml",
        "services of Compose aren't started",
        "give what the container needs under [run] of mlbuild.toml",
    ),
    (
        "docker-compose.yaml",
        "services of Compose aren't started",
        "give what the container needs under [run] of mlbuild.toml",
    ),
    (
        "compose.yml",
        "services of Compose aren't started",
        "give what the container needs under [run] of mlbuild.toml",
    ),
    (
        "compose.yaml",
        "services of Compose aren't started",
        "give what the container needs under [run] of mlbuild.toml",
    ),
    (
        ".devcontainer.json",
        "an editor's container is described there",
        "put its features and commands under apt and run of [image]",
    ),
    (
        "Procfile",
        "it says what another platform starts",
        "set command = [\"…\"] under [image]",
    ),
    (
        "MLproject",
        "its entry points are started by MLflow",
        "set command = [\"…\"] under [image]",
    ),
    (
        "bentofile.yaml",
        "its packages are read by BentoML",
        "list them in a requirements file, and its system packages under apt of [image]",
    ),
    (
        "Singularity",
        "definitions of Apptainer aren't read",
        OWN_DOCKERFILE,
    ),
    (
        "Singularity.def",
        "definitions of Apptainer aren't read",
        OWN_DOCKERFILE,
    ),
    (
        "Makefile.conda",
        "scripts of other tools aren't run",
        OWN_DOCKERFILE,
    ),
    ("spack.yaml", "Spack isn't used", OWN_DOCKERFILE),
    ("WORKSPACE", "Bazel isn't used", OWN_DOCKERFILE),
    ("MODULE.bazel", "Bazel isn't used", OWN_DOCKERFILE),
];

/// Folders that hold no part of what the project runs with.
const ELSEWHERE: [&str; 14] = [
    "binder",
    "build",
    "dist",
    "doc",
    "docs",
    "example",
    "examples",
    "node_modules",
    "notebooks",
    "requirements",
    "test",
    "tests",
    "third_party",
    "venv",
];

/// Files of a folder below the root that are named at most, of all folders together.
const MOST: usize = 20;

/// Why a file isn't used, and what to do; its path is from the project's folder.
pub(super) fn of_other_tools(folder: &Path, path: &str) -> Option<(String, String)> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if let Some((_, why, next)) = KNOWN.iter().find(|(known, ..)| *known == name) {
        return Some(((*why).to_owned(), (*next).to_owned()));
    }
    installs(folder, path).then(|| {
        let why = "it installs packages when it is run, and scripts aren't run".to_owned();
        // A file's name is its author's: a word for the shell, in a text for mlbuild.toml.
        let command = format!("sh {}", shell_quote(&as_operand(path)));
        let command = toml::Value::String(command);
        let next = format!(
            "list its packages in a requirements file, or run it: run = [{{ command = {command}, when = \"after-code\" }}] under [image]"
        );
        (why, next)
    })
}

/// A path that no program takes for a flag.
fn as_operand(path: &str) -> String {
    match path.starts_with('-') {
        true => format!("./{path}"),
        false => path.to_owned(),
    }
}

/// Bytes of a script that are looked at.
const LOOKED_AT: u64 = 1 << 20;

/// Whether a shell script calls an installer.
fn installs(folder: &Path, path: &str) -> bool {
    const INSTALLERS: [&str; 6] = [
        "pip install",
        "pip3 install",
        "conda install",
        "conda create",
        "apt-get install",
        "apt install",
    ];
    let Some(script) = Some(folder.join(path)).filter(|script| {
        path.ends_with(".sh") && script.is_file() // a pipe would be waited for
    }) else {
        return false;
    };
    let mut text = Vec::new();
    let read = File::open(script).and_then(|file| file.take(LOOKED_AT).read_to_end(&mut text));
    let text = read
        .map(|_| String::from_utf8_lossy(&text))
        .unwrap_or_default();
    let mut lines = text
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'));
    lines.any(|line| INSTALLERS.iter().any(|installer| line.contains(installer)))
}

/// Manifests one folder below the root: path, why it isn't used, what to do.
pub(super) fn below(folder: &Path) -> Vec<(String, String, String)> {
    let mut found = Vec::new();
    for inner in names(folder, true) {
        let is_editors = inner == ".devcontainer";
        if (inner.starts_with('.') && !is_editors)
            || ELSEWHERE.contains(&inner.as_str())
            || folder.join(&inner).join("pyvenv.cfg").is_file()
        {
            continue;
        }
        for name in names(&folder.join(&inner), false) {
            let path = format!("{inner}/{name}");
            let lower = name.to_lowercase();
            let is_list = lower == "requirements.txt" || lower == "environment.yml";
            if name == "devcontainer.json" && is_editors {
                let next = "put its features and commands under apt and run of [image]";
                let why = "an editor's container is described there";
                found.push((path, why.to_owned(), next.to_owned()));
            } else if name == "Dockerfile" || name.starts_with("Dockerfile.") {
                let next = to_build(&path);
                found.push((path, "it lies in a folder of its own".into(), next));
            } else if is_list || Kind::of(&lower) == Some(Kind::Pipfile) {
                let next = to_use(&path);
                found.push((path, "it lies in a folder of its own".into(), next));
            }
        }
    }
    let more = found.len().saturating_sub(MOST);
    if more > 0 {
        found.truncate(MOST);
        let why = format!("{more} more manifests lie in folders of their own");
        let next = "to use one: -r FOLDER/requirements.txt".to_owned();
        found.push(("other folders".to_owned(), why, next));
    }
    found
}

/// The tools besides Python that a file of asdf or mise names.
pub(super) fn other_tools(file: &str, text: &str) -> Vec<String> {
    let names: Vec<String> = if file.ends_with("mise.toml") {
        let table: toml::Table = text.parse().unwrap_or_default();
        let tools = table.get("tools").and_then(toml::Value::as_table);
        tools
            .into_iter()
            .flat_map(toml::Table::keys)
            .cloned()
            .collect()
    } else {
        let lines = text
            .lines()
            .filter(|line| !line.trim_start().starts_with('#'));
        lines
            .filter_map(|line| line.split_whitespace().next())
            .map(str::to_owned)
            .collect()
    };
    names.into_iter().filter(|name| name != "python").collect()
}

/// Folders of a folder that are looked into at most: others hold data.
const LOOKED_INTO: usize = 100;

/// Manifests two folders below the root, and those of documents, examples and tests: why they aren't
/// used, in one line, and what to do.
pub(super) fn further_below(folder: &Path) -> Option<(String, String)> {
    const BESIDE: [&str; 8] = [
        "doc",
        "docs",
        "example",
        "examples",
        "notebooks",
        "test",
        "tests",
        "docker",
    ];
    let is_code = |name: &String| {
        let is_of_others = ELSEWHERE.contains(&name.as_str()) && !BESIDE.contains(&name.as_str());
        !name.starts_with('.') && !is_of_others
    };
    let inside = |path: &Path| {
        let folders = names(path, true).into_iter();
        folders
            .filter(is_code)
            .take(LOOKED_INTO)
            .collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    let mut look = |path: String| {
        for name in names(&folder.join(&path), false) {
            let lower = name.to_lowercase();
            let is_manifest = lower == "requirements.txt"
                || lower == "environment.yml"
                || lower == "environment.yaml"
                || lower == "pyproject.toml"
                || name == "Dockerfile"
                || Kind::of(&lower) == Some(Kind::Pipfile);
            if is_manifest {
                found.push(format!("{path}/{name}"));
            }
        }
    };
    for outer in inside(folder) {
        if folder.join(&outer).join("pyvenv.cfg").is_file() {
            continue;
        }
        if ELSEWHERE.contains(&outer.as_str()) {
            look(outer.clone());
        }
        for inner in inside(&folder.join(&outer)) {
            look(format!("{outer}/{inner}"));
        }
    }
    found.sort();
    let (shown, more) = found.split_at(found.len().min(3));
    let more = match more.len() {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    (!shown.is_empty()).then(|| {
        let manifests = match found.len() {
            1 => "1 manifest lies".to_owned(),
            count => format!("{count} manifests lie"),
        };
        (
            format!("{manifests} there: {}{more}", shown.join(", ")),
            "to use one: -r FOLDER/requirements.txt".to_owned(),
        )
    })
}

/// The names of a folder's files or folders, sorted.
fn names(folder: &Path, folders: bool) -> Vec<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let of_kind = entries.filter(|entry| match entry.file_type() {
        Ok(kind) if folders => kind.is_dir(),
        Ok(kind) => kind.is_file(),
        Err(_) => false,
    });
    let mut names: Vec<String> = of_kind
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect();
    names.sort();
    names
}
