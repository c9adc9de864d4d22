//! Filling a template's ARGs from a spec.

use std::collections::BTreeMap;

use super::OwnTemplate;
use crate::compose::{ComposeContext, ComposeError, Warning, resolve_accelerator};
use crate::spec::{Accelerator, ImageSpec};
use crate::value::BaseImage;

/// What a spec makes of a template's ARGs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Filled {
    /// Build arguments, by name. ARGs that the spec says nothing of keep their defaults.
    pub args: BTreeMap<String, String>,
    /// What it computes on, with [`Accelerator::Auto`] resolved.
    pub accelerator: Accelerator,
    /// What the spec asks for and the template has no ARG for.
    pub warnings: Vec<Warning>,
}

/// A part of the spec, and the names under which templates take it; the first is ours.
struct Parameter {
    names: &'static [&'static str],
    /// The setting, for messages.
    setting: &'static str,
    value: Option<String>,
}

impl OwnTemplate {
    /// Fills the template's ARGs.
    ///
    /// The names are `BASE_IMAGE`, `PYTHON_VERSION`, `CUDA_VERSION`, `APT_PACKAGES`,
    /// `PYTHON_PACKAGES`, `REQUIREMENTS`, `USERNAME`, `USER_UID`, `USER_GID`, `WORKDIR` and
    /// `GPU`; `BASE`, `USER_NAME`, `UID`, `GID` are understood too.
    ///
    /// # Errors
    /// Where the spec asks for what no ARG can give: a serving layout.
    pub fn fill(&self, spec: &ImageSpec, context: &ComposeContext) -> Result<Filled, ComposeError> {
        if spec.serving.is_some() {
            return Err(ComposeError::conflict(
                "a template of one's own can't be made a serving image",
                "leave out the template, or the serving settings",
            ));
        }
        let accelerator = resolve_accelerator(spec, context);
        let mut filled = Filled {
            args: BTreeMap::new(),
            accelerator,
            warnings: Vec::new(),
        };
        for parameter in parameters(spec, context, accelerator) {
            let Some(value) = parameter.value else {
                continue;
            };
            match parameter.names.iter().find(|name| self.takes(name)) {
                Some(name) => {
                    filled.args.insert((*name).to_owned(), value);
                }
                // Which accelerator it is, few templates need to know.
                None if parameter.setting == "gpu" => {}
                None => filled.warnings.push(Warning {
                    message: format!(
                        "the template has no ARG for {} ({value})",
                        parameter.setting
                    ),
                    hint: Some(format!(
                        "declare `ARG {}` in it, or leave the setting out",
                        parameter.names[0]
                    )),
                }),
            }
        }
        for (setting, said) in [
            ("gui", spec.gui),
            ("run", !spec.run.is_empty()),
            ("env", !spec.env.is_empty()),
            ("path", !spec.path.is_empty()),
            ("ports", !spec.ports.is_empty()),
            ("entrypoint", spec.entrypoint.is_some()),
            ("command", spec.command.is_some()),
            ("sudo", spec.user.as_ref().is_some_and(|user| user.sudo)),
            ("pylock", spec.python.pylock.is_some()),
            ("project", spec.python.project.is_some()),
            ("compile", !spec.python.compile.is_empty()),
            (
                "no_build_isolation",
                !spec.python.no_build_isolation.is_empty(),
            ),
            (
                "extra_build_dependencies",
                !spec.python.extra_build_dependencies.is_empty(),
            ),
        ] {
            if said {
                filled.warnings.push(Warning {
                    message: format!(
                        "the template decides about {setting} itself; the setting does nothing"
                    ),
                    hint: Some("write it into the template".into()),
                });
            }
        }
        Ok(filled)
    }
}

fn parameters(
    spec: &ImageSpec,
    context: &ComposeContext,
    accelerator: Accelerator,
) -> [Parameter; 11] {
    let python = &spec.python;
    let list = |items: Vec<&str>| (!items.is_empty()).then(|| items.join(" "));
    let user = spec.user.as_ref();
    let base: Option<&BaseImage> = spec
        .base
        .as_ref()
        .or_else(|| context.accelerator_bases.get(&accelerator));
    let parameter = |names, setting, value| Parameter {
        names,
        setting,
        value,
    };
    [
        parameter(
            &["BASE_IMAGE", "BASE"],
            "base",
            base.map(ToString::to_string),
        ),
        parameter(
            &["PYTHON_VERSION"],
            "python",
            python.version.as_ref().map(ToString::to_string),
        ),
        parameter(
            &["CUDA_VERSION"],
            "cuda",
            spec.cuda.as_ref().map(ToString::to_string),
        ),
        parameter(
            &["APT_PACKAGES"],
            "apt",
            list(spec.apt.iter().map(|p| p.as_str()).collect()),
        ),
        parameter(
            &["PYTHON_PACKAGES"],
            "packages",
            list(python.packages.iter().map(String::as_str).collect()),
        ),
        parameter(
            &["REQUIREMENTS"],
            "requirements",
            list(python.requirements.iter().map(|r| r.as_str()).collect()),
        ),
        parameter(
            &["USERNAME", "USER_NAME"],
            "user",
            user.map(|u| u.name.to_string()),
        ),
        parameter(&["USER_UID", "UID"], "uid", user.map(|u| u.uid.to_string())),
        parameter(
            &["USER_GID", "GID"],
            "gid",
            user.map(|u| u.gid.map_or(u.uid.get(), |gid| gid.get()).to_string()),
        ),
        parameter(
            &["WORKDIR"],
            "workdir",
            spec.workdir.as_ref().map(ToString::to_string),
        ),
        parameter(&["GPU"], "gpu", spec.gpu.map(|_| accelerator.to_string())),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_seeds_dockerfile_is_filled() {
        let text = "FROM nvcr.io/nvidia/tensorflow:21.02-tf2-py3\nARG USERNAME=vorph\nARG USER_UID=1000\nARG USER_GID=1000\nUSER $USERNAME\n";
        let spec: ImageSpec =
            toml::from_str("apt = [\"git\"]\nports = [5000]\nuser = { name = \"me\", uid = 1234 }")
                .unwrap();
        let filled = OwnTemplate::parse(text)
            .unwrap()
            .fill(&spec, &ComposeContext::default())
            .unwrap();
        let args: Vec<_> = filled
            .args
            .iter()
            .map(|(k, v)| format!("{k}={v}"))
            .collect();
        assert_eq!(args, ["USERNAME=me", "USER_GID=1234", "USER_UID=1234"]);
        let said: Vec<_> = filled.warnings.iter().map(|w| w.message.as_str()).collect();
        assert_eq!(
            said,
            [
                "the template has no ARG for apt (git)",
                "the template decides about ports itself; the setting does nothing"
            ]
        );
    }
}
