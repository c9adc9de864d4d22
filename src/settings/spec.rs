//! What the image is: flags and `[image]` → [`ImageSpec`], or a Dockerfile of the user's own.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use mlbuild_templates::compose::fitting;
use mlbuild_templates::project::manifests::Choice;
use mlbuild_templates::project::{
    BESIDES_PACKAGES, Finding, NextStep, ProjectFacts, condarc_of_machine, detect_chosen,
};
use mlbuild_templates::value::{
    BaseImage, EnvName, EnvValue, Gid, RunStep, RunWhen, Uid, UserName,
};
use mlbuild_templates::{Accelerator, ImageSpec, PythonSpec, ServingSpec, TemplateName, UserSpec};

use super::{BuildRequest, SettingsError, parse};
use crate::config::{AcceleratorKey, Config, ImageConfig, launch};
use crate::plan::spec::Spec;
use crate::plan::{Context, Place, SpecError};

/// What is built.
#[derive(Debug, Clone)]
pub enum Source {
    /// A built-in template, or one of the user's own whose ARGs the spec fills.
    Composed {
        /// What the image is.
        spec: Box<ImageSpec>,
        /// The user's own template, a Dockerfile with ARGs.
        template: Option<PathBuf>,
        /// Base images per accelerator that settings name.
        accelerator_bases: BTreeMap<Accelerator, BaseImage>,
        /// Every file found that bears on the environment.
        findings: Vec<Finding>,
    },
    /// A Dockerfile as it is.
    Dockerfile {
        /// Path as given.
        path: PathBuf,
        /// True if it lies in the context that the builder fetches.
        remote: bool,
        /// Every file found that bears on the environment, where nobody named this one.
        findings: Vec<Finding>,
    },
}

const DEFAULT_USER: &str = "ml";
/// The user whose ids are 0, whatever an image holds.
const ROOT: &str = "root";

pub(super) fn resolve(
    request: &BuildRequest,
    config: &Config,
    project: &Path,
    context: &Context,
) -> Result<Source, SettingsError> {
    let image = &config.image;
    if let Some(source) = named_dockerfile(request, image, project, context)? {
        return Ok(source);
    }
    let mut facts = match context {
        Context::Folder { path } => {
            let (extras, groups) = chosen(request, image);
            let choice = Choice {
                extras: &extras,
                groups: &groups,
                env: Some(&image.env),
                conda: request.conda.or(image.conda),
            };
            let mut facts = detect_chosen(path, choice);
            let home = std::env::var_os("HOME").filter(|_| facts.conda);
            let of_machine = home.and_then(|home| condarc_of_machine(Path::new(&home)));
            facts.findings.extend(of_machine);
            facts
        }
        _ => ProjectFacts::default(),
    };
    if let Some(path) = lone_dockerfile(request, project, &mut facts) {
        return Ok(Source::Dockerfile {
            path,
            remote: false,
            findings: facts.findings,
        });
    }
    let name = match (&request.template, &image.template) {
        (Some(name), _) => Some((Place::Request("template"), name.as_str())),
        (None, Some(name)) => Some((Place::File("[image] template"), name.as_str())),
        (None, None) => None,
    };
    let (template, own) = template(name, project, facts.template)?;
    let mut spec = from_config(image, template);
    apply_request(&mut spec, request, image, &facts)?;
    if let Context::Folder { path } = context {
        fit(&mut spec, path, (request, image), &facts);
    }
    Ok(Source::Composed {
        spec: Box::new(spec),
        template: own,
        accelerator_bases: accelerator_bases(request, config)?,
        findings: findings(request, image, facts),
    })
}

/// Where files or packages are named, template and windows follow from these, and not from what else the
/// folder holds. What can't be read is said where the image is composed.
fn fit(
    spec: &mut ImageSpec,
    project: &Path,
    (request, image): (&BuildRequest, &ImageConfig),
    facts: &ProjectFacts,
) {
    let names = !request.requirements.is_empty()
        || image.requirements.is_some()
        || !facts.alternatives.is_empty()
        || !spec.python.packages.is_empty();
    if !names {
        return;
    }
    let Ok(fits) = fitting(spec, project) else {
        return;
    };
    if request.template.is_none() && image.template.is_none() {
        spec.template = fits.template;
    }
    if !request.gui && image.gui.is_none() {
        spec.gui = fits.gui;
    }
}

/// The Dockerfile that is asked for, or that comes with a context from elsewhere; `None` where one is
/// to be composed.
fn named_dockerfile(
    request: &BuildRequest,
    image: &ImageConfig,
    project: &Path,
    context: &Context,
) -> Result<Option<Source>, SettingsError> {
    if request.template.is_some() && request.file.is_some() {
        return Err(SettingsError::TemplateAndDockerfile);
    }
    let is_elsewhere = matches!(context, Context::Remote { .. } | Context::Stdin);
    let named = match (&request.file, &request.template) {
        (Some(file), _) => Some(file.clone()),
        (None, Some(_)) => None,
        (None, None) => image.dockerfile.as_ref().map(|file| project.join(file)),
    };
    let Some(path) = named else {
        // As docker does: such a context brings its own Dockerfile.
        let brings_own = is_elsewhere && request.template.is_none() && image.template.is_none();
        return Ok(brings_own.then(|| Source::Dockerfile {
            path: "Dockerfile".into(),
            remote: true,
            findings: Vec::new(),
        }));
    };
    let is_stdin = path.as_os_str() == "-";
    // As docker does: a path without a leading slash is one in the context.
    let remote = is_elsewhere && path.is_relative() && !is_stdin;
    if is_stdin && *context == Context::Stdin {
        return Err(SettingsError::TwoOfStdin);
    }
    if !remote && !is_stdin && !path.is_file() {
        return Err(SettingsError::NoDockerfile { path });
    }
    let findings = Vec::new();
    Ok(Some(Source::Dockerfile {
        path,
        remote,
        findings,
    }))
}

/// Base images per accelerator: `mlbuild.toml`'s, and those of a launch configuration before them.
fn accelerator_bases(
    request: &BuildRequest,
    config: &Config,
) -> Result<BTreeMap<Accelerator, BaseImage>, SettingsError> {
    let mut bases = BTreeMap::new();
    for (key, accelerator) in &config.accelerator {
        if let Some(base) = &accelerator.base_image {
            bases.insert(accelerator_of(*key), base.clone());
        }
    }
    if let Some(file) = &request.launch_config
        && let Some(base) = launch::base_image(file)?
    {
        bases.insert(Accelerator::Cuda, base.clone());
        bases.insert(Accelerator::Rocm, base);
    }
    Ok(bases)
}

/// The extras and groups that are chosen.
fn chosen(request: &BuildRequest, image: &ImageConfig) -> (Vec<String>, Vec<String>) {
    let joined = |of_file: &[String], given: &[String]| {
        let mut names = of_file.to_vec();
        names.extend(given.iter().filter(|name| !of_file.contains(name)).cloned());
        names
    };
    (
        joined(&image.extras, &request.extras),
        joined(&image.groups, &request.groups),
    )
}

/// The Dockerfile that is all a folder says of its environment, where nothing else was said.
fn lone_dockerfile(
    request: &BuildRequest,
    project: &Path,
    facts: &mut ProjectFacts,
) -> Option<PathBuf> {
    let asked = request.template.is_some()
        || request.base.is_some()
        || request.gpu.is_some()
        || request.python.is_some()
        || request.serve.is_some()
        || request.user.is_some()
        || request.uid.is_some()
        || request.always_compose
        || request.gui
        || request.conda.is_some()
        || !request.requirements.is_empty()
        || !request.extras.is_empty()
        || !request.groups.is_empty()
        || !request.packages.is_empty()
        || !request.apt.is_empty()
        || !request.run.is_empty()
        || !request.env.is_empty()
        || !request.ports.is_empty();
    if asked || crate::config::find(project).is_some() {
        return None;
    }
    facts.use_lone_dockerfile().map(|name| project.join(name))
}

/// What is said of each file: where files were named, those are used and no others.
fn findings(request: &BuildRequest, image: &ImageConfig, mut facts: ProjectFacts) -> Vec<Finding> {
    if !runs_post_build(request, image)
        && let Some(script) = &facts.post_build
    {
        let found = facts
            .findings
            .iter_mut()
            .find(|found| found.file == *script);
        if let Some(found) = found {
            found.used = false;
            found.why =
                "commands of your own are run instead, or the code isn't part of the image".into();
            found.next = Some(format!("run it with them: sh {script}").into());
        }
    }
    let named = match (request.requirements.is_empty(), &image.requirements) {
        (false, _) => Some((&request.requirements, "you named")),
        (true, Some(files)) => Some((files, "mlbuild.toml names")),
        (true, None) => None,
    };
    // Parts of files are said where the image is composed.
    let is_file = |found: &Finding| !found.file.contains(':');
    let Some((named, names)) = named else {
        return facts.findings.into_iter().filter(is_file).collect();
    };
    let is_named = |file: &str| {
        named
            .iter()
            .any(|name| name.trim_start_matches("./") == file)
    };
    let others = facts.findings.into_iter().filter(is_file);
    others
        .map(|found| match (is_named(&found.file), found.used) {
            (true, _) => Finding {
                used: true,
                why: format!("{names} it"),
                next: None,
                ..found
            },
            (false, true) if !BESIDES_PACKAGES.contains(&found.file.as_str()) => Finding {
                used: false,
                why: format!("{names} other files"),
                next: Some(NextStep::UseFile(found.file.clone())),
                ..found
            },
            _ => found,
        })
        .collect()
}

fn accelerator_of(key: AcceleratorKey) -> Accelerator {
    match key {
        AcceleratorKey::Cuda => Accelerator::Cuda,
        AcceleratorKey::Rocm => Accelerator::Rocm,
        AcceleratorKey::Cpu => Accelerator::Off,
    }
}

/// A built-in template by name, or a file, or a folder with a Dockerfile.
///
/// Without a name it is the one that fits what the folder asks for.
fn template(
    name: Option<(Place, &str)>,
    project: &Path,
    fitting: TemplateName,
) -> Result<(TemplateName, Option<PathBuf>), SettingsError> {
    let Some((place, name)) = name else {
        return Ok((fitting, None));
    };
    if let Some(known) = TemplateName::ALL
        .into_iter()
        .find(|known| known.as_str() == name)
    {
        return Ok((known, None));
    }
    for path in [PathBuf::from(name), project.join(name)] {
        if path.is_file() {
            return Ok((TemplateName::default(), Some(path)));
        }
        if path.join("Dockerfile").is_file() {
            return Ok((TemplateName::default(), Some(path.join("Dockerfile"))));
        }
    }
    let known = TemplateName::ALL.map(TemplateName::as_str);
    Err(SettingsError::UnknownTemplate {
        place,
        name: name.to_owned(),
        near: crate::nearest::nearest(name, known),
        known: known.to_vec(),
    })
}

fn from_config(image: &ImageConfig, template: TemplateName) -> ImageSpec {
    ImageSpec {
        template,
        base: image.base.clone(),
        gpu: image.gpu,
        cuda: image.cuda.clone(),
        target: image.target.clone(),
        python: PythonSpec {
            version: image.python.clone(),
            installer: image.installer.unwrap_or_default(),
            packages: image.packages.clone(),
            extras: image.extras.clone(),
            groups: image.groups.clone(),
            compile: image.compile.clone(),
            no_build_isolation: image.no_build_isolation.clone(),
            extra_build_dependencies: image.extra_build_dependencies.clone(),
            environment: image.environment,
            torch_backend: image.torch_backend.clone(),
            ..PythonSpec::default()
        },
        conda: image.conda,
        apt: image.apt.clone(),
        run: image.run.clone(),
        gui: image.gui.unwrap_or(false),
        workdir: image.workdir.clone(),
        copy: image.code.unwrap_or(true),
        env: image.env.clone(),
        path: image.path.clone(),
        ports: image.ports.clone(),
        entrypoint: image.entrypoint.clone(),
        command: image.command.clone(),
        labels: image.labels.clone(),
        serving: image.serve.clone(),
        reproducible: image.reproducible.unwrap_or(false),
        ..ImageSpec::default()
    }
}

fn apply_request(
    spec: &mut ImageSpec,
    request: &BuildRequest,
    image: &ImageConfig,
    facts: &ProjectFacts,
) -> Result<(), SettingsError> {
    if let Some(base) = &request.base {
        spec.base = Some(parse(Place::Request("base"), base)?);
    }
    if request.gpu.is_some() {
        spec.gpu = request.gpu;
    }
    spec.conda = request.conda.or(spec.conda);
    if let Some(version) = &request.cuda {
        spec.cuda = Some(parse(Place::Request("cuda"), version)?);
    }
    if let Some(version) = &request.nvidia_driver {
        spec.target.nvidia_driver = Some(parse(Place::Request("nvidia_driver"), version)?);
    }
    if let Some(version) = &request.compute_capability {
        spec.target.compute_capability =
            Some(parse(Place::Request("compute_capability"), version)?);
    }
    if let Some(version) = &request.python {
        spec.python.version = Some(parse(Place::Request("python"), version)?);
    }
    if let Some(installer) = request.installer {
        spec.python.installer = installer;
    }
    (spec.python.extras, spec.python.groups) = chosen(request, image);
    spec.python
        .packages
        .extend(request.packages.iter().cloned());
    if request.apt.is_empty() && image.apt.is_empty() {
        spec.apt.clone_from(&facts.apt);
    }
    for package in &request.apt {
        spec.apt.push(parse(Place::Request("apt"), package)?);
    }
    let runs_script = runs_post_build(request, image);
    if let Some(command) = facts.post_build_command().filter(|_| runs_script) {
        spec.run.push(RunStep {
            when: RunWhen::AfterCode,
            ..parse(Place::Request("run"), &command)?
        });
    }
    for command in &request.run {
        spec.run.push(parse(Place::Request("run"), command)?);
    }
    for pair in &request.env {
        let place = Place::Request("env");
        let Some((name, value)) = Spec::new(place, pair).pair_or_env()? else {
            let name = pair.clone();
            return Err(SettingsError::UnsetVariable { place, name });
        };
        let value: EnvValue = value.parse().map_err(|error| SpecError {
            place,
            value: name.clone(),
            reason: format!("{error}"),
        })?;
        spec.env.insert(parse::<EnvName>(place, &name)?, value);
    }
    for folder in &request.path {
        spec.path.push(parse(Place::Request("path"), folder)?);
    }
    for port in &request.ports {
        spec.ports.push(parse(Place::Request("ports"), port)?);
    }
    spec.ports.sort();
    spec.ports.dedup();
    // OpenCV's window libraries are needed even to import it.
    spec.gui = request.gui || image.gui.unwrap_or(facts.gui);
    if let Some(folder) = &request.workdir {
        spec.workdir = Some(parse(Place::Request("workdir"), folder)?);
    }
    if request.no_code {
        spec.copy = false;
    }
    if let Some(model) = &request.serve {
        let name = spec.serving.take().and_then(|serving| serving.name);
        spec.serving = Some(ServingSpec {
            model: parse(Place::Request("serve"), model.trim_end_matches('/'))?,
            name,
        });
    }
    spec.user = user(request, image)?;
    requirements(&mut spec.python, request, image, facts, spec.gpu)
}

/// Whether the project's own script is run once the code is there: where no commands are given that
/// may do the same, and the code is part of the image.
fn runs_post_build(request: &BuildRequest, image: &ImageConfig) -> bool {
    let has_own = !request.run.is_empty() || !image.run.is_empty();
    let serves = request.serve.is_some() || image.serve.is_some();
    let has_code = image.code.unwrap_or(true) && !request.no_code;
    has_code && !has_own && !serves
}

/// The user, if any flag or key speaks of one.
fn user(request: &BuildRequest, image: &ImageConfig) -> Result<Option<UserSpec>, SettingsError> {
    let keys = &image.user;
    let name: Option<UserName> = match &request.user {
        Some(name) => Some(parse(Place::Request("user"), name)?),
        None => keys.name.clone(),
    };
    let uid = match &request.uid {
        Some(uid) => Some(parse(Place::Request("uid"), uid)?),
        None => keys.uid,
    };
    let gid = match &request.gid {
        Some(gid) => Some(parse(Place::Request("gid"), gid)?),
        None => keys.gid,
    };
    let sudo = request.sudo || keys.sudo.unwrap_or(false);
    if name.is_none() && uid.is_none() && gid.is_none() && !sudo {
        return Ok(None);
    }
    let is_root = name.as_ref().is_some_and(|name| name.as_str() == ROOT);
    if is_root {
        let ids = [
            (
                uid.map(Uid::get),
                request.uid.is_some(),
                "uid",
                "[image.user] uid",
            ),
            (
                gid.map(Gid::get),
                request.gid.is_some(),
                "gid",
                "[image.user] gid",
            ),
        ];
        for (id, is_asked, field, key) in ids {
            if let Some(id) = id.filter(|id| *id != 0) {
                let place = if is_asked {
                    Place::Request(field)
                } else {
                    Place::File(key)
                };
                let reason =
                    format!("root's {field} is always 0; leave it out, or name another user");
                let value = id.to_string();
                return Err(SpecError {
                    place,
                    value,
                    reason,
                }
                .into());
            }
        }
    }
    let uid = match uid {
        Some(uid) => uid,
        None => parse(Place::Request("uid"), if is_root { "0" } else { "1000" })?,
    };
    let name = match name {
        Some(name) => name,
        None if uid.get() == 0 => parse(Place::Request("user"), ROOT)?,
        None => parse(Place::Request("user"), DEFAULT_USER)?,
    };
    Ok(Some(UserSpec {
        name,
        uid,
        gid,
        sudo,
    }))
}

/// Sorts what was given as requirements by what kind of file each is.
///
/// Where nothing was given, what the folder holds is used: a lock, else its requirements files,
/// else a manifest of another kind.
fn requirements(
    python: &mut PythonSpec,
    request: &BuildRequest,
    image: &ImageConfig,
    facts: &ProjectFacts,
    gpu: Option<Accelerator>,
) -> Result<(), SettingsError> {
    python.version = python.version.take().or_else(|| facts.python.clone());
    let (files, place) = match (request.requirements.is_empty(), &image.requirements) {
        (false, _) => (request.requirements.clone(), Place::Request("requirements")),
        (true, Some(files)) => (files.clone(), Place::File("[image] requirements")),
        (true, None) => {
            match (&facts.project, &facts.pylock) {
                (Some(project), _) => python.project = Some(project.clone()),
                (None, Some(pylock)) => python.pylock = Some(pylock.clone()),
                (None, None) => python.requirements.clone_from(&facts.requirements),
            }
            if !facts.alternatives.is_empty() {
                let Some(fitting) = facts.fitting(gpu) else {
                    let files = facts.alternatives.clone();
                    return Err(SettingsError::Alternatives { files });
                };
                python
                    .requirements
                    .push(parse(Place::Request("requirements"), fitting)?);
            }
            return Ok(());
        }
    };
    for file in &files {
        let name = Path::new(file)
            .file_name()
            .unwrap_or_default()
            .to_string_lossy();
        let folder = match file
            .strip_suffix(name.as_ref())
            .unwrap_or("")
            .trim_end_matches('/')
        {
            "" => ".",
            folder => folder,
        };
        let is_pylock =
            name == "pylock.toml" || (name.starts_with("pylock.") && name.ends_with(".toml"));
        if is_pylock {
            python.pylock = Some(parse(place, file)?);
        } else if name == "uv.lock" || name == "pyproject.toml" {
            python.project = Some(parse(place, folder)?);
        } else {
            python.requirements.push(parse(place, file)?);
        }
    }
    Ok(())
}
