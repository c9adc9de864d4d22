//! What a run is on paper: the code's state taken from git, the record written before a
//! container starts and finished when it has ended, and the records of a project found again.
//!
//! The format of a record is `manifests`' business. Starting containers, asking registries and
//! printing is left to others: who starts a container hands in what it is started with.
//!
//! ```no_run
//! use mlbuild::records::{RunExit, RunStart, Snapshot, this_host};
//! # use mlbuild_manifests::run_record::{RunCommand, RunImage};
//! # fn start(image: RunImage, command: RunCommand) -> Result<(), Box<dyn std::error::Error>> {
//! let project = mlbuild::records::project_folder(&std::env::current_dir()?);
//! let started = RunStart {
//!     id: "exp-7".parse()?,
//!     lock: None,
//!     image,
//!     code: Snapshot::take(&project)?,
//!     command,
//!     host: this_host(),
//!     cluster: None,
//!     slurm: None,
//!     data: Vec::new(),
//! }
//! .write(&project)?;
//! // … the container runs …
//! started.finish(RunExit::of_code(0))?;
//! # Ok(())
//! # }
//! ```

pub mod checkout;
mod compare;
pub mod data;
mod git;
mod image;
mod locks;
mod packed;
mod patch;
mod remotes;
mod run;
mod snapshot;
mod status;
mod store;

use std::path::{Path, PathBuf};

use mlbuild_manifests::run_record::{FOLDER_NAME, RunHost};

pub use compare::{Difference, Side, compare};
pub use git::{Git, GitError};
pub use image::exact_image;
pub use locks::{entry_of, has_checksum};
pub use packed::{MOST_FILES, PackError, PackedCode};
pub use run::{RunExit, RunStart, StartedRun, finish_later, start_again};
pub use snapshot::Snapshot;
pub use store::{Listing, Store, StoreError};

/// Names that make a folder a project's.
const SIGNS: [&str; 3] = [
    FOLDER_NAME,
    crate::config::FILE_NAME,
    mlbuild_manifests::lock::FILE_NAME,
];

/// The project that a folder belongs to: the nearest one, from `start` up to the top of its
/// repository, that holds records, `mlbuild.toml` or `mlbuild.lock`; else `start` itself.
pub fn project_folder(start: &Path) -> PathBuf {
    for folder in start.ancestors() {
        if SIGNS.iter().any(|name| folder.join(name).exists()) {
            return folder.to_path_buf();
        }
        if folder.join(".git").exists() {
            break;
        }
    }
    start.to_path_buf()
}

/// This machine's name and platform. What runs containers, and its GPUs, are for the caller
/// to add.
pub fn this_host() -> RunHost {
    let name = rustix::system::uname();
    let machine = match name.machine().to_string_lossy().as_ref() {
        "x86_64" => "amd64".to_owned(),
        "aarch64" => "arm64".to_owned(),
        other => other.to_owned(),
    };
    RunHost {
        name: name.nodename().to_string_lossy().into_owned(),
        platform: format!("linux/{machine}"),
        ..RunHost::default()
    }
}
