//! `mlbuild runs show`.

use std::fmt::Write as _;

use clap::Args;
use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::{
    GitState, RunCluster, RunData, RunImage, RunSlurm, RunSummary,
};
use serde_json::json;

use super::{as_json, ending, lasted};
use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::output;
use crate::support::project_args::ProjectArgs;
use crate::support::terminal::Terminal;
use mlbuild::records::Store;
use mlbuild::records::data::{self, DataState, Look};
use mlbuild::runs;
use mlbuild::runtime::shell_line;
use mlbuild_progress::printable;

/// Flags of `mlbuild runs show`.
#[derive(Debug, Clone, Args)]
pub struct ShowArgs {
    /// Id of the run, or its beginning.
    #[arg(value_name = "RUN")]
    pub run: String,
    /// Print the changes that the code had beyond its commit, as a patch.
    #[arg(long, conflicts_with = "format")]
    pub patch: bool,
    /// Ask the run's cluster how it goes, by your own kubeconfig, and look at data outside the project wherever
    /// the record says that it lies; else nothing but this machine's own is asked.
    #[arg(long)]
    pub live: bool,
    /// Where the records are.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the verb.
///
/// # Errors
/// Where the run isn't known, or its record or patch can't be read.
pub async fn run(args: &ShowArgs) -> CommandResult {
    let project = args.project.folder()?;
    let store = Store::of(&project);
    let mut record = store.find(&args.run)?;
    if runs::complete(&store, [&RunSummary::of(&record)], &Terminal::default()).await > 0
        || args.live && runs::complete_in_cluster(&store, &record, &Terminal::default()).await
    {
        record = store.find(record.id.as_str())?;
    }
    if args.patch {
        let patch = record
            .load_patch(store.folder())
            .map_err(CommandError::user)?;
        return match patch {
            Some(patch) => output::document_bytes(&patch),
            None => {
                output::note(&format!("run {} has no patch", record.id));
                Ok(())
            }
        };
    }
    let look = if args.live {
        Look::Anywhere
    } else {
        Look::Known
    };
    let states: Vec<DataState> = record
        .data
        .iter()
        .map(|one| data::state(one, &project, look))
        .collect();
    match args.format {
        Format::Json => {
            let mut value = as_json(&record);
            for (at, state) in states.iter().enumerate() {
                value["data"][at]["now"] = json!(state.as_str());
            }
            output::answer(&format!("{value:#}"))
        }
        Format::Text => output::answer(&text(&record, &states)),
    }
}

/// Lines of a name and a value.
#[derive(Default)]
struct Lines(String);

impl Lines {
    fn add(&mut self, name: &str, value: impl std::fmt::Display) {
        self.words(name, &printable::line(&value.to_string()));
    }

    /// Words of a command may hold ends of lines.
    fn words(&mut self, name: &str, line: &str) {
        let _ = writeln!(self.0, "{name:<10}{line}");
    }

    fn maybe(&mut self, name: &str, value: Option<impl std::fmt::Display>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }

    /// The name stands before the first item only.
    fn each(&mut self, name: &str, values: &[String]) {
        for (n, value) in values.iter().enumerate() {
            self.add(if n == 0 { name } else { "" }, value);
        }
    }
}

fn text(record: &RunRecord, states: &[DataState]) -> String {
    let mut lines = Lines::default();
    lines.add("run", &record.id);
    let summary = RunSummary::of(record);
    lines.add("status", ending(&summary));
    match &record.outcome {
        Some(outcome) => {
            lines.add("started", outcome.started);
            lines.maybe("ended", outcome.ended);
            lines.maybe("took", summary.duration().map(lasted));
        }
        None => lines.add("bound", record.created),
    }
    image(&mut lines, &record.image);
    lines.maybe("lock", record.lock.as_ref());
    if let Some(git) = &record.git {
        code(&mut lines, git, record);
    }
    for (one, state) in record.data.iter().zip(states) {
        of_data(&mut lines, one, state);
    }
    if let Some(command) = &record.command {
        lines.words("command", &shell_line(&command.argv));
        if !command.options.is_empty() {
            lines.words("options", &shell_line(&command.options));
        }
        lines.maybe("with", command.program.as_ref());
        lines.each("variables", &command.environment);
        lines.each("mounts", &command.mounts);
        lines.maybe("gpu", command.accelerator.as_ref());
        lines.maybe("display", command.display.as_ref());
    }
    if let Some(host) = &record.host {
        lines.add("host", format!("{}, {}", host.name, host.platform));
        lines.maybe("runtime", host.runtime.as_ref());
        lines.each("devices", &host.devices);
        lines.maybe("driver", host.driver.as_ref());
    }
    if let Some(place) = &record.cluster {
        cluster(&mut lines, place);
    }
    if let Some(place) = &record.slurm {
        slurm(&mut lines, place);
    }
    lines.0
}

fn image(lines: &mut Lines, image: &RunImage) {
    lines.add("image", &image.reference);
    lines.maybe("index", image.index.as_ref());
    lines.maybe("digest", image.digest.as_ref());
    for (platform, digests) in &image.platforms {
        lines.add("manifest", format!("{} {platform}", digests.manifest));
        lines.add("config", format!("{} {platform}", digests.config));
    }
    if let Some(id) = &image.image_id {
        lines.add("image ID", id);
        lines.add(
            "",
            "never pushed: only the machine that ran it has this image",
        );
    }
}

fn of_data(lines: &mut Lines, data: &RunData, state: &DataState) {
    let Some(sample) = &data.sample else {
        lines.add(
            "data",
            format!("{}: recorded by its name, and not looked at", data.name),
        );
        return;
    };
    let (files, bytes) = (
        data.files.unwrap_or_default(),
        data.bytes.unwrap_or_default(),
    );
    lines.add(
        "data",
        format!("{}: {files} files, {bytes} bytes", data.name),
    );
    let digest = data.full.as_ref().unwrap_or(sample);
    let of = if data.full.is_some() {
        "content"
    } else {
        "samples"
    };
    lines.add("", format!("{digest}, of {of}"));
    lines.add(
        "",
        match state {
            DataState::Same => "as it was".to_owned(),
            DataState::Touched if data.full.is_some() => {
                "as it was; files were written since with the same content".to_owned()
            }
            DataState::Touched => {
                "files were written since; names, sizes and samples are as they were".to_owned()
            }
            DataState::Changed { files, bytes } => {
                format!("changed: {files} files, {bytes} bytes now")
            }
            DataState::Gone => "gone: it isn't on this machine".to_owned(),
            DataState::NotLookedAt => "not looked at".to_owned(),
            DataState::Elsewhere => {
                "outside the project, and never given as data here: not looked at (--live looks)"
                    .to_owned()
            }
            DataState::Unknown(why) => format!("can't be read now: {why}"),
        },
    );
    for left_out in &data.left_out {
        lines.add("", format!("not read: {left_out}"));
    }
}

fn cluster(lines: &mut Lines, place: &RunCluster) {
    lines.add("cluster", &place.server);
    lines.maybe("context", place.context.as_ref());
    lines.maybe("config", place.kubeconfig.as_ref());
    lines.add("namespace", &place.namespace);
    lines.add("job", &place.job);
    if !place.options.is_empty() {
        lines.words("submit", &shell_line(&place.options));
    }
}

fn slurm(lines: &mut Lines, place: &RunSlurm) {
    lines.add("slurm", &place.cluster);
    lines.maybe("login", place.login.as_ref());
    let job = place.job.map(|job| job.to_string());
    lines.maybe("job", job.as_ref());
    lines.add("by", &place.runtime);
    if !place.options.is_empty() {
        lines.words("submit", &shell_line(&place.options));
    }
}

fn code(lines: &mut Lines, git: &GitState, record: &RunRecord) {
    let commit = git
        .commit
        .as_deref()
        .unwrap_or("none: before the first one");
    lines.add("commit", commit);
    let detached = git.branch.is_none() && git.commit.is_some();
    lines.maybe(
        "branch",
        git.branch
            .as_deref()
            .or(detached.then_some("none: detached")),
    );
    lines.maybe("remote", git.remote.as_ref());
    lines.maybe("folder", git.folder.as_ref());
    match (git.dirty, git.changes.is_some() || git.patch.is_some()) {
        (false, _) => lines.add("changes", "none"),
        (true, true) => lines.add(
            "changes",
            format!("recorded: mlbuild runs show {} --patch", record.id),
        ),
        (true, false) => lines.add("changes", "not recorded"),
    }
    lines.each("left out", &git.left_out);
}
