//! A buildkitd that belongs to one test.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::engines::Engines;
use super::mounts::unmount_below;
use super::wait;

/// A running buildkitd with a root of its own; both end with the value.
pub struct OwnBuildkitd {
    pub folder: TempDir,
    pub child: Child,
}

impl OwnBuildkitd {
    pub fn start(engines: &Engines) -> Self {
        let buildkitd = Command::new(engines.bin.join("buildkitd"));
        Self::start_as(engines, buildkitd, &engines.bin.join("runc"))
    }

    /// Starts it by a command that takes buildkitd's arguments and becomes it, with this runc.
    pub fn start_as(engines: &Engines, mut buildkitd: Command, runc: &Path) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let path = std::env::var("PATH").unwrap();
        let config = format!("[registry.\"{}\"]\n  http = true\n", engines.registry);
        std::fs::write(folder.path().join("buildkitd.toml"), config).unwrap();
        let child = buildkitd
            .env("PATH", format!("{}:{path}", engines.bin.display()))
            .arg("--config")
            .arg(folder.path().join("buildkitd.toml"))
            .arg("--root")
            .arg(folder.path().join("data"))
            .arg("--addr")
            .arg(format!("unix://{}", folder.path().join("sock").display()))
            .arg("--otel-socket-path")
            .arg(folder.path().join("otel"))
            .args(["--oci-worker-net=host", "--containerd-worker=false"])
            .arg(format!("--oci-worker-binary={}", runc.display()))
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut own = Self { folder, child };
        wait::until("buildkitd starts", || {
            let ended = own.child.try_wait().unwrap();
            let said = || std::fs::read_to_string(own.folder.path().join("log")).unwrap();
            assert!(ended.is_none(), "buildkitd ended: {}", said());
            std::os::unix::net::UnixStream::connect(own.folder.path().join("sock")).is_ok()
        });
        own
    }

    /// Where it listens.
    pub fn address(&self) -> String {
        format!("unix://{}", self.folder.path().join("sock").display())
    }

    /// The flags that name it.
    pub fn flags(&self) -> Vec<String> {
        vec!["--builder".into(), self.address()]
    }
}

impl Drop for OwnBuildkitd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        // What it had mounted goes before its folder.
        unmount_below(self.folder.path());
    }
}
