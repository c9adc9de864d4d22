//! Small checked values: each is parsed once, at the edge, and then passed as its type.
//!
//! Nothing here knows about Dockerfiles; what a value may hold is decided by what a shell, a
//! passwd file, apt or a registry would make of it.

mod command;
mod duration;
mod ids;
mod names;
mod paths;
mod run_step;
mod versions;

pub use command::Command;
pub use duration::nanoseconds;
pub use ids::{Gid, Port, Protocol, Uid};
pub use names::{AptPackage, BaseImage, EnvName, EnvValue, LabelKey, ModelName, UserName};
pub use paths::{ContainerPath, ContextPath, ContextPattern};
pub use run_step::{RunStep, RunWhen};
pub use versions::{CudaVersion, DriverVersion, PythonVersion, TorchBackend};

/// A value that can't be used, with the reason and what to write instead.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{kind} {value:?} {reason}; {hint}")]
pub struct InvalidValue {
    /// What the value was meant to be, such as `user name`.
    pub kind: &'static str,
    /// The value as it was given.
    pub value: String,
    /// Why it can't be used.
    pub reason: String,
    /// What to write instead.
    pub hint: String,
}

impl InvalidValue {
    pub(crate) fn new(
        kind: &'static str,
        value: impl Into<String>,
        reason: impl Into<String>,
        hint: impl Into<String>,
    ) -> Self {
        Self {
            kind,
            value: value.into(),
            reason: reason.into(),
            hint: hint.into(),
        }
    }
}

/// Makes a checked string type: `FromStr`, serde as a plain string, `Display`, a JSON schema.
macro_rules! checked_string {
    ($(#[$doc:meta])* $name:ident, $check:path $(, pattern = $pattern:literal)?) => {
        $(#[$doc])*
        #[derive(
            Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, serde::Deserialize,
        )]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(String);

        impl $name {
            /// The value as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl std::str::FromStr for $name {
            type Err = $crate::value::InvalidValue;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                $check(text)?;
                Ok(Self(text.to_owned()))
            }
        }

        impl TryFrom<String> for $name {
            type Error = $crate::value::InvalidValue;

            fn try_from(text: String) -> Result<Self, Self::Error> {
                text.parse()
            }
        }

        impl From<$name> for String {
            fn from(value: $name) -> Self {
                value.0
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string" $(, "pattern": $pattern)? })
            }
        }
    };
}
pub(crate) use checked_string;
