//! `mlbuild completions`: what a shell needs to complete mlbuild's command line.

use clap::Args;
use clap_complete::Shell;

use crate::error::{CommandError, CommandResult};
use crate::support::output;

/// Print completions for a shell.
///
/// Each shell reads them from its own place:
///
/// bash: `mlbuild completions bash > ~/.local/share/bash-completion/completions/mlbuild`
///
/// zsh: `mlbuild completions zsh > "${fpath[1]}/_mlbuild"`
///
/// fish: `mlbuild completions fish > ~/.config/fish/completions/mlbuild.fish`
#[derive(Debug, Clone, Args)]
pub struct CompletionsArgs {
    /// The shell.
    pub shell: Shell,
}

/// Runs the verb.
///
/// # Errors
/// Where stdout can't be written.
pub fn run(args: &CompletionsArgs) -> CommandResult {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut crate::definition(), "mlbuild", &mut script);
    let script = String::from_utf8(script)
        .map_err(|error| CommandError::work(format!("cannot write completions: {error}")))?;
    output::document(&script)
}
