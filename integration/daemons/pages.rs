//! The tutorial pages of the documentation are typed against a real Docker and registry, and print what
//! they show.

use std::os::unix::fs::PermissionsExt as _;

use crate::support::engines::Engines;
use crate::support::pages::type_page;

/// Types a page. No public registry can be reached here: a project that names no base gets that of the
/// tests, by a program that stands before mlbuild on PATH.
fn page(name: &str) {
    let engines = Engines::from_env();
    let folder = tempfile::tempdir().unwrap();
    let text = format!(
        "#!/bin/sh\n\
         case ${{1:-}} in image | lock | up) \
         [ -e mlbuild.toml ] || printf '[image]\\nbase = \"%s\"\\n' '{}' > mlbuild.toml ;; esac\n\
         exec '{}' \"$@\"\n",
        engines.python_base,
        env!("CARGO_BIN_EXE_mlbuild")
    );
    let program = folder.path().join("mlbuild");
    std::fs::write(&program, text).unwrap();
    std::fs::set_permissions(&program, std::fs::Permissions::from_mode(0o755)).unwrap();
    let docker = engines.bin.join("docker");
    std::os::unix::fs::symlink(docker, folder.path().join("docker")).unwrap();
    let replaced = [("registry.example", engines.registry.as_str())];
    type_page(name, folder.path(), &replaced, |command| {
        command.env("DOCKER_HOST", &engines.docker_containerd);
        for name in ["SSL_CERT_FILE", "PIP_INDEX_URL", "PIP_CONFIG_FILE"] {
            command.envs(std::env::var_os(name).map(|value| (name, value)));
        }
    });
}

#[test]
fn tutorial() {
    page("tutorial.md");
}

#[test]
fn worked_in_march() {
    page("worked-in-march.md");
}
