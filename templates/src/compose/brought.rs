//! CUDA of conda's channels beside a framework that brings its own.

use super::decide::Decision;
use super::inputs::Inputs;
use crate::tables::cuda;

/// Packages of conda's channels that are CUDA, or one of its libraries.
const OF_CUDA: [&str; 6] = [
    "cudatoolkit",
    "cuda-version",
    "pytorch-cuda",
    "cuda",
    "cuda-toolkit",
    "cudnn",
];

/// Says which CUDA counts, where a framework of the package index brings another than is asked for.
pub(super) fn notes(decision: &Decision, inputs: &Inputs) -> Vec<String> {
    let names = ["torch", "tensorflow", "jax"];
    let mut wanted = names.iter().filter_map(|name| inputs.installed(name));
    let (Some(framework), Some(brought)) = (wanted.next(), &decision.cuda) else {
        return Vec::new();
    };
    let asked = match (&inputs.conda, &inputs.for_cuda) {
        (Some(conda), _) => {
            let mut asked = conda.specs.iter();
            asked.find(|spec| OF_CUDA.contains(&name_of(&spec.text)))
        }
        (None, asked) => asked.as_ref(),
    };
    let asked = asked.filter(|asked| OF_CUDA.contains(&name_of(&asked.text)));
    let Some((text, origin)) = asked.map(|asked| (asked.text.as_str(), asked.origin.as_str()))
    else {
        return Vec::new();
    };
    let release = minor_of(text);
    if release.as_deref() == Some(brought.as_str())
        || name_of(text) == "cuda-version" && release.is_none()
    {
        return Vec::new();
    }
    let name = &framework.name;
    let versions = framework.versions.clone().unwrap_or_default();
    let other = release
        .as_deref()
        .filter(|_| name == "torch" && name_of(text) != "cudnn");
    let other = other.and_then(|release| {
        let newest = cuda().newest_torch_for(release, &versions)?;
        let digits = release.replace('.', "");
        Some(format!("; for CUDA {release} ask for torch {newest}, and set torch_backend = \"cu{digits}\" under [image]"))
    });
    vec![format!(
        "{text} ({origin}) stands beside {name} ({}), which takes CUDA {brought}: that one counts, and the other is nothing to it{}",
        framework.origin,
        other.unwrap_or_default()
    )]
}

fn name_of(spec: &str) -> &str {
    let spec = spec.rsplit_once("::").map_or(spec, |(_, spec)| spec);
    let end = spec.find(|c: char| !(c.is_ascii_alphanumeric() || "-_".contains(c)));
    &spec[..end.unwrap_or(spec.len())]
}

/// `11.2` of `cudatoolkit=11.2.2`.
fn minor_of(spec: &str) -> Option<String> {
    let at = spec.find(|c: char| "=<> ".contains(c))?;
    let numbers = spec[at..].trim_start_matches(['=', '<', '>', ' ']);
    let mut parts = numbers.split(|c: char| !c.is_ascii_digit());
    let (major, minor) = (parts.next()?, parts.next()?);
    (!major.is_empty() && !minor.is_empty()).then(|| format!("{major}.{minor}"))
}
