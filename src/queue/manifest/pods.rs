//! Where in a manifest pods are described: whatever the kind, a pod's specification has containers.

use serde_json::{Map, Value};

/// Lists of containers.
pub(in crate::queue) const CONTAINERS: [&str; 3] =
    ["containers", "initContainers", "ephemeralContainers"];

/// Whether a table is a pod's specification.
pub(in crate::queue) fn is_pod_spec(table: &Map<String, Value>) -> bool {
    CONTAINERS
        .iter()
        .any(|key| table.get(*key).is_some_and(Value::is_array))
}

/// Each pod's specification, and the labels of its pods, which are those of what holds it under `spec`.
pub(super) fn each_pod(value: &mut Value, of_pod: &mut dyn FnMut(&mut Map<String, Value>)) {
    match value {
        Value::Object(table) => {
            let is_pod = |spec: &Value| spec.as_object().is_some_and(is_pod_spec);
            if table.get("spec").is_some_and(is_pod) {
                of_pod(table);
            }
            table.values_mut().for_each(|value| each_pod(value, of_pod));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| each_pod(item, of_pod)),
        _ => {}
    }
}

/// Each pod's specification, wherever it stands.
pub(in crate::queue) fn each_pod_spec(
    value: &mut Value,
    of_spec: &mut dyn FnMut(&mut Map<String, Value>),
) {
    match value {
        Value::Object(table) => {
            if is_pod_spec(table) {
                of_spec(table);
            }
            table
                .values_mut()
                .for_each(|value| each_pod_spec(value, of_spec));
        }
        Value::Array(items) => items
            .iter_mut()
            .for_each(|item| each_pod_spec(item, of_spec)),
        _ => {}
    }
}

/// The containers of a pod's specification.
pub(super) fn containers(
    spec: &mut Map<String, Value>,
) -> impl Iterator<Item = &mut Map<String, Value>> {
    let list = spec.get_mut("containers").and_then(Value::as_array_mut);
    list.into_iter().flatten().filter_map(Value::as_object_mut)
}
