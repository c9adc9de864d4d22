//! What GPUs the host has, and how a container runtime is asked for them.
//!
//! Everything is read from files, and from `nvidia-smi` where files don't tell; nothing is guessed
//! from the name of a program. What was looked at is kept, so that "no GPU found" can say where.
//! Choosing base images and starting containers is left to others.

mod cdi;
mod driver_tool;
mod nvidia;
mod pci;
mod request;
mod rocm;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use serde::Serialize;

pub use self::{
    cdi::{CdiDevice, CdiSpec},
    nvidia::{Nvidia, NvidiaGpu, NvidiaPlatform, Problem},
    request::{GpuRequest, Runtime},
    rocm::{Rocm, RocmGpu},
};

/// The host to look at.
#[derive(Debug, Clone)]
pub struct Host {
    /// Stands before every absolute path; `/` for this machine.
    pub root: PathBuf,
    /// The runtime that will start containers.
    pub runtime: Runtime,
}

impl Host {
    /// This machine.
    pub fn this(runtime: Runtime) -> Self {
        Self {
            root: PathBuf::from("/"),
            runtime,
        }
    }
}

/// What was found.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Accelerators {
    /// An NVIDIA driver, or NVIDIA hardware without one.
    pub nvidia: Option<Nvidia>,
    /// An AMD GPU that ROCm can use.
    pub rocm: Option<Rocm>,
    /// Every place that was looked at, with what was there: `/dev/kfd: no such file`.
    pub looked_at: Vec<String>,
}

impl Accelerators {
    /// The GPU that `--gpu=auto` uses: one that a container can be given.
    pub fn usable(&self) -> Option<&GpuRequest> {
        let nvidia = self.nvidia.as_ref().and_then(|n| n.how.as_ref());
        nvidia.or_else(|| self.rocm.as_ref().map(|r| &r.how))
    }
}

/// Looks for GPUs and for the way to ask for them. Files that can't be read count as absent, with a
/// note in [`Accelerators::looked_at`]. Takes up to 10 s where `nvidia-smi` hangs.
pub fn detect(host: &Host) -> Accelerators {
    let mut look = Look::new(&host.root);
    let specs = cdi::read_specs(&mut look, &host.runtime);
    let nvidia = nvidia::detect(&mut look, &host.runtime, &specs);
    let rocm = rocm::detect(&mut look, &host.runtime, &specs);
    Accelerators {
        nvidia,
        rocm,
        looked_at: look.seen,
    }
}

/// Reads below a root and remembers what it saw.
struct Look<'a> {
    root: &'a Path,
    seen: Vec<String>,
}

impl<'a> Look<'a> {
    fn new(root: &'a Path) -> Self {
        Self {
            root,
            seen: Vec::new(),
        }
    }

    /// Where an absolute path lies below the root.
    fn at(&self, path: &str) -> PathBuf {
        self.root.join(path.trim_start_matches('/'))
    }

    /// The trimmed text of a file.
    fn text(&mut self, path: &str) -> Option<String> {
        match fs::read(self.at(path)) {
            Ok(bytes) => {
                let text = String::from_utf8_lossy(&bytes)
                    .trim_matches(['\0', '\n', ' '])
                    .to_owned();
                let first = text.lines().next().unwrap_or_default();
                let brief: String = first.chars().take(80).collect();
                self.note(path, &brief);
                Some(text)
            }
            Err(error) => {
                self.note(path, &reason(&error));
                None
            }
        }
    }

    /// Whether something is there.
    fn exists(&mut self, path: &str) -> bool {
        match fs::symlink_metadata(self.at(path)) {
            Ok(_) => {
                self.note(path, "there");
                true
            }
            Err(error) => {
                self.note(path, &reason(&error));
                false
            }
        }
    }

    /// The sorted names in a folder.
    fn names(&mut self, path: &str) -> Vec<String> {
        match fs::read_dir(self.at(path)) {
            Ok(entries) => {
                let name = |e: io::Result<fs::DirEntry>| e.ok()?.file_name().into_string().ok();
                let mut names: Vec<String> = entries.filter_map(name).collect();
                names.sort();
                let what = if names.is_empty() {
                    "empty".to_owned()
                } else {
                    names.join(" ")
                };
                self.note(path, &what);
                names
            }
            Err(error) => {
                self.note(path, &reason(&error));
                Vec::new()
            }
        }
    }

    fn note(&mut self, what: &str, found: &str) {
        self.seen.push(format!("{what}: {found}"));
    }
}

fn reason(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => "not there".to_owned(),
        io::ErrorKind::PermissionDenied => "permission denied".to_owned(),
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests;
