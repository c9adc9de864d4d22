//! MLflow: its real client and server with the Python package's plugin, and a server that says what it is told.

use std::io::Write as _;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};

use super::repository;
use super::wandb::{Seen, read, reply};

/// The Python that has the real clients of trackers.
pub fn python() -> PathBuf {
    let made = Command::new(repository().join("integration/python-tools")).output();
    let made = made.unwrap();
    let said = String::from_utf8_lossy(&made.stderr);
    assert!(made.status.success(), "integration/python-tools: {said}");
    let folder = String::from_utf8(made.stdout).unwrap();
    PathBuf::from(folder.trim()).join("bin/python")
}

/// A folder for `PYTHONPATH` in which MLflow finds the package and its plugin, as the wheel has them.
pub fn installed_package(folder: &Path) {
    let package = folder.join("mlbuild");
    std::os::unix::fs::symlink(repository().join("python/mlbuild"), package).unwrap();
    let project = super::read(&repository().join("pyproject.toml"));
    let project: toml::Table = project.parse().unwrap();
    let points = project["project"]["entry-points"].as_table().unwrap();
    let mut text = String::new();
    for (group, entries) in points {
        text += &format!("[{group}]\n");
        for (name, at) in entries.as_table().unwrap() {
            text += &format!("{name} = {}\n", at.as_str().unwrap());
        }
    }
    let about = folder.join("mlbuild-0.1.0.dist-info");
    std::fs::create_dir(&about).unwrap();
    std::fs::write(about.join("entry_points.txt"), text).unwrap();
    let metadata = "Metadata-Version: 2.1\nName: mlbuild\nVersion: 0.1.0\n";
    std::fs::write(about.join("METADATA"), metadata).unwrap();
}

/// A real server of MLflow's; it ends with this.
pub struct Server {
    process: Child,
    pub address: String,
    /// Its database.
    pub database: PathBuf,
}

impl Server {
    /// Starts it in a folder. Another process may take its port first; then it gets another one.
    pub fn start(folder: &Path) -> Self {
        let log = folder.join("server.log");
        loop {
            let mut server = Self::begin(folder, &log);
            let mut has_ended = false;
            super::wait::until("MLflow's server", || {
                has_ended = server.process.try_wait().unwrap().is_some();
                // Nobody asks the port before: a connection to a free one may reach itself.
                has_ended || super::read(&log).contains("Uvicorn running on")
            });
            if !has_ended {
                return server;
            }
            let said = super::read(&log);
            assert!(said.contains("address already in use"), "{said}");
        }
    }

    fn begin(folder: &Path, log: &Path) -> Self {
        let port = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = port.local_addr().unwrap().port();
        let database = folder.join("server.db");
        let log = std::fs::File::create(log).unwrap();
        let mut command = Command::new(python());
        command
            .args(["-m", "mlflow", "server", "--workers", "1"])
            .args(["--host", "127.0.0.1", "--port", &port.to_string()])
            .arg("--backend-store-uri")
            .arg(format!("sqlite:///{}", database.display()))
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap())
            .env("HOME", folder)
            // Jobs of its own would need more packages.
            .env("MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "false")
            .env("MLFLOW_DISABLE_TELEMETRY", "true")
            .current_dir(folder)
            .stdin(Stdio::null())
            .stdout(log.try_clone().unwrap())
            .stderr(log);
        // Its workers end with it.
        std::os::unix::process::CommandExt::process_group(&mut command, 0);
        Self {
            process: command.spawn().unwrap(),
            address: format!("http://127.0.0.1:{port}"),
            database,
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let group = rustix::process::Pid::from_child(&self.process);
        let _ = rustix::process::kill_process_group(group, rustix::process::Signal::KILL);
        let _ = self.process.wait();
    }
}

/// A server that answers everything in one way, and keeps what it was asked; it stands until the tests end.
pub struct Teller {
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl Teller {
    /// `status` as in `200 OK`; `headers` each with its line's end.
    pub fn start(status: &str, headers: &str, body: &[u8]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (kept, answer) = (seen.clone(), Arc::new(reply(status, headers, body)));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, answer) = (kept.clone(), answer.clone());
                std::thread::spawn(move || {
                    if let Some(request) = read(&stream) {
                        kept.lock().unwrap().push(request);
                        let _ = (&stream).write_all(&answer);
                    }
                });
            }
        });
        Self { port, seen }
    }

    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}
