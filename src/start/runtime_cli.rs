//! Which of docker, podman, nerdctl and apptainer starts the container.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use mlbuild_buildkit::{DockerTarget, Env};
use mlbuild_docker::api::DockerApi;
use mlbuild_docker::context::DockerHost;
use serde_json::Value;

use super::error::StartError;
use crate::accelerator;
use crate::on_path;
use crate::private_engine::{self, Folder};
use crate::reporter::Reporter;
use crate::runtime::RuntimeCli;

/// A daemon that says nothing for so long doesn't answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(20);
/// Why a program can't be used that isn't installed.
const NOT_THERE: &str = "no such program on PATH";

/// A runtime that can be used.
#[derive(Debug)]
pub(crate) struct ContainerRuntime {
    pub(crate) cli: RuntimeCli,
    pub(crate) program: PathBuf,
    /// The daemon, where the runtime is Docker.
    pub(crate) docker: Option<Daemon>,
    /// True where it is mlbuild's private Docker, whose containers have this machine's network, since
    /// it makes none of its own.
    pub(crate) is_private: bool,
    /// Its version, where the program was asked for it.
    version: Option<String>,
}

/// Docker's daemon, and what it says of itself.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) api: DockerApi,
    info: Value,
}

impl Daemon {
    /// What it says of itself.
    pub(super) fn info(&self) -> &Value {
        &self.info
    }
}

impl ContainerRuntime {
    /// Whether containers run on this machine.
    pub(crate) fn is_local(&self) -> bool {
        let on_socket = |daemon: &Daemon| matches!(daemon.api.host(), DockerHost::Unix(_));
        self.docker.as_ref().is_none_or(on_socket)
    }

    /// Whether a container can be given more than this process may have itself: not by a user
    /// without root, and not by root in a container that may not raise limits.
    pub(crate) fn may_raise_limits(&self) -> bool {
        !self.is_rootless() && (!self.is_local() || machine_raises_limits())
    }

    /// Whether it is a user without root.
    pub(crate) fn is_rootless(&self) -> bool {
        match &self.docker {
            Some(_) => self.has_security_option("name=rootless"),
            None => !rustix::process::geteuid().is_root(),
        }
    }

    /// Whether a uid of a container is the same uid outside.
    pub(crate) fn keeps_uids(&self) -> bool {
        self.cli == RuntimeCli::Apptainer
            || !self.is_rootless() && !self.has_security_option("name=userns")
    }

    fn has_security_option(&self, wanted: &str) -> bool {
        let info = self.docker.as_ref().map(|daemon| &daemon.info);
        let options = info.and_then(|info| info["SecurityOptions"].as_array());
        let options = options.into_iter().flatten().filter_map(Value::as_str);
        options.into_iter().any(|option| option.contains(wanted))
    }

    /// Whether it can put a small init before the program.
    pub(crate) fn has_init(&self) -> bool {
        // Podman looks for it there, and refuses to start anything where it isn't.
        const CATATONIT: [&str; 5] = [
            "/usr/libexec/podman/catatonit",
            "/usr/lib/podman/catatonit",
            "/usr/local/libexec/podman/catatonit",
            "/usr/local/lib/podman/catatonit",
            "/usr/bin/catatonit",
        ];
        match (&self.docker, self.cli) {
            // What Docker says where it found no docker-init.
            (Some(daemon), _) => daemon.info["InitCommit"]["ID"] != "N/A",
            // A small one is there already.
            (None, RuntimeCli::Apptainer) => false,
            (None, RuntimeCli::Podman) => CATATONIT.iter().any(|file| Path::new(file).exists()),
            (None, _) => on_path::find("tini").is_some(),
        }
    }

    /// Whether containers live in a virtual machine, which can't mount sockets of this one.
    pub(crate) fn is_in_a_vm(&self) -> bool {
        let info = self.docker.as_ref().map(|daemon| &daemon.info);
        info.is_some_and(|info| info["OperatingSystem"] == "Docker Desktop")
    }

    /// The runtime, with its version where the daemon says it.
    pub(crate) fn name_and_version(&self) -> String {
        let info = self.docker.as_ref().map(|daemon| &daemon.info);
        let of_daemon = info.and_then(|info| info["ServerVersion"].as_str());
        match of_daemon.or(self.version.as_deref()) {
            Some(version) => format!("{} {version}", self.cli),
            None => self.cli.to_string(),
        }
    }

    /// Whether its image IDs are digests of manifests, and not of configurations.
    pub(crate) fn ids_are_manifests(&self) -> bool {
        let status = self
            .docker
            .as_ref()
            .map(|daemon| &daemon.info["DriverStatus"]);
        let pairs = status.and_then(Value::as_array).into_iter().flatten();
        let is_containerds = |pair: &Value| {
            let word = |at: usize| pair[at].as_str().unwrap_or_default();
            word(0) == "driver-type" && word(1).starts_with("io.containerd.")
        };
        self.cli == RuntimeCli::Nerdctl || pairs.into_iter().any(is_containerds)
    }

    /// The runtime as GPU detection knows it.
    pub(crate) fn accelerator(&self) -> accelerator::Runtime {
        match self.cli {
            RuntimeCli::Docker => {
                accelerator::Runtime::Docker(self.docker.as_ref().map(|d| d.info.clone()))
            }
            RuntimeCli::Podman => accelerator::Runtime::Podman(None),
            RuntimeCli::Nerdctl => accelerator::Runtime::Nerdctl,
            RuntimeCli::Apptainer => accelerator::Runtime::Apptainer,
        }
    }
}

/// As [`find`], and wakes a private Docker that sleeps.
///
/// # Errors
/// As [`find`].
pub(crate) async fn find_or_wake(
    asked: Option<RuntimeCli>,
    reporter: &dyn Reporter,
) -> Result<ContainerRuntime, StartError> {
    found(asked, Some(reporter)).await
}

/// The runtime that was asked for, else the first that can be used: docker, podman, nerdctl, and the
/// Docker that is mlbuild's private builder, if it runs.
///
/// # Errors
/// Where none can, with what was tried.
pub(crate) async fn find(asked: Option<RuntimeCli>) -> Result<ContainerRuntime, StartError> {
    found(asked, None).await
}

async fn found(
    asked: Option<RuntimeCli>,
    reporter: Option<&dyn Reporter>,
) -> Result<ContainerRuntime, StartError> {
    let mut tried = Vec::new();
    for cli in RuntimeCli::ALL {
        // Apptainer isn't what somebody means who has another and can't reach its daemon.
        let is_asked = match asked {
            Some(asked) => asked == cli,
            None => cli != RuntimeCli::Apptainer,
        };
        if !is_asked {
            continue;
        }
        match look(cli).await {
            Ok(found) => return Ok(found),
            Err(why) => tried.push((cli, why)),
        }
    }
    let may_be_private = asked.is_none_or(|cli| cli == RuntimeCli::Docker);
    let private = if may_be_private {
        private_docker(reporter).await
    } else {
        Ok(None)
    };
    let private = match private {
        Ok(Some(found)) => return Ok(found),
        Ok(None) => None,
        Err(why) => Some(why),
    };
    if asked.is_none() && tried.iter().all(|(_, why)| why == NOT_THERE) && private.is_none() {
        match look(RuntimeCli::Apptainer).await {
            Ok(found) => return Ok(found),
            Err(why) => tried.push((RuntimeCli::Apptainer, why)),
        }
    }
    Err(StartError::NoRuntime { tried, private })
}

/// The private builder, where it is Docker's daemon; woken where there is somebody to tell.
async fn private_docker(
    reporter: Option<&dyn Reporter>,
) -> Result<Option<ContainerRuntime>, String> {
    let text = |error: private_engine::Error| error.to_string();
    let folder = Folder::default_place().map_err(text)?;
    let engine = match reporter {
        Some(reporter) => private_engine::wake(&folder, reporter).await,
        None => private_engine::status(&folder).await,
    };
    let Some(engine) = engine.map_err(text)? else {
        return Ok(None);
    };
    let Some(program) = private_engine::docker_client(&folder, &engine).map_err(text)? else {
        return Err(format!(
            "the private builder is a {}, which starts no containers",
            engine.kind.program()
        ));
    };
    let target = DockerTarget::Socket(engine.socket);
    let docker = Some(daemon(&target).await?);
    Ok(Some(ContainerRuntime {
        cli: RuntimeCli::Docker,
        program,
        docker,
        is_private: true,
        version: None,
    }))
}

async fn look(cli: RuntimeCli) -> Result<ContainerRuntime, String> {
    if cli == RuntimeCli::Apptainer {
        return apptainer();
    }
    let program = on_path::find(cli.program()).ok_or(NOT_THERE)?;
    // Podman has no daemon, and nerdctl says itself what it lacks.
    let docker = match cli {
        RuntimeCli::Docker => Some(daemon(&DockerTarget::Current).await?),
        _ => None,
    };
    Ok(ContainerRuntime {
        cli,
        program,
        docker,
        is_private: false,
        version: None,
    })
}

/// Apptainer, or the Singularity that it came from.
fn apptainer() -> Result<ContainerRuntime, String> {
    let program = on_path::find("apptainer").or_else(|| on_path::find("singularity"));
    let program = program.ok_or(NOT_THERE)?;
    let failed = |why: String| format!("{} --version: {why}", program.display());
    let said = Command::new(&program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .map_err(|error| failed(error.to_string()))?;
    if !said.status.success() {
        return Err(failed(said.status.to_string()));
    }
    // `apptainer version 1.4.5`
    let said = String::from_utf8_lossy(&said.stdout).trim().to_owned();
    let version = said.split_whitespace().next_back().map(str::to_owned);
    Ok(ContainerRuntime {
        cli: RuntimeCli::Apptainer,
        program,
        docker: None,
        is_private: false,
        version,
    })
}

async fn daemon(target: &DockerTarget) -> Result<Daemon, String> {
    ask(target, async |api| match api.info_json().await {
        Ok(info) => Ok(Daemon { api, info }),
        Err(error) => Err(format!("{}: {error}", api.host())),
    })
    .await?
}

/// Asks the daemon that docker's own client would talk to.
///
/// # Errors
/// Where there is none, or it says nothing for long.
pub(super) async fn ask_docker<T>(question: impl AsyncFnOnce(DockerApi) -> T) -> Result<T, String> {
    ask(&DockerTarget::Current, question).await
}

async fn ask<T>(
    target: &DockerTarget,
    question: impl AsyncFnOnce(DockerApi) -> T,
) -> Result<T, String> {
    let api = DockerApi::of(target, &Env::process()).map_err(|e| e.to_string())?;
    let host = api.host().to_string();
    let answer = tokio::time::timeout(ANSWER_TIMEOUT, question(api)).await;
    answer.map_err(|_| format!("{host}: no answer in {} s", ANSWER_TIMEOUT.as_secs()))
}

/// Whether root may raise limits on this machine (`CAP_SYS_RESOURCE` in the bounding set).
fn machine_raises_limits() -> bool {
    const SYS_RESOURCE: u64 = 1 << 24;
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let bounds = status.lines().find_map(|line| line.strip_prefix("CapBnd:"));
    let bounds = bounds.and_then(|hex| u64::from_str_radix(hex.trim(), 16).ok());
    bounds.is_none_or(|bounds| bounds & SYS_RESOURCE != 0)
}
