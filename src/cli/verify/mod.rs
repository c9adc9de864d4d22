//! `mlbuild verify`: rebuilds an image from its lock, and says whether it is the same.
//!
//! Find what is to be proved, rebuild it with nothing from any cache, compare. Each step is a
//! file beside this one.

mod rebuild;
mod target;

use std::collections::BTreeMap;
use std::time::Instant;

use clap::Args;
use oci_spec::image::Digest;
use serde_json::{Value, json};

use self::rebuild::Rebuilt;
use self::target::Target;
use super::diff::{Report, text};
use super::lock::refuse_flags_of_a_build;
use crate::cli::output;
use crate::error::{CommandError, CommandResult, ErrorKind};
use crate::flags::{Format, ImageArgs};
use crate::image_source;
use crate::planning::registry_options;
use crate::registry::Registry;
use crate::settings;

/// Rebuild an image from its lock, and prove that it is the same.
///
/// Builds without any cache what the lock describes, here or on another builder (--builder), and
/// compares manifest digests. Prints `identical`, or what differs: layer by layer, file by file,
/// with the cause where it is known; then the exit code is 4. Nothing is pushed or written. The
/// other flags are those that the image was built with.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// What is to be proved: a lock file, a run, or an image in a registry (default: the project's
    /// lock).
    #[arg(value_name = "LOCK|RUN|REFERENCE")]
    pub what: Option<String>,
    /// What the image is.
    #[command(flatten)]
    pub image: ImageArgs,
}

/// Runs the verb.
///
/// # Errors
/// [`ErrorKind::Difference`] where the rebuilt image is another one, or the project isn't the one that
/// the lock is of; else one error of a documented kind.
pub async fn run(args: VerifyArgs) -> CommandResult {
    refuse_flags_of_a_build(
        &args.image,
        "mlbuild verify rebuilds and compares, and keeps nothing",
    )?;
    let (what, image) = target::sorted(args.what, args.image);
    let mut settings = settings::resolve(image)?;
    let registry = Registry::new(registry_options(&settings));
    let reporter = output::Terminal::new(settings.answer.progress);
    let target = target::find(what, &settings, &registry).await?;
    settings.build.target.clone_from(&target.entry.target);

    let began = Instant::now();
    let rebuilt = rebuild::rebuild(&settings, &registry, &target.entry, &reporter).await?;
    let took = began.elapsed().as_secs_f64();
    let verdict = Verdict {
        target: &target,
        rebuilt: &rebuilt,
        rebuilding: took,
    };
    if verdict.is_identical() {
        return verdict.print(settings.answer.format, None);
    }
    let began = Instant::now();
    let report = compare(&target, &rebuilt, &registry).await;
    let compared = began.elapsed().as_secs_f64();
    let summary = match &report {
        Ok(report) => report.summary(),
        Err(error) => {
            output::warning(&format!("what differs can't be told: {error}"));
            "the rebuilt image has another digest".to_owned()
        }
    };
    verdict.print(settings.answer.format, Some((report.ok(), compared)))?;
    let error = CommandError::new(ErrorKind::Difference, summary);
    Err(match target.entry.build {
        Some(_) => error,
        None => error.hint(
            "nothing but the base is pinned there: mlbuild lock pins packages, and then mlbuild writes the bytes",
        ),
    })
}

/// Looks into both images.
async fn compare(target: &Target, rebuilt: &Rebuilt, registry: &Registry) -> CommandResult<Report> {
    let first = image_source::open(&target.image.to_string(), registry).await?;
    let second = rebuilt.open(registry)?;
    tokio::task::block_in_place(|| Report::make(&first, &second, None))
}

/// What came out.
struct Verdict<'a> {
    target: &'a Target,
    rebuilt: &'a Rebuilt,
    /// Seconds.
    rebuilding: f64,
}

impl Verdict<'_> {
    fn is_identical(&self) -> bool {
        let expected = &self.target.manifests;
        let same = |(platform, found): (&String, &Digest)| expected.get(platform) == Some(found);
        self.rebuilt.manifests.iter().all(same)
    }

    fn print(&self, format: Format, difference: Option<(Option<Report>, f64)>) -> CommandResult {
        let image = self.target.image.to_string();
        match (format, difference) {
            (Format::Json, difference) => {
                let json = self.json(&image, difference);
                output::answer(&serde_json::to_string_pretty(&json).expect("plain JSON"))
            }
            (Format::Text, None) => {
                let lines = self
                    .rebuilt
                    .manifests
                    .iter()
                    .map(|(platform, digest)| format!("identical: {platform} {digest}"));
                output::note(&format!(
                    "rebuilt on {} in {:.1} s",
                    self.rebuilt.builder, self.rebuilding
                ));
                output::answer(&lines.collect::<Vec<_>>().join("\n"))
            }
            (Format::Text, Some((report, compared))) => {
                output::note(&format!(
                    "rebuilt on {} in {:.1} s, compared in {compared:.1} s",
                    self.rebuilt.builder, self.rebuilding
                ));
                match report {
                    Some(report) => output::answer(&text::report(&image, "rebuilt", &report)),
                    None => output::answer(&self.digests()),
                }
            }
        }
    }

    /// The digests alone.
    fn digests(&self) -> String {
        let lines = self.rebuilt.manifests.iter().map(|(platform, found)| {
            let expected = self.target.manifests.get(platform);
            let expected = expected.map_or("(not in the lock)".to_owned(), Digest::to_string);
            format!("{platform}: {expected} and {found}")
        });
        lines.collect::<Vec<_>>().join("\n")
    }

    fn json(&self, image: &str, difference: Option<(Option<Report>, f64)>) -> Value {
        let names = |all: &BTreeMap<String, Digest>| -> Value {
            all.iter()
                .map(|(k, v)| (k.clone(), Value::from(v.to_string())))
                .collect()
        };
        let compared = difference.as_ref().map(|(_, seconds)| *seconds);
        let report = difference.and_then(|(report, _)| report);
        json!({
            "identical": compared.is_none(),
            "image": image,
            "expected": names(&self.target.manifests),
            "rebuilt": names(&self.rebuilt.manifests),
            "builder": self.rebuilt.builder,
            "seconds": { "rebuild": self.rebuilding, "compare": compared },
            "difference": report.map(|report| report.json(image, "rebuilt")),
        })
    }
}
