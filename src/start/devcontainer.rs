//! The project's container as editors and the devcontainer CLI start it.

use std::path::{Path, PathBuf};

use mlbuild_manifests::inside::{self, keep_inside};
use serde_json::{Value, json};

use super::error::StartError;
use super::{GpuSelection, defaults, project_image, unsupported, without_secrets};
use crate::reporter::Reporter;
use crate::runtime::{self, Mount, Options, RunSpec, RuntimeCli};

/// Where tools look for it.
const FILE: &str = ".devcontainer/devcontainer.json";
/// How a file of ours begins.
const OURS: &str = "// Written by mlbuild devcontainer: written anew by it, too.\n";

/// What the file has to say.
#[derive(Debug, Clone)]
pub struct DevcontainerRequest {
    /// The flags of `docker run`, and the image; without one it is the project's own.
    pub spec: RunSpec,
    /// The tags that the project's configuration gives its image.
    pub image_tags: Vec<String>,
    /// The project's folder.
    pub project: PathBuf,
    /// Where that is in the container.
    pub dir: String,
    /// The GPUs.
    pub gpu: GpuSelection,
    /// Whether it gets what machine learning usually needs.
    pub defaults: bool,
}

/// The file's text. What a `devcontainer.json` can't hold is told as a warning.
///
/// # Errors
/// Where no image is named anywhere, or single GPUs are asked for.
pub fn text(request: DevcontainerRequest, reporter: &dyn Reporter) -> Result<String, StartError> {
    let DevcontainerRequest { mut spec, .. } = request;
    let project = &request.project;
    if spec.image.is_empty() {
        spec.image = project_image::of(project, &request.image_tags)?;
    }
    spec.options = spec.options.over(mounted(&request.dir, project));
    if request.defaults {
        // Whether limits may be raised is the business of the machine that reads the file.
        let usual = defaults::limits(&spec, RuntimeCli::Docker, false);
        spec.options = spec.options.over(usual.without(&["ulimit"]));
    }
    let spec = without_secrets(spec, reporter);
    let rendered = runtime::devcontainer(&spec, project);
    unsupported::warn(&rendered.left_out, reporter);
    let mut document = rendered.form;
    if let Some(gpu) = gpu_requirement(&request.gpu)? {
        document["hostRequirements"] = json!({ "gpu": gpu });
    }
    Ok(format!("{OURS}{document:#}\n"))
}

/// Writes the file; returns its path.
///
/// # Errors
/// Where a person wrote the one that is there, unless `replace` is set; or it can't be written.
pub fn write(project: &Path, text: &str, replace: bool) -> Result<PathBuf, StartError> {
    let file = project.join(FILE);
    let failed = |source| StartError::NotWritten {
        path: file.clone(),
        source,
    };
    keep_inside(project, &file).map_err(failed)?;
    match mlbuild_files::read_to_string(&file) {
        Ok(old) if old.starts_with(OURS) || replace => {}
        Ok(_) => return Err(StartError::NotOurs { path: file }),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        // A pipe of a clone would be waited for.
        Err(error) if error.kind() == std::io::ErrorKind::InvalidInput => {
            return Err(failed(error));
        }
        Err(_) if replace => {}
        Err(error) => return Err(failed(error)),
    }
    inside::replace(project, &file, text.as_bytes()).map_err(failed)?;
    Ok(file)
}

/// The project's mount, unless something else is there.
fn mounted(dir: &str, project: &Path) -> Options {
    let mut options = Options::default();
    options.add("mount", &Mount::bind(project, dir).to_string());
    options.add("workdir", dir);
    options
}

/// What the tool reads: it looks for GPUs itself.
fn gpu_requirement(gpu: &GpuSelection) -> Result<Option<Value>, StartError> {
    match gpu {
        GpuSelection::Off => Ok(None),
        GpuSelection::Auto => Ok(Some(json!("optional"))),
        GpuSelection::Required => Ok(Some(json!(true))),
        GpuSelection::Ids(_) => Err(StartError::DevcontainerGpus),
    }
}
