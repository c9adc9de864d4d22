//! What both integration targets share: where the repository is, and the real
//! engines that `integration/engines/up` brings up.

#![allow(dead_code, reason = "each target uses a part of it")]

pub mod buildkitd;
pub mod clock;
pub mod engines;
pub mod http;
pub mod layouts;
pub mod mlbuild;
pub mod mlflow;
pub mod mounts;
pub mod pages;
pub mod peak;
pub mod random;
pub mod repository;
pub mod server;
pub mod session;
pub mod sshd;
pub mod stub_base;
pub mod terminal;
pub mod times;
pub mod tls;
pub mod wait;
pub mod wandb;
pub mod wheels;
pub mod xvfb;

use std::path::{Path, PathBuf};

/// The repository's root.
pub fn repository() -> PathBuf {
    let package = Path::new(env!("CARGO_MANIFEST_DIR"));
    package.parent().expect("cli/ has a parent").to_path_buf()
}

/// The text of a file of the repository; panics with its name where it can't
/// be read.
pub fn read(path: &Path) -> String {
    std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}
