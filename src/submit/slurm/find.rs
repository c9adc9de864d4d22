//! A job by its run's id or its number. A record says which cluster a run was in and which job it was, and is a
//! stranger's file: no login node is reached and no folder is read by its word, and a job is only the run's
//! where Slurm says so too.

use std::path::PathBuf;

use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::RunSlurm;

use super::super::error::SubmitError;
use super::{SlurmEnd, follow, root_folder};
use crate::records::{Store, project_folder};
use crate::runtime::slurm::{COMMENT, folder};
use crate::slurm::{Slurm, SlurmError, SlurmJob, connect, is_here};

/// Where a job of Slurm's is looked for.
#[derive(Debug, Clone, Default)]
pub struct SlurmQuery {
    /// Whether it was said that the job is one of Slurm's.
    pub is_said: bool,
    /// The login node that the person named.
    pub login: Option<String>,
    /// The folder of all jobs, where that isn't the usual one.
    pub job_folder: Option<String>,
    /// A folder whose project may have the run's record.
    pub folder: Option<PathBuf>,
}

/// A job that was found.
#[derive(Debug)]
pub struct FoundSlurmJob {
    /// The cluster.
    pub slurm: Slurm,
    /// Its number; none where Slurm has forgotten it, and no record has it.
    pub id: Option<u64>,
    /// The id of its run.
    pub run: String,
    /// Its folder, on the cluster.
    pub folder: String,
    /// What Slurm says of it; `None` where it has forgotten it.
    pub job: Option<SlurmJob>,
}

impl SlurmQuery {
    /// The run of this id and its place, where this project has a record of it under Slurm.
    pub fn recorded(&self, name: &str) -> Option<(RunRecord, RunSlurm)> {
        let project = project_folder(self.folder.as_ref()?);
        let record = Store::of(&project).find(name).ok()?;
        let place = record.slurm.clone()?;
        Some((record, place))
    }

    /// Whether a name is that of a job under Slurm: because it was said, or the project's record says so.
    pub fn is_meant(&self, name: &str) -> bool {
        self.is_said || self.login.is_some() || self.recorded(name).is_some()
    }

    /// Whether the cluster is known without a word.
    pub fn is_known(&self) -> bool {
        self.login.is_some() || is_here()
    }

    /// The cluster.
    ///
    /// # Errors
    /// Where it can't be asked.
    pub async fn connect(&self) -> Result<Slurm, SubmitError> {
        Ok(connect(self.login.as_deref()).await?)
    }

    /// The job, by its run's id or its number.
    ///
    /// # Errors
    /// Where there is none, it is in another cluster, or the cluster can't be asked.
    pub async fn find(&self, name: &str) -> Result<FoundSlurmJob, SubmitError> {
        let recorded = self.recorded(name);
        let login = recorded.as_ref().and_then(|(_, place)| place.login.clone());
        let slurm = match self.connect().await {
            Ok(slurm) => slurm,
            Err(SubmitError::Slurm(source @ SlurmError::NoCommands { .. })) => {
                return Err(SubmitError::NotHere { login, source });
            }
            Err(error) => return Err(error),
        };
        if let (Some((record, place)), Some(here)) = (&recorded, &slurm.name)
            && place.cluster != *here
        {
            return Err(SubmitError::OtherCluster {
                run: record.id.to_string(),
                cluster: place.cluster.clone(),
                here: here.clone(),
                login,
            });
        }
        let run = recorded.as_ref().map(|(record, _)| record.id.to_string());
        let known = recorded.and_then(|(_, place)| place.job);
        self.find_in(slurm, name, run, known).await
    }

    async fn find_in(
        &self,
        slurm: Slurm,
        name: &str,
        run: Option<String>,
        known: Option<u64>,
    ) -> Result<FoundSlurmJob, SubmitError> {
        let root = root_folder(self.job_folder.as_deref(), Some(&slurm.home))?;
        let comment = format!("{COMMENT}{}", run.as_deref().unwrap_or(name));
        let number: Option<u64> = name.parse().ok().filter(|_| run.is_none());
        let jobs = match slurm.jobs().await {
            Ok(jobs) => jobs,
            // The run's own files say how it ended.
            Err(_) if run.is_some() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let is_it = |job: &&SlurmJob| {
            job.comment == comment || number == Some(job.id) && job.run().is_some()
        };
        let job = jobs.into_iter().rev().find(|job| is_it(&job));
        let run = match (run, &job) {
            (Some(run), _) => run,
            (None, Some(job)) => job.run().unwrap_or_default().to_owned(),
            (None, None) => {
                return Err(SubmitError::NoSlurmJob {
                    name: name.to_owned(),
                });
            }
        };
        Ok(FoundSlurmJob {
            id: job.as_ref().map(|job| job.id).or(known),
            folder: folder(&root, &run),
            slurm,
            run,
            job,
        })
    }
}

impl FoundSlurmJob {
    /// Its number, where Slurm knows it as this run's.
    ///
    /// # Errors
    /// Where it doesn't (any more).
    pub fn live(&self) -> Result<u64, SubmitError> {
        match &self.job {
            Some(job) => Ok(job.id),
            None => Err(SubmitError::SlurmJobGone {
                run: self.run.clone(),
            }),
        }
    }

    /// How it ended, where it is over.
    ///
    /// # Errors
    /// Where nobody knows any more.
    pub async fn end(&self) -> Result<SlurmEnd, SubmitError> {
        let id = self.id.unwrap_or_default();
        let state = self.job.as_ref().map(|job| job.state.as_str());
        follow::end_of(&self.slurm, id, &self.folder, state).await
    }
}

impl SlurmJob {
    /// The run's id, where it is one of mlbuild's.
    pub fn run(&self) -> Option<&str> {
        let run = self.comment.strip_prefix(COMMENT)?;
        let is_id = run.parse::<mlbuild_manifests::RunId>().is_ok();
        is_id.then_some(run)
    }
}
