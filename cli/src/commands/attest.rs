//! `mlbuild attest`: says beside an image what is in it and how it was made.

use clap::{Args, ValueEnum};
use serde_json::json;

use crate::error::CommandResult;
use crate::support::format::Format;
use crate::support::output;
use crate::support::registry_args::RegistryArgs;
use crate::support::terminal::Terminal;
use mlbuild::attest::{self, AttachedDocument, AttestRequest, Cosign, SbomFormat, SignRequest};
use mlbuild::registry::RegistryError;
use mlbuild::settings;

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

/// The flags about signing.
#[derive(Debug, Clone, Default, Args)]
pub struct SignArgs {
    /// Sign the image and the documents with the cosign on PATH: with a key, else with your identity
    /// (cosign's keyless way).
    #[arg(long, conflicts_with = "print")]
    pub sign: bool,
    /// Private key: a file, or what else cosign takes, such as awskms://… (default: COSIGN_KEY). Its
    /// password is COSIGN_PASSWORD, or cosign asks.
    #[arg(long, value_name = "KEY", requires = "sign")]
    pub key: Option<String>,
    /// Further flags of `cosign sign` and `cosign attest`, such as --tlog-upload=false.
    #[arg(last = true, value_name = "COSIGN FLAGS", requires = "sign")]
    pub flags: Vec<String>,
}

impl Sbom {
    fn format(self) -> Option<SbomFormat> {
        match self {
            Sbom::Spdx => Some(SbomFormat::Spdx),
            Sbom::Cyclonedx => Some(SbomFormat::Cyclonedx),
            Sbom::None => None,
        }
    }
}

/// Runs the verb.
///
/// # Errors
/// An image that isn't there or can't be read; provenance of an image without a lock; cosign's.
pub async fn run(args: AttestArgs) -> CommandResult {
    let project = settings::current_folder()?;
    let registry = args.registry.client(&project)?;
    let image = RegistryError::reference(&args.image)?;
    let cosign = if args.signing.sign {
        Some(Cosign::find(&SignRequest {
            is_insecure: args.registry.is_insecure(&project, image.registry())?,
            key: args.signing.key,
            flags: args.signing.flags,
        })?)
    } else {
        None
    };
    let request = AttestRequest {
        image,
        sbom: args
            .sbom
            .format()
            .filter(|_| args.print != Some(What::Provenance)),
        provenance: !args.no_provenance && args.print != Some(What::Sbom),
        project,
    };
    let documents = attest::documents(&request, &registry).await?;
    if args.print.is_some() {
        let all = documents.documents.iter();
        let texts = all.map(|document| String::from_utf8_lossy(&document.bytes));
        return output::answer(texts.collect::<Vec<_>>().join("").trim_end());
    }
    if let Some(cosign) = &cosign {
        tokio::task::block_in_place(|| attest::sign(cosign, &documents, &Terminal::default()))?;
    }
    let attached = attest::attach(&documents, &registry).await?;
    match args.format {
        Format::Text => {
            let line = |document: &AttachedDocument| {
                let AttachedDocument {
                    platform,
                    media_type,
                    digest,
                    ..
                } = document;
                format!("{platform} {media_type} {digest}")
            };
            let lines: Vec<String> = attached.iter().map(line).collect();
            output::answer(&lines.join("\n"))
        }
        Format::Json => {
            let json = json!({
                "image": documents.image.to_string(),
                "attached": attached,
                "signed": cosign.is_some(),
            });
            output::answer(&format!("{json:#}"))
        }
    }
}
