//! An image of a registry as one file of Apptainer's, without Docker and without root.
//!
//! Every layer is fetched to a temporary file and read twice: for what is in it, and then for the contents
//! that no layer above hides. The file depends on the image's digest and its repository's name alone.

mod error;
mod merge;

use std::collections::HashSet;
use std::fs::File;
use std::io::{BufWriter, Read as _};
use std::ops::ControlFlow;
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use mlbuild_manifests::atomic;
use mlbuild_sif::squashfs::{FileId, Squashfs, Tree};
use mlbuild_sif::{Documents, OciConfig, architecture, scripts};
use serde_json::{Value, json};

pub use self::error::PullError;
use crate::image::PlatformImage;
use crate::image::compare::LayerStore as _;
use crate::image::layer::{EntryKind, LayerLimits, read_layer};
use crate::image_source::{self, Opened};
use crate::records::this_host;
use crate::registry::{Registry, RegistryError};

/// Which image becomes which file.
#[derive(Debug, Clone)]
pub struct PullRequest {
    /// A reference.
    pub image: String,
    /// As `linux/amd64`; this machine's where nothing is said.
    pub platform: Option<String>,
    /// The file; `NAME_TAG.sif` where nothing is said.
    pub output: Option<PathBuf>,
}

/// A file that was written.
#[derive(Debug, Clone)]
pub struct Pulled {
    /// Where it is.
    pub file: PathBuf,
    /// `REPOSITORY@DIGEST`.
    pub pinned: String,
    /// The image's platform.
    pub platform: String,
    /// Variables of the image that a shell can't set, and that Apptainer so doesn't have.
    pub left_out: Vec<String>,
}

/// Fetches an image and writes it.
///
/// # Errors
/// An image that can't be read or has no such platform; a file that can't be written.
pub async fn pull(request: &PullRequest, registry: &Registry) -> Result<Pulled, PullError> {
    let reference = RegistryError::reference(&request.image)?;
    let resolved = registry.resolve(&reference, None).await?;
    let digest = resolved.descriptor.digest().to_string();
    let pinned = format!(
        "{}/{}@{digest}",
        reference.registry(),
        reference.repository()
    );
    let opened = image_source::open(&pinned, registry).await?;
    let platform = request
        .platform
        .clone()
        .unwrap_or_else(|| this_host().platform);
    if !opened.images.contains_key(&platform) {
        let has = opened.images.keys().cloned().collect();
        return Err(PullError::NoPlatform {
            pinned,
            platform,
            has,
        });
    }
    let file = request.output.clone().unwrap_or_else(|| {
        let name = reference.repository().rsplit('/').next();
        let tag = reference.tag().unwrap_or("latest");
        PathBuf::from(format!("{}_{tag}.sif", name.unwrap_or("image")))
    });
    let work = tokio::task::spawn_blocking(move || {
        let left_out = write(&opened, &platform, &pinned, &file)?;
        Ok(Pulled {
            file,
            pinned,
            platform,
            left_out,
        })
    });
    work.await.map_err(PullError::Ended)?
}

/// Writes the file whole, or not at all.
fn write(
    opened: &Opened,
    platform: &str,
    pinned: &str,
    file: &Path,
) -> Result<Vec<String>, PullError> {
    let fail = |source| PullError::Write {
        path: file.to_owned(),
        source,
    };
    let found = &opened.images[platform];
    let image = &found.image;
    let name = image.platform.architecture().to_string();
    let code = architecture(&name).ok_or_else(|| PullError::Architecture(name.clone()))?;
    let config = found.config.get("config").cloned().unwrap_or(Value::Null);
    let parsed = serde_json::from_value::<Option<OciConfig>>(config.clone());
    let parsed = parsed.map_err(PullError::Config)?.unwrap_or_default();
    let definition = scripts::definition(pinned);
    let labels = scripts::labels(&parsed, &name, pinned);
    let texts = scripts::files(&parsed, &labels, &definition);
    let documents = Documents {
        definition: definition.clone().into_bytes(),
        json: vec![
            (
                "inspect-metadata.json".to_owned(),
                parsed
                    .metadata(&labels, &definition)
                    .to_string()
                    .into_bytes(),
            ),
            (
                "oci-config.json".to_owned(),
                config.to_string().into_bytes(),
            ),
            ("mlbuild.json".to_owned(), claim(image, pinned, platform)),
        ],
        id: id_of(image),
    };
    let blobs = tempfile::tempdir().map_err(fail)?;
    let mut tree = fetch(opened, image, blobs.path())?;
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new("."));
    atomic::sweep(folder);
    let temporary = tempfile::Builder::new()
        .prefix(".mlbuild-")
        .suffix(".tmp")
        .tempfile_in(folder)
        .map_err(fail)?;
    let _ = temporary.as_file().lock();
    let mut problem = None;
    let mut out = BufWriter::with_capacity(1 << 20, temporary.as_file());
    let written = mlbuild_sif::write(&mut out, &documents, code, |out| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut files = Squashfs::new(out, threads)?;
        if let Err(error) = contents(image, blobs.path(), &tree.files(), &mut files) {
            problem = Some(error);
            return Err(std::io::Error::other("a layer can't be read"));
        }
        // The layers' own files have other numbers.
        let mut added = Vec::new();
        for (number, script) in texts.into_iter().enumerate() {
            let id = FileId(number as u64 + 1);
            let text = script.text.clone();
            files.file(id, &mut text.as_bytes(), text.len() as u64)?;
            added.push((script, id));
        }
        files.file(FileId(0), &mut std::io::empty(), 0)?;
        scripts::add(&mut tree, &added, FileId(0)).map_err(std::io::Error::other)?;
        files.finish(&tree).map(drop)
    });
    if let Some(problem) = problem {
        return Err(problem);
    }
    written.map_err(fail)?;
    out.into_inner().map_err(|error| fail(error.into_error()))?;
    let readable = std::fs::Permissions::from_mode(0o755);
    temporary
        .as_file()
        .set_permissions(readable)
        .map_err(fail)?;
    temporary.as_file().sync_data().map_err(fail)?;
    temporary.persist(file).map_err(|error| fail(error.error))?;
    Ok(parsed
        .unset_names()
        .into_iter()
        .map(str::to_owned)
        .collect())
}

/// What the file says of its origin.
fn claim(image: &PlatformImage, pinned: &str, platform: &str) -> Vec<u8> {
    let claim = json!({
        "image": pinned,
        "platform": platform,
        "manifest": image.manifest.digest(),
        "config": image.config.digest(),
    });
    claim.to_string().into_bytes()
}

/// Of the manifest's digest.
fn id_of(image: &PlatformImage) -> [u8; 16] {
    let mut id = [0; 16];
    let hex = image.manifest.digest().digest().as_bytes();
    for (byte, pair) in id.iter_mut().zip(hex.chunks(2)) {
        let text = std::str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(text, 16).unwrap_or_default();
    }
    id
}

/// Fetches the layers into a folder, checks them, and merges what is in them.
fn fetch(opened: &Opened, image: &PlatformImage, folder: &Path) -> Result<Tree, PullError> {
    let mut merged = merge::Merge::default();
    for (at, layer) in image.layers.iter().enumerate() {
        let place = folder.join(at.to_string());
        let fail = |source| PullError::Write {
            path: place.clone(),
            source,
        };
        let blob = opened.open(layer).map_err(PullError::Fetch)?;
        let mut out = File::create(&place).map_err(fail)?;
        // One byte more shows that there is too much.
        let mut blob = blob.take(layer.blob.size().saturating_add(1));
        std::io::copy(&mut blob, &mut out).map_err(PullError::Fetch)?;
        let limits = LayerLimits::for_blob(layer.blob.size());
        let blob = File::open(&place).map_err(fail)?;
        merged.begin_layer(at);
        read_layer(blob, layer, &limits, &mut |entry, _| {
            merged.add(entry).map_err(std::io::Error::other)?;
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(merged.tree)
}

/// Adds the contents that are left.
fn contents<W: std::io::Write + std::io::Seek>(
    image: &PlatformImage,
    folder: &Path,
    wanted: &HashSet<FileId>,
    files: &mut Squashfs<W>,
) -> Result<(), PullError> {
    for (at, layer) in image.layers.iter().enumerate() {
        let place = folder.join(at.to_string());
        let blob = File::open(&place).map_err(|source| PullError::Write {
            path: place.clone(),
            source,
        })?;
        let limits = LayerLimits::for_blob(layer.blob.size());
        let mut number = 0;
        read_layer(blob, layer, &limits, &mut |entry, content| {
            let id = merge::file_id(at, number);
            number += 1;
            if entry.kind == EntryKind::File && wanted.contains(&id) {
                files.file(id, content, entry.size)?;
            }
            Ok(ControlFlow::Continue(()))
        })?;
    }
    Ok(())
}
