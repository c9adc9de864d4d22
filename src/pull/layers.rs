//! An image's layers, as they come, in files of their own.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use mlbuild_sif::squashfs::{FileId, Squashfs, Tree};
use tempfile::TempDir;
use tokio_util::sync::CancellationToken;

use super::error::PullError;
use super::merge::{Merge, file_id};
use crate::image::compare::LayerStore as _;
use crate::image::layer::{EntryKind, LayerError, LayerLimits, LayerProblem, read_layer};
use crate::image::{ImageLayer, PlatformImage};
use crate::image_source::Opened;

/// Bytes that are fetched at once.
const PIECE: usize = 128 << 10;

pub(super) struct Layers<'a> {
    image: &'a PlatformImage,
    folder: TempDir,
    cancelled: &'a CancellationToken,
}

impl<'a> Layers<'a> {
    /// Fetches the layers, checks them, and merges what is in them.
    pub(super) fn fetch(
        opened: &Opened,
        image: &'a PlatformImage,
        cancelled: &'a CancellationToken,
    ) -> Result<(Self, Tree), PullError> {
        let folder = tempfile::tempdir().map_err(|source| PullError::Write {
            path: tempfile::env::temp_dir(),
            source,
        })?;
        let layers = Self {
            image,
            folder,
            cancelled,
        };
        let mut merged = Merge::default();
        for (at, layer) in image.layers.iter().enumerate() {
            let blob = opened.open(layer).map_err(PullError::Fetch)?;
            // One byte more shows that there is too much.
            let blob = blob.take(layer.blob.size().saturating_add(1));
            keep(&mut layers.until_cancelled(blob), &layers.place(at))?;
            merged.begin_layer(at);
            layers.read(at, layer, &mut |entry, _| {
                merged.add(entry).map_err(io::Error::other)?;
                Ok(ControlFlow::Continue(()))
            })?;
        }
        Ok((layers, merged.tree))
    }

    /// Adds the contents that are left to what becomes `file`.
    pub(super) fn contents<W: Write + Seek>(
        &self,
        file: &Path,
        wanted: &HashSet<FileId>,
        files: &mut Squashfs<W>,
    ) -> Result<(), PullError> {
        for (at, layer) in self.image.layers.iter().enumerate() {
            let mut number = 0;
            let read = self.read(at, layer, &mut |entry, content| {
                let id = file_id(at, number);
                number += 1;
                if entry.kind == EntryKind::File && wanted.contains(&id) {
                    files.file(id, content, entry.size)?;
                }
                Ok(ControlFlow::Continue(()))
            });
            read.map_err(|error| not_written(error, file))?;
        }
        Ok(())
    }

    fn read(
        &self,
        at: usize,
        layer: &ImageLayer,
        visit: &mut crate::image::layer::Visit<'_>,
    ) -> Result<(), PullError> {
        let path = self.place(at);
        let blob = File::open(&path).map_err(|source| PullError::Write { path, source })?;
        let limits = LayerLimits::for_blob(layer.blob.size());
        read_layer(self.until_cancelled(blob), layer, &limits, visit)?;
        Ok(())
    }

    fn place(&self, layer: usize) -> PathBuf {
        self.folder.path().join(layer.to_string())
    }

    fn until_cancelled<R>(&self, inner: R) -> UntilCancelled<'a, R> {
        UntilCancelled {
            inner,
            cancelled: self.cancelled,
        }
    }
}

/// Copies to a file; what can't be read and what can't be written are different errors.
fn keep(from: &mut impl Read, path: &Path) -> Result<(), PullError> {
    let fail = |source| PullError::Write {
        path: path.to_owned(),
        source,
    };
    let mut out = File::create(path).map_err(fail)?;
    let mut piece = vec![0; PIECE];
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(()),
            Ok(read) => out.write_all(&piece[..read]).map_err(fail)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(PullError::Fetch(error)),
        }
    }
}

/// The layer is fine where its contents aren't taken: `file` can't be written then.
fn not_written(error: PullError, file: &Path) -> PullError {
    match error {
        PullError::Layer(LayerError { layer, problem }) => match *problem {
            LayerProblem::TakenIn { why, .. } => PullError::Write {
                path: file.to_owned(),
                source: why,
            },
            problem => PullError::Layer(LayerError {
                layer,
                problem: Box::new(problem),
            }),
        },
        error => error,
    }
}

/// Bytes, until the user wants no more: whoever reads them ends then, and leaves nothing.
struct UntilCancelled<'a, R> {
    inner: R,
    cancelled: &'a CancellationToken,
}

impl<R: Read> Read for UntilCancelled<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if self.cancelled.is_cancelled() {
            return Err(io::Error::other("it was broken off"));
        }
        self.inner.read(buffer)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_be_written_is_told_from_what_cannot_be_read() {
        struct Broken;
        impl Read for Broken {
            fn read(&mut self, _: &mut [u8]) -> io::Result<usize> {
                Err(io::Error::other("cut off"))
            }
        }
        let folder = tempfile::tempdir().unwrap();
        let error = keep(&mut Broken, &folder.path().join("0")).unwrap_err();
        assert!(matches!(error, PullError::Fetch(_)), "{error}");
        let full = Path::new("/dev/full");
        let error = keep(&mut io::repeat(1), full).unwrap_err();
        assert!(error.to_string().starts_with("/dev/full: "), "{error}");
        let of_layer = PullError::Layer(LayerError {
            layer: format!("sha256:{}", "0".repeat(64)).parse().unwrap(),
            problem: Box::new(LayerProblem::TakenIn {
                path: b"a".to_vec(),
                why: io::Error::other("full"),
            }),
        });
        let error = not_written(of_layer, Path::new("out.sif"));
        assert_eq!(error.to_string(), "out.sif: full");
    }

    #[test]
    fn nothing_is_read_any_more_once_it_is_cancelled() {
        let cancelled = CancellationToken::new();
        let mut reader = UntilCancelled {
            inner: io::repeat(1),
            cancelled: &cancelled,
        };
        let folder = tempfile::tempdir().unwrap();
        assert_eq!(reader.read(&mut [0; 8]).unwrap(), 8);
        cancelled.cancel();
        assert!(keep(&mut reader, &folder.path().join("0")).is_err());
    }
}
