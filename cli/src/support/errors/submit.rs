//! Errors of submitting a run, and of asking a cluster for it.

use crate::error::CommandError;
use mlbuild::records::PackError;
use mlbuild::shell::word;
use mlbuild::submit::SubmitError;

impl From<SubmitError> for CommandError {
    fn from(error: SubmitError) -> Self {
        let made = CommandError::new(error.kind(), &error);
        match error {
            SubmitError::Kubernetes(error) => error.into(),
            SubmitError::Start(error) => error.into(),
            SubmitError::Registry(error) => error.into(),
            SubmitError::NotPushed(error) => CommandError::from(error).hint(
                "push it first: mlbuild image --push; or, where a node has it: --local-image",
            ),
            SubmitError::Platform { .. } => CommandError::user(format!("--{}", made.message())),
            SubmitError::PortPair { .. } => {
                CommandError::user(format!("--port-forward: {}", made.message()))
            }
            SubmitError::NoRepository { .. } | SubmitError::Code(PackError::NoCommit) => {
                CommandError::user(format!("--code: {}", made.message()))
                    .hint("git init && git add . && git commit; or put the code into the image: mlbuild image --push")
            }
            SubmitError::CodeTooLarge { largest, .. }
            | SubmitError::Code(PackError::TooLarge { largest, .. }) => {
                let largest = largest.iter().map(|(path, size)| format!("{path} ({} KiB)", size / 1024));
                let largest: Vec<String> = largest.collect();
                CommandError::user(format!("--code: {}", made.message())).hint(format!(
                    "the largest files are {}: put data into a volume, or all of it into the image: mlbuild image --push",
                    largest.join(", ")
                ))
            }
            SubmitError::Code(_) => CommandError::environment(format!("--code: {}", made.message())),
            SubmitError::Port { .. } => CommandError::environment(format!(
                "--port-forward: {}",
                made.message()
            ))
            .hint("choose another one: --port-forward LOCAL:REMOTE; with 0 it is one that is free"),
            SubmitError::File { flag, .. } | SubmitError::Line { flag, .. } => {
                CommandError::user(format!("--{flag} {}", made.message()))
            }
            SubmitError::VariableName { .. } => {
                CommandError::user(format!("--env {}", made.message()))
            }
            SubmitError::Unsupported { .. } => made.hint(
                "leave it out, or say it in the way of Kubernetes: mlbuild submit --help",
            ),
            SubmitError::NoSuchKind { kind, ref has, .. } => {
                let words: Vec<&str> = has.iter().map(|kind| kind.word()).collect();
                let works = format!("--kind {} works there", words.join(" or "));
                made.hint(match kind.operator() {
                    Some(operator) => format!("{works}; {kind}s come with {operator}"),
                    None => works,
                })
            }
            SubmitError::Stuck { .. } => made.hint(
                "is the image there, and may the cluster pull it? --pull-secret NAME, --local-image",
            ),
            SubmitError::Lost { job, source } => CommandError::from(source).hint(format!(
                "the Job may run on; to look again: mlbuild logs -f {}",
                word(job)
            )),
            SubmitError::Over { job } => {
                made.hint(format!("mlbuild logs {} shows what it printed", word(job)))
            }
            SubmitError::NoContextOfRun {
                run,
                server,
                namespace,
                source,
            } => CommandError::from(*source).hint(format!(
                "run {run} is at {server}, namespace {namespace}: name that cluster's --context"
            )),
            SubmitError::RunGone {
                run,
                moved_from,
                source,
            } => CommandError::from(*source).hint(match moved_from {
                Some(server) => format!(
                    "run {run} was at {server}, which is another cluster: name its --context"
                ),
                None => format!("to run it again: mlbuild restore {}", word(run)),
            }),
            SubmitError::NoJob(error) => CommandError::from(error)
                .hint("write a Job's name or its run's id; kubectl get jobs -l app.kubernetes.io/managed-by=mlbuild lists them"),
            SubmitError::NoPod => {
                made.hint("mlbuild run and mlbuild submit tell their containers the image themselves")
            }
            SubmitError::OwnPod(_) => made.hint(
                "say it: --container NAME, or MLBUILD_CONTAINER and MLBUILD_POD_NAME in the pod's specification",
            ),
            SubmitError::NoSuchPod { .. } => {
                made.hint("hand the name in by downward API: MLBUILD_POD_NAME from metadata.name")
            }
            SubmitError::PodForbidden { namespace, .. } => made.hint(format!(
                "allow it: mlbuild env --rbac --namespace {} | kubectl apply -f -",
                word(namespace)
            )),
            error => of_slurm(error, made),
        }
    }
}

/// Errors of runs under Slurm, and those that say all themselves.
fn of_slurm(error: SubmitError, made: CommandError) -> CommandError {
    match error {
        SubmitError::Slurm(error)
        | SubmitError::NotHere {
            login: None,
            source: error,
        } => error.into(),
        SubmitError::NotHere {
            login: Some(login),
            source,
        } => CommandError::from(source).hint(format!(
            "the run was submitted through {login}; if that is yours: --ssh {}",
            word(&login)
        )),
        SubmitError::OtherCluster {
            login: Some(login), ..
        } => made.hint(format!(
            "it was submitted through {login}; if that is yours: --ssh {}",
            word(&login)
        )),
        SubmitError::NoTask { .. } => made.hint("leave --rank out, or write one of its tasks"),
        // It says what to write.
        SubmitError::UnsupportedBySlurm { parts }
            if parts.iter().all(|part| part.what.starts_with("--array")) =>
        {
            made
        }
        SubmitError::UnsupportedBySlurm { .. } => {
            made.hint("leave it out, or say it in the way of Slurm: mlbuild submit --help")
        }
        SubmitError::NoRuntime { .. } => {
            made.hint("say what the nodes have: --container-runtime podman, apptainer or pyxis")
        }
        SubmitError::JobFolder { .. } => {
            made.hint("--job-folder DIR, such as /scratch/$USER/mlbuild")
        }
        SubmitError::SlurmLost { job, source } => CommandError::from(source).hint(format!(
            "the job may run on; to look again: mlbuild logs -f --slurm {job}"
        )),
        SubmitError::Forgotten { .. } => {
            made.hint("was it ended by force? sacct may know, where the cluster keeps accounts")
        }
        SubmitError::IsArray { run, .. } => {
            made.hint(format!("its points: mlbuild jobs show {}", word(&run)))
        }
        SubmitError::ScriptGone { run, .. } => made.hint(format!(
            "was it submitted with another --job-folder? To run it anew: mlbuild restore {}",
            word(&run)
        )),
        SubmitError::PointName(_) => made.hint("give a shorter one: --run-id"),
        SubmitError::NoSlurmJob { .. } => {
            made.hint("write a run's id or a job's number; mlbuild jobs list --kind slurm")
        }
        SubmitError::SlurmJobGone { run } => {
            made.hint(format!("to run it again: mlbuild restore {}", word(&run)))
        }
        _ => made,
    }
}
