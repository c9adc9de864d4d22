//! A layout's files, copied to where somebody asks for them.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

use mlbuild_buildkit::fsutil::open_beneath;
use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, unlinkat};
use rustix::io::Errno;

/// Copies files of the layout `from`, by their paths in it, into the folder `dest`, which is made. What
/// stands there under such a name is replaced. The folder may be one that others write to, a project's
/// or a container's: no link in it is followed, also where one is put there meanwhile.
///
/// # Errors
/// Where a file can't be read or written, with its place.
pub fn copy_into(from: &Path, names: &[String], dest: &Path) -> Result<(), (PathBuf, io::Error)> {
    let failed = |path: &Path| {
        let path = path.to_owned();
        move |error: io::Error| (path, error)
    };
    std::fs::create_dir_all(dest).map_err(failed(dest))?;
    let root = File::open(dest).map_err(failed(dest))?;
    for name in names {
        let to = dest.join(name);
        let copied = mlbuild_files::open(&from.join(name)).and_then(|mut file| {
            let mut new = create(&root, name)?;
            io::copy(&mut file, &mut new)
        });
        copied.map_err(failed(&to))?;
    }
    Ok(())
}

/// A new file of that path below a folder.
fn create(root: &File, name: &str) -> io::Result<File> {
    let (folders, last) = name.rsplit_once('/').unwrap_or(("", name));
    let folder = folders_beneath(root.as_fd().try_clone_to_owned()?, folders)?;
    match unlinkat(&folder, last, AtFlags::empty()) {
        Ok(()) | Err(Errno::NOENT) => {}
        Err(error) => return Err(error.into()),
    }
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL;
    let mode = Mode::from_raw_mode(0o644);
    Ok(open_beneath(&folder, last.as_bytes(), flags, mode)?.into())
}

/// The folder of that path, whose parts are made.
fn folders_beneath(root: OwnedFd, path: &str) -> io::Result<OwnedFd> {
    let mut folder = root;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        match mkdirat(&folder, part, Mode::from_raw_mode(0o777)) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        folder = open_beneath(&folder, part.as_bytes(), flags, Mode::empty())?;
    }
    Ok(folder)
}
