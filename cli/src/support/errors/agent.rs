//! Errors of an agent and of its jobs.

use crate::error::CommandError;
use mlbuild::agent::{AgentError, JobError};

impl From<AgentError> for CommandError {
    fn from(error: AgentError) -> Self {
        let made = CommandError::new(error.kind(), &error);
        match error {
            AgentError::Config(error) => error.into(),
            AgentError::Store(error) => error.into(),
            AgentError::Engine(error) => error.into(),
            AgentError::Cluster(error) => error.into(),
            AgentError::SeveralKinds { .. } => {
                made.hint("start an agent for those of docker, and one for those of kubernetes")
            }
            AgentError::OfOtherKind { .. } => made
                .hint("--runtime-cli and --gpus ID are of this machine; --context, --namespace and --kubeconfig of a cluster: leave out those of the other")
                .hint("mlbuild queue show NAME shows of which kind a queue is"),
            AgentError::BoundOfMachine { .. } => made.hint(
                "a ResourceQuota or LimitRange of the namespace bounds its jobs; give this agent another --config",
            ),
            AgentError::NothingToPushTo { .. } => made.hint("registry:\n    uri: HOST/NAME"),
            AgentError::NoQueue => {
                made.hint("mlbuild agent -q NAME; mlbuild queue list shows them")
            }
            AgentError::NoEngineId(_) => made.hint(
                "an agent needs Docker 17.06 or newer, or a Podman whose `podman info` answers",
            ),
        }
    }
}

impl From<JobError> for CommandError {
    fn from(error: JobError) -> Self {
        let made = CommandError::new(error.kind(), &error);
        match error {
            JobError::Options(error) => error.into(),
            JobError::Store(error) => error.into(),
            JobError::Start(error) => error.into(),
            JobError::Cluster(error) => error.into(),
            JobError::Registry(error) => error.into(),
            JobError::Policy { source, file, host } if !source.is_of_queue() => {
                let file = match file {
                    Some(file) => file.display().to_string(),
                    None => "~/.config/mlbuild/launch-config.yaml".to_owned(),
                };
                made.hint(format!(
                    "whoever runs the agent can let it pass: {} in {file} on {host}",
                    source.rule()
                ))
            }
            JobError::Policy { source, .. } => source.into(),
            JobError::BuildsNothing => made.hint("launch the job with --image"),
            JobError::NoRegistryForPodman | JobError::NoRegistryForCluster => made.hint(
                "name one in launch-config.yaml, `registry:` with `uri: HOST/NAME`, or launch the job with --image",
            ),
            JobError::Build { log, host, .. } => {
                made.hint(format!("all of it: {} on {host}", log.display()))
            }
            JobError::BuildAnswer(error) => CommandError::work(format!("mlbuild image: {error}")),
            _ => made,
        }
    }
}
