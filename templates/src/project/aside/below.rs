//! Manifests in folders below the root, which nothing looks into without being told.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::NextStep;
use super::super::detect::{minor_of, to_use};
use super::super::manifests::{Kind, apt_list, folder_of, name_of, text_of};
use super::{DockerfileName, dockerfile, names};

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

/// Folders of which every `.yml` may be an environment, and every `.txt` a list.
const OF_ENVIRONMENTS: [&str; 9] = [
    "conda",
    "dependencies",
    "deps",
    "env",
    "environment",
    "environments",
    "envs",
    "reqs",
    "requirements",
];

/// Files of a folder below the root that are named at most, of all folders together.
const MOST: usize = 20;

/// Folders below the root, one inside the other, down to which manifests are looked for.
const DEEPEST: usize = 4;

/// Folders that are looked into at most, of all levels.
const MOST_FOLDERS: usize = 1000;

/// Folders of a folder that are looked into at most: others hold data.
const LOOKED_INTO: usize = 100;

/// What lies below the root.
#[derive(Debug, Default)]
pub(in crate::project) struct Below {
    /// Path, why it isn't used, what to do.
    pub found: Vec<(String, String, NextStep)>,
    /// Projects with a name: folder and name, as PEP 503 normalizes it.
    pub projects: Vec<(String, String)>,
}

/// What a file is by its name and, where that says too little, by its text.
enum Is {
    List,
    Dockerfile(DockerfileName),
    Project,
    DevContainer,
    /// A Python version for the folder alone.
    Python(String),
    /// Packages of the distribution.
    Apt,
    /// What other tools read, and scripts.
    OfOthers,
}

fn what(folder: &Path, inner: &str, name: &str) -> Option<Is> {
    let lower = name.to_lowercase();
    let last = inner.rsplit('/').next().unwrap_or(inner);
    let is_yaml = lower.ends_with(".yml") || lower.ends_with(".yaml");
    let is_environment = is_yaml
        && (Kind::by_name(&lower) == Some(Kind::Conda) || OF_ENVIRONMENTS.contains(&last))
        && has_line(folder, inner, name, "dependencies:");
    let is_list = lower.ends_with(".txt")
        && last != "requirements"
        && (lower.contains("requirement")
            || ["req.txt", "reqs.txt"].contains(&lower.as_str())
            || OF_ENVIRONMENTS.contains(&last));
    if name == "devcontainer.json" && last == ".devcontainer" {
        return Some(Is::DevContainer);
    }
    if let Some(kind) = dockerfile(name) {
        return Some(Is::Dockerfile(kind));
    }
    let is_manifest = matches!(
        Kind::by_name(&lower),
        Some(Kind::Cog | Kind::Pixi | Kind::CondaLock)
    );
    let is_pipfile = name == "Pipfile";
    if is_list || is_environment || is_manifest || is_pipfile {
        return Some(Is::List);
    }
    match name {
        ".python-version" => {
            let text = text_of(&folder.join(inner), name).ok()?;
            return minor_of(&text).map(Is::Python);
        }
        "apt.txt" | "packages.txt" | "Aptfile" => {
            let path = format!("{inner}/{name}");
            let read = apt_list(folder, &path).ok()?;
            return (!read.0.is_empty() && read.1.is_empty()).then_some(Is::Apt);
        }
        _ => {}
    }
    let is_project = match name {
        "setup.py" => true,
        "pyproject.toml" => {
            has_line(folder, inner, name, "[project]")
                || has_line(folder, inner, name, "[tool.poetry]")
        }
        _ => false,
    };
    if is_project {
        return Some(Is::Project);
    }
    let is_of_others = is_script(name)
        || OF_OTHERS.contains(&name)
        || super::is_compose(name)
        || super::is_of_robots(name)
        || lower.ends_with(".def")
        || lower.starts_with("singularity");
    is_of_others.then_some(Is::OfOthers)
}

/// Whether a file is a script by its name, which says nothing of an environment where it installs nothing.
fn is_script(name: &str) -> bool {
    let lower = name.to_lowercase();
    let ends = [".sh", ".bash", ".slurm", ".sbatch", ".bat", ".ps1"];
    let words = [
        "install",
        "launch",
        "setup",
        "deps",
        "bootstrap",
        "environment",
    ];
    let is_program = lower.ends_with(".py") && words.iter().any(|word| lower.contains(word));
    is_program || ends.iter().any(|end| lower.ends_with(end))
}

/// Files of other tools that describe an environment wherever they lie.
const OF_OTHERS: [&str; 4] = ["bentofile.yaml", "meta.yaml", "environment.R", "install.R"];

fn has_line(folder: &Path, inner: &str, name: &str, start: &str) -> bool {
    let text = text_of(&folder.join(inner), name).unwrap_or_default();
    text.lines().any(|line| line.starts_with(start))
}

/// The folders of a folder that may hold code, of which there may be very many.
fn folders(path: &Path) -> Vec<String> {
    names(path, true)
        .into_iter()
        .filter(|inner| !path.join(inner).join("pyvenv.cfg").is_file())
        .take(LOOKED_INTO)
        .collect()
}

impl Below {
    /// Manifests one folder below the root. Those that `is_used` says are installed with the code are left out.
    pub fn of(folder: &Path, is_used: &dyn Fn(&str) -> bool) -> Self {
        let mut below = Self::default();
        for inner in folders(folder) {
            let hidden = inner.starts_with('.') && inner != ".devcontainer";
            let is_elsewhere = ELSEWHERE.contains(&inner.as_str()) && inner != "requirements";
            if hidden || is_elsewhere || is_used(&inner) {
                continue;
            }
            below.look(folder, &inner, is_used);
        }
        if below.found.len() > MOST {
            let more = below.found.split_off(MOST);
            let why = format!("{} more manifests lie in folders of their own", more.len());
            let steps = more.into_iter().map(|(_, _, next)| next);
            below
                .found
                .push(("other folders".to_owned(), why, one_of_each(steps)));
        }
        below
            .projects
            .extend(deeper(folder).into_iter().filter_map(|path| {
                let name = name_of(folder, &path)?;
                Some((path, name))
            }));
        below
    }

    fn look(&mut self, folder: &Path, inner: &str, is_used: &dyn Fn(&str) -> bool) {
        let mut has_project = false;
        for name in names(&folder.join(inner), false) {
            let path = format!("{inner}/{name}");
            let Some(kind) = what(folder, inner, &name).filter(|_| !is_used(&path)) else {
                continue;
            };
            // One of setup.py and pyproject.toml is enough.
            let is_project = matches!(kind, Is::Project);
            if is_project && has_project {
                continue;
            }
            has_project |= is_project;
            if let Some((why, next)) = said_of(folder, &path, kind) {
                self.found.push((path, why, next));
            }
        }
    }
}

/// Why a file below the root isn't used, and what to do; `None` for a script that installs nothing.
fn said_of(folder: &Path, path: &str, kind: Is) -> Option<(String, NextStep)> {
    let inner = folder_of(path);
    let own = "it lies in a folder of its own".to_owned();
    Some(match kind {
        Is::List => (own, to_use(path)),
        Is::Dockerfile(DockerfileName::Whole) => (own, super::context::to_build_in(folder, path)),
        Is::Dockerfile(DockerfileName::Unfilled) => super::unfilled(),
        Is::DevContainer => (
            "an editor's container is described there".to_owned(),
            "put its features and commands under apt and run of [image]".into(),
        ),
        Is::Project => (
            "it is a project of its own, and nothing asks for it".to_owned(),
            format!("to install it with the code: a line -e ./{inner} in a requirements file")
                .into(),
        ),
        Is::Python(version) => (
            format!("it names Python {version} for a folder alone"),
            format!("set python = \"{version}\" under [image]").into(),
        ),
        Is::Apt => (
            "it lies in a folder of its own".to_owned(),
            "give its packages under apt of [image]".into(),
        ),
        Is::OfOthers => super::of_other_tools(folder, path)
            .or_else(|| super::of_robots(folder, path))
            .or_else(|| {
                let (why, next) = super::of_an_environment(folder, path)?;
                Some((why.to_owned(), next))
            })?,
    })
}

/// Folders with a project of their own, up to two below the root.
fn deeper(folder: &Path) -> BTreeSet<String> {
    let has_project = |inner: &str| {
        ["setup.py", "pyproject.toml"]
            .iter()
            .any(|name| folder.join(inner).join(name).is_file())
    };
    let mut found = BTreeSet::new();
    for outer in folders(folder) {
        if outer.starts_with('.') || outer == "node_modules" {
            continue;
        }
        let inside = folders(&folder.join(&outer));
        let inside = inside.iter().map(|inner| format!("{outer}/{inner}"));
        found.extend(inside.filter(|path| has_project(path)));
        if has_project(&outer) {
            found.insert(outer);
        }
    }
    found
}

/// Manifests two to [`DEEPEST`] folders below the root, and those of documents, examples and tests: why they
/// aren't used, in one line, and what to do. Those that `is_used` says are used are left out.
pub(in crate::project) fn further_below(
    folder: &Path,
    is_used: &dyn Fn(&str) -> bool,
) -> Option<(String, NextStep)> {
    const BESIDE: [&str; 9] = [
        "binder",
        "doc",
        "docs",
        "example",
        "examples",
        "notebooks",
        "requirements",
        "test",
        "tests",
    ];
    let is_code = |name: &String| {
        let is_of_others = ELSEWHERE.contains(&name.as_str()) && !BESIDE.contains(&name.as_str());
        !name.starts_with('.') && !is_of_others
    };
    let mut found: Vec<(String, NextStep)> = Vec::new();
    // Level by level, so that where too many folders are there those near the root are looked into.
    let mut level: Vec<String> = folders(folder).into_iter().filter(is_code).collect();
    let mut left = MOST_FOLDERS;
    for depth in 1..=DEEPEST {
        let mut next_level = Vec::new();
        for path in level {
            if left == 0 {
                break;
            }
            left -= 1;
            let is_looked_into =
                depth > 1 || ELSEWHERE.contains(&path.as_str()) && path != "requirements";
            if is_looked_into && !is_used(&path) {
                manifests_in(folder, &path, is_used, &mut found);
            }
            if depth < DEEPEST {
                let inner = folders(&folder.join(&path)).into_iter().filter(is_code);
                next_level.extend(inner.map(|name| format!("{path}/{name}")));
            }
        }
        level = next_level;
    }
    found.sort_by(|a, b| a.0.cmp(&b.0));
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
        let shown: Vec<&str> = shown.iter().map(|(path, _)| path.as_str()).collect();
        let why = format!("{manifests} there: {}{more}", shown.join(", "));
        (why, one_of_each(found.iter().map(|(_, next)| next.clone())))
    })
}

/// The manifests of one folder that isn't a project in use, with the next step for each.
fn manifests_in(
    folder: &Path,
    inner: &str,
    is_used: &dyn Fn(&str) -> bool,
    found: &mut Vec<(String, NextStep)>,
) {
    for name in names(&folder.join(inner), false) {
        let path = format!("{inner}/{name}");
        let kind = what(folder, inner, &name);
        // Scripts are named near the root alone: deep ones are seldom run by hand.
        let kind = kind.filter(|kind| !matches!(kind, Is::OfOthers if is_script(&name)));
        if let Some(kind) = kind.filter(|_| !is_used(&path))
            && let Some((_, next)) = said_of(folder, &path, kind)
        {
            found.push((path, next));
        }
    }
}

/// One step for each kind of files among several.
fn one_of_each(steps: impl Iterator<Item = NextStep>) -> NextStep {
    let (mut list, mut dockerfile, mut other) = (None, None, None);
    for step in steps {
        match step {
            NextStep::UseFile(file) => {
                list.get_or_insert(NextStep::UseOne(file));
            }
            NextStep::BuildFile(file) => {
                dockerfile.get_or_insert(NextStep::BuildOne(file));
            }
            step @ NextStep::BuildIn { .. } => {
                dockerfile.get_or_insert(step);
            }
            step => {
                other.get_or_insert(step);
            }
        }
    }
    let mut steps: Vec<NextStep> = [list, dockerfile, other].into_iter().flatten().collect();
    match (steps.len(), steps.pop()) {
        (1, Some(only)) => only,
        (_, last) => NextStep::Each(steps.into_iter().chain(last).collect()),
    }
}
