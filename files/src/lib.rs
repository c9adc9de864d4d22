//! Files that strangers may have made, read in bounds.
//!
//! A clone may hold `mlbuild.lock -> /dev/zero`, which never ends, an archive a pipe, which nobody ever
//! writes to, and both a file of a terabyte that takes no room. Whoever reads a file of a project, of a
//! record or of an image on disk reads it here: a regular file, of a size that such files have. Links are
//! followed. Where a person names a file on the command line, which may well be a pipe, it is opened as it is.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::Path;

use rustix::fs::OFlags;

/// Most bytes of a file that is read as a whole: locks of the largest projects have a few million.
pub const MOST: u64 = 64 << 20;

/// Opens a regular file, and waits for nobody.
///
/// # Errors
/// Where it can't be opened, or is a folder, pipe, socket or device.
pub fn open(path: &Path) -> io::Result<File> {
    opened(path).map(|(file, _)| file)
}

/// The file, and its size in bytes.
fn opened(path: &Path) -> io::Result<(File, u64)> {
    // Opening some devices does something: so a look first. Another file may stand there a moment later,
    // and so a look at what is open.
    refuse_other(&path.metadata()?)?;
    let file = OpenOptions::new()
        .read(true)
        .custom_flags((OFlags::NONBLOCK | OFlags::NOCTTY).bits().cast_signed())
        .open(path)?;
    let found = file.metadata()?;
    refuse_other(&found)?;
    Ok((file, found.len()))
}

fn refuse_other(found: &std::fs::Metadata) -> io::Result<()> {
    if found.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    if found.is_file() {
        return Ok(());
    }
    let text = "it isn't a file, but a pipe, socket or device";
    Err(io::Error::new(io::ErrorKind::InvalidInput, text))
}

/// All bytes of a file. `/dev/null` has none.
///
/// # Errors
/// As [`open`], and where it has more than [`MOST`] bytes.
pub fn read(path: &Path) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    read_into(path, &mut bytes)?;
    Ok(bytes)
}

/// All bytes of what somebody opened: a pipe, as the shell makes one.
///
/// # Errors
/// Where it can't be read, and where it has more than [`MOST`] bytes.
pub fn read_all(from: impl io::Read) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    take_all(from, &mut bytes)?;
    Ok(bytes)
}

fn take_all(from: impl io::Read, bytes: &mut Vec<u8>) -> io::Result<()> {
    from.take(MOST + 1).read_to_end(bytes)?;
    if bytes.len() as u64 > MOST {
        let text = format!("it is larger than {} MiB", MOST >> 20);
        return Err(io::Error::new(io::ErrorKind::FileTooLarge, text));
    }
    Ok(())
}

/// As [`read`], into a buffer that may be used again; it is emptied first.
///
/// # Errors
/// As [`read`].
pub fn read_into(path: &Path, bytes: &mut Vec<u8>) -> io::Result<()> {
    bytes.clear();
    let (file, size) = match opened(path) {
        Err(error) if error.kind() == io::ErrorKind::InvalidInput && is_null(path) => return Ok(()),
        opened => opened?,
    };
    // A small file comes with one read, and another one that finds its end.
    bytes.reserve(size.min(MOST) as usize + 1);
    take_all(file, bytes)
}

/// Where there is nothing, by a name that people use for that.
fn is_null(path: &Path) -> bool {
    path.canonicalize()
        .is_ok_and(|path| path == Path::new("/dev/null"))
}

/// The text of a file.
///
/// # Errors
/// As [`read`], and where it isn't UTF-8.
pub fn read_to_string(path: &Path) -> io::Result<String> {
    String::from_utf8(read(path)?).map_err(|error| {
        io::Error::new(
            io::ErrorKind::InvalidData,
            format!("it is no UTF-8: {}", error.utf8_error()),
        )
    })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn what_never_ends_and_what_never_begins_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        symlink("/dev/zero", at("endless")).unwrap();
        let made = std::process::Command::new("mkfifo")
            .arg(at("pipe"))
            .status();
        assert!(made.unwrap().success());
        std::os::unix::net::UnixListener::bind(at("socket")).unwrap();
        symlink("pipe", at("link")).unwrap();
        File::create(at("sparse"))
            .unwrap()
            .set_len(1 << 40)
            .unwrap();
        std::fs::create_dir(at("folder")).unwrap();
        for name in [
            "endless", "pipe", "socket", "link", "sparse", "folder", "none",
        ] {
            let refused = read(&at(name)).unwrap_err();
            println!("{name}: {refused}");
        }
        std::fs::write(at("file"), "text").unwrap();
        symlink("file", at("good")).unwrap();
        symlink("/dev/null", at("null")).unwrap();
        assert_eq!(read_to_string(&at("good")).unwrap(), "text");
        assert_eq!(read(&at("null")).unwrap(), b"");
        assert_eq!(read_all(&b"piped"[..]).unwrap(), b"piped");
        let endless = read_all(io::repeat(b'x')).unwrap_err();
        assert_eq!(endless.kind(), io::ErrorKind::FileTooLarge);
        assert_eq!(
            read(&at("none")).unwrap_err().kind(),
            io::ErrorKind::NotFound
        );
    }
}
