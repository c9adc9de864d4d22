//! Packages of the distribution: one RUN with cache mounts, leaving no lists and no logs behind.

use super::{Composer, SecretUse};
use crate::dockerfile::{CacheMount, Instruction, Mount, Network, Run, Script, Sharing};

/// What OpenCV's windows (Qt's xcb plugin) load at run time. Debian 13 and Ubuntu 24.04 name the
/// second `libglib2.0-0t64`, which provides the old name, so that apt takes it under either.
const GUI_PACKAGES: [&str; 3] = ["libgl1", "libglib2.0-0", "libsm6"];

impl Composer<'_> {
    /// All packages that apt is asked for, sorted.
    fn apt_packages(&self) -> Vec<String> {
        let mut packages: Vec<String> = self.spec.apt.iter().map(ToString::to_string).collect();
        if self.spec.gui {
            packages.extend(GUI_PACKAGES.map(str::to_owned));
        }
        if self.spec.user.as_ref().is_some_and(|user| user.sudo) {
            packages.push("sudo".into());
        }
        packages.sort();
        packages.dedup();
        packages
    }

    pub(super) fn apt_layer(&mut self, wants_python: bool) {
        let packages = self.apt_packages();
        if packages.is_empty() && !wants_python {
            return;
        }
        let mut script = Script::strict();
        script.lines(&format!("packages=\"{}\";", packages.join(" ")));
        if wants_python {
            script.lines(
                r#"
# Python comes with the base or, where it has none, from its distribution.
python3 -c 'import ensurepip, venv' 2>/dev/null || packages="$packages python3 python3-venv";
if [ -z "$packages" ]; then exit 0; fi;
"#,
            );
        }
        script.lines(
            r#"
if ! command -v apt-get >/dev/null; then echo "mlbuild: this base has no apt-get to install $packages: choose a Debian or Ubuntu base" >&2; exit 1; fi;
rm -f /etc/apt/apt.conf.d/docker-clean;
export DEBIAN_FRONTEND=noninteractive;
set --;
"#,
        );
        let mut mounts: Vec<Mount> = ["/var/cache/apt", "/var/lib/apt/lists"]
            .map(|target| {
                Mount::Cache(CacheMount {
                    id: None,
                    target: target.into(),
                    sharing: Sharing::Locked,
                })
            })
            .into();
        for secret in [SecretUse::Ca, SecretUse::AptConf, SecretUse::AptSources] {
            if !self.context.secrets.contains(&secret) {
                continue;
            }
            mounts.push(Mount::Secret {
                id: secret.id().into(),
            });
            let path = secret.path();
            let option = match secret {
                SecretUse::Ca => format!("set -- \"$@\" -o Acquire::https::CAInfo={path}"),
                SecretUse::AptConf => format!("export APT_CONFIG={path}"),
                _ => format!(
                    "set -- \"$@\" -o Dir::Etc::sourcelist={path} -o Dir::Etc::sourceparts=-"
                ),
            };
            script.lines(&format!("if [ -f {path} ]; then {option}; fi;"));
        }
        script.lines(
            r#"
apt-get "$@" update -q;
apt-get "$@" install -q -y --no-install-recommends $packages;
rm -rf /var/log/apt /var/log/dpkg.log /var/log/alternatives.log /var/cache/ldconfig/aux-cache;
"#,
        );
        self.file.section("Packages of the distribution.");
        self.file.push(Instruction::Run(Run {
            mounts,
            network: Network::Default,
            script: script.finish(),
        }));
    }
}
