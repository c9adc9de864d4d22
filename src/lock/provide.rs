//! Pinned packages that this machine doesn't have yet: from whoever has them, checked by hash.

use futures::stream::{self, StreamExt as _};
use mlbuild_manifests::lock::{LockedBuild, PinnedFile, Pins};
use mlbuild_wheels::normalize;
use sha2::{Digest as _, Sha256};

use super::ask::Question;
use super::{LockingError, vendor};
use crate::builder::{Builder, BuilderError};
use crate::host::HostSettings;
use crate::package_index::{IndexError, PackageIndex, WantedFile};
use crate::package_store::{Store, read_fetched};
use crate::planning::locked::{LockedPlan, files};
use crate::registry::Registry;
use crate::reporter::Reporter;
use crate::settings::ImageSettings;

/// Files that are fetched at once.
const AT_ONCE: usize = 6;

/// What fetches packages, and for whom.
#[derive(Clone, Copy)]
pub struct Fetch<'a> {
    /// Settings of the image.
    pub settings: &'a ImageSettings,
    /// The host's network.
    pub host: &'a HostSettings,
    /// Registries: the image's may have its packages.
    pub registry: &'a Registry,
    /// Asks the archives, from inside the base.
    pub builder: &'a Builder,
    /// Takes what there is to tell.
    pub reporter: &'a dyn Reporter,
}

impl Fetch<'_> {
    /// Makes the folder that a locked build mounts. What this machine lacks comes from beside the
    /// image where the lock says so, else from the archives and indexes that the machine has set up.
    ///
    /// # Errors
    /// [`crate::error::ErrorKind::Difference`] for a file that isn't the pinned one, both hashes shown;
    /// where nobody has a file any more, its name.
    pub async fn provide(
        &self,
        locked: &LockedPlan,
        build: &LockedBuild,
    ) -> Result<(), LockingError> {
        let pins = &build.platforms[&locked.platform];
        from_project(self.settings, locked, build)?;
        from_beside(self.settings, self.registry, locked, build, self.reporter).await?;
        let missing = locked.view.missing().len();
        if missing > 0 {
            self.reporter
                .note(format!("fetching {missing} pinned packages"));
            let request = locked.composed.request.as_ref();
            let question = Question {
                settings: self.settings,
                host: self.host,
                request: request.expect("only composed images have packages"),
                base: locked.base.as_deref().ok_or(LockingError::BaseWithoutPin)?,
                platform: &locked.platform,
                as_of: build.as_of,
                reporter: self.reporter,
            };
            fetch(&question, self.builder, pins).await?;
        }
        let lock = self.settings.lock.file.as_deref();
        let served = lock.map_or(Ok(()), |lock| locked.view.store().serves(lock));
        served?;
        Ok(locked.view.make().map(drop)?)
    }
}

/// Takes packages that this machine lacks and that lie in the project itself: no index has those.
///
/// # Errors
/// A disk that is full.
pub fn from_project(
    settings: &ImageSettings,
    locked: &LockedPlan,
    build: &LockedBuild,
) -> Result<(), LockingError> {
    let store = locked.view.store();
    let packages = &build.platforms[&locked.platform].python_packages;
    let lacks = |file: &&PinnedFile| !store.has(&file.sha256, file.size);
    let missing: Vec<&PinnedFile> = packages.iter().filter(lacks).collect();
    let Some(request) = locked
        .composed
        .request
        .as_ref()
        .filter(|_| !missing.is_empty())
    else {
        return Ok(());
    };
    // Where the project isn't at hand, or no longer as it was, others have to have them.
    for (name, content) in files(settings, request).unwrap_or_default() {
        let is_it = |file: &&&PinnedFile| {
            name.rsplit('/').next() == Some(&file.file) && file.size == content.len() as u64
        };
        let Some(pinned) = missing.iter().find(is_it) else {
            continue;
        };
        // Another one of the same name is for whoever looks at the lock's age to tell.
        if hex::encode(Sha256::digest(&content)) == pinned.sha256 {
            store.take(&name, &content[..], Some(&pinned.sha256))?;
        }
    }
    Ok(())
}

/// Takes packages that this machine lacks from beside the image, where the lock says that they are
/// there.
///
/// # Errors
/// A file that isn't the pinned one.
pub async fn from_beside(
    settings: &ImageSettings,
    registry: &Registry,
    locked: &LockedPlan,
    build: &LockedBuild,
    reporter: &dyn Reporter,
) -> Result<(), LockingError> {
    if build.vendored.is_none() || locked.view.missing().is_empty() {
        return Ok(());
    }
    let pins = &build.platforms[&locked.platform];
    let taken = vendor::fetch(registry, &settings.tags[0], pins).await?;
    reporter.note(format!(
        "{taken} pinned packages came from beside the image"
    ));
    Ok(())
}

/// Takes wheels that this machine lacks from its package indexes, without a builder; those that no index has
/// stay away. `files`: their hashes (hex) and sizes. Says why one couldn't be asked for.
///
/// # Errors
/// A file of the right name that isn't the pinned one, and a disk that is full.
pub async fn from_indexes(
    host: &HostSettings,
    locked: &LockedPlan,
    pins: &Pins,
    files: &[(String, u64)],
    reporter: &dyn Reporter,
) -> Result<Option<String>, LockingError> {
    let store = locked.view.store();
    let is_asked = |sha256: &str| files.iter().any(|(wanted, _)| wanted == sha256);
    let missing: Vec<&PinnedFile> = pins
        .python_packages
        .iter()
        .filter(|file| {
            !file.source && is_asked(&file.sha256) && !store.has(&file.sha256, file.size)
        })
        .collect();
    if missing.is_empty() {
        return Ok(None);
    }
    let index = match PackageIndex::of(host) {
        Ok(index) => index,
        Err(error) => return Ok(Some(error.to_string())),
    };
    reporter.note(format!("fetching {} pinned packages", missing.len()));
    let one = |file: &PinnedFile| {
        let (index, file) = (&index, file.clone());
        async move {
            let url = index.find(&normalize(&file.name), &file.file).await?;
            let Some(url) = url else { return Ok(()) };
            let wanted = WantedFile {
                url: &url,
                name: &file.file,
                sha256: &file.sha256,
                size: Some(file.size),
            };
            index.fetch(wanted, store).await.map(drop)
        }
    };
    let all: Vec<_> = missing.into_iter().map(one).collect();
    let cancel = reporter.cancellation();
    let all: Vec<Result<(), IndexError>> = tokio::select! {
        biased;
        () = cancel.cancelled() => return Err(BuilderError::Cancelled.into()),
        all = stream::iter(all).buffered(AT_ONCE).collect() => all,
    };
    let mut failed = None;
    for result in all {
        match result {
            Ok(()) => {}
            Err(IndexError::Store(error)) => return Err(error.into()),
            // A builder's packages would find no room either.
            Err(IndexError::Folder(error)) => return Err(LockingError::TemporaryFolder(error)),
            Err(error) => failed = failed.or(Some(error.to_string())),
        }
    }
    Ok(failed)
}

/// Asks the sources of the base image, with this machine's settings.
async fn fetch(
    question: &Question<'_>,
    builder: &Builder,
    pins: &Pins,
) -> Result<(), LockingError> {
    let store = Store::open()?;
    let lacks = |sha256: &str, size| !store.has(sha256, size);
    let mut apt = String::new();
    // Python's packages are looked for where the distribution's are installed.
    let python_lacks = pins.python_files().any(|f| lacks(&f.sha256, f.size));
    for deb in &pins.apt {
        if python_lacks || lacks(&deb.sha256, deb.size) {
            apt.push_str(&format!("{} {} {}\n", deb.file(), deb.path, deb.sha256));
        }
    }
    // Packages of the package index are looked for by conda's own Python, where it has one.
    let python_is_condas = python_lacks && pins.conda.iter().any(|p| p.name == "python");
    let rattler_lacks = pins.rattler.iter().any(|f| lacks(&f.sha256, f.size));
    let mut conda = String::new();
    for package in &pins.conda {
        if python_is_condas || rattler_lacks || lacks(&package.sha256, package.size) {
            conda.push_str(&format!("sha256:{} - {}\n", package.sha256, package.url));
        }
    }
    let rattler = pins.rattler.iter().map(|file| {
        format!(
            "py-rattler=={} --hash=sha256:{}\n",
            file.version, file.sha256
        )
    });
    let mut python = String::new();
    for file in pins.python_files().filter(|f| lacks(&f.sha256, f.size)) {
        let is_uv = pins.uv.as_ref() == Some(file);
        let (folder, kind) = (
            if is_uv { "uv" } else { "wheels" },
            if file.source { "source" } else { "wheel" },
        );
        python.push_str(&format!(
            "{folder}\t{}\t{}\t{}\t{kind}\n",
            file.name, file.version, file.sha256
        ));
    }
    let mut more = vec![
        ("apt.pins", apt.into_bytes()),
        ("python.pins", python.into_bytes()),
    ];
    if !pins.conda.is_empty() {
        more.push(("rattler.txt", rattler.collect::<String>().into_bytes()));
        more.push(("conda.pins", conda.into_bytes()));
    }
    let answer = question.ask(builder, &more).await?;
    let gone = read_fetched(answer.path(), pins, &store)?;
    if gone.is_empty() {
        Ok(())
    } else {
        Err(LockingError::Gone { files: gone })
    }
}
