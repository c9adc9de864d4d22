//! The configuration of an image, written by mlbuild.

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use crate::image::ImageLayer;
use crate::image::compare::Side;

/// Settings of the platform that are kept.
const PLATFORM: [&str; 5] = ["architecture", "os", "os.features", "os.version", "variant"];
/// Settings of `config` that a builder writes and nothing reads.
const BUILDERS_OWN: [&str; 9] = [
    "ArgsEscaped",
    "AttachStderr",
    "AttachStdin",
    "AttachStdout",
    "Domainname",
    "Hostname",
    "Image",
    "OpenStdin",
    "StdinOnce",
];

/// The configuration's bytes: keys sorted, empty settings left out, every time the epoch.
pub(super) fn write(
    side: &Side<'_>,
    base: Option<&Value>,
    layers: &[ImageLayer],
    epoch: i64,
) -> Vec<u8> {
    let mut config = platform_of(&side.config);
    let settings = settings_of(&side.config);
    let created = Timestamp::from_second(epoch)
        .unwrap_or_default()
        .to_string();
    config.insert("config".into(), settings.into());
    config.insert("created".into(), created.as_str().into());
    let diff_ids: Vec<String> = layers.iter().map(|l| l.diff_id.to_string()).collect();
    config.insert(
        "rootfs".into(),
        json!({"diff_ids": diff_ids, "type": "layers"}),
    );
    if let Some(history) = history(side, base, layers.len(), &created) {
        config.insert("history".into(), history.into());
    }
    super::json::canonical(&config.into())
}

/// What a configuration says of the platform.
pub(super) fn platform_of(config: &Value) -> Map<String, Value> {
    let mut platform = Map::new();
    for name in PLATFORM {
        if let Some(value) = config.get(name).filter(|value| !is_empty(value)) {
            platform.insert(name.to_owned(), value.clone());
        }
    }
    platform
}

/// The settings of containers that a configuration has, without empty ones and a builder's own.
pub(super) fn settings_of(config: &Value) -> Map<String, Value> {
    let settings = config["config"].as_object().into_iter().flatten();
    let settings =
        settings.filter(|(name, value)| !BUILDERS_OWN.contains(&name.as_str()) && !is_empty(value));
    settings.map(|(k, v)| (k.clone(), v.clone())).collect()
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        _ => false,
    }
}

/// The base's history as it stands, then that of the image's own steps; `None` where it doesn't
/// fit the layers, because then it tells nothing.
fn history(
    side: &Side<'_>,
    base: Option<&Value>,
    layers: usize,
    created: &str,
) -> Option<Vec<Value>> {
    let of = |config: &Value| config["history"].as_array().cloned().unwrap_or_default();
    let mut history = base.map(of).unwrap_or_default();
    let all = of(&side.config);
    for step in all.get(history.len()..)? {
        let mut own = Map::new();
        own.insert("created".into(), created.into());
        let text = step["created_by"].as_str().unwrap_or_default();
        own.insert("created_by".into(), step_text(text).into());
        if step["empty_layer"] == Value::Bool(true) {
            own.insert("empty_layer".into(), true.into());
        }
        history.push(own.into());
    }
    let with_layer = history
        .iter()
        .filter(|s| s["empty_layer"] != Value::Bool(true));
    (with_layer.count() == layers).then_some(history)
}

/// A step's text without what differs between versions of BuildKit: its mark at the end, an
/// argument's value, flags of COPY, and the form of a list of ports.
fn step_text(text: &str) -> String {
    let text = text.strip_suffix(" # buildkit").unwrap_or(text);
    let (name, rest) = text.split_once(' ').unwrap_or((text, ""));
    match name {
        "ARG" => format!("ARG {}", rest.split('=').next().unwrap_or_default()),
        "COPY" | "ADD" => {
            let words = rest.split(' ').skip_while(|word| word.starts_with("--"));
            format!("{name} {}", words.collect::<Vec<_>>().join(" "))
        }
        "EXPOSE" => ports(rest),
        _ => text.to_owned(),
    }
}

fn ports(ports: &str) -> String {
    let inner = ports
        .strip_prefix("map[")
        .or_else(|| ports.strip_prefix('['));
    let inner = inner
        .and_then(|ports| ports.strip_suffix(']'))
        .unwrap_or(ports);
    let names = inner
        .split_whitespace()
        .map(|port| port.trim_end_matches(":{}"));
    let mut names: Vec<&str> = names.collect();
    names.sort_unstable();
    format!("EXPOSE {}", names.join(" "))
}

#[cfg(test)]
mod tests {
    use super::step_text;

    #[test]
    fn the_same_step_of_two_versions_reads_the_same() {
        for text in [
            "EXPOSE [5000/tcp 8001/tcp]",
            "EXPOSE map[5000/tcp:{} 8001/tcp:{}]",
            "EXPOSE map[8001/tcp:{} 5000/tcp:{}]",
        ] {
            assert_eq!(step_text(text), "EXPOSE 5000/tcp 8001/tcp");
        }
        assert_eq!(step_text("COPY . /app # buildkit"), "COPY . /app");
        assert_eq!(
            step_text("COPY --chmod=0755 --link a b /app"),
            "COPY a b /app"
        );
        assert_eq!(step_text("ARG DATE=17"), step_text("ARG DATE"));
        assert_eq!(step_text("USER ml"), "USER ml");
    }
}
