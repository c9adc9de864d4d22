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
use super::job_kind::{JOBSET_JOB, JobKind};
use super::names::longest_name;
use crate::runtime::distributed::{Distributed, Launcher, MASTER_PORT, Rendezvous, names};
use crate::runtime::options::Options;
use crate::runtime::spec::RunSpec;

/// The label of a Job's pods that has its name.
pub const JOB_LABEL: &str = "batch.kubernetes.io/job-name";
/// Where a pod of an indexed Job has its number.
pub const INDEX_ANNOTATION: &str = "batch.kubernetes.io/job-completion-index";

const PET_NODE_RANK: &str = "PET_NODE_RANK";
/// Variables of single processes.
const OF_RANKS: [&str; 3] = [names::NODE_RANK, "RANK", "WORLD_SIZE"];
/// What the operator of PyTorchJobs sets in each pod, whatever is there already.
const OF_PYTORCHJOB: [&str; 9] = [
    names::MASTER_ADDR,
    names::MASTER_PORT,
    "PET_MASTER_ADDR",
    "PET_MASTER_PORT",
    "PET_NNODES",
    PET_NODE_RANK,
    "PET_NPROC_PER_NODE",
    "RANK",
    "WORLD_SIZE",
];

/// How the run is spread over pods, if it is; writes the command and the variables for it. What the variables
/// are that the user gave must be there already: those stand.
pub(super) fn spread(
    builder: &mut JobBuilder,
    spec: &RunSpec,
    own: &Options,
    (kind, job): (JobKind, &str),
) -> Option<Distributed> {
    let gpus = builder.gpus.as_ref().map(|(number, _)| *number);
    let spread = match Distributed::of(own, gpus) {
        Ok(spread) => spread,
        Err(part) => {
            builder.refused.push(part);
            return None;
        }
    };
    // Its workers have places for processes, whether that was said or not.
    let spread = spread.or((kind == JobKind::MpiJob).then(|| Distributed {
        nodes: 1,
        processes: gpus.filter(|gpus| *gpus > 0).unwrap_or(1),
        launcher: Launcher::None,
    }));
    check(builder, spec, (kind, job), spread);
    let spread = spread?;
    // What the container's variables say, which may be the user's, or the operator's.
    let named = Rendezvous {
        address: reference(names::MASTER_ADDR),
        port: reference(names::MASTER_PORT),
        node: reference(match kind {
            JobKind::PyTorchJob => PET_NODE_RANK,
            _ => names::NODE_RANK,
        }),
    };
    set_variables(builder, spread, &named, (kind, job));
    if spread.launcher != Launcher::None {
        launch(builder, spec, &spread, &named);
    }
    Some(spread)
}

fn reference(variable: &str) -> String {
    format!("$({variable})")
}

/// Sets what a pod knows of the others, as far as no operator does.
fn set_variables(
    builder: &mut JobBuilder,
    spread: Distributed,
    named: &Rendezvous,
    (kind, job): (JobKind, &str),
) {
    let here = Rendezvous {
        address: match kind {
            JobKind::MpiJob => format!("{job}-worker-0.{job}"),
            _ if spread.nodes == 1 => "localhost".to_owned(),
            JobKind::JobSet => format!("{job}-{JOBSET_JOB}-0-0.{job}"),
            _ => format!("{job}-0.{}", service_name(job)),
        },
        port: MASTER_PORT.to_string(),
        node: "0".to_owned(),
    };
    let values = spread.variables(&here).into_iter();
    for ((name, value), (_, of_others)) in values.zip(spread.variables(named)) {
        let is_ours = match kind {
            JobKind::Job | JobKind::JobSet => true,
            JobKind::PyTorchJob => !OF_PYTORCHJOB.contains(&name) && name != names::NODE_RANK,
            // Its processes have their ranks from mpirun.
            JobKind::MpiJob => !name.starts_with("PET_") && !OF_RANKS.contains(&name),
        };
        if !is_ours {
            continue;
        }
        let variable = match name {
            names::NODE_RANK if spread.nodes > 1 => number(name),
            names::NODE_RANK | names::MASTER_ADDR | names::MASTER_PORT => plain(name, value),
            _ => plain(name, of_others),
        };
        builder.set_env_unless_given(variable);
    }
    if kind == JobKind::MpiJob {
        // Containers run as root, which Open MPI wants to be told twice.
        for name in ["OMPI_ALLOW_RUN_AS_ROOT", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] {
            builder.set_env_unless_given(plain(name, "1".to_owned()));
        }
    }
}

/// Has the launcher start the command, with the program that takes the place of the image's entry point.
fn launch(builder: &mut JobBuilder, spec: &RunSpec, spread: &Distributed, at: &Rendezvous) {
    let program = builder
        .container
        .command
        .take()
        .and_then(|words| words.into_iter().next());
    let mut words = match spread.wrap(program.as_deref(), &spec.command, Some(at)) {
        Ok(words) => words.into_iter(),
        Err(part) => return builder.refused.push(part),
    };
    if program.is_some() {
        builder.container.command = words.next().map(|first| vec![first]);
    }
    builder.container.args = Some(words.collect());
}

/// What several pods, or pods of an operator, can't have.
fn check(
    builder: &mut JobBuilder,
    spec: &RunSpec,
    (kind, job): (JobKind, &str),
    spread: Option<Distributed>,
) {
    let nodes = spread.map_or(1, |spread| spread.nodes);
    let has_names = nodes > 1 || kind != JobKind::Job;
    let starts_one = kind == JobKind::PyTorchJob || (kind == JobKind::Job && nodes > 1);
    if starts_one && builder.retries > 0 {
        builder.refuse(
            "--restart",
            format!(
                "of several nodes a {kind} starts only the one anew that failed, and the others don't wait for it; \
                 --kind jobset starts all of them anew"
            ),
        );
    }
    if has_names && spec.options.has("hostname") {
        builder.refuse(
            "--hostname",
            "each node has a name of its own: NAME-0, NAME-1, …",
        );
    }
    let longest = longest_name(kind, nodes);
    if has_names && job.len() > longest {
        builder.refuse(
            "--name",
            format!("its pods' names add a number to it: {longest} characters at most"),
        );
    }
    if kind != JobKind::Job && job.starts_with(|c: char| c.is_ascii_digit()) {
        builder.refuse("--name", format!("a {kind}'s name begins with a letter"));
    }
    check_variables(builder, kind);
    match (spread.map(|spread| spread.launcher), kind) {
        (Some(launcher @ (Launcher::Torchrun | Launcher::Accelerate)), JobKind::MpiJob) => builder.refuse(
            launcher.flag(),
            "mpirun starts an MPIJob's processes; write --launcher mpirun, or mpirun in the command",
        ),
        (Some(Launcher::Mpirun), kind) if kind != JobKind::MpiJob => builder.refuse(
            Launcher::Mpirun.flag(),
            "it is for --kind mpijob, on whose workers it starts processes",
        ),
        _ => {}
    }
}

/// Variables that an operator sets over the user's head, and a home that isn't known.
fn check_variables(builder: &mut JobBuilder, kind: JobKind) {
    if kind == JobKind::PyTorchJob {
        let given = builder.container.env.iter().flatten();
        let given = given.map(|variable| variable.name.clone());
        let names: Vec<String> = given
            .filter(|name| OF_PYTORCHJOB.contains(&name.as_str()) && name != names::MASTER_PORT)
            .collect();
        for name in names {
            builder.refuse(
                format!("--env={name}"),
                "a PyTorchJob's operator sets it in each pod; --kind job leaves it to you",
            );
        }
        let port = builder.env(names::MASTER_PORT).map(str::to_owned);
        if let Some(port) = port.filter(|port| port.parse::<u16>().is_err()) {
            builder.refuse(format!("--env=MASTER_PORT={port}"), "write a port's number");
        }
    }
    let is_user = builder.security.run_as_user.is_some_and(|user| user != 0);
    if kind == JobKind::MpiJob && is_user && builder.env("HOME").is_none() {
        builder.refuse(
            "--user",
            "an MPIJob's keys are put into the user's home: say which it is, as --env HOME=/home/mpiuser",
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
pub(super) fn number(name: &str) -> EnvVar {
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
            // Without it what checks an object for a cluster before 1.29 refuses the rule.
            fails(Some(any_code), Some(Vec::new())),
        ],
    }
}
