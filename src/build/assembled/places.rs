//! Which repositories have which layers of packages, as far as this machine has pushed them there: from
//! one of those a registry takes a layer for another repository without being sent it.

use std::collections::BTreeMap;
use std::path::PathBuf;

use oci_spec::distribution::Reference;
use oci_spec::image::Digest;

use crate::env_vars;

/// Repositories that are kept in mind of a layer, the newest last.
const MOST_KEPT: usize = 8;
/// Repositories that are asked for layers: each costs a request for each layer that the image's own
/// repository lacks.
const MOST_ASKED: usize = 2;

/// A file for each layer, a line for each repository: `REGISTRY REPOSITORY`.
fn file(layer: &Digest) -> Option<PathBuf> {
    let state = env_vars::state_dir()?;
    Some(state.join("layers/places").join(layer.digest()))
}

fn lines(layer: &Digest) -> Vec<String> {
    let text = file(layer).and_then(|file| std::fs::read_to_string(file).ok());
    let text = text.unwrap_or_default();
    text.lines().map(str::to_owned).collect()
}

fn line(reference: &Reference) -> String {
    format!("{} {}", reference.registry(), reference.repository())
}

/// Notes what was pushed to these tags. Failing to costs time alone.
pub(super) fn note(layers: &[Digest], tags: &[Reference]) {
    for layer in layers {
        let Some(file) = file(layer) else { return };
        let before = lines(layer);
        let mut all = before.clone();
        for tag in tags.iter().map(line) {
            all.retain(|known| *known != tag);
            all.push(tag);
        }
        all.drain(..all.len().saturating_sub(MOST_KEPT));
        if all == before {
            continue;
        }
        // An image has dozens of layers, and a registry is asked for what this machine doesn't remember.
        let _ = mlbuild_manifests::atomic::replace_soon(&file, all.join("\n").as_bytes());
    }
}

/// The repositories in the registries of these tags that have the most of some layers.
pub(super) fn with_most(layers: &[Digest], tags: &[Reference]) -> Vec<Reference> {
    let mut found: BTreeMap<String, usize> = BTreeMap::new();
    for line in layers.iter().flat_map(lines) {
        *found.entry(line).or_default() += 1;
    }
    let is_near = |line: &str| {
        let near = tags
            .iter()
            .any(|tag| line.starts_with(&format!("{} ", tag.registry())));
        near && tags.iter().all(|tag| line != self::line(tag))
    };
    let mut near: Vec<(usize, String)> = found
        .into_iter()
        .filter(|(line, _)| is_near(line))
        .map(|(line, count)| (count, line))
        .collect();
    near.sort_by(|a, b| b.cmp(a));
    near.truncate(MOST_ASKED);
    let reference = |(_, line): (usize, String)| {
        let (registry, repository) = line.split_once(' ')?;
        let (registry, repository) = (registry.to_owned(), repository.to_owned());
        Some(Reference::with_tag(
            registry,
            repository,
            "latest".to_owned(),
        ))
    };
    near.into_iter().filter_map(reference).collect()
}

/// The layers that one of these repositories has, as far as this machine knows, each with the first that does.
pub(super) fn lenders(layers: &[Digest], from: &[Reference]) -> Vec<(Digest, Reference)> {
    let lender = |layer: &Digest| {
        let known = lines(layer);
        let lender = from.iter().find(|place| known.contains(&line(place)))?;
        Some((layer.clone(), lender.clone()))
    };
    layers.iter().filter_map(lender).collect()
}
