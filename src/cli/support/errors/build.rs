//! Errors of `build`, and of reading an image.

use crate::build::BuildError;
use crate::error::CommandError;
use crate::image::layer::LayerError;
use crate::image_source::{ImageSourceError, layer_error_kind};

impl From<BuildError> for CommandError {
    fn from(error: BuildError) -> Self {
        let made = CommandError::new(error.kind(), text(&error));
        match error {
            BuildError::Settings(error) => (*error).into(),
            BuildError::Trust(error) => error.into(),
            BuildError::Planning(error) => (*error).into(),
            BuildError::Locking(error) => (*error).into(),
            BuildError::Builder(error) => error.into(),
            BuildError::Registry(error) => (*error).into(),
            BuildError::Made(error) => (*error).into(),
            BuildError::Lock(error) => error.into(),
            BuildError::Run(_) => {
                made.hint("give another --run-id; a run stays with the image it used")
            }
            BuildError::SeveralPlatforms { .. } => {
                made.hint("give one --platform, and a tag for each")
            }
            BuildError::PackagesMoved { .. } => made
                .hint("to take the new ones, build once without --locked and commit mlbuild.lock"),
            BuildError::PushedOver { .. } => {
                made.hint("someone else pushed the same tag at the same time: build again")
            }
            BuildError::BaseNowhere { .. } => {
                made.hint("push it, and name it with its registry (--base)")
            }
            _ => made,
        }
    }
}

/// The message, with the names of flags where the command line has one.
fn text(error: &BuildError) -> String {
    match error {
        BuildError::PackagesMoved { .. } => format!("--locked: {error}"),
        BuildError::PushWithoutName => "--push needs a name for the image".into(),
        other => other.to_string(),
    }
}

impl From<ImageSourceError> for CommandError {
    fn from(error: ImageSourceError) -> Self {
        let made = CommandError::new(error.kind(), &error);
        match error {
            ImageSourceError::Registry(error) => error.into(),
            ImageSourceError::NotAReference {
                name,
                source,
                is_path,
            } => {
                let error = CommandError::from(*source);
                if is_path {
                    error.hint(format!("for the path, write ./{name}"))
                } else {
                    error
                }
            }
            _ => made,
        }
    }
}

impl From<LayerError> for CommandError {
    fn from(error: LayerError) -> Self {
        CommandError::new(layer_error_kind(&error), error)
    }
}
