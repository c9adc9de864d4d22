//! A display that ssh forwards: a port on loopback, which no container has.

use std::process::Command;

use super::{Desk, Window, show, volume};
use crate::support::sshd::Sshd;

#[test]
fn a_window_appears_through_ssh() {
    let desk = Desk::new();
    let forwarding = "X11Forwarding yes\nX11DisplayOffset 70\n";
    let sshd = Sshd::start(&desk.engines, &desk.docker, forwarding);
    let volume = volume();
    let command = desk.command(&show(&[], &volume));
    let words = [command.get_program()]
        .into_iter()
        .chain(command.get_args());
    let words: Vec<_> = words.map(|word| word.to_str().unwrap()).collect();
    // As a log-in has it: DISPLAY is sshd's, the cookies are in a file that sshd made.
    let line = format!(
        "cd {}; export MLBUILD_STATE_DIR={}; echo $DISPLAY $XAUTHORITY >&2; exec {}",
        desk.project.path("").display(),
        desk.project.outside().join("state").display(),
        shlex::try_join(words).unwrap()
    );
    let mut ssh = Command::new(sshd.dir.path().join("bin/ssh"));
    ssh.args(["-Y", "-p", &sshd.port.to_string(), "root@127.0.0.1", &line])
        .env("DISPLAY", desk.xvfb.display())
        .env("XAUTHORITY", desk.xvfb.authority());
    let mut window = Window::open(&mut ssh);
    window.shown(&desk.xvfb);
    let ran = window.close();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    // Where root has no file of xauth's yet, it says that first.
    let mut lines = ran.stderr.lines();
    let display = lines.find(|line| line.starts_with("localhost:"));
    let display = display.unwrap_or_else(|| panic!("{}", ran.stderr));

    // That session is over, and its DISPLAY with it.
    let mut stale = desk.command(&["--rm", &desk.engines.base, "true"]);
    let ran =
        crate::support::mlbuild::Ran::of(stale.env("DISPLAY", display.split(' ').next().unwrap()));
    let said = ran.refusal(3);
    assert!(
        said.contains("nothing answers at localhost port 60")
            && said.contains("log in with ssh -X again"),
        "{said}"
    );
}
