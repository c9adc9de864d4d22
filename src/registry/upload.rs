//! Getting one blob into a registry.
//!
//! First it is asked for, then mounted from a neighbour, then sent: in one request,
//! which every registry takes. A neighbour that is known to have it is asked before anything else, and
//! a new blob isn't asked for. If that is cut off, the registry says how far it got,
//! and the rest follows; from then on in pieces, so that another cut costs one piece.
//! Registries that refuse pieces (or lose them) get the whole again.

use std::sync::Arc;

use bytes::Bytes;
use oci_spec::image::Descriptor;
use reqwest::header::{LOCATION, RANGE};
use reqwest::{Method, Response, StatusCode};
use tokio::sync::Semaphore;
use url::Url;

use super::Registry;
use super::call::{Call, CallBody, Target};
use super::endpoint::Endpoint;
use super::error::RegistryError;
use super::progress::PushEvent;
use super::retry::{CallFailure, refusal};
use super::scope::Scope;
use crate::image::BlobSource;

/// Hears what happens to a blob; kept by the body that is being sent.
pub(super) type Notify = Arc<dyn Fn(PushEvent) + Send + Sync>;

/// Where a blob's bytes come from.
pub(super) enum BlobBytes<'a> {
    Disk(&'a BlobSource),
    Memory(Bytes),
}

/// One blob on its way.
pub(super) struct Upload<'a> {
    pub(super) registry: &'a Registry,
    pub(super) endpoint: &'a Endpoint,
    pub(super) scope: &'a Scope,
    pub(super) blob: &'a Descriptor,
    pub(super) bytes: BlobBytes<'a>,
    pub(super) notify: Notify,
    /// What is known of it.
    pub(super) known: KnownBlob<'a>,
    /// Whose turn it is to send bytes: questions are put side by side.
    pub(super) turns: &'a Semaphore,
}

/// What is known of a blob before the registry is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum KnownBlob<'a> {
    Nothing,
    /// A repository of the same registry has it.
    At(&'a str),
    /// It isn't asked for: it was made just now, and is small, so that asking would take as long as sending it; or
    /// the registry's answer isn't believed.
    New,
}

/// An upload that the registry has opened.
struct Session {
    location: Url,
    /// Bytes that the registry has.
    at: u64,
}

enum Step {
    Done,
    Mounted(String),
    Opened(Session),
}

impl Upload<'_> {
    /// Makes sure that the registry has the blob.
    pub(super) async fn run(&self) -> Result<(), RegistryError> {
        let digest = self.blob.digest().clone();
        if let KnownBlob::At(from) = self.known
            && self.is_lent(from).await?
        {
            let from = from.to_owned();
            (self.notify)(PushEvent::Mounted { digest, from });
            return Ok(());
        }
        if self.known != KnownBlob::New && self.is_there().await? {
            (self.notify)(PushEvent::Exists { digest });
            return Ok(());
        }
        let _turn = self.turns.acquire().await.expect("nobody closes it");
        let retry = self.registry.options.retry;
        let what = format!("the upload of {digest}");
        let (mut session, mut in_pieces, mut tried, mut furthest) = (None, false, 0, 0);
        loop {
            let failure = match self.advance(&mut session, in_pieces, &what).await {
                Ok(Step::Mounted(from)) => {
                    (self.notify)(PushEvent::Mounted { digest, from });
                    return Ok(());
                }
                Ok(_) => {
                    (self.notify)(PushEvent::Uploaded { digest });
                    return Ok(());
                }
                Err(failure) => failure,
            };
            tried += 1;
            if !failure.is_worth_a_try(self.endpoint, tried, retry.attempts) {
                return Err(failure.given_up(self.endpoint, &what, tried));
            }
            let pause = failure.wait(retry.wait(tried));
            let why = failure.why();
            let attempt = tried + 1;
            (self.notify)(PushEvent::Retry {
                what: what.clone(),
                why,
                attempt,
            });
            pause.take(self.endpoint).await;
            session = match session {
                Some(old) => self.look_up(old, &what).await,
                None => None,
            };
            let at = session.as_ref().map_or(0, |s| s.at);
            (self.notify)(PushEvent::Sent {
                digest: digest.clone(),
                bytes: at,
            });
            in_pieces = self.endpoint.takes_pieces();
            if at > furthest {
                (furthest, tried) = (at, 0);
            }
        }
    }

    /// Has the blob mounted from a repository nearby, unless it is there; never sends it.
    pub(super) async fn mount(&self) -> Result<(), RegistryError> {
        if let KnownBlob::At(from) = self.known
            && self.is_lent(from).await?
        {
            return Ok(());
        }
        if self.known != KnownBlob::New && self.is_there().await? {
            return Ok(());
        }
        let digest = self.blob.digest();
        let what = format!("mounting {digest}");
        match self.open(&what).await {
            Ok(Step::Opened(session)) => {
                self.give_up(&session, &what).await;
                Err(RegistryError::NotMounted {
                    registry: self.endpoint.name.clone(),
                    digest: digest.to_string(),
                    repository: self.scope.repository.clone(),
                })
            }
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.given_up(self.endpoint, &what, 1)),
        }
    }

    /// Has the blob mounted from this repository; false where that doesn't lend it.
    async fn is_lent(&self, from: &str) -> Result<bool, RegistryError> {
        let what = format!("mounting {}", self.blob.digest());
        let call = self.call(Method::POST, Target::Path(self.mounting(from)), &what);
        let answer = self.registry.send(self.endpoint, &call).await?;
        match answer.status() {
            StatusCode::CREATED => Ok(true),
            StatusCode::ACCEPTED => {
                if let Ok(session) = self.session(answer, 0) {
                    self.give_up(&session, &what).await;
                }
                Ok(false)
            }
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => {
                Err(self.registry.refused(self.endpoint, &call, answer).await)
            }
            // What it says of the neighbour says nothing of the blob.
            _ => Ok(false),
        }
    }

    /// The address that mounts the blob from a repository.
    fn mounting(&self, from: &str) -> String {
        let query: String = url::form_urlencoded::Serializer::new(String::new())
            .append_pair("mount", self.blob.digest().as_ref())
            .append_pair("from", from)
            .finish();
        format!("{}/blobs/uploads/?{query}", self.scope.repository)
    }

    /// Registries throw old uploads away by themselves, too.
    async fn give_up(&self, session: &Session, what: &str) {
        let call = self.call(Method::DELETE, Target::Url(&session.location), what);
        let _ = self.send_once(&call).await;
    }

    async fn is_there(&self) -> Result<bool, RegistryError> {
        let digest = self.blob.digest();
        let what = format!("looking for {digest}");
        let path = format!("{}/blobs/{digest}", self.scope.repository);
        let call = self.call(Method::HEAD, Target::Path(path), &what);
        let answer = self.registry.send(self.endpoint, &call).await?;
        let (base, _) = self
            .endpoint
            .base()
            .await
            .map_err(|failure| failure.given_up(self.endpoint, &what, 1))?;
        match answer.status() {
            status if status.is_success() => Ok(true),
            // Sent on to a storage service, whose signed address may be for GET only: it is there.
            _ if answer.url().origin() != base.origin() => Ok(true),
            StatusCode::NOT_FOUND => Ok(false),
            // Where reading isn't allowed, the upload itself will tell.
            StatusCode::FORBIDDEN | StatusCode::METHOD_NOT_ALLOWED => Ok(false),
            _ => Err(self.registry.refused(self.endpoint, &call, answer).await),
        }
    }

    /// One try: opens a session if there is none, and sends what is missing.
    async fn advance(
        &self,
        session: &mut Option<Session>,
        in_pieces: bool,
        what: &str,
    ) -> Result<Step, CallFailure> {
        if session.is_none() {
            match self.open(what).await? {
                Step::Opened(new) => *session = Some(new),
                done => return Ok(done),
            }
        }
        let open = session.as_mut().expect("it was opened above");
        let chunk = self.registry.options.chunk.max(1);
        if in_pieces {
            while self.blob.size() - open.at > chunk {
                match self.send_piece(open, chunk, what).await {
                    Ok(()) => {}
                    Err(CallFailure::Final(RegistryError::Server {
                        status: 400 | 404 | 405 | 411 | 413 | 416 | 501,
                        message,
                        ..
                    })) => {
                        self.endpoint.note_refused_pieces();
                        *session = None;
                        return Err(CallFailure::transient(format!(
                            "pieces are refused: {message}"
                        )));
                    }
                    Err(other) => return Err(other),
                }
            }
        }
        self.finish(open, what).await.map(|()| Step::Done)
    }

    /// Opens an upload, or has the blob mounted from a repository nearby.
    async fn open(&self, what: &str) -> Result<Step, CallFailure> {
        let path = format!("{}/blobs/uploads/", self.scope.repository);
        let mut opened = None;
        let is_asked = |from: &&String| match self.known {
            KnownBlob::Nothing => true,
            KnownBlob::At(asked) => asked != *from,
            KnownBlob::New => false,
        };
        for from in self.scope.mount_from.iter().filter(is_asked) {
            let call = self.call(Method::POST, Target::Path(self.mounting(from)), what);
            let answer = self.send_once(&call).await?;
            match answer.status() {
                StatusCode::CREATED => return Ok(Step::Mounted(from.clone())),
                StatusCode::ACCEPTED => opened = Some(self.session(answer, 0)?),
                // A neighbour that we may not read is no neighbour.
                _ => {}
            }
        }
        if let Some(session) = opened {
            return Ok(Step::Opened(session));
        }
        let call = self.call(Method::POST, Target::Path(path), what);
        let answer = self.send_once(&call).await?;
        match answer.status() {
            StatusCode::CREATED => Ok(Step::Done),
            StatusCode::ACCEPTED => Ok(Step::Opened(self.session(answer, 0)?)),
            _ => Err(refusal(self.scope, what, answer).await),
        }
    }

    async fn send_piece(
        &self,
        open: &mut Session,
        chunk: u64,
        what: &str,
    ) -> Result<(), CallFailure> {
        let length = chunk.min(self.blob.size() - open.at);
        let location = open.location.clone();
        let mut call = self.call(Method::PATCH, Target::Url(&location), what);
        call.headers = vec![
            ("content-type", "application/octet-stream".to_owned()),
            (
                "content-range",
                format!("{}-{}", open.at, open.at + length - 1),
            ),
        ];
        call.body = self.body(open.at, length);
        let answer = self.send_once(&call).await?;
        if !answer.status().is_success() {
            return Err(refusal(self.scope, what, answer).await);
        }
        *open = self.session(answer, open.at + length)?;
        Ok(())
    }

    /// Sends the rest and closes the upload.
    async fn finish(&self, open: &Session, what: &str) -> Result<(), CallFailure> {
        let digest = self.blob.digest();
        let mut location = open.location.clone();
        location
            .query_pairs_mut()
            .append_pair("digest", digest.as_ref());
        let (at, size) = (open.at, self.blob.size());
        let mut call = self.call(Method::PUT, Target::Url(&location), what);
        call.headers = vec![("content-type", "application/octet-stream".to_owned())];
        if at > 0 && at < size {
            call.headers
                .push(("content-range", format!("{at}-{}", size - 1)));
        }
        call.body = self.body(at, size - at);
        let answer = self.send_once(&call).await?;
        if answer.status().is_success() {
            return Ok(());
        }
        let gone = matches!(
            answer.status(),
            StatusCode::NOT_FOUND | StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::BAD_REQUEST
        );
        if answer.status() == StatusCode::BAD_REQUEST {
            self.check_own_bytes().await?;
        }
        match refusal(self.scope, what, answer).await {
            // A session that was lost, or bytes that were: the retry starts anew.
            CallFailure::Final(error) if gone => Err(CallFailure::transient(error)),
            other => Err(other),
        }
    }

    /// A registry that refuses a blob may be right: it may be damaged here.
    async fn check_own_bytes(&self) -> Result<(), RegistryError> {
        let BlobBytes::Disk(source) = self.bytes else {
            return Ok(());
        };
        let (source, blob) = (source.clone(), self.blob.clone());
        tokio::task::spawn_blocking(move || source.verify(&blob))
            .await
            .expect("reading a file doesn't panic")?;
        Ok(())
    }

    /// How far the registry got; `None` if it knows nothing of the upload any more.
    async fn look_up(&self, old: Session, what: &str) -> Option<Session> {
        let call = self.call(Method::GET, Target::Url(&old.location), what);
        let answer = self.send_once(&call).await.ok()?;
        if !answer.status().is_success() {
            return None;
        }
        let range = answer
            .headers()
            .get(RANGE)?
            .to_str()
            .ok()?
            .trim()
            .to_owned();
        let last: u64 = range
            .trim_start_matches("bytes=")
            .split_once('-')?
            .1
            .parse()
            .ok()?;
        // "0-0" means nothing as well as one byte: nothing is safe to assume.
        let at = if last == 0 { 0 } else { last + 1 };
        if at > self.blob.size() {
            return None;
        }
        let kept = Session {
            location: old.location.clone(),
            at,
        };
        Some(self.session(answer, at).unwrap_or(kept))
    }

    fn session(&self, answer: Response, at: u64) -> Result<Session, CallFailure> {
        let location = upload_location(&answer).map_err(|why| RegistryError::Malformed {
            registry: self.endpoint.name.clone(),
            what: format!("the upload of {}", self.blob.digest()),
            why: why.to_owned(),
        })?;
        Ok(Session { location, at })
    }

    fn body(&self, from: u64, length: u64) -> CallBody<'_> {
        match &self.bytes {
            _ if length == 0 => CallBody::Empty,
            BlobBytes::Memory(bytes) => {
                CallBody::Bytes(bytes.slice(from as usize..(from + length) as usize))
            }
            BlobBytes::Disk(source) => {
                let (notify, digest) = (self.notify.clone(), self.blob.digest().clone());
                let sent = Arc::new(move |bytes| {
                    notify(PushEvent::Sent {
                        digest: digest.clone(),
                        bytes,
                    });
                });
                CallBody::File {
                    source,
                    from,
                    length,
                    sent,
                }
            }
        }
    }

    fn call<'c>(&'c self, method: Method, target: Target<'c>, what: &'c str) -> Call<'c> {
        Call {
            method,
            target,
            headers: Vec::new(),
            body: CallBody::Empty,
            scope: self.scope,
            what,
        }
    }

    async fn send_once(&self, call: &Call<'_>) -> Result<Response, CallFailure> {
        self.endpoint
            .send_once(call, &self.registry.options.credentials)
            .await
    }
}

/// Where an upload goes on, as the registry's answer says.
pub(super) fn upload_location(answer: &Response) -> Result<Url, &'static str> {
    let location = answer.headers().get(LOCATION).and_then(|v| v.to_str().ok());
    let location = location.ok_or("there is no Location")?;
    let asked = answer.url();
    let mut location = asked
        .join(location)
        .map_err(|_| "its Location is no address")?;
    // Registries behind a proxy that ends TLS don't know their own scheme.
    if location.host() == asked.host() && location.scheme() == "http" && asked.scheme() == "https" {
        let _ = location.set_scheme("https");
    }
    if asked.scheme() == "https" && location.scheme() != "https" {
        return Err("its Location leads from https to plain http");
    }
    Ok(location)
}
