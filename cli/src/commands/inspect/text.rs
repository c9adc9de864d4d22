//! The report for people.

use std::collections::BTreeMap;
use std::fmt::{Display, Write as _};

use mlbuild_progress::printable;

use crate::support::size::bytes;
use mlbuild::diff::count;
use mlbuild::inspect::{InspectReport, PlatformFacts, RegistryFacts};
use mlbuild::runtime::shell_line;

/// Accounts from here on belong to people.
const FIRST_PERSON: u32 = 1000;
/// What stands for nobody.
const NOBODY: u32 = 65534;
/// Most runs that are named.
const RUNS: usize = 20;

/// Lines of a name and a value.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl Display) {
        self.words(name, &printable::line(&value.to_string()));
    }

    /// Words of a command may hold ends of lines.
    fn words(&mut self, name: &str, line: &str) {
        let _ = writeln!(self.0, "{name:<12}{line}");
    }

    fn maybe(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// The name stands before the first item only.
    fn each(&mut self, name: &str, values: impl IntoIterator<Item = impl Display>) {
        for (n, value) in values.into_iter().enumerate() {
            self.add(if n == 0 { name } else { "" }, value);
        }
    }
}

/// All of it.
pub(super) fn of(report: &InspectReport, list_packages: bool) -> String {
    let mut lines = Lines::default();
    lines.add("image", &report.image);
    lines.maybe("pinned", report.pinned.as_ref());
    lines.add("read from", &report.read_from);
    lines.add("pull", pull(&report.registry, &report.read_from));
    lines.each("", &report.registry.missing);
    if let Some(local) = &report.local {
        lines.add("here", format!("{}, {}", local.runtime, bytes(local.size)));
        lines.add("image ID", format!("{} ({})", local.id, local.id_is));
        lines.each("tags", &local.tags);
    } else {
        lines.add("here", "no");
    }
    lines.maybe("index", report.index.as_ref());
    for (name, facts) in &report.platforms {
        platform(&mut lines, name, facts);
    }
    lock(&mut lines, report);
    packages(&mut lines, report, list_packages);
    if let Some(accounts) = &report.accounts {
        let people = accounts.iter().filter(|account| {
            account.uid == 0 || (account.uid >= FIRST_PERSON && account.uid != NOBODY)
        });
        let shown =
            people.map(|a| format!("{} {}:{} {} {}", a.name, a.uid, a.gid, a.home, a.shell));
        lines.each("accounts", shown);
    }
    runs(&mut lines, report);
    lines.0
}

fn pull(facts: &RegistryFacts, read_from: &str) -> String {
    let blobs = count(facts.blobs.unwrap_or_default() as u64, "blob");
    match (facts.can_be_pulled, &facts.problem) {
        (Some(true), _) => format!("yes: the registry has its manifests and {blobs}"),
        (Some(false), _) => format!(
            "no: of {blobs}, the registry lacks {}:",
            facts.missing.len()
        ),
        (None, Some(problem)) => format!("unknown: {problem}"),
        (None, None) if read_from == "path" => "it lies at this path".to_owned(),
        (None, None) => "unknown: no registry was asked".to_owned(),
    }
}

fn platform(lines: &mut Lines, name: &str, facts: &PlatformFacts) {
    let size = facts.size.map(|size| format!(", {}", bytes(size)));
    let layers = count(facts.layers as u64, "layer");
    lines.add(
        "platform",
        format!("{name}: {layers}{}", size.unwrap_or_default()),
    );
    lines.maybe("manifest", facts.manifest.as_ref());
    lines.maybe("config", facts.config.as_ref());
    lines.maybe("created", facts.created.as_ref());
    lines.add("user", facts.user.as_deref().unwrap_or("root"));
    lines.maybe("workdir", facts.workdir.as_ref());
    for (name, words) in [
        ("entrypoint", &facts.entrypoint),
        ("command", &facts.command),
    ] {
        if !words.is_empty() {
            lines.words(name, &shell_line(words));
        }
    }
    lines.each("ports", &facts.ports);
    let names = facts.env.iter().filter_map(|line| line.split('=').next());
    let names: Vec<&str> = names.collect();
    lines.maybe("variables", (!names.is_empty()).then(|| names.join(" ")));
    let labels = facts.labels.iter();
    lines.each(
        "labels",
        labels.map(|(name, value)| format!("{name}={value}")),
    );
}

fn lock(lines: &mut Lines, report: &InspectReport) {
    let Some(lock) = &report.lock else {
        return lines.add("lock", "no entry");
    };
    let from = match lock.from {
        "registry" => "attached to the image",
        from => from,
    };
    if lock.is_this_image {
        lines.add("lock", format!("{} ({from}, {})", lock.entry, lock.created));
        lines.maybe("template", lock.template.as_ref());
        let bases = lock.bases.iter();
        lines.each(
            "base",
            bases.map(|b| format!("{}@{}", b.reference, b.digest)),
        );
    } else {
        let digest = lock.digest.as_ref().map(AsRef::as_ref);
        lines.add(
            "lock",
            format!(
                "{} in {from} is another image: {}",
                lock.entry,
                digest.unwrap_or("never pushed")
            ),
        );
    }
    if let Some(derived) = &report.derived_from {
        let to = format!("{} {}:{}", derived.name, derived.uid, derived.gid);
        lines.add("derived", format!("from {}, for {to}", derived.from));
    }
}

fn packages(lines: &mut Lines, report: &InspectReport, list: bool) {
    let Some(packages) = &report.packages else {
        return lines.add(
            "packages",
            "not recorded; --layers reads them from the image",
        );
    };
    let from = match packages.from {
        "registry" => "the lock's entry that is attached",
        "layers" => "its layers",
        from => from,
    };
    lines.add(
        "packages",
        format!(
            "{} of Debian, {} of Python{} (from {from}{})",
            packages.apt.len(),
            packages.python.len(),
            match packages.conda.len() {
                0 => String::new(),
                count => format!(", {count} of conda"),
            },
            if list { "" } else { "; --packages lists them" }
        ),
    );
    let shown = |all: &BTreeMap<String, String>| -> Vec<String> {
        let lines = all.iter();
        lines
            .map(|(name, version)| format!("{name} {version}"))
            .collect()
    };
    if list {
        lines.each("apt", shown(&packages.apt));
        lines.each("python", shown(&packages.python));
        lines.each("conda", shown(&packages.conda));
    }
}

fn runs(lines: &mut Lines, report: &InspectReport) {
    let shown = report.runs.iter().take(RUNS).map(|run| {
        let status = run
            .status
            .map_or(String::new(), |status| format!(" {status},"));
        let places = match (run.is_recorded, run.is_attached) {
            (true, true) => "recorded here and attached",
            (true, false) => "recorded here",
            _ => "attached",
        };
        format!("{}:{status} {places}", run.id)
    });
    lines.each("runs", shown);
    if let Some(more @ 1..) = report.runs.len().checked_sub(RUNS) {
        lines.add("", format!("and {more} more"));
    }
}
