//! The flags of commands that ask a cluster for a Job, and the pod that they mean.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use kube::ResourceExt as _;

use crate::error::{CommandError, CommandResult};
use crate::kubernetes::{Cluster, Found, KubernetesError, State, Whereabouts, connect};
use crate::runtime::kubernetes::{CONTAINER, RUN_LABEL, label_value};

/// Which cluster, and where in it.
#[derive(Debug, Clone, Default, Args)]
pub struct ClusterArgs {
    /// Namespace; otherwise the kubeconfig's, or the pod's own.
    #[arg(long, short, value_name = "NAME")]
    pub namespace: Option<String>,
    /// Which cluster.
    #[command(flatten)]
    pub context: ContextArgs,
}

/// Which cluster.
#[derive(Debug, Clone, Default, Args)]
pub struct ContextArgs {
    /// Context of the kubeconfig.
    #[arg(long, value_name = "NAME")]
    pub context: Option<String>,
    /// The kubeconfig; otherwise KUBECONFIG, or ~/.kube/config.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub kubeconfig: Option<PathBuf>,
}

impl ClusterArgs {
    /// The cluster.
    ///
    /// # Errors
    /// Where none is known.
    pub async fn connect(&self) -> CommandResult<Cluster> {
        Ok(connect(&self.whereabouts()).await?)
    }

    /// What was said about the cluster.
    pub fn whereabouts(&self) -> Whereabouts {
        Whereabouts {
            kubeconfig: self.context.kubeconfig.clone(),
            context: self.context.context.clone(),
            namespace: self.namespace.clone(),
        }
    }

    /// Whether anything was said.
    pub fn is_said(&self) -> bool {
        let ContextArgs {
            context,
            kubeconfig,
        } = &self.context;
        self.namespace.is_some() || context.is_some() || kubeconfig.is_some()
    }
}

/// A Job by its name, or by its run's id.
///
/// # Errors
/// Where there is none.
pub async fn find_job(cluster: &Cluster, name: &str) -> CommandResult<Found> {
    let missing = match cluster.find(&name.to_lowercase()).await {
        Ok(found) => return Ok(found),
        Err(error @ KubernetesError::NotFound { .. }) => error,
        Err(error) => return Err(error.into()),
    };
    let jobs = cluster.jobs((RUN_LABEL, &label_value(name))).await?;
    match jobs.last() {
        Some(job) => Ok(cluster.find(&job.name_any()).await?),
        None => Err(CommandError::from(missing)
            .hint("write a Job's name or its run's id; kubectl get jobs -l app.kubernetes.io/managed-by=mlbuild lists them")),
    }
}

/// The pod of a Job in which its program runs.
///
/// # Errors
/// Where none runs.
pub fn running_pod(found: &Found, name: &str) -> CommandResult<String> {
    match found.state(CONTAINER) {
        State::Running { pod } => Ok(pod),
        State::Waiting { why } | State::Stuck { why, .. } => Err(CommandError::environment(
            format!("the Job {name} doesn't run yet: {why}"),
        )),
        State::Again { .. } => Err(CommandError::environment(format!(
            "the pod of the Job {name} failed, and the next one doesn't run yet"
        ))),
        State::Ended(_) => Err(CommandError::environment(format!("the Job {name} is over"))
            .hint(format!("mlbuild logs {name} shows what it printed"))),
    }
}
