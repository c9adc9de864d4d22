//! What fits the packages that are really asked for, whichever files lie beside those that ask for them.

use std::collections::BTreeSet;
use std::path::Path;

use super::inputs::gather;
use super::{ComposeContext, ComposeError};
use crate::project::{ImagePython, compiles, shows_windows, template_of};
use crate::spec::{ImageSpec, TemplateName};

/// What follows from an image's packages where nobody says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fitting {
    /// The template of the framework that they are, or bring.
    pub template: TemplateName,
    /// Whether windows are likely to be shown.
    pub gui: bool,
}

/// What fits the packages of a spec: those of the files that it names, and those that it names itself.
///
/// # Errors
/// As [`super::compose`], where a file can't be read or the files contradict each other.
pub fn fitting(spec: &ImageSpec, project: &Path) -> Result<Fitting, ComposeError> {
    let (spec, _) = super::default_groups::added(spec, Some(project));
    let spec = spec.as_ref();
    let context = ComposeContext {
        project: Some(project),
        ..ComposeContext::default()
    };
    let mut image = ImagePython::default();
    if let Some(version) = &spec.python.version {
        image.version = version.to_string();
    }
    let inputs = gather(spec, &context, &image, &mut Vec::new())?;
    let wanted = inputs.decided.iter().map(|wanted| wanted.name.clone());
    let packages: BTreeSet<String> = wanted.collect();
    let builds_with_torch = || {
        let mut built = inputs.local.iter();
        built.any(|local| {
            let compiles = compiles(project, &local.folder);
            compiles.is_some_and(|compiles| compiles.needs.iter().any(|need| need == "torch"))
        })
    };
    Ok(Fitting {
        template: template_of(&packages, builds_with_torch),
        gui: shows_windows(&packages),
    })
}
