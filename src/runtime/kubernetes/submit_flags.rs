//! What docker has no flag for: mlbuild's own flags of `mlbuild submit`.

use k8s_openapi::api::core::v1::{LocalObjectReference, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::code::CODE_FOLDER;
use super::job_builder::JobBuilder;
use super::job_kind::JobKind;
use super::names::{is_key, is_label_text, why_no_name};
use super::placement::{self, Relation};
use super::{from_secret, quantity, resources, volumes};
use crate::runtime::flag::{Flag, Kind};
use crate::runtime::options::{Options, Setting};
use crate::runtime::parse::Grammar;
use crate::runtime::slurm;
use crate::runtime::value::{Assignment, Value};

const WORDS: Kind = Kind::Text;

/// mlbuild's own flags of `mlbuild submit`.
static OWN_FLAGS: &[Flag] = &[
    Flag::one("namespace", WORDS, "NAME", "Namespace; otherwise the kubeconfig's, or the pod's own.").short('n').own().not_in_config(),
    Flag::one("context", WORDS, "NAME", "Context of the kubeconfig.").own().not_in_config(),
    Flag::one("kubeconfig", WORDS, "FILE", "The kubeconfig; otherwise KUBECONFIG, or ~/.kube/config.").own().not_in_config(),
    Flag::one("queue", WORDS, "NAME", "Kueue's local queue that the Job waits in.").own().not_in_config(),
    Flag::one("priority-class", WORDS, "NAME", "PriorityClass of the pod.").own().not_in_config(),
    Flag::list("node-selector", Kind::Assignment, "LABEL=VALUE", "Label that the node must have.").own().not_in_config(),
    Flag::list("toleration", WORDS, "KEY[=VALUE][:EFFECT]", "Taint of a node that the pod puts up with.").own().not_in_config(),
    Flag::one("service-account", WORDS, "NAME", "Service account of the pod.").own().not_in_config(),
    Flag::list("pull-secret", WORDS, "NAME", "Secret with the registry's log-in.").own().not_in_config(),
    Flag::list("pvc", Kind::Volume, "CLAIM:DIR[:ro]", "PersistentVolumeClaim to mount.").own().not_in_config(),
    Flag::list("nfs", WORDS, "SERVER:/EXPORT:DIR[:ro]", "NFS export to mount.").own().not_in_config(),
    Flag::list("secret", Kind::Volume, "SECRET:DIR", "Secret to mount, a file for each key.").own().not_in_config(),
    Flag::list("secret-env", Kind::Assignment, "NAME=SECRET[:KEY]", "Variable from a Secret that is there; the key is NAME otherwise.").own().not_in_config(),
    Flag::list("resource", Kind::Assignment, "NAME=N", "What a device plugin counts, such as rdma/hca=1.").own().not_in_config(),
    Flag::one("gpu-resource", WORDS, "nvidia|amd|NAME", "What counts the GPUs of --gpus (default: nvidia, nvidia.com/gpu).").own().not_in_config(),
    Flag::one("gpu-fraction", Kind::Decimal, "PART", "Part of one GPU, such as 0.5; Run:ai alone has it (--format runai).").own().not_in_config(),
    Flag::one("gpu-memory", Kind::Bytes, "SIZE", "Memory of one GPU, such as 10g, in place of a whole one; Run:ai alone has it (--format runai).").own().not_in_config(),
    Flag::one("nodes", Kind::Integer, "N", "So many nodes, or pods of Kubernetes, with a container each, which find each other: MASTER_ADDR, NODE_RANK and what torchrun reads are set in each.").own().not_in_config(),
    Flag::list("array", WORDS, "NAME=VALUES", "One run for each value, such as lr=1e-3,1e-4 or seed=0..4, given several times for each combination; the container has the variable, and {NAME} in the command is its value.").own().not_in_config(),
    Flag::one("parallelism", Kind::Integer, "N", "So many points of --array at once (default: as many as the cluster has room for).").own().not_in_config(),
    Flag::one("kind", Kind::OneOf(&JobKind::WORDS), "job|jobset|pytorchjob|mpijob", "What the run is made as: a Job (default), or an object of JobSet's, of Kubeflow's training operator's or of its MPI operator's, which the cluster must have.").own().not_in_config(),
    Flag::one("nproc-per-node", WORDS, "N|gpu", "How many processes each node is to have (default: one for each GPU of --gpus, else 1).").own().not_in_config(),
    Flag::one("launcher", Kind::OneOf(&["torchrun", "accelerate", "mpirun", "none"]), "torchrun|accelerate|mpirun|none", "What starts the processes: torchrun, `accelerate launch` or, with --kind mpijob, mpirun, put before the command; or the command itself (default).").own().not_in_config(),
    Flag::one("node-pool", WORDS, "NAME", "Pool of nodes, as Google, Amazon, Microsoft and Karpenter name it in a node's labels.").own().not_in_config(),
    Flag::one("spread", WORDS, "LABEL", "No two pods of --nodes where this label of nodes is the same: on one machine, where none is named.").bare("kubernetes.io/hostname").own().not_in_config(),
    Flag::one("together", WORDS, "LABEL", "All pods of --nodes where this label of nodes is the same: in one zone, where none is named.").bare("topology.kubernetes.io/zone").own().not_in_config(),
    Flag::list("ephemeral-pvc", WORDS, "SIZE:DIR[:CLASS]", "Volume of the pod's own, of a storage class, that is removed with it.").own().not_in_config(),
    Flag::one("code", WORDS, "DIR", "Put the project's code, its commit with what was changed since, into this folder of the container (default: /app), without an image of its own.").bare(CODE_FOLDER).own().not_in_config(),
    Flag::one("idle-stop", WORDS, "TIME", "End the run when its containers have done nothing for so long, such as 30m: next to no processor time, no use of a GPU, no shell, no connection to ports of --publish, --expose or --port-forward.").own().not_in_config(),
    Flag::list("port-forward", WORDS, "[LOCAL:]REMOTE", "Port of this machine, on 127.0.0.1 alone, that leads to a port of the Job's pod, of several that of rank 0, while it is followed.").own().not_in_config(),
    Flag::one("time-limit", Kind::Duration, "TIME", "Time after which the Job is ended, such as 12h; waiting for a node counts.").own().not_in_config(),
    Flag::one("ttl", Kind::Duration, "TIME", "How long the Job and its log are kept after its end, such as 24h (default: until it is removed).").own().not_in_config(),
    Flag::switch("local-image", "Start the image that the node has, and never pull it.").own().not_in_config(),
    Flag::one("dry-run", Kind::OneOf(&["client", "server"]), "client|server", "Only show the Job: as it is written (client, also where nothing is said), or as the cluster would take it (server).")
        .bare("client").own().not_in_config(),
    Flag::one("output", Kind::OneOf(&["yaml", "json", "script"]), "yaml|json|script", "Print the Job; script: of Slurm.").short('o').own().not_in_config(),
    Flag::one("format", Kind::OneOf(&["text", "json", "runai", "runai-training"]), "text|json|runai|runai-training", "What --detach prints; runai: print the equivalent line of `runai submit`, runai-training: of the newer `runai training submit`; nothing is started then.").own().not_in_config(),
    Flag::switch("no-defaults", "Leave out what mlbuild adds for machine learning: /dev/shm of 1g, and the tracker's key.").own().not_in_config(),
    Flag::switch("no-record", "Write no record of the run into mlbuild.runs.").own().not_in_config(),
    Flag::list("data", WORDS, "PATH|URI", "File or folder whose fingerprint the run's record gets, or an address that it names. It isn't mounted.").own().not_in_config(),
    Flag::one("data-hash", Kind::OneOf(&["sampled", "full"]), "sampled|full", "How --data is read: names, sizes, times and samples (default), or the whole content too, which is remembered.").own().not_in_config(),
    Flag::one("run-id", WORDS, "ID", "Id of the run; otherwise WANDB_RUN_ID, or a new one.").own().not_in_config(),
    Flag::switch("trust", "Let the project's files reach out of its folder as they ask, this time.").own().not_in_config(),
    Flag::switch("help", "Print help.").own().not_in_config(),
];

/// The grammar of `mlbuild submit`.
pub const SUBMIT: Grammar = Grammar {
    verb: "submit",
    more: OWN_FLAGS,
    also: slurm::FLAGS,
};

/// mlbuild's own flags, as they were said.
#[derive(Debug, Clone, Default)]
pub struct SubmitFlags {
    /// The namespace.
    pub namespace: Option<String>,
    options: Options,
}

impl SubmitFlags {
    /// Takes the flags.
    pub fn new(own: Options) -> Self {
        Self {
            namespace: own.text("namespace").map(str::to_owned),
            options: own,
        }
    }

    /// The flags.
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// How many nodes are asked for; 1 where that isn't said, or is no number.
    pub fn nodes(&self) -> u32 {
        let nodes = self.options.text("nodes");
        nodes.and_then(|text| text.parse().ok()).unwrap_or(1)
    }

    /// What the run is to be.
    pub fn kind(&self) -> JobKind {
        let word = self.options.text("kind");
        word.and_then(JobKind::of_word).unwrap_or_default()
    }

    /// The folder of the container that the code is put into, where it goes with the run.
    pub fn code_folder(&self) -> Option<&str> {
        self.options.text("code")
    }

    /// The ports of the container that connections are carried to.
    pub(super) fn forwarded_ports(&self) -> Vec<u16> {
        let pairs = self.options.all("port-forward").map(ToString::to_string);
        let ports = pairs.filter_map(|pair| pair.rsplit(':').next()?.parse().ok());
        ports.collect()
    }

    pub(super) fn apply(&self, builder: &mut JobBuilder) {
        for setting in self.options.iter() {
            apply(builder, setting);
        }
    }
}

fn apply(builder: &mut JobBuilder, setting: &Setting) {
    let name = setting.flag.name;
    match (&setting.value, name) {
        (Value::Volume(volume), "pvc") => volumes::claim(builder, volume),
        (Value::Volume(volume), _) => volumes::secret(builder, volume),
        (Value::Assignment(assignment), _) => assigned(builder, setting, assignment),
        (Value::Text(text), "nfs") => volumes::nfs(builder, text),
        (Value::Text(text), "toleration") => toleration(builder, text),
        (Value::Text(_), "gpu-fraction" | "gpu-memory") => builder.refuse(
            setting.word(),
            "Kubernetes hands out whole GPUs; for a cluster with Run:ai: --format runai-training",
        ),
        (Value::Text(text), "node-pool") => placement::node_pool(builder, text),
        (Value::Text(text), "spread") => placement::relation(builder, Relation::Apart, text),
        (Value::Text(text), "together") => placement::relation(builder, Relation::Together, text),
        (Value::Text(text), "ephemeral-pvc") => volumes::ephemeral(builder, text),
        (Value::Text(text), "time-limit") => match quantity::seconds(text).filter(|s| *s > 0) {
            Some(seconds) => builder.time_limit = Some(seconds),
            None => builder.refuse(setting.word(), "write a time such as 12h or 90m"),
        },
        (Value::Text(text), "ttl") => {
            match quantity::seconds(text).filter(|s| i32::try_from(*s).is_ok()) {
                Some(seconds) => builder.kept = Some(seconds),
                None => builder.refuse(setting.word(), "write a time such as 24h or 0s"),
            }
        }
        (Value::Text(text), "gpu-resource") => gpu_resource(builder, text),
        (
            Value::Text(text),
            "namespace" | "queue" | "priority-class" | "service-account" | "pull-secret",
        ) => {
            if text.split('.').any(|part| why_no_name(part).is_some()) {
                return builder.refuse(
                    setting.word(),
                    "such names are a-z, 0-9, `-` and `.`, the first and last a letter or digit",
                );
            }
            named(builder, name, text);
        }
        (Value::Bool(true), "local-image") => {
            builder.container.image_pull_policy = Some("Never".to_owned());
        }
        _ => {}
    }
}

fn named(builder: &mut JobBuilder, flag: &str, name: &str) {
    let name = name.to_owned();
    match flag {
        "queue" => builder.queue = Some(name),
        "priority-class" => builder.pod.priority_class_name = Some(name),
        "service-account" => builder.pod.service_account_name = Some(name),
        "pull-secret" => {
            let list = builder.pod.image_pull_secrets.get_or_insert_default();
            list.push(LocalObjectReference { name });
        }
        _ => {}
    }
}

fn assigned(builder: &mut JobBuilder, setting: &Setting, assignment: &Assignment) {
    let value = assignment.value.as_deref().unwrap_or_default();
    let key = assignment.name.as_str();
    match setting.flag.name {
        "node-selector" if is_key(key) && is_label_text(value) && assignment.value.is_some() => {
            let selector = builder.pod.node_selector.get_or_insert_default();
            selector.insert(key.to_owned(), value.to_owned());
        }
        "node-selector" => builder.refuse(setting.word(), "write --node-selector LABEL=VALUE"),
        "resource" if is_key(key) && value.parse::<u32>().is_ok() => {
            builder
                .limits
                .insert(key.to_owned(), Quantity(value.to_owned()));
        }
        "resource" => builder.refuse(
            setting.word(),
            "write --resource NAME=N, such as rdma/hca=1",
        ),
        "secret-env" => {
            let (secret, key) = value.split_once(':').unwrap_or((value, key));
            if secret.is_empty() || key.is_empty() {
                builder.refuse(
                    setting.word(),
                    "write --secret-env NAME=SECRET or NAME=SECRET:KEY",
                )
            } else {
                builder.set_env(from_secret(&assignment.name, secret, key))
            }
        }
        _ => {}
    }
}

fn gpu_resource(builder: &mut JobBuilder, text: &str) {
    let resource = match text {
        "nvidia" => resources::NVIDIA,
        "amd" => resources::AMD,
        other if other.contains('/') && is_key(other) => other,
        _ => {
            return builder.refuse(
                "--gpu-resource",
                format!(
                    "`{text}` isn't nvidia, amd or a resource's name such as nvidia.com/mig-1g.5gb"
                ),
            );
        }
    };
    builder.gpu_resource = Some(resource.to_owned());
}

fn toleration(builder: &mut JobBuilder, text: &str) {
    match toleration_of(text) {
        Some(toleration) => builder
            .pod
            .tolerations
            .get_or_insert_default()
            .push(toleration),
        None => builder.refuse(
            format!("--toleration {text}"),
            format!(
                "write KEY=VALUE:EFFECT, the effect one of {}",
                EFFECTS.join(", ")
            ),
        ),
    }
}

const EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];

/// Reads `KEY[=VALUE][:EFFECT]`, as kubectl writes taints.
pub(super) fn toleration_of(text: &str) -> Option<Toleration> {
    let (taint, effect) = match text.rsplit_once(':') {
        Some((taint, effect)) => (taint, Some(effect)),
        None => (text, None),
    };
    let (key, value) = match taint.split_once('=') {
        Some((key, value)) => (key, Some(value)),
        None => (taint, None),
    };
    if !is_key(key) || effect.is_some_and(|effect| !EFFECTS.contains(&effect)) {
        return None;
    }
    Some(Toleration {
        key: Some(key.to_owned()),
        operator: Some(if value.is_some() { "Equal" } else { "Exists" }.to_owned()),
        value: value.map(str::to_owned),
        effect: effect.map(str::to_owned),
        toleration_seconds: None,
    })
}
