//! The CUDA of PyTorch, where packages are compiled against it: PyTorch refuses an nvcc of another major version.

use super::compiled::has_nvcc;
use super::frameworks::Framework;
use super::inputs::Inputs;
use super::stand::Stand;
use super::{ComposeContext, ComposeError, SecretUse};
use crate::spec::{ImageSpec, Installer};
use crate::tables::cuda;

/// Takes a build of PyTorch whose CUDA has an nvcc, where that of the package index has none: gives the note that
/// says so.
///
/// # Errors
/// Where none can be taken.
pub(super) fn fit(
    (spec, context, inputs): (&ImageSpec, &ComposeContext, &Inputs),
    stand: &Stand,
    installer: Installer,
    frameworks: &mut [Framework],
) -> Result<Option<String>, ComposeError> {
    let backend = spec.python.torch_backend.as_ref();
    let named = backend.map(|b| b.as_str()).filter(|b| b.starts_with("cu"));
    let torch = frameworks.iter_mut().find(|f| f.name == "torch");
    let Some(torch) = torch.filter(|_| !has_nvcc(stand.image.as_str())) else {
        return Ok(None);
    };
    if let (Some(named), None) = (named, &torch.build) {
        torch.build = Some(named.to_owned());
    }
    let Some(row) = torch.release(context, stand.python.as_deref()) else {
        return Ok(None);
    };
    let Some(brought) = torch.cuda(row).filter(|brought| !has_toolkit(brought)) else {
        return Ok(None);
    };
    let version = row.0.to_string();
    let other = cuda()
        .torch_builds(&version)
        .filter(|release| has_toolkit(release));
    let Some(release) = other.last() else {
        return Err(refused(torch, &version, &brought, None));
    };
    let own_index = context.secrets.contains(&SecretUse::UvConf)
        || inputs.torch_index.is_some()
        || inputs.hashed.is_some();
    let is_open = installer == Installer::Uv && !inputs.locked && !own_index;
    if !is_open || torch.build.is_some() || spec.cuda.is_some() || backend.is_some() {
        return Err(refused(torch, &version, &brought, Some(release)));
    }
    torch.build = Some(format!("cu{}", release.replace('.', "")));
    Ok(Some(format!(
        "torch {version} ({}) is taken in PyTorch's own build for CUDA {release}: packages are compiled against it, and there is no image with the nvcc of CUDA {brought}, which the build of the package index has",
        torch.wanted.origin
    )))
}

/// Whether there is an image with an nvcc of the same major version.
fn has_toolkit(release: &str) -> bool {
    let major = |text: &str| text.split('.').next().unwrap_or_default().to_owned();
    let mut bases = cuda().bases().iter();
    bases.any(|base| major(&base.cuda) == major(release))
}

fn refused(torch: &Framework, version: &str, brought: &str, other: Option<&str>) -> ComposeError {
    let of_other = other.map(|release| {
        let build = release.replace('.', "");
        format!("ask for torch=={version}+cu{build} from PyTorch's own index, or ")
    });
    ComposeError::conflict(
        format!(
            "torch {version} ({}) has CUDA {brought}, packages are compiled against it, and no image with the nvcc of CUDA {brought} is known",
            torch.wanted.origin
        ),
        format!(
            "{}name a base that has nvcc, or a newer torch",
            of_other.unwrap_or_default()
        ),
    )
}
