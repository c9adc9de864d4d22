//! The labels of jobs' containers, objects and pods: whose they are, for whoever finds them.

/// The job's id.
pub(super) const JOB: &str = "mlbuild.job";
/// The store that holds the job.
pub(super) const STORE: &str = "mlbuild.store";
/// The id of the run: that of the job's try. Only objects of a cluster have it.
pub const RUN: &str = "mlbuild.run";
/// The fencing token of the assignment that the container was made under.
pub(super) const FENCING_TOKEN: &str = "mlbuild.epoch";
/// Stands on a container that goes when it has ended.
pub(super) const REMOVE: &str = "mlbuild.remove";
