//! What can go wrong with a registry, and of which kind it is then.

use mlbuild_buildkit::CredentialsError;
use mlbuild_docker::api::DockerApiError;
use mlbuild_templates::reference;
use oci_spec::distribution::Reference;

use crate::error::ErrorKind;
use crate::image::LayoutError;

/// A registry operation that failed.
#[derive(Debug, thiserror::Error)]
pub enum RegistryError {
    /// Not an image reference.
    #[error("`{text}` isn't an image reference: {why}")]
    InvalidReference {
        /// The text.
        text: String,
        /// What is wrong with it.
        why: String,
    },
    /// The stored log-in can't be read.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// The registry wants a log-in, or doesn't take the one we have.
    #[error(
        "{registry} {}",
        if *had_credentials {
            format!("refuses the stored log-in for {repository}")
        } else {
            format!("needs a log-in for {repository}, or has no such repository")
        }
    )]
    Unauthorized {
        /// The registry.
        registry: String,
        /// The repository.
        repository: String,
        /// True if a log-in was sent.
        had_credentials: bool,
    },
    /// The registry knows us and says no.
    #[error("{registry} doesn't allow us to {action} {repository}: {message}")]
    Denied {
        /// The registry.
        registry: String,
        /// The repository.
        repository: String,
        /// `pull` or `push`.
        action: &'static str,
        /// What it said.
        message: String,
    },
    /// It removes nothing for its clients.
    #[error("the registry {registry} doesn't let its clients remove images")]
    NoDeletes {
        /// The registry.
        registry: String,
    },
    /// There is no such image.
    #[error("{reference} isn't in the registry")]
    NotFound {
        /// What was asked for.
        reference: String,
    },
    /// The registry doesn't take this repository name.
    #[error("{registry} doesn't take the repository name `{repository}`: {message}")]
    NameInvalid {
        /// The registry.
        registry: String,
        /// The name.
        repository: String,
        /// What it said.
        message: String,
    },
    /// The image exists for other platforms only.
    #[error("{reference} has no image for {wanted}; it has {}", available.join(", "))]
    NoSuchPlatform {
        /// The image.
        reference: String,
        /// The platform that was asked for.
        wanted: String,
        /// Those that there are.
        available: Vec<String>,
    },
    /// Nobody answers.
    #[error("the registry {registry} can't be reached: {why}")]
    Unreachable {
        /// The registry.
        registry: String,
        /// Why.
        why: String,
    },
    /// It takes the connection, and then nothing comes.
    #[error("no answer from {peer} for {seconds} s, during {what}")]
    Silent {
        /// Who was waited for: the registry, or its token server.
        peer: String,
        /// What was being done.
        what: String,
        /// How long nothing came.
        seconds: u64,
    },
    /// Its certificate isn't trusted.
    #[error("the certificate of {registry} isn't trusted: {why}")]
    Untrusted {
        /// The registry.
        registry: String,
        /// Why.
        why: String,
    },
    /// It speaks plain http where https is needed.
    #[error("the registry {registry} speaks plain http, and only https is allowed with it")]
    PlainHttp {
        /// The registry.
        registry: String,
    },
    /// It went away while we worked, and didn't come back.
    #[error("the registry {registry} went away during {what} ({attempts} tries): {why}")]
    Interrupted {
        /// The registry.
        registry: String,
        /// What was being done.
        what: String,
        /// How often it was tried.
        attempts: u32,
        /// The last failure.
        why: String,
    },
    /// It answered with a failure of its own.
    #[error("the registry {registry} failed on {what}: {status} {message}")]
    Server {
        /// The registry.
        registry: String,
        /// What was being done.
        what: String,
        /// HTTP status.
        status: u16,
        /// What it said.
        message: String,
    },
    /// What came isn't what the digest says.
    #[error("{what}: expected {expected}, and {registry} has {found}")]
    DigestMismatch {
        /// The registry.
        registry: String,
        /// What was fetched or pushed.
        what: String,
        /// The digest it must have.
        expected: String,
        /// What it has.
        found: String,
    },
    /// It has a layer in one repository, and doesn't lend it to another.
    #[error("{registry} doesn't lend the layer {digest} to {repository}")]
    NotMounted {
        /// The registry.
        registry: String,
        /// The layer.
        digest: String,
        /// The repository that needs it.
        repository: String,
    },
    /// An answer that doesn't follow the distribution specification.
    #[error("{registry} gave an answer that makes no sense for {what}: {why}")]
    Malformed {
        /// The registry.
        registry: String,
        /// What was asked.
        what: String,
        /// What is wrong with the answer.
        why: String,
    },
    /// It sends to a place that isn't gone to.
    #[error("{registry} sends elsewhere, and that isn't followed: {why}")]
    Redirect {
        /// The registry.
        registry: String,
        /// Why not.
        why: String,
    },
    /// Docker couldn't push its image.
    #[error("Docker couldn't push {reference}: {source}")]
    Docker {
        /// The image.
        reference: String,
        /// What the daemon said.
        source: Box<DockerApiError>,
    },
    /// The image on disk can't be pushed.
    #[error(transparent)]
    Layout(#[from] LayoutError),
}

impl RegistryError {
    /// Reads an image reference, with an error that says what is wrong.
    pub fn reference(text: &str) -> Result<Reference, RegistryError> {
        reference::parse(text).map_err(|error| RegistryError::InvalidReference {
            text: text.to_owned(),
            why: error.to_string(),
        })
    }

    /// True if the same call may work a little later.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            RegistryError::Unreachable { .. }
                | RegistryError::Interrupted { .. }
                | RegistryError::Silent { .. }
                | RegistryError::Server { .. }
        )
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> ErrorKind {
        match self {
            RegistryError::InvalidReference { .. }
            | RegistryError::NameInvalid { .. }
            | RegistryError::NoSuchPlatform { .. }
            | RegistryError::Credentials(CredentialsError::Config { .. })
            | RegistryError::NotFound { .. } => ErrorKind::User,
            RegistryError::DigestMismatch { .. } | RegistryError::Layout(_) => ErrorKind::Work,
            _ => ErrorKind::Environment,
        }
    }
}
