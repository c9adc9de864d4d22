//! The `git` program, as it is installed, with the user's configuration and credentials.
//!
//! Every git that mlbuild runs is made here. A repository may come from a stranger (out of an
//! archive, or as a job), so its hooks, its file system monitor and the programs that its own
//! configuration names are not run; nor is what a remote's address could start. Git's check of who
//! owns a repository (`safe.directory`) stays in force.

mod local_config;

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::OnceLock;

use mlbuild_waits::Stalled;
use mlbuild_waits::program::ProgramWait;

/// Settings over all others, of the repository and of the user.
const SETTINGS: [&str; 12] = [
    "core.quotePath=false",
    "advice.detachedHead=false",
    "core.fsmonitor=false",
    "core.hooksPath=/dev/null",
    "log.showSignature=false",
    "maintenance.auto=false",
    "gc.auto=0",
    "protocol.ext.allow=never",
    "protocol.fd.allow=never",
    // Submodules have configurations of their own, which nobody looked at.
    "submodule.recurse=false",
    "fetch.recurseSubmodules=false",
    // A repository without a working tree that lies in one, among its files.
    "safe.bareRepository=explicit",
];

/// Most that is read of what git prints, in bytes.
const MOST: u64 = 64 << 20;

/// Git in a folder.
#[derive(Clone, Debug)]
pub struct Git {
    folder: PathBuf,
    index: Option<PathBuf>,
    never_prompts: bool,
    /// Arguments that keep the repository's own configuration from running programs.
    neutralised: OnceLock<Vec<String>>,
}

/// What can go wrong with git.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no `git` on PATH.
    #[error("git isn't installed, or not on PATH")]
    NotInstalled,
    /// The folder is in no repository.
    #[error("{} isn't in a git repository", .0.display())]
    NotARepository(PathBuf),
    /// The repository's configuration says that its files are elsewhere.
    #[error("its core.worktree leads to {}, which isn't the repository's folder", .0.display())]
    Elsewhere(PathBuf),
    /// The repository's configuration sets what nobody else can set back.
    #[error("its configuration sets {0}, which would have a say in what git does here")]
    Configuration(String),
    /// Git failed.
    #[error("git {command} failed: {said}")]
    Failed {
        /// Its subcommand.
        command: String,
        /// What it said.
        said: String,
    },
    /// Somebody ended git.
    #[error("git {command} was ended by signal {signal}")]
    Killed {
        /// Its subcommand.
        command: String,
        /// The signal's number.
        signal: i32,
    },
    /// Git, or what it started, hung.
    #[error("git {command} in {} did nothing for {seconds} s, and was ended", folder.display())]
    Stalled {
        /// Its subcommand.
        command: String,
        /// Where.
        folder: PathBuf,
        /// How long.
        seconds: u64,
    },
    /// It could not be run, or prints more than anybody wants.
    #[error("git {command} can't be run: {source}")]
    Io {
        /// Its subcommand.
        command: String,
        /// Why.
        source: io::Error,
    },
}

impl GitError {
    /// Whether git itself couldn't do its work here, whatever it was asked for.
    pub fn is_of_machine(&self) -> bool {
        matches!(
            self,
            Self::NotInstalled | Self::Io { .. } | Self::Stalled { .. } | Self::Killed { .. }
        )
    }
}

/// Refuses what a program left that didn't come to its end.
fn refuse_killed(command: &str, status: ExitStatus) -> Result<(), GitError> {
    match status.signal() {
        None => Ok(()),
        Some(signal) => Err(GitError::Killed {
            command: command.to_owned(),
            signal,
        }),
    }
}

impl Git {
    /// Git in `folder`.
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            index: None,
            never_prompts: false,
            neutralised: OnceLock::new(),
        }
    }

    /// The same in another folder of the same repository.
    #[must_use]
    pub fn moved_to(&self, folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            ..self.clone()
        }
    }

    /// The same with an index of its own, so that the user's stays as it is.
    #[must_use]
    pub fn with_index(&self, index: &Path) -> Self {
        Self {
            index: Some(index.to_path_buf()),
            ..self.clone()
        }
    }

    /// The same, which fails where a log-in would be asked for on the terminal.
    #[must_use]
    pub fn never_prompting(self) -> Self {
        Self {
            never_prompts: true,
            ..self
        }
    }

    /// The folder it works in.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// What git prints, without its last line end.
    ///
    /// # Errors
    /// Where git isn't there or fails.
    pub fn text<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<String, GitError> {
        let bytes = self.bytes(args, b"")?;
        let text = String::from_utf8_lossy(&bytes);
        Ok(text.strip_suffix('\n').unwrap_or(&text).to_owned())
    }

    /// True if git succeeds.
    ///
    /// # Errors
    /// Where git isn't there.
    pub fn is_ok<S: AsRef<OsStr>>(&self, args: &[S]) -> Result<bool, GitError> {
        match self.bytes(args, b"") {
            Ok(_) => Ok(true),
            Err(GitError::Failed { .. }) => Ok(false),
            Err(other) => Err(other),
        }
    }

    /// Git with no subcommand yet; with [`SETTINGS`].
    fn command(&self) -> Command {
        let mut command = Command::new("git");
        command.arg("-C").arg(&self.folder);
        for setting in SETTINGS {
            command.args(["-c", setting]);
        }
        command
            // Messages are read here; and looking at a repository must not change it.
            .env("LC_ALL", "C")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(index) = &self.index {
            command.env("GIT_INDEX_FILE", index);
        }
        if self.never_prompts {
            command.env("GIT_TERMINAL_PROMPT", "0");
        }
        command
    }

    /// What of the repository's own configuration is to be put out of force. Listing it runs nothing.
    fn look_at_configuration(&self) -> Result<&[String], GitError> {
        if let Some(known) = self.neutralised.get() {
            return Ok(known);
        }
        let mut command = self.command();
        command.args(["config", "--show-scope", "--includes", "-z", "--list"]);
        let Ok(mut child) = command.stdin(Stdio::null()).spawn() else {
            return Ok(self.neutralised.get_or_init(Vec::new));
        };
        let wait = self.wait("config", &child);
        let mut text = Vec::new();
        let stdout = child.stdout.take().expect("piped");
        let read = stdout.take(MOST + 1).read_to_end(&mut text);
        let listed = child.wait_with_output();
        self.refuse_stalled("config", &wait)?;
        let found = match listed {
            Ok(listed) if listed.status.success() && read.is_ok() => {
                local_config::neutralised(&text).map_err(GitError::Configuration)?
            }
            // An older git than the oldest that lists scopes (2.26), or a configuration that nobody can read.
            Ok(listed) => {
                refuse_killed("config", listed.status)?;
                return Err(GitError::Failed {
                    command: "config".to_owned(),
                    said: one_line(&listed.stderr),
                });
            }
            Err(source) => {
                return Err(GitError::Io {
                    command: "config".to_owned(),
                    source,
                });
            }
        };
        Ok(self.neutralised.get_or_init(|| found))
    }

    fn wait(&self, command: &str, child: &Child) -> ProgramWait {
        let peer = format!("git {command} in {}", self.folder.display());
        ProgramWait::on(peer, child.id())
    }

    fn refuse_stalled(&self, command: &str, wait: &ProgramWait) -> Result<(), GitError> {
        match wait.stalled() {
            None => Ok(()),
            Some(Stalled { silent, .. }) => Err(GitError::Stalled {
                command: command.to_owned(),
                folder: self.folder.clone(),
                seconds: silent.as_secs(),
            }),
        }
    }

    /// What git prints when it is fed `input`.
    ///
    /// # Errors
    /// Where git isn't there or fails.
    pub fn bytes<S: AsRef<OsStr>>(&self, args: &[S], input: &[u8]) -> Result<Vec<u8>, GitError> {
        let name = args.first().map(|a| a.as_ref().to_string_lossy());
        let name = name.unwrap_or_default().into_owned();
        let fail = |source: io::Error| match source.kind() {
            io::ErrorKind::NotFound if self.folder.is_dir() => GitError::NotInstalled,
            _ => GitError::Io {
                command: name.clone(),
                source,
            },
        };
        let mut command = self.command();
        command.args(self.look_at_configuration()?);
        for (at, argument) in args.iter().enumerate() {
            command.arg(argument);
            if at == 0 && matches!(&*name, "diff" | "log" | "show") {
                command.args(["--no-ext-diff", "--no-textconv"]);
            }
        }
        let mut child = command.spawn().map_err(fail)?;
        let wait = self.wait(&name, &child);
        let (mut stdin, stdout, mut stderr) = (
            child.stdin.take().expect("piped"),
            child.stdout.take().expect("piped"),
            child.stderr.take().expect("piped"),
        );
        // All three at once: a full pipe on one side would stop the others.
        let (out, said) = std::thread::scope(|scope| {
            scope.spawn(move || drop(stdin.write_all(input)));
            let said = scope.spawn(move || {
                let mut said = Vec::new();
                let _ = stderr.read_to_end(&mut said);
                said
            });
            let mut out = Vec::new();
            let read = stdout.take(MOST + 1).read_to_end(&mut out);
            (read.map(|_| out), said.join().unwrap_or_default())
        });
        let status = child.wait().map_err(fail)?;
        self.refuse_stalled(&name, &wait)?;
        refuse_killed(&name, status)?;
        let out = out.map_err(fail)?;
        if out.len() as u64 > MOST {
            let source = io::Error::other(format!("it prints more than {} MiB", MOST >> 20));
            return Err(fail(source));
        }
        if status.success() {
            return Ok(out);
        }
        let said = String::from_utf8_lossy(&said);
        if said.contains("not a git repository") || said.contains("must be run in a work tree") {
            return Err(GitError::NotARepository(self.folder.clone()));
        }
        Err(GitError::Failed {
            command: name,
            said: one_line(said.as_bytes()),
        })
    }
}

/// What git said, its lines joined.
fn one_line(said: &[u8]) -> String {
    let said = String::from_utf8_lossy(said);
    let lines = said.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.collect::<Vec<_>>().join("; ")
}
