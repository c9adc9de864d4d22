//! Extras and groups, which are chosen by name: one that isn't there is refused, and those that
//! nobody chose are named.

use super::{Unused, UnusedKind, unreadable};
use crate::project::ProjectError;

/// Extras or groups of one manifest.
pub(super) struct Chosen<'a> {
    pub file: &'a str,
    /// `extra` or `dependency group`.
    pub what: &'static str,
    /// The key of `[image]` that chooses some.
    pub key: &'static str,
    pub wanted: &'a [String],
}

impl<'a> Chosen<'a> {
    pub fn extras(file: &'a str, wanted: &'a [String]) -> Self {
        Self {
            file,
            what: "extra",
            key: "extras",
            wanted,
        }
    }

    pub fn groups(file: &'a str, wanted: &'a [String]) -> Self {
        Self {
            file,
            what: "dependency group",
            key: "groups",
            wanted,
        }
    }

    pub fn has(&self, name: &str) -> bool {
        self.wanted.iter().any(|wanted| same(wanted, name))
    }

    /// Refuses a name that isn't there.
    pub fn check(&self, known: &[&str]) -> Result<(), ProjectError> {
        let mut wanted = self.wanted.iter();
        let missing = wanted.find(|wanted| !known.iter().any(|name| same(wanted, name)));
        let Some(missing) = missing else {
            return Ok(());
        };
        let choose = match known {
            [] => format!("leave {} out: there is none", self.key),
            known => format!("choose of {}", known.join(", ")),
        };
        let reason = format!("it has no {} {missing}", self.what);
        Err(unreadable(self.file, reason, &choose))
    }

    /// Those that nobody chose.
    pub fn left(&self, known: &[&str]) -> Option<Unused> {
        let names = known.iter().filter(|name| !self.has(name));
        let names: Vec<&str> = names.copied().collect();
        let first = names.first()?;
        Some(Unused {
            kind: UnusedKind::NotChosen,
            what: format!("{}: {}s {}", self.file, self.what, names.join(", ")),
            why: "none of them was chosen".into(),
            next: format!("to choose one: {} = [{first:?}] under [image]", self.key).into(),
        })
    }
}

/// Names are compared as PEP 503 and PEP 735 do.
pub(super) fn same(a: &str, b: &str) -> bool {
    plain(a) == plain(b)
}

/// A name in the one spelling that all of them have in common.
pub(super) fn plain(name: &str) -> String {
    name.to_ascii_lowercase().replace(['_', '.'], "-")
}
