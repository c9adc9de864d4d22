//! Which Docker daemon is meant: `DOCKER_HOST`, `DOCKER_CONTEXT`, and the
//! contexts that Docker's own client keeps under `~/.docker`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use sha2::{Digest as _, Sha256};

use crate::address::{DockerTarget, SshTarget};
use crate::env::Env;
use crate::tls::TlsOptions;

/// Where Docker's daemon listens unless told otherwise.
pub const DEFAULT_SOCKET: &str = "/var/run/docker.sock";

/// A resolved Docker daemon address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DockerHost {
    /// A socket.
    Unix(PathBuf),
    /// A port, with TLS or without.
    Tcp {
        /// Name or address.
        host: String,
        /// Port.
        port: u16,
        /// TLS settings, if TLS is on.
        tls: Option<DockerTls>,
    },
    /// Another machine, through `docker system dial-stdio` there.
    Ssh(SshTarget),
}

/// TLS towards a Docker daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DockerTls {
    /// Files and names.
    pub options: TlsOptions,
    /// False if the context says to trust any server.
    pub verify: bool,
}

/// Why no Docker daemon address could be made out.
#[derive(Debug, thiserror::Error)]
pub enum DockerContextError {
    /// The address has a form that Docker's client doesn't know either.
    #[error("{from} is `{host}`: {reason}")]
    Host {
        /// Where the address came from.
        from: String,
        /// The address.
        host: String,
        /// What is wrong with it.
        reason: String,
    },
    /// There is no such context.
    #[error("no Docker context `{name}` ({from}); `docker context ls` lists them")]
    Unknown {
        /// The name.
        name: String,
        /// Where the name came from.
        from: String,
    },
    /// A file of Docker's client can't be read.
    #[error("{}: {reason}", path.display())]
    File {
        /// Its path.
        path: PathBuf,
        /// What is wrong.
        reason: String,
    },
}

impl DockerHost {
    /// Makes out which daemon `target` means, with the precedence of Docker's
    /// client.
    pub fn resolve(target: &DockerTarget, env: &Env) -> Result<Self, DockerContextError> {
        match target {
            DockerTarget::Socket(path) => Ok(Self::Unix(path.clone())),
            DockerTarget::Context(name) => by_context(name, "named in the address", env),
            DockerTarget::Current => {
                if let Some(host) = env.get("DOCKER_HOST") {
                    let tls = env.get("DOCKER_TLS_VERIFY").map(|_| DockerTls {
                        options: match env.get("DOCKER_CERT_PATH") {
                            Some(dir) => TlsOptions::from_dir(Path::new(dir)),
                            None => env
                                .docker_config_dir()
                                .map(|dir| TlsOptions::from_dir(&dir))
                                .unwrap_or_default(),
                        },
                        verify: true,
                    });
                    return parse_host(host, tls, "DOCKER_HOST");
                }
                if let Some(name) = env.get("DOCKER_CONTEXT") {
                    return by_context(name, "from DOCKER_CONTEXT", env);
                }
                match current_context(env)? {
                    Some(name) => by_context(&name, "the current context", env),
                    None => Ok(Self::Unix(DEFAULT_SOCKET.into())),
                }
            }
        }
    }
}

impl std::fmt::Display for DockerHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unix(path) => write!(f, "unix://{}", path.display()),
            Self::Tcp { host, port, .. } if host.contains(':') => {
                write!(f, "tcp://[{host}]:{port}")
            }
            Self::Tcp { host, port, .. } => write!(f, "tcp://{host}:{port}"),
            Self::Ssh(target) => target.fmt(f),
        }
    }
}

#[derive(Deserialize)]
struct ConfigFile {
    #[serde(rename = "currentContext", default)]
    current_context: String,
}

fn current_context(env: &Env) -> Result<Option<String>, DockerContextError> {
    let Some(path) = env.docker_config_dir().map(|d| d.join("config.json")) else {
        return Ok(None);
    };
    let Some(config) = read_json::<ConfigFile>(&path)? else {
        return Ok(None);
    };
    Ok(Some(config.current_context).filter(|name| !name.is_empty()))
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextMeta {
    #[serde(default)]
    endpoints: BTreeMap<String, ContextEndpoint>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct ContextEndpoint {
    #[serde(default)]
    host: String,
    #[serde(rename = "SkipTLSVerify", default)]
    skip_tls_verify: bool,
}

fn by_context(name: &str, from: &str, env: &Env) -> Result<DockerHost, DockerContextError> {
    // The default context has no files.
    if name == "default" {
        return Ok(DockerHost::Unix(DEFAULT_SOCKET.into()));
    }
    let unknown = || DockerContextError::Unknown {
        name: name.to_string(),
        from: from.to_string(),
    };
    let contexts = env
        .docker_config_dir()
        .ok_or_else(unknown)?
        .join("contexts");
    let id = hex::encode(Sha256::digest(name.as_bytes()));
    let meta_path = contexts.join("meta").join(&id).join("meta.json");
    let meta: ContextMeta = read_json(&meta_path)?.ok_or_else(unknown)?;
    let endpoint = meta
        .endpoints
        .get("docker")
        .ok_or_else(|| DockerContextError::File {
            path: meta_path.clone(),
            reason: "the context has no Docker endpoint".to_string(),
        })?;
    let tls_dir = contexts.join("tls").join(&id).join("docker");
    let tls = (endpoint.skip_tls_verify || tls_dir.is_dir()).then(|| DockerTls {
        options: TlsOptions::from_dir(&tls_dir),
        verify: !endpoint.skip_tls_verify,
    });
    parse_host(
        &endpoint.host,
        tls,
        &format!("the host of Docker context `{name}`"),
    )
}

/// `None` if the file isn't there.
fn read_json<T: serde::de::DeserializeOwned>(path: &Path) -> Result<Option<T>, DockerContextError> {
    let fail = |reason: String| DockerContextError::File {
        path: path.to_path_buf(),
        reason,
    };
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes)
            .map(Some)
            .map_err(|e| fail(format!("not what Docker's client writes: {e}"))),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(fail(e.to_string())),
    }
}

fn parse_host(
    text: &str,
    tls: Option<DockerTls>,
    from: &str,
) -> Result<DockerHost, DockerContextError> {
    let fail = |reason: String| DockerContextError::Host {
        from: from.to_string(),
        host: text.to_string(),
        reason,
    };
    let (scheme, rest) = text
        .split_once("://")
        .ok_or_else(|| fail("it has no scheme, such as unix:// or tcp://".into()))?;
    match scheme {
        "unix" if rest.starts_with('/') => Ok(DockerHost::Unix(rest.into())),
        "unix" => Err(fail("an absolute path is needed".into())),
        "ssh" => SshTarget::parse(text).map(DockerHost::Ssh).map_err(fail),
        "tcp" | "http" | "https" => {
            let url = url::Url::parse(&format!("tcp://{rest}")).map_err(|e| fail(e.to_string()))?;
            let host = url.host_str().unwrap_or("127.0.0.1");
            Ok(DockerHost::Tcp {
                host: host.trim_matches(['[', ']']).to_string(),
                port: url
                    .port()
                    .unwrap_or(if tls.is_some() { 2376 } else { 2375 }),
                tls,
            })
        }
        _ => Err(fail(format!("unknown scheme `{scheme}`"))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(vars: &[(&str, &str)]) -> Env {
        vars.iter().copied().collect()
    }

    fn write_context(config: &Path, name: &str, endpoint: &str, with_tls: bool) {
        let id = hex::encode(Sha256::digest(name.as_bytes()));
        let meta = config.join("contexts/meta").join(&id);
        std::fs::create_dir_all(&meta).unwrap();
        let json =
            format!(r#"{{"Name":"{name}","Metadata":{{}},"Endpoints":{{"docker":{endpoint}}}}}"#);
        std::fs::write(meta.join("meta.json"), json).unwrap();
        if with_tls {
            let tls = config.join("contexts/tls").join(&id).join("docker");
            std::fs::create_dir_all(&tls).unwrap();
            std::fs::write(tls.join("ca.pem"), "").unwrap();
        }
    }

    #[test]
    fn the_default_is_the_well_known_socket() {
        let host = DockerHost::resolve(&DockerTarget::Current, &env(&[])).unwrap();
        assert_eq!(host, DockerHost::Unix(DEFAULT_SOCKET.into()));
    }

    #[test]
    fn docker_host_wins_over_contexts() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("config.json"),
            r#"{"currentContext":"far"}"#,
        )
        .unwrap();
        let config = dir.path().to_str().unwrap();
        let both = env(&[("DOCKER_CONFIG", config), ("DOCKER_HOST", "ssh://ana@gpu7")]);
        let host = DockerHost::resolve(&DockerTarget::Current, &both).unwrap();
        assert_eq!(host.to_string(), "ssh://ana@gpu7");
    }

    #[test]
    fn the_current_context_is_read_with_its_tls() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(
            dir.path().join("config.json"),
            r#"{"currentContext":"far"}"#,
        )
        .unwrap();
        write_context(
            dir.path(),
            "far",
            r#"{"Host":"tcp://far.example:2376"}"#,
            true,
        );
        let env = env(&[("DOCKER_CONFIG", dir.path().to_str().unwrap())]);
        let DockerHost::Tcp { host, port, tls } =
            DockerHost::resolve(&DockerTarget::Current, &env).unwrap()
        else {
            panic!("not TCP");
        };
        assert_eq!((host.as_str(), port), ("far.example", 2376));
        let tls = tls.unwrap();
        assert!(tls.verify && tls.options.ca.is_some() && tls.options.key.is_none());
    }

    #[test]
    fn an_unknown_context_says_where_its_name_came_from() {
        let dir = tempfile::tempdir().unwrap();
        let env = env(&[
            ("DOCKER_CONFIG", dir.path().to_str().unwrap()),
            ("DOCKER_CONTEXT", "gone"),
        ]);
        let error = DockerHost::resolve(&DockerTarget::Current, &env).unwrap_err();
        insta::assert_snapshot!(error, @"no Docker context `gone` (from DOCKER_CONTEXT); `docker context ls` lists them");
    }

    #[test]
    fn tls_verify_uses_the_certificate_path() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("ca.pem"), "").unwrap();
        let env = env(&[
            ("DOCKER_HOST", "tcp://127.0.0.1"),
            ("DOCKER_TLS_VERIFY", "1"),
            ("DOCKER_CERT_PATH", dir.path().to_str().unwrap()),
        ]);
        let host = DockerHost::resolve(&DockerTarget::Current, &env).unwrap();
        let DockerHost::Tcp { port, tls, .. } = host else {
            panic!("not TCP");
        };
        assert_eq!(port, 2376);
        assert_eq!(tls.unwrap().options.ca, Some(dir.path().join("ca.pem")));
    }

    #[test]
    fn a_strange_docker_host_is_named() {
        let env = env(&[("DOCKER_HOST", "docker.example")]);
        let error = DockerHost::resolve(&DockerTarget::Current, &env).unwrap_err();
        insta::assert_snapshot!(error, @"DOCKER_HOST is `docker.example`: it has no scheme, such as unix:// or tcp://");
    }
}
