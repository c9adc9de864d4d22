//! Windows that appear, and those that may not.

use super::{Desk, Window, show, volume};
use crate::support::mlbuild::Ran;
use crate::support::xvfb::{Picture, Xvfb};
use crate::support::{repository, wait};

/// The time, as Docker takes it: seconds of the epoch.
fn now() -> String {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap();
    format!("{}.{:09}", since.as_secs(), since.subsec_nanos())
}

#[test]
fn a_window_of_opencv_appears_with_every_pixel() {
    let desk = Desk::new();
    let volume = volume();
    let mut window = Window::open(&mut desk.command(&show(&[], &volume)));
    let frame = window.shown(&desk.xvfb);
    // For a person to look at.
    frame.save(&repository().join(".state/screenshots/gui-run.png"));
    assert!(!desk.is_clean());
    let ran = window.close();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(!ran.stderr.contains("mlbuild: "), "{}", ran.stderr);
    assert!(desk.is_clean(), "the cookie is gone");

    // The record doesn't have what was of this session.
    let name = desk.project.runs().remove(0);
    let record = desk.project.read(&format!("mlbuild.runs/{name}"));
    assert!(record.contains("display = \"isolated\""), "{record}");
    assert!(
        !record.contains("mlbuild-gui-") && !record.contains("X11-unix"),
        "{record}"
    );
    // It is restored at another.
    let run = name.trim_end_matches(".toml");
    let again = Ran::of(&mut desk.verb(&["restore", run, "--no-shell", "--no-code"]));
    let line = again.answer();
    assert!(
        line.starts_with("mlbuild gui-run --display-access=isolated --runtime-cli=docker "),
        "{line}"
    );
    assert!(
        line.contains(" --rm ") && !line.contains("DISPLAY=") && !line.contains("MLBUILD_RUN_ID"),
        "{line}"
    );
}

/// A display's frame, once nothing is drawn any more.
fn still(xvfb: &Xvfb) -> Picture {
    let mut before = xvfb.frame();
    wait::until("nothing is drawn any more", || {
        std::thread::sleep(std::time::Duration::from_millis(300));
        let now = xvfb.frame();
        let is_still = now == before;
        before = now;
        is_still
    });
    before
}

/// OpenCV's Qt has no fonts of its own: without the image's, names of as many letters look the same.
#[test]
fn qt_draws_the_names_of_trackbars() {
    let volume = volume();
    let named = |script: &str, name: &str| {
        let desk = Desk::new();
        let program = ["sh", "-c", script, name];
        let line = ["--rm", "-i", "--user", "0", "-v", &volume, super::opencv()];
        let mut window = Window::open(&mut desk.command(&[&line[..], &program].concat()));
        window.shown(&desk.xvfb);
        let frame = still(&desk.xvfb);
        (frame, window.close().stderr)
    };
    let (one, other) = ("width of cracks", "depth of stains");
    let plain = r#"exec python /cracks.py "$0""#;
    let (frame, said) = named(plain, one);
    // For a person to look at.
    frame.save(&repository().join(".state/screenshots/trackbar.png"));
    assert!(frame != named(plain, other).0, "no name is drawn");
    assert!(!said.contains("font"), "{said}");
    let without = format!("rm /opt/venv/lib/python3*/site-packages/cv2/qt/fonts; {plain}");
    let (frame, said) = named(&without, one);
    assert!(said.contains("font"), "{said}");
    assert!(
        frame == named(&without, other).0,
        "more than the name differs"
    );
}

#[test]
fn without_the_cookie_no_window_appears_and_it_is_explained() {
    let desk = Desk::new();
    let volume = volume();
    let before = desk.xvfb.frame();
    // On stdout is the picture.
    let mut command = desk.command(&show(&["-e", "XAUTHORITY=/nowhere"], &volume));
    let ran = Ran::of(command.stdout(std::process::Stdio::null()));
    // Qt aborts.
    assert_eq!(ran.code, Some(134), "{}", ran.stderr);
    let said = &ran.stderr;
    let refused = said.find("Authorization required, but no authorization protocol specified");
    let explained = said.find("mlbuild: the display refused the program");
    assert!(refused.is_some() && refused < explained, "{said}");
    assert!(said.contains("mlbuild: Qt found no display"), "{said}");
    assert!(desk.xvfb.frame() == before);
    assert!(desk.is_clean());
}

#[test]
fn as_uid_1000055_a_window_appears() {
    let mut desk = Desk::new();
    let volume = volume();
    // Isolated, as any user of the container.
    let mut window = Window::open(&mut desk.command(&show(&["--user", "1000055"], &volume)));
    window.shown(&desk.xvfb);
    assert_eq!(window.close().code, Some(0));

    // As a user of this machine who has that uid, and may use Docker.
    desk.xvfb = crate::support::xvfb::Xvfb::start();
    super::give(desk.project.outside(), 1_000_055, 0);
    super::give(desk.xvfb.authority().parent().unwrap(), 1_000_055, 0);
    for way in ["--display-access=uid", "--display-access=as-me"] {
        use std::os::unix::process::CommandExt as _;
        let mut command = desk.command(&show(&[way], &volume));
        let mut window = Window::open(command.uid(1_000_055).gid(0).env("USER", "ann"));
        window.shown(&desk.xvfb);
        let ran = window.close();
        assert_eq!(ran.code, Some(0), "{way}: {}", ran.stderr);
        assert!(desk.is_clean(), "{way}");
    }
}

#[test]
fn what_the_image_lacks_is_said_before_its_program_fails() {
    let workshop = crate::templates::Workshop::new(&[]);
    let remove = "find /usr/lib -name 'libSM.so.6*' -delete";
    let name = format!(
        "gui-run-lacks-{}",
        ulid::Ulid::r#gen().to_string().to_lowercase()
    );
    workshop.docker(&[
        "run",
        "--name",
        &name,
        "--user",
        "0",
        super::opencv(),
        "sh",
        "-c",
        remove,
    ]);
    workshop.docker(&["commit", &name, &name]);
    workshop.docker(&["rm", &name]);
    let desk = Desk::new();
    let since = now();
    for _ in 0..2 {
        let ran = desk.run(&["--rm", &name, "true"]);
        assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        let lacks = "warning: the image has no libSM.so.6 (libsm6), which cv2 needs for windows\n  hint: mlbuild image --gui";
        assert!(ran.stderr.contains(lacks), "{}", ran.stderr);
    }
    // What was seen is kept: one container to look, and two that were asked for.
    let made = ["--filter", "event=create", "--format", "{{.ID}}"];
    let (until, image) = (now(), format!("image={name}"));
    let between = ["--since", &since, "--until", &until, "--filter", &image];
    let created = workshop.docker(&[&["events"], &between[..], &made].concat());
    assert_eq!(created.lines().count(), 3, "{created}");
    workshop.docker(&["rmi", &name]);
    let ran = desk.run(&["--rm", super::opencv(), "true"]);
    assert!(!ran.stderr.contains("warning"), "{}", ran.stderr);
}
