//! Logging in: challenges, and the tokens that answer them.
//!
//! Nothing is sent before the registry asks for it. Tokens are kept per scope until
//! they expire; one task at a time fetches one.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use base64::Engine as _;
use mlbuild_buildkit::{RegistryCredentials, Secret};
use reqwest::StatusCode;
use serde::Deserialize;
use tokio::sync::{Mutex, OnceCell};
use url::Url;

use super::credentials::CredentialStore;
use super::endpoint::Endpoint;
use super::error::RegistryError;
use super::retry::{CallFailure, asked_wait, bounded, is_transient, sort};
use super::scope::Scope;

/// Tokens without a stated life live this long, says the token specification.
const DEFAULT_LIFE: u64 = 60;
/// Largest answer of a token server, in bytes. Tokens have some thousand.
const MAX_TOKEN: usize = 1 << 20;

/// What is known of one server's log-in.
#[derive(Debug, Default)]
pub(super) struct Login {
    credential: OnceCell<Option<RegistryCredentials>>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    challenge: Option<Challenge>,
    /// Bearer tokens by scope.
    tokens: BTreeMap<String, (Secret, Instant)>,
}

/// What a registry asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Challenge {
    Basic,
    Bearer {
        realm: String,
        service: Option<String>,
        insufficient: bool,
    },
}

/// Servers name the token either way, or both for old and new clients.
#[derive(Deserialize)]
struct TokenAnswer {
    token: Option<String>,
    access_token: Option<String>,
    expires_in: Option<u64>,
}

impl Login {
    /// The header to send without being asked: once it is known what the registry wants.
    pub(super) async fn header(
        &self,
        endpoint: &Endpoint,
        store: &CredentialStore,
        scope: &Scope,
    ) -> Result<Option<Secret>, CallFailure> {
        let mut state = self.state.lock().await;
        match state.challenge.clone() {
            None => Ok(None),
            Some(challenge) => {
                self.answer(endpoint, store, scope, &mut state, challenge)
                    .await
            }
        }
    }

    /// The header that answers a 401. `sent` is what the refused call carried: a token that
    /// another task replaced meanwhile may be tried, the same one not again.
    pub(super) async fn answer_challenge(
        &self,
        endpoint: &Endpoint,
        store: &CredentialStore,
        scope: &Scope,
        challenge: Challenge,
        sent: Option<&Secret>,
    ) -> Result<Option<Secret>, CallFailure> {
        let mut state = self.state.lock().await;
        let key = scope.to_string();
        if state.tokens.get(&key).map(|(token, _)| token) == sent {
            state.tokens.remove(&key);
        }
        let insufficient = matches!(
            challenge,
            Challenge::Bearer {
                insufficient: true,
                ..
            }
        );
        state.challenge = Some(challenge.clone());
        let header = self
            .answer(endpoint, store, scope, &mut state, challenge)
            .await?;
        if header.is_none() || header.as_ref() == sent {
            return Err(self.refused(scope, insufficient).into());
        }
        Ok(header)
    }

    /// The error for a log-in that isn't enough.
    pub(super) fn refused(&self, scope: &Scope, insufficient: bool) -> RegistryError {
        let had = self.credential.get().is_some_and(Option::is_some);
        let (registry, repository) = (scope.registry.clone(), scope.repository.clone());
        if had && insufficient {
            return RegistryError::Denied {
                registry,
                repository,
                action: scope.action(),
                message: "the stored log-in isn't enough".to_owned(),
            };
        }
        RegistryError::Unauthorized {
            registry,
            repository,
            had_credentials: had,
        }
    }

    async fn answer(
        &self,
        endpoint: &Endpoint,
        store: &CredentialStore,
        scope: &Scope,
        state: &mut State,
        challenge: Challenge,
    ) -> Result<Option<Secret>, CallFailure> {
        let credential = self
            .credential
            .get_or_try_init(|| store.get(&endpoint.name));
        let credential = credential.await?.as_ref();
        match challenge {
            Challenge::Basic => {
                let (base, _) = endpoint.base().await?;
                if credential.is_some() && !endpoint.may_log_in_at(base) {
                    let why = "it wants the log-in over plain http, and nobody has named this host \
                               as one that may do so";
                    return Err(RegistryError::Malformed {
                        registry: endpoint.name.clone(),
                        what: "the log-in".to_owned(),
                        why: why.to_owned(),
                    }
                    .into());
                }
                Ok(basic(credential))
            }
            Challenge::Bearer { realm, service, .. } => {
                let key = scope.to_string();
                if let Some((token, until)) = state.tokens.get(&key)
                    && *until > Instant::now()
                {
                    return Ok(Some(token.clone()));
                }
                let (token, life) = self
                    .fetch(endpoint, credential, &realm, service.as_deref(), scope)
                    .await?;
                let header = Secret::new(format!("Bearer {token}"));
                // A token is not used in its last moments: the call takes time too.
                let until = Instant::now() + Duration::from_secs(life.saturating_sub(10).max(5));
                state.tokens.insert(key, (header.clone(), until));
                Ok(Some(header))
            }
        }
    }

    async fn fetch(
        &self,
        endpoint: &Endpoint,
        credential: Option<&RegistryCredentials>,
        realm: &str,
        service: Option<&str>,
        scope: &Scope,
    ) -> Result<(String, u64), CallFailure> {
        let nonsense = |why: String| RegistryError::Malformed {
            registry: endpoint.name.clone(),
            what: "the access token".to_owned(),
            why,
        };
        let mut url =
            Url::parse(realm).map_err(|e| nonsense(format!("the token server {realm:?}: {e}")))?;
        if credential.is_some() && !endpoint.may_log_in_at(&url) {
            return Err(
                nonsense(format!("the token server {url} wants log-ins in the clear")).into(),
            );
        }
        let (_, client) = endpoint.base().await?;
        let scope_text = scope.to_string();
        let mut fields = vec![("scope", scope_text.as_str())];
        fields.extend(service.map(|s| ("service", s)));
        let request = match credential {
            Some(RegistryCredentials::IdentityToken(token)) => {
                fields.extend([
                    ("grant_type", "refresh_token"),
                    ("client_id", "mlbuild"),
                    ("refresh_token", token.expose()),
                ]);
                let form = url::form_urlencoded::Serializer::new(String::new())
                    .extend_pairs(&fields)
                    .finish();
                let client = endpoint.log_in_client().await?;
                client
                    .post(url)
                    .header("content-type", "application/x-www-form-urlencoded")
                    .body(form)
            }
            Some(RegistryCredentials::Password { .. }) | None => {
                url.query_pairs_mut().extend_pairs(&fields);
                let request = client.get(url);
                match basic(credential) {
                    Some(header) => request.header("authorization", header.expose()),
                    None => request,
                }
            }
        };
        let peer = format!("the token server of {}", endpoint.name);
        let answer = mlbuild_waits::answer(peer, request.send()).await?;
        let answer = answer.map_err(|e| sort(&endpoint.name, &e))?;
        let status = answer.status();
        if is_transient(status) {
            return Err(CallFailure::Transient {
                why: format!("its token server answers {status}"),
                connect: false,
                after: asked_wait(&answer),
            });
        }
        if matches!(
            status,
            StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN | StatusCode::BAD_REQUEST
        ) {
            return Err(self.refused(scope, false).into());
        }
        if !status.is_success() {
            return Err(nonsense(format!("its token server answers {status}")).into());
        }
        let bytes = bounded(answer, MAX_TOKEN).await;
        let bytes = bytes.map_err(|why| CallFailure::from(nonsense(why)))?;
        let answer: TokenAnswer =
            serde_json::from_slice(&bytes).map_err(|e| nonsense(e.to_string()))?;
        let token = answer.token.or(answer.access_token);
        let token = token.ok_or_else(|| nonsense("there is no token in it".to_owned()))?;
        Ok((token, answer.expires_in.unwrap_or(DEFAULT_LIFE)))
    }
}

fn basic(credential: Option<&RegistryCredentials>) -> Option<Secret> {
    let Some(RegistryCredentials::Password { username, password }) = credential else {
        return None;
    };
    let pair = format!("{username}:{}", password.expose());
    let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
    Some(Secret::new(format!("Basic {encoded}")))
}

impl Challenge {
    /// Reads `WWW-Authenticate`. Bearer wins where both are offered.
    pub(super) fn read<'a>(headers: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut found = None;
        for header in headers {
            let (scheme, rest) = header.trim().split_once(' ').unwrap_or((header.trim(), ""));
            if scheme.eq_ignore_ascii_case("basic") {
                found = found.or(Some(Challenge::Basic));
            } else if scheme.eq_ignore_ascii_case("bearer") {
                let mut fields = parameters(rest);
                if let Some(realm) = fields.remove("realm") {
                    return Some(Challenge::Bearer {
                        realm,
                        service: fields.remove("service"),
                        insufficient: fields
                            .get("error")
                            .is_some_and(|e| e == "insufficient_scope"),
                    });
                }
            }
        }
        found
    }
}

/// `key="value",key=value`: values may hold commas inside quotes.
fn parameters(text: &str) -> BTreeMap<String, String> {
    let mut fields = BTreeMap::new();
    let mut rest = text.trim();
    while let Some((key, after)) = rest.split_once('=') {
        let (value, next) = match after.strip_prefix('"') {
            Some(quoted) => {
                let mut value = String::new();
                let mut chars = quoted.char_indices();
                let mut end = quoted.len();
                while let Some((i, c)) = chars.next() {
                    match c {
                        '\\' => value.extend(chars.next().map(|(_, c)| c)),
                        '"' => {
                            end = i + 1;
                            break;
                        }
                        c => value.push(c),
                    }
                }
                (value, &quoted[end..])
            }
            None => {
                let end = after.find(',').unwrap_or(after.len());
                (after[..end].trim().to_owned(), &after[end..])
            }
        };
        let key = key
            .trim_start_matches([',', ' '])
            .trim()
            .to_ascii_lowercase();
        fields.insert(key, value);
        rest = next.trim_start_matches([',', ' ']);
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn challenges_are_read() {
        let bearer = r#"Bearer realm="https://auth.example/token",service="reg",scope="repository:a/b:pull,push",error="insufficient_scope""#;
        assert_eq!(
            Challenge::read([bearer].into_iter()),
            Some(Challenge::Bearer {
                realm: "https://auth.example/token".into(),
                service: Some("reg".into()),
                insufficient: true,
            })
        );
        assert_eq!(
            Challenge::read(["basic realm=\"x\""].into_iter()),
            Some(Challenge::Basic)
        );
        let both = ["Basic realm=x", "Bearer realm=https://a/t"];
        assert!(matches!(
            Challenge::read(both.into_iter()),
            Some(Challenge::Bearer { .. })
        ));
        assert_eq!(Challenge::read(["Negotiate"].into_iter()), None);
        assert_eq!(Challenge::read(["Bearer service=\"é"].into_iter()), None);
    }
}
