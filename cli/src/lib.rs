//! The command line of mlbuild: each verb parses its arguments, calls the library, and prints. Only here is
//! anything printed.

pub mod commands;
mod docker_plugin;
pub mod error;
pub mod support;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use self::commands::{
    adopt, agent, attest, base, bash, ci, completions, dev, devcontainer, diff, doctor, engine,
    env, gui_run, image, init, inspect, jobs, launch, lock, logs, man, mirror, overview, prune,
    pull, queue, rebase, restore, run, runs, schema, submit, templates, up, verify,
};
use self::support::output;
use self::support::runtime::wait_for;
use self::support::{interrupt, scratch, waits};
use crate::error::CommandResult;

const AFTER_HELP: &str = "\
Exit codes: 0 done; 1 the build or push failed; 2 the command line or a file \
is wrong; 3 something is missing (builder, registry); 4 a lock or verification \
differs. mlbuild run: the container's own, and 125 to 127 as docker run.";

/// Make, run and restore ML container images, pinned by digest.
#[derive(Debug, Parser)]
#[command(name = "mlbuild", version, after_help = AFTER_HELP, propagate_version = true, max_term_width = 100)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The verbs. A comment here would replace the help, which stands on each verb's arguments.
#[allow(missing_docs)]
#[derive(Debug, Subcommand)]
pub enum Command {
    #[command(visible_alias = "build")]
    Image(Box<crate::support::image_args::ImageArgs>),
    Lock(Box<lock::LockVerbArgs>),
    Base(base::BaseArgs),
    Mirror(mirror::MirrorArgs),
    Prune(prune::PruneArgs),
    Up(up::UpArgs),
    Run(run::RunArgs),
    GuiRun(gui_run::GuiRunArgs),
    Dev(dev::DevArgs),
    Devcontainer(devcontainer::DevcontainerArgs),
    Submit(submit::SubmitArgs),
    Logs(logs::LogsArgs),
    Bash(bash::BashArgs),
    Env(env::EnvArgs),
    Pull(pull::PullArgs),
    Adopt(adopt::AdoptArgs),
    Rebase(rebase::RebaseArgs),
    Diff(diff::DiffArgs),
    Verify(Box<verify::VerifyArgs>),
    Attest(attest::AttestArgs),
    Ci(ci::CiArgs),
    Inspect(inspect::InspectArgs),
    Restore(restore::RestoreArgs),
    Runs(runs::RunsArgs),
    Queue(queue::QueueArgs),
    Launch(launch::LaunchArgs),
    Agent(agent::AgentArgs),
    Jobs(jobs::JobsArgs),
    Engine(engine::EngineArgs),
    Init(init::InitArgs),
    Templates(templates::TemplatesArgs),
    Doctor(doctor::DoctorArgs),
    Completions(completions::CompletionsArgs),
    Man(man::ManArgs),
    Schema(schema::SchemaArgs),
}

impl Command {
    /// False for verbs that only print what the program knows.
    fn needs_room(&self) -> bool {
        !matches!(
            self,
            Command::Completions(_)
                | Command::Man(_)
                | Command::Schema(_)
                | Command::Templates(_)
                | Command::Init(_)
        )
    }
}

/// Describes a verb's flags.
type Documented = fn(clap::Command) -> clap::Command;

/// The verbs whose flags are docker's: clap passes their words on, and knows their flags only from what
/// describes them here.
const DOCKER_VERBS: [(&str, Documented); 6] = [
    ("up", up::documented),
    ("run", run::documented),
    ("gui-run", gui_run::documented),
    ("dev", dev::documented),
    ("devcontainer", devcontainer::documented),
    ("submit", submit::documented),
];

/// The definition of the command line, for completions, man pages and docs.
pub fn definition() -> clap::Command {
    DOCKER_VERBS
        .into_iter()
        .fold(Cli::command(), |command, (verb, documented)| {
            command.mut_subcommand(verb, documented)
        })
}

/// Stack of the thread that runs a verb, in bytes: the futures of a debug build outgrow the 8 MiB that
/// systems give a main thread. What isn't touched takes no memory.
const STACK: usize = 64 << 20;

/// Parses the command line, runs the verb, and says how it went.
pub fn main() -> ExitCode {
    let thread = std::thread::Builder::new().name("main".to_owned());
    match thread.stack_size(STACK).spawn(run) {
        Ok(thread) => thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic)),
        // A limit of threads or memory: most verbs do with less.
        Err(_) => run(),
    }
}

fn run() -> ExitCode {
    let words: Vec<OsString> = std::env::args_os().collect();
    if let Some(result) = docker_plugin::run(&words) {
        return finish(result);
    }
    match Cli::try_parse_from(with_own_help(words)) {
        Ok(cli) => {
            let result = waits::install().and_then(|()| {
                if cli.command.needs_room() {
                    // It says what it removes.
                    scratch::begin(!matches!(cli.command, Command::Prune(_)));
                }
                execute(cli)
            });
            scratch::end();
            finish(result)
        }
        Err(error) => {
            if std::env::args_os().len() == 1 {
                match overview::run() {
                    Ok(true) => return ExitCode::SUCCESS,
                    Ok(false) => {}
                    Err(error) => return finish(Err(error)),
                }
            }
            // clap's own exit code for wrong usage is 2, which is ours too.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            ExitCode::from(code)
        }
    }
}

/// `mlbuild help run` as `mlbuild run --help`: such a verb prints its help itself.
fn with_own_help(words: Vec<OsString>) -> Vec<OsString> {
    match words.as_slice() {
        [program, help, verb]
            if help == "help" && DOCKER_VERBS.iter().any(|(name, _)| verb == name) =>
        {
            vec![program.clone(), verb.clone(), "--help".into()]
        }
        _ => words,
    }
}

fn finish(result: CommandResult<u8>) -> ExitCode {
    ExitCode::from(result.unwrap_or_else(|error| {
        output::error(&error);
        // A request that was cancelled fails like any other, and a peer may be given up meanwhile.
        if interrupt::is_interrupted() {
            interrupt::INTERRUPTED
        } else {
            error.kind.exit_code()
        }
    }))
}

/// A verb that builds, which listens for Ctrl-C from its start: registries are asked before the builder.
async fn interruptible<T>(verb: impl Future<Output = CommandResult<T>>) -> CommandResult<T> {
    interrupt::shared();
    verb.await
}

/// Runs the verb; returns the exit code, which only a container's end makes other than 0.
fn execute(cli: Cli) -> CommandResult<u8> {
    match cli.command {
        Command::Run(args) => return run::run(&args),
        Command::GuiRun(args) => return gui_run::run(&args),
        Command::Dev(args) => return dev::run(&args),
        Command::Up(args) => return up::run(&args),
        Command::Devcontainer(args) => devcontainer::run(&args),
        Command::Submit(args) => return submit::run(&args),
        Command::Logs(args) => return wait_for(logs::run(args)),
        Command::Bash(args) => return wait_for(bash::run(args)),
        Command::Image(args) => wait_for(interruptible(image::run(*args))),
        Command::Lock(args) => wait_for(interruptible(lock::run(*args))),
        Command::Base(args) => wait_for(base::run(args)),
        Command::Mirror(args) => wait_for(mirror::run(args)),
        Command::Prune(args) => prune::run(&args),
        Command::Pull(args) => wait_for(interruptible(pull::run(args))),
        Command::Adopt(args) => wait_for(adopt::run(args)),
        Command::Rebase(args) => wait_for(interruptible(rebase::run(args))),
        Command::Diff(args) => wait_for(diff::run(args)),
        Command::Ci(args) => wait_for(ci::run(&args)),
        Command::Attest(args) => wait_for(attest::run(args)),
        Command::Verify(args) => wait_for(interruptible(verify::run(*args))),
        Command::Inspect(args) => wait_for(inspect::run(args)),
        Command::Restore(args) => wait_for(restore::run(args)),
        Command::Runs(args) => wait_for(runs::run(args)),
        Command::Queue(args) => queue::run(&args),
        Command::Launch(args) => launch::run(&args),
        Command::Agent(args) => agent::run(&args),
        Command::Jobs(args) => jobs::run(&args),
        Command::Env(args) => env::run(args),
        Command::Engine(args) => wait_for(engine::run(args)),
        Command::Init(args) => init::run(&args),
        Command::Templates(args) => templates::run(&args),
        Command::Doctor(args) => wait_for(doctor::run(args)),
        Command::Completions(args) => completions::run(&args),
        Command::Man(args) => man::run(&args),
        Command::Schema(args) => schema::run(&args),
    }
    .map(|()| 0)
}
