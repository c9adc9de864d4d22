//! The ssh agents of a build: those that run, and one of the build's own for key files.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

use super::BuilderError;
use crate::plan::SshKeys;

/// How long an agent may take to listen.
/// Longest path, in bytes, of a folder that an agent's socket lies in.
const MAX_FOLDER: usize = 90;
const START_TIMEOUT: Duration = Duration::from_secs(10);

/// Sockets of agents by id. Agents that were started here end with the value, or, where
/// mlbuild is killed, within ten seconds.
#[derive(Debug)]
pub struct SshAgents {
    sockets: BTreeMap<String, PathBuf>,
    _own: Vec<OwnAgent>,
}

impl SshAgents {
    /// Starts what a plan needs. A key's passphrase is asked for on the terminal.
    ///
    /// # Errors
    /// Where OpenSSH isn't there, or can't use a key.
    pub fn start(ssh: &BTreeMap<String, SshKeys>) -> Result<Self, BuilderError> {
        let (mut sockets, mut started) = (BTreeMap::new(), Vec::new());
        for (id, keys) in ssh {
            let socket = match keys {
                SshKeys::Agent(socket) => socket.clone(),
                SshKeys::Files(files) => {
                    let own = OwnAgent::start()?;
                    own.add(id, files)?;
                    let socket = own.socket();
                    started.push(own);
                    socket
                }
            };
            sockets.insert(id.clone(), socket);
        }
        Ok(Self {
            sockets,
            _own: started,
        })
    }

    /// The socket of each id.
    pub fn sockets(&self) -> &BTreeMap<String, PathBuf> {
        &self.sockets
    }
}

/// `ssh-agent COMMAND` lives as long as its command, and `cat` as long as somebody
/// holds its input open.
#[derive(Debug)]
struct OwnAgent {
    command: Child,
    folder: TempDir,
}

impl OwnAgent {
    fn start() -> Result<Self, BuilderError> {
        let folder = match tempfile::tempdir() {
            // The path of a socket has a limit.
            Ok(folder) if folder.path().as_os_str().len() < MAX_FOLDER => Ok(folder),
            _ => tempfile::tempdir_in(std::env::temp_dir()),
        };
        let folder = folder.map_err(BuilderError::temporary)?;
        let command = Command::new("ssh-agent")
            .arg("-a")
            .arg(socket_in(folder.path()))
            .arg("cat")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .map_err(missing("ssh-agent"))?;
        let agent = Self { command, folder };
        let until = Instant::now() + START_TIMEOUT;
        while !agent.socket().exists() {
            if Instant::now() > until {
                return Err(BuilderError::SshAgentSilent);
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(agent)
    }

    fn socket(&self) -> PathBuf {
        socket_in(self.folder.path())
    }

    fn add(&self, id: &str, files: &[PathBuf]) -> Result<(), BuilderError> {
        let added = Command::new("ssh-add")
            .args(["-q", "--"])
            .args(files)
            .env("SSH_AUTH_SOCK", self.socket())
            .output()
            .map_err(missing("ssh-add"))?;
        if added.status.success() {
            return Ok(());
        }
        let output = String::from_utf8_lossy(&added.stderr);
        let why = output.lines().rfind(|line| !line.trim().is_empty());
        Err(BuilderError::SshKey {
            id: id.to_owned(),
            files: files.to_vec(),
            why: why.unwrap_or("it can't use the key").to_owned(),
        })
    }
}

impl Drop for OwnAgent {
    fn drop(&mut self) {
        drop(self.command.stdin.take());
        let _ = self.command.wait();
    }
}

fn socket_in(folder: &Path) -> PathBuf {
    folder.join("agent.sock")
}

fn missing(program: &'static str) -> impl FnOnce(std::io::Error) -> BuilderError {
    move |source| BuilderError::SshProgram { program, source }
}

#[cfg(test)]
mod tests {
    use super::OwnAgent;

    /// Flags of ssh-add that succeed, and so would say that a key was added.
    #[test]
    fn a_key_that_is_called_as_a_flag_is_a_file() {
        for flag in ["-D", "-X", "--help"] {
            let agent = OwnAgent::start().unwrap();
            let refused = agent.add("default", &[flag.into()]).unwrap_err();
            let said = refused.to_string();
            assert!(said.contains("No such file"), "{flag}: {said}");
        }
    }
}
