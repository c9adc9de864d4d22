//! `mlbuild image`: from a few flags to a pushed, locked image.

pub mod args;
mod bases;

use crate::error::CommandResult;

/// Runs the verb.
///
/// # Errors
/// One error with whose turn it is.
pub async fn run(args: args::ImageArgs) -> CommandResult {
    let settings = crate::settings::resolve(args)?;
    println!("{settings:#?}");
    Ok(())
}
