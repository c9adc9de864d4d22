//! `docker mlbuild`, with the real docker.

use std::os::unix::fs::symlink;
use std::process::Command;

use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};

#[test]
fn docker_knows_mlbuild_as_one_of_its_verbs() {
    let engines = Engines::from_env();
    let project = Project::new(&[]);
    let config = project.home().join(".docker");
    let plugins = config.join("cli-plugins");
    std::fs::create_dir_all(&plugins).unwrap();
    symlink(
        env!("CARGO_BIN_EXE_mlbuild"),
        plugins.join("docker-mlbuild"),
    )
    .unwrap();
    let docker = |args: &[&str]| -> Ran {
        let mut command = Command::new(engines.bin.join("docker"));
        // All that mlbuild is started with otherwise.
        let own = project.command([""]);
        let variables = own
            .get_envs()
            .filter_map(|(name, value)| Some((name, value?)));
        command.env_clear().envs(variables);
        command.args(args).current_dir(project.path(""));
        Ran::of(&mut command)
    };
    let help = docker(&["--help"]);
    let line = help.answer().lines().find(|line| line.contains("mlbuild*"));
    let line = line.unwrap_or_else(|| panic!("{}", help.stdout));
    assert!(
        line.ends_with("Make, run and restore ML container images, pinned by digest"),
        "{line}"
    );
    assert_eq!(
        docker(&["mlbuild", "--version"]).answer(),
        project.run(["--version"]).answer()
    );
    let run = ["mlbuild", "run", "--rm", "--network", "none", &engines.base];
    let host = ["-H", &engines.docker_containerd];
    let ran = docker(&[&host, &run[..], &["sh", "-c", "echo here; exit 7"]].concat());
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(7), "here\n"),
        "{}",
        ran.stderr
    );
    assert_eq!(project.runs().len(), 1);

    let elsewhere = docker(
        &[
            &["--host", "unix:///nowhere/docker.sock"],
            &run[..],
            &["true"],
        ]
        .concat(),
    );
    assert_eq!(elsewhere.code, Some(3), "{}", elsewhere.stderr);
    assert!(
        elsewhere.stderr.contains("/nowhere/docker.sock"),
        "{}",
        elsewhere.stderr
    );
    let refused = docker(&["--log-level", "debug", "mlbuild", "--version"]);
    assert_eq!(refused.code, Some(2), "{}", refused.stderr);
    assert!(
        refused.stderr.contains("docker's --log-level"),
        "{}",
        refused.stderr
    );
}
