//! Verbs that need no daemon, killed at random moments: nothing is lost, half-written or left behind.
//! `MLBUILD_TEST_KILLS` makes it longer, and `MLBUILD_TEST_SEED` repeats it.

use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mlbuild::image::layer::{Packing, write_tar};
use serde_json::json;

use super::verbs::{ALONE, ELSEWHERE, WITH_DAEMONS};
use crate::diff::file;
use crate::left::left_in;
use crate::records::{finished, published};
use crate::support::layouts::{self, Made};
use crate::support::mlbuild::Project;
use crate::support::random::Random;

/// Kills in all, of a run that nobody asked to be longer.
const KILLS: u64 = 208;
/// So many at once, each in a project of its own.
const WORKERS: u64 = 2;

/// A sweep of this many runs.
const SWEEP: &str =
    "program: train.py\nmethod: grid\nparameters:\n  lr: {values: [0.1, 0.01, 0.001]}\n";
const RUNS: u64 = 3;

/// The jobs that a command launches.
fn launches(args: &[String]) -> u64 {
    match args {
        [verb, ..] if verb != "launch" => 0,
        args if args.iter().any(|word| word == "--sweep") => RUNS,
        _ => 1,
    }
}

/// A project with something of all that these verbs read.
fn project(images: &[Made; 2]) -> (Project, Vec<Vec<String>>) {
    let project = Project::new(&[
        ("Dockerfile", "FROM scratch\nCOPY train.py /\n"),
        ("train.py", "print('trained')\n"),
        ("q.yaml", "rm: true\nenv: [A=b]\n"),
        ("sweep.yaml", SWEEP),
        (
            "mlbuild.toml",
            "[image]\nbase = \"registry.example/base:1\"\n",
        ),
    ]);
    for id in ["run-1", "run-2"] {
        let command = ["python", "train.py"];
        finished(&project.path(""), id, published(1), &command, 0);
    }
    project
        .run(["queue", "create", "kept", "-c", "q.yaml"])
        .answer();
    let launch = ["launch", "-q", "kept", "--image", "a:1", "--", "true"];
    let job = project.run(launch).answer().to_owned();
    let place = |word: &&str| match *word {
        "FIRST" => images[0].folder.path().display().to_string(),
        "SECOND" => images[1].folder.path().display().to_string(),
        "JOB" => job.clone(),
        word => word.to_owned(),
    };
    let verbs = ALONE.map(|words| words.iter().map(place).collect());
    (project, verbs.to_vec())
}

/// What must be whole after any kill.
fn check(project: &Project, launched: u64, what: &str) {
    let list = project.run(["runs", "list", "--format", "json"]);
    let records = list.json();
    assert_eq!(records["runs"].as_array().unwrap().len(), 2, "{what}");
    assert_eq!(records["unreadable"], json!([]), "{what}");
    // A program that a killed command had started, git, may live a moment longer and hold what is left.
    let began = Instant::now();
    loop {
        let left = left_in(project);
        if left.is_empty() {
            break;
        }
        assert!(began.elapsed() < Duration::from_secs(5), "{what}: {left:?}");
        thread::sleep(Duration::from_millis(50));
        project.run(["runs", "list"]).answer();
    }
    if project.path("mlbuild.lock").exists() {
        project.lock();
    }
    for name in ["mlbuild.toml", ".devcontainer/devcontainer.json"] {
        if project.path(name).exists() {
            assert!(!project.read(name).is_empty(), "{what}: {name} is empty");
        }
    }
    if !what.contains("launch") {
        return;
    }
    let jobs = project.run(["jobs", "list", "--format", "json"]).json();
    let jobs = jobs["jobs"].as_array().unwrap();
    // One that was killed may have come as far as that.
    let count = jobs.len() as u64;
    assert!(
        count >= launched,
        "{what}: {count} jobs, {launched} of them said so"
    );
    let is_of_sweep = |job: &&serde_json::Value| job["command"].to_string().contains("--lr=");
    let of_sweeps = jobs.iter().filter(is_of_sweep).count() as u64;
    assert!(count > launched || of_sweeps > 0, "{what}");
    assert_eq!(of_sweeps % RUNS, 0, "{what}: {of_sweeps} jobs of sweeps");
}

/// Kills until so many were killed; gives how many were, and of how many something lay about.
fn kill(images: &[Made; 2], mut random: Random, wanted: u64, all: &AtomicU64, met: &AtomicU64) {
    let (project, verbs) = project(images);
    // The one that is there from the start.
    let mut launched = 1;
    // How long each takes when nobody disturbs it.
    let usual: Vec<Duration> = verbs
        .iter()
        .map(|args| {
            let began = Instant::now();
            let ran = project.run(args);
            assert!(matches!(ran.code, Some(0..=4)), "{args:?}: {}", ran.stderr);
            if args[0] == "launch" {
                ran.answer();
            }
            launched += launches(args);
            began.elapsed()
        })
        .collect();
    check(&project, launched, "before");
    let mut kills = 0;
    while kills < wanted {
        for (args, usual) in verbs.iter().zip(&usual) {
            let mut command = project.command(args);
            let mut child = command
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap();
            let moment = random.below(usual.as_micros() as u64 + 1);
            thread::sleep(Duration::from_micros(moment));
            let _ = child.kill();
            let status = child.wait().unwrap();
            let is_killed = status.code().is_none();
            kills += u64::from(is_killed);
            launched += if status.success() { launches(args) } else { 0 };
            met.fetch_add(u64::from(!left_in(&project).is_empty()), Ordering::Relaxed);
            check(&project, launched, &format!("{args:?} after {moment} us"));
        }
    }
    all.fetch_add(kills, Ordering::Relaxed);
}

/// What a command is called by: its verb, and a verb's verb.
fn leaves(command: &clap::Command, above: &str, found: &mut Vec<String>) {
    for verb in command.get_subcommands() {
        let name = format!("{above} {}", verb.get_name()).trim().to_owned();
        if verb.get_name() == "help" {
        } else if verb.has_subcommands() {
            leaves(verb, &name, found);
        } else {
            found.push(name);
        }
    }
}

#[test]
fn every_verb_is_killed_somewhere() {
    let mut lines: Vec<String> = ALONE.iter().map(|words| words.join(" ")).collect();
    lines.extend(WITH_DAEMONS.map(str::to_owned));
    lines.extend(ELSEWHERE.map(|(verb, _)| verb.to_owned()));
    let mut verbs = Vec::new();
    leaves(&mlbuild_cli::definition(), "", &mut verbs);
    assert!(verbs.len() > 40, "{verbs:?}");
    let is_there = |verb: &&String| {
        let words: Vec<&str> = verb.split(' ').collect();
        let begins = |line: &String| line.split(' ').take(words.len()).eq(words.iter().copied());
        !lines.iter().any(begins)
    };
    let missing: Vec<_> = verbs.iter().filter(is_there).collect();
    assert!(missing.is_empty(), "nobody kills {missing:?}");
}

#[test]
fn nothing_is_lost_or_left_of_verbs_that_are_killed_at_any_moment() {
    let image = |word: &str| {
        let tar = write_tar(&[file("a.txt", word)]);
        layouts::built(&[("RUN make", tar)], Packing::Gzip, json!({}))
    };
    let images = [image("a"), image("b")];
    let wanted = std::env::var("MLBUILD_TEST_KILLS").map_or(KILLS, |text| text.parse().unwrap());
    let mut random = Random::from_env();
    let (all, met) = (AtomicU64::new(0), AtomicU64::new(0));
    thread::scope(|scope| {
        for _ in 0..WORKERS {
            let random = Random::of(random.below(1 << 31));
            scope.spawn(|| kill(&images, random, wanted.div_ceil(WORKERS), &all, &met));
        }
    });
    println!("{all:?} kills, {met:?} of which left something until the next command");
}
