//! Which rule refuses a job, and where it is changed.

use std::path::PathBuf;

use crate::error::ErrorKind;

/// A job that isn't started here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PolicyError {
    /// An option that reaches out of the container.
    #[error("this agent starts no containers with {}", with(option, value.as_deref()))]
    Option {
        /// Its long name.
        option: String,
        /// Its value, where it isn't a switch.
        value: Option<String>,
    },
    /// A folder or a volume.
    #[error("this agent doesn't mount {path}{}", leads(path, place))]
    Mount {
        /// As it is written.
        path: String,
        /// The folder that it is.
        place: PathBuf,
    },
    /// A variable of the agent's environment.
    #[error("this agent doesn't hand on its variable {name}, which the queue doesn't name")]
    Variable {
        /// Its name.
        name: String,
    },
    /// An image.
    #[error("this agent takes no images from there: {image}")]
    Registry {
        /// The image.
        image: String,
    },
    /// A user.
    #[error("this agent runs containers as certain users only, not as {}", user.as_deref().unwrap_or("the one that the image names"))]
    User {
        /// The one that was asked for.
        user: Option<String>,
    },
    /// More GPUs than a job gets.
    #[error("this agent gives a job {most} GPUs at most, and it asks for {wanted}")]
    Gpus {
        /// What was asked for.
        wanted: u32,
        /// What there is to have.
        most: u32,
    },
    /// More memory than a job gets.
    #[error("this agent gives a job {most} of memory at most: {option} is {wanted}")]
    Memory {
        /// `memory` or `memory-swap`.
        option: &'static str,
        /// What was asked for.
        wanted: String,
        /// What there is to have.
        most: String,
    },
    /// A kind of objects.
    #[error("this agent makes no objects of the kind {kind}")]
    Kind {
        /// As `kubectl` names it.
        kind: String,
    },
    /// Another namespace than the agent's.
    #[error("this agent makes nothing in the namespace {namespace}")]
    Namespace {
        /// Its name.
        namespace: String,
    },
    /// An object of the namespace that a pod is to use.
    #[error("{place}: this agent's jobs don't use {object}")]
    Object {
        /// `TYPE/NAME`.
        object: String,
        /// Where the manifest names it.
        place: String,
    },
    /// A field of a manifest.
    #[error("{place}: this agent makes no pods with {}", with(field, value.as_deref()))]
    Field {
        /// Its name.
        field: String,
        /// Its value, where it is a text or a number.
        value: Option<String>,
        /// Where it stands.
        place: String,
    },
    /// An option that the queue keeps to itself.
    #[error(
        "the queue doesn't let a launch set `{option}`; it lets set {}",
        list(allowed)
    )]
    Override {
        /// Its long name.
        option: String,
        /// Those that may be set.
        allowed: Vec<String>,
    },
}

impl PolicyError {
    /// Of which kind it is.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::User
    }

    /// Where the rule stands, and what lets the job pass there.
    pub fn rule(&self) -> String {
        match self {
            Self::Option {
                option,
                value: None,
            } => format!("policy.options: [{option}]"),
            Self::Option {
                option,
                value: Some(value),
            } => format!("policy.options: [\"{option}={value}\"]"),
            Self::Mount { place, .. } => format!("policy.mounts: [\"{}\"]", place.display()),
            Self::Variable { name } => format!("policy.env: [{name}]"),
            Self::Registry { .. } => "policy.registries".to_owned(),
            Self::User { .. } => "policy.users".to_owned(),
            Self::Gpus { .. } => "policy.gpus".to_owned(),
            Self::Memory { .. } => "policy.memory".to_owned(),
            Self::Kind { kind } => format!("policy.kubernetes.kinds: [{kind}]"),
            Self::Namespace { namespace } => {
                format!("policy.kubernetes.namespaces: [{namespace}]")
            }
            Self::Object { object, .. } => format!("policy.kubernetes.objects: [\"{object}\"]"),
            Self::Field { field, value, .. } => {
                format!(
                    "policy.kubernetes.fields: [\"{}\"]",
                    with(field, value.as_deref())
                )
            }
            Self::Override { option, .. } => format!("overrides: [{option}]"),
        }
    }

    /// Whether the rule is the queue's, and not the agent's.
    pub fn is_of_queue(&self) -> bool {
        matches!(self, Self::Override { .. })
    }
}

fn with(option: &str, value: Option<&str>) -> String {
    match value {
        Some(value) => format!("{option}={value}"),
        None => option.to_owned(),
    }
}

fn leads(source: &str, place: &std::path::Path) -> String {
    if std::path::Path::new(source) == place {
        return String::new();
    }
    format!(", which is {}", place.display())
}

fn list(allowed: &[String]) -> String {
    if allowed.is_empty() {
        return "nothing".to_owned();
    }
    allowed.join(", ")
}
