//! Errors of `build`, and of reading an image.

use std::io::ErrorKind as IoErrorKind;

use super::records::record_words;
use mlbuild_manifests::run_record::RunRecordError;

use crate::error::CommandError;
use mlbuild::build::BuildError;
use mlbuild::image::layer::LayerError;
use mlbuild::image_source::{ImageSourceError, layer_error_kind};

impl From<BuildError> for CommandError {
    fn from(error: BuildError) -> Self {
        let made = CommandError::new(error.kind(), text(&error));
        match error {
            BuildError::Settings(error) => (*error).into(),
            BuildError::Trust(error) => error.into(),
            BuildError::Planning(error) => (*error).into(),
            BuildError::Locking(error) => (*error).into(),
            BuildError::Builder(error) => error.into(),
            BuildError::Registry(error) => (*error).into(),
            BuildError::Made(error) => (*error).into(),
            BuildError::Sif(error) => (*error).into(),
            BuildError::Lock(error) => error.into(),
            BuildError::Run(
                RunRecordError::BoundElsewhere { .. } | RunRecordError::Taken { .. },
            ) => made.hint("give another --run-id; a run stays with the image it used"),
            BuildError::SeveralPlatforms { .. } => made
                .hint("mlbuild itself makes it where no step has to be run: --method=assemble")
                .hint("or give one --platform, and a tag for each"),
            BuildError::NotAssembled { lacks_pins, .. } => {
                let made = if lacks_pins {
                    made.hint(
                        "pin its packages, with the image's flags: mlbuild lock --method=assemble",
                    )
                } else {
                    made
                };
                made.hint("have a builder make it: --method=buildkit")
            }
            BuildError::NoBytecode { .. } => made
                .hint("name a builder (--builder), or see what is wrong with it: mlbuild doctor")
                .hint("to go without, build once without --locked and commit mlbuild.lock"),
            BuildError::PackagesMoved { .. } => made
                .hint("to take the new ones, build once without --locked and commit mlbuild.lock"),
            BuildError::PushedOver { .. } => {
                made.hint("someone else pushed the same tag at the same time: build again")
            }
            BuildError::BaseNowhere { .. } => {
                made.hint("push it, and name it with its registry (--base)")
            }
            BuildError::Unwritable { source, .. } if source.kind() == IoErrorKind::StorageFull => {
                made
            }
            BuildError::Unwritable { .. } => made.hint(
                "build in a folder of yours; or write nothing down: --no-lock, without --push",
            ),
            BuildError::Unwritten { source, .. } => {
                let inner = CommandError::from(*source);
                inner
                    .hints()
                    .iter()
                    .fold(made, |made, hint| made.hint(hint.clone()))
            }
            _ => made,
        }
    }
}

/// The message, with the names of flags where the command line has one.
fn text(error: &BuildError) -> String {
    match error {
        BuildError::PackagesMoved { .. } => format!("--locked: {error}"),
        BuildError::Run(error) => record_words(error),
        BuildError::NotAssembled { .. } => format!("--method=assemble: {error}"),
        BuildError::PushWithoutName => "--push needs a name for the image".into(),
        other => other.to_string(),
    }
}

impl From<ImageSourceError> for CommandError {
    fn from(error: ImageSourceError) -> Self {
        let made = CommandError::new(error.kind(), &error);
        match error {
            ImageSourceError::Registry(error) => error.into(),
            ImageSourceError::NotAReference {
                name,
                source,
                is_path,
            } => {
                let error = CommandError::from(*source);
                if is_path {
                    error.hint(format!("for the path, write ./{name}"))
                } else {
                    error
                }
            }
            _ => made,
        }
    }
}

impl From<LayerError> for CommandError {
    fn from(error: LayerError) -> Self {
        CommandError::new(layer_error_kind(&error), error)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use mlbuild::lock::LockingError;
    use mlbuild::planning::PlanningError;
    use mlbuild::settings::LockMode;

    #[test]
    fn what_stops_a_build_is_said_with_the_flags_names() {
        let no_pin = PlanningError::NoPin {
            has_entry: true,
            mode: LockMode::Frozen,
            references: vec!["python:3.12".into(), "debian:12".into()],
        };
        let would_change = LockingError::WouldChange {
            mode: LockMode::Locked,
            has_pins: false,
        };
        let errors = [
            BuildError::PushWithoutName,
            BuildError::PackagesMoved {
                moved: vec!["python six 1.16.0 -> 1.17.0".into()],
            },
            BuildError::SeveralPlatforms {
                platforms: vec!["linux/amd64".into(), "linux/arm64".into()],
                why: None,
            },
            no_pin.into(),
            PlanningError::RepackWithoutTime.into(),
            would_change.into(),
            LockingError::AsOfOwnDockerfile.into(),
        ];
        let texts = errors.map(|error| {
            let error = CommandError::from(error);
            format!("{:?}: {error}", error.kind)
        });
        insta::assert_snapshot!(texts.join("\n"), @r"
        User: --push needs a name for the image
        Difference: --locked: the packages would change:
          python six 1.16.0 -> 1.17.0
          hint: to take the new ones, build once without --locked and commit mlbuild.lock
        User: a builder makes a locked image for one platform at a time, not for linux/amd64 and linux/arm64
          hint: mlbuild itself makes it where no step has to be run: --method=assemble
          hint: or give one --platform, and a tag for each
        Difference: --frozen: the lock has no pin for python:3.12, debian:12
          hint: run the same command without --frozen once, and commit mlbuild.lock
        User: --repack needs a time to hold all others to
          hint: build from a git commit, whose time is taken
          hint: or set it: SOURCE_DATE_EPOCH=$(date +%s)
        Difference: --locked: the lock pins no packages for this image
          hint: pin them, with the image's flags: mlbuild lock; then commit mlbuild.lock
        User: --as-of: a Dockerfile of your own says itself what its steps fetch
          hint: name the day in its steps, or use a template
        ");
    }
}
