//! The layer of one wheel, or of several small ones.

use std::collections::BTreeMap;
use std::io::Write;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use oci_spec::image::{Descriptor, Digest};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::bytecode::Bytecode;
use crate::error::{Fault, LayerError};
use crate::files::{FileList, InstalledFile};
use crate::install::{InstallPath, Installation, Source};
use crate::sink::{Compression, Sink, Written};
use crate::tar::{Content, Header, TarWriter, TreeEntry};
use crate::target::Target;
use crate::wheel::Wheel;
use crate::zip::Scratch;

/// Which bytes are made of a wheel. Another number wherever the same wheel comes out as other
/// bytes, as by another version of a compressor: `tests/bytes.rs` holds them.
pub const LAYER_FORMAT: u32 = 1;

/// A layer that was written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Layer {
    /// Digest of the blob.
    pub digest: Digest,
    /// Digest of the tar in it, which configurations name.
    pub diff_id: Digest,
    /// Bytes of the blob.
    pub size: u64,
    /// Bytes of the tar.
    pub unpacked: u64,
    /// How it is packed.
    pub compression: Compression,
    /// What a manifest says of it beside that, so that it can be pulled file by file.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Layer {
    /// The blob, as a manifest names it.
    pub fn descriptor(&self) -> Descriptor {
        let media_type = self.compression.media_type();
        let mut blob = Descriptor::new(media_type, self.size, self.digest.clone());
        if !self.annotations.is_empty() {
            let all = self.annotations.iter();
            let all = all.map(|(name, value)| (name.clone(), value.clone()));
            blob.set_annotations(Some(all.collect()));
        }
        blob
    }
}

/// A file of the layer to be written.
struct Planned {
    wheel: usize,
    source: Source,
}

/// Writes the layer of these wheels into `out`, and says which files are in it. The wheels' order
/// makes no difference.
///
/// # Errors
/// A wheel that can't be installed, two that bring one file with different contents, and an `out`
/// that can't be written. What was written by then is no layer.
pub fn write_wheels(
    wheels: &[Wheel],
    target: &Target,
    compression: Compression,
    out: impl Write,
) -> Result<(Layer, FileList), LayerError> {
    write_compiled(wheels, &[], target, compression, out)
}

/// As [`write_wheels`], with the bytecode of each wheel, which takes the place of all that they bring
/// themselves. It isn't in the list of files: it says nothing that its sources don't.
///
/// # Errors
/// As [`write_wheels`].
pub fn write_compiled(
    wheels: &[Wheel],
    bytecode: &[Bytecode],
    target: &Target,
    compression: Compression,
    out: impl Write,
) -> Result<(Layer, FileList), LayerError> {
    let mut scratch = Scratch::new();
    let mut plans = Vec::new();
    for wheel in wheels {
        plans.push(Installation::plan(wheel, target, &mut scratch)?);
    }
    for (plan, bytecode) in plans.iter_mut().zip(bytecode) {
        plan.compiled(bytecode);
    }
    let mut writer = Writer {
        wheels,
        bytecode,
        hashes: plans.iter().map(|plan| plan.hashes.clone()).collect(),
        scratch,
        tar: TarWriter::new(Sink::new(out, compression).map_err(LayerError::Write)?),
        files: FileList::default(),
    };
    // None for a folder.
    let mut tree: BTreeMap<InstallPath, Vec<Planned>> = BTreeMap::new();
    for (at, plan) in plans.into_iter().enumerate() {
        for (path, source) in plan.files {
            add_parents(&mut tree, &path);
            tree.entry(path)
                .or_default()
                .push(Planned { wheel: at, source });
        }
        for path in plan.folders {
            add_parents(&mut tree, &path);
            tree.entry(path).or_default();
        }
    }
    for planned in tree.values_mut() {
        // Of equal sources either bytecode does: the wheels' order must make no difference.
        planned.sort_by_key(|one| match &one.source {
            Source::Compiled { .. } => wheels[one.wheel].sha256.as_str(),
            _ => "",
        });
    }
    writer.folder(target.folder())?;
    let mut last_file: Option<&InstallPath> = None;
    for (path, planned) in &tree {
        if let Some(file) = last_file
            && path.is_in(file)
        {
            return Err(writer.clash(file, path));
        }
        let full = format!("{}/{path}", target.folder());
        if planned.is_empty() {
            writer.folder(&full)?;
            continue;
        }
        writer.file(path, &full, planned)?;
        last_file = Some(path);
    }
    writer.finish(compression)
}

/// Writes a layer of a few entries that are in memory, in this order.
///
/// # Errors
/// Those of `out`.
pub fn write_entries(
    entries: &[TreeEntry],
    compression: Compression,
    out: impl Write,
) -> Result<Layer, LayerError> {
    let write = || {
        let mut tar = TarWriter::new(Sink::new(out, compression)?);
        for entry in entries {
            match &entry.content {
                Content::Folder => tar.header(&entry.path, &Header::Folder)?,
                Content::Symlink(link) => tar.header(&entry.path, &Header::Symlink(link))?,
                Content::File {
                    is_executable,
                    bytes,
                } => {
                    let header = Header::File {
                        is_executable: *is_executable,
                        size: bytes.len() as u64,
                    };
                    tar.header(&entry.path, &header)?;
                    tar.piece(bytes)?;
                    tar.end_of_file(bytes.len() as u64)?;
                }
            }
        }
        tar.finish()?.finish()
    };
    let written = write().map_err(LayerError::Write)?;
    Ok(layer(written, compression))
}

fn add_parents(tree: &mut BTreeMap<InstallPath, Vec<Planned>>, path: &InstallPath) {
    for parent in path.parents() {
        tree.entry(InstallPath::new(parent.to_owned())).or_default();
    }
}

fn layer(written: Written, compression: Compression) -> Layer {
    Layer {
        digest: written.digest,
        diff_id: written.diff_id,
        size: written.size,
        unpacked: written.unpacked,
        compression,
        annotations: written.annotations,
    }
}

struct Writer<'a, W: Write> {
    wheels: &'a [Wheel],
    /// Of each wheel, or of none.
    bytecode: &'a [Bytecode],
    /// Of each wheel the hashes that its RECORD has, by entry.
    hashes: Vec<std::collections::HashMap<usize, String>>,
    scratch: Scratch,
    tar: TarWriter<Sink<W>>,
    files: FileList,
}

/// An error of a wheel or of the output, while content is on its way from the one to the other.
pub(crate) enum Stopped {
    Fault(Fault),
    Write(std::io::Error),
}

impl From<Fault> for Stopped {
    fn from(fault: Fault) -> Self {
        Stopped::Fault(fault)
    }
}

impl Stopped {
    pub(crate) fn of(self, wheel: &Wheel) -> LayerError {
        match self {
            Stopped::Fault(fault) => wheel.error(fault).into(),
            Stopped::Write(error) => LayerError::Write(error),
        }
    }
}

impl<W: Write> Writer<'_, W> {
    fn folder(&mut self, path: &str) -> Result<(), LayerError> {
        let written = self.tar.header(path, &Header::Folder);
        written.map_err(LayerError::Write)
    }

    /// Writes a file of one wheel, and compares it with what other wheels have there.
    fn file(
        &mut self,
        path: &InstallPath,
        full: &str,
        planned: &[Planned],
    ) -> Result<(), LayerError> {
        let is_executable = planned.iter().any(|p| is_executable(&p.source));
        let size = planned[0].source.size(&self.wheels[planned[0].wheel]);
        let header = Header::File {
            is_executable,
            size,
        };
        self.tar.header(full, &header).map_err(LayerError::Write)?;
        let hash = self.copy(&planned[0], true)?;
        self.tar.end_of_file(size).map_err(LayerError::Write)?;
        if let Source::Compiled { .. } = planned[0].source {
            return Ok(());
        }
        for other in &planned[1..] {
            if self.copy(other, false)? != hash {
                return Err(LayerError::Overlap {
                    path: path.to_string(),
                    first: self.wheels[planned[0].wheel].name.file.clone(),
                    second: self.wheels[other.wheel].name.file.clone(),
                });
            }
        }
        self.files.0.push(InstalledFile {
            path: path.to_string(),
            sha256: hex::encode(hash),
            wheel: planned[0].wheel,
        });
        Ok(())
    }

    /// Reads a file's content, writes it where `is_written`, and gives back its hash.
    fn copy(&mut self, planned: &Planned, is_written: bool) -> Result<[u8; 32], LayerError> {
        let wheel = &self.wheels[planned.wheel];
        let tar = &mut self.tar;
        let mut hash = Sha256::new();
        let mut put = |bytes: &[u8]| {
            hash.update(bytes);
            if is_written {
                tar.piece(bytes).map_err(Stopped::Write)?;
            }
            Ok(())
        };
        if let Source::Compiled { path, .. } = &planned.source {
            let read = self.bytecode[planned.wheel].read(path);
            let put = read.map_err(Stopped::Write).and_then(|bytes| put(&bytes));
            put.map_err(|stopped| stopped.of(wheel))?;
            return Ok(hash.finalize().into());
        }
        let read = content(wheel, &planned.source, &mut self.scratch, &mut put);
        let whole = read.map_err(|stopped| stopped.of(wheel))?;
        let hash: [u8; 32] = hash.finalize().into();
        let found = whole.unwrap_or(hash);
        let Some(at) = planned.source.entry() else {
            return Ok(hash);
        };
        let stated = self.hashes[planned.wheel].get(&at);
        if stated.is_some_and(|stated| *stated != URL_SAFE_NO_PAD.encode(found)) {
            let path = wheel.archive.entries()[at].path.to_string();
            let why = "its hash is another one".to_owned();
            return Err(wheel.error(Fault::Record { path, why }).into());
        }
        Ok(hash)
    }

    /// The error of two wheels one of which has a file where the other has a folder.
    fn clash(&self, file: &InstallPath, inside: &InstallPath) -> LayerError {
        let of = |path: &InstallPath| {
            let found = self.files.0.iter().find(|f| f.path == path.as_str());
            found.map_or(String::new(), |f| self.wheels[f.wheel].name.file.clone())
        };
        let first = of(file);
        let others = self.wheels.iter().map(|wheel| &wheel.name.file);
        let second = others.filter(|name| **name != first).cloned();
        LayerError::Overlap {
            path: inside.to_string(),
            second: second.collect::<Vec<_>>().join(" or "),
            first,
        }
    }

    fn finish(self, compression: Compression) -> Result<(Layer, FileList), LayerError> {
        let sink = self.tar.finish().map_err(LayerError::Write)?;
        let written = sink.finish().map_err(LayerError::Write)?;
        Ok((layer(written, compression), self.files))
    }
}

fn is_executable(source: &Source) -> bool {
    match source {
        Source::Entry { is_executable, .. } | Source::Made { is_executable, .. } => *is_executable,
        Source::Rewritten { .. } => true,
        Source::Compiled { .. } => false,
    }
}

/// Gives a file's content to `put`. Of a rewritten one also the hash that it has in the archive.
pub(crate) fn content(
    wheel: &Wheel,
    source: &Source,
    scratch: &mut Scratch,
    put: &mut dyn FnMut(&[u8]) -> Result<(), Stopped>,
) -> Result<Option<[u8; 32]>, Stopped> {
    let (at, skip, start): (usize, u64, &[u8]) = match source {
        Source::Made { bytes, .. } => return put(bytes).map(|()| None),
        Source::Compiled { .. } => return Ok(None),
        Source::Entry { at, .. } => (*at, 0, &[]),
        Source::Rewritten { at, skip, start } => (*at, *skip, start),
    };
    let (mut left, mut whole) = (skip, (skip > 0).then(Sha256::new));
    put(start)?;
    let entry = &wheel.archive.entries()[at];
    wheel.archive.content(entry, scratch, |piece| {
        if let Some(whole) = &mut whole {
            whole.update(piece);
        }
        let dropped = left.min(piece.len() as u64);
        left -= dropped;
        put(&piece[dropped as usize..])
    })?;
    Ok(whole.map(|whole| whole.finalize().into()))
}
