//! Packages of a build that has no pins: looked for once, and kept on this machine by what was asked, as a
//! builder keeps its steps. A lock has no part in it.

use std::path::PathBuf;

use jiff::Timestamp;
use mlbuild_manifests::lock::{ASSEMBLE, LockedBuild};
use mlbuild_progress::printable;

use super::LockingError;
use super::here::{Here, SearchBuilder};
use super::locker::Locker;
use super::searches::{KeptSearch, keep, read};
use crate::env_vars;
use crate::plan::{Compression, NoCache};
use crate::planning::build_plan::NATIVE;
use crate::settings::Method;

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
    ///
    /// The inner error says why the base would have to be asked, where the builder may as well make the image.
    ///
    /// # Errors
    /// Where a builder is needed and can't be had, or a package can't be had.
    pub async fn of_this_build(&self) -> Result<Result<FoundPackages, String>, LockingError> {
        let mut builder = SearchBuilder::default();
        let (platform, file) = self.platform_and_file().await?;
        let kept = file.as_ref().filter(|_| self.takes_kept());
        if let Some(kept) = kept.and_then(|file| read(file)) {
            let kept_since = Timestamp::from_second(kept.at).ok();
            let build = self.build_of(kept, platform)?;
            return Ok(Ok(FoundPackages { build, kept_since }));
        }
        let answer = match self.method {
            Method::Auto => match Box::pin(self.search_here(&platform, self.as_of)).await? {
                Here::Found(answer) => *answer,
                Here::Elsewhere(why) => {
                    let why = why.unwrap_or_else(|| "its base has to be asked".to_owned());
                    return Ok(Err(printable::line(&why).into_owned()));
                }
            },
            _ => self.search(&mut builder, &platform, self.as_of).await?,
        };
        self.warn_of_source_archives(&answer.pins, &platform);
        let has_debian = !answer.pins.apt.is_empty();
        let found = KeptSearch {
            at: Timestamp::now().as_second(),
            newest: answer.newest,
            pins: answer.pins,
            base: self.base()?.unwrap_or_default(),
            platform: platform.clone(),
            // Debian packages were installed before libraries were looked for: another search may lack them.
            has_libraries: answer.has_libraries && !has_debian,
        };
        if let Some(file) = &file {
            keep(file, &found);
        }
        Ok(Ok(FoundPackages {
            build: self.build_of(found, platform)?,
            kept_since: None,
        }))
    }

    /// The packages of such a build, as far as they were found before and would be taken again.
    ///
    /// # Errors
    /// As [`Locker::of_this_build`].
    pub async fn kept_of_this_build(&self) -> Result<Option<LockedBuild>, LockingError> {
        let (platform, file) = self.platform_and_file().await?;
        let file = file.filter(|_| self.takes_kept());
        let kept = file.and_then(|file| read(&file));
        kept.map(|kept| self.build_of(kept, platform)).transpose()
    }

    /// The platform of such a build, and where its packages are kept in mind.
    async fn platform_and_file(&self) -> Result<(String, Option<PathBuf>), LockingError> {
        let platforms = self.platforms_of_build().await?;
        let platform = platforms
            .into_iter()
            .next()
            .unwrap_or_else(|| NATIVE.into());
        self.platforms(std::slice::from_ref(&platform))?;
        let name = self.question_digest(&platform)?;
        let file = env_vars::state_dir().map(|state| state.join("resolved").join(name));
        Ok((platform, file))
    }

    fn takes_kept(&self) -> bool {
        let settings = self.settings;
        let is_anew = settings.build.pull || !settings.lock.upgrade.is_empty();
        !is_anew && settings.build.no_cache == NoCache::Off
    }

    fn build_of(&self, found: KeptSearch, platform: String) -> Result<LockedBuild, LockingError> {
        let given = self.settings.build.source_date_epoch.unwrap_or(found.at);
        // Layers of wheels have one form for each compression.
        let (compression, level) = match self.settings.build.repack {
            Some(Compression::Gzip(_)) => ("gzip", 6),
            _ => ("zstd", 3),
        };
        let now = Timestamp::now().as_second();
        Ok(LockedBuild {
            request: self.request()?,
            epoch: given.max(found.newest).min(now),
            media_types: "oci".into(),
            compression: compression.into(),
            level,
            as_of: self.as_of,
            method: Some(ASSEMBLE.to_owned()),
            bytecode: true,
            vendored: None,
            platforms: [(platform, found.pins)].into(),
        })
    }
}
