//! `mlbuild engine`: a private builder from each source builds, stops by
//! itself and leaves nothing behind.

use std::path::Path;
use std::process::{Command, Output};

use sha2::{Digest, Sha256};

use crate::support::engines::Engines;
use crate::support::wait;

/// `mlbuild` with a state folder of its own.
struct Private {
    state: tempfile::TempDir,
}

impl Private {
    fn new() -> Self {
        Self {
            state: tempfile::tempdir().expect("a folder"),
        }
    }

    fn mlbuild(&self, arguments: &[&str]) -> Output {
        Command::new(env!("CARGO_BIN_EXE_mlbuild"))
            .args(arguments)
            .env("MLBUILD_STATE_DIR", self.state.path())
            // No other Docker, whatever this machine has.
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
            .current_dir(self.state.path())
            .output()
            .expect("mlbuild runs")
    }

    /// Starts a container in whatever Docker there is.
    fn run(&self, arguments: &[&str]) -> Output {
        self.mlbuild(
            &[
                &["run", "--runtime-cli=docker", "--rm", "--no-record"],
                arguments,
            ]
            .concat(),
        )
    }

    /// stdout of a command that has to succeed.
    fn answer(&self, arguments: &[&str]) -> String {
        let output = self.mlbuild(arguments);
        let story = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "mlbuild {}: {story}",
            arguments.join(" ")
        );
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    }

    fn status(&self) -> serde_json::Value {
        let text = self.answer(&["engine", "status", "--format", "json"]);
        serde_json::from_str(&text).expect("JSON")
    }

    /// Builds on the private builder a step that needs the network.
    fn builds(&self, endpoint: &str, engines: &Engines, name: &str) {
        let context = tempfile::tempdir().expect("a folder");
        let dockerfile = format!(
            "FROM {}\nRUN test \"$(id -u)\" = 0 && test -s /etc/resolv.conf\n",
            engines.base
        );
        std::fs::write(context.path().join("Dockerfile"), dockerfile).expect("written");
        let folder = context.path().to_str().expect("UTF-8");
        let file = format!("{folder}/Dockerfile");
        let tag = format!("{}/private-engine:{name}", engines.registry);
        let pushed = self.answer(&[
            "image",
            "-f",
            &file,
            "--builder",
            endpoint,
            "--network",
            "host",
            "-t",
            &tag,
            "--push",
            "--no-lock",
            folder,
        ]);
        assert!(pushed.starts_with(&format!("{tag}@sha256:")), "{pushed}");
    }

    /// Runs a program there, which finds this machine's network without being told.
    fn starts_containers(&self, engines: &Engines) {
        let image = engines.base.as_str();
        let devices = self.run(&[image, "cat", "/proc/net/dev"]);
        let story = String::from_utf8_lossy(&devices.stderr).into_owned();
        assert!(devices.status.success(), "{story}");
        let names = |text: &str| -> Vec<String> {
            let lines = text.lines().filter_map(|line| line.split_once(':'));
            lines.map(|(name, _)| name.trim().to_owned()).collect()
        };
        let inside = names(&String::from_utf8_lossy(&devices.stdout));
        assert!(
            inside.len() > 1 && inside.contains(&"lo".to_owned()),
            "{inside:?}"
        );

        let none = self.run(&["--network=none", image, "cat", "/proc/net/dev"]);
        assert_eq!(names(&String::from_utf8_lossy(&none.stdout)), ["lo"]);
        // The same port it is, without being published; another it can't be.
        assert!(
            self.run(&["-p", "48123:48123", image, "true"])
                .status
                .success()
        );
        for elsewhere in ["48123:80", "127.0.0.1:48123:48123", "48123"] {
            let refused = self.run(&["-p", elsewhere, image, "true"]);
            let said = String::from_utf8_lossy(&refused.stderr).into_owned();
            assert_eq!(refused.status.code(), Some(2), "{said}");
            assert!(said.contains("share this machine's network"), "{said}");
        }
        let found = self.answer(&["inspect", image, "--format", "json"]);
        assert!(found.contains("\"runtime\": \"docker "), "{found}");
    }

    fn is_gone(&self) {
        let left = Command::new("grep")
            .arg("-lsa")
            .arg(self.state.path())
            .args(processes())
            .output();
        let left = String::from_utf8_lossy(&left.expect("grep runs").stdout).into_owned();
        assert_eq!(left, "", "processes that name the builder's folder");
        assert!(!self.state.path().join("engine").exists());
        let mounts = std::fs::read_to_string("/proc/mounts").expect("Linux");
        assert!(!mounts.contains(&self.state.path().display().to_string()));
    }
}

impl Drop for Private {
    fn drop(&mut self) {
        // Also where an assertion failed: no daemon may outlive its test.
        self.mlbuild(&["engine", "down"]);
    }
}

fn processes() -> Vec<String> {
    std::fs::read_dir("/proc")
        .expect("Linux")
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| {
            name.bytes().all(|b| b.is_ascii_digit()) && *name != std::process::id().to_string()
        })
        .map(|pid| format!("/proc/{pid}/cmdline"))
        .collect()
}

#[test]
fn docker_from_packages_builds_stops_when_idle_and_goes_without_a_trace() {
    let engines = Engines::from_env();
    let private = Private::new();
    let endpoint = private.answer(&["engine", "up", "--source", "packages", "--idle", "5s"]);
    assert!(endpoint.starts_with("docker://"), "{endpoint}");
    let status = private.status();
    assert_eq!(
        (&status["running"], &status["daemon"]),
        (&true.into(), &"dockerd".into())
    );
    private.builds(&endpoint, &engines, "packages");

    wait::until("it stops when nobody uses it", || {
        private.status()["running"] == false
    });
    // A container is what it is woken for.
    private.starts_containers(&engines);
    assert_eq!(private.status()["running"], true);
    assert!(
        Path::new(private.status()["folder"].as_str().expect("a path"))
            .join("data")
            .exists()
    );
    private.answer(&["engine", "down"]);
    private.is_gone();
}

#[test]
fn a_release_archive_builds_if_it_is_the_one_asked_for() {
    let engines = Engines::from_env();
    let private = Private::new();
    let place = tempfile::tempdir().expect("a folder");
    let archive = archive(place.path(), &engines.bin);
    let from = archive.to_str().expect("UTF-8");
    let wrong = private.mlbuild(&["engine", "up", "--from", from, "--sha256", &"0".repeat(64)]);
    assert_eq!(wrong.status.code(), Some(3));
    assert!(String::from_utf8_lossy(&wrong.stderr).contains("nothing of it was used"));

    let sha256 = hex::encode(Sha256::digest(std::fs::read(&archive).expect("read")));
    let up = ["engine", "up", "--from", from, "--sha256", &sha256];
    let endpoint = private.answer(&up);
    assert_eq!(
        private.answer(&up),
        endpoint,
        "a second `up` finds the first"
    );
    private.builds(&endpoint, &engines, "archive");
    private.answer(&["engine", "down"]);
    private.is_gone();
}

/// Lays out buildkitd and runc as BuildKit's release archives do.
fn archive(place: &Path, bin: &Path) -> std::path::PathBuf {
    let inside = place.join("bin");
    std::fs::create_dir(&inside).expect("made");
    for (from, to) in [("buildkitd", "buildkitd"), ("runc", "buildkit-runc")] {
        std::fs::copy(bin.join(from), inside.join(to)).expect(from);
    }
    let path = place.join("buildkit.tar.gz");
    let tar = Command::new("tar")
        .arg("-C")
        .arg(place)
        .arg("-czf")
        .arg(&path)
        .arg("bin")
        .status();
    assert!(tar.expect("tar runs").success());
    path
}

#[test]
fn what_was_tried_is_said_where_there_is_no_source() {
    let private = Private::new();
    let output = Command::new(env!("CARGO_BIN_EXE_mlbuild"))
        .args(["engine", "up", "--source", "path"])
        .env("MLBUILD_STATE_DIR", private.state.path())
        .env("PATH", "/nowhere")
        .output()
        .expect("mlbuild runs");
    assert_eq!(output.status.code(), Some(3));
    let story = String::from_utf8_lossy(&output.stderr);
    assert!(
        story.contains("path: there is none") && story.contains("--from URL"),
        "{story}"
    );
}
