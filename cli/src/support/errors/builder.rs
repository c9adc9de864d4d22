//! Errors of `builder`.

use std::io::ErrorKind as IoErrorKind;

use mlbuild_buildkit::{DiscoverError, SolveError};
use mlbuild_progress::explain::Failure;

use crate::error::CommandError;
use crate::support::hints::{self, NOBODY};
use mlbuild::builder::{BuilderError, Culprit, PlanFeature, TlsFile};
use mlbuild::error::chain;
use mlbuild::private_engine;
use mlbuild::shell::word;

impl From<BuilderError> for CommandError {
    fn from(error: BuilderError) -> Self {
        let said = CommandError::new(error.kind(), text(&error));
        match &error {
            BuilderError::Discover(DiscoverError::Named { .. }) => {
                said.hint("see what answers here: mlbuild doctor")
            }
            BuilderError::Discover(DiscoverError::Nowhere { .. }) => said
                .hint("start a private builder: mlbuild engine up, or give --engine=auto")
                .hint("or name one: --builder unix:///run/buildkit/buildkitd.sock"),
            BuilderError::PrivateSilent(_) => {
                said.hint("start it anew: mlbuild engine down, then mlbuild engine up")
            }
            BuilderError::DockerSilent(_) => {
                said.hint("push instead (--push), or write a file: -o type=oci,dest=image.tar")
            }
            BuilderError::Unsupported { feature, .. } => match feature {
                PlanFeature::Output(_) => said,
                PlanFeature::SeveralOutputs => said.hint("ask for one output a time"),
                _ => said.hint("name another builder with --builder, or leave the flag out"),
            },
            BuilderError::Platform { .. } => said.hint("for RUN steps of another architecture the builder's machine needs QEMU: apt install qemu-user-static binfmt-support"),
            BuilderError::PasswordInProvenance { .. } => said
                .hint("give --provenance=mode=min, which records no arguments")
                .hint("or keep the proxy from RUN steps: --no-host-network-settings"),
            BuilderError::LayoutAsContext => {
                said.hint("name it: --build-context NAME=oci-layout://FOLDER")
            }
            BuilderError::SshProgram { .. } => said.hint("apt install openssh-client"),
            BuilderError::SshKey { .. } => said
                .hint("a key with a passphrase: ssh-add it to your agent, and give --ssh default"),
            BuilderError::Solve(error) => with_next_step(said, error),
            BuilderError::Failed(failure) => {
                with_evidence(with_usual_cause(said, failure, &[]), failure, false)
            }
            BuilderError::Install { failure, culprits } => {
                let said = with_usual_cause(said, failure, culprits);
                with_evidence(said, failure, true)
            }
            _ => said,
        }
    }
}

/// The message, with the names of flags where the command line has one.
fn text(error: &BuilderError) -> String {
    match error {
        BuilderError::TlsFileMissing { file, path } => {
            let flag = match file {
                TlsFile::Authority => "--tlscacert",
                TlsFile::Certificate => "--tlscert",
                TlsFile::Key => "--tlskey",
            };
            format!("{flag} {}: there is no such file", path.display())
        }
        BuilderError::Discover(DiscoverError::Address {
            variable: None,
            source,
        }) => format!("--builder: {source}"),
        BuilderError::Discover(DiscoverError::Named {
            variable: None,
            source,
        }) => format!("the builder from --builder doesn't answer: {source}"),
        BuilderError::TlsHalfPair => "--tlscert and --tlskey belong together".into(),
        BuilderError::Unsupported { feature, why } => format!("{}: {why}", flag(feature)),
        BuilderError::Platform { .. } => format!("--{error}"),
        BuilderError::PasswordInProvenance { variable } => {
            format!("--provenance: the attestation would record {variable} with its password")
        }
        BuilderError::NamedContext { name } => {
            format!("--build-context {name}: give a folder, an address or a layout")
        }
        BuilderError::SourcePolicy(error) => format!("--source-policy-file: {error}"),
        BuilderError::SshProgram { .. } => format!("--ssh with a key file: {error}"),
        BuilderError::SshKey { id, files, why } => {
            let names: Vec<_> = files.iter().map(|f| f.display().to_string()).collect();
            format!("--ssh {id}={}: ssh-add: {why}", names.join(","))
        }
        BuilderError::OutputFolder { .. } => format!("--output {error}"),
        BuilderError::DockerSilent(_) => format!("--load: {error}"),
        BuilderError::Private(error) => private_builder(error),
        BuilderError::PrivateSilent(_) | BuilderError::Docker(_) | BuilderError::Solve(_) => {
            chain(error)
        }
        BuilderError::Failed(failure) if is_of_template(failure) => {
            let shown = Failure {
                source: None,
                ..(**failure).clone()
            };
            shown.to_string()
        }
        BuilderError::Install { culprits, .. } => {
            let lines = culprits.iter().map(|c| format!("{}: {}", c.place, c.text));
            lines.collect::<Vec<_>>().join("\n       ")
        }
        _ => error.to_string(),
    }
}

/// Whether a step failed that a built-in template wrote: its shell helps nobody who looks for what is
/// wrong with a project.
fn is_of_template(failure: &Failure) -> bool {
    let source = failure.source.as_ref();
    source.is_some_and(|source| {
        source.file.starts_with("template ") || source.file == "the search for packages"
    })
}

/// What the step said, after what to do about it, and for whoever wants it where it stands.
fn with_evidence(said: CommandError, failure: &Failure, with_log: bool) -> CommandError {
    let mut said = said;
    if with_log && !failure.last_log_lines.is_empty() {
        let lines = failure.last_log_lines.iter();
        let lines: String = lines.map(|line| format!("\n  {line}")).collect();
        said = said.evidence(format!("The step's last lines:{lines}"));
    }
    match &failure.source {
        Some(source) if is_of_template(failure) => said.detail(source),
        _ => said,
    }
}

/// The flag that asks for something.
fn flag(feature: &PlanFeature) -> String {
    match feature {
        PlanFeature::SeveralPlatforms => "--platform with several platforms".into(),
        PlanFeature::Attestations => "--attest, --provenance or --sbom".into(),
        PlanFeature::SourcePolicy => "--source-policy-file".into(),
        PlanFeature::NamedContexts => "--build-context".into(),
        PlanFeature::LayoutContext => "--build-context oci-layout://".into(),
        PlanFeature::Annotations => "--annotation".into(),
        PlanFeature::CacheTo(kind) => format!("--cache-to type={kind}"),
        PlanFeature::OutputOption(key) => format!("--output …,{key}="),
        PlanFeature::Output(kind) => format!("--output type={kind}"),
        other => other.to_string(),
    }
}

/// What is wrong with a private builder, and what to type.
pub fn private_builder(error: &private_engine::Error) -> String {
    match error {
        private_engine::Error::NotLinux => {
            format!("{error}; on this machine name one with --builder or start Docker")
        }
        private_engine::Error::State { .. } => format!("{error}; `mlbuild engine down` clears it"),
        private_engine::Error::NoUserNamespaces { .. } => format!(
            "{error}; ask the machine's administrator, or name another builder with --builder"
        ),
        error => chain(error),
    }
}

fn with_next_step(said: CommandError, error: &SolveError) -> CommandError {
    match error {
        SolveError::Lost { .. } | SolveError::Stalled(_) => {
            said.hint("see whether the builder still runs: mlbuild doctor")
        }
        SolveError::Output { path, source } if source.kind() == IoErrorKind::StorageFull => {
            let folder = word(path.parent().unwrap_or(path).to_string_lossy());
            said.hint(format!("this machine's disk is full: df -h {folder}"))
        }
        _ => said,
    }
}

/// Names the cause of a failed step where it is a usual one.
fn with_usual_cause(said: CommandError, failure: &Failure, culprits: &[Culprit]) -> CommandError {
    let Some(hint) = hints::of(failure) else {
        return said;
    };
    let package = match culprits {
        [one] => one.package.as_deref(),
        _ => None,
    };
    let named = |next: &String| match package {
        Some(package) => next
            .replace(&format!("[{NOBODY:?}]"), &format!("[{package:?}]"))
            .replace(&format!(": {NOBODY} = "), &format!(": {package} = ")),
        None => next.clone(),
    };
    let next = hint
        .next
        .iter()
        .map(|next| format!("\n    {}", named(next)));
    said.hint(format!("{}{}", hint.cause, next.collect::<String>()))
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn what_the_builder_lacks_is_said_with_the_flags_names() {
        let unsupported = |feature| BuilderError::Unsupported {
            feature,
            why: "needs BuildKit 0.11".into(),
        };
        let errors = [
            unsupported(PlanFeature::CacheTo("gha".into())),
            unsupported(PlanFeature::OutputOption("compression")),
            unsupported(PlanFeature::Output("oci".into())),
            unsupported(PlanFeature::SeveralOutputs),
            BuilderError::Platform {
                platform: "linux/arm64".into(),
                builder: "buildkitd v0.32.2".into(),
                known: vec!["linux/amd64".into(), "linux/386".into()],
            },
            BuilderError::PasswordInProvenance {
                variable: "HTTP_PROXY".into(),
            },
            BuilderError::TlsFileMissing {
                file: TlsFile::Key,
                path: PathBuf::from("key.pem"),
            },
            BuilderError::TlsHalfPair,
            BuilderError::SshKey {
                id: "default".into(),
                files: vec!["a".into(), "b".into()],
                why: "bad passphrase".into(),
            },
            BuilderError::Private(private_engine::Error::NotLinux),
            BuilderError::Private(private_engine::Error::State {
                path: "/state/launch.json".into(),
                reason: "no kind".into(),
            }),
            BuilderError::Cancelled,
        ];
        let texts = errors.map(|error| {
            let error = CommandError::from(error);
            format!("{:?}: {error}", error.kind)
        });
        insta::assert_snapshot!(texts.join("\n"), @r"
        User: --cache-to type=gha: needs BuildKit 0.11
          hint: name another builder with --builder, or leave the flag out
        User: --output …,compression=: needs BuildKit 0.11
          hint: name another builder with --builder, or leave the flag out
        User: --output type=oci: needs BuildKit 0.11
        User: several outputs at once: needs BuildKit 0.11
          hint: ask for one output a time
        Environment: --platform linux/arm64: buildkitd v0.32.2 builds for linux/amd64, linux/386
          hint: for RUN steps of another architecture the builder's machine needs QEMU: apt install qemu-user-static binfmt-support
        User: --provenance: the attestation would record HTTP_PROXY with its password
          hint: give --provenance=mode=min, which records no arguments
          hint: or keep the proxy from RUN steps: --no-host-network-settings
        User: --tlskey key.pem: there is no such file
        User: --tlscert and --tlskey belong together
        User: --ssh default=a,b: ssh-add: bad passphrase
          hint: a key with a passphrase: ssh-add it to your agent, and give --ssh default
        Environment: a private builder needs Linux; on this machine name one with --builder or start Docker
        Environment: /state/launch.json is not what mlbuild wrote (no kind); `mlbuild engine down` clears it
        Work: stopped: nothing was pushed or locked
        ");
    }
}
