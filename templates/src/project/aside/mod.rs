//! Files that bear on an environment and that mlbuild doesn't read: why, and what to do instead.

mod below;
mod condarc;
mod content;
mod context;
mod pointers;
mod scripts;
mod space;

use super::NextStep;
use std::path::Path;

pub(super) use below::{Below, further_below};
pub use condarc::of_machine as condarc_of_machine;
pub(super) use content::of_an_environment;
pub(super) use pointers::of_lfs;
pub(super) use scripts::{calls_nvcc, notebooks, workflows};
pub(super) use space::of_space;

use super::manifests::text_of;
use crate::dockerfile::shell_quote;

const OWN_DOCKERFILE: &str =
    "put what it does into a Dockerfile of your own, where the image needs it";
/// What another platform sets up.
const OWN_TABLE: &str = "put what it installs under apt, packages and run of [image]";
const VARIABLES: &str = "set those that are no secret under env of [image], and give the others to the container when it runs";
const BY_CHANNELS: &str = "to install what it pins: conda = true under [image]";

/// Name, why it isn't used, what to do.
const KNOWN: [(&str, &str, &str); 64] = [
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
        "packages come from the package index and Debian, in versions that are chosen anew",
        BY_CHANNELS,
    ),
    (
        "conda-lock.yml",
        "packages come from the package index and Debian, in versions that are chosen anew",
        BY_CHANNELS,
    ),
    (
        "conda-lock.yaml",
        "packages come from the package index and Debian, in versions that are chosen anew",
        BY_CHANNELS,
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
    ("devenv.nix", "Nix isn't used", OWN_DOCKERFILE),
    ("devbox.json", "Nix isn't used", OWN_DOCKERFILE),
    ("WORKSPACE.bazel", "Bazel isn't used", OWN_DOCKERFILE),
    ("pants.toml", "Pants isn't used", OWN_DOCKERFILE),
    (
        "Brewfile",
        "Homebrew isn't used",
        "put what the image needs of it under apt of [image]",
    ),
    ("Vagrantfile", "it sets up a virtual machine", OWN_TABLE),
    ("Earthfile", "Earthly isn't used", OWN_DOCKERFILE),
    ("build.envd", "envd isn't used", OWN_TABLE),
    (
        "docker-bake.hcl",
        "Bake's targets aren't built",
        "build one of its Dockerfiles: dockerfile = \"Dockerfile\" under [image]",
    ),
    (
        "docker-bake.json",
        "Bake's targets aren't built",
        "build one of its Dockerfiles: dockerfile = \"Dockerfile\" under [image]",
    ),
    ("ansible.yml", "Ansible isn't run", OWN_TABLE),
    ("playbook.yml", "Ansible isn't run", OWN_TABLE),
    ("playbook.yaml", "Ansible isn't run", OWN_TABLE),
    (
        ".python-versions",
        "a file of this name is read by no tool that is known here",
        "call it .python-version",
    ),
    ("cloud-init.yaml", "it sets up a machine", OWN_TABLE),
    ("cloud-init.yml", "it sets up a machine", OWN_TABLE),
    ("user-data.sh", "it sets up a machine", OWN_TABLE),
    ("sky.yaml", "SkyPilot's setup isn't run", OWN_TABLE),
    ("skypilot.yaml", "SkyPilot's setup isn't run", OWN_TABLE),
    (".dstack.yml", "dstack's commands aren't run", OWN_TABLE),
    ("dstack.yml", "dstack's commands aren't run", OWN_TABLE),
    (
        ".gitpod.yml",
        "an editor's container is described there",
        OWN_TABLE,
    ),
    (
        "cloudbuild.yaml",
        "steps of Cloud Build aren't run",
        OWN_TABLE,
    ),
    (
        "app.yaml",
        "it says what another platform starts",
        "set command = [\"…\"] under [image]",
    ),
    (
        "fly.toml",
        "it says what another platform starts",
        "set command = [\"…\"] under [image]",
    ),
    (
        "render.yaml",
        "it says what another platform builds and starts",
        OWN_TABLE,
    ),
    (
        "Snakefile",
        "environments of Snakemake's rules aren't made",
        "list their packages in a requirements file",
    ),
    (
        "hatch.toml",
        "environments of Hatch aren't made",
        "list their packages under dependencies of [project]",
    ),
    (
        "uv.toml",
        "uv's settings are read from pyproject.toml alone",
        "move them there, under [tool.uv]",
    ),
    (
        "pip.conf",
        "pip's settings are those of the machine that builds",
        "name its indexes in a requirements file: --index-url and --extra-index-url",
    ),
    (
        "requirements.yml",
        "roles of Ansible aren't installed",
        OWN_TABLE,
    ),
    (
        ".nvmrc",
        "packages of Node aren't installed",
        OWN_DOCKERFILE,
    ),
    (
        ".env.example",
        "its variables aren't set in the image",
        VARIABLES,
    ),
    (
        ".env.sample",
        "its variables aren't set in the image",
        VARIABLES,
    ),
    (
        ".env.template",
        "its variables aren't set in the image",
        VARIABLES,
    ),
    (
        ".env.dist",
        "its variables aren't set in the image",
        VARIABLES,
    ),
    (
        "example.env",
        "its variables aren't set in the image",
        VARIABLES,
    ),
    (
        ".env",
        "its variables aren't set in the image, and it stays out of it",
        VARIABLES,
    ),
];

/// Why a file isn't used, and what to do; its path is from the project's folder.
pub(super) fn of_other_tools(folder: &Path, path: &str) -> Option<(String, NextStep)> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if let Some((_, why, next)) = KNOWN.iter().find(|(known, ..)| *known == name) {
        return Some(((*why).to_owned(), (*next).into()));
    }
    if name == ".condarc" {
        return condarc::said(&folder.join(path));
    }
    if is_compose(name) {
        let why = "services of Compose aren't started".to_owned();
        let next = "give what the container needs under [run] of mlbuild.toml";
        return Some((why, next.into()));
    }
    if name == "meta.yaml" && has_line(folder, path, "requirements:") {
        let why = "it is a recipe of conda's, and no package is built from it".to_owned();
        return Some((why, "list what it requires in an environment.yml".into()));
    }
    let of_tests = [
        ("tox.ini", "tox", "deps"),
        ("noxfile.py", "Nox", "session.install"),
    ];
    let of_tests = of_tests.iter().find(|(known, ..)| *known == name);
    if let Some((_, tool, what)) = of_tests.filter(|(.., what)| {
        scripts::text_of(&folder.join(path)).is_some_and(|text| text.contains(what))
    }) {
        let why =
            format!("environments of {tool} aren't made, and what {what} names isn't installed");
        return Some((
            why,
            "list what the image needs of it in a requirements file".into(),
        ));
    }
    let runner = scripts::installs(folder, path)?;
    let why = "it installs packages when it is run, and scripts aren't run".to_owned();
    let next = match runner {
        "windows" => "list its packages in a requirements file: Linux doesn't run it".to_owned(),
        // A target has to be chosen.
        "make" | "just" | "task" | "invoke" => format!(
            "list its packages in a requirements file, or run its target ({runner} TARGET) under run of [image]"
        ),
        runner => {
            // A file's name is its author's: a word for the shell, in a text for mlbuild.toml.
            let command = format!("{runner} {}", shell_quote(&as_operand(path)));
            let command = toml::Value::String(command);
            format!(
                "list its packages in a requirements file, or run it: run = [{{ command = {command}, when = \"after-code\" }}] under [image]"
            )
        }
    };
    Some((why, next.into()))
}

fn has_line(folder: &Path, path: &str, start: &str) -> bool {
    let text = scripts::text_of(&folder.join(path)).unwrap_or_default();
    text.lines().any(|line| line.starts_with(start))
}

/// Whether a file is one of Compose's: `compose.yaml`, `docker-compose.gpu.yml`.
fn is_compose(name: &str) -> bool {
    let is_yaml = name.ends_with(".yml") || name.ends_with(".yaml");
    is_yaml
        && ["docker-compose", "compose"].iter().any(|word| {
            let rest = name.strip_prefix(word);
            rest.is_some_and(|rest| rest.starts_with(['.', '-', '_']))
        })
}

/// Whether a file is by its name one of those by which ROS names packages and repositories.
fn is_of_robots(name: &str) -> bool {
    name == "package.xml" || name.ends_with(".repos") || name.ends_with(".rosinstall")
}

/// What is said of the files of ROS: `package.xml` (REP 149), lists of vcstool and of rosinstall.
pub(super) fn of_robots(folder: &Path, path: &str) -> Option<(String, NextStep)> {
    let name = path.rsplit('/').next().unwrap_or(path);
    if !is_of_robots(name) {
        return None;
    }
    let text = scripts::text_of(&folder.join(path))?;
    let (holds, why) = if name == "package.xml" {
        ("<package", "packages of ROS aren't installed")
    } else if name.ends_with(".repos") {
        (
            "repositories:",
            "the repositories that it lists aren't fetched",
        )
    } else {
        (
            "local-name:",
            "the repositories that it lists aren't fetched",
        )
    };
    text.contains(holds)
        .then(|| (why.to_owned(), OWN_DOCKERFILE.into()))
}

/// A Dockerfile by its name: one that can be built, or one that another tool fills in.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum DockerfileName {
    Whole,
    Unfilled,
}

/// Whether a file is a Dockerfile by its name, however it is written: `dockerfile`, `Dockerfile-gpu`,
/// `gpu.Dockerfile`, `Containerfile`.
pub(super) fn dockerfile(name: &str) -> Option<DockerfileName> {
    let lower = name.to_lowercase();
    let is_it = ["dockerfile", "containerfile"].iter().any(|word| {
        let rest = lower.strip_prefix(word);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['.', '-', '_']))
            || lower
                .strip_suffix(word)
                .is_some_and(|rest| rest.ends_with(['.', '-', '_']))
    });
    if !is_it || lower.ends_with("ignore") {
        return None;
    }
    let unfilled = [
        ".tmpl",
        ".tpl",
        ".template",
        ".j2",
        ".jinja",
        ".jinja2",
        ".in",
        ".m4",
    ];
    Some(if unfilled.iter().any(|end| lower.ends_with(end)) {
        DockerfileName::Unfilled
    } else {
        DockerfileName::Whole
    })
}

/// What is said of a Dockerfile that another tool fills in, and what to do.
pub(super) fn unfilled() -> (String, NextStep) {
    (
        "it is a template of a Dockerfile, which another tool fills in".to_owned(),
        "fill it in, and build what comes out: dockerfile = \"Dockerfile\" under [image]".into(),
    )
}

/// Git submodules of the project that aren't fetched, by their folders.
pub(super) fn unfetched(folder: &Path) -> Vec<String> {
    let text = text_of(folder, ".gitmodules").unwrap_or_default();
    let paths = text.lines().filter_map(|line| {
        let (key, path) = line.trim().split_once('=')?;
        (key.trim() == "path").then(|| path.trim().trim_matches('"').to_owned())
    });
    let is_empty = |path: &String| {
        let mut entries = std::fs::read_dir(folder.join(path)).into_iter().flatten();
        entries.next().is_none()
    };
    paths
        .filter(|path| !path.is_empty() && !super::is_outside(folder, path))
        .filter(is_empty)
        .take(MOST)
        .collect()
}

/// The git submodule that a path of the project lies in, where that isn't fetched.
pub(crate) fn unfetched_around(folder: &Path, path: &str) -> Option<String> {
    let mut modules = unfetched(folder).into_iter();
    modules.find(|module| {
        let rest = path.strip_prefix(module.trim_end_matches('/'));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    })
}

/// What is wrong with a line that names a path in a submodule which isn't fetched, and what to type.
pub(crate) fn to_fetch(path: &str, module: &str) -> (String, String) {
    let itself = if path.trim_end_matches('/') == module.trim_end_matches('/') {
        "a git submodule".to_owned()
    } else {
        format!("in the git submodule {module}")
    };
    (
        format!("names {path}, which is {itself}, and that isn't fetched"),
        format!(
            "fetch it: git submodule update --init {}",
            shell_quote(module)
        ),
    )
}

/// Things of a kind that are named at most.
const MOST: usize = 20;

/// A path that no program takes for a flag.
fn as_operand(path: &str) -> String {
    if path.starts_with('-') {
        format!("./{path}")
    } else {
        path.to_owned()
    }
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
