//! The points of an array: which directive asks for them, and how a task learns its own values.

use super::variables::why_not;
use super::{ContainerRuntime, JobContext};
use crate::runtime::array::{Array, Piece};
use crate::runtime::render::LeftOut;
use crate::runtime::spec::RunSpec;
use crate::runtime::value::Assignment;
use crate::shell::word_on_one_line as quoted;

/// What asks for a task of each point.
pub(super) fn directive(array: &Array) -> String {
    let at_once = array.at_once.map(|number| format!("%{number}"));
    let at_once = at_once.unwrap_or_default();
    format!("--array=0-{}{at_once}", array.len() - 1)
}

/// The axes that no variable of the container can be.
pub(super) fn refused(array: &Array, spec: &RunSpec, runtime: ContainerRuntime) -> Vec<LeftOut> {
    let mut refused = Vec::new();
    for axis in &array.axes {
        let name = &axis.name;
        if spec.env().any(|variable| variable.name == *name) {
            refused.push(LeftOut {
                what: format!("--env={name}"),
                why: "the array has a variable of this name: leave one of them out".to_owned(),
            });
        }
        // Podman's file takes every name.
        if runtime != ContainerRuntime::Podman
            && let Some(why) = why_not(name, runtime)
        {
            refused.push(LeftOut {
                what: format!("--array {name}"),
                why: why.to_owned(),
            });
        }
    }
    refused
}

/// What has a run's id for a tracker.
const TRACKERS_RUN: &str = "WANDB_RUN_ID";

/// The lines by which a task finds its values, and writes them into its own file of variables, with its run's id.
pub(super) fn point(array: &Array, context: &JobContext) -> String {
    let end = match context.runtime {
        ContainerRuntime::Podman => "\\n",
        ContainerRuntime::Apptainer | ContainerRuntime::Pyxis => "\\0",
    };
    let mut lines = Vec::new();
    let mut pairs = Vec::new();
    for (at, axis) in array.axes.iter().enumerate() {
        let name = &axis.name;
        let values: Vec<String> = axis.values.iter().map(quoted).collect();
        lines.push(format!("values=({})", values.join(" ")));
        lines.push(format!(
            "export point_{name}=\"${{values[SLURM_ARRAY_TASK_ID / {} % {}]}}\"",
            array.stride(at),
            axis.values.len()
        ));
        pairs.push(format!("\"{name}=$point_{name}\""));
    }
    pairs.push("\"MLBUILD_RUN_ID=${folder##*/}\"".to_owned());
    // What the tracker was told to log is the point, and not one run of all of them.
    let is_run = |variable: &Assignment| {
        variable.name == TRACKERS_RUN && variable.value.as_deref() == Some(&context.run)
    };
    if context.variables.iter().any(is_run) {
        pairs.push(format!("\"{TRACKERS_RUN}=${{folder##*/}}\""));
    }
    lines.push(format!(
        "printf '%s{end}' {} >> \"$folder/variables\"",
        pairs.join(" ")
    ));
    lines.join("\n")
}

/// The command's words for bash; `{NAME}` of an axis is its value.
pub(super) fn command(words: &[String], array: Option<&Array>) -> String {
    let word = |word: &String| match array {
        Some(array) => array.pieces(word).into_iter().map(bash).collect(),
        None => quoted(word),
    };
    words.iter().map(word).collect::<Vec<String>>().join(" ")
}

fn bash(piece: Piece<'_>) -> String {
    match piece {
        Piece::Text(text) => quoted(text),
        Piece::Value(name) => format!("\"$point_{name}\""),
    }
}
