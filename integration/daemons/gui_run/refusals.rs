//! What keeps a window from opening is said before anything starts, and what a program says is
//! explained after it.

use super::Desk;
use crate::support::mlbuild::Ran;
use crate::support::terminal::Terminal;

#[test]
fn displays_and_cookies_that_are_no_use() {
    let desk = Desk::new();
    let other = crate::support::xvfb::Xvfb::start();
    let base = desk.engines.base.clone();
    let folder = desk.project.outside();
    let damaged = folder.join("damaged");
    std::fs::write(&damaged, b"\x01\x00\x00\x04ho").unwrap();
    // An entry for this display, with the cookie of another.
    let stale = folder.join("stale");
    let cookie = mlbuild::display::authority::Cookie(vec![7; 16]);
    let entry = mlbuild::display::authority::Entry::wild(desk.xvfb.number, cookie);
    std::fs::write(
        &stale,
        mlbuild::display::authority::Authority::write(&[entry]).unwrap(),
    )
    .unwrap();
    let mut said = String::new();
    for (name, value) in [
        ("DISPLAY", ""),
        ("DISPLAY", "zero"),
        ("DISPLAY", ":59999"),
        ("XAUTHORITY", "/nowhere/at-all"),
        ("XAUTHORITY", "/proc"),
        ("XAUTHORITY", damaged.to_str().unwrap()),
        ("XAUTHORITY", stale.to_str().unwrap()),
        ("XAUTHORITY", other.authority().to_str().unwrap()),
    ] {
        let mut command = desk.command(&["--rm", &base, "true"]);
        let ran = Ran::of(command.env(name, value));
        assert!(matches!(ran.code, Some(2 | 3)), "{name}={value}: {ran:?}");
        assert_eq!(ran.stdout, "");
        let other = other.authority();
        let told = |text: &str| {
            desk.project
                .filtered(&text.replace(other.to_str().unwrap(), "/other"))
        };
        let mut story = told(&ran.stderr);
        // The displays of this machine are others elsewhere.
        for (pattern, with) in [
            ("there are .*", "there are OTHERS"),
            (r"the display :\d+", "the display :N"),
        ] {
            story = regex::Regex::new(pattern)
                .unwrap()
                .replace_all(&story, with)
                .into_owned();
        }
        said += &format!("$ {name}={} ({})\n{story}", told(value), ran.code.unwrap());
    }
    insta::assert_snapshot!(said, @r"
    $ DISPLAY= (3)
    error: DISPLAY is not set: there is no display that windows could appear on
      hint: on the desktop: export DISPLAY=:0; over ssh: log in with ssh -X
    $ DISPLAY=zero (2)
    error: DISPLAY=zero isn't a display: it looks like :0, or localhost:10.0 over ssh
      hint: export DISPLAY=:0
    $ DISPLAY=:59999 (3)
    error: DISPLAY=:59999, but there is no socket /tmp/.X11-unix/X59999
      hint: there are OTHERS
    $ XAUTHORITY=/nowhere/at-all (3)
    error: the display :N asks for a cookie, and /nowhere/at-all has none for it (there is no such file)
      hint: xauth list shows the cookies; the desktop's own file: systemctl --user show-environment | grep XAUTHORITY
    $ XAUTHORITY=/proc (3)
    error: the cookies in /proc can't be read: it is no file of cookies
      hint: the desktop's own file: systemctl --user show-environment | grep XAUTHORITY
    $ XAUTHORITY=/damaged (3)
    error: the display :N asks for a cookie, and /damaged has none for it (the file is damaged from byte 0 on)
      hint: xauth list shows the cookies; the desktop's own file: systemctl --user show-environment | grep XAUTHORITY
    $ XAUTHORITY=/stale (3)
    error: the display :N refuses the cookie in /stale: Invalid MIT-MAGIC-COOKIE-1 key
      hint: the cookie is of an earlier session: log in again, or export the XAUTHORITY of this one
    $ XAUTHORITY=/other (3)
    error: the display :N asks for a cookie, and /other has none for it
      hint: xauth list shows the cookies; the desktop's own file: systemctl --user show-environment | grep XAUTHORITY
    ");
    assert!(desk.project.runs().is_empty() && desk.is_clean());
}

#[test]
fn a_daemon_on_another_machine_cant_reach_the_display() {
    use std::io::copy;
    use std::net::{Shutdown, TcpListener};
    use std::os::unix::net::UnixStream;
    let desk = Desk::new();
    let far = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("tcp://{}", far.local_addr().unwrap());
    let socket = desk.docker.strip_prefix("unix://").unwrap().to_owned();
    std::thread::spawn(move || {
        for client in far.incoming() {
            let (client, daemon) = (client.unwrap(), UnixStream::connect(&socket).unwrap());
            std::thread::spawn(move || {
                std::thread::scope(|scope| {
                    scope.spawn(|| {
                        let _ = copy(&mut &client, &mut &daemon);
                        let _ = daemon.shutdown(Shutdown::Write);
                    });
                    let _ = copy(&mut &daemon, &mut &client);
                    let _ = client.shutdown(Shutdown::Write);
                });
            });
        }
    });
    let base = desk.engines.base.clone();
    let ran = Ran::of(
        desk.command(&["--rm", &base, "true"])
            .env("DOCKER_HOST", address),
    );
    insta::assert_snapshot!(ran.refusal(3), @r"
    error: the Docker daemon is on another machine: its containers can't reach this display
      hint: docker context use default; or log in there with ssh -X and run mlbuild there
    ");
}

#[test]
fn doctor_tells_whether_the_display_is_open() {
    let mut desk = Desk::new();
    let doctor = |desk: &Desk| Ran::of(&mut desk.verb(&["doctor"])).stdout;
    let closed = doctor(&desk);
    assert!(
        closed.contains("the cookie in ") && !closed.contains("the display is open"),
        "{closed}"
    );
    desk.xvfb = crate::support::xvfb::Xvfb::with(&["-ac"]);
    let open = doctor(&desk);
    assert!(
        open.contains("the display is open to everybody: xhost + was typed"),
        "{open}"
    );
    // gui-run says so, too, and goes on.
    let mut command = desk.command(&["--rm", &desk.engines.base, "true"]);
    let ran = Ran::of(command.env("XAUTHORITY", "/nowhere"));
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(
        ran.stderr.contains("lets everybody in without a cookie"),
        "{}",
        ran.stderr
    );
}

#[test]
fn what_a_program_says_is_explained_on_a_terminal_too() {
    let desk = Desk::new();
    let base = desk.engines.base.clone();
    // On a terminal it is heard in the container's log, which goes with the container.
    let script = "echo 'qt.qpa.xcb: could not connect to display :5' >&2; sleep 2; exit 9";
    let line = desk.command(&["--rm", "-it", &base, "sh", "-c", script]);
    let (shown, status) = Terminal::start(&line).finish();
    assert_eq!(status.code(), Some(9), "{shown}");
    let said = shown.find("could not connect to display :5");
    let explained = shown.find("mlbuild: the program didn't reach the display");
    assert!(said.is_some() && said < explained, "{shown}");
    assert!(desk.is_clean());
}
