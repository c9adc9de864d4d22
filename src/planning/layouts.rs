//! Named contexts that are OCI layouts: a tag becomes the digest that it names there.

use std::collections::BTreeMap;
use std::path::Path;

use oci_spec::image::Descriptor;

use super::PlanningError;
use crate::plan::Context;

/// The contexts with each layout's reference made a digest.
///
/// # Errors
/// Where a layout can't be read or has no such image.
pub fn resolve(
    contexts: &BTreeMap<String, Context>,
) -> Result<BTreeMap<String, Context>, PlanningError> {
    let mut resolved = contexts.clone();
    for (name, context) in &mut resolved {
        if let Context::OciLayout { path, reference } = context {
            *reference = Some(layout_digest(name, path, reference.as_deref())?);
        }
    }
    Ok(resolved)
}

fn layout_digest(
    name: &str,
    path: &Path,
    reference: Option<&str>,
) -> Result<String, PlanningError> {
    let opened = crate::image::OciLayout::open(path);
    let layout = opened.map_err(|source| PlanningError::Layout {
        name: name.to_owned(),
        path: path.to_owned(),
        source: Box::new(source),
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
        (None, several) => Err(PlanningError::LayoutOfSeveral {
            name: name.to_owned(),
            count: several.len(),
        }),
        (Some(tag), all) => all
            .iter()
            .find(named)
            .map(|found| found.digest().to_string())
            .ok_or_else(|| PlanningError::LayoutWithout {
                name: name.to_owned(),
                tag: tag.to_owned(),
            }),
    }
}
