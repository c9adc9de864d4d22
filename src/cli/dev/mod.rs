//! `mlbuild dev`: a shell, a line or Jupyter in the project's container.
//!
//! | step | file |
//! | --- | --- |
//! | its own flags | `flags` |
//! | the container that runs already | `attach` |
//! | whose the files are | `who` |
//! | address and token of Jupyter | `jupyter` |
//!
//! Everything else is `run`'s, and the image is `project_image`'s.

mod attach;
mod flags;
mod jupyter;
mod who;

use std::io::IsTerminal as _;
use std::path::Path;

use clap::Args;

use self::flags::DevFlags;
pub(super) use self::flags::{DIR, DIR_FLAG};
use self::jupyter::Jupyter;
use super::output;
use super::project_image;
use super::run::child::Signals;
use super::run::own::OwnFlags;
use super::run::record::Paper;
use super::run::runtime_cli::Found;
use super::run::{self, Beside, dry_run, help, image, runtime_cli};
use crate::error::{CommandError, CommandResult};
use crate::records::project_folder;
use crate::runtime::{Grammar, Options, Parsed, RunSpec};

const GRAMMAR: Grammar = Grammar {
    verb: "dev",
    more: flags::FLAGS,
};

/// The containers of a project are found by this label; its value is the project's folder.
const LABEL: &str = "org.mlbuild.dev";

/// Open a shell in the project's container, with the project mounted.
///
/// Takes every flag of `mlbuild run`, and with them every flag of `docker run`. Without IMAGE it is
/// the one that `mlbuild.toml` or `mlbuild.lock` names. Where a container of the project runs already,
/// the shell is one more in it. What is made inside belongs to you.
#[derive(Debug, Clone, Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub struct DevArgs {
    /// Flags, the image, the command.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// The verb with every flag.
pub fn documented(raw: clap::Command) -> clap::Command {
    help::documented(raw, GRAMMAR, "[IMAGE [COMMAND] [ARG]...]")
}

/// Runs the verb; returns the exit code.
///
/// # Errors
/// As `mlbuild run`, and where no image is named anywhere.
pub fn run(args: &DevArgs) -> CommandResult<u8> {
    let parsed = GRAMMAR.parse(&args.words)?;
    if parsed.own.is_on("help") {
        return output::answer(&help::text(GRAMMAR)).map(|()| 0);
    }
    let flags = DevFlags::read(&parsed.own, &parsed.spec)?;
    let folder = crate::settings::current_folder()?;
    let config = crate::settings::read_config(&folder)?;
    let project = project_folder(&folder);
    let typed = parsed.spec.clone();
    let Parsed { mut spec, own } = run::with_config(parsed, config.clone(), &folder);
    let own = OwnFlags::read(&own)?;
    if spec.image.is_empty() && (flags.new || own.dry_run) {
        spec.image = project_image::of(&project, &config, GRAMMAR.verb)?;
    }
    let inside = flags
        .dir
        .as_deref()
        .map(|dir| below(dir, &folder, &project));
    let own_ones = options(&flags, &project, inside.as_deref());
    spec.options = spec.options.over(own_ones);
    if own.dry_run {
        command(&mut spec, &flags, None);
        return dry_run::print(spec, &own, &folder).map(|()| 0);
    }
    let found = super::wait_for(runtime_cli::find(own.cli))?;
    if !flags.new {
        if let Some(id) = attach::running(&found, &project)? {
            attach::refuse_what_is_for_a_new_one(&id, &typed.options, &typed.image, flags.jupyter)?;
            output::note(&format!(
                "attached to container {}; --new starts another",
                &id[..12]
            ));
            command(&mut spec, &flags, None);
            return Err(attach::exec(
                &found,
                &id,
                &spec,
                inside.as_deref(),
                &spec.command,
            ));
        }
        if spec.image.is_empty() {
            spec.image = project_image::of(&project, &config, GRAMMAR.verb)?;
        }
    }
    start(spec, &own, &found, &flags, &project, &folder)
}

/// Starts a container.
fn start(
    mut spec: RunSpec,
    own: &OwnFlags,
    found: &Found,
    flags: &DevFlags,
    project: &Path,
    folder: &Path,
) -> CommandResult<u8> {
    let run_id = own.run_id()?;
    let paper = own.record.then(|| Paper::begin(folder));
    let image = super::wait_for(image::pin(found, &spec)).map_err(not_built)?;
    let mut beside = who::options(found, &image, &spec, project)?;
    beside.add("label", &format!("{LABEL}={}", project.display()));
    let jupyter = match flags.jupyter {
        true => Some(Jupyter::new(flags.port, &spec)?),
        false => None,
    };
    command(&mut spec, flags, jupyter.as_ref());
    if found.has_init() {
        let mut init = Options::default();
        init.add("init", "true");
        spec.options = spec.options.over(init);
    }
    let mut start = run::ready(spec, own, run_id, found, image, folder)?;
    if let Some(jupyter) = jupyter {
        beside = beside.over(jupyter.options());
        output::note(&format!("Jupyter: {}", jupyter.address()));
        start.secrets.push((jupyter::TOKEN, jupyter.token));
    }
    let beside = Beside {
        options: beside,
        ..Beside::default()
    };
    run::go(start, paper, Signals::hold()?, beside)
}

/// What is started, and without the image's entry point where that isn't the line's own command.
fn command(spec: &mut RunSpec, flags: &DevFlags, jupyter: Option<&Jupyter>) {
    if !spec.command.is_empty() {
        return;
    }
    let mut plain = Options::default();
    plain.add("entrypoint", "");
    spec.options = spec.options.clone().over(plain);
    let waits = spec.options.is_on("detach") && flags.line.is_none() && flags.shell.is_none();
    spec.command = match jupyter {
        Some(jupyter) => jupyter.command(),
        // For others to attach to.
        None if waits => ["/bin/sh", "-c", "exec sleep infinity"]
            .map(str::to_owned)
            .to_vec(),
        None => flags.command(),
    };
}

/// The flags that every such container has.
fn options(flags: &DevFlags, project: &Path, inside: Option<&str>) -> Options {
    let mut options = Options::default();
    options.add("rm", "true");
    options.add("interactive", "true");
    if std::io::stdin().is_terminal() && std::io::stdout().is_terminal() {
        options.add("tty", "true");
    }
    if let (Some(dir), Some(inside)) = (&flags.dir, inside) {
        let mount = crate::runtime::Mount {
            kind: "bind".to_owned(),
            source: Some(project.to_string_lossy().into_owned()),
            target: dir.clone(),
            readonly: false,
            options: Vec::new(),
        };
        options.add("mount", &mount.to_string());
        options.add("workdir", inside);
    }
    options
}

/// Where the current folder is in the container.
fn below(dir: &str, folder: &Path, project: &Path) -> String {
    let rest = folder.strip_prefix(project).unwrap_or(Path::new(""));
    match rest.as_os_str().is_empty() {
        true => dir.to_owned(),
        false => format!("{}/{}", dir.trim_end_matches('/'), rest.display()),
    }
}

/// An image that is nowhere may be one that was never made.
fn not_built(error: CommandError) -> CommandError {
    error.hint("the project's own image is made by mlbuild image --load")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_shell_opens_where_one_stands() {
        let project = Path::new("/home/ann/cracks");
        assert_eq!(below("/app", project, project), "/app");
        let sub = project.join("training/x");
        assert_eq!(below("/app/", &sub, project), "/app/training/x");
    }

    #[test]
    fn the_project_is_mounted_and_the_entry_point_left_out() {
        let line = |words: &str| {
            let parsed = GRAMMAR.parse(&shlex::split(words).unwrap()).unwrap();
            let flags = DevFlags::read(&parsed.own, &parsed.spec).unwrap();
            let mut spec = parsed.spec;
            let project = Path::new("/p");
            let inside = flags.dir.clone();
            spec.options = spec
                .options
                .over(options(&flags, project, inside.as_deref()));
            command(&mut spec, &flags, None);
            spec.argv(crate::runtime::RuntimeCli::Docker).form[2..].join(" ")
        };
        let said = [
            "img",
            "-v /mine:/app -w /x img",
            "--no-dir --shell zsh -d img",
            "img ls",
        ]
        .map(line);
        insta::assert_snapshot!(said.join("\n"), @r"
        --entrypoint= --rm --interactive --mount=type=bind,source=/p,target=/app --workdir=/app img /bin/sh -c command -v bash > /dev/null && exec bash; exec sh
        --entrypoint= --rm --interactive --volume=/mine:/app --workdir=/x img /bin/sh -c command -v bash > /dev/null && exec bash; exec sh
        --entrypoint= --rm --interactive --detach img zsh
        --rm --interactive --mount=type=bind,source=/p,target=/app --workdir=/app img ls
        ");
    }
}
