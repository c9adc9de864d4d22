//! The display of a container in the background: what was set up for it is undone when it has ended.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;

use super::setup::SetUp;

/// How long a container that restarts may take to be there again.
const RESTART_PAUSE: Duration = Duration::from_secs(2);

/// What was set up for a container that runs in the background. It is undone when this is dropped.
pub struct KeptDisplay<'r> {
    pub(super) program: PathBuf,
    pub(super) id_file: PathBuf,
    pub(super) _set_up: SetUp<'r>,
}

impl KeptDisplay<'_> {
    /// Waits until the container has ended, and undoes what was set up for it.
    pub async fn wait(self) {
        let Ok(id) = std::fs::read_to_string(&self.id_file) else {
            return;
        };
        let id = id.trim();
        // One that restarts by itself needs its cookie again.
        while let Some("running" | "restarting" | "created" | "paused") = self
            .ask(&["inspect", "--format", "{{.State.Status}}", id])
            .await
            .as_deref()
        {
            if self.ask(&["wait", id]).await.is_none() {
                return;
            }
            tokio::time::sleep(RESTART_PAUSE).await;
        }
    }

    async fn ask(&self, words: &[&str]) -> Option<String> {
        let output = Command::new(&self.program)
            .args(words)
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .output()
            .await;
        let output = output.ok().filter(|output| output.status.success())?;
        Some(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }
}
