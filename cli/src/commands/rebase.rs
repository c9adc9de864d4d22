//! `mlbuild rebase`: an image that mlbuild assembled on another base, without a builder and without its project.

use std::path::Path;

use clap::Args;
use mlbuild_manifests::inside::keep_inside;
use mlbuild_manifests::{LockFile, LockedImage};
use oci_spec::distribution::Reference;
use serde_json::json;

use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::output;
use crate::support::registry_args::RegistryArgs;
use crate::support::terminal::Terminal;
use mlbuild::plan::spec::Spec;
use mlbuild::plan::{Output, Place};
use mlbuild::rebase::{self, RebaseOutcome, RebaseRequest};
use mlbuild::registry::{Registry, RegistryError};
use mlbuild::settings;

/// Put an image that mlbuild assembled on another base, without building it.
///
/// The layers of the base are replaced by those of another one, such as its newest version; those of
/// packages and code stay as they are, and are neither downloaded (but for the code's) nor sent again. The
/// layer of the user and the settings are made anew from the other base. The result is the image that mlbuild
/// image would assemble on that base; where it can't be, it is refused, and in what it differs is said. Neither
/// the project nor a builder is needed. Prints REFERENCE@DIGEST as the registry confirmed it.
#[derive(Debug, Clone, Args)]
pub struct RebaseArgs {
    /// Image in a registry, assembled by mlbuild.
    #[arg(value_name = "REFERENCE")]
    pub image: String,
    /// The other base, in a registry.
    #[arg(long, value_name = "REFERENCE")]
    pub base: String,
    /// Where the base that the image has can be read, such as a copy of it (default: where the image says, in its
    /// own registry or the other base's).
    #[arg(long, value_name = "REFERENCE")]
    pub old_base: Option<String>,
    /// Name of the new image (repeatable; default: the old name with the tag TAG-rebased).
    #[arg(short, long = "tag", value_name = "REFERENCE")]
    pub tags: Vec<String>,
    /// Push it.
    #[arg(long)]
    pub push: bool,
    /// Load it into this machine's Docker.
    #[arg(long)]
    pub load: bool,
    /// Write it: type=oci,dest=FILE, or type=oci,tar=false,dest=FOLDER (repeatable).
    #[arg(short, long = "output", value_name = "OUTPUT")]
    pub outputs: Vec<String>,
    /// Check everything and print the digest that it would have; nothing is pushed or written.
    #[arg(long, conflicts_with_all = ["push", "load", "outputs"])]
    pub dry_run: bool,
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
/// An image that mlbuild didn't assemble, a base that doesn't take its packages, or a registry or Docker that
/// doesn't take it.
pub async fn run(args: RebaseArgs) -> CommandResult {
    if !args.push && !args.load && !args.dry_run && args.outputs.is_empty() {
        return Err(
            CommandError::user("nothing says where the image goes").hint(
                "--push, --load or -o type=oci,dest=FILE; or --dry-run, to see what would come out",
            ),
        );
    }
    let from = RegistryError::reference(&args.image)?;
    let tags = match args.tags.as_slice() {
        [] => vec![rebase::default_name(&from)],
        given => given.iter().map(|t| tag(t)).collect::<CommandResult<_>>()?,
    };
    let project = settings::current_folder()?;
    let registry = Registry::new(args.registry.options(&project)?);
    let outputs = args.outputs.iter().map(|text| written(&project, text));
    let request = RebaseRequest {
        from,
        base: args.base.clone(),
        old_base: match &args.old_base {
            Some(old) => Some(RegistryError::reference(old)?),
            None => None,
        },
        tags,
        push: args.push,
        load: args.load,
        outputs: outputs.collect::<CommandResult<_>>()?,
    };
    let reporter = Terminal::default();
    let outcome = rebase::rebase(&request, &registry, &reporter).await?;
    if let Some(lock) = lock_of(&project, &outcome) {
        output::note(&format!(
            "{lock} is as it was, and names {}: to stay on this base, give the project --base {} (or [image] base) \
             and pin it: mlbuild lock",
            outcome.old_base, args.base
        ));
    }
    answer(&args, &request, &outcome)
}

fn tag(text: &str) -> CommandResult<Reference> {
    let tag = RegistryError::reference(text)
        .map_err(|error| CommandError::from(error).hint("write -t NAME:TAG"))?;
    if tag.digest().is_some() {
        return Err(
            CommandError::user(format!("-t {text}: a tag can't name a digest"))
                .hint("write NAME:TAG; the digest is what comes out"),
        );
    }
    Ok(tag)
}

fn written(project: &Path, text: &str) -> CommandResult<Output> {
    let output = Spec::new(Place::Request("outputs"), text)
        .output()
        .map_err(settings::SettingsError::from)?;
    let other = output.attrs.keys().find(|name| *name != "tar");
    if output.kind != "oci" || output.dest.is_none() || other.is_some() {
        return Err(CommandError::user(format!(
            "-o {text}: an image on another base is written as type=oci, to a dest"
        ))
        .hint("-o type=oci,dest=image.tar, or -o type=oci,tar=false,dest=FOLDER"));
    }
    if let Some(dest) = &output.dest {
        keep_inside(project, dest)
            .map_err(|error| CommandError::user(format!("-o {}: {error}", dest.display())))?;
    }
    Ok(output)
}

/// The project's lock, where it has the image that was put on another base, on the old one.
fn lock_of(project: &Path, outcome: &RebaseOutcome) -> Option<&'static str> {
    let name = mlbuild_manifests::lock::FILE_NAME;
    let lock = LockFile::load(&project.join(name)).ok()?;
    let from = &outcome.from;
    let repository = format!("{}/{}", from.registry(), from.repository());
    let (_, old) = outcome.old_base.split_once('@')?;
    let is_on_old = |image: &LockedImage| {
        let mut bases = image.bases.iter();
        image.name == repository && bases.any(|base| base.digest.as_ref() == old)
    };
    let is_its = lock.images().any(is_on_old);
    (is_its && !outcome.is_unchanged()).then_some(name)
}

fn answer(args: &RebaseArgs, request: &RebaseRequest, outcome: &RebaseOutcome) -> CommandResult {
    let pinned: Vec<String> = outcome.published.iter().map(|one| one.pinned()).collect();
    if args.format == Format::Text {
        if pinned.is_empty() {
            let digest = outcome.digest.to_string();
            return output::answer(outcome.docker_id.as_ref().unwrap_or(&digest));
        }
        return output::answer(&pinned.join("\n"));
    }
    let platforms = outcome.platforms.iter().map(|one| {
        let about = json!({
            "manifest": one.manifest,
            "config": one.config,
            "base": one.base,
            "kept_layers": one.kept,
            "kept_bytes": one.kept_bytes,
            "differs": one.differs,
        });
        (one.platform.clone(), about)
    });
    let action = match (outcome.is_unchanged(), args.dry_run) {
        (true, _) => "unchanged",
        (false, true) => "would rebase",
        (false, false) => "rebased",
    };
    let answer = json!({
        "action": action,
        "image": request.tags[0].to_string(),
        "pinned": pinned,
        "digest": outcome.digest,
        "docker_id": outcome.docker_id,
        "from": outcome.from.to_string(),
        "old_base": outcome.old_base,
        "base": outcome.base,
        "as_assembled": outcome.is_as_assembled(),
        "platforms": platforms.collect::<serde_json::Map<_, _>>(),
    });
    output::answer(&serde_json::to_string_pretty(&answer).expect("plain JSON"))
}
