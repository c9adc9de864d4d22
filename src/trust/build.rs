//! What `[image]`, `[build]` and `[registry]` reach outside the project's folder.

use std::path::Path;

use mlbuild_templates::SecretUse;

use super::outside::{outside, outside_from};
use crate::config::Config;
use crate::host;
use crate::plan::Place;
use crate::plan::spec::Spec;

/// Files that a build reads without being told; a link may lead anywhere.
const READ: [&str; 8] = [
    "Dockerfile",
    ".dockerignore",
    "Dockerfile.dockerignore",
    "requirements.txt",
    "pyproject.toml",
    "uv.lock",
    "pylock.toml",
    "mlbuild.lock",
];

pub(super) fn wishes(config: &Config, project: &Path) -> Vec<String> {
    let mut wishes = Vec::new();
    for name in READ {
        let link = project.join(name);
        if link.is_symlink()
            && let Some(place) = outside(project, &link)
        {
            wishes.push(format!(
                "reads {}, to which {name} is a link",
                place.display()
            ));
        }
    }
    wishes.extend(records(project));
    files(config, project, &mut wishes);
    wishes.extend(log_in_of_index(config, project));
    build(config, project, &mut wishes);
    let registry = &config.registry;
    if let Some(mirror) = &registry.mirror {
        wishes.push(format!(
            "copies base images, private ones too, to {mirror} with your log-in ([registry] mirror)"
        ));
    }
    for (host, mirrors) in &registry.mirrors {
        for mirror in mirrors {
            wishes.push(format!(
                "takes images of {host} from {mirror} ([registry] mirrors)"
            ));
        }
    }
    wishes
}

/// The log-in of the person's package index, where the project's own steps ask for it.
fn log_in_of_index(config: &Config, project: &Path) -> Option<String> {
    let image = &config.image;
    let ids = [SecretUse::PipConf, SecretUse::UvConf].map(SecretUse::id);
    let mounts = |file: &String| {
        let text = mlbuild_files::read_to_string(&project.join(file)).unwrap_or_default();
        ids.iter().any(|id| text.contains(id))
    };
    let by = if image.run.iter().any(|step| step.index) {
        "[image] run, index = true"
    } else if image.template.as_ref().is_some_and(mounts) {
        "[image] template"
    } else {
        return None;
    };
    let is_given = config.build.host_network_settings.unwrap_or(true) && host::index_has_log_in();
    is_given.then(|| {
        format!("hands the log-in of your package index, from pip's or uv's settings, to build steps ({by})")
    })
}

/// The records that mlbuild writes into a project without being told, where a link leads out.
pub(super) fn records(project: &Path) -> Option<String> {
    let link = project.join("mlbuild.runs");
    let place = link.is_symlink().then(|| outside(project, &link))??;
    Some(format!(
        "writes {}, to which mlbuild.runs is a link",
        place.display()
    ))
}

fn files(config: &Config, project: &Path, wishes: &mut Vec<String>) {
    let (image, build) = (&config.image, &config.build);
    // A template without a slash is one of mlbuild's own, or a file in the folder.
    let named = [
        ("[image] template", image.template.as_ref()),
        ("[image] dockerfile", image.dockerfile.as_ref()),
        ("[build] apt_sources", build.apt_sources.as_ref()),
        ("[build] apt_snapshots", build.apt_snapshots.as_ref()),
    ];
    let requirements = image.requirements.iter().flatten();
    let requirements = requirements.map(|file| ("[image] requirements", Some(file)));
    for (key, file) in named.into_iter().chain(requirements) {
        if let Some(file) = file
            && let Some(place) = outside(project, Path::new(file))
        {
            wishes.push(format!("reads {} ({key})", place.display()));
        }
    }
}

fn build(config: &Config, project: &Path, wishes: &mut Vec<String>) {
    let build = &config.build;
    // Where a path of these keys is taken from when it is used.
    let here = std::env::current_dir().unwrap_or_else(|_| project.to_owned());
    for line in &build.secrets {
        if let Some(what) = secret(line, project, &here) {
            wishes.push(format!("hands {what} to build steps ([build] secrets)"));
        }
    }
    for (name, text) in &build.contexts {
        if let Some(what) = context(text, project, &here) {
            wishes.push(format!(
                "sends {what} to the builder ([build.contexts] {name})"
            ));
        }
    }
    if build
        .network
        .as_deref()
        .is_some_and(|network| network == "host")
    {
        wishes.push("runs build steps in this machine's network ([build] network)".to_owned());
    }
    for (key, lines) in [
        ("cache_from", &build.cache_from),
        ("cache_to", &build.cache_to),
    ] {
        lines
            .iter()
            .filter(|line| is_cache_outside(key, line, project))
            .for_each(|line| {
                let does = match key {
                    "cache_to" => "writes the build's cache, with your log-in, to",
                    _ => "takes the build's cache, with your log-in, from",
                };
                let line = mlbuild_secrets::redact(line);
                wishes.push(format!("{does} {line} ([build] {key})"));
            });
    }
}

/// What a secret is, unless it is a file of the project. A line with quotes is shown as it is.
fn secret(line: &str, project: &Path, here: &Path) -> Option<String> {
    let (mut id, mut file, mut variable, mut kind) = (None, None, None, None);
    for field in line.split(',') {
        match field.split_once('=') {
            Some((key, value)) => match key.trim().to_ascii_lowercase().as_str() {
                "id" => id = Some(value),
                "src" | "source" => file = Some(value),
                "env" => variable = Some(value),
                "type" => kind = Some(value),
                _ => return Some(line.to_owned()),
            },
            None => return Some(line.to_owned()),
        }
    }
    if line.contains('"') {
        return Some(line.to_owned());
    }
    if kind == Some("env") && variable.is_none() {
        variable = file.take();
    }
    match (file, variable, id) {
        (None, Some(variable), _) => Some(format!("the variable {variable} of your environment")),
        (Some(file), None, _) => {
            let place = outside_from(here, project, Path::new(file))?;
            Some(format!("the file {}", place.display()))
        }
        // It is the variable of that name, where there is one.
        (None, None, Some(id)) => Some(format!(
            "the variable {id} of your environment, or that file"
        )),
        _ => Some(line.to_owned()),
    }
}

/// What of this machine a context is, if it isn't of the project.
fn context(text: &str, project: &Path, here: &Path) -> Option<String> {
    if text == "-" {
        return Some("standard input".to_owned());
    }
    let path = match text.split_once("://") {
        // A reference may stand behind it, in which no slash is.
        Some(("oci-layout", path)) => path.split('@').next().unwrap_or(path),
        Some(("http" | "https" | "ssh" | "git" | "docker-image", _)) => return None,
        Some(_) => return Some(format!("files of {text}")),
        None if text.starts_with("git@") => return None,
        None => text,
    };
    let place = outside_from(here, project, Path::new(path))?;
    Some(format!("files of {}", place.display()))
}

/// A cache in a registry is only read without a question; others take log-ins from the environment.
fn is_cache_outside(key: &'static str, line: &str, project: &Path) -> bool {
    let Ok(cache) = Spec::new(Place::Request("cache_from"), line).cache() else {
        return true;
    };
    let folder = cache.attrs.get("src").or_else(|| cache.attrs.get("dest"));
    match (cache.kind.as_str(), key) {
        ("inline", _) | ("registry", "cache_from") => false,
        ("local", _) => folder.is_none_or(|folder| {
            let here = std::env::current_dir().unwrap_or_else(|_| project.to_owned());
            outside_from(&here, project, Path::new(folder)).is_some()
        }),
        _ => true,
    }
}
