//! A connection to a builder, and what the builder is.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use http::Uri;
use hyper_util::rt::TokioIo;
use mlbuild_docker::api::{DockerApi, DockerApiError};
use mlbuild_docker::transport::DialError;
use mlbuild_docker::{Env, TlsOptions};
use mlbuild_proto::moby::buildkit::v1::control_client::ControlClient;
use mlbuild_proto::moby::buildkit::v1::types::WorkerRecord;
use mlbuild_proto::moby::buildkit::v1::{InfoRequest, ListWorkersRequest};
use mlbuild_waits::{Wait, policy};
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tonic::transport::Channel;

use crate::endpoint::Endpoint;
use crate::info::{BuildKitVersion, BuilderInfo, BuilderKind, ImageStore, Worker};
use crate::transport::{BoxIo, Dialer, DockerDialer};
use crate::wire::MAX_MESSAGE;

/// HTTP/2 flow-control windows. The protocol's 64 KiB would cost a round trip
/// per 64 KiB. Bytes.
pub(crate) const STREAM_WINDOW: u32 = 4 << 20;
pub(crate) const CONNECTION_WINDOW: u32 = 8 << 20;
/// Headers carry a .dockerignore's patterns one way and a failed build's whole
/// Dockerfile the other; the usual 16 KiB is too small for both. Bytes.
pub(crate) const MAX_HEADERS: u32 = 16 << 20;

/// How to connect.
#[derive(Clone, Debug)]
pub struct ConnectOptions {
    /// TLS for `tcp://`; without it the connection is plain.
    pub tls: Option<TlsOptions>,
    /// Where `docker://` looks up hosts and contexts, and what helper programs
    /// (ssh, docker, kubectl) are started with.
    pub env: Env,
    /// How long the builder may take to answer at first.
    pub timeout: Duration,
}

impl Default for ConnectOptions {
    fn default() -> Self {
        Self {
            tls: None,
            env: Env::process(),
            timeout: Duration::from_secs(20),
        }
    }
}

/// Why there is no connection to a builder.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// No byte stream to it.
    #[error("{source}")]
    Dial {
        /// The builder's address.
        endpoint: String,
        /// What went wrong.
        source: DialError,
    },
    /// A byte stream, but no BuildKit at its end.
    #[error("{endpoint}: no BuildKit answers there: {reason}")]
    NoBuildKit {
        /// The builder's address.
        endpoint: String,
        /// What came instead.
        reason: String,
    },
}

/// Why a question to a connected builder wasn't answered.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// BuildKit refused.
    #[error("{call}: {}", crate::status::status_text(.status))]
    BuildKit {
        /// The call.
        call: &'static str,
        /// What it answered.
        status: tonic::Status,
    },
    /// Docker refused.
    #[error(transparent)]
    Docker(#[from] DockerApiError),
}

/// A connected builder. Clones share the connection.
#[derive(Clone)]
pub struct Client {
    inner: Arc<Inner>,
}

struct Inner {
    endpoint: Endpoint,
    channel: Channel,
    workers: Vec<WorkerRecord>,
    docker: Option<DockerApi>,
    host_in_the_clear: Option<String>,
    /// Asked while the connection is made: Docker takes its time.
    docker_kind: Mutex<Option<AskedKind>>,
    session_door: Option<DockerDialer>,
    info: OnceCell<BuilderInfo>,
}

type AskedKind = JoinHandle<Result<BuilderKind, DockerApiError>>;

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Client").field(&self.inner.endpoint).finish()
    }
}

impl Client {
    /// Connects, and makes sure that a BuildKit answers. A builder that hangs
    /// up while it starts is tried three times in all.
    pub async fn connect(
        endpoint: &Endpoint,
        options: &ConnectOptions,
    ) -> Result<Self, ConnectError> {
        // Each try has a limit of its own, which is shorter than the one of waits in general.
        let _wait = Wait::on(peer(endpoint));
        const PAUSES: [Duration; 2] = [Duration::from_millis(150), Duration::from_millis(600)];
        let mut pauses = PAUSES.into_iter();
        loop {
            match Self::connect_once(endpoint, options).await {
                Err(ConnectError::Dial { source, .. }) if source.is_transient() => {
                    match pauses.next() {
                        Some(pause) => tokio::time::sleep(pause).await,
                        None => {
                            return Err(ConnectError::Dial {
                                endpoint: endpoint.to_string(),
                                source,
                            });
                        }
                    }
                }
                done => return done,
            }
        }
    }

    async fn connect_once(
        endpoint: &Endpoint,
        options: &ConnectOptions,
    ) -> Result<Self, ConnectError> {
        let dial_error = |source| ConnectError::Dial {
            endpoint: endpoint.to_string(),
            source,
        };
        let dialer =
            Dialer::new(endpoint, options.tls.as_ref(), &options.env).map_err(dial_error)?;
        let host_in_the_clear = dialer.host_in_the_clear().map(str::to_owned);
        let timeout = policy()
            .stall
            .map_or(options.timeout, |limit| limit.min(options.timeout));
        let mut docker_kind = None;
        let mut session_door = None;
        let (channel, workers, docker) = match dialer {
            Dialer::Docker(docker) => {
                let api = DockerApi::new(docker.raw.clone(), docker.host.clone());
                docker_kind = Some(tokio::spawn(ask_docker_kind(api.clone())));
                let (channel, workers, is_upgraded) =
                    connect_docker(endpoint, &docker, timeout).await?;
                session_door = is_upgraded.then_some(docker);
                (channel, workers, Some(api))
            }
            dialer => {
                let first = dialer.dial().await.map_err(dial_error)?;
                let channel = open_channel(&dialer, first);
                let workers = probe(&channel, timeout)
                    .await
                    .map_err(|status| no_buildkit(endpoint, &status, &dialer))?;
                (channel, workers, None)
            }
        };
        Ok(Self {
            inner: Arc::new(Inner {
                endpoint: endpoint.clone(),
                channel,
                workers,
                docker,
                host_in_the_clear,
                docker_kind: Mutex::new(docker_kind),
                session_door,
                info: OnceCell::new(),
            }),
        })
    }

    /// Who is waited for.
    pub(crate) fn peer(&self) -> String {
        peer(&self.inner.endpoint)
    }

    /// Whether the builder answers anything: the cheapest call that every BuildKit knows.
    pub(crate) async fn answers_anything(self) -> bool {
        let workers = ListWorkersRequest::default();
        self.control().list_workers(workers).await.is_ok()
    }

    /// Waits for one answer of the builder.
    async fn answer<T>(
        &self,
        call: impl Future<Output = Result<T, tonic::Status>>,
    ) -> Result<T, tonic::Status> {
        match mlbuild_waits::answer(self.peer(), call).await {
            Ok(answer) => answer,
            Err(stalled) => Err(tonic::Status::deadline_exceeded(stalled.to_string())),
        }
    }

    /// The builder's address.
    pub fn endpoint(&self) -> &Endpoint {
        &self.inner.endpoint
    }

    /// The machine that is reached by TCP without TLS, a Docker daemon's too. It may be this one.
    pub fn host_in_the_clear(&self) -> Option<&str> {
        self.inner.host_in_the_clear.as_deref()
    }

    /// The Docker daemon around the builder, if there is one.
    pub fn docker(&self) -> Option<&DockerApi> {
        self.inner.docker.as_ref()
    }

    /// The way to a connection for a session alone, where the builder has one.
    pub(crate) fn session_door(&self) -> Option<DockerDialer> {
        self.inner.session_door.clone()
    }

    pub(crate) fn channel(&self) -> Channel {
        self.inner.channel.clone()
    }

    pub(crate) fn control(&self) -> ControlClient<Channel> {
        control(&self.inner.channel)
    }

    /// What the builder is. Asked once, then remembered.
    pub async fn info(&self) -> Result<BuilderInfo, RequestError> {
        let info = self.inner.info.get_or_try_init(|| self.ask_info()).await?;
        Ok(info.clone())
    }

    async fn ask_info(&self) -> Result<BuilderInfo, RequestError> {
        let (told, kind) = tokio::try_join!(self.told_version(), self.kind())?;
        let buildkit = BuildKitVersion::parse(&told).or_else(|| match &kind {
            BuilderKind::Docker { version, .. } => BuildKitVersion::of_docker(version),
            BuilderKind::Buildkitd => None,
        });
        Ok(BuilderInfo {
            kind,
            buildkit,
            buildkit_text: told,
            workers: self.inner.workers.iter().map(Worker::new).collect(),
        })
    }

    async fn kind(&self) -> Result<BuilderKind, RequestError> {
        let Some(docker) = &self.inner.docker else {
            return Ok(BuilderKind::Buildkitd);
        };
        let asked = match self.inner.docker_kind.lock() {
            Ok(mut asked) => asked.take(),
            Err(_) => None,
        };
        if let Some(asked) = asked
            && let Ok(Ok(kind)) = asked.await
        {
            return Ok(kind);
        }
        Ok(ask_docker_kind(docker.clone()).await?)
    }

    /// The version that the daemon tells; empty before 0.11.
    async fn told_version(&self) -> Result<String, RequestError> {
        match self.answer(self.control().info(InfoRequest {})).await {
            Ok(info) => {
                let version = info.into_inner().buildkit_version.unwrap_or_default();
                Ok(version.version)
            }
            Err(status) if status.code() == tonic::Code::Unimplemented => Ok(String::new()),
            Err(status) => Err(RequestError::BuildKit {
                call: "Control.Info",
                status,
            }),
        }
    }
}

/// Who is waited for, at an address.
fn peer(endpoint: &Endpoint) -> String {
    format!("the builder {endpoint}")
}

pub(crate) fn control(channel: &Channel) -> ControlClient<Channel> {
    ControlClient::new(channel.clone())
        .max_decoding_message_size(MAX_MESSAGE)
        .max_encoding_message_size(MAX_MESSAGE)
}

async fn ask_docker_kind(docker: DockerApi) -> Result<BuilderKind, DockerApiError> {
    let (version, info) = tokio::try_join!(docker.version(), docker.info())?;
    Ok(BuilderKind::Docker {
        version: version.version,
        store: if info.uses_containerd_store() {
            ImageStore::Containerd
        } else {
            ImageStore::Classic
        },
    })
}

/// Docker from 29.2 on speaks gRPC on its socket directly, and means to drop
/// the upgrade; older ones know only the upgrade. True for those.
async fn connect_docker(
    endpoint: &Endpoint,
    docker: &DockerDialer,
    timeout: Duration,
) -> Result<(Channel, Vec<WorkerRecord>, bool), ConnectError> {
    let dial_error = |source| ConnectError::Dial {
        endpoint: endpoint.to_string(),
        source,
    };
    // A proxy before an old daemon may stay silent rather than refuse.
    const DIRECT_TIMEOUT: Duration = Duration::from_secs(2);

    let direct = Dialer::Docker(docker.clone());
    let first = direct.dial().await.map_err(dial_error)?;
    let channel = open_channel(&direct, first);
    if let Ok(workers) = probe(&channel, DIRECT_TIMEOUT.min(timeout)).await {
        return Ok((channel, workers, false));
    }

    let upgraded = Dialer::Docker(DockerDialer {
        upgrade: true,
        ..docker.clone()
    });
    let first = upgraded
        .dial()
        .await
        .map_err(|source| match direct.stderr() {
            // A helper program's own words beat "connection closed".
            Some(stderr) => ConnectError::NoBuildKit {
                endpoint: endpoint.to_string(),
                reason: stderr,
            },
            None => dial_error(source),
        })?;
    let channel = open_channel(&upgraded, first);
    let workers = probe(&channel, timeout)
        .await
        .map_err(|status| no_buildkit(endpoint, &status, &upgraded))?;
    Ok((channel, workers, true))
}

/// Asks for the workers: the cheapest call that every BuildKit answers.
async fn probe(channel: &Channel, timeout: Duration) -> Result<Vec<WorkerRecord>, tonic::Status> {
    let mut control = control(channel);
    let ask = control.list_workers(ListWorkersRequest::default());
    match tokio::time::timeout(timeout, ask).await {
        Ok(answer) => Ok(answer?.into_inner().record),
        Err(_) => Err(tonic::Status::deadline_exceeded(format!(
            "no answer within {} s",
            timeout.as_secs_f32()
        ))),
    }
}

fn no_buildkit(endpoint: &Endpoint, status: &tonic::Status, dialer: &Dialer) -> ConnectError {
    let mut reason = match dialer.stderr() {
        // A helper program's own words beat "connection closed".
        Some(stderr) => stderr,
        None => crate::status::status_text(status),
    };
    match (endpoint, dialer) {
        (Endpoint::Tcp { .. }, dialer) if dialer.host_in_the_clear().is_some() => {
            reason.push_str("; if it wants TLS, give a CA file, a certificate and a key");
        }
        // What an HTTP/1.1 answer is to an HTTP/2 client, or what is left of it.
        (Endpoint::Unix(path), _)
            if ["frame", "broken pipe", "closed", "reset"]
                .iter()
                .any(|word| reason.contains(word)) =>
        {
            reason.push_str(&format!(
                "; if this is Docker's socket, write docker://{}",
                path.display()
            ));
        }
        _ => {}
    }
    ConnectError::NoBuildKit {
        endpoint: endpoint.to_string(),
        reason,
    }
}

/// A gRPC channel that uses `first`, and dials anew if that breaks.
fn open_channel(dialer: &Dialer, first: BoxIo) -> Channel {
    let dialer = dialer.clone();
    let first = Arc::new(Mutex::new(Some(first)));
    let connector = tower::service_fn(move |_: Uri| {
        let dialer = dialer.clone();
        let first = first.lock().unwrap_or_else(|e| e.into_inner()).take();
        async move {
            let io = match first {
                Some(io) => io,
                None => dialer.dial().await?,
            };
            Ok::<_, DialError>(TokioIo::new(io))
        }
    });
    tonic::transport::Endpoint::from_static("http://buildkit")
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .http2_max_header_list_size(MAX_HEADERS)
        .connect_with_connector_lazy(connector)
}
