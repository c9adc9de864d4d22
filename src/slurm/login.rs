//! Where commands of Slurm run: here, or on a login node through the user's own ssh.

use std::ffi::OsString;
use std::process::{Output, Stdio};

use mlbuild_waits::program::ProgramWait;
use tempfile::TempDir;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWriteExt as _};
use tokio::process::Command;

use super::error::SlurmError;
use crate::shell::sh_word;

/// Variables that a job may have from here, beside those that begin with [`PREFIXES`]. What else this shell
/// holds, keys among it, isn't the job's.
const KEPT: [&str; 16] = [
    "PATH",
    "HOME",
    "USER",
    "LOGNAME",
    "SHELL",
    "LANG",
    "TZ",
    "TMPDIR",
    "LD_LIBRARY_PATH",
    "MODULEPATH",
    "MODULESHOME",
    "LOADEDMODULES",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "XDG_RUNTIME_DIR",
];

/// What else commands of Slurm, and the runtimes on the nodes, read.
const PREFIXES: [&str; 10] = [
    "LC_",
    "SLURM_",
    "SBATCH_",
    "SQUEUE_",
    "SCANCEL_",
    "SINFO_",
    "APPTAINER_",
    "ENROOT_",
    "CONTAINERS_",
    "LMOD_",
];

/// Bytes of what a command prints: all jobs of a large cluster are some.
const MOST: u64 = 64 << 20;

/// What ssh itself exits with where it can't do its work.
const SSH_FAILED: i32 = 255;

/// What a command answered.
#[derive(Debug)]
pub(super) struct Answer {
    /// Exit code; -1 where a signal ended it.
    pub(super) code: i32,
    /// What it printed.
    pub(super) stdout: Vec<u8>,
    /// What it complained of, in one line.
    pub(super) said: String,
}

/// A place where commands run.
#[derive(Debug)]
pub(super) struct Login {
    host: Option<String>,
    /// The socket of a connection that all commands share, where the user's ssh has none of its own.
    shared: Option<TempDir>,
}

impl Login {
    /// Here, or on this login node.
    pub(super) async fn open(host: Option<&str>) -> Result<Self, SlurmError> {
        let Some(host) = host else {
            return Ok(Self {
                host: None,
                shared: None,
            });
        };
        let is_name = |c: char| c.is_ascii_graphic() && !matches!(c, '\'' | '"' | '\\' | '`' | '$');
        if host.is_empty() || host.starts_with('-') || !host.chars().all(is_name) {
            return Err(SlurmError::LoginName {
                text: host.to_owned(),
            });
        }
        let settings = Command::new("ssh")
            .args(["-G", "--", host])
            .stdin(Stdio::null())
            .output();
        let settings = mlbuild_waits::answer("ssh", settings)
            .await?
            .map_err(|source| SlurmError::Program {
                program: "ssh",
                source,
            })?;
        let settings = String::from_utf8_lossy(&settings.stdout).into_owned();
        let has_own = settings
            .lines()
            .filter_map(|line| line.strip_prefix("controlpath "))
            .any(|path| path != "none");
        // A socket's path is short.
        let folder = || {
            tempfile::Builder::new()
                .prefix("mlb")
                .tempdir_in("/tmp")
                .ok()
        };
        Ok(Self {
            host: Some(host.to_owned()),
            shared: if has_own { None } else { folder() },
        })
    }

    /// Its name, for messages.
    pub(super) fn place(&self) -> String {
        match &self.host {
            Some(host) => format!("the login node {host}"),
            None => "PATH".to_owned(),
        }
    }

    /// Who is waited for.
    fn peer(&self) -> String {
        match &self.host {
            Some(host) => format!("the login node {host}"),
            None => "Slurm's commands".to_owned(),
        }
    }

    /// Runs a line of sh, with this on its standard input.
    pub(super) async fn shell(&self, line: &str, input: &[u8]) -> Result<Answer, SlurmError> {
        let (program, mut command) = self.command(line);
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true);
        let failed = |source| SlurmError::Program { program, source };
        let work = async {
            let mut child = command.spawn().map_err(failed)?;
            let mut stdin = child.stdin.take().expect("piped");
            let (stdout, stderr) = (child.stdout.take(), child.stderr.take());
            let writing = async {
                // One that doesn't read says itself why.
                let _ = stdin.write_all(input).await;
                drop(stdin);
                Ok(())
            };
            let stdout = bounded(program, stdout.expect("piped"));
            let stderr = bounded(program, stderr.expect("piped"));
            // Where one says too much, it is ended with the child that is dropped.
            let (stdout, stderr, ()) = tokio::try_join!(stdout, stderr, writing)?;
            let status = child.wait().await.map_err(failed)?;
            Ok::<_, SlurmError>(Output {
                status,
                stdout,
                stderr,
            })
        };
        let output = mlbuild_waits::answer(self.peer(), work).await??;
        let text = String::from_utf8_lossy(&output.stderr);
        let lines: Vec<&str> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty())
            .collect();
        let answer = Answer {
            code: output.status.code().unwrap_or(-1),
            stdout: output.stdout,
            said: lines.join("; "),
        };
        match &self.host {
            Some(host) if answer.code == SSH_FAILED => Err(SlurmError::Unreachable {
                login: host.clone(),
                said: answer.said,
            }),
            _ => Ok(answer),
        }
    }

    fn command(&self, line: &str) -> (&'static str, Command) {
        let Some(host) = &self.host else {
            let mut command = Command::new("sh");
            // Ctrl-C is for mlbuild, which then ends the job.
            command
                .args(["-c", line])
                .env_clear()
                .envs(kept())
                .process_group(0);
            return ("sh", command);
        };
        let mut command = Command::new("ssh");
        command
            .args(self.sharing())
            .args(["-T", "--", host, &remote(line)]);
        ("ssh", command)
    }

    /// The words that run a line of sh in a terminal, where there is one.
    pub(super) fn interactive(&self, line: &str, terminal: bool) -> Vec<OsString> {
        let Some(host) = &self.host else {
            return ["sh", "-c", line].map(OsString::from).to_vec();
        };
        let mut words = vec![OsString::from("ssh")];
        words.extend(self.sharing().into_iter().map(OsString::from));
        words.push(OsString::from(if terminal { "-t" } else { "-T" }));
        words.extend(["--", host, &remote(line)].map(OsString::from));
        words
    }

    /// The options by which all commands take one connection.
    fn sharing(&self) -> Vec<String> {
        let Some(folder) = &self.shared else {
            return Vec::new();
        };
        let path = folder.path().join("ssh");
        [
            "ControlMaster=auto",
            &format!("ControlPath={}", path.display()),
            "ControlPersist=60",
        ]
        .into_iter()
        .flat_map(|option| ["-o".to_owned(), option.to_owned()])
        .collect()
    }
}

impl Drop for Login {
    fn drop(&mut self) {
        let (Some(host), Some(_)) = (&self.host, &self.shared) else {
            return;
        };
        let mut exit = std::process::Command::new("ssh");
        exit.args(self.sharing()).args(["-O", "exit", "--", host]);
        exit.stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        if let Ok(mut child) = exit.spawn() {
            let _wait = ProgramWait::on(format!("ssh to {host}"), child.id());
            let _ = child.wait();
        }
    }
}

/// The login shell may be any: it reads one quoted word.
fn remote(line: &str) -> String {
    format!("exec sh -c {}", sh_word(line))
}

/// What a program prints on one of its outputs.
async fn bounded(
    program: &'static str,
    output: impl AsyncRead + Unpin,
) -> Result<Vec<u8>, SlurmError> {
    let mut bytes = Vec::new();
    let read = output.take(MOST + 1).read_to_end(&mut bytes).await;
    read.map_err(|source| SlurmError::Program { program, source })?;
    if bytes.len() as u64 > MOST {
        return Err(SlurmError::Failed {
            command: program,
            said: format!("it prints more than {} MiB", MOST >> 20),
        });
    }
    Ok(bytes)
}

/// What commands here have of this environment.
fn kept() -> impl Iterator<Item = (OsString, OsString)> {
    std::env::vars_os().filter(|(name, _)| {
        let Some(name) = name.to_str() else {
            return false;
        };
        KEPT.contains(&name) || PREFIXES.iter().any(|prefix| name.starts_with(prefix))
    })
}
