//! Files that by what is written in them say what an environment holds, whatever they are called.

use std::path::Path;

use crate::project::NextStep;
use crate::project::lists::is_compiled;
use crate::project::manifests::is_python_package;
use crate::project::requirements::logical_lines;
use crate::project::requirements::pep508::requirement;

/// Why a file isn't used, and what to do; `None` for one that says nothing of an environment.
pub(in crate::project) fn of_an_environment(
    folder: &Path,
    name: &str,
) -> Option<(&'static str, NextStep)> {
    if is_compiled(folder, name) {
        return None;
    }
    let lower = name.to_lowercase();
    let end = lower.rsplit('.').next().unwrap_or_default();
    let is_definition = end == "def" || lower.starts_with("singularity");
    let is_text = matches!(end, "txt" | "lock" | "in" | "pip" | "conda")
        || lower.starts_with("requirements")
        || lower.starts_with("constraints");
    let is_yaml = matches!(end, "yml" | "yaml");
    if !is_definition && !is_text && !is_yaml {
        return None;
    }
    let text = super::scripts::text_of(&folder.join(name))?;
    if is_definition {
        let is_one = text
            .lines()
            .any(|line| line.trim().to_lowercase().starts_with("bootstrap:"));
        return is_one.then(|| {
            (
                "definitions of Apptainer aren't read",
                super::OWN_DOCKERFILE.into(),
            )
        });
    }
    if is_yaml {
        return of_yaml(name, &text);
    }
    if text.lines().any(|line| line.trim() == "@EXPLICIT") {
        let next = "take them from conda's channels by a conda-lock.yml or an environment.yml, and conda = true under [image]";
        return Some((
            "it is conda's own list of archives, which isn't read",
            next.into(),
        ));
    }
    let mut words = lower.split(|c: char| !c.is_ascii_alphanumeric());
    let is_called_so = CALLED.iter().any(|part| lower.contains(part))
        || words.any(|word| ["req", "dep", "pkg", "pkgs", "libs", "wheels"].contains(&word));
    match packages(&text, is_called_so)? {
        Form::Conda => Some((
            "it is a list that conda writes of what is installed, for one kind of machine alone",
            "write the environment down for any: conda env export --from-history > environment.yml"
                .into(),
        )),
        Form::Pip => Some((
            "it reads as a list of packages, and isn't called as one that is installed",
            NextStep::UseFile(name.to_owned()),
        )),
    }
}

/// What lists of packages are called, so that names alone are one.
const CALLED: [&str; 11] = [
    "requir",
    "depend",
    "deps",
    "packages",
    "pip",
    "install",
    "modules",
    "freeze",
    "constraint",
    "conda",
    "reqs",
];

fn of_yaml(name: &str, text: &str) -> Option<(&'static str, NextStep)> {
    let document: serde_json::Value = serde_saphyr::from_str(text).ok()?;
    let lists = |key: &str| document.get(key).is_some_and(serde_json::Value::is_array);
    if lists("dependencies") && (lists("channels") || document.get("name").is_some()) {
        let why = "it is an environment of conda, and isn't called as one";
        return Some((why, NextStep::UseFile(name.to_owned())));
    }
    // Truss, and others of its kind.
    if lists("requirements") && document.get("python_version").is_some() {
        let why = "its packages are read by another tool";
        let next = "list them in a requirements file, and its system packages under apt of [image]";
        return Some((why, next.into()));
    }
    None
}

/// How packages are written down.
enum Form {
    /// `numpy==1.26.4`.
    Pip,
    /// `numpy=1.26.4=py311h64a7726_0`.
    Conda,
}

/// The form of a list of packages. What holds words alone is one by its name, or where each is a package that is
/// known: lists of words are data, too.
fn packages(text: &str, is_called_so: bool) -> Option<Form> {
    let (mut pinned, mut named, mut of_conda) = (0, 0, 0);
    let mut are_known = true;
    for line in logical_lines(text) {
        let line = line.text.as_str();
        if line.starts_with('-') {
            continue; // an option, or an editable project
        }
        if line.matches('=').count() == 2 && !line.contains("==") && !line.contains(' ') {
            of_conda += 1;
            continue;
        }
        let read = requirement(line.split(" --hash").next().unwrap_or(line)).ok()?;
        named += 1;
        are_known &= is_python_package(read.name.as_ref());
        pinned += usize::from(read.version_or_url.is_some());
    }
    match (named, of_conda) {
        (0, 0) => None,
        (0, _) => Some(Form::Conda),
        _ => (pinned * 2 > named || is_called_so || are_known).then_some(Form::Pip),
    }
}
