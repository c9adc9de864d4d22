//! Packages that a Python version is too new for: no release that is asked for has wheels for it, or what it asks
//! for hasn't, or it can't be imported there.

use std::sync::LazyLock;

use pep440_rs::Version;
use serde::Deserialize;

use super::breaks::is_from;
use super::frameworks::{minor, public};
use super::inputs::Inputs;
use super::programs::is_before;
use crate::project::Wanted;
use crate::tables::pythons_with_wheels;

/// A package that is asked for, and the Python versions that it is for.
pub(super) struct Misfit<'a> {
    pub wanted: &'a Wanted,
    pub pythons: Vec<&'static str>,
    /// Why, where it isn't that it has no wheels.
    pub why: Option<&'static str>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Table {
    package: Vec<Row>,
}

/// Releases of a package that a Python version is the last one for.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    names: Vec<String>,
    from: Option<Version>,
    before: Option<Version>,
    last: String,
    why: String,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    toml::from_str(include_str!("../../data/compat/last-python.toml"))
        .expect("the table is checked")
});

/// Python versions, ascending.
const PYTHONS: [&str; 9] = [
    "3.6", "3.7", "3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14",
];

/// The packages that aren't for a Python version. Of packages that the tables don't know nothing is said.
pub(super) fn misfits<'a>(inputs: &'a Inputs, python: &str) -> Vec<Misfit<'a>> {
    let wanted = inputs.decided.iter().filter_map(|wanted| {
        let versions = wanted.versions.as_ref().filter(|v| !v.is_empty());
        let pythons = versions.and_then(|v| pythons_with_wheels(&wanted.name, &public(v)));
        match pythons.filter(|pythons| !pythons.contains(&python)) {
            Some(pythons) => Some(Misfit {
                wanted,
                pythons,
                why: None,
            }),
            None => by_hand(wanted, python),
        }
    });
    wanted.collect()
}

fn by_hand<'a>(wanted: &'a Wanted, python: &str) -> Option<Misfit<'a>> {
    let versions = public(wanted.versions.as_ref()?);
    let mut rows = TABLE.package.iter();
    let row = rows.find(|row| {
        let is_old = row.before.as_ref().is_none_or(|b| is_before(&versions, b));
        let is_new = row
            .from
            .as_ref()
            .is_none_or(|from| is_from(&versions, from));
        row.names.contains(&wanted.name) && is_old && is_new && minor(python) > minor(&row.last)
    })?;
    let is_for = |python: &&str| minor(python) <= minor(&row.last);
    Some(Misfit {
        wanted,
        pythons: PYTHONS.into_iter().filter(is_for).collect(),
        why: Some(&row.why),
    })
}
