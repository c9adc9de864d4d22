//! Peers that hang: who is waited for is said after five seconds, and given up in the end.

use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::{CommandExt as _, ExitStatusExt as _};
use std::process::{Child, Command, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use crate::peers::{Fault, start};
use crate::support::mlbuild::{Project, Ran};

/// The limit of these tests: a little more than the time after which a wait is told of.
const LIMIT: u64 = 7;

/// A verb against a peer that hangs, on its way.
struct Hanging {
    project: Project,
    child: Child,
    began: Instant,
}

impl Hanging {
    fn start(
        files: &[(&str, &str)],
        args: &[&str],
        prepare: impl FnOnce(&Project, &mut Command),
    ) -> Self {
        let project = Project::new(files);
        let mut command = heard(&project, args);
        command.env("MLBUILD_STALL_SECONDS", LIMIT.to_string());
        command.process_group(0);
        prepare(&project, &mut command);
        let child = command.spawn().unwrap();
        let began = Instant::now();
        Self {
            project,
            child,
            began,
        }
    }

    /// Its end: what it printed, with what differs from run to run replaced, and how long it took.
    fn end(self) -> (String, Duration) {
        let ran: Ran = self.child.wait_with_output().unwrap().into();
        let took = self.began.elapsed();
        let told = self.project.filtered(&ran.stderr);
        let folder = regex::Regex::new(r"/\S*/\.tmp\w+").unwrap();
        let told = folder.replace_all(&told, "[FOLDER]");
        (format!("{}: {told}", ran.code.unwrap_or(-1)), took)
    }
}

/// A command of the project that a Ctrl-C reaches, also where a shell started the tests in the background
/// and made them ignore it.
fn heard(project: &Project, args: &[&str]) -> Command {
    let known = project.command(args);
    let mut command = Command::new("/usr/bin/env");
    command
        .arg("--default-signal=INT")
        .arg(known.get_program())
        .args(known.get_args())
        .env_clear()
        .envs(
            known
                .get_envs()
                .filter_map(|(name, value)| Some((name, value?))),
        )
        .current_dir(project.path(""))
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

/// A kubeconfig of a cluster that listens there, with how its user logs in.
fn kubeconfig(server: &str, user: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- {{name: c, context: {{cluster: c, user: u}}}}\n\
         clusters:\n- {{name: c, cluster: {{server: \"http://{server}\"}}}}\nusers:\n- {{name: u, user: {user}}}\n"
    )
}

/// A verb that starts git.
const LAUNCH: [&str; 7] = [
    "launch",
    "-q",
    "q",
    "--git",
    "https://git.invalid/a@main",
    "--",
    "true",
];

/// How a user logs in by a program that is called `get-token`.
const BY_PROGRAM: &str = "{exec: {apiVersion: client.authentication.k8s.io/v1, command: get-token, \
     interactiveMode: Never}}";

/// How long programs sleep that are given up, and those that are interrupted: for so many seconds as nothing else.
const GIVEN_UP: &str = "sleep 12345";
const INTERRUPTED: &str = "sleep 12346";

/// Programs that still run a command.
fn running(command: &str) -> String {
    let left = Command::new("pgrep").args(["-f", command]).output();
    String::from_utf8(left.unwrap().stdout).unwrap()
}

/// A program of this name that sleeps, first on PATH.
fn sleeper(project: &Project, command: &mut Command, name: &str, sleep: &str) {
    let bin = project.outside().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let file = bin.join(name);
    // It becomes another program, as wrappers do.
    std::fs::write(&file, format!("#!/bin/sh\nexec {sleep}\n")).unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", bin.display()));
}

const LARGE: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.oci.image.manifest.v1+json\r\n\
     content-length: 100000\r\n\r\n";
const LARGE_JSON: &str =
    "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\ncontent-length: 100000\r\n\r\n";
const WANTS_LOG_IN: &str = "HTTP/1.1 401 Unauthorized\r\nwww-authenticate: Basic realm=\"x\"\r\n\
     content-length: 0\r\n\r\n";

#[test]
fn whoever_hangs_is_named_after_five_seconds_and_given_up() {
    let plain = |_: &Project, _: &mut Command| {};
    let silent = start(Fault::Silence);
    let inspect = |peer: &str| format!("{peer}/image:1");
    let image = inspect(&silent);
    let head = inspect(&start(Fault::Drip("HTTP/1.1 200 OK\r\n", "x")));
    let body = inspect(&start(Fault::Drip(LARGE, " ")));
    let log_in = inspect(&start(Fault::Answer(WANTS_LOG_IN)));
    let store = format!("postgres://me@{silent}/x");
    let builder = format!("tcp://{silent}");
    let config = kubeconfig(&silent, "{}");
    let dripping = kubeconfig(&start(Fault::Drip(LARGE_JSON, " ")), "{}");
    let by_program = kubeconfig(&silent, BY_PROGRAM);
    let kube: &[(&str, &str)] = &[("kubeconfig", &config)];
    let drips: &[(&str, &str)] = &[("kubeconfig", &dripping)];
    let logs_in: &[(&str, &str)] = &[("kubeconfig", &by_program)];
    let logs = ["logs", "job", "--kubeconfig", "kubeconfig"];
    let dockerfile: &[(&str, &str)] = &[("Dockerfile", "FROM scratch\n")];
    let build = [
        "image",
        "-f",
        "Dockerfile",
        "-t",
        "a:1",
        "--builder",
        &builder,
    ];
    let cases = [
        Hanging::start(&[], &["inspect", &image], plain),
        Hanging::start(&[], &["inspect", &head], plain),
        Hanging::start(&[], &["inspect", &body], plain),
        Hanging::start(&[], &["inspect", &log_in], |project, command| {
            project.write("../home/.docker/config.json", r#"{"credsStore":"sleepy"}"#);
            sleeper(project, command, "docker-credential-sleepy", GIVEN_UP);
        }),
        Hanging::start(&[], &["queue", "list", "--store", &store], plain),
        Hanging::start(dockerfile, &build, plain),
        Hanging::start(kube, &logs, plain),
        Hanging::start(drips, &logs, plain),
        Hanging::start(logs_in, &logs, |project, command| {
            sleeper(project, command, "get-token", GIVEN_UP);
        }),
        Hanging::start(&[("q.yaml", "rm: true\n")], &LAUNCH, |project, command| {
            project
                .run(["queue", "create", "q", "-c", "q.yaml"])
                .answer();
            sleeper(project, command, "git", GIVEN_UP);
        }),
    ];
    let (mut told, mut longest) = (Vec::new(), Duration::ZERO);
    for case in cases {
        let (text, took) = case.end();
        eprintln!("{took:?}: {text}");
        told.push(text);
        longest = longest.max(took);
    }
    insta::assert_snapshot!(told.join("\n"), @r"
    3: waiting for the registry [REGISTRY]: nothing for [TIME] (given up after [TIME])
    waiting for the registry [REGISTRY]: nothing for [TIME] (given up after [TIME])
    error: no answer from the registry [REGISTRY] for [TIME], during pulling [REGISTRY]/image:1; and nothing here starts containers; tried:
      docker: unix:///var/run/docker.sock: /var/run/docker.sock: no such socket
      podman: no such program on PATH
      nerdctl: no such program on PATH
      hint: it takes connections and says nothing: see whether it is overloaded, or a proxy before it has lost it

    3: waiting for the registry [REGISTRY]: nothing for [TIME] (given up after [TIME])
    waiting for the registry [REGISTRY]: nothing for [TIME] (given up after [TIME])
    error: no answer from the registry [REGISTRY] for [TIME], during pulling [REGISTRY]/image:1; and nothing here starts containers; tried:
      docker: unix:///var/run/docker.sock: /var/run/docker.sock: no such socket
      podman: no such program on PATH
      nerdctl: no such program on PATH
      hint: it takes connections and says nothing: see whether it is overloaded, or a proxy before it has lost it

    3: waiting for the registry [REGISTRY]: nothing for [TIME] (given up after [TIME])
    waiting for the registry [REGISTRY]: nothing for [TIME] (given up after [TIME])
    error: no answer from the registry [REGISTRY] for [TIME], during pulling [REGISTRY]/image:1; and nothing here starts containers; tried:
      docker: unix:///var/run/docker.sock: /var/run/docker.sock: no such socket
      podman: no such program on PATH
      nerdctl: no such program on PATH
      hint: it takes connections and says nothing: see whether it is overloaded, or a proxy before it has lost it

    3: waiting for the credential helper docker-credential-sleepy, for [REGISTRY]: nothing for [TIME] (given up after [TIME])
    error: the credential helper docker-credential-sleepy gave no log-in for [REGISTRY]: it did nothing for [TIME]; and nothing here starts containers; tried:
      docker: unix:///var/run/docker.sock: /var/run/docker.sock: no such socket
      podman: no such program on PATH
      nerdctl: no such program on PATH
      hint: log in again, or remove the helper for [REGISTRY] from config.json

    3: waiting for the database at [REGISTRY]: nothing for [TIME] (given up after [TIME])
    error: the store in PostgreSQL: no answer from the database at [REGISTRY] for [TIME]

    3: waiting for the builder tcp://[REGISTRY]: nothing for [TIME] (given up after [TIME])
    error: the builder from --builder doesn't answer: tcp://[REGISTRY]: no BuildKit answers there: no answer within [TIME]; if it wants TLS, give a CA file, a certificate and a key
      hint: see what answers here: mlbuild doctor

    3: waiting for the cluster http://[REGISTRY]: nothing for [TIME] (given up after [TIME])
    error: the cluster at http://[REGISTRY] doesn't answer: no answer from the cluster http://[REGISTRY] for [TIME]
      hint: is it the right kubeconfig? kubectl cluster-info

    3: waiting for the cluster http://[REGISTRY]: nothing for [TIME] (given up after [TIME])
    error: the cluster at http://[REGISTRY] doesn't answer: no answer from the cluster http://[REGISTRY] for [TIME]
      hint: is it the right kubeconfig? kubectl cluster-info

    3: waiting for the log-in to the cluster http://[REGISTRY]: nothing for [TIME] (given up after [TIME])
    error: the cluster's log-in can't be had: its program did nothing for [TIME]

    3: waiting for git config in [FOLDER]: nothing for [TIME] (given up after [TIME])
    error: git config in [FOLDER] did nothing for [TIME], and was ended
    ");
    assert!(longest < Duration::from_secs(50), "{longest:?}");
    // What was started for them is gone with them.
    assert_eq!(running(GIVEN_UP), "");
}

/// Sends Ctrl-C to a process, or to a group of them that `-` stands before.
fn interrupt(id: &str) {
    let sent = Command::new("kill").args(["-s", "INT", "--", id]).status();
    assert!(sent.unwrap().success());
}

/// One Ctrl-C ends a verb that waits; a second would end any program. Verbs that have something to put back
/// listen for it.
fn end_by_ctrl_c(hanging: Hanging, what: &str, listens: bool) {
    let mut child = hanging.child;
    assert!(child.try_wait().unwrap().is_none(), "{what}: it waits");
    let began = Instant::now();
    // As a terminal does: to it and to what it started.
    interrupt(&format!("-{}", child.id()));
    let status = child.wait().unwrap();
    assert!(
        // A second by itself; many times that is still far from what the peer would get.
        began.elapsed() < Duration::from_secs(15),
        "{what}: {status:?}"
    );
    // The others leave it to the system.
    let is_interrupted = status.code() == Some(130) || !listens && status.signal() == Some(2);
    assert!(is_interrupted, "{what}: {status:?}");
}

#[test]
fn one_ctrl_c_ends_a_wait_for_anybody_within_a_second() {
    let plain = |_: &Project, command: &mut Command| {
        command.env("MLBUILD_STALL_SECONDS", "60");
    };
    let silent = start(Fault::Silence);
    let from = format!("FROM {silent}/base:1\n");
    let from: &[(&str, &str)] = &[("Dockerfile", &from)];
    let scratch: &[(&str, &str)] = &[("Dockerfile", "FROM scratch\n")];
    let builder = format!("tcp://{silent}");
    let store = format!("postgres://me@{silent}/x");
    let docker = format!("tcp://{silent}");
    let reference = format!("{silent}/image:1");
    let log_in = format!("{}/image:1", start(Fault::Answer(WANTS_LOG_IN)));
    let config = kubeconfig(&silent, "{}");
    let kube: &[(&str, &str)] = &[("kubeconfig", &config)];
    let by_program = kubeconfig(&silent, BY_PROGRAM);
    let logs_in: &[(&str, &str)] = &[("kubeconfig", &by_program)];
    let build = ["image", "-f", "Dockerfile", "-t", "a:1"];
    let built_there = [&build[..], &["--builder", &builder]].concat();
    let logs = ["logs", "job", "--kubeconfig", "kubeconfig"];
    let lock = ["lock", "-f", "Dockerfile", "-t", "a:1"];
    let sleeps = |name: &'static str| {
        move |project: &Project, command: &mut Command| {
            command.env("MLBUILD_STALL_SECONDS", "60");
            sleeper(project, command, name, INTERRUPTED);
        }
    };
    let cases = [
        ("a registry, image", Hanging::start(from, &build, plain)),
        ("a registry, lock", Hanging::start(from, &lock, plain)),
        (
            "a registry, inspect",
            Hanging::start(&[], &["inspect", &reference], plain),
        ),
        ("a builder", Hanging::start(scratch, &built_there, plain)),
        (
            "a database",
            Hanging::start(&[], &["queue", "list", "--store", &store], plain),
        ),
        ("a cluster", Hanging::start(kube, &logs, plain)),
        (
            "a cluster's log-in",
            Hanging::start(logs_in, &logs, sleeps("get-token")),
        ),
        (
            "Docker",
            Hanging::start(&[], &["run", "debian:12", "true"], |_, command| {
                command.env("MLBUILD_STALL_SECONDS", "60");
                command.env("DOCKER_HOST", &docker);
            }),
        ),
        (
            "a credential helper",
            Hanging::start(&[], &["inspect", &log_in], |project, command| {
                project.write("../home/.docker/config.json", r#"{"credsStore":"sleepy"}"#);
                sleeps("docker-credential-sleepy")(project, command);
            }),
        ),
        (
            "git",
            Hanging::start(&[("q.yaml", "rm: true\n")], &LAUNCH, |project, command| {
                project
                    .run(["queue", "create", "q", "-c", "q.yaml"])
                    .answer();
                sleeps("git")(project, command);
            }),
        ),
    ];
    sleep(Duration::from_secs(3));
    for (what, case) in cases {
        let builds = ["a registry, image", "a registry, lock", "a builder"];
        end_by_ctrl_c(case, what, builds.contains(&what));
    }
    assert_eq!(running(INTERRUPTED), "");
}

#[test]
fn who_is_interrupted_ends_with_130_also_where_the_peer_fails_at_that_moment() {
    let project = Project::new(&[]);
    for round in 0..12 {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let registry = listener.local_addr().unwrap();
        project.write("Dockerfile", &format!("FROM {registry}/base:1\n"));
        let args = ["lock", "-f", "Dockerfile", "-t", "a:1"];
        let child = project.command(args).spawn().unwrap();
        // It waits for the registry, and has been listening for Ctrl-C since before.
        let (stream, _) = listener.accept().unwrap();
        sleep(Duration::from_millis(200));
        let pid = child.id().to_string();
        // The connection and the server go just after the signal, and in each fourth round with a pause.
        interrupt(&pid);
        drop(listener);
        sleep(Duration::from_millis(round % 4));
        drop(stream);
        let ran: Ran = child.wait_with_output().unwrap().into();
        assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    }
}
