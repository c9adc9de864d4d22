//! Every environment variable that the sources read stands in `src/env_vars.rs`, once.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use mlbuild::env_vars::ALL;
use regex::Regex;

use crate::support::{read, repository};

/// Words in capitals that stand in sources which read the environment, and are no variables of theirs:
/// what containers and children get, and words of other languages.
const OTHER_WORDS: &[&str] = &[
    "ALL",
    "APPTAINER_",
    "APPTAINER_BIND",
    "APPTAINER_BINDPATH",
    "APPTAINER_MOUNT",
    "CONTAINERS_",
    "CONTEXT",
    "DOCKERFILE",
    "ENROOT_",
    "FAIL",
    "GMT",
    "JOB_COMPLETION_INDEX",
    "LC_",
    "LD_LIBRARY_PATH",
    "LMOD_",
    "LOADEDMODULES",
    "LOGNAME",
    "MODEL_BASE_PATH",
    "MODEL_NAME",
    "MODULEPATH",
    "MODULESHOME",
    "NAME",
    "NVIDIA_DRIVER_CAPABILITIES",
    "NVIDIA_VISIBLE_DEVICES",
    "QT_X11_NO_MITSHM",
    "SBATCH_",
    "SCANCEL_",
    "SINFO_",
    "SINGULARITYENV_",
    "SINGULARITY_BIND",
    "SINGULARITY_BINDPATH",
    "SINGULARITY_MOUNT",
    "SLURM_",
    "SQUEUE_",
    "UTC",
];

#[test]
fn variables_stand_in_alphabetical_order_and_once() {
    let names: Vec<&str> = ALL.iter().map(|variable| variable.name).collect();
    let sorted: Vec<&str> = names
        .iter()
        .copied()
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect();
    assert_eq!(names, sorted);
}

#[test]
fn every_variable_that_is_read_is_declared() {
    let declared: BTreeSet<&str> = ALL.iter().map(|variable| variable.name).collect();
    let mut missing: BTreeMap<String, PathBuf> = BTreeMap::new();
    let mut readers = 0;
    for file in sources() {
        if file.ends_with("src/env_vars.rs") {
            continue;
        }
        let words = read_variables(&read(&file));
        readers += usize::from(!words.is_empty());
        for word in words {
            if !declared.contains(word.as_str()) && !OTHER_WORDS.contains(&word.as_str()) {
                missing.insert(word, file.clone());
            }
        }
    }
    assert!(
        readers > 10,
        "the sources that read variables were not found"
    );
    assert!(
        missing.is_empty(),
        "read, but not in src/env_vars.rs (nor in OTHER_WORDS): {missing:#?}"
    );
}

/// The words in capitals of a source that reads the environment, but for those that flags show as
/// the names of their values.
fn read_variables(source: &str) -> BTreeSet<String> {
    let reads = Regex::new(r"env::vars?(_os)?\b|\.var\(|\benv\s*\.get\(|\benv\s*=\s").unwrap();
    let shown = Regex::new(r#"value_name\s*=\s*"[^"]*"|Flag::\w+\([^)]*\)"#).unwrap();
    let word = Regex::new(r#""([A-Z][A-Z0-9_]{2,})""#).unwrap();
    let code = source.split("#[cfg(test)]").next().unwrap_or_default();
    let code: Vec<&str> = code
        .lines()
        .filter(|line| !line.trim_start().starts_with("//"))
        .collect();
    let code = code.join("\n");
    if !reads.is_match(&code) {
        return BTreeSet::new();
    }
    let code = shown.replace_all(&code, "");
    word.captures_iter(&code)
        .map(|found| found[1].to_owned())
        .collect()
}

/// The sources of every crate of the workspace, without their tests.
fn sources() -> Vec<PathBuf> {
    let root = repository();
    let entries = std::fs::read_dir(&root).unwrap().flatten();
    let crates = entries
        .map(|entry| entry.path())
        .filter(|path| path.join("Cargo.toml").is_file())
        .map(|path| path.join("src"));
    let mut files = Vec::new();
    for folder in crates.chain([root.join("src")]) {
        collect(&folder, &mut files);
    }
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return;
    };
    for path in entries.flatten().map(|entry| entry.path()) {
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|ending| ending == "rs")
            && !path.ends_with("tests.rs")
        {
            files.push(path);
        }
    }
}

#[test]
fn finds_variables_behind_closures_loops_and_flags() {
    let source = r#"
        let set = |name| std::env::var(name).ok();
        for name in ["ONE_VAR", "TWO_VAR"] { set(name); }
        #[arg(value_name = "FILE", env = "THREE_VAR")]
        // "FOUR_VAR" is spoken of.
        #[cfg(test)]
        mod tests { "FIVE_VAR" }
    "#;
    let found: Vec<String> = read_variables(source).into_iter().collect();
    assert_eq!(found, ["ONE_VAR", "THREE_VAR", "TWO_VAR"]);
    assert!(read_variables(r#"let shown = "NAME";"#).is_empty());
}
