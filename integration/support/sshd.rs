//! A real sshd on loopback.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use super::engines::Engines;
use super::wait;

/// An sshd that lets one key in, and an `ssh` on a PATH that knows where it is.
pub struct Sshd {
    child: Child,
    /// Keys and configurations; `bin` is for the PATH.
    pub dir: TempDir,
    pub port: u16,
}

impl Sshd {
    /// Starts it, with more lines of configuration. The log-in has the engines' programs on its PATH
    /// and this Docker.
    pub fn start(engines: &Engines, docker: &str, more: &str) -> Self {
        let dir = tempfile::tempdir().unwrap();
        let at = |name: &str| dir.path().join(name);
        for key in ["host", "user"] {
            let made = Command::new("ssh-keygen")
                .args(["-q", "-t", "ed25519", "-N", "", "-f"])
                .arg(at(key))
                .status();
            assert!(made.expect("ssh-keygen runs").success());
        }
        std::fs::copy(at("user.pub"), at("authorized_keys")).unwrap();
        // Free now, and nobody else's soon.
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let show = |path: PathBuf| path.display().to_string();
        let config = format!(
            "ListenAddress 127.0.0.1\nPort {port}\nHostKey {}\nAuthorizedKeysFile {}\n\
             PidFile none\nUsePAM no\nStrictModes no\nPasswordAuthentication no\n\
             PermitRootLogin prohibit-password\n\
             SetEnv PATH={}:{} DOCKER_HOST={docker}\n{more}",
            show(at("host")),
            show(at("authorized_keys")),
            engines.bin.display(),
            std::env::var("PATH").unwrap(),
        );
        std::fs::write(at("sshd_config"), config).unwrap();
        let client = format!(
            "IdentityFile {}\nIdentitiesOnly yes\nUserKnownHostsFile {}\n\
             StrictHostKeyChecking accept-new\nLogLevel ERROR\n",
            show(at("user")),
            show(at("known_hosts")),
        );
        std::fs::write(at("ssh_config"), client).unwrap();
        let ssh = format!(
            "#!/bin/sh\nexec /usr/bin/ssh -F {} \"$@\"\n",
            show(at("ssh_config"))
        );
        std::fs::create_dir(at("bin")).unwrap();
        std::fs::write(at("bin/ssh"), ssh).unwrap();
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(at("bin/ssh"), executable).unwrap();

        // sshd wants it, and a machine without one doesn't have it.
        std::fs::create_dir_all("/run/sshd").unwrap();
        let child = Command::new(program(engines))
            .args(["-D", "-e", "-f"])
            .arg(at("sshd_config"))
            .stderr(Stdio::null())
            .spawn()
            .expect("sshd runs");
        wait::until("sshd starts", || {
            std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
        });
        Self { child, dir, port }
    }
}

impl Drop for Sshd {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn program(engines: &Engines) -> PathBuf {
    let places = [engines.bin.join("sshd"), "/usr/sbin/sshd".into()];
    let found = places.into_iter().find(|p| p.is_file());
    found.expect("no sshd: run integration/engines/up again, which fetches one")
}
