//! Configurations of W&B's queues for resources that agents here don't start jobs on: told by a key
//! that only they have.

/// What each resource is called, its keys at the top of a configuration, and what to do in its place.
const RESOURCES: [(&str, &[&str], &str); 2] = [
    (
        "an Amazon SageMaker queue",
        &[
            "AlgorithmSpecification",
            "OutputDataConfig",
            "ResourceConfig",
            "RoleArn",
            "StoppingCondition",
            "TrainingJobName",
            "sagemaker",
        ],
        "SageMaker starts jobs by Amazon's interface alone: leave the queue to wandb launch-agent",
    ),
    (
        "a Vertex AI queue",
        &[
            "run",
            // A manifest of Kubernetes was told from it before.
            "spec",
            "staging_bucket",
            "worker_pool_specs",
            "workerPoolSpecs",
            "gcp-vertex",
        ],
        "Vertex AI starts jobs by Google's interface alone: leave the queue to wandb launch-agent",
    ),
];

/// What is wrong with a key, and what to do, where it is of another resource's queue.
pub(super) fn told_by(key: &str) -> Option<(String, &'static str)> {
    let (resource, _, hint) = RESOURCES.iter().find(|(_, keys, _)| keys.contains(&key))?;
    let why = format!(
        "`{key}` is of {resource}: agents here start containers with Docker or Podman, or objects of a \
         Kubernetes cluster"
    );
    Some((why, hint))
}
