//! Which base an image stands on, and the environment that comes with it.

use std::collections::BTreeMap;

use super::{ComposeContext, ComposeError, Warning};
use crate::spec::{Accelerator, ImageSpec};
use crate::value::BaseImage;

/// The chosen base.
pub(super) struct Chosen {
    pub image: BaseImage,
    pub accelerator: Accelerator,
    pub env: BTreeMap<&'static str, String>,
    pub warnings: Vec<Warning>,
}

pub(super) fn choose(spec: &ImageSpec, context: &ComposeContext) -> Result<Chosen, ComposeError> {
    let accelerator = match spec.gpu {
        Accelerator::Auto => context.host_accelerator.unwrap_or(Accelerator::Cuda),
        given => given,
    };
    let python = spec
        .python
        .version
        .as_ref()
        .map_or("3.12".into(), |v| v.minor());
    let image = spec
        .base
        .clone()
        .or_else(|| context.accelerator_bases.get(&accelerator).cloned())
        .unwrap_or_else(|| {
            let text = format!("python:{python}-slim-bookworm");
            text.parse().expect("a plain reference")
        });
    let mut env = BTreeMap::new();
    if accelerator == Accelerator::Cuda {
        let display = if spec.gui { ",graphics,display" } else { "" };
        env.insert("NVIDIA_VISIBLE_DEVICES", "all".to_owned());
        env.insert(
            "NVIDIA_DRIVER_CAPABILITIES",
            format!("compute,utility{display}"),
        );
    }
    Ok(Chosen {
        image,
        accelerator,
        env,
        warnings: Vec::new(),
    })
}
