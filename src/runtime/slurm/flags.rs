//! Slurm's own flags of `mlbuild submit --slurm`, and how they become directives of sbatch.

use super::{Carried, ContainerRuntime};
use crate::runtime::array;
use crate::runtime::flag::{Flag, Kind};
use crate::runtime::options::{Options, Setting};
use crate::runtime::render::LeftOut;
use crate::runtime::value::Value;

const WORDS: Kind = Kind::Text;
const SIGNED: &str =
    "write a name, number or expression of Slurm's without spaces, quotes, `#` and `\\`";

/// The flags that only a run under Slurm has.
pub(in crate::runtime) static FLAGS: &[Flag] = &[
    Flag::switch("slurm", "Run it as a job of Slurm, and not of Kubernetes.").own().not_in_config(),
    Flag::one("ssh", WORDS, "LOGIN", "Slurm: the login node that has sbatch, as ssh knows it; otherwise sbatch is on PATH.").own().not_in_config(),
    Flag::one("container-runtime", Kind::OneOf(&["auto", "podman", "apptainer", "pyxis"]), "auto|podman|apptainer|pyxis", "Slurm: what starts containers on the nodes (auto: the first that the login node has: pyxis, apptainer, podman).").own().not_in_config(),
    Flag::one("job-folder", WORDS, "DIR", "Slurm: folder that login node and nodes share, for jobs' scripts, variables, output, exit codes, and images (default: ~/.mlbuild/slurm).").own().not_in_config(),
    Flag::one("partition", WORDS, "NAME", "Slurm: partition.").own().not_in_config(),
    Flag::one("account", WORDS, "NAME", "Slurm: account that is charged.").own().not_in_config(),
    Flag::one("qos", WORDS, "NAME", "Slurm: quality of service.").own().not_in_config(),
    Flag::one("time", WORDS, "TIME", "Slurm: time limit, as 30, 2:00:00 or 1-12.").own().not_in_config(),
    Flag::one("ntasks-per-node", Kind::Integer, "N", "Slurm: containers that start on each node.").own().not_in_config(),
    Flag::one("gpus-per-node", WORDS, "[TYPE:]N", "Slurm: GPUs of each node; --gpus N without a type.").own().not_in_config(),
    Flag::one("gres", WORDS, "LIST", "Slurm: generic resources of each node, such as gpu:a100:2.").own().not_in_config(),
    Flag::one("constraint", WORDS, "LIST", "Slurm: features that the nodes must have.").own().not_in_config(),
    Flag::one("signal", WORDS, "SIGNAL[@SECONDS]", "Slurm: signal that reaches the program so long before the time limit, such as USR1@90.").own().not_in_config(),
    Flag::switch("requeue", "Slurm: queue the job again where it was preempted or lost its node; without it, it isn't.").own().not_in_config(),
    Flag::one("dependency", WORDS, "LIST", "Slurm: jobs that this one waits for, such as afterok:123.").own().not_in_config(),
    Flag::list("sbatch", WORDS, "--FLAG=VALUE", "Slurm: any other flag of sbatch, such as --sbatch=--exclusive.").own().not_in_config(),
];

/// Those flags of `mlbuild submit` that runs under Slurm have too. All others are of Kubernetes, also those that
/// are added to the table later.
const OF_BOTH: [&str; 16] = [
    "nodes",
    "nproc-per-node",
    "launcher",
    array::FLAG,
    array::AT_ONCE_FLAG,
    "gpu-resource",
    "dry-run",
    "output",
    "format",
    "no-defaults",
    "no-record",
    "data",
    "data-hash",
    "run-id",
    "trust",
    "help",
];

/// Flags of sbatch that mlbuild itself gives, or that change what it relies on.
const OURS: [&str; 27] = [
    "array",
    "a",
    "chdir",
    "D",
    "clusters",
    "M",
    "comment",
    "error",
    "e",
    "export",
    "export-file",
    "help",
    "input",
    "i",
    "job-name",
    "J",
    "nodes",
    "N",
    "ntasks",
    "ntasks-per-node",
    "n",
    "output",
    "o",
    "parsable",
    "test-only",
    "wait",
    "wrap",
];

/// The flags of another kind of cluster: each with what to do about it.
pub fn misplaced(own: &Options) -> Vec<LeftOut> {
    let is_slurm = own.is_on("slurm");
    let is_wrong = |setting: &&Setting| {
        let name = setting.flag.name;
        let is_slurms = FLAGS.iter().any(|flag| flag.name == name);
        if is_slurm {
            !is_slurms && !OF_BOTH.contains(&name)
        } else {
            name != "slurm" && is_slurms
        }
    };
    let why = |setting: &Setting| match is_slurm {
        true => match setting.flag.name {
            "queue" => "it is of Kubernetes; Slurm has --partition",
            "secret-env" => {
                "it is of Kubernetes; -e NAME hands a variable on, in a file that only you may read"
            }
            "gpu-fraction" | "gpu-memory" => {
                "it is of Run:ai; Slurm has --gres for parts of a GPU, where a cluster has them"
            }
            _ => "it is of Kubernetes, and the run is one of Slurm",
        },
        false => "it is of Slurm; add --slurm",
    };
    own.iter()
        .filter(is_wrong)
        .map(|setting| LeftOut {
            what: format!("--{}", setting.flag.name),
            why: why(setting).to_owned(),
        })
        .collect()
}

/// The runtime that was asked for; `None` for auto.
pub fn runtime(own: &Options) -> Option<ContainerRuntime> {
    match own.text("container-runtime")? {
        "podman" => Some(ContainerRuntime::Podman),
        "apptainer" => Some(ContainerRuntime::Apptainer),
        "pyxis" => Some(ContainerRuntime::Pyxis),
        _ => None,
    }
}

/// What a flag becomes. Those that say no directive are read elsewhere.
pub(super) fn directive(setting: &Setting) -> Carried {
    let name = setting.flag.name;
    match (name, &setting.value) {
        ("requeue", Value::Bool(true)) => Carried::Directive("--requeue".to_owned()),
        ("sbatch", Value::Text(text)) => other(text),
        (
            "partition" | "account" | "qos" | "time" | "ntasks-per-node" | "gpus-per-node" | "gres"
            | "constraint" | "signal" | "dependency",
            Value::Text(text),
        ) => {
            if is_plain(text) {
                Carried::Directive(format!("--{name}={text}"))
            } else {
                Carried::Refused(SIGNED.to_owned())
            }
        }
        _ => Carried::Nothing,
    }
}

/// `--sbatch=--FLAG=VALUE`.
fn other(text: &str) -> Carried {
    let Some(word) = text.strip_prefix('-') else {
        return Carried::Refused(
            "write a flag of sbatch with its value after `=`, such as --sbatch=--exclusive"
                .to_owned(),
        );
    };
    let (is_long, word) = match word.strip_prefix('-') {
        Some(word) => (true, word),
        None => (false, word),
    };
    let name = if is_long {
        word.split('=').next().unwrap_or_default()
    } else {
        word.get(..1).unwrap_or_default()
    };
    // sbatch takes the beginning of a long flag for the flag.
    let is_ours = match is_long {
        true => OURS
            .iter()
            .any(|ours| ours.len() > 1 && ours.starts_with(name)),
        false => OURS.contains(&name),
    };
    if name.is_empty() || !is_plain(text) {
        return Carried::Refused(SIGNED.to_owned());
    }
    if is_ours {
        return Carried::Refused(format!(
            "mlbuild gives sbatch's flag `{name}` itself, or relies on how it is"
        ));
    }
    Carried::Directive(text.to_owned())
}

/// Whether sbatch reads it in a line of a script as the one word that it is.
pub(super) fn is_plain(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\'' | '\\' | '#' | '`' | '$');
    !text.is_empty() && text.chars().all(plain)
}
