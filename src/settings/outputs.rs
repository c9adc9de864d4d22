//! What pushing, loading and outputs ask for together.

use std::collections::BTreeMap;

use mlbuild_manifests::inside::keep_inside;
use mlbuild_templates::reference;
use oci_spec::distribution::Reference;

use super::{BuildRequest, SettingsError, each};
use crate::plan::{Output, Place, SpecError};

/// The outputs of a build, sorted by who takes them.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    /// Push to the registry.
    pub push: bool,
    /// The image's exporter attributes, where an output names an image.
    pub image: Option<BTreeMap<String, String>>,
    /// What is written to files.
    pub others: Vec<Output>,
}

/// Reads the outputs. Pushing and an output of type image speak of one image: its attributes
/// come together.
pub(super) fn resolve(
    request: &BuildRequest,
    tags: &[Reference],
) -> Result<Outputs, SettingsError> {
    let mut outputs = Outputs {
        push: request.push,
        ..Outputs::default()
    };
    for output in each(Place::Request("outputs"), &request.outputs, |spec| {
        spec.output()
    })? {
        if let Some(dest) = &output.dest {
            keep_inside(&super::current_folder()?, dest).map_err(|error| SpecError {
                place: Place::Request("outputs"),
                value: dest.display().to_string(),
                reason: error.to_string(),
            })?;
        }
        if output.kind != "image" {
            outputs.others.push(output);
            continue;
        }
        if outputs.image.is_some() {
            return Err(SettingsError::ImageOutputTwice);
        }
        let mut attrs = output.attrs;
        outputs.push |= attrs.remove("push").is_some_and(|value| value == "true");
        if let Some(name) = attrs.remove("name")
            && name.split(',').any(|name| !is_one_of(name, tags))
        {
            let image = Box::new(tags[0].clone());
            return Err(SettingsError::OutputName { name, image });
        }
        if attrs.contains_key("push-by-digest") {
            return Err(SettingsError::PushByDigest);
        }
        outputs.image = Some(attrs);
    }
    Ok(outputs)
}

fn is_one_of(name: &str, tags: &[Reference]) -> bool {
    reference::parse(name).is_ok_and(|name| tags.contains(&name))
}
