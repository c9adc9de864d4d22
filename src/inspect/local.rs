//! The image in this machine's Docker, Podman or nerdctl.

use std::process::{Command, Stdio};

use mlbuild_templates::reference;
use serde_json::Value;

use super::error::InspectError;
use super::report::{InspectReport, LocalFacts, PlatformFacts};
use crate::image_source::{self, Opened};
use crate::reporter::Reporter;
use crate::runtime::RuntimeCli;
use crate::start::runtime_cli::{self, ContainerRuntime};

/// What came of looking for it.
pub(super) enum Local {
    Found(Box<Held>),
    /// The runtime doesn't have it.
    Absent(RuntimeCli),
    /// There is no runtime to be asked.
    NoRuntime(InspectError),
}

/// An image that the runtime has.
pub(super) struct Held {
    pub(super) facts: LocalFacts,
    /// All that the runtime tells of it.
    pub(super) inspected: Value,
    runtime: ContainerRuntime,
}

/// Looks for an image. Where nothing else can have it, a missing runtime is an error.
///
/// # Errors
/// Where the runtime is needed and there is none, or it fails.
pub(super) async fn look(name: &str, is_needed: bool) -> Result<Local, InspectError> {
    let runtime = match runtime_cli::find(None).await {
        Ok(runtime) => runtime,
        Err(error) if is_needed => return Err(error.into()),
        Err(error) => return Ok(Local::NoRuntime(error.into())),
    };
    let inspected = match ask(&runtime, name).await {
        Ok(inspected) => inspected,
        Err(error) if is_needed => return Err(error),
        Err(error) => return Ok(Local::NoRuntime(error)),
    };
    let Some(inspected) = inspected else {
        return Ok(Local::Absent(runtime.cli));
    };
    Ok(Local::Found(Box::new(Held {
        facts: facts(&runtime, &inspected),
        inspected,
        runtime,
    })))
}

async fn ask(runtime: &ContainerRuntime, name: &str) -> Result<Option<Value>, InspectError> {
    if let Some(daemon) = &runtime.docker {
        let inspected = daemon.api.image_json(name).await;
        return Ok(inspected?);
    }
    let output = Command::new(&runtime.program)
        .args(["image", "inspect", "--", name])
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

fn facts(runtime: &ContainerRuntime, inspected: &Value) -> LocalFacts {
    let list = |key: &str| -> Vec<String> {
        let items = inspected[key].as_array().into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let id = inspected["Id"].as_str().unwrap_or_default();
    let id = if id.contains(':') {
        id.to_owned()
    } else {
        format!("sha256:{id}")
    };
    let kind = inspected["Descriptor"]["mediaType"]
        .as_str()
        .unwrap_or_default();
    let id_is = if !runtime.ids_are_manifests() {
        "config"
    } else if kind.contains("index") || kind.contains("list") {
        "index"
    } else {
        "manifest"
    };
    LocalFacts {
        runtime: runtime.name_and_version(),
        id,
        id_is,
        tags: list("RepoTags"),
        digests: list("RepoDigests"),
        size: inspected["Size"].as_u64().unwrap_or_default(),
    }
}

impl Held {
    /// Adds what the runtime tells, where nothing else tells more.
    pub(super) fn add_to(&self, report: &mut InspectReport) {
        let (facts, inspected) = (&self.facts, &self.inspected);
        // An image may be known by several names.
        let named = facts.digests.iter();
        let same_place = named
            .clone()
            .find(|name| is_same_place(name, &report.image));
        report.pinned = same_place.or(facts.digests.first()).cloned();
        let mut platform = PlatformFacts::of(&inspected["Config"]);
        platform.created = inspected["Created"].as_str().map(str::to_owned);
        platform.layers = inspected["RootFS"]["Layers"].as_array().map_or(0, Vec::len);
        let id = facts.id.parse().ok();
        match facts.id_is {
            "config" => platform.config = id,
            "manifest" => platform.manifest = id,
            _ => report.index = id,
        }
        let word = |key: &str| inspected[key].as_str().filter(|word| !word.is_empty());
        let os = word("Os").unwrap_or("linux");
        let arch = word("Architecture").unwrap_or("unknown");
        let name = match word("Variant") {
            // As everywhere: arm64's only variant isn't named.
            Some(variant) if arch != "arm64" => format!("{os}/{arch}/{variant}"),
            _ => format!("{os}/{arch}"),
        };
        report.platforms.insert(name, platform);
    }

    /// Its layers, by way of a file that goes with what is returned.
    pub(super) fn saved(
        &self,
        name: &str,
        reporter: &dyn Reporter,
    ) -> Result<Opened, InspectError> {
        let runtime = &self.runtime;
        let made = tempfile::Builder::new()
            .prefix("mlbuild-inspect-")
            .tempdir();
        let folder = made.map_err(|source| InspectError::NoRoom {
            image: name.to_owned(),
            source,
        })?;
        let file = folder.path().join(image_source::SAVED);
        reporter.note(format!("{} copies {name} out of its store", runtime.cli));
        let output = Command::new(&runtime.program)
            .args(["image", "save", "--output"])
            .arg(&file)
            .args(["--", name])
            .stdin(Stdio::null())
            .output();
        let output = output.map_err(|error| failed(runtime, &error.to_string()))?;
        if !output.status.success() {
            let stderr = String::from_utf8_lossy(&output.stderr);
            return Err(failed(runtime, stderr.trim()));
        }
        Ok(image_source::open_saved(name, folder)?)
    }
}

/// Whether two references name the same repository.
fn is_same_place(a: &str, b: &str) -> bool {
    let place = |text: &str| {
        let reference = reference::parse(text).ok()?;
        Some((
            reference.registry().to_owned(),
            reference.repository().to_owned(),
        ))
    };
    place(a).is_some() && place(a) == place(b)
}

fn failed(runtime: &ContainerRuntime, why: &str) -> InspectError {
    InspectError::Program {
        program: runtime.program.clone(),
        why: why.to_owned(),
    }
}
