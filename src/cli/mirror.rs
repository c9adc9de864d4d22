//! `mlbuild mirror`: copies of base images, by digest, in a registry of one's own: upstream tags
//! get deleted, and a lock whose base is gone rebuilds nothing.

use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use clap::{Args, ValueHint};
use mlbuild_manifests::lock::LockedBase;
use mlbuild_templates::reference;
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest, ImageManifest};
use serde_json::json;

use super::image::publish;
use super::lock::parcel::Parcel;
use super::output;
use crate::error::{CommandError, CommandResult};
use crate::flags::Format;
use crate::registry::{Registry, RegistryOptions};
use crate::settings;

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
    let to = args.to.or(config.registry.mirror).ok_or_else(|| {
        CommandError::user("nothing says where the copies go").hint(
            "name a place: --to registry.example/mirror, or [registry] mirror in mlbuild.toml",
        )
    })?;
    let file = args.project.join(&args.lock_file);
    let lock = publish::load(&file)?;
    let mut insecure = config.registry.insecure;
    insecure.extend(args.insecure_registries);
    let registry = Registry::new(RegistryOptions {
        insecure: insecure.into_iter().collect(),
        mirrors: config.registry.mirrors,
        ..RegistryOptions::default()
    });
    let mut copies = Vec::new();
    for image in lock.images() {
        let platforms: Vec<&String> = match &image.build {
            Some(build) => build.platforms.keys().collect(),
            None => image.platforms.keys().collect(),
        };
        for base in &image.bases {
            for platform in &platforms {
                copies.extend(copy(&registry, &to, base, platform).await?);
            }
        }
    }
    copies.sort();
    copies.dedup();
    if copies.is_empty() {
        return Err(
            CommandError::user(format!("{} pins no base image", file.display()))
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

/// The name of a base's copy for a platform, with the digest of its manifest.
///
/// # Errors
/// Where the place can't be part of a name.
pub fn name(
    to: &str,
    base: &LockedBase,
    platform: &str,
) -> CommandResult<Option<(Reference, Digest)>> {
    let manifest = base.platforms.get(platform).or_else(|| {
        // An image without an index is its own manifest.
        base.platforms
            .values()
            .next()
            .filter(|_| base.platforms.len() == 1)
    });
    let Some(manifest) = manifest else {
        return Ok(None);
    };
    let original = reference::parse(&base.reference).map_err(CommandError::user)?;
    let host = original.registry().replace(':', "-");
    let tag = original.tag().unwrap_or("latest");
    let text = format!(
        "{}/{host}/{}:{tag}-{}",
        to.trim_end_matches('/'),
        original.repository(),
        platform.replace('/', "-"),
    );
    let copy = reference::parse(&text)
        .map_err(|error| CommandError::user(format!("[registry] mirror {to}: {error}")))?;
    Ok(Some((copy, manifest.clone())))
}

/// Copies a base for one platform, unless it is there; gives the copy's name with its digest.
///
/// # Errors
/// Where either registry refuses.
pub async fn copy(
    registry: &Registry,
    to: &str,
    base: &LockedBase,
    platform: &str,
) -> CommandResult<Option<String>> {
    let Some((target, digest)) = name(to, base, platform)? else {
        return Ok(None);
    };
    let named = format!("{target}@{digest}");
    if matches!(registry.exists(&target, &digest).await, Ok(true)) {
        return Ok(Some(named));
    }
    output::note(&format!(
        "copying {} for {platform} to {target}",
        base.reference
    ));
    let original = reference::parse(&base.reference).map_err(CommandError::user)?;
    let original = original.clone_with_digest(digest.to_string());
    let (top, bytes) = registry.pull_manifest(&original).await?;
    let manifest: ImageManifest = serde_json::from_slice(&bytes)
        .map_err(|error| CommandError::environment(format!("{original}: {error}")))?;
    let parcel = Parcel::new()?;
    parcel.document(top.media_type().clone(), &bytes)?;
    let blobs: Vec<Descriptor> = manifest
        .layers()
        .iter()
        .chain([manifest.config()])
        .cloned()
        .collect();
    for blob in blobs {
        let place = parcel.place(blob.digest().digest());
        let (from, source) = (registry.clone(), original.clone());
        let runtime = tokio::runtime::Handle::current();
        let fetch = move || -> io::Result<()> {
            let mut stream = from
                .open_blob(&source, &blob, &runtime)
                .map_err(io::Error::other)?;
            io::copy(&mut stream, &mut std::fs::File::create(&place)?).map(drop)
        };
        let done = tokio::task::spawn_blocking(fetch).await;
        done.map_err(CommandError::environment)?
            .map_err(|error| CommandError::environment(format!("{}: {error}", base.reference)))?;
    }
    // The registry compares every blob with its digest.
    let layout = parcel.finish(&top)?;
    registry
        .push_layout(&layout, &target, &[], Arc::new(|_| {}))
        .await?;
    Ok(Some(named))
}

/// Lets a build use copies where originals are gone: the references to write instead.
///
/// # Errors
/// Where the place can't be part of a name.
pub async fn stand_ins(
    registry: &Registry,
    to: &str,
    bases: &mut super::image::bases::Bases,
    platform: &str,
) -> CommandResult {
    for (written, base) in &bases.pins {
        let original = reference::parse(written).map_err(CommandError::user)?;
        let exact = original.clone_with_digest(base.digest.to_string());
        if matches!(registry.head(&exact).await, Ok(Some(_))) {
            continue;
        }
        let Some((copy, digest)) = name(to, base, platform)? else {
            continue;
        };
        if matches!(registry.exists(&copy, &digest).await, Ok(true)) {
            output::note(&format!(
                "{written} is out of reach: its copy {copy} stands in"
            ));
            let copy = format!("{copy}@{digest}");
            bases.stand_ins.insert(written.clone(), copy);
        }
    }
    Ok(())
}
