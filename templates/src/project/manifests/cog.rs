//! `cog.yaml`: its build section.

use std::path::Path;

use serde_json::Value;

use super::{Asked, Manifest, Unused, UnusedKind, place, text_of, unreadable};
use crate::project::ProjectError;

pub(super) fn read(project: &Path, file: &str) -> Result<Manifest, ProjectError> {
    let text = text_of(project, file)?;
    let document: Value = serde_saphyr::from_str(&text)
        .map_err(|error| unreadable(file, error.to_string(), "correct the YAML"))?;
    let mut manifest = Manifest::default();
    let asked = |word: &str| Asked {
        text: word.to_owned(),
        origin: place(file, &text, word),
    };
    // Before its first release, Cog called it `environment`.
    let build = document.get("build").or(document.get("environment"));
    let build = build.and_then(Value::as_object);
    for (key, value) in build.into_iter().flatten() {
        let words = || {
            value
                .as_array()
                .into_iter()
                .flatten()
                .filter_map(Value::as_str)
        };
        match key.as_str() {
            "gpu" => manifest.gpu = value.as_bool(),
            "python_version" => {
                let version = as_written(&text, "python_version").unwrap_or(match value {
                    Value::String(version) => version.clone(),
                    other => other.to_string(),
                });
                manifest.python = Some(Asked {
                    text: format!("=={version}.*"),
                    origin: place(file, &text, "python_version"),
                });
            }
            "python_packages" => manifest.requirements.extend(words().map(asked)),
            "python_requirements" => manifest.files.extend(value.as_str().map(str::to_owned)),
            "system_packages" => manifest.apt.extend(words().map(asked)),
            "run" => {
                for step in value.as_array().into_iter().flatten() {
                    let command = step.as_str().or_else(|| step.get("command")?.as_str());
                    if let (Some(command), Some(_)) = (command, step.get("mounts")) {
                        manifest.unused.push(Unused {
                            kind: UnusedKind::default(),
                            what: format!("{}: {command}", place(file, &text, first_line(command))),
                            why: "the command mounts a secret, and only a Dockerfile says what a secret is for".into(),
                            next: "put it into a Dockerfile of your own, which names the secret that is given to it".into(),
                        });
                        continue;
                    }
                    manifest.run.extend(command.map(|command| Asked {
                        text: command.to_owned(),
                        origin: place(file, &text, first_line(command)),
                    }));
                }
            }
            "environment" => {
                let names = words().map(|word| word.split('=').next().unwrap_or(word));
                let names: Vec<&str> = names.collect();
                manifest.unused.push(Unused {
                    kind: UnusedKind::default(),
                    what: format!(
                        "{}: environment {}",
                        place(file, &text, key),
                        names.join(", ")
                    ),
                    why: "its variables aren't set in the image".into(),
                    next: "set those that are no secret under env of [image]".into(),
                });
            }
            _ => manifest.unused.push(Unused {
                kind: UnusedKind::default(),
                what: format!("{}: {key}", place(file, &text, key)),
                why: "mlbuild chooses it from the packages".into(),
                next: match key.as_str() {
                    "cuda" => "set cuda = \"…\" under [image]".into(),
                    _ => "leave it out".into(),
                },
            }),
        }
    }
    let keys = document
        .as_object()
        .into_iter()
        .flatten()
        .map(|(key, _)| key.as_str());
    for key in keys.filter(|key| !["build", "environment"].contains(key)) {
        manifest.unused.push(Unused {
            kind: UnusedKind::default(),
            what: format!("{}: {key}", place(file, &text, key)),
            why: "it tells Cog's own server what to start".into(),
            next: "set command = [\"…\"] under [image]".into(),
        });
    }
    Ok(manifest)
}

/// The value of a key in the form that it was written in: 3.10 is a number to YAML, and 3.1.
fn as_written(text: &str, key: &str) -> Option<String> {
    let value = text
        .lines()
        .find_map(|line| line.trim().strip_prefix(key)?.strip_prefix(':'))?;
    let value = value.split('#').next()?.trim().trim_matches(['"', '\'']);
    value
        .starts_with(|c: char| c.is_ascii_digit())
        .then(|| value.to_owned())
}

/// What of a command stands in one line of a file.
fn first_line(command: &str) -> &str {
    command.lines().next().unwrap_or(command).trim()
}
