//! The verbs: one file per command. Only here is anything printed.

pub mod adopt;
pub mod agent;
pub mod attest;
pub mod base;
pub mod bash;
pub mod ci;
pub mod cluster_args;
pub mod completions;
pub mod dev;
pub mod devcontainer;
pub mod diff;
pub mod doctor;
pub mod engine;
pub mod env;
pub mod gui_run;
pub mod image;
pub mod init;
pub mod inspect;
pub mod interrupt;
pub mod jobs;
pub mod launch;
pub mod lock;
pub mod logs;
pub mod man;
pub mod mirror;
mod opened;
pub mod output;
pub mod project_image;
pub mod prune;
pub mod queue;
pub mod registry_args;
mod repack;
pub mod restore;
pub mod run;
pub mod runs;
pub mod schema;
mod size;
pub mod submit;
pub mod support;
pub mod templates;
pub mod verify;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

use crate::error::{CommandError, CommandResult};

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
    Image(Box<crate::flags::ImageArgs>),
    Lock(Box<lock::LockVerbArgs>),
    Base(base::BaseArgs),
    Mirror(mirror::MirrorArgs),
    Prune(prune::PruneArgs),
    Run(run::RunArgs),
    GuiRun(gui_run::GuiRunArgs),
    Dev(dev::DevArgs),
    Devcontainer(devcontainer::DevcontainerArgs),
    Submit(submit::SubmitArgs),
    Logs(logs::LogsArgs),
    Bash(bash::BashArgs),
    Env(env::EnvArgs),
    Adopt(adopt::AdoptArgs),
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

/// The definition of the command line, for completions, man pages and docs.
pub fn definition() -> clap::Command {
    Cli::command()
        .mut_subcommand("run", run::documented)
        .mut_subcommand("gui-run", gui_run::documented)
        .mut_subcommand("dev", dev::documented)
        .mut_subcommand("devcontainer", devcontainer::documented)
        .mut_subcommand("submit", submit::documented)
}

/// Parses the command line, runs the verb, and says how it went.
pub fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // What clap knows of these verbs has none of their flags.
            let words = || vec!["--help".into()];
            let asked: Vec<String> = std::env::args().skip(1).collect();
            match asked.iter().map(String::as_str).collect::<Vec<_>>()[..] {
                ["help", "run"] => return finish(run::run(&run::RunArgs { words: words() })),
                ["help", "gui-run"] => {
                    return finish(gui_run::run(&gui_run::GuiRunArgs { words: words() }));
                }
                ["help", "dev"] => return finish(dev::run(&dev::DevArgs { words: words() })),
                ["help", "devcontainer"] => {
                    let args = devcontainer::DevcontainerArgs { words: words() };
                    return finish(devcontainer::run(&args).map(|()| 0));
                }
                ["help", "submit"] => {
                    return finish(submit::run(&submit::SubmitArgs { words: words() }));
                }
                _ => {}
            }
            // clap's own exit code for wrong usage is 2, which is ours too.
            let code = u8::try_from(error.exit_code()).unwrap_or(2);
            let _ = error.print();
            return ExitCode::from(code);
        }
    };
    finish(execute(cli))
}

fn finish(result: CommandResult<u8>) -> ExitCode {
    ExitCode::from(result.unwrap_or_else(|error| {
        output::error(&error);
        error.kind.exit_code()
    }))
}

/// Runs the verb; returns the exit code, which only a container's end makes other than 0.
fn execute(cli: Cli) -> CommandResult<u8> {
    match cli.command {
        Command::Run(args) => return run::run(&args),
        Command::GuiRun(args) => return gui_run::run(&args),
        Command::Dev(args) => return dev::run(&args),
        Command::Devcontainer(args) => devcontainer::run(&args),
        Command::Submit(args) => return submit::run(&args),
        Command::Logs(args) => return wait_for(logs::run(args)),
        Command::Bash(args) => return wait_for(bash::run(args)),
        Command::Image(args) => wait_for(image::run(*args)),
        Command::Lock(args) => wait_for(lock::run(*args)),
        Command::Base(args) => wait_for(base::run(args)),
        Command::Mirror(args) => wait_for(mirror::run(args)),
        Command::Prune(args) => prune::run(&args),
        Command::Adopt(args) => wait_for(adopt::run(args)),
        Command::Diff(args) => wait_for(diff::run(args)),
        Command::Ci(args) => ci::run(&args),
        Command::Attest(args) => wait_for(attest::run(args)),
        Command::Verify(args) => wait_for(verify::run(*args)),
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

/// Runs a verb that talks to daemons or registries.
fn wait_for<T>(verb: impl Future<Output = CommandResult<T>>) -> CommandResult<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .map_err(|error| CommandError::environment(format!("cannot start threads: {error}")))?;
    let result = runtime.block_on(verb);
    // A blocked read of stdin must not keep the process.
    runtime.shutdown_background();
    result
}
