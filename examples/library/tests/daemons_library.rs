//! The service makes an image on a real builder, and the registry has it.

use std::path::Path;
use std::process::{Command, Output};

/// An endpoint of `integration/engines/env`.
fn endpoint(name: &str) -> String {
    std::env::var(name)
        .unwrap_or_else(|_| panic!("{name} isn't set: eval \"$(integration/engines/env)\""))
}

/// Runs the service; what mlbuild keeps for itself goes to `state`.
fn service(state: &Path, arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_mlbuild-example-library"))
        .args(arguments)
        .env("MLBUILD_STATE_DIR", state)
        .env_remove("WANDB_RUN_ID")
        .output()
        .expect("the service starts")
}

#[test]
fn an_image_is_pinned_built_and_proved() {
    let (project, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let write = |name: &str, text: &str| std::fs::write(project.path().join(name), text).unwrap();
    let base = endpoint("MLBUILD_TEST_PYTHON_BASE");
    write("mlbuild.toml", &format!("[image]\nbase = {base:?}\n"));
    write("requirements.txt", "six==1.17.0\n");
    write("main.py", "import six\nprint(six.__version__)\n");
    let image = format!("{}/example/library:1", endpoint("MLBUILD_TEST_REGISTRY"));
    let folder = project.path().to_str().unwrap();
    let builder = endpoint("MLBUILD_TEST_BUILDKITD");

    let made = service(state.path(), &[folder, &image, &builder]);
    let story = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "{story}");
    let name = String::from_utf8(made.stdout).unwrap();
    assert!(name.starts_with(&format!("{image}@sha256:")), "{name}");
    for told in [
        "found: requirements.txt: used",
        "1 Python packages pinned",
        "rebuilt to the same digest by ",
    ] {
        assert!(story.contains(told), "{told}:\n{story}");
    }

    // The same once more: nothing is built, and the name is the same.
    let again = service(state.path(), &[folder, &image, &builder]);
    assert!(again.status.success());
    assert_eq!(String::from_utf8(again.stdout).unwrap(), name);
}

#[test]
fn an_error_has_its_exit_code() {
    let (project, state) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    std::fs::write(project.path().join("mlbuild.toml"), "[image]\nbsae = 'x'\n").unwrap();
    let folder = project.path().to_str().unwrap();
    let refused = service(state.path(), &[folder, "example/x:1"]);
    let story = String::from_utf8_lossy(&refused.stderr);
    assert_eq!(refused.status.code(), Some(2), "{story}");
    assert!(story.contains("mlbuild.toml:2"), "{story}");
    assert!(refused.stdout.is_empty());
}
