//! What else a window may want: Wayland, sound and a camera; and what stays behind with `-d`.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use super::Desk;
use crate::support::mlbuild::Ran;
use crate::support::session::Session;
use crate::support::wait;

/// A user of this machine who may use Docker.
const ANN: u32 = 1_000_055;

#[test]
fn wayland_and_sound_reach_the_user_whose_session_it_is() {
    let desk = Desk::new();
    // As log-in makes it.
    let private = std::os::unix::fs::PermissionsExt::from_mode(0o700);
    std::fs::set_permissions(desk.runtime_folder(), private).unwrap();
    super::give(desk.project.outside(), ANN, 0);
    super::give(desk.xvfb.authority().parent().unwrap(), ANN, 0);
    let session = Session::start(&desk.runtime_folder(), ANN);
    // The machine's own clients; the image has none.
    let script = "id -u; L=/host/lib/$(uname -m)-linux-gnu; LD=$(ls $L/ld-linux-*.so.*); \
                  in_host() { $LD --library-path $L:$L/pulseaudio /host/bin/$*; }; \
                  in_host wayland-info | grep -o wl_compositor; \
                  in_host pactl list short sinks | cut -f 2; echo $DISPLAY";
    let base = desk.engines.base.clone();
    let run = |flags: &[&str], display: &str| {
        let tail = [base.as_str(), "sh", "-c", script];
        let line = [&["--rm", "-v", "/usr:/host:ro"], flags, &tail].concat();
        let mut command = desk.command(&line);
        command
            .uid(ANN)
            .gid(0)
            .env("WAYLAND_DISPLAY", Session::WAYLAND)
            .env("DISPLAY", display);
        Ran::of(&mut command)
    };
    let display = desk.xvfb.display();
    let ran = run(&["--display-access=uid", "--wayland", "--audio"], &display);
    let expected = format!("{ANN}\nwl_compositor\nnull\n{display}");
    assert_eq!(ran.answer(), expected, "{}", ran.stderr);
    // Without DISPLAY it is Wayland by itself.
    let ran = run(&["--display-access=uid", "--audio"], "");
    let expected = format!("{ANN}\nwl_compositor\nnull");
    assert_eq!(ran.answer(), expected, "{}", ran.stderr);
    // The image's user is another.
    for (flag, what) in [
        ("--wayland", "the Wayland socket"),
        ("--audio", "the sound server"),
    ] {
        let ran = run(&[flag], &display);
        let told = format!("{what} opens to your uid, {ANN}, and the program runs as uid 0");
        assert!(ran.refusal(2).contains(&told), "{}", ran.stderr);
    }
    drop(session);
    let ran = run(&["--display-access=uid", "--wayland"], &display);
    assert!(
        ran.refusal(3).contains("nothing answers at"),
        "{}",
        ran.stderr
    );
}

/// A node that gives zeroes, in a camera's place: the machines that run the tests have none.
struct Node(&'static str);

impl Node {
    fn make(path: &'static str) -> Self {
        let _ = std::fs::remove_file(path);
        let mut mknod = Command::new("mknod");
        let made = mknod.args(["-m", "660", path, "c", "1", "5"]).status();
        assert!(made.unwrap().success());
        std::os::unix::fs::chown(path, Some(0), Some(44)).unwrap();
        Self(path)
    }
}

impl Drop for Node {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(self.0);
    }
}

#[test]
fn a_cameras_node_can_be_read_by_any_user() {
    let desk = Desk::new();
    let camera = Node::make("/dev/video97");
    let flag = format!("--camera={}", camera.0);
    let script = "id -G; head -c 2 /dev/video97 | od -An -tx1";
    let ran = desk.shell(&[&flag, "--user=1000:1000"], script);
    assert_eq!(ran.answer(), "1000 44\n 00 00", "{}", ran.stderr);
    let ran = desk.shell(&["--camera=/dev/video98"], "true");
    let said = ran.refusal(3);
    assert!(
        said.contains("--camera=/dev/video98: No such file"),
        "{said}"
    );
}

#[test]
fn detached_the_cookie_goes_with_the_container() {
    let desk = Desk::new();
    let base = desk.engines.base.clone();
    let wait = "while ! test -e /tmp/end; do sleep 0.1; done";
    let ran = desk.run(&["-d", &base, "sh", "-c", wait]);
    let id = ran.answer();
    assert!(
        id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()),
        "{ran:?}"
    );
    let docker = |args: &[&str]| {
        let mut docker = Command::new(desk.engines.bin.join("docker"));
        Ran::of(docker.args(["--host", &desk.docker]).args(args))
    };
    let script = "test -s $XAUTHORITY && ls /tmp/.X11-unix; touch /tmp/end";
    let seen = docker(&["exec", id, "sh", "-c", script]);
    assert_eq!(seen.answer(), format!("X{}", desk.xvfb.number));
    wait::until("the cookie goes", || desk.is_clean());
    docker(&["rm", id]).answer();

    let ran = desk.run(&["-d", "--rm", "--init=false", &base, "no-such-program"]);
    let ended = (ran.code, ran.stdout.as_str());
    assert_eq!(ended, (Some(127), ""), "{}", ran.stderr);
    assert!(desk.is_clean());
}
