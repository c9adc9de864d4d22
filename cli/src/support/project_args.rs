//! The flag of commands that work in a project's folder.

use std::path::{Path, PathBuf};

use clap::{Args, ValueHint};

use crate::error::{CommandError, CommandResult};
use mlbuild::records::project_folder;

/// Where the records are.
#[derive(Debug, Clone, Default, Args)]
pub struct ProjectArgs {
    /// Folder of the project (default: the nearest one upwards that holds mlbuild.runs, mlbuild.toml or mlbuild.lock).
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub project: Option<PathBuf>,
}

impl ProjectArgs {
    /// The project's folder.
    ///
    /// # Errors
    /// Where it isn't there.
    pub fn folder(&self) -> CommandResult<PathBuf> {
        let given = self.project.as_deref();
        match given {
            Some(folder) if !folder.is_dir() => Err(CommandError::user(format!(
                "--project {}: there is no such folder",
                folder.display()
            ))),
            Some(folder) => absolute(folder),
            None => Ok(project_folder(&absolute(Path::new("."))?)),
        }
    }
}

fn absolute(folder: &Path) -> CommandResult<PathBuf> {
    folder
        .canonicalize()
        .map_err(|error| CommandError::environment(format!("{}: {error}", folder.display())))
}
