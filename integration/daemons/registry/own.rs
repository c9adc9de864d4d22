//! Private registries: the real program, on a port of its own, to kill and to fill up.

use std::fs;
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

use crate::support::engines::Engines;
use crate::support::wait;

/// A registry that belongs to one test.
pub struct Own {
    /// `127.0.0.1:PORT`.
    pub host: String,
    folder: TempDir,
    arguments: Vec<String>,
    child: Option<Child>,
}

impl Own {
    /// Distribution 2.8, which asks for nothing and speaks plain http.
    pub fn start() -> Self {
        Self::start_with("", |_| {})
    }

    /// Distribution with more lines under `http:`, in a folder that is prepared first.
    pub fn start_with(http: &str, prepare: impl FnOnce(&Path)) -> Self {
        let (folder, host) = place();
        prepare(folder.path());
        let root = folder.path().display();
        let config = format!(
            "version: 0.1\nlog: {{ level: error, accesslog: {{ disabled: true }} }}\n\
             storage: {{ filesystem: {{ rootdirectory: {root}/data }} }}\n\
             http:\n  addr: {host}\n{http}"
        );
        let config = config.replace("FOLDER", &root.to_string());
        fs::write(folder.path().join("config.yml"), config).unwrap();
        let arguments = ["docker-registry", "serve", &format!("{root}/config.yml")];
        Self::run_first(folder, host.clone(), &arguments)
    }

    /// A registry of the newest specification: referrers, and uploads that resume anywhere.
    pub fn newest() -> Self {
        let (folder, host) = place();
        let (address, port) = host.split_once(':').unwrap();
        let root = folder.path().display().to_string();
        let arguments = [
            "olareg", "serve", "--addr", address, "--port", port, "--dir", &root,
        ];
        Self::run_first(folder, host.clone(), &arguments)
    }

    fn run_first(folder: TempDir, host: String, arguments: &[&str]) -> Self {
        let arguments = arguments.iter().map(|a| (*a).to_owned()).collect();
        let mut own = Self {
            host,
            folder,
            arguments,
            child: None,
        };
        own.run();
        own
    }

    /// Starts it (again) on the same port with the same data.
    pub fn run(&mut self) {
        let program = Engines::from_env().bin.join(&self.arguments[0]);
        let log = fs::File::create(self.folder.path().join("log")).unwrap();
        let child = Command::new(&program)
            .args(&self.arguments[1..])
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .unwrap_or_else(|e| panic!("{}: {e}", program.display()));
        self.child = Some(child);
        let log = self.folder.path().join("log");
        wait::until(&format!("the registry starts: {}", log.display()), || {
            TcpStream::connect(&self.host).is_ok()
        });
    }

    /// Ends it the hard way.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    pub fn log(&self) -> String {
        fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }
}

/// A folder, and an address nobody listens on.
fn place() -> (TempDir, String) {
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    (tempfile::tempdir().unwrap(), format!("127.0.0.1:{port}"))
}

impl Drop for Own {
    fn drop(&mut self) {
        self.kill();
    }
}
