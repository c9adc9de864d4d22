//! `mlbuild prune`: room where packages of locked builds, and layers of assembled ones, are kept.

use std::collections::BTreeSet;
use std::io::ErrorKind;
use std::time::SystemTime;

use clap::Args;
use jiff::Timestamp;
use mlbuild_manifests::LockFile;
use mlbuild_progress::human_bytes;
use mlbuild_wheels::{PrunedLayers, prune_layers};
use serde_json::{Value, json};

use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::output;
use crate::support::size;
use crate::support::time;
use mlbuild::env_vars;
use mlbuild::lock::searches::{PrunedSearches, prune_searches};
use mlbuild::package_store::{Choice, Kept, Prune, Store, StoreError};
use mlbuild::pull::cache::{self, PrunedSifs};
use mlbuild::resolve::{PrunedTools, prune_tools};
use mlbuild::scratch::{self, Leftover};

/// Remove packages that this machine keeps for locked builds.
///
/// It also removes what killed commands left in the folder for caches, as every command does when it
/// starts, and says what that was.
///
/// Layers and bytecode that were made of wheels for assembled images go by the same rules, after the
/// packages: they can be made again.
///
/// So do files of images that Apptainer starts (`mlbuild run --runtime-cli apptainer`): they are made again.
///
/// So do answers to which packages an image without pins gets: they go with their packages, and those
/// that were found before the time.
///
/// Programs that find packages go with the wheels that they came in. What package indexes answered goes where no
/// search has used it since the time, and without a time in any case: it is asked for again.
///
/// Packages that a lock needs stay: any mlbuild.lock that this user has pinned or built from here, and
/// that is still in its place. A build that needs a removed package fetches it again, from beside the
/// image or from its archive, as far as that still has it.
#[derive(Debug, Clone, Args)]
pub struct PruneArgs {
    /// Packages that no build has used since this time: 30d, 12h, 2026-03-01.
    #[arg(long, value_name = "TIME", value_parser = time::parse)]
    older_than: Option<Timestamp>,
    /// As few as it takes to keep at most this size, as 20GB or 512MB; the longest unused first.
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    keep_size: Option<u64>,
    /// Those that locks need, too.
    #[arg(long)]
    all: bool,
    /// Say what would be removed, and remove nothing.
    #[arg(long)]
    dry_run: bool,
    /// Form of the answer on stdout.
    #[arg(long, value_name = "FORMAT", default_value = "text")]
    format: Format,
}

/// Runs the verb.
///
/// # Errors
/// Where nothing says what to remove, a lock can't be read, or a build is at work.
pub fn run(args: &PruneArgs) -> CommandResult {
    if args.older_than.is_none() && args.keep_size.is_none() && !args.all {
        return Err(CommandError::user("nothing says which packages to remove")
            .hint("mlbuild prune --older-than 30d --dry-run")
            .hint("mlbuild prune --keep-size 20GB --dry-run"));
    }
    let left = match env_vars::state_dir() {
        Some(state) if args.dry_run => scratch::leftovers(&state),
        Some(state) => scratch::sweep(&state),
        None => Vec::new(),
    };
    let mut store = Store::open()?;
    if !args.dry_run {
        store = store.alone().map_err(|error| match error {
            StoreError::InUse(_) => {
                CommandError::from(error).hint("run it again when that has ended")
            }
            other => other.into(),
        })?;
    }
    let mut prune = Prune {
        unused_since: args.older_than.map(SystemTime::from),
        keep_size: args.keep_size,
        ..Prune::default()
    };
    if !args.all {
        prune.needed = needed(&store)?;
    }
    let choice = if args.dry_run {
        store.choose(&prune)
    } else {
        store.prune(&prune)
    };
    let choice = choice?;
    let layers = layers(args, &choice)?;
    let searches = searches(args, &choice, &store)?;
    let tools = tools(args, &choice, &store)?;
    let sifs = sifs(args, &choice, &layers)?;
    let pruned = Pruned {
        dry_run: args.dry_run,
        choice,
        layers,
        searches,
        tools,
        sifs,
        left,
    };
    match args.format {
        Format::Json => output::answer(&format!("{:#}", pruned.json())),
        Format::Text => pruned.tell(),
    }
}

/// What was removed, or would be.
struct Pruned {
    dry_run: bool,
    choice: Choice,
    layers: PrunedLayers,
    searches: PrunedSearches,
    tools: PrunedTools,
    sifs: PrunedSifs,
    /// What killed commands left.
    left: Vec<Leftover>,
}

impl Pruned {
    fn left_bytes(&self) -> u64 {
        self.left.iter().map(|left| left.size).sum()
    }

    fn json(&self) -> Value {
        let hashes = |files: &[Kept]| json!(files.iter().map(|f| &f.sha256).collect::<Vec<_>>());
        json!({
            "removed": hashes(&self.choice.removed),
            "removed_bytes": bytes(&self.choice.removed),
            "kept": hashes(&self.choice.kept),
            "kept_bytes": bytes(&self.choice.kept),
            "layers": {
                "removed": self.layers.removed,
                "removed_bytes": self.layers.removed_bytes,
                "kept": self.layers.kept,
                "kept_bytes": self.layers.kept_bytes,
            },
            "searches": {
                "removed": self.searches.removed,
                "kept": self.searches.kept,
            },
            "tools": {
                "removed": self.tools.removed,
                "removed_bytes": self.tools.removed_bytes,
                "kept": self.tools.kept,
                "kept_bytes": self.tools.kept_bytes,
            },
            "images": {
                "removed": self.sifs.removed,
                "removed_bytes": self.sifs.removed_bytes,
                "kept": self.sifs.kept,
                "kept_bytes": self.sifs.kept_bytes,
            },
            "left_by_killed": self.left.iter().map(|left| &left.path).collect::<Vec<_>>(),
            "left_by_killed_bytes": self.left_bytes(),
            "dry_run": self.dry_run,
        })
    }

    fn tell(&self) -> CommandResult {
        let size = |bytes| human_bytes(i64::try_from(bytes).unwrap_or(i64::MAX));
        let verb = if self.dry_run {
            "would remove"
        } else {
            "removed"
        };
        if !self.left.is_empty() {
            output::note(&format!(
                "{verb} {} folders and files that killed commands left, {}",
                self.left.len(),
                size(self.left_bytes()),
            ));
        }
        if self.layers != PrunedLayers::default() {
            output::note(&format!(
                "{verb} {} layers and files of bytecode, {}; {} kept, {}",
                self.layers.removed,
                size(self.layers.removed_bytes),
                self.layers.kept,
                size(self.layers.kept_bytes),
            ));
        }
        if self.sifs != PrunedSifs::default() {
            output::note(&format!(
                "{verb} {} images that Apptainer starts, {}; {} kept, {}",
                self.sifs.removed,
                size(self.sifs.removed_bytes),
                self.sifs.kept,
                size(self.sifs.kept_bytes),
            ));
        }
        if self.searches != PrunedSearches::default() {
            output::note(&format!(
                "{verb} {} answers to which packages an image gets; {} kept",
                self.searches.removed, self.searches.kept,
            ));
        }
        if self.tools != PrunedTools::default() {
            output::note(&format!(
                "{verb} {} programs that find packages and answers of indexes, {}; {} kept, {}",
                self.tools.removed,
                size(self.tools.removed_bytes),
                self.tools.kept,
                size(self.tools.kept_bytes),
            ));
        }
        output::answer(&format!(
            "{verb} {} packages, {}; {} kept, {}",
            self.choice.removed.len(),
            size(bytes(&self.choice.removed)),
            self.choice.kept.len(),
            size(bytes(&self.choice.kept)),
        ))
    }
}

fn bytes(files: &[Kept]) -> u64 {
    files.iter().map(|file| file.size).sum()
}

/// Hashes of what locks need that were served from here.
fn needed(store: &Store) -> Result<BTreeSet<String>, CommandError> {
    let mut needed = BTreeSet::new();
    for path in store.served()? {
        let lock = LockFile::load(&path).map_err(|error| {
            CommandError::user(format!("nothing is removed: {error}"))
                .hint("mend that lock, or remove what locks need too: --all")
        })?;
        let builds = lock.images().filter_map(|image| image.build.as_ref());
        let files = builds.flat_map(|build| build.platforms.values().flat_map(|pins| pins.files()));
        needed.extend(files.map(|(sha256, _)| sha256.to_owned()));
    }
    Ok(needed)
}

/// Layers have the room that the packages leave of the size that is to be kept.
fn layers(args: &PruneArgs, packages: &Choice) -> Result<PrunedLayers, CommandError> {
    let Some(state) = env_vars::state_dir() else {
        return Ok(PrunedLayers::default());
    };
    let kept: u64 = packages.kept.iter().map(|file| file.size).sum();
    let root = state.join("layers");
    let pruned = prune_layers(
        &root,
        args.older_than.map(SystemTime::from),
        args.keep_size.map(|size| size.saturating_sub(kept)),
        args.dry_run,
    );
    pruned.map_err(|error| {
        let busy = error.source.kind() == ErrorKind::ResourceBusy;
        let made = CommandError::environment(error.to_string());
        if busy {
            made.hint("run it again when that has ended")
        } else {
            made
        }
    })
}

/// Images that Apptainer starts have the room that packages and layers leave.
fn sifs(
    args: &PruneArgs,
    packages: &Choice,
    layers: &PrunedLayers,
) -> Result<PrunedSifs, CommandError> {
    let kept = bytes(&packages.kept) + layers.kept_bytes;
    let pruned = cache::prune(
        args.older_than.map(SystemTime::from),
        args.keep_size.map(|size| size.saturating_sub(kept)),
        args.dry_run,
    );
    pruned
        .map_err(|(path, error)| CommandError::environment(format!("{}: {error}", path.display())))
}

/// What was found for images without pins goes with its packages.
fn searches(
    args: &PruneArgs,
    packages: &Choice,
    store: &Store,
) -> Result<PrunedSearches, CommandError> {
    let Some(state) = env_vars::state_dir() else {
        return Ok(PrunedSearches::default());
    };
    let removed = packages.removed.iter().map(|file| file.sha256.as_str());
    let pruned = prune_searches(
        &state.join("resolved"),
        args.older_than.map(SystemTime::from),
        &removed.collect(),
        store,
        args.dry_run,
    );
    pruned
        .map_err(|(path, error)| CommandError::environment(format!("{}: {error}", path.display())))
}

/// What finds packages goes with its wheels.
fn tools(args: &PruneArgs, packages: &Choice, store: &Store) -> Result<PrunedTools, CommandError> {
    let removed = packages.removed.iter().map(|file| file.sha256.as_str());
    let unused_since = args.older_than.map(SystemTime::from);
    let pruned = prune_tools(unused_since, &removed.collect(), store, args.dry_run);
    pruned
        .map_err(|(path, error)| CommandError::environment(format!("{}: {error}", path.display())))
}
