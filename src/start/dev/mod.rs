//! A shell, a line or Jupyter in the project's container.
//!
//! | step | file |
//! | --- | --- |
//! | what is wanted | `request` |
//! | the container that runs already | `attach` |
//! | whose the files are | `owner` |
//! | address and token of Jupyter | `jupyter` |
//!
//! Everything else is [`crate::start`]'s, and the image is `project_image`'s.

mod attach;
mod jupyter;
mod owner;
mod request;

use std::path::Path;

pub use self::request::{DevRequest, JupyterRequest};

use self::jupyter::Jupyter;
use super::child::Signals;
use super::record::PendingRecord;
use super::runtime_cli::{self, ContainerRuntime};
use super::{Extras, Start, StartOutcome, image, project_image, shared_network};
use crate::records::project_folder;
use crate::reporter::{Event, Reporter};
use crate::runtime::{Mount, Options, RunSpec};
use crate::start::StartError;

/// The containers of a project are found by this label; its value is the project's folder.
const LABEL: &str = "org.mlbuild.dev";

/// What came of it.
#[derive(Debug)]
pub enum DevOutcome {
    /// A container was started, and has ended or runs on.
    Started(StartOutcome),
    /// One of the project runs already: this command opens the shell in it.
    Attach {
        /// The container.
        container: String,
        /// The program and its arguments.
        argv: Vec<String>,
    },
}

/// What would be started, as far as nothing has to be asked.
///
/// # Errors
/// Where no image is named anywhere.
pub fn planned(request: &DevRequest) -> Result<RunSpec, StartError> {
    let project = project_folder(&request.start.folder);
    let mut spec = with_project(request, &project);
    name_image(&mut spec, request, &project)?;
    set_command(&mut spec, request, None);
    Ok(spec)
}

/// Opens the shell, the line or Jupyter: in the container of the project that runs, else in a new
/// one.
///
/// # Errors
/// As [`crate::start::run`], and where no image is named anywhere.
pub async fn run(request: DevRequest, reporter: &dyn Reporter) -> Result<DevOutcome, StartError> {
    let project = project_folder(&request.start.folder);
    let mut spec = with_project(&request, &project);
    if request.new {
        name_image(&mut spec, &request, &project)?;
    }
    let runtime = runtime_cli::find_or_wake(request.start.runtime, reporter).await?;
    if !request.new {
        if let Some(id) = attach::running(&runtime, &project)? {
            attach::refuse_what_is_for_a_new_one(&id, &request.only_new)?;
            set_command(&mut spec, &request, None);
            let folder = request.folder_inside(&project);
            return Ok(DevOutcome::Attach {
                argv: attach::command(&runtime, &id, &spec, folder.as_deref()),
                container: id,
            });
        }
        name_image(&mut spec, &request, &project)?;
    }
    let outcome = start(spec, request, &runtime, &project, reporter).await?;
    Ok(DevOutcome::Started(outcome))
}

/// Starts a container.
async fn start(
    mut spec: RunSpec,
    request: DevRequest,
    runtime: &ContainerRuntime,
    project: &Path,
    reporter: &dyn Reporter,
) -> Result<StartOutcome, StartError> {
    let pending = PendingRecord::of_request(&request.start);
    let registry = request.start.registry.as_ref();
    let image = image::pin(runtime, &spec, registry, reporter)
        .await
        .map_err(own_image)?;
    let mut options = owner::options(runtime, &image, &spec, project, reporter)?;
    options.add("label", &format!("{LABEL}={}", project.display()));
    let jupyter = request.jupyter.as_ref();
    let on_host = shared_network::is_used(runtime, &spec.options);
    let jupyter = jupyter.map(|jupyter| Jupyter::new(jupyter.port, on_host, &spec));
    let jupyter = jupyter.transpose()?;
    set_command(&mut spec, &request, jupyter.as_ref());
    if runtime.has_init() {
        let mut init = Options::default();
        init.add("init", "true");
        spec.options = spec.options.over(init);
    }
    let request = super::StartRequest {
        spec,
        ..request.start
    };
    let mut start = Start::prepare(request, runtime, image, reporter)?;
    if let Some(jupyter) = jupyter {
        options = options.over(jupyter.options());
        reporter.event(Event::LogIn(format!("Jupyter: {}", jupyter.address())));
        start.secrets.push((jupyter::TOKEN, jupyter.token));
    }
    let extras = Extras {
        options,
        ..Extras::default()
    };
    let pending = pending
        .map(|pending| pending.settled(reporter))
        .transpose()?;
    start.go(pending, Signals::hold()?, extras, reporter).await
}

fn name_image(spec: &mut RunSpec, request: &DevRequest, project: &Path) -> Result<(), StartError> {
    if spec.image.is_empty() {
        spec.image = project_image::of(project, &request.image_tags)?;
    }
    Ok(())
}

/// What is started, and without the image's entry point where that isn't the line's own command.
fn set_command(spec: &mut RunSpec, request: &DevRequest, jupyter: Option<&Jupyter>) {
    if !spec.command.is_empty() {
        return;
    }
    let mut plain = Options::default();
    plain.add("entrypoint", "");
    spec.options = spec.options.clone().over(plain);
    let waits = spec.options.is_on("detach") && request.line.is_none() && request.shell.is_none();
    spec.command = match jupyter {
        Some(jupyter) => jupyter.command(),
        // For others to attach to.
        None if waits => ["/bin/sh", "-c", "exec sleep infinity"]
            .map(str::to_owned)
            .to_vec(),
        None => request.command(),
    };
}

/// What was asked for, with the flags that every such container has.
fn with_project(request: &DevRequest, project: &Path) -> RunSpec {
    let mut options = Options::default();
    options.add("rm", "true");
    options.add("interactive", "true");
    if request.terminal {
        options.add("tty", "true");
    }
    if let (Some(dir), Some(inside)) = (&request.dir, request.folder_inside(project)) {
        let mount = Mount::bind(project, dir);
        options.add("mount", &mount.to_string());
        options.add("workdir", &inside);
    }
    let mut spec = request.start.spec.clone();
    spec.options = spec.options.over(options);
    spec
}

/// An image that is nowhere may be one that was never made.
fn own_image(error: StartError) -> StartError {
    StartError::OwnImage(Box::new(error))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_project_is_mounted_and_the_entry_point_left_out() {
        let line = |words: &str, change: fn(&mut DevRequest)| {
            let parsed = crate::runtime::parse(&shlex::split(words).unwrap()).unwrap();
            let mut request = request::tests::request("/p");
            request.start.spec = parsed.spec;
            change(&mut request);
            let mut spec = with_project(&request, Path::new("/p"));
            set_command(&mut spec, &request, None);
            spec.argv(crate::runtime::RuntimeCli::Docker).form[2..].join(" ")
        };
        let lines = [
            line("img", |_| {}),
            line("-v /mine:/app -w /x img", |_| {}),
            line("-d img", |request| {
                request.dir = None;
                request.shell = Some("zsh".to_owned());
            }),
            line("img ls", |_| {}),
        ];
        insta::assert_snapshot!(lines.join("\n"), @r"
        --entrypoint= --rm --interactive --mount=type=bind,source=/p,target=/app --workdir=/app img /bin/sh -c command -v bash > /dev/null && exec bash; exec sh
        --entrypoint= --rm --interactive --volume=/mine:/app --workdir=/x img /bin/sh -c command -v bash > /dev/null && exec bash; exec sh
        --entrypoint= --rm --interactive --detach img zsh
        --rm --interactive --mount=type=bind,source=/p,target=/app --workdir=/app img ls
        ");
    }
}
