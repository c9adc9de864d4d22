//! `ssh://`: a program on another machine that joins its stdin and stdout to
//! a builder's socket.

use super::ChildCommand;
use crate::address::SshTarget;

/// A buildkitd there.
pub(super) fn buildctl(target: &SshTarget) -> ChildCommand {
    let mut command = ssh(target);
    command.arg("buildctl");
    if let Some(socket) = &target.socket {
        command.arg("--addr");
        command.arg(quote(&format!("unix://{}", socket.display())));
    }
    command.arg("dial-stdio");
    command
}

/// A Docker daemon there.
pub(super) fn docker(target: &SshTarget) -> ChildCommand {
    let mut command = ssh(target);
    command.arg("docker");
    if let Some(socket) = &target.socket {
        command.arg("--host");
        command.arg(quote(&format!("unix://{}", socket.display())));
    }
    command.args(["system", "dial-stdio"]);
    command
}

fn ssh(target: &SshTarget) -> ChildCommand {
    let mut command = ChildCommand::new("ssh", target.to_string());
    // The child has no terminal, so a question would hang for ever.
    command.args(["-T", "-o", "BatchMode=yes", "-o", "ConnectTimeout=20"]);
    if let Some(user) = &target.user {
        command.args(["-l", user]);
    }
    if let Some(port) = target.port {
        command.args(["-p", &port.to_string()]);
    }
    command.args(["--", &target.host]);
    command
}

/// Quotes for the shell on the other side.
fn quote(word: &str) -> String {
    format!("'{}'", word.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn argv() {
        let target = SshTarget {
            user: Some("ana".into()),
            host: "gpu7".into(),
            port: Some(2222),
            socket: Some("/run/it's.sock".into()),
        };
        insta::assert_snapshot!(buildctl(&target), @r"ssh -T -o BatchMode=yes -o ConnectTimeout=20 -l ana -p 2222 -- gpu7 buildctl --addr 'unix:///run/it'\''s.sock' dial-stdio");
        let target = SshTarget {
            user: None,
            host: "gpu7".into(),
            port: None,
            socket: None,
        };
        insta::assert_snapshot!(docker(&target), @"ssh -T -o BatchMode=yes -o ConnectTimeout=20 -- gpu7 docker system dial-stdio");
    }
}
