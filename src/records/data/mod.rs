//! The data of a run: its fingerprint, taken and compared. `docs/run-records.md` specifies it, so that anyone
//! can compute it again.
//!
//! | | |
//! | --- | --- |
//! | what lies in a folder, in order | `walk` |
//! | a file's samples and its whole content | `content` |
//! | whole contents that were read before | `remembered` |

mod content;
mod remembered;
mod walk;

use std::path::{Component, Path, PathBuf};

use mlbuild_manifests::run_record::RunData;
use mlbuild_secrets::redact;

/// How much of each file is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DataHash {
    /// Three samples.
    #[default]
    Sampled,
    /// All of it, too.
    Full,
}

/// Data that a run is said to have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataWish {
    /// A path from the folder that the run is started in, or an address.
    pub name: String,
    /// How much of it is read.
    pub hash: DataHash,
}

/// Where recorded data may be looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Look {
    /// In the project, and where data was fingerprinted on this machine.
    Known,
    /// Anywhere.
    Anywhere,
}

/// Why data has no fingerprint.
#[derive(Debug, thiserror::Error)]
pub enum DataError {
    /// The file or folder can't be read.
    #[error("{}: {source}", path.display())]
    Read {
        /// The file or folder.
        path: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// It is neither a file nor a folder.
    #[error("{}: it is neither a file nor a folder", path.display())]
    Special {
        /// The path.
        path: PathBuf,
    },
    /// A folder has more entries than there is room for.
    #[error("{}: it has more than {limit} entries", path.display())]
    TooMany {
        /// The folder.
        path: PathBuf,
        /// Most entries of one folder.
        limit: usize,
    },
}

/// What became of data since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataState {
    /// It is as it was.
    Same,
    /// Files were written since, and what is read of them is as it was.
    Touched,
    /// It is other data.
    Changed {
        /// Regular files now.
        files: u64,
        /// Their bytes.
        bytes: u64,
    },
    /// It isn't there.
    Gone,
    /// An address, which isn't looked at.
    NotLookedAt,
    /// It lies outside the project, at a place that nobody on this machine has named: a stranger's record has
    /// no file opened there.
    Elsewhere,
    /// It can't be read now.
    Unknown(String),
}

impl DataState {
    /// One word for scripts.
    pub fn as_str(&self) -> &'static str {
        match self {
            Self::Same => "same",
            Self::Touched => "touched",
            Self::Changed { .. } => "changed",
            Self::Gone => "gone",
            Self::NotLookedAt | Self::Elsewhere => "not-looked-at",
            Self::Unknown(_) => "unknown",
        }
    }
}

/// True for an address: nothing of it is read.
pub fn is_address(name: &str) -> bool {
    name.split_once("://").is_some_and(|(scheme, _)| {
        let is_of_scheme = |c: char| c.is_ascii_alphanumeric() || "+-.".contains(c);
        !scheme.is_empty() && scheme.chars().all(is_of_scheme)
    })
}

/// Takes the fingerprint of data; `folder` is where a path begins, `project` has the record.
///
/// # Errors
/// Where it isn't there or can't be read at all. What can't be read in a folder is said in `left_out`.
pub fn take(wish: &DataWish, folder: &Path, project: &Path) -> Result<RunData, DataError> {
    if is_address(&wish.name) {
        return Ok(RunData {
            name: redact(&wish.name).into_owned(),
            ..RunData::default()
        });
    }
    let path = folder.join(&wish.name);
    let path = std::path::absolute(&path).unwrap_or(path);
    let taken = walk::take(&path, wish.hash)?;
    if !lies_in(&path, project) {
        remembered::give(&path);
    }
    // Another clone has it at the same place in the project.
    let name = match path.strip_prefix(project) {
        Ok(inside) if inside.as_os_str().is_empty() => Path::new("."),
        Ok(inside) => inside,
        Err(_) => &path,
    };
    Ok(RunData {
        name: name.to_string_lossy().into_owned(),
        ..taken
    })
}

/// Whether a path is in a folder, and no link is on the way.
fn lies_in(path: &Path, folder: &Path) -> bool {
    let Ok(inside) = path.strip_prefix(folder) else {
        return false;
    };
    let mut on_the_way = folder.to_owned();
    inside.components().all(|part| {
        on_the_way.push(part);
        let is_link = || std::fs::symlink_metadata(&on_the_way).is_ok_and(|m| m.is_symlink());
        matches!(part, Component::Normal(_)) && !is_link()
    })
}

/// Sees what became of recorded data. Whole contents are read only where files were written since.
pub fn state(data: &RunData, project: &Path, look: Look) -> DataState {
    if data.sample.is_none() {
        return DataState::NotLookedAt;
    }
    let path = project.join(&data.name);
    let path = std::path::absolute(&path).unwrap_or(path);
    let is_known = || lies_in(&path, project) || remembered::is_given(&path);
    if look == Look::Known && !is_known() {
        return DataState::Elsewhere;
    }
    let now = |hash| match walk::take(&path, hash) {
        Ok(now) => Ok(now),
        Err(DataError::Read { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
            Err(DataState::Gone)
        }
        Err(error) => Err(DataState::Unknown(error.to_string())),
    };
    let compared = now(DataHash::Sampled).and_then(|quick| {
        let changed = |now: &RunData| DataState::Changed {
            files: now.files.unwrap_or_default(),
            bytes: now.bytes.unwrap_or_default(),
        };
        if quick.sample != data.sample {
            return Ok(changed(&quick));
        }
        if quick.times == data.times {
            return Ok(DataState::Same);
        }
        if data.full.is_none() {
            return Ok(DataState::Touched);
        }
        let whole = now(DataHash::Full)?;
        Ok(if whole.full == data.full {
            DataState::Touched
        } else {
            changed(&whole)
        })
    });
    compared.unwrap_or_else(|state| state)
}

#[cfg(test)]
mod tests;
