//! One call to a registry: sent with the right log-in, repeated where that is allowed.

use std::sync::Arc;

use bytes::Bytes;
use futures::StreamExt as _;
use mlbuild_waits::Wait;
use reqwest::header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue, WWW_AUTHENTICATE};
use reqwest::{Body, Method, Response, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncSeekExt as _};
use tokio_util::io::ReaderStream;
use url::Url;

use super::auth::Challenge;
use super::credentials::CredentialStore;
use super::endpoint::Endpoint;
use super::error::RegistryError;
use super::options::Retry;
use super::retry::{CallFailure, Pause, asked_wait, is_transient, sort};
use super::scope::Scope;
use crate::image::BlobSource;

/// Bytes read from disk at once.
const PIECE: usize = 256 << 10;
/// A registry that has all bytes of a blob may take so many times as long to store it.
const STORING: u32 = 5;

/// Where a call goes.
pub(super) enum Target<'a> {
    /// Below `/v2/`.
    Path(String),
    /// Where the registry said.
    Url(&'a Url),
}

/// What a call carries. It can be sent more than once.
pub(super) enum CallBody<'a> {
    Empty,
    Bytes(Bytes),
    /// Part of a blob on disk.
    File {
        source: &'a BlobSource,
        from: u64,
        length: u64,
        sent: SentBytes,
    },
}

/// Hears how many bytes of a body were handed to the connection so far.
pub(super) type SentBytes = Arc<dyn Fn(u64) + Send + Sync>;

/// A call.
pub(super) struct Call<'a> {
    pub(super) method: Method,
    pub(super) target: Target<'a>,
    pub(super) headers: Vec<(&'static str, String)>,
    pub(super) body: CallBody<'a>,
    pub(super) scope: &'a Scope,
    /// For errors: what is being done.
    pub(super) what: &'a str,
}

impl Endpoint {
    /// Sends a call, again and again while that may help and `retry` allows.
    /// Any answer that came is returned, failures too.
    pub(super) async fn send(
        &self,
        call: &Call<'_>,
        store: &CredentialStore,
        retry: Retry,
    ) -> Result<Response, RegistryError> {
        let mut tried = 0;
        loop {
            tried += 1;
            let usual = retry.wait(tried);
            let pause = match self.send_once(call, store).await {
                Ok(answer) if !is_transient(answer.status()) || tried >= retry.attempts => {
                    return Ok(answer);
                }
                Ok(answer) => Pause::new(asked_wait(&answer), usual),
                Err(failure) if failure.is_worth_a_try(self, tried, retry.attempts) => {
                    failure.wait(usual)
                }
                Err(failure) => return Err(failure.given_up(self, call.what, tried)),
            };
            pause.take(self).await;
        }
    }

    /// Sends a call once, logging in if asked to.
    pub(super) async fn send_once(
        &self,
        call: &Call<'_>,
        store: &CredentialStore,
    ) -> Result<Response, CallFailure> {
        let mut header = self.login.header(self, store, call.scope).await?;
        for _ in 0..3 {
            let wait = Arc::new(Wait::on(self.peer()));
            let mut request = self.request(call, &wait).await?;
            let is_ours = self.is_ours(&request).await?;
            if let Some(header) = header.as_ref().filter(|_| is_ours) {
                let mut value: HeaderValue = header
                    .expose()
                    .parse()
                    .map_err(|_| CallFailure::Final(self.login.refused(call.scope, false)))?;
                value.set_sensitive(true);
                request.headers_mut().insert(AUTHORIZATION, value);
            }
            let (_, client) = self.base().await?;
            let answer = wait.within(client.execute(request)).await?;
            let answer = answer.map_err(|e| sort(&self.name, &e))?;
            // From here on others may be waited for: a credential helper, a token server.
            drop(wait);
            self.note_answer();
            if answer.status() != StatusCode::UNAUTHORIZED || !is_ours {
                return Ok(answer);
            }
            let asked = answer.headers().get_all(WWW_AUTHENTICATE);
            let asked = Challenge::read(asked.iter().filter_map(|v| v.to_str().ok()));
            let Some(challenge) = asked else {
                return Err(self.login.refused(call.scope, false).into());
            };
            header = self
                .login
                .answer_challenge(self, store, call.scope, challenge, header.as_ref())
                .await?;
        }
        Err(self.login.refused(call.scope, true).into())
    }

    /// The error for a server that is gone.
    pub(super) fn lost(&self, what: &str, attempts: u32, why: String) -> RegistryError {
        let registry = self.name.clone();
        if self.has_answered() {
            RegistryError::Interrupted {
                registry,
                what: what.to_owned(),
                attempts,
                why,
            }
        } else {
            RegistryError::Unreachable { registry, why }
        }
    }

    /// Uploads may be sent to other hosts, which get no log-in of ours.
    async fn is_ours(&self, request: &reqwest::Request) -> Result<bool, CallFailure> {
        let (base, _) = self.base().await?;
        Ok(request.url().origin() == base.origin())
    }

    /// The bytes of its body are progress of `wait` as they go out.
    async fn request(
        &self,
        call: &Call<'_>,
        wait: &Arc<Wait>,
    ) -> Result<reqwest::Request, CallFailure> {
        let (base, client) = self.base().await?;
        let url = match &call.target {
            Target::Url(url) => (*url).clone(),
            Target::Path(path) => base.join(&format!("{}{path}", self.prefix)).map_err(|e| {
                RegistryError::InvalidReference {
                    text: path.clone(),
                    why: e.to_string(),
                }
            })?,
        };
        let mut request = client.request(call.method.clone(), url);
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        request = match &call.body {
            CallBody::Empty if call.method == Method::GET || call.method == Method::HEAD => request,
            CallBody::Empty => request.header(CONTENT_LENGTH, 0),
            CallBody::Bytes(bytes) => request.body(bytes.clone()),
            CallBody::File {
                source,
                from,
                length,
                sent,
            } => {
                let (sent, wait, end) = (sent.clone(), wait.clone(), from + length);
                let told: SentBytes = Arc::new(move |count| {
                    sent(count);
                    if count < end {
                        wait.progress();
                    } else {
                        // It has to be stored now, wherever the registry keeps its blobs.
                        wait.gets_slow(STORING);
                    }
                });
                let body = file_body(source, *from, *length, told).await?;
                request.header(CONTENT_LENGTH, *length).body(body)
            }
        };
        request.build().map_err(|e| sort(&self.name, &e))
    }
}

async fn file_body(
    source: &BlobSource,
    from: u64,
    length: u64,
    sent: SentBytes,
) -> Result<Body, CallFailure> {
    let unreadable = |e| {
        let path = source.path.clone();
        RegistryError::from(crate::image::LayoutError::Read { path, source: e })
    };
    let file = mlbuild_files::open(&source.path).map_err(unreadable)?;
    let mut file = tokio::fs::File::from_std(file);
    let start = std::io::SeekFrom::Start(source.offset + from);
    file.seek(start).await.map_err(unreadable)?;
    let mut count = from;
    let stream = ReaderStream::with_capacity(file.take(length), PIECE).inspect(move |piece| {
        if let Ok(piece) = piece {
            count += piece.len() as u64;
            sent(count);
        }
    });
    Ok(Body::wrap_stream(stream))
}
