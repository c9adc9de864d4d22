//! What `--push`, `--load` and `--output` ask for together.

use std::collections::BTreeMap;

use mlbuild_templates::reference;
use oci_spec::distribution::Reference;

use super::{BuildRequest, each};
use crate::error::{CommandError, CommandResult};
use crate::plan::Output;

/// The outputs of a build, sorted by who takes them.
#[derive(Debug, Default)]
pub(super) struct Outputs {
    /// Push to the registry.
    pub push: bool,
    /// The image's exporter attributes, where `--output` names an image.
    pub image: Option<BTreeMap<String, String>>,
    /// What is written to files.
    pub others: Vec<Output>,
}

/// Reads the flags. `--push` and `--output type=image` speak of one image: its attributes
/// come together.
pub(super) fn resolve(request: &BuildRequest, tags: &[Reference]) -> CommandResult<Outputs> {
    let mut outputs = Outputs {
        push: request.push,
        ..Outputs::default()
    };
    for output in each("--output", &request.outputs, |spec| spec.output())? {
        if output.kind != "image" {
            outputs.others.push(output);
            continue;
        }
        if outputs.image.is_some() {
            return Err(CommandError::user("--output: type=image is there twice")
                .hint("put its attributes into one: --output type=image,push=true,…"));
        }
        let mut attrs = output.attrs;
        outputs.push |= attrs.remove("push").is_some_and(|value| value == "true");
        if let Some(name) = attrs.remove("name")
            && name.split(',').any(|name| !is_one_of(name, tags))
        {
            return Err(CommandError::user(format!(
                "--output name={name}: the image is {}",
                tags[0]
            ))
            .hint(format!("name it with -t {name}")));
        }
        if attrs.contains_key("push-by-digest") {
            return Err(CommandError::user(
                "--output push-by-digest=: mlbuild pushes by tag, and prints the digest",
            )
            .hint("leave it out"));
        }
        outputs.image = Some(attrs);
    }
    Ok(outputs)
}

fn is_one_of(name: &str, tags: &[Reference]) -> bool {
    reference::parse(name).is_ok_and(|name| tags.contains(&name))
}
