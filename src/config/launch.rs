//! The one thing that an image takes from a Launch configuration:
//! `builder.accelerator.base_image`.

use std::io;
use std::path::{Path, PathBuf};

use mlbuild_templates::value::BaseImage;

/// Why a Launch configuration names no base image.
#[derive(Debug, thiserror::Error)]
#[error("{}: {source}", path.display())]
pub struct LaunchFileError {
    /// The file.
    pub path: PathBuf,
    /// What is wrong with it.
    pub source: LaunchFileFault,
}

/// What is wrong with a Launch configuration.
#[derive(Debug, thiserror::Error)]
pub enum LaunchFileFault {
    /// It can't be read.
    #[error(transparent)]
    Read(#[from] io::Error),
    /// It is neither YAML nor JSON.
    #[error(transparent)]
    Syntax(#[from] Box<serde_saphyr::Error>),
    /// The base image isn't a text.
    #[error("builder.accelerator.base_image is not a string")]
    NotAString,
    /// The base image isn't the name of one.
    #[error("builder.accelerator.base_image: {0}")]
    Image(String),
}

/// `builder.accelerator.base_image` of a `launch-config.yaml` or a queue's
/// JSON; `None` where the file says nothing of it.
///
/// # Errors
/// Where the file can't be read, isn't YAML or JSON, or names no image there.
pub fn base_image(file: &Path) -> Result<Option<BaseImage>, LaunchFileError> {
    read(file).map_err(|source| LaunchFileError {
        path: file.to_owned(),
        source,
    })
}

fn read(file: &Path) -> Result<Option<BaseImage>, LaunchFileFault> {
    let text = mlbuild_files::read_to_string(file)?;
    let document: serde_json::Value = serde_saphyr::from_str(&text).map_err(Box::new)?;
    let Some(base) = document.pointer("/builder/accelerator/base_image") else {
        return Ok(None);
    };
    let base = base.as_str().ok_or(LaunchFileFault::NotAString)?;
    let base = base.parse::<BaseImage>();
    base.map(Some)
        .map_err(|error| LaunchFileFault::Image(error.to_string()))
}
