//! A job by its run's id or its number. A record says which cluster a run was in and which job it was, and is a
//! stranger's file: no login node is reached and no folder is read by its word, and a job is only the run's
//! where Slurm says so too.

use std::collections::BTreeMap;
use std::path::PathBuf;

use mlbuild_manifests::run_record::{FOLDER_NAME, RunSlurm};
use mlbuild_manifests::{RunId, RunRecord};

use super::super::error::SubmitError;
use super::array::ends_of;
use super::{SlurmEnd, follow, root_folder};
use crate::records::{Store, project_folder};
use crate::runtime::array::{MOST_POINTS, point_of_record, run_of_point};
use crate::runtime::slurm::{ATTEMPT_FILE, COMMENT, folder};
use crate::slurm::{FORGOTTEN, JobNumber, JobPhase, Slurm, SlurmError, SlurmJob, connect, is_here};

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
    /// Its number; of one that was tried again, the last one.
    pub id: u64,
    /// The run's id that those of its points begin with.
    pub run: String,
    /// Its folder, on the cluster.
    pub folder: String,
    /// The points by their numbers, at least one: those that Slurm knows, and those that only this project's records
    /// do.
    pub jobs: BTreeMap<u32, SlurmJob>,
    /// The exit codes that records have.
    pub(super) recorded: BTreeMap<u32, i32>,
}

/// What a name may be of.
#[derive(Debug)]
pub enum FoundSlurm {
    /// One job, or one point of an array.
    Job(Box<FoundSlurmJob>),
    /// All points of an array.
    Array(Box<FoundSlurmArray>),
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
        let of_array = || self.recorded(&run_of_point(name, 0));
        let known = recorded.clone().or_else(of_array);
        let login = known.as_ref().and_then(|(_, place)| place.login.clone());
        let slurm = match self.connect().await {
            Ok(slurm) => slurm,
            Err(SubmitError::Slurm(source @ SlurmError::NoCommands { .. })) => {
                return Err(SubmitError::NotHere { login, source });
            }
            Err(error) => return Err(error),
        };
        if let (Some((record, place)), Some(here)) = (&known, &slurm.name)
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
            Err(_) if run.is_some() || self.recorded(&run_of_point(name, 0)).is_some() => {
                Vec::new()
            }
            Err(error) => return Err(error.into()),
        };
        let is_it = |job: &&SlurmJob| {
            let run = job.run();
            run.as_deref() == Some(wanted) || number == Some(job.number) && run.is_some()
        };
        // Of one that was tried again, the last one.
        let job = jobs.iter().filter(is_it).max_by_key(|job| job.number.id);
        let job = job.cloned();
        if run.is_none() && job.is_none() {
            let points = self.points(jobs, name, number);
            let last = points.values().max_by_key(|(job, _)| job.number.id);
            if let Some((last, _)) = last {
                let (id, run) = (last.number.id, last.array().unwrap_or_default().to_owned());
                let codes = points.iter();
                let codes = codes.filter_map(|(task, (_, code))| Some((*task, (*code)?)));
                return Ok(FoundSlurm::Array(Box::new(FoundSlurmArray {
                    slurm,
                    id,
                    folder: folder(&root, &run),
                    run,
                    recorded: codes.collect(),
                    jobs: points
                        .into_iter()
                        .map(|(task, (job, _))| (task, job))
                        .collect(),
                })));
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

impl SlurmQuery {
    /// The points of an array that a name or a number means, each with the exit code that its record has.
    fn points(
        &self,
        jobs: Vec<SlurmJob>,
        name: &str,
        number: Option<JobNumber>,
    ) -> BTreeMap<u32, (SlurmJob, Option<i32>)> {
        let mut points = BTreeMap::<u32, (SlurmJob, Option<i32>)>::new();
        for job in jobs {
            let is_named = number == Some(job.number.id.into()) || job.array() == Some(name);
            let Some(task) = job
                .number
                .task
                .filter(|_| job.array().is_some() && is_named)
            else {
                continue;
            };
            let is_older = |known: &(SlurmJob, _)| known.0.number.id > job.number.id;
            if !points.get(&task).is_some_and(is_older) {
                points.insert(task, (job, None));
            }
        }
        let of_slurm = points
            .values()
            .find_map(|(job, _)| job.array().map(str::to_owned));
        let run = of_slurm.unwrap_or_else(|| name.to_owned());
        for (task, record) in (0..).zip(self.recorded_points(&run)) {
            let code = record
                .outcome
                .as_ref()
                .and_then(|outcome| outcome.exit_code);
            let id = record.slurm.as_ref().and_then(|place| place.job);
            if let Some((_, known)) = points.get_mut(&task) {
                *known = code;
            } else if let Some(id) = id
                && number.is_none_or(|number| number.id == id)
            {
                let number = JobNumber {
                    id,
                    task: Some(task),
                };
                let comment = format!("{COMMENT}{run}");
                let job = SlurmJob::forgotten(number, comment, record.outcome.as_ref());
                points.insert(task, (job, code));
            }
        }
        points
    }

    /// The records of an array's points, up to the first that isn't here.
    fn recorded_points(&self, run: &str) -> impl Iterator<Item = RunRecord> {
        let folder = self.folder.as_deref().map(project_folder);
        let folder = folder.map(|project| project.join(FOLDER_NAME));
        let record = move |at| {
            let id: RunId = run_of_point(run, at).parse().ok()?;
            let record = RunRecord::load(&RunRecord::path(folder.as_deref()?, &id)).ok()?;
            record.slurm.is_some().then_some(record)
        };
        (0..MOST_POINTS).map_while(record)
    }
}

/// The number that a record has; of a point its task's, which its run's id ends with.
fn number_of(record: &RunRecord, place: &RunSlurm) -> Option<JobNumber> {
    Some(JobNumber {
        id: place.job?,
        task: point_of_record(record.id.as_str(), &place.options),
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

    /// How often its run was begun; `None` where it waits to be begun for the first time.
    ///
    /// # Errors
    /// Where the login node can't be reached.
    pub async fn attempt(&self) -> Result<Option<u32>, SubmitError> {
        let path = format!("{}/{ATTEMPT_FILE}", self.folder);
        let text = self.slurm.read(&path).await?;
        Ok(text.and_then(|text| text.trim().parse().ok()))
    }
}

impl FoundSlurmArray {
    /// The points, those that are over with how they ended: by their folders, by Slurm, by its accounts, or else by
    /// their records.
    ///
    /// # Errors
    /// Where the login node can't be reached.
    pub async fn points(&self) -> Result<Vec<(SlurmJob, Option<SlurmEnd>)>, SubmitError> {
        let count = self
            .jobs
            .keys()
            .next_back()
            .map_or(0, |last| *last as usize + 1);
        let over = self
            .jobs
            .iter()
            .filter(|(_, job)| job.phase() == JobPhase::Ended);
        let known = over.filter(|(_, job)| job.state != FORGOTTEN);
        let states = known
            .map(|(task, job)| (*task, job.state.clone()))
            .collect();
        let at = (self.id, self.folder.as_str());
        let mut ends = ends_of(&self.slurm, at, count, &states).await?;
        let mut points = Vec::new();
        for (task, job) in &self.jobs {
            let (mut job, end) = (job.clone(), &mut ends[*task as usize]);
            if job.phase() != JobPhase::Ended {
                points.push((job, None));
                continue;
            }
            end.code = end.code.or_else(|| self.recorded.get(task).copied());
            if job.state == FORGOTTEN {
                job.state = match (end.code, &end.why) {
                    (_, Some(state)) => state.clone(),
                    (Some(0), None) => "COMPLETED".to_owned(),
                    (Some(_), None) => "FAILED".to_owned(),
                    (None, None) => job.state,
                };
            }
            let (code, why) = (end.code, end.why.clone());
            points.push((job, Some(SlurmEnd { code, why })));
        }
        Ok(points)
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
