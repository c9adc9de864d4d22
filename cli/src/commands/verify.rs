//! `mlbuild verify`: rebuilds an image from its lock, and says whether it is the same.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use oci_spec::image::Digest;
use serde::Serialize;
use serde_json::{Value, json};

use crate::commands::lock::refuse_flags_of_a_build;
use crate::error::{CommandError, CommandResult};
use crate::support::difference;
use crate::support::format::Format;
use crate::support::image_args::ImageArgs;
use crate::support::output;
use crate::support::terminal::Terminal;
use mlbuild::diff::DifferenceDocument;
use mlbuild::error::ErrorKind;
use mlbuild::pull::origin::is_sif;
use mlbuild::verify::{self, Verification, VerifiedDifference, VerifyRequest};

/// Rebuild an image from its lock, and prove that it is the same.
///
/// Builds without any cache what the lock describes, here or on another builder (--builder), and
/// compares manifest digests. Prints `identical`, or what differs: layer by layer, file by file,
/// with the cause where it is known; then the exit code is 4. Nothing is pushed or written. The
/// other flags are those that the image was built with; an image that mlbuild assembled of pinned
/// packages needs neither flags nor its project: its code is then taken as it is, and that is said.
#[derive(Debug, Clone, Args)]
pub struct VerifyArgs {
    /// What is to be proved: a lock file, a run, an image in a registry, or a file for Apptainer, which is made
    /// once more of the image that it names, before that is proved (default: the project's lock).
    #[arg(value_name = "LOCK|RUN|REFERENCE|SIF")]
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
    let is_verbose = args.image.build.verbose;
    refuse_flags_of_a_build(
        &args.image,
        "mlbuild verify rebuilds and compares, and keeps nothing",
    )?;
    let (what, image) = sorted(args.what, args.image);
    let reporter = Terminal::new(image.progress());
    let request = VerifyRequest {
        what,
        image: image.request(),
    };
    let verified = verify::verify(&request, &reporter).await;
    let verified = verified.map_err(|error| CommandError::from(error).verbose(is_verbose))?;
    print(&verified, image.output.format)?;
    let Some(summary) = verified.summary() else {
        return Ok(());
    };
    let error = CommandError::new(ErrorKind::Difference, summary);
    if verified.has_pinned_packages {
        return Err(error);
    }
    Err(error.hint(
        "nothing but the base is pinned there: mlbuild lock pins packages, and then mlbuild writes the bytes",
    ))
}

/// Sorts a folder and a lock file out of the first word: they say where the project is.
fn sorted(what: Option<String>, mut image: ImageArgs) -> (Option<String>, ImageArgs) {
    let Some(what) = what else {
        return (None, image);
    };
    let path = Path::new(&what);
    if path.is_dir() {
        image.context = what;
        return (None, image);
    }
    if path.is_file() && !is_sif(path) {
        let folder = path.parent().filter(|p| !p.as_os_str().is_empty());
        if let (".", Some(folder)) = (image.context.as_str(), folder) {
            image.context = folder.display().to_string();
        }
        image.lock.lock_file = path.canonicalize().unwrap_or_else(|_| PathBuf::from(&what));
        return (None, image);
    }
    (Some(what), image)
}

fn print(verified: &Verification, format: Format) -> CommandResult {
    if format == Format::Json {
        let image = verified.image.to_string();
        return output::json_answer(&Answer::of(verified, &image));
    }
    let Verification {
        builder,
        rebuild_seconds,
        ..
    } = verified;
    if !verified.taken.is_empty() {
        output::note(&format!(
            "not proved, but taken as the image has it: {}; in a clone of its project they are proved, too",
            verified.taken.join("; ")
        ));
    }
    let Some(difference) = &verified.difference else {
        output::note(&format!("rebuilt on {builder} in {rebuild_seconds:.1} s"));
        let rebuilt = verified.rebuilt.iter();
        let lines = rebuilt.map(|(platform, digest)| format!("identical: {platform} {digest}"));
        return output::answer(&lines.collect::<Vec<_>>().join("\n"));
    };
    output::note(&format!(
        "rebuilt on {builder} in {rebuild_seconds:.1} s, compared in {:.1} s",
        difference.seconds
    ));
    let image = verified.image.to_string();
    output::answer(&match &difference.details {
        Some(details) => difference::text(&image, "rebuilt", details),
        None => digests(verified),
    })
}

/// The digests alone.
fn digests(verified: &Verification) -> String {
    let lines = verified.rebuilt.iter().map(|(platform, found)| {
        let expected = verified.expected.get(platform);
        let expected = expected.map_or("(not in the lock)".to_owned(), Digest::to_string);
        format!("{platform}: {expected} and {found}")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The answer for scripts, by the names of its fields.
#[derive(Serialize)]
struct Answer<'a> {
    builder: &'a str,
    difference: Option<DifferenceDocument<'a>>,
    expected: &'a BTreeMap<String, Digest>,
    identical: bool,
    image: &'a str,
    rebuilt: &'a BTreeMap<String, Digest>,
    seconds: Value,
    /// What wasn't made again.
    taken: &'a [String],
}

impl<'a> Answer<'a> {
    fn of(verified: &'a Verification, image: &'a str) -> Self {
        let difference = verified.difference.as_ref();
        let details = difference.and_then(|difference| difference.details.as_ref());
        let compare = difference.map(|difference: &VerifiedDifference| difference.seconds);
        Self {
            builder: &verified.builder,
            difference: details.map(|details| details.document(image, "rebuilt")),
            expected: &verified.expected,
            identical: verified.is_identical(),
            image,
            rebuilt: &verified.rebuilt,
            seconds: json!({ "compare": compare, "rebuild": verified.rebuild_seconds }),
            taken: &verified.taken,
        }
    }
}
