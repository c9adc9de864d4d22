//! A Job of several pods: each has a number, a name that the others find it by, and what `torchrun` reads.
//!
//! Pods of an indexed Job are called `JOB-NUMBER`
//! (<https://kubernetes.io/docs/concepts/workloads/controllers/job/#completion-mode>); a headless Service
//! makes names of that, as soon as they have an address.

use std::collections::BTreeMap;

use k8s_openapi::api::batch::v1::{
    PodFailurePolicy, PodFailurePolicyOnExitCodesRequirement,
    PodFailurePolicyOnPodConditionsPattern, PodFailurePolicyRule,
};
use k8s_openapi::api::core::v1::{
    EnvVar, EnvVarSource, ObjectFieldSelector, Service, ServicePort, ServiceSpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use super::CONTAINER;
use super::job_builder::JobBuilder;
use super::names::longest_name;
use crate::runtime::distributed::{Distributed, Launcher, MASTER_PORT, Rendezvous, names};
use crate::runtime::options::Options;
use crate::runtime::spec::RunSpec;

/// The label of a Job's pods that has its name.
pub const JOB_LABEL: &str = "batch.kubernetes.io/job-name";
/// Where a pod of an indexed Job has its number.
pub const INDEX_ANNOTATION: &str = "batch.kubernetes.io/job-completion-index";

/// How the run is spread over pods, if it is; writes the command and the variables for it. What the variables
/// are that the user gave must be there already: those stand.
pub(super) fn spread(
    builder: &mut JobBuilder,
    spec: &RunSpec,
    own: &Options,
    job: &str,
) -> Option<Distributed> {
    let gpus = builder.gpus.as_ref().map(|(number, _)| *number);
    let spread = match Distributed::of(own, gpus) {
        Ok(spread) => spread?,
        Err(part) => {
            builder.refused.push(part);
            return None;
        }
    };
    check(builder, spec, spread.nodes, job);
    let variable = |name: &str| format!("$({name})");
    let here = Rendezvous {
        address: match spread.nodes {
            1 => "localhost".to_owned(),
            _ => format!("{job}-0.{}", service_name(job)),
        },
        port: MASTER_PORT.to_string(),
        node: "0".to_owned(),
    };
    // What the container's variables say, which may be the user's.
    let named = Rendezvous {
        address: variable(names::MASTER_ADDR),
        port: variable(names::MASTER_PORT),
        node: variable(names::NODE_RANK),
    };
    let values = spread.variables(&here).into_iter();
    for ((name, value), (_, reference)) in values.zip(spread.variables(&named)) {
        let variable = match name {
            names::NODE_RANK if spread.nodes > 1 => number(name),
            names::NODE_RANK | names::MASTER_ADDR | names::MASTER_PORT => plain(name, value),
            _ => plain(name, reference),
        };
        builder.set_env_unless_given(variable);
    }
    if spread.launcher == Launcher::Torchrun {
        launch(builder, spec, &spread, &named);
    }
    Some(spread)
}

/// Has the launcher start the command, with the program that takes the place of the image's entry point.
fn launch(builder: &mut JobBuilder, spec: &RunSpec, spread: &Distributed, at: &Rendezvous) {
    let program = builder
        .container
        .command
        .take()
        .and_then(|words| words.into_iter().next());
    let mut words = match spread.wrap(program.as_deref(), &spec.command, at) {
        Ok(words) => words.into_iter(),
        Err(part) => return builder.refused.push(part),
    };
    if program.is_some() {
        builder.container.command = words.next().map(|first| vec![first]);
    }
    builder.container.args = Some(words.collect());
}

/// What several pods can't have.
fn check(builder: &mut JobBuilder, spec: &RunSpec, nodes: u32, job: &str) {
    if nodes < 2 {
        return;
    }
    if builder.retries > 0 {
        builder.refuse(
            "--restart",
            "of several nodes a Job starts only the one anew that failed, and the others don't wait for it",
        );
    }
    if spec.options.has("hostname") {
        builder.refuse(
            "--hostname",
            "each node has a name of its own: NAME-0, NAME-1, …",
        );
    }
    let longest = longest_name(nodes);
    if job.len() > longest {
        builder.refuse(
            "--name",
            format!("its pods' names add a number to it: {longest} characters at most"),
        );
    }
}

fn plain(name: &str, value: String) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value),
        value_from: None,
    }
}

/// A variable that has the pod's number.
fn number(name: &str) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: None,
        value_from: Some(EnvVarSource {
            field_ref: Some(ObjectFieldSelector {
                api_version: None,
                field_path: format!("metadata.annotations['{INDEX_ANNOTATION}']"),
            }),
            ..EnvVarSource::default()
        }),
    }
}

/// The name of a Job's Service: the Job's, where Services may be called so.
pub(super) fn service_name(job: &str) -> String {
    if job.starts_with(|c: char| c.is_ascii_digit()) {
        format!("n-{job}")
    } else {
        job.to_owned()
    }
}

/// The Service by which pods find one another, also those that aren't ready yet.
pub(super) fn service(job: &ObjectMeta) -> Service {
    let name = job.name.clone().unwrap_or_default();
    let port = i32::from(MASTER_PORT);
    Service {
        metadata: ObjectMeta {
            name: Some(service_name(&name)),
            annotations: None,
            ..job.clone()
        },
        spec: Some(ServiceSpec {
            cluster_ip: Some("None".to_owned()),
            publish_not_ready_addresses: Some(true),
            selector: Some(BTreeMap::from([(JOB_LABEL.to_owned(), name)])),
            ports: Some(vec![ServicePort {
                name: Some("master".to_owned()),
                port,
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}

/// One pod that fails is the end of all of them, and the Job says which one it was.
pub(super) fn all_fail_with_one() -> PodFailurePolicy {
    let fails = |on_exit_codes, on_pod_conditions| PodFailurePolicyRule {
        action: "FailJob".to_owned(),
        on_exit_codes,
        on_pod_conditions,
    };
    let any_code = PodFailurePolicyOnExitCodesRequirement {
        container_name: Some(CONTAINER.to_owned()),
        operator: "NotIn".to_owned(),
        values: vec![0],
    };
    let thrown_out = PodFailurePolicyOnPodConditionsPattern {
        type_: "DisruptionTarget".to_owned(),
        status: "True".to_owned(),
    };
    PodFailurePolicy {
        rules: vec![
            fails(None, Some(vec![thrown_out])),
            fails(Some(any_code), None),
        ],
    }
}
