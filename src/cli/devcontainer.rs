//! `mlbuild devcontainer`: the project's container as editors and the devcontainer CLI start it.

use std::path::Path;

use clap::Args;
use mlbuild_manifests::atomic;
use serde_json::{Value, json};

use super::run::own::{GpuWish, OwnFlags};
use super::run::{self, defaults, help, left_out};
use super::{dev, output, project_image};
use crate::error::{CommandError, CommandResult};
use crate::records::project_folder;
use crate::runtime::{self, Flag, Grammar, Options, Parsed, RuntimeCli};

static FLAGS: &[Flag] = &[
    dev::DIR_FLAG,
    Flag::switch("force", "Replace a file that mlbuild didn't write.")
        .own()
        .not_in_config(),
];

const GRAMMAR: Grammar = Grammar {
    verb: "devcontainer",
    more: FLAGS,
};

/// Where tools look for it.
const FILE: &str = ".devcontainer/devcontainer.json";
/// How a file of ours begins.
const OURS: &str = "// Written by mlbuild devcontainer: written anew by it, too.\n";

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
    help::documented(raw, GRAMMAR, "[IMAGE]")
}

/// Runs the verb. The answer is the file's path.
///
/// # Errors
/// Where no image is named, or a file that a person wrote is there.
pub fn run(args: &DevcontainerArgs) -> CommandResult {
    let parsed = GRAMMAR.parse(&args.words)?;
    if parsed.own.is_on("help") {
        return output::answer(&help::text(GRAMMAR));
    }
    if let Some(word) = parsed.spec.command.first() {
        return Err(CommandError::user(format!(
            "`{word}` stands after the image, and a devcontainer.json holds no command"
        ))
        .hint("write flags before the image: mlbuild devcontainer [FLAGS] [IMAGE]"));
    }
    let folder = crate::settings::current_folder()?;
    let config = crate::settings::read_config(&folder)?;
    let project = project_folder(&folder);
    let Parsed {
        mut spec,
        own: all_own,
    } = run::with_config(parsed, config.clone(), &folder);
    let own = OwnFlags::read(&all_own)?;
    if spec.image.is_empty() {
        spec.image = project_image::of(&project, &config, GRAMMAR.verb)?;
    }
    spec.options = spec.options.over(mounted(&all_own, &project)?);
    if own.defaults {
        // Whether limits may be raised is the business of the machine that reads the file.
        let usual = defaults::limits(&spec, RuntimeCli::Docker, false);
        spec.options = spec.options.over(usual.without(&["ulimit"]));
    }
    let spec = run::dry_run::without_secrets(spec);
    let rendered = runtime::devcontainer(&spec, &project);
    left_out::warn(&rendered.left_out);
    let mut document = rendered.form;
    if let Some(gpu) = gpu(&own.gpu)? {
        document["hostRequirements"] = json!({ "gpu": gpu });
    }
    let text = format!("{OURS}{document:#}\n");
    if own.dry_run {
        return output::answer(&text);
    }
    let file = project.join(FILE);
    write(&file, &text, all_own.is_on("force"))?;
    output::answer(&file.display().to_string())
}

/// The project's mount, unless something else is there.
fn mounted(own: &Options, project: &Path) -> CommandResult<Options> {
    let dir = own.text("dir").unwrap_or(dev::DIR);
    if !dir.starts_with('/') {
        return Err(CommandError::user(format!(
            "--dir {dir}: the path in the container must begin with /"
        ))
        .hint("write --dir /app"));
    }
    let mut options = Options::default();
    let source = project.to_string_lossy().into_owned();
    let mount = runtime::Mount {
        kind: "bind".to_owned(),
        source: Some(source),
        target: dir.to_owned(),
        readonly: false,
        options: Vec::new(),
    };
    options.add("mount", &mount.to_string());
    options.add("workdir", dir);
    Ok(options)
}

/// What the tool is told: it asks for GPUs itself.
fn gpu(wish: &GpuWish) -> CommandResult<Option<Value>> {
    match wish {
        GpuWish::Off => Ok(None),
        GpuWish::Auto => Ok(Some(json!("optional"))),
        GpuWish::Required => Ok(Some(json!(true))),
        GpuWish::Ids(_) => Err(CommandError::user(
            "--gpu: a devcontainer.json asks for all GPUs or none; its tool finds them",
        )
        .hint("--gpu=required; or docker's own flag: --gpus '\"device=0\"'")),
    }
}

fn write(file: &Path, text: &str, force: bool) -> CommandResult {
    let failed = |error: std::io::Error| {
        CommandError::environment(format!("{}: can't be written: {error}", file.display()))
    };
    match std::fs::read_to_string(file) {
        Ok(old) if old.starts_with(OURS) || force => {}
        Ok(_) => {
            return Err(CommandError::user(format!(
                "{}: somebody else wrote it, and it stays as it is",
                file.display()
            ))
            .hint("look at the difference: mlbuild devcontainer --dry-run")
            .hint("replace it: mlbuild devcontainer --force"));
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {}
        Err(_) if force => {}
        Err(error) => return Err(failed(error)),
    }
    std::fs::create_dir_all(file.parent().expect("a file in a folder")).map_err(failed)?;
    atomic::replace(file, text.as_bytes()).map_err(failed)
}
