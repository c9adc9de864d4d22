//! An OCI image layout, as a folder or as a tar of one.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::{Path, PathBuf};

use mlbuild_manifests::digest;
use oci_spec::image::{Descriptor, Digest, ImageIndex};
use sha2::{Digest as _, Sha256};

use super::error::LayoutError;

/// Largest manifest, index or configuration, in bytes: what registries take.
const MAX_DOCUMENT: u64 = 4 << 20;
const PIECE: usize = 256 << 10;

/// An image layout on disk.
#[derive(Debug)]
pub struct OciLayout {
    path: PathBuf,
    /// Files of a tar by name; `None` for a folder.
    members: Option<BTreeMap<String, BlobSource>>,
    index: ImageIndex,
}

/// A blob: a whole file, or a part of a tar.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BlobSource {
    /// The file.
    pub path: PathBuf,
    /// Where the blob starts in it, in bytes.
    pub offset: u64,
    /// Its size in bytes.
    pub size: u64,
}

impl BlobSource {
    /// Opens it for reading from its start.
    pub fn open(&self) -> io::Result<io::Take<File>> {
        let mut file = mlbuild_files::open(&self.path)?;
        file.seek(SeekFrom::Start(self.offset))?;
        Ok(file.take(self.size))
    }

    /// Reads all of it and checks it against a digest and size.
    pub fn verify(&self, descriptor: &Descriptor) -> Result<(), LayoutError> {
        let read = |source| LayoutError::Read {
            path: self.path.clone(),
            source,
        };
        let damaged = |why| LayoutError::DamagedBlob {
            path: self.path.clone(),
            digest: descriptor.digest().clone(),
            why,
        };
        if self.size != descriptor.size() {
            return Err(damaged(format!(
                "{} bytes where {} belong",
                self.size,
                descriptor.size()
            )));
        }
        let mut file = self.open().map_err(read)?;
        let (mut hash, mut buffer) = (Sha256::new(), vec![0; PIECE]);
        loop {
            match file.read(&mut buffer).map_err(read)? {
                0 => break,
                n => hash.update(&buffer[..n]),
            }
        }
        let found = digest::of_hash(hash);
        if found != *descriptor.digest() {
            return Err(damaged(format!("its content has {found}")));
        }
        Ok(())
    }
}

impl OciLayout {
    /// Opens a layout: a folder, or a tar of one.
    pub fn open(path: &Path) -> Result<Self, LayoutError> {
        let read = |source| LayoutError::Read {
            path: path.to_path_buf(),
            source,
        };
        let is_folder = std::fs::metadata(path).map_err(read)?.is_dir();
        let members = if is_folder {
            None
        } else {
            Some(tar_members(path)?)
        };
        let mut layout = Self {
            path: path.to_path_buf(),
            members,
            index: ImageIndex::default(),
        };
        let text = layout.file("index.json")?;
        layout.index = serde_json::from_slice(&text)
            .map_err(|e| layout.not_a_layout(format!("index.json: {e}")))?;
        Ok(layout)
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The descriptors of its `index.json`.
    pub fn descriptors(&self) -> &[Descriptor] {
        self.index.manifests()
    }

    /// The one image it holds: a manifest, or an index with provenance or several platforms.
    /// Several names of the same image count as one.
    pub fn top(&self) -> Result<&Descriptor, LayoutError> {
        let all = self.descriptors();
        match all.first() {
            Some(first) if all.iter().all(|d| d.digest() == first.digest()) => Ok(first),
            Some(_) => Err(LayoutError::SeveralImages {
                path: self.path.clone(),
                count: all.len(),
            }),
            None => Err(self.not_a_layout("index.json lists no image")),
        }
    }

    /// Where a blob's bytes are. Its size is the file's, not checked against anything.
    pub fn blob(&self, digest: &Digest) -> Result<BlobSource, LayoutError> {
        let name = format!("blobs/{}/{}", digest.algorithm(), digest.digest());
        let missing = || LayoutError::MissingBlob {
            path: self.path.clone(),
            digest: digest.clone(),
        };
        match &self.members {
            Some(members) => members.get(&name).cloned().ok_or_else(missing),
            None => {
                let path = self.path.join(name);
                match std::fs::metadata(&path) {
                    Ok(meta) => Ok(BlobSource {
                        path,
                        offset: 0,
                        size: meta.len(),
                    }),
                    Err(e) if e.kind() == io::ErrorKind::NotFound => Err(missing()),
                    Err(source) => Err(LayoutError::Read { path, source }),
                }
            }
        }
    }

    /// A manifest, index or configuration, checked against its digest and size.
    pub fn document(&self, descriptor: &Descriptor) -> Result<Vec<u8>, LayoutError> {
        let source = self.checked_size(descriptor)?;
        if source.size > MAX_DOCUMENT {
            return Err(self.damaged(descriptor, format!("{} bytes is too large", source.size)));
        }
        let mut bytes = Vec::with_capacity(source.size as usize);
        let read = |e| LayoutError::Read {
            path: source.path.clone(),
            source: e,
        };
        source
            .open()
            .and_then(|mut f| f.read_to_end(&mut bytes))
            .map_err(read)?;
        let found = digest::sha256(&bytes);
        if found != *descriptor.digest() {
            return Err(self.damaged(descriptor, format!("its content has {found}")));
        }
        Ok(bytes)
    }

    /// Reads a whole blob and checks it against its digest and size.
    pub fn verify_blob(&self, descriptor: &Descriptor) -> Result<(), LayoutError> {
        self.blob(descriptor.digest())?.verify(descriptor)
    }

    pub(super) fn malformed(&self, digest: &Digest, why: impl ToString) -> LayoutError {
        LayoutError::Malformed {
            path: self.path.clone(),
            digest: digest.clone(),
            why: why.to_string(),
        }
    }

    fn checked_size(&self, descriptor: &Descriptor) -> Result<BlobSource, LayoutError> {
        let source = self.blob(descriptor.digest())?;
        if source.size != descriptor.size() {
            let why = format!("{} bytes where {} belong", source.size, descriptor.size());
            return Err(self.damaged(descriptor, why));
        }
        Ok(source)
    }

    fn damaged(&self, descriptor: &Descriptor, why: String) -> LayoutError {
        LayoutError::DamagedBlob {
            path: self.path.clone(),
            digest: descriptor.digest().clone(),
            why,
        }
    }

    fn not_a_layout(&self, why: impl ToString) -> LayoutError {
        LayoutError::NotALayout {
            path: self.path.clone(),
            why: why.to_string(),
        }
    }

    fn file(&self, name: &str) -> Result<Vec<u8>, LayoutError> {
        let source = match &self.members {
            Some(members) => members.get(name).cloned(),
            None => {
                let path = self.path.join(name);
                let size = std::fs::metadata(&path).ok().map(|m| m.len());
                size.map(|size| BlobSource {
                    path,
                    offset: 0,
                    size,
                })
            }
        };
        let source = source.ok_or_else(|| self.not_a_layout(format!("there is no {name}")))?;
        let mut bytes = Vec::new();
        let mut file = source.open().map_err(|e| LayoutError::Read {
            path: source.path.clone(),
            source: e,
        })?;
        file.by_ref()
            .take(MAX_DOCUMENT)
            .read_to_end(&mut bytes)
            .map_err(|e| LayoutError::Read {
                path: source.path.clone(),
                source: e,
            })?;
        Ok(bytes)
    }
}

/// Where each file of a tar lies; contents are skipped, not read.
pub(super) fn tar_members(path: &Path) -> Result<BTreeMap<String, BlobSource>, LayoutError> {
    let read = |source| LayoutError::Read {
        path: path.to_path_buf(),
        source,
    };
    let not_a_tar = |e: io::Error| LayoutError::NotALayout {
        path: path.to_path_buf(),
        why: format!("neither a folder nor a tar: {e}"),
    };
    let mut archive = tar::Archive::new(mlbuild_files::open(path).map_err(read)?);
    let (mut members, mut links) = (BTreeMap::new(), Vec::new());
    for entry in archive.entries_with_seek().map_err(not_a_tar)? {
        let entry = entry.map_err(not_a_tar)?;
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        if let (true, Some(to)) = (
            entry.header().entry_type().is_symlink(),
            entry.link_name_bytes(),
        ) {
            let to = String::from_utf8_lossy(&to).into_owned();
            links.push((name.trim_start_matches("./").to_owned(), to));
        }
        if !entry.header().entry_type().is_file() {
            continue;
        }
        let source = BlobSource {
            path: path.to_path_buf(),
            offset: entry.raw_file_position(),
            size: entry.size(),
        };
        members.insert(name.trim_start_matches("./").to_owned(), source);
    }
    // Older Dockers write a layer that occurs twice as a link to the first one.
    for (name, to) in links {
        if let Some(source) = members.get(&beside(&name, &to)).cloned() {
            members.entry(name).or_insert(source);
        }
    }
    Ok(members)
}

/// Where a link in a tar leads, by the names alone.
fn beside(name: &str, to: &str) -> String {
    let mut parts: Vec<&str> = name.split('/').collect();
    parts.pop();
    for part in to.split('/') {
        match part {
            ".." => drop(parts.pop()),
            "" | "." => {}
            part => parts.push(part),
        }
    }
    parts.join("/")
}
