//! `mlbuild diff`: what differs between two images, and why.

pub(super) mod text;

use std::collections::BTreeSet;

use clap::Args;
use serde_json::{Map, Value, json};

use crate::cli::output;
use crate::cli::registry_args::RegistryArgs;
use crate::error::{CommandError, CommandResult, ErrorKind};
use crate::flags::Format;
use crate::image::compare::{Comparison, compare};
use crate::image_source::{self, Opened};
use crate::registry::{parse_platform, platform_name};
use crate::settings;

/// Compare two images: configuration, sizes, layers, packages and files.
///
/// An image is a reference in a registry; or a path: a folder with an OCI layout, or a tar of
/// one, or what `docker save` wrote. A path begins with `/` or `.`, or ends in `.tar`. Layers
/// that both have are not read; nothing is unpacked to disk. Exits with 4 where they differ.
#[derive(Debug, Clone, Args)]
pub struct DiffArgs {
    /// The first image.
    #[arg(value_name = "FIRST")]
    pub first: String,
    /// The second image.
    #[arg(value_name = "SECOND")]
    pub second: String,
    /// Compare this platform only (default: all that both have).
    #[arg(long, value_name = "PLATFORM")]
    pub platform: Option<String>,
    /// How registries are reached.
    #[command(flatten)]
    pub registry: RegistryArgs,
    /// Form of the answer on stdout.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    pub format: Format,
}

/// Runs the verb.
///
/// # Errors
/// [`ErrorKind::Difference`] where they differ; an image that can't be read.
pub async fn run(args: DiffArgs) -> CommandResult {
    let platform =
        match &args.platform {
            None => None,
            Some(text) => Some(parse_platform(text).map(|p| platform_name(&p)).ok_or_else(
                || {
                    CommandError::user(format!("--platform {text}: not a platform"))
                        .hint("write it as linux/amd64")
                },
            )?),
        };
    let folder = settings::current_folder()?;
    let registry = args.registry.client(&folder)?;
    let (first, second) = tokio::try_join!(
        image_source::open(&args.first, &registry),
        image_source::open(&args.second, &registry)
    )?;
    let work = move || Report::make(&first, &second, platform.as_deref());
    let report = tokio::task::spawn_blocking(work)
        .await
        .map_err(|error| CommandError::work(format!("the comparison broke off: {error}")))??;
    match args.format {
        Format::Text => output::answer(&text::report(&args.first, &args.second, &report))?,
        Format::Json => {
            let json = report.json(&args.first, &args.second);
            output::answer(&serde_json::to_string_pretty(&json).expect("plain JSON"))?;
        }
    }
    match report.is_same() {
        true => Ok(()),
        false => Err(CommandError::new(ErrorKind::Difference, report.summary())),
    }
}

/// What was found, by platform.
pub(super) struct Report {
    platforms: Vec<(String, Comparison)>,
    /// Platforms that only the first image has.
    only_first: Vec<String>,
    /// Platforms that only the second image has.
    only_second: Vec<String>,
}

impl Report {
    pub(super) fn make(
        first: &Opened,
        second: &Opened,
        wanted: Option<&str>,
    ) -> CommandResult<Self> {
        let is_wanted = |name: &&String| wanted.is_none_or(|wanted| wanted == *name);
        let names = |opened: &'_ Opened| -> BTreeSet<String> {
            opened.images.keys().filter(is_wanted).cloned().collect()
        };
        let (a, b) = (names(first), names(second));
        if let Some(wanted) = wanted {
            for (opened, names) in [(first, &a), (second, &b)] {
                if names.is_empty() {
                    let has: Vec<&str> = opened.images.keys().map(String::as_str).collect();
                    return Err(CommandError::user(format!(
                        "{} has no image for {wanted}; it has {}",
                        opened.name,
                        has.join(", ")
                    )));
                }
            }
        }
        let mut platforms = Vec::new();
        for name in a.intersection(&b) {
            let sides = (first.side(name), second.side(name));
            let compared = compare(&sides.0, &sides.1).map_err(image_source::layer_error)?;
            platforms.push((name.clone(), compared));
        }
        Ok(Self {
            platforms,
            only_first: a.difference(&b).cloned().collect(),
            only_second: b.difference(&a).cloned().collect(),
        })
    }

    fn is_same(&self) -> bool {
        let lonely = self.only_first.len() + self.only_second.len();
        lonely == 0 && self.platforms.iter().all(|(_, compared)| compared.same)
    }

    /// The difference in one line.
    pub(super) fn summary(&self) -> String {
        let (mut layers, mut files, mut settings, mut packages) = (0, 0, 0, 0);
        for (_, compared) in &self.platforms {
            layers += compared.layers.len();
            settings += compared.config.len();
            packages += compared.packages.len();
            let of =
                |l: &crate::image::compare::LayersDifference| l.files.len() as u64 + l.unlisted;
            files += compared.layers.iter().map(of).sum::<u64>();
        }
        format!(
            "the images differ: {}, {}, {} and {}",
            text::count(settings as u64, "setting"),
            text::count(packages as u64, "package"),
            text::count(files, "file"),
            text::count(layers as u64, "layer"),
        )
    }

    pub(super) fn json(&self, first: &str, second: &str) -> Value {
        let platforms = self.platforms.iter().map(|(name, compared)| {
            let compared = serde_json::to_value(compared).expect("plain data");
            (name.clone(), compared)
        });
        json!({
            "same": self.is_same(),
            "first": first,
            "second": second,
            "only_in_first": self.only_first,
            "only_in_second": self.only_second,
            "platforms": platforms.collect::<Map<_, _>>(),
        })
    }
}
