//! `mlbuild devcontainer`: the project's container as editors and the devcontainer CLI start it.

use clap::Args;

use super::dev;
use crate::error::{CommandError, CommandResult};
use crate::support::mlbuild_flags::MlbuildFlags;
use crate::support::output;
use crate::support::run_line::with_config;
use crate::support::terminal::Terminal;
use crate::support::{docker_help, errors, trust};
use mlbuild::records::project_folder;
use mlbuild::runtime::{Flag, Grammar, Options, Parsed};
use mlbuild::settings;
use mlbuild::start::devcontainer::{self, DevcontainerRequest};

static FLAGS: &[Flag] = &[
    dev::DIR_FLAG,
    dev::VARIANT_FLAG,
    Flag::switch("force", "Replace a file that mlbuild didn't write.")
        .own()
        .not_in_config(),
];

const GRAMMAR: Grammar = Grammar {
    verb: "devcontainer",
    more: FLAGS,
    also: &[],
};

/// Write `.devcontainer/devcontainer.json` for the project.
///
/// Takes every flag of `mlbuild run`; those that a `devcontainer.json` can't hold are named. Without
/// IMAGE it is the one that `mlbuild.toml` or `mlbuild.lock` names. `--dry-run` prints it.
#[derive(Debug, Clone, Args)]
#[command(disable_help_flag = true, disable_version_flag = true)]
pub struct DevcontainerArgs {
    /// Flags, the image.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    pub words: Vec<String>,
}

/// The verb with every flag.
pub fn documented(raw: clap::Command) -> clap::Command {
    docker_help::documented(raw, GRAMMAR, "[IMAGE]")
}

/// Runs the verb. The answer is the file's path.
///
/// # Errors
/// Where no image is named, or a file that a person wrote is there.
pub fn run(args: &DevcontainerArgs) -> CommandResult {
    let parsed = GRAMMAR.parse(&args.words)?;
    if parsed.own.is_on("help") {
        return output::answer(&docker_help::text(GRAMMAR));
    }
    if let Some(word) = parsed.spec.command.first() {
        return Err(CommandError::user(format!(
            "`{word}` stands after the image, and a devcontainer.json holds no command"
        ))
        .hint("write flags before the image: mlbuild devcontainer [FLAGS] [IMAGE]"));
    }
    let folder = settings::current_folder()?;
    dev::refuse_variant_of_image(&parsed.own, &parsed.spec)?;
    let config = settings::read_config_of(&folder, parsed.own.text("variant"))?;
    let image_tags = config.image.tags.clone();
    let project = project_folder(&folder);
    let wishes = config.wishes.clone();
    let Parsed { spec, own } = with_config(parsed, config, &folder)?;
    let flags = MlbuildFlags::read(&own)?;
    let request = DevcontainerRequest {
        spec,
        image_tags,
        project: project.clone(),
        dir: dir(&own)?,
        gpu: flags.gpu,
        defaults: flags.defaults,
    };
    let text = devcontainer::text(request, &Terminal::default())
        .map_err(|error| errors::start::of_verb(error, GRAMMAR.verb))?;
    if flags.dry_run {
        return output::document(&text);
    }
    trust::check(&folder, &wishes, flags.trust)?;
    let file = devcontainer::write(&project, &text, own.is_on("force"))?;
    output::answer(&file.display().to_string())
}

/// Where the project is in the container.
fn dir(own: &Options) -> CommandResult<String> {
    let dir = own.text("dir").unwrap_or(dev::DIR);
    if !dir.starts_with('/') {
        return Err(CommandError::user(format!(
            "--dir {dir}: the path in the container must begin with /"
        ))
        .hint("write --dir /app"));
    }
    Ok(dir.to_owned())
}
