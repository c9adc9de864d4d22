//! The packages of an image that was just built.

use mlbuild_manifests::lock::{LockedImage, LockedPackages};
use tokio::sync::mpsc;

use super::moved;
use super::skip::Skip;
use crate::builder::{BuildOutput, Builder, SolveRequest};
use crate::reporter::Reporter;

/// Where the packages of an image may be known from.
pub(super) struct Listing<'a> {
    pub(super) skip: &'a Skip<'a>,
    pub(super) locked: Option<&'a LockedImage>,
    pub(super) request: &'a SolveRequest<'a>,
    /// Whether packages were to move, so that it is told which did.
    pub(super) upgrades: bool,
    pub(super) reporter: &'a dyn Reporter,
}

impl Listing<'_> {
    /// The packages: those that are known where the image is, else asked of it. With them, what
    /// moved since the lock.
    ///
    /// That they can't be listed is no failure of the build.
    pub(super) async fn of(
        &self,
        builder: &Builder,
        built: &BuildOutput,
    ) -> (Option<LockedPackages>, Vec<String>) {
        if let Some(known) = self.skip.packages_of(built) {
            return (known, Vec::new());
        }
        let old = self.locked.and_then(|locked| locked.packages.clone());
        let is_locked = |config: &String| {
            let mut platforms = self.locked.iter().flat_map(|l| l.platforms.values());
            platforms.any(|p| p.config.to_string() == *config)
        };
        if old.is_some() && built.config_digest.as_ref().is_some_and(is_locked) {
            return (old, Vec::new());
        }
        let new = match built.packages.clone() {
            Some(answered) => answered,
            None => {
                let (events, mut unread) = mpsc::channel(64);
                tokio::spawn(async move { while unread.recv().await.is_some() {} });
                let quiet = self.request.inputs(events);
                builder.packages(&quiet).await.ok().flatten()
            }
        };
        let moved = match (&old, &new) {
            (Some(old), Some(new)) => moved::packages(old, new),
            _ => Vec::new(),
        };
        if self.upgrades {
            for line in &moved {
                self.reporter.note(line);
            }
        }
        (new, moved)
    }
}
