//! The locked form of the layers that install packages: from the recorded files alone, without a
//! network, leaving the same bytes whenever and wherever they run.
//!
//! The files are mounted from the named context [`INPUTS_CONTEXT`]: `apt/requested`, `apt/debs/`,
//! `python/requirements.txt`, `python/wheels/`, `python/uv/`.

use super::builder_stage::{WHEELS, WHEELS_STAGE};
use super::compiled::Compiled;
use super::python::{BUNDLED, environment_by_uv};
use super::request::{INPUTS_CONTEXT, bind};
use super::{Composer, Decision, env_name};
use crate::dockerfile::{Instruction, Mount, Purpose, Script, Word};
use crate::spec::PythonEnvironment;

/// Folders that programs fill with what depends on the moment; nothing of them belongs in a layer.
const APT_MOMENTARY: [&str; 4] = [
    "/tmp",
    "/var/cache/apt",
    "/var/cache/ldconfig",
    "/var/lib/apt/lists",
];

/// The pinned uv, from its wheel.
pub(super) const UNPACK_UV: &str = r#"
python3 -m zipfile -e /mlbuild/python/uv/*.whl /tmp/uv;
chmod 0755 /tmp/uv/*.data/scripts/uv;
"#;
pub(super) const UV: &str = "/tmp/uv/*.data/scripts/uv";

impl Composer<'_> {
    pub(super) fn locked_apt_layer(&mut self, decision: &Decision) {
        if self.apt_packages(decision).is_empty() && decision.environment.is_none() {
            return;
        }
        self.file
            .section("Packages of the distribution: those that are pinned, and no others.");
        self.locked_apt("apt");
    }

    /// Installs the packages of a folder of the inputs: `apt`, or `build` for what compiles.
    pub(super) fn locked_apt(&mut self, folder: &str) {
        let mut script = Script::strict();
        script.lines(
            r#"
if [ ! -s /mlbuild/apt/requested ]; then exit 0; fi;
: > /tmp/started;
mkdir /tmp/repo;
count=0;
# A repository of these packages alone, so that apt installs them as it would from the archive.
for deb in /mlbuild/apt/debs/*.deb; do
  if [ ! -e "$deb" ]; then break; fi;
  count=$((count + 1));
  ln -s "$deb" "/tmp/repo/$count.deb";
  dpkg-deb -f "$deb" >> /tmp/repo/Packages;
  printf 'Filename: ./%s.deb\nSize: %s\nSHA256: %s\n\n' "$count" "$(stat -c %s "$deb")" "$(sha256sum "$deb" | cut -c1-64)" >> /tmp/repo/Packages;
done;
if [ $count = 0 ]; then exit 0; fi;
echo 'deb [trusted=yes] file:/tmp/repo ./' > /tmp/repo.list;
set -- -o Dir::Etc::sourcelist=/tmp/repo.list -o Dir::Etc::sourceparts=- -o APT::Sandbox::User=root -o Acquire::Languages=none;
export DEBIAN_FRONTEND=noninteractive;
apt-get "$@" update -qq;
apt-get "$@" install -q -y --no-install-recommends $(cat /mlbuild/apt/requested);
# What is made anew on every machine: logs, machine ids, host keys.
find /var/log -type f -newer /tmp/started -delete;
for id in /etc/machine-id /var/lib/dbus/machine-id; do
  if [ -f "$id" ] && [ ! -L "$id" ] && [ "$id" -nt /tmp/started ]; then : > "$id"; fi;
done;
for folder in /etc/ssh /etc/ssl; do
  if [ -d "$folder" ]; then find "$folder" -newer /tmp/started '(' -name 'ssh_host_*' -o -name 'ssl-cert-snakeoil*' ')' -delete; fi;
done;
"#,
        );
        let mut mounts = vec![bind(INPUTS_CONTEXT, Some(folder), "/mlbuild/apt")];
        mounts.extend(APT_MOMENTARY.map(tmpfs));
        self.run_offline(mounts, script, Purpose::PinnedDistribution);
    }

    pub(super) fn locked_python_layer(&mut self, environment: PythonEnvironment) {
        let venv = environment == PythonEnvironment::Venv;
        let mut script = Script::strict();
        script.lines(
            r#"
umask 022;
export HOME=/root PYTHONHASHSEED=0 PYTHONDONTWRITEBYTECODE=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore;
export UV_OFFLINE=1 UV_NO_CONFIG=1 UV_LINK_MODE=copy UV_NO_INSTALLER_METADATA=1 UV_PYTHON_DOWNLOADS=never;
: > /tmp/started;
"#,
        );
        self.check_version(&mut script);
        script.lines(UNPACK_UV);
        let (python, flags) = if venv {
            script.lines(BUNDLED);
            script.lines(&environment_by_uv(UV));
            ("/opt/venv/bin/python", "")
        } else {
            ("python3", " --break-system-packages")
        };
        script.lines(&format!(
            r#"
if [ -s /mlbuild/python/requirements.txt ]; then
  {UV} pip install -q --python {python}{flags} --no-index --no-deps --find-links /mlbuild/python/wheels --require-hashes -r /mlbuild/python/requirements.txt;
fi;
"#
        ));
        if self.context.locked_builds {
            script.lines(&format!(
                r#"
if [ -s /mlbuild/python/sources.txt ]; then
  {UV} pip install -q --python {python}{flags} --no-index --no-deps {WHEELS}/found/*.whl;
fi;
"#
            ));
        }
        // Bytecode by one worker, in one order, that doesn't look at times; none of pip.
        let compile =
            "-m compileall -qq -j1 -x /site-packages/pip/ --invalidation-mode unchecked-hash";
        script.lines(&if venv {
            format!(
                r#"
find /opt/venv -depth -name __pycache__ -type d -exec rm -r {{}} +;
{python} {compile} /opt/venv/lib || true;
"#
            )
        } else {
            format!(
                r#"
site=$(python3 -c 'import sysconfig; print(sysconfig.get_path("purelib"))');
find "$site" -name '*.py' -newer /tmp/started | LC_ALL=C sort > /tmp/new;
{python} {compile} -i /tmp/new || true;
"#
            )
        });
        let mut mounts = locked_mounts();
        if self.context.locked_builds {
            mounts.push(Compiled::mount(WHEELS_STAGE));
        }
        let purpose = if venv && !self.context.locked_builds {
            Purpose::PinnedEnvironment
        } else {
            Purpose::Other
        };
        self.run_offline(mounts, script, purpose);
        if venv {
            let path = Word::literal("/opt/venv/bin:").then_variable(env_name("PATH"));
            self.file.push(Instruction::Env(vec![
                (env_name("VIRTUAL_ENV"), "/opt/venv".into()),
                (env_name("PATH"), path),
            ]));
        }
    }
}

/// What a step mounts that installs Python packages from the recorded files.
pub(super) fn locked_mounts() -> Vec<Mount> {
    let mut mounts = vec![bind(INPUTS_CONTEXT, Some("python"), "/mlbuild/python")];
    mounts.extend(["/tmp", "/root/.cache"].map(tmpfs));
    mounts
}

fn tmpfs(target: &str) -> Mount {
    Mount::Tmpfs {
        target: target.into(),
    }
}
