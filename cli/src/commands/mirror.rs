//! `mlbuild mirror`: copies of base images, by digest, in a registry of one's own: upstream tags
//! get deleted, and a lock whose base is gone rebuilds nothing.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use serde_json::json;

use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::output;
use crate::support::terminal::Terminal;
use crate::support::trust;
use mlbuild::lock::file;
use mlbuild::registry::{Registry, RegistryOptions, mirror};
use mlbuild::settings;

/// Copy the base images of the lock into your own registry.
///
/// Each is copied by the digest that the lock pins, for the platforms that it has packages or
/// images for. `[registry] mirror` in mlbuild.toml names the place, and then mlbuild lock copies by
/// itself; builds take the copy where the original is gone.
#[derive(Debug, Clone, Args)]
pub struct MirrorArgs {
    /// Folder of the project.
    #[arg(value_name = "DIR", default_value = ".", value_hint = ValueHint::DirPath)]
    pub project: PathBuf,
    /// Where to, such as registry.example/mirror (default: `[registry] mirror`).
    #[arg(long, value_name = "HOST/PATH")]
    pub to: Option<String>,
    /// Lock file.
    #[arg(long = "lock", value_name = "FILE", default_value = "mlbuild.lock", value_hint = ValueHint::FilePath)]
    pub lock_file: PathBuf,
    /// Registry host that is reached by plain http (repeatable).
    #[arg(long = "insecure-registry", value_name = "HOST[:PORT]")]
    pub insecure_registries: Vec<String>,
    /// Let the project's files reach out of its folder as they ask, this time.
    #[arg(long)]
    pub trust: bool,
    /// Form of the answer on stdout.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// Runs the verb.
///
/// # Errors
/// One error of a documented kind.
pub async fn run(args: MirrorArgs) -> CommandResult {
    let config = settings::read_config(&args.project)?;
    trust::check(&args.project, &config.wishes, args.trust)?;
    let to = args.to.or(config.registry.mirror).ok_or_else(|| {
        CommandError::user("nothing says where the copies go").hint(
            "name a place: --to registry.example/mirror, or [registry] mirror in mlbuild.toml",
        )
    })?;
    let path = args.project.join(&args.lock_file);
    let lock = file::load(&path)?;
    let mut insecure = config.registry.insecure;
    insecure.extend(args.insecure_registries);
    let registry = Registry::new(RegistryOptions {
        insecure: insecure.into_iter().collect(),
        mirrors: config.registry.mirrors,
        ..RegistryOptions::default()
    });
    let reporter = Terminal::default();
    let mut copies = Vec::new();
    for image in lock.images() {
        let platforms: Vec<&String> = match &image.build {
            Some(build) => build.platforms.keys().collect(),
            None => image.platforms.keys().collect(),
        };
        for base in &image.bases {
            for platform in &platforms {
                let copied = mirror::copy(&registry, &to, base, platform, &reporter);
                copies.extend(copied.await?);
            }
        }
    }
    copies.sort();
    copies.dedup();
    if copies.is_empty() {
        return Err(
            CommandError::user(format!("{} pins no base image", path.display()))
                .hint("build or lock an image first: mlbuild lock"),
        );
    }
    match args.format {
        Format::Text => output::answer(&copies.join("\n")),
        Format::Json => output::answer(
            &serde_json::to_string_pretty(&json!({ "mirrored": copies })).expect("plain JSON"),
        ),
    }
}
