//! The one thing that `mlbuild image` takes from a Launch configuration:
//! `builder.accelerator.base_image`.

use std::path::Path;

use mlbuild_templates::value::BaseImage;

use crate::error::{CommandError, CommandResult};

/// `builder.accelerator.base_image` of a `launch-config.yaml` or a queue's
/// JSON; `None` where the file says nothing of it.
///
/// # Errors
/// Where the file can't be read, isn't YAML or JSON, or names no image there.
pub fn base_image(file: &Path) -> CommandResult<Option<BaseImage>> {
    let flag = format!("--launch-config {}", file.display());
    let text = std::fs::read_to_string(file)
        .map_err(|error| CommandError::user(format!("{flag}: {error}")))?;
    let document: serde_json::Value = serde_saphyr::from_str(&text)
        .map_err(|error| CommandError::user(format!("{flag}: {error}")))?;
    let Some(base) = document.pointer("/builder/accelerator/base_image") else {
        return Ok(None);
    };
    let base = base.as_str().ok_or_else(|| {
        CommandError::user(format!(
            "{flag}: builder.accelerator.base_image is not a string"
        ))
    })?;
    base.parse().map(Some).map_err(|error| {
        CommandError::user(format!("{flag}: builder.accelerator.base_image: {error}"))
    })
}
