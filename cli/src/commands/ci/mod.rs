//! `mlbuild ci`: a workflow that builds the locked image, proves it, and pushes it.

mod images;

use std::path::{Path, PathBuf};

use clap::{Args, Parser, ValueEnum, ValueHint};
use mlbuild_manifests::LockFile;
use mlbuild_manifests::inside::{self, is_below, keep_inside};

use crate::error::{CommandError, CommandResult};
use crate::support::image_args::ImageArgs;
use crate::support::output;
use mlbuild::planning::registry_options;
use mlbuild::registry::RegistryOptions;
use mlbuild::settings;

const REPOSITORY: &str = env!("CARGO_PKG_REPOSITORY");

/// Write a workflow for GitHub or GitLab.
///
/// It builds with `--locked`, pushes, rebuilds on a second builder and compares, attaches a bill of
/// materials and provenance, and keeps them with the lock. Flags of `mlbuild image` that the image
/// needs follow after `--`. Images that the workflow itself starts are named by digest, as their
/// registries say.
#[derive(Debug, Clone, Args)]
pub struct CiArgs {
    /// Whose workflow.
    #[arg(value_enum, value_name = "HOST")]
    pub host: CiHost,
    /// Where it goes (default: .github/workflows/image.yml or .gitlab-ci.yml); `-` for stdout.
    #[arg(short, long, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Replace a file that is there, and ask for the newest digests.
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
pub async fn run(args: &CiArgs) -> CommandResult {
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
    let to_stdout = args
        .output
        .as_deref()
        .is_some_and(|path| path.as_os_str() == "-");
    let place = args.output.clone().unwrap_or_else(|| {
        settings.project.join(match args.host {
            CiHost::Github => ".github/workflows/image.yml",
            CiHost::Gitlab => ".gitlab-ci.yml",
        })
    });
    let before = if to_stdout {
        String::new()
    } else {
        keep_inside(&settings.project, &place).map_err(failed(&place))?;
        mlbuild_files::read_to_string(&place).unwrap_or_default()
    };
    let template = with_images(args, &settings, &before).await;
    let text = workflow(args, &settings, &template)?;
    warn_of_lock(&settings);
    if to_stdout {
        return output::document(text.trim_end());
    }
    write(&settings.project, &place, &text, args.force)?;
    output::answer(&place.display().to_string())
}

/// The host's workflow with its images in it. What the project says of registries isn't used where it
/// would have to be agreed to first.
async fn with_images(args: &CiArgs, settings: &settings::ImageSettings, before: &str) -> String {
    let template = match args.host {
        CiHost::Github => include_str!("github.yml"),
        CiHost::Gitlab => include_str!("gitlab.yml"),
    };
    let options = if settings.wishes.is_empty() || settings.trust {
        registry_options(settings)
    } else {
        RegistryOptions::default()
    };
    let named = images::name(template, before, args.force, options).await;
    for (image, why) in &named.floating {
        output::warning(&format!(
            "the workflow names {image} by its tag, which can be given to another image: its digest \
             isn't known here ({why}); where its registry can be reached: mlbuild ci … --force"
        ));
    }
    named.text
}

/// The text. A runner has nobody to ask: what the project reaches outside its folder is listed here,
/// and agreed to by whoever commits the workflow, which is then given `--trust`.
fn workflow(
    args: &CiArgs,
    settings: &settings::ImageSettings,
    template: &str,
) -> CommandResult<String> {
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
    let version = env!("CARGO_PKG_VERSION");
    let action = REPOSITORY.trim_start_matches("https://github.com/");
    // The flags come last: what stands in them is no placeholder.
    let text = template
        .replace("@ACTION@", &format!("{action}@v{version}"))
        .replace("@REPOSITORY@", REPOSITORY)
        .replace("@VERSION@", version)
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
    let fail = failed(place);
    keep_inside(project, place).map_err(fail)?;
    match mlbuild_files::read_to_string(place) {
        Ok(old) if old == text => return Ok(()),
        Ok(_) if !force => {
            return Err(CommandError::user(format!("{} is there", place.display()))
                .hint("replace it: --force; or look at the new one: -o -"));
        }
        // A pipe of a clone would be waited for; one that a person names is written to.
        Err(error)
            if error.kind() == std::io::ErrorKind::InvalidInput && is_below(project, place) =>
        {
            return Err(fail(error));
        }
        _ => {}
    }
    inside::replace(project, place, text.as_bytes()).map_err(fail)
}

fn failed(place: &Path) -> impl Fn(std::io::Error) -> CommandError + Copy {
    |error| CommandError::environment(format!("{}: {error}", place.display()))
}
