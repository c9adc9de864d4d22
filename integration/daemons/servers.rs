//! Small servers that some tests need beside the engines; each ends with its value.

use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use crate::support::wait;
use tempfile::TempDir;

/// A process that is killed with its value, and holds nothing of the tests' own output open.
struct Server(Child);

impl Server {
    fn start(command: &mut Command, is_up: impl Fn() -> bool) -> Self {
        let child = command
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("{command:?}: {error}"));
        let server = Self(child);
        wait::until(&format!("{command:?} starts"), is_up);
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Serves the git repositories below a folder as `git://127.0.0.1:PORT/NAME`.
pub struct GitDaemon {
    _server: Server,
    address: String,
}

impl GitDaemon {
    pub fn start(base: &Path) -> Self {
        // `git daemon` only starts this program, and outlived by it leaves it running.
        let folder = Command::new("git").arg("--exec-path").output().unwrap();
        let folder = PathBuf::from(String::from_utf8(folder.stdout).unwrap().trim_end());
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        drop(listener);
        let server = Server::start(
            Command::new(folder.join("git-daemon"))
                .args(["--export-all", "--reuseaddr", "--listen=127.0.0.1"])
                .arg(format!("--port={port}"))
                .arg(format!("--base-path={}", base.display())),
            || TcpStream::connect(("127.0.0.1", port)).is_ok(),
        );
        Self {
            _server: server,
            address: format!("127.0.0.1:{port}"),
        }
    }

    /// `git://…` of a repository, by its path below the folder.
    pub fn url(&self, path: &str) -> String {
        format!("git://{}/{path}", self.address)
    }
}

/// Serves a folder by http, as mirrors of package archives do.
pub struct WebServer {
    _server: Server,
    /// `127.0.0.1:PORT`.
    pub host: String,
}

impl WebServer {
    pub fn start(folder: &Path) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let host = listener.local_addr().unwrap().to_string();
        drop(listener);
        let port = host.rsplit(':').next().unwrap();
        let server = Server::start(
            Command::new("python3")
                .args([
                    "-m",
                    "http.server",
                    port,
                    "--bind",
                    "127.0.0.1",
                    "--directory",
                ])
                .arg(folder),
            || TcpStream::connect(&host).is_ok(),
        );
        Self {
            _server: server,
            host,
        }
    }
}

/// A real ssh-agent with one new key.
pub struct SshAgent {
    _server: Server,
    folder: TempDir,
    /// `SHA256:…` of the key.
    pub fingerprint: String,
}

impl SshAgent {
    /// The comment of its key.
    pub const COMMENT: &str = "key-of-the-test";

    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (socket, key) = (folder.path().join("agent.sock"), folder.path().join("key"));
        let server = Server::start(
            Command::new("ssh-agent").args(["-D", "-a"]).arg(&socket),
            || socket.exists(),
        );
        let run = |program: &str, arguments: &[&str]| {
            let output = Command::new(program)
                .args(arguments)
                .arg(&key)
                .env("SSH_AUTH_SOCK", &socket)
                .output()
                .unwrap();
            assert!(output.status.success(), "{program}: {output:?}");
            String::from_utf8(output.stdout).unwrap()
        };
        let new = ["-q", "-t", "ed25519", "-N", "", "-C", Self::COMMENT, "-f"];
        run("ssh-keygen", &new);
        run("ssh-add", &["-q"]);
        let shown = run("ssh-keygen", &["-l", "-f"]);
        let fingerprint = shown.split(' ').nth(1).unwrap().to_owned();
        Self {
            _server: server,
            folder,
            fingerprint,
        }
    }

    pub fn socket(&self) -> PathBuf {
        self.folder.path().join("agent.sock")
    }

    /// The private key's file.
    pub fn key(&self) -> PathBuf {
        self.folder.path().join("key")
    }
}
