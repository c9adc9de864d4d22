//! Packages of a build that has no pins: looked for once, and kept on this machine by what was asked, as a
//! builder keeps its steps. A lock has no part in it.

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use mlbuild_manifests::lock::{ASSEMBLE, LockedBuild, PinnedFile};
use mlbuild_progress::printable;
use sha2::{Digest as _, Sha256};

use super::LockingError;
use super::here::{Asked, Here, SearchBuilder};
use super::locker::Locker;
use super::searches::{KeptSearch, keep, read};
use super::together;
use crate::env_vars;
use crate::plan::{Compression, NoCache};
use crate::settings::Method;

/// The packages of one build.
pub struct FoundPackages {
    /// As a lock would have them.
    pub build: LockedBuild,
    /// When they were looked for; `None`: just now.
    pub kept_since: Option<Timestamp>,
}

impl Locker<'_> {
    /// The packages of a build that has no pins, for each of its platforms. What was found for the same question
    /// is taken again while its files are here, unless a build is to look at everything anew. The time
    /// that no time in the image is past is the given one, else that of the search: a commit that
    /// changes nothing else gives the same image. Without a platform, one that is certainly assembled is
    /// for this machine's; one that a builder may make is for the builder's.
    ///
    /// The inner error says why the base would have to be asked, where the builder may as well make the image.
    ///
    /// # Errors
    /// Where a builder is needed and can't be had, or a package can't be had.
    pub async fn of_this_build(&self) -> Result<Result<FoundPackages, String>, LockingError> {
        let mut builder = SearchBuilder::default();
        let names = self.platforms_of_build().await?;
        let mut found: Vec<KeptSearch> = Vec::new();
        let mut is_kept = true;
        for platform in self.platforms(&names)? {
            let like = self.preferred(platform, &found);
            let asked = self.asked_like(platform, &like);
            let file = self.file_of(asked)?;
            let one = match self.kept_in(file.as_deref()) {
                Some(kept) => kept,
                None => {
                    is_kept = false;
                    match self.looked_for(&mut builder, asked, file).await? {
                        Ok(one) => one,
                        Err(why) if names.len() > 1 => {
                            return Ok(Err(format!("{platform}: {why}")));
                        }
                        Err(why) => return Ok(Err(why)),
                    }
                }
            };
            found.push(one);
        }
        let at = found.iter().map(|one| one.at).max().unwrap_or_default();
        let build = self.build_of(found)?;
        self.tell_versions(&build.platforms);
        Ok(Ok(FoundPackages {
            build,
            kept_since: Timestamp::from_second(at).ok().filter(|_| is_kept),
        }))
    }

    /// The packages of such a build, as far as they were found before and would be taken again.
    ///
    /// # Errors
    /// As [`Locker::of_this_build`].
    pub async fn kept_of_this_build(&self) -> Result<Option<LockedBuild>, LockingError> {
        let names = self.platforms_of_build().await?;
        let mut found: Vec<KeptSearch> = Vec::new();
        for platform in self.platforms(&names)? {
            let like = self.preferred(platform, &found);
            let file = self.file_of(self.asked_like(platform, &like))?;
            match self.kept_in(file.as_deref()) {
                Some(kept) => found.push(kept),
                None => return Ok(None),
            }
        }
        self.build_of(found).map(Some)
    }

    /// The versions of what was found for other platforms, and of the project's other images.
    fn preferred(&self, platform: &str, found: &[KeptSearch]) -> Vec<PinnedFile> {
        let first = found.first().map(|first| &first.pins);
        together::preferred(first, self.like, platform)
    }

    fn asked_like<'b>(&self, platform: &'b str, like: &'b [PinnedFile]) -> Asked<'b> {
        Asked {
            platform,
            as_of: self.as_of,
            like,
        }
    }

    /// Looks for the packages of one platform, and keeps what is found.
    async fn looked_for(
        &self,
        builder: &mut SearchBuilder,
        asked: Asked<'_>,
        file: Option<PathBuf>,
    ) -> Result<Result<KeptSearch, String>, LockingError> {
        let answer = match self.method {
            Method::Auto => match Box::pin(self.search_here(asked)).await? {
                Here::Found(answer) => *answer,
                Here::Elsewhere(why) => {
                    let why = why.unwrap_or_else(|| "its base has to be asked".to_owned());
                    return Ok(Err(printable::line(&why).into_owned()));
                }
            },
            _ => self.search(builder, asked).await?,
        };
        self.warn_of_source_archives(&answer.pins, asked.platform);
        let has_debian = !answer.pins.apt.is_empty();
        let found = KeptSearch {
            at: Timestamp::now().as_second(),
            newest: answer.newest,
            pins: answer.pins,
            base: self.base()?.unwrap_or_default(),
            platform: asked.platform.to_owned(),
            // Debian packages were installed before libraries were looked for: another search may lack them.
            has_libraries: answer.has_libraries && !has_debian,
        };
        if let Some(file) = &file {
            keep(file, &found);
        }
        Ok(Ok(found))
    }

    /// Where the packages of one platform are kept in mind: by the question, and by the versions that are to
    /// be taken where they can be.
    fn file_of(&self, asked: Asked<'_>) -> Result<Option<PathBuf>, LockingError> {
        let mut name = self.question_digest(asked.platform)?;
        if !asked.like.is_empty() {
            let versions = asked.like.iter().map(|p| (&p.name, &p.version));
            let versions: Vec<_> = versions.collect();
            name = hex::encode(Sha256::digest(format!("{name} {versions:?}")));
        }
        Ok(env_vars::state_dir().map(|state| state.join("resolved").join(name)))
    }

    fn kept_in(&self, file: Option<&Path>) -> Option<KeptSearch> {
        read(file.filter(|_| self.takes_kept())?)
    }

    fn takes_kept(&self) -> bool {
        let settings = self.settings;
        let is_anew = settings.build.pull || !settings.lock.upgrade.is_empty();
        !is_anew && settings.build.no_cache == NoCache::Off
    }

    fn build_of(&self, found: Vec<KeptSearch>) -> Result<LockedBuild, LockingError> {
        let at = found.iter().map(|one| one.at).max().unwrap_or_default();
        let newest = found.iter().map(|one| one.newest).max().unwrap_or_default();
        let given = self.settings.build.source_date_epoch.unwrap_or(at);
        // Layers of wheels have one form for each compression.
        let (compression, level) = match self.settings.build.repack {
            Some(Compression::Gzip(_)) => ("gzip", 6),
            Some(Compression::Estargz) => ("estargz", 6),
            Some(Compression::ZstdChunked) => ("zstd:chunked", 3),
            _ => ("zstd", 3),
        };
        let now = Timestamp::now().as_second();
        Ok(LockedBuild {
            request: self.request()?,
            epoch: given.max(newest).min(now),
            media_types: "oci".into(),
            compression: compression.into(),
            level,
            as_of: self.as_of,
            method: Some(ASSEMBLE.to_owned()),
            bytecode: true,
            vendored: None,
            platforms: found
                .into_iter()
                .map(|one| (one.platform, one.pins))
                .collect(),
        })
    }
}
