//! The projects under `examples/` build, push and run, as their READMEs say.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use crate::support::engines::Engines;
use crate::support::repository;

/// A copy of an example, so that locks and run records don't land in the repository.
fn example(name: &str) -> tempfile::TempDir {
    let copy = tempfile::tempdir().expect("a folder");
    copy_files(&repository().join("examples").join(name), copy.path());
    copy
}

/// Copies a folder's files, but for what `./quickstart` leaves there while it runs.
pub fn copy_files(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("the example") {
        let entry = entry.expect("an entry");
        if ["mlbuild.lock", "mlbuild.runs"].contains(&entry.file_name().to_str().expect("UTF-8")) {
            continue;
        }
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy_files(&entry.path(), &target)
        } else {
            _ = std::fs::copy(entry.path(), target).expect("a copy")
        }
    }
}

/// Runs `mlbuild image` in a folder, on the current Docker; returns its stdout.
fn image(engines: &Engines, folder: &Path, arguments: &[&str]) -> String {
    // Not in the folder: what mlbuild remembers is no part of the project.
    let state = tempfile::tempdir().expect("a folder");
    let output = Command::new(env!("CARGO_BIN_EXE_mlbuild"))
        .arg("image")
        .args(arguments)
        .current_dir(folder)
        .env("DOCKER_HOST", &engines.docker_containerd)
        .env("MLBUILD_STATE_DIR", state.path())
        .env_remove("BUILDKIT_HOST")
        .env_remove("WANDB_RUN_ID")
        .output()
        .expect("mlbuild starts");
    let story = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "mlbuild image {arguments:?}: {story}"
    );
    String::from_utf8(output.stdout)
        .expect("UTF-8")
        .trim()
        .to_owned()
}

/// Runs a container of an image that was pushed; returns its stdout.
fn run(engines: &Engines, image: &str, command: &[&str]) -> String {
    let output = Command::new(engines.bin.join("docker"))
        .args(["--host", &engines.docker_containerd, "run", "--rm", image])
        .args(command)
        .output()
        .expect("docker starts");
    let story = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "docker run {image}: {story}");
    String::from_utf8(output.stdout)
        .expect("UTF-8")
        .trim()
        .to_owned()
}

#[test]
fn a_dockerfile_of_ones_own_goes_through_the_same_lock() {
    let engines = Engines::from_env();
    let project = example("dockerfile");
    let base = format!("BASE_IMAGE={}", engines.python_base);
    let tag = format!("{}/examples/score:1", engines.registry);
    let flags = [
        "-t",
        &tag,
        "--push",
        "--build-arg",
        &base,
        "--build-arg",
        "USER_UID=1234",
    ];
    let pinned = image(&engines, project.path(), &flags);
    assert!(pinned.starts_with(&format!("{tag}@sha256:")), "{pinned}");
    assert_eq!(
        run(&engines, &pinned, &["python3", "score.py", "1", "2"]),
        "mean 1.500 for researcher (1234:1000)"
    );
    // The lock is enough to ask for the same again.
    let locked = [&flags[..], &["--locked"]].concat();
    assert_eq!(image(&engines, project.path(), &locked), pinned);
}

/// Runs uv, which comes from the machine's own package index, in a project.
pub fn uv(project: &Path, words: &[&str]) {
    let run = |command: &mut Command| {
        let output = command.output().expect("the program starts");
        let story = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{command:?}: {story}");
    };
    // Fetched once for all tests.
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    let program = PROGRAM.get_or_init(|| {
        let tools = Path::new(env!("CARGO_TARGET_TMPDIR")).join("uv");
        run(Command::new("python3")
            .args(["-m", "pip", "install", "-q", "--upgrade", "--target"])
            .arg(&tools)
            .arg("uv"));
        tools.join("bin/uv")
    });
    run(Command::new(program)
        .args(words)
        .env("UV_PYTHON_DOWNLOADS", "never")
        .current_dir(project));
}

/// The group with torch is gigabytes; what predicts needs NumPy alone.
pub fn without_torch(project: &Path) {
    let file = project.join("mlbuild.toml");
    let text = std::fs::read_to_string(&file).expect("mlbuild.toml");
    let small = text
        .replace("groups = [\"train\"]", "")
        .replace("\"pytorch\"", "\"python\"");
    assert_ne!(text, small);
    std::fs::write(&file, small).expect("mlbuild.toml");
}

#[test]
fn a_project_with_a_uv_lock_gets_the_locked_packages() {
    let engines = Engines::from_env();
    let project = example("pytorch-uv");
    uv(project.path(), &["lock", "-q"]);
    without_torch(project.path());
    let tag = format!("{}/examples/line:1", engines.registry);
    let pinned = image(
        &engines,
        project.path(),
        &[
            "-t",
            &tag,
            "--push",
            "--uid",
            "1234",
            "--base",
            &engines.python_base,
        ],
    );
    assert_eq!(
        run(&engines, &pinned, &["python", "predict.py", "3"]),
        "f(3) = 7.00"
    );
    let lock = std::fs::read_to_string(project.path().join("uv.lock")).expect("uv.lock");
    let locked = lock
        .split("[[package]]\n")
        .find_map(|package| package.strip_prefix("name = \"numpy\"\nversion = \""))
        .and_then(|rest| rest.split('"').next())
        .expect("numpy is locked");
    let print = "import numpy; print(numpy.__version__)";
    assert_eq!(run(&engines, &pinned, &["python", "-c", print]), locked);
}

#[test]
fn a_saved_model_gets_the_layout_of_the_model_server() {
    let engines = Engines::from_env();
    let project = example("serving");
    let tag = format!("{}/examples/line-serving:1", engines.registry);
    let pinned = image(
        &engines,
        project.path(),
        &["-t", &tag, "--push", "--base", &engines.base],
    );
    let list = "ls /models/line/1; echo $MODEL_NAME $MODEL_BASE_PATH";
    let found = run(&engines, &pinned, &["sh", "-c", list]);
    for word in ["saved_model.pb", "variables", "line /models"] {
        assert!(found.contains(word), "{word} is missing in {found}");
    }
}
