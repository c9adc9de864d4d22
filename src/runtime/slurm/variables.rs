//! The files with the container's variables: their values are in no command line, and not in the script.

use super::{Carried, ContainerRuntime, VARIABLES_FILE};
use crate::runtime::value::Assignment;

/// What Podman's own file of variables can't hold, by name from its environment.
const OF_CLIENT_FILE: &str = "variables.client";
/// A line of Podman's file is read up to 64 KiB.
const LONGEST_LINE: usize = 60 << 10;
/// What the client itself would take for its own.
const CHANGES_CLIENT: &[&str] = &[
    "PATH",
    "HOME",
    "TMPDIR",
    "IFS",
    "ENV",
    "PS4",
    "SHELLOPTS",
    "BASHOPTS",
    "LD_",
    "BASH_",
    "SLURM_",
    "XDG_",
    "CONTAINERS_",
    "REGISTRY_",
    "STORAGE_",
];

/// Variables of the script itself, which starts pyxis with the container's own beside them.
const OF_SCRIPT: &[&str] = &[
    "array", "code", "first", "folder", "image", "images", "name", "pair", "point_", "signal",
    "sqsh", "status", "tty", "values",
];

/// The files, and why a variable can't be handed on.
#[derive(Debug, Default)]
pub(super) struct VariableFiles {
    /// Name and content.
    pub(super) files: Vec<(String, Vec<u8>)>,
    /// Names of those that the client has in its own environment.
    pub(super) by_name: Vec<String>,
    /// Each that can't be handed on.
    pub(super) refused: Vec<(String, Carried)>,
}

/// Writes them for a runtime.
pub(super) fn files(variables: &[Assignment], runtime: ContainerRuntime) -> VariableFiles {
    let mut made = VariableFiles::default();
    let (mut lines, mut pairs) = (Vec::new(), Vec::new());
    for variable in variables {
        let value = variable.value.as_deref().unwrap_or_default();
        let pair = format!("{}={value}", variable.name);
        let is_line = !value.contains(['\n', '\r']) && pair.len() < LONGEST_LINE;
        if runtime == ContainerRuntime::Podman && is_line {
            lines.extend_from_slice(pair.as_bytes());
            lines.push(b'\n');
            continue;
        }
        if let Some(why) = why_not(&variable.name, runtime) {
            let what = format!("--env={}", variable.name);
            made.refused.push((what, Carried::Refused(why.to_owned())));
            continue;
        }
        pairs.extend_from_slice(pair.as_bytes());
        pairs.push(0);
        made.by_name.push(variable.name.clone());
    }
    if runtime == ContainerRuntime::Podman {
        made.files.push((VARIABLES_FILE.to_owned(), lines));
        made.files.push((OF_CLIENT_FILE.to_owned(), pairs));
    } else {
        made.files.push((VARIABLES_FILE.to_owned(), pairs));
    }
    made
}

/// Why a variable can't be handed on by name.
pub(in crate::runtime) fn why_not(
    variable: &str,
    runtime: ContainerRuntime,
) -> Option<&'static str> {
    let name = variable;
    let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if !name.chars().all(is_word) || name.starts_with(|c: char| c.is_ascii_digit()) {
        return Some("a shell hands it on, which takes names of letters, digits and `_`");
    }
    let is_of = |names: &[&str]| {
        let mut names = names.iter();
        names.any(|known| name == *known || (known.ends_with('_') && name.starts_with(known)))
    };
    let changes = is_of(CHANGES_CLIENT);
    match runtime {
        ContainerRuntime::Apptainer if name == "HOME" => {
            Some("apptainer sets it itself, to your own")
        }
        // Its name there has a prefix.
        ContainerRuntime::Apptainer => None,
        ContainerRuntime::Podman if changes => {
            Some("podman itself would read it: a value of several lines can't have this name")
        }
        ContainerRuntime::Pyxis if changes => Some(
            "srun itself would read it; set it in the image, or in the command: env NAME=VALUE PROGRAM",
        ),
        ContainerRuntime::Pyxis if is_of(OF_SCRIPT) => {
            Some("the batch script has a variable of this name: choose another one")
        }
        _ => None,
    }
}
