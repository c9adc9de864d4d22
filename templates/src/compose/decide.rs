//! The decisions: accelerator, base, Python, and what is added to what was asked for.

use std::collections::{BTreeMap, BTreeSet};

use super::frameworks::{self, Framework};
use super::inputs::{self, Inputs};
use super::{ComposeContext, ComposeError, SecretUse, Warning};
use crate::spec::{Accelerator, ImageSpec, Installer, PythonEnvironment, TemplateName};
use crate::tables::{CudaBase, RocmImage, bases, cuda, rocm};
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
    pub apt: BTreeSet<&'static str>,
    pub env: BTreeMap<&'static str, String>,
    /// The CUDA release that the packages or the base bring.
    pub cuda: Option<String>,
}

pub(super) fn decide(
    spec: &ImageSpec,
    context: &ComposeContext,
    inputs: &Inputs,
    warnings: &mut Vec<Warning>,
) -> Result<Decision, ComposeError> {
    let accelerator = accelerator(spec, context);
    let mut frameworks = frameworks::find(spec, inputs);
    let stand = Stand::choose(spec, context, inputs, accelerator, &frameworks)?;
    let carries = bases().carries(&stand.image);
    let carried = |f: &Framework| {
        carries.is_some_and(|c| c.packages.iter().any(|p| f.name.starts_with(p.as_str())))
    };
    for framework in frameworks.iter().filter(|f| carried(f) && !f.is_default()) {
        let pinned = framework
            .wanted
            .versions
            .as_ref()
            .is_none_or(|v| !v.is_empty());
        if pinned && accelerator != Accelerator::Rocm {
            warnings.push(Warning {
                message: format!(
                    "{} may replace the base's own build of it",
                    framework.asked()
                ),
                hint: Some(format!(
                    "leave {} out: {} brings it",
                    framework.name, stand.image
                )),
            });
        }
    }
    frameworks.retain(|framework| !carried(framework));

    let installer = installer(spec, &stand)?;
    let torch_backend = torch_backend(spec, context, inputs, accelerator, installer, &frameworks)?;
    let mut additions = Vec::new();
    let mut brought = None;
    for framework in &frameworks {
        if let Some(python) = &stand.python {
            framework.check_python(context, python, stand.whose.as_deref().unwrap_or(""))?;
        }
        let row = framework.release(context, stand.python.as_deref());
        let adds = framework.addition(accelerator, row);
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
        let from_index = torch_backend.is_none() || framework.name != "torch";
        let Some((version, release)) = row.filter(|_| from_index) else {
            continue;
        };
        let megabytes = release.cuda_bytes / 1_000_000;
        let always = framework.name == "torch";
        if accelerator == Accelerator::Cuda {
            framework.check_cuda(spec, context, (version, release))?;
            brought = brought.or(release.cuda_version());
            if release.cuda.is_some() && carries.is_some_and(|c| c.cuda) {
                warnings.push(Warning {
                    message: format!(
                        "CUDA comes twice: {} has it, and {} {version} brings {megabytes} MB of it in its wheels",
                        stand.image, framework.name
                    ),
                    hint: Some(format!("use the {} template, whose base is slim, unless your own code links to CUDA", template_of(framework))),
                });
            }
        } else if accelerator == Accelerator::Off && always && release.cuda.is_some() {
            warnings.push(Warning {
                message: format!(
                    "{} {version} brings {megabytes} MB of CUDA that a CPU image doesn't use",
                    framework.name
                ),
                hint: Some(
                    "torch_backend = \"cpu\" takes it from PyTorch's own index, with uv".into(),
                ),
            });
        }
    }

    Ok(Decision {
        accelerator,
        environment: environment(spec, inputs, &additions, carries.is_some_and(|c| c.python)),
        python: stand.python,
        installer,
        additions,
        torch_backend,
        apt: apt(spec, inputs),
        env: accelerator_env(spec, accelerator),
        cuda: brought.or(stand.cuda),
        base: stand.image,
    })
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

/// The base and what is known of it.
struct Stand {
    image: BaseImage,
    python: Option<String>,
    /// Whose Python that is, for messages.
    whose: Option<String>,
    cuda: Option<String>,
}

impl Stand {
    fn choose(
        spec: &ImageSpec,
        context: &ComposeContext,
        inputs: &Inputs,
        accelerator: Accelerator,
        frameworks: &[Framework],
    ) -> Result<Self, ComposeError> {
        let asked = spec.python.version.as_ref().map(|v| v.minor());
        let given = spec
            .base
            .as_ref()
            .or_else(|| context.accelerator_bases.get(&accelerator));
        if let Some(image) = given {
            return Ok(Self {
                image: image.clone(),
                python: asked,
                whose: None,
                cuda: None,
            });
        }
        let table = bases();
        if table.template(spec.template, accelerator).is_none() {
            let known: Vec<String> = table
                .accelerators(spec.template)
                .map(|a| a.to_string())
                .collect();
            return Err(ComposeError::conflict(
                format!(
                    "the {} template has no base for gpu = \"{accelerator}\", only for {}",
                    spec.template,
                    known.join(", ")
                ),
                "name a base yourself, or use the python template",
            ));
        }
        if accelerator == Accelerator::Rocm
            && let Some(framework) = frameworks.iter().find(|f| f.name != "tensorflow-cpu")
        {
            return amd(framework, asked.as_deref());
        }
        if accelerator == Accelerator::Cuda
            && let Some(release) = nvidia_cuda(spec, context, inputs, frameworks)
        {
            return nvidia(&release, spec, asked.as_deref());
        }
        let python = match asked {
            Some(python) => python,
            None => common_python(context, frameworks)?,
        };
        let text = table
            .template(spec.template, accelerator)
            .expect("looked up above");
        let image = text
            .replace("{python}", &python)
            .replace("{cuda}", &table.cuda);
        Ok(Self {
            image: image.parse().expect("the table is checked"),
            python: text.contains("{python}").then_some(python),
            whose: None,
            cuda: None,
        })
    }
}

/// The Python that all frameworks have wheels for: the table's own where it will do, else the
/// newest.
fn common_python(
    context: &ComposeContext,
    frameworks: &[Framework],
) -> Result<String, ComposeError> {
    let default = &bases().python;
    if frameworks.iter().all(|f| f.runs_on(context, default)) {
        return Ok(default.clone());
    }
    let known = frameworks.iter().find(|f| !f.runs_on(context, default));
    let candidates = known.map(|f| f.pythons(context)).unwrap_or_default();
    let fits = |python: &&String| frameworks.iter().all(|f| f.runs_on(context, python));
    if let Some(python) = candidates.iter().find(fits) {
        return Ok(python.clone());
    }
    let asked: Vec<String> = frameworks.iter().map(Framework::asked).collect();
    Err(ComposeError::conflict(
        format!(
            "no Python version has wheels for all of {}",
            asked.join(" and ")
        ),
        "ask for releases of about the same time",
    ))
}

/// The CUDA release that an NVIDIA base is needed for, if one is.
fn nvidia_cuda(
    spec: &ImageSpec,
    context: &ComposeContext,
    inputs: &Inputs,
    frameworks: &[Framework],
) -> Option<String> {
    let tensorflow = frameworks.iter().find(|f| f.name == "tensorflow");
    let old = tensorflow.and_then(|f| cuda().for_old_tensorflow(f.release(context, None)?.0));
    let needed = spec.template == TemplateName::Cuda
        || inputs.wanted.iter().any(|w| cuda().needs_base(&w.name));
    let asked = spec.cuda.as_ref().map(|c| c.as_str());
    match old {
        Some(old) => Some(asked.unwrap_or(old).to_owned()),
        None if needed => Some(asked.unwrap_or(&bases().cuda).to_owned()),
        None => None,
    }
}

fn nvidia(release: &str, spec: &ImageSpec, python: Option<&str>) -> Result<Stand, ComposeError> {
    let rows = cuda().bases();
    let number = |text: &str| {
        text.parse::<pep440_rs::Version>()
            .expect("checked when it was made")
    };
    let Some(row) = rows.iter().find(|row| row.cuda == release) else {
        let nearest = rows
            .iter()
            .find(|row| number(&row.cuda) > number(release))
            .or(rows.last());
        return Err(ComposeError::conflict(
            format!("no NVIDIA image is known for CUDA {release}"),
            format!(
                "the nearest is {}; or name one: base = \"nvidia/cuda:...\"",
                nearest.map_or("", |row| &row.cuda)
            ),
        ));
    };
    if let Some(python) = python
        && python != row.python
    {
        let other = rows.iter().rev().find(|row| row.python == python);
        let or =
            other.map(|row: &CudaBase| format!(", or cuda = \"{}\" for Python {python}", row.cuda));
        return Err(ComposeError::conflict(
            format!(
                "NVIDIA's image for CUDA {release} has Python {}, not {python}",
                row.python
            ),
            format!("ask for Python {}{}", row.python, or.unwrap_or_default()),
        ));
    }
    if let Some(driver) = &spec.target.nvidia_driver
        && let Some(oldest) = cuda().oldest_driver(release)
        && *oldest > number(driver.as_str())
    {
        let runs = |row: &&CudaBase| {
            cuda()
                .oldest_driver(&row.cuda)
                .is_none_or(|o| *o <= number(driver.as_str()))
        };
        let nearest = rows.iter().rev().find(runs);
        return Err(ComposeError::conflict(
            format!("CUDA {release} needs driver {oldest} or newer, not {driver}"),
            nearest.map_or("update the driver".into(), |row| {
                format!(
                    "ask for cuda = \"{}\", the nearest that it runs, or update the driver",
                    row.cuda
                )
            }),
        ));
    }
    let text = bases()
        .template(TemplateName::Cuda, Accelerator::Cuda)
        .expect("the table has it");
    let image = text.replace("{cuda}", &row.tag);
    Ok(Stand {
        whose: Some(format!(", which {image} has")),
        image: image.parse().expect("the table is checked"),
        python: Some(row.python.clone()),
        cuda: Some(row.cuda.clone()),
    })
}

/// AMD's image with the framework in it.
fn amd(framework: &Framework, python: Option<&str>) -> Result<Stand, ComposeError> {
    let rows: Vec<&RocmImage> = rocm()
        .iter()
        .filter(|row| row.framework == framework.name)
        .collect();
    let fits = |row: &&&RocmImage| {
        framework
            .wanted
            .versions
            .as_ref()
            .is_some_and(|v| v.contains(&row.version))
            && python.is_none_or(|p| p == row.python)
    };
    let Some(row) = rows.iter().find(fits) else {
        let known: Vec<String> = rows
            .iter()
            .map(|row| format!("{} (Python {})", row.version, row.python))
            .collect();
        let python = python
            .map(|p| format!(" and Python {p}"))
            .unwrap_or_default();
        return Err(ComposeError::conflict(
            format!("no AMD image is known for {}{python}", framework.asked()),
            format!(
                "those known hold {} {}; or name one: base = \"rocm/...\"",
                framework.name,
                known.join(", ")
            ),
        ));
    };
    Ok(Stand {
        image: row.image.parse().expect("the table is checked"),
        python: Some(row.python.clone()),
        whose: Some(format!(", which {} has", row.image)),
        cuda: None,
    })
}

fn installer(spec: &ImageSpec, stand: &Stand) -> Result<Installer, ComposeError> {
    let python = &spec.python;
    let carried = bases().carries(&stand.image).is_some_and(|c| c.python);
    let into_base = python
        .environment
        .map_or(carried, |e| e == PythonEnvironment::Base);
    match python.installer {
        Installer::Pip if python.project.is_some() => Err(ComposeError::conflict(
            "pip can't read uv.lock",
            "use installer = \"uv\", or export the lock: uv export --format pylock.toml -o pylock.toml",
        )),
        // pip sees what a base's own Python holds, wherever its distribution put it.
        Installer::Auto if into_base && python.project.is_none() && python.pylock.is_none() => {
            Ok(Installer::Pip)
        }
        Installer::Auto => Ok(Installer::Uv),
        given => Ok(given),
    }
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
    let own_index = context.secrets.contains(&SecretUse::UvConf);
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
    let wanted = installs || spec.python.version.is_some() || (spec.base.is_none() && !carried);
    let place = spec.python.environment.unwrap_or(match carried {
        true => PythonEnvironment::Base,
        false => PythonEnvironment::Venv,
    });
    wanted.then_some(place)
}

fn apt(spec: &ImageSpec, inputs: &Inputs) -> BTreeSet<&'static str> {
    let mut packages = BTreeSet::new();
    // Debian 13 and Ubuntu 24.04 have libglib2.0-0t64, which provides the old name.
    if spec.gui {
        packages.extend(["libgl1", "libglib2.0-0", "libsm6"]);
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
    packages
}
