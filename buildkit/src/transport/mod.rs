//! Byte streams to builders, by what they are reached through. What is spoken over them is not this
//! module's business, except that a Docker daemon must be asked to change to HTTP/2 first.

mod docker;
mod docker_container;
mod kube_pod;

use std::sync::Arc;

use http::HeaderMap;
use mlbuild_docker::context::DockerHost;
pub(crate) use mlbuild_docker::transport::BoxIo;
use mlbuild_docker::transport::{DialError, Dialer as Direct};
use mlbuild_docker::{Env, TlsOptions};

use crate::endpoint::Endpoint;

/// Opens byte streams to one endpoint, any number of times.
#[derive(Clone, Debug)]
pub(crate) enum Dialer {
    Direct(Direct),
    Docker(DockerDialer),
}

/// Opens byte streams to a Docker daemon, as they are or changed to HTTP/2.
#[derive(Clone, Debug)]
pub(crate) struct DockerDialer {
    pub(crate) raw: Arc<Direct>,
    /// The address for messages.
    pub(crate) host: DockerHost,
    /// Whether to ask for the change on `/grpc`.
    pub(crate) upgrade: bool,
}

impl DockerDialer {
    /// Opens a byte stream on which the daemon's BuildKit is the client of a session.
    pub(crate) async fn session(&self, headers: HeaderMap) -> Result<BoxIo, DialError> {
        let io = self.raw.dial().await?;
        docker::upgrade(io, &self.host, "/session", headers).await
    }
}

impl Dialer {
    /// The machine that it reaches by TCP without TLS.
    pub(crate) fn host_in_the_clear(&self) -> Option<&str> {
        match self {
            Self::Direct(direct) => direct.host_in_the_clear(),
            Self::Docker(docker) => docker.raw.host_in_the_clear(),
        }
    }

    /// Makes a dialer; reads TLS files and Docker contexts, but opens nothing.
    pub(crate) fn new(
        endpoint: &Endpoint,
        tls: Option<&TlsOptions>,
        env: &Env,
    ) -> Result<Self, DialError> {
        Ok(Self::Direct(match endpoint {
            Endpoint::Unix(path) => Direct::Unix(path.clone()),
            Endpoint::Tcp { host, port } => Direct::tcp(host, *port, tls, &[b"h2"])?,
            Endpoint::Docker(target) => {
                let host = DockerHost::resolve(target, env)?;
                return Ok(Self::Docker(DockerDialer {
                    raw: Arc::new(Direct::docker(&host, env)?),
                    host,
                    upgrade: false,
                }));
            }
            Endpoint::DockerContainer { name, context } => {
                Direct::child(docker_container::command(name, context.as_deref()), env)
            }
            Endpoint::KubePod {
                pod,
                context,
                namespace,
                container,
            } => Direct::child(
                kube_pod::command(
                    pod,
                    context.as_deref(),
                    namespace.as_deref(),
                    container.as_deref(),
                ),
                env,
            ),
            Endpoint::Ssh(target) => Direct::buildctl(target, env),
        }))
    }

    /// Opens a byte stream.
    pub(crate) async fn dial(&self) -> Result<BoxIo, DialError> {
        match self {
            Self::Direct(direct) => direct.dial().await,
            Self::Docker(docker) => {
                let io = docker.raw.dial().await?;
                if docker.upgrade {
                    docker::upgrade(io, &docker.host, "/grpc", HeaderMap::new()).await
                } else {
                    Ok(io)
                }
            }
        }
    }

    /// What a helper program has said on stderr, for error messages.
    pub(crate) fn stderr(&self) -> Option<String> {
        match self {
            Self::Direct(direct) => direct.stderr(),
            Self::Docker(docker) => docker.raw.stderr(),
        }
    }
}
