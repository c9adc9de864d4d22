//! The display of this session, tried out: what would keep a window from opening is found before
//! anything is started.

use std::io;
use std::net::{IpAddr, ToSocketAddrs as _};
use std::path::{Path, PathBuf};

use super::Surroundings;
use super::authority::{Authority, Cookie, Family, LARGEST};
use super::name::{DisplayName, NoDisplayName};
use super::server::{OpenError, Server};

/// A display that lets this program in.
#[derive(Debug, Clone)]
pub struct X11 {
    /// Its name.
    pub name: DisplayName,
    /// The cookie that opens it; `None` where it asked for none.
    pub cookie: Option<Cookie>,
}

/// Why no window can open.
#[derive(Debug, thiserror::Error)]
pub enum Trouble {
    /// `DISPLAY` isn't set.
    #[error("DISPLAY is not set: there is no display that windows could appear on")]
    Unset,
    /// It is set to something else.
    #[error(transparent)]
    Name(#[from] NoDisplayName),
    /// There is no such socket.
    #[error("DISPLAY={name}, but there is no socket {}", socket.display())]
    NoSocket {
        /// The display.
        name: DisplayName,
        /// Where its socket would be.
        socket: PathBuf,
        /// Displays that there are.
        others: Vec<String>,
    },
    /// The socket is there, and nobody listens.
    #[error("DISPLAY={name}, but nothing answers at {place}: {error}")]
    Silent {
        /// The display.
        name: DisplayName,
        /// Its socket or port.
        place: String,
        /// What happened.
        error: io::Error,
    },
    /// The file with the cookies can't be read.
    #[error("the cookies in {} can't be read: {error}", path.display())]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// There is no cookie, and the server wants one.
    #[error("the display {name} asks for a cookie, and {} has none for it{why}", path.display())]
    NoCookie {
        /// The display.
        name: DisplayName,
        /// The file.
        path: PathBuf,
        /// Where the file is damaged, or that it isn't there.
        why: String,
    },
    /// The server doesn't take the cookie.
    #[error("the display {name} refuses the cookie in {}: {words}", path.display())]
    Refused {
        /// The display.
        name: DisplayName,
        /// The file.
        path: PathBuf,
        /// The server's words.
        words: String,
    },
}

impl Trouble {
    /// What to type.
    pub fn hint(&self) -> String {
        match self {
            Self::Unset => "on the desktop: export DISPLAY=:0; over ssh: log in with ssh -X".to_owned(),
            Self::Name(_) => "export DISPLAY=:0".to_owned(),
            Self::NoSocket { others, .. } => match others.first() {
                Some(first) => format!("there are {}: export DISPLAY={first}", others.join(", ")),
                None => "no display runs here; over ssh: log in with ssh -X".to_owned(),
            },
            Self::Silent { name, .. } => match name.host {
                Some(_) => "the ssh session that it belonged to may have ended: log in with ssh -X again; in tmux or screen, export the DISPLAY of the new log-in".to_owned(),
                None => "ls /tmp/.X11-unix lists the displays; the one that runs: export DISPLAY=:N".to_owned(),
            },
            Self::Unreadable { .. } => "the desktop's own file: systemctl --user show-environment | grep XAUTHORITY".to_owned(),
            Self::NoCookie { .. } => "xauth list shows the cookies; the desktop's own file: systemctl --user show-environment | grep XAUTHORITY".to_owned(),
            Self::Refused { .. } => "the cookie is of an earlier session: log in again, or export the XAUTHORITY of this one".to_owned(),
        }
    }

    /// Whether a person wrote it.
    pub fn is_users(&self) -> bool {
        matches!(self, Self::Name(_))
    }
}

/// Finds the display that `DISPLAY` names and its cookie, and connects once.
///
/// # Errors
/// [`Trouble`], with what to type.
pub fn x11(host: &Surroundings) -> Result<X11, Trouble> {
    let name: DisplayName = host.var("DISPLAY").ok_or(Trouble::Unset)?.parse()?;
    let file = cookie_file(host);
    let authority = match &file {
        Some(path) => read(host, path),
        None => Ok(Authority::default()),
    };
    let of_it = |authority: &Authority| authority.cookie(&addresses(&name), name.number).cloned();
    let cookie = authority.as_ref().ok().and_then(of_it);
    let path = file.unwrap_or_else(|| PathBuf::from("~/.Xauthority"));
    let tried = try_out(host, &name, cookie.as_ref())?;
    match (tried, cookie, authority) {
        (None, cookie, _) => Ok(X11 { name, cookie }),
        (Some(words), Some(_), _) => Err(Trouble::Refused { name, path, words }),
        (Some(_), None, Ok(authority)) => Err(Trouble::NoCookie {
            why: match authority.damaged_at {
                Some(at) => format!(" (the file is damaged from byte {at} on)"),
                None if !host.path(&path).exists() => " (there is no such file)".to_owned(),
                None => String::new(),
            },
            name,
            path,
        }),
        (Some(_), None, Err(error)) => Err(Trouble::Unreadable { path, error }),
    }
}

/// Connects; returns the server's words where it refuses.
fn try_out(
    host: &Surroundings,
    name: &DisplayName,
    cookie: Option<&Cookie>,
) -> Result<Option<String>, Trouble> {
    let silent = |place: String, error| Trouble::Silent {
        name: name.clone(),
        place,
        error,
    };
    let (opened, place) = match (&name.host, name.port()) {
        (Some(far), Some(port)) => (
            Server::at_port(far, port, cookie),
            format!("{far} port {port}"),
        ),
        _ => {
            let socket = name.socket();
            if !host.path(&socket).exists() {
                return Err(Trouble::NoSocket {
                    name: name.clone(),
                    others: displays(host),
                    socket,
                });
            }
            (
                Server::at_socket(&host.path(&socket), cookie),
                socket.display().to_string(),
            )
        }
    };
    match opened {
        Ok(_) => Ok(None),
        Err(OpenError::Refused(words)) => Ok(Some(words)),
        // sshd hangs up where it doesn't know the cookie.
        Err(OpenError::Io(error))
            if name.host.is_some() && error.kind() == io::ErrorKind::UnexpectedEof =>
        {
            Ok(Some("it hung up".to_owned()))
        }
        Err(OpenError::Io(error)) => Err(silent(place, error)),
    }
}

/// Opens a display that was found.
///
/// # Errors
/// [`OpenError`].
pub fn open(host: &Surroundings, display: &X11) -> Result<Server, OpenError> {
    match (&display.name.host, display.name.port()) {
        (Some(far), Some(port)) => Server::at_port(far, port, display.cookie.as_ref()),
        _ => Server::at_socket(&host.path(display.name.socket()), display.cookie.as_ref()),
    }
}

/// The displays of this machine.
fn displays(host: &Surroundings) -> Vec<String> {
    let entries = std::fs::read_dir(host.path("/tmp/.X11-unix"))
        .into_iter()
        .flatten();
    let number = |name: String| name.strip_prefix('X')?.parse::<u16>().ok();
    let mut numbers: Vec<u16> = entries
        .filter_map(|entry| number(entry.ok()?.file_name().into_string().ok()?))
        .collect();
    numbers.sort_unstable();
    numbers.iter().map(|number| format!(":{number}")).collect()
}

/// `XAUTHORITY`, else `~/.Xauthority`.
pub fn cookie_file(host: &Surroundings) -> Option<PathBuf> {
    let set = host.var("XAUTHORITY").map(PathBuf::from);
    set.or_else(|| Some(Path::new(host.var("HOME")?).join(".Xauthority")))
}

/// Reads a file of cookies; one that isn't there holds none.
///
/// # Errors
/// Where it can't be read, or is no such file.
pub fn read(host: &Surroundings, path: &Path) -> io::Result<Authority> {
    let path = host.path(path);
    let told = |error: io::Error| match error.kind() {
        io::ErrorKind::NotFound => Ok(Authority::default()),
        _ => Err(error),
    };
    match path.metadata() {
        Ok(file) if !file.is_file() || file.len() > LARGEST => {
            let why = "it is no file of cookies";
            return Err(io::Error::new(io::ErrorKind::InvalidData, why));
        }
        Ok(_) => {}
        Err(error) => return told(error),
    }
    std::fs::read(path).map_or_else(told, |bytes| Ok(Authority::read(&bytes)))
}

/// The addresses that a display's cookie may be filed under.
fn addresses(name: &DisplayName) -> Vec<(Family, Vec<u8>)> {
    let here = rustix::system::uname().nodename().to_bytes().to_vec();
    let Some(host) = &name.host else {
        return vec![(Family::LOCAL, here)];
    };
    let resolved = (host.as_str(), 0).to_socket_addrs().into_iter().flatten();
    let mut addresses = Vec::new();
    for address in resolved.map(|address| address.ip()) {
        // As X's library and ssh have it: what comes back to this machine is filed by its name.
        addresses.push(match address {
            address if address.is_loopback() => (Family::LOCAL, here.clone()),
            IpAddr::V4(address) => (Family::INTERNET, address.octets().to_vec()),
            IpAddr::V6(address) => (Family::INTERNET6, address.octets().to_vec()),
        });
    }
    addresses
}

#[cfg(test)]
mod tests {
    use std::io::{Read as _, Write as _};
    use std::os::unix::net::UnixListener;

    use super::super::authority::Entry;
    use super::*;

    fn host(env: &[(&str, &str)]) -> (tempfile::TempDir, Surroundings) {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(root.path().join("tmp/.X11-unix")).unwrap();
        let env = env
            .iter()
            .map(|(n, v)| ((*n).to_owned(), (*v).to_owned()))
            .collect();
        let host = Surroundings {
            root: root.path().to_owned(),
            env,
        };
        (root, host)
    }

    /// A server that takes `cookie` alone, as long as connections come.
    fn server(host: &Surroundings, cookie: &'static [u8]) {
        let socket = UnixListener::bind(host.path("/tmp/.X11-unix/X7")).unwrap();
        std::thread::spawn(move || {
            for stream in socket.incoming() {
                let mut stream = stream.unwrap();
                let mut hello = [0; 12];
                stream.read_exact(&mut hello).unwrap();
                let padded = |low: usize| usize::from(hello[low]).next_multiple_of(4);
                let mut rest = vec![0; padded(6) + padded(8)];
                stream.read_exact(&mut rest).unwrap();
                let good = rest
                    .get(padded(6)..)
                    .is_some_and(|data| !data.is_empty() && data.starts_with(cookie));
                let answer: &[u8] = if good {
                    &[1, 0, 11, 0, 0, 0, 0, 0]
                } else {
                    &[
                        0, 7, 11, 0, 0, 0, 2, 0, b'g', b'o', b' ', b'a', b'w', 0x1b, b'y', 0,
                    ]
                };
                stream.write_all(answer).unwrap();
            }
        });
    }

    fn said(host: &Surroundings) -> String {
        let trouble = x11(host).unwrap_err();
        format!("{trouble}\n{}", trouble.hint()).replace(&host.root.display().to_string(), "")
    }

    #[test]
    fn the_cookie_that_opens_it_is_found() {
        let (_root, host) = host(&[("DISPLAY", ":7.0"), ("HOME", "/home")]);
        server(&host, b"good");
        insta::assert_snapshot!(said(&host), @r"
        the display :7 asks for a cookie, and /home/.Xauthority has none for it (there is no such file)
        xauth list shows the cookies; the desktop's own file: systemctl --user show-environment | grep XAUTHORITY
        ");
        let file = host.path("/home/.Xauthority");
        std::fs::create_dir(host.path("/home")).unwrap();
        let write = |cookie: &[u8], more: &[u8]| {
            let mut bytes = Authority::write(&[Entry::wild(7, Cookie(cookie.to_vec()))]).unwrap();
            bytes.extend(more);
            std::fs::write(&file, bytes).unwrap();
        };
        write(b"stale", b"");
        insta::assert_snapshot!(said(&host), @r"
        the display :7 refuses the cookie in /home/.Xauthority: go aw y
        the cookie is of an earlier session: log in again, or export the XAUTHORITY of this one
        ");
        write(b"good", b"\x01");
        assert_eq!(x11(&host).unwrap().cookie, Some(Cookie(b"good".to_vec())));
        std::fs::write(&file, b"\x01\x00\x00").unwrap();
        assert!(said(&host).contains("(the file is damaged from byte 0 on)"));
        std::fs::remove_file(&file).unwrap();
        std::fs::create_dir(&file).unwrap();
        insta::assert_snapshot!(said(&host), @r"
        the cookies in /home/.Xauthority can't be read: it is no file of cookies
        the desktop's own file: systemctl --user show-environment | grep XAUTHORITY
        ");
    }

    #[test]
    fn a_display_that_is_not_there() {
        let (_root, host) = host(&[("DISPLAY", ":3")]);
        insta::assert_snapshot!(said(&host), @r"
        DISPLAY=:3, but there is no socket /tmp/.X11-unix/X3
        no display runs here; over ssh: log in with ssh -X
        ");
        drop(UnixListener::bind(host.path("/tmp/.X11-unix/X12")).unwrap());
        drop(UnixListener::bind(host.path("/tmp/.X11-unix/X3")).unwrap());
        insta::assert_snapshot!(said(&host), @r"
        DISPLAY=:3, but nothing answers at /tmp/.X11-unix/X3: Connection refused (os error 111)
        ls /tmp/.X11-unix lists the displays; the one that runs: export DISPLAY=:N
        ");
        std::fs::remove_file(host.path("/tmp/.X11-unix/X3")).unwrap();
        insta::assert_snapshot!(said(&host), @r"
        DISPLAY=:3, but there is no socket /tmp/.X11-unix/X3
        there are :12: export DISPLAY=:12
        ");
    }

    #[test]
    fn what_is_no_display() {
        let (_root, no_display) = host(&[]);
        insta::assert_snapshot!(said(&no_display), @r"
        DISPLAY is not set: there is no display that windows could appear on
        on the desktop: export DISPLAY=:0; over ssh: log in with ssh -X
        ");
        let (_root, zero) = host(&[("DISPLAY", "zero")]);
        insta::assert_snapshot!(said(&zero), @r"
        DISPLAY=zero isn't a display: it looks like :0, or localhost:10.0 over ssh
        export DISPLAY=:0
        ");
        let (_root, gone) = host(&[("DISPLAY", "localhost:59000")]);
        assert!(
            said(&gone).starts_with(
                "DISPLAY=localhost:59000, but nothing answers at localhost port 65000: "
            )
        );
    }
}
