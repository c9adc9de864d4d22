//! Manifests in folders below the root, which nothing looks into without being told.

use std::collections::BTreeSet;
use std::path::Path;

use super::super::NextStep;
use super::super::detect::{to_build, to_use};
use super::super::manifests::{Kind, name_of, text_of};
use super::{DockerfileName, dockerfile, names, scripts};

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
    Script,
}

fn what(folder: &Path, inner: &str, name: &str) -> Option<Is> {
    let lower = name.to_lowercase();
    let last = inner.rsplit('/').next().unwrap_or(inner);
    let is_yaml = lower.ends_with(".yml") || lower.ends_with(".yaml");
    let is_environment = is_yaml
        && (Kind::of(&lower) == Some(Kind::Conda) || OF_ENVIRONMENTS.contains(&last))
        && has_line(folder, inner, name, "dependencies:");
    let is_list = lower.ends_with(".txt")
        && last != "requirements"
        && (lower.contains("requirements") || OF_ENVIRONMENTS.contains(&last));
    if name == "devcontainer.json" && last == ".devcontainer" {
        return Some(Is::DevContainer);
    }
    if let Some(kind) = dockerfile(name) {
        return Some(Is::Dockerfile(kind));
    }
    if is_list || is_environment || Kind::of(&lower) == Some(Kind::Pipfile) {
        return Some(Is::List);
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
    let is_script = lower.ends_with(".sh") || lower.ends_with(".bash");
    is_script.then_some(Is::Script)
}

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
        let more = below.found.len().saturating_sub(MOST);
        if more > 0 {
            below.found.truncate(MOST);
            let why = format!("{more} more manifests lie in folders of their own");
            let next = NextStep::UseOneLike("FOLDER/requirements.txt");
            below.found.push(("other folders".to_owned(), why, next));
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
            if is_used(&path) {
                continue;
            }
            let own = "it lies in a folder of its own".to_owned();
            match what(folder, inner, &name) {
                None => {}
                Some(Is::List) => self.found.push((path.clone(), own, to_use(&path))),
                Some(Is::Dockerfile(DockerfileName::Whole)) => {
                    self.found.push((path.clone(), own, to_build(&path)));
                }
                Some(Is::Dockerfile(DockerfileName::Unfilled)) => {
                    let (why, next) = super::unfilled();
                    self.found.push((path, why, next));
                }
                Some(Is::DevContainer) => self.found.push((
                    path,
                    "an editor's container is described there".to_owned(),
                    "put its features and commands under apt and run of [image]".into(),
                )),
                // One of setup.py and pyproject.toml is enough.
                Some(Is::Project) if has_project => {}
                Some(Is::Project) => {
                    has_project = true;
                    self.found.push((
                        path,
                        "it is a project of its own, and nothing asks for it".to_owned(),
                        format!("to install it with the code: a line -e ./{inner} in a requirements file").into(),
                    ));
                }
                Some(Is::Script) => {
                    if scripts::installs(folder, &path).is_some()
                        && let Some((why, next)) = super::of_other_tools(folder, &path)
                    {
                        self.found.push((path, why, next));
                    }
                }
            }
        }
    }
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

/// Manifests two folders below the root, and those of documents, examples and tests: why they aren't
/// used, in one line, and what to do. Those that `is_used` says are used are left out.
pub(in crate::project) fn further_below(
    folder: &Path,
    is_used: &dyn Fn(&str) -> bool,
) -> Option<(String, NextStep)> {
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
        folders(path)
            .into_iter()
            .filter(is_code)
            .collect::<Vec<_>>()
    };
    let mut found = Vec::new();
    let mut look = |path: String| {
        if is_used(&path) {
            return;
        }
        for name in names(&folder.join(&path), false) {
            let whole = format!("{path}/{name}");
            let is_manifest = matches!(
                what(folder, &path, &name),
                Some(Is::List | Is::Dockerfile(_) | Is::Project)
            );
            if is_manifest && !is_used(&whole) {
                found.push(whole);
            }
        }
    };
    for outer in inside(folder) {
        if ELSEWHERE.contains(&outer.as_str()) {
            look(outer.clone());
        }
        for inner in inside(&folder.join(&outer)) {
            look(format!("{outer}/{inner}"));
        }
    }
    found.sort();
    let last = |path: &str| path.rsplit('/').next().map(str::to_owned);
    let are_dockerfiles = found
        .iter()
        .all(|path| last(path).is_some_and(|name| dockerfile(&name).is_some()));
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
        let next = if are_dockerfiles {
            NextStep::BuildOneLike("FOLDER/Dockerfile")
        } else {
            NextStep::UseOneLike("FOLDER/requirements.txt")
        };
        (
            format!("{manifests} there: {}{more}", shown.join(", ")),
            next,
        )
    })
}
