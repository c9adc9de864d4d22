//! Faults of real daemons: a builder that stops in mid-build, a database behind a proxy that stalls.

use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::peers::{Fault, start};
use crate::support::buildkitd::OwnBuildkitd;
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};
use crate::support::wait;

fn signal(child: &Child, name: &str) {
    let pid = child.id().to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status();
    assert!(sent.unwrap().success());
}

/// A build that is at a step which prints a line and sleeps.
fn sleeping(engines: &Engines, own: &OwnBuildkitd) -> (Project, Child) {
    let dockerfile = format!("FROM {}\nRUN echo begun && sleep 30\n", engines.base);
    let project = Project::new(&[("Dockerfile", &dockerfile)]);
    let mut args = [
        "image",
        "-f",
        "Dockerfile",
        "-t",
        "a:1",
        "--progress",
        "plain",
    ]
    .map(String::from)
    .to_vec();
    args.extend(own.flags());
    let log = std::fs::File::create(project.outside().join("log")).unwrap();
    let mut command = project.command(args);
    let child = command
        .env("MLBUILD_STALL_SECONDS", "7")
        .stderr(log)
        .spawn()
        .unwrap();
    let read = || std::fs::read_to_string(project.outside().join("log")).unwrap();
    wait::until("the step runs", || read().contains(" begun"));
    (project, child)
}

#[test]
fn a_builder_that_stops_in_mid_build_is_named_and_given_up() {
    let engines = Engines::from_env();
    let own = OwnBuildkitd::start(&engines);
    let (project, mut child) = sleeping(&engines, &own);
    // A step that says nothing for longer than the limit is no fault of the builder's.
    sleep(Duration::from_secs(9));
    assert!(child.try_wait().unwrap().is_none());
    signal(&own.child, "STOP");
    let began = Instant::now();
    let status = child.wait().unwrap();
    assert!(
        began.elapsed() < Duration::from_secs(50),
        "{:?}",
        began.elapsed()
    );
    signal(&own.child, "CONT");
    let log = std::fs::read_to_string(project.outside().join("log")).unwrap();
    assert_eq!(status.code(), Some(3), "{log}");
    let peer = format!("the builder {}", own.address());
    assert!(
        log.contains(&format!("waiting for {peer}: nothing for 5 s")),
        "{log}"
    );
    assert!(
        log.contains(&format!("error: no answer from {peer} for ")),
        "{log}"
    );
}

#[test]
fn one_ctrl_c_ends_a_build_whose_builder_has_stopped() {
    let engines = Engines::from_env();
    let own = OwnBuildkitd::start(&engines);
    let (_project, mut child) = sleeping(&engines, &own);
    signal(&own.child, "STOP");
    let began = Instant::now();
    signal(&child, "INT");
    let status = child.wait().unwrap();
    let took = began.elapsed();
    signal(&own.child, "CONT");
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(status.code(), Some(130), "{status:?}");
}

#[test]
fn one_ctrl_c_ends_mlbuilds_own_push_to_a_registry_that_stalls() {
    let engines = Engines::from_env();
    let stalls = Arc::new(AtomicBool::new(false));
    let registry = start(Fault::Stall(engines.registry.clone(), stalls.clone()));
    let dockerfile = format!(
        "FROM {}\nRUN head -c 40000000 /dev/urandom > /x\n",
        engines.base
    );
    let project = Project::new(&[("Dockerfile", &dockerfile)]);
    let tag = format!("{registry}/chaos-{}:1", std::process::id());
    let args = [
        "image",
        "-f",
        "Dockerfile",
        "-t",
        &tag,
        "--push",
        "--repack",
        "--progress",
        "plain",
        "--builder",
        &engines.buildkitd,
    ];
    let log = std::fs::File::create(project.outside().join("log")).unwrap();
    let mut command = project.command(args);
    let child = command
        .env("SOURCE_DATE_EPOCH", "1700000000")
        .stderr(log)
        .spawn();
    let mut child = child.unwrap();
    let read = || std::fs::read_to_string(project.outside().join("log")).unwrap();
    wait::until("the push begins", || {
        assert!(child.try_wait().unwrap().is_none(), "{}", read());
        read().contains("pushing ")
    });
    stalls.store(true, Ordering::Relaxed);
    wait::until("the wait is told of", || {
        read().contains("waiting for the registry")
    });
    let began = Instant::now();
    signal(&child, "INT");
    let status = child.wait().unwrap();
    let took = began.elapsed();
    assert!(took < Duration::from_secs(15), "{took:?}");
    assert_eq!(status.code(), Some(130), "{}", read());
    assert!(
        read().ends_with("error: stopped: nothing was pushed or locked\n"),
        "{}",
        read()
    );
}

#[test]
fn a_database_that_stalls_is_named_and_given_up_and_asked_again() {
    let engines = Engines::from_env();
    let (log_in, rest) = engines.postgres.split_once('@').unwrap();
    let (server, database) = rest.split_once('/').unwrap();
    let stalls = Arc::new(AtomicBool::new(false));
    let proxy = start(Fault::Stall(server.to_owned(), stalls.clone()));
    let store = format!("{log_in}@{proxy}/{database}");
    let project = Project::new(&[]);
    let list = || {
        let mut command = project.command(["queue", "list"]);
        command.env("MLBUILD_QUEUE_STORE", &store);
        command.env("MLBUILD_STALL_SECONDS", "6");
        Ran::of(&mut command)
    };
    list().answer();
    stalls.store(true, Ordering::Relaxed);
    let began = Instant::now();
    let ran = list();
    let took = began.elapsed();
    let told = ran.refusal(3);
    assert!(took < Duration::from_secs(9), "{took:?}");
    assert!(
        told.contains(&format!(
            "waiting for the database at {proxy}: nothing for 5 s"
        )),
        "{told}"
    );
    assert!(
        told.contains(&format!("no answer from the database at {proxy} for 6 s")),
        "{told}"
    );
    stalls.store(false, Ordering::Relaxed);
    list().answer();
}
