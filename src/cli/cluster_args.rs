//! The flags of commands that ask a cluster for a Job, and the pod that they mean.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use kube::ResourceExt as _;
use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::RunCluster;

use crate::error::{CommandError, CommandResult};
use crate::kubernetes::{Cluster, Found, KubernetesError, State, Whereabouts, connect};
use crate::records::{Store, project_folder};
use crate::runtime::kubernetes::{CONTAINER, RUN_LABEL, label_value};
use crate::settings;

/// Which cluster, and where in it.
#[derive(Debug, Clone, Default, Args)]
pub struct ClusterArgs {
    /// Namespace; otherwise that of the run's record, the kubeconfig's, or the pod's own.
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

    /// A Job by its name, or by its run's id: in the cluster that was named; else in the one that the
    /// run's record names, where this project has it; else in the usual one.
    ///
    /// # Errors
    /// Where there is no such Job, or the cluster can't be asked.
    pub async fn find(&self, name: &str) -> CommandResult<(Cluster, Found)> {
        let Some((record, place)) = self.recorded(name) else {
            let cluster = self.connect().await?;
            let found = find_job(&cluster, name).await?;
            return Ok((cluster, found));
        };
        let cluster = connect(&whereabouts(&place)).await.map_err(|error| {
            let gone = matches!(error, KubernetesError::NoContext { .. });
            let error = CommandError::from(error);
            match gone {
                true => error.hint(format!(
                    "run {} is at {}, namespace {}: name that cluster's --context",
                    record.id, place.server, place.namespace
                )),
                false => error,
            }
        })?;
        match cluster.find(&place.job).await {
            Ok(found) => Ok((cluster, found)),
            Err(error @ KubernetesError::NotFound { .. }) => {
                let error = CommandError::from(error);
                let moved = cluster.url != place.server;
                Err(error.hint(match moved {
                    true => format!(
                        "run {} was at {}, which is another cluster: name its --context",
                        record.id, place.server
                    ),
                    false => format!("to run it again: mlbuild restore {}", record.id),
                }))
            }
            Err(error) => Err(error.into()),
        }
    }

    /// The run that is meant and where it is, if nothing else was said and this project has its record.
    pub fn recorded(&self, name: &str) -> Option<(RunRecord, RunCluster)> {
        if self.is_said() {
            return None;
        }
        let project = project_folder(&settings::current_folder().ok()?);
        let record = Store::of(&project).find(name).ok()?;
        let place = record.cluster.clone()?;
        Some((record, place))
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

/// Where a recorded run is.
pub fn whereabouts(place: &RunCluster) -> Whereabouts {
    Whereabouts {
        kubeconfig: place.kubeconfig.as_ref().map(PathBuf::from),
        context: place.context.clone(),
        namespace: Some(place.namespace.clone()),
    }
}

/// A Job by its name, or by its run's id.
///
/// # Errors
/// Where there is none.
async fn find_job(cluster: &Cluster, name: &str) -> CommandResult<Found> {
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
