//! `mlbuild engine`: a private builder, for a machine that has none.

use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::json;

use crate::error::{CommandError, CommandResult};
use crate::support::errors::builder::private_builder;
use crate::support::output;
use crate::support::size;
use crate::support::terminal::Terminal;
use mlbuild::private_engine::{self, Archive, Error, Folder, Options, PrivateEngine, Source};

/// Start, show or remove a private builder.
///
/// For a machine with neither Docker nor BuildKit: mlbuild fetches one into
/// its own state folder, without installing anything, and starts it on a
/// socket of the user's own. It stops by itself when it is not used.
#[derive(Debug, Clone, Args)]
pub struct EngineArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: EngineCommand,
}

/// What `mlbuild engine` does.
#[derive(Debug, Clone, Subcommand)]
pub enum EngineCommand {
    /// Start it, fetching it first where needed; prints its address.
    Up(UpArgs),
    /// Show whether it runs, and what it is.
    Status(StatusArgs),
    /// Stop it and remove all of it, cache included.
    Down,
    /// Look after the builder of a folder (mlbuild calls this itself).
    #[command(hide = true)]
    Keep {
        /// The builder's folder.
        folder: PathBuf,
    },
}

/// Flags of `mlbuild engine up`.
#[derive(Debug, Clone, Args)]
pub struct UpArgs {
    /// Where the builder comes from.
    #[arg(long, value_enum, default_value_t, conflicts_with = "from")]
    pub source: SourceArg,
    /// A release archive of BuildKit's, as a URL (a mirror's, say) or a file.
    #[arg(long, value_name = "URL|FILE", requires = "sha256")]
    pub from: Option<String>,
    /// The archive's sha256, 64 hexadecimal digits.
    #[arg(long, value_name = "HEX", requires = "from")]
    pub sha256: Option<String>,
    /// Most that the build cache may take, as 20GB or 512MB.
    #[arg(long, value_name = "SIZE", default_value = "20GB", value_parser = parse_size)]
    pub cache_size: u64,
    /// Stop after this time without work, as 30m, 2h, or never.
    #[arg(long, value_name = "TIME", default_value = "30m", value_parser = parse_idle)]
    pub idle: Duration,
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t)]
    pub format: FormatArg,
}

/// Flags of `mlbuild engine status`.
#[derive(Debug, Clone, Args)]
pub struct StatusArgs {
    /// How the answer is written.
    #[arg(long, value_enum, default_value_t)]
    pub format: FormatArg,
}

/// Where a private builder comes from.
#[derive(Debug, Clone, Copy, Default, ValueEnum)]
pub enum SourceArg {
    /// The first of the others that has one.
    #[default]
    Auto,
    /// A buildkitd on PATH.
    Path,
    /// Docker from the packages of Debian or Ubuntu, unpacked and not installed.
    Packages,
}

/// How an answer is written.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, ValueEnum)]
pub enum FormatArg {
    /// For people.
    #[default]
    Text,
    /// For programs.
    Json,
}

/// Runs the verb.
///
/// # Errors
/// [`mlbuild::error::ErrorKind::Environment`] where no builder can be had here.
pub async fn run(args: EngineArgs) -> CommandResult {
    match args.command {
        EngineCommand::Up(args) => up(args).await,
        EngineCommand::Status(args) => status(&args).await,
        EngineCommand::Down => down().await,
        EngineCommand::Keep { folder } => private_engine::keep(&Folder::at(folder))
            .await
            .map_err(sorted),
    }
}

async fn up(args: UpArgs) -> CommandResult {
    let source = match (args.from, args.sha256, args.source) {
        (Some(from), Some(sha256), _) => Source::Archive(Archive { from, sha256 }),
        (_, _, SourceArg::Auto) => Source::Auto,
        (_, _, SourceArg::Path) => Source::Path,
        (_, _, SourceArg::Packages) => Source::Packages,
    };
    let options = Options {
        source,
        cache_limit: args.cache_size,
        idle: args.idle,
        program: None,
    };
    let folder = Folder::default_place().map_err(sorted)?;
    let engine = private_engine::up(&folder, &options, &Terminal::default())
        .await
        .map_err(sorted)?;
    match args.format {
        FormatArg::Text => output::answer(&engine.endpoint),
        FormatArg::Json => output::answer(&as_json(&folder, Some(&engine))),
    }
}

async fn status(args: &StatusArgs) -> CommandResult {
    let folder = Folder::default_place().map_err(sorted)?;
    let engine = private_engine::status(&folder).await.map_err(sorted)?;
    if args.format == FormatArg::Json {
        return output::answer(&as_json(&folder, engine.as_ref()));
    }
    output::answer(&match engine {
        Some(engine) => as_text(&folder, &engine),
        None => "no private builder runs; start one: mlbuild engine up".to_owned(),
    })
}

async fn down() -> CommandResult {
    let folder = Folder::default_place().map_err(sorted)?;
    if private_engine::down(&folder).await.map_err(sorted)? {
        output::note(&format!("removed {}", folder.root().display()));
    } else {
        output::note("there is no private builder");
    }
    Ok(())
}

fn as_text(folder: &Folder, engine: &PrivateEngine) -> String {
    let idle = match engine.idle.as_secs() {
        0 => "never stops by itself".to_owned(),
        seconds => format!("stops after {} min without work", seconds.div_ceil(60)),
    };
    format!(
        "{}\n  {} {}{} from {}\n  {}; {idle}\n  cache of at most {} MB in {}",
        engine.endpoint,
        engine.kind.program(),
        engine.version,
        if engine.rootless {
            ", without root,"
        } else {
            ""
        },
        engine.source,
        if engine.busy { "in use" } else { "not in use" },
        engine.cache_limit / 1_000_000,
        folder.root().display(),
    )
}

fn as_json(folder: &Folder, engine: Option<&PrivateEngine>) -> String {
    let folder = folder.root();
    let value = match engine {
        None => json!({ "running": false, "folder": folder }),
        Some(engine) => json!({
            "running": true,
            "folder": folder,
            "endpoint": engine.endpoint,
            "socket": engine.socket,
            "daemon": engine.kind,
            "version": engine.version,
            "source": engine.source,
            "client": engine.client,
            "rootless": engine.rootless,
            "needs_host_network": engine.needs_host_network,
            "cache_limit": engine.cache_limit,
            "idle_seconds": engine.idle.as_secs(),
            "busy": engine.busy,
        }),
    };
    format!("{value:#}")
}

fn sorted(error: Error) -> CommandError {
    match error {
        Error::Source { .. } | Error::NoSource(_) => {
            CommandError::environment(private_builder(&error))
                .hint("from a mirror or a file: mlbuild engine up --from URL --sha256 HEX")
        }
        _ => CommandError::environment(private_builder(&error)),
    }
}

/// `20GB`, `512MB`, `1.5TB`; decimal units, as disks are sold.
fn parse_size(text: &str) -> Result<u64, String> {
    let bytes = size::parse(text)?;
    if bytes < 100_000_000 {
        Err("a cache takes 100MB or more".to_owned())
    } else {
        Ok(bytes)
    }
}

/// `30m`, `2h`, `90s`, `never`.
fn parse_idle(text: &str) -> Result<Duration, String> {
    if text == "never" {
        return Ok(Duration::ZERO);
    }
    let wrong = || "a time is a whole number and s, m or h, as 30m; or never".to_owned();
    let unit = text.chars().last().ok_or_else(wrong)?;
    let seconds = match unit {
        's' => 1,
        'm' => 60,
        'h' => 3600,
        _ => return Err(wrong()),
    };
    let number: u64 = text[..text.len() - 1].parse().map_err(|_| wrong())?;
    match number.checked_mul(seconds) {
        Some(seconds) if seconds > 0 => Ok(Duration::from_secs(seconds)),
        _ => Err(wrong()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_and_times_are_read_or_refused() {
        assert_eq!(parse_size("20GB"), Ok(20_000_000_000));
        assert!(parse_size("0MB").is_err());
        assert_eq!(parse_idle("90s"), Ok(Duration::from_secs(90)));
        assert_eq!(parse_idle("2h"), Ok(Duration::from_secs(7200)));
        assert_eq!(parse_idle("never"), Ok(Duration::ZERO));
        for wrong in ["", "0m", "m", "5", "1.5h", "99999999999999999999h", "5µ"] {
            assert!(parse_idle(wrong).is_err(), "{wrong}");
        }
    }
}
