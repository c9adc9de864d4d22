//! Where a builder is: the URL that a user types, parsed once. How to get
//! there is `transport`'s job.

use std::fmt;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use mlbuild_docker::address::{DockerTarget, SshTarget, host, known_query, parse_url};
use url::Url;

/// Port of `tcp://` where the URL names none, as BuildKit's own examples use.
const DEFAULT_TCP_PORT: u16 = 1234;

/// A builder's address.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Endpoint {
    /// `unix:///run/buildkit/buildkitd.sock`: a buildkitd socket.
    Unix(PathBuf),
    /// `tcp://HOST[:PORT]`: a buildkitd port, port 1234 by default.
    Tcp {
        /// Name or address, without brackets.
        host: String,
        /// Port.
        port: u16,
    },
    /// `docker://[CONTEXT]` or `docker:///path/to/docker.sock`: the BuildKit
    /// inside a Docker daemon.
    Docker(DockerTarget),
    /// `docker-container://NAME[?context=CTX]`: a buildkitd in a container.
    DockerContainer {
        /// Container name or id.
        name: String,
        /// Docker context that the container lives in; the current one if absent.
        context: Option<String>,
    },
    /// `kube-pod://POD[?context=…&namespace=…&container=…]`: a buildkitd in a pod.
    KubePod {
        /// Pod name.
        pod: String,
        /// Context of the kubeconfig; the current one if absent.
        context: Option<String>,
        /// Namespace; the context's own if absent.
        namespace: Option<String>,
        /// Container in the pod; kubectl's choice if absent.
        container: Option<String>,
    },
    /// `ssh://[USER@]HOST[:PORT][/path/to/buildkitd.sock]`: a buildkitd on
    /// another machine, which needs `buildctl` on its PATH.
    Ssh(SshTarget),
}

/// Why a text is no builder address.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{input}` is no builder address: {reason}")]
pub struct ParseEndpointError {
    /// What was given.
    pub input: String,
    /// What is wrong with it.
    pub reason: String,
}

const SCHEMES: &str = "unix:///path/to/buildkitd.sock, tcp://HOST:PORT, docker://, \
     docker://CONTEXT, docker:///path/to/docker.sock, docker-container://NAME, \
     kube-pod://POD?namespace=NS, ssh://USER@HOST";

impl FromStr for Endpoint {
    type Err = ParseEndpointError;

    fn from_str(input: &str) -> Result<Self, Self::Err> {
        parse(input).map_err(|reason| ParseEndpointError {
            input: input.to_string(),
            reason,
        })
    }
}

fn parse(input: &str) -> Result<Endpoint, String> {
    let Some((scheme, rest)) = input.split_once("://") else {
        return Err(format!("it has no scheme; write one of {SCHEMES}"));
    };
    match scheme {
        // Paths are taken as they are: a URL parser would decode `%`.
        "unix" => Ok(Endpoint::Unix(absolute_path(rest, "unix:///path")?)),
        "docker" if rest.is_empty() => Ok(Endpoint::Docker(DockerTarget::Current)),
        "docker" if rest.starts_with('/') => Ok(Endpoint::Docker(DockerTarget::Socket(
            absolute_path(rest, "docker:///path")?,
        ))),
        "docker" => {
            if !is_docker_name(rest) {
                return Err(format!("`{rest}` is no Docker context name"));
            }
            Ok(Endpoint::Docker(DockerTarget::Context(rest.to_string())))
        }
        "tcp" => {
            let url = parse_url(input)?;
            no_path(&url)?;
            no_user(&url)?;
            known_query(&url, &[])?;
            Ok(Endpoint::Tcp {
                host: host(&url)?,
                port: url.port().unwrap_or(DEFAULT_TCP_PORT),
            })
        }
        "docker-container" => {
            let url = parse_url(input)?;
            no_path(&url)?;
            no_user(&url)?;
            known_query(&url, &["context"])?;
            let name = host(&url)?;
            if !is_docker_name(&name) {
                return Err(format!("`{name}` is no container name"));
            }
            Ok(Endpoint::DockerContainer {
                name,
                context: query(&url, "context"),
            })
        }
        "kube-pod" => {
            let url = parse_url(input)?;
            no_path(&url)?;
            no_user(&url)?;
            known_query(&url, &["context", "namespace", "container"])?;
            let pod = host(&url)?;
            let namespace = query(&url, "namespace");
            let container = query(&url, "container");
            for (what, name) in [
                ("pod", Some(&pod)),
                ("namespace", namespace.as_ref()),
                ("container", container.as_ref()),
            ] {
                if let Some(name) = name.filter(|n| !is_kube_name(n)) {
                    return Err(format!(
                        "`{name}` is no {what} name: use a-z, 0-9, `-` and `.`"
                    ));
                }
            }
            Ok(Endpoint::KubePod {
                pod,
                context: query(&url, "context"),
                namespace,
                container,
            })
        }
        "ssh" => Ok(Endpoint::Ssh(SshTarget::parse(input)?)),
        "npipe" => Err("named pipes are not supported".to_string()),
        _ => Err(format!("unknown scheme `{scheme}`; write one of {SCHEMES}")),
    }
}

fn absolute_path(rest: &str, example: &str) -> Result<PathBuf, String> {
    if rest.len() < 2 || !rest.starts_with('/') {
        return Err(format!("an absolute path is needed, as in {example}"));
    }
    Ok(Path::new(rest).to_path_buf())
}

fn no_path(url: &Url) -> Result<(), String> {
    match url.path() {
        "" | "/" => Ok(()),
        path => Err(format!("the path `{path}` has no meaning here")),
    }
}

fn no_user(url: &Url) -> Result<(), String> {
    if url.username().is_empty() && url.password().is_none() {
        Ok(())
    } else {
        Err("a user name or password has no meaning here".to_string())
    }
}

fn query(url: &Url, key: &str) -> Option<String> {
    url.query_pairs()
        .find(|(k, v)| k == key && !v.is_empty())
        .map(|(_, v)| v.into_owned())
}

/// Docker's rule for container and context names.
fn is_docker_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_alphanumeric())
        && name
            .chars()
            .all(|c| c.is_ascii_alphanumeric() || "_.+-".contains(c))
}

fn is_kube_name(name: &str) -> bool {
    name.starts_with(|c: char| c.is_ascii_lowercase() || c.is_ascii_digit())
        && name
            .chars()
            .all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "-.".contains(c))
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port } if host.contains(':') => write!(f, "tcp://[{host}]:{port}"),
            Self::Tcp { host, port } => write!(f, "tcp://{host}:{port}"),
            Self::Docker(DockerTarget::Current) => write!(f, "docker://"),
            Self::Docker(DockerTarget::Context(name)) => write!(f, "docker://{name}"),
            Self::Docker(DockerTarget::Socket(path)) => write!(f, "docker://{}", path.display()),
            Self::DockerContainer { name, context } => {
                write!(f, "docker-container://{name}")?;
                write_query(f, &[("context", context)])
            }
            Self::KubePod {
                pod,
                context,
                namespace,
                container,
            } => {
                write!(f, "kube-pod://{pod}")?;
                write_query(
                    f,
                    &[
                        ("context", context),
                        ("namespace", namespace),
                        ("container", container),
                    ],
                )
            }
            Self::Ssh(target) => target.fmt(f),
        }
    }
}

fn write_query(f: &mut fmt::Formatter<'_>, pairs: &[(&str, &Option<String>)]) -> fmt::Result {
    let mut query = url::form_urlencoded::Serializer::new(String::new());
    for (key, value) in pairs {
        if let Some(value) = value {
            query.append_pair(key, value);
        }
    }
    let query = query.finish();
    if query.is_empty() {
        Ok(())
    } else {
        write!(f, "?{query}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_survive_a_round_trip() {
        for text in [
            "unix:///run/buildkit/buildkitd.sock",
            "unix:///tmp/with%20percent and space",
            "tcp://builder.example:1234",
            "tcp://[::1]:8372",
            "docker://",
            "docker://desktop-linux",
            "docker:///var/run/docker.sock",
            "docker-container://buildx_buildkit_default0",
            "docker-container://b?context=remote",
            "kube-pod://buildkitd-0?context=prod&namespace=ci&container=buildkitd",
            "ssh://ana@gpu7:2222/run/user/1000/buildkit/buildkitd.sock",
            "ssh://gpu7",
        ] {
            let endpoint: Endpoint = text.parse().unwrap();
            assert_eq!(endpoint.to_string(), text);
        }
    }

    #[test]
    fn tcp_has_a_default_port() {
        let endpoint: Endpoint = "tcp://b".parse().unwrap();
        assert_eq!(endpoint.to_string(), "tcp://b:1234");
    }

    #[test]
    fn what_is_wrong_is_said() {
        let reason = |text: &str| text.parse::<Endpoint>().unwrap_err().reason;
        insta::assert_snapshot!(reason("/run/b.sock"), @"it has no scheme; write one of unix:///path/to/buildkitd.sock, tcp://HOST:PORT, docker://, docker://CONTEXT, docker:///path/to/docker.sock, docker-container://NAME, kube-pod://POD?namespace=NS, ssh://USER@HOST");
        insta::assert_snapshot!(reason("unix://run/b.sock"), @"an absolute path is needed, as in unix:///path");
        insta::assert_snapshot!(reason("tcp://"), @"a name must follow `tcp://`");
        insta::assert_snapshot!(reason("tcp://b:99999"), @"invalid port number");
        insta::assert_snapshot!(reason("tcp://b/x"), @"the path `/x` has no meaning here");
        insta::assert_snapshot!(reason("kube-pod://Pod_1"), @"`Pod_1` is no pod name: use a-z, 0-9, `-` and `.`");
        insta::assert_snapshot!(reason("kube-pod://p?ns=x"), @"unknown parameter `ns`");
        insta::assert_snapshot!(reason("docker-container://-x"), @"`-x` is no container name");
        insta::assert_snapshot!(reason("ssh://-oProxyCommand=x"), @"the host and the user must not begin with `-`");
        insta::assert_snapshot!(reason("ssh://u:secret@h"), @"a password in the address is not supported; use a key or an agent");
    }
}
