//! Packages of a build that has no pins: looked for once, and kept on this machine by what was asked, as a
//! builder keeps its steps. A lock has no part in it.

use std::path::Path;

use jiff::Timestamp;
use mlbuild_manifests::lock::{ASSEMBLE, LockedBuild, Pins};
use serde::{Deserialize, Serialize};

use super::LockingError;
use super::locker::Locker;
use crate::builder::{self, BuilderError};
use crate::env_vars;
use crate::package_store::Store;
use crate::plan::NoCache;
use crate::planning::build_plan::NATIVE;
use crate::settings::Method;

/// More than the pins of thousands of packages take, in bytes.
const MOST_BYTES: u64 = 16 << 20;

/// Searches that are kept.
const MOST_KEPT: usize = 500;

/// What a search found.
#[derive(Debug, Serialize, Deserialize)]
struct KeptSearch {
    /// When it was asked, in seconds since 1970-01-01.
    at: i64,
    /// When the newest Debian package was made, in the same.
    newest: i64,
    pins: Pins,
}

/// The packages of one build.
pub struct FoundPackages {
    /// As a lock would have them.
    pub build: LockedBuild,
    /// When they were looked for; `None`: just now.
    pub kept_since: Option<Timestamp>,
}

impl Locker<'_> {
    /// The packages of a build for one platform that has no pins. What was found for the same question
    /// is taken again while its files are here, unless a build is to look at everything anew. The time
    /// that no time in the image is past is the given one, else that of the search: a commit that
    /// changes nothing else gives the same image. Without a platform, one that is certainly assembled is
    /// for this machine's; one that a builder may make is for the builder's.
    ///
    /// # Errors
    /// Where a builder is needed and can't be had, or a package can't be had.
    pub async fn of_this_build(&self) -> Result<FoundPackages, LockingError> {
        let mut connected = None;
        let platform = match self.settings.build.platforms.first() {
            Some(asked) => asked.clone(),
            None if self.settings.build.method == Method::Assemble => NATIVE.to_owned(),
            None => match builder::connect_quietly(&self.settings.build).await {
                Ok(found) => {
                    let names = found.builder.target_platforms(&self.plan()?);
                    connected = Some(found);
                    names.into_iter().next().unwrap_or_else(|| NATIVE.into())
                }
                Err(BuilderError::Cancelled) => return Err(BuilderError::Cancelled.into()),
                Err(_) => NATIVE.to_owned(),
            },
        };
        self.platforms(std::slice::from_ref(&platform))?;
        let name = self.question_digest(&platform)?;
        let file = env_vars::state_dir().map(|state| state.join("resolved").join(name));
        let kept = file.as_ref().filter(|_| self.takes_kept());
        if let Some(kept) = kept.and_then(|file| read(file)) {
            let kept_since = Timestamp::from_second(kept.at).ok();
            let build = self.build_of(kept, platform)?;
            return Ok(FoundPackages { build, kept_since });
        }
        let connection = match connected {
            Some(connection) => connection,
            None => builder::connect_or_start(&self.settings.build, self.reporter).await?,
        };
        let answer = self
            .search(&connection.builder, &platform, self.as_of)
            .await?;
        let found = KeptSearch {
            at: Timestamp::now().as_second(),
            newest: answer.newest,
            pins: answer.pins,
        };
        if let Some(file) = &file {
            keep(file, &found);
        }
        Ok(FoundPackages {
            build: self.build_of(found, platform)?,
            kept_since: None,
        })
    }

    fn takes_kept(&self) -> bool {
        let settings = self.settings;
        let is_anew = settings.build.pull || !settings.lock.upgrade.is_empty();
        !is_anew && settings.build.no_cache == NoCache::Off
    }

    fn build_of(&self, found: KeptSearch, platform: String) -> Result<LockedBuild, LockingError> {
        let given = self.settings.build.source_date_epoch.unwrap_or(found.at);
        let now = Timestamp::now().as_second();
        Ok(LockedBuild {
            request: self.request()?,
            epoch: given.max(found.newest).min(now),
            media_types: "oci".into(),
            compression: "zstd".into(),
            level: 3,
            as_of: self.as_of,
            method: Some(ASSEMBLE.to_owned()),
            bytecode: true,
            vendored: None,
            platforms: [(platform, found.pins)].into(),
        })
    }
}

/// Without it the packages are looked for again: a folder that can't be written to stops no build.
fn keep(file: &Path, found: &KeptSearch) {
    let Some(folder) = file.parent() else { return };
    if std::fs::create_dir_all(folder).is_ok() {
        let text = serde_json::to_vec(found).expect("pins are plain data");
        let _ = mlbuild_manifests::atomic::replace(file, &text);
        forget(folder, MOST_KEPT);
    }
}

/// Removes the oldest searches of more than `most`.
fn forget(folder: &Path, most: usize) {
    let files = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut files: Vec<_> = files
        .filter_map(|file| Some((file.metadata().ok()?.modified().ok()?, file.path())))
        .collect();
    files.sort();
    let surplus = files.len().saturating_sub(most);
    for (_, file) in files.into_iter().take(surplus) {
        let _ = std::fs::remove_file(file);
    }
}

/// What was found before, as long as its files are all here.
fn read(file: &Path) -> Option<KeptSearch> {
    if std::fs::metadata(file).ok()?.len() > MOST_BYTES {
        return None;
    }
    let found: KeptSearch = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
    let store = Store::open().ok()?;
    let is_here = |(sha256, size): (&str, u64)| store.has(sha256, size);
    let is_whole = found.pins.check().is_ok() && found.pins.files().all(is_here);
    is_whole.then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_searches_stay_and_damaged_ones_are_none() {
        let folder = tempfile::tempdir().unwrap();
        let start = std::time::SystemTime::UNIX_EPOCH;
        for n in 0..5 {
            let file = std::fs::File::create(folder.path().join(n.to_string())).unwrap();
            let age = std::time::Duration::from_secs(10 - n);
            file.set_modified(start + age).unwrap();
        }
        forget(folder.path(), 2);
        let mut left: Vec<_> = std::fs::read_dir(folder.path())
            .unwrap()
            .map(|file| file.unwrap().file_name())
            .collect();
        left.sort();
        assert_eq!(left, ["0", "1"]);
        let file = folder.path().join("0");
        for damaged in [
            "",
            "{}",
            "[1]",
            r#"{"at": 1, "newest": 0, "pins": {"python_packages": [{"name": "../x"}]}}"#,
        ] {
            std::fs::write(&file, damaged).unwrap();
            assert!(read(&file).is_none(), "{damaged}");
        }
        assert!(read(folder.path()).is_none());
    }
}
