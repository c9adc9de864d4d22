//! `--idle-stop`: the looks that a node has at a container. Programs run in a process namespace of their own, as in
//! a container, and the probe of the pod's specification is run beside them as a kubelet runs it.

use std::net::{TcpListener, TcpStream};
use std::os::unix::process::ExitStatusExt as _;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::cluster::{Cluster, end_of};
use super::processes::{name, pods_of, words};
use crate::support::wait;

/// Has a /dev/termination-log and the folders of mounts, without changing those of this machine.
const CONTAINER: &str =
    "mount -t tmpfs tmpfs /dev && mknod -m 666 /dev/null c 1 3 && touch /dev/termination-log
mount -t tmpfs tmpfs /run && mkdir -p /run/mlbuild/idle && exec \"$@\"";

/// A container that runs.
struct Container {
    unshare: Child,
    /// Its first process.
    first: Pid,
}

impl Container {
    fn start(pod: &Value) -> Self {
        let mut command = Command::new("unshare");
        command
            .args([
                "--mount",
                "--pid",
                "--fork",
                "--mount-proc",
                "sh",
                "-c",
                CONTAINER,
                "sh",
            ])
            .args(words(pod))
            .stdin(Stdio::null());
        let unshare = command.spawn().unwrap();
        let children = format!("/proc/{0}/task/{0}/children", unshare.id());
        let first = wait::until_some("the container's process", || {
            let all = std::fs::read_to_string(&children).ok()?;
            Pid::from_raw(all.split_whitespace().next()?.parse().ok()?)
        });
        Self { unshare, first }
    }

    /// A program in it.
    fn inside(&self, words: &[&str]) -> Command {
        let mut command = Command::new("nsenter");
        command.args([
            "-m",
            "-p",
            "-t",
            &self.first.as_raw_nonzero().to_string(),
            "--",
        ]);
        command.args(words);
        command
    }

    /// Looks as its specification says, up to its end or until it is to be ended; its exit code, and its message.
    fn look(mut self, pod: &Value) -> (i32, String) {
        let probe = &pod["spec"]["containers"][0]["livenessProbe"];
        let words: Vec<&str> = probe["exec"]["command"]
            .as_array()
            .unwrap()
            .iter()
            .map(|word| word.as_str().unwrap())
            .collect();
        let period = Duration::from_secs(probe["periodSeconds"].as_u64().unwrap());
        let enough = probe["failureThreshold"].as_u64().unwrap();
        let (mut failures, mut said) = (0, String::new());
        loop {
            let next = Instant::now() + period;
            if failures < enough {
                let looked = self.inside(&words).output().unwrap();
                assert_eq!(String::from_utf8_lossy(&looked.stderr), "");
                failures = if looked.status.success() {
                    0
                } else {
                    failures + 1
                };
                if failures == enough {
                    let log = self
                        .inside(&["cat", "/dev/termination-log"])
                        .output()
                        .unwrap();
                    said = String::from_utf8(log.stdout).unwrap();
                    kill_process(self.first, Signal::TERM).unwrap();
                }
            }
            while Instant::now() < next {
                if let Some(end) = self.unshare.try_wait().unwrap() {
                    let code = end.code().or(end.signal().map(|signal| 128 + signal));
                    return (code.unwrap(), said);
                }
                std::thread::sleep(Duration::from_millis(50));
            }
        }
    }
}

/// Ends as most programs do that are told to.
const ENDS: &str =
    "import signal, socket, sys, time\nsignal.signal(signal.SIGTERM, lambda *_: sys.exit(143))\n";

/// Runs a program with `--idle-stop 4s` to its end while `meanwhile` happens; its exit code and what was said of it.
fn run(
    cluster: &Cluster,
    own: &str,
    flags: &[&str],
    program: &str,
    meanwhile: impl FnOnce(),
) -> (Option<i32>, String) {
    let base = cluster.engines.base.clone();
    let program = format!("{ENDS}{program}");
    let usual = ["--idle-stop", "4s", "--name", own];
    let child = cluster.submit(&[&usual, flags, &[&base, "python3", "-c", &program]].concat());
    let pod = pods_of(cluster, own, 1).remove(0);
    let container = Container::start(&pod);
    cluster.runs(&name(&pod));
    let (code, said) = std::thread::scope(|scope| {
        let looks = scope.spawn(|| container.look(&pod));
        meanwhile();
        looks.join().unwrap()
    });
    let reason = if code == 0 { "Completed" } else { "Error" };
    let ended = json!({"terminated": {"exitCode": code, "reason": reason, "message": said}});
    cluster.prints(&name(&pod), b"end");
    cluster.exits(&name(&pod), code);
    cluster.says(
        &name(&pod),
        if code == 0 { "Succeeded" } else { "Failed" },
        &ended,
    );
    let ran = end_of(child);
    (ran.code, ran.stderr)
}

#[test]
fn what_does_nothing_is_ended_and_what_works_is_not() {
    let cluster = Cluster::new();
    let idle = "idle for 4s: --idle-stop ended it";
    let port = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let published = format!("-p={port}");
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let (code, said) = run(&cluster, "sleeps", &[], "time.sleep(600)", || {});
            assert_eq!(code, Some(143), "{said}");
            assert!(said.contains(idle), "{said}");
        });
        scope.spawn(|| {
            let program = "end = time.time() + 9\nwhile time.time() < end: pass";
            let (code, said) = run(&cluster, "works", &[], program, || {});
            assert_eq!(code, Some(0), "{said}");
            assert!(!said.contains("idle"), "{said}");
        });
        scope.spawn(|| {
            let program = format!("server = socket.create_server(('127.0.0.1', {port}))\nall = [server.accept(), server.accept()]");
            let (code, said) = run(&cluster, "serves", &[&published], &program, || {
                let connection = wait::until_some("its port", || TcpStream::connect(("127.0.0.1", port)).ok());
                let until = Instant::now() + Duration::from_secs(9);
                std::thread::sleep(Duration::from_secs(8));
                // Longer than is enough, and somebody is connected still.
                assert!(TcpStream::connect(("127.0.0.1", port)).is_ok() && Instant::now() < until);
                drop(connection);
            });
            // The second connection lets it end.
            assert_eq!(code, Some(0), "{said}");
        });
        scope.spawn(|| {
            // Without --publish a connection says nothing: a program's own are like it.
            let (code, said) = run(&cluster, "alone", &[], "server = socket.create_server(('127.0.0.1', 0))\nown = socket.create_connection(server.getsockname())\nserver.accept()\ntime.sleep(600)", || {});
            assert_eq!(code, Some(143), "{said}");
        });
    });
}
