//! Reading a layer, entry by entry.

use std::io::{self, Read};
use std::ops::ControlFlow;

use mlbuild_manifests::digest::sha256;
use oci_spec::image::{Descriptor, MediaType};

use super::entry::{EntryKind, LayerEntry};
use super::error::{LayerError, LayerProblem};
use super::headers::{self, BLOCK, HeaderError, RawEntry};
use super::limits::LayerLimits;
use super::paths::{Links, Meaning, clean, meaning};
use super::stream::{Tap, Unpacked, is_too_much};
use crate::image::ImageLayer;

const PIECE: usize = 64 << 10;

/// What a layer came to.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerTotals {
    /// Bytes of the tar.
    pub unpacked: u64,
    /// Entries.
    pub entries: u64,
}

/// Sees an entry and its content; may break off.
pub type Visit<'a> = dyn FnMut(&LayerEntry, &mut dyn Read) -> io::Result<ControlFlow<()>> + 'a;

/// Reads a layer from its blob's bytes and shows each entry with its content to `visit`, in
/// the order of the tar; content that `visit` leaves unread is skipped.
///
/// The blob's size and digest and the diff ID are checked by the end. So what was seen counts
/// only once this returns `Ok`; where `visit` breaks off, nothing is checked.
///
/// # Errors
/// A layer that is damaged, cut off, too large for its blob, or names paths that lead out of
/// the image; or the first error of `visit`.
pub fn read_layer(
    blob: impl Read,
    layer: &ImageLayer,
    limits: &LayerLimits,
    visit: &mut Visit<'_>,
) -> Result<LayerTotals, LayerError> {
    let mut reader = Reader {
        layer,
        limits,
        links: Links::default(),
        last: Vec::new(),
        totals: LayerTotals::default(),
        names: 0,
    };
    let fail = |problem| LayerError {
        layer: layer.blob.digest().clone(),
        problem: Box::new(problem),
    };
    check_media_type(layer.blob.media_type()).map_err(fail)?;
    let size = layer.blob.size();
    let blob = Unpacked::new(Tap::new(blob, size, true));
    let blob = blob.map_err(|error| {
        fail(if is_too_much(&error) {
            LayerProblem::TooLong { expected: size }
        } else {
            LayerProblem::Read(error)
        })
    })?;
    // An unpacked blob is its own tar: hashed once.
    let hashes = blob.is_packed();
    let mut tar = Tap::new(blob, limits.unpacked, hashes);
    match reader.run(&mut tar, visit) {
        Ok(ControlFlow::Continue(())) => reader.check(&tar).map_err(fail)?,
        Ok(ControlFlow::Break(())) => {}
        Err(Stop::Problem(problem)) => return Err(fail(problem)),
        Err(Stop::Io(error)) => return Err(fail(reader.explain(&tar, error))),
    }
    reader.totals.unpacked = tar.count;
    Ok(reader.totals)
}

/// Layers of the OCI and Docker that registries keep themselves.
fn check_media_type(media_type: &MediaType) -> Result<(), LayerProblem> {
    let is_layer = matches!(
        media_type.as_ref(),
        "application/vnd.oci.image.layer.v1.tar"
            | "application/vnd.oci.image.layer.v1.tar+gzip"
            | "application/vnd.oci.image.layer.v1.tar+zstd"
            | "application/vnd.docker.image.rootfs.diff.tar"
            | "application/vnd.docker.image.rootfs.diff.tar.gzip"
            | "application/vnd.docker.image.rootfs.diff.tar.zstd"
    );
    if is_layer {
        Ok(())
    } else {
        Err(LayerProblem::MediaType {
            media_type: media_type.to_string(),
        })
    }
}

/// Why reading stopped.
enum Stop {
    Io(io::Error),
    Problem(LayerProblem),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Stop::Io(error)
    }
}

impl From<LayerProblem> for Stop {
    fn from(problem: LayerProblem) -> Self {
        Stop::Problem(problem)
    }
}

struct Reader<'a> {
    layer: &'a ImageLayer,
    limits: &'a LayerLimits,
    links: Links,
    /// Path of the last entry, for errors.
    last: Vec<u8>,
    totals: LayerTotals,
    /// Bytes of all names so far.
    names: u64,
}

impl Reader<'_> {
    fn run(&mut self, tar: &mut impl Read, visit: &mut Visit<'_>) -> Result<ControlFlow<()>, Stop> {
        loop {
            let raw = match headers::next(tar) {
                Ok(Some(raw)) => raw,
                Ok(None) => break,
                Err(HeaderError::Io(error)) => return Err(error.into()),
                Err(HeaderError::Bad(path, why)) => {
                    return Err(LayerProblem::NotATar { path, why }.into());
                }
            };
            self.last.clone_from(&raw.path);
            let size = raw.size;
            let mut content = Content {
                input: tar,
                left: size,
                has_failed: false,
            };
            if let Some(entry) = self.entry(raw)? {
                match visit(&entry, &mut content) {
                    Ok(ControlFlow::Continue(())) => {}
                    Ok(ControlFlow::Break(())) => return Ok(ControlFlow::Break(())),
                    Err(error) if content.has_failed => return Err(error.into()),
                    Err(why) => {
                        let path = self.last.clone();
                        return Err(LayerProblem::TakenIn { path, why }.into());
                    }
                }
            }
            io::copy(&mut content, &mut io::sink())?;
            let padding = size.next_multiple_of(BLOCK as u64) - size;
            let mut rest = [0; BLOCK];
            tar.read_exact(&mut rest[..padding as usize])?;
        }
        // What follows the end counts for the digests, and must be within the limits.
        self.last.clear();
        let mut rest = vec![0; PIECE];
        while tar.read(&mut rest)? > 0 {}
        Ok(ControlFlow::Continue(()))
    }

    /// The entry, checked; `None` for what is no part of the image.
    fn entry(&mut self, raw: RawEntry) -> Result<Option<LayerEntry>, LayerProblem> {
        self.count(&raw)?;
        let refuse = |why| LayerProblem::Path {
            path: raw.path.clone(),
            why,
        };
        let path = clean(&raw.path).map_err(refuse)?;
        let (kind, path) = match meaning(&path).map_err(refuse)? {
            Meaning::Plain => (raw.kind, path),
            Meaning::Hides(kind, hidden) => (kind, hidden),
            Meaning::Driver => return Ok(None),
        };
        if path.as_bytes().is_empty() && !matches!(kind, EntryKind::Folder | EntryKind::Opaque) {
            return Err(refuse("is the root, and no folder"));
        }
        let hides = matches!(kind, EntryKind::Whiteout | EntryKind::Opaque);
        let link = match (&raw.link, kind) {
            (Some(link), EntryKind::HardLink) => {
                let target = clean(link).map_err(|_| refuse("is a hard link out of the image"))?;
                Some(target.as_bytes().to_vec())
            }
            (None, EntryKind::HardLink | EntryKind::Symlink) => {
                return Err(refuse("is a link to nowhere"));
            }
            (link, _) => link.clone().filter(|_| !hides),
        };
        let entry = LayerEntry {
            path,
            kind,
            mode: raw.mode,
            uid: raw.uid,
            gid: raw.gid,
            uname: raw.uname.clone(),
            gname: raw.gname.clone(),
            mtime: raw.mtime,
            size: if hides { 0 } else { raw.size },
            link,
            device: raw.device,
            xattrs: raw.xattrs.clone(),
        };
        self.links.pass(&entry).map_err(refuse)?;
        Ok(Some(entry))
    }

    fn count(&mut self, raw: &RawEntry) -> Result<(), LayerProblem> {
        let bomb = |what, limit| LayerProblem::Bomb {
            what,
            limit,
            size: self.layer.blob.size(),
        };
        self.totals.entries += 1;
        let xattrs = raw.xattrs.iter().map(|(k, v)| k.len() + v.len());
        let names = raw.path.len() + raw.link.as_ref().map_or(0, Vec::len);
        self.names += (names + xattrs.sum::<usize>()) as u64;
        if self.totals.entries > self.limits.entries {
            return Err(bomb("more entries", self.limits.entries));
        }
        if self.names > self.limits.names {
            return Err(bomb("more bytes of names", self.limits.names));
        }
        Ok(())
    }

    /// Compares what was read with what the manifest and the configuration say.
    fn check<R: Read>(&self, tar: &Tap<Unpacked<R>>) -> Result<(), LayerProblem> {
        let blob = tar.inner().blob();
        let expected = self.layer.blob.size();
        if blob.count != expected {
            return Err(self.truncated(blob.count));
        }
        let found = blob.digest().expect("blobs are hashed");
        let diff_id = tar.digest().unwrap_or_else(|| found.clone());
        if found != *self.layer.blob.digest() {
            return Err(LayerProblem::Digest { found });
        }
        if diff_id != self.layer.diff_id {
            return Err(LayerProblem::DiffId {
                found: diff_id,
                expected: self.layer.diff_id.clone(),
            });
        }
        Ok(())
    }

    /// What an error of the stream means.
    fn explain<R: Read>(&self, tar: &Tap<Unpacked<R>>, error: io::Error) -> LayerProblem {
        let blob = tar.inner().blob();
        let (found, expected) = (blob.count, self.layer.blob.size());
        if is_too_much(&error) {
            return if found > expected {
                LayerProblem::TooLong { expected }
            } else {
                LayerProblem::Bomb {
                    what: "more bytes",
                    limit: self.limits.unpacked,
                    size: expected,
                }
            };
        }
        if blob.has_failed {
            return LayerProblem::Read(error);
        }
        let path = self.last.clone();
        if found < expected || error.kind() == io::ErrorKind::UnexpectedEof {
            return self.truncated(found);
        }
        LayerProblem::Damaged { path, why: error }
    }

    fn truncated(&self, found: u64) -> LayerProblem {
        LayerProblem::Truncated {
            path: self.last.clone(),
            found,
            expected: self.layer.blob.size(),
        }
    }
}

/// The content of one entry.
struct Content<'a, R> {
    input: &'a mut R,
    left: u64,
    /// True once the layer itself couldn't be read on.
    has_failed: bool,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let most = usize::try_from(self.left).map_or(buffer.len(), |l| l.min(buffer.len()));
        if most == 0 {
            return Ok(0);
        }
        let error = match self.input.read(&mut buffer[..most]) {
            Ok(n) if n > 0 => {
                self.left -= n as u64;
                return Ok(n);
            }
            Ok(_) => io::ErrorKind::UnexpectedEof.into(),
            Err(error) => error,
        };
        self.has_failed |= error.kind() != io::ErrorKind::Interrupted;
        Err(error)
    }
}

/// Names some bytes: their size and digest.
pub fn descriptor(bytes: &[u8], media_type: MediaType) -> Descriptor {
    Descriptor::new(media_type, bytes.len() as u64, sha256(bytes))
}
