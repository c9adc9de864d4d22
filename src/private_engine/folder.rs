//! The folder that holds everything of a private builder: programs, cache,
//! log, socket and the two small files that say what runs.

use std::fs::File;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::error::Error;
use super::process::ProcessId;

/// Longest path of a folder for sockets: a socket's path holds 107 bytes, and
/// containerd's adds 40 below it.
const MAX_SOCKET_FOLDER: usize = 64;

/// How a builder was started, in `launch.toml`.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Launch {
    /// Which daemon.
    pub kind: Kind,
    /// Its version.
    pub version: String,
    /// Where its programs came from, for people.
    pub source: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Folders that its PATH starts with.
    pub path: Vec<PathBuf>,
    /// Docker's client, where the source has one.
    pub client: Option<PathBuf>,
    /// The socket it listens on.
    pub socket: PathBuf,
    /// Whether it runs without root.
    pub rootless: bool,
    /// Seconds without work after which it stops; never where 0.
    pub idle_seconds: u64,
    /// Bytes its build cache may take.
    pub cache_limit: u64,
}

/// Which daemon a private builder is.
#[derive(Debug, Clone, Copy, Serialize, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// BuildKit's own daemon.
    Buildkitd,
    /// Docker's daemon, which has BuildKit inside.
    Dockerd,
}

impl Kind {
    /// The daemon's program.
    pub fn program(self) -> &'static str {
        match self {
            Self::Buildkitd => "buildkitd",
            Self::Dockerd => "dockerd",
        }
    }
}

/// What runs, in `running.toml`.
#[derive(Debug, Clone, Serialize, Deserialize, PartialEq, Eq)]
pub struct Running {
    /// The process of mlbuild that looks after the daemon.
    pub keeper: ProcessId,
    /// The daemon (or the rootlesskit around it).
    pub daemon: ProcessId,
}

/// The folder of a private builder.
#[derive(Debug, Clone)]
pub struct Folder {
    root: PathBuf,
}

impl Folder {
    /// The folder at a path, which need not exist.
    pub fn at(root: impl Into<PathBuf>) -> Self {
        Self { root: root.into() }
    }

    /// `engine` in mlbuild's state folder.
    ///
    /// # Errors
    /// Where the environment names no home.
    pub fn default_place() -> Result<Self, Error> {
        let state = crate::env_vars::state_dir().ok_or(Error::NoFolder)?;
        Ok(Self::at(
            std::path::absolute(state)
                .map_err(|_| Error::NoFolder)?
                .join("engine"),
        ))
    }

    /// The folder itself.
    pub fn root(&self) -> &Path {
        &self.root
    }

    pub(super) fn programs(&self) -> PathBuf {
        self.root.join("programs")
    }

    pub(super) fn data(&self) -> PathBuf {
        self.root.join("data")
    }

    pub(super) fn log(&self) -> PathBuf {
        self.root.join("log")
    }

    pub(super) fn config(&self, kind: Kind) -> PathBuf {
        self.root.join(match kind {
            Kind::Buildkitd => "buildkitd.toml",
            Kind::Dockerd => "daemon.json",
        })
    }

    /// Docker's client, bound to the daemon of this folder.
    pub(super) fn docker(&self) -> PathBuf {
        self.root.join("docker")
    }

    /// Its time of change is when the builder was last asked for.
    pub(super) fn used(&self) -> PathBuf {
        self.root.join("used")
    }

    pub(super) fn launch_file(&self) -> PathBuf {
        self.root.join("launch.toml")
    }

    pub(super) fn running_file(&self) -> PathBuf {
        self.root.join("running.toml")
    }

    /// Where sockets are: in the folder, or, where its path is too long for
    /// one, in a folder of `$XDG_RUNTIME_DIR` or `/tmp` named after it.
    pub fn sockets(&self) -> PathBuf {
        let inside = self.root.join("run");
        if inside.as_os_str().len() <= MAX_SOCKET_FOLDER {
            return inside;
        }
        let hash = hex::encode(Sha256::digest(self.root.as_os_str().as_encoded_bytes()));
        let name = format!("mlbuild-{}", &hash[..12]);
        match std::env::var_os("XDG_RUNTIME_DIR") {
            Some(runtime) if !runtime.is_empty() && runtime.len() <= 32 => {
                PathBuf::from(runtime).join(name)
            }
            _ => Path::new("/tmp").join(name),
        }
    }

    /// Makes the folders that only the user may enter, and takes the lock that
    /// starting and stopping hold; it is given back when dropped.
    pub(super) fn lock(&self) -> Result<File, Error> {
        loop {
            private_folder(&self.root)?;
            let file = self.open_lock()?;
            let path = self.root.join("lock");
            file.lock().map_err(Error::file(&path))?;
            // While this waited, whoever held it may have removed the folder.
            let ours = file.metadata().map_err(Error::file(&path))?;
            if path.metadata().is_ok_and(|now| now.ino() == ours.ino()) {
                return Ok(file);
            }
        }
    }

    /// The lock, if nobody holds it.
    pub(super) fn try_lock(&self) -> Result<Option<File>, Error> {
        let file = self.open_lock()?;
        Ok(file.try_lock().is_ok().then_some(file))
    }

    fn open_lock(&self) -> Result<File, Error> {
        let path = self.root.join("lock");
        File::options()
            .create(true)
            .truncate(false)
            .write(true)
            .open(&path)
            .map_err(Error::file(&path))
    }

    pub(super) fn launch(&self) -> Result<Option<Launch>, Error> {
        read(&self.launch_file())
    }

    /// What runs now; `None` where the recorded processes are gone.
    pub(super) fn running(&self) -> Result<Option<Running>, Error> {
        let running: Option<Running> = read(&self.running_file())?;
        Ok(running.filter(|running| running.daemon.is_alive()))
    }

    pub(super) fn touch_used(&self) -> Result<(), Error> {
        std::fs::write(self.used(), "").map_err(Error::file(&self.used()))
    }

    /// The last lines of the daemon's log.
    pub(super) fn log_tail(&self) -> String {
        let text = std::fs::read(self.log()).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<&str> = text.lines().collect();
        let tail = &lines[lines.len().saturating_sub(12)..];
        tail.iter()
            .map(|line| format!("  | {line}\n"))
            .collect::<String>()
            .trim_end()
            .to_owned()
    }
}

/// Makes a folder (and those above it) that only the user may enter.
///
/// One that is there already must be the user's own: `/tmp` is everybody's.
pub(super) fn private_folder(path: &Path) -> Result<(), Error> {
    std::fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .map_err(Error::file(path))?;
    let metadata = std::fs::symlink_metadata(path).map_err(Error::file(path))?;
    if !metadata.is_dir() || metadata.uid() != rustix::process::geteuid().as_raw() {
        let reason = "a folder of this user's was expected".to_owned();
        return Err(Error::State {
            path: path.to_owned(),
            reason,
        });
    }
    std::fs::set_permissions(path, PermissionsExt::from_mode(0o700)).map_err(Error::file(path))
}

/// Writes to a temporary name, then renames.
pub(super) fn write(path: &Path, text: &str) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, text).map_err(Error::file(&temporary))?;
    std::fs::rename(&temporary, path).map_err(Error::file(path))
}

/// As [`write`], for a file that is run.
pub(super) fn write_program(path: &Path, text: &str) -> Result<(), Error> {
    let temporary = path.with_extension("new");
    std::fs::write(&temporary, text).map_err(Error::file(&temporary))?;
    std::fs::set_permissions(&temporary, PermissionsExt::from_mode(0o700))
        .map_err(Error::file(&temporary))?;
    std::fs::rename(&temporary, path).map_err(Error::file(path))
}

pub(super) fn write_toml(path: &Path, value: &impl Serialize) -> Result<(), Error> {
    write(
        path,
        &toml::to_string(value).expect("plain tables can be written"),
    )
}

fn read<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, Error> {
    match std::fs::read_to_string(path) {
        Ok(text) => toml::from_str(&text)
            .map(Some)
            .map_err(|error| Error::State {
                path: path.to_owned(),
                reason: error.message().to_owned(),
            }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(Error::file(path)(error)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sockets_fit_however_long_the_folder_s_path_is() {
        let short = Folder::at("/home/ada/.local/state/mlbuild/engine");
        assert_eq!(short.sockets(), short.root().join("run"));
        let long = Folder::at(format!("/home/{}/engine", "a".repeat(120)));
        assert!(long.sockets().as_os_str().len() <= MAX_SOCKET_FOLDER);
        assert_ne!(
            long.sockets(),
            Folder::at(format!("/home/{}", "b".repeat(120))).sockets()
        );
    }

    #[test]
    fn a_state_file_of_another_make_is_refused_by_name() {
        let place = tempfile::tempdir().expect("a folder");
        let folder = Folder::at(place.path());
        assert_eq!(folder.launch().expect("no file is fine"), None);
        std::fs::write(folder.launch_file(), "kind = 3\n").expect("written");
        let error = folder.launch().expect_err("refused").to_string();
        assert!(
            error.contains("launch.toml") && error.contains("is not what mlbuild wrote"),
            "{error}"
        );
    }
}
