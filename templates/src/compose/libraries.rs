//! Shared libraries of the distribution that the installed packages look for: read from the packages
//! themselves, so that nobody has to know which of them needs what.

use super::inputs::Inputs;
use super::{Composer, Decision};
use crate::dockerfile::{Purpose, Script};
use crate::spec::PythonEnvironment;

/// Functions that find them: the same where packages are pinned.
pub(super) const FUNCTIONS: &str = include_str!("../../data/resolve/libraries.sh");

/// The fonts of `fonts-dejavu-core`, where Qt without fontconfig is led to.
pub(super) const FONTS: &str = "/usr/share/fonts/truetype/dejavu";

impl Composer<'_> {
    /// OpenCV looks for Qt's fonts in its own folder, whatever the environment says, and its wheels from
    /// 5 on have none there: a link leads to the distribution's.
    pub(super) fn fonts_layer(&mut self, decision: &Decision, inputs: &Inputs) {
        let Some(environment) = decision.environment.filter(|_| self.spec.gui) else {
            return;
        };
        if !self.installs(decision, inputs) {
            return;
        }
        let mut script = Script::strict();
        script.lines(&format!(
            r#"
qt=$({} -c 'import sysconfig; print(sysconfig.get_path("platlib"))')/cv2/qt;
if [ -d "$qt" ] && [ ! -e "$qt/fonts" ]; then ln -s {FONTS} "$qt/fonts"; fi;
"#,
            python_of(environment)
        ));
        self.file
            .section("Fonts for the windows of OpenCV, which looks for them in its own folder.");
        self.run_alone(script, Purpose::Other);
    }

    /// A step after the installation. Where packages are pinned, these libraries are among the pins.
    pub(super) fn libraries_layer(&mut self, decision: &Decision) {
        let Some(environment) = decision.environment.filter(|_| !self.context.locked) else {
            return;
        };
        let python = python_of(environment);
        let mut script = Script::strict();
        script.lines(&functions());
        script.lines(&format!(
            r#"
site=$({python} -c 'import sysconfig; print(sysconfig.get_path("platlib"))');
libraries=$(lacking "$site");
if [ -z "$libraries" ]; then exit 0; fi;
if ! command -v apt-get >/dev/null; then
  echo "mlbuild: packages look for" $libraries"; this base has no apt-get to install them" >&2; exit 0;
fi;
export DEBIAN_FRONTEND=noninteractive;
rm -f /etc/apt/apt.conf.d/docker-clean;
"#
        ));
        let (mounts, options) = self.apt_mounts(&mut script);
        script.lines(&format!(
            r#"
update_lists{options};
packages=$(packages_of "$libraries"{options});
packages=$(echo "$packages" | LC_ALL=C sort -u);
rm -f /tmp/mlbuild-update;
if [ -z "$packages" ]; then exit 0; fi;
echo "mlbuild: installing" $packages "for" $libraries;
apt-get{options} install -q -y --no-install-recommends $packages;
rm -f /var/log/apt/* /var/log/dpkg.log /var/log/alternatives.log /var/cache/ldconfig/aux-cache;
"#
        ));
        self.file
            .section("Libraries of the distribution that these packages look for.");
        self.run(mounts, script, Purpose::Other);
    }
}

fn python_of(environment: PythonEnvironment) -> &'static str {
    match environment {
        PythonEnvironment::Venv => "/opt/venv/bin/python",
        PythonEnvironment::Base => "python3",
    }
}

/// The functions without what is said of the file as a whole.
fn functions() -> String {
    FUNCTIONS
        .split_once("\n\n")
        .map_or(FUNCTIONS, |(_, functions)| functions)
        .to_owned()
}

#[cfg(test)]
mod tests {
    use std::fs::Permissions;
    use std::os::unix::fs::PermissionsExt as _;
    use std::process::Command;

    use super::*;

    /// What wheels of OpenCV, Qt, Open3D, numba and torchcodec look for, and Debian's package of each.
    const KNOWN: [(&str, &str); 14] = [
        ("libGL.so.1", "libgl1"),
        ("libglib-2.0.so.0", "libglib2.0-0"),
        ("libgthread-2.0.so.0", "libglib2.0-0"),
        ("libSM.so.6", "libsm6"),
        ("libX11.so.6", "libx11-6"),
        ("libX11-xcb.so.1", "libx11-xcb1"),
        ("libxcb-render-util.so.0", "libxcb-render-util0"),
        ("libxkbcommon-x11.so.0", "libxkbcommon-x11-0"),
        ("libdbus-1.so.3", "libdbus-1-3"),
        ("libusb-1.0.so.0", "libusb-1.0-0"),
        ("libtbb.so.12", "libtbb12"),
        ("libavcodec.so.59", "libavcodec59"),
        ("libgssapi_krb5.so.2", "libgssapi-krb5-2"),
        ("libbrotlidec.so.1", "libbrotli1"),
    ];

    #[test]
    fn a_library_leads_to_its_package() {
        // On one line, as a Dockerfile has it.
        let functions = functions();
        let lines = functions.lines();
        let lines: Vec<&str> = lines
            .filter(|line| !line.trim_start().starts_with('#'))
            .collect();
        let names = KNOWN.map(|(library, _)| library).join(" ");
        let script = format!(
            "{} for name in {names} libtorch.so; do package_of $name; done",
            lines.join(" ")
        );
        let output = Command::new("sh").args(["-euc", &script]).output().unwrap();
        let found = String::from_utf8(output.stdout).unwrap();
        let wanted: Vec<&str> = KNOWN.map(|(_, package)| package).into();
        assert_eq!(found.lines().collect::<Vec<_>>(), wanted);
    }

    #[test]
    fn what_an_unreachable_archive_may_have_is_no_package_less() {
        let folder = tempfile::tempdir().unwrap();
        let functions = functions().replace("/tmp/mlbuild-update", "update");
        for (warning, is_refused) in [
            (
                "W: Failed to fetch http://deb.example/InRelease  Temporary failure",
                true,
            ),
            ("Reading package lists...", false),
        ] {
            for (name, script) in [
                ("apt-get", format!("echo '{warning}'")),
                (
                    "apt-cache",
                    "[ \"$3\" != libz1 ] || echo 'Package: libz1'".into(),
                ),
            ] {
                let path = folder.path().join(name);
                std::fs::write(&path, format!("#!/bin/sh\n{script}\n")).unwrap();
                std::fs::set_permissions(&path, Permissions::from_mode(0o755)).unwrap();
            }
            let script = format!(
                "PATH=.:$PATH\n{functions}\nupdate_lists; found=$(packages_of 'libz.so.1 libGL.so.1'); echo \"$found\""
            );
            let mut shell = Command::new("sh");
            let shell = shell.current_dir(&folder).args(["-euc", &script]);
            let output = shell.output().unwrap();
            let said = String::from_utf8(output.stderr).unwrap();
            assert_eq!(output.status.success(), !is_refused, "{said}");
            assert!(said.contains("libGL.so.1"), "{said}");
            let found = String::from_utf8(output.stdout).unwrap();
            assert_eq!(found, if is_refused { "" } else { "libz1\n" });
        }
    }
}
