//! `mlbuild launch --array`: a job for each point of a grid.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::json;

use super::LaunchArgs;
use crate::error::{CommandError, CommandResult};
use mlbuild::queue::{Queue, QueueConfig, QueueKind, override_of, split_overrides};
use mlbuild::runtime::Value;
use mlbuild::runtime::array::{Array, Piece};

/// The grid, where there is one.
///
/// # Errors
/// Where a flag isn't as it has to be.
pub(super) fn read(args: &LaunchArgs) -> CommandResult<Option<Array>> {
    Array::of(args.array.iter().cloned())
        .map_err(|part| CommandError::user(format!("{}: {}", part.what, part.why)))
}

/// The options of each job: those of the line, and the point's values as variables. A queue of Kubernetes has a
/// manifest, which the values reach by the command alone.
///
/// # Errors
/// Where the line has a variable of the same name, or a value would reach no job.
pub(super) fn overrides(
    array: Option<&Array>,
    queue: &Queue,
    common: Vec<String>,
    args: &LaunchArgs,
) -> CommandResult<Vec<Vec<String>>> {
    let Some(array) = array else {
        return Ok(vec![common]);
    };
    let config = QueueConfig::parse(&queue.config, Path::new(&queue.name))?;
    if config.kind() == QueueKind::Kubernetes {
        let is_used = |name: &str| {
            let mut pieces = args.command.iter().flat_map(|word| array.pieces(word));
            pieces.any(|piece| piece == Piece::Value(name))
        };
        if let Some(axis) = array.axes.iter().find(|axis| !is_used(&axis.name)) {
            let message = format!(
                "--array {}: the queue {} is one of Kubernetes, and its jobs have values in their commands alone",
                axis.name, queue.name
            );
            return Err(CommandError::user(message)
                .hint(format!("write {{{}}} in the command, after --", axis.name)));
        }
        return Ok(vec![common; array.len()]);
    }
    let (_, others) = split_overrides(&common);
    for text in &others {
        let setting = override_of(text)?;
        if let Value::Assignment(variable) = &setting.value
            && setting.flag.name == "env"
            && array.axes.iter().any(|axis| axis.name == variable.name)
        {
            return Err(CommandError::user(format!(
                "--array {}: --set has a variable of this name too",
                variable.name
            ))
            .hint("leave one of them out"));
        }
    }
    let of_point = |at| {
        let values = array.point(at).into_iter();
        let values = values.map(|(name, value)| format!("env={name}={value}"));
        common.iter().cloned().chain(values).collect()
    };
    Ok((0..array.len()).map(of_point).collect())
}

/// The answer of `--format json`.
pub(super) fn as_json(array: &Array, ids: &[&str], queue: &str) -> serde_json::Value {
    let jobs = ids.iter().enumerate().map(|(at, id)| {
        let values: BTreeMap<&str, &str> = array.point(at).into_iter().collect();
        json!({ "job": id, "values": values })
    });
    json!({ "jobs": jobs.collect::<Vec<_>>(), "queue": queue })
}
