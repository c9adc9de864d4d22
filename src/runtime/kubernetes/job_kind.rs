//! The kinds of objects that a run of a cluster can be: a Job of Kubernetes itself, and those of operators that
//! a cluster may have.
//!
//! What each is like is said by its own definition: JobSet's (`jobset.x-k8s.io/v1alpha2`), PyTorchJob's of
//! Kubeflow's training operator (`kubeflow.org/v1`), and MPIJob's of Kubeflow's MPI operator
//! (`kubeflow.org/v2beta1`).

use std::fmt;

use super::CONTAINER;
use super::nodes::JOB_LABEL;

/// Where Kubeflow's operators write the name of a pod's job.
const KUBEFLOW_JOB: &str = "training.kubeflow.org/job-name";
/// Where JobSet does.
const JOBSET_NAME: &str = "jobset.sigs.k8s.io/jobset-name";

/// The kind of a run's object.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum JobKind {
    /// Kubernetes' own.
    #[default]
    Job,
    /// A set of Jobs that are started again together.
    JobSet,
    /// Of Kubeflow's training operator.
    PyTorchJob,
    /// Of Kubeflow's MPI operator: a launcher, and workers that it starts processes on.
    MpiJob,
}

impl fmt::Display for JobKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl JobKind {
    /// All of them; every cluster has the first.
    pub const ALL: [Self; 4] = [Self::Job, Self::JobSet, Self::PyTorchJob, Self::MpiJob];

    /// What `--kind` takes.
    pub const WORDS: [&'static str; 4] = ["job", "jobset", "pytorchjob", "mpijob"];

    /// Reads a word of [`Self::WORDS`].
    pub fn of_word(word: &str) -> Option<Self> {
        let at = Self::WORDS.iter().position(|known| *known == word)?;
        Some(Self::ALL[at])
    }

    /// Its word.
    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }

    /// The kind of an object.
    pub fn of(api_version: &str, kind: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|known| known.api_version() == api_version && known.name() == kind)
    }

    /// Its name, as objects have it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Job => "Job",
            Self::JobSet => "JobSet",
            Self::PyTorchJob => "PyTorchJob",
            Self::MpiJob => "MPIJob",
        }
    }

    /// Group and version.
    pub fn api_version(self) -> &'static str {
        match self {
            Self::Job => "batch/v1",
            Self::JobSet => "jobset.x-k8s.io/v1alpha2",
            Self::PyTorchJob => "kubeflow.org/v1",
            Self::MpiJob => "kubeflow.org/v2beta1",
        }
    }

    /// How the API server names many of them.
    pub fn plural(self) -> &'static str {
        match self {
            Self::Job => "jobs",
            Self::JobSet => "jobsets",
            Self::PyTorchJob => "pytorchjobs",
            Self::MpiJob => "mpijobs",
        }
    }

    /// What a cluster needs that has it; none for what every cluster has.
    pub fn operator(self) -> Option<&'static str> {
        match self {
            Self::Job => None,
            Self::JobSet => Some("JobSet (https://jobset.sigs.k8s.io)"),
            Self::PyTorchJob => Some("Kubeflow's training operator"),
            Self::MpiJob => Some("Kubeflow's MPI operator"),
        }
    }

    /// The label of its pods that has its name.
    pub fn pod_label(self) -> &'static str {
        match self {
            Self::Job => JOB_LABEL,
            Self::JobSet => JOBSET_NAME,
            Self::PyTorchJob | Self::MpiJob => KUBEFLOW_JOB,
        }
    }

    /// The container that runs the image.
    pub fn container(self) -> &'static str {
        match self {
            // Its operator looks for this one.
            Self::PyTorchJob => "pytorch",
            _ => CONTAINER,
        }
    }

    /// The first of the Jobs that make an object's pods.
    pub fn first_job(self, name: &str) -> String {
        match self {
            Self::JobSet => format!("{name}-{JOBSET_JOB}-0"),
            Self::MpiJob => format!("{name}-launcher"),
            Self::Job | Self::PyTorchJob => name.to_owned(),
        }
    }

    /// What the name of the pod with the highest number has after the object's own, of so many.
    pub(super) fn longest_suffix(self, nodes: u32) -> String {
        let last = nodes.max(1) - 1;
        match self {
            Self::Job if nodes < 2 => String::new(),
            Self::Job => format!("-{last}"),
            // Its Jobs' pods end in five characters by chance, for which it wants room in the name, too.
            Self::JobSet => format!("-{JOBSET_JOB}-0-{last}-abcde"),
            Self::PyTorchJob | Self::MpiJob => format!("-worker-{last}"),
        }
    }
}

/// What the one Job of a set is called in it.
pub(super) const JOBSET_JOB: &str = "node";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_is_read_as_it_is_written() {
        for kind in JobKind::ALL {
            assert_eq!(JobKind::of_word(kind.word()), Some(kind));
            assert_eq!(JobKind::of(kind.api_version(), kind.name()), Some(kind));
        }
        assert_eq!(JobKind::of("batch.volcano.sh/v1alpha1", "Job"), None);
        assert_eq!(JobKind::of_word("tfjob"), None);
    }
}
