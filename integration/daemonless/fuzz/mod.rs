//! Readers of bytes that others made, each for some seconds on damaged and random input.
//!
//! `fuzz/run` runs them under libFuzzer, which sees the branches that are taken, and what it found is
//! in `fuzz/corpus`. This engine needs no other build of the program: it begins with that, and keeps
//! inputs of which the reader says something new. How many executions and sayings there were is printed
//! (`--nocapture`); `MLBUILD_FUZZ_SECONDS` makes it longer.

pub mod mutate;
mod targets;

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::time::{Duration, Instant};

use mutate::Mutator;
use targets::{TARGETS, Target};

use crate::support::repository;

/// Inputs are no longer than this.
const LONGEST: usize = 16 << 10;
/// Inputs that are kept at most.
const KEPT: usize = 4096;

/// A tar with a file, a folder and a link, as layers have them.
fn small_layer() -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, kind) in [
        ("d/", tar::EntryType::Directory),
        ("d/file", tar::EntryType::Regular),
        ("d/link", tar::EntryType::Symlink),
        ("d/.wh.gone", tar::EntryType::Regular),
    ] {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(kind);
        header.set_size(0);
        header.set_mode(0o644);
        if kind == tar::EntryType::Symlink {
            header.set_link_name("file").unwrap();
        }
        header.set_path(name).unwrap();
        header.set_cksum();
        tar.append(&header, &[][..]).unwrap();
    }
    tar.into_inner().unwrap()
}

/// What is kept in the repository for a target.
fn corpus(name: &str) -> Vec<Vec<u8>> {
    let folder = repository().join("fuzz/corpus").join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("{}: {error}", folder.display()))
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    let read = |file| std::fs::read(file).unwrap();
    files.into_iter().map(read).collect()
}

/// Runs one target; panics with the input that it doesn't survive.
fn fuzz(name: &str) {
    let target: &Target = TARGETS.iter().find(|target| target.name == name).unwrap();
    let seconds = std::env::var("MLBUILD_FUZZ_SECONDS").ok();
    let seconds = seconds.and_then(|text| text.parse().ok()).unwrap_or(2.0);
    let mut kept: Vec<Vec<u8>> = target.seeds.iter().map(|seed| seed.to_vec()).collect();
    if name == "layer" {
        kept.push(small_layer());
    }
    if name == "registry-json" {
        kept.push([target.seeds[0], target.seeds[1]].join(&0));
    }
    kept.push(Vec::new());
    kept.extend(corpus(name));
    let mut sayings = BTreeSet::new();
    let mut executions = 0_u64;
    let mut run = |input: &[u8]| match catch_unwind(AssertUnwindSafe(|| (target.run)(input))) {
        Ok(said) => sayings.insert(said),
        Err(_) => panic!("{name} doesn't survive: \"{}\"", input.escape_ascii()),
    };
    for seed in &kept {
        run(seed);
    }
    let mut mutator = Mutator::new(name);
    println!("{name}: repeat with MLBUILD_TEST_SEED={}", mutator.seed);
    let begun = Instant::now();
    while begun.elapsed() < Duration::from_secs_f64(seconds) {
        for _ in 0..16 {
            let mut input = mutator.changed(&kept);
            input.truncate(LONGEST);
            executions += 1;
            if run(&input) && kept.len() < KEPT {
                kept.push(input);
            }
        }
    }
    let each_second = executions as f64 / begun.elapsed().as_secs_f64();
    println!(
        "{name}: {executions} executions, {each_second:.0} a second, {} sayings",
        sayings.len()
    );
    assert!(executions > 100 && sayings.len() > 1, "{name} does nothing");
}

macro_rules! targets {
    ($($function:ident $name:literal)*) => {$(
        #[test]
        fn $function() {
            fuzz($name);
        }
    )*
        #[test]
        fn every_target_is_a_test() {
            let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
            assert_eq!(names, [$($name),*]);
            let folders = std::fs::read_dir(repository().join("fuzz/corpus")).unwrap();
            let folders: BTreeSet<_> =
                folders.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            assert_eq!(folders, names.into_iter().map(str::to_owned).collect());
        }
    };
}

targets! {
    layers "layer"
    locks "lock"
    run_records "run-record"
    ignore_files "ignore-file"
    xauthority_files "xauthority"
    answers_of_the_resolver "resolver-answer"
    launch_configs "launch-config"
    requirements_files "requirements"
    dockerfiles "dockerfile"
    json_of_registries "registry-json"
}
