//! What the project's own code needs when it runs and the image lacks: programs that it starts, compilers, and
//! another Python than 3.

use super::compiled::{has_nvcc, toolkit};
use super::frameworks;
use super::inputs::Inputs;
use super::stand::Stand;
use super::{ComposeContext, Warning};
use crate::project::{Code, code_of};
use crate::spec::{Accelerator, ImageSpec};
use crate::tables::bases;

/// Programs that Debian's slim images lack, and the package of each.
const PROGRAMS: [(&str, &str); 46] = [
    ("7z", "p7zip-full"),
    ("aria2c", "aria2"),
    ("bc", "bc"),
    ("bunzip2", "bzip2"),
    ("bzip2", "bzip2"),
    ("cmake", "cmake"),
    ("colmap", "colmap"),
    ("convert", "imagemagick"),
    ("curl", "curl"),
    ("dot", "graphviz"),
    ("espeak", "espeak-ng"),
    ("espeak-ng", "espeak-ng"),
    ("exiftool", "libimage-exiftool-perl"),
    ("ffmpeg", "ffmpeg"),
    ("ffprobe", "ffmpeg"),
    ("flac", "flac"),
    ("g++", "g++"),
    ("gcc", "gcc"),
    ("git", "git"),
    ("git-lfs", "git-lfs"),
    ("gs", "ghostscript"),
    ("identify", "imagemagick"),
    ("ifconfig", "net-tools"),
    ("inkscape", "inkscape"),
    ("java", "default-jre-headless"),
    ("jq", "jq"),
    ("lame", "lame"),
    ("lsof", "lsof"),
    ("make", "make"),
    ("mpirun", "openmpi-bin"),
    ("ninja", "ninja-build"),
    ("node", "nodejs"),
    ("pandoc", "pandoc"),
    ("pdflatex", "texlive-latex-base"),
    ("pdftoppm", "poppler-utils"),
    ("pdftotext", "poppler-utils"),
    ("ps", "procps"),
    ("rsync", "rsync"),
    ("sox", "sox"),
    ("ssh", "openssh-client"),
    ("tesseract", "tesseract-ocr"),
    ("tmux", "tmux"),
    ("unzip", "unzip"),
    ("wget", "wget"),
    ("xvfb-run", "xvfb"),
    ("zip", "zip"),
];

/// Whether the project's code compiles with the CUDA of its base when it runs.
pub(super) fn uses_toolkit(context: &ComposeContext, base: &str) -> bool {
    has_nvcc(base)
        && context
            .project
            .is_some_and(|p| code_of(p).extension.is_some())
}

/// What is said of the code: programs in notes, what will fail as warnings. Of an image that somebody names, and of
/// what conda's channels bring, nothing is known.
pub(super) fn said(
    spec: &ImageSpec,
    context: &ComposeContext,
    (stand, accelerator, inputs): (&Stand, Accelerator, &Inputs),
    notes: &mut Vec<String>,
) -> Vec<Warning> {
    let is_slim = stand.image.as_str().starts_with("python:");
    let Some(project) = context
        .project
        .filter(|_| spec.copy && inputs.conda.is_none())
    else {
        return Vec::new();
    };
    let code = code_of(project);
    let mut warnings = Vec::new();
    warnings.extend(python2(stand, &code));
    warnings.extend(tensorflow1(inputs, &code));
    if is_slim {
        notes.extend(programs(spec, inputs, &code));
        warnings.extend(extension(spec, accelerator, inputs, &code));
        notes.extend(kernels(spec, inputs, &code));
        notes.extend(operators(accelerator, inputs));
    }
    warnings
}

fn has_apt(spec: &ImageSpec, inputs: &Inputs, package: &str) -> bool {
    let mut asked = spec.apt.iter();
    inputs.apt.contains(package) || asked.any(|one| one.as_str() == package)
}

/// Whether a C++ compiler is asked for.
fn has_compiler(spec: &ImageSpec, inputs: &Inputs) -> bool {
    let mut names = ["g++", "build-essential", "gcc"].into_iter();
    names.any(|name| has_apt(spec, inputs, name))
}

fn programs(spec: &ImageSpec, inputs: &Inputs, code: &Code) -> Vec<String> {
    let mut found: Vec<(&str, Vec<String>)> = Vec::new();
    for (name, place) in &code.programs {
        let package = PROGRAMS.iter().find(|(program, _)| program == name);
        let Some((_, package)) = package.filter(|(_, package)| !has_apt(spec, inputs, package))
        else {
            continue;
        };
        // Packages of the index that bring the program.
        if ["cmake", "ninja"].contains(&name.as_str()) && inputs.installed(name).is_some() {
            continue;
        }
        let shown = format!("{name} ({place})");
        match found.iter_mut().find(|(known, _)| known == package) {
            Some((_, places)) => places.push(shown),
            None => found.push((package, vec![shown])),
        }
    }
    if found.is_empty() {
        return Vec::new();
    }
    let shown: Vec<String> = found
        .iter()
        .flat_map(|(_, places)| places.clone())
        .collect();
    let packages: Vec<String> = found.iter().map(|(name, _)| format!("{name:?}")).collect();
    vec![format!(
        "the project's code starts {}, which the image doesn't have; where it is needed: apt = [{}] under [image]",
        shown.join(", "),
        packages.join(", ")
    )]
}

/// That extensions which PyTorch compiles when the program runs need compilers then.
fn extension(
    spec: &ImageSpec,
    accelerator: Accelerator,
    inputs: &Inputs,
    code: &Code,
) -> Option<Warning> {
    let place = code.extension.as_ref()?;
    let ninja = match inputs.installed("ninja") {
        Some(_) => "",
        None => " and packages = [\"ninja\"]",
    };
    if accelerator == Accelerator::Cuda {
        let torch = frameworks::find(spec, inputs);
        let torch = torch.iter().find(|framework| framework.name == "torch")?;
        let row = torch.release(&ComposeContext::default(), None);
        let cuda = row.and_then(|row| torch.cuda(row));
        let (_, image) = toolkit(cuda.as_deref());
        return Some(Warning {
            message: format!(
                "{place} compiles C++ or CUDA when it runs (torch.utils.cpp_extension), and the image has no nvcc and no compiler"
            ),
            hint: Some(format!(
                "use an image that has them: base = \"{image}\", apt = [\"python3-dev\"]{ninja} under [image]"
            )),
        });
    }
    (!has_compiler(spec, inputs)).then(|| Warning {
        message: format!(
            "{place} compiles C++ when it runs (torch.utils.cpp_extension), and the image has no compiler"
        ),
        hint: Some(format!("set apt = [\"g++\"]{ninja} under [image]")),
    })
}

/// The same of what PyTorch and Triton compile by themselves, which only needs a compiler for C or C++.
fn kernels(spec: &ImageSpec, inputs: &Inputs, code: &Code) -> Option<String> {
    let place = code.kernels.as_ref()?;
    (code.extension.is_none() && !has_compiler(spec, inputs)).then(|| {
        format!(
            "{place} compiles code when it runs (torch.compile or Triton), and the image has no compiler: apt = [\"g++\"] under [image]"
        )
    })
}

/// That packages compile their own operators for a GPU when these are first used.
fn operators(accelerator: Accelerator, inputs: &Inputs) -> Option<String> {
    let wanted = inputs.installed("deepspeed")?;
    (accelerator == Accelerator::Cuda).then(|| {
        format!(
            "deepspeed ({}) compiles operators when they are first used, such as its Adam, and the image has no nvcc: those that are needed take a base with it (base = \"nvidia/cuda:…-devel-…\", apt = [\"python3-dev\"] under [image])",
            wanted.origin
        )
    })
}

/// Code of TensorFlow 1 beside a list that takes TensorFlow 2.
fn tensorflow1(inputs: &Inputs, code: &Code) -> Option<Warning> {
    let (place, name) = code.tensorflow1.as_ref()?;
    let names = ["tensorflow", "tensorflow-gpu", "tensorflow-cpu"];
    let mut wanted = names.iter().filter_map(|name| inputs.installed(name));
    let wanted = wanted.next()?;
    let two = pep440_rs::Version::new([2]);
    let is_one = wanted
        .versions
        .as_ref()
        .is_some_and(|versions| super::programs::is_before(versions, &two));
    (!is_one).then(|| Warning {
        message: format!(
            "{place} is code for TensorFlow 1 ({name}), and what {} ({}) takes is TensorFlow 2",
            wanted.name, wanted.origin
        ),
        hint: Some(
            "write import tensorflow.compat.v1 as tf, or hold it back: tensorflow<2, whose last release has wheels up to Python 3.7".into(),
        ),
    })
}

fn python2(stand: &Stand, code: &Code) -> Option<Warning> {
    let place = code.python2.as_ref()?;
    let python = stand.python.as_deref().unwrap_or(&bases().python);
    Some(Warning {
        message: format!("{place} is Python 2, and the image has Python {python}"),
        hint: Some("convert the code (2to3 up to Python 3.12), or write a Dockerfile of your own, FROM python:2.7-slim".into()),
    })
}
