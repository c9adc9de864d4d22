//! Which cluster, and as whom: the kubeconfig, else the pod's service account.

use std::path::{Path, PathBuf};

use kube::client::ClientBuilder;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use mlbuild_manifests::run_record::RunCluster;
use mlbuild_waits::program::ProgramWait;

use super::limited::LimitLayer;
use super::{Cluster, KubernetesError};

/// A cluster, as far as somebody has chosen it; the rest is the kubeconfig's, or the pod's own.
#[derive(Debug, Clone, Default)]
pub struct ClusterTarget {
    /// The kubeconfig.
    pub kubeconfig: Option<PathBuf>,
    /// One of its contexts.
    pub context: Option<String>,
    /// The namespace.
    pub namespace: Option<String>,
    /// The address that the context's cluster must have, where a record names one.
    pub server: Option<String>,
}

impl ClusterTarget {
    /// Where a recorded run is: a context of the person's own kubeconfig, if its cluster has the
    /// recorded address. The file that a record names is never opened: it may name programs.
    pub fn of_run(place: &RunCluster) -> Self {
        Self {
            kubeconfig: None,
            server: Some(place.server.clone()),
            context: place.context.clone(),
            namespace: Some(place.namespace.clone()),
        }
    }

    /// Whether anything was chosen.
    pub fn is_chosen(&self) -> bool {
        self.namespace.is_some() || self.context.is_some() || self.kubeconfig.is_some()
    }
}

/// A client. Nothing is asked of the cluster yet.
///
/// # Errors
/// Where there is no kubeconfig and this is no pod, or it can't be used.
pub async fn connect(target: &ClusterTarget) -> Result<Cluster, KubernetesError> {
    let found = find(target)?;
    let current = found
        .as_ref()
        .and_then(|(_, file)| file.current_context.clone());
    let context = target.context.clone().or(current);
    let config = match found {
        Some((file, kubeconfig)) => from_file(target, &file, kubeconfig).await?,
        None => Config::incluster_env().map_err(|error| KubernetesError::Pod {
            why: crate::error::chain(&error),
        })?,
    };
    let url = without_log_in(&config.cluster_url.to_string());
    // Before anything of the log-in is used, which may start a program.
    if let Some(server) = target.server.as_ref().filter(|server| **server != url) {
        return Err(KubernetesError::OtherServer {
            context,
            url,
            server: server.clone(),
        });
    }
    let namespace = target.namespace.clone();
    let namespace = namespace.unwrap_or_else(|| config.default_namespace.clone());
    let client = client(config, &url)?;
    Ok(Cluster {
        client,
        url,
        context,
        namespace,
    })
}

/// A client whose answers are waited for as everything else is.
fn client(config: Config, url: &str) -> Result<Client, KubernetesError> {
    let peer = format!("the cluster {url}");
    // A log-in may start a program.
    let wait = ProgramWait::on_children(format!("the log-in to {peer}"));
    let builder = ClientBuilder::try_from(config).map_err(|error| KubernetesError::LogIn {
        why: wait.stalled().map_or_else(
            || crate::error::chain(&error),
            |stalled| format!("its program did nothing for {} s", stalled.silent.as_secs()),
        ),
    })?;
    Ok(builder.with_layer(&LimitLayer { peer }).build())
}

/// An address that may be shown and written down.
fn without_log_in(url: &str) -> String {
    let url = url.trim_end_matches('/');
    let Some((scheme, rest)) = url.split_once("://") else {
        return url.to_owned();
    };
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
    format!("{scheme}://{host}{path}")
}

/// Whether a cluster is known here: by a kubeconfig, be it a broken one, or because this is a pod.
pub fn is_known(target: &ClusterTarget) -> bool {
    !matches!(find(target), Err(KubernetesError::NoConfig { .. }))
}

/// The kubeconfig and where it lies; `None` in a pod that has none.
fn find(target: &ClusterTarget) -> Result<Option<(String, Kubeconfig)>, KubernetesError> {
    let read = |path: &Path| {
        let name = path.display().to_string();
        match Kubeconfig::read_from(path) {
            Ok(config) => Ok(Some((name, config))),
            Err(error) => Err(KubernetesError::Kubeconfig {
                file: name,
                why: crate::error::chain(&error),
            }),
        }
    };
    if let Some(file) = &target.kubeconfig {
        return read(file);
    }
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    if let Some(files) = set("KUBECONFIG") {
        let name = format!("KUBECONFIG={}", files.to_string_lossy());
        let there = std::env::split_paths(&files).filter(|path| path.exists());
        if there.count() > 0 {
            return match Kubeconfig::from_env() {
                Ok(config) => Ok(config.map(|config| (name, config))),
                Err(error) => Err(KubernetesError::Kubeconfig {
                    file: name,
                    why: crate::error::chain(&error),
                }),
            };
        }
        return Err(KubernetesError::NoConfig { looked: name });
    }
    let home = set("HOME").map(PathBuf::from);
    let usual = home.map(|home| home.join(".kube/config"));
    match usual {
        Some(file) if file.exists() => read(&file),
        _ if set("KUBERNETES_SERVICE_HOST").is_some() => Ok(None),
        file => Err(KubernetesError::NoConfig {
            looked: file.map_or_else(
                || "neither KUBECONFIG nor HOME is set".to_owned(),
                |file| file.display().to_string(),
            ),
        }),
    }
}

async fn from_file(
    target: &ClusterTarget,
    file: &str,
    kubeconfig: Kubeconfig,
) -> Result<Config, KubernetesError> {
    let known: Vec<String> = kubeconfig.contexts.iter().map(|c| c.name.clone()).collect();
    if let Some(context) = target.context.as_ref().filter(|name| !known.contains(name)) {
        return Err(KubernetesError::NoContext {
            file: file.to_owned(),
            name: context.clone(),
            known,
        });
    }
    let options = KubeConfigOptions {
        context: target.context.clone(),
        ..KubeConfigOptions::default()
    };
    Config::from_custom_kubeconfig(kubeconfig, &options)
        .await
        .map_err(|error| KubernetesError::Kubeconfig {
            file: file.to_owned(),
            why: crate::error::chain(&error),
        })
}

#[cfg(test)]
mod tests {
    use super::without_log_in;

    #[test]
    fn an_address_is_shown_without_its_log_in() {
        for (from, to) in [
            ("https://10.0.0.1:6443/", "https://10.0.0.1:6443"),
            (
                "https://ann:s3cr3t@k8s.example/k8s/a@b",
                "https://k8s.example/k8s/a@b",
            ),
        ] {
            assert_eq!(without_log_in(from), to);
        }
    }
}
