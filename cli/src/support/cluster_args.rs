//! The flags of commands that ask a cluster for a Job.

use std::path::PathBuf;

use clap::{Args, ValueHint};

use crate::error::CommandResult;
use mlbuild::kubernetes::{Cluster, ClusterTarget, FoundJob};
use mlbuild::settings;
use mlbuild::submit::JobQuery;

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
    /// A Job by its name, or by its run's id.
    ///
    /// # Errors
    /// Where there is no such Job, or the cluster can't be asked.
    pub async fn find(&self, name: &str) -> CommandResult<(Cluster, FoundJob)> {
        Ok(self.query().find(name).await?)
    }

    /// Where a Job is looked for.
    pub fn query(&self) -> JobQuery {
        JobQuery {
            cluster: self.target(),
            folder: settings::current_folder().ok(),
        }
    }

    /// The cluster, as far as flags choose it.
    pub fn target(&self) -> ClusterTarget {
        ClusterTarget {
            kubeconfig: self.context.kubeconfig.clone(),
            context: self.context.context.clone(),
            namespace: self.namespace.clone(),
            server: None,
        }
    }

    /// Whether any flag was typed.
    pub fn is_typed(&self) -> bool {
        self.target().is_chosen()
    }
}
