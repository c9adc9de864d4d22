//! Which packages an image gets, found out on this machine: uv resolves for a base whose Python and platform
//! are read from its layers. No container is started, and no code of a package is run: where a
//! package tells what it needs by its code alone, a base has to be asked ([`crate::lock`]).
//!
//! | step | file |
//! | --- | --- |
//! | uv, one of the files that this version of mlbuild names by hash | `program` |
//! | the base's Python, as uv asks for it | `interpreter` |
//! | the question to uv, in a folder of its own | `question` |
//! | whether the base has the libraries that packages look for | `libraries` |
//! | what stays of uv for the next search | `kept` |

mod interpreter;
mod kept;
mod libraries;
mod program;
mod question;

use std::collections::BTreeSet;

use futures::stream::{self, StreamExt as _, TryStreamExt as _};
use mlbuild_manifests::lock::{PinnedFile, Pins};
use mlbuild_templates::PackageRequest;
use mlbuild_templates::project::{FilePlace, PylockFile, PylockPython, files_of_pylock};
use mlbuild_templates::spec::PythonEnvironment;
use mlbuild_wheels::{Tags, WheelName};
use tokio_util::sync::CancellationToken;
use url::Url;

pub use self::kept::{PrunedTools, prune_tools};
pub use self::question::preferred_versions;
use crate::assemble::BaseFacts;
use crate::host::HostSettings;
use crate::package_index::{IndexError, PackageIndex, WantedFile};
use crate::package_store::{Store, StoreError};

/// Files that are fetched at once.
const AT_ONCE: usize = 6;

/// What is to be resolved, and for which base.
pub struct ResolveQuestion<'a> {
    /// The packages that are asked for.
    pub request: &'a PackageRequest,
    /// The project's files that say which, by their paths in it.
    pub files: Vec<(String, Vec<u8>)>,
    /// A time as RFC 3339 has it: what was offered later isn't looked at.
    pub as_of: Option<String>,
    /// Packages whose versions are taken where they can be: those of another platform.
    pub like: &'a [PinnedFile],
    /// The network of this machine.
    pub host: &'a HostSettings,
    /// The base.
    pub facts: &'a BaseFacts,
    /// Earlier answers of the base that lacked no library: the hashes of their wheels.
    pub complete: Vec<BTreeSet<String>>,
    /// Where packages are kept.
    pub store: &'a Store,
    /// Stops it.
    pub cancel: CancellationToken,
}

/// Why packages aren't resolved on this machine.
#[derive(Debug, thiserror::Error)]
pub enum NotResolved {
    /// A base has to be asked: it can, or says what is wrong.
    #[error("{0}")]
    Elsewhere(String),
    /// A wheel that nothing can be installed from.
    #[error("{0}")]
    BadWheel(String),
    /// Whoever asked cancelled it.
    #[error("cancelled")]
    Cancelled,
    /// The store of packages can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<IndexError> for NotResolved {
    fn from(error: IndexError) -> Self {
        match error {
            IndexError::Store(error) => Self::Store(error),
            other => Self::Elsewhere(other.to_string()),
        }
    }
}

/// Refuses what only the base can tell, as far as that is known before its layers are read.
///
/// # Errors
/// The reason, for people.
pub fn check_request(request: &PackageRequest) -> Result<(), String> {
    let refused = if request.environment != Some(PythonEnvironment::Venv) {
        "its packages go into the base's own Python"
    } else if request.by_pip {
        "pip is to resolve them"
    } else if !request.conda.is_empty() {
        "packages of conda's channels are asked for"
    } else if !request.apt.is_empty() {
        "Debian packages are asked for"
    } else if request.compiles {
        "something has to be compiled"
    } else if !request.builders.is_empty() {
        "the project itself is built and installed"
    } else {
        return Ok(());
    };
    Err(refused.to_owned())
}

impl ResolveQuestion<'_> {
    /// Resolves, and fetches what the store lacks.
    ///
    /// # Errors
    /// [`NotResolved`].
    pub async fn answer(&self) -> Result<Pins, NotResolved> {
        check_request(self.request).map_err(NotResolved::Elsewhere)?;
        self.check_base()?;
        let index = PackageIndex::of(self.host)?;
        let uv = program::of_this_machine(self.facts, &index, self.store).await?;
        let text = question::ask(self, &uv.path).await?;
        let facts = self.facts;
        let tags = Tags::of(facts.python, &facts.platform);
        let python = PylockPython {
            version: &facts.venv.version,
            machine: &facts.platform.machine,
            tags: &tags,
        };
        let found = files_of_pylock(&text, python, self.request.project.is_some());
        let found = found.map_err(NotResolved::Elsewhere)?;
        check_files(&found)?;
        let python_packages = self.fetch(&index, &found).await?;
        let lacking = tokio::task::block_in_place(|| libraries::lacking(self, &python_packages))?;
        if !lacking.is_empty() {
            let few: Vec<&str> = lacking.iter().take(3).map(String::as_str).collect();
            let few = few.join(", ");
            return elsewhere(format!(
                "its packages look for libraries that the base may lack: {few}"
            ));
        }
        let pins = Pins {
            python: Some(facts.venv.version.clone()),
            pip: facts.bundled_version("pip"),
            uv: Some(uv.pinned),
            python_packages,
            ..Pins::default()
        };
        pins.check()
            .map_err(|why| NotResolved::Elsewhere(why.to_string()))?;
        Ok(pins)
    }

    fn check_base(&self) -> Result<(), NotResolved> {
        let version = &self.facts.venv.version;
        if !self.facts.has_ensurepip() {
            return elsewhere("the base's Python has no ensurepip".to_owned());
        }
        if let Some(wanted) = &self.request.python
            && !format!("{version}.").starts_with(&format!("{wanted}."))
        {
            return elsewhere(format!(
                "Python {wanted} is asked for, and the base has {version}"
            ));
        }
        Ok(())
    }

    async fn fetch(
        &self,
        index: &PackageIndex,
        found: &[PylockFile],
    ) -> Result<Vec<PinnedFile>, NotResolved> {
        let one = |file: PylockFile| async move {
            let here = self.store.size_of(&file.sha256);
            let size = match here.filter(|size| file.size.is_none_or(|known| known == *size)) {
                Some(size) => size,
                None => self.fetch_one(index, &file).await?,
            };
            Ok::<_, NotResolved>(PinnedFile {
                name: file.name,
                version: file.version,
                file: file.file,
                sha256: file.sha256,
                size,
                source: false,
                build_only: false,
            })
        };
        let all = stream::iter(found.iter().cloned().map(one)).buffered(AT_ONCE);
        tokio::select! {
            biased;
            () = self.cancel.cancelled() => Err(NotResolved::Cancelled),
            all = all.try_collect() => all,
        }
    }

    /// What a path of the answer is called in the project. A lock of the project's own counts from its folder.
    fn name_in_project(&self, path: &str) -> String {
        let path = path.strip_prefix("./").unwrap_or(path);
        match &self.request.pylock {
            Some(lock) => match lock.rsplit_once('/') {
                Some((folder, _)) => format!("{folder}/{path}"),
                None => path.to_owned(),
            },
            None => path
                .strip_prefix(question::FILES)
                .unwrap_or(path)
                .to_owned(),
        }
    }

    /// Takes a file that the store lacks; returns its bytes.
    async fn fetch_one(&self, index: &PackageIndex, file: &PylockFile) -> Result<u64, NotResolved> {
        let url = match &file.place {
            FilePlace::Url(url) => url,
            FilePlace::Path(path) => {
                let wanted = self.name_in_project(path);
                let own = self.files.iter().find(|(name, _)| *name == wanted);
                let Some((name, content)) = own else {
                    return elsewhere(format!("{} is a file of this machine", file.file));
                };
                let taken = tokio::task::block_in_place(|| {
                    self.store.take(name, &content[..], Some(&file.sha256))
                });
                return Ok(taken?.1);
            }
        };
        let url = Url::parse(url)
            .map_err(|_| NotResolved::Elsewhere(format!("{} has no address", file.file)))?;
        let wanted = WantedFile {
            url: &url,
            name: &file.file,
            sha256: &file.sha256,
            size: file.size,
        };
        Ok(index.fetch(wanted, self.store).await?)
    }
}

/// Only wheels, of indexes or of the project.
fn check_files(files: &[PylockFile]) -> Result<(), NotResolved> {
    for file in files {
        if !file.is_wheel {
            return elsewhere(format!("{} has no wheel for the base", file.name));
        }
        WheelName::parse(&file.file).map_err(|error| NotResolved::Elsewhere(error.to_string()))?;
        let is_hash = file.sha256.len() == 64
            && file
                .sha256
                .bytes()
                .all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !is_hash {
            return elsewhere(format!("{} has no sha256", file.file));
        }
        if let FilePlace::Url(url) = &file.place
            && !url.starts_with("https://")
            && !url.starts_with("http://")
        {
            return elsewhere(format!("{} is a file of this machine", file.file));
        }
    }
    Ok(())
}

fn elsewhere<T>(why: String) -> Result<T, NotResolved> {
    Err(NotResolved::Elsewhere(why))
}
