//! Manifests that aren't lists of requirements: each kind one file. What they ask for becomes
//! requirement lines, packages of the distribution and a Python version; what can't be used is
//! named, with the reason and the next step.

mod binder;
mod channels;
mod chosen;
mod cog;
mod conda;
mod indexes;
mod pdm;
mod pep621;
mod pipfile;
mod pixi;
mod poetry;
mod pyproject;
mod setup;
mod uv_sources;
mod version;

use super::NextStep;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

pub use self::binder::{apt_list, python_of_runtime};
pub use self::channels::{Conda, CondaPin};
pub(crate) use self::conda::{OF_CPUS, is_python_package};
pub(crate) use self::pyproject::build_requirements;
pub(crate) use self::pyproject::name_of;
pub(crate) use self::uv_sources::open_builds;
pub(crate) use self::version::from_poetry as python_of_poetry;

use super::{LocalProject, ProjectError};
use crate::value::{EnvName, EnvValue};

/// What a manifest asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Manifest {
    /// Requirement lines, with the place of each.
    pub requirements: Vec<Asked>,
    /// `NAME==VERSION` lines that hold whatever is installed to what a lock says.
    pub constraints: Vec<String>,
    /// Requirements files that it takes in.
    pub files: Vec<String>,
    /// The Python versions that will do (`>=3.10,<3.13`).
    pub python: Option<Asked>,
    /// Packages of the distribution.
    pub apt: Vec<Asked>,
    /// Packages that come from conda's channels themselves.
    pub conda: Option<Conda>,
    /// Commands to run in the image.
    pub run: Vec<Asked>,
    /// Projects to install once the code is there.
    pub local: Vec<LocalProject>,
    /// Files that the resolver looks at, besides the manifest.
    pub inputs: BTreeSet<String>,
    /// Which of PyTorch's own builds it takes (`cu124`), where it names the index of one.
    pub torch_build: Option<String>,
    /// What asks for builds for CPUs without being a package of the index: conda's `cpuonly`.
    pub for_cpus: Option<Asked>,
    /// What asks for CUDA so: conda's `cudatoolkit`.
    pub for_cuda: Option<Asked>,
    /// Whether it asks for a GPU, where it says so.
    pub gpu: Option<bool>,
    /// Packages whose build isn't to be isolated, and what it imports.
    pub open_builds: BTreeMap<String, Vec<String>>,
    /// What of it isn't used.
    pub unused: Vec<Unused>,
}

/// A text with the place that asks for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Asked {
    /// The text.
    pub text: String,
    /// `environment.yml:7`.
    pub origin: String,
}

/// A part of a project that plays no part in the image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unused {
    /// What: a place such as `environment.yml:7`, or a file.
    pub what: String,
    /// Why it isn't used.
    pub why: String,
    /// What to do about it.
    pub next: NextStep,
    /// What follows from that.
    pub kind: UnusedKind,
}

/// What follows from a part that plays no part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum UnusedKind {
    /// The image may lack something.
    #[default]
    Left,
    /// Nobody chose it: nothing is amiss.
    NotChosen,
    /// It is installed, and only what follows from it isn't known.
    Undecided,
    /// Dependencies that only the project's own build finds out.
    OfItsBuild,
    /// It is installed, and the project may mean something else.
    Guessed,
    /// Nothing reads it, so that its build fails.
    Broken,
}

impl Unused {
    pub(crate) fn is_of_its_build(&self) -> bool {
        self.kind == UnusedKind::OfItsBuild
    }

    /// Whether it bears on a project that is installed because others name it.
    pub(crate) fn is_of_installation(&self) -> bool {
        let kinds = [
            UnusedKind::OfItsBuild,
            UnusedKind::Undecided,
            UnusedKind::Guessed,
            UnusedKind::Broken,
        ];
        kinds.contains(&self.kind)
    }
}

/// A kind of manifest that [`read`] reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `environment.yml` of conda.
    Conda,
    /// `pyproject.toml`: PEP 621, Poetry or PDM.
    Pyproject,
    /// `Pipfile`, with its lock where there is one.
    Pipfile,
    /// `setup.py` or `setup.cfg`.
    Setup,
    /// `cog.yaml`.
    Cog,
    /// `pixi.toml`.
    Pixi,
    /// `conda-lock.yml` or `pixi.lock`.
    CondaLock,
}

impl Kind {
    /// The kind of a file that somebody named; `None` for lists of requirements. YAML that no other tool is
    /// known by is an environment of conda, whatever it is called.
    pub fn of(file: &str) -> Option<Self> {
        let is_yaml = file.ends_with(".yml") || file.ends_with(".yaml");
        Self::by_name(file).or(is_yaml.then_some(Self::Conda))
    }

    /// The kind of a file that nobody named, by its name; `None` for lists of requirements and everything else.
    pub(super) fn by_name(file: &str) -> Option<Self> {
        let name = file.rsplit('/').next().unwrap_or(file);
        let is_yaml = name.ends_with(".yml") || name.ends_with(".yaml");
        match name {
            "pyproject.toml" => Some(Self::Pyproject),
            "Pipfile" | "Pipfile.lock" => Some(Self::Pipfile),
            "setup.py" | "setup.cfg" => Some(Self::Setup),
            "cog.yaml" => Some(Self::Cog),
            "pixi.toml" => Some(Self::Pixi),
            "pixi.lock" => Some(Self::CondaLock),
            _ if name.ends_with("conda-lock.yml") || name.ends_with("conda-lock.yaml") => {
                Some(Self::CondaLock)
            }
            // Services of Compose.
            _ if name.starts_with("conda-lock") || name.contains("compose") => None,
            _ if is_yaml && (name.contains("env") || name.contains("conda")) => Some(Self::Conda),
            _ => None,
        }
    }
}

/// What is chosen of a project.
#[derive(Debug, Clone, Copy, Default)]
pub struct Choice<'a> {
    /// Extras.
    pub extras: &'a [String],
    /// Dependency groups.
    pub groups: &'a [String],
    /// The variables that the image sets, which the build of a project sees.
    pub env: Option<&'a BTreeMap<EnvName, EnvValue>>,
    /// Whether conda's packages come from its channels; unset: where nothing else has one of them.
    pub conda: Option<bool>,
}

/// Reads a manifest by its path relative to the project.
///
/// # Errors
/// [`ProjectError`] names the file and, where it can, the line that isn't understood.
pub fn read(
    project: &Path,
    file: &str,
    kind: Kind,
    choice: Choice,
) -> Result<Manifest, ProjectError> {
    match kind {
        Kind::Conda => conda::read(project, file, choice),
        Kind::Pyproject => pyproject::read(project, file, choice),
        Kind::Pipfile => pipfile::read(project, file, choice),
        Kind::Setup => setup::read(project, file, choice),
        Kind::Cog => cog::read(project, file),
        Kind::Pixi => pixi::read(project, file, choice),
        Kind::CondaLock => channels::read(project, file),
    }
}

fn unreadable(file: &str, reason: impl Into<String>, hint: &str) -> ProjectError {
    ProjectError::Unreadable {
        path: file.into(),
        reason: reason.into(),
        hint: hint.to_owned(),
    }
}

/// Most bytes of a manifest that people write: the largest known have a tenth. Locks have no such bound.
const MOST_BYTES: usize = 1 << 20;

/// Most bytes of a manifest in which lines are looked for, which is done for each thing that it asks for.
const MOST_BYTES_WITH_LINES: usize = 128 << 10;

/// Most extras or groups of one manifest.
const MOST_NAMES: usize = 1000;

/// Most levels of extras or groups that take in others.
const MOST_LEVELS: usize = 20;

/// A file's text without its mark of UTF-8. Only a regular file is opened: a pipe would be waited for.
pub(crate) fn text_of(project: &Path, file: &str) -> Result<String, ProjectError> {
    let path = project.join(file);
    let text = mlbuild_files::read_to_string(&path).map_err(|error| {
        unreadable(file, error.to_string(), "make it readable, or leave it out")
    })?;
    let is_lock = file.ends_with(".lock") || Kind::of(file) == Some(Kind::CondaLock);
    if text.len() > MOST_BYTES && !is_lock {
        let reason = format!("it is larger than {} MiB", MOST_BYTES >> 20);
        return Err(unreadable(
            file,
            reason,
            "leave out of it what no person wrote",
        ));
    }
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

fn toml_of(file: &str, text: &str) -> Result<toml::Table, ProjectError> {
    text.parse().map_err(|error: toml::de::Error| {
        let before = error.span().and_then(|span| text.get(..span.start));
        let line = before.unwrap_or("").matches('\n').count() + 1;
        unreadable(
            file,
            format!("line {line}: {}", error.message()),
            "correct the TOML",
        )
    })
}

/// The groups under `default-groups` of uv's table: those of a project that says so, and no others. What can't be
/// read has none; whoever reads the manifest says why.
pub(crate) fn default_groups(project: &Path, file: &str) -> Vec<String> {
    let text = text_of(project, file).unwrap_or_default();
    let table: toml::Table = text.parse().unwrap_or_default();
    let of_uv = |key: &str| table.get("tool")?.get("uv")?.get(key);
    let defined = table
        .get("dependency-groups")
        .and_then(toml::Value::as_table);
    let has = |name: &str| {
        let mut names = defined.into_iter().flat_map(toml::Table::keys);
        names.any(|known| chosen::same(known, name))
    };
    match of_uv("default-groups") {
        Some(toml::Value::String(all)) if all == "all" => defined
            .into_iter()
            .flat_map(toml::Table::keys)
            .cloned()
            .collect(),
        // uv takes this one for a default whether it is there or not.
        list => strings(list)
            .filter(|name| *name != "dev" || has(name) || of_uv("dev-dependencies").is_some())
            .map(str::to_owned)
            .collect(),
    }
}

/// Whether a marker (PEP 508) without extras holds in an image of the usual Python; true where there
/// is none, or where it isn't understood.
fn in_image(marker: &str) -> bool {
    let markers = crate::project::ImagePython::default().markers();
    marker.trim().is_empty()
        || crate::project::requirements::pep508::requirement(&format!("x ; {marker}"))
            .map_or(true, |read| read.marker.evaluate(&markers, &[]))
}

/// `FILE:LINE` of the first line that holds the text, else the file.
fn place(file: &str, text: &str, needle: &str) -> String {
    if text.len() > MOST_BYTES_WITH_LINES {
        return file.to_owned();
    }
    let line = text.lines().position(|line| line.contains(needle));
    line.map_or(file.to_owned(), |line| format!("{file}:{}", line + 1))
}

/// The folder of a file, `.` at the root.
pub(super) fn folder_of(file: &str) -> &str {
    file.rsplit_once('/').map_or(".", |(folder, _)| folder)
}

/// A path beside a file.
fn beside(file: &str, name: &str) -> String {
    match file.rsplit_once('/') {
        Some((folder, _)) => format!("{folder}/{name}"),
        None => name.to_owned(),
    }
}

/// A folder or archive that a manifest names, as a requirements line has it: `./libs/a`, `./.`.
fn path_line(file: &str, path: &str) -> String {
    let path = super::requirements::normalize(&beside(file, path));
    format!("./{}", if path.is_empty() { "." } else { &path })
}

/// Refuses more extras or groups than anybody can choose from, and levels of them that nobody follows.
fn refuse_many(file: &str, what: &str, names: usize, levels: usize) -> Result<(), ProjectError> {
    let reason = if names > MOST_NAMES {
        format!("it has more than {MOST_NAMES} {what}s")
    } else if levels > MOST_LEVELS {
        format!("its {what}s take in one another more than {MOST_LEVELS} deep")
    } else {
        return Ok(());
    };
    Err(unreadable(
        file,
        reason,
        "list the packages in fewer of them",
    ))
}

fn strings(value: Option<&toml::Value>) -> impl Iterator<Item = &str> {
    let list = value.and_then(toml::Value::as_array);
    list.into_iter().flatten().filter_map(toml::Value::as_str)
}

#[cfg(test)]
mod tests;
