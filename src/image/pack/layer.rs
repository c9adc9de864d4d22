//! One layer: read, checked and written again.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::ControlFlow;
use std::path::Path;

use mlbuild_lazy::{Format, LazyWriter};
use mlbuild_manifests::digest::of_hash;
use oci_spec::image::{Descriptor, Digest, MediaType};
use sha2::{Digest as _, Sha256};
use tempfile::NamedTempFile;
use zstd::stream::raw::CParameter;

use super::copied::Copied;
use super::folder::{PackedFolder, at};
use super::gzip::GzipMembers;
use super::unchanged::Entries;
use super::{PackError, PackOptions, PackedLayer};
use crate::image::ImageLayer;
use crate::image::compare::Side;
use crate::image::layer::{
    EntryKind, LayerEntry, LayerLimits, Mtime, TarWriter, annotated, of_hex, read_layer,
};
use crate::plan::Compression;

/// Threads that compress one layer.
const WORKERS: u16 = 2;

/// Takes an entry and its content: as many bytes as the entry has, of a file alone.
pub type Append<'a> = dyn FnMut(&LayerEntry, &mut dyn io::Read) -> io::Result<()> + 'a;

/// Writes a layer of entries that `fill` gives, in its order.
///
/// # Errors
/// Those of `fill`, and [`PackError::Write`].
pub fn write_layer<E: From<PackError>>(
    compression: Compression,
    into: &PackedFolder,
    fill: impl FnOnce(&mut Append<'_>) -> Result<(), E>,
) -> Result<ImageLayer, E> {
    let blobs = into.blobs();
    let failed = |error| E::from(at(&blobs)(error));
    let mut file = NamedTempFile::new_in(&blobs).map_err(failed)?;
    let sink = Sink::new(file.as_file_mut(), compression).map_err(failed)?;
    let mut tar = TarWriter::new(sink);
    fill(&mut |entry, content| tar.append(entry, entry.size, content))?;
    let written = tar.finish().and_then(Sink::finish).map_err(failed)?;
    let blob = written.blob(compression);
    keep(file, &into.blob(blob.digest()))?;
    Ok(ImageLayer {
        blob,
        diff_id: written.diff_id,
    })
}

fn media_type(compression: Compression) -> MediaType {
    match compression {
        Compression::Zstd(_) | Compression::ZstdChunked => MediaType::ImageLayerZstd,
        Compression::Gzip(_) | Compression::Estargz => MediaType::ImageLayerGzip,
        Compression::None => MediaType::ImageLayer,
    }
}

/// What the other layers say about one of an image's own.
pub(super) struct Step<'a> {
    /// Entries of it that change nothing.
    pub(super) unchanged: &'a Entries,
    /// What was copied.
    pub(super) copied: &'a Copied,
    /// Which of the image's own layers it is, from 0.
    pub(super) at: usize,
}

pub(super) fn pack(
    side: &Side<'_>,
    layer: &ImageLayer,
    step: &Step<'_>,
    options: &PackOptions,
    into: &PackedFolder,
) -> Result<PackedLayer, PackError> {
    let blobs = into.blobs();
    let mut file = NamedTempFile::new_in(&blobs).map_err(at(&blobs))?;
    let (mut clamped, mut failed) = (0, None);
    let sink = Sink::new(file.as_file_mut(), options.repack.compression).map_err(at(&blobs))?;
    let mut tar = TarWriter::new(sink);
    let limits = LayerLimits::for_blob(layer.blob.size());
    let totals = read_layer(side.open(layer)?, layer, &limits, &mut |entry, content| {
        let unchanged = step.unchanged;
        if !unchanged.is_empty() && unchanged.contains(&(entry.kind, entry.path.clone())) {
            return Ok(ControlFlow::Continue(()));
        }
        let has_any_time = step.copied.has_any_time(step.at, entry);
        let (entry, was_later) = canonical(entry, options.repack.epoch, has_any_time);
        clamped += u64::from(was_later);
        match tar.append(&entry, entry.size, content) {
            Ok(()) => Ok(ControlFlow::Continue(())),
            // Whose error it is can only be told apart here: reading goes on without us.
            Err(error) if tar_failed(&error) => {
                failed = Some(error);
                Ok(ControlFlow::Break(()))
            }
            Err(error) => Err(error),
        }
    })?;
    if let Some(error) = failed {
        return Err(at(&blobs)(error));
    }
    let written = tar.finish().and_then(Sink::finish).map_err(at(&blobs))?;
    let blob = written.blob(options.repack.compression);
    keep(file, &into.blob(blob.digest()))?;
    Ok(PackedLayer {
        layer: ImageLayer {
            blob,
            diff_id: written.diff_id,
        },
        unpacked: totals.unpacked,
        clamped,
        copied: step.copied.is_copy(step.at),
    })
}

/// What an entry says that doesn't hang on the machine it was made on: whole seconds, none after
/// the epoch, and the epoch itself where a builder may give any time; owners by number; of a whiteout
/// nothing but the path.
fn canonical(entry: &LayerEntry, epoch: i64, has_any_time: bool) -> (LayerEntry, bool) {
    let mut entry = entry.clone();
    let is_later = (entry.mtime.seconds, entry.mtime.nanos) > (epoch, 0);
    entry.mtime = Mtime {
        seconds: if has_any_time {
            epoch
        } else {
            entry.mtime.seconds.min(epoch)
        },
        nanos: 0,
    };
    entry.uname.clear();
    entry.gname.clear();
    if matches!(entry.kind, EntryKind::Whiteout | EntryKind::Opaque) {
        entry.mtime = Mtime::default();
        (entry.mode, entry.uid, entry.gid) = (0, 0, 0);
        entry.xattrs.clear();
        return (entry, false);
    }
    (entry, is_later)
}

fn keep(file: NamedTempFile, path: &Path) -> Result<(), PackError> {
    use std::os::unix::fs::PermissionsExt as _;
    let readable = std::fs::Permissions::from_mode(0o644);
    file.as_file().set_permissions(readable).map_err(at(path))?;
    file.persist(path).map_err(|error| at(path)(error.error))?;
    Ok(())
}

/// An error of writing, marked so that it can be told from one of reading.
#[derive(Debug, thiserror::Error)]
#[error(transparent)]
struct SinkError(io::Error);

fn tar_failed(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|inner| inner.is::<SinkError>())
}

/// The tar's bytes on their way: hashed, compressed, hashed again, written.
struct Sink<'a> {
    diff_id: Sha256,
    packer: Packer<Hashed<'a>>,
}

enum Packer<W: Write> {
    Zstd(zstd::stream::write::Encoder<'static, W>),
    Gzip(GzipMembers<W>),
    None(W),
    Lazy(Box<LazyWriter<W>>),
}

/// What a sink came to.
struct Written {
    diff_id: Digest,
    digest: Digest,
    size: u64,
    annotations: BTreeMap<String, String>,
}

impl Written {
    fn blob(&self, compression: Compression) -> Descriptor {
        let blob = Descriptor::new(media_type(compression), self.size, self.digest.clone());
        annotated(blob, self.annotations.clone())
    }
}

impl<'a> Sink<'a> {
    fn new(file: &'a mut File, compression: Compression) -> io::Result<Self> {
        let out = Hashed {
            file: BufWriter::with_capacity(256 << 10, file),
            hash: Sha256::new(),
            size: 0,
        };
        let packer = match compression {
            Compression::Zstd(level) => {
                let mut encoder = zstd::stream::write::Encoder::new(out, level)?;
                // With one worker or with ten, the bytes are the same; without any they aren't.
                encoder.set_parameter(CParameter::NbWorkers(WORKERS.into()))?;
                encoder.include_checksum(true)?;
                Packer::Zstd(encoder)
            }
            Compression::Gzip(level) => Packer::Gzip(GzipMembers::new(out, level, WORKERS.into())?),
            Compression::None => Packer::None(out),
            Compression::Estargz => Packer::Lazy(Box::new(LazyWriter::new(out, Format::Estargz)?)),
            Compression::ZstdChunked => {
                Packer::Lazy(Box::new(LazyWriter::new(out, Format::ZstdChunked)?))
            }
        };
        Ok(Self {
            diff_id: Sha256::new(),
            packer,
        })
    }

    fn finish(self) -> io::Result<Written> {
        let mut annotations = BTreeMap::new();
        let mut diff_id = None;
        let mut out = match self.packer {
            Packer::Zstd(encoder) => encoder.finish()?,
            Packer::Gzip(encoder) => encoder.finish()?,
            Packer::None(out) => out,
            Packer::Lazy(writer) => {
                let (out, written) = writer.finish()?;
                annotations = written.annotations;
                diff_id = Some(of_hex(&written.diff_id));
                out
            }
        };
        out.file.flush()?;
        Ok(Written {
            diff_id: diff_id.unwrap_or_else(|| of_hash(self.diff_id)),
            annotations,
            digest: of_hash(out.hash),
            size: out.size,
        })
    }
}

impl Write for Sink<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = match &mut self.packer {
            Packer::Zstd(encoder) => encoder.write(bytes),
            Packer::Gzip(encoder) => encoder.write(bytes),
            Packer::None(out) => out.write(bytes),
            // It hashes the tar for itself.
            Packer::Lazy(writer) => {
                let written = writer.write(bytes);
                return written.map_err(|error| io::Error::other(SinkError(error)));
            }
        };
        let written = written.map_err(|error| io::Error::other(SinkError(error)))?;
        self.diff_id.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

struct Hashed<'a> {
    file: BufWriter<&'a mut File>,
    hash: Sha256,
    size: u64,
}

impl Write for Hashed<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.hash.update(&bytes[..written]);
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
