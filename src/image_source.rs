//! An image to be read, wherever it is: a registry, an OCI layout, or an archive of Docker's.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::path::Path;

use futures::future::try_join_all;
use oci_spec::distribution::Reference;
use serde_json::Value;
use tempfile::TempDir;
use tokio::runtime::Handle;

use crate::error::ErrorKind;
use crate::image::compare::{LayerStore, Side};
use crate::image::layer::{LayerError, LayerProblem};
use crate::image::{BlobSource, DockerArchive, ImageLayer, LayoutError, OciLayout, PlatformImage};
use crate::registry::{Registry, RegistryError, platform_name};

/// Why an image can't be read.
#[derive(Debug, thiserror::Error)]
pub enum ImageSourceError {
    /// It is named by what is no reference.
    #[error("{source}")]
    NotAReference {
        /// As it was given.
        name: String,
        /// What is wrong with it.
        source: Box<RegistryError>,
        /// Whether there is a file of that name.
        is_path: bool,
    },
    /// Its registry.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// It isn't on this disk, or makes no sense.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// A document of it makes no sense.
    #[error("{name}: {source}")]
    Document {
        /// The image, as it was given.
        name: String,
        /// What is wrong.
        source: serde_json::Error,
    },
}

impl ImageSourceError {
    /// What kind of failure it is: a path that isn't there is the user's to mend, a damaged image is
    /// nobody's.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotAReference { source, .. } => source.kind(),
            Self::Registry(error) => error.kind(),
            Self::Layout(LayoutError::DamagedBlob { .. } | LayoutError::MissingBlob { .. })
            | Self::Document { .. } => ErrorKind::Work,
            Self::Layout(_) => ErrorKind::User,
        }
    }
}

/// An image that is there to be read.
pub struct Opened {
    /// As it was given.
    pub name: String,
    /// By platform.
    pub images: BTreeMap<String, OpenedImage>,
    store: Store,
    /// Where layers are that the store lacks.
    elsewhere: Option<Elsewhere>,
    /// Holds the file that it is read from, and goes with this.
    _folder: Option<TempDir>,
}

/// The documents of an image for one platform.
pub struct OpenedImage {
    /// Its digests.
    pub image: PlatformImage,
    /// Its configuration.
    pub config: Value,
    /// Its manifest, where it has one.
    pub manifest: Option<Value>,
}

impl Opened {
    /// The image for one platform, which it must have.
    pub fn side(&self, platform: &str) -> Side<'_> {
        let image = &self.images[platform];
        Side {
            image: image.image.clone(),
            config: image.config.clone(),
            manifest: image.manifest.clone(),
            store: self,
        }
    }

    /// The same image, of which some layers are in a registry.
    pub fn with_layers_of(self, registry: &Registry, layers: BTreeMap<String, Reference>) -> Self {
        let elsewhere = Elsewhere {
            registry: registry.clone(),
            runtime: Handle::current(),
            layers,
        };
        Self {
            elsewhere: Some(elsewhere),
            ..self
        }
    }

    /// Where a layer lies on this disk as it is; `None` for an image elsewhere.
    pub fn blob_on_disk(&self, layer: &ImageLayer) -> Option<BlobSource> {
        match &self.store {
            Store::Layout(layout) => layout.blob(layer.blob.digest()).ok(),
            _ => None,
        }
    }
}

/// Layers in a registry, by their blobs' digests.
struct Elsewhere {
    registry: Registry,
    runtime: Handle,
    layers: BTreeMap<String, Reference>,
}

enum Store {
    Registry(Registry, Reference, Handle),
    Layout(Box<OciLayout>),
    Archive(Box<DockerArchive>),
}

impl LayerStore for Opened {
    fn open(&self, layer: &ImageLayer) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(match &self.store {
            Store::Registry(registry, reference, runtime) => {
                let stream = registry.open_blob(reference, &layer.blob, runtime);
                Box::new(stream.map_err(io::Error::other)?)
            }
            Store::Layout(layout) => match (layout.blob(layer.blob.digest()), &self.elsewhere) {
                (Err(LayoutError::MissingBlob { .. }), Some(elsewhere)) => elsewhere.open(layer)?,
                (source, _) => Box::new(source.map_err(io::Error::other)?.open()?),
            },
            Store::Archive(archive) => {
                let source = archive.layer(&layer.diff_id);
                Box::new(source.map_err(io::Error::other)?.open()?)
            }
        })
    }
}

impl Elsewhere {
    fn open(&self, layer: &ImageLayer) -> io::Result<Box<dyn Read + Send + '_>> {
        let place = self.layers.get(layer.blob.digest().as_ref());
        let place = place.ok_or(io::ErrorKind::NotFound)?;
        let stream = self.registry.open_blob(place, &layer.blob, &self.runtime);
        Ok(Box::new(stream.map_err(io::Error::other)?))
    }
}

/// Finds an image and reads its documents.
///
/// # Errors
/// An image that isn't there, or makes no sense.
pub async fn open(name: &str, registry: &Registry) -> Result<Opened, ImageSourceError> {
    match path(name) {
        Some(path) => on_disk(name, Path::new(path)),
        None => in_registry(name, registry).await,
    }
}

/// The path that an argument names; `None` for a reference.
pub fn path(name: &str) -> Option<&str> {
    if let Some(path) = name.strip_prefix("oci-layout://") {
        return Some(path);
    }
    let is_path = name.starts_with(['/', '.']) || name.ends_with(".tar");
    is_path.then_some(name)
}

async fn in_registry(name: &str, registry: &Registry) -> Result<Opened, ImageSourceError> {
    let reference =
        RegistryError::reference(name).map_err(|source| ImageSourceError::NotAReference {
            name: name.to_owned(),
            source: Box::new(source),
            is_path: Path::new(name).exists(),
        })?;
    let images = registry.images(&reference, None).await?;
    let opened = images.into_iter().map(|image| {
        let reference = &reference;
        async move {
            let exact = reference.clone_with_digest(image.manifest.digest().to_string());
            let (_, manifest) = registry.pull_manifest(&exact).await?;
            let config = registry.pull_blob(reference, &image.config).await?;
            Ok::<_, ImageSourceError>(OpenedImage {
                config: parsed(name, &config)?,
                manifest: Some(parsed(name, &manifest)?),
                image,
            })
        }
    });
    let images = try_join_all(opened).await?;
    let store = Store::Registry(registry.clone(), reference, Handle::current());
    Ok(opened_as(name, images, store))
}

/// Reads the documents of an image on disk.
///
/// # Errors
/// As [`open`].
pub fn on_disk(name: &str, path: &Path) -> Result<Opened, ImageSourceError> {
    let layout = match OciLayout::open(path) {
        Ok(layout) => layout,
        // Older Dockers save images in a form of their own.
        Err(LayoutError::NotALayout { .. }) if path.is_file() => {
            return archive(name, DockerArchive::open(path)?);
        }
        Err(error) => return Err(error.into()),
    };
    let mut images = Vec::new();
    for image in layout.images()? {
        let document = |descriptor| layout.document(descriptor);
        images.push(OpenedImage {
            config: parsed(name, &document(&image.config)?)?,
            manifest: Some(parsed(name, &document(&image.manifest)?)?),
            image,
        });
    }
    Ok(opened_as(name, images, Store::Layout(Box::new(layout))))
}

/// What a runtime wrote into `folder`. Of what it wrote as a layout, parts may be missing: those of
/// platforms that it doesn't have.
///
/// # Errors
/// Where it makes no sense.
pub fn open_saved(name: &str, folder: TempDir) -> Result<Opened, ImageSourceError> {
    let file = folder.path().join(SAVED);
    let opened = match (on_disk(name, &file), DockerArchive::open(&file)) {
        (Ok(layout), _) => layout,
        (Err(_), Ok(saved)) => archive(name, saved)?,
        (Err(error), Err(_)) => return Err(error),
    };
    Ok(Opened {
        _folder: Some(folder),
        ..opened
    })
}

/// The file's name in the folder of [`open_saved`].
pub const SAVED: &str = "image.tar";

fn archive(name: &str, archive: DockerArchive) -> Result<Opened, ImageSourceError> {
    let image = OpenedImage {
        image: archive.image.clone(),
        config: parsed(name, &archive.config)?,
        manifest: None,
    };
    Ok(opened_as(
        name,
        vec![image],
        Store::Archive(Box::new(archive)),
    ))
}

fn opened_as(name: &str, images: Vec<OpenedImage>, store: Store) -> Opened {
    let named = images
        .into_iter()
        .map(|i| (platform_name(&i.image.platform), i));
    Opened {
        name: name.to_owned(),
        images: named.collect(),
        store,
        elsewhere: None,
        _folder: None,
    }
}

fn parsed(name: &str, bytes: &[u8]) -> Result<Value, ImageSourceError> {
    serde_json::from_slice(bytes).map_err(|source| ImageSourceError::Document {
        name: name.to_owned(),
        source,
    })
}

/// Of which kind the error of a layer is: the registry's own where that is what went wrong.
pub fn layer_error_kind(error: &LayerError) -> ErrorKind {
    if let LayerProblem::Temporary { .. } = &*error.problem {
        return ErrorKind::Environment;
    }
    if let LayerProblem::TakenIn { why, .. } = &*error.problem
        && why.raw_os_error().is_some()
    {
        return ErrorKind::Environment;
    }
    if let LayerProblem::Read(inner) = &*error.problem
        && inner
            .get_ref()
            .is_some_and(|inner| inner.is::<RegistryError>())
    {
        return ErrorKind::Environment;
    }
    ErrorKind::Work
}
