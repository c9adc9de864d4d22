//! Packages for NVIDIA's GPUs that have no wheels for 64-bit ARM.

use std::sync::LazyLock;

use serde::Deserialize;

use super::inputs::Inputs;
use super::{ComposeContext, Warning};
use crate::project::Wanted;
use crate::spec::Accelerator;
use crate::tables::Machine;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    names: Vec<String>,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    toml::from_str(include_str!("../../data/compat/x86-only.toml")).expect("the table is checked")
});

/// What is said of them, each with its line, where the image is made for such machines.
pub(super) fn warnings(
    context: &ComposeContext,
    inputs: &Inputs,
    accelerator: Accelerator,
) -> Vec<Warning> {
    if context.machine != Machine::Aarch64 || inputs.conda.is_some() {
        return Vec::new();
    }
    let is_tensorflow = |wanted: &Wanted| {
        let asks = wanted.name == "tensorflow" && accelerator == Accelerator::Cuda;
        asks || wanted.extras.iter().any(|extra| extra == "and-cuda")
    };
    let mut found: Vec<Warning> = Vec::new();
    // What a lock has may be for other machines.
    for wanted in inputs.wanted.iter().filter(|_| !inputs.locked) {
        let (name, origin) = (&wanted.name, &wanted.origin);
        let warning = if is_x86_only(name) {
            Warning {
                message: format!("{name} ({origin}) has no wheels for linux/arm64"),
                hint: Some(format!(
                    "build for linux/amd64, or mark the line: {name} ; platform_machine == 'x86_64'"
                )),
            }
        } else if is_tensorflow(wanted) {
            Warning {
                message: format!(
                    "{name} ({origin}) computes on the CPU alone on linux/arm64: its wheels there have no CUDA"
                ),
                hint: Some("name NVIDIA's image, which has one: base = \"nvcr.io/nvidia/tensorflow:…\" under [image]".into()),
            }
        } else {
            continue;
        };
        if !found.contains(&warning) {
            found.push(warning);
        }
    }
    found
}

fn is_x86_only(name: &str) -> bool {
    TABLE.names.iter().any(|row| match row.strip_suffix('*') {
        Some(start) => name.starts_with(start),
        None => name == row,
    })
}
