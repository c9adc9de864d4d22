//! A tracker's server, asked over HTTP: bounded answers, and a log-in that goes to it alone.

use mlbuild_secrets::{Secret, redact};
use mlbuild_waits::{Flow, Wait};
use reqwest::header::LOCATION;
use reqwest::redirect::Policy;
use reqwest::{Client, Method, RequestBuilder, Response, StatusCode};
use serde_json::Value;
use url::Url;

use super::{Tracker, TrackerError};
use crate::error::chain;
use crate::loopback::is_loopback;
use crate::redirects;

/// Most bytes of an answer in JSON.
const MAX_ANSWER: usize = 8 << 20;

/// Most characters of what a server says of a failure.
const MAX_SAID: usize = 300;

/// How a server is told who asks.
#[derive(Debug)]
pub(super) enum LogIn {
    /// It isn't: whoever reaches it may ask.
    None,
    /// By name and password.
    Basic(String, Secret),
    /// By a token.
    Bearer(Secret),
}

/// What a server is asked.
pub(super) enum Question<'a> {
    /// By names and values in the address.
    Get(&'a [(&'a str, &'a str)]),
    /// By JSON.
    Post(&'a Value),
}

/// A server, and the log-in that is for it.
#[derive(Debug)]
pub(super) struct Server {
    tracker: Tracker,
    base: Url,
    log_in: LogIn,
}

impl Server {
    /// The server at an address of http or https, to which paths are added.
    pub(super) fn new(tracker: Tracker, mut base: Url, log_in: LogIn) -> Self {
        if !base.path().ends_with('/') {
            base.set_path(&format!("{}/", base.path()));
        }
        Self {
            tracker,
            base,
            log_in,
        }
    }

    /// `HOST:PORT`
    pub(super) fn name(&self) -> String {
        name_of(&self.base)
    }

    /// True where the log-in is sent in the clear to another machine.
    pub(super) fn is_in_the_clear(&self) -> bool {
        let has_log_in = !matches!(self.log_in, LogIn::None);
        has_log_in
            && self.base.scheme() == "http"
            && !is_loopback(self.base.host_str().unwrap_or_default())
    }

    /// Sends JSON to a path below the address, and reads JSON.
    ///
    /// # Errors
    /// Where it can't be reached, refuses, leads elsewhere or answers with something else.
    pub(super) async fn ask(
        &self,
        path: &str,
        body: &Value,
        what: &str,
    ) -> Result<Value, TrackerError> {
        let request = self.request(Method::POST, path, &[], what)?.json(body);
        let answer = self.send(request, what).await?;
        let bytes = self.body(answer, MAX_ANSWER, what).await?;
        serde_json::from_slice(&bytes).map_err(|error| self.wrong(what, error))
    }

    /// As [`Server::ask`] of at most `limit` bytes, where a body goes with the question or else names and
    /// values in its address; any status but those of a refused log-in and a redirect is an answer, too.
    ///
    /// # Errors
    /// Where it can't be reached, refuses, leads elsewhere or answers with what isn't JSON.
    pub(super) async fn question(
        &self,
        path: &str,
        question: &Question<'_>,
        limit: usize,
        what: &str,
    ) -> Result<(StatusCode, Value), TrackerError> {
        let request = match question {
            Question::Get(query) => self.request(Method::GET, path, query, what)?,
            Question::Post(body) => self.request(Method::POST, path, &[], what)?.json(body),
        };
        let answer = self.reach(request).await?;
        let status = answer.status();
        let bytes = self.body(answer, limit, what).await?;
        match serde_json::from_slice(&bytes) {
            Ok(value) => Ok((status, value)),
            Err(_) if !status.is_success() => Err(self.wrong_status(what, status)),
            Err(error) => Err(self.wrong(what, error)),
        }
    }

    /// A request to the server itself, which follows no redirect: it has the log-in.
    fn request(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
        what: &str,
    ) -> Result<RequestBuilder, TrackerError> {
        let mut url = self
            .base
            .join(path)
            .map_err(|error| self.wrong(what, error))?;
        if !query.is_empty() {
            url.query_pairs_mut().extend_pairs(query);
        }
        let client = self.client(&url, Policy::none(), what)?;
        Ok(self.with_log_in(client.request(method, url)))
    }

    /// Reads a file of at most `limit` bytes that the server says is at this address: on itself with the
    /// log-in, elsewhere without. Where the file lies is for the server to say; over TLS it stays there.
    ///
    /// # Errors
    /// As [`Server::ask`]; where the file is larger.
    pub(super) async fn file(
        &self,
        at: &str,
        limit: usize,
        what: &str,
    ) -> Result<Vec<u8>, TrackerError> {
        let url = self
            .base
            .join(at)
            .map_err(|error| self.wrong(what, error))?;
        let is_known = matches!(url.scheme(), "http" | "https");
        if !is_known || (self.base.scheme() == "https" && url.scheme() != "https") {
            let why = format!("it should be at {}, which isn't https", shown(&url));
            return Err(self.wrong(what, why));
        }
        let is_ours = url.origin() == self.base.origin();
        // To another server a redirect goes without the log-in: see `redirects`.
        let client = self.client(&url, redirects::anywhere_by_tls(), what)?;
        let request = client.get(url);
        let request = if is_ours {
            self.with_log_in(request)
        } else {
            request
        };
        let answer = self.send(request, what).await?;
        self.body(answer, limit, what).await
    }

    fn client(&self, url: &Url, redirects: Policy, what: &str) -> Result<Client, TrackerError> {
        let builder = Client::builder()
            .user_agent(concat!("mlbuild/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .redirect(redirects)
            .connect_timeout(std::time::Duration::from_secs(20));
        let builder = if is_loopback(url.host_str().unwrap_or_default()) {
            builder.no_proxy()
        } else {
            builder
        };
        // Certificates take longer to load than a call on loopback.
        let builder = if url.scheme() == "http" {
            builder.tls_certs_only([])
        } else {
            builder
        };
        builder
            .build()
            .map_err(|error| self.wrong(what, chain(&error)))
    }

    fn with_log_in(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.log_in {
            LogIn::None => request,
            LogIn::Bearer(token) => request.bearer_auth(token.expose()),
            LogIn::Basic(user, password) => request.basic_auth(user, Some(password.expose())),
        }
    }

    async fn send(&self, request: RequestBuilder, what: &str) -> Result<Response, TrackerError> {
        let answer = self.reach(request).await?;
        if answer.status().is_success() {
            Ok(answer)
        } else {
            Err(self.wrong_status(what, answer.status()))
        }
    }

    /// An answer that is neither a redirect nor a refused log-in.
    async fn reach(&self, request: RequestBuilder) -> Result<Response, TrackerError> {
        let wait = Wait::on(format!("the server {}", self.name()));
        let answer = wait.within(request.send()).await?;
        let answer = answer.map_err(|error| TrackerError::Unreachable {
            server: self.name(),
            why: chain(&error.without_url()),
        })?;
        let status = answer.status();
        if status.is_redirection() {
            let to = answer
                .headers()
                .get(LOCATION)
                .and_then(|to| to.to_str().ok());
            let to = to.and_then(|to| self.base.join(to).ok());
            return Err(TrackerError::Redirected {
                tracker: self.tracker,
                server: self.name(),
                to: to.map_or_else(|| "nowhere".to_owned(), |to| shown(&to)),
            });
        }
        if status == StatusCode::UNAUTHORIZED || status == StatusCode::FORBIDDEN {
            return Err(TrackerError::Refused {
                tracker: self.tracker,
                server: self.name(),
                status: status.as_u16(),
            });
        }
        Ok(answer)
    }

    async fn body(
        &self,
        mut answer: Response,
        limit: usize,
        what: &str,
    ) -> Result<Vec<u8>, TrackerError> {
        let too_large = || self.wrong(what, format!("it is larger than {limit} bytes"));
        if answer
            .content_length()
            .is_some_and(|length| length > limit as u64)
        {
            return Err(too_large());
        }
        let mut flow = Flow::from(format!("the server {}", self.name()));
        let mut bytes = Vec::new();
        loop {
            let size = |piece: &Result<Option<bytes::Bytes>, reqwest::Error>| {
                let piece = piece.as_ref().ok().and_then(Option::as_ref);
                piece.map_or(0, bytes::Bytes::len)
            };
            let piece = flow.next(answer.chunk(), size).await?;
            let piece = piece.map_err(|error| self.wrong(what, chain(&error.without_url())))?;
            let Some(piece) = piece else {
                return Ok(bytes);
            };
            if bytes.len() + piece.len() > limit {
                return Err(too_large());
            }
            bytes.extend_from_slice(&piece);
        }
    }

    /// The error of a status that is none of success.
    fn wrong_status(&self, what: &str, status: StatusCode) -> TrackerError {
        self.wrong(what, format!("status {}", status.as_u16()))
    }

    /// The error of an answer that can't be used.
    pub(super) fn wrong(&self, what: &str, why: impl ToString) -> TrackerError {
        let why = why.to_string();
        let mut why = redact(&why).into_owned();
        if let Some((end, _)) = why.char_indices().nth(MAX_SAID) {
            why.truncate(end);
            why.push('…');
        }
        TrackerError::Answer {
            server: self.name(),
            what: what.to_owned(),
            why,
        }
    }
}

/// `HOST:PORT`, or `HOST` where the port is the scheme's own.
pub(super) fn name_of(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    match url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    }
}

/// Scheme and host: paths and queries may hold signatures.
fn shown(url: &Url) -> String {
    format!("{}://{}", url.scheme(), name_of(url))
}
