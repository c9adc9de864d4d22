//! Composed images, built by real Dockers and looked at from inside.

mod closed_network;
mod layers;
mod packages;
mod users;

use std::path::Path;
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::support::engines::Engines;

/// A project's folder, and the Docker that builds and runs its image.
pub struct Workshop {
    pub engines: Engines,
    docker: String,
    project: TempDir,
}

impl Workshop {
    /// With the Docker that has the containerd store.
    pub fn new(files: &[(&str, &str)]) -> Self {
        let engines = Engines::from_env();
        let docker = engines.docker_containerd.clone();
        Self::on(engines, docker, files)
    }

    /// With a Docker of one's choice.
    pub fn on(engines: Engines, docker: String, files: &[(&str, &str)]) -> Self {
        let workshop = Self {
            engines,
            docker,
            project: tempfile::tempdir().expect("a folder"),
        };
        for (name, text) in files {
            workshop.write(name, text);
        }
        workshop
    }

    pub fn path(&self) -> &Path {
        self.project.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("a folder");
        std::fs::write(path, text).expect("a file");
    }

    /// `mlbuild image` with a tag, loaded into this Docker.
    pub fn image(&self, tag: &str, arguments: &[&str]) -> Output {
        self.mlbuild(tag, arguments).output().expect("mlbuild runs")
    }

    /// The command of [`Workshop::image`], to add environment to.
    pub fn mlbuild(&self, tag: &str, arguments: &[&str]) -> Command {
        let socket = self
            .docker
            .strip_prefix("unix://")
            .expect("a unix:// endpoint");
        let mut command = Command::new(env!("CARGO_BIN_EXE_mlbuild"));
        command
            .current_dir(self.path())
            .args(["image", "--builder", &format!("docker://{socket}")])
            .args(["--load", "--no-lock", "--progress", "plain", "-t", tag])
            .args(arguments);
        command
    }

    /// Builds, and panics with what was said where that fails.
    pub fn build(&self, tag: &str, arguments: &[&str]) {
        let output = self.image(tag, arguments);
        let story = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success(),
            "mlbuild image {arguments:?}:\n{story}"
        );
    }

    /// What a shell in the image prints; panics where it fails.
    pub fn sh(&self, tag: &str, script: &str) -> String {
        self.docker(&[
            "run",
            "--rm",
            "--network",
            "none",
            "--entrypoint",
            "/bin/sh",
            tag,
            "-euc",
            script,
        ])
    }

    /// What `docker` prints; panics where it fails.
    pub fn docker(&self, arguments: &[&str]) -> String {
        let output = self
            .docker_command(arguments)
            .output()
            .expect("docker runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {arguments:?}:\n{said}");
        String::from_utf8(output.stdout)
            .expect("text")
            .trim_end()
            .to_owned()
    }

    pub fn docker_command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.engines.bin.join("docker"));
        command
            .env("DOCKER_HOST", &self.docker)
            .env("DOCKER_CONFIG", &self.engines.docker_config)
            .args(arguments);
        command
    }

    /// The diff IDs of the image's layers, from the base up.
    pub fn layers(&self, tag: &str) -> Vec<String> {
        let json = self.docker(&[
            "image",
            "inspect",
            "--format",
            "{{json .RootFS.Layers}}",
            tag,
        ]);
        serde_json::from_str(&json).expect("a list")
    }
}
