//! A real sshd that dies, before a builder and a Docker.

use std::process::Command;

use super::{Mortal, each};
use crate::image::unique;
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};
use crate::support::sshd::Sshd;

#[test]
fn ssh_that_dies_leaves_a_project_that_builds() {
    let engines = Engines::from_env();
    let sshd = Sshd::start(&engines, &engines.docker_containerd, "MaxStartups 100\n");
    let bin = sshd.dir.path().join("bin");
    let path = format!(
        "{}:{}:{}",
        bin.display(),
        engines.bin.display(),
        std::env::var("PATH").unwrap()
    );
    let socket = engines.buildkitd.replace("unix://", "");
    let server = format!("127.0.0.1:{}", sshd.port);
    let dockerfile = format!("FROM {}\nCOPY a.txt /\n", engines.base);
    let project = Project::new(&[("Dockerfile", &dockerfile), ("a.txt", "a")]);
    let tag = unique(&engines.registry, "ssh-dies");
    let build = |address: &str| {
        let builder = format!("ssh://root@{address}{socket}");
        let words = [
            "image",
            "-f",
            "Dockerfile",
            "-t",
            &tag,
            "--push",
            "--no-lock",
            "--builder",
        ];
        let mut command = project.command(words);
        command.arg(builder).env("PATH", &path);
        command
    };
    let inspect = |address: &str| {
        let mut command = project.command(["inspect", &engines.base]);
        let host = format!("ssh://root@{address}");
        command.env("PATH", &path).env("DOCKER_HOST", host);
        command
    };
    // A key that is known is asked for by nobody.
    Ran::of(&mut build(&server)).answer();
    each(
        Mortal {
            // A handshake takes some seconds where six of them meet on a busy machine.
            stall: 8,
            ..Mortal::new("ssh", 30_000)
        },
        |round| {
            let proxy = round.before(&server);
            let command = match round.number % 2 {
                0 => build(&proxy.address),
                _ => inspect(&proxy.address),
            };
            (command, proxy)
        },
        |_, _| {},
    );
    Ran::of(&mut build(&server)).answer();
    // No connection outlives its command.
    let config = sshd.dir.path().join("ssh_config").display().to_string();
    crate::support::wait::until("the last ssh ends", || {
        let left = Command::new("pgrep")
            .args(["-f", &config])
            .output()
            .unwrap();
        left.stdout.is_empty()
    });
}
