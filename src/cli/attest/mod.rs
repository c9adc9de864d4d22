//! `mlbuild attest`: says beside an image what is in it and how it was made.

mod sign;

use clap::{Args, ValueEnum};
use mlbuild_manifests::attest::{self, Component, PackageKind, Subject};
use mlbuild_manifests::document::{Document as _, LOCK_ARTIFACT_TYPE};
use mlbuild_manifests::lock::FILE_NAME;
use mlbuild_manifests::{LockFile, LockedImage};
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest};
use serde_json::{Value, json};
use std::collections::BTreeMap;

use self::sign::{Cosign, SignArgs};
use super::output;
use super::registry_args::RegistryArgs;
use crate::error::{CommandError, CommandResult};
use crate::flags::Format;
use crate::image::Contents;
use crate::image_source::{self, Opened};
use crate::registry::{Registry, RegistryError};
use crate::settings;

/// Annotation that tells what kind of statement an attached one is.
const PREDICATE_ANNOTATION: &str = "in-toto.io/predicate-type";

/// Attach a bill of materials and provenance to an image in a registry.
///
/// The packages are read from the image's layers, their files' hashes from its lock; how it was made
/// stands in the lock, too. The documents travel with the image as OCI referrers: its own digest stays
/// as it is. The same image gives the same documents.
#[derive(Debug, Clone, Args)]
pub struct AttestArgs {
    /// Image in a registry.
    #[arg(value_name = "REFERENCE")]
    pub image: String,
    /// Form of the bill of materials.
    #[arg(long, value_enum, value_name = "FORM", default_value = "spdx")]
    pub sbom: Sbom,
    /// No provenance.
    #[arg(long)]
    pub no_provenance: bool,
    /// Print one of the documents, and attach none.
    #[arg(long, value_enum, value_name = "WHAT")]
    pub print: Option<What>,
    /// Signing.
    #[command(flatten)]
    pub signing: SignArgs,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Form of the answer on stdout.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// Form of a bill of materials.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Sbom {
    /// SPDX 2.3.
    Spdx,
    /// CycloneDX 1.6.
    Cyclonedx,
    /// None.
    None,
}

/// A document.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum What {
    /// The bill of materials.
    Sbom,
    /// The provenance.
    Provenance,
}

/// A document for one of the image's platforms.
struct Made {
    what: What,
    media_type: &'static str,
    subject: Descriptor,
    platform: String,
    bytes: Vec<u8>,
}

impl Made {
    /// cosign's name for the document's type, and the document as a statement's predicate.
    fn predicate(&self) -> CommandResult<(&'static str, Vec<u8>)> {
        match self.what {
            What::Sbom if self.media_type == attest::CYCLONEDX_MEDIA_TYPE => {
                Ok(("cyclonedx", self.bytes.clone()))
            }
            What::Sbom => Ok(("spdxjson", self.bytes.clone())),
            What::Provenance => {
                let statement: Value =
                    serde_json::from_slice(&self.bytes).map_err(CommandError::work)?;
                Ok(("slsaprovenance1", statement["predicate"].to_string().into()))
            }
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// An image that isn't there or can't be read; provenance of an image without a lock; cosign's.
pub async fn run(args: AttestArgs) -> CommandResult {
    let folder = settings::current_folder()?;
    let registry = args.registry.client(&folder)?;
    let image = RegistryError::reference(&args.image)?;
    let cosign = match args.signing.sign {
        true => {
            let is_insecure = args.registry.is_insecure(&folder, image.registry())?;
            Some(Cosign::find(&args.signing, is_insecure)?)
        }
        false => None,
    };
    let resolved = registry.resolve(&image, None).await?;
    let exact = image.clone_with_digest(resolved.descriptor.digest().to_string());
    let opened = image_source::open(&exact.to_string(), &registry).await?;
    let lock = lock_of(&registry, &exact, &opened, &folder).await?;
    if lock.is_none() && !args.no_provenance && args.print != Some(What::Sbom) {
        return Err(CommandError::user(format!(
            "{image} has no lock, so nobody knows how it was made"
        ))
        .hint("a bill of materials alone can be had: --no-provenance"));
    }
    let sbom = match args.print {
        Some(What::Provenance) => Sbom::None,
        _ => args.sbom,
    };
    let wants_provenance = !args.no_provenance && args.print != Some(What::Sbom);
    let lock = lock.as_ref();
    let make = || documents(&image, &opened, lock, sbom, wants_provenance);
    let made = tokio::task::block_in_place(make)?;
    if args.print.is_some() {
        let texts = made.iter().map(|made| String::from_utf8_lossy(&made.bytes));
        return output::answer(texts.collect::<Vec<_>>().join("").trim_end());
    }
    if let Some(cosign) = &cosign {
        let top = resolved.descriptor.digest();
        tokio::task::block_in_place(|| sign(cosign, &exact, top, &made))?;
    }
    let mut attached = Vec::new();
    for made in &made {
        attached.push((made, attach(&registry, &exact, made).await?));
    }
    answer(args.format, &exact, &attached, cosign.is_some())
}

/// Signs the image, and what the documents say of each platform's.
fn sign(cosign: &Cosign, exact: &Reference, top: &Digest, made: &[Made]) -> CommandResult {
    let is_index = made.iter().any(|made| made.subject.digest() != top);
    cosign.sign(&exact.to_string(), is_index)?;
    for made in made {
        let of = exact.clone_with_digest(made.subject.digest().to_string());
        let (kind, predicate) = made.predicate()?;
        cosign.attest(&of.to_string(), kind, &predicate)?;
    }
    Ok(())
}

/// The lock entry of an image: the project's, else the one beside it.
async fn lock_of(
    registry: &Registry,
    exact: &Reference,
    opened: &Opened,
    folder: &std::path::Path,
) -> CommandResult<Option<LockedImage>> {
    let manifests = opened.images.values().map(|i| i.image.manifest.digest());
    let manifests: Vec<&Digest> = manifests.collect();
    let is_of = |entry: &LockedImage| {
        let mut made = entry.platforms.values();
        entry.derived.is_none() && made.any(|p| manifests.contains(&&p.manifest))
    };
    let here = LockFile::load(&folder.join(FILE_NAME)).unwrap_or_default();
    if let Some(entry) = here.images().find(|entry| is_of(entry)) {
        return Ok(Some(entry.clone()));
    }
    let top: Digest = exact
        .digest()
        .unwrap_or_default()
        .parse()
        .map_err(CommandError::work)?;
    for referrer in registry
        .referrers(exact, &top, Some(LOCK_ARTIFACT_TYPE))
        .await?
    {
        let document = registry.pull_attached(exact, &referrer.descriptor).await?;
        let entry = LockedImage::from_json(&document).ok();
        // One that was made before the image was pushed names no digests.
        let fits = |e: &LockedImage| is_of(e) || (e.platforms.is_empty() && e.derived.is_none());
        if let Some(entry) = entry.filter(fits) {
            return Ok(Some(entry));
        }
    }
    Ok(None)
}

fn documents(
    image: &Reference,
    opened: &Opened,
    lock: Option<&LockedImage>,
    sbom: Sbom,
    wants_provenance: bool,
) -> CommandResult<Vec<Made>> {
    let mut made = Vec::new();
    for (platform, found) in &opened.images {
        let mut subject = Subject {
            name: format!("{}/{}", image.registry(), image.repository()),
            digest: found.image.manifest.digest().clone(),
            platform: platform.clone(),
            created: created(&found.config),
            distribution: None,
        };
        let mut add = |what, media_type, bytes| {
            made.push(Made {
                what,
                media_type,
                subject: found.image.manifest.clone(),
                platform: platform.clone(),
                bytes,
            });
        };
        if sbom != Sbom::None {
            let contents =
                Contents::read(&found.image, opened).map_err(image_source::layer_error)?;
            subject.distribution.clone_from(&contents.distribution);
            let pins = lock.and_then(|lock| lock.build.as_ref()?.platforms.get(platform));
            let found =
                attest::with_hashes(components(&contents), &pins.cloned().unwrap_or_default());
            match sbom {
                Sbom::Cyclonedx => {
                    let bytes = attest::cyclonedx(&subject, &found);
                    add(What::Sbom, attest::CYCLONEDX_MEDIA_TYPE, bytes);
                }
                _ => add(
                    What::Sbom,
                    attest::SPDX_MEDIA_TYPE,
                    attest::spdx(&subject, &found),
                ),
            }
        }
        if let Some(lock) = lock.filter(|_| wants_provenance) {
            let bytes = attest::provenance(&subject, lock);
            add(What::Provenance, attest::IN_TOTO_MEDIA_TYPE, bytes);
        }
    }
    Ok(made)
}

/// When an image says it was created.
fn created(config: &Value) -> jiff::Timestamp {
    let text = config["created"].as_str().unwrap_or_default();
    text.parse().unwrap_or_default()
}

fn components(contents: &Contents) -> Vec<Component> {
    let component = |kind, name: &str, version: &String| Component {
        kind,
        name: name.to_owned(),
        version: version.clone(),
        sha256: None,
    };
    let apt = contents.apt.iter().map(|(name, version)| {
        let (name, arch) = name.rsplit_once(':').unwrap_or((name, "all"));
        let kind = PackageKind::Debian {
            arch: arch.to_owned(),
        };
        component(kind, name, version)
    });
    let python = contents.python.iter();
    let python = python.map(|(name, version)| component(PackageKind::Python, name, version));
    apt.chain(python).collect()
}

async fn attach(registry: &Registry, exact: &Reference, made: &Made) -> CommandResult<Descriptor> {
    let mut notes = BTreeMap::new();
    if made.what == What::Provenance {
        let kind = attest::PREDICATE_TYPE.to_owned();
        notes.insert(PREDICATE_ANNOTATION.to_owned(), kind);
    }
    let attached = registry
        .attach(exact, &made.subject, made.media_type, &made.bytes, &notes)
        .await?;
    Ok(attached)
}

fn answer(
    format: Format,
    exact: &Reference,
    attached: &[(&Made, Descriptor)],
    is_signed: bool,
) -> CommandResult {
    match format {
        Format::Text => {
            let line = |(made, at): &(&Made, Descriptor)| {
                format!("{} {} {}", made.platform, made.media_type, at.digest())
            };
            let lines: Vec<String> = attached.iter().map(line).collect();
            output::answer(&lines.join("\n"))
        }
        Format::Json => {
            let all = attached.iter().map(|(made, at)| {
                json!({
                    "platform": made.platform,
                    "media_type": made.media_type,
                    "subject": made.subject.digest().to_string(),
                    "digest": at.digest().to_string(),
                })
            });
            let json = json!({
                "image": exact.to_string(),
                "attached": all.collect::<Vec<_>>(),
                "signed": is_signed,
            });
            output::answer(&format!("{json:#}"))
        }
    }
}
