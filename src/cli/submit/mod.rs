//! `mlbuild submit`: what `mlbuild run` does here, a Kubernetes cluster does.
//!
//! | step | file |
//! | --- | --- |
//! | flags, the image by grammar, `[run]` of `mlbuild.toml` | `runtime::kubernetes` |
//! | the image, by digest | `image` |
//! | variables, and which of them only a Secret may hold | `variables` |
//! | the Job, and what isn't in it | `written` |
//! | the run on paper | `record` |
//! | the Job, to its end | `follow` |

pub(in crate::cli) mod follow;
mod image;
mod record;
mod variables;
mod written;

use std::path::PathBuf;

use clap::Args;
use mlbuild_manifests::RunId;

use self::follow::Outcome;
use self::written::Form;
use super::run::help;
use super::run::record::Paper;
use super::run::with_config;
use super::run::{dry_run, left_out};
use super::{interrupt, output};
use crate::error::{CommandError, CommandResult};
use crate::kubernetes::{Cluster, End, Whereabouts, connect};
use crate::runtime::kubernetes::{self, JobForm, SUBMIT, Told, Wishes};
use crate::runtime::{Options, Parsed, RunSpec, shell_line};
use crate::settings;

/// What a shell reports for a process that Ctrl-C ended.
const INTERRUPTED: i32 = 130;

/// Run a container as docker run does, as a Job of a Kubernetes cluster.
///
/// Takes every flag of `docker run`; the first word that is no flag is the image. The image is
/// resolved to its digest first and started from that. What Kubernetes can't do is named. The
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
    help::documented(raw, SUBMIT, "IMAGE [COMMAND] [ARG]...")
}

/// Everything that was said.
struct Asked {
    spec: RunSpec,
    wishes: Wishes,
    run_id: RunId,
    folder: PathBuf,
}

/// Everything that is known when the Job is about to be made.
struct Submission {
    asked: Asked,
    /// The image as it was named.
    named: String,
    /// The names of its variables.
    names: Vec<String>,
    form: JobForm,
}

impl Submission {
    fn job(&self) -> &str {
        self.form.job.metadata.name.as_deref().unwrap_or_default()
    }
}

/// Runs the verb; returns the exit code.
///
/// # Errors
/// Where the line or `mlbuild.toml` is wrong, the image can't be found, or the cluster refuses.
pub fn run(args: &SubmitArgs) -> CommandResult<u8> {
    let parsed = SUBMIT.parse_with_image(&args.words)?;
    if parsed.own.is_on("help") {
        return output::answer(&help::text(SUBMIT)).map(|()| 0);
    }
    let folder = settings::current_folder()?;
    let config = settings::read_config(&folder)?;
    let own = parsed.own.clone();
    // What `[run]` has for mlbuild run's own flags isn't meant for a cluster.
    let Parsed { mut spec, .. } = with_config(parsed, config, &folder);
    if own.text("format") == Some("runai") {
        return runai(&spec, own).map(|()| 0);
    }
    if !own.is_on("no-defaults") {
        spec.options = spec.options.clone().over(usual(&spec));
    }
    let run_id = settings::run_id(own.text("run-id"))?;
    let wishes = Wishes::new(own);
    let asked = Asked {
        spec,
        wishes,
        run_id,
        folder,
    };
    super::wait_for(submit(asked))
}

async fn submit(asked: Asked) -> CommandResult<u8> {
    let own = asked.wishes.options().clone();
    let detach = asked.spec.options.is_on("detach");
    let dry_run = own.text("dry-run");
    if own.has("output") && !detach && dry_run.is_none() {
        return Err(CommandError::user(
            "--output is for --dry-run and --detach: stdout is the container's",
        ));
    }
    if own.text("format") == Some("json") && !detach {
        return Err(CommandError::user(
            "--format json is for --detach: stdout is the container's",
        ));
    }
    let paper = (dry_run.is_none() && !own.is_on("no-record")).then(|| Paper::begin(&asked.folder));
    let submission = prepare(asked).await?;
    if dry_run == Some("client") {
        return written::print(&submission.form, Form::of(&own)).map(|()| 0);
    }
    let cluster = connect(&whereabouts(&own)).await?;
    // What the cluster would refuse is known before the run is written down.
    let (job, secret) = (&submission.form.job, submission.form.secret.as_ref());
    let taken = cluster.check(job, secret).await?;
    if dry_run == Some("server") {
        return written::print_job(&taken, Form::of(&own)).map(|()| 0);
    }
    let version = cluster.version().await?;
    let run = paper
        .map(|paper| record::write(paper, &submission, &cluster, &version))
        .transpose()?;
    let cancelled = interrupt::token()?;
    let made = match cluster.create(job, secret).await {
        Ok(made) => made,
        Err(error) => {
            if let Some(run) = run {
                record::refused(run);
            }
            return Err(error.into());
        }
    };
    let name = submission.job();
    let namespace = &cluster.namespace;
    output::note(&format!(
        "run {}: Job {name} in {namespace}: {}",
        submission.asked.run_id, submission.asked.spec.image
    ));
    if detach {
        return written::print_started(&made, &submission, &cluster, &own).map(|()| 0);
    }
    let outcome = follow::follow(&cluster, name, &cancelled).await;
    if let Some(run) = run {
        record::finish(run, &outcome);
    }
    end(&submission, &cluster, outcome).await
}

/// The exit code, and nothing left in the cluster that nobody waits for.
async fn end(
    submission: &Submission,
    cluster: &Cluster,
    outcome: CommandResult<Outcome>,
) -> CommandResult<u8> {
    let name = submission.job();
    let removes = match &outcome {
        Ok(Outcome::Ended(_)) => submission.asked.spec.options.is_on("rm"),
        Ok(Outcome::Cancelled) => true,
        // One that can't start would try for ever.
        Err(error) => error.kind == crate::error::ErrorKind::Runtime,
    };
    if removes {
        if let Err(error) = cluster.remove(name).await {
            output::warning(&format!("the Job {name} is still there: {error}"));
        } else if !matches!(outcome, Ok(Outcome::Ended(_))) {
            output::note(&format!("the Job {name} is removed"));
        }
    }
    match outcome? {
        Outcome::Cancelled => Ok(u8::try_from(INTERRUPTED).unwrap_or(1)),
        Outcome::Ended(end) => exit_code(name, end),
    }
}

/// The container's own exit code. Where there is none, why.
pub(in crate::cli) fn exit_code(job: &str, end: End) -> CommandResult<u8> {
    match (end.code, end.why) {
        (Some(code), why) => {
            if let Some(why) = why {
                output::note(&format!("{job}: {why}"));
            }
            Ok(u8::try_from(code).unwrap_or(1))
        }
        (None, why) => Err(CommandError::work(format!(
            "the Job {job} ended without an exit code: {}",
            why.as_deref().unwrap_or("its pod is gone")
        ))),
    }
}

fn whereabouts(own: &Options) -> Whereabouts {
    Whereabouts {
        kubeconfig: own.text("kubeconfig").map(PathBuf::from),
        context: own.text("context").map(str::to_owned),
        namespace: own.text("namespace").map(str::to_owned),
    }
}

/// The Job: nothing of the cluster is asked.
async fn prepare(mut asked: Asked) -> CommandResult<Submission> {
    let named = asked.spec.image.clone();
    let files = asked
        .spec
        .options
        .all("label-file")
        .map(ToString::to_string);
    for file in files.collect::<Vec<_>>() {
        for label in variables::from_file("label-file", &file)? {
            asked.spec.options.add("label", &label.to_string());
        }
    }
    let is_local = asked.wishes.options().is_on("local-image");
    let pinned = image::pin(&asked.spec, &asked.folder, is_local).await?;
    let variables = variables::gather(&asked, pinned.as_deref())?;
    if let Some(pinned) = pinned {
        asked.spec.image = pinned;
    }
    let all = variables.plain.iter().chain(&variables.secret);
    let names = all.map(|variable| variable.name.clone()).collect();
    let run = asked.run_id.to_string();
    let told = Told {
        name: match asked.spec.options.text("name") {
            Some(name) => name.to_owned(),
            None => kubernetes::name_for(&run),
        },
        run,
        asked: named.clone(),
        env: variables.plain,
        secret: variables.secret,
    };
    let form = kubernetes::job(&asked.spec, &asked.wishes, &told);
    left_out::warn(&form.warnings);
    left_out::refuse(
        &form.refused,
        "leave it out, or say it in the way of Kubernetes: mlbuild submit --help",
    )?;
    Ok(Submission {
        asked,
        named,
        names,
        form,
    })
}

/// `--format runai`.
fn runai(spec: &RunSpec, own: Options) -> CommandResult {
    let spec = &dry_run::without_secrets(spec.clone());
    let name = spec.options.text("name").map(str::to_owned);
    let line = kubernetes::runai(spec, &Wishes::new(own), name.as_deref());
    left_out::warn(&line.left_out);
    output::answer(&shell_line(&line.form))
}

/// What machine learning usually needs: docker's 64 MiB of shared memory are too little for the
/// workers of PyTorch's DataLoader, and so are containerd's.
fn usual(spec: &RunSpec) -> Options {
    let mut options = Options::default();
    let at_shm = |mount: &String| mount.split(':').nth(1) == Some("/dev/shm");
    let is_shared = matches!(spec.options.text("ipc"), Some("host"));
    if !is_shared && !spec.mounts().iter().any(at_shm) {
        options.add("shm-size", "1g");
    }
    options
}
