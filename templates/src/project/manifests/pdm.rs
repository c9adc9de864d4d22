//! `pdm.lock`, beside a `pyproject.toml` of PEP 621.

use super::pyproject::Around;
use super::{Manifest, beside, poetry, text_of, toml_of};
use crate::project::ProjectError;

/// Its pins, as constraints.
pub(super) fn lock(around: &Around, manifest: &mut Manifest) -> Result<(), ProjectError> {
    let file = beside(around.file, "pdm.lock");
    if !around.project.join(&file).is_file() {
        return Ok(());
    }
    let table = toml_of(&file, &text_of(around.project, &file)?)?;
    manifest.inputs.insert(file);
    manifest.constraints.extend(poetry::pins(&table));
    Ok(())
}
