//! A [`RunSpec`] as `devcontainer.json` (<https://containers.dev/implementors/json_reference/>).

use std::path::Path;

use serde_json::{Map, Value as Json, json};

use super::render::{LeftOut, Rendered};
use super::spec::RunSpec;
use super::value::{Mount, Value};

/// What the tool that reads the file decides itself.
const ITS_OWN: &[&str] = &[
    "attach",
    "cidfile",
    "detach",
    "detach-keys",
    "interactive",
    "pull",
    "quiet",
    "rm",
    "sig-proxy",
    "tty",
];

/// The document, for a project in `project`: where that folder is mounted, the workspace is.
pub fn devcontainer(spec: &RunSpec, project: &Path) -> Rendered<Json> {
    let mut document = Map::new();
    let mut left_out = Vec::new();
    document.insert("image".into(), json!(spec.image));
    for setting in spec.options.iter() {
        let name = setting.flag.name;
        match (name, &setting.value) {
            ("env", Value::Assignment(variable)) => {
                let value = match &variable.value {
                    Some(value) => value.clone(),
                    None => format!("${{localEnv:{}}}", variable.name),
                };
                let env = document.entry("containerEnv").or_insert_with(|| json!({}));
                env[&variable.name] = json!(value);
            }
            ("user", Value::Text(user)) => {
                let login = user.split(':').next().unwrap_or(user);
                document.insert("containerUser".into(), json!(user));
                document.insert("remoteUser".into(), json!(login));
            }
            ("workdir", Value::Text(folder)) => {
                document.insert("workspaceFolder".into(), json!(folder));
            }
            ("init", Value::Bool(on)) => {
                document.insert("init".into(), json!(on));
            }
            ("privileged", Value::Bool(on)) => {
                document.insert("privileged".into(), json!(on));
            }
            ("cap-add", Value::Text(capability)) => append(&mut document, "capAdd", capability),
            ("security-opt", Value::Text(option)) => append(&mut document, "securityOpt", option),
            ("mount" | "volume", value) => match mount(value) {
                Some(mount) if mount.source.as_deref().map(Path::new) == Some(project) => {
                    let target = mount.target.clone();
                    let source = Some("${localWorkspaceFolder}".to_owned());
                    let text = Mount { source, ..mount }.to_string();
                    document.insert("workspaceMount".into(), json!(text));
                    document.entry("workspaceFolder").or_insert(json!(target));
                }
                Some(mount) => append(&mut document, "mounts", &mount.to_string()),
                None => append(&mut document, "runArgs", &setting.word()),
            },
            ("entrypoint", _) => left_out.push(LeftOut {
                what: "--entrypoint".to_owned(),
                why: "the tool keeps the container alive with a program of its own".to_owned(),
            }),
            _ if ITS_OWN.contains(&name) => left_out.push(LeftOut {
                what: setting.flag.to_string(),
                why: "the tool that reads devcontainer.json decides it".to_owned(),
            }),
            _ => append(&mut document, "runArgs", &setting.word()),
        }
    }
    if !spec.command.is_empty() {
        left_out.push(LeftOut {
            what: "the command".to_owned(),
            why: "the tool keeps the container alive with a program of its own".to_owned(),
        });
    }
    Rendered {
        form: Json::Object(document),
        left_out,
    }
}

fn append(document: &mut Map<String, Json>, key: &str, text: &str) {
    let list = document.entry(key).or_insert_with(|| json!([]));
    list.as_array_mut().expect("a list").push(json!(text));
}

/// The mount that `--mount` or `--volume` asks for, where `--mount` can say it.
fn mount(value: &Value) -> Option<Mount> {
    match value {
        Value::Mount(mount) => Some(mount.clone()),
        Value::Volume(volume) => volume.as_mount(),
        _ => None,
    }
}
