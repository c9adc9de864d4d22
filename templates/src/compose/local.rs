//! The projects of the context themselves: installed once the code is there, in a layer of their
//! own, so that `import` and their programs work. Editable ones are links to the code, which is
//! what a mounted folder is seen through.

use super::builder_stage::{PROJECT_STAGE, WHEELS};
use super::compiled::Compiled;
use super::inputs::Inputs;
use super::locked::{UNPACK_UV, UV, locked_mounts};
use super::python::NETWORK;
use super::python::PIP_OF_ROOT;
use super::{ComposeError, Composer, Decision};
use crate::dockerfile::{Purpose, Script, script_word};
use crate::project::{LocalProject, build_requirements};
use crate::spec::{Installer, PythonEnvironment};
use crate::value::ContainerPath;

impl Composer<'_> {
    pub(super) fn local_layer(
        &mut self,
        decision: &Decision,
        inputs: &Inputs,
        workdir: &ContainerPath,
    ) -> Result<(), ComposeError> {
        let Some(environment) = decision.environment.filter(|_| !inputs.local.is_empty()) else {
            return Ok(());
        };
        let venv = environment == PythonEnvironment::Venv;
        let python = if venv {
            "/opt/venv/bin/python"
        } else {
            "python3"
        };
        let compiled = &decision.compiled;
        let has_stage = !self.context.locked || self.context.locked_builds;
        let is_compiled = |local: &LocalProject| has_stage && compiled.has_project(&local.folder);
        let mut targets: Vec<String> = inputs
            .local
            .iter()
            .filter(|local| !is_compiled(local))
            .map(|local| target(local, workdir))
            .collect();
        let has_wheels = inputs.local.iter().any(is_compiled);
        if has_wheels {
            targets.push(format!("{WHEELS}/project/*.whl"));
        }
        let targets = targets.join(" ");
        self.file
            .section("The project itself, installed where its code is.");
        let mut script = Script::strict();
        script.lines("umask 022;");
        if self.by_repository(inputs) {
            script.lines(
                "export SETUPTOOLS_SCM_PRETEND_VERSION=${SETUPTOOLS_SCM_PRETEND_VERSION:-0};",
            );
        }
        if self.context.locked {
            self.locked_local(inputs, python, (venv, has_wheels), &targets, script)?;
            return Ok(());
        }
        script.lines(PIP_OF_ROOT);
        let mut mounts = Vec::new();
        if has_wheels {
            mounts.push(Compiled::mount(PROJECT_STAGE));
        }
        self.network_settings(Installer::Pip, &NETWORK, &mut mounts, &mut script);
        if !venv {
            script.lines("export PIP_BREAK_SYSTEM_PACKAGES=1;");
        }
        let alone = if inputs.local_known { " --no-deps" } else { "" };
        script.lines(&format!(
            "{python} -m pip install -q --no-cache-dir{alone} {targets};"
        ));
        self.run(mounts, script, Purpose::Other);
        Ok(())
    }

    /// From the recorded files: what a project needs to be built is among them.
    fn locked_local(
        &mut self,
        inputs: &Inputs,
        python: &str,
        (venv, has_wheels): (bool, bool),
        targets: &str,
        mut script: Script,
    ) -> Result<(), ComposeError> {
        if !inputs.local_known {
            return Err(ComposeError::conflict(
                format!(
                    "{} can't be pinned: its dependencies are worked out while it is built",
                    inputs.local[0].folder
                ),
                "list them in a requirements file, or lock the project: uv lock",
            ));
        }
        let flags = if venv { "" } else { " --break-system-packages" };
        script.lines(&format!(
            r#"
export HOME=/root PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 UV_OFFLINE=1 UV_NO_CONFIG=1 UV_LINK_MODE=copy UV_NO_INSTALLER_METADATA=1 UV_PYTHON_DOWNLOADS=never;{UNPACK_UV}{UV} pip install -q --python {python}{flags} --no-index --no-deps --find-links /mlbuild/python/wheels {targets};
"#
        ));
        let mut mounts = locked_mounts();
        if has_wheels {
            mounts.push(Compiled::mount(PROJECT_STAGE));
        }
        self.run_offline(mounts, script, Purpose::Other);
        Ok(())
    }

    /// Whether a version comes from the repository, which the image doesn't hold.
    fn by_repository(&self, inputs: &Inputs) -> bool {
        let Some(project) = self.context.project else {
            return false;
        };
        let mut local = inputs.local.iter();
        local.any(|local| build_requirements(project, &local.folder).1)
    }

    /// What the projects need to be built, sorted.
    pub(super) fn local_builders(&self, inputs: &Inputs) -> Vec<String> {
        let Some(project) = self.context.project else {
            return Vec::new();
        };
        let local = inputs.local.iter();
        let mut needs: Vec<String> = local
            .flat_map(|local| build_requirements(project, &local.folder).0)
            .collect();
        needs.sort();
        needs.dedup();
        needs
    }
}

/// The project as an argument of `pip install`.
fn target(local: &LocalProject, workdir: &ContainerPath) -> String {
    let workdir = workdir.as_str().trim_end_matches('/');
    let folder = match local.folder.as_str() {
        "." => workdir.to_owned(),
        folder => format!("{workdir}/{folder}"),
    };
    let path = script_word(&folder);
    if local.editable {
        format!("-e {path}")
    } else {
        path
    }
}
