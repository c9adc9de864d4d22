//! `DISPLAY`: `:0`, `:0.1`, `unix:0`, `localhost:10.0`, `[::1]:5`, `tcp/host:0`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The port of display 0.
const FIRST_PORT: u16 = 6000;

/// A display's name.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DisplayName {
    /// The machine, where it is reached over TCP.
    pub host: Option<String>,
    /// Its number.
    pub number: u16,
    /// The screen, which is 0 where none is named.
    pub screen: u16,
}

/// A text that names no display.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("DISPLAY={0} isn't a display: it looks like :0, or localhost:10.0 over ssh")]
pub struct NoDisplayName(pub String);

impl DisplayName {
    /// The socket of a display on this machine.
    pub fn socket(&self) -> PathBuf {
        PathBuf::from(format!("/tmp/.X11-unix/X{}", self.number))
    }

    /// The port of a display that is reached over TCP; `None` where there can't be one.
    pub fn port(&self) -> Option<u16> {
        FIRST_PORT.checked_add(self.number)
    }

    /// The same display by its socket.
    pub fn local(&self) -> Self {
        Self {
            host: None,
            ..self.clone()
        }
    }
}

impl FromStr for DisplayName {
    type Err = NoDisplayName;

    fn from_str(text: &str) -> Result<Self, NoDisplayName> {
        let wrong = || NoDisplayName(text.to_owned());
        let (server, rest) = text.rsplit_once(':').ok_or_else(wrong)?;
        let (number, screen) = rest.split_once('.').unwrap_or((rest, "0"));
        let host = match server.strip_prefix("tcp/").unwrap_or(server) {
            "" | "unix" => None,
            host => Some(host.trim_matches(['[', ']']).to_owned()),
        };
        let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
        // What follows goes into paths and onto command lines.
        let is_host = |c: char| c.is_ascii_alphanumeric() || "-_.:%".contains(c);
        if !digits(number)
            || !digits(screen)
            || !host.iter().all(|h| !h.is_empty() && h.chars().all(is_host))
        {
            return Err(wrong());
        }
        let name = Self {
            host,
            number: number.parse().map_err(|_| wrong())?,
            screen: screen.parse().map_err(|_| wrong())?,
        };
        if name.host.is_some() && name.port().is_none() {
            Err(wrong())
        } else {
            Ok(name)
        }
    }
}

impl fmt::Display for DisplayName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.host {
            Some(host) if host.contains(':') => write!(f, "[{host}]")?,
            Some(host) => f.write_str(host)?,
            None => {}
        }
        write!(f, ":{}", self.number)?;
        match self.screen {
            0 => Ok(()),
            screen => write!(f, ".{screen}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_is_read() {
        let read = |text: &str| {
            let name: DisplayName = text.parse().unwrap();
            (
                name.host.clone(),
                name.number,
                name.screen,
                name.to_string(),
            )
        };
        let of = |host: Option<&str>, number, screen, shown: &str| {
            (host.map(str::to_owned), number, screen, shown.to_owned())
        };
        assert_eq!(read(":0"), of(None, 0, 0, ":0"));
        assert_eq!(read("unix:1.2"), of(None, 1, 2, ":1.2"));
        assert_eq!(
            read("localhost:10.0"),
            of(Some("localhost"), 10, 0, "localhost:10")
        );
        assert_eq!(read("[::1]:5"), of(Some("::1"), 5, 0, "[::1]:5"));
        assert_eq!(
            read("tcp/far.example:0"),
            of(Some("far.example"), 0, 0, "far.example:0")
        );
        let ssh: DisplayName = "localhost:10.0".parse().unwrap();
        assert_eq!(ssh.port(), Some(6010));
        assert_eq!(ssh.local().socket(), PathBuf::from("/tmp/.X11-unix/X10"));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in [
            "",
            "0",
            ":",
            ":x",
            ":-1",
            ":0.x",
            ":99999",
            "localhost:60000",
            "a b:0",
            "a/../b:0",
            "[]:0",
            ":+1",
            ":0.0.0",
        ] {
            assert!(text.parse::<DisplayName>().is_err(), "{text}");
        }
    }
}
