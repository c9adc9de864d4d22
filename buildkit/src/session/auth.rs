//! Registry log-ins for the builder. Where a registry uses tokens, the
//! password stays here: the builder asks for a token, and this end fetches it.
//!
//! The builder says which host it needs a log-in for, and a builder may be anybody's. So it
//! gets those of the hosts that the build names ([`AuthOptions::hosts`]), and for every other
//! host it is told that there is no log-in, without a look at where they are kept. Which hosts
//! those were is kept in [`AuthOptions::refused`].

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, OnceLock};
use std::time::{Duration, Instant};

use ed25519_dalek::{Signer as _, SigningKey};
use hmac::{Hmac, KeyInit as _, Mac as _};
use mlbuild_docker::{CredentialsError, Env, RegistryCredentials};
use mlbuild_proto::moby::filesync::v1::auth_server;
use mlbuild_proto::moby::filesync::v1::{
    CredentialsRequest, CredentialsResponse, FetchTokenRequest, FetchTokenResponse,
    GetTokenAuthorityRequest, GetTokenAuthorityResponse, VerifyTokenAuthorityRequest,
    VerifyTokenAuthorityResponse,
};
use mlbuild_secrets::Secret;
use serde::Deserialize;
use sha2::Sha256;
use tonic::{Request, Response, Status};

use super::fill_random;

/// Where log-ins come from.
#[derive(Clone, Debug, Default)]
pub struct AuthOptions {
    /// The folder of Docker's `config.json`, with its log-ins and credential
    /// helpers.
    pub docker_config: Option<PathBuf>,
    /// Log-ins by registry host, which win over the folder's.
    pub credentials: BTreeMap<String, RegistryCredentials>,
    /// The registry hosts that the build names: the only ones whose log-ins are given. `docker.io`
    /// stands for all names of Docker Hub.
    pub hosts: BTreeSet<String>,
    /// The hosts that the builder asked for besides, and that there is a log-in for or not: where
    /// they are kept was not looked at.
    pub refused: RefusedHosts,
    /// The passwords and tokens that were given to the builder or to a token service.
    pub given: GivenLogIns,
}

/// Passwords and tokens that were given: nothing that is shown may hold one.
#[derive(Clone, Debug, Default)]
pub struct GivenLogIns(Arc<Mutex<Vec<Secret>>>);

/// Most of them that are remembered: a build has a handful of registries.
const MAX_GIVEN: usize = 256;

impl GivenLogIns {
    /// Those of this build so far, in the order in which they were given.
    pub fn values(&self) -> Vec<Secret> {
        self.0.lock().unwrap_or_else(|e| e.into_inner()).clone()
    }

    /// One more.
    pub fn add(&self, value: &str) {
        let value = Secret::new(value);
        let mut values = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if values.len() < MAX_GIVEN && !values.contains(&value) {
            values.push(value);
        }
    }
}

/// Hosts whose log-ins were asked for and not given.
#[derive(Clone, Debug, Default)]
pub struct RefusedHosts(Arc<Mutex<BTreeSet<String>>>);

/// Most hosts that are remembered as refused, and most bytes of each name.
const MAX_REFUSED: usize = 20;
const MAX_HOST: usize = 255;

impl RefusedHosts {
    /// Those of this build so far.
    pub fn hosts(&self) -> Vec<String> {
        let hosts = self.0.lock().unwrap_or_else(|e| e.into_inner());
        hosts.iter().cloned().collect()
    }

    fn add(&self, host: &str) {
        let mut hosts = self.0.lock().unwrap_or_else(|e| e.into_inner());
        if hosts.len() < MAX_REFUSED && host.len() <= MAX_HOST {
            hosts.insert(host.to_owned());
        }
    }
}

/// The one name of a registry that has several.
fn plain_host(host: &str) -> String {
    match host.to_ascii_lowercase().as_str() {
        "docker.io" | "index.docker.io" | "registry-1.docker.io" | "registry.hub.docker.com" => {
            "docker.io".to_owned()
        }
        other => other.to_owned(),
    }
}

impl AuthOptions {
    /// What Docker's client would use, for these hosts.
    pub fn from_env(env: &Env, hosts: impl IntoIterator<Item = String>) -> Self {
        Self {
            docker_config: env.docker_config_dir(),
            hosts: hosts.into_iter().collect(),
            ..Self::default()
        }
    }

    fn may_have(&self, host: &str) -> bool {
        let host = plain_host(host);
        self.hosts.iter().any(|named| plain_host(named) == host)
    }
}

/// Some helpers hand out log-ins that last five minutes.
const REMEMBER: Duration = Duration::from_secs(290);
/// How long a token is good if the registry doesn't say. Seconds.
const DEFAULT_EXPIRY: i64 = 60;

pub(super) struct Auth {
    shared: Arc<Shared>,
    /// Made at the first token: it loads the system's certificates.
    http: OnceLock<reqwest::Client>,
}

struct Shared {
    options: AuthOptions,
    /// Helpers are slow, and the builder asks several times per image.
    known: Mutex<BTreeMap<String, (Instant, Option<RegistryCredentials>)>>,
    /// Random per host and process: makes the authority's key unguessable by
    /// the builder.
    seeds: Mutex<BTreeMap<String, [u8; 16]>>,
}

impl Auth {
    pub(super) fn new(options: AuthOptions) -> Self {
        Self {
            shared: Arc::new(Shared {
                options,
                known: Mutex::default(),
                seeds: Mutex::default(),
            }),
            http: OnceLock::new(),
        }
    }

    async fn credentials_for(&self, host: &str) -> Result<Option<RegistryCredentials>, Status> {
        if !self.shared.options.may_have(host) {
            self.shared.options.refused.add(host);
            return Ok(None);
        }
        let shared = self.shared.clone();
        let host = host.to_string();
        // Helpers are programs, and reading their answer blocks.
        let found = tokio::task::spawn_blocking(move || shared.lookup(&host))
            .await
            .map_err(|e| Status::internal(e.to_string()))?
            .map_err(|e| Status::failed_precondition(e.to_string()))?;
        match &found {
            Some(RegistryCredentials::Password { password, .. }) => {
                self.shared.options.given.add(password.expose());
            }
            Some(RegistryCredentials::IdentityToken(token)) => {
                self.shared.options.given.add(token.expose());
            }
            None => {}
        }
        Ok(found)
    }

    /// The key that proves to the builder that a later request for the same
    /// host comes from who made an earlier one, so that tokens may be reused.
    async fn authority(&self, host: &str, salt: &[u8]) -> Result<SigningKey, Status> {
        let known = self.credentials_for(host).await?.is_some();
        let mut mac = Hmac::<Sha256>::new_from_slice(salt)
            .map_err(|e| Status::invalid_argument(e.to_string()))?;
        if known {
            mac.update(&self.shared.seed(host));
        }
        Ok(SigningKey::from_bytes(&mac.finalize().into_bytes().into()))
    }
}

impl Shared {
    fn lookup(&self, host: &str) -> Result<Option<RegistryCredentials>, CredentialsError> {
        if let Some(given) = self.options.credentials.get(host) {
            return Ok(Some(given.clone()));
        }
        let Some(dir) = &self.options.docker_config else {
            return Ok(None);
        };
        // Held while a helper runs: two of them at once may ask the user twice.
        let mut known = self.known.lock().unwrap_or_else(|e| e.into_inner());
        if let Some((since, credentials)) = known.get(host)
            && since.elapsed() < REMEMBER
        {
            return Ok(credentials.clone());
        }
        let found = RegistryCredentials::lookup(dir, host)?;
        known.insert(host.to_string(), (Instant::now(), found.clone()));
        Ok(found)
    }

    fn seed(&self, host: &str) -> [u8; 16] {
        let mut seeds = self.seeds.lock().unwrap_or_else(|e| e.into_inner());
        *seeds.entry(host.to_string()).or_insert_with(|| {
            let mut seed = [0; 16];
            fill_random(&mut seed);
            seed
        })
    }
}

#[tonic::async_trait]
impl auth_server::Auth for Auth {
    async fn credentials(
        &self,
        request: Request<CredentialsRequest>,
    ) -> Result<Response<CredentialsResponse>, Status> {
        let response = match self.credentials_for(&request.get_ref().host).await? {
            None => CredentialsResponse::default(),
            Some(RegistryCredentials::Password { username, password }) => CredentialsResponse {
                username,
                secret: password.expose().to_string(),
            },
            Some(RegistryCredentials::IdentityToken(token)) => CredentialsResponse {
                username: String::new(),
                secret: token.expose().to_string(),
            },
        };
        Ok(Response::new(response))
    }

    async fn fetch_token(
        &self,
        request: Request<FetchTokenRequest>,
    ) -> Result<Response<FetchTokenResponse>, Status> {
        let request = request.into_inner();
        let credentials = self.credentials_for(&request.host).await?;
        check_realm(&request.realm, credentials.is_some())?;
        let http = match self.http.get() {
            Some(http) => http,
            None => {
                let made = client().map_err(|e| Status::internal(e.to_string()))?;
                self.http.get_or_init(|| made)
            }
        };
        let token = fetch_token(http, &request, credentials.as_ref()).await?;
        self.shared.options.given.add(&token.token);
        Ok(Response::new(token))
    }

    async fn get_token_authority(
        &self,
        request: Request<GetTokenAuthorityRequest>,
    ) -> Result<Response<GetTokenAuthorityResponse>, Status> {
        let GetTokenAuthorityRequest { host, salt } = request.into_inner();
        let key = self.authority(&host, &salt).await?;
        Ok(Response::new(GetTokenAuthorityResponse {
            public_key: key.verifying_key().to_bytes().to_vec().into(),
        }))
    }

    async fn verify_token_authority(
        &self,
        request: Request<VerifyTokenAuthorityRequest>,
    ) -> Result<Response<VerifyTokenAuthorityResponse>, Status> {
        let request = request.into_inner();
        let key = self.authority(&request.host, &request.salt).await?;
        // NaCl's `sign`: the signature, then what was signed.
        let mut signed = key.sign(&request.payload).to_bytes().to_vec();
        signed.extend_from_slice(&request.payload);
        Ok(Response::new(VerifyTokenAuthorityResponse {
            signed: signed.into(),
        }))
    }
}

#[derive(Deserialize)]
struct TokenAnswer {
    #[serde(default)]
    token: String,
    #[serde(default)]
    access_token: String,
    #[serde(default)]
    expires_in: i64,
    #[serde(default)]
    issued_at: Option<String>,
}

/// Largest answer of a token service, in bytes. Tokens have some thousand.
const MAX_ANSWER: usize = 1 << 20;

/// The builder names the token service: a log-in goes there by TLS, or to this machine.
fn check_realm(realm: &str, has_log_in: bool) -> Result<(), Status> {
    let url = reqwest::Url::parse(realm)
        .map_err(|e| Status::invalid_argument(format!("token service `{realm}`: {e}")))?;
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost",
        Some(url::Host::Ipv4(ip)) => ip.is_loopback(),
        Some(url::Host::Ipv6(ip)) => ip.is_loopback(),
        None => false,
    };
    if url.scheme() == "https" || (url.scheme() == "http" && (is_here || !has_log_in)) {
        return Ok(());
    }
    Err(Status::permission_denied(format!(
        "token service {}: a log-in would be sent in the clear",
        url.host_str().unwrap_or(realm)
    )))
}

/// One that doesn't go from TLS to plain http, and takes nothing to another host.
fn client() -> Result<reqwest::Client, reqwest::Error> {
    let same_host = reqwest::redirect::Policy::custom(|attempt| {
        let from = attempt.previous().last().map(reqwest::Url::origin);
        if attempt.previous().len() > 5 {
            return attempt.error("too many redirects");
        }
        if from == Some(attempt.url().origin()) {
            attempt.follow()
        } else {
            attempt.error("the token service sends log-ins elsewhere")
        }
    });
    reqwest::Client::builder()
        .redirect(same_host)
        .connect_timeout(Duration::from_secs(10))
        .timeout(Duration::from_secs(60))
        .build()
}

/// Asks the registry's token service, with OAuth's POST where there is a
/// log-in, else (or where the service doesn't know POST) with GET.
async fn fetch_token(
    http: &reqwest::Client,
    request: &FetchTokenRequest,
    credentials: Option<&RegistryCredentials>,
) -> Result<FetchTokenResponse, Status> {
    use reqwest::StatusCode;
    let scope = request.scopes.join(" ");
    if let Some(credentials) = credentials {
        let mut form = vec![
            ("client_id", "mlbuild"),
            ("service", &request.service),
            ("scope", &scope),
        ];
        match credentials {
            RegistryCredentials::Password { username, password } => form.extend([
                ("grant_type", "password"),
                ("username", username),
                ("password", password.expose()),
            ]),
            RegistryCredentials::IdentityToken(token) => form.extend([
                ("grant_type", "refresh_token"),
                ("refresh_token", token.expose()),
            ]),
        }
        let body = url::form_urlencoded::Serializer::new(String::new())
            .extend_pairs(form)
            .finish();
        let answer = http
            .post(&request.realm)
            .header("content-type", "application/x-www-form-urlencoded")
            .body(body)
            .send()
            .await
            .map_err(|e| unreachable(&request.realm, e))?;
        // Google's registry answers 404 to POST, Artifactory 401, others 405.
        let get_instead = matches!(
            answer.status(),
            StatusCode::NOT_FOUND | StatusCode::UNAUTHORIZED | StatusCode::METHOD_NOT_ALLOWED
        );
        if !get_instead {
            return read_token(&request.realm, answer).await;
        }
    }

    let mut url = reqwest::Url::parse(&request.realm)
        .map_err(|e| Status::invalid_argument(format!("token service `{}`: {e}", request.realm)))?;
    {
        let mut query = url.query_pairs_mut();
        if !request.service.is_empty() {
            query.append_pair("service", &request.service);
        }
        for scope in &request.scopes {
            query.append_pair("scope", scope);
        }
    }
    let mut get = http.get(url);
    if let Some(RegistryCredentials::Password { username, password }) = credentials {
        get = get.basic_auth(username, Some(password.expose()));
    }
    let answer = get
        .send()
        .await
        .map_err(|e| unreachable(&request.realm, e))?;
    read_token(&request.realm, answer).await
}

async fn read_token(realm: &str, answer: reqwest::Response) -> Result<FetchTokenResponse, Status> {
    let status = answer.status();
    if !status.is_success() {
        return Err(Status::unauthenticated(format!(
            "token service {realm}: {status}; is the log-in right? (`docker login`)"
        )));
    }
    let lost =
        |why: &dyn std::fmt::Display| Status::unavailable(format!("token service {realm}: {why}"));
    let (mut answer, mut text) = (answer, Vec::new());
    while let Some(piece) = answer.chunk().await.map_err(|e| lost(&e))? {
        text.extend_from_slice(&piece);
        if text.len() > MAX_ANSWER {
            return Err(lost(&format!(
                "its answer is larger than {MAX_ANSWER} bytes"
            )));
        }
    }
    let answer: TokenAnswer = serde_json::from_slice(&text).map_err(|e| lost(&e))?;
    let token = if answer.token.is_empty() {
        answer.access_token
    } else {
        answer.token
    };
    if token.is_empty() {
        return Err(Status::unauthenticated(format!(
            "token service {realm}: the answer holds no token"
        )));
    }
    let issued: Option<jiff::Timestamp> = answer.issued_at.and_then(|at| at.parse().ok());
    Ok(FetchTokenResponse {
        token,
        expires_in: match answer.expires_in {
            0 => DEFAULT_EXPIRY,
            seconds => seconds,
        },
        issued_at: issued.map_or(0, |at| at.as_second()),
    })
}

fn unreachable(realm: &str, error: reqwest::Error) -> Status {
    use std::error::Error as _;
    let error = error.without_url();
    let mut text = format!("token service {realm} can't be reached: {error}");
    let mut cause = error.source();
    while let Some(inner) = cause {
        text.push_str(&format!(": {inner}"));
        cause = inner.source();
    }
    Status::unavailable(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use auth_server::Auth as _;
    use ed25519_dalek::{Signature, Verifier as _, VerifyingKey};
    use mlbuild_secrets::Secret;

    fn auth() -> Auth {
        let login = RegistryCredentials::Password {
            username: "ana".into(),
            password: Secret::new("hunter2"),
        };
        let credentials = [
            ("r.example".to_string(), login.clone()),
            ("other.example".to_string(), login.clone()),
            ("docker.io".to_string(), login),
        ];
        Auth::new(AuthOptions {
            credentials: credentials.into(),
            hosts: ["r.example".to_string(), "index.docker.io".to_string()].into(),
            ..AuthOptions::default()
        })
    }

    /// A builder that asks for every log-in that may be there, by every way there is.
    #[tokio::test]
    async fn only_hosts_that_the_build_names_have_a_login() {
        let auth = auth();
        let ask = async |host: &str| {
            let request = CredentialsRequest { host: host.into() };
            let answer = auth.credentials(Request::new(request)).await.unwrap();
            answer.into_inner().secret
        };
        assert_eq!(ask("r.example").await, "hunter2");
        assert_eq!(ask("R.EXAMPLE").await, "");
        assert_eq!(ask("docker.io").await, "hunter2");
        for host in [
            "other.example",
            "",
            "https://index.docker.io/v1/",
            "r.example:5000",
        ] {
            assert_eq!(ask(host).await, "", "{host}");
        }
        let refused = auth.shared.options.refused.hosts();
        println!("refused: {refused:?}");
        assert!(refused.contains(&"other.example".to_string()));
        let realm = |realm: &str| FetchTokenRequest {
            host: "r.example".into(),
            realm: realm.into(),
            ..Default::default()
        };
        let sent = auth.fetch_token(Request::new(realm("http://192.0.2.1/token")));
        let error = sent.await.unwrap_err();
        println!("refused: {}", error.message());
        assert_eq!(error.code(), tonic::Code::PermissionDenied);
    }

    /// A token service that sends on: what the log-in is in may not go along.
    #[tokio::test]
    async fn a_token_service_sends_no_log_in_to_another_address() {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        let serve = |listener: tokio::net::TcpListener, answer: String| {
            tokio::spawn(async move {
                let (mut stream, _) = listener.accept().await.unwrap();
                let _ = stream.read(&mut [0; 8192]).await;
                let _ = stream.write_all(answer.as_bytes()).await;
            })
        };
        for status in [301, 302, 303, 307, 308] {
            let other = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let first = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
            let realm = format!("http://{}/token", first.local_addr().unwrap());
            let to = other.local_addr().unwrap();
            let away = format!(
                "HTTP/1.1 {status} Away\r\nLocation: http://{to}/t\r\nContent-Length: 0\r\n\r\n"
            );
            serve(first, away);
            let heard = serve(other, String::new());
            let request = FetchTokenRequest {
                host: "r.example".into(),
                realm,
                ..Default::default()
            };
            let refused = auth().fetch_token(Request::new(request)).await;
            let why = refused.unwrap_err();
            assert_eq!(why.code(), tonic::Code::Unavailable, "{why}");
            assert!(why.message().contains("sends log-ins elsewhere"), "{why}");
            assert!(!heard.is_finished(), "{status}");
        }
    }

    #[tokio::test]
    async fn the_authority_signs_with_the_key_it_showed() {
        let auth = auth();
        for host in ["r.example", "anonymous.example"] {
            let salt = bytes::Bytes::from_static(&[7; 32]);
            let shown = auth
                .get_token_authority(Request::new(GetTokenAuthorityRequest {
                    host: host.into(),
                    salt: salt.clone(),
                }))
                .await
                .unwrap()
                .into_inner();
            let signed = auth
                .verify_token_authority(Request::new(VerifyTokenAuthorityRequest {
                    host: host.into(),
                    payload: "proof".into(),
                    salt,
                }))
                .await
                .unwrap()
                .into_inner()
                .signed;
            let key = VerifyingKey::try_from(&shown.public_key[..]).unwrap();
            let (signature, payload) = signed.split_at(64);
            assert_eq!(payload, b"proof");
            key.verify(payload, &Signature::from_slice(signature).unwrap())
                .unwrap();
        }
    }

    #[tokio::test]
    async fn a_host_without_a_login_is_anonymous() {
        let ask = Request::new(CredentialsRequest {
            host: "other.example".into(),
        });
        let answer = auth().credentials(ask).await.unwrap().into_inner();
        assert_eq!(
            (answer.username, answer.secret),
            (String::new(), String::new())
        );
    }
}
