//! The digest of the files that a build reads, and whether they stood still meanwhile.

use std::path::PathBuf;

use mlbuild_buildkit::fsutil::{ContextSelection, Fingerprint, fingerprint};
use mlbuild_templates::compose::INPUTS_CONTEXT;
use oci_spec::image::Digest;
use sha2::{Digest as _, Sha256};

use super::PlanningError;
use crate::env_vars;
use crate::plan::{BuildPlan, Context};
use crate::settings::ImageSettings;

/// The contexts as they were before the build.
pub struct Before {
    folders: Vec<Folder>,
    digest: Option<Digest>,
    transfer_key: String,
    is_local: bool,
}

struct Folder {
    name: String,
    selection: ContextSelection,
    cache: Option<PathBuf>,
}

impl Before {
    /// Reads the contexts of a plan.
    ///
    /// # Errors
    /// Where a file that the build would send can't be read; it is named.
    pub fn look(settings: &ImageSettings, plan: &BuildPlan) -> Result<Self, PlanningError> {
        let mut folders = Vec::new();
        let mut is_local = true;
        let main = (String::new(), &plan.context);
        let named = plan
            .named_contexts
            .iter()
            .map(|(name, context)| (name.clone(), context));
        for (name, context) in std::iter::once(main).chain(named) {
            // Known by its pins.
            if name == INPUTS_CONTEXT {
                continue;
            }
            match context {
                Context::Folder { path } => {
                    let mut selection = ContextSelection {
                        root: path.clone(),
                        normalise: plan.normalise(),
                        ..ContextSelection::default()
                    };
                    if let (true, Some(ignore)) = (name.is_empty(), &plan.dockerfile.ignore) {
                        selection.ignore = Some((ignore.name.clone(), ignore.text.clone()));
                    }
                    folders.push(Folder {
                        cache: context_cache(&name, path),
                        name,
                        selection,
                    });
                }
                Context::Empty => {}
                Context::OciLayout { .. } | Context::Stdin | Context::Remote { .. } => {
                    is_local = false
                }
            }
        }
        // With nothing to compare it to and nowhere to write it, nobody needs it.
        let wanted = settings.lock.file.is_some();
        let mut before = Before {
            folders,
            digest: None,
            transfer_key: String::new(),
            is_local,
        };
        if wanted && let Some((digest, key)) = before.now()? {
            before.digest = Some(digest);
            before.transfer_key = key;
        }
        Ok(before)
    }

    /// The digest of all files; `None` where there are none or they aren't on this machine.
    pub fn digest(&self) -> Option<Digest> {
        self.digest.clone()
    }

    /// Belongs into the session's shared key: without it, a builder that has these
    /// folders already would miss an edit that keeps a file's size and time.
    pub fn transfer_key(&self) -> &str {
        &self.transfer_key
    }

    /// The digest, if it is the same now as before the build: else nobody knows
    /// which state of the files was built, and the lock must not name one.
    ///
    /// # Errors
    /// As [`Before::look`].
    pub fn unchanged(&self) -> Result<Option<Digest>, PlanningError> {
        match &self.digest {
            Some(digest) => Ok(self.now()?.map(|(now, _)| now).filter(|now| now == digest)),
            None => Ok(None),
        }
    }

    /// The digest now, and the transfer key.
    fn now(&self) -> Result<Option<(Digest, String)>, PlanningError> {
        if !self.is_local || self.folders.is_empty() {
            return Ok(None);
        }
        let mut hash = Sha256::new();
        let mut keys = Sha256::new();
        for folder in &self.folders {
            let found: Fingerprint = fingerprint(&folder.selection, folder.cache.as_deref())?;
            hash.update(format!("{}\0{}\n", folder.name, found.digest));
            keys.update(format!("{}\0{}\n", folder.name, found.transfer_key));
        }
        let digest = format!("sha256:{}", hex::encode(hash.finalize()));
        let digest = digest.parse().expect("64 hex digits are a digest");
        Ok(Some((digest, hex::encode(&keys.finalize()[..8]))))
    }
}

/// The file that remembers what was read of a context; `None` where nothing is kept.
pub fn context_cache(name: &str, path: &std::path::Path) -> Option<PathBuf> {
    let mut hash = Sha256::new();
    hash.update(path.as_os_str().as_encoded_bytes());
    hash.update([0]);
    hash.update(name);
    let key = hex::encode(hash.finalize());
    Some(env_vars::cache_dir()?.join("contexts").join(&key[..32]))
}
