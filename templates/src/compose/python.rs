//! Python packages: one virtual environment at `/opt/venv`, readable by any user.

use std::collections::BTreeMap;

use super::{Composer, SecretUse, env_name};
use crate::dockerfile::{
    CacheMount, Copy, Instruction, Mount, Network, Run, Script, Sharing, Word, shell_quote,
};
use crate::spec::{ImageSpec, Installer};

/// Where the inputs (requirements and lock files) are kept in the image.
const INPUTS: &str = "/opt/mlbuild";
const VENV: &str = "/opt/venv";

pub(super) fn wants_python(spec: &ImageSpec) -> bool {
    let python = &spec.python;
    !(python.requirements.is_empty() && python.packages.is_empty())
        || python.pylock.is_some()
        || python.project.is_some()
        || spec.base.is_none()
}

impl Composer<'_> {
    pub(super) fn python_layer(&mut self) {
        if !wants_python(self.spec) {
            return;
        }
        self.file
            .section("Python packages, in a virtual environment that any user can read.");
        self.copy_requirements();
        let mut script = Script::strict();
        script.lines("umask 022; export HOME=/root PIP_DISABLE_PIP_VERSION_CHECK=1;");
        let mut mounts = vec![Mount::Cache(CacheMount {
            id: Some("mlbuild-python".into()),
            target: "/root/.cache".into(),
            sharing: Sharing::Shared,
        })];
        self.network_settings(&mut mounts, &mut script);
        script.lines(&format!("python3 -m venv {VENV};"));
        let what = self.pip_arguments();
        if !what.is_empty() {
            match self.spec.python.installer {
                Installer::Pip => script.lines(&format!("{VENV}/bin/pip install -q {what};")),
                Installer::Uv | Installer::Auto => script.lines(&format!(
                    r#"
export UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never;
uv=$(command -v uv || echo /tmp/uv/bin/uv);
[ -x "$uv" ] || {VENV}/bin/pip install -q --target /tmp/uv uv==0.13.9;
"$uv" pip install -q --python {VENV}/bin/python {what};
rm -rf /tmp/uv;
"#
                )),
            };
        }
        self.file.push(Instruction::Run(Run {
            mounts,
            network: Network::Default,
            script: script.finish(),
        }));
        let path = Word::literal(format!("{VENV}/bin:")).then_variable(env_name("PATH"));
        self.file.push(Instruction::Env(vec![
            (env_name("VIRTUAL_ENV"), VENV.into()),
            (env_name("PATH"), path),
        ]));
    }

    /// One COPY per folder, so that files that include each other by relative path still do.
    fn copy_requirements(&mut self) {
        let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for file in &self.spec.python.requirements {
            folders
                .entry(file.split().0)
                .or_default()
                .push(file.as_str());
        }
        for (folder, files) in folders {
            let slash = if folder.is_empty() { "" } else { "/" };
            self.file.push(Instruction::Copy(Copy {
                sources: files.into_iter().map(Word::from).collect(),
                destination: format!("{INPUTS}/{folder}{slash}").into(),
                ..Copy::default()
            }));
        }
    }

    fn pip_arguments(&self) -> String {
        let python = &self.spec.python;
        let files = python
            .requirements
            .iter()
            .map(|file| format!("-r {}", shell_quote(&format!("{INPUTS}/{file}"))));
        let packages = python.packages.iter().map(|p| shell_quote(p));
        files.chain(packages).collect::<Vec<_>>().join(" ")
    }

    /// Hands the host's index settings and CA to this one step.
    fn network_settings(&self, mounts: &mut Vec<Mount>, script: &mut Script) {
        for secret in [SecretUse::Ca, SecretUse::PipConf, SecretUse::UvConf] {
            if !self.context.secrets.contains(&secret) {
                continue;
            }
            mounts.push(Mount::Secret {
                id: secret.id().into(),
            });
            let path = secret.path();
            let variables: &[&str] = match secret {
                SecretUse::Ca => &[
                    "SSL_CERT_FILE",
                    "PIP_CERT",
                    "REQUESTS_CA_BUNDLE",
                    "CURL_CA_BUNDLE",
                ],
                SecretUse::PipConf => &["PIP_CONFIG_FILE"],
                _ => &["UV_CONFIG_FILE"],
            };
            let exports: Vec<String> = variables.iter().map(|v| format!("{v}={path}")).collect();
            script.lines(&format!(
                "if [ -f {path} ]; then export {}; fi;",
                exports.join(" ")
            ));
        }
    }
}
