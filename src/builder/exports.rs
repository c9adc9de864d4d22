//! How this builder gets the result to where the plan wants it.
//!
//! Docker's classic store ignores `push=true` and compression and knows three
//! exporters: there the image is only kept, and its Docker is to push it
//! afterwards. A standalone buildkitd has no image store that Docker sees. Each
//! gets its own way, and nothing is dropped.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mlbuild_buildkit::{BuilderInfo, BuilderKind, Export, ExportTarget, Feature, ImageStore};
use mlbuild_manifests::atomic;

use super::{BuilderError, PlanFeature};
use crate::loopback::is_loopback;
use crate::plan::{BuildPlan, Output};

/// Something to do after the solve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Delivery {
    /// Load into this machine's Docker from another builder.
    LoadElsewhere {
        /// The tags.
        tags: Vec<String>,
    },
    /// The image is in the builder's own Docker.
    InDocker {
        /// One of its tags.
        tag: String,
    },
}

/// The way of a result.
#[derive(Debug, Clone)]
pub struct Route {
    outputs: Vec<Output>,
    /// What is done after the solve.
    pub deliveries: Vec<Delivery>,
}

impl Route {
    /// Chooses the exporters of the first solve and what comes after it.
    ///
    /// # Errors
    /// Where the builder has no way to an output.
    pub fn choose(plan: &BuildPlan, info: &BuilderInfo) -> Result<Self, BuilderError> {
        let mut route = Route::of_image(plan, &info.kind);
        let names = plan.tags.join(",");
        for output in plan.outputs.iter().filter(|out| !is_of_image(out)) {
            route.outputs.push(file(output, &names, info)?);
        }
        if route.outputs.len() > 1
            && let Some(why) = info.missing(Feature::SeveralExporters)
        {
            return Err(BuilderError::Unsupported {
                feature: PlanFeature::SeveralOutputs,
                why: why.to_string(),
            });
        }
        Ok(route)
    }

    /// The way of the image itself: pushed, loaded, or kept in a store.
    fn of_image(plan: &BuildPlan, kind: &BuilderKind) -> Self {
        let (mut outputs, mut deliveries) = (Vec::new(), Vec::new());
        let push = plan.outputs.iter().find(|out| out.kind == "image");
        let load = plan.outputs.iter().any(is_load);
        let pushes = push
            .and_then(|out| out.attrs.get("push"))
            .is_some_and(|value| value == "true");
        // What goes to no registry is to be in Docker afterwards.
        let stays_here = load || (push.is_some() && !pushes);
        let names = plan.tags.join(",");
        let in_docker = || Delivery::InDocker {
            tag: plan.tags[0].clone(),
        };
        match kind {
            BuilderKind::Docker {
                store: ImageStore::Classic,
                ..
            } if load || push.is_some() => {
                let dropped = ["push", "oci-mediatypes"];
                outputs.push(image("moby", &names, push, &dropped));
                deliveries.push(in_docker());
            }
            BuilderKind::Docker {
                store: ImageStore::Containerd,
                ..
            } if stays_here => {
                outputs.push(image("moby", &names, push, &[]));
                deliveries.push(in_docker());
            }
            BuilderKind::Docker {
                store: ImageStore::Containerd,
                ..
            } if push.is_some() => outputs.push(image("image", &names, push, &[])),
            BuilderKind::Docker { .. } => {}
            BuilderKind::Buildkitd => {
                if push.is_some() || load {
                    outputs.push(image("image", &names, push, &[]));
                }
                if stays_here {
                    deliveries.push(Delivery::LoadElsewhere {
                        tags: plan.tags.clone(),
                    });
                }
            }
        }
        Route {
            outputs,
            deliveries,
        }
    }

    /// The exporters of the first solve.
    ///
    /// # Errors
    /// Where a file or folder can't be written to.
    pub fn exports(&self, insecure: &[String]) -> Result<Vec<Export>, BuilderError> {
        self.outputs
            .iter()
            .map(|output| export(output, insecure))
            .collect()
    }
}

/// Whether an output is the image in Docker, and not a file for it.
fn is_load(output: &Output) -> bool {
    output.kind == "docker" && output.dest.is_none()
}

/// Whether an output is the image, and not files of it.
fn is_of_image(output: &Output) -> bool {
    output.kind == "image" || is_load(output)
}

/// An output into a file or folder, under these names where it holds an image.
fn file(output: &Output, names: &str, info: &BuilderInfo) -> Result<Output, BuilderError> {
    let feature = match output.kind.as_str() {
        "oci" => Some(Feature::OciExporter),
        "docker" => Some(Feature::DockerExporter),
        _ => None,
    };
    if let Some(why) = feature.and_then(|feature| info.missing(feature)) {
        return Err(BuilderError::Unsupported {
            feature: PlanFeature::Output(output.kind.clone()),
            why: why.to_string(),
        });
    }
    let mut output = output.clone();
    if feature.is_some() {
        let name = output.attrs.entry("name".into());
        name.or_insert_with(|| names.to_owned());
    }
    Ok(output)
}

/// An exporter that makes an image of these names in the builder's own store.
fn image(kind: &str, names: &str, given: Option<&Output>, dropped: &[&str]) -> Output {
    let mut attrs = given.map(|out| out.attrs.clone()).unwrap_or_default();
    attrs.insert("name".into(), names.to_owned());
    // Its default changed between versions, and with it the digest.
    attrs
        .entry("oci-mediatypes".into())
        .or_insert_with(|| "true".into());
    for key in dropped {
        attrs.remove(*key);
    }
    Output {
        kind: kind.into(),
        attrs,
        dest: None,
    }
}

fn export(output: &Output, insecure: &[String]) -> Result<Export, BuilderError> {
    let mut attrs = output.attrs.clone();
    if attrs.get("push").is_some_and(|value| value == "true") {
        let names = attrs.get("name").cloned().unwrap_or_default();
        let plain = |name: &str| {
            let host = name.split('/').next().unwrap_or("");
            is_loopback(host) || insecure.iter().any(|known| known == host)
        };
        if names.split(',').any(plain) {
            attrs.insert("registry.insecure".into(), "true".into());
        }
    }
    let target = match (output.kind.as_str(), &output.dest) {
        ("local", Some(folder)) => Some(ExportTarget::Dir(made(folder)?)),
        ("oci", Some(folder)) if attrs.get("tar").is_some_and(|value| value == "false") => {
            let made = made(folder)?;
            // What builds left that were killed while they wrote there.
            atomic::sweep(&made);
            atomic::sweep(&made.join("blobs/sha256"));
            Some(ExportTarget::Dir(made))
        }
        (_, Some(file)) if file.as_os_str() == "-" => {
            Some(ExportTarget::Writer(Box::new(tokio::io::stdout())))
        }
        (_, Some(file)) => {
            atomic::sweep(file.parent().unwrap_or(Path::new(".")));
            Some(ExportTarget::File(file.clone()))
        }
        (_, None) => None,
    };
    Ok(Export {
        kind: output.kind.clone(),
        attrs,
        output: target,
    })
}

fn made(folder: &Path) -> Result<PathBuf, BuilderError> {
    let path = folder.to_owned();
    match std::fs::create_dir_all(folder) {
        Ok(()) => Ok(path),
        Err(source) => Err(BuilderError::OutputFolder { path, source }),
    }
}

/// The exporter for `docker load`.
pub(super) fn docker_tar(tags: &[String], file: &Path) -> Export {
    Export {
        kind: "docker".into(),
        attrs: BTreeMap::from([("name".into(), tags.join(","))]),
        output: Some(ExportTarget::File(file.to_owned())),
    }
}

/// The exporter that writes the result's files into a folder.
pub(super) fn files(folder: &Path) -> Export {
    Export {
        kind: "local".into(),
        attrs: BTreeMap::new(),
        output: Some(ExportTarget::Dir(folder.to_owned())),
    }
}
