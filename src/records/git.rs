//! The `git` program, as it is installed: its own ideas of configuration, credentials and
//! hooks are the user's, and stay so.

use std::ffi::OsStr;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Most that is read of what git prints, in bytes.
const MOST: u64 = 64 << 20;

/// Git in a folder.
#[derive(Clone, Debug)]
pub struct Git {
    folder: PathBuf,
    index: Option<PathBuf>,
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
    /// Git failed.
    #[error("git {command} failed: {said}")]
    Failed {
        /// Its subcommand.
        command: String,
        /// What it said.
        said: String,
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

impl Git {
    /// Git in `folder`.
    pub fn at(folder: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            index: None,
        }
    }

    /// The same with an index of its own, so that the user's stays as it is.
    #[must_use]
    pub fn with_index(&self, index: &Path) -> Self {
        Self {
            folder: self.folder.clone(),
            index: Some(index.to_path_buf()),
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
        let mut command = Command::new("git");
        command
            .arg("-C")
            .arg(&self.folder)
            .args([
                "-c",
                "core.quotePath=false",
                "-c",
                "advice.detachedHead=false",
            ])
            .args(args)
            // Messages are read here; and looking at a repository must not change it.
            .env("LC_ALL", "C")
            .env("GIT_OPTIONAL_LOCKS", "0")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(index) = &self.index {
            command.env("GIT_INDEX_FILE", index);
        }
        let mut child = command.spawn().map_err(fail)?;
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
        let lines: Vec<&str> = said
            .lines()
            .map(str::trim)
            .filter(|l| !l.is_empty())
            .collect();
        Err(GitError::Failed {
            command: name,
            said: lines.join("; "),
        })
    }
}
