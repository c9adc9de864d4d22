//! Finding a builder when nobody named one.

use std::path::PathBuf;

use mlbuild_docker::{DockerTarget, Env};

use crate::client::{Client, ConnectOptions};
use crate::endpoint::{Endpoint, ParseEndpointError};

/// Where a root buildkitd listens.
const ROOTFUL_SOCKET: &str = "/run/buildkit/buildkitd.sock";

/// How to look.
#[derive(Clone, Debug, Default)]
pub struct DiscoverOptions {
    /// The address that was asked for.
    pub builder: Option<String>,
    /// How to connect; its environment is searched, too.
    pub connect: ConnectOptions,
}

/// A builder that answered.
#[derive(Clone, Debug)]
pub struct Discovered {
    /// Its address.
    pub endpoint: Endpoint,
    /// How it was found, for people: `BUILDKIT_HOST`, `Docker's current context`.
    pub how: &'static str,
    /// The connection that proved it.
    pub client: Client,
}

/// Why no builder was found.
#[derive(Debug, thiserror::Error)]
pub enum DiscoverError {
    /// The address given can't be read.
    #[error("{}{source}", .variable.map(|v| format!("{v}: ")).unwrap_or_default())]
    Address {
        /// The environment variable that it is in; `None` where the options name it.
        variable: Option<&'static str>,
        /// What is wrong.
        source: ParseEndpointError,
    },
    /// The builder that was named doesn't answer.
    #[error("the builder{} doesn't answer: {source}", .variable.map(|v| format!(" from {v}")).unwrap_or_default())]
    Named {
        /// The environment variable that names it; `None` where the options do.
        variable: Option<&'static str>,
        /// Why not.
        source: crate::client::ConnectError,
    },
    /// None was named, and none of the usual places has one.
    #[error("no builder found; tried:{}", list(.tried))]
    Nowhere {
        /// Each place and why it wasn't it.
        tried: Vec<Tried>,
    },
}

/// A place that has no builder.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tried {
    /// What was tried.
    pub how: &'static str,
    /// Why it isn't it.
    pub reason: String,
}

fn list(tried: &[Tried]) -> String {
    let line = |t: &Tried| format!("\n  {}: {}", t.how, t.reason);
    tried.iter().map(line).collect()
}

const VARIABLE: &str = "BUILDKIT_HOST";

/// Finds a builder: the one that the options name, else by `BUILDKIT_HOST`, else
/// Docker's current context, else a buildkitd on its well-known sockets,
/// root's first. A named builder that doesn't answer is an error: building
/// elsewhere than where the user said would be worse.
pub async fn discover(options: &DiscoverOptions) -> Result<Discovered, DiscoverError> {
    let env = &options.connect.env;
    let named = match (&options.builder, env.get(VARIABLE)) {
        (Some(asked), _) => Some((None, asked.as_str())),
        (None, Some(text)) => Some((Some(VARIABLE), text)),
        (None, None) => None,
    };
    if let Some((variable, text)) = named {
        let endpoint: Endpoint = text
            .parse()
            .map_err(|source| DiscoverError::Address { variable, source })?;
        return match Client::connect(&endpoint, &options.connect).await {
            Ok(client) => Ok(Discovered {
                endpoint,
                how: variable.unwrap_or("named"),
                client,
            }),
            Err(source) => Err(DiscoverError::Named { variable, source }),
        };
    }

    first_of(usual_places(env), &options.connect).await
}

async fn first_of(
    places: Vec<(&'static str, Endpoint)>,
    connect: &ConnectOptions,
) -> Result<Discovered, DiscoverError> {
    let mut tried = Vec::new();
    for (how, endpoint) in places {
        match Client::connect(&endpoint, connect).await {
            Ok(client) => {
                return Ok(Discovered {
                    endpoint,
                    how,
                    client,
                });
            }
            Err(error) => tried.push(Tried {
                how,
                reason: error.to_string(),
            }),
        }
    }
    Err(DiscoverError::Nowhere { tried })
}

fn usual_places(env: &Env) -> Vec<(&'static str, Endpoint)> {
    let mut places = vec![
        (
            "Docker's current context",
            Endpoint::Docker(DockerTarget::Current),
        ),
        ("buildkitd's socket", Endpoint::Unix(ROOTFUL_SOCKET.into())),
    ];
    if let Some(dir) = env.get("XDG_RUNTIME_DIR") {
        let socket = PathBuf::from(dir).join("buildkit/buildkitd.sock");
        places.push(("rootless buildkitd's socket", Endpoint::Unix(socket)));
    }
    places
}

#[cfg(test)]
mod tests {
    use super::*;

    fn options(builder: Option<&str>, env: &[(&str, &str)]) -> DiscoverOptions {
        DiscoverOptions {
            builder: builder.map(String::from),
            connect: ConnectOptions {
                env: env.iter().copied().collect(),
                ..Default::default()
            },
        }
    }

    #[tokio::test]
    async fn a_named_builder_is_the_only_one_tried() {
        let env = [("BUILDKIT_HOST", "unix:///nowhere/b.sock")];
        let error = discover(&options(None, &env)).await.unwrap_err();
        insta::assert_snapshot!(error, @"the builder from BUILDKIT_HOST doesn't answer: /nowhere/b.sock: no such socket");
        let error = discover(&options(Some("b"), &env)).await.unwrap_err();
        assert!(error.to_string().starts_with("`b` is no builder address"));
    }

    #[tokio::test]
    async fn every_place_is_listed_with_its_reason() {
        let places = vec![
            ("one", Endpoint::Unix("/nowhere/a.sock".into())),
            ("two", Endpoint::Unix("/nowhere/b.sock".into())),
        ];
        let error = first_of(places, &ConnectOptions::default())
            .await
            .unwrap_err();
        insta::assert_snapshot!(error, @r"
        no builder found; tried:
          one: /nowhere/a.sock: no such socket
          two: /nowhere/b.sock: no such socket
        ");
    }

    #[test]
    fn docker_comes_before_buildkitd_and_root_before_rootless() {
        let env = [("XDG_RUNTIME_DIR", "/run/user/7")].into_iter().collect();
        let places: Vec<String> = usual_places(&env)
            .into_iter()
            .map(|(_, endpoint)| endpoint.to_string())
            .collect();
        assert_eq!(
            places,
            [
                "docker://",
                "unix:///run/buildkit/buildkitd.sock",
                "unix:///run/user/7/buildkit/buildkitd.sock"
            ]
        );
    }
}
