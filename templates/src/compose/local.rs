//! The projects of the context themselves: installed once the code is there, in a layer of their
//! own, so that `import` and their programs work. Editable ones are links to the code, which is
//! what a mounted folder is seen through.

use super::builder_stage::{PROJECT_STAGE, WHEELS};
use super::compiled::Compiled;
use super::inputs::Inputs;
use super::locked::{UNPACK_UV, UV, locked_mounts};
use super::python::NETWORK;
use super::python::PIP_OF_ROOT;
use super::{ComposeError, Composer, Decision, env_name};
use crate::dockerfile::{Instruction, Purpose, Script, script_word};
use crate::project::{LocalProject, build_requirements};
use crate::spec::{Installer, PythonEnvironment};
use crate::value::ContainerPath;

/// The argument of a build, and the variable of setuptools-scm and hatch-vcs, with a project's version.
const SCM_VERSION: &str = "SETUPTOOLS_SCM_PRETEND_VERSION";

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
        self.version_of_repository(inputs, workdir.as_str().trim_end_matches('/'), &mut script);
        let root = inputs.local.iter().find(|local| local.folder == ".");
        let beside_code = root.is_some_and(is_compiled);
        if self.context.locked {
            let how = (venv, has_wheels);
            let code = beside_code.then_some(workdir);
            return self.locked_local(inputs, python, how, &targets, (script, code));
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
        let pep517 = if self.is_old_style(inputs) {
            " --use-pep517"
        } else {
            ""
        };
        script.lines(&format!(
            "{python} -m pip install -q --no-cache-dir{pep517}{alone} {targets};"
        ));
        if beside_code {
            script.lines(&extensions_beside(python, workdir));
        }
        self.run(mounts, script, Purpose::Other);
        Ok(())
    }

    /// Whether a project is editable and has nothing but a `setup.py`: an older pip then leaves its metadata among
    /// the code, which a mounted folder hides.
    fn is_old_style(&self, inputs: &Inputs) -> bool {
        let Some(project) = self.context.project else {
            return false;
        };
        let mut editable = inputs.local.iter().filter(|local| local.editable);
        editable.any(|local| {
            let folder = project.join(&local.folder);
            !folder.join("pyproject.toml").exists()
        })
    }

    /// The version of projects whose tools ask a repository for it, where there is one of that kind: as the build's
    /// argument says, or their source archive; else 0.
    pub(super) fn version_of_repository(
        &mut self,
        inputs: &Inputs,
        root: &str,
        script: &mut Script,
    ) {
        let Some(local) = self.by_repository(inputs) else {
            return;
        };
        let folder = match local.folder.as_str() {
            "." => root.to_owned(),
            folder => format!("{root}/{folder}"),
        };
        let file = script_word(&format!("{folder}/PKG-INFO"));
        self.file.push(Instruction::Arg {
            name: env_name(SCM_VERSION),
            default: None,
        });
        script.lines(&format!(
            r#"
# Its version comes from its repository, which no image holds.
version=${{{SCM_VERSION}:-$(sed -n 's/^Version: //p' {file} 2>/dev/null | head -n 1)}}; version=${{version:-0}};
export {SCM_VERSION}="$version" PDM_BUILD_SCM_VERSION="$version" PBR_VERSION="$version";
export POETRY_DYNAMIC_VERSIONING_BYPASS="$version" UV_DYNAMIC_VERSIONING_BYPASS="$version";
"#
        ));
    }

    /// Says which version a project gets that asks a repository which the image doesn't hold.
    pub(super) fn note_of_version(&self, inputs: &Inputs) -> Option<String> {
        let local = self.by_repository(inputs)?;
        let folder = self.context.project?.join(&local.folder);
        let name = match local.folder.as_str() {
            "." => "the project",
            folder => folder,
        };
        (!folder.join("PKG-INFO").exists()).then(|| {
            format!(
                "{name} takes its version from git, and .git isn't in the image: it is 0 there, but for what args = {{ {SCM_VERSION} = \"1.0\" }} under [build] says"
            )
        })
    }

    /// From the recorded files: what a project needs to be built is among them.
    fn locked_local(
        &mut self,
        inputs: &Inputs,
        python: &str,
        (venv, has_wheels): (bool, bool),
        targets: &str,
        (mut script, code): (Script, Option<&ContainerPath>),
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
        if let Some(code) = code {
            script.lines(&extensions_beside(python, code));
        }
        let mut mounts = locked_mounts();
        if has_wheels {
            mounts.push(Compiled::mount(PROJECT_STAGE));
        }
        self.run_offline(mounts, script, Purpose::Other);
        Ok(())
    }

    /// The project whose version comes from a repository, which the image doesn't hold.
    fn by_repository<'i>(&self, inputs: &'i Inputs) -> Option<&'i LocalProject> {
        let project = self.context.project?;
        let mut local = inputs.local.iter();
        local.find(|local| build_requirements(project, &local.folder).1)
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

/// The compiled modules of the project's packages, beside the code of the same packages: what is started there
/// finds that code first.
fn extensions_beside(python: &str, workdir: &ContainerPath) -> String {
    let code = script_word(workdir.as_str().trim_end_matches('/'));
    format!(
        r#"
site=$({python} -c 'import sysconfig; print(sysconfig.get_path("platlib"))');
{python} -c 'import glob, zipfile; print(*(n for w in glob.glob("{WHEELS}/project/*.whl") for n in zipfile.ZipFile(w).namelist()), sep="\n")' |
while IFS= read -r file; do
  case $file in *.data/*) continue;; */*.so) ;; *) continue;; esac;
  if [ -d {code}/"${{file%/*}}" ] && [ ! -e {code}/"$file" ]; then cp "$site/$file" {code}/"$file"; fi;
done;
"#
    )
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
