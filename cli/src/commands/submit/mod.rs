//! `mlbuild submit`: what `mlbuild run` does here, a cluster does, of Kubernetes or of Slurm.

mod printed;
pub(crate) mod slurm;

use std::path::PathBuf;

use clap::Args;

use self::printed::Form;
use crate::error::{CommandError, CommandResult};
use crate::support::docker_help;
use crate::support::interrupt;
use crate::support::mlbuild_flags::data_wishes;
use crate::support::output;
use crate::support::registry_args::RegistryArgs;
use crate::support::run_line::with_config;
use crate::support::runtime::wait_for;
use crate::support::terminal::Terminal;
use crate::support::trust;
use mlbuild::kubernetes::{ClusterTarget, End, JobRef};
use mlbuild::runtime::kubernetes::{RunaiCli, SUBMIT, SubmitFlags};
use mlbuild::runtime::slurm::misplaced;
use mlbuild::runtime::{Options, Parsed, RunSpec, shell_line};
use mlbuild::settings;
use mlbuild::start::unsupported;
use mlbuild::submit::{self, FollowEnd, INTERRUPTED, PortPair, SubmitEnd, SubmitRequest, Waiter};

/// Run a container as docker run does, as a Job of a Kubernetes cluster, or with --slurm as a job of Slurm.
///
/// Takes every flag of `docker run`; the first word that is no flag is the image. The image is
/// resolved to its digest first and started from that. What the cluster can't do is named. The
/// output is the container's, and so is the exit code.
#[derive(Debug, Clone, Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub struct SubmitArgs {
    /// Flags, the image, the command.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// The verb with every flag.
pub fn documented(raw: clap::Command) -> clap::Command {
    docker_help::documented(raw, SUBMIT, "IMAGE [COMMAND] [ARG]...")
}

/// Runs the verb; returns the exit code.
///
/// # Errors
/// Where the line or `mlbuild.toml` is wrong, the image can't be found, or the cluster refuses.
pub fn run(args: &SubmitArgs) -> CommandResult<u8> {
    let parsed = SUBMIT.parse_with_image(&args.words)?;
    if parsed.own.is_on("help") {
        return output::answer(&docker_help::text(SUBMIT)).map(|()| 0);
    }
    let folder = settings::current_folder()?;
    let config = settings::read_config(&folder)?;
    let own = parsed.own.clone();
    let wishes = config.wishes.clone();
    // What `[run]` has for mlbuild run's own flags isn't meant for a cluster.
    let Parsed { spec, .. } = with_config(parsed, config, &folder)?;
    let is_slurm = own.is_on("slurm");
    if let Some(part) = misplaced(&own).into_iter().next() {
        return Err(CommandError::user(format!("{}: {}", part.what, part.why)));
    }
    let runai_cli = match own.text("format") {
        Some("runai") => Some(RunaiCli::Submit),
        Some("runai-training") => Some(RunaiCli::TrainingSubmit),
        _ => None,
    };
    if let Some(cli) = runai_cli {
        if is_slurm {
            return Err(CommandError::user(
                "--format runai is for Kubernetes, and the run is one of Slurm",
            ));
        }
        // Variables come from this machine's files, as they would for a Job.
        trust::check(&folder, &wishes, own.is_on("trust"))?;
        return runai(spec, own, cli).map(|()| 0);
    }
    if own.text("dry-run") != Some("client") {
        trust::check(&folder, &wishes, own.is_on("trust"))?;
    }
    let run_id = settings::run_id(own.text("run-id"))?;
    if !is_slurm {
        refuse_two_outputs(&spec, &own)?;
    }
    let request = SubmitRequest {
        cluster: target(&own),
        defaults: !own.is_on("no-defaults"),
        record: !own.is_on("no-record"),
        data: data_wishes(&own)?,
        forwards: forwards(&own, spec.options.is_on("detach"))?,
        run_id,
        registry: RegistryArgs::default().options(&folder)?,
        folder,
        flags: SubmitFlags::new(own.clone()),
        spec,
    };
    if is_slurm {
        return slurm::run(request, &own);
    }
    wait_for(async {
        match own.text("dry-run") {
            None => submit(request, &own).await,
            Some("server") => {
                let mut submission = submit::prepare(request, &Terminal::default()).await?;
                let job = submission.check(&Terminal::default()).await?;
                printed::print_job(&job, Form::of(&own)).map(|()| 0)
            }
            Some(_) => {
                let submission = submit::prepare(request, &Terminal::default()).await?;
                printed::print(&submission.rendered, Form::of(&own)).map(|()| 0)
            }
        }
    })
}

async fn submit(request: SubmitRequest, own: &Options) -> CommandResult<u8> {
    let waiter = Waiter {
        cancellation: &interrupt::listen,
        log: &output::write_bytes,
    };
    let outcome = submit::run(request, waiter, &Terminal::default()).await?;
    match outcome.end {
        SubmitEnd::Detached => printed::print_started(&outcome, own).map(|()| 0),
        SubmitEnd::Followed(FollowEnd::Ended(end)) => exit_code(&outcome.at, end),
        SubmitEnd::Followed(FollowEnd::Cancelled) => Ok(u8::try_from(INTERRUPTED).unwrap_or(1)),
    }
}

/// stdout is either the container's or the answer's.
fn refuse_two_outputs(spec: &RunSpec, own: &Options) -> CommandResult {
    let detach = spec.options.is_on("detach");
    if own.text("output") == Some("script") {
        return Err(CommandError::user(
            "--output script is for --slurm: a Job of Kubernetes is YAML or JSON",
        ));
    }
    if own.has("output") && !detach && !own.has("dry-run") {
        return Err(CommandError::user(
            "--output is for --dry-run and --detach: stdout is the container's",
        ));
    }
    if own.text("format") == Some("json") && !detach {
        return Err(CommandError::user(
            "--format json is for --detach: stdout is the container's",
        ));
    }
    Ok(())
}

/// The container's own exit code. Where there is none, why.
pub(crate) fn exit_code(job: &JobRef, end: End) -> CommandResult<u8> {
    match (end.code, end.why) {
        (Some(code), why) => {
            if let Some(why) = why {
                output::note(&format!("{}: {why}", job.name));
            }
            Ok(u8::try_from(code).unwrap_or(1))
        }
        (None, why) => Err(CommandError::work(format!(
            "the {job} ended without an exit code: {}",
            why.as_deref().unwrap_or("its pod is gone")
        ))),
    }
}

/// `--port-forward`, which somebody who waits has.
fn forwards(own: &Options, detach: bool) -> CommandResult<Vec<PortPair>> {
    let pairs = own.all("port-forward").map(|pair| pair.to_string().parse());
    let pairs = pairs.collect::<Result<Vec<PortPair>, _>>()?;
    if detach && !pairs.is_empty() {
        return Err(CommandError::user(
            "--port-forward is for as long as the run is followed, which --detach doesn't do",
        )
        .hint("later: mlbuild logs --follow --port-forward LOCAL:REMOTE JOB"));
    }
    Ok(pairs)
}

fn target(own: &Options) -> ClusterTarget {
    ClusterTarget {
        kubeconfig: own.text("kubeconfig").map(PathBuf::from),
        context: own.text("context").map(str::to_owned),
        namespace: own.text("namespace").map(str::to_owned),
        server: None,
    }
}

/// `--format runai` and `runai-training`.
fn runai(spec: RunSpec, own: Options, cli: RunaiCli) -> CommandResult {
    let reporter = Terminal::default();
    let line = submit::runai_line(spec, &SubmitFlags::new(own), cli, &reporter)?;
    unsupported::warn(&line.left_out, &reporter);
    output::answer(&shell_line(&line.form))
}
