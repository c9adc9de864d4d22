//! What changed between two runs.

use std::collections::BTreeMap;
use std::fmt::Display;

use mlbuild_manifests::RunRecord;
use mlbuild_manifests::lock::{LockedImage, LockedPackages};
use mlbuild_manifests::run_record::{RunCluster, RunData, RunSlurm};
use serde::Serialize;

/// One of the two runs.
#[derive(Clone, Copy, Debug)]
pub struct Side<'a> {
    /// Its record.
    pub record: &'a RunRecord,
    /// Its image's entry in the lock, where it was found.
    pub lock: Option<&'a LockedImage>,
}

/// One thing that differs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// What it belongs to: `image`, `packages`, `code`, …
    pub area: &'static str,
    /// What it is.
    pub what: String,
    /// In the first run; `None` where it wasn't there.
    pub old: Option<String>,
    /// In the second run; `None` where it isn't there any more.
    pub new: Option<String>,
}

/// All differences, those of one area together. `line` makes one line of arguments.
pub fn compare(old: Side<'_>, new: Side<'_>, line: fn(&[String]) -> String) -> Vec<Difference> {
    let mut found = Found::default();
    found.image(old.record, new.record);
    if let (Some(old), Some(new)) = (old.lock, new.lock) {
        found.lock(old, new);
    } else {
        found.values("lock", "entry", &old.record.lock, &new.record.lock);
    }
    found.code(old.record, new.record);
    found.data(&old.record.data, &new.record.data);
    found.command(old.record, new.record, line);
    found.host(old.record, new.record);
    found.cluster(old.record, new.record, line);
    found.outcome(old.record, new.record);
    found.0
}

/// What is known of data, by the digest that says most.
fn shown_data(data: &RunData) -> String {
    let digest = data.full.as_ref().or(data.sample.as_ref());
    let Some(digest) = digest else {
        return "named".to_owned();
    };
    format!(
        "{digest} ({} files, {} bytes)",
        data.files.unwrap_or_default(),
        data.bytes.unwrap_or_default()
    )
}

#[derive(Default)]
struct Found(Vec<Difference>);

impl Found {
    fn values<T: Display + PartialEq>(
        &mut self,
        area: &'static str,
        what: impl Display,
        old: &Option<T>,
        new: &Option<T>,
    ) {
        if old != new {
            self.0.push(Difference {
                area,
                what: what.to_string(),
                old: old.as_ref().map(ToString::to_string),
                new: new.as_ref().map(ToString::to_string),
            });
        }
    }

    fn maps(
        &mut self,
        area: &'static str,
        what: &str,
        old: &BTreeMap<String, String>,
        new: &BTreeMap<String, String>,
    ) {
        let mut names: Vec<&String> = old.keys().chain(new.keys()).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let what = format!("{what} {name}");
            let (old, new) = (old.get(name).cloned(), new.get(name).cloned());
            self.values(area, what.trim(), &old, &new);
        }
    }

    /// Lists of which only the members matter.
    fn sets(&mut self, area: &'static str, what: &str, old: &[String], new: &[String]) {
        for gone in old.iter().filter(|item| !new.contains(item)) {
            self.values(area, what, &Some(gone.clone()), &None);
        }
        for added in new.iter().filter(|item| !old.contains(item)) {
            self.values(area, what, &None, &Some(added.clone()));
        }
    }

    fn image(&mut self, old: &RunRecord, new: &RunRecord) {
        let (old, new) = (&old.image, &new.image);
        let references = (Some(&old.reference), Some(&new.reference));
        self.values("image", "reference", &references.0, &references.1);
        // One record may know more of the same digest than the other.
        if old.pinned().is_some() && old.pinned() == new.pinned() {
            return;
        }
        self.values("image", "digest", &old.digest, &new.digest);
        self.values("image", "image ID", &old.image_id, &new.image_id);
        let manifests = |image: &mlbuild_manifests::run_record::RunImage| {
            let each = image.platforms.iter();
            each.map(|(name, p)| (name.clone(), p.manifest.to_string()))
                .collect()
        };
        self.maps("image", "", &manifests(old), &manifests(new));
    }

    fn lock(&mut self, old: &LockedImage, new: &LockedImage) {
        let bases = |image: &LockedImage| {
            let each = image.bases.iter();
            each.map(|base| (base.reference.clone(), base.digest.to_string()))
                .collect()
        };
        self.maps("base", "", &bases(old), &bases(new));
        self.packages(old.packages.as_ref(), new.packages.as_ref());
        let (a, b) = (&old.inputs, &new.inputs);
        self.values("lock", "template", &a.template, &b.template);
        self.values("lock", "the image's settings", &a.spec, &b.spec);
        let dockerfiles = (Some(&a.dockerfile), Some(&b.dockerfile));
        self.values("lock", "the Dockerfile", &dockerfiles.0, &dockerfiles.1);
        self.values("lock", "the files of the context", &a.context, &b.context);
        self.values("lock", "the build's settings", &a.settings, &b.settings);
        self.maps("lock", "build argument", &a.args, &b.args);
        let versions = (Some(&a.mlbuild), Some(&b.mlbuild));
        self.values("lock", "mlbuild", &versions.0, &versions.1);
    }

    fn packages(&mut self, old: Option<&LockedPackages>, new: Option<&LockedPackages>) {
        let (Some(old), Some(new)) = (old, new) else {
            if old.is_some() != new.is_some() {
                let listed = |side: Option<&LockedPackages>| side.map(|_| "listed");
                self.values("packages", "all", &listed(old), &listed(new));
            }
            return;
        };
        let python = |all: &LockedPackages| {
            let each = all.python.iter();
            each.map(|p| (p.name.clone(), p.version.clone())).collect()
        };
        let apt = |all: &LockedPackages| {
            let each = all.apt.iter();
            each.map(|p| (format!("{}:{}", p.name, p.arch), p.version.clone()))
                .collect()
        };
        self.maps("packages", "python", &python(old), &python(new));
        self.maps("packages", "apt", &apt(old), &apt(new));
    }

    fn code(&mut self, old: &RunRecord, new: &RunRecord) {
        let (a, b) = (
            old.git.clone().unwrap_or_default(),
            new.git.clone().unwrap_or_default(),
        );
        self.values("code", "repository", &a.remote, &b.remote);
        self.values("code", "commit", &a.commit, &b.commit);
        self.values("code", "branch", &a.branch, &b.branch);
        self.values("code", "folder", &a.folder, &b.folder);
        self.values("code", "uncommitted changes", &a.changes, &b.changes);
        self.sets("code", "not recorded", &a.left_out, &b.left_out);
    }

    fn data(&mut self, old: &[RunData], new: &[RunData]) {
        let mut names: Vec<&String> = old.iter().chain(new).map(|data| &data.name).collect();
        names.sort_unstable();
        names.dedup();
        for name in names {
            let of = |all: &'_ [RunData]| all.iter().find(|data| data.name == *name).cloned();
            let (a, b) = (of(old), of(new));
            let is_same = match (&a, &b) {
                (Some(a), Some(b)) => match (&a.full, &b.full) {
                    (Some(a), Some(b)) => a == b,
                    _ => a.sample == b.sample,
                },
                _ => false,
            };
            if !is_same {
                let shown = |data: &Option<RunData>| data.as_ref().map(shown_data);
                self.values("data", name, &shown(&a), &shown(&b));
            } else if a.as_ref().map(|data| &data.times) != b.as_ref().map(|data| &data.times)
                && a.as_ref().is_some_and(|data| data.full.is_none())
            {
                // Samples alone can't tell.
                let times = |data: &Option<RunData>| data.as_ref()?.times.clone();
                self.values("data", format!("{name}, written"), &times(&a), &times(&b));
            }
        }
    }

    fn command(&mut self, old: &RunRecord, new: &RunRecord, line: fn(&[String]) -> String) {
        let (a, b) = (
            old.command.clone().unwrap_or_default(),
            new.command.clone().unwrap_or_default(),
        );
        let line = |argv: &[String]| (!argv.is_empty()).then(|| line(argv));
        self.values("command", "command", &line(&a.argv), &line(&b.argv));
        self.options(&a.options, &b.options, line);
        self.sets("command", "variable", &a.environment, &b.environment);
        self.sets("command", "mount", &a.mounts, &b.mounts);
        self.values("command", "started with", &a.program, &b.program);
        self.values("command", "display", &a.display, &b.display);
    }

    /// The options that only one of the two has; those of mounts and variables have lines of their own.
    fn options(
        &mut self,
        old: &[String],
        new: &[String],
        line: impl Fn(&[String]) -> Option<String>,
    ) {
        let is_one_word = |option: &String| option.starts_with("--");
        let differs = |a: &[String], b: &[String]| a.iter().any(|option| !b.contains(option));
        let can_be_told_apart =
            old.iter().chain(new).all(is_one_word) && (differs(old, new) || differs(new, old));
        if !can_be_told_apart {
            // Words of which some are values of others, or the same ones in another order.
            self.values("command", "options", &line(old), &line(new));
            return;
        }
        let own = |options: &[String]| {
            let own = options.iter().filter(|option| {
                !["--volume=", "--env="]
                    .iter()
                    .any(|flag| option.starts_with(flag))
            });
            own.cloned().collect::<Vec<_>>()
        };
        self.sets("command", "option", &own(old), &own(new));
    }

    fn host(&mut self, old: &RunRecord, new: &RunRecord) {
        let accelerator = |record: &RunRecord| record.command.as_ref()?.accelerator.clone();
        self.values("gpu", "asked for", &accelerator(old), &accelerator(new));
        let (a, b) = (
            old.host.clone().unwrap_or_default(),
            new.host.clone().unwrap_or_default(),
        );
        let devices = |devices: &[String]| (!devices.is_empty()).then(|| devices.join(", "));
        self.values("gpu", "model", &devices(&a.devices), &devices(&b.devices));
        self.values("gpu", "driver", &a.driver, &b.driver);
        let word = |word: &str| (!word.is_empty()).then(|| word.to_owned());
        self.values("host", "name", &word(&a.name), &word(&b.name));
        self.values("host", "platform", &word(&a.platform), &word(&b.platform));
        self.values("host", "runtime", &a.runtime, &b.runtime);
    }

    fn cluster(&mut self, old: &RunRecord, new: &RunRecord, line: fn(&[String]) -> String) {
        let (a, b) = (old.cluster.as_ref(), new.cluster.as_ref());
        let mut each = |what, of: fn(&RunCluster) -> Option<String>| {
            self.values("cluster", what, &a.and_then(of), &b.and_then(of));
        };
        each("server", |cluster| Some(cluster.server.clone()));
        each("context", |cluster| cluster.context.clone());
        each("namespace", |cluster| Some(cluster.namespace.clone()));
        let options = |cluster: Option<&RunCluster>| {
            let options = &cluster?.options;
            (!options.is_empty()).then(|| line(options))
        };
        self.values("cluster", "options", &options(a), &options(b));
        let (a, b) = (old.slurm.as_ref(), new.slurm.as_ref());
        let mut each = |what, of: fn(&RunSlurm) -> &String| {
            self.values("slurm", what, &a.map(of), &b.map(of));
        };
        each("cluster", |slurm| &slurm.cluster);
        each("runtime", |slurm| &slurm.runtime);
        let options = |slurm: Option<&RunSlurm>| {
            let options = &slurm?.options;
            (!options.is_empty()).then(|| line(options))
        };
        self.values("slurm", "options", &options(a), &options(b));
    }

    fn outcome(&mut self, old: &RunRecord, new: &RunRecord) {
        let exit = |record: &RunRecord| record.outcome.as_ref().and_then(|o| o.exit_code);
        self.values(
            "outcome",
            "status",
            &Some(old.status().as_str()),
            &Some(new.status().as_str()),
        );
        self.values("outcome", "exit code", &exit(old), &exit(new));
    }
}
