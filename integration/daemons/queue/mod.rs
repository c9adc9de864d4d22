//! Queues and agents, with both stores and real Dockers.

mod arrays;
mod cluster;
mod code;
mod crash;
mod jobs;
mod killed;
mod outages;
mod podman;
mod prune;
mod store;

use std::path::Path;
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use mlbuild::queue::{GpuNeed, NewJob, Place, Source};
use postgres::{Client, NoTls};
use serde_json::Value;

use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};
use crate::support::wait::{self, HANG};

/// A database of a test's own, which goes with it.
pub struct Database {
    server: String,
    name: String,
}

impl Database {
    fn new(engines: &Engines) -> Self {
        let name = format!("q{}", ulid::Ulid::r#gen().to_string().to_lowercase());
        let mut client = Client::connect(&engines.postgres, NoTls).unwrap();
        client
            .batch_execute(&format!("CREATE DATABASE {name}"))
            .unwrap();
        Self {
            server: engines.postgres.clone(),
            name,
        }
    }

    fn url(&self) -> String {
        let (server, _) = self.server.rsplit_once('/').unwrap();
        format!("{server}/{}", self.name)
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Ok(mut client) = Client::connect(&self.server, NoTls) {
            let _ = client.batch_execute(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

/// A store, a Docker or Podman, and a project.
pub struct Setting {
    pub engines: Engines,
    pub project: Project,
    pub store: String,
    pub docker: String,
    is_podman: bool,
    _database: Option<Database>,
}

impl Setting {
    pub fn sqlite() -> Self {
        let (engines, project) = (Engines::from_env(), Project::new(&[]));
        // What these tests mount lies there.
        let policy = format!("policy:\n  mounts: [{:?}]\n", std::env::temp_dir());
        project.write("../home/.config/wandb/launch-config.yaml", &policy);
        let file = project.outside().join("state/queue.db");
        Self {
            store: file.to_string_lossy().into_owned(),
            docker: engines.docker_classic.clone(),
            is_podman: false,
            project,
            engines,
            _database: None,
        }
    }

    /// Agents start containers with Podman; no Docker answers.
    pub fn podman() -> Self {
        let mut setting = Self::sqlite();
        setting.docker = "unix:///nowhere/docker.sock".to_owned();
        setting.is_podman = true;
        setting
    }

    pub fn postgres() -> Self {
        let mut setting = Self::sqlite();
        let database = Database::new(&setting.engines);
        setting.store = database.url();
        setting._database = Some(database);
        setting
    }

    /// One of each.
    pub fn both() -> [(&'static str, Self); 2] {
        [("SQLite", Self::sqlite()), ("PostgreSQL", Self::postgres())]
    }

    pub fn place(&self) -> Place {
        Place::read(&self.store)
    }

    pub fn open(&self) -> mlbuild::queue::Store {
        mlbuild::queue::Store::open(&self.place()).unwrap()
    }

    /// `mlbuild` with arguments.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.project.command(args);
        let path = std::env::var("PATH").unwrap_or_default();
        command
            .env("PATH", format!("{}:{path}", self.programs().display()))
            .env("DOCKER_HOST", &self.docker)
            .env("MLBUILD_QUEUE_STORE", &self.store);
        if self.is_podman {
            // Podman refuses to pull where it names a folder without log-ins.
            command.env_remove("DOCKER_CONFIG");
        }
        command
    }

    fn programs(&self) -> &Path {
        if self.is_podman {
            &self.engines.podman
        } else {
            &self.engines.bin
        }
    }

    /// The flags of an agent.
    fn runtime(&self) -> &'static [&'static str] {
        if self.is_podman {
            &["--runtime-cli", "podman"]
        } else {
            &[]
        }
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.command(args))
    }

    /// An agent that ends when nothing is left to do.
    pub fn drain(&self, args: &[&str]) -> Ran {
        let words = [
            &["agent", "-q", "q", "--exit-when-idle", "--lease", "2"],
            self.runtime(),
            args,
        ]
        .concat();
        let ran = self.run(&words);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        ran
    }

    /// Launches a job of the base image; returns its id.
    pub fn launch(&self, flags: &[&str], script: &str) -> String {
        let base = self.engines.base.clone();
        let head = ["launch", "-q", "q", "--image", &base];
        let words = [&head, flags, &["--", "sh", "-c", script]].concat();
        self.run(&words).answer().to_owned()
    }

    pub fn job(&self, id: &str) -> Value {
        self.run(&["jobs", "show", id, "--format", "json"]).json()
    }

    /// Waits until a job is in a state.
    #[track_caller]
    pub fn wait_for(&self, id: &str, state: &str) -> Value {
        let until = Instant::now() + HANG;
        loop {
            let job = self.job(id);
            if job["state"] == state {
                return job;
            }
            let is_over = ["succeeded", "failed", "cancelled"]
                .iter()
                .any(|over| job["state"] == *over);
            assert!(!is_over && Instant::now() < until, "not {state}: {job:#}");
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    /// Waits until a job's container runs: the store says `running` a moment before.
    #[track_caller]
    pub fn wait_for_container(&self, id: &str) -> Value {
        let job = self.wait_for(id, "running");
        let container = job["container"].as_str().unwrap();
        wait::until(&format!("container {container} runs"), || {
            let running = self.docker(&["ps", "-q", "--no-trunc"]);
            running.lines().any(|line| line == container)
        });
        job
    }

    #[track_caller]
    pub fn docker(&self, args: &[&str]) -> String {
        if self.is_podman {
            let mut podman = Command::new(self.engines.podman.join("podman"));
            let ran = Ran::of(podman.env_remove("DOCKER_CONFIG").args(args));
            return ran.answer().to_owned();
        }
        self.engines.docker(&self.docker, args)
    }

    /// The containers of this store's jobs.
    fn containers(&self) -> Vec<String> {
        let Ok(jobs) =
            mlbuild::queue::Store::open(&self.place()).and_then(|s| s.jobs(&Default::default()))
        else {
            return Vec::new();
        };
        jobs.iter()
            .flat_map(|job| {
                let label = format!("label=mlbuild.job={}", job.id);
                let found = self.docker(&["ps", "-aq", "--no-trunc", "--filter", &label]);
                found.lines().map(str::to_owned).collect::<Vec<_>>()
            })
            .collect()
    }
}

impl Drop for Setting {
    fn drop(&mut self) {
        if std::thread::panicking() {
            return;
        }
        let containers = self.containers();
        if !containers.is_empty() {
            let words: Vec<&str> = containers.iter().map(String::as_str).collect();
            self.docker(&[&["rm", "-f"], &words[..]].concat());
        }
    }
}

/// An agent in the background, killed when it is dropped.
pub struct Agent(pub Child);

impl Agent {
    pub fn start(setting: &Setting, args: &[&str]) -> Self {
        let words = [&["agent", "-q", "q"], setting.runtime(), args].concat();
        let mut command = setting.command(&words);
        command.stdout(std::process::Stdio::null());
        if std::env::var_os("MLBUILD_TEST_AGENT_STORY").is_none() {
            command.stderr(std::process::Stdio::null());
        } else {
            command.stderr(std::process::Stdio::inherit());
        }
        Self(command.spawn().unwrap())
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// A job of an image, for tests that start nothing.
pub fn job(priority: i32, gpus: GpuNeed) -> NewJob {
    NewJob {
        queue: "q".into(),
        source: Source::Image {
            image: "img".into(),
        },
        overrides: Vec::new(),
        command: Vec::new(),
        gpus,
        retries: 0,
        priority,
    }
}
