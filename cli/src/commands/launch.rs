//! `mlbuild launch`: a job into a queue.

mod array;
mod sweep;

use std::path::{Path, PathBuf};

use clap::{ArgGroup, Args, ValueHint};
use mlbuild_manifests::RunId;
use mlbuild_secrets::holds_secret;
use mlbuild_templates::reference;
use serde_json::json;

use super::queue::store_args::StoreArgs;
use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::output;
use mlbuild::queue::{
    GpuNeed, NewJob, Queue, QueueConfig, QueueConfigError, QueueKind, Source, archive, gpu_need,
    may_override, may_set, override_of, split_overrides, template_override,
};
use mlbuild::records::{Git, GitError};
use mlbuild::runtime::{Options, shell_line};
use mlbuild::settings;

/// Put a job into a queue: an image, or code that an agent builds one from.
///
/// The job's options stand over the queue's: `--set` over the queue's
/// configuration, a list's entries beside the queue's. Prints the job's id,
/// which is its run's too.
#[derive(Debug, Clone, Args)]
#[command(group = ArgGroup::new("source").required(true).args(["image", "job", "git"]))]
pub struct LaunchArgs {
    /// The queue.
    #[arg(long, short, value_name = "NAME", default_value = "default")]
    pub queue: String,
    /// Run this image.
    #[arg(long, value_name = "REF")]
    pub image: Option<String>,
    /// Run this folder's code, in an image that the agent builds as `mlbuild image` does.
    #[arg(long, value_name = "DIR", value_hint = ValueHint::DirPath)]
    pub job: Option<PathBuf>,
    /// Run this commit's code: a repository, `@`, and a branch, tag or commit.
    #[arg(long, value_name = "URL@REV")]
    pub git: Option<String>,
    /// Variant of that image, [variant.NAME] of the code's mlbuild.toml.
    #[arg(long, value_name = "NAME", conflicts_with = "image")]
    pub variant: Option<String>,
    /// An option of docker run for this job: `shm-size=8g`, `env=A=1`, `init`. In a queue of Kubernetes, a place of its manifest: `spec.template.spec.nodeSelector.pool=a100`.
    #[arg(long = "set", value_name = "OPTION=VALUE")]
    pub overrides: Vec<String>,
    /// A value for a template variable of the queue.
    #[arg(long = "set-var", value_name = "NAME=VALUE", value_parser = variable)]
    pub variables: Vec<(String, String)>,
    /// GPUs that the job needs: a number, all, or their numbers as `0,1,`.
    #[arg(long, value_name = "N|all|IDS,", value_parser = gpus)]
    pub gpus: Option<GpuNeed>,
    /// Launch a job for each run of a sweep: W&B's file, with `method: grid` or `random`.
    #[arg(long, value_name = "FILE", value_hint = ValueHint::FilePath, conflicts_with = "command")]
    pub sweep: Option<PathBuf>,
    /// Most runs of the sweep; otherwise its `run_cap`. A random search needs one of the two.
    #[arg(long, value_name = "N", requires = "sweep", value_parser = clap::value_parser!(u32).range(1..))]
    pub runs: Option<u32>,
    /// What a random search draws its values by: the same seed, the same values.
    #[arg(long, value_name = "N", requires = "sweep")]
    pub seed: Option<u64>,
    /// Launch a job for each value, such as lr=1e-3,1e-4 or seed=0..4, given several times for each combination: it has the variable, and {NAME} in the command is its value.
    #[arg(long, value_name = "NAME=VALUES", conflicts_with = "sweep")]
    pub array: Vec<String>,
    /// How often it is tried again after it failed.
    #[arg(long, value_name = "N", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1000))]
    pub retries: u32,
    /// Higher goes first.
    #[arg(
        long,
        value_name = "N",
        default_value_t = 0,
        allow_negative_numbers = true
    )]
    pub priority: i32,
    /// Where queues and jobs are kept.
    #[command(flatten)]
    pub store: StoreArgs,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
    /// The job's command; otherwise the image's own.
    #[arg(last = true, value_name = "CMD")]
    pub command: Vec<String>,
}

/// Runs the verb.
///
/// # Errors
/// Where the queue isn't there, an option is wrong, or the code can't be had.
pub fn run(args: &LaunchArgs) -> CommandResult {
    let sweep = args
        .sweep
        .as_deref()
        .map(|file| sweep::read(file, args))
        .transpose()?;
    let array = array::read(args)?;
    let commands: Vec<Vec<String>> = match (&sweep, &array) {
        (Some(sweep), _) => sweep.runs.iter().map(|run| run.command.clone()).collect(),
        (None, Some(array)) => (0..array.len())
            .map(|at| array.command(&args.command, at))
            .collect(),
        (None, None) => vec![args.command.clone()],
    };
    commands
        .iter()
        .try_for_each(|command| refuse_secrets(command))?;
    let store = args.store.open()?;
    let queue = store.queue(&args.queue)?;
    let overrides = overrides_of(args);
    let overrides = array::overrides(array.as_ref(), &queue, overrides, args)?;
    let gpus = gpus_of_job(args, &queue, &overrides[0])?;
    let (source, archive) = source(args)?;
    let jobs = commands.into_iter().enumerate().map(|(at, command)| {
        let job = NewJob {
            queue: args.queue.clone(),
            source: source.clone(),
            // Those of a sweep all have the same.
            overrides: overrides.get(at).unwrap_or(&overrides[0]).clone(),
            command,
            gpus: gpus.clone(),
            retries: args.retries,
            priority: args.priority,
        };
        (RunId::generate(), job)
    });
    let jobs: Vec<(RunId, NewJob)> = jobs.collect();
    let handed_in: Vec<_> = jobs.iter().map(|(id, job)| (id.as_str(), job)).collect();
    store.launch_all(&handed_in, archive.as_ref())?;
    if queue.paused {
        output::note(&format!(
            "queue {} is paused: mlbuild queue resume {}",
            queue.name,
            mlbuild::shell::word(&queue.name)
        ));
    }
    let ids: Vec<&str> = jobs.iter().map(|(id, _)| id.as_str()).collect();
    let array = array.map(|array| array::as_json(&array, &ids, &queue.name));
    output::answer(&match (args.format, &sweep) {
        (Format::Text, _) => ids.join("\n"),
        (Format::Json, Some(sweep)) => format!("{:#}", sweep.as_json(&ids, &queue.name)),
        (Format::Json, None) if array.is_some() => format!("{:#}", array.unwrap_or_default()),
        (Format::Json, None) => format!("{:#}", json!({ "job": ids[0], "queue": queue.name })),
    })
}

/// A secret has no place in a command, which everybody reads who sees the queue.
fn refuse_secrets(command: &[String]) -> CommandResult {
    let Some(at) = command.iter().position(|word| holds_secret(word)) else {
        return Ok(());
    };
    let message = format!(
        "word {} of the command holds what looks like a secret",
        at + 1
    );
    Err(CommandError::user(message).hint(
        "everybody who sees the queue sees it; use a variable: --set env=NAME, set where the agent runs",
    ))
}

/// What the job is given over its queue, as the store keeps it.
fn overrides_of(args: &LaunchArgs) -> Vec<String> {
    let variables = args.variables.iter();
    let variables = variables.map(|(name, value)| template_override(name, value));
    let others = args.overrides.iter().filter(|text| !text.is_empty());
    variables.chain(others.cloned()).collect()
}

/// Holds the job against its queue, as an agent will; returns the GPUs that the agent has to have.
fn gpus_of_job(args: &LaunchArgs, queue: &Queue, overrides: &[String]) -> CommandResult<GpuNeed> {
    let config = QueueConfig::parse(&queue.config, Path::new(&queue.name))?;
    let (values, others) = split_overrides(overrides);
    let config = config.of_job(&values, &others)?;
    if config.kind() == QueueKind::Kubernetes {
        may_set(&config, &others)?;
        if args.gpus.is_some() {
            let message = format!(
                "--gpus: the queue {} is one of Kubernetes, which hands GPUs out itself",
                queue.name
            );
            return Err(CommandError::user(message).hint(
                "--set 'spec.template.spec.containers[0].resources.limits.nvidia\\.com/gpu=1'",
            ));
        }
        return Ok(GpuNeed::None);
    }
    let options = others.iter().map(|text| override_of(text));
    let options: Options = options.collect::<Result<_, QueueConfigError>>()?;
    may_override(&config, &options)?;
    gpus_of(args, &config, options)
}

/// The GPUs that a job needs: as the line says, else as the options say.
fn gpus_of(args: &LaunchArgs, config: &QueueConfig, overrides: Options) -> CommandResult<GpuNeed> {
    if let Some(gpus) = &args.gpus {
        return Ok(gpus.clone());
    }
    let (spec, own) = config.spec("", &[], overrides);
    let all = spec.options.iter().chain(own.iter()).cloned().collect();
    Ok(gpu_need(&all)?)
}

fn source(args: &LaunchArgs) -> CommandResult<(Source, Option<archive::Archive>)> {
    if let Some(image) = &args.image {
        reference::parse(image)
            .map_err(|error| CommandError::user(format!("--image {image}: {error}")))?;
        return Ok((
            Source::Image {
                image: image.clone(),
            },
            None,
        ));
    }
    if let Some(folder) = &args.job {
        let shown = folder.display();
        let folder = folder
            .canonicalize()
            .map_err(|error| CommandError::user(format!("--job {shown}: {error}")))?;
        if let Some(variant) = &args.variant {
            settings::read_config_of(&folder, Some(variant))?;
        }
        let packed = archive::pack(&folder).map_err(|error| {
            let made = CommandError::user(format!("--job {shown}: {error}"));
            match error {
                archive::ArchiveError::TooLarge(_) => {
                    made.hint("list data in .dockerignore, and mount it: --set volume=/data:/data")
                }
                _ => made,
            }
        })?;
        if !packed.left_out.is_empty() {
            output::note(&format!(
                "not in the job's code, since their names are those of secrets: {}",
                packed.left_out.join(", ")
            ));
        }
        let name = folder.file_name().unwrap_or(folder.as_os_str());
        let source = Source::Folder {
            name: name.to_string_lossy().into_owned(),
            digest: packed.digest.clone(),
            variant: args.variant.clone(),
        };
        return Ok((source, Some(packed)));
    }
    let text = args.git.as_deref().unwrap_or_default();
    let wrong = || {
        CommandError::user(format!("--git {text}: not a repository with a revision"))
            .hint("write --git https://git.example/me/project@main")
    };
    let (url, revision) = text.rsplit_once('@').ok_or_else(wrong)?;
    let has_path = url
        .split_once("://")
        .map_or(url, |(_, rest)| rest)
        .contains(['/', ':']);
    if !has_path || revision.is_empty() || url.starts_with('-') || revision.starts_with('-') {
        return Err(wrong());
    }
    if holds_secret(url) {
        return Err(CommandError::user(
            "--git: the address holds a password, and everybody sees the queue",
        )
        .hint("leave it out: the agent's git has its own log-ins"));
    }
    // A folder of this machine means the same to agents on it.
    let url = match Path::new(url).canonicalize() {
        Ok(path) => path.to_string_lossy().into_owned(),
        Err(_) => url.to_owned(),
    };
    let source = Source::Git {
        commit: commit_of(&url, revision)?,
        url,
        revision: revision.to_owned(),
        variant: args.variant.clone(),
    };
    Ok((source, None))
}

/// The commit that a revision is now: the job stays with it.
fn commit_of(url: &str, revision: &str) -> CommandResult<String> {
    let is_commit = |text: &str| text.len() == 40 && text.bytes().all(|b| b.is_ascii_hexdigit());
    if is_commit(revision) {
        return Ok(revision.to_owned());
    }
    let unknown = |why: String| {
        CommandError::user(format!("--git {url}: {why}")).hint(shell_line(&[
            "git",
            "ls-remote",
            url,
        ]))
    };
    // Of no repository: what lies in this folder is none of its business.
    let nowhere = tempfile::tempdir()
        .map_err(|error| CommandError::environment(format!("a temporary folder: {error}")))?;
    let peeled = format!("{revision}^{{}}");
    let ask = ["ls-remote", "--exit-code", "--", url, revision, &peeled];
    let said = match Git::at(nowhere.path()).never_prompting().text(&ask) {
        Ok(said) => said,
        Err(GitError::Failed { said, .. }) if said.is_empty() => {
            return Err(unknown(format!("it has no `{revision}`")));
        }
        Err(GitError::Failed { said, .. }) => return Err(unknown(said)),
        Err(error) => return Err(CommandError::environment(error)),
    };
    let lines: Vec<(&str, &str)> = said
        .lines()
        .filter_map(|line| line.split_once('\t'))
        .collect();
    // A tag of its own leads to its commit.
    let peeled = lines.iter().find(|(_, name)| name.ends_with("^{}"));
    let branch = format!("refs/heads/{revision}");
    let named = lines.iter().find(|(_, name)| *name == branch);
    match peeled.or(named).or(lines.first()) {
        Some((commit, _)) => Ok((*commit).to_owned()),
        None => Err(unknown(format!("it has no `{revision}`"))),
    }
}

/// `NAME=VALUE` of a template variable.
pub(super) fn variable(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((name, value)) if !name.is_empty() && !name.contains(['{', '}']) => {
            Ok((name.to_owned(), value.to_owned()))
        }
        _ => Err("write NAME=VALUE".to_owned()),
    }
}

fn gpus(text: &str) -> Result<GpuNeed, String> {
    if text == "all" {
        return Ok(GpuNeed::All);
    }
    if let Ok(count) = text.parse() {
        return Ok(match count {
            0 => GpuNeed::None,
            count => GpuNeed::Count(count),
        });
    }
    let ids: Vec<String> = text
        .split(',')
        .filter(|id| !id.is_empty())
        .map(str::to_owned)
        .collect();
    if text.contains(',') && !ids.is_empty() {
        Ok(GpuNeed::Ids(ids))
    } else {
        Err("not a number, all, or numbers of GPUs as 0,1,".to_owned())
    }
}
