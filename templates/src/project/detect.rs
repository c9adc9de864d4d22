//! A look at a folder: what somebody who describes it for the first time would want to write, and
//! for every file that bears on the environment whether it is used, and why.

use super::NextStep;
use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use super::aside::{self, DockerfileName};
use super::lists::{Lists, fitting};
use super::manifests::{self, Choice, Conda, Kind, Manifest, Unused, UnusedKind};
use super::{
    ImagePython, LocalProject, ProjectError, ProjectLock, Wanted, one_line, read_lines,
    read_requirements,
};
use crate::dockerfile::shell_quote;
use crate::spec::{Accelerator, TemplateName};
use crate::tables::{Machine, framework_brought_by};
use crate::value::{AptPackage, ContextPath, ContextPattern, PythonVersion};

/// What a project's folder holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectFacts {
    /// The files that say which packages there are, where no lock does: requirements files, or a
    /// manifest of another kind.
    pub requirements: Vec<ContextPattern>,
    /// Requirements files of which nothing says which one is meant.
    pub alternatives: Vec<String>,
    /// `pylock.toml`.
    pub pylock: Option<ContextPath>,
    /// `.` where a `pyproject.toml` says which packages there are.
    pub project: Option<ContextPath>,
    /// What `.python-version` or `runtime.txt` says.
    pub python: Option<PythonVersion>,
    /// Packages of the distribution, from `apt.txt`.
    pub apt: Vec<AptPackage>,
    /// A script that is to be run once the code is there: `postBuild`.
    pub post_build: Option<String>,
    /// The template that fits the packages.
    pub template: TemplateName,
    /// Whether packages come from conda's channels.
    pub conda: bool,
    /// Whether windows are likely to be shown (opencv-python, PyQt, pygame and their like).
    pub gui: bool,
    /// Scripts at its root that look like what a container should run, best first.
    pub scripts: Vec<String>,
    /// Dockerfiles at its root.
    pub dockerfiles: Vec<String>,
    /// Packages that are asked for, by name.
    pub packages: BTreeSet<String>,
    /// Every file found that bears on the environment.
    pub findings: Vec<Finding>,
    /// Files that couldn't be read, with the reason.
    pub problems: Vec<String>,
}

/// A file that bears on a project's environment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The file, relative to the project.
    pub file: String,
    /// Whether the image is made from it.
    pub used: bool,
    /// As what it is used, or why it isn't.
    pub why: String,
    /// What to do so that it is.
    pub next: Option<NextStep>,
    /// Whether it lies where documents, examples and tests do, so that nothing is amiss without it.
    pub is_aside: bool,
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let used = if self.used { "used" } else { "not used" };
        write!(
            f,
            "{}: {used}: {}",
            one_line(&self.file),
            one_line(&self.why)
        )?;
        match &self.next {
            Some(next) => write!(f, "; {next}"),
            None => Ok(()),
        }
    }
}

/// Whether a file is MLflow's own form of an environment, which only looks like one of conda.
fn is_of_mlflow(name: &str) -> bool {
    matches!(
        name.rsplit('/').next(),
        Some("python_env.yaml" | "python_env.yml")
    )
}

/// Whether a Dockerfile is the one that builders look for where none is named.
fn is_plain(name: &str) -> bool {
    ["dockerfile", "containerfile"].contains(&name.to_lowercase().as_str())
}

/// What to do so that a Dockerfile is built.
pub(super) fn to_build(file: &str) -> NextStep {
    NextStep::BuildFile(file.to_owned())
}

/// What to do so that a file is used; its name may be a stranger's.
pub(super) fn to_use(file: &str) -> NextStep {
    NextStep::UseFile(file.to_owned())
}

/// Packages that show windows.
pub(crate) const WINDOWS: [&str; 8] = [
    "opencv-python",
    "opencv-contrib-python",
    "pyqt5",
    "pyqt6",
    "pyside2",
    "pyside6",
    "pygame",
    "wxpython",
];

/// Files that are used beside those that say which packages there are, whichever these are.
pub const BESIDES_PACKAGES: [&str; 13] = [
    "apt.txt",
    "packages.txt",
    "Aptfile",
    ".python-version",
    "runtime.txt",
    ".tool-versions",
    "mise.toml",
    ".mise.toml",
    "postBuild",
    "binder/apt.txt",
    ".binder/apt.txt",
    "binder/postBuild",
    ".binder/postBuild",
];

/// Folders of repo2docker's files.
const BINDER: [&str; 2] = ["binder", ".binder"];

/// Looks at the folder of a project. Never fails: what can't be read is in
/// [`ProjectFacts::problems`].
pub fn detect(folder: &Path) -> ProjectFacts {
    detect_chosen(folder, Choice::default())
}

/// As [`detect`], where extras and groups of the project were chosen.
pub fn detect_chosen(folder: &Path, choice: Choice) -> ProjectFacts {
    let mut groups = choice.groups.to_vec();
    groups.extend(manifests::default_groups(folder, "pyproject.toml"));
    let choice = Choice {
        groups: &groups,
        ..choice
    };
    let mut look = Look {
        folder,
        choice,
        names: known_files(folder),
        facts: ProjectFacts::default(),
        wanted: Vec::new(),
        seen: BTreeSet::new(),
        found: BTreeSet::new(),
    };
    look.python();
    look.packages();
    look.distribution();
    look.post_build();
    look.others();
    let Look {
        names,
        mut facts,
        wanted,
        ..
    } = look;
    let scripts = ["train.py", "main.py", "app.py", "serve.py", "run.py"];
    facts.scripts = scripts
        .iter()
        .filter(|name| names.contains(**name))
        .map(|name| (*name).to_owned())
        .collect();
    facts.packages = wanted.into_iter().map(|w| w.name).collect();
    facts.template = template(folder, &facts);
    facts.gui = shows_windows(&facts.packages);
    facts
}

/// The template that fits a project.
fn template(folder: &Path, facts: &ProjectFacts) -> TemplateName {
    let is_built = facts
        .findings
        .iter()
        .any(|found| found.used && ["setup.py", "pyproject.toml"].contains(&&*found.file));
    template_of(&facts.packages, || {
        let compiled = super::compiles(folder, ".").filter(|_| is_built);
        compiled.is_some_and(|compiled| compiled.needs.iter().any(|need| need == "torch"))
    })
}

/// The template that fits packages: of the framework that is asked for, else that a build of the project imports,
/// else that one of the packages brings.
pub(crate) fn template_of(
    packages: &BTreeSet<String>,
    builds_with_torch: impl Fn() -> bool,
) -> TemplateName {
    let wants = |name: &str| packages.contains(name);
    let brings = |framework: &str| {
        let mut packages = packages.iter();
        packages.any(|name| framework_brought_by(name) == Some(framework))
    };
    match () {
        () if wants("torch") => TemplateName::Pytorch,
        () if wants("tensorflow") || wants("tensorflow-cpu") => TemplateName::Tensorflow,
        () if builds_with_torch() || brings("torch") => TemplateName::Pytorch,
        () if brings("tensorflow") => TemplateName::Tensorflow,
        () => TemplateName::Python,
    }
}

/// Whether one of the packages shows windows.
pub(crate) fn shows_windows(packages: &BTreeSet<String>) -> bool {
    WINDOWS.iter().any(|name| packages.contains(*name))
}

impl ProjectFacts {
    /// The Dockerfile that is all that a folder says of its environment.
    pub fn lone_dockerfile(&self) -> Option<&str> {
        let says_packages = self.project.is_some()
            || self.pylock.is_some()
            || !self.requirements.is_empty()
            || !self.alternatives.is_empty()
            || !self.apt.is_empty();
        match self.dockerfiles.as_slice() {
            [only] if !says_packages && is_plain(only) => Some(only),
            _ => None,
        }
    }

    /// Says that the image is built from the lone Dockerfile, and which that is. Who composes one all the
    /// same doesn't call this.
    pub fn use_lone_dockerfile(&mut self) -> Option<String> {
        let lone = self.lone_dockerfile()?.to_owned();
        let found = self.findings.iter_mut().find(|found| found.file == lone)?;
        found.used = true;
        found.why = "it is built as it is: nothing else says what the image holds".into();
        found.next = None;
        Some(lone)
    }

    /// The command that runs [`Self::post_build`], as repo2docker does.
    pub fn post_build_command(&self) -> Option<String> {
        let script = self.post_build.as_ref()?;
        Some(format!("chmod +x {script} && ./{script}"))
    }

    /// The requirements file among the alternatives that fits an accelerator, if exactly one does.
    pub fn fitting(&self, accelerator: Option<Accelerator>) -> Option<&str> {
        fitting(&self.alternatives, accelerator)
    }
}

struct Look<'a> {
    folder: &'a Path,
    choice: Choice<'a>,
    names: BTreeSet<String>,
    facts: ProjectFacts,
    wanted: Vec<Wanted>,
    /// Projects of the folder whose needs were looked at.
    seen: BTreeSet<String>,
    /// The files of the findings.
    found: BTreeSet<String>,
}

/// What says which packages there are.
enum Source {
    UvLock,
    Pylock,
    Pyproject,
    Lists,
    /// One list, of repo2docker's folder.
    List(String),
    /// Several manifests, of which none is called as the main one is.
    Several(Vec<String>),
    Manifest(String, Kind),
}

impl Look<'_> {
    fn has(&self, name: &str) -> bool {
        self.names.contains(name)
    }

    fn used(&mut self, file: &str, why: &str) {
        self.found(file, true, why, None);
    }

    fn unused(&mut self, file: &str, why: &str, next: impl Into<NextStep>) {
        self.found(file, false, why, Some(next.into()));
    }

    fn found(&mut self, file: &str, used: bool, why: &str, next: Option<NextStep>) {
        if self.found.insert(file.to_owned()) {
            self.facts.findings.push(Finding {
                file: file.to_owned(),
                used,
                why: why.to_owned(),
                next,
                is_aside: false,
            });
        }
    }

    fn take(&mut self, found: Result<Vec<Wanted>, ProjectError>) {
        match found {
            Ok(found) => self.wanted.extend(found),
            Err(error) => self.facts.problems.push(error.to_string()),
        }
    }

    fn lock(&mut self, file: &str, image: &ImagePython) {
        let lock = ProjectLock::read(self.folder, file);
        let lock = lock.and_then(|lock| {
            lock.check_fetched(self.folder, &lock.members("."))?;
            Ok(lock)
        });
        self.take(lock.map(|lock| lock.wanted(image)));
    }

    /// `.python-version` in the forms of pyenv and uv, and `runtime.txt`.
    fn python(&mut self) {
        let read =
            |name: &str| mlbuild_files::read_to_string(&self.folder.join(name)).unwrap_or_default();
        let line_of = |text: &str| {
            let mut lines = text.lines().map(str::trim);
            lines
                .find(|line| !line.is_empty() && !line.starts_with('#'))
                .unwrap_or("")
                .to_owned()
        };
        let files = [
            ".python-version",
            "runtime.txt",
            ".tool-versions",
            "mise.toml",
            ".mise.toml",
            "binder/runtime.txt",
            ".binder/runtime.txt",
        ];
        for name in files {
            if !self.has(name) {
                continue;
            }
            let text = read(name);
            let is_of_tools = name.ends_with("mise.toml") || name == ".tool-versions";
            let line = if is_of_tools {
                let mut lines = text.lines().map(str::trim);
                let Some(line) = lines.find(|line| line.starts_with("python")) else {
                    let next = "set python = \"3.12\" under [image] where it matters";
                    let others = aside::other_tools(name, &text).join(", ");
                    self.unused(
                        name,
                        &format!("it names no Python, and other tools aren't installed: {others}"),
                        next,
                    );
                    continue;
                };
                line.to_owned()
            } else {
                line_of(&text)
            };
            let others = aside::other_tools(name, &text);
            if is_of_tools && !others.is_empty() {
                self.unused(
                    &format!("other tools of {name}"),
                    &format!("{} aren't installed", others.join(", ")),
                    "name what the image needs under apt of [image], or build on a base that has it",
                );
            }
            let Some(minor) = minor_of(&line) else {
                self.unused(
                    name,
                    &format!("{line:?} names no Python 3 version"),
                    NextStep::SetPython("3.12"),
                );
                continue;
            };
            if self.facts.python.is_some() {
                self.found(name, false, "another file names the Python version", None);
                continue;
            }
            self.facts.python = minor.parse().ok();
            match line == minor || line == format!("python-{minor}") {
                true => self.used(name, &format!("Python {minor}")),
                false => self.used(
                    name,
                    &format!("Python {minor}, for {line}: a base has the newest patch release"),
                ),
            }
        }
    }

    fn packages(&mut self) {
        let lists = Lists::of(self.folder, &self.names);
        let source = self.source(&lists);
        let chosen = match &source {
            None => "nothing",
            Some(Source::UvLock) => "uv.lock",
            Some(Source::Pylock) => "pylock.toml",
            Some(Source::Pyproject) => "pyproject.toml",
            Some(Source::Lists) => lists.used.first().map_or("", String::as_str),
            Some(Source::Manifest(file, _) | Source::List(file)) => file,
            Some(Source::Several(files)) => files.first().map_or("", String::as_str),
        }
        .to_owned();
        let is_of_lists = matches!(source, None | Some(Source::Lists));
        self.use_source(source, &lists);
        for (file, why) in lists.left {
            // What was decided among the lists says nothing where none of them is used.
            let why = if is_of_lists {
                why
            } else {
                format!("{chosen} says which packages there are")
            };
            self.unused(&file, &why, to_use(&file));
        }
        for file in lists.used.iter().chain(&lists.alternatives) {
            if self.found.contains(file.as_str()) {
                continue;
            }
            let why = if self.facts.alternatives.is_empty() {
                format!("{chosen} says which packages there are")
            } else {
                OF_SEVERAL.to_owned()
            };
            self.unused(file, &why, to_use(file));
        }
        self.builders();
        for file in [
            "uv.lock",
            "pylock.toml",
            "pyproject.toml",
            "poetry.lock",
            "pdm.lock",
            "Pipfile",
            "Pipfile.lock",
            "setup.py",
            "setup.cfg",
            "cog.yaml",
            "pixi.toml",
        ] {
            if !self.has(file) || !self.says_packages(file) || self.found.contains(file) {
                continue;
            }
            let name = match file {
                "poetry.lock" | "pdm.lock" => "pyproject.toml",
                "Pipfile.lock" => "Pipfile",
                name => name,
            };
            match name {
                "pyproject.toml" | "setup.py" | "setup.cfg" => self.project_beside(file, &chosen),
                name => {
                    let why = format!("{chosen} says which packages there are");
                    self.unused(file, &why, to_use(name));
                }
            }
        }
    }

    /// What is said of the project itself where another file says which packages there are.
    fn project_beside(&mut self, file: &str, chosen: &str) {
        let is_installed =
            self.has("setup.py") || self.text("pyproject.toml").contains("[build-system]");
        let names_nothing = !file.ends_with(".lock") && self.names_nothing(file);
        if names_nothing && !is_installed {
            return; // nothing of it would be installed
        }
        let project = match file {
            "poetry.lock" | "pdm.lock" => "pyproject.toml",
            file => file,
        };
        let used = self.facts.requirements.iter();
        let mut files: Vec<String> = used.map(|file| file.as_str().to_owned()).collect();
        files.push(project.to_owned());
        let why = if !self.facts.alternatives.is_empty() {
            OF_SEVERAL.to_owned()
        } else if chosen == "nothing" {
            "it names no package, and isn't installed itself".to_owned()
        } else if is_installed {
            format!(
                "{chosen} says which packages there are, and the project itself isn't installed"
            )
        } else {
            format!("{chosen} says which packages there are")
        };
        self.unused(file, &why, NextStep::UseFiles(files));
    }

    /// The files that a project which is installed itself is built with.
    fn builders(&mut self) {
        let of = |file: &str| ["setup.py", "pyproject.toml"].contains(&file);
        let is_built = self.facts.findings.iter().any(|f| f.used && of(&f.file));
        if !is_built {
            return;
        }
        let text =
            |name: &str| mlbuild_files::read_to_string(&self.folder.join(name)).unwrap_or_default();
        let has_options = text("setup.cfg").contains("[options]");
        let has_system = text("pyproject.toml").contains("[build-system]");
        for (file, builds) in [
            ("setup.py", true),
            ("setup.cfg", has_options),
            ("pyproject.toml", has_system),
        ] {
            if self.has(file) && builds {
                self.used(file, "the project is built with it");
            }
        }
    }

    /// Whether a file names packages, and isn't for tools alone.
    fn says_packages(&self, file: &str) -> bool {
        match file {
            "pyproject.toml" => self.names_packages(),
            "setup.cfg" => self.text("setup.cfg").contains("install_requires"),
            _ => true,
        }
    }

    fn text(&self, name: &str) -> String {
        mlbuild_files::read_to_string(&self.folder.join(name)).unwrap_or_default()
    }

    /// Whether the project itself says which packages it needs: that counts more than a list of
    /// which only the name can tell what it is for.
    fn declares(&self) -> Option<Source> {
        let table: toml::Table = self.text("pyproject.toml").parse().unwrap_or_default();
        let project = table.get("project");
        let list = |key: &str| project.and_then(|p| p.get(key)?.as_array());
        let has_list = list("dependencies").is_some_and(|list| !list.is_empty());
        let dynamic = list("dynamic").into_iter().flatten();
        let is_dynamic = dynamic
            .into_iter()
            .any(|key| key.as_str() == Some("dependencies"));
        let poetry = table
            .get("tool")
            .and_then(|t| t.get("poetry")?.get("dependencies"));
        if has_list || is_dynamic || poetry.is_some() {
            return Some(Source::Pyproject);
        }
        ["setup.py", "setup.cfg"]
            .into_iter()
            .find(|name| {
                let text = self.text(name);
                text.contains("install_requires") || text.contains("(**")
            })
            .map(|name| Source::Manifest(name.to_owned(), Kind::Setup))
    }

    /// Files of conda, the one that counts most first: where its channels are asked for, others say nothing.
    fn of_conda(&self, names: &[&str]) -> Option<Source> {
        let mut names = names.iter().filter(|name| self.has(name));
        names.find_map(|name| Some(Source::Manifest((*name).to_owned(), Kind::by_name(name)?)))
    }

    /// The one that decides, of those that are there.
    fn source(&self, lists: &Lists) -> Option<Source> {
        const LOCKS: [&str; 3] = ["conda-lock.yml", "conda-lock.yaml", "pixi.lock"];
        if self.choice.conda == Some(true) {
            let asked = self.of_conda(&["environment.yml", "environment.yaml", "pixi.toml"]);
            let found = asked.or_else(|| self.environments());
            if let Some(found) = found.or_else(|| self.of_conda(&LOCKS)) {
                return Some(found);
            }
        }
        let manifest = |name: &str| {
            let kind = Kind::by_name(name)?;
            self.has(name)
                .then(|| Source::Manifest(name.to_owned(), kind))
        };
        let pyproject = self.has("pyproject.toml");
        if pyproject && self.has("uv.lock") {
            return Some(Source::UvLock);
        }
        if self.has("pylock.toml") {
            return Some(Source::Pylock);
        }
        if pyproject && (self.has("poetry.lock") || self.has("pdm.lock")) {
            return Some(Source::Pyproject);
        }
        if let Some(cog) = manifest("cog.yaml") {
            return Some(cog);
        }
        // A file that takes in the lists says all that they say, and more.
        if let Some(found) = self.environment_with(lists) {
            return Some(found);
        }
        if !lists.used.is_empty() || !lists.alternatives.is_empty() {
            let of_gpus = [Accelerator::Cuda, Accelerator::Rocm, Accelerator::Off];
            let of_gpus = of_gpus
                .iter()
                .any(|gpu| fitting(&lists.alternatives, Some(*gpu)).is_some());
            return if lists.is_main || of_gpus {
                Some(Source::Lists)
            } else {
                self.declares().or(Some(Source::Lists))
            };
        }
        let others = [
            "environment.yml",
            "environment.yaml",
            "Pipfile",
            "pixi.toml",
        ];
        // An environment of Python alone says less than what the project declares.
        let found = others
            .iter()
            .filter(|name| !(pyproject && self.names_packages() && self.is_bare(name)))
            .find_map(|name| manifest(name));
        if found.is_some() {
            return found;
        }
        let project = if pyproject && self.names_packages() {
            Some(Source::Pyproject)
        } else {
            let mut names = ["setup.py", "setup.cfg"].iter();
            names.find_map(|name| manifest(name))
        };
        if project.is_some() && !self.is_empty() {
            return project;
        }
        let found = self.environments();
        let found = found.or_else(|| self.of_conda(&LOCKS));
        let found = found.or_else(|| self.of_binder());
        found.or_else(|| project.filter(|_| !self.has_one_dockerfile()))
    }

    /// The environment of conda whose pip section takes in one of the lists.
    fn environment_with(&self, lists: &Lists) -> Option<Source> {
        let mut names = ["environment.yml", "environment.yaml"].into_iter();
        let name = names.find(|name| self.has(name))?;
        let read = manifests::read(self.folder, name, Kind::Conda, self.choice).ok()?;
        let mut taken = read.files.iter();
        taken
            .any(|file| lists.used.contains(file) || lists.alternatives.contains(file))
            .then(|| Source::Manifest(name.to_owned(), Kind::Conda))
    }

    /// Whether no file of the project itself names a package, nor an extra or group to choose.
    fn is_empty(&self) -> bool {
        ["pyproject.toml", "setup.py", "setup.cfg"]
            .iter()
            .filter(|file| self.has(file))
            .all(|file| self.names_nothing(file))
    }

    /// Whether a file of the project names no package. One that can't be read may name some.
    fn names_nothing(&self, file: &str) -> bool {
        if file == "pyproject.toml" && !self.names_packages() {
            return true;
        }
        let Some(kind) = Kind::by_name(file) else {
            return false;
        };
        manifests::read(self.folder, file, kind, self.choice).is_ok_and(|manifest| {
            manifest.requirements.is_empty()
                && manifest.files.is_empty()
                && manifest.apt.is_empty()
                && manifest.unused.is_empty()
                && manifest.conda.is_none()
        })
    }

    /// Whether the folder has one Dockerfile, and that is called as builders look for it.
    fn has_one_dockerfile(&self) -> bool {
        let mut found = self
            .names
            .iter()
            .filter(|name| !name.contains('/') && aside::dockerfile(name).is_some());
        match (found.next(), found.next()) {
            (Some(only), None) => is_plain(only),
            _ => false,
        }
    }

    /// Environments of conda under other names: `conda.yaml`, `environment_gpu.yml`.
    fn environments(&self) -> Option<Source> {
        let is_one = |name: &&String| {
            !name.contains('/')
                && Kind::by_name(name) == Some(Kind::Conda)
                && self.is_environment(name)
        };
        let found: Vec<String> = self.names.iter().filter(is_one).cloned().collect();
        let mut found = plain_one(found);
        match found.len() {
            0 => None,
            1 => found.pop().map(|name| Source::Manifest(name, Kind::Conda)),
            _ => Some(Source::Several(found)),
        }
    }

    /// Whether a file has what an environment of conda has.
    fn is_environment(&self, name: &str) -> bool {
        let text = self.text(name);
        let has = |key: &str| text.lines().any(|line| line.starts_with(key));
        has("dependencies:") && !is_of_mlflow(name)
    }

    /// The packages of repo2docker's folder.
    fn of_binder(&self) -> Option<Source> {
        let files = BINDER.iter().flat_map(|folder| {
            let kinds = [
                ("environment.yml", Some(Kind::Conda)),
                ("Pipfile", Some(Kind::Pipfile)),
            ];
            let kinds = kinds.into_iter().chain([("requirements.txt", None)]);
            kinds.map(move |(name, kind)| (format!("{folder}/{name}"), kind))
        });
        let mut files = files.filter(|(name, _)| self.has(name));
        files.next().map(|(name, kind)| match kind {
            Some(kind) => Source::Manifest(name, kind),
            None => Source::List(name),
        })
    }

    /// Whether an environment of conda names no package but Python.
    fn is_bare(&self, name: &str) -> bool {
        let read = Kind::by_name(name).filter(|kind| *kind == Kind::Conda);
        let read = read.and_then(|kind| manifests::read(self.folder, name, kind, self.choice).ok());
        read.is_some_and(|m| m.requirements.is_empty() && m.files.is_empty() && m.apt.is_empty())
    }

    /// Whether `pyproject.toml` describes a project, and not tools alone.
    fn names_packages(&self) -> bool {
        let table: toml::Table = self.text("pyproject.toml").parse().unwrap_or_default();
        let poetry = table.get("tool").and_then(|tool| tool.get("poetry"));
        let of_poetry = ["dependencies", "name", "group"];
        table.contains_key("project")
            || poetry.is_some_and(|p| of_poetry.iter().any(|key| p.get(key).is_some()))
    }

    fn use_source(&mut self, source: Option<Source>, lists: &Lists) {
        let image = self.image();
        match source {
            None => {}
            Some(Source::UvLock) => {
                self.facts.project = ".".parse().ok();
                self.lock("uv.lock", &image);
                self.used("uv.lock", "its packages, in its versions");
                self.used("pyproject.toml", "the project of uv.lock");
            }
            Some(Source::Pylock) => {
                self.facts.pylock = "pylock.toml".parse().ok();
                self.lock("pylock.toml", &image);
                self.used("pylock.toml", "its packages, in its versions");
            }
            Some(Source::Pyproject) => {
                self.facts.project = ".".parse().ok();
                self.manifest("pyproject.toml", Kind::Pyproject);
            }
            Some(Source::Manifest(file, kind)) => {
                self.facts.requirements.extend(file.parse().ok());
                self.manifest(&file, kind);
            }
            Some(Source::List(file)) => {
                self.facts.requirements.extend(file.parse().ok());
                self.lists(&[file]);
            }
            Some(Source::Several(files)) => {
                for file in &files {
                    self.unused(file, OF_SEVERAL, to_use(file));
                }
                self.facts.alternatives = files;
            }
            Some(Source::Lists) => {
                self.facts.alternatives.clone_from(&lists.alternatives);
                self.facts.requirements =
                    lists.used.iter().filter_map(|n| n.parse().ok()).collect();
                self.lists(&lists.used);
            }
        }
    }

    fn image(&self) -> ImagePython {
        let mut image = ImagePython::default();
        if let Some(python) = &self.facts.python {
            image.version = python.to_string();
        }
        image
    }

    fn lists(&mut self, files: &[String]) {
        match read_requirements(self.folder, files, &self.image()) {
            Ok(found) => {
                let count = found.wanted.len();
                self.wanted.extend(found.wanted);
                self.needs_of(&found.local);
                for file in &found.files {
                    let why = match files.contains(file) {
                        true if files.len() == 1 => packages(count),
                        true => "its packages".to_owned(),
                        false => "a requirements file names it".to_owned(),
                    };
                    self.used(file, &why);
                }
                for local in found.local {
                    let why = format!("{} names it: it is installed with the code", local.origin);
                    for name in ["pyproject.toml", "setup.py"] {
                        let file =
                            super::requirements::normalize(&format!("{}/{name}", local.folder));
                        if self.folder.join(&file).is_file() {
                            self.used(&file, &why);
                        }
                    }
                }
                found.notes.into_iter().for_each(|note| self.part(note));
            }
            Err(error) => {
                self.facts.problems.push(error.to_string());
                files
                    .iter()
                    .for_each(|file| self.used(file, "its packages"));
            }
        }
    }

    fn manifest(&mut self, file: &str, kind: Kind) {
        let manifest = match manifests::read(self.folder, file, kind, self.choice) {
            Ok(manifest) => manifest,
            Err(error) => {
                self.facts.problems.push(error.to_string());
                return self.used(file, "its packages");
            }
        };
        let Manifest {
            requirements,
            files,
            inputs,
            unused,
            local,
            conda,
            ..
        } = manifest;
        let asked = read_lines(self.folder, &requirements, &self.image());
        // Those that a marker rules out aren't counted.
        let count = asked
            .as_ref()
            .map_or(requirements.len(), |a| a.1.wanted.len());
        let mut local = local;
        if let Ok((_, found)) = &asked {
            local.extend(found.local.iter().cloned());
        }
        // Its own needs are these.
        self.seen.insert(".".to_owned());
        self.needs_of(&local);
        self.take(asked.map(|(_, found)| found.wanted));
        let of_its_build = unused.iter().any(Unused::is_of_its_build) && !local.is_empty();
        if let Some(conda) = conda {
            self.facts.conda = true;
            self.used(file, &of_channels(&conda, count))
        } else if of_its_build && count == 0 {
            self.used(file, "the project itself, with what its build asks for")
        } else {
            self.used(file, &packages(count))
        }
        let of_script = format!("{file} takes packages from it");
        for input in &inputs {
            let is_list = file.ends_with(".py") && input.ends_with(".txt");
            self.used(input, if is_list { &of_script } else { "its versions" });
        }
        for local in local {
            let why = format!("{} names it: it is installed with the code", local.origin);
            if local.folder != "." {
                self.used(&local.folder, &why);
            } else if local.origin != file {
                ["pyproject.toml", "setup.py"]
                    .into_iter()
                    .filter(|name| self.folder.join(name).is_file())
                    .for_each(|name| self.used(name, &why));
            }
        }
        self.lists(&files);
        for part in unused.iter().filter(|part| part.is_of_its_build()) {
            let script = part.what.split(':').next().unwrap_or_default();
            if script.ends_with(".py") {
                let found = super::frameworks_in(self.folder, script, &self.image());
                self.wanted.extend(found);
            }
        }
        for part in unused {
            if part.is_of_its_build() && of_its_build {
                self.used(
                    &part.what,
                    &format!("{}: they are installed with it", part.why),
                )
            } else {
                self.part(part)
            }
        }
    }

    /// A part of a file: one that is installed is used, whatever isn't known of it.
    fn part(&mut self, part: Unused) {
        match part.kind {
            UnusedKind::Undecided | UnusedKind::Guessed => self.used(&part.what, &part.why),
            _ => self.unused(&part.what, &part.why, part.next),
        }
    }

    /// What projects of the folder ask for that are installed with the code. Those that can't be
    /// read are refused where the image is composed.
    fn needs_of(&mut self, local: &[LocalProject]) {
        let mut projects: Vec<LocalProject> = local.iter().rev().cloned().collect();
        while let Some(project) = projects.pop() {
            let is_outside = super::requirements::is_outside(self.folder, &project.folder);
            if is_outside || !self.seen.insert(project.folder.clone()) {
                continue;
            }
            let files = ["pyproject.toml", "setup.py", "setup.cfg"];
            let mut files = files
                .iter()
                .map(|name| format!("{}/{name}", project.folder));
            let Some(file) = files.find(|file| self.folder.join(file).is_file()) else {
                continue;
            };
            let read = Kind::by_name(&file)
                .and_then(|kind| manifests::read(self.folder, &file, kind, Choice::default()).ok());
            let Some(manifest) = read else {
                continue;
            };
            let lines = read_lines(self.folder, &manifest.requirements, &self.image());
            let lists = read_requirements(self.folder, &manifest.files, &self.image());
            for found in [lines.map(|(_, found)| found), lists].into_iter().flatten() {
                self.wanted.extend(found.wanted);
                projects.extend(found.local.into_iter().rev());
            }
        }
    }

    /// `apt.txt`, and the lists of other platforms.
    fn distribution(&mut self) {
        let files = [
            "apt.txt",
            "binder/apt.txt",
            ".binder/apt.txt",
            "packages.txt",
            "Aptfile",
        ];
        for file in files {
            if !self.has(file) {
                continue;
            }
            if !self.facts.apt.is_empty() {
                let next = "give its packages under apt of [image]";
                self.unused(file, "another file names the distribution's packages", next);
                continue;
            }
            match manifests::apt_list(self.folder, file) {
                // A file of this name may hold anything.
                Ok((_, unused)) if file == "packages.txt" && !unused.is_empty() => {
                    let next = "if it lists packages of the distribution, call it apt.txt";
                    self.unused(file, "it isn't a list of the distribution's packages", next);
                }
                Ok((packages, unused)) => {
                    let count = self::packages(packages.len());
                    self.used(file, &format!("{count} of the distribution"));
                    self.facts.apt = packages
                        .iter()
                        .filter_map(|p| p.text.parse().ok())
                        .collect();
                    for part in unused {
                        self.unused(&part.what, &part.why, part.next);
                    }
                }
                Err(error) => self.facts.problems.push(error.to_string()),
            }
        }
    }

    /// `postBuild`, which repo2docker runs once the code is there.
    fn post_build(&mut self) {
        for file in ["postBuild", "binder/postBuild", ".binder/postBuild"] {
            if !self.has(file) {
                continue;
            }
            if self.facts.post_build.is_some() {
                self.unused(file, "another one is run", "run it under run of [image]");
                continue;
            }
            self.used(file, "it is run once the code is there");
            self.facts.post_build = Some(file.to_owned());
        }
    }

    /// Dockerfiles, further environments, constraints, and what other tools read.
    fn others(&mut self) {
        for name in self.names.clone() {
            let dockerfile = Some(&name).filter(|name| !name.contains('/'));
            let dockerfile = dockerfile.and_then(|name| aside::dockerfile(name));
            if dockerfile == Some(DockerfileName::Unfilled) {
                let (why, next) = aside::unfilled();
                self.unused(&name, &why, next);
            } else if dockerfile.is_some() {
                self.facts.dockerfiles.push(name.clone());
                let next = to_build(&name);
                self.unused(&name, "the image is composed from a template", next);
            } else if Kind::by_name(&name) == Some(Kind::Conda) && self.is_environment(&name) {
                let next = to_use(&name);
                self.unused(&name, "other files say which packages there are", next);
            } else if is_of_mlflow(&name) {
                let why = "MLflow makes an environment of it for virtualenv";
                let next = "name its Python and its packages under [image]: python, requirements";
                self.unused(&name, why, next);
            } else if name.starts_with("constraints") && name.ends_with(".txt") {
                let next = format!("name it there: -c {name}");
                self.unused(&name, "no requirements file names it", next);
            } else if let Some((why, next)) = aside::of_other_tools(self.folder, &name) {
                self.unused(&name, &why, next);
                // What tests alone are run with.
                if ["tox.ini", "noxfile.py"].contains(&name.as_str()) {
                    self.aside();
                }
            } else if let Some((why, next)) = aside::of_robots(self.folder, &name) {
                self.unused(&name, &why, next);
            } else if aside::calls_nvcc(self.folder, &name) {
                let why = "it compiles with NVIDIA's nvcc, and programs aren't compiled";
                let next = "compile it under run of [image], on a base that has nvcc";
                self.unused(&name, why, next);
            } else {
                self.oddly_named(&name);
            }
        }
        self.space();
        self.workflows();
        self.notebooks();
        for path in aside::unfetched(self.folder) {
            let next = format!(
                "fetch it: git submodule update --init {}",
                shell_quote(&path)
            );
            self.unused(
                &path,
                "it is a git submodule that isn't there, so the image lacks its code",
                next,
            );
        }
        if let Some((first, count)) = aside::of_lfs(self.folder) {
            let others = match count {
                1 => String::new(),
                count => format!(", and so are {} more files", count - 1),
            };
            let why = format!("it is a pointer of git LFS, its content isn't fetched{others}");
            self.unused(&first, &why, "fetch it: git lfs pull");
        }
        self.below();
    }

    /// A Space, as its README describes it.
    fn space(&mut self) {
        let has = |name: &str| self.wanted.iter().any(|wanted| wanted.name == name);
        if let Some((why, next)) = aside::of_space(self.folder, &has) {
            self.unused("README.md", &why, next);
            // It says more than packages to a Space, and stays what it is whatever the image has.
            self.aside();
        }
    }

    /// Workflows of services that test, in one line.
    fn workflows(&mut self) {
        let (files, packages) = aside::workflows(self.folder);
        let Some((first, others)) = files.split_first() else {
            return;
        };
        let more = match others.len() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let (shown, rest) = packages.split_at(packages.len().min(5));
        let rest = if rest.is_empty() { "" } else { " …" };
        let of_distribution = match shown {
            [] => String::new(),
            shown => format!(" ({}{rest} of the distribution)", shown.join(" ")),
        };
        let why =
            format!("its steps install packages{of_distribution}{more}, and no workflow is run");
        self.unused(
            first,
            &why,
            "give what the image needs of them under apt and packages of [image]",
        );
        self.aside();
    }

    /// Notebooks that install packages when they run, in one line.
    fn notebooks(&mut self) {
        let found = aside::notebooks(self.folder);
        let Some((first, others)) = found.split_first() else {
            return;
        };
        let more = match others.len() {
            0 => String::new(),
            more => format!(", and {more} notebooks more"),
        };
        self.unused(
            first,
            &format!("its cells install packages{more}, and no cell is run"),
            "list the packages in a requirements file",
        );
        self.aside();
    }

    /// The last finding lies where nothing is amiss without it.
    fn aside(&mut self) {
        if let Some(last) = self.facts.findings.last_mut() {
            last.is_aside = true;
        }
    }

    /// What lies in folders below the root.
    fn below(&mut self) {
        let mut installed = self.seen.clone();
        installed.extend(self.found.iter().cloned());
        installed.extend(self.in_uv_lock());
        let is_used = |path: &str| installed.contains(path);
        let below = aside::Below::of(self.folder, &is_used);
        for (file, why, next) in below.found {
            self.unused(&file, &why, next);
        }
        self.namesakes(&below.projects, &installed);
        if let Some((why, next)) = aside::further_below(self.folder, &is_used) {
            self.unused("further folders", &why, next);
            self.aside();
        }
    }

    /// Folders of which `uv.lock` says that they are installed with the project.
    fn in_uv_lock(&self) -> BTreeSet<String> {
        if !self
            .facts
            .findings
            .iter()
            .any(|f| f.used && f.file == "uv.lock")
        {
            return BTreeSet::new();
        }
        let lock: toml::Table = self.text("uv.lock").parse().unwrap_or_default();
        let packages = lock.get("package").and_then(toml::Value::as_array);
        let sources = packages
            .into_iter()
            .flatten()
            .filter_map(|package| package.get("source"));
        let folders = sources.filter_map(|source| {
            let kinds = ["editable", "virtual", "directory"];
            kinds.iter().find_map(|kind| source.get(kind)?.as_str())
        });
        folders.map(str::to_owned).collect()
    }

    /// Projects of the folder that the packages ask for by name, and that come from the package index all the
    /// same: whoever owns the name there decides what is installed.
    fn namesakes(&mut self, projects: &[(String, String)], installed: &BTreeSet<String>) {
        let itself = manifests::name_of(self.folder, ".").map(|name| (".".to_owned(), name));
        let by_name: Vec<(String, String, String)> = projects
            .iter()
            .chain(&itself)
            .filter(|(folder, _)| folder == "." || !installed.contains(folder))
            .filter_map(|(folder, name)| {
                let wanted = self
                    .wanted
                    .iter()
                    .find(|w| w.name == *name && w.versions.is_some())?;
                Some((folder.clone(), name.clone(), wanted.origin.clone()))
            })
            .collect();
        for (folder, name, origin) in by_name {
            // The extras of a project name it.
            if folder == "." && !origin_is_elsewhere(&origin) {
                continue;
            }
            let (what, path) = match folder.as_str() {
                "." => (format!("{name} (the project itself)"), ".".to_owned()),
                _ => (folder.clone(), format!("./{folder}")),
            };
            self.found(
                &what,
                false,
                &format!(
                    "{} asks for {name}, which is taken from the package index",
                    origin.replace(':', " line ")
                ),
                Some(NextStep::Do(format!(
                    "to install that one: a line -e {} in a requirements file",
                    shell_quote(&path)
                ))),
            );
        }
    }

    /// Whether the project's own build compiles programs that aren't Python.
    fn builds_programs(&self) -> bool {
        let text = self.text("pyproject.toml");
        let backends = ["maturin", "scikit", "meson", "rust", "cmake", "setuptools"];
        self.has("setup.py") || backends.iter().any(|backend| text.contains(backend))
    }

    /// What by its name may list packages, and what stands where nothing looks.
    fn oddly_named(&mut self, name: &str) {
        let (in_folder, last) = name.rsplit_once('/').unwrap_or(("", name));
        let is_list = [
            "req.txt",
            "reqs.txt",
            "requirement.txt",
            "requires.txt",
            "pip.txt",
        ];
        if last == "start" {
            let next = format!("to start by it: entrypoint = [\"bash\", \"{name}\"] under [image]");
            self.unused(name, "containers don't start by it", next);
        } else if BINDER.contains(&in_folder)
            && ["requirements.txt", "environment.yml", "Pipfile"].contains(&last)
        {
            let next = to_use(name);
            self.unused(
                name,
                "the files at the root say which packages there are",
                next,
            );
        } else if is_list.contains(&last.to_lowercase().as_str()) {
            let next = to_use(name);
            self.unused(
                name,
                "requirements files are called requirements*.txt",
                next,
            );
        } else if last == "pyproject.toml" && self.text(name).contains("[tool.flit.metadata]") {
            let next = "move them to dependencies under [project]";
            self.unused(
                name,
                "packages under [tool.flit.metadata] aren't read",
                next,
            );
        } else if PROGRAMS.contains(&name) && !self.builds_programs() {
            let next = "compile it under run of [image], with its compiler under apt";
            self.unused(name, "programs aren't compiled", next);
        } else if let Some((why, next)) = aside::of_an_environment(self.folder, name) {
            self.unused(name, why, next);
        }
    }
}

/// What programs are compiled by, in other languages than Python.
const PROGRAMS: [&str; 4] = ["Cargo.toml", "go.mod", "CMakeLists.txt", "meson.build"];

/// Whether a place isn't one of the files that describe the project itself, whose extras name it.
fn origin_is_elsewhere(origin: &str) -> bool {
    let file = origin.rsplit_once(':').map_or(origin, |(file, _)| file);
    ![
        "pyproject.toml",
        "setup.py",
        "setup.cfg",
        "uv.lock",
        "pylock.toml",
    ]
    .contains(&file)
}

/// Of several environments the one whose name the others only add to (`conda_environment.yaml` beside
/// `conda_environment_real.yaml`), else all that aren't for another system by their names.
fn plain_one(mut names: Vec<String>) -> Vec<String> {
    let stem = |name: &str| {
        name.rsplit_once('.')
            .map_or(name, |(stem, _)| stem)
            .to_owned()
    };
    let adds_to = |name: &String, plain: &str| {
        let rest = stem(name).strip_prefix(plain).map(str::to_owned);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', '-', '.']))
    };
    let plain = names
        .iter()
        .find(|one| names.iter().all(|name| adds_to(name, &stem(one))));
    if let Some(plain) = plain.cloned() {
        return vec![plain];
    }
    let is_elsewhere = |name: &String| {
        let lower = name.to_lowercase();
        let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric());
        words.any(|word| {
            ["mac", "macos", "osx", "darwin", "win", "windows", "win64"].contains(&word)
        })
    };
    if !names.iter().all(is_elsewhere) {
        names.retain(|name| !is_elsewhere(name));
    }
    names
}

/// Why none of several is used.
const OF_SEVERAL: &str = "it is one of several, and nothing says which";

/// `1 package`, `2 packages`.
/// What is used of conda's channels, beside packages of the package index.
fn of_channels(conda: &Conda, of_index: usize) -> String {
    let pinned = conda.count(Machine::default());
    let what = match pinned {
        0 => format!("{} of conda's channels", packages(conda.specs.len())),
        pinned => format!("{} of conda's channels, each by its hash", packages(pinned)),
    };
    match of_index {
        0 => what,
        count => format!("{what}, and {count} of the package index"),
    }
}

fn packages(count: usize) -> String {
    match count {
        1 => "1 package".into(),
        count => format!("{count} packages"),
    }
}

/// `3.11` of `3.11.9`, `cpython-3.11`, `python-3.11.4`, `myenv-3.11`, `3.11.2/envs/x`.
pub(super) fn minor_of(line: &str) -> Option<String> {
    line.match_indices("3.").find_map(|(at, _)| {
        let before = line[..at].chars().next_back();
        let digits: String = line[at + 2..]
            .chars()
            .take_while(char::is_ascii_digit)
            .collect();
        let starts = !before.is_some_and(|c| c.is_ascii_digit() || c == '.');
        (starts && !digits.is_empty() && digits.len() < 3).then(|| format!("3.{digits}"))
    })
}

/// The files at the root, and those of repo2docker's folders with their path.
fn known_files(folder: &Path) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for inner in ["", BINDER[0], BINDER[1]] {
        let entries = std::fs::read_dir(folder.join(inner))
            .into_iter()
            .flatten()
            .flatten();
        let files = entries.filter(|entry| entry.path().is_file());
        let files = files.filter_map(|entry| entry.file_name().into_string().ok());
        names.extend(files.map(|name| match inner {
            "" => name,
            inner => format!("{inner}/{name}"),
        }));
    }
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_small_project() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("requirements.txt", "opencv-python\ntorch==2.8.0\n"),
            ("requirements-dev.txt", "-e .\n"),
            (".python-version", "3.11\n"),
            ("train.py", ""),
            ("Dockerfile.gpu", ""),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let facts = detect(dir.path());
        assert_eq!(facts.requirements.len(), 2);
        assert_eq!(facts.problems.len(), 1, "{:?}", facts.problems);
        assert_eq!(facts.python.unwrap().as_str(), "3.11");
        assert_eq!(facts.scripts, ["train.py"]);
        assert_eq!(facts.dockerfiles, ["Dockerfile.gpu"]);
    }

    #[test]
    fn frameworks_choose_the_template() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(detect(dir.path()), ProjectFacts::default());
        std::fs::write(
            dir.path().join("requirements.txt"),
            "opencv-python\ntorch==2.8.0\n",
        )
        .unwrap();
        let facts = detect(dir.path());
        assert_eq!((facts.template, facts.gui), (TemplateName::Pytorch, true));
        assert!(detect(Path::new("/does/not/exist")).requirements.is_empty());
    }

    fn found(files: &[(&str, &str)]) -> ProjectFacts {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        detect(dir.path())
    }

    #[test]
    fn every_file_is_used_or_named() {
        let facts = found(&[
            ("requirements.txt", "numpy\n-e .\n"),
            ("requirements-test.txt", "pytest\n"),
            ("pyproject.toml", "[project]\nname = \"x\"\n"),
            ("environment.yml", "dependencies: []\n"),
            ("apt.txt", "ffmpeg\n"),
            ("runtime.txt", "python-3.10\n"),
            ("postBuild", ""),
            ("install.R", ""),
            ("constraints.txt", ""),
            ("Dockerfile", ""),
        ]);
        let shown: Vec<String> = facts.findings.iter().map(ToString::to_string).collect();
        insta::assert_snapshot!(shown.join("\n"), @r#"
        runtime.txt: used: Python 3.10
        requirements.txt: used: 1 package
        pyproject.toml: used: requirements.txt:2 names it: it is installed with the code
        requirements-test.txt: not used: requirements.txt says which packages there are; to use it: requirements = ["requirements-test.txt"] under [image]
        apt.txt: used: 1 package of the distribution
        postBuild: used: it is run once the code is there
        Dockerfile: not used: the image is composed from a template; to build it as it is: dockerfile = "Dockerfile" under [image]
        constraints.txt: not used: no requirements file names it; name it there: -c constraints.txt
        environment.yml: not used: other files say which packages there are; to use it: requirements = ["environment.yml"] under [image]
        install.R: not used: packages of R aren't installed; put what it does into a Dockerfile of your own, where the image needs it
        "#);
        assert_eq!(facts.apt[0].as_str(), "ffmpeg");
        assert_eq!(facts.python.unwrap().as_str(), "3.10");
    }

    #[test]
    fn alternatives_are_never_joined() {
        let files = [
            ("requirements_flax.txt", "flax\n"),
            ("requirements-torch-cuda.txt", "torch\n"),
            ("requirements-torch-cpu.txt", "torch\n"),
        ];
        let facts = found(&files);
        assert!(facts.requirements.is_empty());
        assert_eq!(facts.alternatives.len(), 3);
        assert_eq!(
            facts.fitting(Some(Accelerator::Cuda)),
            Some("requirements-torch-cuda.txt")
        );
        assert_eq!(
            facts.fitting(Some(Accelerator::Off)),
            Some("requirements-torch-cpu.txt")
        );
        assert_eq!(facts.fitting(Some(Accelerator::Rocm)), None);
        let one = found(&[
            ("requirements-gpu.txt", "torch\n"),
            ("requirements-dev.txt", "pytest\n"),
        ]);
        assert_eq!(one.requirements[0].as_str(), "requirements-gpu.txt");
        let folder = found(&[
            ("requirements/base.txt", "torch\n"),
            ("requirements/dev.txt", "pytest\n"),
        ]);
        assert_eq!(folder.requirements[0].as_str(), "requirements/base.txt");
    }

    #[test]
    fn what_a_project_declares_counts_more_than_a_list_of_any_name() {
        let declared = (
            "pyproject.toml",
            "[project]\nname = \"x\"\ndependencies = [\"torch\"]\n",
        );
        let facts = found(&[("requirements-fmt.txt", "black\n"), declared]);
        assert_eq!(facts.project.as_ref().unwrap().as_str(), ".");
        assert!(
            !facts
                .findings
                .iter()
                .any(|f| f.file == "requirements-fmt.txt" && f.used)
        );
        let script = (
            "setup.py",
            "setup(install_requires=read('requirements/runtime.txt'))\n",
        );
        let facts = found(&[
            ("requirements/albu.txt", "six\n"),
            ("requirements/runtime.txt", "torch\n"),
            script,
        ]);
        assert!(facts.packages.contains("torch") && !facts.packages.contains("six"));
        // Those of an accelerator are meant to be chosen from, and this is a file of tools alone.
        let facts = found(&[
            ("requirements-gpu.txt", "torch\n"),
            ("requirements-cpu.txt", "torch\n"),
            ("pyproject.toml", "[tool.ruff]\n"),
            ("setup.cfg", "[egg_info]\n"),
        ]);
        assert_eq!(facts.alternatives.len(), 2);
        assert!(
            facts
                .findings
                .iter()
                .all(|f| f.file.starts_with("requirements"))
        );
    }

    #[test]
    fn every_way_to_name_a_python() {
        for (line, minor) in [
            ("3.11.9", "3.11"),
            ("cpython-3.11", "3.11"),
            ("myenv-3.9", "3.9"),
            ("python-3.10.4", "3.10"),
            ("3.12.1/envs/x", "3.12"),
        ] {
            let facts = found(&[(".python-version", line)]);
            assert_eq!(facts.python.unwrap().as_str(), minor, "{line}");
        }
        let facts = found(&[(".python-version", "system\n")]);
        assert!(facts.python.is_none() && !facts.findings[0].used);
    }

    #[test]
    fn manifests_of_each_kind_decide() {
        for (file, text) in [
            ("environment.yml", "dependencies:\n  - pytorch\n"),
            ("Pipfile", "[packages]\ntorch = \"*\"\n"),
            (
                "pyproject.toml",
                "[project]\nname = \"x\"\ndependencies = [\"torch\"]\n",
            ),
            ("setup.py", "setup(install_requires=['torch'])\n"),
            ("cog.yaml", "build:\n  python_packages: [torch]\n"),
        ] {
            let facts = found(&[(file, text)]);
            assert_eq!(
                facts.template,
                TemplateName::Pytorch,
                "{file}: {:?}",
                facts.problems
            );
            assert!(facts.findings[0].used, "{file}");
        }
    }

    #[test]
    fn nothing_that_bears_on_an_environment_is_left_unsaid() {
        for (file, text, said) in [
            ("bentofile.yaml", "", "not used"),
            ("Procfile", "web: x\n", "not used"),
            ("MLproject", "name: x\n", "not used"),
            ("docker-compose.yml", "services: {}\n", "not used"),
            ("shell.nix", "", "not used"),
            ("renv.lock", "{}", "not used"),
            (
                "conda-lock.yml",
                "version: 1\npackage:\n- {name: a, manager: conda, platform: linux-64, url: \"https://h/c/linux-64/a-1-0.conda\", hash: {md5: 0123456789abcdef0123456789abcdef}}\n",
                "used: 1 package of conda's channels, each by its hash",
            ),
            (
                "start",
                "exec \"$@\"\n",
                "entrypoint = [\"bash\", \"start\"]",
            ),
            ("install.sh", "#!/bin/sh\npip install torch\n", "not used"),
            (".tool-versions", "nodejs 20\n", "not used"),
            (
                "binder/install.sh",
                "#!/bin/sh\npip install torch\n",
                "run it: run = [{ command = \"sh binder/install.sh\"",
            ),
            ("binder/install.R", "", "not used"),
            (
                "req.txt",
                "torch\n",
                "to use it: requirements = [\"req.txt\"] under [image]",
            ),
            (
                "app/requirements.txt",
                "torch\n",
                "to use it: requirements = [\"app/requirements.txt\"] under [image]",
            ),
            (
                "docker/Dockerfile",
                "FROM x\n",
                "dockerfile = \"docker/Dockerfile\" under [image]",
            ),
            (".devcontainer/devcontainer.json", "{}", "not used"),
            (
                "pyproject.toml",
                "[tool.flit.metadata]\nmodule = \"m\"\n",
                "not used",
            ),
            ("packages.txt", "torch==2\n", "not used"),
            (
                "packages.txt",
                "ffmpeg\nlibgl1\n",
                "used: 2 packages of the distribution",
            ),
            ("Aptfile", "ffmpeg\n", "used: 1 package of the distribution"),
            ("postBuild", "", "used: it is run once the code is there"),
            (
                "binder/postBuild",
                "",
                "used: it is run once the code is there",
            ),
            (
                "binder/apt.txt",
                "ffmpeg\n",
                "used: 1 package of the distribution",
            ),
            (".binder/requirements.txt", "torch\n", "used: 1 package"),
            (
                "binder/environment.yml",
                "dependencies: [numpy]\n",
                "used: 1 package",
            ),
            ("conda.yaml", "dependencies:\n- numpy\n", "used: 1 package"),
            (
                "pixi.toml",
                "[dependencies]\nnumpy = \"*\"\n",
                "used: 1 package",
            ),
            (
                ".tool-versions",
                "nodejs 20\npython 3.11.4\n",
                "used: Python 3.11",
            ),
            (
                "mise.toml",
                "[tools]\npython = \"3.11\"\n",
                "used: Python 3.11",
            ),
        ] {
            let facts = found(&[(file, text)]);
            let shown: Vec<String> = facts.findings.iter().map(ToString::to_string).collect();
            let is_said = shown
                .iter()
                .any(|line| line.starts_with(file) && line.contains(said));
            assert!(is_said, "{file}: {shown:?} {:?}", facts.problems);
        }
        // A script that installs nothing bears on no environment.
        assert!(found(&[("run.sh", "python main.py\n")]).findings.is_empty());
    }

    #[test]
    fn more_manifests_than_are_named_are_counted() {
        let paths: Vec<String> = (0..25)
            .map(|n| format!("app{n:02}/requirements.txt"))
            .collect();
        let files: Vec<(&str, &str)> = paths.iter().map(|path| (path.as_str(), "six\n")).collect();
        let shown: Vec<String> = found(&files)
            .findings
            .iter()
            .map(ToString::to_string)
            .collect();
        assert_eq!(shown.len(), 21, "{shown:?}");
        assert!(shown[20].contains("5 more manifests"), "{shown:?}");
    }

    #[test]
    fn what_lies_deeper_or_beside_the_code_is_named_in_one_line() {
        let facts = found(&[
            ("docs/requirements.txt", "sphinx\n"),
            ("tests/environment.yml", "dependencies: []\n"),
            ("apps/web/requirements.txt", "flask\n"),
            ("apps/web/Dockerfile", "FROM x\n"),
            ("examples/one/pyproject.toml", "[project]\nname = \"one\"\n"),
            ("node_modules/x/requirements.txt", "six\n"),
        ]);
        let shown: Vec<String> = facts.findings.iter().map(ToString::to_string).collect();
        assert_eq!(
            shown,
            [
                "further folders: not used: 5 manifests lie there: apps/web/Dockerfile, apps/web/requirements.txt, docs/requirements.txt and 2 more; to use one: requirements = [\"apps/web/requirements.txt\"] under [image]; to build one as it is: dockerfile = \"apps/web/Dockerfile\" under [image]; to install it with the code: a line -e ./examples/one in a requirements file"
            ]
        );
        assert!(facts.findings[0].is_aside);
        for (file, text, tools) in [
            (
                ".tool-versions",
                "nodejs 20\npython 3.11.4\n# ruby 3\nterraform 1.5\n",
                "nodejs, terraform",
            ),
            (
                "mise.toml",
                "[tools]\npython = \"3.11\"\nnode = \"20\"\n",
                "node",
            ),
        ] {
            let facts = found(&[(file, text)]);
            let said = format!("other tools of {file}: not used: {tools} aren't installed");
            let shown: Vec<String> = facts.findings.iter().map(ToString::to_string).collect();
            assert!(
                shown.iter().any(|line| line.starts_with(&said)),
                "{shown:?}"
            );
        }
    }

    #[test]
    fn environments_under_other_names_are_alternatives() {
        let text = "dependencies:\n- numpy\n";
        let facts = found(&[("environment_cpu.yml", text), ("environment_gpu.yml", text)]);
        assert_eq!(
            facts.fitting(Some(Accelerator::Cuda)),
            Some("environment_gpu.yml")
        );
        let project = "[project]\nname = \"x\"\ndependencies = [\"torch\"]\n";
        let bare = ("environment.yml", "dependencies: [python=3.11]\n");
        let facts = found(&[bare, ("pyproject.toml", project)]);
        assert!(facts.packages.contains("torch"), "{facts:?}");
    }

    #[test]
    fn what_is_installed_with_the_code_decides_the_template() {
        let setup = ("setup.py", "setup(install_requires=['torch'])\n");
        let facts = found(&[("requirements.txt", "-e .\n"), setup]);
        assert_eq!(facts.template, TemplateName::Pytorch);
        let root = "[project]\nname = \"root\"\ndependencies = [\"a\"]\n[tool.uv.workspace]\nmembers = [\"libs/*\"]\n[tool.uv.sources]\na = {workspace = true}\n";
        let member = "[project]\nname = \"a\"\ndependencies = [\"torch\", \"root\"]\n[tool.uv.sources]\nroot = {workspace = true}\n";
        let facts = found(&[("pyproject.toml", root), ("libs/a/pyproject.toml", member)]);
        assert_eq!(facts.template, TemplateName::Pytorch);
        assert!(
            facts.findings.iter().any(|f| f.used && f.file == "libs/a"),
            "{facts:?}"
        );
    }

    #[test]
    fn a_lone_dockerfile_is_used_and_that_is_said() {
        let mut facts = found(&[("Dockerfile", "FROM x\n")]);
        assert_eq!(facts.lone_dockerfile(), Some("Dockerfile"));
        // As long as nobody builds it.
        assert!(!facts.findings[0].used);
        assert_eq!(facts.use_lone_dockerfile().as_deref(), Some("Dockerfile"));
        assert!(facts.findings[0].used);
        for beside in ["requirements.txt", "Dockerfile.gpu", "apt.txt"] {
            let facts = found(&[("Dockerfile", "FROM x\n"), (beside, "six\n")]);
            assert_eq!(facts.lone_dockerfile(), None, "{beside}");
        }
    }

    /// What is said of a folder, a line a finding.
    fn said(files: &[(&str, &str)]) -> Vec<String> {
        let facts = found(files);
        facts.findings.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn what_lies_below_is_named_by_what_it_is() {
        let setup = "from setuptools import setup\nsetup(name=\"lib\")\n";
        for (file, text, line) in [
            (
                "inner/my_requirements.txt",
                "six\n",
                "inner/my_requirements.txt: not used: it lies in a folder of its own; to use it: requirements = [\"inner/my_requirements.txt\"] under [image]",
            ),
            (
                "env/se3.yml",
                "name: x\ndependencies:\n- numpy\n",
                "env/se3.yml: not used: it lies in a folder of its own; to use it: requirements = [\"env/se3.yml\"] under [image]",
            ),
            (
                "requirements/env_gpu.yml",
                "dependencies:\n- numpy\n",
                "requirements/env_gpu.yml: not used: it lies in a folder of its own; to use it: requirements = [\"requirements/env_gpu.yml\"] under [image]",
            ),
            (
                "dependencies/required.txt",
                "six\n",
                "dependencies/required.txt: not used: it lies in a folder of its own; to use it: requirements = [\"dependencies/required.txt\"] under [image]",
            ),
            (
                "lib/setup.py",
                setup,
                "lib/setup.py: not used: it is a project of its own, and nothing asks for it; to install it with the code: a line -e ./lib in a requirements file",
            ),
            (
                "docker/gpu.Dockerfile",
                "FROM x\n",
                "docker/gpu.Dockerfile: not used: it lies in a folder of its own; to build it as it is: dockerfile = \"docker/gpu.Dockerfile\" under [image]",
            ),
            (
                "dockerfile-gpu",
                "FROM x\n",
                "dockerfile-gpu: not used: the image is composed from a template; to build it as it is: dockerfile = \"dockerfile-gpu\" under [image]",
            ),
            (
                "Dockerfile.train.tmpl",
                "FROM #X#\n",
                "Dockerfile.train.tmpl: not used: it is a template of a Dockerfile, which another tool fills in; fill it in, and build what comes out: dockerfile = \"Dockerfile\" under [image]",
            ),
            (
                "utils/docker/Dockerfile",
                "FROM x\n",
                "further folders: not used: 1 manifest lies there: utils/docker/Dockerfile; to build one as it is: dockerfile = \"utils/docker/Dockerfile\" under [image]",
            ),
            (
                "scripts/setup.sh",
                "conda install x\n",
                "scripts/setup.sh: not used: it installs packages when it is run, and scripts aren't run; list its packages in a requirements file, or run it: run = [{ command = \"sh scripts/setup.sh\", when = \"after-code\" }] under [image]",
            ),
            (
                ".gitmodules",
                "[submodule \"a\"]\n\tpath = third_party/a\n\turl = https://h/a.git\n",
                "third_party/a: not used: it is a git submodule that isn't there, so the image lacks its code; fetch it: git submodule update --init third_party/a",
            ),
            (
                "a.ipynb",
                "{\"source\": [\"%pip install x\"]}",
                "a.ipynb: not used: its cells install packages, and no cell is run; list the packages in a requirements file",
            ),
        ] {
            assert_eq!(said(&[(file, text)]), [line], "{file}");
        }
        // Data, and what tools alone read.
        for (file, text) in [
            ("configs/model.yml", "dependencies: x\n"),
            ("notes/list.txt", "six\n"),
            ("tool/pyproject.toml", "[tool.ruff]\n"),
        ] {
            assert_eq!(said(&[(file, text)]), [""; 0], "{file}");
        }
    }

    #[test]
    fn a_project_of_the_folder_that_the_index_is_asked_for_is_named() {
        let root = (
            "setup.py",
            "setup(name='root', install_requires=['torch', 'se3-transformer'])\n",
        );
        let inner = ("env/SE3/setup.py", "setup(name='SE3_Transformer')\n");
        let lines = said(&[root, inner]);
        let named = "env/SE3: not used: setup.py line 1 asks for se3-transformer, which is taken from the package index; to install that one: a line -e ./env/SE3 in a requirements file";
        assert!(lines.iter().any(|line| line == named), "{lines:?}");
        // A requirements file that names it has it installed.
        let list = ("requirements.txt", "torch\nse3-transformer\n-e ./env/SE3\n");
        assert!(
            !said(&[list, inner])
                .iter()
                .any(|line| line.contains("taken from the package index"))
        );
        let own = ("environment.yml", "dependencies: [scipy]\n");
        let itself = (
            "setup.py",
            "setup(name='scipy', install_requires=['numpy'])\n",
        );
        let lines = said(&[own, itself]);
        assert!(
            lines.iter().any(|line| line.starts_with(
                "scipy (the project itself): not used: environment.yml line 1 asks for scipy"
            )),
            "{lines:?}"
        );
    }

    #[test]
    fn what_is_installed_from_the_folder_is_never_called_unused() {
        let setup = "from setuptools import setup\nsetup(name='x', install_requires=['numpy'])\n";
        let environment = (
            "environment.yaml",
            "dependencies:\n- numpy\n- pip:\n  - -e .\n",
        );
        let lines = said(&[environment, ("setup.py", setup)]);
        assert!(
            lines
                .iter()
                .any(|line| line.starts_with("setup.py: used: environment.yaml")),
            "{lines:?}"
        );
        let list = ("requirements.txt", "-e ./lib\n");
        let lines = said(&[list, ("lib/setup.py", setup)]);
        assert!(
            !lines.iter().any(|line| line.contains("not used")),
            "{lines:?}"
        );
    }

    #[test]
    fn an_environment_that_takes_in_the_list_counts_more_than_it() {
        let environment = |line: &str| {
            format!("dependencies:\n  - python=3.10\n  - numpy\n  - pip:\n      - {line}\n")
        };
        for (line, list) in [
            ("-r requirements.txt", "requirements.txt"),
            ("--requirement ./requirements.txt", "requirements.txt"),
            ("-r requirements/base.txt", "requirements/base.txt"),
        ] {
            let text = environment(line);
            let facts = found(&[("environment.yml", &text), (list, "six\n")]);
            let said: Vec<_> = facts
                .findings
                .iter()
                .map(|f| (f.file.as_str(), f.used))
                .collect();
            assert_eq!(said, [("environment.yml", true), (list, true)], "{line}");
        }
        let text = environment("einops");
        let facts = found(&[("environment.yml", &text), ("requirements.txt", "six\n")]);
        let used = facts.findings.iter().find(|f| f.used).unwrap();
        assert_eq!(used.file, "requirements.txt");
    }

    #[test]
    fn a_project_of_poetry_without_dependencies_is_one() {
        let text = "[tool.poetry]\nname = \"x\"\nversion = \"1\"\n[tool.poetry.scripts]\nx = \"x:main\"\n[build-system]\nrequires = [\"poetry-core\"]\nbuild-backend = \"poetry.core.masonry.api\"\n";
        let facts = found(&[("pyproject.toml", text), ("x.py", "")]);
        assert!(facts.findings[0].used, "{:?}", facts.findings);
        assert!(facts.project.is_some());
    }

    #[test]
    fn lists_that_others_take_in_are_no_alternatives() {
        let facts = found(&[
            ("requirements/_base.txt", "six\n"),
            (
                "requirements/requirements_nvidia.txt",
                "-r _base.txt\ntorch\n",
            ),
            ("requirements/requirements_cpu.txt", "-r _base.txt\ntorch\n"),
        ]);
        assert_eq!(
            facts.alternatives,
            [
                "requirements/requirements_cpu.txt",
                "requirements/requirements_nvidia.txt"
            ]
        );
        let facts = found(&[
            ("requirements/lists.txt", "six\n"),
            ("requirements/all.txt", "-r lists.txt\ntorch\n"),
        ]);
        assert_eq!(facts.requirements[0].as_str(), "requirements/all.txt");
    }

    #[test]
    fn a_framework_that_a_package_brings_decides_the_template() {
        for (file, text, template) in [
            ("requirements.txt", "torchvision\n", TemplateName::Pytorch),
            ("requirements.txt", "ultralytics\n", TemplateName::Pytorch),
            ("requirements.txt", "tf-keras\n", TemplateName::Tensorflow),
            ("requirements.txt", "numpy\n", TemplateName::Python),
            (
                "setup.py",
                "from torch.utils.cpp_extension import CUDAExtension\nsetup(name='x', ext_modules=[CUDAExtension('a', [])])\n",
                TemplateName::Pytorch,
            ),
        ] {
            assert_eq!(found(&[(file, text)]).template, template, "{text}");
        }
    }
}
