//! Why a cluster didn't do a run, or can't say what became of it.

use std::io;
use std::path::PathBuf;

use crate::error::ErrorKind;
use crate::kubernetes::{KubernetesError, OwnPodError};
use crate::records::PackError;
use crate::registry::RegistryError;
use crate::runtime::LeftOut;
use crate::runtime::kubernetes::{JobKind, MOST_CODE};
use crate::slurm::{JobNumber, SlurmError};
use crate::start::StartError;

/// Why a cluster didn't do a run, or can't say what became of it.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    /// The cluster can't be asked, or refuses.
    #[error(transparent)]
    Kubernetes(#[from] KubernetesError),
    /// The run can't be recorded.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The image's name is none, or its registry can't be asked.
    #[error(transparent)]
    Registry(#[from] RegistryError),
    /// The registry doesn't have the image.
    #[error(transparent)]
    NotPushed(RegistryError),
    /// The platform isn't one.
    #[error("platform {text}: not a platform; write linux/amd64")]
    Platform {
        /// What was given as one.
        text: String,
    },
    /// A file of variables or labels can't be read.
    #[error("{path}: {source}")]
    File {
        /// The flag of docker that names it: `env-file` or `label-file`.
        flag: &'static str,
        /// The file.
        path: String,
        /// Why.
        source: io::Error,
    },
    /// A line of such a file can't be read.
    #[error("{path}, line {line}: {why}")]
    Line {
        /// The flag of docker that names the file.
        flag: &'static str,
        /// The file.
        path: String,
        /// The line, from 1.
        line: usize,
        /// What is wrong with it.
        why: String,
    },
    /// A variable's name isn't one that pods can have.
    #[error(
        "{name}: a variable has a name of letters, digits, `_`, `-` and `.` that doesn't begin with a digit"
    )]
    VariableName {
        /// The name.
        name: String,
    },
    /// Kubernetes can't do what is asked for.
    #[error("{}", parts.iter().map(|part| format!("{}: {}", part.what, part.why)).collect::<Vec<_>>().join("\n"))]
    Unsupported {
        /// What it can't do.
        parts: Vec<LeftOut>,
    },
    /// The project's code can't be packed.
    #[error(transparent)]
    Code(PackError),
    /// The project's code is in no repository.
    #[error("{} is in no git repository, which says what its code is", folder.display())]
    NoRepository {
        /// The project.
        folder: PathBuf,
    },
    /// The archive of the code is too large.
    #[error("the code is {} KiB as an archive, more than the {} KiB that a cluster is asked to keep", size / 1024, MOST_CODE / 1024)]
    CodeTooLarge {
        /// Its size in bytes.
        size: usize,
        /// The largest files, with their sizes in bytes before they are packed.
        largest: Vec<(String, u64)>,
    },
    /// It is no pair of ports.
    #[error("`{text}` is no pair of ports: write LOCAL:REMOTE, such as 8080:80, or one for both")]
    PortPair {
        /// What was given as one.
        text: String,
    },
    /// A port of this machine can't be listened on.
    #[error("127.0.0.1:{port} can't be listened on: {source}")]
    Port {
        /// The port.
        port: u16,
        /// Why.
        source: io::Error,
    },
    /// The cluster has no objects of the kind that is asked for.
    #[error("the cluster at {cluster} has no {kind} of {}{}", kind.api_version(), match versions.as_slice() {
        [] => String::new(),
        all => format!(", and serves that group as {}", all.join(", ")),
    })]
    NoSuchKind {
        /// The cluster's address.
        cluster: String,
        /// The kind.
        kind: JobKind,
        /// The versions of its group that the cluster serves.
        versions: Vec<String>,
        /// Those that it has.
        has: Vec<JobKind>,
    },
    /// Slurm can't be asked, or refuses.
    #[error(transparent)]
    Slurm(#[from] SlurmError),
    /// A job of Slurm can't do what is asked for.
    #[error("{}", parts.iter().map(|part| format!("{}: {}", part.what, part.why)).collect::<Vec<_>>().join("\n"))]
    UnsupportedBySlurm {
        /// What it can't do.
        parts: Vec<LeftOut>,
    },
    /// The login node knows none of the runtimes.
    #[error("{place} has no pyxis, apptainer or podman")]
    NoRuntime {
        /// Where it was looked for.
        place: String,
    },
    /// The folder of all jobs can't be one.
    #[error("the folder of jobs `{path}`: {why}")]
    JobFolder {
        /// The folder.
        path: String,
        /// Why.
        why: &'static str,
    },
    /// The login node doesn't answer any more, and the job may run on.
    #[error("{source}")]
    SlurmLost {
        /// The job.
        job: JobNumber,
        /// What happened.
        source: SlurmError,
    },
    /// Slurm has forgotten the job, and it left no exit code.
    #[error("Slurm has forgotten job {job}, and it left no exit code in its folder")]
    Forgotten {
        /// The job.
        job: JobNumber,
    },
    /// There is no Slurm here, where a run's record says it was submitted elsewhere.
    #[error("{source}")]
    NotHere {
        /// The login node that the record names.
        login: Option<String>,
        /// What was looked for.
        source: SlurmError,
    },
    /// The run was in another cluster.
    #[error("run {run} was in the cluster {cluster}, and this is {here}")]
    OtherCluster {
        /// The run.
        run: String,
        /// Its cluster.
        cluster: String,
        /// The one that answers.
        here: String,
        /// The login node that the record names.
        login: Option<String>,
    },
    /// No job has this number, or this run's id.
    #[error("Slurm knows no job `{name}` of mlbuild's")]
    NoSlurmJob {
        /// What was typed.
        name: String,
    },
    /// The job has no such task.
    #[error("the job of run {run} has {tasks} task(s), and none with the rank {rank} of several")]
    NoTask {
        /// The run.
        run: String,
        /// What was asked for.
        rank: u32,
        /// How many it has.
        tasks: u32,
    },
    /// The run's id is too long for those of its points.
    #[error("the id of a point's run can't be: {0}")]
    PointName(mlbuild_manifests::RunIdError),
    /// The name is an array's, and one of its points is meant.
    #[error("{name} is an array of {points} points: write the one that is meant, such as {run}-0")]
    IsArray {
        /// What was typed.
        name: String,
        /// The id of its run.
        run: String,
        /// How many points it has.
        points: usize,
    },
    /// There is nothing to be tried again.
    #[error("nothing of {run} has failed")]
    NothingFailed {
        /// The run.
        run: String,
    },
    /// The script of a job is gone, which would be run once more.
    #[error("the script of {run} isn't at {path} any more")]
    ScriptGone {
        /// The run.
        run: String,
        /// Where it was.
        path: String,
    },
    /// The job of a run isn't known to Slurm.
    #[error("Slurm knows no job of run {run} any more")]
    SlurmJobGone {
        /// The run.
        run: String,
    },
    /// It can't be arranged that the run can be cancelled.
    #[error("cannot listen for Ctrl-C: {0}")]
    Cancellation(io::Error),
    /// The container can't start, and won't.
    #[error("the container of {pod} can't start: {why}")]
    Stuck {
        /// Its pod.
        pod: String,
        /// Why.
        why: String,
    },
    /// Somebody removed the Job.
    #[error("the Job {job} was removed while it ran")]
    Removed {
        /// The Job.
        job: String,
    },
    /// The cluster doesn't answer any more, and the Job may run on.
    #[error("{source}")]
    Lost {
        /// The Job.
        job: String,
        /// What happened.
        source: KubernetesError,
    },
    /// Whoever takes the container's output doesn't take it.
    #[error("cannot write the answer to stdout: {0}")]
    Output(io::Error),
    /// The Job's pods are gone.
    #[error("the pods of the Job {job} are gone, and their log with them")]
    LogGone {
        /// The Job.
        job: String,
    },
    /// The Job's container doesn't run yet.
    #[error("the Job {job} doesn't run yet: {why}")]
    NotRunning {
        /// The Job.
        job: String,
        /// What it waits for.
        why: String,
    },
    /// The Job's pod failed, and the next one doesn't run yet.
    #[error("the pod of the Job {job} failed, and the next one doesn't run yet")]
    BetweenPods {
        /// The Job.
        job: String,
    },
    /// The Job has no pod of this number.
    #[error("{}", match nodes {
        1 => format!("the Job {job} has one node, whose rank is 0, and none of rank {rank}"),
        nodes => format!("the Job {job} has {nodes} nodes, of the ranks 0 to {}, and none of rank {rank}", nodes - 1),
    })]
    NoRank {
        /// The Job.
        job: String,
        /// The number.
        rank: u32,
        /// How many pods it has.
        nodes: usize,
    },
    /// The Job is over.
    #[error("the Job {job} is over")]
    Over {
        /// The Job.
        job: String,
    },
    /// The kubeconfig has no context for the cluster of a recorded run.
    #[error("{source}")]
    NoContextOfRun {
        /// The run.
        run: String,
        /// Its cluster's address.
        server: String,
        /// Its namespace.
        namespace: String,
        /// What the kubeconfig lacks.
        source: Box<KubernetesError>,
    },
    /// The Job of a recorded run isn't in the cluster.
    #[error("{source}")]
    RunGone {
        /// The run.
        run: String,
        /// The address of the cluster that it was in, where another one was asked.
        moved_from: Option<String>,
        /// What was asked for.
        source: Box<KubernetesError>,
    },
    /// No Job has this name, and no run this id.
    #[error(transparent)]
    NoJob(KubernetesError),
    /// This is no pod of Kubernetes.
    #[error("this is no pod of Kubernetes: KUBERNETES_SERVICE_HOST isn't set")]
    NoPod,
    /// It can't be known which container of the pod this is.
    #[error(transparent)]
    OwnPod(#[from] OwnPodError),
    /// The namespace has no pod of this host's name.
    #[error("the namespace {namespace} has no pod {pod}, which is this host's name")]
    NoSuchPod {
        /// The namespace.
        namespace: String,
        /// The name.
        pod: String,
    },
    /// The service account may not look at pods.
    #[error("{source}")]
    PodForbidden {
        /// The namespace.
        namespace: String,
        /// The cluster's words.
        source: KubernetesError,
    },
    /// The cluster doesn't know yet what the container runs.
    #[error("the cluster doesn't know yet what the container {container} of {pod} runs")]
    ImageUnknown {
        /// The container.
        container: String,
        /// Its pod.
        pod: String,
    },
}

impl SubmitError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Kubernetes(error) | Self::NoJob(error) | Self::Lost { source: error, .. } => {
                error.kind()
            }
            Self::NoContextOfRun { source, .. } | Self::RunGone { source, .. } => source.kind(),
            Self::Start(error) => error.kind(),
            Self::Slurm(error) | Self::NotHere { source: error, .. } => error.kind(),
            Self::UnsupportedBySlurm { .. }
            | Self::JobFolder { .. }
            | Self::OtherCluster { .. }
            | Self::NoSlurmJob { .. }
            | Self::PointName(_)
            | Self::NoTask { .. }
            | Self::NothingFailed { .. }
            | Self::ScriptGone { .. }
            | Self::IsArray { .. } => ErrorKind::User,
            Self::Registry(error) | Self::NotPushed(error) => error.kind(),
            Self::Platform { .. }
            | Self::File { .. }
            | Self::Line { .. }
            | Self::VariableName { .. }
            | Self::NoRank { .. }
            | Self::NoSuchKind { .. }
            | Self::PortPair { .. }
            | Self::NoRepository { .. }
            | Self::CodeTooLarge { .. }
            | Self::Code(PackError::NoCommit | PackError::TooLarge { .. })
            | Self::Unsupported { .. } => ErrorKind::User,
            Self::Stuck { .. } => ErrorKind::Runtime,
            Self::Removed { .. } | Self::Output(_) => ErrorKind::Work,
            _ => ErrorKind::Environment,
        }
    }
}
