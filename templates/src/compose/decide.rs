//! The decisions: accelerator, where packages go and by what, and what is added to what was asked
//! for. The base is chosen in [`super::stand`].

use std::collections::{BTreeMap, BTreeSet};

use super::apt_names;
use super::breaks;
use super::compiled::{self, Compiled};
use super::conda;
use super::devices;
use super::frameworks::{self, Framework, Row};
use super::gpus;
use super::inputs::{self, Inputs};
use super::misfits::{Misfit, misfits};
use super::nvcc;
use super::running;
use super::stand::{self, Stand, allows};
use super::unlisted;
use super::{ComposeContext, ComposeError, SecretUse, Warning};
use crate::spec::{Accelerator, ImageSpec, Installer, PythonEnvironment, TemplateName};
use crate::tables::bases;
use crate::value::{BaseImage, TorchBackend};

/// All that is decided before a line is written.
pub(super) struct Decision {
    pub base: BaseImage,
    pub accelerator: Accelerator,
    /// Where Python packages go; `None` for an image without Python.
    pub environment: Option<PythonEnvironment>,
    /// The Python version, as far as it is known before the build.
    pub python: Option<String>,
    pub installer: Installer,
    /// Packages besides those that were asked for.
    pub additions: Vec<String>,
    pub torch_backend: Option<TorchBackend>,
    /// Packages of the distribution besides those that were asked for.
    pub apt: BTreeSet<String>,
    pub env: BTreeMap<&'static str, String>,
    /// The CUDA release that the packages or the base bring.
    pub cuda: Option<String>,
    /// What is compiled in a stage of its own.
    pub compiled: Compiled,
    /// What is worth knowing about that.
    pub notes: Vec<String>,
    /// The package that the base was chosen for, since it looks for CUDA there.
    pub needed_by: Option<String>,
}

pub(super) fn decide(
    spec: &ImageSpec,
    context: &ComposeContext,
    inputs: &Inputs,
    warnings: &mut Vec<Warning>,
) -> Result<Decision, ComposeError> {
    conda::check_python(spec, inputs)?;
    let accelerator = accelerator_of(spec, context, inputs);
    let mut frameworks = frameworks::find(spec, inputs);
    let stand = Stand::choose(spec, context, inputs, accelerator, &frameworks)?;
    let carries = bases().carries(&stand.image);
    let carried = |f: &Framework| {
        carries.is_some_and(|c| c.packages.iter().any(|p| f.name.starts_with(p.as_str())))
    };
    if accelerator != Accelerator::Rocm {
        let replacing = frameworks.iter().filter(|f| carried(f));
        warnings.extend(replacing.filter_map(|f| may_replace(f, &stand.image)));
    }
    frameworks.retain(|framework| !carried(framework));

    let installer = installer(spec, &stand, inputs)?;
    let (mut notes, mut of_builds) = (Vec::new(), Vec::new());
    let compiled = compiled::find(
        spec,
        context,
        inputs,
        accelerator,
        &mut notes,
        &mut of_builds,
    );
    if compiled.nvcc && accelerator == Accelerator::Cuda {
        let around = (spec, context, inputs);
        notes.extend(nvcc::fit(around, &stand, installer, &mut frameworks)?);
    }
    let torch_backend = torch_backend(spec, context, inputs, accelerator, installer, &frameworks)?;
    if let (Some(build), None, false) = (&inputs.torch_build, &torch_backend, inputs.locked) {
        warnings.push(Warning {
            message: format!("the project takes PyTorch's build {build}, and pip takes the one of the package index"),
            hint: Some(match stand.python.as_deref().is_none_or(runs_uv) {
                true => "use installer = \"uv\", or name PyTorch's index in a requirements file".into(),
                false => "name PyTorch's index in a requirements file".into(),
            }),
        });
    }
    warnings.extend(gpus::warning(inputs, accelerator));
    warnings.extend(devices::said(spec, inputs, &mut notes));
    warnings.extend(cpus_overruled(inputs, accelerator));
    warnings.extend(stand::unknown_image(&stand));
    warnings.extend(stand::another_python(spec, &stand, inputs));
    if let Some(python) = stand.python.as_deref().filter(|_| !inputs.locked) {
        warnings.extend(without_wheels(inputs, python, stand.whose.as_deref()));
        warnings.extend(python_of_project(inputs, python));
    }
    let mut additions = Vec::new();
    let mut brought = None;
    for framework in &frameworks {
        if let Some(python) = &stand.python {
            framework.check_python(context, python, stand.whose.as_deref().unwrap_or(""))?;
        }
        let row = framework.release(context, stand.python.as_deref());
        let mut adds = framework.addition(accelerator, row);
        if inputs.is_by_code(&framework.wanted) {
            // Nothing else of this step names the release, which the project's build asks for later.
            let versions = framework.wanted.versions.iter().map(ToString::to_string);
            let versions = versions.collect::<String>().replace(' ', "");
            adds = adds.iter().map(|add| format!("{add}{versions}")).collect();
        }
        match (&inputs.hashed, inputs.locked) {
            (_, true) => {}
            (Some(origin), false) if !adds.is_empty() => warnings.push(Warning {
                message: format!(
                    "{} isn't added: {origin} pins a hash, so every package has to",
                    adds.join(" and ")
                ),
                hint: Some("add it to the requirements files, with its hash".into()),
            }),
            _ => additions.extend(adds),
        }
        // The CUDA of a build that is named is known wherever it comes from.
        let from_index =
            torch_backend.is_none() || framework.name != "torch" || framework.build.is_some();
        let Some((version, release)) = row.filter(|_| from_index) else {
            warnings.extend(framework.unchecked(spec, context, accelerator, from_index));
            continue;
        };
        let cuda_of_it = framework.cuda((version, release));
        let has_cuda = cuda_of_it.is_some();
        if accelerator == Accelerator::Cuda {
            framework.check_cuda(spec, context, (version, release))?;
            brought = brought.or(cuda_of_it);
            let is_needed =
                stand.needed_by.is_some() || running::uses_toolkit(context, stand.image.as_str());
            if has_cuda && carries.is_some_and(|c| c.cuda) && !is_needed {
                warnings.push(cuda_twice(
                    spec,
                    framework,
                    (version, release),
                    &stand.image,
                ));
            }
        } else if accelerator == Accelerator::Off
            && framework.name == "torch"
            && framework.build.is_none()
            && release.cuda_bytes > 0
        {
            warnings.push(useless_cuda(framework, (version, release)));
        }
    }

    if inputs.conda.is_none() {
        warnings.extend(breaks::warnings(inputs, stand.python.as_deref()));
    }
    warnings.extend(running::said(
        spec,
        context,
        (&stand, accelerator, inputs),
        &mut notes,
    ));
    warnings.extend(of_builds);
    warnings.extend(unlisted::warnings(
        spec,
        context,
        inputs,
        (accelerator, &frameworks),
    ));
    notes.extend(compiled.note());
    Ok(Decision {
        compiled,
        notes,
        accelerator,
        environment: environment(spec, inputs, &additions, carries.is_some_and(|c| c.python)),
        python: match &inputs.conda {
            Some(conda) => conda.python(),
            None => stand.python,
        },
        installer,
        additions,
        torch_backend,
        apt: today(apt(spec, inputs), stand.image.as_str(), inputs, warnings),
        needed_by: stand.needed_by,
        env: accelerator_env(spec, accelerator),
        cuda: brought.or(stand.cuda),
        base: stand.image,
    })
}

/// Releases that are asked for and have no wheels for the image's Python: what installs them compiles them,
/// where it can at all.
fn without_wheels(inputs: &Inputs, python: &str, whose: Option<&str>) -> Option<Warning> {
    let misfits = misfits(inputs, python);
    let Misfit {
        wanted: first,
        pythons,
        why,
    } = misfits.first()?;
    let more = match misfits.len() {
        1 => String::new(),
        2 => " (and 1 more package)".to_owned(),
        count => format!(" (and {} more packages)", count - 1),
    };
    let versions = first.versions.as_ref().map(ToString::to_string);
    let newest = pythons.last().copied().unwrap_or_default();
    let place = match whose {
        Some(_) => ", on a base that has it",
        None => "",
    };
    Some(Warning {
        message: format!(
            "{}{} ({}) {} Python {python}{}, only for {}{more}{}",
            first.name,
            versions.unwrap_or_default().replace(' ', ""),
            first.origin,
            if why.is_some() {
                "isn't for"
            } else {
                "has no wheels for"
            },
            whose.unwrap_or_default(),
            pythons.join(", "),
            why.map(|why| format!(": {why}")).unwrap_or_default(),
        ),
        hint: Some(
            match frameworks::minor(newest) >= frameworks::minor(bases().pythons().0) {
                true => format!(
                    "set python = \"{newest}\" under [image]{place}, or ask for releases of about the same time"
                ),
                false => "no base has one of these: ask for newer releases".to_owned(),
            },
        ),
    })
}

/// That the image's Python is none of those that the project which lies there says that it is for.
fn python_of_project(inputs: &Inputs, python: &str) -> Option<Warning> {
    let asked = inputs.python_beside.as_ref()?;
    let fitting = stand::first_allowed(&asked.text);
    (!allows(&asked.text, python)).then(|| Warning {
        message: format!(
            "{} is for Python {}, and the image has {python}",
            asked.origin, asked.text
        ),
        hint: Some(match fitting {
            Some(fitting) => format!(
                "the packages have no wheels for it: ask for older releases, or set python = \"{fitting}\" under [image] all the same"
            ),
            None => "no base that is known has it: name one, base = \"…\" under [image]".to_owned(),
        }),
    })
}

/// That a version which was asked for may take the place of the base's build.
fn may_replace(framework: &Framework, base: &BaseImage) -> Option<Warning> {
    let versions = framework.wanted.versions.as_ref();
    let is_pinned = versions.is_none_or(|versions| !versions.is_empty());
    (is_pinned && !framework.is_default()).then(|| Warning {
        message: format!(
            "{} may replace the base's own build of it",
            framework.asked()
        ),
        hint: Some(format!("leave {} out: {base} brings it", framework.name)),
    })
}

/// That both the base and the wheels bring CUDA.
fn cuda_twice(
    spec: &ImageSpec,
    framework: &Framework,
    (version, release): Row,
    base: &BaseImage,
) -> Warning {
    let megabytes = release.cuda_bytes / 1_000_000;
    Warning {
        message: format!(
            "CUDA comes twice: {base} has it, and {} {version} brings {megabytes} MB of it in its wheels",
            framework.name
        ),
        hint: Some(match spec.template == template_of(framework) {
            true => "name a base without CUDA, unless your own code links to it".to_owned(),
            false => format!(
                "use the {} template, whose base is slim, unless your own code links to CUDA",
                template_of(framework)
            ),
        }),
    }
}

/// That the wheels bring CUDA into an image for CPUs.
fn useless_cuda(framework: &Framework, (version, release): Row) -> Warning {
    let megabytes = release.cuda_bytes / 1_000_000;
    Warning {
        message: format!(
            "{} {version} brings {megabytes} MB of CUDA that a CPU image doesn't use",
            framework.name
        ),
        hint: Some("torch_backend = \"cpu\" takes it from PyTorch's own index, with uv".into()),
    }
}

/// As [`accelerator`]; packages that were built for CPUs decide where the spec doesn't.
pub(super) fn accelerator_of(
    spec: &ImageSpec,
    context: &ComposeContext,
    inputs: &Inputs,
) -> Accelerator {
    if for_rocm(spec, inputs).is_some() {
        return Accelerator::Rocm;
    }
    if for_cpus(spec, inputs).is_some() {
        return Accelerator::Off;
    }
    match gpus::deciding(spec, context, inputs) {
        Some(_) => Accelerator::Cuda,
        None => accelerator(spec, context),
    }
}

/// Builds for CPUs that a file of conda asks for, in an image that somebody wants for GPUs.
fn cpus_overruled(inputs: &Inputs, accelerator: Accelerator) -> Option<Warning> {
    let asked = inputs.for_cpus.as_ref()?;
    (accelerator != Accelerator::Off).then(|| Warning {
        message: format!(
            "{} ({}) asks for builds for CPUs, and this image is made for gpu = \"{accelerator}\"",
            asked.text, asked.origin
        ),
        hint: Some("leave gpu out, or that line".into()),
    })
}

/// PyTorch's own build for ROCm, where it decides that the image is for GPUs of AMD: the spec names no accelerator,
/// and nothing else means a GPU of NVIDIA.
pub(super) fn for_rocm(spec: &ImageSpec, inputs: &Inputs) -> Option<(String, String)> {
    let is_open = spec.gpu.is_none() && spec.base.is_none() && spec.template != TemplateName::Cuda;
    if !is_open || gpus::find(inputs).is_some() {
        return None;
    }
    gpus::rocm_build(&frameworks::find(spec, inputs))
}

/// The package whose build for CPUs decides that the image is for them: PyTorch from its own index of such
/// builds, `tensorflow-cpu`, or conda's `cpuonly`. `None` where the spec names an accelerator, and where another framework than
/// that one may compute on a GPU.
pub(super) fn for_cpus(spec: &ImageSpec, inputs: &Inputs) -> Option<(String, String)> {
    if spec.gpu.is_some() || spec.template == TemplateName::Cuda || spec.base.is_some() {
        return None;
    }
    if gpus::find(inputs).is_some() {
        return None;
    }
    if let Some(asked) = &inputs.for_cpus {
        return Some((asked.text.clone(), asked.origin.clone()));
    }
    if let Some(conda) = &inputs.conda {
        return gpus::conda_for_cpus(conda);
    }
    if let Some(found) = devices::deciding(spec, inputs) {
        return Some(found);
    }
    let frameworks = frameworks::find(spec, inputs);
    let is_for_cpus = |framework: &Framework| {
        framework.name == "tensorflow-cpu" || framework.build.as_deref() == Some("cpu")
    };
    let first = frameworks
        .iter()
        .find(|framework| !framework.is_default())?;
    let all = frameworks.iter().all(|f| is_for_cpus(f) && !f.is_default());
    let named = match &first.build {
        Some(_) => format!("{}'s build for CPUs", first.name),
        None => first.name.to_owned(),
    };
    all.then(|| (named, first.wanted.origin.clone()))
}

pub(crate) fn accelerator(spec: &ImageSpec, context: &ComposeContext) -> Accelerator {
    let default = match spec.template {
        TemplateName::Python => Accelerator::Off,
        _ => Accelerator::Cuda,
    };
    match spec.gpu.unwrap_or(default) {
        Accelerator::Auto => context.host_accelerator.unwrap_or(Accelerator::Cuda),
        given => given,
    }
}

pub(super) fn accelerator_env(
    spec: &ImageSpec,
    accelerator: Accelerator,
) -> BTreeMap<&'static str, String> {
    let mut env = BTreeMap::new();
    if accelerator == Accelerator::Cuda {
        let display = if spec.gui { ",graphics,display" } else { "" };
        env.insert("NVIDIA_VISIBLE_DEVICES", "all".to_owned());
        env.insert(
            "NVIDIA_DRIVER_CAPABILITIES",
            format!("compute,utility{display}"),
        );
    }
    env
}

fn template_of(framework: &Framework) -> TemplateName {
    match framework.name {
        "torch" => TemplateName::Pytorch,
        _ => TemplateName::Tensorflow,
    }
}

fn installer(spec: &ImageSpec, stand: &Stand, inputs: &Inputs) -> Result<Installer, ComposeError> {
    let python = &spec.python;
    let synced = inputs.synced.is_some();
    let without_uv = stand.python.as_deref().filter(|python| !runs_uv(python));
    if let Some(old) = without_uv.filter(|_| synced || python.installer == Installer::Uv) {
        return Err(ComposeError::conflict(
            format!("uv {} isn't made for Python {old}", bases().uv),
            match synced {
                true => {
                    "ask for Python 3.8 or newer, or export uv.lock to a requirements file (uv export --format requirements-txt) and name that"
                }
                false => "leave out installer = \"uv\", or ask for Python 3.8 or newer",
            },
        ));
    }
    let carried = bases().carries(&stand.image).is_some_and(|c| c.python)
        || conda::brings_python(inputs, !inputs.is_empty());
    let into_base = python
        .environment
        .map_or(carried, |e| e == PythonEnvironment::Base);
    match python.installer {
        Installer::Pip if synced => Err(ComposeError::conflict(
            "pip can't read uv.lock",
            "use installer = \"uv\", or export the lock: uv export --format pylock.toml -o pylock.toml",
        )),
        // pip sees what a base's own Python holds, wherever its distribution put it.
        Installer::Auto if into_base && !synced && python.pylock.is_none() => Ok(Installer::Pip),
        Installer::Auto if inputs.only_pip.is_some() => Ok(Installer::Pip),
        Installer::Auto if without_uv.is_some() => Ok(Installer::Pip),
        Installer::Auto => Ok(Installer::Uv),
        Installer::Uv if inputs.only_pip.is_some() => {
            let (origin, what) = inputs.only_pip.clone().unwrap_or_default();
            Err(ComposeError::conflict(
                format!("{origin}: uv doesn't read {what}, and pip does"),
                "leave out installer = \"uv\", or write the line another way",
            ))
        }
        given => Ok(given),
    }
}

/// Whether the uv that installs packages is published for a Python version.
pub(super) fn runs_uv(python: &str) -> bool {
    frameworks::minor(python) >= 8
}

fn torch_backend(
    spec: &ImageSpec,
    context: &ComposeContext,
    inputs: &Inputs,
    accelerator: Accelerator,
    installer: Installer,
    frameworks: &[Framework],
) -> Result<Option<TorchBackend>, ComposeError> {
    if let Some(backend) = &spec.python.torch_backend {
        if backend.as_str() == "index" {
            return Ok(None);
        }
        if installer != Installer::Uv || inputs.locked {
            return Err(ComposeError::conflict(
                format!("torch_backend = \"{backend}\" needs uv and no lock file"),
                "use installer = \"uv\", or name PyTorch's index in the requirements file or when locking",
            ));
        }
        return Ok(Some(backend.clone()));
    }
    // A machine's own package index may have it, and a file may name PyTorch's by itself.
    let own_index = context.secrets.contains(&SecretUse::UvConf) || inputs.torch_index.is_some();
    let build = frameworks.iter().find_map(|f| f.build.as_deref());
    if let (Some(build), Installer::Uv, false, false) = (build, installer, inputs.locked, own_index)
        && let Ok(backend) = build.parse()
    {
        return Ok(Some(backend));
    }
    let torch = frameworks.iter().any(|f| f.name == "torch");
    let cpu = accelerator == Accelerator::Off && torch && installer == Installer::Uv;
    Ok((cpu && !own_index && !inputs.locked).then(|| "cpu".parse().expect("a plain word")))
}

fn environment(
    spec: &ImageSpec,
    inputs: &Inputs,
    additions: &[String],
    carried: bool,
) -> Option<PythonEnvironment> {
    let installs = !inputs.is_empty() || !additions.is_empty();
    if inputs.conda.is_some() {
        return conda::environment(spec, inputs, installs);
    }
    let wanted = installs || spec.python.version.is_some() || (spec.base.is_none() && !carried);
    let place = spec.python.environment.unwrap_or(if carried {
        PythonEnvironment::Base
    } else {
        PythonEnvironment::Venv
    });
    wanted.then_some(place)
}

/// Packages under the names that they have on the base; what was renamed, and what is gone, is said.
fn today(
    packages: BTreeSet<String>,
    base: &str,
    inputs: &Inputs,
    warnings: &mut Vec<Warning>,
) -> BTreeSet<String> {
    use apt_names::Name;
    let mut names = BTreeSet::new();
    for package in packages {
        let asked = match inputs.apt_origins.get(&package) {
            Some(origin) => format!("{package} ({origin})"),
            None => package.clone(),
        };
        let (message, hint) = match apt_names::on(&package, base) {
            Name::AsItIs => {
                names.insert(package);
                continue;
            }
            Name::Renamed(new) => {
                names.insert(new.to_owned());
                let message = format!("{asked} is called {new} by now, which is installed");
                warnings.push(Warning {
                    message,
                    hint: Some(format!("write {new}")),
                });
                continue;
            }
            Name::Another { release, name } => (
                format!("{release}, which {base} stands on, has no {asked}"),
                format!(
                    "write {name}, which it has, where that version will do, or build on an older base"
                ),
            ),
            Name::Python { version, release } => (
                format!("{release}, which {base} stands on, has no {asked}"),
                format!(
                    "leave it out, and set python = \"{version}\" under [image]: that image has its headers, too"
                ),
            ),
            Name::Gone => (
                format!("today's Debian and Ubuntu have no {asked}"),
                "leave it out, or build on an older base that has it".to_owned(),
            ),
        };
        warnings.push(Warning {
            message,
            hint: Some(hint),
        });
        names.insert(package);
    }
    names
}

fn apt(spec: &ImageSpec, inputs: &Inputs) -> BTreeSet<String> {
    let mut packages = BTreeSet::new();
    // Debian 13 and Ubuntu 24.04 have libglib2.0-0t64, which provides the old name.
    if spec.gui {
        packages.extend(["fonts-dejavu-core", "libgl1", "libglib2.0-0", "libsm6"]);
    } else if inputs::opencv_with_windows(inputs) {
        packages.extend(["libgl1", "libglib2.0-0"]);
    }
    if spec.user.as_ref().is_some_and(|user| user.sudo) {
        packages.insert("sudo");
    }
    for (vcs, package) in [
        ("git", "git"),
        ("hg", "mercurial"),
        ("svn", "subversion"),
        ("bzr", "brz"),
    ] {
        if inputs.vcs.contains(vcs) {
            packages.insert(package);
        }
    }
    let mut packages: BTreeSet<String> = packages.into_iter().map(str::to_owned).collect();
    packages.extend(inputs.apt.iter().cloned());
    packages.extend(spec.apt.iter().map(ToString::to_string));
    packages
}
