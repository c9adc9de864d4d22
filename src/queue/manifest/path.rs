//! `PATH=VALUE`, as Helm's `--set` has it: `spec.template.spec.containers[0].resources.limits.cpu=4`. A dot
//! that is part of a key has a backslash before it: `nvidia\.com/gpu`. The value is YAML.

use serde_json::{Map, Value};

use super::error::ManifestError;

/// Most entries that a list is lengthened to, and steps that a path has: whoever may launch writes it.
const LONGEST: usize = 64;

/// One step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Step {
    Key(String),
    Index(usize),
}

/// A key below a place.
pub(super) fn below(place: &str, key: &str) -> String {
    if place.is_empty() {
        return key.to_owned();
    }
    format!("{place}.{key}")
}

/// Reads `PATH=VALUE`.
///
/// # Errors
/// Where it is none.
pub(super) fn read(text: &str) -> Result<(Vec<Step>, Value), ManifestError> {
    let wrong = |why: &str| ManifestError::Path {
        text: text.to_owned(),
        why: why.to_owned(),
    };
    let (path, value) = text
        .split_once('=')
        .ok_or_else(|| wrong("write PATH=VALUE, such as spec.template.spec.priority=1"))?;
    let mut steps = Vec::new();
    let mut key = String::new();
    let mut chars = path.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => key.extend(chars.next()),
            '.' if key.is_empty() && matches!(steps.last(), Some(Step::Index(_))) => {}
            '.' | '[' => {
                if key.is_empty() && !(c == '[' && matches!(steps.last(), Some(Step::Index(_)))) {
                    return Err(wrong("a name is missing in the path"));
                }
                if !key.is_empty() {
                    steps.push(Step::Key(std::mem::take(&mut key)));
                }
                if c == '[' {
                    let index: String = chars.by_ref().take_while(|c| *c != ']').collect();
                    let index = index.parse().ok().filter(|index| *index < LONGEST);
                    let index =
                        index.ok_or_else(|| wrong("[N] is a place in a list, from 0 to 63"))?;
                    steps.push(Step::Index(index));
                }
            }
            c => key.push(c),
        }
    }
    if !key.is_empty() {
        steps.push(Step::Key(key));
    }
    if steps.len() > LONGEST {
        return Err(wrong("a path has 64 steps at most"));
    }
    if !matches!(steps.first(), Some(Step::Key(_))) {
        return Err(wrong("a path begins with a name, such as spec"));
    }
    let value: Value = if value.is_empty() {
        Value::String(String::new())
    } else {
        serde_saphyr::from_str(value).map_err(|error: serde_saphyr::Error| {
            wrong(&format!(
                "its value isn't YAML: {}",
                error.without_snippet()
            ))
        })?
    };
    Ok((steps, value))
}

/// Sets a place; tables and lists on the way are made.
///
/// # Errors
/// Where something else stands on the way.
pub(super) fn set(
    tree: &mut Value,
    path: &[Step],
    value: Value,
    text: &str,
) -> Result<(), ManifestError> {
    let Some((step, rest)) = path.split_first() else {
        *tree = value;
        return Ok(());
    };
    let wrong = |why: String| ManifestError::Path {
        text: text.to_owned(),
        why,
    };
    if tree.is_null() {
        *tree = match step {
            Step::Key(_) => Value::Object(Map::new()),
            Step::Index(_) => Value::Array(Vec::new()),
        };
    }
    let place = match (step, tree) {
        (Step::Key(key), Value::Object(table)) => table.entry(key).or_insert(Value::Null),
        (Step::Index(index), Value::Array(items)) => {
            if *index > items.len() {
                return Err(wrong(format!("the list has {} entries", items.len())));
            }
            if *index == items.len() {
                items.push(Value::Null);
            }
            &mut items[*index]
        }
        (Step::Key(key), _) => {
            return Err(wrong(format!("what `{key}` is to stand in isn't a table")));
        }
        (Step::Index(index), _) => {
            return Err(wrong(format!("what [{index}] is to stand in isn't a list")));
        }
    };
    set(place, rest, value, text)
}
