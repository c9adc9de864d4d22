//! The flags of commands that ask Slurm for a job.

use clap::Args;

use mlbuild::settings;
use mlbuild::submit::slurm::SlurmQuery;

/// Which cluster of Slurm's.
#[derive(Debug, Clone, Default, Args)]
pub struct SlurmArgs {
    /// The job is one of Slurm's, by its number or its run's id; a run that this project recorded needs no word.
    #[arg(long)]
    pub slurm: bool,
    /// The login node of Slurm's cluster, as ssh knows it; otherwise its commands are on PATH.
    #[arg(long, value_name = "LOGIN")]
    pub ssh: Option<String>,
    /// The folder of jobs under Slurm, where `mlbuild submit` had that flag.
    #[arg(long, value_name = "DIR")]
    pub job_folder: Option<String>,
}

impl SlurmArgs {
    /// Where a job is looked for.
    pub fn query(&self) -> SlurmQuery {
        SlurmQuery {
            is_said: self.slurm || self.job_folder.is_some(),
            login: self.ssh.clone(),
            job_folder: self.job_folder.clone(),
            folder: settings::current_folder().ok(),
        }
    }
}
