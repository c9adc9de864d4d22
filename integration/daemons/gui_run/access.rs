//! What a container can reach, and what is undone when it is over.

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

use mlbuild::display::server::Server;
use rustix::process::{Pid, Signal, kill_process};

use super::{Desk, Window, show, volume};
use crate::support::engines::Engines;
use crate::support::mlbuild::Ran;
use crate::support::wait::HANG;
use crate::support::xvfb::Xvfb;

#[test]
fn isolated_sees_one_socket_and_has_no_rights() {
    let other = Xvfb::start();
    for (name, docker) in Engines::from_env()
        .dockers()
        .map(|(name, docker)| (name, docker.to_owned()))
    {
        let desk = Desk::with(docker);
        let script = "ls /tmp/.X11-unix; echo $DISPLAY $XAUTHORITY $QT_X11_NO_MITSHM; head -c 4 $XAUTHORITY | od -An -tx1; \
                      (echo x > $XAUTHORITY) 2>&1 | grep -o Read-only; cat /proc/1/comm; \
                      grep -E 'CapBnd|NoNewPrivs' /proc/self/status | tr -s '\\t' ' '; ls /run/mlbuild";
        let ran = desk.shell(&[], script);
        let own = desk.xvfb.number;
        assert_ne!(own, other.number);
        // Family ffff: the container's host name doesn't matter. No address.
        let expected = format!(
            "X{own}\n:{own} /run/mlbuild/Xauthority 1\n ff ff 00 00\nRead-only\ndocker-init\n\
             CapBnd: 0000000000000000\nNoNewPrivs: 1\nXauthority"
        );
        assert_eq!(ran.answer(), expected, "{name}: {}", ran.stderr);
        assert!(desk.is_clean(), "{name}");
    }
}

#[test]
fn flags_that_weaken_it_are_warned_of() {
    let desk = Desk::new();
    let ran = desk.shell(&["--ipc=host"], "echo $QT_X11_NO_MITSHM.");
    assert_eq!(ran.answer(), ".");
    assert!(
        ran.stderr
            .contains("warning: --ipc=host weakens the isolation"),
        "{}",
        ran.stderr
    );
}

#[test]
fn as_me_has_a_name_and_a_home_and_nothing_of_the_hosts_accounts() {
    let desk = Desk::new();
    super::give(desk.project.outside(), 1_000_055, 0);
    super::give(desk.xvfb.authority().parent().unwrap(), 1_000_055, 0);
    let script = "id -un; id -u; echo $HOME; echo kept > ~/file; cat ~/file; tail -1 /etc/passwd; \
                  test -r /etc/shadow && echo readable; ls -d /etc/sudoers.d 2>/dev/null; wc -l < /etc/passwd";
    let tail = [
        "--rm",
        "--display-access=as-me",
        &desk.engines.base,
        "sh",
        "-c",
        script,
    ];
    let as_ann = |command: &mut Command| {
        use std::os::unix::process::CommandExt as _;
        Ran::of(command.uid(1_000_055).gid(0).env("USER", "ann"))
    };
    let ran = as_ann(&mut desk.command(&tail));
    let lines = desk
        .shell(&[], "wc -l < /etc/passwd")
        .answer()
        .parse::<u32>()
        .unwrap()
        + 1;
    let expected =
        format!("ann\n1000055\n/home/ann\nkept\nann:x:1000055:0::/home/ann:/bin/sh\n{lines}");
    assert_eq!(ran.answer(), expected, "{}", ran.stderr);

    // uid gives the ids, and nothing else.
    let tail = [
        "--rm",
        "--display-access=uid",
        &desk.engines.base,
        "sh",
        "-c",
        "id -u; id -un 2>/dev/null; echo $HOME",
    ];
    assert_eq!(
        as_ann(&mut desk.command(&tail)).answer(),
        "1000055\n1000055\n/"
    );
}

/// Whether the display lets root in without a cookie.
fn is_open(desk: &Desk) -> bool {
    Server::at_socket(&desk.xvfb.socket(), None).is_ok()
}

/// Starts a command that prints `ready`, and waits for that.
fn ready(command: &mut Command) -> Child {
    let mut child = command.spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.as_mut().unwrap())
        .read_line(&mut line)
        .unwrap();
    assert_eq!(line, "ready\n");
    child
}

#[test]
fn xhost_is_undone_however_it_ends() {
    let desk = Desk::new();
    let way = "--display-access=xhost";
    assert!(!is_open(&desk));
    // The image's user is 1000: only that user is let in, and the window shows.
    let volume = volume();
    let mut window = Window::open(&mut desk.command(&show(&[way, "-e", "XAUTHORITY="], &volume)));
    window.shown(&desk.xvfb);
    assert!(!is_open(&desk), "root isn't that user");
    let ran = window.close();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr.contains(
            "warning: xhost: until this run ends, every program of that user (SI:localuser:#1000)"
        ),
        "{}",
        ran.stderr
    );

    let base = desk.engines.base.clone();
    let wait = [
        "--rm",
        way,
        &base,
        "sh",
        "-c",
        "trap 'exit 3' INT TERM; echo ready; while :; do sleep 0.1; done",
    ];
    for signal in [Signal::INT, Signal::TERM] {
        let child = ready(&mut desk.command(&wait));
        assert!(is_open(&desk));
        kill_process(Pid::from_child(&child), signal).unwrap();
        assert_eq!(child.wait_with_output().unwrap().status.code(), Some(3));
        assert!(!is_open(&desk), "{signal:?}");
        assert!(desk.is_clean());
    }
    // A start that fails.
    assert_eq!(
        desk.run(&["--rm", way, &base, "no-such-program"]).code,
        Some(127)
    );
    assert!(!is_open(&desk) && desk.is_clean());
    // What was open before stays.
    let mut server = Server::at_socket(&desk.xvfb.socket(), Some(&cookie(&desk))).unwrap();
    server
        .let_in(&mlbuild::display::server::Guest::user(0), true)
        .unwrap();
    desk.run(&["--rm", way, &base, "true"]);
    assert!(is_open(&desk));
}

fn cookie(desk: &Desk) -> mlbuild::display::authority::Cookie {
    let bytes = std::fs::read(desk.xvfb.authority()).unwrap();
    let authority = mlbuild::display::authority::Authority::read(&bytes);
    authority.entries[0].cookie.clone()
}

#[test]
fn ctrl_c_and_a_kill_leave_no_cookie() {
    let desk = Desk::new();
    let base = desk.engines.base.clone();
    let wait = [
        "--rm",
        &base,
        "sh",
        "-c",
        "trap 'exit 3' INT; echo ready; for n in $(seq 200); do sleep 0.1; done",
    ];
    let child = ready(&mut desk.command(&wait));
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(child.wait_with_output().unwrap().status.code(), Some(3));
    assert!(desk.is_clean());

    // Before the container is there.
    for delay in [5, 20, 60, 120] {
        let child = desk.command(&wait).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(delay));
        let pid = Pid::from_child(&child);
        kill_process(pid, Signal::INT).unwrap();
        let since = Instant::now();
        while std::path::Path::new(&format!("/proc/{}/fd/0", child.id())).exists()
            && since.elapsed() < HANG
        {
            std::thread::sleep(Duration::from_millis(200));
            let _ = kill_process(pid, Signal::INT);
        }
        child.wait_with_output().unwrap();
        assert!(desk.is_clean(), "{delay} ms");
    }

    // Nobody can undo anything after this; the next run does.
    let mut child = ready(&mut desk.command(&wait));
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(!desk.is_clean());
    desk.shell(&[], "true").answer();
    assert!(desk.is_clean());
}
