//! `mlbuild restore`: a run's code, image and command, here.
//!
//! Find the record, see that its image can be had, see that its code can be had, and only
//! then change anything. Each step is a file beside this one.

mod again;
mod code;
mod find;
mod image;
mod shell;
mod wandb;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, ValueHint};
use mlbuild_secrets::REDACTED;
use serde_json::json;

use self::again::{Again, OWN, PROGRAMS, TOLD};
use super::registry_args::RegistryArgs;
use super::runs::ProjectArgs;
use super::runs::attached::Attached;
use crate::cli::output;
use crate::error::{CommandError, CommandResult};
use crate::flags::Format;
use crate::on_path;
use crate::runtime::shell_line;

/// Bring back a run: its code, its image and its command.
///
/// Makes the branch `mlbuild/RUN` at the run's commit, applies the changes that were not
/// committed, and prints the command that starts the same image with the same
/// arguments. On a terminal a shell follows, with that command as the newest in its history.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// Id of the run, or its beginning.
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Take the record from this image; or from the images of mlbuild.lock: `registry`. Without it: from the folder, else as `registry`.
    #[arg(long, value_name = "IMAGE|registry")]
    pub from: Option<String>,
    /// Take what Weights & Biases wrote of the run: its wandb-metadata.json, with a diff.patch beside it.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "from")]
    pub wandb_metadata: Option<PathBuf>,
    /// Check the code out in a worktree in this folder, instead of here.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub worktree: Option<PathBuf>,
    /// Leave the code as it is: image and command only.
    #[arg(long, conflicts_with = "worktree")]
    pub no_code: bool,
    /// Start the container; the exit code is the container's.
    #[arg(long, conflicts_with = "format")]
    pub exec: bool,
    /// Start no shell.
    #[arg(long)]
    pub no_shell: bool,
    /// Program that starts containers (default: the run's, else the first one that is here). A run of a cluster is submitted there; with a program it is started here.
    #[arg(long, value_name = "NAME", value_parser = PROGRAMS)]
    pub runtime_cli: Option<String>,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Where the records are.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the verb. The answer is the command that starts the run again.
///
/// # Errors
/// Where the run isn't known, its image or its code can't be had, or the tree isn't clean.
/// Nothing is changed then.
pub async fn run(args: RestoreArgs) -> CommandResult {
    let project = args.project.folder()?;
    let registry = args.registry.client(&project)?;
    let Attached { record, patch } = match &args.wandb_metadata {
        Some(file) => wandb::read(file, &args.run)?,
        None => find::find(&args, &project, &registry).await?,
    };
    let program = program(
        &args,
        record.command.as_ref().and_then(|c| c.program.as_deref()),
    );
    let cluster = record.cluster.as_ref();
    let cluster = cluster.filter(|_| args.runtime_cli.is_none());
    let here = cluster.is_none().then_some(program.as_str());
    let image = image::check(&record, here, &registry).await?;
    let code = match args.no_code {
        true => None,
        false => code::look(
            &record,
            patch.as_deref(),
            &project,
            args.worktree.as_deref(),
        )?,
    };
    let restored = match code {
        Some(code) => code.bring_back()?,
        None => code::left_alone(&project),
    };
    let again = Again {
        record: &record,
        program: &program,
        cluster,
        image: &image,
        project: &restored.project,
    };
    let command = again.command();
    for mount in again.missing_mounts() {
        output::warning(&format!(
            "the run had {mount} mounted, which isn't on this machine"
        ));
    }
    say_of_command(&record);
    match args.format {
        Format::Json => output::answer(&format!(
            "{:#}",
            json!({
                "run": record.id,
                "image": image,
                "branch": restored.branch,
                "folder": restored.project,
                "command": command,
            })
        )),
        Format::Text if args.exec && has_hole(&command) => Err(CommandError::user(
            "the run's command held a secret, which isn't recorded: it can't be started as it was",
        )
        .hint("leave out --exec, and write the secret into the command that is printed")),
        Format::Text if args.exec => {
            output::note(&shell_line(&command));
            Err(exec(&command, &restored.project))
        }
        Format::Text => {
            output::answer(&shown(&command, &restored.project))?;
            match !args.no_shell && shell::is_wanted() {
                true => Err(shell::start(&shell_line(&command), &restored.project)),
                false => Ok(()),
            }
        }
    }
}

/// Whether something was taken out of the command when it was recorded.
fn has_hole(command: &[String]) -> bool {
    command.iter().any(|word| word.contains(REDACTED))
}

/// What of the command can't be as it was.
fn say_of_command(record: &mlbuild_manifests::RunRecord) {
    let Some(command) = &record.command else {
        output::note(
            "the run was bound to the image, and not started by mlbuild: its command isn't known",
        );
        return;
    };
    let is_unset = |name: &&String| {
        std::env::var_os(name.as_str()).is_none() && !TOLD.contains(&name.as_str())
    };
    let unset: Vec<&str> = command
        .environment
        .iter()
        .filter(is_unset)
        .map(String::as_str)
        .collect();
    if !unset.is_empty() {
        output::note(&format!(
            "the run had values for {}, which aren't recorded: set them before you start it",
            unset.join(", ")
        ));
    }
}

/// The command, with the folder to start it in where that isn't this one.
fn shown(command: &[String], folder: &Path) -> String {
    let line = shell_line(command);
    let here = std::env::current_dir().and_then(|here| here.canonicalize());
    if here.is_ok_and(|here| here == folder) {
        return line;
    }
    let folder = shell_line(&[folder.to_string_lossy().into_owned()]);
    format!("cd {folder} && {line}")
}

/// The flag's program, else the run's, else the first that is on PATH.
fn program(args: &RestoreArgs, recorded: Option<&str>) -> String {
    let known = recorded.filter(|name| PROGRAMS.contains(name) && is_on_path(name));
    let found = || PROGRAMS.into_iter().find(|name| is_on_path(name));
    let chosen = args.runtime_cli.as_deref().or(known).or_else(found);
    chosen.unwrap_or(PROGRAMS[0]).to_owned()
}

fn is_on_path(name: &str) -> bool {
    on_path::find(name).is_some()
}

/// Becomes the container's program, so that terminal, signals and exit code are its own.
fn exec(command: &[String], folder: &Path) -> CommandError {
    // mlbuild itself needn't be on PATH.
    let own = std::env::current_exe().ok();
    let own = own.filter(|_| command[0] == OWN);
    let program = own.unwrap_or_else(|| PathBuf::from(&command[0]));
    let error = Command::new(program)
        .args(&command[1..])
        .current_dir(folder)
        .exec();
    CommandError::environment(format!("{}: can't be started: {error}", command[0]))
}
