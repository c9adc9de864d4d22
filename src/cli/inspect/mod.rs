//! `mlbuild inspect`: what an image is, where it is, and what is known of it.
//!
//! | step | file |
//! | --- | --- |
//! | the registry | `remote` |
//! | this machine's Docker, Podman or nerdctl | `local` |
//! | the lock and the runs | `paper` |
//! | all of it, for scripts and for people | `report`, `text` |

mod local;
mod paper;
mod remote;
mod report;
mod text;

use clap::Args;

use self::local::Local;
use self::remote::Remote;
use self::report::Report;
use super::output;
use super::registry_args::RegistryArgs;
use super::runs::ProjectArgs;
use crate::error::{CommandError, CommandResult};
use crate::flags::Format;
use crate::image::Contents;
use crate::image_source::{self, Opened};
use crate::records::this_host;
use crate::registry::{Registry, RegistryError, parse_platform, platform_name};

/// Say what an image is: digests, lock, labels, packages, users, runs, and whether it can be pulled.
///
/// The image is asked for in its registry and in this machine's Docker, Podman or nerdctl; or it is
/// a path, as for `mlbuild diff`. Its documents alone are fetched, unless `--layers` is given.
#[derive(Debug, Clone, Args)]
pub struct InspectArgs {
    /// The image: a reference, an image ID, or a path.
    #[arg(value_name = "IMAGE")]
    pub image: String,
    /// This platform only (default: all that it has).
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// Read its layers: packages and accounts as they are in it. Without it: packages as the lock has them.
    #[arg(long)]
    pub layers: bool,
    /// List the packages; otherwise they are counted.
    #[arg(long)]
    pub packages: bool,
    /// Ask no registry: this machine's images only.
    #[arg(long)]
    pub local: bool,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Where lock and records are.
    #[command(flatten)]
    pub project: ProjectArgs,
    /// Form of the answer.
    #[arg(long, value_enum, default_value_t)]
    pub format: Format,
}

/// Runs the verb.
///
/// # Errors
/// Where the name is none, the image is nowhere, or can't be read.
pub async fn run(args: InspectArgs) -> CommandResult {
    let platform = args.platform.as_deref().map(platform_of).transpose()?;
    let project = args.project.folder()?;
    let registry = args.registry.client(&project)?;
    let mut report = Report::new(&args.image);
    let opened = match image_source::path(&args.image) {
        Some(_) => {
            let found = image_source::open(&args.image, &registry).await?;
            report.read_from = "path".to_owned();
            report.add_platforms(&found);
            report.keep(platform.as_deref())?;
            Some(found)
        }
        None => look(&args, platform.as_deref(), &registry, &mut report).await?,
    };
    paper::add(&mut report, &project);
    if args.layers
        && let Some(opened) = opened
    {
        report.add_contents(contents(opened, &report).await?);
    }
    match args.format {
        Format::Json => output::answer(&format!("{:#}", report.json())),
        Format::Text => output::answer(&text::of(&report, args.packages)),
    }
}

fn platform_of(text: &str) -> CommandResult<String> {
    let parsed = parse_platform(text).map(|platform| platform_name(&platform));
    parsed.ok_or_else(|| {
        CommandError::user(format!("--platform {text}: not a platform"))
            .hint("write it as linux/amd64")
    })
}

/// Asks the registry and this machine. Returns where the layers are, if they are wanted.
async fn look(
    args: &InspectArgs,
    platform: Option<&str>,
    registry: &Registry,
    report: &mut Report,
) -> CommandResult<Option<Opened>> {
    let is_id = is_image_id(&args.image);
    if !is_id {
        RegistryError::reference(&args.image)?;
    }
    let here = local::look(&args.image, is_id || args.local).await?;
    let there = match is_id || args.local {
        true => Remote::NotAsked,
        false => remote::look(&args.image, registry).await?,
    };
    if let Local::Found(local) = &here {
        report.local = Some(local.facts.clone());
    }
    match (there, here) {
        (Remote::Found(found), _) => {
            report.read_from = "registry".to_owned();
            report.add_remote(&found);
            report.keep(platform)?;
            found.see_whether_it_can_be_pulled(report, registry).await;
            paper::add_attached(report, &found, registry).await;
            Ok(Some(found.opened))
        }
        (there, Local::Found(local)) => {
            report.read_from = local.facts.runtime.clone();
            report.registry = there.problem();
            report.add_local(&local);
            report.keep(platform)?;
            match args.layers {
                true => local.saved(&args.image).map(Some),
                false => Ok(None),
            }
        }
        (there, here) => Err(there.nowhere(&args.image, &here)),
    }
}

/// Whether a word is an image ID, which no registry is asked for.
fn is_image_id(text: &str) -> bool {
    let hex = text.strip_prefix("sha256:");
    let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
    hex.is_some_and(is_hex) || (text.len() == 64 && is_hex(text))
}

/// What the layers of one platform hold: this machine's, if there are several.
async fn contents(opened: Opened, report: &Report) -> CommandResult<Contents> {
    let here = this_host().platform;
    let name = match report.platforms.contains_key(&here) {
        true => here,
        false => report.platforms.keys().next().cloned().unwrap_or_default(),
    };
    let work = tokio::task::spawn_blocking(move || {
        let image = opened.images.get(&name).or(opened.images.values().next());
        let image = &image.expect("an image that was opened has one").image;
        Contents::read(image, &opened).map_err(image_source::layer_error)
    });
    work.await
        .map_err(|error| CommandError::work(format!("reading the layers broke off: {error}")))?
}

#[cfg(test)]
mod tests {
    use super::is_image_id;

    #[test]
    fn image_ids_are_told_from_names() {
        let full = "a".repeat(64);
        assert!(is_image_id(&full) && is_image_id("sha256:0123ab"));
        // A short one may be a name, too: both are asked.
        assert!(!is_image_id("cafe") && !is_image_id("cracks:v1") && !is_image_id("sha256:xyz"));
    }
}
