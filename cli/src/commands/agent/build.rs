//! Builds of jobs' images, each by this program in a process of its own: see
//! [`mlbuild::agent::ImageBuilds`] for why.

use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use rustix::process::{Pid, Signal, kill_process_group};

use mlbuild::agent::{BuildFailure, ImageBuild, ImageBuilds, RunningBuild};

/// Builds by `mlbuild image`.
pub(super) struct ChildBuilds;

impl ImageBuilds for ChildBuilds {
    fn start(&self, build: &ImageBuild) -> io::Result<Box<dyn RunningBuild>> {
        let mut command = Command::new(std::env::current_exe()?);
        command.args(["image", "--progress=plain", "--format=json"]);
        // Names and bases are a job's: none of them is taken for a flag.
        command.arg(format!("--tag={}", build.name));
        if let Some(variant) = &build.variant {
            command.arg(format!("--variant={variant}"));
        }
        command.arg(if build.push { "--push" } else { "--load" });
        if build.with_docker {
            command.arg("--builder=docker://");
        }
        if let Some(places) = &build.base_registries {
            // No place at all is one that no image is of.
            let none = [String::new()];
            let places = if places.is_empty() {
                &none
            } else {
                &places[..]
            };
            command.args(
                places
                    .iter()
                    .map(|place| format!("--base-registry={place}")),
            );
        }
        if let Some(base) = &build.base {
            command.arg(format!("--base={base}"));
        }
        let log = File::create(&build.log).map_err(|error| {
            let text = format!("{}: {error}", build.log.display());
            io::Error::new(error.kind(), text)
        })?;
        // A group of its own: a Ctrl-C for the agent isn't one for the build.
        let child = command
            .current_dir(&build.folder)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(log)
            .process_group(0)
            .spawn()?;
        Ok(Box::new(ChildBuild {
            group: Mutex::new(Some(Pid::from_child(&child))),
            child: Mutex::new(child),
            name: build.name.clone(),
        }))
    }
}

/// One process, and what it was asked to build.
struct ChildBuild {
    /// Its process group, while it runs.
    group: Mutex<Option<Pid>>,
    child: Mutex<Child>,
    name: String,
}

impl RunningBuild for ChildBuild {
    fn end(&self) {
        let group = self.group.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(group) = *group {
            let _ = kill_process_group(group, Signal::TERM);
        }
    }

    fn wait(&self) -> Result<String, BuildFailure> {
        let mut child = self.child.lock().unwrap_or_else(PoisonError::into_inner);
        let mut answer = String::new();
        let out = child.stdout.take();
        let read = out.map(|mut out| out.read_to_string(&mut answer));
        let status = child.wait();
        // Its number may be another process's from now on.
        *self.group.lock().unwrap_or_else(PoisonError::into_inner) = None;
        if !status?.success() || read.is_none_or(|read| read.is_err()) {
            return Err(BuildFailure::Failed);
        }
        let answer: serde_json::Value =
            serde_json::from_str(&answer).map_err(BuildFailure::Answer)?;
        // Another name than was asked for ends in the variant that the project means by default.
        let named = answer["image"].as_str();
        let named = named.filter(|name| !name.ends_with(&self.name));
        let pinned = answer["pinned"].as_str().or(named);
        Ok(pinned.unwrap_or(&self.name).to_owned())
    }
}
