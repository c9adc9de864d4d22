//! What Docker's own client knows: which daemon is meant, how it is reached, log-ins, and the
//! calls of the Docker Engine API (v1.24 and later) that mlbuild needs.
//!
//! | step | type | module |
//! | --- | --- | --- |
//! | which daemon | [`DockerTarget`], [`context::DockerHost`] | [`address`], [`context`] |
//! | bytes to it | [`transport::Dialer`] | [`transport`] |
//! | its API | [`api::DockerApi`] | [`api`], [`containers`] |
//! | log-ins for registries | [`RegistryCredentials`] | `credentials` |
//!
//! BuildKit inside a daemon is spoken to by `mlbuild-buildkit`; nothing here prints.

pub mod address;
mod answers;
pub mod api;
pub mod containers;
pub mod context;
mod credentials;
mod env;
mod tls;
pub mod transport;

pub use address::{DockerTarget, SshTarget};
pub use credentials::{CredentialsError, RegistryCredentials};
pub use env::Env;
pub use tls::{TlsError, TlsOptions};
