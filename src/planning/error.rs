//! Why nothing can be planned.

use std::collections::BTreeSet;
use std::io;
use std::path::PathBuf;

use mlbuild_buildkit::fsutil::FsError;
use mlbuild_templates::ComposeError;
use mlbuild_templates::own::TemplateError;
use mlbuild_templates::project::Finding;
use mlbuild_templates::reference::ReferenceError;

use super::sent::Why;
use crate::builder::BuilderError;
use crate::error::ErrorKind;
use crate::image::LayoutError;
use crate::package_store::StoreError;
use crate::pin::ExpandError;
use crate::registry::RegistryError;
use crate::registry::mirror::MirrorError;
use crate::settings::LockMode;

/// Why settings make no plan.
#[derive(Debug, thiserror::Error)]
pub enum PlanningError {
    /// The Dockerfile can't be composed.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// A template of one's own can't be filled.
    #[error("{}: {source}", path.display())]
    Template {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: TemplateError,
    },
    /// A Dockerfile of one's own can't be read.
    #[error("the Dockerfile {}: {source}", path.display())]
    Dockerfile {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A Dockerfile of one's own isn't text.
    #[error("the Dockerfile {}: the file is not UTF-8", path.display())]
    DockerfileNotText {
        /// Its path.
        path: PathBuf,
    },
    /// Dockerfiles for CPU and GPU are composed from a built-in template alone.
    #[error("Dockerfiles are written from a built-in template, and this image has none")]
    NothingToWrite,
    /// A Dockerfile can't be written.
    #[error("{}: {source}", path.display())]
    Write {
        /// Its path.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A person wrote the file that stands where a Dockerfile is to be written.
    #[error("{} is there, and mlbuild didn't write it", path.display())]
    NotOurs {
        /// Its path.
        path: PathBuf,
    },
    /// A file of the project isn't used, and that is to be an error.
    #[error("{0}")]
    Unused(Box<Finding>),
    /// A part of a project's file isn't used, and that is to be an error.
    #[error("{message}")]
    UnusedPart {
        /// Which, and why.
        message: String,
        /// What to do.
        next: String,
    },
    /// An image that the Dockerfile names can't be told.
    #[error(transparent)]
    Images(#[from] ExpandError),
    /// A base image is no reference.
    #[error("base image {reference}: {source}")]
    BaseName {
        /// As the Dockerfile has it.
        reference: String,
        /// What is wrong with it.
        source: ReferenceError,
    },
    /// An image that isn't from where this build may take its images.
    #[error("{image}: this build takes its images from {} only", places.join(", "))]
    Elsewhere {
        /// What it is, mostly as the Dockerfile has it.
        image: String,
        /// The registries, with or without a path.
        places: Vec<String>,
    },
    /// A pin of the lock is no reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// No registry has a base image.
    #[error("{source}")]
    Unpinned {
        /// The line of the Dockerfile that names it, from 1.
        line: usize,
        /// The registry's word on it.
        source: Box<RegistryError>,
    },
    /// The lock has no pin for base images, and may not get one.
    #[error("the lock has no {}pin for {}", if *has_entry { "" } else { "entry for this name and tag, and so no " }, references.join(", "))]
    NoPin {
        /// Whether the image has an entry in the lock, by its name and tag.
        has_entry: bool,
        /// How far the pins may move.
        mode: LockMode,
        /// The images, as the Dockerfile has them.
        references: Vec<String>,
    },
    /// A base image is for other platforms.
    #[error("the base image {reference} (line {line} of the Dockerfile) is for {}, and this build is for {wanted}", has.join(", "))]
    BasePlatform {
        /// As the Dockerfile has it.
        reference: String,
        /// The line that names it, from 1.
        line: usize,
        /// The platforms that it is for.
        has: Vec<String>,
        /// The platform that is built.
        wanted: String,
    },
    /// The place of copies of base images can't be part of a name.
    #[error(transparent)]
    Mirror(#[from] MirrorError),
    /// Docker can't be asked for an image.
    #[error(transparent)]
    Builder(#[from] BuilderError),
    /// An ignore file, or one that says which packages there are, can't be read.
    #[error("{}: {source}", path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// An ignore file leaves out what a step copies.
    #[error(
        "{dockerfile}:{dockerfile_line} copies {path}, which isn't sent to the builder ({why})"
    )]
    Hidden {
        /// What the Dockerfile is called.
        dockerfile: String,
        /// The line of the step, from 1.
        dockerfile_line: usize,
        /// The path, from the context's root.
        path: String,
        /// The line that leaves it out.
        why: Why,
    },
    /// A file of a build context can't be read.
    #[error(transparent)]
    Context(#[from] FsError),
    /// A named context isn't an OCI layout.
    #[error("the build context {name}, {}: {source}", path.display())]
    Layout {
        /// The context's name.
        name: String,
        /// Where the layout should be.
        path: PathBuf,
        /// What is wrong with it.
        source: Box<LayoutError>,
    },
    /// A layout has several images, and none is named.
    #[error("the build context {name}: the layout holds {count} images, and none is named")]
    LayoutOfSeveral {
        /// The context's name.
        name: String,
        /// How many there are.
        count: usize,
    },
    /// A layout has no image of a tag.
    #[error("the build context {name}: the layout has no image `{tag}`")]
    LayoutWithout {
        /// The context's name.
        name: String,
        /// The tag.
        tag: String,
    },
    /// The builder would attest something about an image that is packed anew.
    #[error("the builder's {name} attestation would be about another image than the repacked one")]
    RepackAttested {
        /// What it attests.
        name: String,
    },
    /// The builder is told how to write bytes that mlbuild writes.
    #[error("the builder's `{name}` has no part in the repacked image's bytes")]
    RepackOption {
        /// The attribute of the output.
        name: String,
    },
    /// There is no time that those of a repacked image are held to.
    #[error("repacking needs a time to hold all others to")]
    RepackWithoutTime,
    /// The lock's compression is none that mlbuild writes.
    #[error("the lock: {why}")]
    LockedCompression {
        /// What is wrong with it.
        why: String,
    },
    /// The lock's packages are for other platforms.
    #[error("the lock has packages for {has}, and this build is for {wanted}")]
    LockedPlatform {
        /// The platforms that it has some for; or `none`.
        has: String,
        /// The platform that is built.
        wanted: String,
        /// All of them, and all that are built.
        all: BTreeSet<String>,
    },
    /// The lock's epoch is still to come.
    #[error("the lock's epoch {epoch} lies in the future: this machine's clock says {now}")]
    LockedEpoch {
        /// In seconds since 1970-01-01.
        epoch: i64,
        /// Likewise.
        now: i64,
    },
    /// The files that say which packages there are lie elsewhere.
    #[error("packages can be pinned only for a project that is a folder of this machine")]
    ProjectElsewhere,
    /// The store of packages can't be used.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl PlanningError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Write { .. } => ErrorKind::Environment,
            Self::Unpinned { source, .. } => source.kind(),
            Self::NoPin { .. } | Self::LockedPlatform { .. } => ErrorKind::Difference,
            Self::Mirror(error) => error.kind(),
            Self::Builder(error) => error.kind(),
            Self::Store(error) => error.kind(),
            _ => ErrorKind::User,
        }
    }
}
