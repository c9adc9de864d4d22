//! The display that windows would appear on: whether its cookie opens it, and who else is let in.

use super::Finding;
use crate::display::find::{self, Trouble};
use crate::display::server::Access;
use crate::display::{Surroundings, wayland};
use crate::host::Host;

const AREA: &str = "display";

/// Looks at `DISPLAY`, `XAUTHORITY` and `WAYLAND_DISPLAY`.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    let host = Surroundings {
        root: host.root.clone(),
        env: host.env.clone(),
    };
    let mut findings = Vec::new();
    match find::x11(&host) {
        Ok(display) => {
            let cookie = match (&display.cookie, find::cookie_file(&host)) {
                (Some(_), Some(file)) => format!("the cookie in {} opens it", file.display()),
                _ => "it asks for no cookie".to_owned(),
            };
            let message = format!("X11 at DISPLAY={}: {cookie}", display.name);
            findings.push(Finding::ok(AREA, message));
            // Over ssh the answer is about the far machine, which asks for the cookie anyway.
            let server = find::open(&host, &display)
                .ok()
                .filter(|_| display.name.host.is_none());
            if let Some(access) = server.and_then(|mut server| server.access().ok()) {
                findings.extend(too_open(&access));
            }
        }
        Err(Trouble::Unset) => findings.push(Finding::ok(
            AREA,
            "DISPLAY is not set: containers can't show X11 windows",
        )),
        Err(trouble) => findings.push(Finding::warn(AREA, trouble.to_string(), trouble.hint())),
    }
    if host.var("WAYLAND_DISPLAY").is_some() {
        findings.push(match wayland::socket(&host) {
            Ok(socket) => Finding::ok(AREA, format!("Wayland at {}", socket.display())),
            Err(error) => Finding::warn(AREA, error.to_string(), "unset WAYLAND_DISPLAY"),
        });
    }
    findings
}

/// Whether programs of other users can see the display and read its keys.
fn too_open(access: &Access) -> Option<Finding> {
    if !access.controlled {
        return Some(Finding::warn(
            AREA,
            "the display is open to everybody: xhost + was typed",
            "xhost -",
        ));
    }
    let wide: Vec<String> = access
        .guests
        .iter()
        .filter(|guest| guest.is_wide())
        .map(ToString::to_string)
        .collect();
    (!wide.is_empty()).then(|| {
        let fix: Vec<String> = wide.iter().map(|guest| format!("xhost -{guest}")).collect();
        Finding::warn(
            AREA,
            format!(
                "the display is open to every program of {}",
                wide.join(", ")
            ),
            fix.join("\n"),
        )
    })
}

#[cfg(test)]
mod tests {
    use super::{super::text, *};
    use crate::display::server::Guest;

    fn shown(env: &[(&str, &str)]) -> String {
        let root = tempfile::tempdir().unwrap();
        let env = env
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        let host = Host {
            root: root.path().to_owned(),
            env,
        };
        text(&check(&host), false)
    }

    #[test]
    fn without_a_display_nothing_is_wrong() {
        insta::assert_snapshot!(shown(&[]), @"display  ok   DISPLAY is not set: containers can't show X11 windows");
    }

    #[test]
    fn a_display_that_is_not_there() {
        let env = [
            ("DISPLAY", ":3"),
            ("WAYLAND_DISPLAY", "wayland-0"),
            ("XDG_RUNTIME_DIR", "/run/user/7"),
        ];
        insta::assert_snapshot!(shown(&env), @r"
        display  warn DISPLAY=:3, but there is no socket /tmp/.X11-unix/X3
                      → no display runs here; over ssh: log in with ssh -X
                 warn WAYLAND_DISPLAY names /run/user/7/wayland-0, and there is no such socket
                      → unset WAYLAND_DISPLAY
        ");
    }

    #[test]
    fn an_open_display_is_told() {
        let shown_access = |controlled, guests: &[Guest]| {
            let access = Access {
                controlled,
                guests: guests.to_vec(),
            };
            too_open(&access).map(|finding| text(&[finding], false))
        };
        assert_eq!(shown_access(true, &[Guest::user(1000)]), None);
        insta::assert_snapshot!(shown_access(false, &[]).unwrap(), @r"
        display  warn the display is open to everybody: xhost + was typed
                      → xhost -
        ");
        insta::assert_snapshot!(shown_access(true, &[Guest::everybody_here()]).unwrap(), @r"
        display  warn the display is open to every program of local:
                      → xhost -local:
        ");
    }
}
