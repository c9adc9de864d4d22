//! Whether a digest is an index's or a manifest's: asked of the registry while the container runs,
//! so that no start waits for it. Where no registry tells, the record keeps the digest alone.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;

use mlbuild_manifests::run_record::{RunImage, RunPlatform};

use super::image::PinnedImage;
use crate::cli::registry_args::RegistryArgs;
use crate::records::StartedRun;
use crate::registry::{RegistryError, platform_name};

/// A run that was written down, and whose record may still learn more of its image.
pub(super) struct OpenRun(Arc<Mutex<Option<StartedRun>>>);

impl OpenRun {
    /// Begins to ask, where the record doesn't know.
    pub(super) fn of(run: StartedRun, image: &PinnedImage, project: PathBuf) -> Self {
        let is_unknown = run.record().image.digest.is_some();
        let open = Arc::new(Mutex::new(Some(run)));
        if is_unknown && image.registry_may_tell {
            let (run, image) = (Arc::clone(&open), image.clone());
            thread::spawn(move || {
                let Some(learned) = ask(&image, &project) else {
                    return;
                };
                let mut run = run.lock().unwrap_or_else(PoisonError::into_inner);
                if let Some(run) = run.as_mut() {
                    run.tell_apart(learned);
                }
            });
        }
        Self(open)
    }

    /// What is known by now; nothing is waited for but a record that is being written.
    pub(super) fn close(self) -> StartedRun {
        let mut run = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        run.take().expect("closed once")
    }
}

/// The digests of the image, told apart; without its reference.
fn ask(image: &PinnedImage, project: &Path) -> Option<RunImage> {
    let reference = RegistryError::reference(&image.start).ok()?;
    let registry = RegistryArgs::default().client(project).ok()?;
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .ok()?;
    let images = registry.images(&reference, image.platform.as_ref());
    let images = runtime.block_on(images).ok()?;
    let [found] = &images[..] else {
        return None;
    };
    let manifest = found.manifest.digest().clone();
    let named = reference.digest()?;
    let mut learned = RunImage {
        index: (manifest.as_ref() != named)
            .then(|| named.parse().ok())
            .flatten(),
        ..RunImage::default()
    };
    let config = found.config.digest().clone();
    let platform = RunPlatform { manifest, config };
    learned
        .platforms
        .insert(platform_name(&found.platform), platform);
    Some(learned)
}
