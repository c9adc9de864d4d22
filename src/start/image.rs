//! The image, by digest, before anything starts: what the tag means may change at any time.
//!
//! The runtime pulls what is missing, with its own log-ins, mirrors and progress. What it then has
//! is asked for its digest, and the container is started from that.

use std::io;
use std::os::fd::AsFd as _;
use std::process::{Command, Stdio};
use std::sync::Arc;

use mlbuild_docker::api::ImageInspect;
use mlbuild_templates::reference;
use oci_spec::distribution::Reference;
use oci_spec::image::Platform;

use super::error::StartError;
use super::runtime_cli::{self, ContainerRuntime};
use crate::pull::cache::KeptSif;
use crate::registry::{RegistryError, RegistryOptions, parse_platform};
use crate::reporter::Reporter;
use crate::runtime::{RunSpec, RuntimeCli};

/// An image that can't become another one.
#[derive(Clone, Debug)]
pub(crate) struct PinnedImage {
    /// As it was named.
    pub(crate) asked: String,
    /// What the runtime is told to start.
    pub(crate) start: String,
    /// For people and trackers: `name@sha256:…`, or the image ID where no registry has it.
    pub(crate) pinned: String,
    /// What it is for, where the store tells.
    pub(crate) platform: Option<Platform>,
    /// Whether its registry may be asked more: `--pull=never` is for who wants none asked.
    pub(crate) registry_may_tell: bool,
    pub(super) env: Vec<String>,
    /// The image's file, where Apptainer starts it.
    pub(crate) sif: Option<Arc<KeptSif>>,
}

impl PinnedImage {
    /// Names of the variables that the image sets.
    pub(crate) fn env_names(&self) -> impl Iterator<Item = &str> {
        let name = |line: &'_ String| line.split('=').next().unwrap_or_default().len();
        self.env.iter().map(move |line| &line[..name(line)])
    }

    /// The value of a variable that the image sets.
    pub(crate) fn env(&self, name: &str) -> Option<&str> {
        let value = |line: &'_ String| line.strip_prefix(name)?.strip_prefix('=').map(str::len);
        self.env
            .iter()
            .find_map(|line| Some(&line[line.len() - value(line)?..]))
    }

    /// Whether the image sets a variable.
    pub(crate) fn has_env(&self, name: &str) -> bool {
        self.env_names().any(|known| known == name)
    }

    /// Whether it was asked for by this name (`registry/repository`) and tag.
    pub(crate) fn is(&self, name: &str, tag: Option<&str>) -> bool {
        reference::parse(&self.asked).is_ok_and(|reference| {
            let same = format!("{}/{}", reference.registry(), reference.repository()) == name;
            same && (reference.digest().is_some() || reference.tag() == tag)
        })
    }
}

/// Finds the runtime, and pins the image in it. Docker's daemon is asked for both at once: either
/// answer takes it some milliseconds.
///
/// # Errors
/// As [`runtime_cli::find_or_wake`] and [`pin`].
pub(crate) async fn find_and_pin(
    cli: Option<RuntimeCli>,
    spec: &RunSpec,
    registry: Option<&RegistryOptions>,
    reporter: &dyn Reporter,
) -> Result<(ContainerRuntime, PinnedImage), StartError> {
    let may_be_docker = cli.is_none_or(|cli| cli == RuntimeCli::Docker);
    let held = async {
        if may_be_docker && reference::parse(&spec.image).is_ok() {
            held_by_docker(&spec.image).await
        } else {
            None
        }
    };
    let (runtime, held) = tokio::join!(runtime_cli::find_or_wake(cli, reporter), held);
    let runtime = runtime?;
    let held = held.filter(|_| runtime.cli == RuntimeCli::Docker && !runtime.is_private);
    let image = pin_held(&runtime, spec, held, registry, reporter).await?;
    Ok((runtime, image))
}

/// The image as Docker has it, where there is a Docker and it has it.
async fn held_by_docker(name: &str) -> Option<ImageInspect> {
    let asked = runtime_cli::ask_docker(async |api| api.image_inspect(name).await);
    asked.await.ok()?.ok()?
}

/// Has the runtime pull what is missing, and pins it.
///
/// # Errors
/// Where the name is none, or the image can't be had.
pub(crate) async fn pin(
    runtime: &ContainerRuntime,
    spec: &RunSpec,
    registry: Option<&RegistryOptions>,
    reporter: &dyn Reporter,
) -> Result<PinnedImage, StartError> {
    pin_held(runtime, spec, None, registry, reporter).await
}

/// As [`pin`], where it may be known already that the runtime has the image.
async fn pin_held(
    runtime: &ContainerRuntime,
    spec: &RunSpec,
    held: Option<ImageInspect>,
    registry: Option<&RegistryOptions>,
    reporter: &dyn Reporter,
) -> Result<PinnedImage, StartError> {
    if runtime.cli == RuntimeCli::Apptainer {
        return super::apptainer::pin(spec, registry, reporter).await;
    }
    let asked = &spec.image;
    reference::parse(asked).map_err(|why| RegistryError::InvalidReference {
        text: asked.clone(),
        why: why.to_string(),
    })?;
    let pull = spec.options.text("pull").unwrap_or("missing");
    let mut held = match (pull, held) {
        ("always", _) => None,
        (_, Some(held)) => Some(held),
        (_, None) => inspect(runtime, asked).await?,
    };
    if held.is_none() {
        if pull == "never" {
            return Err(StartError::NeverPulled {
                image: asked.clone(),
                runtime: runtime.cli,
            });
        }
        fetch(runtime, spec, reporter)?;
        held = inspect(runtime, asked).await?;
    }
    let held = held.ok_or_else(|| StartError::PulledAndGone {
        image: asked.clone(),
        runtime: runtime.cli,
    })?;
    let image = PinnedImage {
        registry_may_tell: pull != "never",
        ..pinned(asked, &held)
    };
    if image.pinned.starts_with("sha256:") {
        reporter.note(format!(
            "{asked} was never pushed: this machine alone has it, as {}",
            image.pinned
        ));
    }
    Ok(image)
}

/// The image in the runtime's store.
async fn inspect(
    runtime: &ContainerRuntime,
    name: &str,
) -> Result<Option<ImageInspect>, StartError> {
    if let Some(daemon) = &runtime.docker {
        return Ok(daemon.api.image_inspect(name).await?);
    }
    let output = Command::new(&runtime.program)
        .args(["image", "inspect", "--", name])
        .stdin(Stdio::null())
        .output()
        .map_err(|error| not_started(runtime, error))?;
    if !output.status.success() {
        return Ok(None);
    }
    let images: Result<Vec<ImageInspect>, _> = serde_json::from_slice(&output.stdout);
    let mut images = images.map_err(|source| StartError::ImageAnswer {
        runtime: runtime.cli,
        image: name.to_owned(),
        source,
    })?;
    Ok(images.pop())
}

/// Pulls, with the runtime's progress on stderr.
fn fetch(
    runtime: &ContainerRuntime,
    spec: &RunSpec,
    reporter: &dyn Reporter,
) -> Result<(), StartError> {
    let image = &spec.image;
    let mut command = Command::new(&runtime.program);
    command.arg("pull").stdin(Stdio::null());
    if let Some(platform) = spec.options.text("platform") {
        command.arg(format!("--platform={platform}"));
    }
    if spec.options.is_on("quiet") {
        command.arg("--quiet");
    }
    command.args(["--", image]);
    reporter.note(format!("pulling {image}"));
    // Docker shows its progress on stdout and says what failed on stderr; the others show theirs
    // on stderr and print the image's id on stdout.
    let failed = match runtime.cli {
        RuntimeCli::Docker => {
            let stderr = io::stderr().as_fd().try_clone_to_owned();
            command.stdout(stderr.map_err(|error| not_started(runtime, error))?);
            let output = command.stderr(Stdio::piped()).spawn();
            let output = output.and_then(std::process::Child::wait_with_output);
            let output = output.map_err(|error| not_started(runtime, error))?;
            let said = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            (!output.status.success()).then_some(said)
        }
        _ => {
            let status = command.stdout(Stdio::null()).status();
            let status = status.map_err(|error| not_started(runtime, error))?;
            (!status.success()).then(|| "its words stand above".to_owned())
        }
    };
    match failed {
        None => Ok(()),
        Some(why) => Err(StartError::NotPulled {
            image: image.clone(),
            runtime: runtime.cli,
            why: why
                .trim_start_matches("Error response from daemon: ")
                .to_owned(),
        }),
    }
}

fn not_started(runtime: &ContainerRuntime, source: io::Error) -> StartError {
    let program = runtime.program.clone();
    StartError::Program { program, source }
}

/// Chooses among the digests that the store knows the image by.
fn pinned(asked: &str, held: &ImageInspect) -> PinnedImage {
    let named_as = reference::parse(asked).ok();
    let is_same = |entry: &&String| {
        let entry = reference::parse(entry).ok();
        named_as.as_ref().zip(entry).is_some_and(|(asked, entry)| {
            asked.registry() == entry.registry() && asked.repository() == entry.repository()
        })
    };
    // Podman files what it built itself under this name; no registry has it.
    let in_registry = |entry: &&String| !entry.starts_with("localhost/");
    let known: Vec<&String> = held
        .repo_digests
        .iter()
        .flatten()
        .filter(in_registry)
        .collect();
    let digest = named_as.as_ref().and_then(Reference::digest);
    let is_asked = |entry: &&&String| digest.is_some_and(|digest| entry.ends_with(digest));
    // The same image may be known by several names: by any of them it is the same.
    let named = known
        .iter()
        .find(|entry| is_same(entry) && is_asked(entry))
        .or_else(|| known.iter().find(|entry| is_same(entry)))
        .or_else(|| known.first());
    let id = match held.id.split_once(':') {
        Some(_) => held.id.clone(),
        None => format!("sha256:{}", held.id),
    };
    let start = named.map_or_else(|| id.clone(), |entry| (*entry).clone());
    PinnedImage {
        asked: asked.to_owned(),
        pinned: start.clone(),
        start,
        registry_may_tell: true,
        platform: parse_platform(&format!("{}/{}", held.os, held.architecture)),
        env: held
            .config
            .as_ref()
            .and_then(|config| config.env.clone())
            .unwrap_or_default(),
        sif: None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn start(asked: &str, digests: &[&str]) -> String {
        let id = "sha256:1111111111111111111111111111111111111111111111111111111111111111";
        let held = json!({"Id": id, "RepoDigests": digests, "Config": {"Env": ["A=1"]}});
        let image = pinned(asked, &serde_json::from_value(held).unwrap());
        assert!(image.has_env("A") && !image.has_env("B"));
        image.start
    }

    #[test]
    fn the_digest_of_the_name_that_was_asked_for_is_taken() {
        let digest = |c: &str| format!("sha256:{}", c.repeat(64));
        let (a, b) = (digest("a"), digest("b"));
        let here = format!("127.0.0.1:5000/cracks@{a}");
        let hub = format!("debian@{b}");
        let known = [hub.as_str(), here.as_str()];
        assert_eq!(start("127.0.0.1:5000/cracks:v1", &known), here);
        assert_eq!(start("debian", &known), hub);
        assert_eq!(start("docker.io/library/debian:12", &known), hub);
        // By another name: any of them is the same image.
        assert_eq!(start("local-name", &known), hub);
    }

    #[test]
    fn without_a_registry_it_is_the_image_id() {
        let id = format!("sha256:{}", "1".repeat(64));
        assert_eq!(start("cracks", &[]), id);
        let own = format!("localhost/cracks@sha256:{}", "a".repeat(64));
        assert_eq!(start("cracks", &[&own]), id);
    }
}
