//! `pixi.toml`, and `[tool.pixi]` of `pyproject.toml`: packages of conda's channels as in an
//! `environment.yml`, and those of the package index.

use std::path::Path;

use super::{
    Asked, Manifest, Unused, UnusedKind, conda, path_line, place, poetry, text_of, toml_of,
};
use crate::project::ProjectError;

/// Tables that aren't part of the default environment, or that only Pixi itself follows.
const UNUSED: [(&str, &str); 5] = [
    ("feature", "only the default environment is read"),
    ("target", "what is for one platform alone isn't read"),
    ("activation", "scripts of Pixi's activation aren't run"),
    ("host-dependencies", "nothing is built by Pixi"),
    ("build-dependencies", "nothing is built by Pixi"),
];

pub(super) fn read(project: &Path, file: &str) -> Result<Manifest, ProjectError> {
    let text = text_of(project, file)?;
    let table = toml::Value::Table(toml_of(file, &text)?);
    let mut manifest = Manifest::default();
    add(file, &text, &table, &mut manifest)?;
    Ok(manifest)
}

/// Adds what a manifest of Pixi asks for.
pub(super) fn add(
    file: &str,
    text: &str,
    pixi: &toml::Value,
    manifest: &mut Manifest,
) -> Result<(), ProjectError> {
    let members = |key: &str| pixi.get(key).and_then(toml::Value::as_table);
    let of_conda: Vec<(String, String)> = members("dependencies")
        .into_iter()
        .flatten()
        .map(|(name, wish)| {
            let version = wish.as_str().or_else(|| wish.get("version")?.as_str());
            // Of Pixi, `1.2` is `==1.2`'s prefix as in conda.
            let version = version.unwrap_or("*").trim();
            let joint = if version.starts_with(|c: char| c.is_ascii_digit()) {
                "="
            } else {
                ""
            };
            let version = if version == "*" { "" } else { version };
            let place = place(file, text, &format!("{name} ="));
            (format!("{name}{joint}{version}"), place)
        })
        .collect();
    conda::add(file, &of_conda, manifest)?;
    for (name, wish) in members("pypi-dependencies").into_iter().flatten() {
        let origin = place(file, text, &format!("{name} ="));
        let is_editable = wish.get("editable").and_then(toml::Value::as_bool) == Some(true);
        let editable = if is_editable { "-e " } else { "" };
        let line = match wish.get("path").and_then(toml::Value::as_str) {
            Some(path) => Some(format!("{editable}{}", path_line(file, path))),
            None => poetry::line_of(name, wish),
        };
        match line {
            Some(text) => manifest.requirements.push(Asked { text, origin }),
            None => manifest.unused.push(Unused {
                kind: UnusedKind::default(),
                what: format!("{origin}: {name}"),
                why: "its version has no form that pip reads".into(),
                next: "write it as >=1,<2".into(),
            }),
        }
    }
    for (key, why) in UNUSED.iter().filter(|(key, _)| pixi.get(*key).is_some()) {
        manifest.unused.push(Unused {
            kind: UnusedKind::default(),
            what: format!("{file}: {key}"),
            why: (*why).to_owned(),
            next: "export one environment (pixi workspace export conda-environment) and name that file: -r environment.yml".into(),
        });
    }
    Ok(())
}
