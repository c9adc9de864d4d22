//! The endpoints of the real engines, from the `MLBUILD_TEST_*` variables that
//! `integration/engines/env` prints. One that is missing fails the test that
//! asks for it: a test against a real thing is never skipped.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::mlbuild::Ran;

/// Every engine the tests know. Fields are endpoints as `--builder` takes them
/// (`unix:///…`, `tcp://…`), registries are `HOST:PORT`.
#[derive(Debug, Clone)]
pub struct Engines {
    /// A current Docker with the containerd image store.
    pub docker_containerd: String,
    /// The same Docker with the classic graphdriver store.
    pub docker_classic: String,
    /// Debian 12's Docker 20.10.
    pub docker_20: String,
    /// A standalone buildkitd on its unix socket.
    pub buildkitd: String,
    /// The same buildkitd on TCP, which asks for a client certificate.
    pub buildkitd_tcp: String,
    /// The folder with `ca.pem`, `cert.pem` and `key.pem` for it.
    pub buildkitd_certs: PathBuf,
    /// A registry that asks for nothing.
    pub registry: String,
    /// A registry that asks for a password.
    pub registry_auth: AuthRegistry,
    /// A registry that asks for a token, which a token server gives.
    pub registry_token: AuthRegistry,
    /// PostgreSQL, with the password in its address.
    pub postgres: String,
    /// Debian with the CA bundle.
    pub base: String,
    /// Debian with Python 3.11, venv and pip.
    pub python_base: String,
    /// An index: the base with Python, and the same for arm64.
    pub platforms_base: String,
    /// A program that runs programs of arm64.
    pub qemu_arm64: PathBuf,
    /// Debian with a user `ubuntu`, uid and gid 1000.
    pub ubuntu_base: String,
    /// The folder with `docker`, `docker-buildx`, `buildctl`, `skopeo` and `cosign`.
    pub bin: PathBuf,
    /// The folder with Podman's `podman`.
    pub podman: PathBuf,
    /// The devcontainer CLI.
    pub devcontainer: PathBuf,
    /// The folder with the Python libraries that `integration/engines/validate.py` imports.
    pub validators: PathBuf,
    /// A Docker configuration folder in which `docker buildx` is found.
    pub docker_config: PathBuf,
}

/// A registry that asks who is there.
#[derive(Debug, Clone)]
pub struct AuthRegistry {
    /// `HOST:PORT`.
    pub host: String,
    /// The user it knows.
    pub user: String,
    /// That user's password.
    pub password: String,
}

impl AuthRegistry {
    fn from_env(name: &str) -> Self {
        Self {
            host: variable(name),
            user: variable(&format!("{name}_USER")),
            password: variable(&format!("{name}_PASSWORD")),
        }
    }
}

impl Engines {
    /// Reads the environment; panics with the missing variable's name.
    pub fn from_env() -> Self {
        super::times::start();
        Self {
            docker_containerd: variable("MLBUILD_TEST_DOCKER_CONTAINERD"),
            docker_classic: variable("MLBUILD_TEST_DOCKER_CLASSIC"),
            docker_20: variable("MLBUILD_TEST_DOCKER_20"),
            buildkitd: variable("MLBUILD_TEST_BUILDKITD"),
            buildkitd_tcp: variable("MLBUILD_TEST_BUILDKITD_TCP"),
            buildkitd_certs: variable("MLBUILD_TEST_BUILDKITD_CERTS").into(),
            registry: variable("MLBUILD_TEST_REGISTRY"),
            registry_auth: AuthRegistry::from_env("MLBUILD_TEST_REGISTRY_AUTH"),
            registry_token: AuthRegistry::from_env("MLBUILD_TEST_REGISTRY_TOKEN"),
            postgres: variable("MLBUILD_TEST_POSTGRES"),
            base: variable("MLBUILD_TEST_BASE"),
            python_base: variable("MLBUILD_TEST_PYTHON_BASE"),
            platforms_base: variable("MLBUILD_TEST_PLATFORMS_BASE"),
            qemu_arm64: variable("MLBUILD_TEST_QEMU_ARM64").into(),
            ubuntu_base: variable("MLBUILD_TEST_UBUNTU_BASE"),
            bin: variable("MLBUILD_TEST_BIN").into(),
            podman: variable("MLBUILD_TEST_PODMAN").into(),
            devcontainer: variable("MLBUILD_TEST_DEVCONTAINER").into(),
            validators: variable("MLBUILD_TEST_VALIDATORS").into(),
            docker_config: variable("MLBUILD_TEST_DOCKER_CONFIG").into(),
        }
    }

    /// The three Dockers, with a name for messages.
    pub fn dockers(&self) -> [(&'static str, &str); 3] {
        [
            ("Docker, containerd store", &self.docker_containerd),
            ("Docker, classic store", &self.docker_classic),
            ("Docker 20.10", &self.docker_20),
        ]
    }

    /// Has a document checked by its specification's own library, which says what is wrong.
    pub fn validate(&self, form: &str, file: &Path) -> Ran {
        let validator = super::repository().join("integration/engines/validate.py");
        let mut python = Command::new("python3");
        python.arg(validator).arg(form).arg(file);
        Ran::of(python.env("PYTHONPATH", &self.validators))
    }

    /// What `docker` says at one of them; it must succeed.
    #[track_caller]
    pub fn docker(&self, host: &str, args: &[&str]) -> String {
        let output = Command::new(self.bin.join("docker"))
            .args(["--host", host])
            .args(args)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "docker {args:?}: {stderr}");
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }
}

fn variable(name: &str) -> String {
    match std::env::var(name) {
        Ok(value) if !value.is_empty() => value,
        _ => panic!(
            "{name} is not set: run integration/engines/up, then \
             `eval \"$(integration/engines/env)\"`, or run ./test"
        ),
    }
}
