//! Ctrl-C, and readers that go away.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};

use super::{builders, buildkitd, image, small, unique};
use crate::support::buildkitd::OwnBuildkitd;
use crate::support::engines::Engines;
use crate::support::mlbuild::Project;
use crate::support::wait;

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill")
        .args(["-s", name, &child.id().to_string()])
        .status()
        .unwrap();
    assert!(sent.success());
}

/// True while a process with this word in its command line runs; the daemons
/// of the tests are on this machine.
pub(super) fn is_running(word: &str) -> bool {
    std::fs::read_dir("/proc").unwrap().flatten().any(|entry| {
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        line.trim_end().ends_with(word)
    })
}

/// A build that sleeps for a time of its own.
fn sleeper(engines: &Engines) -> (Project, String) {
    let seconds = 100_000 + u32::from(rand_u16());
    let dockerfile = format!("FROM {}\nRUN sleep {seconds}\n", engines.base);
    (
        Project::new(&[("Dockerfile", &dockerfile)]),
        format!("sleep {seconds}"),
    )
}

fn rand_u16() -> u16 {
    let mut bytes = [0; 2];
    std::fs::File::open("/dev/urandom")
        .unwrap()
        .read_exact(&mut bytes)
        .unwrap();
    u16::from_ne_bytes(bytes)
}

#[test]
fn ctrl_c_ends_the_build_on_the_daemon_too() {
    let engines = Engines::from_env();
    for builder in builders(&engines) {
        let (project, sleep) = sleeper(&engines);
        let tag = unique(&engines.registry, "stopped");
        let args = [
            "-f",
            "Dockerfile",
            "-t",
            &tag,
            "--push",
            "--progress",
            "plain",
        ];
        let child = project
            .command(image(&builder.flags, &args))
            .spawn()
            .unwrap();
        wait::until(builder.name, || is_running(&sleep));
        signal(&child, "INT");
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8(output.stderr).unwrap();
        assert_eq!(output.status.code(), Some(130), "{}: {told}", builder.name);
        assert!(
            told.contains("stopping (press Ctrl-C again to exit at once)"),
            "{told}"
        );
        assert!(
            told.ends_with("error: stopped: nothing was pushed or locked\n"),
            "{}: {told}",
            builder.name
        );
        assert!(output.stdout.is_empty());
        wait::until(&format!("{}: {sleep} ends", builder.name), || {
            !is_running(&sleep)
        });
        assert_eq!(project.names(), ["Dockerfile"], "{}", builder.name);
    }
}

#[test]
fn a_second_ctrl_c_exits_at_once() {
    let engines = Engines::from_env();
    let (project, sleep) = sleeper(&engines);
    let own = OwnBuildkitd::start(&engines);
    let args = ["-f", "Dockerfile", "-t", "a:1", "--progress", "plain"];
    let mut child = project.command(image(&own.flags(), &args)).spawn().unwrap();
    wait::until("the step starts", || is_running(&sleep));
    // From here on the daemon doesn't answer: it confirms no cancellation.
    signal(&own.child, "STOP");
    signal(&child, "INT");
    let mut told = BufReader::new(child.stderr.take().unwrap()).lines();
    while !told.next().unwrap().unwrap().contains("stopping") {}
    signal(&child, "INT");
    let status = child.wait().unwrap();
    assert_eq!(status.code(), Some(130), "{status:?}");
    signal(&own.child, "CONT");
    wait::until("the step goes", || !is_running(&sleep));
}

#[test]
fn a_reader_that_went_away_is_told_of() {
    let (engines, project) = small("closed");
    let tag = unique(&engines.registry, "closed");
    let args = ["-f", "Dockerfile", "-t", &tag, "--push", "--quiet"];
    let mut child = project
        .command(image(&buildkitd(&engines), &args))
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    drop(child.stdout.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(1));
    let told = String::from_utf8(output.stderr).unwrap();
    assert_eq!(
        told,
        "error: cannot write the answer to stdout: Broken pipe (os error 32)\n"
    );
    // The work was done, and is written down: nobody has to do it again.
    assert_eq!(project.runs().len(), 1);
    let mut again = project.command(image(
        &buildkitd(&engines),
        &[&args[..], &["--format", "json"]].concat(),
    ));
    let json = crate::support::mlbuild::Ran::of(&mut again).json();
    assert_eq!(json["action"], "unchanged");

    // A closed stderr is no reason to stop.
    project.write("data.txt", "more");
    let mut child = project
        .command(image(
            &buildkitd(&engines),
            &[
                "-f",
                "Dockerfile",
                "-t",
                &tag,
                "--push",
                "--progress",
                "plain",
            ],
        ))
        .spawn()
        .unwrap();
    drop(child.stderr.take());
    let output = child.wait_with_output().unwrap();
    assert_eq!(output.status.code(), Some(0));
    assert!(!output.stdout.is_empty());
}

#[test]
fn a_tar_into_a_reader_that_goes_away_is_one_error() {
    let (engines, project) = small("half a tar");
    let args = [
        "-f",
        "Dockerfile",
        "--no-lock",
        "--quiet",
        "-o",
        "type=tar,dest=-",
    ];
    let mut child = project
        .command(image(&buildkitd(&engines), &args))
        .spawn()
        .unwrap();
    let mut some = [0; 4096];
    let mut out = child.stdout.take().unwrap();
    out.read_exact(&mut some).unwrap();
    drop(out);
    let output = child.wait_with_output().unwrap();
    let told = String::from_utf8(output.stderr).unwrap();
    assert!(matches!(output.status.code(), Some(1 | 3)), "{told}");
    // Which of its writes the builder was at differs.
    let told = project.filtered(&told);
    assert!(
        told.starts_with("error: step failed: exporting to client tarball\n"),
        "{told}"
    );
    assert!(
        told.trim_end()
            .ends_with("the result can't be written: Broken pipe (os error 32)"),
        "{told}"
    );
    let errors = told.lines().filter(|line| line.starts_with("error: "));
    assert_eq!(errors.count(), 1, "{told}");
}
