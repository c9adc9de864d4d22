//! `mlbuild up`: the project's image, made if anything changed, and a command in it with the project
//! mounted.

use clap::Args;
use mlbuild_templates::spec::Accelerator;
use mlbuild_templates::value::Command;

use super::dev;
use crate::error::CommandResult;
use crate::support::mlbuild_flags::MlbuildFlags;
use crate::support::output;
use crate::support::runtime::wait_for;
use crate::support::terminal::Terminal;
use crate::support::{docker_help, interrupt, scratch};
use mlbuild::build;
use mlbuild::records::project_folder;
use mlbuild::runtime::{Grammar, Parsed, RunSpec};
use mlbuild::settings::{self, BuildRequest};

const GRAMMAR: Grammar = Grammar {
    verb: "up",
    more: dev::FLAGS,
    also: &[],
};

/// Make the project's image if anything changed, and run a command in it, with the project mounted.
///
/// `mlbuild up python train.py` is `mlbuild image --load`, and `mlbuild dev --new` with that image and the
/// command. Without a command it is the one that `mlbuild.toml` has, else a shell. Takes every flag of
/// `mlbuild dev`, before the command; what the image is made of stands in the project's files and in
/// `mlbuild.toml`. What is made inside belongs to you.
#[derive(Debug, Clone, Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub struct UpArgs {
    /// Flags, the command.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// The verb with every flag.
pub fn documented(raw: clap::Command) -> clap::Command {
    docker_help::documented(raw, GRAMMAR, "[COMMAND [ARG]...]")
}

/// Runs the verb; returns the exit code of a dry run, and else only where it fails.
///
/// # Errors
/// As `mlbuild image` and `mlbuild dev`.
pub fn run(args: &UpArgs) -> CommandResult<u8> {
    let parsed = GRAMMAR.parse(&args.words)?;
    if parsed.own.is_on("help") {
        return output::answer(&docker_help::text(GRAMMAR)).map(|()| 0);
    }
    let (flags, mut command) = split(&args.words, &parsed);
    // Refused before anything is built.
    let spec = RunSpec {
        image: String::new(),
        command: command.clone(),
        ..parsed.spec.clone()
    };
    dev::check_flags(&parsed.own, &spec)?;
    MlbuildFlags::read(&parsed.own)?;
    let project = project_folder(&settings::current_folder()?);
    let variant = parsed.own.text("variant").map(str::to_owned);
    let config = settings::read_config_of(&project, variant.as_deref())?;
    let says_what = ["cmd", "shell", "jupyter"]
        .iter()
        .any(|name| parsed.own.has(name));
    if command.is_empty() && !says_what {
        command = config
            .image
            .command
            .as_ref()
            .map(Command::words)
            .unwrap_or_default();
    }
    let wants_gpu = parsed
        .own
        .text("gpu")
        .is_some_and(|gpu| gpu != "off" && gpu != "none");
    let request = BuildRequest {
        project: project.display().to_string(),
        variant,
        load: true,
        gpu: (wants_gpu && config.image.gpu.is_none()).then_some(Accelerator::Cuda),
        trust: parsed.own.is_on("trust"),
        ..BuildRequest::default()
    };
    let reporter = Terminal::default();
    if parsed.own.is_on("dry-run") {
        let planned = async { Ok(build::dry_run(&request, &reporter).await?) };
        return super::image::print_dry_run(&wait_for(planned)?).map(|()| 0);
    }
    let outcome = wait_for(async {
        interrupt::shared();
        Ok(build::run(&request, &reporter).await?)
    })?;
    // A process of its own for the container: there, signals are the container's.
    let program = std::env::current_exe().map_err(|error| dev::not_started("mlbuild", &error))?;
    let mut argv = vec![program.to_string_lossy().into_owned(), "dev".to_owned()];
    argv.extend((!parsed.own.is_on("new")).then(|| "--new".to_owned()));
    argv.extend(without_variant(flags));
    argv.push(outcome.name().to_owned());
    argv.extend(command);
    scratch::end();
    Err(dev::become_program(&argv))
}

/// The flags as they were typed, and the command after them.
fn split(words: &[String], parsed: &Parsed) -> (Vec<String>, Vec<String>) {
    let spec = &parsed.spec;
    let count = usize::from(!spec.image.is_empty()) + spec.command.len();
    let (flags, command) = words.split_at(words.len() - count);
    let flags = flags.strip_suffix(&["--".to_owned()]).unwrap_or(flags);
    (flags.to_vec(), command.to_vec())
}

/// Flags for the image that was made, which is named there.
fn without_variant(flags: Vec<String>) -> Vec<String> {
    let mut flags = flags.into_iter();
    let mut others = Vec::new();
    while let Some(flag) = flags.next() {
        match flag.strip_prefix("--variant") {
            Some("") => drop(flags.next()),
            Some(value) if value.starts_with('=') => {}
            _ => others.push(flag),
        }
    }
    others
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_word_that_is_no_flag_begins_the_command() {
        let of = |line: &str| {
            let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
            let (flags, command) = split(&words, &GRAMMAR.parse(&words).unwrap());
            (flags.join(" "), command.join(" "))
        };
        let both = |flags: &str, command: &str| (flags.to_owned(), command.to_owned());
        for (line, flags, command) in [
            ("", "", ""),
            ("python train.py --lr 1", "", "python train.py --lr 1"),
            ("--gpu -e A=1 python x", "--gpu -e A=1", "python x"),
            ("-p 1:1 -- python -c 1", "-p 1:1", "python -c 1"),
            ("--shell zsh", "--shell zsh", ""),
            ("-e A=1 --", "-e A=1", ""),
        ] {
            assert_eq!(of(line), both(flags, command), "{line}");
        }
    }
}
