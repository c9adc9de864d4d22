//! Byte streams to builders: one file per way to reach one. What is spoken
//! over them is not this module's business, except that a Docker daemon must
//! be asked to change to HTTP/2 first.

mod child;
pub(crate) mod docker;
mod docker_container;
mod kube_pod;
mod ssh;
mod tcp;
mod unix;

use std::io;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite};

use crate::docker::context::{DockerContextError, DockerHost};
use crate::endpoint::Endpoint;
use crate::env::Env;
use crate::tls::{TlsError, TlsOptions};

pub(crate) use child::{ChildCommand, Stderr};

/// A byte stream in both directions.
pub(crate) trait Io: AsyncRead + AsyncWrite + Send + Unpin + 'static {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin + 'static> Io for T {}
pub(crate) type BoxIo = Box<dyn Io>;

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
    pub(crate) fn is_transient(&self) -> bool {
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
pub(crate) const DIAL_TIMEOUT: Duration = Duration::from_secs(20);

/// Opens byte streams to one endpoint, any number of times.
#[derive(Clone, Debug)]
pub(crate) enum Dialer {
    Unix(PathBuf),
    Tcp {
        host: String,
        port: u16,
        tls: Option<tcp::Tls>,
    },
    Docker(DockerDialer),
    Child {
        command: ChildCommand,
        env: Env,
        stderr: Stderr,
    },
}

/// Opens byte streams to a Docker daemon, as they are or changed to HTTP/2.
#[derive(Clone, Debug)]
pub(crate) struct DockerDialer {
    pub(crate) raw: Arc<Dialer>,
    /// The address for messages.
    pub(crate) host: DockerHost,
    /// Whether to ask for the change on `/grpc`.
    pub(crate) upgrade: bool,
}

impl DockerDialer {
    /// Opens a byte stream on which the daemon's BuildKit is the client of a session.
    pub(crate) async fn session(&self, headers: HeaderMap) -> Result<BoxIo, DialError> {
        let io = Box::pin(self.raw.dial()).await?;
        docker::upgrade(io, &self.host, "/session", headers).await
    }
}

impl Dialer {
    /// Makes a dialer; reads TLS files and Docker contexts, but opens nothing.
    pub(crate) fn new(
        endpoint: &Endpoint,
        tls: Option<&TlsOptions>,
        env: &Env,
    ) -> Result<Self, DialError> {
        Ok(match endpoint {
            Endpoint::Unix(path) => Self::Unix(path.clone()),
            Endpoint::Tcp { host, port } => Self::Tcp {
                host: host.clone(),
                port: *port,
                tls: match tls {
                    Some(options) => Some(tcp::Tls::new(options, true, host, &[b"h2"])?),
                    None => None,
                },
            },
            Endpoint::Docker(target) => {
                let host = DockerHost::resolve(target, env)?;
                Self::Docker(DockerDialer {
                    raw: Arc::new(docker::raw_dialer(&host, env)?),
                    host,
                    upgrade: false,
                })
            }
            Endpoint::DockerContainer { name, context } => {
                Self::child(docker_container::command(name, context.as_deref()), env)
            }
            Endpoint::KubePod {
                pod,
                context,
                namespace,
                container,
            } => Self::child(
                kube_pod::command(
                    pod,
                    context.as_deref(),
                    namespace.as_deref(),
                    container.as_deref(),
                ),
                env,
            ),
            Endpoint::Ssh(target) => Self::child(ssh::buildctl(target), env),
        })
    }

    pub(crate) fn child(command: ChildCommand, env: &Env) -> Self {
        Self::Child {
            command,
            env: env.clone(),
            stderr: Stderr::default(),
        }
    }

    /// Opens a byte stream.
    pub(crate) async fn dial(&self) -> Result<BoxIo, DialError> {
        match self {
            Self::Unix(path) => unix::dial(path).await,
            Self::Tcp { host, port, tls } => tcp::dial(host, *port, tls.as_ref()).await,
            Self::Docker(docker) => {
                let io = Box::pin(docker.raw.dial()).await?;
                if docker.upgrade {
                    docker::upgrade(io, &docker.host, "/grpc", HeaderMap::new()).await
                } else {
                    Ok(io)
                }
            }
            Self::Child {
                command,
                env,
                stderr,
            } => child::dial(command, env, stderr),
        }
    }

    /// What a helper program has said on stderr, for error messages.
    pub(crate) fn stderr(&self) -> Option<String> {
        match self {
            Self::Child { stderr, .. } => stderr.text(),
            Self::Docker(docker) => docker.raw.stderr(),
            _ => None,
        }
    }
}
