//! Real git repositories: no configuration of the developer's reaches them.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A repository with a working tree.
pub struct Repository {
    pub folder: PathBuf,
    home: PathBuf,
}

impl Repository {
    /// A new repository without commits; `home` is where git looks for configuration.
    pub fn new(folder: &Path, home: &Path) -> Self {
        std::fs::create_dir_all(folder).unwrap();
        let repository = Self::at(folder, home);
        repository.git(&["init", "-q", "-b", "main"]);
        repository.named();
        repository
    }

    /// One that is there.
    pub fn at(folder: &Path, home: &Path) -> Self {
        Self {
            folder: folder.to_path_buf(),
            home: home.to_path_buf(),
        }
    }

    /// A clone of another repository or address.
    pub fn clone_of(from: &str, folder: &Path, home: &Path, args: &[&str]) -> Self {
        let parent = Self::at(folder.parent().unwrap(), home);
        let to = folder.to_str().unwrap();
        parent.git(&[&["clone", "-q"], args, &[from, to]].concat());
        let clone = Self::at(folder, home);
        clone.named();
        clone
    }

    fn named(&self) {
        self.git(&["config", "user.name", "Ann"]);
        self.git(&["config", "user.email", "ann@example.org"]);
        self.git(&["config", "protocol.file.allow", "always"]);
    }

    /// `git` with arguments, in the repository, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = Command::new("git");
        command
            .args(["-c", "protocol.file.allow=always"])
            .args(args)
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", &self.home)
            .stdin(Stdio::null())
            .current_dir(&self.folder);
        command
    }

    /// Runs git, which must succeed; returns what it prints.
    #[track_caller]
    pub fn git(&self, args: &[&str]) -> String {
        let output = self.command(args).output().unwrap();
        assert!(
            output.status.success(),
            "git {args:?}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        String::from_utf8_lossy(&output.stdout)
            .trim_end()
            .to_owned()
    }

    pub fn write(&self, name: &str, text: impl AsRef<[u8]>) {
        let path = self.folder.join(name);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    pub fn read(&self, name: &str) -> String {
        crate::support::read(&self.folder.join(name))
    }

    /// Commits everything; returns the commit.
    pub fn commit(&self, message: &str) -> String {
        self.git(&["add", "-A"]);
        self.git(&["commit", "-q", "--allow-empty", "-m", message]);
        self.head()
    }

    pub fn head(&self) -> String {
        self.git(&["rev-parse", "HEAD"])
    }

    /// `git status --short`.
    pub fn status(&self) -> String {
        self.git(&["status", "--short", "--untracked-files=all"])
    }
}
