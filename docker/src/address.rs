//! Addresses of daemons: the parts that those of Docker and of builders have in common.

use std::fmt;
use std::path::PathBuf;

use url::Url;

/// Which Docker daemon a `docker://` address means.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DockerTarget {
    /// What Docker's own client would use: `DOCKER_HOST`, then
    /// `DOCKER_CONTEXT`, then the current context.
    Current,
    /// A Docker context by name.
    Context(String),
    /// A socket by path.
    Socket(PathBuf),
}

/// A machine reached with ssh.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SshTarget {
    /// Log-in name; ssh's configuration decides if absent.
    pub user: Option<String>,
    /// Host name or address.
    pub host: String,
    /// Port; ssh's configuration decides if absent.
    pub port: Option<u16>,
    /// Socket on that machine; the program's default if absent.
    pub socket: Option<PathBuf>,
}

impl SshTarget {
    /// Parses `ssh://[USER@]HOST[:PORT][/socket]`.
    pub fn parse(input: &str) -> Result<Self, String> {
        let url = parse_url(input)?;
        known_query(&url, &[])?;
        if url.password().is_some() {
            return Err("a password in the address is not supported; use a key or an agent".into());
        }
        let host = host(&url)?;
        let user = (!url.username().is_empty()).then(|| url.username().to_string());
        // ssh would read these as options.
        if host.starts_with('-') || user.as_deref().is_some_and(|u| u.starts_with('-')) {
            return Err("the host and the user must not begin with `-`".into());
        }
        let socket = match url.path() {
            "" | "/" => None,
            path => Some(PathBuf::from(path)),
        };
        Ok(Self {
            user,
            host,
            port: url.port(),
            socket,
        })
    }
}

impl fmt::Display for SshTarget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ssh://")?;
        if let Some(user) = &self.user {
            write!(f, "{user}@")?;
        }
        if self.host.contains(':') {
            write!(f, "[{}]", self.host)?
        } else {
            write!(f, "{}", self.host)?
        }
        if let Some(port) = self.port {
            write!(f, ":{port}")?;
        }
        match &self.socket {
            Some(socket) => write!(f, "{}", socket.display()),
            None => Ok(()),
        }
    }
}

/// Parses a URL without a fragment.
pub fn parse_url(input: &str) -> Result<Url, String> {
    let url = Url::parse(input).map_err(|e| e.to_string())?;
    match url.fragment() {
        Some(fragment) => Err(format!("`#{fragment}` has no meaning here")),
        None => Ok(url),
    }
}

/// The host of a URL, without the brackets of IPv6.
pub fn host(url: &Url) -> Result<String, String> {
    let host = url.host_str().unwrap_or_default();
    let host = host.trim_start_matches('[').trim_end_matches(']');
    if host.is_empty() {
        return Err(format!("a name must follow `{}://`", url.scheme()));
    }
    Ok(host.to_string())
}

/// Refuses parameters other than these.
pub fn known_query(url: &Url, known: &[&str]) -> Result<(), String> {
    for (key, _) in url.query_pairs() {
        if !known.contains(&key.as_ref()) {
            return Err(format!("unknown parameter `{key}`"));
        }
    }
    Ok(())
}
