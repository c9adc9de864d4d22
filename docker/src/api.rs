//! The Docker Engine API, as far as builds need it: what the daemon is, and
//! its own images (look, tag, push, load). One connection per call.

use std::sync::Arc;

use base64::Engine as _;
use bytes::{Bytes, BytesMut};
use futures::{Stream, StreamExt as _, TryStreamExt as _};
use http::{Method, Request, Response, StatusCode, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyDataStream, BodyExt as _, Empty, StreamBody};
use hyper::body::Incoming;
use hyper_util::rt::TokioIo;
use mlbuild_waits::{Flow, Stalled, Wait};
use serde::Deserialize;

use crate::address::DockerTarget;
use crate::context::DockerHost;
use crate::credentials::RegistryCredentials;
use crate::env::Env;
use crate::transport::{DialError, Dialer};

pub use super::answers::{
    DockerInfo, DockerProgress, DockerVersion, ImageConfig, ImageDescriptor, ImageInspect,
    ProgressDetail, Pushed,
};

type Body = UnsyncBoxBody<Bytes, std::io::Error>;

/// A Docker daemon's REST API.
#[derive(Clone, Debug)]
pub struct DockerApi {
    dialer: Arc<Dialer>,
    host: DockerHost,
}

/// Why a call of Docker's API failed.
#[derive(Debug, thiserror::Error)]
pub enum DockerApiError {
    /// The daemon can't be reached.
    #[error(transparent)]
    Dial(#[from] DialError),
    /// The connection broke.
    #[error("Docker's API, {call}: {source}")]
    Connection {
        /// The call.
        call: String,
        /// What broke.
        source: hyper::Error,
    },
    /// The daemon hangs: it holds the connection and gives no sign of life.
    #[error("Docker's API, {call}: {source}")]
    Stalled {
        /// The call.
        call: String,
        /// How long.
        source: Stalled,
    },
    /// The daemon refused, or failed half-way.
    #[error("Docker's API, {call}: {message}")]
    Daemon {
        /// The call.
        call: String,
        /// The daemon's own words.
        message: String,
    },
    /// The answer isn't what the API's documentation says.
    #[error("Docker's API, {call}: unexpected answer: {reason}")]
    Answer {
        /// The call.
        call: String,
        /// What is strange about it.
        reason: String,
    },
}

impl DockerApi {
    /// Calls through a dialer; `host` is for messages.
    pub fn new(dialer: Arc<Dialer>, host: DockerHost) -> Self {
        Self { dialer, host }
    }

    /// The daemon that `target` means in this environment. Nothing is sent yet.
    ///
    /// # Errors
    /// Where the address, its context or its TLS files can't be read.
    pub fn of(target: &DockerTarget, env: &Env) -> Result<Self, DialError> {
        let host = DockerHost::resolve(target, env)?;
        let dialer = Arc::new(Dialer::docker(&host, env)?);
        Ok(Self::new(dialer, host))
    }

    /// Where the daemon is.
    pub fn host(&self) -> &DockerHost {
        &self.host
    }

    /// The daemon's version.
    pub async fn version(&self) -> Result<DockerVersion, DockerApiError> {
        self.get_json("/version").await
    }

    /// Facts about the daemon.
    pub async fn info(&self) -> Result<DockerInfo, DockerApiError> {
        self.get_json("/info").await
    }

    /// All facts about the daemon, as it tells them.
    pub async fn info_json(&self) -> Result<serde_json::Value, DockerApiError> {
        self.get_json("/info").await
    }

    /// An image by name or ID; `None` if the daemon has no such image.
    pub async fn image_inspect(&self, name: &str) -> Result<Option<ImageInspect>, DockerApiError> {
        self.get_if_there(&image_path(name, "json")).await
    }

    /// As [`DockerApi::image_inspect`], all that the daemon tells.
    pub async fn image_json(
        &self,
        name: &str,
    ) -> Result<Option<serde_json::Value>, DockerApiError> {
        self.get_if_there(&image_path(name, "json")).await
    }

    /// A container by name or ID, all that the daemon tells; `None` if it has no such container.
    pub async fn container_json(
        &self,
        name: &str,
    ) -> Result<Option<serde_json::Value>, DockerApiError> {
        self.get_if_there(&format!("/containers/{name}/json")).await
    }

    /// The containers with all of these labels (`NAME` or `NAME=VALUE`), newest first; those that
    /// ended too where `all` is set.
    pub async fn containers(
        &self,
        labels: &[String],
        all: bool,
    ) -> Result<Vec<serde_json::Value>, DockerApiError> {
        let filters = serde_json::json!({ "label": labels }).to_string();
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("all", if all { "1" } else { "0" })
            .append_pair("filters", &filters)
            .finish();
        self.get_json(&format!("/containers/json?{query}")).await
    }

    /// Gives the image `source` the name `repository:tag`.
    pub async fn tag_image(
        &self,
        source: &str,
        repository: &str,
        tag: &str,
    ) -> Result<(), DockerApiError> {
        let call = format!("POST /images/{source}/tag");
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("repo", repository)
            .append_pair("tag", tag)
            .finish();
        let path = format!("{}?{query}", image_path(source, "tag"));
        let response = self.call(&call, post(&path, empty())).await?;
        accepted(&call, response).await.map(drop)
    }

    /// Pushes `repository:tag`, which must be an image of the daemon. The
    /// daemon does the transfer; `credentials` go to it in a header.
    pub async fn push_image(
        &self,
        repository: &str,
        tag: &str,
        credentials: Option<&RegistryCredentials>,
        mut progress: impl FnMut(&DockerProgress),
    ) -> Result<Pushed, DockerApiError> {
        let call = format!("push of {repository}:{tag}");
        let query = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("tag", tag)
            .finish();
        let path = format!("{}?{query}", image_path(repository, "push"));
        let auth = credentials
            .map(RegistryCredentials::to_docker_json)
            .unwrap_or_else(|| serde_json::json!({}));
        let auth = base64::engine::general_purpose::URL_SAFE.encode(auth.to_string());
        let mut request = post(&path, empty());
        let mut auth = http::HeaderValue::try_from(auth).expect("base64 is a header value");
        auth.set_sensitive(true);
        request.headers_mut().insert("X-Registry-Auth", auth);
        let response = accepted(&call, self.call(&call, request).await?).await?;

        let mut pushed = None;
        self.each_line(&call, response, |line| {
            if let Some(told) = line.pushed() {
                pushed = Some(told);
            }
            // The containerd store says it in words only.
            pushed = pushed.take().or_else(|| pushed_in_words(&line.status));
            progress(line);
        })
        .await?;
        pushed.ok_or_else(|| DockerApiError::Answer {
            call,
            reason: "it names no digest".to_string(),
        })
    }

    /// Loads images from a tar stream (Docker's or OCI's layout) and returns
    /// the daemon's words about each.
    pub async fn load_image(
        &self,
        tar: impl Stream<Item = std::io::Result<Bytes>> + Send + 'static,
    ) -> Result<Vec<String>, DockerApiError> {
        let call = "POST /images/load".to_string();
        let body = StreamBody::new(tar.map_ok(Frame::data)).boxed_unsync();
        let mut request = post("/images/load?quiet=1", body);
        request.headers_mut().insert(
            header::CONTENT_TYPE,
            http::HeaderValue::from_static("application/x-tar"),
        );
        let response = accepted(&call, self.call(&call, request).await?).await?;
        let mut said = Vec::new();
        self.each_line(&call, response, |line| {
            let text = line.stream.trim();
            if !text.is_empty() {
                said.push(text.to_string());
            }
        })
        .await?;
        Ok(said)
    }

    /// `None` where the daemon says that there is none.
    pub(super) async fn get_if_there<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<Option<T>, DockerApiError> {
        let call = format!("GET {path}");
        let response = self.call(&call, get(path)).await?;
        if response.status() == StatusCode::NOT_FOUND {
            return Ok(None);
        }
        let response = accepted(&call, response).await?;
        parse(&call, &read(&call, response).await?).map(Some)
    }

    /// Writes an image as `docker save` does.
    pub async fn save_image(
        &self,
        id: &str,
        into: &mut (impl tokio::io::AsyncWrite + Unpin),
    ) -> Result<(), DockerApiError> {
        use tokio::io::AsyncWriteExt as _;
        let call = format!("GET /images/{id}/get");
        let response = self.call(&call, get(&image_path(id, "get"))).await?;
        let mut data = BodyDataStream::new(accepted(&call, response).await?.into_body());
        loop {
            let next = self.alive(&call, data.next()).await?;
            let Some(piece) = next else { break };
            let piece = piece.map_err(|source| DockerApiError::Connection {
                call: call.clone(),
                source,
            })?;
            let written = into.write_all(&piece).await;
            written.map_err(|error| DockerApiError::Answer {
                call: call.clone(),
                reason: format!("it can't be written: {error}"),
            })?;
        }
        Ok(())
    }

    /// Removes an image, but not what it was made from.
    pub async fn remove_image(&self, id: &str) -> Result<(), DockerApiError> {
        let call = format!("DELETE /images/{id}");
        let path = format!("/images/{id}?noprune=true");
        let response = self
            .call(&call, request(Method::DELETE, &path, empty()))
            .await?;
        accepted(&call, response).await.map(drop)
    }

    pub(super) async fn get_json<T: serde::de::DeserializeOwned>(
        &self,
        path: &str,
    ) -> Result<T, DockerApiError> {
        let call = format!("GET {path}");
        let response = accepted(&call, self.call(&call, get(path)).await?).await?;
        parse(&call, &read(&call, response).await?)
    }

    pub(super) async fn call(
        &self,
        call: &str,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, DockerApiError> {
        // What the daemon works at may take hours; what it knows it answers at once.
        let is_work = request.method() == Method::POST || request.uri().path().ends_with("/get");
        let sent = self.send(call, request);
        if is_work {
            return self.alive(call, sent).await?;
        }
        let answer = mlbuild_waits::answer(self.peer(), sent).await;
        answer.map_err(|source| DockerApiError::Stalled {
            call: call.to_string(),
            source,
        })?
    }

    async fn send(
        &self,
        call: &str,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, DockerApiError> {
        let io = self.dialer.dial().await?;
        let broken = |source| DockerApiError::Connection {
            call: call.to_string(),
            source,
        };
        let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(io))
            .await
            .map_err(broken)?;
        // Ends when the response has been read or dropped.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(broken)
    }

    /// Who is waited for.
    fn peer(&self) -> String {
        format!("Docker at {}", self.host)
    }

    /// Waits for the daemon's work, for as long as the daemon lives.
    async fn alive<T>(
        &self,
        call: &str,
        work: impl Future<Output = T>,
    ) -> Result<T, DockerApiError> {
        let ping = || {
            let api = self.clone();
            async move {
                let answer = api.send("GET /_ping", get("/_ping")).await;
                answer.is_ok_and(|answer| answer.status().is_success())
            }
        };
        let done = Wait::on(self.peer()).alive(work, ping).await;
        done.map_err(|source| DockerApiError::Stalled {
            call: call.to_string(),
            source,
        })
    }

    /// Reads a stream of JSON lines and stops at the first that reports an error.
    async fn each_line(
        &self,
        call: &str,
        response: Response<Incoming>,
        mut handle: impl FnMut(&DockerProgress),
    ) -> Result<(), DockerApiError> {
        let mut data = BodyDataStream::new(response.into_body());
        let mut pending = Vec::new();
        loop {
            let chunk = self.alive(call, data.next()).await?.transpose();
            let chunk = chunk.map_err(|source| DockerApiError::Connection {
                call: call.to_string(),
                source,
            })?;
            let ended = chunk.is_none();
            pending.extend_from_slice(&chunk.unwrap_or_default());
            let whole = if ended {
                pending.len()
            } else {
                let end = pending.iter().rposition(|b| *b == b'\n');
                end.map_or(0, |i| i + 1)
            };
            for line in pending[..whole].split(|b| *b == b'\n') {
                if line.iter().all(u8::is_ascii_whitespace) {
                    continue;
                }
                let line: DockerProgress = parse(call, line)?;
                if let Some(error) = line.error {
                    return Err(DockerApiError::Daemon {
                        call: call.to_string(),
                        message: error.message,
                    });
                }
                handle(&line);
            }
            pending.drain(..whole);
            if ended {
                return Ok(());
            }
        }
    }
}

/// Reads `TAG: digest: sha256:… size: N`.
fn pushed_in_words(status: &str) -> Option<Pushed> {
    let (tag, rest) = status.split_once(": digest: ")?;
    let (digest, size) = rest.split_once(" size: ")?;
    Some(Pushed {
        tag: tag.to_string(),
        digest: digest.to_string(),
        size: size.trim().parse().ok()?,
    })
}

/// Image names hold slashes and colons that the API takes as they are.
fn image_path(name: &str, verb: &str) -> String {
    format!("/images/{name}/{verb}")
}

fn get(path: &str) -> Request<Body> {
    request(Method::GET, path, empty())
}

pub(super) fn post(path: &str, body: Body) -> Request<Body> {
    request(Method::POST, path, body)
}

pub(super) fn request(method: Method, path: &str, body: Body) -> Request<Body> {
    Request::builder()
        .method(method)
        .uri(path)
        .header(header::HOST, "docker")
        .body(body)
        .unwrap_or_else(|_| unreachable!("image references are URI-safe"))
}

pub(super) fn empty() -> Body {
    Empty::new().map_err(|never| match never {}).boxed_unsync()
}

pub(super) async fn accepted(
    call: &str,
    response: Response<Incoming>,
) -> Result<Response<Incoming>, DockerApiError> {
    #[derive(Deserialize)]
    struct Message {
        message: String,
    }
    if response.status().is_success() {
        return Ok(response);
    }
    let status = response.status();
    let body = read(call, response).await?;
    let message = match serde_json::from_slice::<Message>(&body) {
        Ok(m) => m.message,
        Err(_) => format!("{status} {}", String::from_utf8_lossy(&body).trim()),
    };
    Err(DockerApiError::Daemon {
        call: call.to_string(),
        message,
    })
}

pub(super) async fn read(
    call: &str,
    response: Response<Incoming>,
) -> Result<Bytes, DockerApiError> {
    let (mut body, mut bytes) = (response.into_body(), BytesMut::new());
    let mut flow = Flow::from("Docker");
    loop {
        let frame = flow.next(body.frame(), |frame| match frame {
            Some(Ok(frame)) => frame.data_ref().map_or(0, Bytes::len),
            _ => 0,
        });
        let frame = frame.await.map_err(|source| DockerApiError::Stalled {
            call: call.to_string(),
            source,
        })?;
        let Some(frame) = frame else { break };
        let frame = frame.map_err(|source| DockerApiError::Connection {
            call: call.to_string(),
            source,
        })?;
        let Ok(piece) = frame.into_data() else {
            continue;
        };
        if bytes.len() + piece.len() > MAX_ANSWER {
            return Err(DockerApiError::Daemon {
                call: call.to_string(),
                message: format!("its answer is larger than {MAX_ANSWER} bytes"),
            });
        }
        bytes.extend_from_slice(&piece);
    }
    Ok(bytes.freeze())
}

/// Largest answer of a daemon that is read whole, in bytes: a list of thousands of images.
const MAX_ANSWER: usize = 64 << 20;

pub(super) fn parse<T: serde::de::DeserializeOwned>(
    call: &str,
    body: &[u8],
) -> Result<T, DockerApiError> {
    serde_json::from_slice(body).map_err(|e| DockerApiError::Answer {
        call: call.to_string(),
        reason: e.to_string(),
    })
}
