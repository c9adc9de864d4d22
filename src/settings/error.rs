//! Why a request can't be resolved.

use std::io;
use std::path::PathBuf;

use mlbuild_manifests::RunIdError;
use oci_spec::distribution::Reference;

use crate::config::ConfigError;
use crate::config::launch::LaunchFileError;
use crate::error::ErrorKind;
use crate::plan::{Place, SpecError};
use crate::registry::RegistryError;
use crate::trust::TrustError;

/// Why a request, the environment and `mlbuild.toml` make no settings.
#[derive(Debug, thiserror::Error)]
pub enum SettingsError {
    /// A value can't be used.
    #[error(transparent)]
    Value(#[from] SpecError),
    /// The project is neither a folder nor an address.
    #[error(transparent)]
    Project(SpecError),
    /// `mlbuild.toml` can't be used.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// `mlbuild.toml` says what only the person may, or the person's own configuration can't be used.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// A launch configuration can't be used.
    #[error(transparent)]
    Launch(#[from] LaunchFileError),
    /// The current folder is gone.
    #[error("the current folder: {0}")]
    CurrentFolder(#[source] io::Error),
    /// A tag is no name of an image.
    #[error("{place}: {source}")]
    Tag {
        /// Where it was given.
        place: Place,
        /// What is wrong with it.
        source: Box<RegistryError>,
    },
    /// A tag names a digest, which only comes out.
    #[error("{place} {tag}: a tag can't name a digest")]
    TagWithDigest {
        /// Where it was given.
        place: Place,
        /// The tag.
        tag: String,
    },
    /// A variant is asked for that `mlbuild.toml` doesn't declare.
    #[error("{file} declares no variant `{}`", name.escape_debug())]
    UnknownVariant {
        /// The file.
        file: &'static str,
        /// What was asked for.
        name: String,
        /// What it declares.
        known: Vec<String>,
    },
    /// Two images of the project would have one name, and one would take the other's place.
    #[error("{tag} would be the image of {} and of {}", of_variant(&variants[0]), of_variant(&variants[1]))]
    SameTag {
        /// The name.
        tag: Box<Reference>,
        /// The variants; `None`: what `[image]` says.
        variants: [Option<String>; 2],
    },
    /// A tag with the variant's name at its end is too long.
    #[error("tag {tag}: a tag has 128 characters at most, and this ends in the variant's name")]
    LongTag {
        /// The tag.
        tag: String,
    },
    /// The folder's name makes no name of an image.
    #[error(transparent)]
    FolderName(Box<RegistryError>),
    /// The id of the run isn't one.
    #[error(transparent)]
    RunId(#[from] RunIdError),
    /// An image that is to be pushed has no name but its folder's.
    #[error("pushing needs a name for the image")]
    PushWithoutName {
        /// The last part of the name that it would have.
        name: String,
    },
    /// There is no such entitlement.
    #[error("{entitlement}: unknown entitlement")]
    Entitlement {
        /// What was asked for.
        entitlement: String,
        /// What there is.
        known: &'static [&'static str],
    },
    /// mlbuild writes no bytes like that.
    #[error("{place}={compression}: {why}")]
    Compression {
        /// Where it was given.
        place: Place,
        /// As it was given.
        compression: String,
        /// What is wrong with it.
        why: String,
    },
    /// The source policy can't be read.
    #[error("the source policy {}: {source}", path.display())]
    PolicyUnreadable {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The source policy isn't JSON.
    #[error("the source policy {}: {source}", path.display())]
    PolicyInvalid {
        /// Its file.
        path: PathBuf,
        /// Why.
        source: serde_json::Error,
    },
    /// `SOURCE_DATE_EPOCH` is no time.
    #[error("SOURCE_DATE_EPOCH={text}: not a number of seconds since 1970-01-01")]
    Epoch {
        /// As it was given.
        text: String,
    },
    /// `SOURCE_DATE_EPOCH` is still to come.
    #[error("SOURCE_DATE_EPOCH={text}: it lies in the future")]
    EpochToCome {
        /// As it was given.
        text: String,
    },
    /// A template and a Dockerfile were asked for.
    #[error("a template and a Dockerfile exclude each other")]
    TemplateAndDockerfile,
    /// The Dockerfile and the context would both be read from standard input.
    #[error("the Dockerfile and the context both come from standard input")]
    TwoOfStdin,
    /// The Dockerfile isn't there.
    #[error("the Dockerfile {}: there is no such file", path.display())]
    NoDockerfile {
        /// Where it should be.
        path: PathBuf,
    },
    /// There is no such template.
    #[error(
        "{place}: there is no template `{name}`, nor a file or a folder with a Dockerfile of that name"
    )]
    UnknownTemplate {
        /// Where it was given.
        place: Place,
        /// Its name.
        name: String,
        /// The built-in template that is most like it.
        near: Option<&'static str>,
        /// The built-in templates.
        known: Vec<&'static str>,
    },
    /// A variable is to have the value that it has here, and has none.
    #[error("{place} {name}: no variable of that name is set here")]
    UnsetVariable {
        /// Where it was given.
        place: Place,
        /// Its name.
        name: String,
    },
    /// Files of the project exclude each other.
    #[error("{} are alternatives, and nothing says which one is meant", files.join(", "))]
    Alternatives {
        /// The files, at least one.
        files: Vec<String>,
    },
    /// The image is named as an output more than once.
    #[error("outputs: type=image is there twice")]
    ImageOutputTwice,
    /// An output names an image otherwise than its tags do.
    #[error("outputs: name={name}: the image is {image}")]
    OutputName {
        /// The name in the output.
        name: String,
        /// The image's name.
        image: Box<Reference>,
    },
    /// An output is to be pushed without a tag.
    #[error("outputs: push-by-digest: images are pushed by tag")]
    PushByDigest,
}

impl SettingsError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::CurrentFolder(_) => ErrorKind::Environment,
            Self::Trust(error) => error.kind(),
            Self::FolderName(error) => error.kind(),
            _ => ErrorKind::User,
        }
    }
}

fn of_variant(variant: &Option<String>) -> String {
    match variant {
        Some(name) => format!("the variant {name}"),
        None => "[image]".to_owned(),
    }
}
