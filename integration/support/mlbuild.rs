//! Runs the program as a user would: in a project folder, with a home of its
//! own, and with nothing of the developer's environment.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use regex::Regex;
use tempfile::TempDir;

/// A project folder with a home beside it; both go when it is dropped.
pub struct Project {
    folder: TempDir,
}

impl Project {
    /// A project with these files.
    pub fn new(files: &[(&str, &str)]) -> Self {
        super::times::start();
        let folder = tempfile::tempdir().unwrap();
        for name in ["project", "home", "state"] {
            std::fs::create_dir(folder.path().join(name)).unwrap();
        }
        let project = Self { folder };
        for (name, text) in files {
            project.write(name, text);
        }
        project
    }

    /// The project's folder, or a path in it.
    pub fn path(&self, name: &str) -> PathBuf {
        match name {
            "" => self.folder.path().join("project"),
            name => self.folder.path().join("project").join(name),
        }
    }

    /// The user's home.
    pub fn home(&self) -> PathBuf {
        self.folder.path().join("home")
    }

    /// A folder for what belongs to the test and not to the project.
    pub fn outside(&self) -> &Path {
        self.folder.path()
    }

    pub fn write(&self, name: &str, text: &str) {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        crate::support::read(&self.path(name))
    }

    pub fn lock(&self) -> mlbuild_manifests::LockFile {
        mlbuild_manifests::LockFile::load(&self.path("mlbuild.lock")).unwrap()
    }

    /// The names of the run records.
    pub fn runs(&self) -> Vec<String> {
        names(&self.path("mlbuild.runs"))
    }

    /// Everything in the project's folder, hidden files included.
    pub fn names(&self) -> Vec<String> {
        names(&self.path(""))
    }

    /// `mlbuild` with arguments, in the project, not yet started.
    pub fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_mlbuild"));
        command
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.home())
            .env("DOCKER_CONFIG", self.home().join(".docker"))
            .env("MLBUILD_STATE_DIR", self.outside().join("state"))
            .current_dir(self.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// A script of bash in the project, with what `mlbuild` has there; programs of `first` come before others.
    pub fn bash(&self, script: &str, first: &Path) -> Command {
        let known = self.command([""; 0]);
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new("bash");
        command
            .args(["-c", script])
            .current_dir(self.path(""))
            .env_clear()
            .envs(
                known
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .env("PATH", format!("{}:{path}", first.display()))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    /// Runs `mlbuild` with arguments.
    pub fn run<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        Ran::of(&mut self.command(args))
    }

    /// A text with what differs from run to run replaced: folders, digests,
    /// times and the ports of this machine.
    pub fn filtered(&self, text: &str) -> String {
        let folder = self.folder.path().to_string_lossy().into_owned();
        let mut text = text.replace(&folder, "");
        for (pattern, with) in [
            (r"sha256:[0-9a-f]{64}", "sha256:[DIGEST]"),
            (r"127\.0\.0\.1:\d+", "[REGISTRY]"),
            (r"/run/mlbuild-[0-9a-f]+/", "[RUN]/"),
            (r"\b\d+(\.\d+)? ?(ms|s)\b", "[TIME]"),
        ] {
            let pattern = Regex::new(pattern).unwrap();
            text = pattern.replace_all(&text, with).into_owned();
        }
        text
    }
}

fn names(folder: &Path) -> Vec<String> {
    let Ok(entries) = std::fs::read_dir(folder) else {
        return Vec::new();
    };
    let mut names: Vec<_> = entries
        .map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

/// How a command went.
#[derive(Debug)]
pub struct Ran {
    /// Exit code; `None` where a signal ended it.
    pub code: Option<i32>,
    pub stdout: String,
    pub stderr: String,
}

/// A command of a project as uid 65534, by a copy of the program that this user may read: `program`.
pub fn as_nobody(command: &Command, program: &Path, project: &Project) -> Command {
    let mut as_nobody = Command::new("setpriv");
    let variables = command.get_envs();
    as_nobody
        .args(["--reuid=65534", "--regid=65534", "--clear-groups"])
        .arg(program)
        .args(command.get_args())
        .env_clear()
        .envs(variables.filter_map(|(name, value)| Some((name, value?))))
        .current_dir(project.path(""));
    as_nobody
}

impl Ran {
    /// Runs a command to its end.
    pub fn of(command: &mut Command) -> Self {
        command.output().unwrap().into()
    }

    /// The answer of a command that must succeed, without its line end.
    #[track_caller]
    pub fn answer(&self) -> &str {
        assert_eq!(self.code, Some(0), "{}\n{}", self.stderr, self.stdout);
        self.stdout.trim_end_matches('\n')
    }

    /// The answer of `--format json`.
    #[track_caller]
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(self.answer()).unwrap()
    }

    /// The whole stderr of a command that must fail with this code and say
    /// nothing on stdout.
    #[track_caller]
    pub fn refusal(&self, code: i32) -> &str {
        assert_eq!(self.code, Some(code), "{}\n{}", self.stderr, self.stdout);
        assert_eq!(self.stdout, "");
        &self.stderr
    }
}

impl From<Output> for Ran {
    fn from(output: Output) -> Self {
        Ran {
            code: output.status.code(),
            stdout: String::from_utf8(output.stdout).unwrap(),
            stderr: String::from_utf8(output.stderr).unwrap(),
        }
    }
}
