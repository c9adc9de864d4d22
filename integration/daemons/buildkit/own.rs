//! A buildkitd of a test's own.

use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use mlbuild_buildkit::{Client, ConnectOptions};
use tempfile::TempDir;

use super::endpoint;
use crate::support::engines::Engines;
use crate::support::wait::HANG;

/// A running buildkitd; ends with the value.
pub(super) struct Buildkitd {
    child: Child,
    _dir: TempDir,
}

impl Buildkitd {
    pub(super) async fn start(engines: &Engines) -> (Self, Client) {
        let dir = tempfile::tempdir().unwrap();
        let socket = format!("unix://{}", dir.path().join("b.sock").display());
        let child = Command::new(engines.bin.join("buildkitd"))
            .arg("--root")
            .arg(dir.path().join("root"))
            .args(["--addr", &socket, "--oci-worker-net=host"])
            .args([
                "--oci-worker-snapshotter=native",
                "--containerd-worker=false",
            ])
            .arg(format!(
                "--oci-worker-binary={}",
                engines.bin.join("runc").display()
            ))
            .current_dir(dir.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("buildkitd runs");
        let started = Self { child, _dir: dir };
        let since = Instant::now();
        loop {
            match Client::connect(&endpoint(&socket), &ConnectOptions::default()).await {
                Ok(client) => return (started, client),
                Err(e) => assert!(since.elapsed() < HANG, "{e}"),
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Buildkitd {
    /// At once, as a crash would.
    pub(super) fn kill(&mut self) {
        self.child.kill().unwrap();
    }
}

impl Drop for Buildkitd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
