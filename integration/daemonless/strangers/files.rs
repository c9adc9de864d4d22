//! A clone or an unpacked archive whose files never end (a link to `/dev/zero`, a terabyte that takes no
//! room) or never begin (a pipe, to which nobody writes): each reader refuses them, or does without.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::support::mlbuild::{Project, Ran};

/// Address space that each call has, in KiB: what one needs, and none of what never ends.
const ROOM: &str = "3000000";
/// Seconds that each call has.
const PATIENCE: &str = "30";

fn make(kind: &str, place: &Path) {
    std::fs::create_dir_all(place.parent().unwrap()).unwrap();
    match kind {
        "endless" => symlink("/dev/zero", place).unwrap(),
        "sparse" => {
            let file = std::fs::File::create(place).unwrap();
            file.set_len(1 << 40).unwrap();
        }
        _ => {
            let made = Command::new("mkfifo").arg(place).status();
            assert!(made.unwrap().success());
        }
    }
}

/// Runs `mlbuild` in bounds of memory and time.
fn bounded(project: &Project, words: &[&str]) -> Ran {
    let whole = project.command(words);
    let mut command = Command::new("sh");
    command
        .args([
            "-c",
            "ulimit -v \"$1\"; shift; exec timeout -k 1 \"$@\"",
            "sh",
            ROOM,
            PATIENCE,
        ])
        .arg(whole.get_program())
        .args(whole.get_args())
        .current_dir(whole.get_current_dir().unwrap())
        .env_clear()
        .envs(
            whole
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .stdin(Stdio::null());
    Ran::of(&mut command)
}

/// What is read of a project's folder by each verb that looks at one without a builder.
const PLAN: &[&str] = &[
    "image",
    "--print",
    "plan",
    "--base",
    "debian:12",
    "-t",
    "r.example/a:1",
];
const SHOW: &[&str] = &["runs", "show", "job-1"];
const LIST: &[&str] = &["runs", "list"];
const CI: &[&str] = &["ci", "gitlab", "--", "-t", "r.example/a:1"];
const DEVCONTAINER: &[&str] = &["devcontainer", "img"];
const RESTORE: &[&str] = &["restore", "job-1"];
const INSPECT: &[&str] = &["inspect", "layout"];

const READ: &[(&str, &[&str])] = &[
    ("mlbuild.toml", PLAN),
    ("mlbuild.lock", PLAN),
    ("Dockerfile", PLAN),
    (".dockerignore", PLAN),
    ("requirements.txt", PLAN),
    ("requirements.in", PLAN),
    ("pyproject.toml", PLAN),
    ("uv.lock", PLAN),
    ("poetry.lock", PLAN),
    ("pdm.lock", PLAN),
    ("pylock.toml", PLAN),
    ("Pipfile", PLAN),
    ("Pipfile.lock", PLAN),
    ("setup.py", PLAN),
    ("setup.cfg", PLAN),
    ("environment.yml", PLAN),
    ("environment.yaml", PLAN),
    ("conda-lock.yml", PLAN),
    ("Containerfile", PLAN),
    ("bentofile.yaml", PLAN),
    ("package.json", PLAN),
    ("flake.nix", PLAN),
    ("docker-compose.yml", PLAN),
    ("train/requirements.txt", PLAN),
    ("train/pyproject.toml", PLAN),
    ("pixi.toml", PLAN),
    ("pixi.lock", PLAN),
    (".python-version", PLAN),
    ("runtime.txt", PLAN),
    (".tool-versions", PLAN),
    ("mise.toml", PLAN),
    ("cog.yaml", PLAN),
    ("apt.txt", PLAN),
    ("packages.txt", PLAN),
    ("Aptfile", PLAN),
    ("postBuild", PLAN),
    ("binder/requirements.txt", PLAN),
    ("install.sh", PLAN),
    ("main.py", PLAN),
    ("a.ipynb", PLAN),
    ("launch-config.yaml", PLAN),
    (".git", PLAN),
    ("mlbuild.runs/job-1.toml", SHOW),
    ("mlbuild.runs/job-1.toml", LIST),
    ("mlbuild.runs/job-1.toml", RESTORE),
    (".gitlab-ci.yml", CI),
    (".devcontainer/devcontainer.json", DEVCONTAINER),
    ("layout/index.json", INSPECT),
    ("layout/oci-layout", INSPECT),
];

/// Those of which a terabyte is tried too: one of each reader.
const LARGE: [&str; 5] = [
    "mlbuild.lock",
    ".dockerignore",
    "requirements.txt",
    "mlbuild.runs/job-1.toml",
    "layout/index.json",
];

#[test]
fn files_that_never_end_or_never_begin_take_neither_memory_nor_time() {
    let mut failed = Vec::new();
    std::thread::scope(|scope| {
        let checks = ["endless", "sparse", "pipe"].map(|kind| {
            scope.spawn(move || {
                let mut failed = Vec::new();
                let is_tried = |file: &str| kind != "sparse" || LARGE.contains(&file);
                for (file, words) in READ.iter().filter(|(file, _)| is_tried(file)) {
                    let project = Project::new(&[]);
                    make(kind, &project.path(file));
                    let ran = bounded(&project, words);
                    let first = ran.stderr.lines().next().unwrap_or_default();
                    println!("{kind} {file}, {}: {:?} {first}", words[0], ran.code);
                    let is_fine = ran.code.is_some_and(|code| code < 124)
                        && !ran.stderr.contains("memory")
                        && !ran.stderr.contains("panicked");
                    if !is_fine {
                        failed.push(format!("{kind} {file} {words:?}: {:?} {first}", ran.code));
                    }
                }
                failed
            })
        });
        for check in checks {
            failed.extend(check.join().unwrap());
        }
    });
    assert!(failed.is_empty(), "{failed:#?}");
}
