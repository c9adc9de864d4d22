//! Byte streams to daemons: one file per way to reach one. What is spoken over them is not this
//! module's business.

mod child;
mod ssh;
mod tcp;
mod unix;

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};

use crate::address::SshTarget;
use crate::context::{DockerContextError, DockerHost};
use crate::env::Env;
use crate::tls::{TlsError, TlsOptions};

pub use child::{ChildCommand, Stderr};
pub use tcp::Tls;

/// A byte stream in both directions.
pub trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}
/// Any of them.
pub type BoxIo = Box<dyn Io>;

/// Why no byte stream could be opened.
#[derive(Debug, thiserror::Error)]
pub enum DialError {
    /// The operating system refused.
    #[error("{address}: {}", explain(.source, .address))]
    Refused {
        /// Where to.
        address: String,
        /// What the system said.
        source: io::Error,
    },
    /// Nothing answered in time.
    #[error("{address}: no answer within {} s", .after.as_secs_f32())]
    TimedOut {
        /// Where to.
        address: String,
        /// How long was waited.
        after: Duration,
    },
    /// TLS settings are wrong.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// The TLS handshake failed.
    #[error("{address}: TLS handshake: {source}")]
    Handshake {
        /// Where to.
        address: String,
        /// What went wrong.
        source: io::Error,
    },
    /// The Docker daemon meant couldn't be made out.
    #[error(transparent)]
    DockerContext(#[from] DockerContextError),
    /// The Docker daemon doesn't let BuildKit through.
    #[error("{address}: the Docker daemon has no BuildKit API: {reason}")]
    NoUpgrade {
        /// Where to.
        address: String,
        /// What it answered.
        reason: String,
    },
    /// A helper program couldn't be started.
    #[error("`{program}` can't be started ({source}); it is needed for {address}")]
    Program {
        /// The program.
        program: String,
        /// Where to.
        address: String,
        /// What the system said.
        source: io::Error,
    },
}

impl DialError {
    /// Whether trying again soon may help: the other side may be starting.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Refused { source, .. } => matches!(
                source.kind(),
                io::ErrorKind::ConnectionReset
                    | io::ErrorKind::ConnectionAborted
                    | io::ErrorKind::Interrupted
                    | io::ErrorKind::WouldBlock
            ),
            Self::Handshake { source, .. } => source.kind() == io::ErrorKind::UnexpectedEof,
            _ => false,
        }
    }
}

fn explain(error: &io::Error, address: &str) -> String {
    match error.kind() {
        io::ErrorKind::NotFound if address.starts_with('/') => "no such socket".to_string(),
        io::ErrorKind::ConnectionRefused if address.starts_with('/') => {
            "nothing listens on this socket".to_string()
        }
        io::ErrorKind::ConnectionRefused => "connection refused".to_string(),
        io::ErrorKind::PermissionDenied if address.ends_with("docker.sock") => {
            "permission denied; join the group `docker` or run as root".to_string()
        }
        io::ErrorKind::PermissionDenied => "permission denied".to_string(),
        _ => error.to_string(),
    }
}

/// How long opening one byte stream may take.
pub const DIAL_TIMEOUT: Duration = Duration::from_secs(20);

/// Opens byte streams to one daemon, any number of times.
#[derive(Clone, Debug)]
pub enum Dialer {
    /// To a socket.
    Unix(PathBuf),
    /// To a port.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
        /// Plain where absent.
        tls: Option<Tls>,
    },
    /// Through a program's stdin and stdout.
    Child {
        /// The program.
        command: ChildCommand,
        /// Its environment.
        env: Env,
        /// What it said.
        stderr: Stderr,
    },
}

impl Dialer {
    /// The machine that it reaches by TCP without TLS. It may be this one.
    pub fn host_in_the_clear(&self) -> Option<&str> {
        match self {
            Self::Tcp {
                host, tls: None, ..
            } => Some(host),
            _ => None,
        }
    }

    /// To a port. ALPN is what TLS offers to speak, in order; none where the list is empty.
    ///
    /// # Errors
    ///
    /// Files of the TLS settings can't be used.
    pub fn tcp(
        host: &str,
        port: u16,
        tls: Option<&TlsOptions>,
        alpn: &[&[u8]],
    ) -> Result<Self, DialError> {
        let tls = match tls {
            Some(options) => Some(Tls::new(options, true, host, alpn)?),
            None => None,
        };
        Ok(Self::Tcp {
            host: host.to_owned(),
            port,
            tls,
        })
    }

    /// Through a program.
    pub fn child(command: ChildCommand, env: &Env) -> Self {
        Self::Child {
            command,
            env: env.clone(),
            stderr: Stderr::default(),
        }
    }

    /// Through `buildctl` on another machine, to a buildkitd there.
    pub fn buildctl(target: &SshTarget, env: &Env) -> Self {
        Self::child(ssh::buildctl(target), env)
    }

    /// To a Docker daemon's own socket.
    ///
    /// # Errors
    ///
    /// Files of the TLS settings can't be used.
    pub fn docker(host: &DockerHost, env: &Env) -> Result<Self, DialError> {
        Ok(match host {
            DockerHost::Unix(path) => Self::Unix(path.clone()),
            DockerHost::Tcp { host, port, tls } => Self::Tcp {
                host: host.clone(),
                port: *port,
                tls: match tls {
                    // No ALPN: the same port serves HTTP/1.1, which changing to HTTP/2 begins with.
                    Some(tls) => Some(Tls::new(&tls.options, tls.verify, host, &[])?),
                    None => None,
                },
            },
            DockerHost::Ssh(target) => Self::child(ssh::docker(target), env),
        })
    }

    /// Opens a byte stream.
    ///
    /// # Errors
    ///
    /// It can't be opened.
    pub async fn dial(&self) -> Result<BoxIo, DialError> {
        match self {
            Self::Unix(path) => unix::dial(path).await,
            Self::Tcp { host, port, tls } => tcp::dial(host, *port, tls.as_ref()).await,
            Self::Child {
                command,
                env,
                stderr,
            } => child::dial(command, env, stderr),
        }
    }

    /// What a helper program has said on stderr, for error messages.
    pub fn stderr(&self) -> Option<String> {
        match self {
            Self::Child { stderr, .. } => stderr.text(),
            Self::Unix(_) | Self::Tcp { .. } => None,
        }
    }
}
