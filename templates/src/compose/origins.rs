//! Where each decision of a composed image comes from, as far as the project's files made it: for
//! people who ask why an image is as it is, and for errors that point at a line.

use std::collections::{BTreeMap, BTreeSet};

use super::ComposeContext;
use super::apt_names;
use super::builder_stage::toolkit_of;
use super::decide::{self, Decision};
use super::frameworks;
use super::gpus;
use super::inputs::{self, Inputs};
use super::misfits::misfits;
use super::stand::allows;
use crate::project::WINDOWS;
use crate::project::manifests::Asked;
use crate::spec::{ImageSpec, Installer, TemplateName};
use crate::tables::{bases, framework_brought_by};

/// Where the decisions come from: `requirements.txt:3`, or a sentence.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origins {
    /// Of the Python version; `None` where the spec names it.
    pub python: Option<String>,
    /// Of the installer; `None` where the spec names it.
    pub installer: Option<String>,
    /// Of CUDA's release; `None` where the spec names it.
    pub cuda: Option<String>,
    /// The packages that decide about template, base and accelerator.
    pub frameworks: Vec<Asked>,
    /// Where packages come from besides the usual index, and who says so.
    pub index: Option<Asked>,
    /// Packages of the distribution that the spec doesn't name, and what each is for.
    pub apt: BTreeMap<String, String>,
    /// Of the accelerator, where packages decided it.
    pub accelerator: Option<String>,
    /// Of the base, where a package decided it.
    pub base: Option<String>,
    /// The package that brings the template's framework, where nothing asks for that itself.
    pub template: Option<String>,
    /// Commands of the project's manifests.
    pub commands: Vec<Asked>,
    /// What comes from conda's channels, and why.
    pub conda: Option<Asked>,
    /// The channels that are asked, the one that counts most first, and the file that names them.
    pub channels: Vec<Asked>,
    /// What is compiled in a stage of its own, each with its reason.
    pub compiled: Vec<Asked>,
    /// What compiles it, and what builds take besides: each with the reason.
    pub builds: Vec<Asked>,
}

pub(super) fn of(
    spec: &ImageSpec,
    context: &ComposeContext,
    decision: &Decision,
    inputs: &Inputs,
) -> Origins {
    let frameworks = frameworks::find(spec, inputs);
    let asked = |name: &str, origin: &str| Asked {
        text: name.to_owned(),
        origin: origin.to_owned(),
    };
    let deciding: Vec<Asked> = frameworks
        .iter()
        .filter(|framework| !framework.is_default())
        .map(|framework| asked(framework.name, &framework.wanted.origin))
        .collect();
    Origins {
        python: python(spec, decision, inputs, &deciding),
        installer: installer(spec, decision, inputs),
        cuda: cuda(spec, decision, inputs, &deciding),
        index: index(decision, inputs),
        apt: apt(spec, decision, inputs),
        accelerator: decide::for_rocm(spec, inputs)
            .or_else(|| decide::for_cpus(spec, inputs))
            .or_else(|| {
                let found = gpus::deciding(spec, context, inputs)?;
                Some((found.name, found.origin))
            })
            .map(|(package, origin)| format!("{package} ({origin})")),
        base: decision
            .needed_by
            .as_ref()
            .map(|package| format!("{package} looks for CUDA there")),
        template: brings(spec, inputs),
        commands: inputs.run_origins.clone(),
        conda: inputs
            .conda
            .as_ref()
            .map(|conda| asked(&conda.summary(), &conda.why)),
        channels: inputs
            .conda
            .iter()
            .flat_map(|conda| {
                conda
                    .channels
                    .iter()
                    .map(|channel| asked(channel, &conda.file))
            })
            .collect(),
        compiled: decision.compiled.reasons(),
        builds: builds(spec, decision),
        frameworks: deciding,
    }
}

/// The first package that brings the template's framework.
fn brings(spec: &ImageSpec, inputs: &Inputs) -> Option<String> {
    let framework = match spec.template {
        TemplateName::Pytorch => "torch",
        TemplateName::Tensorflow => "tensorflow",
        _ => return None,
    };
    let mut wanted = inputs.decided.iter();
    let first = wanted.find(|w| framework_brought_by(&w.name) == Some(framework))?;
    Some(format!(
        "{} ({}) brings {framework}",
        first.name, first.origin
    ))
}

/// What the builder stage has.
fn builds(spec: &ImageSpec, decision: &Decision) -> Vec<Asked> {
    let compiled = &decision.compiled;
    if compiled.is_empty() {
        return Vec::new();
    }
    let asked = |text: &str, origin: &str| Asked {
        text: text.to_owned(),
        origin: origin.to_owned(),
    };
    let mut builds = vec![asked("build-essential", "what is compiled takes it")];
    if let Some((_, image)) = toolkit_of(spec, decision) {
        builds.push(asked(&image, "its nvcc is called"));
    }
    let apt = compiled.apt.iter();
    builds.extend(apt.map(|package| asked(package, "a build takes it")));
    builds
}

/// Every Python package that is asked for, by name.
pub(super) fn asked(inputs: &Inputs) -> Vec<Asked> {
    let asked = |wanted: &crate::project::Wanted| Asked {
        text: wanted.name.clone(),
        origin: wanted.origin.clone(),
    };
    inputs.wanted.iter().map(asked).collect()
}

fn named(asked: &[Asked]) -> String {
    let named: BTreeSet<String> = asked
        .iter()
        .map(|asked| format!("{} ({})", asked.text, asked.origin))
        .collect();
    Vec::from_iter(named).join(", ")
}

/// Packages that a sentence names at most.
const NAMED: usize = 3;

fn python(
    spec: &ImageSpec,
    decision: &Decision,
    inputs: &Inputs,
    frameworks: &[Asked],
) -> Option<String> {
    if spec.python.version.is_some() {
        return None;
    }
    if let (Some(conda), Some(_)) = (&inputs.conda, &decision.python) {
        return Some(conda.file.clone());
    }
    let default = &bases().python;
    let is_default = decision.python.as_ref() == Some(default);
    let mut bounds = frameworks.to_vec();
    bounds.extend(
        misfits(inputs, default)
            .into_iter()
            .map(|misfit| misfit.wanted)
            .filter(|wanted| !frameworks.iter().any(|f| f.text == wanted.name))
            .map(|wanted| Asked {
                text: wanted.name.clone(),
                origin: wanted.origin.clone(),
            }),
    );
    let more = match bounds.len().saturating_sub(NAMED) {
        0 => "",
        _ => " and others",
    };
    bounds.truncate(NAMED);
    let wheels = format!("what {}{more} has wheels for", named(&bounds));
    let within = |wish: &Asked| allows(&wish.text, default) && !is_default;
    let followed = |python: &&Asked| {
        let has = decision.python.as_deref();
        !is_default && has.is_some_and(|has| allows(&python.text, has))
    };
    let beside = inputs.python_beside.as_ref().filter(followed);
    Some(
        match (inputs.python.as_ref().or(beside), &decision.python) {
            (_, None) => "the base's own".to_owned(),
            (Some(wish), _) if within(wish) && !bounds.is_empty() => wheels,
            (Some(wish), Some(has)) if !allows(&wish.text, has) => "the base".to_owned(),
            (Some(wish), _) => format!("{} ({})", wish.origin, wish.text),
            (None, _) if is_default => "default".to_owned(),
            _ if bounds.is_empty() => "the base".to_owned(),
            _ => wheels,
        },
    )
}

fn installer(spec: &ImageSpec, decision: &Decision, inputs: &Inputs) -> Option<String> {
    if spec.python.installer != Installer::Auto {
        return None;
    }
    Some(match (&inputs.only_pip, decision.installer) {
        (Some((origin, what)), Installer::Pip) => format!("{origin}: uv doesn't read {what}"),
        (None, Installer::Pip) if inputs.conda.is_some() => {
            "conda's Python holds packages, which pip sees".to_owned()
        }
        (None, Installer::Pip) => match &decision.python {
            Some(python) if !decide::runs_uv(python) => {
                format!("uv isn't made for Python {python}")
            }
            _ => "the base's own Python holds packages, which pip sees".to_owned(),
        },
        _ => "default".to_owned(),
    })
}

fn cuda(
    spec: &ImageSpec,
    decision: &Decision,
    inputs: &Inputs,
    frameworks: &[Asked],
) -> Option<String> {
    if spec.cuda.is_some() || decision.cuda.is_none() {
        return None;
    }
    let of_base = bases().carries(&decision.base).is_some_and(|c| c.cuda);
    Some(match (frameworks, brings(spec, inputs)) {
        ([], _) if of_base => "the base".to_owned(),
        ([], Some(brought)) => brought,
        ([], None) => format!("what the {} template's framework brings", spec.template),
        _ => format!("what {} brings", named(frameworks)),
    })
}

fn index(decision: &Decision, inputs: &Inputs) -> Option<Asked> {
    let asked = |text: String, origin: &str| {
        Some(Asked {
            text,
            origin: origin.to_owned(),
        })
    };
    match (&decision.torch_backend, &inputs.torch_index) {
        (Some(backend), _) => asked(
            format!("PyTorch's own index {backend} for torch"),
            "gpu and torch's version",
        ),
        (None, Some(index)) => {
            let others = if inputs.has_other_index {
                ", and the others that the files name"
            } else {
                ""
            };
            asked(
                format!("PyTorch's own index {index}{others}"),
                "the requirements files",
            )
        }
        _ if inputs.has_index => asked(
            "the indexes that the files name, besides the usual one".to_owned(),
            "the requirements files",
        ),
        _ => None,
    }
}

fn apt(spec: &ImageSpec, decision: &Decision, inputs: &Inputs) -> BTreeMap<String, String> {
    let is_vcs = |package: &str| ["git", "mercurial", "subversion", "brz"].contains(&package);
    let mut opencv = inputs
        .wanted
        .iter()
        .filter(|wanted| inputs::OPENCV.contains(&wanted.name.as_str()));
    let opencv = opencv.next().map(|w| format!("{} ({})", w.name, w.origin));
    let packages = inputs.wanted.iter();
    let mut windows = packages.filter(|wanted| WINDOWS.contains(&wanted.name.as_str()));
    let windows = windows.next().map(|w| format!("{} ({})", w.name, w.origin));
    let why = |package: &String| match inputs.apt_origins.get(package) {
        Some(origin) => origin.clone(),
        None if package == "sudo" => "the user may use sudo".to_owned(),
        None if is_vcs(package) => "a requirement is a repository".to_owned(),
        None => match &opencv {
            Some(opencv) => format!("{opencv} needs it"),
            None if spec.gui => match &windows {
                Some(package) => format!("gui: the windows of {package} need it"),
                None => "gui: windows need it".to_owned(),
            },
            None => "the packages need it".to_owned(),
        },
    };
    // What the spec itself lists has no other origin.
    let is_own = |name: &str| {
        let mut own = spec.apt.iter().map(|package| package.as_str());
        own.any(|own| own == name || apt_names::renamed(own) == Some(name))
    };
    let packages = decision.apt.iter().filter(|name| !is_own(name));
    packages.map(|name| (name.clone(), why(name))).collect()
}
