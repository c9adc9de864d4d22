//! One server of the distribution API: its address, its connections, its log-in.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use reqwest::redirect::Policy;
use reqwest::{Certificate, Client, ClientBuilder};
use tokio::sync::OnceCell;
use url::{Host, Url};

use super::auth::Login;
use super::error::RegistryError;
use super::options::RegistryOptions;
use super::retry::{CallFailure, Pause, asked_wait, is_transient, sort};
use crate::loopback::is_loopback;
use crate::redirects;

/// How long a connection may take to be made.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// A server of the distribution API.
#[derive(Debug)]
pub(super) struct Endpoint {
    /// The registry as references name it; errors and log-ins go by this name.
    pub(super) name: String,
    /// Path before every repository name, for mirrors: empty or `prefix/`.
    pub(super) prefix: String,
    pub(super) login: Login,
    /// `host[:port]` to connect to.
    host: String,
    scheme: Option<&'static str>,
    is_loopback: bool,
    is_insecure: bool,
    certificates: PathBuf,
    base: OnceCell<(Url, Client)>,
    answered: AtomicBool,
    is_down: AtomicBool,
    refuses_pieces: AtomicBool,
}

impl Endpoint {
    /// The server of a registry, as references name it.
    pub(super) fn of_registry(name: &str, options: &RegistryOptions) -> Self {
        let host = match name {
            "docker.io" | "index.docker.io" => "registry-1.docker.io",
            other => other,
        };
        Self::new(name, host, None, String::new(), options)
    }

    /// A mirror: `[http://|https://]host[:port][/prefix]`.
    pub(super) fn of_mirror(entry: &str, options: &RegistryOptions) -> Self {
        let (scheme, rest) = match entry.split_once("://") {
            Some(("http", rest)) => (Some("http"), rest),
            Some((_, rest)) => (Some("https"), rest),
            None => (None, entry),
        };
        let (host, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let prefix = prefix
            .trim_matches('/')
            .trim_start_matches("v2")
            .trim_start_matches('/');
        let prefix = if prefix.is_empty() {
            String::new()
        } else {
            format!("{prefix}/")
        };
        Self::new(host, host, scheme, prefix, options)
    }

    fn new(
        name: &str,
        host: &str,
        scheme: Option<&'static str>,
        prefix: String,
        options: &RegistryOptions,
    ) -> Self {
        Self {
            name: name.to_owned(),
            prefix,
            login: Login::default(),
            host: host.to_owned(),
            scheme,
            is_loopback: is_loopback(host),
            is_insecure: options.insecure.contains(name) || options.insecure.contains(host),
            certificates: options.certificates.join(name),
            base: OnceCell::new(),
            answered: AtomicBool::new(false),
            is_down: AtomicBool::new(false),
            refuses_pieces: AtomicBool::new(false),
        }
    }

    /// The API's address (`https://host/v2/`) and the client for it. Asks once whether a
    /// host that may speak plain http does.
    pub(super) async fn base(&self) -> Result<&(Url, Client), CallFailure> {
        self.base.get_or_try_init(|| self.find_base()).await
    }

    async fn find_base(&self) -> Result<(Url, Client), CallFailure> {
        let scheme = match self.scheme {
            Some(scheme) => scheme,
            None if self.is_loopback || self.is_insecure => self.probe().await?,
            None => "https",
        };
        let client = self.client(scheme, redirects::anywhere_by_tls())?;
        Ok((self.url(scheme)?, client))
    }

    /// A client for calls whose body holds a log-in: it takes none to another server.
    pub(super) async fn log_in_client(&self) -> Result<Client, CallFailure> {
        let (base, _) = self.base().await?;
        self.client(base.scheme(), redirects::of_log_ins())
    }

    fn client(&self, scheme: &str, redirects: Policy) -> Result<Client, CallFailure> {
        if scheme == "https" {
            self.tls_client(redirects)
        } else {
            self.plain_client(redirects)
        }
    }

    /// Servers that want TLS answer a plain request with 400, or not in HTTP at all.
    async fn probe(&self) -> Result<&'static str, CallFailure> {
        let client = self.plain_client(redirects::anywhere_by_tls())?;
        let request = client.get(self.url("http")?);
        match mlbuild_waits::answer(self.peer(), request.send()).await? {
            Ok(answer) if answer.status() == 400 => Ok("https"),
            Ok(answer) => {
                // The next request would come too early.
                let asked = asked_wait(&answer).filter(|_| is_transient(answer.status()));
                if let Some(asked) = asked {
                    Pause::new(Some(asked), asked).take(self).await;
                }
                Ok("http")
            }
            Err(e) if e.is_connect() => Err(sort(&self.name, &e)),
            Err(_) => Ok("https"),
        }
    }

    fn url(&self, scheme: &str) -> Result<Url, CallFailure> {
        Url::parse(&format!("{scheme}://{}/v2/", self.host)).map_err(|e| {
            CallFailure::Final(RegistryError::InvalidReference {
                text: self.host.clone(),
                why: e.to_string(),
            })
        })
    }

    /// Loads no certificates: on loopback that would take longer than the call.
    fn plain_client(&self, redirects: Policy) -> Result<Client, CallFailure> {
        self.build(self.builder(redirects).tls_certs_only([]))
    }

    fn tls_client(&self, redirects: Policy) -> Result<Client, CallFailure> {
        let own = self.own_certificates();
        let mut builder = self
            .builder(redirects)
            .tls_danger_accept_invalid_certs(self.is_insecure);
        if !own.is_empty() {
            builder = builder.tls_certs_merge(own);
        }
        self.build(builder)
    }

    fn builder(&self, redirects: Policy) -> ClientBuilder {
        let builder = Client::builder()
            .user_agent(concat!("mlbuild/", env!("CARGO_PKG_VERSION")))
            .http1_only()
            .redirect(redirects)
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_keepalive(Duration::from_secs(30))
            .tcp_user_timeout(Duration::from_secs(60));
        if self.is_loopback {
            builder.no_proxy()
        } else {
            builder
        }
    }

    fn build(&self, builder: ClientBuilder) -> Result<Client, CallFailure> {
        builder.build().map_err(|e| sort(&self.name, &e))
    }

    fn own_certificates(&self) -> Vec<Certificate> {
        let Ok(files) = std::fs::read_dir(&self.certificates) else {
            return Vec::new();
        };
        let paths = files.flatten().map(|f| f.path());
        let crt = paths.filter(|p| p.extension().is_some_and(|e| e == "crt"));
        crt.filter_map(|p| Certificate::from_pem_bundle(&std::fs::read(p).ok()?).ok())
            .flatten()
            .collect()
    }

    /// True if credentials may be sent to this address: not in the clear to another machine.
    pub(super) fn may_log_in_at(&self, url: &Url) -> bool {
        url.scheme() == "https"
            || self.is_insecure
            || url.host().is_some_and(|host| match host {
                Host::Domain(name) => name == "localhost",
                Host::Ipv4(ip) => ip.is_loopback(),
                Host::Ipv6(ip) => ip.is_loopback(),
            })
    }

    /// Who is waited for.
    pub(super) fn peer(&self) -> String {
        format!("the registry {}", self.name)
    }

    pub(super) fn note_answer(&self) {
        self.answered.store(true, Ordering::Relaxed);
    }

    /// True once it has answered anything: then a refused connection may be a restart.
    pub(super) fn has_answered(&self) -> bool {
        self.answered.load(Ordering::Relaxed)
    }

    pub(super) fn note_down(&self) {
        self.is_down.store(true, Ordering::Relaxed);
    }

    /// True once nobody was found there: a mirror isn't waited for twice.
    pub(super) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    pub(super) fn note_refused_pieces(&self) {
        self.refuses_pieces.store(true, Ordering::Relaxed);
    }

    pub(super) fn takes_pieces(&self) -> bool {
        !self.refuses_pieces.load(Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors_have_scheme_and_prefix() {
        let options = RegistryOptions::default();
        let mirror = Endpoint::of_mirror("http://mirror.example:5000/hub/", &options);
        assert_eq!(
            (mirror.scheme, mirror.host.as_str()),
            (Some("http"), "mirror.example:5000")
        );
        assert_eq!(mirror.prefix, "hub/");
        let mirror = Endpoint::of_mirror("https://mirror.example/v2/", &options);
        assert_eq!(
            (mirror.host.as_str(), mirror.prefix.as_str()),
            ("mirror.example", "")
        );
    }
}
