//! The private folder of one run. Only this user can look into it; what is mounted out of it is
//! readable by whoever the container runs as. It goes when it is dropped; what a killed run left
//! behind is removed by the next.

use std::fs::{self, DirBuilder, File, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt as _, MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{FlockOperation, flock};

use super::Surroundings;
use super::authority::{Authority, Cookie, Entry};

const PREFIX: &str = "mlbuild-gui-";
const LOCK: &str = "lock";

/// The folder.
#[derive(Debug)]
pub struct PrivateFolder {
    path: PathBuf,
    /// Held as long as the run lives.
    _lock: File,
}

impl PrivateFolder {
    /// Makes one in `XDG_RUNTIME_DIR`, which is memory and goes at log-out, else in `/tmp`.
    ///
    /// # Errors
    /// Where neither can be written to.
    pub fn make(host: &Surroundings) -> io::Result<Self> {
        let base = Self::base(host);
        sweep(&base);
        let mut salt = u64::from(std::process::id());
        loop {
            let now = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
            salt = salt
                .wrapping_mul(31)
                .wrapping_add(u64::from(now.subsec_nanos()));
            let path = base.join(format!("{PREFIX}{salt:x}"));
            match DirBuilder::new().mode(0o700).create(&path) {
                Ok(()) => {}
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                Err(error) => return Err(error),
            }
            let lock = File::create_new(path.join(LOCK))?;
            flock(&lock, FlockOperation::NonBlockingLockExclusive)?;
            return Ok(Self { path, _lock: lock });
        }
    }

    /// Where it is made.
    pub fn base(host: &Surroundings) -> PathBuf {
        let runtime = host.var("XDG_RUNTIME_DIR").map(|folder| host.path(folder));
        runtime
            .filter(|folder| folder.is_dir())
            .unwrap_or_else(|| host.path("/tmp"))
    }

    /// Where something in it is.
    pub fn path(&self, name: &str) -> PathBuf {
        self.path.join(name)
    }

    /// Writes a file that every user of the container can read.
    ///
    /// # Errors
    /// Where the disk is full.
    pub fn write(&self, name: &str, bytes: &[u8]) -> io::Result<PathBuf> {
        let path = self.path(name);
        fs::write(&path, bytes)?;
        fs::set_permissions(&path, Permissions::from_mode(0o644))?;
        Ok(path)
    }

    /// Writes the cookie of a display.
    ///
    /// # Errors
    /// Where the disk is full.
    pub fn write_cookie(&self, number: u16, cookie: &Cookie) -> io::Result<PathBuf> {
        let bytes =
            Authority::write(&[Entry::wild(number, cookie.clone())]).map_err(io::Error::other)?;
        self.write("Xauthority", &bytes)
    }
}

impl Drop for PrivateFolder {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

/// Removes folders of this user whose run has ended without doing so.
fn sweep(base: &Path) {
    let own = rustix::process::geteuid().as_raw();
    for entry in fs::read_dir(base).into_iter().flatten().flatten() {
        let is_one = entry.file_name().to_string_lossy().starts_with(PREFIX)
            && entry
                .metadata()
                .is_ok_and(|found| found.is_dir() && found.uid() == own);
        if !is_one {
            continue;
        }
        // A folder that has no lock yet is being made.
        let Ok(lock) = File::open(entry.path().join(LOCK)) else {
            continue;
        };
        if flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_private_and_goes() {
        let root = tempfile::tempdir().unwrap();
        fs::create_dir(root.path().join("run")).unwrap();
        let host = Surroundings {
            root: root.path().to_owned(),
            env: [("XDG_RUNTIME_DIR".to_owned(), "/run".to_owned())].into(),
        };
        let left_behind = root.path().join("run/mlbuild-gui-1");
        fs::create_dir(&left_behind).unwrap();
        fs::write(left_behind.join(LOCK), "").unwrap();
        let other = root.path().join("run/other");
        fs::create_dir(&other).unwrap();

        let first = PrivateFolder::make(&host).unwrap();
        let second = PrivateFolder::make(&host).unwrap();
        assert!(first.path("").is_dir() && other.is_dir() && !left_behind.exists());
        let mode = |path: &Path| path.metadata().unwrap().mode() & 0o777;
        assert_eq!(mode(&first.path("")), 0o700);
        let cookie = first.write_cookie(7, &Cookie(vec![1; 16])).unwrap();
        assert_eq!(mode(&cookie), 0o644);
        let read = Authority::read(&fs::read(&cookie).unwrap());
        assert_eq!(read.cookie(&[], 7), Some(&Cookie(vec![1; 16])));
        let path = first.path("");
        drop(first);
        assert!(!path.exists() && second.path("").is_dir());
    }
}
