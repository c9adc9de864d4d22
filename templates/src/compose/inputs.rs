//! What the spec and the project's files ask for, read once and checked against each other.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use super::{ComposeContext, ComposeError, Warning};
use crate::project::manifests::{self, Asked, Choice, Conda, Kind, Manifest, Unused, UnusedKind};
use crate::project::{
    Address, ImagePython, LocalProject, PROXY_LEFT_OUT, PROXY_SENT, ProjectError, ProjectLock,
    Requirements, SourceOnly, Span, Wanted, frameworks_in, has_credentials, is_outside,
    names_proxy, one_line, parse_one, read_lines, read_requirements,
};
use crate::spec::{Accelerator, ImageSpec, PythonSpec, RunStep};
use crate::value::{AptPackage, ContextPattern, EnvName, EnvValue};

/// The packages that are asked for, and the files that say so.
#[derive(Debug, Default)]
pub(super) struct Inputs {
    /// Packages by name, from requirements files, lock files and the spec.
    pub wanted: Vec<Wanted>,
    /// What is decided from: the same, in the versions of locks, with what they say comes along.
    pub decided: Vec<Wanted>,
    /// Packages that come with those that are asked for, in the versions of a `poetry.lock` or the like.
    pub brought: Vec<Wanted>,
    /// Locks, each with the command that writes it again and the Python that it was made for.
    pub locks: Vec<(String, &'static str, Option<String>)>,
    /// The Python versions that the project of a lock is for, as its own file says.
    pub project_python: Option<Asked>,
    /// Requirements files (or patterns, where there is no project to look at) given to the
    /// installer.
    pub requirements: Vec<String>,
    /// All files that are copied for it: those and the ones they include.
    pub files: BTreeSet<String>,
    /// Programs that fetch sources (`git`).
    pub vcs: BTreeSet<String>,
    /// Whether a lock file decides the versions.
    pub locked: bool,
    /// The folder of a `pyproject.toml` whose `uv.lock` decides.
    pub synced: Option<String>,
    /// Requirement lines of manifests that aren't lists of requirements.
    pub lines: Vec<String>,
    /// `NAME==VERSION` lines that hold what is installed to a lock.
    pub constraints: Vec<String>,
    /// The Python versions that the project is for, and who says so.
    pub python: Option<Asked>,
    /// The same of the project that lies beside the files that are used, and isn't installed.
    pub python_beside: Option<Asked>,
    /// Who asks for builds for CPUs without naming a package of the index: conda's `cpuonly`.
    pub for_cpus: Option<Asked>,
    /// Who asks for CUDA so: conda's `cudatoolkit`.
    pub for_cuda: Option<Asked>,
    /// Frameworks that stand as plain strings in a `setup.py` whose dependencies its code works out, as they are
    /// said; `None` where there is no such one.
    pub by_code: Option<Vec<String>>,
    /// What the project of a `uv.lock` asks for itself, with what was chosen of it.
    pub direct: Option<Vec<Wanted>>,
    /// Packages of the distribution that manifests ask for.
    pub apt: BTreeSet<String>,
    /// Packages of conda's channels.
    pub conda: Option<Conda>,
    /// Which line asks for each of them.
    pub apt_origins: BTreeMap<String, String>,
    /// Commands that manifests ask for.
    pub run: Vec<RunStep>,
    /// The same, with the lines that ask for them.
    pub run_origins: Vec<Asked>,
    /// Projects of the context that are installed once the code is there.
    pub local: Vec<LocalProject>,
    /// Whether the dependencies of all of them are known before the build.
    pub local_known: bool,
    /// Lines of requirements files that the installer must not see.
    pub omitted: BTreeMap<String, Vec<(usize, usize)>>,
    /// The first line that pip reads and uv doesn't, with what it is.
    pub only_pip: Option<(String, String)>,
    /// Whether some file names an index of its own.
    pub has_index: bool,
    /// Whether some file names another index than PyTorch's own.
    pub has_other_index: bool,
    /// PyTorch's own index that some file names: `cpu`, `cu124`.
    pub torch_index: Option<String>,
    /// Which of PyTorch's own builds a manifest takes: `cpu`, `cu124`.
    pub torch_build: Option<String>,
    /// What is worth knowing and nothing to worry about.
    pub notes: Vec<String>,
    /// The first part of a file that plays no part, as it is said.
    pub unused_part: Option<Warning>,
    /// The first requirements line that pins a hash; then nothing can be added without one.
    pub hashed: Option<String>,
    /// Requirements whose sources come from an address.
    pub addresses: Vec<Address>,
    /// Where the lines of requirements files stand, by origin.
    pub spans: BTreeMap<String, Span>,
    /// Files that hold versions back.
    pub constraint_files: BTreeSet<String>,
    /// Packages of which a lock names no wheel that fits.
    pub source_only: Vec<SourceOnly>,
    /// Packages that the project wants built without isolation, and what their builds import.
    pub open_builds: BTreeMap<String, Vec<String>>,
}

impl Inputs {
    /// The first request for a package, by canonical name.
    pub fn find(&self, name: &str) -> Option<&Wanted> {
        self.wanted.iter().find(|wanted| wanted.name == name)
    }

    /// A package that will be installed, as far as that is known, in the version that a lock holds it to.
    pub fn installed(&self, name: &str) -> Option<&Wanted> {
        self.decided.iter().find(|wanted| wanted.name == name)
    }

    /// Whether a package stands as a plain string in a script, and is installed by the project's own build alone.
    pub fn is_by_code(&self, wanted: &Wanted) -> bool {
        let mut said = self.by_code.iter().flatten();
        said.any(|said| *said == by_code_as_said(wanted))
    }

    /// Whether anything is installed.
    pub fn is_empty(&self) -> bool {
        self.wanted.is_empty()
            && self.requirements.is_empty()
            && self.lines.is_empty()
            && self.local.is_empty()
            && !self.locked
    }
}

pub(super) fn gather(
    spec: &ImageSpec,
    context: &ComposeContext,
    image: &ImagePython,
    warnings: &mut Vec<Warning>,
) -> Result<Inputs, ComposeError> {
    let python = &spec.python;
    // Without a folder to look at, a project is taken to have its lock.
    let synced = python.project.as_ref().filter(|folder| {
        let there =
            |project: &Path, name: &str| project.join(join(folder.as_str(), name)).is_file();
        context
            .project
            .is_none_or(|project| there(project, "uv.lock") || !there(project, "pyproject.toml"))
    });
    let mut inputs = Inputs {
        locked: python.pylock.is_some() || synced.is_some(),
        synced: synced.map(ToString::to_string),
        local_known: true,
        ..Inputs::default()
    };
    if python.pylock.is_some() && python.project.is_some() {
        return Err(ComposeError::conflict(
            "both a pylock.toml and a project with a uv.lock are given",
            "keep one of `pylock` and `project`",
        ));
    }
    if inputs.locked && !(python.requirements.is_empty() && python.packages.is_empty()) {
        return Err(ComposeError::conflict(
            "a lock file pins every package, but requirements or packages are given besides it",
            "add them to the project and lock again (uv add NAME), or leave the lock file out",
        ));
    }
    check_choice(python, &inputs)?;
    for text in &python.packages {
        let wanted = parse_one(text, "packages", image).map_err(|reason| {
            ComposeError::conflict(
                format!("package {text:?}: {reason}"),
                "write it as NAME, NAME==VERSION or NAME[EXTRA]",
            )
        })?;
        inputs.wanted.extend(wanted);
    }
    match context.project {
        Some(project) => read_files(spec, (project, context), image, &mut inputs, warnings)?,
        None => {
            inputs.requirements = python
                .requirements
                .iter()
                .map(ToString::to_string)
                .collect();
            inputs.files = inputs.requirements.iter().cloned().collect();
        }
    }
    if spec.conda == Some(true) && inputs.conda.is_none() && context.project.is_some() {
        return Err(ComposeError::conflict(
            "conda's channels are asked for, and no file says which packages of them",
            "name one: requirements = [\"environment.yml\"] under [image], or leave out conda = true",
        ));
    }
    check_opencv(spec, &inputs, warnings)?;
    super::pins::decide_by(&mut inputs);
    warnings.extend(super::pins::stale(&inputs));
    super::programs::add(&mut inputs);
    Ok(inputs)
}

/// Refuses extras and groups that nothing would be chosen from.
fn check_choice(python: &PythonSpec, inputs: &Inputs) -> Result<(), ComposeError> {
    let chosen = match (python.extras.first(), python.groups.first()) {
        (Some(extra), _) => format!("the extra {extra}"),
        (None, Some(group)) => format!("the dependency group {group}"),
        (None, None) => return Ok(()),
    };
    let of_projects = [Kind::Pyproject, Kind::Pipfile, Kind::Setup];
    let mut patterns = python.requirements.iter();
    let is_there = inputs.synced.is_some()
        || python.project.is_some()
        || patterns.any(|p| Kind::of(p.as_str()).is_some_and(|kind| of_projects.contains(&kind)));
    if is_there {
        Ok(())
    } else {
        Err(ComposeError::conflict(
            format!("{chosen} is chosen, but no project is there whose packages it is a part of"),
            "name the project under requirements of [image], or its extra in the requirements file: -e .[NAME]",
        ))
    }
}

fn read_files(
    spec: &ImageSpec,
    (project, context): (&Path, &ComposeContext),
    image: &ImagePython,
    inputs: &mut Inputs,
    warnings: &mut Vec<Warning>,
) -> Result<(), ComposeError> {
    let python = &spec.python;
    if let Some(file) = &python.pylock {
        let lock = ProjectLock::read(project, file.as_str())?;
        inputs.wanted.extend(lock.wanted(image));
        inputs.source_only = lock.source_only(image, (&[], &[]));
    }
    let mut reader = Reader {
        project,
        image,
        is_cuda: super::decide::accelerator(spec, context) == Accelerator::Cuda,
        inputs,
        unused: Vec::new(),
        credentials: Vec::new(),
        files: Vec::new(),
        taken: BTreeSet::new(),
    };
    if let Some(folder) = &python.project {
        reader.project(spec, folder.as_str())?;
    }
    for pattern in &python.requirements {
        for file in expand(project, pattern) {
            match Kind::of(&file) {
                Some(kind) => {
                    let choice = Choice {
                        extras: &python.extras,
                        groups: &python.groups,
                        env: Some(&spec.env),
                        conda: spec.conda,
                    };
                    let manifest = manifests::read(project, &file, kind, choice)?;
                    reader.take(manifest)?;
                    reader.inputs.files.insert(file);
                }
                None => reader.list(file),
            }
        }
    }
    reader.requirements()?;
    reader.local_needs(&spec.env)?;
    reader.python_beside(spec);
    let Reader {
        unused,
        credentials,
        ..
    } = reader;
    for unused in unused {
        say(unused, inputs, warnings);
    }
    if let Some(origin) = credentials.first() {
        return Err(in_image(origin));
    }
    let files = inputs.files.iter().map(String::as_str);
    let lock = python.pylock.as_ref().map(|file| file.as_str().to_owned());
    let synced = inputs.synced.as_deref();
    let synced = synced.map(|folder| ["pyproject.toml", "uv.lock"].map(|name| join(folder, name)));
    let locks: Vec<String> = lock
        .into_iter()
        .chain(synced.into_iter().flatten())
        .collect();
    refuse_passwords(project, files.chain(locks.iter().map(String::as_str)))?;
    agrees(spec, inputs, warnings)
}

/// Files that say which packages there are are copied into the image, and their lines, and packages of the
/// spec, stand in the step that installs them.
fn in_image(origin: &str) -> ComposeError {
    ComposeError::conflict(
        format!("{origin} holds a password in a URL, which would stand in the image"),
        "take it out, and move the index to pip's or uv's configuration: the build gets that as a secret",
    )
}

/// Refuses passwords in what else of a file names where packages come from: any line of a lock, and the
/// tables of indexes of a project, which are copied with it.
fn refuse_passwords<'a>(
    project: &Path,
    files: impl Iterator<Item = &'a str>,
) -> Result<(), ComposeError> {
    for file in files {
        let name = file.rsplit('/').next().unwrap_or(file);
        let is_lock = name.ends_with(".lock") || name.starts_with("pylock");
        let is_project = ["pyproject.toml", "Pipfile", "pixi.toml"].contains(&name);
        if !is_lock && !is_project {
            continue;
        }
        // What can't be read is said where it is used.
        let text = mlbuild_files::read_to_string(&project.join(file)).unwrap_or_default();
        let addresses = match is_lock {
            true => Vec::new(),
            false => addresses_of_indexes(&text),
        };
        for (at, line) in text.lines().enumerate() {
            let is_of_index = is_lock || addresses.iter().any(|address| line.contains(address));
            if is_of_index && has_credentials(line) {
                return Err(in_image(&format!("{file}:{}", at + 1)));
            }
            if is_of_index && names_proxy(line) {
                let message = format!("{file}:{} {PROXY_SENT}", at + 1);
                return Err(ComposeError::conflict(message, PROXY_LEFT_OUT));
            }
        }
    }
    Ok(())
}

/// The addresses in the tables of a project's file that name indexes: of uv, Poetry, PDM and Pipenv.
fn addresses_of_indexes(text: &str) -> Vec<String> {
    let table: toml::Table = text.parse().unwrap_or_default();
    let tool = |name: &str, key: &str| table.get("tool")?.get(name)?.get(key);
    let tables = [
        table.get("source"),
        tool("uv", "index"),
        tool("uv", "index-url"),
        tool("uv", "extra-index-url"),
        tool("uv", "find-links"),
        tool("uv", "pip"),
        tool("poetry", "source"),
        tool("pdm", "source"),
    ];
    let mut open: Vec<&toml::Value> = tables.into_iter().flatten().collect();
    let mut found = Vec::new();
    while let Some(value) = open.pop() {
        match value {
            toml::Value::String(text) if text.contains("://") => found.push(text.clone()),
            toml::Value::Array(list) => open.extend(list),
            toml::Value::Table(table) => open.extend(table.values()),
            _ => {}
        }
    }
    found
}

/// What the files ask for, beside what the spec says.
fn agrees(
    spec: &ImageSpec,
    inputs: &mut Inputs,
    warnings: &mut Vec<Warning>,
) -> Result<(), ComposeError> {
    if let Some(package) = spec
        .python
        .packages
        .iter()
        .find(|text| has_credentials(text))
    {
        let name = package.split(['@', ' ']).next().unwrap_or_default();
        return Err(in_image(&format!("the package {name}")));
    }
    if let (Some(origin), Some(package)) = (&inputs.hashed, spec.python.packages.first()) {
        return Err(ComposeError::conflict(
            format!(
                "{origin} pins a hash, so every package has to, but {package} is asked for without one"
            ),
            "add it to the requirements files, with its hash",
        ));
    }
    if !inputs.local.is_empty() && !spec.copy {
        warnings.push(Warning {
            message: format!(
                "{} isn't installed: the code isn't part of the image",
                inputs.local[0].folder
            ),
            hint: Some(
                "let the code be part of the image (code = true under [image]), or install it when the container runs".into(),
            ),
        });
        inputs.local.clear();
    }
    Ok(())
}

/// Says once what of a project isn't used: what nobody chose in a note, the rest as a warning.
fn say(unused: Unused, inputs: &mut Inputs, warnings: &mut Vec<Warning>) {
    let Unused {
        what,
        why,
        next,
        kind,
    } = unused;
    let [what, why] = [what, why].map(|text| one_line(&text).into_owned());
    let next = next.to_string();
    let (message, is_left) = match kind {
        UnusedKind::NotChosen => {
            let note = format!("{what}: {why}; {next}");
            if !inputs.notes.contains(&note) {
                inputs.notes.push(note);
            }
            return;
        }
        UnusedKind::Undecided => (format!("{what}: {why}"), false),
        UnusedKind::Guessed | UnusedKind::Broken => (format!("{what}: {why}"), true),
        UnusedKind::OfItsBuild if !inputs.local.is_empty() => {
            let when = "they are installed with it, anew after each edit of the code";
            let decided = match inputs.by_code.as_deref() {
                None => String::new(),
                Some([]) => ", and what they mean for the GPU and Python isn't known (gpu and python under [image] say it)".to_owned(),
                Some(found) => format!(
                    ", and the GPU and Python are decided from what stands there as text: {}",
                    found.join(", ")
                ),
            };
            (format!("{what}: {why}: {when}{decided}"), false)
        }
        UnusedKind::Left | UnusedKind::OfItsBuild => (format!("{what} isn't used: {why}"), true),
    };
    let warning = Warning {
        message,
        hint: Some(next),
    };
    if is_left && inputs.unused_part.is_none() {
        inputs.unused_part = Some(warning.clone());
    }
    if !warnings.contains(&warning) {
        warnings.push(warning);
    }
}

/// Takes in one file after another.
struct Reader<'a> {
    project: &'a Path,
    image: &'a ImagePython,
    /// Whether the image is made for GPUs of NVIDIA.
    is_cuda: bool,
    inputs: &'a mut Inputs,
    unused: Vec<Unused>,
    /// Lines with a password in an address.
    credentials: Vec<String>,
    /// Requirements files that haven't been read yet.
    files: Vec<String>,
    /// Lines of manifests that are taken, each with its place.
    taken: BTreeSet<(String, String)>,
}

impl Reader<'_> {
    fn list(&mut self, file: String) {
        if !self.files.contains(&file) {
            self.files.push(file);
        }
    }

    /// A `pyproject.toml`: by its uv.lock, else by what it says itself.
    fn project(&mut self, spec: &ImageSpec, folder: &str) -> Result<(), ComposeError> {
        let file = join(folder, "pyproject.toml");
        if self.inputs.synced.is_none() {
            let choice = Choice {
                extras: &spec.python.extras,
                groups: &spec.python.groups,
                env: Some(&spec.env),
                conda: spec.conda,
            };
            let manifest = manifests::read(self.project, &file, Kind::Pyproject, choice)?;
            self.inputs.files.insert(file);
            return self.take(manifest);
        }
        let lock = join(folder, "uv.lock");
        for file in [&file, &lock] {
            if !self.project.join(file).is_file() {
                return Err(ComposeError::conflict(
                    format!("the project has no {file}"),
                    "run `uv lock` there, or name requirements files instead",
                ));
            }
        }
        let lock_file = lock;
        let lock = ProjectLock::read(self.project, &lock_file)?;
        self.inputs.wanted.extend(lock.wanted(self.image));
        let chosen = (&spec.python.extras[..], &spec.python.groups[..]);
        self.inputs.source_only = lock.source_only(self.image, chosen);
        let choice = Choice {
            extras: &spec.python.extras,
            groups: &spec.python.groups,
            env: Some(&spec.env),
            conda: Some(false),
        };
        // The lock has the packages of every extra. What can't be read decides nothing.
        let own = manifests::read(self.project, &file, Kind::Pyproject, choice).ok();
        self.inputs.project_python = own.as_ref().and_then(|own| own.python.clone());
        let unused = own.iter().flat_map(|own| &own.unused);
        let not_chosen = unused.filter(|unused| unused.kind == UnusedKind::NotChosen);
        self.unused.extend(not_chosen.cloned());
        let own = own.and_then(|own| read_lines(self.project, &own.requirements, self.image).ok());
        self.inputs.direct = own.map(|(_, found)| found.wanted);
        let again = super::pins::command("uv.lock").unwrap_or_default();
        self.inputs.locks.push((lock_file, again, lock.python()));
        let text = manifests::text_of(self.project, &file)?;
        let table = text.parse().unwrap_or_default();
        self.inputs.open_builds = manifests::open_builds(&table);
        let members = lock.members(folder);
        lock.check_fetched(self.project, &members)?;
        for member in members {
            let file = join(&member.folder, "pyproject.toml");
            if self.project.join(&file).is_file() {
                self.inputs.files.insert(file);
            }
            self.inputs.local.push(member);
        }
        Ok(())
    }

    fn take(&mut self, manifest: Manifest) -> Result<(), ComposeError> {
        manifest.files.into_iter().for_each(|file| self.list(file));
        let known = !manifest.unused.iter().any(Unused::is_of_its_build);
        self.inputs.local_known &= known;
        for unused in manifest.unused.iter().filter(|u| u.is_of_its_build()) {
            self.by_code(&unused.what);
        }
        self.unused.extend(manifest.unused);
        self.inputs.constraints.extend(manifest.constraints);
        self.inputs.open_builds.extend(manifest.open_builds);
        self.locks(&manifest.inputs, &manifest.requirements)?;
        if !manifest.inputs.is_empty() {
            self.inputs.project_python = manifest.python.clone();
        }
        self.inputs.files.extend(manifest.inputs);
        for asked in manifest.apt {
            // Words of a list that apt-get reads: none may be an option.
            if let Err(error) = asked.text.parse::<AptPackage>() {
                self.unused.push(Unused {
                    kind: UnusedKind::default(),
                    what: format!("{}: {}", asked.origin, asked.text),
                    why: error.to_string(),
                    next: "correct the name".into(),
                });
                continue;
            }
            self.inputs.apt.insert(asked.text.clone());
            self.inputs.apt_origins.insert(asked.text, asked.origin);
        }
        self.inputs.for_cpus = self.inputs.for_cpus.take().or(manifest.for_cpus);
        self.inputs.for_cuda = self.inputs.for_cuda.take().or(manifest.for_cuda);
        let build = self.inputs.torch_build.take();
        self.inputs.torch_build = build.or(manifest.torch_build);
        if let Some(conda) = manifest.conda {
            self.conda(conda)?;
        }
        if self.inputs.python.is_none() {
            self.inputs.python = manifest.python;
        }
        for step in manifest.run {
            match RunStep::new(step.text.clone()) {
                Ok(run) => {
                    self.inputs.run.push(run);
                    self.inputs.run_origins.push(step);
                }
                Err(error) => {
                    let hint = "correct the command".to_owned();
                    let message = format!("{}: {error}", step.origin);
                    return Err(ComposeError::Conflict { message, hint });
                }
            }
        }
        if manifest.gpu == Some(true) && !self.is_cuda {
            self.unused.push(Unused {
                kind: UnusedKind::default(),
                what: "gpu: true".into(),
                why: "which GPU isn't said there".into(),
                next: "set gpu = \"cuda\" under [image]".into(),
            });
        }
        // A project's pyproject.toml leads to its setup.py, which may be named besides it.
        let mut asked = manifest.requirements;
        asked.retain(|one| {
            let line = (one.text.clone(), one.origin.clone());
            self.taken.insert(line)
        });
        let (lines, found) = read_lines(self.project, &asked, self.image)?;
        if let Some(origin) = found.credentials.first() {
            return Err(in_image(origin));
        }
        self.inputs.lines.extend(lines);
        self.join(found);
        for local in manifest.local {
            if is_outside(self.project, &local.folder) {
                return Err(ComposeError::conflict(
                    format!(
                        "{} names {}, which lies outside the build context",
                        local.origin, local.folder
                    ),
                    "move it into the project, or leave it out",
                ));
            }
            self.local(local);
        }
        Ok(())
    }

    /// Locks beside a manifest.
    fn locks(
        &mut self,
        files: &BTreeSet<String>,
        requirements: &[Asked],
    ) -> Result<(), ComposeError> {
        for file in files {
            let Some(again) = super::pins::command(file) else {
                continue;
            };
            if file.ends_with("Pipfile.lock") {
                self.inputs.locks.push((file.clone(), again, None));
                continue;
            }
            let lock = ProjectLock::read(self.project, file)?;
            let found = lock.source_only(self.image, (&[], &[]));
            self.inputs.source_only.extend(found);
            let (_, asked) = read_lines(self.project, requirements, self.image)?;
            let roots: Vec<&str> = asked.wanted.iter().map(|w| w.name.as_str()).collect();
            let brought = lock.reached(&roots, self.image);
            self.inputs.brought.extend(brought);
            self.inputs.locks.push((file.clone(), again, lock.python()));
        }
        Ok(())
    }

    /// What a script says of frameworks though its dependencies are worked out by code: `setup.py:12`.
    fn by_code(&mut self, place: &str) {
        let file = place.split(':').next().unwrap_or(place);
        if !file.ends_with(".py") {
            return;
        }
        let found = frameworks_in(self.project, file, self.image);
        let said = found.iter().map(by_code_as_said);
        self.inputs
            .by_code
            .get_or_insert_with(Vec::new)
            .extend(said);
        self.inputs.wanted.extend(found);
    }

    /// Packages of conda's channels: of one file, since only together they can be solved.
    fn conda(&mut self, conda: Conda) -> Result<(), ComposeError> {
        if let Some(first) = &self.inputs.conda {
            return Err(ComposeError::conflict(
                format!(
                    "both {} and {} ask for packages of conda's channels",
                    first.file, conda.file
                ),
                "name one of them: requirements = [\"environment.yml\"] under [image]",
            ));
        }
        if conda.why != conda.file {
            let note = format!(
                "{}: its packages come from conda's channels: {}",
                conda.file, conda.why
            );
            self.inputs.notes.push(note);
        }
        // What is compiled for them is compiled by the base's Python; py-rattler runs on none older than 3.10.
        let minor = conda
            .python()
            .and_then(|version| version[2..].parse::<u32>().ok());
        if let Some(minor) = minor.filter(|minor| *minor >= 10) {
            self.inputs.python = Some(Asked {
                text: format!("==3.{minor}.*"),
                origin: conda.file.clone(),
            });
        }
        self.inputs.conda = Some(conda);
        Ok(())
    }

    fn requirements(&mut self) -> Result<(), ProjectError> {
        let files = std::mem::take(&mut self.files);
        if files.is_empty() {
            return Ok(());
        }
        let found = read_requirements(self.project, &files, self.image)?;
        self.inputs.requirements.extend(files);
        self.join(found);
        Ok(())
    }

    fn join(&mut self, found: Requirements) {
        let inputs = &mut *self.inputs;
        inputs.wanted.extend(found.wanted);
        inputs.files.extend(found.files);
        inputs.vcs.extend(found.vcs);
        inputs.hashed = inputs.hashed.take().or(found.hashed);
        inputs.only_pip = inputs.only_pip.take().or(found.only_pip);
        inputs.has_index |= found.has_index;
        inputs.has_other_index |= found.has_other_index;
        inputs.torch_index = inputs.torch_index.take().or(found.torch_index);
        // A wheel that is named fits one Python, whatever else the project would take.
        inputs.python = found.python.or(inputs.python.take());
        inputs.omitted.extend(found.omitted);
        inputs.addresses.extend(found.addresses);
        inputs.spans.extend(found.spans);
        inputs.constraint_files.extend(found.constraint_files);
        found.local.into_iter().for_each(|local| self.local(local));
        self.credentials.extend(found.credentials);
        self.unused.extend(found.notes);
    }

    fn local(&mut self, local: LocalProject) {
        let same = |other: &&mut LocalProject| other.folder == local.folder;
        match self.inputs.local.iter_mut().find(same) {
            Some(known) => known.extras.extend(local.extras),
            None => self.inputs.local.push(local),
        }
    }

    /// The Python versions that the project at the root is for, where other files say which packages there are
    /// and it isn't installed itself.
    fn python_beside(&mut self, spec: &ImageSpec) {
        if spec.python.version.is_some() || self.inputs.python.is_some() {
            return;
        }
        let files = [
            "pyproject.toml",
            "setup.py",
            "setup.cfg",
            "environment.yml",
            "environment.yaml",
            "Pipfile",
        ];
        let files = files.iter().filter(|file| {
            self.project.join(file).is_file() && !self.inputs.files.contains(**file)
        });
        let mut found = files.filter_map(|file| {
            let manifest = manifests::read(self.project, file, Kind::of(file)?, Choice::default());
            manifest.ok()?.python
        });
        self.inputs.python_beside = found.next();
    }

    /// What the projects that are installed with the code need: those packages are installed
    /// before it, so that an edit of the code installs nothing again.
    fn local_needs(&mut self, env: &BTreeMap<EnvName, EnvValue>) -> Result<(), ComposeError> {
        if self.inputs.synced.is_some() {
            return Ok(());
        }
        // What they need may name further ones, which come to the end.
        let mut next = 0;
        while let Some(local) = self.inputs.local.get(next).cloned() {
            next += 1;
            let names = ["pyproject.toml", "setup.py", "setup.cfg"];
            let mut files = names.map(|name| join(&local.folder, name)).into_iter();
            let Some(file) = files.find(|file| self.project.join(file).is_file()) else {
                continue;
            };
            if !self.inputs.files.insert(file.clone()) {
                continue;
            }
            let kind = Kind::of(&file).unwrap_or(Kind::Setup);
            let choice = Choice {
                extras: &local.extras,
                groups: &[],
                env: Some(env),
                conda: None,
            };
            let mut manifest = manifests::read(self.project, &file, kind, choice)?;
            manifest.unused.retain(Unused::is_of_installation);
            self.take(manifest)?;
            self.requirements()?;
        }
        Ok(())
    }
}

/// `torch (setup.py:12)`
fn by_code_as_said(wanted: &Wanted) -> String {
    format!("{} ({})", wanted.name, wanted.origin)
}

/// A path inside the folder of a project (`.` for the context's root).
pub(super) fn join(folder: &str, name: &str) -> String {
    match folder.trim_start_matches("./").trim_end_matches('/') {
        "" | "." => name.to_owned(),
        folder => format!("{folder}/{name}"),
    }
}

/// The files that a pattern names, sorted; a plain name is itself, there or not.
fn expand(project: &Path, pattern: &ContextPattern) -> Vec<String> {
    let (folder, _) = pattern.split();
    if pattern.is_literal() {
        return vec![join(folder, pattern.split().1)];
    }
    let entries = std::fs::read_dir(project.join(folder))
        .into_iter()
        .flatten()
        .flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut files: Vec<String> = names
        .filter(|name| pattern.matches_name(name))
        .map(|name| join(folder, &name))
        .collect();
    files.sort();
    files
}

/// The four packages that all install a folder named `cv2`.
pub(super) const OPENCV: [&str; 4] = [
    "opencv-python",
    "opencv-contrib-python",
    "opencv-python-headless",
    "opencv-contrib-python-headless",
];

/// OpenCV with windows: needs libraries of the distribution even to be imported.
pub(super) fn opencv_with_windows(inputs: &Inputs) -> bool {
    OPENCV[..2]
        .iter()
        .any(|name| inputs.installed(name).is_some())
}

fn check_opencv(
    spec: &ImageSpec,
    inputs: &Inputs,
    warnings: &mut Vec<Warning>,
) -> Result<(), ComposeError> {
    let found: Vec<&Wanted> = OPENCV.iter().filter_map(|name| inputs.find(name)).collect();
    if let [first, second, ..] = found[..] {
        let keep = if spec.gui {
            "the one without -headless, which can show windows"
        } else {
            "one of them"
        };
        return Err(ComposeError::conflict(
            format!(
                "{} ({}) and {} ({}) both install the module cv2 and overwrite each other",
                first.name, first.origin, second.name, second.origin
            ),
            format!("keep {keep}"),
        ));
    }
    if let [only] = found[..]
        && spec.gui
        && only.name.ends_with("-headless")
    {
        warnings.push(Warning {
            message: format!("{} ({}) can't show windows", only.name, only.origin),
            hint: Some(format!(
                "ask for {} instead",
                only.name.trim_end_matches("-headless")
            )),
        });
    }
    Ok(())
}
