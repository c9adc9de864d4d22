//! A shell whose newest command is the one that starts the run: up-arrow and return.

use std::io::{IsTerminal, Write};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::CommandError;
use crate::support::output;
use mlbuild::shell::word;

/// True if a person sits there.
pub fn is_wanted() -> bool {
    std::io::stdin().is_terminal() && std::io::stdout().is_terminal()
}

/// Becomes the user's shell in `folder`; returns only where that fails.
pub fn start(line: &str, folder: &Path) -> CommandError {
    let shell = std::env::var("SHELL")
        .ok()
        .filter(|shell| !shell.is_empty());
    let shell = shell.unwrap_or_else(|| "/bin/sh".to_owned());
    let name = Path::new(&shell).file_name().unwrap_or_default();
    let mut command = Command::new(&shell);
    command.current_dir(folder);
    let prepared = match name.to_string_lossy().as_ref() {
        "bash" => bash(line).map(|file| {
            command.arg("--rcfile").arg(file).arg("-i");
        }),
        "zsh" => zsh(line).map(|folder| {
            command.env("ZDOTDIR", folder).arg("-i");
        }),
        // Others read no such file: the line is printed, and can be copied.
        _ => Ok(()),
    };
    if let Err(error) = prepared {
        return CommandError::environment(format!(
            "{shell}: its start-up file can't be written: {error}"
        ));
    }
    output::note("a shell with that command in its history; leave it with exit");
    let error = command.exec();
    CommandError::environment(format!("{shell}: can't be started: {error}"))
}

/// What bash reads in place of `~/.bashrc`. It removes itself. From `set -o history` on, each
/// line would be an entry; `history -s` takes its own place.
fn bash(line: &str) -> std::io::Result<PathBuf> {
    let (mut file, path) = tempfile::Builder::new()
        .prefix("mlbuild-restore-")
        .tempfile_in(std::env::temp_dir())?
        .keep()
        .map_err(|kept| kept.error)?;
    let own = word(path.to_string_lossy());
    let line = word(line);
    writeln!(
        file,
        "[ -f ~/.bashrc ] && . ~/.bashrc\nrm -f -- {own}\nset -o history\nhistory -s -- {line}"
    )?;
    Ok(path)
}

/// A folder that zsh reads its start-up files from in place of the user's; each reads the user's
/// own first, whose `.zshenv` may name another folder for the rest. It removes itself.
fn zsh(line: &str) -> std::io::Result<PathBuf> {
    let folder = tempfile::Builder::new()
        .prefix("mlbuild-restore-")
        .tempdir_in(std::env::temp_dir())?
        .keep();
    let own = word(folder.to_string_lossy());
    let line = word(line);
    let before = std::env::var("ZDOTDIR").unwrap_or_default();
    let users = if before.is_empty() {
        "unset ZDOTDIR".to_owned()
    } else {
        format!("ZDOTDIR={}", word(&before))
    };
    let read = |name: &str| {
        format!("[ -f \"${{ZDOTDIR:-$HOME}}/{name}\" ] && . \"${{ZDOTDIR:-$HOME}}/{name}\"")
    };
    let env = format!(
        "{users}\n{}\nmlbuild_zdotdir=$ZDOTDIR\nZDOTDIR={own}\n",
        read(".zshenv")
    );
    // The history file is read after all these: the line follows before the first prompt.
    let rc = format!(
        "if [ -n \"$mlbuild_zdotdir\" ]; then ZDOTDIR=$mlbuild_zdotdir; else unset ZDOTDIR; fi\n\
         unset mlbuild_zdotdir\n{}\nmlbuild_restore() {{\n\
         precmd_functions=(${{precmd_functions:#mlbuild_restore}})\nunfunction mlbuild_restore\n\
         print -s -- {line}\n}}\nprecmd_functions+=(mlbuild_restore)\nrm -rf -- {own}\n",
        read(".zshrc")
    );
    std::fs::write(folder.join(".zshenv"), env)?;
    std::fs::write(folder.join(".zshrc"), rc)?;
    Ok(folder)
}
