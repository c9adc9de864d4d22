//! Python packages: one virtual environment at `/opt/venv` that any user can read, or the base's
//! own Python where that holds a framework.

use std::collections::{BTreeMap, BTreeSet};

use super::builder_stage::{WHEELS, WHEELS_STAGE};
use super::compiled::Compiled;
use super::inputs::{Inputs, join};
use super::{Composer, Decision, SecretUse, env_name};
use crate::dockerfile::{
    CacheMount, Copy, Instruction, Mount, Purpose, Script, Sharing, Word, script_pattern,
    script_word,
};
use crate::spec::{Installer, PythonEnvironment};
use crate::tables::bases;

/// Where the inputs (requirements and lock files) are kept in the image.
pub(super) const INPUTS: &str = "/opt/mlbuild";
const VENV: &str = "/opt/venv";
/// The host's settings that an installer or a download meets the same network by.
pub(super) const NETWORK: [SecretUse; 3] = [SecretUse::Ca, SecretUse::PipConf, SecretUse::UvConf];
/// What root's pip is told wherever it runs.
pub(super) const PIP_OF_ROOT: &str = "export HOME=/root PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore PYTHONDONTWRITEBYTECODE=1;";
/// Finds the wheels from which `ensurepip` installs pip, and setuptools before Python 3.12: uv installs
/// them in a tenth of its time.
pub(super) const BUNDLED: &str = r#"
bundled=$(python3 -c 'import ensurepip, sysconfig; print(sysconfig.get_config_var("WHEEL_PKG_DIR") or ensurepip.__path__[0] + "/_bundled")');
[ -d "$bundled" ] || bundled=/usr/share/python-wheels;
"#;
/// The versions of a project's lock, for the time of the installation.
const CONSTRAINTS: &str = "/tmp/constraints.txt";

impl Composer<'_> {
    pub(super) fn python_layer(&mut self, decision: &Decision, inputs: &Inputs) {
        let Some(environment) = decision.environment else {
            return;
        };
        let venv = environment == PythonEnvironment::Venv;
        self.file.section(if venv {
            "Python packages, in a virtual environment that any user can read."
        } else if inputs.conda.is_some() {
            "Python packages of the package index, beside those of conda."
        } else {
            "Python packages, beside those that the base's own Python holds."
        });
        self.copy_inputs(inputs);
        if self.context.locked {
            return self.locked_python_layer(environment);
        }
        let mut mounts = vec![python_cache()];
        let mut script = Script::strict();
        script.lines("umask 022;");
        script.lines(PIP_OF_ROOT);
        self.network_settings(decision.installer, &NETWORK, &mut mounts, &mut script);
        self.check_version(&mut script);
        if !decision.compiled.packages.is_empty() {
            mounts.push(Compiled::mount(WHEELS_STAGE));
        }
        if !venv {
            script.lines("export PIP_BREAK_SYSTEM_PACKAGES=1;");
        }
        let python = if venv {
            format!("{VENV}/bin/python")
        } else {
            "python3".into()
        };
        let what = self.what_to_install(decision, inputs, &mut script);
        self.make_environment(decision, &what, &mut script);
        if !what.is_empty() {
            match decision.installer {
                Installer::Pip => self.by_pip(&python, &what, (decision, inputs), &mut script),
                _ => self.by_uv(&python, &what, decision, inputs, &mut script),
            }
            if !inputs.constraints.is_empty() {
                script.lines(&format!("rm -f {CONSTRAINTS};"));
            }
        }
        // Bytecode that doesn't look at time stamps came with Python 3.7.
        if venv && !what.is_empty() && decision.python.as_deref() != Some("3.6") {
            self.compile(&mut script);
        }
        self.run(mounts, script, Purpose::Other);
        if venv {
            let path = Word::literal(format!("{VENV}/bin:")).then_variable(env_name("PATH"));
            self.file.push(Instruction::Env(vec![
                (env_name("VIRTUAL_ENV"), VENV.into()),
                (env_name("PATH"), path),
            ]));
        }
    }

    /// The environment, and what installs packages. Where there are none to install nothing is fetched.
    fn make_environment(&self, decision: &Decision, what: &[String], script: &mut Script) {
        let venv = decision.environment == Some(PythonEnvironment::Venv);
        let by_pip = decision.installer == Installer::Pip;
        let plain = if venv {
            format!(" python3 -m venv {VENV};")
        } else {
            String::new()
        };
        if what == ["\"$@\""] {
            script.lines(&format!("if [ $# = 0 ]; then{plain} exit 0; fi;"));
        }
        if by_pip || what.is_empty() {
            script.lines(&plain);
        } else if venv {
            script.lines(BUNDLED);
            self.fetch_uv(
                "PYTHONPATH=$(ls \"$bundled\"/pip-*.whl | tail -n 1) python3",
                script,
            );
            script.lines(&environment_by_uv("\"$uv\""));
        } else {
            self.fetch_uv("python3", script);
        }
    }

    /// Whether packages are installed, as far as is known before the build.
    pub(super) fn installs(&self, decision: &Decision, inputs: &Inputs) -> bool {
        !inputs.is_empty() || !decision.additions.is_empty()
    }

    /// The files that say which packages there are.
    pub(super) fn input_files(&self, inputs: &Inputs) -> Vec<String> {
        let python = &self.spec.python;
        let mut files: Vec<String> = inputs.files.iter().cloned().collect();
        files.extend(python.pylock.iter().map(ToString::to_string));
        if let Some(folder) = &python.project
            && inputs.synced.is_some()
        {
            files.extend(["pyproject.toml", "uv.lock"].map(|name| join(folder.as_str(), name)));
        }
        files.sort();
        files.dedup();
        files
    }

    /// One COPY per folder, so that files that include each other by relative path still do.
    pub(super) fn copy_inputs(&mut self, inputs: &Inputs) {
        let files = self.input_files(inputs);
        let mut folders: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
        for file in &files {
            let folder = file.rsplit_once('/').map_or("", |(folder, _)| folder);
            folders.entry(folder).or_default().push(file);
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

    /// Stops where the base's Python isn't the one that was asked for.
    pub(super) fn check_version(&self, script: &mut Script) {
        let Some(version) = &self.spec.python.version else {
            return;
        };
        script.lines(&format!(
            r#"
found=$(python3 -c 'import platform; print(platform.python_version())');
case "$found." in {version}.*) ;; *)
  echo "mlbuild: Python {version} is asked for, but this base has $found: name another base or version" >&2; exit 1;;
esac;
"#
        ));
    }

    /// The arguments of `pip install`; patterns are added to `$@` by the script itself.
    fn what_to_install(
        &self,
        decision: &Decision,
        inputs: &Inputs,
        script: &mut Script,
    ) -> Vec<String> {
        let python = &self.spec.python;
        if inputs.synced.is_some() {
            return vec!["project".into()];
        }
        self.prepare(decision, inputs, script);
        let path = |file: &str| format!("{INPUTS}/{file}");
        if let Some(file) = &python.pylock {
            return vec!["-r".into(), script_word(&path(file.as_str()))];
        }
        let mut what = Vec::new();
        let (patterns, files): (Vec<&String>, Vec<&String>) = inputs
            .requirements
            .iter()
            .partition(|file| file.contains(['*', '?']));
        for file in files {
            what.extend(["-r".into(), script_word(&path(file))]);
        }
        let compiled = &decision.compiled;
        for line in inputs.lines.iter().filter(|line| !compiled.replaces(line)) {
            // A line of options is as many words as a shell would make of it.
            match shlex::split(line).filter(|_| line.starts_with('-')) {
                Some(words) => what.extend(words.iter().map(|word| script_word(word))),
                None => what.push(script_word(line)),
            }
        }
        what.extend(
            python
                .packages
                .iter()
                .chain(&decision.additions)
                .map(|p| script_word(p)),
        );
        if !first_of_all(inputs) {
            what.extend(wheels(compiled));
        }
        if !inputs.constraints.is_empty() && !what.is_empty() {
            what.extend(["-c".into(), CONSTRAINTS.into()]);
        }
        if !patterns.is_empty() {
            let patterns: Vec<String> = patterns
                .into_iter()
                .map(|p| script_pattern(&path(p)))
                .collect();
            script.lines(&format!(
                r#"for file in {}; do if [ -f "$file" ]; then set -- "$@" -r "$file"; fi; done;"#,
                patterns.join(" ")
            ));
            what.push("\"$@\"".into());
        }
        what
    }

    /// Makes of the files what the installer is to see.
    fn prepare(&self, decision: &Decision, inputs: &Inputs, script: &mut Script) {
        let replaced = decision.compiled.replaced();
        let files = inputs.omitted.keys().map(String::as_str);
        let files: BTreeSet<&str> = files.chain(replaced.keys().copied()).collect();
        for file in files {
            let (omitted, replaced) = (inputs.omitted.get(file), replaced.get(file));
            let without = match (omitted, replaced) {
                (Some(_), None) => "the projects that are installed with the code",
                (None, _) => "the packages whose wheels are there",
                (Some(_), Some(_)) => "the projects and packages that come another way",
            };
            let lines = omitted.into_iter().chain(replaced).flatten();
            script.lines(&format!(
                "# {file} without {without}.\nsed -i '{}' {};",
                deletions(lines),
                script_word(&format!("{INPUTS}/{file}"))
            ));
        }
        // Archives of the project are named from its root.
        let archives = [".whl", ".zip", ".gz", ".tgz", ".bz2", ".xz", ".tar"];
        if inputs
            .files
            .iter()
            .any(|file| archives.iter().any(|end| file.ends_with(end)))
        {
            script.lines(&format!("cd {INPUTS};"));
        }
        if !inputs.constraints.is_empty() {
            script.lines("printf '%s\\n'");
            for some in inputs.constraints.chunks(6) {
                let some: Vec<String> = some.iter().map(|c| script_word(c)).collect();
                script.lines(&format!("  {}", some.join(" ")));
            }
            script.lines(&format!("  > {CONSTRAINTS};"));
        }
    }

    fn by_pip(
        &self,
        python: &str,
        what: &[String],
        (decision, inputs): (&Decision, &Inputs),
        script: &mut Script,
    ) {
        if self.spec.python.pylock.is_some() {
            script.lines(&format!("{python} -m pip install -q 'pip>=25.1';"));
        }
        if first_of_all(inputs) && !decision.compiled.packages.is_empty() {
            script.lines(&format!(
                "{python} -m pip install -q --no-compile --no-index --no-deps {WHEELS}/*/*.whl;"
            ));
        }
        script.lines(&format!(
            "{python} -m pip install -q --no-compile {};",
            what.join(" ")
        ));
    }

    /// Finds uv, or fetches it for this one step: `$uv`.
    pub(super) fn fetch_uv(&self, python: &str, script: &mut Script) {
        let uv = &bases().uv;
        script.lines(&format!(
            r#"
export UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_NO_INSTALLER_METADATA=1 UV_HTTP_RETRIES=8;
trap 'rm -rf /tmp/uv' EXIT;
uv=$(command -v uv || echo /tmp/uv/bin/uv); kept=/root/.cache/mlbuild/uv-{uv}-$(uname -m);
# The builder's cache keeps it for other builds. One of them writes at a time, and to one name, so that
# what is left of a build that was killed is written over.
[ -x "$uv" ] || {{ mkdir -p /tmp/uv/bin; cp "$kept" "$uv"; "$uv" --version; }} >/dev/null 2>&1 || {{
  rm -rf /tmp/uv; {python} -m pip install -q --target /tmp/uv uv=={uv};
  new=/root/.cache/mlbuild/uv.new; mkdir -p /root/.cache/mlbuild && {{
    command -v flock >/dev/null && flock -n 9 && {{ install -m 0755 "$uv" "$new" && mv "$new" "$kept" || rm -f "$new"; }};
  }} 9>/root/.cache/mlbuild/uv.lock || true;
}};
"#
        ));
    }

    /// Where uv takes packages from.
    pub(super) fn uv_flags(&self, decision: &Decision, inputs: &Inputs) -> String {
        let backend = decision.torch_backend.as_ref();
        let backend = backend
            .map(|b| format!(" --torch-backend {b}"))
            .unwrap_or_default();
        // pip takes the best version of all indexes; uv by itself, those of the first.
        let strategy = if inputs.has_index {
            " --index-strategy unsafe-best-match"
        } else {
            ""
        };
        format!("{backend}{strategy}")
    }

    fn by_uv(
        &self,
        python: &str,
        what: &[String],
        decision: &Decision,
        inputs: &Inputs,
        script: &mut Script,
    ) {
        let venv = decision.environment == Some(PythonEnvironment::Venv);
        let system = if venv {
            ""
        } else {
            " --break-system-packages --compile-bytecode"
        };
        let has_wheels = !decision.compiled.packages.is_empty();
        let of_wheels = format!(
            "\"$uv\" pip install -q --python {python}{system} --no-index --no-deps {WHEELS}/*/*.whl;"
        );
        if let Some(folder) = &inputs.synced {
            let flags = |flag: &str, names: &[String]| -> String {
                names
                    .iter()
                    .map(|name| format!(" {flag} {}", script_word(name)))
                    .collect()
            };
            let extras = flags("--extra", &self.spec.python.extras);
            let groups = flags("--group", &self.spec.python.groups);
            // Members of the workspace are installed with the code.
            let itself = match inputs.local.len() {
                0 | 1 => "project",
                _ => "workspace --no-install-local",
            };
            let target = if venv {
                VENV
            } else {
                "$(python3 -c 'import sys; print(sys.prefix)')"
            };
            let wheels: Vec<String> = decision
                .compiled
                .packages
                .iter()
                .map(|p| p.name.clone())
                .collect();
            let wheels = flags("--no-install-package", &wheels);
            script.lines(&format!(
                "UV_PROJECT_ENVIRONMENT={target} \"$uv\" sync -q --frozen --inexact --no-install-{itself}{wheels} --no-default-groups{extras}{groups} --project {};",
                script_word(join_inputs(folder).as_str())
            ));
            if has_wheels {
                script.lines(&of_wheels);
            }
        } else {
            if has_wheels && first_of_all(inputs) {
                script.lines(&of_wheels);
            }
            script.lines(&format!(
                "\"$uv\" pip install -q --python {python}{system}{} {};",
                self.uv_flags(decision, inputs),
                what.join(" ")
            ));
        }
    }

    /// Bytecode that doesn't look at its source's time stamp, so that it stays valid when the
    /// image's time stamps are set, and for users who can't write it themselves. pip has none: it is a
    /// third of an environment's modules, and a container that trains never starts it.
    fn compile(&self, script: &mut Script) {
        let jobs = if self.spec.reproducible { 1 } else { 0 };
        script.lines(&format!(
            "PYTHONHASHSEED=0 {VENV}/bin/python -m compileall -qq -j{jobs} -x /site-packages/pip/ --invalidation-mode unchecked-hash {VENV}/lib || true;"
        ));
    }

    /// Hands those of the host's settings to this one step that are among `secrets`.
    pub(super) fn network_settings(
        &self,
        installer: Installer,
        secrets: &[SecretUse],
        mounts: &mut Vec<Mount>,
        script: &mut Script,
    ) {
        for &secret in secrets {
            let used = secret != SecretUse::UvConf || installer != Installer::Pip;
            if !used || !self.context.secrets.contains(&secret) {
                continue;
            }
            mounts.push(Mount::Secret {
                id: secret.id().into(),
                for_all: false,
            });
            let path = secret.path();
            let exports = match secret {
                SecretUse::Ca => {
                    let names = [
                        "SSL_CERT_FILE",
                        "PIP_CERT",
                        "REQUESTS_CA_BUNDLE",
                        "CURL_CA_BUNDLE",
                        "GIT_SSL_CAINFO",
                    ];
                    format!(
                        "for name in {}; do export \"$name={path}\"; done",
                        names.join(" ")
                    )
                }
                SecretUse::PipConf => format!("export PIP_CONFIG_FILE={path}"),
                _ => format!("export UV_CONFIG_FILE={path}"),
            };
            script.lines(&format!("if [ -f {path} ]; then {exports}; fi;"));
        }
    }
}

/// The environment with pip in it, as `python3 -m venv` makes it; after [`BUNDLED`].
pub(super) fn environment_by_uv(uv: &str) -> String {
    format!(
        r#"
python3 -m venv --without-pip {VENV};
{uv} pip install -q --python {VENV}/bin/python --no-config --no-index --no-deps --find-links "$bundled" pip 'setuptools; python_version < "3.12"';
# A distribution's pip can be in pieces, which only ensurepip puts together.
PYTHONDONTWRITEBYTECODE=1 {VENV}/bin/python -m pip --version >/dev/null 2>&1 || {{ rm -rf {VENV}; python3 -m venv {VENV}; }};
"#
    )
}

/// Whether wheels that were compiled are installed before everything else, as they are: where a lock or
/// hashes allow no other files.
fn first_of_all(inputs: &Inputs) -> bool {
    inputs.locked || inputs.hashed.is_some()
}

/// The arguments by which an installer takes the wheels that were compiled.
fn wheels(compiled: &Compiled) -> Vec<String> {
    let mut what = Vec::new();
    if compiled.packages.iter().any(|package| !package.is_address) {
        what.push(format!("--find-links {WHEELS}/found"));
    }
    let mut addresses = compiled
        .packages
        .iter()
        .filter(|package| package.is_address)
        .peekable();
    if addresses.peek().is_some() {
        what.push(format!("{WHEELS}/asked/*.whl"));
    }
    for package in addresses.filter(|package| !package.extras.is_empty()) {
        what.push(script_word(&format!(
            "{}[{}]",
            package.name,
            package.extras.join(",")
        )));
    }
    what
}

/// The builder's cache of what Python's installers fetch and build.
pub(super) fn python_cache() -> Mount {
    Mount::Cache(CacheMount {
        id: Some("mlbuild-python".into()),
        target: "/root/.cache".into(),
        sharing: Sharing::Shared,
    })
}

/// The commands of sed that delete lines: the first and the last one of each run, from 1.
pub(super) fn deletions<'a>(lines: impl IntoIterator<Item = &'a (usize, usize)>) -> String {
    let deletion = |(first, last): &(usize, usize)| {
        if first == last {
            format!("{first}d")
        } else {
            format!("{first},{last}d")
        }
    };
    let commands: Vec<String> = lines.into_iter().map(deletion).collect();
    commands.join(";")
}

fn join_inputs(folder: &str) -> String {
    join(
        INPUTS,
        folder.trim_start_matches("./").trim_end_matches('.'),
    )
    .trim_end_matches('/')
    .to_owned()
}
