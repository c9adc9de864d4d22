//! `pixi.toml`, and `[tool.pixi]` of `pyproject.toml`: packages of conda's channels as in an
//! `environment.yml`, and those of the package index.

use std::path::Path;

use super::channels::{self, Conda};
use super::indexes::Indexes;
use super::{
    Asked, Choice, Manifest, Unused, UnusedKind, conda, path_line, place, poetry, strings, text_of,
    toml_of,
};
use crate::project::ProjectError;

/// Tables that aren't part of the default environment, or that only Pixi itself follows.
const UNUSED: [(&str, &str); 5] = [
    ("feature", "only the default environment is read"),
    ("target", "what is for one platform alone isn't read"),
    (
        "activation",
        "scripts of Pixi's activation aren't run, nor are its variables set",
    ),
    ("host-dependencies", "nothing is built by Pixi"),
    ("build-dependencies", "nothing is built by Pixi"),
];

pub(super) fn read(project: &Path, file: &str, choice: Choice) -> Result<Manifest, ProjectError> {
    let text = text_of(project, file)?;
    let table = toml::Value::Table(toml_of(file, &text)?);
    let mut manifest = Manifest::default();
    add((project, file, &text), &table, choice, &mut manifest)?;
    Ok(manifest)
}

/// Adds what a manifest of Pixi asks for.
pub(super) fn add(
    (project, file, text): (&Path, &str, &str),
    pixi: &toml::Value,
    choice: Choice,
    manifest: &mut Manifest,
) -> Result<(), ProjectError> {
    let members = |key: &str| pixi.get(key).and_then(toml::Value::as_table);
    // Before CUDA of the channels, which decides the build of what these name.
    of_index((file, text), pixi, manifest);
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
    let around = (project, file, text);
    let mut mapped = manifest.clone();
    let refused = conda::add(file, &of_conda, &mut mapped);
    match (choice.conda, conda::refusal(&refused)) {
        (Some(true), _) => from_channels(around, pixi, "conda = true".into(), manifest)?,
        (Some(false), Some(error)) => return Err(error),
        (None, Some(_)) => {
            from_channels(around, pixi, conda::nowhere_else(&refused), manifest)?;
        }
        (_, None) => *manifest = mapped,
    }
    for (key, why) in UNUSED.iter().filter(|(key, _)| pixi.get(*key).is_some()) {
        manifest.unused.push(Unused {
            kind: UnusedKind::default(),
            what: format!("{file}: {key}"),
            why: (*why).to_owned(),
            next: "export one environment (pixi workspace export conda-environment) and name that file under requirements of [image]".into(),
        });
    }
    Ok(())
}

/// The packages of the package index, and the indexes that they come from.
fn of_index((file, text): (&str, &str), pixi: &toml::Value, manifest: &mut Manifest) {
    let members = |key: &str| pixi.get(key).and_then(toml::Value::as_table);
    let wishes = members("pypi-dependencies");
    let wishes = || wishes.into_iter().flatten();
    let mut indexes = Indexes::of(file, None);
    let options = members("pypi-options");
    for url in strings(options.and_then(|options| options.get("extra-index-urls"))) {
        indexes = indexes.with(url);
    }
    let main = options.and_then(|options| options.get("index-url")?.as_str());
    for url in main
        .into_iter()
        .chain(wishes().filter_map(|(_, wish)| index_of(wish)))
    {
        indexes = indexes.with(url);
    }
    for (name, wish) in wishes() {
        let origin = place(file, text, &format!("{name} ="));
        let is_editable = wish.get("editable").and_then(toml::Value::as_bool) == Some(true);
        let editable = if is_editable { "-e " } else { "" };
        let line = match wish.get("path").and_then(toml::Value::as_str) {
            Some(path) => Some(format!("{editable}{}", path_line(file, path))),
            None => poetry::line_of(name, wish),
        };
        for url in index_of(wish).into_iter().chain(main) {
            indexes.serves(name, url, manifest);
        }
        if index_of(wish).is_none() {
            let more = strings(options.and_then(|options| options.get("extra-index-urls")));
            more.for_each(|url| indexes.serves(name, url, manifest));
        }
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
    indexes.name_the_rest(manifest);
    let read = ["index-url", "extra-index-urls", "index-strategy"];
    let others = options.into_iter().flatten();
    let others: Vec<&str> = others
        .map(|(key, _)| key.as_str())
        .filter(|key| !read.contains(key))
        .collect();
    if !others.is_empty() {
        manifest.unused.push(Unused {
            kind: UnusedKind::default(),
            what: format!("{}: {}", place(file, text, "pypi-options"), others.join(", ")),
            why: "only the indexes of Pixi's pypi-options are read".into(),
            next: "set what the image needs of it under [image]: no_build_isolation, compile; or in a requirements file: --find-links".into(),
        });
    }
    let cuda = members("system-requirements").filter(|table| table.contains_key("cuda"));
    if cuda.is_some() {
        manifest.for_cuda.get_or_insert(Asked {
            text: "system-requirements.cuda".into(),
            origin: place(file, text, "system-requirements"),
        });
    }
}

/// The index that a package of it names.
fn index_of(wish: &toml::Value) -> Option<&str> {
    wish.get("index")?.as_str()
}

/// The packages of the default environment from the workspace's channels: solved, or as `pixi.lock` has them.
fn from_channels(
    (project, file, text): (&Path, &str, &str),
    pixi: &toml::Value,
    why: String,
    manifest: &mut Manifest,
) -> Result<(), ProjectError> {
    let mut wanted = Conda {
        file: file.to_owned(),
        why,
        ..Conda::default()
    };
    let dependencies = pixi.get("dependencies").and_then(toml::Value::as_table);
    for (name, wish) in dependencies.into_iter().flatten() {
        let part = |key: &str| wish.get(key).and_then(toml::Value::as_str);
        let channel = part("channel").map(|channel| format!("{channel}::"));
        let version = wish.as_str().or_else(|| part("version")).unwrap_or("*");
        let build = part("build").map(|build| format!(" {build}"));
        wanted.specs.push(Asked {
            text: format!(
                "{}{name} {version}{}",
                channel.unwrap_or_default(),
                build.unwrap_or_default()
            ),
            origin: place(file, text, &format!("{name} =")),
        });
    }
    if let Some(lock) = channels::lock_beside(project, file, &["pixi.lock"]) {
        manifest.conda = Some(channels::pinned_by(project, &lock, &wanted, manifest)?);
        return Ok(());
    }
    let workspace = pixi.get("workspace").or_else(|| pixi.get("project"));
    let named = workspace.and_then(|workspace| workspace.get("channels"));
    for channel in strings(named) {
        wanted.channels.extend(channels::addresses(file, channel)?);
    }
    manifest.conda = Some(wanted);
    Ok(())
}
