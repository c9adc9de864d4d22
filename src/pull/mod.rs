//! An image of a registry, or of a layout that was just made, as one file of Apptainer's, without Docker and
//! without root.
//!
//! Every layer is fetched to a temporary file and read twice: for what is in it, and then for the contents
//! that no layer above hides. The file depends on the image's digest, its repository's name and the platform alone.
//! [`cache`] keeps files for the images that Apptainer starts here, and [`origin`] reads what a file says of its
//! own image.

pub mod cache;
mod error;
mod layers;
mod merge;
pub mod origin;

use std::io::BufWriter;
use std::path::{Path, PathBuf};

use mlbuild_manifests::atomic::{self, Unfinished};
use mlbuild_sif::squashfs::{FileId, Squashfs};
use mlbuild_sif::{Documents, OciConfig, architecture, scripts};
use oci_spec::distribution::Reference;
use oci_spec::image::{Digest, ImageIndex};
use serde_json::{Value, json};
use tokio_util::sync::CancellationToken;

pub use self::error::PullError;
use self::layers::Layers;
use crate::image::PlatformImage;
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
    /// The file; `NAME_TAG.sif` where nothing is said, or of a digest's first 12 digits.
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
    /// What the image says and Apptainer doesn't do, or the file hasn't as it was: a sentence for each.
    pub left_out: Vec<String>,
}

/// Fetches an image and writes it.
///
/// # Errors
/// An image that can't be read or has no such platform; a file that can't be written.
pub async fn pull(
    request: &PullRequest,
    registry: &Registry,
    cancelled: &CancellationToken,
) -> Result<Pulled, PullError> {
    let reference = RegistryError::reference(&request.image)?;
    let file = request.output.clone();
    let file = file.unwrap_or_else(|| PathBuf::from(default_name(&reference)));
    // Before anything is fetched, since that may take an hour.
    let out = begin(&file)?;
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
    has_platform(&opened, &pinned, &platform)?;
    let token = cancelled.clone();
    let work = tokio::task::spawn_blocking(move || {
        let left_out = write(&opened, &platform, &pinned, &file, out, &token)?;
        Ok(Pulled {
            file,
            pinned,
            platform,
            left_out,
        })
    });
    match work.await.map_err(PullError::Ended)? {
        Err(_) if cancelled.is_cancelled() => Err(PullError::Cancelled),
        done => done,
    }
}

/// Writes the image of a layout, the bytes that [`pull`] gives of the same image under the same name: `name`
/// is `REGISTRY/REPOSITORY`. The image is that of this machine, or the only one.
///
/// # Errors
/// An image that can't be read or has no such platform; a file that can't be written.
pub fn write_layout(
    layout: &Path,
    name: &str,
    file: BegunFile,
    cancelled: &CancellationToken,
) -> Result<Pulled, PullError> {
    let opened = image_source::on_disk(name, layout)?;
    let digest = top_of(layout)?;
    let pinned = format!("{name}@{digest}");
    let here = this_host().platform;
    let mut platforms = opened.images.keys();
    let platform = match (platforms.next(), platforms.next()) {
        (Some(only), None) => only.clone(),
        _ => here,
    };
    has_platform(&opened, &pinned, &platform)?;
    let BegunFile { path, unfinished } = file;
    let left_out = write(&opened, &platform, &pinned, &path, unfinished, cancelled)?;
    Ok(Pulled {
        file: path,
        pinned,
        platform,
        left_out,
    })
}

/// The digest that the layout's image has as a whole: an index's, where it is one.
fn top_of(layout: &Path) -> Result<Digest, PullError> {
    let path = layout.join("index.json");
    let fail = |source| PullError::Write {
        path: path.clone(),
        source,
    };
    let text = mlbuild_files::read_to_string(&path).map_err(fail)?;
    let index: ImageIndex =
        serde_json::from_str(&text).map_err(|error| fail(std::io::Error::other(error)))?;
    let first = index.manifests().first();
    let none = || fail(std::io::Error::other("it names no image"));
    Ok(first.ok_or_else(none)?.digest().clone())
}

fn has_platform(opened: &Opened, pinned: &str, platform: &str) -> Result<(), PullError> {
    if opened.images.contains_key(platform) {
        return Ok(());
    }
    Err(PullError::NoPlatform {
        pinned: pinned.to_owned(),
        platform: platform.to_owned(),
        has: opened.images.keys().cloned().collect(),
    })
}

/// A file that can be written, and isn't yet. Dropped, it leaves nothing.
pub struct BegunFile {
    path: PathBuf,
    unfinished: Unfinished,
}

impl BegunFile {
    /// Begins it.
    ///
    /// # Errors
    /// Where no file can be written there.
    pub fn at(path: &Path) -> Result<Self, PullError> {
        Ok(Self {
            unfinished: begin(path)?,
            path: path.to_owned(),
        })
    }
}

/// `NAME_TAG.sif`, and for a digest its beginning.
fn default_name(reference: &Reference) -> String {
    let name = reference.repository().rsplit('/').next();
    let hex = reference.digest().and_then(|digest| digest.split_once(':'));
    let digest = hex.map(|(_, hex)| hex.chars().take(12).collect::<String>());
    let tag = reference.tag().map(str::to_owned).or(digest);
    let tag = tag.unwrap_or_else(|| "latest".to_owned());
    format!("{}_{tag}.sif", name.unwrap_or("image"))
}

fn begin(file: &Path) -> Result<Unfinished, PullError> {
    let folder = file.parent().filter(|p| !p.as_os_str().is_empty());
    atomic::sweep(folder.unwrap_or(Path::new(".")));
    // It can be run as a program.
    Unfinished::beside(file, 0o777).map_err(|source| PullError::Write {
        path: file.to_owned(),
        source,
    })
}

/// Writes the file whole, or not at all.
fn write(
    opened: &Opened,
    platform: &str,
    pinned: &str,
    file: &Path,
    unfinished: Unfinished,
    cancelled: &CancellationToken,
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
    let metadata = parsed.metadata(&labels, &definition);
    let texts = scripts::files(&parsed, &labels, &definition);
    let json = [
        ("inspect-metadata.json", metadata),
        ("oci-config.json", config),
        ("mlbuild.json", claim(image, pinned, platform)),
    ];
    let json = json.map(|(name, value)| (name.to_owned(), value.to_string().into_bytes()));
    let documents = Documents {
        definition: definition.into_bytes(),
        json: json.into(),
        id: id_of(image),
    };
    let (layers, mut tree) = Layers::fetch(opened, image, cancelled)?;
    let (mut problem, mut left_out) = (None, parsed.left_out());
    let mut out = BufWriter::with_capacity(1 << 20, unfinished.file());
    let written = mlbuild_sif::write(&mut out, &documents, code, |out| {
        let threads = std::thread::available_parallelism().map_or(1, usize::from);
        let mut files = Squashfs::new(out, threads)?;
        if let Err(error) = layers.contents(file, &tree.files(), &mut files) {
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
        let lines = scripts::add(&mut tree, &added, FileId(0));
        left_out.extend(lines.map_err(std::io::Error::other)?);
        files.finish(&tree).map(drop)
    });
    if let Some(problem) = problem {
        return Err(problem);
    }
    written.map_err(fail)?;
    out.into_inner().map_err(|error| fail(error.into_error()))?;
    unfinished.persist().map_err(fail)?;
    Ok(left_out)
}

/// What the file says of its origin.
fn claim(image: &PlatformImage, pinned: &str, platform: &str) -> Value {
    json!({
        "image": pinned,
        "platform": platform,
        "manifest": image.manifest.digest(),
        "config": image.config.digest(),
    })
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
