//! A look at a folder: what somebody who describes it for the first time would want to write.

use std::collections::BTreeSet;
use std::path::Path;

use super::{Wanted, locked_by_pylock, locked_by_uv, read_requirements};
use crate::spec::TemplateName;
use crate::value::{ContextPath, ContextPattern, PythonVersion};

/// What a project's folder holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ProjectFacts {
    /// Requirements files at its root, sorted.
    pub requirements: Vec<ContextPattern>,
    /// `pylock.toml`.
    pub pylock: Option<ContextPath>,
    /// `.` where a `pyproject.toml` has its `uv.lock` beside it.
    pub project: Option<ContextPath>,
    /// What `.python-version` says.
    pub python: Option<PythonVersion>,
    /// The template that fits the packages.
    pub template: TemplateName,
    /// Whether windows are likely to be shown (opencv-python, PyQt, pygame and their like).
    pub gui: bool,
    /// Scripts at its root that look like what a container should run, best first.
    pub scripts: Vec<String>,
    /// Dockerfiles at its root.
    pub dockerfiles: Vec<String>,
    /// Packages that are asked for, by name.
    pub packages: BTreeSet<String>,
    /// Files that couldn't be read, with the reason.
    pub problems: Vec<String>,
}

/// Packages that show windows.
const WINDOWS: [&str; 8] = [
    "opencv-python",
    "opencv-contrib-python",
    "pyqt5",
    "pyqt6",
    "pyside2",
    "pyside6",
    "pygame",
    "wxpython",
];

/// Looks at the folder of a project. Never fails: what can't be read is in
/// [`ProjectFacts::problems`].
pub fn detect(folder: &Path) -> ProjectFacts {
    let mut facts = ProjectFacts::default();
    let names = root_files(folder);
    let has = |name: &str| names.contains(name);
    let is_requirements =
        |name: &&String| name.starts_with("requirements") && name.ends_with(".txt");
    facts.requirements = names
        .iter()
        .filter(is_requirements)
        .filter_map(|n| n.parse().ok())
        .collect();
    facts.dockerfiles = names
        .iter()
        .filter(|n| *n == "Dockerfile" || n.starts_with("Dockerfile."))
        .cloned()
        .collect();
    let scripts = ["train.py", "main.py", "app.py", "serve.py", "run.py"];
    facts.scripts = scripts
        .iter()
        .filter(|name| has(name))
        .map(|name| (*name).to_owned())
        .collect();

    let mut wanted: Vec<Wanted> = Vec::new();
    let mut take = |found: Result<Vec<Wanted>, super::ProjectError>| match found {
        Ok(found) => wanted.extend(found),
        Err(error) => facts.problems.push(error.to_string()),
    };
    if has("pylock.toml") {
        facts.pylock = "pylock.toml".parse().ok();
        take(locked_by_pylock(folder, "pylock.toml"));
    }
    if has("pyproject.toml") && has("uv.lock") {
        facts.project = ".".parse().ok();
        take(locked_by_uv(folder, "uv.lock"));
    }
    let files: Vec<String> = facts.requirements.iter().map(ToString::to_string).collect();
    take(read_requirements(folder, &files).map(|found| found.wanted));

    facts.packages = wanted.into_iter().map(|w| w.name).collect();
    let wants = |name: &str| facts.packages.contains(name);
    facts.template = match () {
        () if wants("torch") => TemplateName::Pytorch,
        () if wants("tensorflow") || wants("tensorflow-cpu") => TemplateName::Tensorflow,
        () => TemplateName::Python,
    };
    facts.gui = WINDOWS.iter().any(|name| wants(name));
    let version = std::fs::read_to_string(folder.join(".python-version")).unwrap_or_default();
    facts.python = version
        .lines()
        .next()
        .and_then(|line| line.trim().parse().ok());
    facts
}

fn root_files(folder: &Path) -> BTreeSet<String> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let files = entries.filter(|entry| entry.path().is_file());
    files
        .filter_map(|entry| entry.file_name().into_string().ok())
        .collect()
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
}
