//! Whether a base has the shared libraries that packages look for. What isn't certain from the files alone
//! counts as lacking: the loader of the base itself is then asked, in the base.

use std::collections::BTreeSet;

use mlbuild_manifests::lock::PinnedFile;
use mlbuild_wheels::{Fault, LayerError, Libraries, Wheel, WheelError};

use super::{NotResolved, ResolveQuestion};
use crate::package_store::Store;

/// The libraries that neither the packages bring nor the base has.
pub(super) fn lacking(
    question: &ResolveQuestion<'_>,
    packages: &[PinnedFile],
) -> Result<BTreeSet<String>, NotResolved> {
    let mut all = Vec::new();
    for package in packages {
        all.push((package.sha256.as_str(), of_wheel(package, question.store)?));
    }
    if was_looked_at(&question.complete, &all) {
        return Ok(BTreeSet::new());
    }
    let brought: BTreeSet<&String> = all.iter().flat_map(|(_, wheel)| &wheel.brought).collect();
    let needed: BTreeSet<&String> = all.iter().flat_map(|(_, wheel)| &wheel.needed).collect();
    let is_lacking = |name: &&&String| {
        !brought.contains(*name) && !is_of_the_driver(name) && !question.facts.has_library(name)
    };
    Ok(needed
        .iter()
        .filter(is_lacking)
        .map(|name| (*name).clone())
        .collect())
}

/// All wheels of an answer that lacked nothing are here again, and the others have no compiled files. Which
/// library one wheel lacks another may bring, so that none may have gone.
fn was_looked_at(complete: &[BTreeSet<String>], all: &[(&str, Libraries)]) -> bool {
    complete.iter().any(|answer| {
        let here = |sha256: &String| all.iter().any(|(known, _)| known == sha256);
        let others = all.iter().filter(|(sha256, _)| !answer.contains(*sha256));
        answer.iter().all(here)
            && others
                .into_iter()
                .all(|(_, wheel)| wheel.brought.is_empty())
    })
}

/// A GPU's driver is given to the container.
fn is_of_the_driver(name: &str) -> bool {
    name.starts_with("libcuda.so.")
        || name.starts_with("libnvidia-")
        || name.starts_with("libnvcuvid.so.")
}

/// What a wheel brings and needs, read once on a machine.
fn of_wheel(package: &PinnedFile, store: &Store) -> Result<Libraries, NotResolved> {
    if let Some(known) = store.note(&package.sha256) {
        return Ok(known);
    }
    let bad = |error: WheelError| match error.fault {
        Fault::Read(_) => NotResolved::Elsewhere(error.to_string()),
        _ => NotResolved::BadWheel(error.to_string()),
    };
    let path = store.path(&package.sha256);
    let wheel = Wheel::open(&package.file, &path, &package.sha256).map_err(bad)?;
    let found = Libraries::of(&wheel, &std::env::temp_dir()).map_err(|error| match error {
        LayerError::Wheel(error) => bad(error),
        other => NotResolved::Elsewhere(other.to_string()),
    })?;
    store.keep_note(&package.sha256, &found);
    Ok(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wheel<'a>(sha256: &'a str, brought: &[&str]) -> (&'a str, Libraries) {
        let brought = brought.iter().map(ToString::to_string).collect();
        let needed = BTreeSet::new();
        (sha256, Libraries { brought, needed })
    }

    #[test]
    fn an_answer_holds_for_more_wheels_without_compiled_files() {
        let complete = [BTreeSet::from(["a".to_owned(), "b".to_owned()])];
        let (a, b) = (wheel("a", &["x.so"]), wheel("b", &[]));
        let (plain, compiled) = (wheel("c", &[]), wheel("d", &["y.so"]));
        for (all, holds) in [
            (vec![a.clone(), b.clone()], true),
            (vec![a.clone(), b.clone(), plain.clone()], true),
            (vec![a.clone(), b, compiled], false),
            // What went may have brought a library.
            (vec![a, plain], false),
        ] {
            assert_eq!(was_looked_at(&complete, &all), holds, "{all:?}");
        }
        assert!(!was_looked_at(&[], &[]));
    }
}
