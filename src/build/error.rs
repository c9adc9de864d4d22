//! Why an image isn't made.

use std::io;
use std::path::{Path, PathBuf};

use mlbuild_buildkit::fsutil::FsError;
use mlbuild_manifests::LockError;
use mlbuild_manifests::run_record::RunRecordError;
use mlbuild_progress::BuildTrace;
use mlbuild_templates::reference::ReferenceError;
use oci_spec::distribution::Reference;
use oci_spec::image::Digest;

use crate::assemble::AssembleError;
use crate::assembly::AssemblyError;
use crate::builder::{BuilderError, ExplainFailure};
use crate::error::{ErrorKind, from_boxed};
use crate::image::LayoutError;
use crate::image::pack::PackError;
use crate::image_source::{self, ImageSourceError};
use crate::known_base::KnownBaseError;
use crate::lock::LockingError;
use crate::pin::ExpandError;
use crate::plan::BuildPlan;
use crate::planning::PlanningError;
use crate::pull::PullError;
use crate::registry::RegistryError;
use crate::settings::SettingsError;
use crate::trust::TrustError;

/// Why an image isn't made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// What is asked for makes no settings.
    #[error(transparent)]
    Settings(#[from] Box<SettingsError>),
    /// The project reaches out of its folder, and nobody agreed to that.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// The build can't be planned.
    #[error(transparent)]
    Planning(#[from] Box<PlanningError>),
    /// Its packages can't be pinned, or pinned ones can't be had.
    #[error(transparent)]
    Locking(#[from] Box<LockingError>),
    /// The builder: it can't be had, or doesn't build.
    #[error(transparent)]
    Builder(#[from] BuilderError),
    /// A registry.
    #[error(transparent)]
    Registry(#[from] Box<RegistryError>),
    /// What the builder made can't be read.
    #[error(transparent)]
    Made(#[from] Box<ImageSourceError>),
    /// The lock can't be read or written.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The run is bound to another image, or its record can't be written.
    #[error(transparent)]
    Run(#[from] RunRecordError),
    /// The image can't become a file for Apptainer.
    #[error(transparent)]
    Sif(Box<PullError>),
    /// What has to be written down after the build can't be.
    #[error("{}: can't be written: {source}", path.display())]
    Unwritable {
        /// The lock, or a run record.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The image is in the registry, and what is written down of it isn't written.
    #[error("{source}; the image is in the registry: {image}")]
    Unwritten {
        /// The image, with its digest.
        image: String,
        /// What couldn't be written.
        source: Box<BuildError>,
    },
    /// A builder is to make a locked image for several platforms.
    #[error("a builder makes a locked image for one platform at a time, not for {}{}", platforms.join(" and "),
        .why.as_ref().map(|why| format!("; and it can't be assembled: {why}")).unwrap_or_default())]
    SeveralPlatforms {
        /// The platforms.
        platforms: Vec<String>,
        /// Why mlbuild doesn't make it, where it was to look.
        why: Option<String>,
    },
    /// The image can't be put together without a builder.
    #[error("it can't be assembled: {reason}")]
    NotAssembled {
        /// Why not.
        reason: String,
        /// Whether what is missing is pinned packages.
        lacks_pins: bool,
    },
    /// The lock wants bytecode, and nobody can make it.
    #[error("the lock says that its packages come with bytecode, which isn't made: {reason}")]
    NoBytecode {
        /// Why not.
        reason: String,
    },
    /// Putting the image together failed.
    #[error(transparent)]
    Assemble(#[from] AssembleError),
    /// A file of the project can't be taken into the image.
    #[error(transparent)]
    Context(#[from] FsError),
    /// The lock's packages would change, and must not.
    #[error("the packages would change:\n  {}", moved.join("\n  "))]
    PackagesMoved {
        /// Each that would, in a line.
        moved: Vec<String>,
    },
    /// An image without a name is to be pushed.
    #[error("pushing needs a name for the image")]
    PushWithoutName,
    /// The registry has something else than was pushed.
    #[error("{tag} names {found} in the registry, but {pushed} was pushed")]
    PushedOver {
        /// The tag.
        tag: Box<Reference>,
        /// What it names.
        found: String,
        /// What was pushed.
        pushed: String,
    },
    /// The base of an image that is packed anew is in no registry.
    #[error("the base {name} is in no registry, so an image on it can't be rebuilt elsewhere")]
    BaseNowhere {
        /// Its name.
        name: String,
    },
    /// A base is no reference.
    #[error(transparent)]
    BaseName(#[from] ReferenceError),
    /// A base's configuration makes no sense.
    #[error("{base}: {source}")]
    BaseConfig {
        /// The base.
        base: Box<Reference>,
        /// What is wrong with it.
        source: serde_json::Error,
    },
    /// A layer can't be read from its registry.
    #[error("{0}")]
    LayerStream(#[source] io::Error),
    /// A layer isn't what its name says.
    #[error("{place}: the layer {layer} came as {found}")]
    OtherBlob {
        /// The image that it is of.
        place: Box<Reference>,
        /// The layer.
        layer: Digest,
        /// The digest of what came.
        found: String,
    },
    /// The image can't be packed.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// What was packed makes no layout.
    #[error(transparent)]
    Packed(#[from] LayoutError),
    /// There is no folder to pack the image in.
    #[error("a folder to write the image in: {0}")]
    WorkFolder(#[source] io::Error),
    /// A file can't be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
}

impl BuildError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Settings(error) => error.kind(),
            Self::Trust(error) => error.kind(),
            Self::Planning(error) => error.kind(),
            Self::Locking(error) => error.kind(),
            Self::Builder(error) => error.kind(),
            Self::Assemble(error) => error.kind(),
            Self::Registry(error) => error.kind(),
            Self::Made(error) => error.kind(),
            Self::Sif(error) => error.kind(),
            Self::Pack(PackError::Layer(error)) => image_source::layer_error_kind(error),
            Self::PackagesMoved { .. } => ErrorKind::Difference,
            Self::PushedOver { .. }
            | Self::BaseConfig { .. }
            | Self::OtherBlob { .. }
            | Self::Packed(_) => ErrorKind::Work,
            Self::Lock(LockError::Write { .. })
            | Self::Run(RunRecordError::Write { .. })
            | Self::Unwritable { .. }
            | Self::Unwritten { .. }
            | Self::NoBytecode { .. } => ErrorKind::Environment,
            Self::LayerStream(_) | Self::Pack(_) | Self::WorkFolder(_) | Self::Write { .. } => {
                ErrorKind::Environment
            }
            _ => ErrorKind::User,
        }
    }

    /// For `map_err` on writing to `path`.
    pub(super) fn write(path: &Path) -> impl Fn(io::Error) -> Self + Copy {
        move |source| Self::Write {
            path: path.to_owned(),
            source,
        }
    }
}

from_boxed!(BuildError {
    Settings(SettingsError),
    Planning(PlanningError),
    Locking(LockingError),
    Registry(RegistryError),
    Made(ImageSourceError),
});

impl From<PullError> for BuildError {
    fn from(error: PullError) -> Self {
        Self::Sif(Box::new(error))
    }
}

impl From<AssemblyError> for BuildError {
    fn from(error: AssemblyError) -> Self {
        match error {
            AssemblyError::Base(error) => (*error).into(),
            AssemblyError::Assemble(error) => (*error).into(),
        }
    }
}

impl From<KnownBaseError> for BuildError {
    fn from(error: KnownBaseError) -> Self {
        match error {
            KnownBaseError::Nowhere(name) => Self::BaseNowhere { name },
            KnownBaseError::Name(error) => error.into(),
            KnownBaseError::Registry(error) => error.into(),
            KnownBaseError::Source(error) => error.into(),
            KnownBaseError::Config { base, source } => Self::BaseConfig { base, source },
        }
    }
}

impl From<ExpandError> for BuildError {
    fn from(error: ExpandError) -> Self {
        PlanningError::from(error).into()
    }
}

impl ExplainFailure for BuildError {
    fn explain(self, trace: &BuildTrace, plan: &BuildPlan) -> Self {
        match self {
            Self::Builder(error) => Self::Builder(error.explain(trace, plan)),
            other => other,
        }
    }
}
