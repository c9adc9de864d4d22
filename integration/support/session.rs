//! What a desktop's session has beside X11: a real Wayland compositor and a real sound server, of any
//! user.

use std::os::unix::process::CommandExt as _;
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::support::wait;

/// Weston without a screen, and PulseAudio without a sound card; they end with the value.
pub struct Session {
    servers: Vec<Child>,
}

impl Session {
    pub const WAYLAND: &str = "wayland-7";

    /// Starts both, as a user who owns this folder.
    pub fn start(folder: &Path, uid: u32) -> Self {
        let start = |program: &str, arguments: &[&str]| {
            Command::new(program)
                .args(arguments)
                .env_clear()
                .env("PATH", std::env::var_os("PATH").unwrap_or_default())
                .env("HOME", folder)
                .env("XDG_RUNTIME_DIR", folder)
                .uid(uid)
                .gid(uid)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .unwrap_or_else(|e| panic!("{program}: {e}: integration/engines/up installs it"))
        };
        let socket = format!("--socket={}", Self::WAYLAND);
        let weston = ["--backend=headless-backend.so", "--idle-time=0", &socket];
        let pulse = folder.join("pulse/native");
        let protocol = format!(
            "--load=module-native-protocol-unix socket={}",
            pulse.display()
        );
        let pulseaudio = [
            "-n",
            "--daemonize=no",
            "--use-pid-file=no",
            "--exit-idle-time=-1",
            "--disable-shm",
            "--load=module-null-sink",
            &protocol,
        ];
        let servers = vec![start("weston", &weston), start("pulseaudio", &pulseaudio)];
        wait::until("weston and pulseaudio start", || {
            folder.join(Self::WAYLAND).exists() && pulse.exists()
        });
        Self { servers }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        for server in &mut self.servers {
            let _ = server.kill();
            let _ = server.wait();
        }
    }
}
