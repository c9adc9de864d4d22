//! Which packages and projects are compiled in a stage of their own: those that publish no wheels, and
//! those whose files show code to compile.

use std::collections::{BTreeMap, BTreeSet};

use super::inputs::Inputs;
use super::{ComposeContext, Warning};
use crate::project::manifests::Asked;
use crate::project::{Address, SourceOnly, Span, Wanted, compiles, name_of_project};
use crate::spec::{Accelerator, ImageSpec};
use crate::tables::{Nvcc, compiled};

/// What is compiled; nothing where it is empty.
#[derive(Debug, Clone, Default)]
pub(super) struct Compiled {
    /// Packages, by name.
    pub packages: Vec<Package>,
    /// Projects of the context: folder, and why.
    pub projects: Vec<(String, String)>,
    /// What builds without isolation import.
    pub needs: BTreeSet<String>,
    /// Packages of the distribution that builds take, besides a compiler.
    pub apt: BTreeSet<String>,
    /// Whether nvcc is called.
    pub nvcc: bool,
    /// Whether a project is built beside what it imports.
    pub open_projects: bool,
    /// Whether one of them was to be editable, which a wheel isn't.
    has_editable: bool,
}

/// A package that is compiled.
#[derive(Debug, Clone)]
pub(super) struct Package {
    pub name: String,
    pub extras: Vec<String>,
    pub line: Line,
    /// Whether it comes from an address: its wheel then takes the place of its line.
    pub is_address: bool,
    /// Whether it is built beside what its build imports, without isolation.
    pub is_open: bool,
    origin: String,
    why: String,
}

/// What an installer is given to build it.
#[derive(Debug, Clone)]
pub(super) enum Line {
    /// Lines of a requirements file.
    OfFile(Span),
    /// A text.
    Text(String),
}

impl Compiled {
    pub fn is_empty(&self) -> bool {
        self.packages.is_empty() && self.projects.is_empty()
    }

    /// What is compiled, each with the place that asks for it and the reason.
    pub fn reasons(&self) -> Vec<Asked> {
        let packages = self.packages.iter().map(|package| Asked {
            text: package.name.clone(),
            origin: format!("{}: {}", package.origin, package.why),
        });
        let projects = self.projects.iter().map(|(folder, why)| Asked {
            text: named(folder),
            origin: why.clone(),
        });
        packages.chain(projects).collect()
    }

    /// Says what is compiled where, and why.
    pub fn note(&self) -> Option<String> {
        let packages = self.packages.iter();
        let packages = packages.map(|p| format!("{} ({}: {})", p.name, p.origin, p.why));
        let projects = self.projects.iter();
        let projects = projects.map(|(folder, why)| format!("{} ({why})", named(folder)));
        let all: Vec<String> = packages.chain(projects).collect();
        (!all.is_empty()).then(|| {
            let fixed = if self.has_editable {
                "; what is asked for as editable isn't: an edit of it needs another build"
            } else {
                ""
            };
            format!(
                "compiled in a builder stage, of which only the wheels reach the image: {}{fixed}",
                all.join(", ")
            )
        })
    }

    /// The lines of requirements files that wheels take the place of.
    pub fn replaced(&self) -> BTreeMap<&str, Vec<(usize, usize)>> {
        let mut replaced: BTreeMap<&str, Vec<(usize, usize)>> = BTreeMap::new();
        for package in self.packages.iter().filter(|p| p.is_address) {
            if let Line::OfFile(span) = &package.line {
                let lines = replaced.entry(&span.file).or_default();
                lines.push((span.first, span.last));
            }
        }
        replaced
    }

    /// Whether a wheel takes the place of a line that isn't in a requirements file.
    pub fn replaces(&self, line: &str) -> bool {
        let mut addresses = self.packages.iter().filter(|p| p.is_address);
        addresses.any(|p| matches!(&p.line, Line::Text(text) if text == line))
    }

    /// Whether a project of the context is compiled.
    pub fn has_project(&self, folder: &str) -> bool {
        self.projects.iter().any(|(known, _)| known == folder)
    }
}

/// How a project of the context is called in a sentence.
fn named(folder: &str) -> String {
    match folder {
        "." => "the project itself".to_owned(),
        folder => folder.to_owned(),
    }
}

/// Finds what is compiled. What may be is said in the notes.
pub(super) fn find(
    spec: &ImageSpec,
    context: &ComposeContext,
    inputs: &Inputs,
    accelerator: Accelerator,
    notes: &mut Vec<String>,
    warnings: &mut Vec<Warning>,
) -> Compiled {
    let mut finder = Finder {
        spec,
        inputs,
        accelerator,
        found: Compiled::default(),
    };
    if inputs.locked {
        finder.of_locks();
    } else {
        finder.of_lists();
        finder.of_locks();
    }
    finder.by_addresses(notes);
    finder.others();
    finder.projects(context);
    let found = finder.found;
    if accelerator == Accelerator::Off {
        let known = found
            .packages
            .iter()
            .filter_map(|p| Some((p, compiled().named(&p.name)?)));
        let mut useless = known.filter(|(_, known)| known.nvcc == Nvcc::Always);
        if let Some((package, _)) = useless.next() {
            warnings.push(Warning {
                message: format!(
                    "{} ({}) is compiled with nvcc, and this image is made for CPUs",
                    package.name, package.origin
                ),
                hint: Some("set gpu = \"cuda\" under [image], or leave it out".into()),
            });
        }
    }
    found
}

struct Finder<'a> {
    spec: &'a ImageSpec,
    inputs: &'a Inputs,
    accelerator: Accelerator,
    found: Compiled,
}

impl<'a> Finder<'a> {
    /// Packages that are written down.
    fn of_lists(&mut self) {
        for wanted in &self.inputs.wanted {
            let Some(versions) = wanted.versions.as_ref().filter(|_| !wanted.is_wheel) else {
                continue; // an address, or nothing to build
            };
            let known = compiled().named(&wanted.name);
            let known = known.filter(|known| known.is_compiled(versions));
            let why = match (self.said(&wanted.name), known) {
                (Some(why), _) => why,
                (None, Some(_)) => "no wheels of it are published".to_owned(),
                (None, None) => continue,
            };
            let line = match self.inputs.spans.get(&wanted.origin) {
                Some(span) => Line::OfFile(span.clone()),
                None => Line::Text(text_of(wanted)),
            };
            self.add(
                &wanted.name,
                &wanted.extras,
                line,
                false,
                (&wanted.origin, &why),
            );
        }
    }

    /// What the settings or the project say of a package.
    fn said(&self, name: &str) -> Option<String> {
        let python = &self.spec.python;
        let has = |list: &[String]| {
            list.iter()
                .any(|one| mlbuild_wheels::normalize(one) == name)
        };
        if has(&python.compile) {
            return Some("compile names it".to_owned());
        }
        if has(&python.no_build_isolation) {
            return Some("no_build_isolation names it".to_owned());
        }
        if self.of_settings(name).is_some() {
            return Some("extra_build_dependencies names it".to_owned());
        }
        let is_open = self.inputs.open_builds.contains_key(name);
        is_open.then(|| "the project's pyproject.toml says how it is built".to_owned())
    }

    /// What the settings say that its build imports.
    fn of_settings(&self, name: &str) -> Option<&'a Vec<String>> {
        let spec: &'a ImageSpec = self.spec;
        let mut all = spec.python.extra_build_dependencies.iter();
        all.find_map(|(one, needs)| (mlbuild_wheels::normalize(one) == name).then_some(needs))
    }

    fn of_locks(&mut self) {
        for package in &self.inputs.source_only {
            let SourceOnly {
                name,
                line,
                is_address,
                origin,
            } = package;
            let said = self.said(name);
            let is_known = compiled().named(name).is_some();
            if compiled().is_pure(name) && said.is_none()
                || *is_address && said.is_none() && !is_known
            {
                continue;
            }
            let of_lock = if *is_address {
                "it is a repository with code to compile"
            } else {
                "the lock names no wheel of it that fits"
            };
            let why = said.unwrap_or_else(|| of_lock.to_owned());
            self.add(
                name,
                &[],
                Line::Text(line.clone()),
                *is_address,
                (origin, &why),
            );
        }
    }

    /// Repositories and archives: those that are known, and those that the settings name.
    fn by_addresses(&mut self, notes: &mut Vec<String>) {
        let mut unknown = Vec::new();
        for address in &self.inputs.addresses {
            let Address {
                name,
                repository,
                extras,
                text,
                origin,
            } = address;
            let known = name.as_deref().and_then(|name| compiled().named(name));
            let known = known.or_else(|| compiled().of_repository(repository));
            let called = name.clone().or(known.map(|known| known.name.clone()));
            let called = called.unwrap_or_else(|| mlbuild_wheels::normalize(repository));
            let why = match (self.said(&called), known) {
                (Some(why), _) => why,
                (None, Some(_)) => "its repository holds code to compile".to_owned(),
                (None, None) => {
                    unknown.push(format!("{called} ({origin})"));
                    continue;
                }
            };
            let line = match self.inputs.spans.get(origin) {
                Some(span) => Line::OfFile(span.clone()),
                None => Line::Text(text.clone()),
            };
            self.add(&called, extras, line, true, (origin, &why));
        }
        unknown.sort();
        unknown.dedup();
        if let Some(first) = unknown.first() {
            let first = first.split(' ').next().unwrap_or_default().to_owned();
            notes.push(format!(
                "whether these are compiled is known once they are fetched: {}; where one finds no compiler, name it: compile = [{}] under [image]",
                unknown.join(", "),
                toml::Value::String(first)
            ));
        }
    }

    /// What the settings name and nothing asks for by itself: other packages need it.
    fn others(&mut self) {
        let python = &self.spec.python;
        let named: Vec<String> = python.extra_build_dependencies.keys().cloned().collect();
        for (list, setting) in [
            (&python.compile, "compile"),
            (&python.no_build_isolation, "no_build_isolation"),
            (&named, "extra_build_dependencies"),
        ] {
            for name in list.iter().filter(|_| !self.inputs.locked) {
                let (origin, why) = (setting, format!("{setting} names it"));
                let name = mlbuild_wheels::normalize(name);
                if self.inputs.find(&name).is_some_and(|found| found.is_wheel) {
                    continue;
                }
                let line = Line::Text(self.pinned(&name));
                self.add(&name, &[], line, false, (origin, &why));
            }
        }
    }

    /// The package in the version that a lock of the project holds it to.
    fn pinned(&self, name: &str) -> String {
        let mut pins = self.inputs.constraints.iter();
        let pin = pins.find(|pin| pin.split("==").next() == Some(name));
        pin.cloned().unwrap_or_else(|| name.to_owned())
    }

    fn add(
        &mut self,
        name: &str,
        extras: &[String],
        line: Line,
        is_address: bool,
        (origin, why): (&str, &str),
    ) {
        if self
            .found
            .packages
            .iter()
            .any(|package| package.name == name)
        {
            return;
        }
        let known = compiled().named(name);
        let none = Vec::new();
        let needs = known.map_or(&none, |known| &known.needs);
        let named = self.spec.python.no_build_isolation.iter();
        let mut named = named.map(|name| mlbuild_wheels::normalize(name));
        let inputs: &'a Inputs = self.inputs;
        let said = self.of_settings(name).or(inputs.open_builds.get(name));
        let is_open = !needs.is_empty() || said.is_some() || named.any(|one| one == name);
        if is_open {
            self.need(needs);
            self.need(said.unwrap_or(&none));
            self.need(&["setuptools".to_owned(), "wheel".to_owned()]);
            if needs.is_empty() && said.is_none_or(Vec::is_empty) {
                self.need_all();
            }
        }
        if let Some(known) = known {
            self.found.apt.extend(known.apt.iter().cloned());
            self.found.nvcc |= known.nvcc != Nvcc::Never && self.accelerator == Accelerator::Cuda;
        }
        // Who says that a package is built beside PyTorch says nothing of nvcc.
        self.found.nvcc |= known.is_none() && is_open && self.accelerator == Accelerator::Cuda;
        self.found.packages.push(Package {
            name: name.to_owned(),
            extras: extras.to_vec(),
            line,
            is_address,
            is_open,
            origin: origin.to_owned(),
            why: why.to_owned(),
        });
    }

    /// What builds import, in the versions that are asked for.
    fn need(&mut self, needs: &[String]) {
        for need in needs {
            let (name, is_bare) = name_of(need);
            let wanted = self.inputs.find(&name).filter(|w| w.versions.is_some());
            self.found.needs.insert(match wanted {
                Some(wanted) => text_of(wanted),
                None if is_bare => self.pinned(&name),
                None => need.clone(),
            });
        }
    }

    /// The frameworks that are asked for, where nobody says what a build imports.
    fn need_all(&mut self) {
        let frameworks = ["torch", "tensorflow", "jax", "numpy", "ninja", "packaging"];
        let asked = frameworks.iter().filter(|name| {
            ["ninja", "packaging"].contains(name) || self.inputs.find(name).is_some()
        });
        let asked: Vec<String> = asked.map(ToString::to_string).collect();
        self.need(&asked);
    }

    /// Projects of the context that show code to compile.
    fn projects(&mut self, context: &ComposeContext) {
        let Some(project) = context.project else {
            return;
        };
        for local in &self.inputs.local {
            let Some(compiles) = compiles(project, &local.folder) else {
                continue;
            };
            self.found
                .apt
                .extend(compiles.apt.iter().map(ToString::to_string));
            // The project may be one of those that others ask the index for.
            let name = name_of_project(project, &local.folder);
            if let Some(known) = name.and_then(|name| compiled().named(&name)) {
                self.found.apt.extend(known.apt.iter().cloned());
            }
            self.found.nvcc |= compiles.nvcc && self.accelerator == Accelerator::Cuda;
            self.found.open_projects |= !compiles.needs.is_empty();
            self.found.has_editable |= local.editable;
            self.need(&compiles.needs);
            self.found
                .projects
                .push((local.folder.clone(), compiles.why));
        }
    }
}

/// The canonical name that a requirement begins with, and whether nothing follows it.
pub(super) fn name_of(requirement: &str) -> (String, bool) {
    let end = requirement.find(|c: char| !c.is_ascii_alphanumeric() && !"-_.".contains(c));
    let name = &requirement[..end.unwrap_or(requirement.len())];
    (mlbuild_wheels::normalize(name), end.is_none())
}

/// A package of an index as a requirement.
fn text_of(wanted: &Wanted) -> String {
    let extras = match wanted.extras.as_slice() {
        [] => String::new(),
        extras => format!("[{}]", extras.join(",")),
    };
    let versions = wanted.versions.as_ref().map(ToString::to_string);
    format!("{}{extras}{}", wanted.name, versions.unwrap_or_default())
}

/// The release of CUDA whose nvcc fits: that of the packages, else the nearest of the same major version
/// that has an image, else the usual one.
pub(super) fn toolkit(cuda: Option<&str>) -> (String, String) {
    let table = crate::tables::cuda().bases();
    let usual = crate::tables::bases().cuda.as_str();
    let asked = cuda.unwrap_or(usual);
    let major = |release: &str| release.split('.').next().unwrap_or_default().to_owned();
    let of_major = || {
        table
            .iter()
            .rev()
            .find(|row| major(&row.cuda) == major(asked))
    };
    let row = table.iter().find(|row| row.cuda == asked).or_else(of_major);
    let row = row.or_else(|| table.iter().find(|row| row.cuda == usual));
    let row = row.unwrap_or(&table[0]);
    (row.cuda.clone(), row.toolkit())
}

/// Whether a base has nvcc by itself.
pub(super) fn has_nvcc(base: &str) -> bool {
    let ngc = [
        "nvcr.io/nvidia/pytorch",
        "nvcr.io/nvidia/tensorflow",
        "nvcr.io/nvidia/jax",
    ];
    base.contains("devel") || ngc.iter().any(|name| base.contains(name))
}
