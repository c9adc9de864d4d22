//! Why a builder can't be had, or doesn't build.

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use mlbuild_buildkit::{
    ConnectError, DiscoverError, ParseEndpointError, RequestError, SessionError, SolveError,
};
use mlbuild_docker::api::DockerApiError;
use mlbuild_progress::BuildTrace;
use mlbuild_progress::explain::{Failure, explain};
use mlbuild_templates::reference::ReferenceError;

use super::culprit::{self, Culprit};
use crate::error::ErrorKind;
use crate::plan::BuildPlan;
use crate::private_engine;

/// Why a builder can't be had, or doesn't build.
#[derive(Debug, thiserror::Error)]
pub enum BuilderError {
    /// No builder answers.
    #[error(transparent)]
    Discover(#[from] DiscoverError),
    /// A builder answers and doesn't say what it is.
    #[error("{endpoint}: {source}")]
    Unknown {
        /// Its address.
        endpoint: String,
        /// What it answered.
        source: RequestError,
    },
    /// A file for the connection by TLS isn't there.
    #[error("{file} {}: there is no such file", path.display())]
    TlsFileMissing {
        /// Which of the files.
        file: TlsFile,
        /// Where it should be.
        path: PathBuf,
    },
    /// A client's certificate without its key, or the other way round.
    #[error("a client's certificate and its key belong together")]
    TlsHalfPair,
    /// The private builder can't be had.
    #[error(transparent)]
    Private(#[from] private_engine::Error),
    /// An address isn't one.
    #[error(transparent)]
    Address(#[from] ParseEndpointError),
    /// The private builder doesn't answer.
    #[error("the private builder: {0}")]
    PrivateSilent(#[source] ConnectError),
    /// The plan asks for what this builder can't do.
    #[error("{feature}: {why}")]
    Unsupported {
        /// What the plan asks for.
        feature: PlanFeature,
        /// Why the builder can't.
        why: String,
    },
    /// The builder doesn't run programs of a platform.
    #[error("platform {platform}: {builder} builds for {}", known.join(", "))]
    Platform {
        /// The platform of the plan.
        platform: String,
        /// What the builder is.
        builder: String,
        /// The platforms that it builds for.
        known: Vec<String>,
    },
    /// The provenance attestation would record a password.
    #[error("the provenance attestation would record {variable} with its password")]
    PasswordInProvenance {
        /// The variable that holds a proxy's address.
        variable: String,
    },
    /// The plan's main context is an OCI layout.
    #[error("an OCI layout can't be the main context")]
    LayoutAsContext,
    /// A named context that is neither a folder, an address nor a layout.
    #[error("the build context {name} is neither a folder, an address nor a layout")]
    NamedContext {
        /// Its name.
        name: String,
    },
    /// The source policy can't be read.
    #[error("the source policy: {0}")]
    SourcePolicy(#[source] serde_json::Error),
    /// What the builder may ask of this machine can't be served.
    #[error(transparent)]
    Session(#[from] SessionError),
    /// A program of OpenSSH can't be started.
    #[error("{program}: {source}")]
    SshProgram {
        /// The program.
        program: &'static str,
        /// Why.
        source: io::Error,
    },
    /// An agent doesn't listen in time.
    #[error("ssh-agent doesn't start")]
    SshAgentSilent,
    /// An agent doesn't take a key.
    #[error("the ssh keys {} of {id}: ssh-add: {why}", names(files))]
    SshKey {
        /// The name under which steps ask for the agent.
        id: String,
        /// Its key files.
        files: Vec<PathBuf>,
        /// The last line of `ssh-add`.
        why: String,
    },
    /// A result can't be written to a folder.
    #[error("{}: {source}", path.display())]
    OutputFolder {
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A file on the way of an image can't be written or read.
    #[error("{what}: {source}")]
    File {
        /// Which.
        what: String,
        /// Why.
        source: io::Error,
    },
    /// The builder isn't Docker's.
    #[error("{endpoint} is not a Docker daemon")]
    NotDocker {
        /// Its address.
        endpoint: String,
    },
    /// This machine has no Docker to load an image into.
    #[error("no Docker daemon to load into")]
    NoDocker,
    /// The Docker of this machine doesn't answer.
    #[error("no Docker daemon answers: {0}")]
    DockerSilent(#[source] ConnectError),
    /// Docker refused.
    #[error("Docker: {0}")]
    Docker(#[from] DockerApiError),
    /// Docker built, and doesn't say which image.
    #[error("Docker doesn't say which image it made")]
    DockerNamesNoImage,
    /// A tag isn't the name of an image.
    #[error(transparent)]
    Tag(#[from] ReferenceError),
    /// The work was stopped.
    #[error("stopped: nothing was pushed or locked")]
    Cancelled,
    /// The solve.
    #[error(transparent)]
    Solve(SolveError),
    /// A failed step, explained by what was seen of it.
    #[error("{0}")]
    Failed(Box<Failure>),
    /// Packages that can't be installed, by the lines that ask for them.
    #[error("{}\n\n{failure}", lines(culprits))]
    Install {
        /// The lines.
        culprits: Vec<Culprit>,
        /// The step that failed.
        failure: Box<Failure>,
    },
}

/// A file for a connection by TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TlsFile {
    /// The certificates that the server's is checked against.
    Authority,
    /// The client's certificate.
    Certificate,
    /// The client's key.
    Key,
}

/// What a plan may ask for, and not every builder can do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PlanFeature {
    /// One image for several platforms.
    SeveralPlatforms,
    /// Provenance or SBOM attestations.
    Attestations,
    /// A source policy.
    SourcePolicy,
    /// Contexts beside the main one.
    NamedContexts,
    /// An OCI layout as a context.
    LayoutContext,
    /// A time that all others are held to.
    SourceDateEpoch,
    /// Annotations of the manifest.
    Annotations,
    /// A cache that is written, of this type.
    CacheTo(String),
    /// An option of an output.
    OutputOption(&'static str),
    /// An output of this type.
    Output(String),
    /// More than one output.
    SeveralOutputs,
}

impl fmt::Display for TlsFile {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            TlsFile::Authority => "the CA certificate",
            TlsFile::Certificate => "the client's certificate",
            TlsFile::Key => "the client's key",
        })
    }
}

impl fmt::Display for PlanFeature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlanFeature::SeveralPlatforms => f.write_str("several platforms"),
            PlanFeature::Attestations => f.write_str("attestations"),
            PlanFeature::SourcePolicy => f.write_str("a source policy"),
            PlanFeature::NamedContexts => f.write_str("named contexts"),
            PlanFeature::LayoutContext => f.write_str("an OCI layout as a context"),
            PlanFeature::SourceDateEpoch => f.write_str("SOURCE_DATE_EPOCH"),
            PlanFeature::Annotations => f.write_str("annotations"),
            PlanFeature::CacheTo(kind) => write!(f, "a cache of type {kind}"),
            PlanFeature::OutputOption(key) => write!(f, "the output option {key}"),
            PlanFeature::Output(kind) => write!(f, "an output of type {kind}"),
            PlanFeature::SeveralOutputs => f.write_str("several outputs at once"),
        }
    }
}

impl BuilderError {
    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            // It went away as the build began, or asks for a newer client.
            Self::Session(SessionError::Refused(_))
            | Self::Solve(SolveError::Session(SessionError::Refused(_))) => ErrorKind::Environment,
            Self::Discover(DiscoverError::Address { .. })
            | Self::TlsFileMissing { .. }
            | Self::TlsHalfPair
            | Self::Unsupported { .. }
            | Self::PasswordInProvenance { .. }
            | Self::LayoutAsContext
            | Self::NamedContext { .. }
            | Self::SourcePolicy(_)
            | Self::Session(_)
            | Self::SshKey { .. }
            | Self::OutputFolder { .. }
            | Self::Tag(_)
            | Self::Solve(SolveError::Options(_) | SolveError::Session(_)) => ErrorKind::User,
            Self::Install { .. }
            | Self::Cancelled
            | Self::Solve(SolveError::Cancelled | SolveError::Build(_)) => ErrorKind::Work,
            // What the builder could not push, the registry refused or didn't take.
            Self::Failed(failure) if !failure.message.contains("failed to push ") => {
                ErrorKind::Work
            }
            _ => ErrorKind::Environment,
        }
    }

    /// Joins a failed step with what was seen on the way: its last lines, its place in the
    /// Dockerfile. Other errors stay as they are.
    #[must_use]
    pub fn explain(self, trace: &BuildTrace, plan: &BuildPlan) -> Self {
        let Self::Solve(SolveError::Build(failure)) = &self else {
            return self;
        };
        let mut explained = explain(failure, trace);
        if let Some(source) = &mut explained.source {
            // The builder knows the file by the name it travelled under.
            source.file.clone_from(&plan.dockerfile.name);
        }
        let culprits = culprit::find(&explained.evidence, &plan.asked);
        let failure = Box::new(explained);
        if culprits.is_empty() {
            return Self::Failed(failure);
        }
        Self::Install { culprits, failure }
    }

    /// Packages that the project asks for and that were to be compiled where the image is made, without a compiler.
    pub fn uncompiled(&self) -> Vec<&str> {
        let Self::Install { culprits, failure } = self else {
            return Vec::new();
        };
        if !culprit::lacks_compiler(&failure.evidence) {
            return Vec::new();
        }
        let packages = culprits
            .iter()
            .filter_map(|culprit| culprit.package.as_deref());
        packages.collect()
    }

    /// Whether a containerd image store lost a layer's parent while it unpacked the image, as happens
    /// to builds that end together: <https://github.com/moby/buildkit/issues/6521>.
    pub(super) fn is_of_unpacking(&self) -> bool {
        let Self::Solve(SolveError::Build(failure)) = self else {
            return false;
        };
        let message = &failure.message;
        message.contains("failed to prepare extraction snapshot")
            && message.contains("does not exist")
    }

    /// For `map_err` on a temporary folder.
    pub(super) fn temporary(source: io::Error) -> Self {
        Self::File {
            what: "temporary folder".into(),
            source,
        }
    }

    /// For `map_err` on an operation on `path`.
    pub(super) fn file(path: &Path) -> impl Fn(io::Error) -> Self + use<> {
        let what = path.display().to_string();
        move |source| Self::File {
            what: what.clone(),
            source,
        }
    }
}

impl From<SolveError> for BuilderError {
    fn from(error: SolveError) -> Self {
        match error {
            SolveError::Cancelled => Self::Cancelled,
            error => Self::Solve(error),
        }
    }
}

/// The lines, as an error begins.
fn lines(culprits: &[Culprit]) -> String {
    let lines = culprits.iter().map(|c| format!("{}: {}", c.place, c.text));
    lines.collect::<Vec<_>>().join("\n")
}

fn names(files: &[PathBuf]) -> String {
    let names: Vec<_> = files.iter().map(|f| f.display().to_string()).collect();
    names.join(",")
}

/// An error of work around a solve, which may be the solve's own.
pub trait ExplainFailure: From<BuilderError> {
    /// As [`BuilderError::explain`]; other errors stay as they are.
    #[must_use]
    fn explain(self, trace: &BuildTrace, plan: &BuildPlan) -> Self;
}

impl ExplainFailure for BuilderError {
    fn explain(self, trace: &BuildTrace, plan: &BuildPlan) -> Self {
        BuilderError::explain(self, trace, plan)
    }
}

#[cfg(test)]
mod tests {
    use mlbuild_buildkit::BuildFailure;

    use super::*;

    #[test]
    fn a_lost_snapshot_is_told_from_a_failed_step() {
        let error = |message: &str| {
            BuilderError::from(SolveError::Build(BuildFailure {
                message: message.to_owned(),
                ..BuildFailure::default()
            }))
        };
        // As Docker 26 said it.
        let lost = "failed to prepare extraction snapshot \"extract-413221296-SB1P sha256:00fb\": \
                    parent snapshot sha256:7c56 does not exist: not found";
        assert!(error(lost).is_of_unpacking());
        assert!(
            !error("process \"/bin/sh -c false\" did not complete: exit code: 1").is_of_unpacking()
        );
        assert!(!BuilderError::Cancelled.is_of_unpacking());
    }
}
