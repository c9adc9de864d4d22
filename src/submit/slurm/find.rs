//! A job by its run's id or its number. A record says which cluster a run was in and which job it was, and is a
//! stranger's file: no login node is reached and no folder is read by its word, and a job is only the run's
//! where Slurm says so too.

use std::path::PathBuf;

use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::RunSlurm;

use super::super::error::SubmitError;
use super::{SlurmEnd, follow, root_folder};
use crate::records::{Store, project_folder};
use crate::runtime::array::{FLAG, run_of_point};
use crate::runtime::slurm::{COMMENT, folder};
use crate::slurm::{JobNumber, Slurm, SlurmError, SlurmJob, connect, is_here};

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
    pub id: Option<JobNumber>,
    /// The id of its run.
    pub run: String,
    /// Its folder, on the cluster.
    pub folder: String,
    /// What Slurm says of it; `None` where it has forgotten it.
    pub job: Option<SlurmJob>,
}

/// The points of an array.
#[derive(Debug)]
pub struct FoundSlurmArray {
    /// The cluster.
    pub slurm: Slurm,
    /// Its number.
    pub id: u64,
    /// The run's id that those of its points begin with.
    pub run: String,
    /// The points that Slurm knows; at least one.
    pub jobs: Vec<SlurmJob>,
}

/// What a name may be of.
#[derive(Debug)]
pub enum FoundSlurm {
    /// One job, or one point of an array.
    Job(Box<FoundSlurmJob>),
    /// All points of an array.
    Array(FoundSlurmArray),
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
        self.is_said
            || self.login.is_some()
            || self.recorded(name).is_some()
            || self.recorded(&run_of_point(name, 0)).is_some()
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
    /// Where there is none, the name is an array's, it is in another cluster, or the cluster can't be asked.
    pub async fn find(&self, name: &str) -> Result<FoundSlurmJob, SubmitError> {
        match self.find_any(name).await? {
            FoundSlurm::Job(job) => Ok(*job),
            FoundSlurm::Array(array) => Err(SubmitError::IsArray {
                name: name.to_owned(),
                run: array.run,
                points: array.jobs.len(),
            }),
        }
    }

    /// The job or the array, by its run's id or its number.
    ///
    /// # Errors
    /// Where there is none, it is in another cluster, or the cluster can't be asked.
    pub async fn find_any(&self, name: &str) -> Result<FoundSlurm, SubmitError> {
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
        let known = recorded.and_then(|(record, place)| number_of(&record, &place));
        self.find_in(slurm, name, run, known).await
    }

    async fn find_in(
        &self,
        slurm: Slurm,
        name: &str,
        run: Option<String>,
        known: Option<JobNumber>,
    ) -> Result<FoundSlurm, SubmitError> {
        let root = root_folder(self.job_folder.as_deref(), Some(&slurm.home))?;
        let wanted = run.as_deref().unwrap_or(name);
        let number: Option<JobNumber> = name.parse().ok().filter(|_| run.is_none());
        let jobs = match slurm.jobs().await {
            Ok(jobs) => jobs,
            // The run's own files say how it ended.
            Err(_) if run.is_some() => Vec::new(),
            Err(error) => return Err(error.into()),
        };
        let is_it = |job: &&SlurmJob| {
            let run = job.run();
            run.as_deref() == Some(wanted) || number == Some(job.number) && run.is_some()
        };
        let job = jobs.iter().rev().find(is_it).cloned();
        if run.is_none() && job.is_none() {
            let is_point = |job: &SlurmJob| {
                let is_named = number == Some(job.number.id.into()) || job.array() == Some(name);
                job.number.task.is_some() && job.array().is_some() && is_named
            };
            let points: Vec<SlurmJob> = jobs.into_iter().filter(is_point).collect();
            if let Some(first) = points.last().cloned() {
                return Ok(FoundSlurm::Array(FoundSlurmArray {
                    slurm,
                    id: first.number.id,
                    run: first.array().unwrap_or_default().to_owned(),
                    jobs: points,
                }));
            }
        }
        let run = match (run, &job) {
            (Some(run), _) => run,
            (None, Some(job)) => job.run().unwrap_or_default(),
            (None, None) => {
                return Err(SubmitError::NoSlurmJob {
                    name: name.to_owned(),
                });
            }
        };
        Ok(FoundSlurm::Job(Box::new(FoundSlurmJob {
            id: job.as_ref().map(|job| job.number).or(known),
            folder: folder(&root, &run),
            slurm,
            run,
            job,
        })))
    }
}

/// The number that a record has; of a point its task's, which its run's id ends with.
fn number_of(record: &RunRecord, place: &RunSlurm) -> Option<JobNumber> {
    let is_point = place
        .options
        .iter()
        .any(|option| option.starts_with(&format!("--{FLAG}=")));
    let task = record.id.as_str().rsplit('-').next();
    Some(JobNumber {
        id: place.job?,
        task: task.filter(|_| is_point).and_then(|task| task.parse().ok()),
    })
}

impl FoundSlurmJob {
    /// The job, where Slurm knows it as this run's.
    ///
    /// # Errors
    /// Where it doesn't (any more).
    pub fn live(&self) -> Result<&SlurmJob, SubmitError> {
        match &self.job {
            Some(job) => Ok(job),
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
        let id = self.id.unwrap_or(JobNumber::from(0));
        let state = self.job.as_ref().map(|job| job.state.as_str());
        follow::end_of(&self.slurm, id, &self.folder, state).await
    }
}

impl SlurmJob {
    /// The run's id, where it is one of mlbuild's; of an array's task that of its point.
    pub fn run(&self) -> Option<String> {
        let run = self.array()?;
        Some(match self.number.task {
            Some(task) => run_of_point(run, task as usize),
            None => run.to_owned(),
        })
    }

    /// The id that it was submitted with, where it is one of mlbuild's.
    pub fn array(&self) -> Option<&str> {
        let run = self.comment.strip_prefix(COMMENT)?;
        let is_id = run.parse::<mlbuild_manifests::RunId>().is_ok();
        is_id.then_some(run)
    }
}
