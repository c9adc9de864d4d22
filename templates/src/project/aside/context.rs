//! With which folder as its context a Dockerfile below the root is built.

use std::path::Path;

use serde_json::Value;

use super::super::NextStep;
use super::super::detect::to_build;
use super::super::manifests::{folder_of, text_of};
use super::super::requirements::normalize;
use super::names;
use crate::own::taken_from_context;

/// What to do so that a Dockerfile below the root is built, with the context that its Compose file names, or
/// else the folder that has what it copies.
pub(super) fn to_build_in(folder: &Path, path: &str) -> NextStep {
    let context = of_compose(folder, path).or_else(|| of_copies(folder, path));
    match context.filter(|context| !context.is_empty() && context != ".") {
        Some(context) => NextStep::BuildIn {
            context,
            file: path.to_owned(),
        },
        None => to_build(path),
    }
}

/// The context that a file of Compose at the root gives the Dockerfile.
fn of_compose(folder: &Path, path: &str) -> Option<String> {
    let mut files = names(folder, false).into_iter();
    files.find_map(|file| {
        if !super::is_compose(&file) {
            return None;
        }
        let text = text_of(folder, &file).ok()?;
        let document: Value = serde_saphyr::from_str(&text).ok()?;
        let mut services = document.get("services")?.as_object()?.values();
        services.find_map(|service| {
            let build = service.get("build")?;
            let context = build.as_str().or_else(|| build.get("context")?.as_str())?;
            let file = build.get("dockerfile").and_then(Value::as_str);
            let file = format!("{context}/{}", file.unwrap_or("Dockerfile"));
            (normalize(&file) == path).then(|| normalize(context))
        })
    })
}

/// The Dockerfile's own folder, where that has all that it copies and the root lacks some of it.
fn of_copies(folder: &Path, path: &str) -> Option<String> {
    let text = text_of(folder, path).ok()?;
    let taken = taken_from_context(&text, None);
    let own = folder_of(path);
    let has_all = |inner: &Path| taken.iter().all(|one| inner.join(&one.path).exists());
    (!has_all(folder) && has_all(&folder.join(own))).then(|| own.to_owned())
}
