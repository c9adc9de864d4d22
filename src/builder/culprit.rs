//! The lines of a project that a failed installation is about: read from what pip, uv and apt say.

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use mlbuild_progress::explain::Evidence;
use mlbuild_wheels::normalize;
use regex::Regex;

use crate::plan::{AskedFor, AskedPackage};

/// A line of the project that asks for what can't be had.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Culprit {
    /// `requirements.txt:2`, or the setting that asks for it.
    pub place: String,
    /// What stands there.
    pub text: String,
    /// The package of Python's that it asks for.
    pub package: Option<String>,
}

/// How pip and uv name packages that can't be installed, by kind: the first kind that names one that
/// was asked for counts, with all that it names.
const PYTHON: [&str; 14] = [
    // Conflicts name everybody that takes part.
    r"The user requested (?P<n>@)",
    r"Because (?P<n>@) was not found in the package registry",
    r"[Tt]here (?:is|are) no versions? of (?P<n>@)",
    r"only (?P<n>@)\S* (?:is|are) available",
    r"Hash mismatch for `(?P<n>@)",
    r"DO NOT MATCH THE HASHES.*? (?P<n>@)(?:\[[^\]]*\])?==\S+ from ",
    r"In --require-hashes mode.*? (?P<n>@)==\S+ --hash",
    r"Failed to (?:download and build|build|download|prepare distributions for|fetch) `(?P<n>@)",
    r"Failed (?:building wheel for|to build) '?(?P<n>@)",
    r"Package '?(?P<n>@)'? requires a different Python",
    r"wheels for `(?P<n>@)` \(|(?P<m>@)\S* has no wheels? with a matching",
    r"(?P<n>@)\S* depends on Python",
    r"(?:the requirement|No matching distribution found for) (?P<n>@)",
    r"(?:you require|your project depends on) (?P<n>@)",
];

/// How apt names packages that it hasn't.
const APT: [&str; 2] = [
    r"E: Unable to locate package (?P<n>\S+)",
    r"E: (?:Package '(?P<n>[^']+)' has no installation candidate|Version '[^']+' for '(?P<m>[^']+)')",
];

fn compiled(patterns: &[&str]) -> Vec<Regex> {
    let name = r"[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?";
    let compile = |pattern: &&str| Regex::new(&pattern.replace('@', name));
    let patterns: Result<Vec<_>, _> = patterns.iter().map(compile).collect();
    patterns.expect("every pattern is tested")
}

static PYTHON_RULES: LazyLock<Vec<Regex>> = LazyLock::new(|| compiled(&PYTHON));
static APT_RULES: LazyLock<Vec<Regex>> = LazyLock::new(|| compiled(&APT));

/// Whether something was to be compiled where there is no compiler, or nothing to compile for Python with.
pub(super) fn lacks_compiler(evidence: &Evidence) -> bool {
    static LACKS: LazyLock<Regex> = LazyLock::new(|| {
        let compiler =
            r"(?:\S*/)?(?:[\w.]+-linux-gnu\w*-)?(?:gcc|g\+\+|cc|c\+\+|clang|gfortran)(?:-\d+)?";
        let lacks = format!(
            r"command '{compiler}' failed: No such file|No such file or directory: '{compiler}'|unable to execute '{compiler}': No such file|Unknown compiler\(s\): |no acceptable C compiler found|No CMAKE_CX*_COMPILER could be found|linker `cc` not found|fatal error: Python\.h"
        );
        Regex::new(&lacks).expect("it is tested")
    });
    evidence.log.iter().any(|line| LACKS.is_match(line))
}

/// The lines that a failed step's words are about, in the order in which they are named.
pub(super) fn find(evidence: &Evidence, asked: &AskedFor) -> Vec<Culprit> {
    let found = find_in(&evidence.log, asked);
    if found.is_empty() {
        return find_in(&evidence.whole, asked);
    }
    found
}

fn find_in(log: &[String], asked: &AskedFor) -> Vec<Culprit> {
    // uv wraps its lines.
    let words = log.iter().flat_map(|line| line.split_whitespace());
    let said = words.collect::<Vec<_>>().join(" ");
    let mut python = conflicting(&said, &asked.python);
    if python.is_empty() {
        python = named(&PYTHON_RULES, &said, &asked.python);
    }
    if python.is_empty() {
        let apt = named(&APT_RULES, &said, &asked.apt);
        return culprits(&apt, asked, "apt");
    }
    culprits(&python, asked, "packages")
}

/// Whom pip can't install together: by name, or by the line of a file.
fn conflicting<'a>(said: &str, asked: &'a [AskedPackage]) -> Vec<&'a AskedPackage> {
    static CONFLICT: LazyLock<Regex> = LazyLock::new(|| {
        let conflict = r"Cannot install (?P<all>.+?) because these package versions have";
        Regex::new(conflict).expect("it is tested")
    });
    static PART: LazyLock<Regex> = LazyLock::new(|| {
        let part = r"-r (?P<file>\S+) \(line (?P<line>\d+)\)|(?P<n>[A-Za-z0-9][A-Za-z0-9._-]*)";
        Regex::new(part).expect("it is tested")
    });
    let Some(conflict) = CONFLICT.captures(said) else {
        return Vec::new();
    };
    let mut found: Vec<&AskedPackage> = Vec::new();
    for part in PART.captures_iter(&conflict["all"]) {
        let is_it = |asked: &&AskedPackage| match (part.name("file"), part.name("line")) {
            (Some(file), Some(line)) => {
                let file = file.as_str();
                let file = file.strip_prefix("/opt/mlbuild/").unwrap_or(file);
                asked.origin == format!("{file}:{}", line.as_str())
            }
            _ => part
                .name("n")
                .is_some_and(|name| normalize(name.as_str()) == normalize(&asked.name)),
        };
        found.extend(
            asked
                .iter()
                .find(is_it)
                .filter(|asked| !found.contains(asked)),
        );
    }
    found
}

fn named<'a>(rules: &[Regex], said: &str, asked: &'a [AskedPackage]) -> Vec<&'a AskedPackage> {
    for rule in rules {
        let mut found: Vec<&AskedPackage> = Vec::new();
        for caught in rule.captures_iter(said) {
            let name = caught.name("n").or_else(|| caught.name("m"));
            let Some(name) = name.map(|name| normalize(name.as_str())) else {
                continue;
            };
            let asks = asked.iter().filter(|asked| normalize(&asked.name) == name);
            found.extend(
                asks.filter(|asked| !found.contains(asked))
                    .collect::<Vec<_>>(),
            );
        }
        if !found.is_empty() {
            return found;
        }
    }
    Vec::new()
}

fn culprits(packages: &[&AskedPackage], asked: &AskedFor, setting: &str) -> Vec<Culprit> {
    let mut found: Vec<Culprit> = Vec::new();
    for package in packages {
        let culprit = line_of(package, &asked.project).unwrap_or_else(|| Culprit {
            place: package.origin.clone(),
            text: package.name.clone(),
            package: None,
        });
        // A setting's name is no place: its line in mlbuild.toml is, where it stands there.
        let mut culprit = if culprit.place == setting {
            in_config(package, &asked.project).unwrap_or(culprit)
        } else {
            culprit
        };
        let is_known = |c: &Culprit| (&c.place, &c.text) == (&culprit.place, &culprit.text);
        if !found.iter().any(is_known) {
            culprit.package = (setting == "packages").then(|| package.name.clone());
            found.push(culprit);
        }
    }
    found
}

/// The line that an origin `FILE:LINE` names.
fn line_of(package: &AskedPackage, project: &Path) -> Option<Culprit> {
    let (file, number) = package.origin.rsplit_once(':')?;
    let number: usize = number.parse().ok()?;
    let text = text_of(project, file)?;
    let line = text.lines().nth(number.checked_sub(1)?)?;
    Some(Culprit {
        place: package.origin.clone(),
        text: shown(line),
        package: None,
    })
}

fn in_config(package: &AskedPackage, project: &Path) -> Option<Culprit> {
    let text = text_of(project, "mlbuild.toml")?;
    let holds = |line: &&str| {
        let mut words = line.split(['"', '\'']).skip(1).step_by(2);
        words.any(|word| {
            let end = word.find(|c: char| !c.is_alphanumeric() && !"._-".contains(c));
            normalize(&word[..end.unwrap_or(word.len())]) == normalize(&package.name)
        })
    };
    let at = text.lines().position(|line| holds(&line))?;
    Some(Culprit {
        place: format!("mlbuild.toml:{}", at + 1),
        text: shown(text.lines().nth(at)?),
        package: None,
    })
}

fn text_of(project: &Path, file: &str) -> Option<String> {
    // Only files of the project: the origin is a relative path that a reader of its files made.
    let path = PathBuf::from(file);
    let is_inside = path
        .components()
        .all(|part| matches!(part, std::path::Component::Normal(_)));
    let bytes = is_inside.then(|| mlbuild_files::read(&project.join(path)).ok())??;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// A line without its indentation and comment, and without secrets.
fn shown(line: &str) -> String {
    let line = line.split(" #").next().unwrap_or(line).trim();
    mlbuild_secrets::redact(line).to_string()
}

#[cfg(test)]
mod tests;
