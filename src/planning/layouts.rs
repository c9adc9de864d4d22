//! Named contexts that are OCI layouts: a tag becomes the digest that it names there.

use std::collections::BTreeMap;
use std::path::Path;

use oci_spec::image::Descriptor;

use crate::error::{CommandError, CommandResult};
use crate::plan::Context;

/// The contexts with each layout's reference made a digest.
///
/// # Errors
/// Where a layout can't be read or has no such image.
pub fn resolve(contexts: &BTreeMap<String, Context>) -> CommandResult<BTreeMap<String, Context>> {
    let mut resolved = contexts.clone();
    for (name, context) in &mut resolved {
        if let Context::OciLayout { path, reference } = context {
            *reference = Some(layout_digest(name, path, reference.as_deref())?);
        }
    }
    Ok(resolved)
}

fn layout_digest(name: &str, path: &Path, reference: Option<&str>) -> CommandResult<String> {
    let layout = crate::image::OciLayout::open(path).map_err(|error| {
        CommandError::user(format!(
            "--build-context {name}=oci-layout://{}: {error}",
            path.display()
        ))
    })?;
    if let Some(digest) = reference.filter(|reference| reference.starts_with("sha256:")) {
        return Ok(digest.to_owned());
    }
    let named = |descriptor: &&Descriptor| {
        let names = descriptor.annotations().as_ref();
        names
            .and_then(|names| names.get("org.opencontainers.image.ref.name"))
            .map(String::as_str)
            == reference
    };
    match (reference, layout.descriptors()) {
        (None, [only]) => Ok(only.digest().to_string()),
        (None, several) => Err(CommandError::user(format!(
            "--build-context {name}: the layout holds {} images; write oci-layout://FOLDER:TAG",
            several.len()
        ))),
        (Some(tag), all) => all
            .iter()
            .find(named)
            .map(|found| found.digest().to_string())
            .ok_or_else(|| {
                CommandError::user(format!(
                    "--build-context {name}: the layout has no image `{tag}`"
                ))
            }),
    }
}
