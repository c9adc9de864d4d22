//! The question whether a project may reach out of its folder, as commands ask it.

use std::path::Path;

use crate::error::CommandResult;
use crate::support::terminal::Terminal;
use mlbuild::trust;

/// Lets a project's wishes pass, or refuses them with their list. `given`: `--trust`.
///
/// # Errors
/// Where nobody agreed to them.
pub fn check(project: &Path, wishes: &[String], given: bool) -> CommandResult {
    Ok(trust::check(project, wishes, given, &Terminal::default())?)
}
