//! The display that windows would appear on: its socket, its cookie, and whether it is open to
//! everybody.

use std::{
    io::{Read as _, Write as _},
    os::unix::net::UnixStream,
    path::{Path, PathBuf},
    time::Duration,
};

use super::Finding;
use crate::host::Host;

const AREA: &str = "display";

/// Looks at `DISPLAY`, `XAUTHORITY` and `WAYLAND_DISPLAY`.
pub(super) fn check(host: &Host) -> Vec<Finding> {
    let set = |name: &str| {
        host.env
            .get(name)
            .map(String::as_str)
            .filter(|v| !v.is_empty())
    };
    let mut findings = Vec::new();
    match set("DISPLAY") {
        Some(display) => findings.extend(x11(host, display, set("XAUTHORITY"), set("HOME"))),
        None => findings.push(Finding::ok(
            AREA,
            "DISPLAY is not set: containers can't show X11 windows",
        )),
    }
    if let Some(name) = set("WAYLAND_DISPLAY") {
        let socket = match set("XDG_RUNTIME_DIR") {
            Some(folder) => Path::new(folder).join(name),
            None => PathBuf::from(name),
        };
        findings.push(if at(host, &socket).exists() {
            Finding::ok(AREA, format!("Wayland at {}", socket.display()))
        } else {
            let message = format!(
                "WAYLAND_DISPLAY names {}, and there is no such socket",
                socket.display()
            );
            Finding::warn(AREA, message, "unset WAYLAND_DISPLAY")
        });
    }
    findings
}

fn at(host: &Host, path: &Path) -> PathBuf {
    host.root.join(path.strip_prefix("/").unwrap_or(path))
}

fn x11(host: &Host, display: &str, authority: Option<&str>, home: Option<&str>) -> Vec<Finding> {
    let Some((server, number)) = parse(display) else {
        let message = format!("DISPLAY={display} is not a display");
        return vec![Finding::warn(AREA, message, "export DISPLAY=:0")];
    };
    let mut findings = Vec::new();
    if server.is_empty() || server == "unix" {
        let socket = PathBuf::from(format!("/tmp/.X11-unix/X{number}"));
        if !at(host, &socket).exists() {
            let message = format!("DISPLAY={display}, but there is no {}", socket.display());
            return vec![Finding::warn(
                AREA,
                message,
                "ls /tmp/.X11-unix    # the displays there are",
            )];
        }
        findings.push(match lets_anybody_in(&at(host, &socket)) {
            Ok(true) => Finding::warn(
                AREA,
                format!("the X server at DISPLAY={display} lets you in without a cookie; xhost says who else"),
                "xhost    # \"access control disabled\" means everybody\nxhost -    # asks for cookies again",
            ),
            Ok(false) => Finding::ok(AREA, format!("X11 at DISPLAY={display}, which asks for a cookie")),
            Err(error) => Finding::warn(
                AREA,
                format!("nothing answers at {}: {error}", socket.display()),
                "ls /tmp/.X11-unix    # the displays there are",
            ),
        });
    } else {
        findings.push(Finding::ok(
            AREA,
            format!("X11 at DISPLAY={display}, over TCP (ssh forwarding?)"),
        ));
    }
    findings.push(cookie(host, authority, home));
    findings
}

/// `host:display.screen`.
fn parse(display: &str) -> Option<(&str, u32)> {
    let (server, rest) = display.rsplit_once(':')?;
    let number = rest.split('.').next()?.parse().ok()?;
    Some((server, number))
}

/// Begins an X11 connection without a cookie; the first byte of the answer says whether that does.
fn lets_anybody_in(socket: &Path) -> std::io::Result<bool> {
    let mut stream = UnixStream::connect(socket)?;
    stream.set_read_timeout(Some(Duration::from_secs(2)))?;
    // Little-endian, protocol 11.0, no authorization name or data.
    stream.write_all(&[b'l', 0, 11, 0, 0, 0, 0, 0, 0, 0, 0, 0])?;
    let mut answer = [0];
    stream.read_exact(&mut answer)?;
    Ok(answer[0] == 1)
}

fn cookie(host: &Host, authority: Option<&str>, home: Option<&str>) -> Finding {
    let path = match (authority, home) {
        (Some(path), _) => PathBuf::from(path),
        (None, Some(home)) => Path::new(home).join(".Xauthority"),
        (None, None) => {
            return Finding::warn(
                AREA,
                "no XAUTHORITY and no home folder",
                "export XAUTHORITY=FILE",
            );
        }
    };
    match std::fs::read(at(host, &path)) {
        Ok(bytes) if bytes.is_empty() => Finding::warn(
            AREA,
            format!("{} holds no cookie", path.display()),
            "xauth list",
        ),
        Ok(_) => Finding::ok(AREA, format!("cookies in {}", path.display())),
        Err(error) => Finding::warn(
            AREA,
            format!("the cookies in {} can't be read: {error}", path.display()),
            "xauth info    # names the file; export XAUTHORITY=FILE",
        ),
    }
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;

    use super::{super::text, *};

    fn host(env: &[(&str, &str)]) -> (tempfile::TempDir, Host) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("tmp/.X11-unix")).unwrap();
        let env = env
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        let host = Host {
            root: root.path().to_owned(),
            env,
        };
        (root, host)
    }

    /// A server that answers the beginning of a connection with one byte.
    fn server(host: &Host, answer: u8) {
        let socket = UnixListener::bind(host.root.join("tmp/.X11-unix/X7")).unwrap();
        std::thread::spawn(move || {
            let (mut stream, _) = socket.accept().unwrap();
            let mut request = [0; 12];
            stream.read_exact(&mut request).unwrap();
            stream.write_all(&[answer; 8]).unwrap();
        });
    }

    #[test]
    fn without_a_display_nothing_is_wrong() {
        let (_root, host) = host(&[]);
        insta::assert_snapshot!(text(&check(&host), false), @r"display  ok   DISPLAY is not set: containers can't show X11 windows");
    }

    #[test]
    fn a_closed_server_with_a_cookie() {
        let (root, host) = host(&[("DISPLAY", ":7.0"), ("XAUTHORITY", "/cookie")]);
        std::fs::write(root.path().join("cookie"), "x").unwrap();
        server(&host, 0);
        insta::assert_snapshot!(text(&check(&host), false), @r"
        display  ok   X11 at DISPLAY=:7.0, which asks for a cookie
                 ok   cookies in /cookie
        ");
    }

    #[test]
    fn an_open_server_is_told() {
        let (_root, host) = host(&[("DISPLAY", "unix:7"), ("HOME", "/home")]);
        server(&host, 1);
        insta::assert_snapshot!(text(&check(&host), false), @r#"
        display  warn the X server at DISPLAY=unix:7 lets you in without a cookie; xhost says who else
                      → xhost    # "access control disabled" means everybody
                      → xhost -    # asks for cookies again
                 warn the cookies in /home/.Xauthority can't be read: No such file or directory (os error 2)
                      → xauth info    # names the file; export XAUTHORITY=FILE
        "#);
    }

    #[test]
    fn a_display_that_is_not_there() {
        let (_root, host) = host(&[
            ("DISPLAY", ":3"),
            ("WAYLAND_DISPLAY", "wayland-0"),
            ("XDG_RUNTIME_DIR", "/run/user/7"),
        ]);
        insta::assert_snapshot!(text(&check(&host), false), @r"
        display  warn DISPLAY=:3, but there is no /tmp/.X11-unix/X3
                      → ls /tmp/.X11-unix    # the displays there are
                 warn WAYLAND_DISPLAY names /run/user/7/wayland-0, and there is no such socket
                      → unset WAYLAND_DISPLAY
        ");
    }

    #[test]
    fn displays_are_parsed() {
        assert_eq!(parse(":0"), Some(("", 0)));
        assert_eq!(parse("localhost:10.0"), Some(("localhost", 10)));
        assert_eq!(parse("[::1]:5"), Some(("[::1]", 5)));
        assert_eq!(parse("zero"), None);
    }
}
