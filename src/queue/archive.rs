//! The code of a job as an archive: what a build of its folder would read, the same bytes wherever
//! and whenever it is packed.

use std::io::{self, Read as _};
use std::path::Path;

use mlbuild_buildkit::fsutil::walk::{self, go_mode};
use mlbuild_buildkit::fsutil::{FsError, Normalise, Selection, Tree, dockerignore};
use mlbuild_secrets::is_secret_file;
use sha2::{Digest as _, Sha256};

/// More than this is data, which belongs into a volume.
pub const MOST: u64 = 64 << 20;
/// What a build reads even where `.dockerignore` keeps it out of the image.
const ALWAYS: [&str; 5] = [
    "!.dockerignore",
    "!Dockerfile",
    "!mlbuild.toml",
    "!mlbuild.lock",
    "!requirements*.txt",
];
/// What no build needs.
const NEVER: [&str; 2] = [".git", "mlbuild.runs"];

/// Why a folder can't be packed.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// A file can't be read.
    #[error(transparent)]
    Files(#[from] FsError),
    /// The archive can't be made or unpacked.
    #[error("{0}")]
    Io(#[from] io::Error),
    /// There is too much of it.
    #[error("the folder holds {} MiB, more than the {} MiB that a job's code may have", .0 >> 20, MOST >> 20)]
    TooLarge(u64),
}

/// An archive with its digest.
pub struct Archive {
    /// `sha256:…`, of what was packed.
    pub digest: String,
    /// A tar, compressed.
    pub bytes: Vec<u8>,
    /// Files that aren't in it, since their names are those of secrets.
    pub left_out: Vec<String>,
}

/// Most bytes of a tar: the files, and the headers of as many as one may have.
const MAX_TAR: u64 = 2 * MOST;

/// Packs a folder.
///
/// # Errors
/// Where a file can't be read, or there is too much.
pub fn pack(folder: &Path) -> Result<Archive, ArchiveError> {
    let tree = Tree::open(folder)?;
    let mut exclude = dockerignore::of_context(&tree, None)?;
    exclude.extend(ALWAYS.iter().chain(&NEVER).map(|&name| name.to_owned()));
    let selection = Selection {
        exclude,
        ..Selection::default()
    };
    let normalise = Normalise {
        mtime: Some(0),
        modes: true,
        hard_links: true,
    };
    let entries = walk::entries(folder, &selection, normalise)?;
    // The rule of patches: everybody with the queue reads the archive.
    let is_secret = |path: &[u8]| is_secret_file(&String::from_utf8_lossy(path));
    let (left_out, entries): (Vec<_>, Vec<_>) = entries
        .into_iter()
        .partition(|entry| entry.mode & go_mode::DIR == 0 && is_secret(&entry.path));
    let left_out = left_out.iter();
    let left_out = left_out.map(|entry| String::from_utf8_lossy(&entry.path).into_owned());
    let left_out = left_out.collect();
    let size: i64 = entries.iter().map(|entry| entry.size).sum();
    if size as u64 > MOST {
        return Err(ArchiveError::TooLarge(size as u64));
    }
    let mut tar = tar::Builder::new(Vec::new());
    for entry in entries {
        let name = String::from_utf8_lossy(&entry.path).into_owned();
        let mut header = tar::Header::new_gnu();
        header.set_mtime(0);
        header.set_mode(entry.mode & 0o777);
        if entry.mode & go_mode::DIR != 0 {
            header.set_entry_type(tar::EntryType::Directory);
            header.set_size(0);
            tar.append_data(&mut header, format!("{name}/"), io::empty())?;
        } else if entry.mode & go_mode::SYMLINK != 0 {
            header.set_entry_type(tar::EntryType::Symlink);
            header.set_size(0);
            let target = String::from_utf8_lossy(&entry.linkname).into_owned();
            tar.append_link(&mut header, &name, target)?;
        } else if entry.mode & go_mode::TYPE == 0 {
            let bytes = mlbuild_files::read(&folder.join(&name))
                .map_err(|error| io::Error::new(error.kind(), format!("{name}: {error}")))?;
            header.set_size(bytes.len() as u64);
            tar.append_data(&mut header, &name, bytes.as_slice())?;
        }
    }
    let tar = tar.into_inner()?;
    Ok(Archive {
        digest: format!("sha256:{}", hex::encode(Sha256::digest(&tar))),
        bytes: zstd::encode_all(tar.as_slice(), 3)?,
        left_out,
    })
}

/// Unpacks an archive into a folder, and checks that it is what its digest says.
///
/// # Errors
/// Where it isn't, or a file can't be written.
pub fn unpack(digest: &str, bytes: &[u8], folder: &Path) -> Result<(), ArchiveError> {
    let mut tar = Vec::new();
    let unpacked = zstd::Decoder::new(bytes)?;
    unpacked.take(MAX_TAR + 1).read_to_end(&mut tar)?;
    if tar.len() as u64 > MAX_TAR {
        return Err(ArchiveError::TooLarge(tar.len() as u64));
    }
    if format!("sha256:{}", hex::encode(Sha256::digest(&tar))) != digest {
        return Err(io::Error::other("the code in the store isn't what was launched").into());
    }
    only_what_is_packed(&tar)?;
    let mut archive = tar::Archive::new(tar.as_slice());
    // `unpack` lets nothing out of the folder.
    Ok(archive.unpack(folder)?)
}

/// Refuses entries that [`pack`] makes none of. A sparse file of a few hundred bytes unpacks to as
/// many zeros as it likes, and a hard link is another name for a file that a build changes.
fn only_what_is_packed(tar: &[u8]) -> io::Result<()> {
    for entry in tar::Archive::new(tar).entries()? {
        let entry = entry?;
        let kind = entry.header().entry_type();
        if !(kind.is_file() || kind.is_dir() || kind.is_symlink()) {
            return Err(io::Error::other(format!(
                "`{}` in the code is neither a file, a folder nor a symbolic link",
                String::from_utf8_lossy(&entry.path_bytes())
            )));
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_stay_here_and_a_bomb_is_refused() {
        let folder = tempfile::tempdir().unwrap();
        for name in [".env", "id_rsa", "train.py"] {
            std::fs::write(folder.path().join(name), "x").unwrap();
        }
        let packed = pack(folder.path()).unwrap();
        assert_eq!(packed.left_out, [".env", "id_rsa"]);
        let out = tempfile::tempdir().unwrap();
        unpack(&packed.digest, &packed.bytes, out.path()).unwrap();
        assert!(!out.path().join(".env").exists() && out.path().join("train.py").exists());

        let zeros = io::repeat(0).take(4 * MAX_TAR);
        let bomb = zstd::encode_all(zeros, 3).unwrap();
        let error = unpack("sha256:0", &bomb, out.path()).unwrap_err();
        assert!(matches!(error, ArchiveError::TooLarge(_)));
    }

    /// A tar of one entry, as a job's code.
    fn code_of(header: &mut tar::Header, path: &str) -> (String, Vec<u8>) {
        let mut tar = tar::Builder::new(Vec::new());
        header.set_path(path).unwrap();
        header.set_mode(0o644);
        header.set_cksum();
        tar.append(header, io::empty()).unwrap();
        let tar = tar.into_inner().unwrap();
        let digest = format!("sha256:{}", hex::encode(Sha256::digest(&tar)));
        (digest, zstd::encode_all(tar.as_slice(), 3).unwrap())
    }

    #[test]
    fn a_sparse_file_and_other_kinds_are_refused_before_anything_is_written() {
        let out = tempfile::tempdir().unwrap();
        // One hole of half a gigabyte, in a header of 512 bytes.
        let mut sparse = tar::Header::new_gnu();
        sparse.set_entry_type(tar::EntryType::GNUSparse);
        sparse.set_size(0);
        let size = 512 << 20;
        let gnu = sparse.as_gnu_mut().unwrap();
        gnu.realsize
            .copy_from_slice(format!("{size:011o}\0").as_bytes());
        gnu.sparse[0]
            .offset
            .copy_from_slice(format!("{size:011o}\0").as_bytes());
        gnu.sparse[0].numbytes.copy_from_slice(b"00000000000\0");
        let mut link = tar::Header::new_gnu();
        link.set_entry_type(tar::EntryType::Link);
        link.set_size(0);
        link.set_link_name("train.py").unwrap();
        let mut pipe = tar::Header::new_gnu();
        pipe.set_entry_type(tar::EntryType::Fifo);
        pipe.set_size(0);
        for header in [&mut sparse, &mut link, &mut pipe] {
            let (digest, bytes) = code_of(header, "model.bin");
            let error = unpack(&digest, &bytes, out.path()).unwrap_err();
            assert!(
                error.to_string().contains("`model.bin` in the code"),
                "{error}"
            );
            assert_eq!(std::fs::read_dir(out.path()).unwrap().count(), 0);
        }
    }

    #[test]
    fn the_same_code_is_the_same_archive() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(at("src/.git")).unwrap();
        std::fs::create_dir_all(at(".git")).unwrap();
        std::fs::write(at(".git/config"), "x").unwrap();
        std::fs::write(at("src/train.py"), "print(1)").unwrap();
        std::fs::write(at("big.bin"), "data").unwrap();
        std::fs::write(
            at(".dockerignore"),
            "*.bin\n.dockerignore\nrequirements.txt\n",
        )
        .unwrap();
        std::fs::write(at("requirements.txt"), "numpy").unwrap();
        std::os::unix::fs::symlink("src/train.py", at("main.py")).unwrap();
        let first = pack(folder.path()).unwrap();
        std::fs::write(at("src/train.py"), "print(1)").unwrap();
        std::fs::write(at("big.bin"), "other data").unwrap();
        assert_eq!(pack(folder.path()).unwrap().digest, first.digest);
        let out = tempfile::tempdir().unwrap();
        unpack(&first.digest, &first.bytes, out.path()).unwrap();
        let mut names: Vec<_> = std::fs::read_dir(out.path())
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        names.sort();
        assert_eq!(
            names,
            [".dockerignore", "main.py", "requirements.txt", "src"]
        );
        assert_eq!(
            std::fs::read_to_string(out.path().join("main.py")).unwrap(),
            "print(1)"
        );
        assert_eq!(pack(out.path()).unwrap().digest, first.digest);
        std::fs::write(at("src/train.py"), "print(2)").unwrap();
        assert_ne!(pack(folder.path()).unwrap().digest, first.digest);
        assert!(unpack("sha256:0", &first.bytes, out.path()).is_err());
    }
}
