//! A folder that a builder filled, read as if an enemy had: its base image's shell and Python, and
//! every source package that was built on the way, could write what they liked there.
//!
//! Files are opened one component at a time from the folder's descriptor, and no symbolic link is
//! followed; only regular files are read, and no more of them than is allowed for.

use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

use rustix::fs::{FileType, Mode, OFlags, fstat, open, openat};

use super::store::StoreError;

/// Most that is read of a text, in bytes: 100,000 packages with their names and hashes.
const MAX_TEXT: u64 = 32 << 20;
/// Most that a package may have, in bytes; the largest wheel of CUDA has 2 GB.
const MAX_PACKAGE: u64 = 16 << 30;

/// The folder.
pub(super) struct AnswerFolder {
    path: PathBuf,
    folder: OwnedFd,
}

impl AnswerFolder {
    /// Opens it. It is mlbuild's own, and only what is in it isn't.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let folder =
            open(path, flags, Mode::empty()).map_err(|error| StoreError::io(path)(error.into()))?;
        let path = path.to_owned();
        Ok(Self { path, folder })
    }

    /// A file of it; `name` may be in a folder of it.
    pub(super) fn file(&self, name: &str) -> Result<File, StoreError> {
        let path = self.path.join(name);
        let fail = StoreError::io(&path);
        let file = self.open_file(name).map_err(&fail)?;
        let size = file.metadata().map_err(&fail)?.len();
        if size > MAX_PACKAGE {
            return Err(fail(refused(&format!("it has {size} bytes"))));
        }
        Ok(file)
    }

    /// A file of it, or nothing where none has this name.
    pub(super) fn file_if_any(&self, name: &str) -> Result<Option<File>, StoreError> {
        match self.file(name) {
            Ok(file) => Ok(Some(file)),
            Err(StoreError::Io { source, .. }) if source.kind() == io::ErrorKind::NotFound => {
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }

    /// A text of it.
    pub(super) fn text(&self, name: &str) -> Result<String, StoreError> {
        let path = self.path.join(name);
        let fail = StoreError::io(&path);
        let file = self.open_file(name).map_err(&fail)?;
        let mut text = String::new();
        file.take(MAX_TEXT + 1)
            .read_to_string(&mut text)
            .map_err(&fail)?;
        if text.len() as u64 > MAX_TEXT {
            return Err(fail(refused(&format!("it has more than {MAX_TEXT} bytes"))));
        }
        Ok(text)
    }

    fn open_file(&self, name: &str) -> io::Result<File> {
        let mut parts = name.split('/').peekable();
        let mut folder: Option<OwnedFd> = None;
        while let Some(part) = parts.next() {
            if matches!(part, "" | "." | "..") || part.contains('\0') {
                return Err(refused("it leads out of the folder"));
            }
            let parent = folder.as_ref().unwrap_or(&self.folder);
            // A FIFO would be waited for, were it opened without NONBLOCK.
            let mut flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
            if parts.peek().is_some() {
                flags |= OFlags::DIRECTORY;
            }
            let opened = openat(parent, part, flags, Mode::empty()).map_err(|error| {
                // What `O_NOFOLLOW` says of a link, alone and with `O_DIRECTORY`.
                match error {
                    rustix::io::Errno::LOOP | rustix::io::Errno::NOTDIR => {
                        refused("it is a link, or below one")
                    }
                    error => error.into(),
                }
            })?;
            folder = Some(opened);
        }
        let file = folder.ok_or_else(|| refused("it has no name"))?;
        if FileType::from_raw_mode(fstat(&file)?.st_mode) != FileType::RegularFile {
            return Err(refused("it is no regular file"));
        }
        Ok(file.into())
    }
}

fn refused(why: &str) -> io::Error {
    io::Error::new(
        io::ErrorKind::InvalidData,
        format!("{why}: what the builder gave back is not read"),
    )
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn only_regular_files_below_it_are_read() {
        let top = tempfile::tempdir().unwrap();
        let at = |name: &str| top.path().join(name);
        std::fs::write(at("outside"), "secret").unwrap();
        let folder = at("answer");
        std::fs::create_dir_all(folder.join("debs")).unwrap();
        std::fs::write(folder.join("facts"), "python\t3.11\n").unwrap();
        std::fs::write(folder.join("debs/a.deb"), "deb").unwrap();
        symlink("../outside", folder.join("link")).unwrap();
        symlink("..", folder.join("up")).unwrap();
        rustix::fs::mknodat(
            rustix::fs::CWD,
            folder.join("fifo"),
            FileType::Fifo,
            Mode::RWXU,
            0,
        )
        .unwrap();
        let answer = AnswerFolder::open(&folder).unwrap();
        assert_eq!(answer.text("facts").unwrap(), "python\t3.11\n");
        answer.file("debs/a.deb").unwrap();
        assert!(answer.file_if_any("debs/none").unwrap().is_none());
        let why = |name: &str| {
            let error = answer.text(name).unwrap_err().to_string();
            error.replace(&format!("{}/", folder.display()), "")
        };
        let names = [
            "link",
            "up/outside",
            "../outside",
            "debs/../facts",
            "/etc/passwd",
            "fifo",
        ];
        insta::assert_snapshot!(names.map(why).join("\n"), @r"
        link: it is a link, or below one: what the builder gave back is not read
        up/outside: it is a link, or below one: what the builder gave back is not read
        ../outside: it leads out of the folder: what the builder gave back is not read
        debs/../facts: it leads out of the folder: what the builder gave back is not read
        /etc/passwd: it leads out of the folder: what the builder gave back is not read
        fifo: it is no regular file: what the builder gave back is not read
        ");
    }
}
