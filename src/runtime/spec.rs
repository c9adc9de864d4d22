//! What is started.

use std::path::Path;

use mlbuild_manifests::inside::without_dots;

use super::options::Options;
use super::value::{Assignment, Value};

/// Everything that is said about starting a container.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunSpec {
    /// The image, as it was named.
    pub image: String,
    /// The command and its arguments; empty: the image's own.
    pub command: Vec<String>,
    /// The flags of `docker run`, typed.
    pub options: Options,
}

impl RunSpec {
    /// The variables that are set or passed on by name; those in files are not among them.
    pub fn env(&self) -> impl Iterator<Item = &Assignment> {
        self.options.all("env").filter_map(|value| match value {
            Value::Assignment(assignment) => Some(assignment),
            _ => None,
        })
    }

    /// Leaves variables that hold a secret with their names alone, as they are passed on from the
    /// environment. Returns the names.
    pub fn hide_secret_values(&mut self) -> Vec<String> {
        let mut hidden = Vec::new();
        self.options
            .each_setting(|setting| match &mut setting.value {
                Value::Assignment(assignment) if setting.flag.name == "env" => {
                    let value = assignment.value.as_deref().unwrap_or_default();
                    if mlbuild_secrets::is_secret(&assignment.name, value) {
                        assignment.value = None;
                        hidden.push(assignment.name.clone());
                    }
                }
                Value::Assignment(assignment) => {
                    let value = assignment.value.as_deref().unwrap_or_default();
                    if mlbuild_secrets::is_secret(&assignment.name, value)
                        && setting.flag.name != "secret-env"
                    {
                        assignment.value = Some(mlbuild_secrets::REDACTED.to_owned());
                    }
                }
                Value::Text(text) => {
                    if let std::borrow::Cow::Owned(without) = mlbuild_secrets::redact_forms(text) {
                        *text = without;
                    }
                }
                _ => {}
            });
        hidden
    }

    /// Whether a variable is set or passed on by name.
    pub fn has_env(&self, name: &str) -> bool {
        self.env().any(|variable| variable.name == name)
    }

    /// Folders, volumes and files in memory, as `source:target[:options]`.
    pub fn mounts(&self) -> Vec<String> {
        let shown = |value: &Value| match value {
            Value::Volume(volume) => Some(volume.to_string()),
            Value::Mount(mount) => Some(mount.as_volume()),
            _ => None,
        };
        self.options
            .iter()
            .filter_map(|s| shown(&s.value))
            .collect()
    }

    /// Sources of bind mounts on this machine, as far as they are named by path.
    pub fn bind_sources(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.options.iter().filter_map(|s| {
            let source = match &s.value {
                Value::Volume(volume) => volume.source.as_deref(),
                Value::Mount(mount) if mount.kind == "bind" => mount.source.as_deref(),
                _ => None,
            };
            let source = source.filter(|source| source.starts_with('/'))?;
            Some((s.flag.name, source))
        })
    }

    /// Makes sources of bind mounts that begin with `.` or `~/` absolute, which not every runtime
    /// does itself.
    pub fn anchor(&mut self, folder: &Path, home: Option<&Path>) {
        self.options.each_setting(|setting| {
            let Some(text) = bound(&mut setting.value) else {
                return;
            };
            let relative = matches!(text.as_str(), "." | "..")
                || text.starts_with("./")
                || text.starts_with("../");
            let path = match (text.strip_prefix("~/"), home) {
                (Some(rest), Some(home)) => home.join(rest),
                _ if relative => without_dots(&folder.join(&*text)),
                _ => return,
            };
            *text = path.to_string_lossy().into_owned();
        });
    }

    /// Changes every path of the machine that starts the container: what is mounted, and files that
    /// the runtime's client reads or writes.
    pub fn each_source(&mut self, mut change: impl FnMut(&mut String)) {
        self.options
            .each_setting(|setting| match &mut setting.value {
                Value::Text(path) if OF_CLIENT.contains(&setting.flag.name) => change(path),
                value => {
                    if let Some(path) = bound(value) {
                        change(path);
                    }
                }
            });
    }
}

/// Flags whose value is a file of the client's.
const OF_CLIENT: [&str; 3] = ["env-file", "label-file", "cidfile"];

/// What a mount binds: a path of the machine, or the name of a volume.
fn bound(value: &mut Value) -> Option<&mut String> {
    match value {
        Value::Volume(volume) => volume.source.as_mut(),
        Value::Mount(mount) if mount.kind == "bind" => mount.source.as_mut(),
        _ => None,
    }
}
