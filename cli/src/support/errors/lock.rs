//! Errors of `lock`.

use super::planning::lock_flag;
use crate::error::CommandError;
use mlbuild::lock::{LockBesideError, LockingError};

impl From<LockBesideError> for CommandError {
    fn from(error: LockBesideError) -> Self {
        match error {
            LockBesideError::Registry(error) => error.into(),
            LockBesideError::Unreadable { .. } => CommandError::new(error.kind(), error),
        }
    }
}

impl From<LockingError> for CommandError {
    fn from(error: LockingError) -> Self {
        let made = CommandError::new(error.kind(), text(&error));
        match error {
            LockingError::Settings(error) => (*error).into(),
            LockingError::OfImage { image, source } => CommandError::from(*source).of(image),
            LockingError::Trust(error) => error.into(),
            LockingError::Planning(error) => (*error).into(),
            LockingError::Builder(error) => error.into(),
            LockingError::Registry(error) => (*error).into(),
            LockingError::Store(error) => error.into(),
            LockingError::Mirror(error) => (*error).into(),
            LockingError::Lock(error) => error.into(),
            LockingError::Artifact(error) => error.into(),
            LockingError::AsOfOwnDockerfile => {
                made.hint("name the day in its steps, or use a template")
            }
            LockingError::VendorWithoutName => made.hint("give -t REGISTRY/NAME:TAG"),
            LockingError::WouldChange { .. } => {
                made.hint("pin them, with the image's flags: mlbuild lock; then commit mlbuild.lock")
            }
            LockingError::OtherCompression { .. } => made
                .hint("have it written to the lock, with the image's flags: mlbuild lock; then commit mlbuild.lock")
                .hint("or leave --repack and [build] repack out: the lock says how layers are packed"),
            LockingError::NotAssembled { .. } => {
                made.hint("have a builder make it: --method=buildkit")
            }
            LockingError::BadWheel(_) => made
                .hint("ask for another version of it, and tell its author; or let a builder try, in the base: --method=buildkit"),
            LockingError::Uncompressed => {
                made.hint("say --repack=zstd or --repack=gzip, or leave [build] repack out")
            }
            LockingError::NoSnapshots { .. } => made.hint("mlbuild.toml: [build] apt_snapshots = \"snapshots.list\"; there: deb https://snapshots.example/debian/{time} bookworm main"),
            LockingError::SnapshotsWithoutTime { .. } => made.hint("write {time} where the archive of snapshots has the time: deb https://snapshots.example/debian/{time} bookworm main"),
            LockingError::OtherMachine { platform, .. } => made
                .hint(format!("take packages that have wheels for {platform} and a base with the libraries that they look for, or leave a package out there by a marker: NAME; platform_machine == 'x86_64'"))
                .hint(format!("or have a builder that runs programs of {platform}: apt install qemu-user-static binfmt-support, on its machine")),
            LockingError::CannotMount { .. } => {
                made.hint("name another builder with --builder, or start one: mlbuild engine up")
            }
            LockingError::BaseWithoutPin => {
                made.hint("pin it: mlbuild lock, with the image's flags")
            }
            LockingError::Gone { .. } => made.hint("a lock made with --vendor keeps its packages beside the image; or take newer ones: mlbuild lock --upgrade"),
            _ => made,
        }
    }
}

/// The message, with the names of flags where the command line has one.
fn text(error: &LockingError) -> String {
    match error {
        LockingError::AsOfOwnDockerfile => {
            "--as-of: a Dockerfile of your own says itself what its steps fetch".into()
        }
        LockingError::VendorWithoutName => {
            "--vendor needs a name for the image, in a registry".into()
        }
        LockingError::OtherCompression { mode, .. } => format!("{}: {error}", lock_flag(*mode)),
        LockingError::NotAssembled { .. } => format!("--method=assemble: {error}"),
        LockingError::Uncompressed => format!("--repack=none: {error}"),
        LockingError::WouldChange { mode, .. } => format!("{}: {error}", lock_flag(*mode)),
        other => other.to_string(),
    }
}
