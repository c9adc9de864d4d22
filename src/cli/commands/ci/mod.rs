//! `mlbuild ci`: a workflow that builds the locked image, proves it, and pushes it.

use std::path::{Path, PathBuf};

use clap::{Args, Parser, ValueEnum, ValueHint};
use mlbuild_manifests::LockFile;
use mlbuild_manifests::inside::keep_inside;

use crate::cli::error::{CommandError, CommandResult};
use crate::cli::support::image_args::ImageArgs;
use crate::cli::support::output;
use crate::settings;

/// BuildKit that the second builder is.
const BUILDKIT: &str = "v0.32.2";
const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// Write a workflow for GitHub or GitLab.
///
/// It builds with `--locked`, pushes, rebuilds on a second builder and compares, attaches a bill of
/// materials and provenance, and keeps them with the lock. Flags of `mlbuild image` that the image
/// needs follow after `--`.
#[derive(Debug, Clone, Args)]
pub struct CiArgs {
    /// Whose workflow.
    #[arg(value_enum, value_name = "HOST")]
    pub host: CiHost,
    /// Where it goes (default: .github/workflows/image.yml or .gitlab-ci.yml); `-` for stdout.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Replace a file that is there.
    #[arg(long)]
    pub force: bool,
    /// Flags of `mlbuild image`, such as `-t ghcr.io/me/cracks:1 --uid 1000`.
    #[arg(last = true, value_name = "FLAGS")]
    pub flags: Vec<String>,
}

/// Who runs the workflow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum CiHost {
    /// GitHub Actions.
    Github,
    /// GitLab CI.
    Gitlab,
}

/// The flags of an image, parsed by themselves.
#[derive(Debug, Parser)]
#[command(no_binary_name = true, disable_help_flag = true)]
struct Flags {
    #[command(flatten)]
    image: ImageArgs,
}

/// Runs the verb.
///
/// # Errors
/// Flags that `mlbuild image` doesn't have, an image without a registry or a lock, a file that is
/// there.
pub fn run(args: &CiArgs) -> CommandResult {
    let flags = Flags::try_parse_from(&args.flags).map_err(|error| {
        let text = error.to_string();
        let first = text.lines().next().unwrap_or_default();
        CommandError::user(format!("after --: {}", first.trim_start_matches("error: ")))
            .hint("give flags of mlbuild image there: mlbuild image --help")
    })?;
    let settings = settings::resolve(&flags.image.request())?;
    if !settings.named {
        return Err(
            CommandError::user("the workflow pushes the image, which has no name")
                .hint("name it with its registry: mlbuild ci github -- -t ghcr.io/OWNER/NAME:TAG")
                .hint("or in mlbuild.toml: [image] tag = \"ghcr.io/OWNER/NAME:TAG\""),
        );
    }
    let text = workflow(args, &settings)?;
    warn_of_lock(&settings);
    let place = match &args.output {
        Some(path) if path.as_os_str() == "-" => return output::document(text.trim_end()),
        Some(path) => path.clone(),
        None => settings.project.join(match args.host {
            CiHost::Github => ".github/workflows/image.yml",
            CiHost::Gitlab => ".gitlab-ci.yml",
        }),
    };
    write(&settings.project, &place, &text, args.force)?;
    output::answer(&place.display().to_string())
}

/// The text. A runner has nobody to ask: what the project reaches outside its folder is listed here,
/// and agreed to by whoever commits the workflow, which is then given `--trust`.
fn workflow(args: &CiArgs, settings: &settings::ImageSettings) -> CommandResult<String> {
    let registry = settings.tags[0].registry();
    let mut words: Vec<&str> = args.flags.iter().map(String::as_str).collect();
    if !settings.wishes.is_empty() {
        let wishes: Vec<String> = settings
            .wishes
            .iter()
            .map(|w| format!("\n  - {w}"))
            .collect();
        output::warning(&format!(
            "the project reaches out of its folder, on the runner too; the workflow has --trust for that:{}",
            wishes.concat()
        ));
        if !settings.trust {
            words.push("--trust");
        }
    }
    let flags =
        shlex::try_join(words).map_err(|error| CommandError::user(format!("after --: {error}")))?;
    if flags.contains('\n') {
        return Err(CommandError::user(
            "after --: a line break can't stand in a workflow",
        ));
    }
    let text = match args.host {
        CiHost::Github => include_str!("github.yml"),
        CiHost::Gitlab => include_str!("gitlab.yml"),
    };
    let version = env!("CARGO_PKG_VERSION");
    let action = REPOSITORY.trim_start_matches("https://github.com/");
    // The flags come last: what stands in them is no placeholder.
    let text = text
        .replace("@ACTION@", &format!("{action}@v{version}"))
        .replace("@REPOSITORY@", REPOSITORY)
        .replace("@VERSION@", version)
        .replace("@BUILDKIT@", BUILDKIT)
        .replace("@REGISTRY@", registry);
    Ok(if flags.is_empty() {
        text.replace(" @FLAGS@", "")
    } else {
        text.replace("@FLAGS@", &flags)
    })
}

fn warn_of_lock(settings: &settings::ImageSettings) {
    let Some(file) = &settings.lock.file else {
        return;
    };
    let lock = LockFile::load(file).unwrap_or_default();
    if !lock.images().any(|image| image.build.is_some()) {
        output::warning(
            "the lock pins no packages yet, and the workflow needs them: mlbuild lock, with the image's flags; commit mlbuild.lock",
        );
    }
}

fn write(project: &Path, place: &Path, text: &str, force: bool) -> CommandResult {
    let fail =
        |error: std::io::Error| CommandError::environment(format!("{}: {error}", place.display()));
    keep_inside(project, place).map_err(fail)?;
    match std::fs::read_to_string(place) {
        Ok(old) if old == text => return Ok(()),
        Ok(_) if !force => {
            return Err(CommandError::user(format!("{} is there", place.display()))
                .hint("replace it: --force; or look at the new one: -o -"));
        }
        _ => {}
    }
    if let Some(folder) = place.parent().filter(|p| !p.as_os_str().is_empty()) {
        std::fs::create_dir_all(folder).map_err(fail)?;
    }
    mlbuild_manifests::atomic::replace(place, text.as_bytes()).map_err(fail)
}
