//! Packages of the distribution: one RUN with cache mounts, leaving no lists and no logs behind.

use super::{Composer, Decision, SecretUse, env_name};
use crate::dockerfile::{CacheMount, Instruction, Mount, Purpose, Script, Sharing};
use crate::spec::PythonEnvironment;

impl Composer<'_> {
    /// What is asked for, sorted.
    pub(super) fn apt_packages(&self, decision: &Decision) -> Vec<String> {
        decision.apt.iter().cloned().collect()
    }

    pub(super) fn apt_layer(&mut self, decision: &Decision) {
        if self.context.locked {
            return self.locked_apt_layer(decision);
        }
        let packages = self.apt_packages(decision);
        // What must be there for Python, and what brings it.
        let python = decision.environment.map(|environment| match environment {
            PythonEnvironment::Venv => ("-c 'import ensurepip, venv'", "python3 python3-venv"),
            PythonEnvironment::Base => ("-m pip --version", "python3 python3-pip"),
        });
        if packages.is_empty() && python.is_none() {
            return;
        }
        let mut script = Script::strict();
        script.lines("packages=\"$APT_PACKAGES\";");
        if let Some((test, package)) = python {
            script.lines(&format!(
                r#"
# Python comes with the base or, where it has none, from its distribution.
python3 {test} >/dev/null 2>&1 || packages="$packages {package}";
if [ -z "$packages" ]; then exit 0; fi;
"#
            ));
        }
        script.lines(
            r#"
if ! command -v apt-get >/dev/null; then
  echo "mlbuild: this base has no apt-get to install $packages: choose a Debian or Ubuntu base" >&2; exit 1;
fi;
rm -f /etc/apt/apt.conf.d/docker-clean;
export DEBIAN_FRONTEND=noninteractive;
"#,
        );
        let (mounts, options) = self.apt_mounts(&mut script);
        script.lines(&format!(
            r#"
apt-get{options} update -q;
apt-get{options} install -q -y --no-install-recommends $packages;
rm -f /var/log/apt/* /var/log/dpkg.log /var/log/alternatives.log /var/cache/ldconfig/aux-cache;
"#
        ));
        self.file.section("Packages of the distribution.");
        self.file.push(Instruction::Arg {
            name: env_name("APT_PACKAGES"),
            default: Some(packages.join(" ").into()),
        });
        self.run(mounts, script, Purpose::Other);
    }

    /// What a step that runs apt mounts, and what apt's options become.
    pub(super) fn apt_mounts(&self, script: &mut Script) -> (Vec<Mount>, &'static str) {
        let mut mounts: Vec<Mount> = ["/var/cache/apt", "/var/lib/apt/lists"].map(cache).into();
        let options = self.apt_options(&mut mounts, script);
        (mounts, options)
    }

    /// Hands the host's settings for apt to this one step; gives what apt-get's options become.
    fn apt_options(&self, mounts: &mut Vec<Mount>, script: &mut Script) -> &'static str {
        let mut options = "";
        for secret in [SecretUse::Ca, SecretUse::AptConf, SecretUse::AptSources] {
            if !self.context.secrets.contains(&secret) {
                continue;
            }
            mounts.push(Mount::Secret {
                id: secret.id().into(),
                for_all: false,
            });
            let path = secret.path();
            let option = match secret {
                SecretUse::AptConf => format!("export APT_CONFIG={path}"),
                SecretUse::Ca => format!("set -- \"$@\" -o Acquire::https::CAInfo={path}"),
                _ => format!(
                    "set -- \"$@\" -o Dir::Etc::sourcelist={path} -o Dir::Etc::sourceparts=-"
                ),
            };
            if secret != SecretUse::AptConf {
                options = " \"$@\"";
            }
            script.lines(&format!("if [ -f {path} ]; then {option}; fi;"));
        }
        options
    }
}

/// A folder of apt's that the builder keeps.
pub(super) fn cache(target: &str) -> Mount {
    Mount::Cache(CacheMount {
        id: None,
        target: target.into(),
        sharing: Sharing::Locked,
    })
}
