//! An image put together from layers: a base as it is, a Python environment of pinned wheels, and
//! files. Nothing is run, so it needs no builder, no daemon and no rights.
//!
//! The layers of wheels depend on the wheels, the Python's minor version and the environment's
//! folder alone: every image that needs a wheel has the same layer. From the bottom: the base, the
//! environment without packages (which names the base's Python), large wheels one a layer, the
//! small ones together, and what the caller puts above them.
//!
//! Bytecode of the packages comes from the base's own Python, wherever a caller has that run; it is in
//! the layers of the wheels. Without it a program compiles what it imports, at every start where the
//! user can't write to the environment.

mod account;
mod bytecode;
mod environment;
mod error;
mod facts;
mod named_wheel;
mod tree;

use std::collections::{BTreeMap, HashSet};
use std::path::{Path, PathBuf};

use mlbuild_lazy::Format;
use mlbuild_wheels::{Compression, Layer, LayerStore, Target};
use oci_spec::image::Digest;
use serde_json::{Map, Value, json};

use crate::image::layer::{LayerEntry, Packing, write_tar};
use crate::image::pack::{OwnLayer, PackBase, PackedFolder, compose};
use crate::image::{ImageLayer, PlatformImage};

pub use account::Account;
pub use bytecode::{BytecodeQuestion, Uncompiled};
pub use environment::{EnvironmentLayer, EnvironmentNeeds, PinnedWheel, environment_needs};
pub use error::AssembleError;
pub use facts::{BaseFacts, BundledWheel};

/// What the history says of the layer of an image's user, whose name follows.
pub(crate) use crate::image::reown::ASSEMBLED as USER_LAYER;

/// Layers that an image may have: Docker's classic store fails at 126.
pub const MOST_LAYERS: usize = 120;

/// A layer of files: what its line in the history says, and each entry with its content.
pub type FilesLayer = (String, Vec<(LayerEntry, Vec<u8>)>);

/// What an image is to be made of.
pub struct AssembleRequest<'a> {
    /// The base.
    pub base: &'a PackBase,
    /// What is known of it.
    pub facts: &'a BaseFacts,
    /// The environment's folder: `/opt/venv`.
    pub prefix: &'a str,
    /// The packages.
    pub wheels: &'a [PinnedWheel],
    /// Packages that had a layer of their own in the image before this one, from the bottom.
    pub before: &'a [String],
    /// Layers above the environment that are in the folder already, from the bottom.
    pub written: &'a [OwnLayer],
    /// Layers above those, from the bottom, each with what its line in the history says.
    pub files: &'a [FilesLayer],
    /// Settings of containers (`Env`, `User`, `WorkingDir`, `Cmd` …) that take the place of the
    /// base's. `VIRTUAL_ENV` and the environment's programs are added to `Env`, unless it has them.
    pub settings: &'a Map<String, Value>,
    /// Annotations of the manifest.
    pub annotations: &'a BTreeMap<String, String>,
    /// When the image says it was created, in seconds since 1970-01-01.
    pub epoch: i64,
    /// How its layers are packed.
    pub compression: Compression,
    /// Names the Python whose bytecode is in the layers of wheels, with all that it loads: the digest of
    /// the base's configuration. Without it they have none.
    pub compiler: Option<&'a str>,
    /// Layers that needn't be in the folder: wherever the image goes, they are there.
    pub elsewhere: &'a HashSet<Digest>,
    /// Layers of packages that another image has, by what its history says of each: it was made of the very
    /// same packages, on the same base and in the same way, as somebody who is believed says. They are known without
    /// their wheels, and are kept in mind for this image alone.
    pub vouched: &'a BTreeMap<String, Layer>,
}

impl AssembleRequest<'_> {
    fn target(&self) -> Result<Target, AssembleError> {
        Target::new(self.facts.python, self.prefix).map_err(AssembleError::Unfit)
    }
}

/// An image that was put together.
#[derive(Clone, Debug)]
pub struct Assembled {
    /// Its digests and layers.
    pub image: PlatformImage,
    /// The layers of packages, from the bottom.
    pub environment: Vec<EnvironmentLayer>,
}

/// Puts an image together, in a folder that becomes an OCI layout without the base's blobs.
///
/// # Errors
/// [`AssembleError`]. What is in the folder then is no image.
pub fn assemble(
    request: &AssembleRequest<'_>,
    store: &LayerStore,
    into: &PackedFolder,
) -> Result<Assembled, AssembleError> {
    let target = request.target()?;
    request.facts.check_target(&target)?;
    let others = 1 + request.written.len() + request.files.len();
    // However many layers the code has, the packages are grouped alike.
    let counted = 1 + request.written.len().min(1) + request.files.len();
    let environment = environment::layers(request, &target, counted, store)?;
    let found = request.base.image.layers.len() + others + environment.len();
    if found > MOST_LAYERS {
        let most = MOST_LAYERS;
        return Err(AssembleError::TooManyLayers { found, most });
    }
    let (facts, compression) = (request.facts, request.compression);
    let mut own = vec![venv_layer(facts, &target, compression, store, into)?];
    for layer in &environment {
        if let Some(blob) = &layer.blob {
            bring(blob, &layer.layer, into)?;
        }
        own.push(OwnLayer {
            layer: image_layer(&layer.layer),
            about: about_packages(&layer.packages),
        });
    }
    own.extend_from_slice(request.written);
    for (about, entries) in request.files {
        own.push(files_layer(about, entries, request.compression, into)?);
    }
    let settings = with_environment(request, &target);
    let image = compose(
        request.base,
        &own,
        &settings,
        request.annotations,
        request.epoch,
        into,
    )?;
    into.name(&image.manifest, None)?;
    Ok(Assembled { image, environment })
}

/// What the history says of a layer of packages, each `NAME VERSION`.
fn about_packages(packages: &[String]) -> String {
    format!("mlbuild: {}", packages.join(", "))
}

/// What the history says of the environment without packages, before its folder.
pub const VENV_ABOUT: &str = "mlbuild: python3 -m venv --without-pip ";

/// Writes the layer of the environment without packages.
///
/// # Errors
/// A folder that can't be written to.
pub fn venv_layer(
    facts: &BaseFacts,
    target: &Target,
    compression: Compression,
    store: &LayerStore,
    into: &PackedFolder,
) -> Result<OwnLayer, AssembleError> {
    let entries = facts.venv.entries(target);
    let (layer, blob) = store.make_of_entries(&entries, compression)?;
    bring(&blob, &layer, into)?;
    Ok(OwnLayer {
        layer: image_layer(&layer),
        about: format!("{VENV_ABOUT}{}", target.prefix()),
    })
}

/// Writes a layer of files, in the order that they have; `about` is what the history says of it.
///
/// # Errors
/// A folder that can't be written to.
pub fn files_layer(
    about: &str,
    entries: &[(LayerEntry, Vec<u8>)],
    compression: Compression,
    into: &PackedFolder,
) -> Result<OwnLayer, AssembleError> {
    let packing = match compression {
        Compression::Zstd => Packing::Zstd,
        Compression::Gzip => Packing::Gzip,
        Compression::Estargz => Packing::Lazy(Format::Estargz),
        Compression::ZstdChunked => Packing::Lazy(Format::ZstdChunked),
    };
    let (bytes, layer) = packing.pack(write_tar(entries), compression.media_type());
    let path = into.blob(layer.blob.digest());
    std::fs::write(&path, bytes).map_err(|source| AssembleError::Blob { path, source })?;
    Ok(OwnLayer {
        layer,
        about: about.to_owned(),
    })
}

/// Takes a blob of the store into the layout: linked, where both are on one file system.
fn bring(blob: &Path, layer: &Layer, into: &PackedFolder) -> Result<(), AssembleError> {
    let path: PathBuf = into.blob(&layer.digest);
    if path.exists() {
        return Ok(());
    }
    let brought = std::fs::hard_link(blob, &path).or_else(|_| std::fs::copy(blob, &path).map(drop));
    brought.map_err(|source| AssembleError::Blob { path, source })
}

fn image_layer(layer: &Layer) -> ImageLayer {
    ImageLayer {
        blob: layer.descriptor(),
        diff_id: layer.diff_id.clone(),
    }
}

/// The settings with the environment's variables: `VIRTUAL_ENV`, and its programs first in PATH.
fn with_environment(request: &AssembleRequest<'_>, target: &Target) -> Map<String, Value> {
    let mut settings = request.settings.clone();
    let base = &request.base.config["config"]["Env"];
    let given = settings.get("Env").unwrap_or(base).as_array();
    let mut variables: Vec<String> = given
        .into_iter()
        .flatten()
        .filter_map(|entry| entry.as_str().map(str::to_owned))
        .collect();
    let usual = facts::USUAL_PATH;
    let virtual_env = format!("VIRTUAL_ENV={}", target.prefix());
    if settings.contains_key("Env") && variables.contains(&virtual_env) {
        return settings;
    }
    let path = variables
        .iter()
        .find_map(|entry| entry.strip_prefix("PATH="));
    let path = format!("PATH={}/bin:{}", target.prefix(), path.unwrap_or(usual));
    variables.retain(|entry| !entry.starts_with("VIRTUAL_ENV="));
    match variables
        .iter_mut()
        .find(|entry| entry.starts_with("PATH="))
    {
        Some(entry) => *entry = path,
        None => variables.push(path),
    }
    variables.push(virtual_env);
    settings.insert("Env".to_owned(), json!(variables));
    settings
}
