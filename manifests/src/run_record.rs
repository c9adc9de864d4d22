//! `mlbuild.runs/<run-id>.toml`: one file per run, written once.
//!
//! A record binds a run to the exact image it used. One file per run merges without
//! conflicts. The image part is written when the image is made; a run that mlbuild
//! starts itself fills in the others. The same record travels with the image as an
//! OCI referrer, so that a run can be restored on another machine.
//!
//! Names of environment variables are recorded, never their values.

use std::collections::BTreeMap;
use std::io;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

use crate::toml_text::{TomlText, bare_or_quoted, quoted};
use crate::{RunId, atomic};

/// The folder that records are kept in, beside the lock file.
pub const FOLDER_NAME: &str = "mlbuild.runs";
/// The format that this version writes, and the newest it reads.
pub const FORMAT_VERSION: u32 = 1;

/// One run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunRecord {
    /// Format number.
    pub version: u32,
    /// The run's id, also the file's name.
    pub id: RunId,
    /// When the run was bound to the image.
    pub created: Timestamp,
    /// Checksum of the image's entry in the lock file at that time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lock: Option<Digest>,
    /// The image.
    pub image: RunImage,
    /// The code's state in version control.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git: Option<GitState>,
    /// What was started, and how.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub command: Option<RunCommand>,
    /// The machine it ran on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub host: Option<RunHost>,
    /// How it went.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outcome: Option<RunOutcome>,
}

/// The image a run is bound to.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunImage {
    /// Reference by which it was asked for, without digest.
    pub reference: String,
    /// Index digest, if the reference names an index.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub index: Option<Digest>,
    /// Manifest and configuration digest for each platform.
    pub platforms: BTreeMap<String, RunPlatform>,
}

/// The image of one platform.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunPlatform {
    /// Digest of the image manifest.
    pub manifest: Digest,
    /// Digest of the image configuration.
    pub config: Digest,
}

/// The code's state in version control.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GitState {
    /// Commit that was checked out.
    pub commit: String,
    /// True if the tree held changes beyond the commit.
    pub dirty: bool,
    /// Those changes as a patch, if they were recorded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub patch: Option<String>,
}

/// What was started, and how.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunCommand {
    /// Program and arguments inside the container.
    pub argv: Vec<String>,
    /// Names of the environment variables that were handed in.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub environment: Vec<String>,
    /// Mounts, as `source:target[:mode]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub mounts: Vec<String>,
    /// Accelerator that was asked for (`cuda`, `rocm`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accelerator: Option<String>,
}

/// The machine a run ran on.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunHost {
    /// Host name.
    pub name: String,
    /// Platform (`linux/amd64`).
    pub platform: String,
    /// Container runtime and its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub runtime: Option<String>,
    /// Devices it had, one line each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub devices: Vec<String>,
}

/// How a run went.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunOutcome {
    /// When it started.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// The container's exit code.
    pub exit_code: i32,
}

/// What binding a run found.
#[derive(Clone, Debug, PartialEq)]
pub enum Binding {
    /// The record was written here.
    New(PathBuf),
    /// The run was bound to the same image before; that record stands.
    Same(PathBuf, Box<RunRecord>),
}

impl RunRecord {
    /// A record that binds a run to an image and says no more yet.
    pub fn new(id: RunId, created: Timestamp, image: RunImage) -> Self {
        let created = Timestamp::from_second(created.as_second()).unwrap_or(created);
        Self {
            version: FORMAT_VERSION,
            id,
            created,
            lock: None,
            image,
            git: None,
            command: None,
            host: None,
            outcome: None,
        }
    }

    /// Where the record of this run lies in `folder`.
    pub fn path(folder: &Path, id: &RunId) -> PathBuf {
        folder.join(format!("{id}.toml"))
    }

    /// Writes the record into `folder`, unless the run is bound already: to the same
    /// manifests, which is fine, or to others, which is an error. An index digest may
    /// differ, because provenance changes it while the images stay the same.
    pub fn bind(&self, folder: &Path) -> Result<Binding, RunRecordError> {
        let path = Self::path(folder, &self.id);
        let fail = |source| RunRecordError::Write {
            path: path.clone(),
            source,
        };
        std::fs::create_dir_all(folder).map_err(fail)?;
        match atomic::create_new(&path, self.to_toml().as_bytes()) {
            Ok(()) => Ok(Binding::New(path)),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                let old = Self::load(&path)?;
                self.same_image_as(&old, &path)?;
                Ok(Binding::Same(path, Box::new(old)))
            }
            Err(source) => Err(fail(source)),
        }
    }

    /// Refuses, as [`RunRecord::bind`] would, if the run is bound to another image;
    /// writes nothing.
    pub fn check(&self, folder: &Path) -> Result<(), RunRecordError> {
        match Self::find(folder, &self.id)? {
            Some(old) => self.same_image_as(&old, &Self::path(folder, &self.id)),
            None => Ok(()),
        }
    }

    /// The record of a run. `Ok(None)`: not bound yet.
    pub fn find(folder: &Path, id: &RunId) -> Result<Option<Self>, RunRecordError> {
        let path = Self::path(folder, id);
        if path.exists() {
            Self::load(&path).map(Some)
        } else {
            Ok(None)
        }
    }

    /// Reads a record.
    pub fn load(path: &Path) -> Result<Self, RunRecordError> {
        let text = std::fs::read_to_string(path).map_err(|source| RunRecordError::Read {
            path: path.to_path_buf(),
            source,
        })?;
        Self::parse(&text, path)
    }

    /// Reads a record's text; `path` names it in errors.
    pub fn parse(text: &str, path: &Path) -> Result<Self, RunRecordError> {
        #[derive(Deserialize)]
        struct Version {
            version: u32,
        }
        let invalid = |e: toml::de::Error| {
            let at = e.span().map_or(0, |s| s.start).min(text.len());
            RunRecordError::Invalid {
                path: path.to_path_buf(),
                line: 1 + text.as_bytes()[..at]
                    .iter()
                    .filter(|&&b| b == b'\n')
                    .count(),
                message: e.message().replace("unknown field", "unknown key"),
            }
        };
        let Version { version } = toml::from_str(text).map_err(invalid)?;
        if version > FORMAT_VERSION {
            return Err(RunRecordError::Newer {
                path: path.to_path_buf(),
                found: version,
            });
        }
        toml::from_str(text).map_err(invalid)
    }

    fn same_image_as(&self, old: &Self, path: &Path) -> Result<(), RunRecordError> {
        let manifests = |record: &Self| -> BTreeMap<String, Digest> {
            let platforms = record.image.platforms.iter();
            platforms
                .map(|(name, p)| (name.clone(), p.manifest.clone()))
                .collect()
        };
        if manifests(self) == manifests(old) {
            return Ok(());
        }
        Err(RunRecordError::BoundElsewhere {
            id: self.id.clone(),
            path: path.to_path_buf(),
            bound: old.image.described(),
            asked: self.image.described(),
        })
    }

    /// The file's text: the same for equal records.
    pub fn to_toml(&self) -> String {
        let mut out = TomlText::default();
        out.comment("Written by mlbuild, once: which image this run is bound to.");
        out.plain("version", self.version);
        out.string("id", &self.id);
        out.string("created", self.created);
        out.optional("lock", self.lock.as_ref());

        out.table("image");
        out.string("reference", &self.image.reference);
        out.optional("index", self.image.index.as_ref());
        if self.image.platforms.is_empty() {
            out.table("image.platforms");
        }
        for (name, platform) in &self.image.platforms {
            out.table(&format!("image.platforms.{}", bare_or_quoted(name)));
            out.string("manifest", &platform.manifest);
            out.string("config", &platform.config);
        }
        if let Some(git) = &self.git {
            out.table("git");
            out.string("commit", &git.commit);
            out.plain("dirty", git.dirty);
            out.optional("patch", git.patch.as_ref());
        }
        if let Some(command) = &self.command {
            out.table("command");
            out.list("argv", command.argv.iter().map(|a| quoted(a)));
            list_if_any(&mut out, "environment", &command.environment);
            list_if_any(&mut out, "mounts", &command.mounts);
            out.optional("accelerator", command.accelerator.as_ref());
        }
        if let Some(host) = &self.host {
            out.table("host");
            out.string("name", &host.name);
            out.string("platform", &host.platform);
            out.optional("runtime", host.runtime.as_ref());
            list_if_any(&mut out, "devices", &host.devices);
        }
        if let Some(outcome) = &self.outcome {
            out.table("outcome");
            out.string("started", outcome.started);
            out.string("ended", outcome.ended);
            out.plain("exit_code", outcome.exit_code);
        }
        out.finish()
    }
}

impl RunImage {
    /// `reference@digest`, by the index or else the manifests.
    fn described(&self) -> String {
        let manifests: Vec<String> = self
            .platforms
            .values()
            .map(|p| p.manifest.to_string())
            .collect();
        format!("{}@{}", self.reference, manifests.join(", "))
    }
}

fn list_if_any(out: &mut TomlText, key: &str, items: &[String]) {
    if !items.is_empty() {
        out.list(key, items.iter().map(|i| quoted(i)));
    }
}

/// What can be wrong with a run record.
#[derive(Debug, thiserror::Error)]
pub enum RunRecordError {
    /// The run belongs to another image.
    #[error(
        "run {id} is bound to {bound} ({}), not to {asked}; choose another --run-id",
        path.display()
    )]
    BoundElsewhere {
        /// The run.
        id: RunId,
        /// Its record.
        path: PathBuf,
        /// The image it is bound to.
        bound: String,
        /// The image it was to be bound to.
        asked: String,
    },
    /// The record can't be read.
    #[error("{}: can't be read: {source}", path.display())]
    Read {
        /// The record.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The record can't be written.
    #[error("{}: can't be written: {source}", path.display())]
    Write {
        /// The record.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A newer format.
    #[error(
        "{}: made by a newer mlbuild: format {found}, and this version reads up to \
         {FORMAT_VERSION}; update mlbuild",
        path.display()
    )]
    Newer {
        /// The record.
        path: PathBuf,
        /// Its format.
        found: u32,
    },
    /// Not what the format says.
    #[error("{}:{line}: {message}", path.display())]
    Invalid {
        /// The record.
        path: PathBuf,
        /// Line, from 1.
        line: usize,
        /// What is wrong; names the key.
        message: String,
    },
}
