//! A wheel's file, which is the one that is pinned.

use std::fs::File;
use std::io::{self, Read, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use sha2::{Digest as _, Sha256};

use crate::error::{Fault, WheelError};
use crate::name::WheelName;
use crate::zip::Archive;

/// A wheel whose file has the pinned hash, and whose list of entries has been read.
pub struct Wheel {
    pub(crate) name: WheelName,
    pub(crate) sha256: String,
    pub(crate) archive: Archive,
}

impl Wheel {
    /// Opens a wheel's file, compares its hash with the pinned one (hex), and reads which entries
    /// it has. `name` is the file's name as the index has it; `path` may be any.
    ///
    /// # Errors
    /// [`WheelError`]: another file than the pinned one, or no archive that can be used.
    pub fn open(name: &str, path: &Path, sha256: &str) -> Result<Self, WheelError> {
        let name = WheelName::parse(name)?;
        let file = File::open(path).map_err(Fault::Read);
        let opened = file.and_then(|mut file| {
            let found = hash(&mut file, &mut io::sink()).map_err(Fault::Read)?;
            Ok((file, found))
        });
        Self::checked(name, opened, sha256)
    }

    /// Takes a wheel from a stream, by way of a file in `folder` that has no name: the list of an
    /// archive's entries is its end.
    ///
    /// # Errors
    /// As [`open`](Self::open), and where the file can't be written.
    pub fn from_stream(
        name: &str,
        mut stream: impl Read,
        folder: &Path,
        sha256: &str,
    ) -> Result<Self, WheelError> {
        let name = WheelName::parse(name)?;
        let spooled = tempfile::tempfile_in(folder).and_then(|mut file| {
            let found = hash(&mut stream, &mut file)?;
            file.flush()?;
            file.seek(SeekFrom::Start(0))?;
            Ok((file, found))
        });
        Self::checked(name, spooled.map_err(Fault::Read), sha256)
    }

    fn checked(
        name: WheelName,
        opened: Result<(File, String), Fault>,
        sha256: &str,
    ) -> Result<Self, WheelError> {
        let archive = opened.and_then(|(file, found)| {
            if found != sha256 {
                let pinned = sha256.to_owned();
                return Err(Fault::OtherHash { pinned, found });
            }
            Archive::read(file)
        });
        let archive = archive.map_err(|fault| WheelError {
            wheel: name.file.clone(),
            fault,
        })?;
        Ok(Self {
            name,
            sha256: sha256.to_owned(),
            archive,
        })
    }

    /// Its name, taken apart.
    pub fn name(&self) -> &WheelName {
        &self.name
    }

    /// The hash of its file, hex.
    pub fn sha256(&self) -> &str {
        &self.sha256
    }

    pub(crate) fn error(&self, fault: Fault) -> WheelError {
        WheelError {
            wheel: self.name.file.clone(),
            fault,
        }
    }
}

/// The hash of what is read, which is also written to `copy`.
fn hash(from: &mut impl Read, copy: &mut impl io::Write) -> io::Result<String> {
    let (mut hash, mut piece) = (Sha256::new(), vec![0; 256 << 10]);
    loop {
        let read = match from.read(&mut piece) {
            Ok(0) => return Ok(hex::encode(hash.finalize())),
            Ok(read) => read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(error) => return Err(error),
        };
        hash.update(&piece[..read]);
        copy.write_all(&piece[..read])?;
    }
}
