//! The image in this machine's Docker, Podman or nerdctl.

use std::process::{Command, Stdio};

use serde::Serialize;
use serde_json::Value;

use crate::cli::output;
use crate::error::{CommandError, CommandResult};
use crate::image_source::{self, Opened};
use crate::runtime::RuntimeCli;
use crate::start::runtime_cli::{self, ContainerRuntime as Runtime};

/// What came of looking for it.
pub(super) enum Local {
    Found(Box<Held>),
    /// The runtime doesn't have it.
    Absent(RuntimeCli),
    /// There is no runtime to be asked.
    NoRuntime(CommandError),
}

/// An image that the runtime has.
pub(super) struct Held {
    pub(super) facts: LocalFacts,
    /// All that the runtime tells of it.
    pub(super) told: Value,
    runtime: Runtime,
}

/// What is told of it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct LocalFacts {
    /// The runtime, with its version where that is known.
    pub(super) runtime: String,
    /// The image ID.
    pub(super) id: String,
    /// What the ID is the digest of: `config`, `manifest` or `index`.
    pub(super) id_is: &'static str,
    /// `NAME:TAG`.
    pub(super) tags: Vec<String>,
    /// `NAME@DIGEST`, for each registry that it came from or went to.
    pub(super) digests: Vec<String>,
    /// Bytes.
    pub(super) size: u64,
}

/// Looks for an image. Where nothing else can have it, a missing runtime is an error.
///
/// # Errors
/// Where the runtime is needed and there is none, or it fails.
pub(super) async fn look(name: &str, is_needed: bool) -> CommandResult<Local> {
    let runtime = match runtime_cli::find(None).await {
        Ok(runtime) => runtime,
        Err(error) if is_needed => return Err(error),
        Err(error) => return Ok(Local::NoRuntime(error)),
    };
    let told = match ask(&runtime, name).await {
        Ok(told) => told,
        Err(error) if is_needed => return Err(error),
        Err(error) => return Ok(Local::NoRuntime(error)),
    };
    let Some(told) = told else {
        return Ok(Local::Absent(runtime.cli));
    };
    Ok(Local::Found(Box::new(Held {
        facts: facts(&runtime, &told),
        told,
        runtime,
    })))
}

async fn ask(runtime: &Runtime, name: &str) -> CommandResult<Option<Value>> {
    if let Some(daemon) = &runtime.docker {
        let told = daemon.api.image_json(name).await;
        return told.map_err(CommandError::environment);
    }
    let output = Command::new(&runtime.program)
        .args(["image", "inspect", name])
        .stdin(Stdio::null())
        .output();
    let output = output.map_err(|error| failed(runtime, &error.to_string()))?;
    if !output.status.success() {
        return Ok(None);
    }
    let mut all: Vec<Value> =
        serde_json::from_slice(&output.stdout).map_err(|e| failed(runtime, &e.to_string()))?;
    Ok(all.pop())
}

fn facts(runtime: &Runtime, told: &Value) -> LocalFacts {
    let list = |key: &str| -> Vec<String> {
        let items = told[key].as_array().into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let id = told["Id"].as_str().unwrap_or_default();
    let id = match id.contains(':') {
        true => id.to_owned(),
        false => format!("sha256:{id}"),
    };
    let kind = told["Descriptor"]["mediaType"].as_str().unwrap_or_default();
    let id_is = match () {
        () if !runtime.ids_are_manifests() => "config",
        () if kind.contains("index") || kind.contains("list") => "index",
        () => "manifest",
    };
    LocalFacts {
        runtime: runtime.name_and_version(),
        id,
        id_is,
        tags: list("RepoTags"),
        digests: list("RepoDigests"),
        size: told["Size"].as_u64().unwrap_or_default(),
    }
}

impl Held {
    /// Its layers, by way of a file that goes with what is returned.
    pub(super) fn saved(&self, name: &str) -> CommandResult<Opened> {
        let runtime = &self.runtime;
        let made = tempfile::Builder::new()
            .prefix("mlbuild-inspect-")
            .tempdir();
        let folder = made.map_err(|error| {
            CommandError::environment(format!("no room for a copy of {name}: {error}"))
        })?;
        let file = folder.path().join(image_source::SAVED);
        output::note(&format!("{} copies {name} out of its store", runtime.cli));
        let output = Command::new(&runtime.program)
            .args(["image", "save", "--output"])
            .arg(&file)
            .arg(name)
            .stdin(Stdio::null())
            .output();
        let output = output.map_err(|error| failed(runtime, &error.to_string()))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stderr);
            return Err(failed(runtime, said.trim()));
        }
        image_source::open_saved(name, folder)
    }
}

fn failed(runtime: &Runtime, why: &str) -> CommandError {
    CommandError::environment(format!("{}: {why}", runtime.program.display()))
}
