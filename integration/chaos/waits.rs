//! Peers that hang: who is waited for is said after five seconds, and given up in the end.

use std::os::unix::fs::PermissionsExt;
use std::process::{Child, Command};
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
        let mut command = project.command(args);
        command.env("MLBUILD_STALL_SECONDS", LIMIT.to_string());
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

/// A program of this name that sleeps, first on PATH.
fn sleeper(project: &Project, command: &mut Command, name: &str) {
    let bin = project.outside().join("bin");
    std::fs::create_dir(&bin).unwrap();
    let file = bin.join(name);
    // It becomes another program, as wrappers do.
    std::fs::write(&file, "#!/bin/sh\nexec sleep 12345\n").unwrap();
    std::fs::set_permissions(&file, PermissionsExt::from_mode(0o755)).unwrap();
    let path = std::env::var("PATH").unwrap();
    command.env("PATH", format!("{}:{path}", bin.display()));
}

const LARGE: &str = "HTTP/1.1 200 OK\r\ncontent-type: application/vnd.oci.image.manifest.v1+json\r\n\
     content-length: 100000\r\n\r\n";
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
    let config = format!(
        "apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts:\n- {{name: c, context: {{cluster: c, user: u}}}}\n\
         clusters:\n- {{name: c, cluster: {{server: \"http://{silent}\"}}}}\nusers:\n- {{name: u, user: {{}}}}\n"
    );
    let kube: &[(&str, &str)] = &[("kubeconfig", &config)];
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
    let launch = [
        "launch",
        "-q",
        "q",
        "--git",
        "https://git.invalid/a@main",
        "--",
        "true",
    ];
    let cases = [
        Hanging::start(&[], &["inspect", &image], plain),
        Hanging::start(&[], &["inspect", &head], plain),
        Hanging::start(&[], &["inspect", &body], plain),
        Hanging::start(&[], &["inspect", &log_in], |project, command| {
            project.write("../home/.docker/config.json", r#"{"credsStore":"sleepy"}"#);
            sleeper(project, command, "docker-credential-sleepy");
        }),
        Hanging::start(&[], &["queue", "list", "--store", &store], plain),
        Hanging::start(dockerfile, &build, plain),
        Hanging::start(kube, &["logs", "job", "--kubeconfig", "kubeconfig"], plain),
        Hanging::start(&[("q.yaml", "rm: true\n")], &launch, |project, command| {
            project
                .run(["queue", "create", "q", "-c", "q.yaml"])
                .answer();
            sleeper(project, command, "git");
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

    3: waiting for git config in [FOLDER]: nothing for [TIME] (given up after [TIME])
    error: git config in [FOLDER] did nothing for [TIME], and was ended
    ");
    assert!(longest < Duration::from_secs(50), "{longest:?}");
    // What was started for them is gone with them.
    let left = Command::new("pgrep")
        .args(["-f", "sleep 12345"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8_lossy(&left.stdout), "");
}

#[test]
fn ctrl_c_ends_a_wait_for_a_registry_within_a_second() {
    let silent = start(Fault::Silence);
    let dockerfile = format!("FROM {silent}/base:1\n");
    let project = Project::new(&[("Dockerfile", &dockerfile)]);
    for args in [
        vec!["image", "-f", "Dockerfile", "-t", "a:1"],
        vec!["lock", "-f", "Dockerfile", "-t", "a:1"],
    ] {
        let mut child = project.command(&args).spawn().unwrap();
        sleep(Duration::from_millis(700));
        assert!(child.try_wait().unwrap().is_none(), "{args:?}");
        let began = Instant::now();
        let pid = child.id().to_string();
        let sent = Command::new("kill").args(["-s", "INT", &pid]).status();
        assert!(sent.unwrap().success());
        let status = child.wait().unwrap();
        assert!(
            // A second by itself; many times that is still far from what the peer would get.
            began.elapsed() < Duration::from_secs(15),
            "{args:?}: {status:?}"
        );
        assert_eq!(status.code(), Some(130), "{args:?}");
    }
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
        let interrupt = || {
            let sent = Command::new("kill").args(["-s", "INT", &pid]).status();
            assert!(sent.unwrap().success());
        };
        // The connection and the server go just after the signal, and in each fourth round with a pause.
        interrupt();
        drop(listener);
        sleep(Duration::from_millis(round % 4));
        drop(stream);
        let ran: Ran = child.wait_with_output().unwrap().into();
        assert_eq!(ran.code, Some(130), "{}", ran.stderr);
    }
}
