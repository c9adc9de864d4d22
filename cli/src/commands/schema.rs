//! `mlbuild schema`: the JSON schema of `mlbuild.toml`, for editors.

use clap::Args;

use crate::error::CommandResult;
use crate::support::output;

/// Print the JSON schema of mlbuild.toml.
///
/// Editors that know TOML schemas complete and check the file with it.
#[derive(Debug, Clone, Args)]
pub struct SchemaArgs {}

/// Runs the verb.
///
/// # Errors
/// Where stdout can't be written.
pub fn run(_args: &SchemaArgs) -> CommandResult {
    output::answer(&mlbuild::config::schema())
}
