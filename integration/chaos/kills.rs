//! Verbs that need no daemon, killed at random moments: nothing is lost, half-written or left behind.
//! `MLBUILD_TEST_KILLS` makes it longer, and `MLBUILD_TEST_SEED` repeats it.

use std::process::Stdio;
use std::sync::atomic::{AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mlbuild::image::layer::{Packing, write_tar};
use serde_json::json;

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

/// Verbs in an order in which each finds what it reads.
const VERBS: [&[&str]; 22] = [
    &["init", "--force"],
    &["devcontainer", "--force", "registry.example/base:1"],
    &[
        "ci",
        "github",
        "--force",
        "--",
        "-t",
        "registry.example/a:1",
    ],
    &["image", "--print", "plan", "-f", "Dockerfile", "-t", "a:1"],
    &["lock", "-f", "Dockerfile", "-t", "a:1"],
    &["diff", "FIRST", "SECOND"],
    &["inspect", "FIRST"],
    &["runs", "list", "--format", "json"],
    &["runs", "show", "run-1"],
    &["runs", "diff", "run-1", "run-2"],
    &["runs", "prune", "--older-than", "30d"],
    &["queue", "create", "q", "-c", "q.yaml", "--replace"],
    &["queue", "list"],
    &["queue", "render", "q.yaml", "--image", "a:1"],
    &["launch", "-q", "kept", "--image", "a:1", "--", "true"],
    &[
        "launch", "-q", "kept", "--job", ".", "--", "python", "train.py",
    ],
    &["jobs", "list"],
    &["prune", "--older-than", "30d"],
    &["templates", "export", "python", "own.Dockerfile", "--force"],
    &["templates", "lint", "own.Dockerfile"],
    &["schema"],
    &["completions", "bash"],
];

/// A project with something of all that these verbs read.
fn project(images: &[Made; 2]) -> (Project, Vec<Vec<String>>) {
    let project = Project::new(&[
        ("Dockerfile", "FROM scratch\nCOPY train.py /\n"),
        ("train.py", "print('trained')\n"),
        ("q.yaml", "rm: true\nenv: [A=b]\n"),
    ]);
    for id in ["run-1", "run-2"] {
        let command = ["python", "train.py"];
        finished(&project.path(""), id, published(1), &command, 0);
    }
    project
        .run(["queue", "create", "kept", "-c", "q.yaml"])
        .answer();
    let place = |word: &&str| match *word {
        "FIRST" => images[0].folder.path().display().to_string(),
        "SECOND" => images[1].folder.path().display().to_string(),
        word => word.to_owned(),
    };
    let verbs = VERBS.map(|words| words.iter().map(place).collect());
    (project, verbs.to_vec())
}

/// What must be whole after any kill.
fn check(project: &Project, launched: u64, what: &str) {
    let list = project.run(["runs", "list", "--format", "json"]);
    let records = list.json();
    assert_eq!(records["runs"].as_array().unwrap().len(), 2, "{what}");
    assert_eq!(records["unreadable"], json!([]), "{what}");
    let left = left_in(project);
    assert!(left.is_empty(), "{what}: {left:?}");
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
    let jobs = jobs["jobs"].as_array().unwrap().len() as u64;
    // One that was killed may have come as far as that.
    assert!(
        jobs >= launched,
        "{what}: {jobs} jobs, {launched} of them said so"
    );
}

/// Kills until so many were killed; gives how many were, and of how many something lay about.
fn kill(images: &[Made; 2], mut random: Random, wanted: u64, all: &AtomicU64, met: &AtomicU64) {
    let (project, verbs) = project(images);
    let mut launched = 0;
    // How long each takes when nobody disturbs it.
    let usual: Vec<Duration> = verbs
        .iter()
        .map(|args| {
            let began = Instant::now();
            let ran = project.run(args);
            assert!(
                matches!(ran.code, Some(0 | 3 | 4)),
                "{args:?}: {}",
                ran.stderr
            );
            launched += u64::from(args[0] == "launch" && ran.code == Some(0));
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
            launched += u64::from(args[0] == "launch" && status.success());
            met.fetch_add(u64::from(!left_in(&project).is_empty()), Ordering::Relaxed);
            check(&project, launched, &format!("{args:?} after {moment} us"));
        }
    }
    all.fetch_add(kills, Ordering::Relaxed);
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
