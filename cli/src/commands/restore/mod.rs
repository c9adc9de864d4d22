//! `mlbuild restore`: a run's code, image and command, here.

mod shell;

use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use clap::{Args, ValueHint};
use mlbuild_secrets::REDACTED;
use serde_json::json;

use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::output;
use crate::support::project_args::ProjectArgs;
use crate::support::registry_args::RegistryArgs;
use crate::support::terminal::Terminal;
use mlbuild::pull::origin::is_sif;
use mlbuild::restore::{self, OWN, PROGRAMS, RecordSource, RestoreRequest};
use mlbuild::runtime::shell_line;
use mlbuild::shell::word;
use mlbuild::trackers::Tracker;
use mlbuild::trackers::mlflow::MlflowName;
use mlbuild::trackers::wandb::WandbName;
use mlbuild::trust;

/// The word that stands for the images of `mlbuild.lock`.
const REGISTRY: &str = "registry";

/// Bring back a run: its code, its image and its command.
///
/// Makes the branch `mlbuild/RUN` at the run's commit, applies the changes that were not
/// committed, and prints the command that starts the same image with the same
/// arguments. A run of Weights & Biases or MLflow is asked for at its server. On a terminal a shell follows, with that command as the newest in its history.
#[derive(Debug, Clone, Args)]
pub struct RestoreArgs {
    /// Id of the run, or its beginning; a file for Apptainer, for the one run of its image; ENTITY/PROJECT:RUN mlflow:RUN_ID; or the address of the page of such a run.
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Take the record from this image, or that of a file for Apptainer; or from the images of mlbuild.lock: `registry`. Without it: from the folder, else as `registry`.
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
    /// Let the run reach what its record names outside the project and the container.
    #[arg(long, requires = "exec")]
    pub trust: bool,
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
    let request = RestoreRequest {
        registry: args.registry.options(&project)?,
        source: source(&args)?,
        run: if is_sif(Path::new(&args.run)) {
            // Whichever it is.
            String::new()
        } else {
            args.run
        },
        project,
        code: !args.no_code,
        worktree: args.worktree,
        program: args.runtime_cli,
    };
    let restored = restore::run(&request, &Terminal::default()).await?;
    match args.format {
        Format::Json => output::answer(&format!(
            "{:#}",
            json!({
                "run": restored.run,
                "image": restored.image,
                "branch": restored.branch,
                "folder": restored.folder,
                "command": restored.command,
            })
        )),
        Format::Text if args.exec && has_hole(&restored.command) => Err(CommandError::user(
            "the run's command held a secret, which isn't recorded: it can't be started as it was",
        )
        .hint("leave out --exec, and write the secret into the command that is printed")),
        Format::Text if args.exec => {
            let (options, display) = (&restored.options, restored.display.as_deref());
            let submission = &restored.submission;
            let wishes = trust::wishes_of_record(options, submission, display, &restored.folder);
            trust::check(&restored.folder, &wishes, args.trust, &Terminal::default())?;
            output::note(&shell_line(&restored.command));
            Err(exec(&restored.command, &restored.folder))
        }
        Format::Text => {
            output::answer(&shown(&restored.command, &restored.folder))?;
            if args.no_shell || !shell::is_wanted() {
                return Ok(());
            }
            Err(shell::start(
                &shell_line(&restored.command),
                &restored.folder,
            ))
        }
    }
}

/// Whether something was taken out of the command when it was recorded.
fn has_hole(command: &[String]) -> bool {
    command.iter().any(|word| word.contains(REDACTED))
}

/// Where the record is: a name that no run of mlbuild's can have is a tracker's. No name begins as a flag
/// does.
fn source(args: &RestoreArgs) -> CommandResult<RecordSource> {
    let run_file = Path::new(&args.run);
    if is_sif(run_file) && args.from.is_none() && args.wandb_metadata.is_none() {
        return Ok(RecordSource::Sif(run_file.to_owned()));
    }
    let is_trackers = args.run.contains(['/', ':']) && !args.run.starts_with('-');
    let is_mlflows = is_trackers && MlflowName::is_meant(&args.run);
    Ok(match (&args.wandb_metadata, args.from.as_deref()) {
        (Some(_), _) if is_mlflows => {
            let run = word(&args.run);
            return Err(CommandError::user(format!(
                "--wandb-metadata: {run} is a run of MLflow, and not of Weights & Biases"
            ))
            .hint(format!("mlbuild restore {run}")));
        }
        (Some(file), _) => RecordSource::WandbFile(file.clone()),
        (None, None) if is_mlflows => RecordSource::Mlflow(MlflowName::parse(&args.run)?),
        (None, None) if is_trackers => RecordSource::Wandb(WandbName::parse(&args.run)?),
        (None, Some(_)) if is_trackers => {
            let run = word(&args.run);
            return Err(CommandError::user(format!(
                "--from: {run} is a run of {}, whose server has its record",
                if is_mlflows {
                    Tracker::Mlflow
                } else {
                    Tracker::Wandb
                }
            ))
            .hint(format!("mlbuild restore {run}")));
        }
        (None, Some(REGISTRY)) => RecordSource::LockedImages,
        (None, Some(file)) if is_sif(Path::new(file)) => RecordSource::Sif(file.into()),
        (None, Some(image)) => RecordSource::Image(image.to_owned()),
        (None, None) => RecordSource::Anywhere,
    })
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
