//! Requirements files, as pip reads them: which packages they ask for, which other files they
//! include, which projects of the folder they install, and which lines can't work inside an image.

mod decode;
mod lines;
mod options;
pub(super) mod pep508;
mod wheel;

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use pep508_rs::{ExtraName, MarkerEnvironment, Requirement, VerbatimUrl, VersionOrUrl};

pub(super) use self::lines::logical_lines;

use self::lines::Line;
use self::options::{Given, Scope};
use super::manifests::{Asked, Unused, UnusedKind};
use super::{ImagePython, ProjectError, Wanted};

/// What a set of requirements files asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Requirements {
    /// The packages, in the order of the files. What a marker rules out in the image isn't listed.
    pub wanted: Vec<Wanted>,
    /// The files themselves, all they include, and the archives they name, relative to the
    /// project, sorted.
    pub files: BTreeSet<String>,
    /// Lines that fetch from a version control system, as `git`.
    pub vcs: BTreeSet<String>,
    /// The first line that pins a hash, as `requirements.txt:3`: then every package has to.
    pub hashed: Option<String>,
    /// Lines that hold a user name or password in a URL, as `requirements.txt:3`.
    pub credentials: Vec<String>,
    /// Projects of the folder that are to be installed (`-e .`, `./lib`), once the code is there.
    pub local: Vec<LocalProject>,
    /// The lines that name them, which the installer must not see: file, first and last line.
    pub omitted: BTreeMap<String, Vec<(usize, usize)>>,
    /// The first line that pip reads and uv doesn't, with what it is.
    pub only_pip: Option<(String, String)>,
    /// Whether some line names an index or a place of archives.
    pub has_index: bool,
    /// Whether one of them isn't PyTorch's own.
    pub has_other_index: bool,
    /// Lines whose packages can't be told before the build, and words that no installer reads.
    pub notes: Vec<Unused>,
    /// PyTorch's own index that some line names: `cpu`, `cu124`.
    pub torch_index: Option<String>,
    /// The one Python that a wheel is for which some line names (`==3.10.*`).
    pub python: Option<Asked>,
    /// Lines whose sources are fetched from an address, or lie in the project as an archive.
    pub addresses: Vec<Address>,
    /// Where the lines of requirements files stand that ask for a package, by origin.
    pub spans: BTreeMap<String, Span>,
    /// Files that hold versions back (`-c`).
    pub constraint_files: BTreeSet<String>,
}

/// Lines of a requirements file that are one requirement.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Span {
    /// The file, relative to the project.
    pub file: String,
    /// Its first line, from 1.
    pub first: usize,
    /// Its last line.
    pub last: usize,
}

/// A requirement whose sources come from an address.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Address {
    /// The package, where the line names it.
    pub name: Option<String>,
    /// The last part of the address without its ending: `detectron2`.
    pub repository: String,
    /// The extras that are asked for.
    pub extras: Vec<String>,
    /// The whole line.
    pub text: String,
    /// Where it is asked for.
    pub origin: String,
}

/// A project of the build context that an image installs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LocalProject {
    /// Its folder, relative to the context; `.` for the context itself.
    pub folder: String,
    /// Extras that are asked for.
    pub extras: Vec<String>,
    /// Whether it is installed as a link to its sources.
    pub editable: bool,
    /// Where it is asked for.
    pub origin: String,
}

const MAX_DEPTH: usize = 20;

/// True for a path that lies outside the project's folder, by its words or by the links on its way.
pub(crate) fn is_outside(project: &Path, path: &str) -> bool {
    normalize(path).starts_with("..") || leads_out(project, path)
}

/// True for a file that links lead out of the project's folder.
fn leads_out(project: &Path, file: &str) -> bool {
    let places = (project.canonicalize(), project.join(file).canonicalize());
    matches!(&places, (Ok(project), Ok(file)) if !file.starts_with(project))
}

/// Reads requirements files, and the files that they include, of the project in a folder.
/// Markers are judged for `python`.
///
/// # Errors
/// [`ProjectError`] names the file and line that is missing, unreadable, not understood, or that
/// names a path outside the build context.
pub fn read_requirements(
    project: &Path,
    files: &[String],
    python: &ImagePython,
) -> Result<Requirements, ProjectError> {
    let mut reader = Reader {
        project,
        environment: python.markers(),
        found: Requirements::default(),
    };
    for file in files {
        reader.read(file, false, 0)?;
    }
    Ok(reader.found)
}

/// Reads requirement lines of a file of another kind. Gives those that the installer is to see, too.
///
/// # Errors
/// As [`read_requirements`].
pub fn read_lines(
    project: &Path,
    asked: &[Asked],
    python: &ImagePython,
) -> Result<(Vec<String>, Requirements), ProjectError> {
    let mut reader = Reader {
        project,
        environment: python.markers(),
        found: Requirements::default(),
    };
    let mut shown = Vec::new();
    for asked in asked {
        let (file, number) = asked
            .origin
            .rsplit_once(':')
            .unwrap_or((&asked.origin, "1"));
        let number = number.parse().unwrap_or(1);
        let line = Line {
            number,
            last: number,
            text: asked.text.trim().to_owned(),
            open: false,
        };
        let at = Place { file, line: &line };
        let before = reader.found.local.len();
        reader.line(&at, false, 0)?;
        if reader.found.local.len() == before {
            shown.push(line.text);
        }
    }
    reader.found.omitted.clear();
    Ok((shown, reader.found))
}

/// Reads one requirement that isn't in a file; `None` where its marker rules it out.
pub(crate) fn parse_one(
    text: &str,
    origin: &str,
    python: &ImagePython,
) -> Result<Option<Wanted>, String> {
    let requirement = pep508::requirement(text)?;
    let applies = requirement.marker.evaluate(&python.markers(), &[]);
    Ok(applies.then(|| wanted(&requirement, origin)))
}

struct Reader<'a> {
    project: &'a Path,
    environment: MarkerEnvironment,
    found: Requirements,
}

impl Reader<'_> {
    fn read(&mut self, file: &str, constraint: bool, depth: usize) -> Result<(), ProjectError> {
        let file = normalize(file);
        if !self.found.files.insert(file.clone()) {
            return Ok(());
        }
        if is_outside(self.project, &file) {
            return Err(ProjectError::Unreadable {
                path: file.into(),
                reason: "it lies outside the build context".into(),
                hint: "name files of the project, by a relative path".into(),
            });
        }
        let text = self.load(&file)?;
        for line in lines::logical_lines(&text) {
            let at = Place {
                file: &file,
                line: &line,
            };
            self.line(&at, constraint, depth)?;
        }
        Ok(())
    }

    fn load(&mut self, file: &str) -> Result<String, ProjectError> {
        let unreadable = |reason: String, hint: &str| ProjectError::Unreadable {
            path: file.into(),
            reason,
            hint: hint.to_owned(),
        };
        let bytes =
            mlbuild_files::read(&self.project.join(file)).map_err(|error| match error.kind() {
                std::io::ErrorKind::NotFound => unreadable(
                    "no such file".into(),
                    "check the name; it is relative to the build context",
                ),
                _ => unreadable(error.to_string(), "make it readable, or leave it out"),
            })?;
        let decoded = decode::decode(&bytes).map_err(|why| unreadable(why, "save it as UTF-8"))?;
        if let Some(encoding) = decoded.only_pip {
            self.only_pip(file.to_owned(), format!("its encoding, {encoding}"));
        }
        Ok(decoded.text)
    }

    fn note(&mut self, at: &Place, what: &str, why: &str, next: &str) {
        self.note_of(UnusedKind::Left, at, (what, why, next));
    }

    fn note_of(&mut self, kind: UnusedKind, at: &Place, (what, why, next): (&str, &str, &str)) {
        self.found.notes.push(Unused {
            kind,
            what: format!("{}: {what}", at.origin()),
            why: why.to_owned(),
            next: next.into(),
        });
    }

    fn only_pip(&mut self, origin: String, what: String) {
        self.found.only_pip.get_or_insert((origin, what));
    }

    fn line(&mut self, at: &Place, constraint: bool, depth: usize) -> Result<(), ProjectError> {
        let text = at.line.text.as_str();
        if has_credentials(text) {
            self.found.credentials.push(at.origin());
        }
        if names_proxy(text) {
            return Err(at.bad(PROXY_SENT, PROXY_LEFT_OUT));
        }
        let known = self.found.wanted.len();
        self.parts(at, constraint, depth)?;
        let is_in_list = self.found.files.contains(at.file);
        let asks = self.found.wanted.len() > known || self.is_last_address(at);
        if is_in_list && asks {
            let span = Span {
                file: at.file.to_owned(),
                first: at.line.number,
                last: at.line.last,
            };
            self.found.spans.insert(at.origin(), span);
        }
        Ok(())
    }

    fn is_last_address(&self, at: &Place) -> bool {
        let last = self.found.addresses.last();
        last.is_some_and(|last| last.origin == at.origin())
    }

    fn parts(&mut self, at: &Place, constraint: bool, depth: usize) -> Result<(), ProjectError> {
        let text = at.line.text.as_str();
        let (requirement, options) = options::split(text);
        let options = options::read(options)
            .map_err(|why| at.bad(&why, "write one requirement per line, such as numpy>=1.26"))?;
        for word in &options.unread {
            self.note(at, word, "pip ignores it", "write it on a line of its own");
        }
        for given in &options.given {
            if let Some(typed) = &given.only_pip {
                self.only_pip(at.origin(), typed.clone());
            }
            match (requirement.is_empty(), given.option.scope) {
                (_, Scope::Requirement) if given.option.name == "hash" => {
                    self.found.hashed.get_or_insert(at.origin());
                }
                (true, Scope::File) => self.option(at, given, constraint, depth)?,
                (false, Scope::File) => self.note(
                    at,
                    &format!("--{}", given.option.name),
                    "pip ignores it behind a requirement",
                    "write it on a line of its own",
                ),
                (_, Scope::Requirement) => {}
            }
        }
        if requirement.is_empty() {
            return Ok(());
        }
        if at.is_open() {
            self.only_pip(at.origin(), "the backslash that nothing follows".into());
        }
        self.requirement(at, requirement, constraint)
    }

    fn option(
        &mut self,
        at: &Place,
        given: &Given,
        constraint: bool,
        depth: usize,
    ) -> Result<(), ProjectError> {
        let value = given.value.as_str();
        match given.option.name {
            "requirement" | "constraint" => {
                let constraint = constraint || given.option.name == "constraint";
                self.include(at, value, constraint, depth)
            }
            "editable" => self.editable(at, value),
            "find-links" => {
                self.found.has_index = true;
                self.find_links(at, value)
            }
            "no-binary" if !value.is_empty() && value != ":none:" => {
                let what = match value {
                    ":all:" => "every package is",
                    names if names.contains(',') => "these packages are",
                    _ => "that package is",
                };
                self.found.notes.push(Unused {
                    kind: UnusedKind::Undecided,
                    what: format!("{}: --no-binary {value}", at.origin()),
                    why: format!("{what} built where it is installed, which takes a compiler where it holds code of C"),
                    next: "leave the line out where wheels will do, or name what the build takes: apt = [\"build-essential\", \"python3-dev\"] under [image]".into(),
                });
                Ok(())
            }
            "index-url" | "extra-index-url" | "no-index" => {
                self.found.has_index = true;
                let of_torch = torch_index(value);
                self.found.has_other_index |= of_torch.is_none() && !value.is_empty();
                self.found.torch_index = self.found.torch_index.take().or(of_torch);
                Ok(())
            }
            _ => Ok(()),
        }
    }

    fn include(
        &mut self,
        at: &Place,
        value: &str,
        constraint: bool,
        depth: usize,
    ) -> Result<(), ProjectError> {
        if depth == MAX_DEPTH {
            return Err(at.bad("is included too deeply", "include fewer levels of files"));
        }
        if value.contains("://") && !value.starts_with("file:") {
            let why = "it is read while the image is built, so nothing is decided from it";
            self.note_of(
                UnusedKind::Undecided,
                at,
                (value, why, "copy the file into the project"),
            );
            return Ok(());
        }
        let included = normalize(&format!("{}/{value}", at.folder()));
        if value.is_empty()
            || value.starts_with('/')
            || included.starts_with("..")
            || value.contains("://")
        {
            return Err(at.bad(
                "includes a file from outside the build context",
                "include files of the project, by a relative path",
            ));
        }
        if leads_out(self.project, &included) {
            return Err(at.bad(
                &format!("includes {included}, a link that leads out of the build context"),
                "include files of the project, by a relative path",
            ));
        }
        if !self.project.join(&included).is_file() {
            return Err(at.bad(
                &format!("includes {included}, which isn't there"),
                "write the file or remove the line",
            ));
        }
        if constraint {
            self.found.constraint_files.insert(included.clone());
        }
        self.read(&included, constraint, depth + 1)
    }

    /// Keeps an address whose sources are fetched.
    fn fetched(&mut self, at: &Place, name: Option<&str>, address: &str) {
        let path = address.split(['#', '?']).next().unwrap_or(address);
        let path = path.trim_end_matches('/');
        let last = path.rsplit('/').next().unwrap_or(path);
        // What follows the `@` names a commit or a branch.
        let repository = match path.rsplit_once('@') {
            Some((before, _)) if !before.ends_with("//git") && vcs_of(address).is_some() => {
                before.rsplit('/').next().unwrap_or(before)
            }
            _ => last,
        };
        let repository = repository.trim_end_matches(".git").to_owned();
        let (name, extras) = match name {
            None => (None, Vec::new()),
            Some(name) => {
                let (name, extras) = without_extras(name.trim());
                (Some(mlbuild_wheels::normalize(name.trim())), extras)
            }
        };
        self.found.addresses.push(Address {
            name,
            repository,
            extras,
            text: at.line.text.clone(),
            origin: at.origin(),
        });
    }

    fn find_links(&mut self, at: &Place, value: &str) -> Result<(), ProjectError> {
        if value.contains("://") && !value.starts_with("file:") {
            return Ok(());
        }
        // pip looks beside the file first, then in the folder it is started in.
        let beside = normalize(&format!("{}/{value}", at.folder()));
        let inside = |path: &str| !value.starts_with('/') && !path.starts_with("..");
        let folder = [beside, normalize(value)]
            .into_iter()
            .find(|path| inside(path) && self.project.join(path).is_dir());
        let Some(folder) = folder.filter(|_| !value.contains("://")) else {
            return Err(at.bad(
                "names a place of archives that isn't a folder of the build context",
                "give a folder of the project, or an address",
            ));
        };
        let entries = std::fs::read_dir(self.project.join(&folder))
            .into_iter()
            .flatten();
        for entry in entries.flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            if entry.path().is_file() && is_archive(&name) {
                self.found
                    .files
                    .insert(normalize(&format!("{folder}/{name}")));
            }
        }
        Ok(())
    }

    fn editable(&mut self, at: &Place, value: &str) -> Result<(), ProjectError> {
        let value = &*of_relative_file(value);
        let (path, extras) = without_extras(value);
        if let Some(vcs) =
            vcs_of(value).or_else(|| value.split_once(" @ ").and_then(|v| vcs_of(v.1)))
        {
            self.found.vcs.insert(vcs.to_owned());
            self.only_pip(at.origin(), "an editable repository".into());
            let name = egg(value).or_else(|| value.split_once(" @ ").map(|v| v.0.trim()));
            let Some(name) = name else {
                return Err(at.bad(
                    "doesn't name the package that the repository holds",
                    "add #egg=NAME to the address",
                ));
            };
            self.fetched(at, Some(name), value);
            return self.by_name(at, name);
        }
        if is_url(value) && !value.starts_with("file:") {
            return Err(at.bad(
                "isn't an editable requirement: neither a folder nor a repository",
                "write -e ./FOLDER or -e git+https://…#egg=NAME, or leave out -e",
            ));
        }
        self.local(at, path, extras, true)
    }

    /// A package that comes from an address.
    fn by_name(&mut self, at: &Place, name: &str) -> Result<(), ProjectError> {
        let requirement = pep508::requirement(name)
            .map_err(|error| at.bad(&error, "name the package: #egg=NAME"))?;
        self.found.wanted.push(Wanted {
            versions: None,
            ..wanted(&requirement, &at.origin())
        });
        Ok(())
    }

    /// A folder of the context, to be installed once the code is there.
    fn local(
        &mut self,
        at: &Place,
        path: &str,
        extras: Vec<String>,
        editable: bool,
    ) -> Result<(), ProjectError> {
        let folder = normalize(path);
        let outside =
            path.starts_with('/') || path.starts_with("file:") || folder.starts_with("..");
        if outside {
            return Err(at.outside());
        }
        let folder = if folder.is_empty() {
            ".".to_owned()
        } else {
            folder
        };
        let has = |name: &str| self.project.join(&folder).join(name).is_file();
        if !has("pyproject.toml") && !has("setup.py") {
            if let Some(module) = crate::project::unfetched_around(self.project, &folder) {
                let (reason, hint) = crate::project::to_fetch(&folder, &module);
                return Err(at.bad(&reason, &hint));
            }
            return Err(at.bad(
                &format!("names {folder}, which holds neither a pyproject.toml nor a setup.py"),
                "name the folder of a Python project, or remove the line",
            ));
        }
        self.found.local.push(LocalProject {
            folder,
            extras,
            editable,
            origin: at.origin(),
        });
        let span = (at.line.number, at.line.last);
        let lines = self.found.omitted.entry(at.file.to_owned()).or_default();
        lines.push(span);
        Ok(())
    }

    fn requirement(
        &mut self,
        at: &Place,
        text: &str,
        constraint: bool,
    ) -> Result<(), ProjectError> {
        let (target, marker) = split_marker(text);
        let target = &*of_relative_file(target);
        if is_url(target) {
            return self.address(at, target, marker);
        }
        let (path, extras) = without_extras(target);
        if looks_like_path(target, path) && !target.contains(" @ ") {
            if !self.applies(marker) {
                return Ok(());
            }
            if self.project.join(normalize(path)).is_dir() && !is_archive(path) {
                return self.local(at, path, extras, false);
            }
            return self.archive(at, path);
        }
        if let Some((name, target)) = target.split_once('@') {
            let target = target.trim();
            if !constraint && self.applies(marker) && self.wheel(at, target)?.is_none() {
                self.fetched(at, Some(name), target);
            }
            if let Some(vcs) = vcs_of(target) {
                self.found.vcs.insert(vcs.to_owned());
                self.not_by_uv(at, vcs);
            }
            if target.starts_with("file:") {
                return Err(at.outside());
            }
        }
        self.named(at, text, constraint)
    }

    fn named(&mut self, at: &Place, text: &str, constraint: bool) -> Result<(), ProjectError> {
        // pip and uv take a comma or semicolon that nothing follows.
        let text = text.trim_end_matches([',', ';', ' ']);
        let read = pep508::requirement(text);
        let requirement = match (read, text.split_once("===")) {
            (Ok(requirement), _) => requirement,
            // A version that isn't one (PEP 440, arbitrary equality): pip compares it as text.
            (Err(_), Some((name, version)))
                if !version.trim().is_empty()
                    && !version.trim_start().starts_with('=')
                    && !version.trim_start().starts_with('>') =>
            {
                self.only_pip(at.origin(), "=== with what isn't a version".into());
                return if constraint {
                    Ok(())
                } else {
                    self.by_name(at, name.trim())
                };
            }
            (Err(error), _) => {
                let (reason, hint) = other_form(text).unwrap_or((&error, WRITE_AS));
                return Err(at.bad(reason, hint));
            }
        };
        let extras: Vec<ExtraName> = Vec::new();
        if !constraint && requirement.marker.evaluate(&self.environment, &extras) {
            let mut wanted = wanted(&requirement, &at.origin());
            let (target, _) = split_marker(text);
            let wheel = target
                .split_once('@')
                .and_then(|(_, url)| wheel::at(url.trim()));
            if let Some(wheel) = wheel {
                wanted.is_wheel = true;
                wanted.versions = format!("=={}", wheel.version).parse().ok();
            }
            self.found.wanted.push(wanted);
        }
        Ok(())
    }

    /// A wheel at an address: it has to be for the image's machine, and may be for one Python alone.
    fn wheel(
        &mut self,
        at: &Place,
        address: &str,
    ) -> Result<Option<mlbuild_wheels::WheelName>, ProjectError> {
        let Some(wheel) = wheel::at(address) else {
            return Ok(None);
        };
        if let Some(reason) = wheel::unfit(&wheel, self.environment.platform_machine()) {
            let hint =
                "name the wheel for Linux, or say where it is for: ; sys_platform == \"win32\"";
            return Err(at.bad(&reason, hint));
        }
        if let Some(python) = wheel::python(&wheel) {
            self.found.python.get_or_insert(Asked {
                text: format!("=={python}.*"),
                origin: at.origin(),
            });
        }
        Ok(Some(wheel))
    }

    /// A bare address: its name is in the fragment or in the archive's name, or nobody knows it
    /// before it is fetched.
    fn address(&mut self, at: &Place, target: &str, marker: &str) -> Result<(), ProjectError> {
        if target.starts_with("file:") {
            return Err(at.outside());
        }
        if !self.applies(marker) {
            return Ok(());
        }
        if let Some(vcs) = vcs_of(target) {
            self.found.vcs.insert(vcs.to_owned());
            self.not_by_uv(at, vcs);
        }
        if let Some(wheel) = self.wheel(at, target)? {
            self.by_name(at, &wheel.name)?;
            if let Some(wanted) = self.found.wanted.last_mut() {
                wanted.is_wheel = true;
                wanted.versions = format!("=={}", wheel.version).parse().ok();
            }
            return Ok(());
        }
        self.fetched(at, egg(target), target);
        // Repositories that are compiled are known by their own names.
        let repository = self.found.addresses.last().map(|a| a.repository.as_str());
        let known = repository.and_then(|name| crate::tables::compiled().of_repository(name));
        match egg(target).or(known.map(|known| known.name.as_str())) {
            Some(name) => self.by_name(at, name),
            None => {
                let why = "which package it holds isn't known before the build, so nothing is decided from it";
                self.note_of(
                    UnusedKind::Undecided,
                    at,
                    (target, why, "add #egg=NAME to say it"),
                );
                Ok(())
            }
        }
    }

    /// A wheel or source archive of the context: it is copied beside the requirements files.
    fn archive(&mut self, at: &Place, path: &str) -> Result<(), ProjectError> {
        let file = normalize(path);
        if path.starts_with('/') || file.starts_with("..") {
            return Err(at.outside());
        }
        if !self.project.join(&file).is_file() {
            if let Some(module) = crate::project::unfetched_around(self.project, &file) {
                let (reason, hint) = crate::project::to_fetch(&file, &module);
                return Err(at.bad(&reason, &hint));
            }
            return Err(at.bad(
                &format!("names {file}, which isn't there"),
                "check the path: it is relative to the build context",
            ));
        }
        let name = file.rsplit('/').next().unwrap_or(&file);
        let package = name
            .split_once('-')
            .map_or(name, |(package, _)| package)
            .to_owned();
        self.found.files.insert(file.clone());
        if wheel::at(&file).is_none() {
            self.fetched(at, Some(&package), &file);
        }
        self.by_name(at, &package)
    }

    fn not_by_uv(&mut self, at: &Place, vcs: &str) {
        if vcs != "git" {
            self.only_pip(at.origin(), format!("{vcs}+"));
        }
    }

    fn applies(&self, marker: &str) -> bool {
        let marker = marker.trim();
        // Judged as that of a package of any name.
        marker.is_empty()
            || pep508::requirement(&format!("x ; {marker}"))
                .map_or(true, |read| read.marker.evaluate(&self.environment, &[]))
    }
}

struct Place<'a> {
    file: &'a str,
    line: &'a Line,
}

impl Place<'_> {
    fn origin(&self) -> String {
        format!("{}:{}", self.file, self.line.number)
    }

    fn folder(&self) -> &str {
        self.file.rsplit_once('/').map_or("", |(folder, _)| folder)
    }

    /// Whether the line ends the file with a backslash.
    fn is_open(&self) -> bool {
        self.line.open
    }

    fn bad(&self, reason: &str, hint: &str) -> ProjectError {
        ProjectError::Line {
            file: self.file.to_owned(),
            line: self.line.number,
            text: self.line.text.clone(),
            reason: reason.to_owned(),
            hint: hint.to_owned(),
        }
    }

    fn outside(&self) -> ProjectError {
        // What pip freeze writes of packages that conda installed, at its own machines' places.
        let text = &self.line.text;
        let of_conda = ["feedstock_root", "/croot/", "/ci/", "/tmp/build/", "/work"];
        if text.contains("file:///") && of_conda.iter().any(|place| text.contains(place)) {
            return self.bad(
                "names the place where conda built the package, which is nowhere else",
                "write NAME==VERSION instead: pip list --format=freeze does",
            );
        }
        self.bad(
            "names a path outside the build context, which no image can see",
            "copy it into the project and name it by a relative path, or publish the package",
        )
    }
}

const WRITE_AS: &str =
    "write it as NAME, NAME==VERSION or NAME @ URL (https://peps.python.org/pep-0508/)";

/// What a line is that other programs read: why pip doesn't, and what to write instead.
fn other_form(text: &str) -> Option<(&'static str, &'static str)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let rest = text.trim_start_matches(is_name);
    if rest.starts_with('=') && !rest.starts_with("==") {
        return Some((
            "conda writes packages like this, and pip doesn't read it",
            "write NAME==VERSION, or put conda's packages into an environment.yml",
        ));
    }
    let command = [
        "pip install ",
        "pip3 install ",
        "python -m pip install ",
        "conda install ",
    ];
    command
        .iter()
        .any(|command| text.starts_with(command))
        .then_some((
            "it is a command, and a requirements file holds only what follows it",
            "leave the command out and write one package per line",
        ))
}

fn wanted(requirement: &Requirement<VerbatimUrl>, origin: &str) -> Wanted {
    let mut extras: Vec<String> = requirement.extras.iter().map(ToString::to_string).collect();
    extras.sort();
    Wanted {
        name: requirement.name.to_string(),
        extras,
        versions: match &requirement.version_or_url {
            None => Some(pep440_rs::VersionSpecifiers::empty()),
            Some(VersionOrUrl::VersionSpecifier(versions)) => Some(versions.clone()),
            Some(VersionOrUrl::Url(_)) => None,
        },
        is_wheel: false,
        origin: origin.to_owned(),
    }
}

fn first_line(text: &str) -> String {
    text.lines().next().unwrap_or_default().to_owned()
}

/// The version control system of an address, `git` of `git+https://…` or `git://…`.
fn vcs_of(text: &str) -> Option<&str> {
    let scheme = text.split_once("://")?.0;
    let vcs = scheme.split('+').next().unwrap_or(scheme);
    ["git", "hg", "svn", "bzr"].contains(&vcs).then_some(vcs)
}

/// A path that is written as a relative address (`file:lib`, as Rye does), as the path that pip takes it for.
fn of_relative_file(text: &str) -> Cow<'_, str> {
    match text.split_once(':') {
        Some((scheme, path)) if scheme.eq_ignore_ascii_case("file") && !path.starts_with('/') => {
            Cow::Owned(format!("./{path}"))
        }
        _ => Cow::Borrowed(text),
    }
}

/// Whether pip takes it as an address: one of the schemes it knows before the first colon.
fn is_url(text: &str) -> bool {
    let Some((scheme, _)) = text.split_once(':') else {
        return false;
    };
    let scheme = scheme.to_ascii_lowercase();
    const PLAIN: [&str; 10] = [
        "http", "https", "file", "ftp", "ssh", "git", "hg", "bzr", "sftp", "svn",
    ];
    const CARRIERS: [&str; 9] = [
        "http", "https", "ssh", "git", "file", "svn", "sftp", "ftp", "lp",
    ];
    match scheme.split_once('+') {
        Some((vcs, carrier)) => {
            ["git", "hg", "svn", "bzr"].contains(&vcs)
                && (CARRIERS.contains(&carrier) || carrier == "static-http")
        }
        None => PLAIN.contains(&scheme.as_str()),
    }
}

/// `NAME` of an address's `#egg=NAME`.
fn egg(text: &str) -> Option<&str> {
    let fragment = text.split_once('#')?.1;
    let egg = fragment
        .split('&')
        .find_map(|part| part.strip_prefix("egg="))?;
    let name = egg.split('[').next().unwrap_or(egg);
    (!name.is_empty()).then_some(name)
}

/// What stands before a marker, and the marker: for addresses a blank stands before the `;`.
fn split_marker(text: &str) -> (&str, &str) {
    let separator = if is_url(text) || text.contains(" @ ") {
        " ;"
    } else {
        ";"
    };
    let separator = match text.contains(separator) {
        true => separator,
        false if is_url(text) => "; ",
        false => ";",
    };
    match text.split_once(separator) {
        Some((target, marker)) => (target.trim(), marker.trim()),
        None => (text.trim(), ""),
    }
}

/// A path without its `[extra,extra]`.
fn without_extras(text: &str) -> (&str, Vec<String>) {
    match text
        .strip_suffix(']')
        .and_then(|text| text.rsplit_once('['))
    {
        Some((path, extras)) => (
            path,
            extras
                .split(',')
                .map(|e| e.trim().to_owned())
                .filter(|e| !e.is_empty())
                .collect(),
        ),
        None => (text, Vec::new()),
    }
}

/// pip's own rule: a separator or a leading dot, or the name of an archive.
fn looks_like_path(text: &str, path: &str) -> bool {
    let before_at = text.split('@').next().unwrap_or(text);
    before_at.contains('/')
        || text.starts_with('.')
        || (is_archive(path) && !path.contains(' ') && !path.contains("://"))
}

fn is_archive(name: &str) -> bool {
    let ends = [
        ".whl", ".zip", ".tar.gz", ".tgz", ".tar.bz2", ".tbz", ".tar.xz", ".txz", ".tar",
    ];
    ends.iter()
        .any(|end| name.to_ascii_lowercase().ends_with(end))
}

/// The build (`cpu`, `cu124`) of an index of PyTorch's own, or of a copy of one: `…pytorch…/whl/cu124`,
/// `HOST/whl/cpu`, `…/pytorch-wheels/cu118`. Other projects have a `whl/` folder too.
fn torch_index(address: &str) -> Option<String> {
    let address = address.split(['#', ' ']).next()?.trim_end_matches('/');
    let (before, build) = address.rsplit_once('/')?;
    let is_build = ["cpu", "xpu", "nightly"].contains(&build)
        || ["cu", "rocm"].iter().any(|p| {
            let rest = build.strip_prefix(p);
            rest.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_digit()))
        });
    let before = before.strip_suffix("/nightly").unwrap_or(before);
    let (_, place) = before.split_once("://")?;
    let is_plain = place.matches('/').count() == 1 && place.ends_with("/whl");
    let is_torch_s = place.contains("pytorch") && !place.contains("extension");
    let is_folder = place.ends_with("/whl") || place.ends_with("/pytorch-wheels");
    (is_build && is_folder && (is_torch_s || is_plain)).then(|| build.to_owned())
}

/// Removes `.` parts and resolves `..` as far as the path goes.
pub(super) fn normalize(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.last().is_some_and(|last| *last != "..") => {
                parts.pop();
            }
            other => parts.push(other),
        }
    }
    parts.join("/")
}

/// What is wrong with a line that has the address of a proxy filled in.
pub(crate) const PROXY_SENT: &str = "names the variable of a proxy: its value may hold a log-in, which would be sent to this address";
/// What to do about it.
pub(crate) const PROXY_LEFT_OUT: &str = "write the address without it";

/// Whether a line has an installer fill in the address of a proxy, the one variable with a log-in that every
/// build has.
pub(crate) fn names_proxy(text: &str) -> bool {
    let mut variables = text.split("${").skip(1);
    variables.any(|rest| {
        let name = rest.split('}').next().unwrap_or(rest);
        name.to_ascii_uppercase().contains("PROXY")
    })
}

/// Whether a line holds a URL with a password or a token in it.
pub(crate) fn has_credentials(text: &str) -> bool {
    // `${TOKEN}` is filled in by pip while it runs, and `git@` is a name everybody knows.
    let is_filled_in = |word: &str| word.starts_with("${") && word.ends_with('}');
    let is_secret = |log_in: &str| match log_in.split_once(':') {
        Some((_, password)) => !password.is_empty() && !is_filled_in(password),
        None => !log_in.is_empty() && !is_filled_in(log_in) && log_in != "git",
    };
    let addresses = text.split("://").skip(1);
    addresses.into_iter().any(|rest| {
        let ends = |c: char| "/#?\"'<>,;".contains(c) || c.is_whitespace();
        let authority = rest.split(ends).next().unwrap_or(rest);
        let log_in = authority.rsplit_once('@');
        log_in.is_some_and(|(log_in, _)| is_secret(log_in))
    }) || (text.contains("://") && mlbuild_secrets::holds_secret(text))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project(files: &[(&str, &str)]) -> tempfile::TempDir {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in files {
            let path = dir.path().join(name);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text).unwrap();
        }
        dir
    }

    fn read(files: &[(&str, &str)]) -> Result<Requirements, ProjectError> {
        let dir = project(files);
        read_requirements(
            dir.path(),
            &[files[0].0.to_owned()],
            &ImagePython::default(),
        )
    }

    fn names(requirements: &Requirements) -> Vec<&str> {
        requirements
            .wanted
            .iter()
            .map(|w| w.name.as_str())
            .collect()
    }

    #[test]
    fn names_versions_markers_and_includes() {
        let found = read(&[
            (
                "requirements/train.txt",
                "# training\n-r base.txt\n-c ../constraints.txt\nOpenCV_Python == 4.10.0.84  # windows\n\
                 torch[extra]>=2.1, \\\n  <3 --hash=sha256:abc\npywin32; sys_platform == 'win32'\n\
                 --extra-index-url https://example.com/simple\n\
                 git+https://example.com/x/y.git#egg=y\nz @ git+ssh://git@example.com/z.git\n",
            ),
            ("requirements/base.txt", "numpy\n-r train.txt\n"),
            ("constraints.txt", "scipy<2\n"),
        ])
        .unwrap();
        assert_eq!(names(&found), ["numpy", "opencv-python", "torch", "y", "z"]);
        assert_eq!(found.wanted[1].origin, "requirements/train.txt:4");
        assert_eq!(found.wanted[2].origin, "requirements/train.txt:5");
        assert_eq!(
            found.wanted[2].versions.as_ref().unwrap().to_string(),
            ">=2.1, <3"
        );
        assert_eq!(
            found.files.iter().map(String::as_str).collect::<Vec<_>>(),
            [
                "constraints.txt",
                "requirements/base.txt",
                "requirements/train.txt"
            ]
        );
        assert_eq!(found.vcs.iter().collect::<Vec<_>>(), ["git"]);
        assert_eq!(found.hashed.as_deref(), Some("requirements/train.txt:5"));
        assert!(found.credentials.is_empty());
    }

    #[test]
    fn a_broken_line_is_shown_with_its_number() {
        let error = read(&[("requirements.txt", "numpy\n\nflask===>2\n")]).unwrap_err();
        insta::assert_snapshot!(error, @r#"
        requirements.txt:3: no such comparison operator "===>", must be one of ~= == != <= >= < > ===
            flask===>2
        write it as NAME, NAME==VERSION or NAME @ URL (https://peps.python.org/pep-0508/)
        "#);
    }

    #[test]
    fn paths_and_missing_files_are_refused() {
        for line in [
            "-e .",
            "./pkg",
            "/srv/pkg.whl",
            "x @ file:///srv/x.whl",
            "--find-links wheels",
            "-r /etc/x",
            "-r ../x.txt",
            "-r none.txt",
            "--frobnicate",
        ] {
            let error = read(&[("requirements.txt", line)]).unwrap_err();
            assert!(
                matches!(error, ProjectError::Line { line: 1, .. }),
                "{line}: {error}"
            );
        }
        let dir = project(&[("latin.txt", "")]);
        std::fs::write(dir.path().join("latin.txt"), b"\xff\xfen\0").unwrap();
        let error = |name: &str| {
            read_requirements(dir.path(), &[name.to_owned()], &ImagePython::default())
                .unwrap_err()
                .to_string()
        };
        std::fs::write(dir.path().join("latin.txt"), b"n\xe9\n").unwrap();
        assert!(error("latin.txt").contains("UTF-8"));
        assert!(error("none.txt").contains("no such file"));
    }

    #[test]
    fn wheels_by_address_say_their_version_and_python() {
        let wheel = "https://x.org/whl/cu116/torch-1.13.1%2Bcu116-cp38-cp38-linux_x86_64.whl";
        for line in [
            wheel.to_owned(),
            format!("torch@{wheel}"),
            format!("torch @ {wheel}"),
            format!("torch @ {wheel} ; sys_platform == 'linux'"),
        ] {
            let found = read(&[("requirements.txt", &line)]).unwrap();
            let versions = found.wanted[0].versions.as_ref().unwrap().to_string();
            assert_eq!(versions, "==1.13.1+cu116", "{line}");
            assert_eq!(found.python.unwrap().text, "==3.8.*", "{line}");
        }
        let other = wheel.replace("linux_x86_64", "win_amd64");
        let error = read(&[("requirements.txt", &format!("torch@{other}"))]).unwrap_err();
        assert!(
            error.to_string().contains("is a wheel for win_amd64"),
            "{error}"
        );
        let ruled_out = format!("torch @ {other} ; sys_platform == 'win32'\n");
        assert_eq!(
            names(&read(&[("requirements.txt", &ruled_out)]).unwrap()),
            [""; 0]
        );
    }

    #[test]
    fn lines_of_other_programs_are_told() {
        for (line, told) in [
            ("_libgcc_mutex=0.1=main", "conda writes"),
            ("numpy=1.22.3", "conda writes"),
            ("pip install torch", "it is a command"),
            (
                "x @ file:///home/conda/feedstock_root/x",
                "where conda built",
            ),
            ("numpy >> 1", "no such comparison"),
        ] {
            let error = read(&[("requirements.txt", line)]).unwrap_err().to_string();
            assert!(error.contains(told), "{line}: {error}");
        }
        let modules = (".gitmodules", "[submodule \"x\"]\n\tpath = libs/x\n");
        let error = read(&[("requirements.txt", "./libs/x"), modules]).unwrap_err();
        assert!(
            error.to_string().contains("git submodule update --init"),
            "{error}"
        );
    }

    #[test]
    fn passwords_in_urls_are_noticed() {
        let text = "--index-url https://me:secret@example.com/simple\n--extra-index-url https://${T}@example.com/\n";
        let found = read(&[("requirements.txt", text)]).unwrap();
        assert_eq!(found.credentials, ["requirements.txt:1"]);
    }

    #[test]
    fn no_line_sends_a_proxys_log_in_to_its_own_address() {
        for line in [
            "--index-url https://x.example/${HTTPS_PROXY}/simple",
            "six @ https://x.example/${https_proxy}/six-1-py3-none-any.whl",
            "-f https://x.example/?${ALL_PROXY}",
            "-e git+https://x.example/${HTTP_PROXY}.git#egg=x",
        ] {
            let text = format!("numpy\n{line}\n");
            let error = read(&[("requirements.txt", &text)]).unwrap_err();
            let error = error.to_string();
            assert!(error.contains("requirements.txt:2"), "{line}: {error}");
            assert!(error.contains("the variable of a proxy"), "{line}: {error}");
        }
        assert!(
            read(&[(
                "requirements.txt",
                "--index-url https://x.example/${NAME}\n"
            )])
            .is_ok()
        );
    }

    #[test]
    fn indexes_of_pytorch_are_told_from_others() {
        for (address, build) in [
            ("https://download.pytorch.org/whl/cu121", Some("cu121")),
            ("https://download.pytorch.org/whl/cpu/", Some("cpu")),
            (
                "https://download.pytorch.org/whl/nightly/cu118",
                Some("cu118"),
            ),
            ("https://mirror.example/pytorch-wheels/cu118", Some("cu118")),
            ("https://mirror.example/whl/cpu", Some("cpu")),
            ("https://x.github.io/llama-cpp-python/whl/cu121", None),
            ("https://flashinfer.ai/whl/cu121/torch2.3", None),
            ("https://flashinfer.ai/whl/", None),
            (
                "https://pytorch-extension.example/release-whl/stable/xpu/us",
                None,
            ),
        ] {
            assert_eq!(torch_index(address).as_deref(), build, "{address}");
        }
    }
}
