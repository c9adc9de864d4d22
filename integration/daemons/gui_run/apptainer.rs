//! Windows of containers that Apptainer starts, for a user who has no Docker.

use std::os::unix::fs::PermissionsExt as _;

use super::{Window, give, opencv, volume};
use crate::apptainer::{ANN, Setting};
use crate::support::mlbuild::Ran;
use crate::support::repository;
use crate::support::xvfb::Xvfb;

#[test]
fn a_window_of_opencv_appears_and_its_cookie_goes_with_it() {
    let setting = Setting::new();
    let image = setting.of_its_own(opencv());
    let xvfb = Xvfb::start();
    let files = xvfb.authority();
    give(files.parent().unwrap(), ANN, ANN);
    let session = setting.project.outside().join("run");
    std::fs::create_dir(&session).unwrap();
    std::fs::set_permissions(&session, std::fs::Permissions::from_mode(0o700)).unwrap();
    give(&session, ANN, ANN);
    let volume = volume();
    let command = |flags: &[&str]| {
        let first = ["gui-run", "--runtime-cli=apptainer", "-i", "-v", &volume];
        let last = [image.as_str(), "python", "/cracks.py"];
        let mut command = setting.command(&[&first, flags, &last].concat());
        command
            .env("DISPLAY", xvfb.display())
            .env("XAUTHORITY", xvfb.authority())
            .env("XDG_RUNTIME_DIR", &session);
        command
    };
    let mut window = Window::open(&mut command(&[]));
    let frame = window.shown(&xvfb);
    // For a person to look at.
    frame.save(&repository().join(".state/screenshots/gui-run-apptainer.png"));
    let ran = window.close();
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let left = std::fs::read_dir(&session).unwrap().count();
    assert_eq!(left, 0, "the cookie is gone");
    // It is the cookie that lets it in.
    let mut without = command(&["-e", "XAUTHORITY=/nowhere"]);
    let ran = Ran::of(without.stdout(std::process::Stdio::null()));
    assert_ne!(ran.code, Some(0), "{}", ran.stderr);
}
