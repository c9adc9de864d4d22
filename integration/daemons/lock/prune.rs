//! `mlbuild prune`: what locks need stays, the rest goes, and comes back when it is needed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{builder, project, run, words};
use crate::support::engines::Engines;
use crate::support::mlbuild::Project;

/// Hashes of what a project's lock pins.
fn pinned(project: &Project) -> BTreeSet<String> {
    let lock = project.lock();
    let builds = lock.images().filter_map(|image| image.build.as_ref());
    let pins = builds.flat_map(|build| build.platforms.values());
    let files = pins.flat_map(|pins| pins.files().map(|(sha256, _)| sha256.to_owned()));
    files.collect()
}

fn hashes(list: &Value) -> BTreeSet<String> {
    let list = list.as_array().unwrap().iter();
    list.map(|hash| hash.as_str().unwrap().to_owned()).collect()
}

#[test]
fn what_no_lock_needs_is_removed_and_fetched_again() {
    let engines = Engines::from_env();
    let builder = builder(&engines, "buildkitd");
    let lock = words("lock", &builder, &engines.python_base, &["-t", "prune:1"]);
    let here = project();
    run(&here, &lock).answer();
    // Another project of the same user, which then goes.
    let there = here.path("there");
    here.write("there/requirements.txt", "six==1.16.0\n");
    let there_runs = |words: &[String]| {
        let mut command = here.command(words);
        for name in ["SSL_CERT_FILE", "PIP_INDEX_URL", "PIP_CONFIG_FILE"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
        crate::support::mlbuild::Ran::of(command.current_dir(&there))
    };
    there_runs(&lock).answer();
    let prune = |more: &[&str]| {
        let words = ["prune", "--format", "json"].iter().chain(more);
        here.run(words)
    };
    let needed = pinned(&here);
    let all = prune(&["--keep-size", "0MB", "--dry-run"]).json();
    assert_eq!(hashes(&all["removed"]), BTreeSet::new(), "{all}");
    let all = hashes(&all["kept"]);
    assert!(
        all.len() > needed.len() && all.is_superset(&needed),
        "{all:?}"
    );

    let text = here.read("there/mlbuild.lock");
    std::fs::remove_file(there.join("mlbuild.lock")).unwrap();
    let recent = prune(&["--older-than", "1h"]).json();
    assert_eq!(hashes(&recent["kept"]), all, "{recent}");
    let store = here.outside().join("state/inputs/sha256");
    let stored = || -> BTreeSet<String> {
        let entries = std::fs::read_dir(&store).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
        names.collect()
    };
    let said = prune(&["--keep-size", "0MB"]).json();
    assert_eq!(hashes(&said["kept"]), needed, "{said}");
    assert_eq!(stored(), needed);

    // The lock comes back; its build finds what was removed.
    here.write("there/mlbuild.lock", &text);
    let flags = ["-t", "prune:1", "--locked"];
    let image = words("image", &builder, &engines.python_base, &flags);
    let built = there_runs(&image);
    assert!(
        built.stderr.contains("fetching 1 pinned package"),
        "{}",
        built.stderr
    );
    built.answer();
    assert_eq!(stored(), all);

    // Who can't say what they need lose nothing.
    here.write("mlbuild.lock", "<<<<<<< HEAD\n");
    let said = here.filtered(prune(&["--keep-size", "0MB"]).refusal(2));
    assert!(said.starts_with("error: nothing is removed: "), "{said}");
    assert_eq!(stored(), all);
    prune(&["--all"]).json();
    assert_eq!(stored(), BTreeSet::new());
}
