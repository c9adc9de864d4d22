//! Which of a folder's requirements files are meant: alternatives are never joined.

use std::collections::BTreeSet;
use std::path::Path;

use crate::spec::Accelerator;

/// The requirements files of a folder.
#[derive(Debug, Default)]
pub(super) struct Lists {
    /// Those that are used.
    pub used: Vec<String>,
    /// Several of which nothing says which one is meant.
    pub alternatives: Vec<String>,
    /// Whether those that are used are what such files are for by their names.
    pub is_main: bool,
    /// The others, with the reason why each isn't used.
    pub left: Vec<(String, String)>,
}

/// Words of names of files that aren't for running the project.
const ASIDE: [&str; 14] = [
    "dev",
    "develop",
    "development",
    "test",
    "tests",
    "testing",
    "doc",
    "docs",
    "lint",
    "ci",
    "style",
    "build",
    "notebook",
    "notebooks",
];
/// Files of a `requirements` folder that hold what the project runs with, best first.
const MAIN: [&str; 8] = [
    "requirements.txt",
    "base.txt",
    "main.txt",
    "default.txt",
    "common.txt",
    "prod.txt",
    "production.txt",
    "core.txt",
];

impl Lists {
    /// Looks at the names at the root, and into `requirements/`.
    pub fn of(folder: &Path, names: &BTreeSet<String>) -> Self {
        let is_list = |name: &&String| {
            let name = name.to_lowercase();
            name.ends_with(".txt")
                && (name.starts_with("requirements") || name.ends_with("requirements.txt"))
        };
        let mut root: Vec<String> = names.iter().filter(is_list).cloned().collect();
        if root.is_empty() {
            // What Rye writes; then what pip-compile reads, where nothing that it writes is there.
            let others = ["requirements.lock", "requirements.in"];
            root.extend(
                others
                    .into_iter()
                    .find(|name| names.contains(*name))
                    .map(str::to_owned),
            );
        }
        let mut lists = Self::default();
        let main = ["requirements.txt", "requirements.lock", "requirements.in"];
        lists.is_main = root.iter().any(|name| main.contains(&name.as_str()));
        if root.iter().any(|name| name == "requirements.txt") {
            for name in root {
                let joined = [
                    "requirements.txt",
                    "requirements-dev.txt",
                    "requirements_dev.txt",
                ];
                if joined.contains(&name.as_str()) {
                    lists.used.push(name)
                } else {
                    lists.left.push((
                        name,
                        "requirements.txt says which packages there are".into(),
                    ))
                }
            }
        } else {
            lists.choose(folder, root);
        }
        let inner = in_folder(folder);
        if !lists.used.is_empty() || !lists.alternatives.is_empty() {
            let why = "the files at the root say which packages there are";
            lists
                .left
                .extend(inner.into_iter().map(|name| (name, why.to_owned())));
            return lists;
        }
        let main = MAIN.iter().map(|name| format!("requirements/{name}"));
        match main.into_iter().find(|name| inner.contains(name)) {
            Some(main) => {
                let others = inner.into_iter().filter(|name| *name != main);
                let why = format!("{main} says which packages there are");
                lists.left.extend(others.map(|name| (name, why.clone())));
                lists.used.push(main);
            }
            None => lists.choose(folder, inner),
        }
        lists
    }

    /// One of several of which none is the main one.
    fn choose(&mut self, folder: &Path, files: Vec<String>) {
        let (aside, main): (Vec<String>, Vec<String>) = files
            .into_iter()
            .partition(|name| words(name).any(|word| ASIDE.contains(&word.as_str())));
        // What another one takes in isn't an alternative to it.
        let included: BTreeSet<String> = main
            .iter()
            .flat_map(|file| includes(folder, file))
            .collect();
        let (taken_in, main): (Vec<String>, Vec<String>) =
            main.into_iter().partition(|name| included.contains(name));
        let main = match main.is_empty() {
            true => taken_in,
            false => {
                let why = "other requirements files take it in";
                self.left
                    .extend(taken_in.into_iter().map(|name| (name, why.to_owned())));
                main
            }
        };
        let why = "by its name it isn't for running the project";
        self.left
            .extend(aside.into_iter().map(|name| (name, why.to_owned())));
        match main.len() {
            0 | 1 => self.used.extend(main),
            _ => self.alternatives.extend(main),
        }
    }
}

/// The requirements files that one includes, by their paths from the project's folder.
fn includes(folder: &Path, file: &str) -> Vec<String> {
    let text = super::manifests::text_of(folder, file).unwrap_or_default();
    let included = text.lines().filter_map(|line| {
        let rest = line
            .trim()
            .strip_prefix("-r")
            .or(line.trim().strip_prefix("--requirement"))?;
        let name = rest.split('#').next()?.trim_matches(['=', ' ', '\t']);
        let beside = match file.rsplit_once('/') {
            Some((inner, _)) => format!("{inner}/{name}"),
            None => name.to_owned(),
        };
        Some(super::requirements::normalize(&beside))
    });
    included.collect()
}

/// The one of several that fits an accelerator, if exactly one does.
pub(super) fn fitting(files: &[String], accelerator: Option<Accelerator>) -> Option<&str> {
    let is_of = |name: &str, known: &[&str]| {
        words(name).any(|word| {
            known.iter().any(|k| word == *k) || (known.contains(&"cuda") && is_cuda(&word))
        })
    };
    let known: &[&str] = match accelerator? {
        Accelerator::Cuda => &["cuda", "gpu", "nvidia"],
        Accelerator::Rocm => &["rocm", "amd", "hip"],
        Accelerator::Off => &["cpu"],
        Accelerator::Auto => return None,
    };
    let mut fits = files.iter().filter(|name| is_of(name, known));
    match (fits.next(), fits.next()) {
        (Some(only), None) => Some(only),
        _ => None,
    }
}

/// `cu118`, `cuda12`.
fn is_cuda(word: &str) -> bool {
    let digits = word
        .strip_prefix("cuda")
        .or_else(|| word.strip_prefix("cu"));
    digits.is_some_and(|d| !d.is_empty() && d.chars().all(|c| c.is_ascii_digit()))
}

fn words(name: &str) -> impl Iterator<Item = String> {
    let name = name.rsplit('/').next().unwrap_or(name).to_lowercase();
    let words: Vec<String> = name
        .split(|c: char| !c.is_ascii_alphanumeric())
        .map(str::to_owned)
        .collect();
    words.into_iter()
}

/// Whether it is what pip-compile reads, and what it writes stands beside it.
pub(super) fn is_compiled(folder: &Path, name: &str) -> bool {
    name.strip_suffix(".in")
        .is_some_and(|stem| folder.join(format!("{stem}.txt")).is_file())
}

fn in_folder(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join("requirements"))
        .into_iter()
        .flatten()
        .flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut files: Vec<String> = names
        .filter(|name| name.ends_with(".txt") || name.ends_with(".in"))
        .map(|name| format!("requirements/{name}"))
        .filter(|name| !is_compiled(folder, name))
        .collect();
    files.sort();
    files
}
