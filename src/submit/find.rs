//! A Job by its name or its run's id, and its pod.

use std::path::PathBuf;

use kube::ResourceExt as _;
use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::RunCluster;

use super::error::SubmitError;
use crate::kubernetes::{
    Cluster, ClusterTarget, FoundJob, JobRef, KubernetesError, State, connect,
};
use crate::records::{Store, project_folder};
use crate::runtime::array::{point_of_run, run_of_point};
use crate::runtime::kubernetes::{RUN_LABEL, label_value};

/// Where a Job is looked for.
#[derive(Debug, Clone, Default)]
pub struct JobQuery {
    /// The cluster.
    pub cluster: ClusterTarget,
    /// A folder whose project may have the run's record, which names the cluster where nobody has
    /// chosen one.
    pub folder: Option<PathBuf>,
}

impl JobQuery {
    /// A Job by its name, or by its run's id: in the cluster that was chosen; else in the one that the
    /// run's record names, where this project has it; else in the usual one.
    ///
    /// # Errors
    /// Where there is no such Job, or the cluster can't be asked.
    pub async fn find(&self, name: &str) -> Result<(Cluster, FoundJob), SubmitError> {
        let Some((record, place)) = self.recorded_any(name) else {
            let cluster = connect(&self.cluster).await?;
            let found = find_job(&cluster, name).await?;
            return Ok((cluster, found));
        };
        // The name of all points is that of none.
        let is_whole = record.id.as_str() == run_of_point(name, 0);
        let at = JobRef::of_run(record.id.as_str(), &place);
        let at = if is_whole { at.whole() } else { at };
        let target = ClusterTarget::of_run(&place);
        let cluster = connect(&target).await.map_err(|error| match error {
            KubernetesError::NoContext { .. } | KubernetesError::OtherServer { .. } => {
                SubmitError::NoContextOfRun {
                    run: record.id.to_string(),
                    server: place.server.clone(),
                    namespace: place.namespace.clone(),
                    source: Box::new(error),
                }
            }
            error => error.into(),
        })?;
        match cluster.find(&at).await {
            Ok(found) => Ok((cluster, found)),
            Err(source @ KubernetesError::NotFound { .. }) => Err(SubmitError::RunGone {
                run: record.id.to_string(),
                moved_from: (cluster.url != place.server).then_some(place.server),
                source: Box::new(source),
            }),
            Err(error) => Err(error.into()),
        }
    }

    /// Whether this project has the record of a run of this id, or of the points of an array.
    pub fn is_recorded(&self, name: &str) -> bool {
        self.recorded_any(name).is_some()
    }

    fn recorded_any(&self, name: &str) -> Option<(RunRecord, RunCluster)> {
        let of_array = || self.recorded(&run_of_point(name, 0));
        self.recorded(name).or_else(of_array)
    }

    /// The run of this id and where it is, if no cluster was chosen and this project has its record.
    pub fn recorded(&self, name: &str) -> Option<(RunRecord, RunCluster)> {
        if self.cluster.is_chosen() {
            return None;
        }
        let project = project_folder(self.folder.as_ref()?);
        let record = Store::of(&project).find(name).ok()?;
        let place = record.cluster.clone()?;
        Some((record, place))
    }
}

/// A Job by its name, or by its run's id.
///
/// # Errors
/// Where there is none.
async fn find_job(cluster: &Cluster, name: &str) -> Result<FoundJob, SubmitError> {
    let missing = match cluster.find_any(&name.to_lowercase()).await {
        Ok(found) => return Ok(found),
        Err(error @ KubernetesError::NotFound { .. }) => error,
        Err(error) => return Err(error.into()),
    };
    let mut jobs = cluster.find_all((RUN_LABEL, &label_value(name))).await?;
    if let Some(job) = jobs.pop() {
        return Ok(job);
    }
    if let Some((array, point)) = point_of_run(name) {
        let of_run = cluster.find_all((RUN_LABEL, &label_value(array))).await?;
        let mut jobs = of_run;
        if let Ok(of_name) = cluster.find_any(&array.to_lowercase()).await {
            jobs.push(of_name);
        }
        if let Some(found) = jobs.pop().and_then(|job| job.into_point(point)) {
            return Ok(found);
        }
    }
    Err(SubmitError::NoJob(missing))
}

/// How far a Job got, or its pod with a number. A Job of one pod has number 0.
///
/// # Errors
/// Where it has no such pod, or is an array of which no point is named.
pub(super) fn rank(found: &FoundJob, number: Option<u32>) -> Result<State, SubmitError> {
    if let Some(points) = found.points() {
        return Err(SubmitError::IsArray {
            name: found.job.name_any(),
            run: found
                .job
                .labels()
                .get(RUN_LABEL)
                .cloned()
                .unwrap_or_default(),
            points: points.len(),
        });
    }
    let Some(number) = number else {
        return Ok(found.state());
    };
    let ranks = found.nodes();
    let nodes = ranks.as_ref().map_or(1, Vec::len);
    let named = match ranks {
        Some(all) => all
            .into_iter()
            .find(|rank| rank.number == number)
            .map(|rank| rank.state),
        None => (number == 0).then(|| found.state()),
    };
    named.ok_or_else(|| SubmitError::NoRank {
        job: found.job.name_any(),
        rank: number,
        nodes,
    })
}

/// Whether a Job has a pod with a number.
///
/// # Errors
/// Where it has none.
pub fn check_rank(found: &FoundJob, number: Option<u32>) -> Result<(), SubmitError> {
    rank(found, number).map(drop)
}

/// The pod of a Job in which its program runs: the first one that runs, or the one with a number.
///
/// # Errors
/// Where none runs, or it has no such pod.
pub fn running_pod(found: &FoundJob, number: Option<u32>) -> Result<String, SubmitError> {
    let job = found.job.name_any();
    match rank(found, number)? {
        State::Running { pod } => Ok(pod),
        State::Waiting { why } | State::Stuck { why, .. } => {
            Err(SubmitError::NotRunning { job, why })
        }
        State::Again { .. } => Err(SubmitError::BetweenPods { job }),
        State::Ended(_) => Err(SubmitError::Over { job }),
    }
}
