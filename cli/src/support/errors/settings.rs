//! Errors of settings, with the flags that the request's fields are on the command line.

use crate::error::CommandError;
use mlbuild::config::launch::LaunchFileError;
use mlbuild::config::nearest_variant;
use mlbuild::plan::{Place, SpecError};
use mlbuild::settings::SettingsError;

/// Fields of a request whose flag has another name than theirs.
const FLAGS: [(&str, &str); 11] = [
    ("project", "CONTEXT"),
    ("add_hosts", "--add-host"),
    ("annotations", "--annotation"),
    ("attests", "--attest"),
    ("build_args", "--build-arg"),
    ("build_contexts", "--build-context"),
    ("labels", "--label"),
    ("outputs", "--output"),
    ("packages", "--package"),
    ("platforms", "--platform"),
    ("ports", "--port"),
];
/// Fields of a request whose flag is singular.
const PLURAL: [&str; 3] = ["secrets", "tags", "ulimits"];

/// Where a value was given, as it was typed there.
pub(crate) fn typed(place: Place) -> String {
    let Place::Request(field) = place else {
        return place.to_string();
    };
    if let Some((_, flag)) = FLAGS.iter().find(|(name, _)| *name == field) {
        return (*flag).to_owned();
    }
    let name = if PLURAL.contains(&field) {
        field.trim_end_matches('s')
    } else {
        field
    };
    format!("--{}", name.replace('_', "-"))
}

impl From<SpecError> for CommandError {
    fn from(error: SpecError) -> Self {
        let place = typed(error.place);
        CommandError::user(format!("{place} {}: {}", error.value, error.reason))
    }
}

impl From<LaunchFileError> for CommandError {
    fn from(error: LaunchFileError) -> Self {
        CommandError::user(format!("--launch-config {error}"))
    }
}

impl From<SettingsError> for CommandError {
    fn from(error: SettingsError) -> Self {
        let made = CommandError::new(error.kind(), text(&error));
        match error {
            SettingsError::Value(error) => error.into(),
            SettingsError::Project(error) => CommandError::from(error)
                .hint("give a folder, a git or tar URL, or - for a tar on standard input"),
            SettingsError::Config(error) => error.into(),
            SettingsError::Trust(error) => error.into(),
            SettingsError::Launch(error) => error.into(),
            SettingsError::FolderName(error) => (*error).into(),
            SettingsError::TagWithDigest { .. } => {
                made.hint("write NAME:TAG; the digest is what comes out")
            }
            SettingsError::UnknownVariant { name, known, .. } => {
                let known = known.iter().map(String::as_str);
                made.hint(nearest_variant(&name, known))
            }
            SettingsError::SameTag { .. } => {
                made.hint("give them names of their own: tag = \"…\" in [variant.NAME]")
            }
            SettingsError::LongTag { .. } => {
                made.hint("give the variant a name of its own: tag = \"…\" in [variant.NAME]")
            }
            SettingsError::RunId(_) => {
                made.hint("give --run-id with letters, digits, `-`, `_` and `.`")
            }
            SettingsError::PushWithoutName { name } => {
                made.hint(format!("give -t REGISTRY/{name}"))
            }
            SettingsError::Entitlement { known, .. } => {
                made.hint(format!("there are {}", known.join(", ")))
            }
            SettingsError::EpochToCome { .. } => {
                made.hint("times are only held down to the epoch, so a future one changes nothing")
            }
            SettingsError::TemplateAndDockerfile => {
                made.hint("--template composes a Dockerfile, --file builds yours as it is")
            }
            SettingsError::TwoOfStdin => {
                made.hint("put the Dockerfile into the tar, and give its path there with --file")
            }
            SettingsError::UnknownTemplate { near, known, .. } => made.hint(match near {
                Some(near) => format!("did you mean `{near}`?"),
                None => format!("built-in templates: {}", known.join(", ")),
            }),
            SettingsError::UnsetVariable { place, name } => {
                made.hint(format!("write {} {name}=VALUE", typed(place)))
            }
            SettingsError::Alternatives { files } => {
                let first = &files[0];
                made.hint(format!(
                    "name one: -r {first}, or requirements = [\"{first}\"] in mlbuild.toml"
                ))
            }
            SettingsError::ImageOutputTwice => {
                made.hint("put its attributes into one: --output type=image,push=true,…")
            }
            SettingsError::OutputName { name, .. } => made.hint(format!("name it with -t {name}")),
            SettingsError::PushByDigest => made.hint("leave it out"),
            _ => made,
        }
    }
}

/// The message, with the names of flags where the command line has one.
fn text(error: &SettingsError) -> String {
    match error {
        SettingsError::Tag { place, source } => format!("{}: {source}", typed(*place)),
        SettingsError::TagWithDigest { place, tag } => {
            format!("{} {tag}: a tag can't name a digest", typed(*place))
        }
        SettingsError::UnknownVariant { name, .. } => {
            format!("--variant {}: {error}", name.escape_debug())
        }
        SettingsError::PushWithoutName { .. } => "--push needs a name for the image".into(),
        SettingsError::Entitlement { .. } => format!("--allow {error}"),
        SettingsError::Compression {
            place,
            compression,
            why,
        } => format!("{}={compression}: {why}", typed(*place)),
        SettingsError::PolicyUnreadable { path, source } => {
            format!("--source-policy-file {}: {source}", path.display())
        }
        SettingsError::PolicyInvalid { path, source } => {
            format!("--source-policy-file {}: {source}", path.display())
        }
        SettingsError::TemplateAndDockerfile => "--template and --file exclude each other".into(),
        SettingsError::TwoOfStdin => "--file - and CONTEXT - both read standard input".into(),
        SettingsError::NoDockerfile { path } => {
            format!("--file {}: there is no such file", path.display())
        }
        SettingsError::UnknownTemplate { place, name, .. } => format!(
            "{}: there is no template `{name}`, nor a file or a folder with a Dockerfile of that name",
            typed(*place)
        ),
        SettingsError::UnsetVariable { place, name } => {
            format!(
                "{} {name}: no variable of that name is set here",
                typed(*place)
            )
        }
        SettingsError::ImageOutputTwice => "--output: type=image is there twice".into(),
        SettingsError::OutputName { name, image } => {
            format!("--output name={name}: the image is {image}")
        }
        SettingsError::PushByDigest => {
            "--output push-by-digest=: mlbuild pushes by tag, and prints the digest".into()
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::Cli;

    #[test]
    fn fields_are_said_as_the_flags_that_there_are() {
        let image = Cli::command();
        let image = image.find_subcommand("image").expect("there is one");
        let fields = [
            "variant",
            "template",
            "file",
            "base",
            "cuda",
            "nvidia_driver",
            "compute_capability",
            "uid",
            "gid",
            "user",
            "python",
            "requirements",
            "apt",
            "env",
            "path",
            "ports",
            "serve",
            "workdir",
            "build_args",
            "platforms",
            "labels",
            "annotations",
            "network",
            "add_hosts",
            "cache_from",
            "cache_to",
            "secrets",
            "ssh",
            "build_contexts",
            "shm_size",
            "ulimits",
            "attests",
            "provenance",
            "sbom",
            "tags",
            "outputs",
            "repack",
        ];
        for field in fields {
            let flag = typed(Place::Request(field));
            let is_it = |arg: &clap::Arg| arg.get_long() == flag.strip_prefix("--");
            assert!(image.get_arguments().any(is_it), "{field} is no {flag}");
        }
        assert_eq!(typed(Place::Request("project")), "CONTEXT");
        let key = typed(Place::File("[build] network"));
        assert_eq!(key, "mlbuild.toml: [build] network");
    }
}
