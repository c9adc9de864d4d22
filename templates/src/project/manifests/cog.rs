//! `cog.yaml`: its build section.

use std::path::Path;

use serde_json::Value;

use super::{Asked, Manifest, Unused, place, text_of, unreadable};
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
    let build = document.get("build").and_then(Value::as_object);
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
                let version = value
                    .as_str()
                    .map_or_else(|| value.to_string(), str::to_owned);
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
                            what: format!("{}: {command}", place(file, &text, first_line(command))),
                            why: "the command mounts a secret, and only a Dockerfile says what a secret is for".into(),
                            next: "put it into a Dockerfile of your own, and give the secret with --secret".into(),
                        });
                        continue;
                    }
                    manifest.run.extend(command.map(|command| Asked {
                        text: command.to_owned(),
                        origin: place(file, &text, first_line(command)),
                    }));
                }
            }
            _ => manifest.unused.push(Unused {
                what: format!("{}: {key}", place(file, &text, key)),
                why: "mlbuild chooses it from the packages".into(),
                next: match key.as_str() {
                    "cuda" => "set cuda = \"…\" under [image]".into(),
                    _ => "leave it out".into(),
                },
            }),
        }
    }
    for key in ["predict", "train", "image", "concurrency"] {
        if document.get(key).is_some() {
            manifest.unused.push(Unused {
                what: format!("{}: {key}", place(file, &text, key)),
                why: "it tells Cog's own server what to start".into(),
                next: "set command = [\"…\"] under [image]".into(),
            });
        }
    }
    Ok(manifest)
}

/// What of a command stands in one line of a file.
fn first_line(command: &str) -> &str {
    command.lines().next().unwrap_or(command).trim()
}
