//! Releases that break with a newer release of what they ask for without a bound: the installation succeeds, and
//! the program fails when it is started.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use pep440_rs::{Operator, Version, VersionSpecifiers};
use serde::Deserialize;

use super::Warning;
use super::frameworks::{minor, public};
use super::inputs::Inputs;
use super::pins;
use super::programs::is_before;
use crate::project::Wanted;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case")]
struct Table {
    newer: BTreeMap<String, Newer>,
    #[serde(rename = "break")]
    breaks: Vec<Row>,
    hold: Vec<Row>,
}

/// The newer releases of a package that others break with.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Newer {
    /// The oldest Python that they are for.
    python: String,
    /// One of each series.
    releases: Vec<Version>,
}

/// Releases of a package, and what they need or hold.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Row {
    packages: Vec<String>,
    from: Option<Version>,
    before: Option<Version>,
    /// Only beside one of these.
    #[serde(default)]
    beside: Vec<String>,
    /// The lines to write (`numpy<2`); of holds, what they hold.
    needs: Vec<String>,
    #[serde(default)]
    why: String,
}

static TABLE: LazyLock<Table> = LazyLock::new(|| {
    toml::from_str(include_str!("../../data/compat/breaks.toml")).expect("the table is checked")
});

impl Row {
    /// Whether all versions that will do are of this row.
    fn has(&self, wanted: &Wanted) -> bool {
        let Some(versions) = wanted.versions.as_ref().map(public) else {
            return false;
        };
        let is_old = self
            .before
            .as_ref()
            .is_none_or(|before| is_before(&versions, before));
        let is_new = self
            .from
            .as_ref()
            .is_none_or(|from| is_from(&versions, from));
        self.packages.contains(&wanted.name) && is_old && is_new
    }
}

/// Whether versions that will do are all from a release on.
pub(super) fn is_from(versions: &VersionSpecifiers, release: &Version) -> bool {
    let mut all = versions.iter();
    all.any(|one| match one.operator() {
        Operator::Equal
        | Operator::EqualStar
        | Operator::ExactEqual
        | Operator::TildeEqual
        | Operator::GreaterThanEqual
        // The newest below a bound is what is taken.
        | Operator::LessThanEqual => one.version() >= release,
        Operator::LessThan => one.version() > release,
        _ => false,
    })
}

/// What is said of them: one warning for each set of lines that is to be written.
pub(super) fn warnings(inputs: &Inputs, python: Option<&str>) -> Vec<Warning> {
    let mut by_needs: BTreeMap<Vec<&str>, Vec<(&Wanted, &Row)>> = BTreeMap::new();
    for wanted in &inputs.decided {
        for row in TABLE.breaks.iter().filter(|row| row.has(wanted)) {
            let has = |name: &String| inputs.installed(name).is_some();
            if !row.beside.is_empty() && !row.beside.iter().any(has) {
                continue;
            }
            let needs = row.needs.iter().map(String::as_str);
            let open: Vec<&str> = needs.filter(|need| is_open(inputs, need, python)).collect();
            if !open.is_empty() {
                by_needs.entry(open).or_default().push((wanted, row));
            }
        }
    }
    let found = by_needs.into_iter();
    found
        .map(|(needs, asking)| warning(inputs, &needs, &asking))
        .collect()
}

fn warning(inputs: &Inputs, needs: &[&str], asking: &[(&Wanted, &Row)]) -> Warning {
    let shown = asking.iter().take(3).map(|(wanted, _)| {
        let versions = wanted.versions.as_ref().map(ToString::to_string);
        let versions = versions.unwrap_or_default().replace(' ', "");
        format!("{}{versions} ({})", wanted.name, wanted.origin)
    });
    let shown: Vec<String> = shown.collect();
    let more = match asking.len() {
        0..=3 => String::new(),
        count => format!(" and {} more", count - 3),
    };
    let names: Vec<&str> = needs.iter().map(|need| name_of(need)).collect();
    let why = asking.first().map_or("", |(_, row)| row.why.as_str());
    if let Some(contrary) = needs.iter().find_map(|need| contrary(inputs, need)) {
        return Warning {
            message: format!(
                "{}{more}: {why}, and {contrary} is asked for",
                shown.join(", ")
            ),
            hint: Some(format!(
                "ask for {} there, or for newer releases of the others",
                needs.join(" and ")
            )),
        };
    }
    Warning {
        message: format!(
            "{}{more}: {why}, and nothing that is asked for is known to hold {} back",
            shown.join(", "),
            names.join(" and "),
        ),
        hint: Some(match needs {
            [one] => format!("add the line {one} to the requirements"),
            several => format!(
                "add these lines to the requirements: {}",
                several.join(" and ")
            ),
        }),
    }
}

/// Whether releases may be installed that a line (`numpy<2`) is to keep out.
fn is_open(inputs: &Inputs, need: &str, python: Option<&str>) -> bool {
    let name = name_of(need);
    let (Some(newer), Ok(allowed)) = (
        TABLE.newer.get(name),
        need[name.len()..].parse::<VersionSpecifiers>(),
    ) else {
        return false;
    };
    if python.is_some_and(|python| minor(python) < minor(&newer.python)) {
        return false;
    }
    // What a file of constraints says isn't read here.
    if !inputs.constraint_files.is_empty() {
        return false;
    }
    let pinned = inputs.constraints.iter().filter_map(|line| pins::pin(line));
    let mut pinned = pinned.filter(|(pinned, _)| pinned == name).map(|(_, v)| v);
    if let Some(version) = pinned.next_back() {
        return !allowed.contains(&version);
    }
    let is_listed = inputs.locked || inputs.hashed.is_some() || !inputs.constraints.is_empty();
    let asked: Vec<&Wanted> = inputs.decided.iter().filter(|w| w.name == name).collect();
    // From an address, or left out of a list that has every package.
    if asked.iter().any(|wanted| wanted.versions.is_none()) || (is_listed && asked.is_empty()) {
        return false;
    }
    let will_do = |release: &Version| {
        let mut versions = asked.iter().filter_map(|wanted| wanted.versions.as_ref());
        versions.all(|versions| versions.contains(release))
    };
    // Of what is pinned, that release; else one of each series.
    let pins = asked.iter().filter_map(|wanted| pinned_to(wanted));
    let candidates: Vec<&Version> = pins.chain(&newer.releases).collect();
    let may_come = |release: &&Version| !allowed.contains(release) && will_do(release);
    let may_come = candidates.iter().any(may_come);
    let holds = |wanted: &Wanted| {
        let mut rows = TABLE.hold.iter().filter(|row| row.has(wanted));
        rows.any(|row| row.needs.iter().any(|held| held == need))
    };
    may_come && !inputs.decided.iter().any(holds)
}

/// The one version that is asked for.
fn pinned_to(wanted: &Wanted) -> Option<&Version> {
    let mut versions = wanted.versions.iter().flat_map(|versions| versions.iter());
    let exact = versions.find(|one| *one.operator() == Operator::Equal)?;
    Some(exact.version())
}

/// Who asks for a release that a line (`numpy<2`) would keep out: `numpy>=2 (requirements.txt:1)`.
fn contrary(inputs: &Inputs, need: &str) -> Option<String> {
    let name = name_of(need);
    let allowed: VersionSpecifiers = need[name.len()..].parse().ok()?;
    let wanted = inputs.installed(name)?;
    let versions = wanted.versions.as_ref()?;
    let is_contrary = versions.iter().any(|one| {
        let is_low = matches!(
            one.operator(),
            Operator::Equal
                | Operator::EqualStar
                | Operator::TildeEqual
                | Operator::GreaterThanEqual
        );
        is_low && !allowed.contains(one.version())
    });
    let shown = versions.to_string().replace(' ', "");
    is_contrary.then(|| format!("{name}{shown} ({})", wanted.origin))
}

/// The name at the beginning of `numpy<2`.
fn name_of(need: &str) -> &str {
    let end = need.find(['<', '=', '>', '!', '~']).unwrap_or(need.len());
    &need[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_what_it_can_check() {
        for row in TABLE.breaks.iter().chain(&TABLE.hold) {
            for need in &row.needs {
                let name = name_of(need);
                let newer = &TABLE.newer[name];
                let allowed: VersionSpecifiers = need[name.len()..].parse().unwrap();
                assert!(
                    newer.releases.iter().any(|r| !allowed.contains(r)),
                    "{need}"
                );
            }
            let is_plain = |name: &String| mlbuild_wheels::normalize(name) == *name;
            assert!(
                row.packages.iter().chain(&row.beside).all(is_plain),
                "{row:?}"
            );
        }
        assert!(TABLE.breaks.iter().all(|row| !row.why.is_empty()));
    }
}
