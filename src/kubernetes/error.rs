//! What a cluster can refuse, and of which kind it is then.

use std::error::Error as _;

use super::Cluster;
use crate::error::ErrorKind;

/// Why a cluster couldn't be asked, or what it refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KubernetesError {
    /// There is no kubeconfig, and this is no pod.
    #[error("no cluster is known: there is no kubeconfig ({looked})")]
    NoConfig {
        /// Where it was looked for.
        looked: String,
    },
    /// The kubeconfig can't be used.
    #[error("{file}: {why}")]
    Kubeconfig {
        /// The file.
        file: String,
        /// Why.
        why: String,
    },
    /// No context has this name.
    #[error("{file} has no context `{name}`; it has {}", known.join(", "))]
    NoContext {
        /// The file.
        file: String,
        /// The name.
        name: String,
        /// Those it has.
        known: Vec<String>,
    },
    /// The context leads to another cluster than the record names.
    #[error(
        "{} is at {url}, and the run's record names {server}",
        context.as_ref().map_or_else(|| "the kubeconfig's cluster".to_owned(), |name| format!("the context `{name}`"))
    )]
    OtherServer {
        /// The context.
        context: Option<String>,
        /// Its cluster's address.
        url: String,
        /// The address in the record.
        server: String,
    },
    /// The pod's service account can't be used.
    #[error("the pod's service account can't be used: {why}")]
    Pod {
        /// Why.
        why: String,
    },
    /// The log-in can't be had: a plugin failed, a certificate can't be read.
    #[error("the cluster's log-in can't be had: {why}")]
    LogIn {
        /// Why.
        why: String,
    },
    /// Nothing answers there.
    #[error("the cluster at {url} doesn't answer: {why}")]
    Unreachable {
        /// The address.
        url: String,
        /// Why.
        why: String,
    },
    /// The cluster doesn't know who this is.
    #[error("the cluster at {url} doesn't accept the log-in: it is wrong or has expired")]
    Unauthorized {
        /// The address.
        url: String,
    },
    /// The user may not do it.
    #[error("you may not {doing} in the namespace {namespace}: {why}")]
    Forbidden {
        /// What was tried.
        doing: String,
        /// Where.
        namespace: String,
        /// The cluster's words.
        why: String,
    },
    /// A quota is used up.
    #[error("the namespace {namespace} has no room: {why}")]
    Quota {
        /// The namespace.
        namespace: String,
        /// The cluster's words.
        why: String,
    },
    /// There is no such namespace.
    #[error("the cluster at {url} has no namespace {namespace}")]
    NoNamespace {
        /// The address.
        url: String,
        /// The namespace.
        namespace: String,
    },
    /// There is no such thing.
    #[error("the namespace {namespace} has no {what}")]
    NotFound {
        /// What was looked for.
        what: String,
        /// Where.
        namespace: String,
    },
    /// The name is taken.
    #[error("the namespace {namespace} already has {what}")]
    Exists {
        /// What.
        what: String,
        /// Where.
        namespace: String,
    },
    /// It isn't what the cluster takes.
    #[error("the cluster doesn't take it: {why}")]
    Invalid {
        /// The cluster's words.
        why: String,
    },
    /// It may have done what it was asked for, or not.
    #[error("whether the Job {job} was made isn't known: {source}")]
    Unknown {
        /// The Job.
        job: String,
        /// What happened.
        source: Box<KubernetesError>,
    },
    /// Nothing was made but what a Job needs beside it, which couldn't be removed.
    #[error("{source}; the {} may be left in the namespace {namespace}", what.join(" and the "))]
    Left {
        /// Each with its kind: `Secret train`.
        what: Vec<String>,
        /// Where.
        namespace: String,
        /// Why nothing was made.
        source: Box<KubernetesError>,
    },
    /// Anything else.
    #[error("the cluster at {url} couldn't {doing}: {why}")]
    Failed {
        /// The address.
        url: String,
        /// What was tried.
        doing: String,
        /// The cluster's words.
        why: String,
    },
}

impl KubernetesError {
    /// What an error means that came while `doing` something.
    pub(super) fn of(cluster: &Cluster, doing: &str, error: kube::Error) -> Self {
        let (url, namespace) = (cluster.url.clone(), cluster.namespace.clone());
        let status = match error {
            kube::Error::Api(status) => status,
            kube::Error::Auth(error) => {
                return Self::LogIn {
                    why: crate::error::chain(&error),
                };
            }
            kube::Error::Service(_) | kube::Error::HyperError(_) => {
                // The outermost says no more than that something failed.
                let why = match error.source() {
                    Some(source) => crate::error::chain(source),
                    None => error.to_string(),
                };
                // TLS's library refers to its own documentation.
                let why = why
                    .split(": https://docs.rs/")
                    .next()
                    .unwrap_or(&why)
                    .to_owned();
                return if why.contains("auth error") {
                    Self::LogIn { why }
                } else {
                    Self::Unreachable { url, why }
                };
            }
            error => {
                let doing = doing.to_owned();
                let why = crate::error::chain(&error);
                return Self::Failed { url, doing, why };
            }
        };
        let why = status.message.clone();
        let kind = status.details.as_ref().map(|d| d.kind.clone());
        match status.code {
            401 => Self::Unauthorized { url },
            403 if why.contains("exceeded quota") || why.contains("failed quota") => {
                let why = why
                    .rsplit_once("is forbidden: ")
                    .map_or(why.as_str(), |(_, w)| w);
                let why = why.to_owned();
                Self::Quota { namespace, why }
            }
            403 => Self::Forbidden {
                doing: doing.to_owned(),
                namespace,
                why,
            },
            404 if kind.as_deref() == Some("namespaces") => Self::NoNamespace { url, namespace },
            404 => Self::NotFound {
                what: doing.to_owned(),
                namespace,
            },
            409 => Self::Exists {
                what: doing.strip_prefix("create ").unwrap_or(doing).to_owned(),
                namespace,
            },
            400 | 422 => Self::Invalid { why },
            _ => Self::Failed {
                url,
                doing: doing.to_owned(),
                why,
            },
        }
    }

    /// Whether the same question may be answered later: what the cluster has done meanwhile isn't known.
    pub fn may_pass(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Failed { .. }
                | Self::Unknown { .. }
                | Self::LogIn { .. }
                | Self::Unauthorized { .. }
        )
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NoContext { .. }
            | Self::OtherServer { .. }
            | Self::NoNamespace { .. }
            | Self::NotFound { .. }
            | Self::Exists { .. }
            | Self::Invalid { .. } => ErrorKind::User,
            Self::Left { source, .. } => source.kind(),
            _ => ErrorKind::Environment,
        }
    }
}
