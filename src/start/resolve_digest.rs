//! Whether a digest is an index's or a manifest's: the registry is asked while the container runs, so
//! that no start waits for it. Where no registry answers, the record keeps the digest alone.

use std::sync::{Arc, Mutex, PoisonError};

use mlbuild_manifests::run_record::{RunImage, RunPlatform};

use super::image::PinnedImage;
use crate::records::StartedRun;
use crate::registry::{Registry, RegistryError, RegistryOptions, platform_name};

/// A run that was written down, and whose record may still learn more of its image.
pub(super) struct OpenRun(Arc<Mutex<Option<StartedRun>>>);

impl OpenRun {
    /// Begins to ask, where the record doesn't know.
    pub(super) fn of(
        run: StartedRun,
        image: &PinnedImage,
        registry: Option<RegistryOptions>,
    ) -> Self {
        let is_unknown = run.record().image.digest.is_some();
        let open = Arc::new(Mutex::new(Some(run)));
        if let Some(registry) = registry.filter(|_| is_unknown && image.registry_may_tell) {
            let (run, image) = (Arc::clone(&open), image.clone());
            tokio::spawn(async move {
                let Some(learned) = ask(&image, registry).await else {
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

/// The digests of the image: the index's, where it has one, and the manifest's. Without its reference.
async fn ask(image: &PinnedImage, registry: RegistryOptions) -> Option<RunImage> {
    let reference = RegistryError::reference(&image.start).ok()?;
    let registry = Registry::new(registry);
    let images = registry.images(&reference, image.platform.as_ref());
    let images = images.await.ok()?;
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
