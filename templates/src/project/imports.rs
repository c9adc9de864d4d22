//! Frameworks that a project's own code imports, by the first modules of the project: no code is run.

use std::path::Path;

/// An import of a framework.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Imported {
    /// The module: `torch`.
    pub module: &'static str,
    /// `train.py:3`
    pub place: String,
}

/// Modules of frameworks.
const MODULES: [&str; 5] = ["torch", "tensorflow", "jax", "mxnet", "paddle"];
/// Most files that are looked at.
const MOST_FILES: usize = 60;
/// Most bytes of a file that are looked at; people write no larger modules.
const MOST_BYTES: u64 = 128 << 10;
/// Files at a project's root that aren't what a container runs.
const ASIDE: [&str; 6] = [
    "setup.py",
    "conftest.py",
    "hubconf.py",
    "noxfile.py",
    "tasks.py",
    "fabfile.py",
];
/// Packages of the root that aren't either.
const ASIDE_FOLDERS: [&str; 6] = ["tests", "test", "docs", "doc", "examples", "benchmarks"];

/// The first import of each framework, in modules at the root and in packages there.
pub(crate) fn imported(project: &Path) -> Vec<Imported> {
    let mut found: Vec<Imported> = Vec::new();
    for file in modules(project) {
        let Ok(text) = mlbuild_files::read_to_string(&project.join(&file)) else {
            continue;
        };
        for (line, module) in of_text(&text) {
            // The project's own module of that name is meant.
            let own = [module.to_owned(), format!("{module}.py")];
            let is_own = own.iter().any(|name| project.join(name).exists());
            if !is_own && !found.iter().any(|known| known.module == module) {
                let place = format!("{file}:{line}");
                found.push(Imported { module, place });
            }
        }
    }
    found
}

/// Modules at the root and in `src/`, and those of the packages there, sorted; relative to the project.
pub(super) fn modules(project: &Path) -> Vec<String> {
    let entries = |folder: &str| {
        let entries = std::fs::read_dir(project.join(folder))
            .into_iter()
            .flatten();
        let entries = entries.flatten().take(1000);
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        names.sort();
        names
    };
    let is_small = |file: &str| {
        let found = project.join(file).symlink_metadata();
        found.is_ok_and(|found| found.is_file() && found.len() <= MOST_BYTES)
    };
    let is_module = |name: &str| name.ends_with(".py") && !name.starts_with("test_");
    let mut files: Vec<String> = Vec::new();
    for root in ["", "src/"] {
        let names = entries(&format!("./{root}"));
        let here = names.iter().filter(|name| is_module(name));
        let here = here.filter(|name| !ASIDE.contains(&name.as_str()));
        files.extend(here.map(|name| format!("{root}{name}")));
        for folder in names.iter().filter(|name| !name.starts_with('.')) {
            let has_init = is_small(&format!("{root}{folder}/__init__.py"));
            if files.len() >= MOST_FILES || !has_init || ASIDE_FOLDERS.contains(&folder.as_str()) {
                continue;
            }
            let names = entries(&format!("{root}{folder}")).into_iter();
            let names = names.filter(|name| is_module(name));
            files.extend(names.map(|name| format!("{root}{folder}/{name}")));
        }
    }
    files.retain(|file| is_small(file));
    files.truncate(MOST_FILES);
    files
}

/// The frameworks that a module imports whenever it is imported itself, each with its line: statements at the
/// beginning of a line stand in no `try`, no condition and no function.
fn of_text(text: &str) -> Vec<(usize, &'static str)> {
    let mut found = Vec::new();
    let mut open: Option<&str> = None;
    for (number, line) in text.lines().enumerate() {
        let mut rest = line;
        let is_code = open.is_none();
        // Texts of several lines may hold examples.
        loop {
            let quote = match open {
                Some(quote) => rest.find(quote).map(|at| (at, quote)),
                None => ["\"\"\"", "'''"]
                    .into_iter()
                    .filter_map(|quote| Some((rest.find(quote)?, quote)))
                    .min(),
            };
            let Some((at, quote)) = quote else { break };
            rest = &rest[at + quote.len()..];
            open = match open {
                Some(_) => None,
                None => Some(quote),
            };
        }
        if is_code {
            found.extend(of_line(line).map(|module| (number + 1, module)));
        }
    }
    found
}

/// The frameworks of `import A, B.c as d` or `from A.b import c`.
fn of_line(line: &str) -> impl Iterator<Item = &'static str> {
    let names = match (line.strip_prefix("import "), line.strip_prefix("from ")) {
        (Some(names), _) => names.split([',', ';', '#']).collect(),
        (None, Some(rest)) if rest.contains(" import ") => vec![rest],
        _ => Vec::new(),
    };
    let names: Vec<String> = names
        .into_iter()
        .filter_map(|name| name.split_whitespace().next())
        .filter_map(|name| Some(name.split('.').next()?.to_owned()))
        .collect();
    MODULES
        .into_iter()
        .filter(move |module| names.iter().any(|name| name == module))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_that_every_run_makes() {
        for (text, modules) in [
            ("import torch\n", vec![(1, "torch")]),
            ("import os\nimport torch.nn as nn\n", vec![(2, "torch")]),
            ("from torch.utils import data\n", vec![(1, "torch")]),
            ("import numpy, tensorflow as tf\n", vec![(1, "tensorflow")]),
            ("import mxnet as mx  # and torch\n", vec![(1, "mxnet")]),
            (
                "try:\n    import torch\nexcept ImportError:\n    torch = None\n",
                vec![],
            ),
            ("def f():\n    import torch\n", vec![]),
            (
                "import torchvision_like\nfrom .torch import x\nfrom mytorch import torch\n",
                vec![],
            ),
            ("# import torch\nimportant = 1\n", vec![]),
            (
                "\"\"\"Use it so:\n\nimport torch\n\"\"\"\nimport jax\n",
                vec![(5, "jax")],
            ),
            ("x = '''a''' + '''\nimport torch\n'''\n", vec![]),
        ] {
            assert_eq!(of_text(text), modules, "{text}");
        }
    }
}
