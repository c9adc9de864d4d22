//! Errors of planning.

use mlbuild_manifests::LockError;
use mlbuild_templates::ComposeError;

use crate::error::CommandError;
use mlbuild::error::chain;
use mlbuild::image::layout_writer::LayoutWriteError;
use mlbuild::package_store::StoreError;
use mlbuild::pin::ExpandError;
use mlbuild::planning::PlanningError;
use mlbuild::planning::sent::Why;
use mlbuild::registry::mirror::MirrorError;
use mlbuild::settings::LockMode;
use mlbuild::shell::word;

impl From<PlanningError> for CommandError {
    fn from(error: PlanningError) -> Self {
        let made = CommandError::new(error.kind(), text(&error));
        match error {
            PlanningError::Compose(ComposeError::Conflict { message, hint }) => {
                CommandError::user(message).hint(hint)
            }
            PlanningError::Unused(_) => {
                made.hint("use it as it says, move it out of the project, or leave out --strict")
            }
            PlanningError::Images(ExpandError::Unset { name, .. }) => made
                .hint(format!("give it one: --build-arg {}=VALUE", word(&name)))
                .hint(format!("or in the file: ARG {name}=VALUE, before the first FROM")),
            PlanningError::UnusedPart { next, .. } => made.hint(next),
            PlanningError::Unpinned { line, source } => CommandError::from(*source).hint(format!(
                "line {line} of the Dockerfile names it (mlbuild image --print dockerfile)"
            )),
            PlanningError::NoPin { mode, .. } => made.hint(format!(
                "run the same command without {} once, and commit mlbuild.lock",
                lock_flag(mode)
            )),
            PlanningError::BasePlatform { has, wanted, .. } => made.hint(format!(
                "name one that is for {wanted}, or build for it: --platform {}",
                word(&has[0])
            )),
            PlanningError::Elsewhere { .. } => made.hint(
                "take another image, or name its registry: --base-registry HOST[/PATH]; for jobs: policy.registries in the agent's launch-config.yaml",
            ),
            PlanningError::NotOurs { .. } => made.hint(
                "look at what would be written: --print dockerfile; replace it: --write --force",
            ),
            PlanningError::Hidden { path, why, .. } => {
                let next = match why {
                    Why::Line { file, line, .. } => {
                        format!("take line {line} of {file} out, or add below it: !{path}")
                    }
                    _ => format!(
                        "write a .dockerignore of the project's own, or one with the line !{path}"
                    ),
                };
                made.hint(next)
                    .hint("see what is sent: mlbuild image --print context")
            }
            PlanningError::Mirror(error) => error.into(),
            PlanningError::Builder(error) => error.into(),
            PlanningError::Store(error) => error.into(),
            PlanningError::RepackAttested { .. } => {
                made.hint("leave it out: --provenance=false --sbom=false")
            }
            PlanningError::RepackOption { .. } => made.hint(
                "say how layers are compressed with --repack=zstd:LEVEL or --repack=gzip:LEVEL",
            ),
            PlanningError::RepackWithoutTime => made
                .hint("build from a git commit, whose time is taken")
                .hint("or set it: SOURCE_DATE_EPOCH=$(date +%s)"),
            PlanningError::LockedPlatform { all, .. } => {
                let all = all.into_iter().collect::<Vec<_>>().join(",");
                made.hint(format!(
                    "pin those too: mlbuild lock --platform {all}, with the image's other flags"
                ))
            }
            PlanningError::LockedEpoch { .. } => {
                made.hint("set the clock, or pin anew: mlbuild lock --upgrade")
            }
            PlanningError::ProjectElsewhere => {
                made.hint("check the project out, and name its folder")
            }
            _ => made,
        }
    }
}

/// The message, with the names of flags where the command line has one.
fn text(error: &PlanningError) -> String {
    match error {
        PlanningError::Dockerfile { path, source } => {
            format!("--file {}: {source}", path.display())
        }
        PlanningError::DockerfileNotText { path } => {
            format!("--file {}: the file is not UTF-8", path.display())
        }
        PlanningError::NothingToWrite => "--write composes from a built-in template; it has nothing to write for a Dockerfile of your own".into(),
        PlanningError::NotOurs { .. } => format!("--write: {error}"),
        PlanningError::Unused(_) | PlanningError::UnusedPart { .. } => format!("--strict: {error}"),
        PlanningError::NoPin { mode, .. } => format!("{}: {error}", lock_flag(*mode)),
        PlanningError::Context(error) => chain(error),
        PlanningError::Layout { name, path, source } => {
            let path = path.display();
            format!("--build-context {name}=oci-layout://{path}: {source}")
        }
        PlanningError::LayoutOfSeveral { name, count } => format!(
            "--build-context {name}: the layout holds {count} images; write oci-layout://FOLDER:TAG"
        ),
        PlanningError::LayoutWithout { name, tag } => {
            format!("--build-context {name}: the layout has no image `{tag}`")
        }
        PlanningError::RepackAttested { name } => {
            format!("--repack: the builder's {name} attestation would be about another image")
        }
        PlanningError::RepackOption { name } => {
            format!("--repack: the builder's `{name}` has no part in the image's final bytes")
        }
        PlanningError::RepackWithoutTime => "--repack needs a time to hold all others to".into(),
        other => other.to_string(),
    }
}

/// The flag that holds the lock's pins so.
pub(super) fn lock_flag(mode: LockMode) -> &'static str {
    if mode == LockMode::Frozen {
        "--frozen"
    } else {
        "--locked"
    }
}

impl From<StoreError> for CommandError {
    fn from(error: StoreError) -> Self {
        let made = CommandError::new(error.kind(), &error);
        match error {
            StoreError::Refused(_) => made
                .hint("nothing was built; if the lock is right, whoever served that file is wrong"),
            _ => made,
        }
    }
}

impl From<MirrorError> for CommandError {
    fn from(error: MirrorError) -> Self {
        match error {
            MirrorError::Registry(error) => error.into(),
            error => CommandError::new(error.kind(), error),
        }
    }
}

impl From<LayoutWriteError> for CommandError {
    fn from(error: LayoutWriteError) -> Self {
        CommandError::environment(error)
    }
}

impl From<LockError> for CommandError {
    fn from(error: LockError) -> Self {
        match error {
            // What a person wrote is wrong, or their disk.
            LockError::Write { .. } => CommandError::environment(error),
            error => CommandError::user(error),
        }
    }
}
