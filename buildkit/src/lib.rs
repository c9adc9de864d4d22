//! A BuildKit client: reach a builder, ask what it is, have it build, take
//! what it tells meanwhile.
//!
//! | step | type | module |
//! | --- | --- | --- |
//! | where the builder is | [`Endpoint`] | `endpoint`, `discover` |
//! | bytes to it | one file per scheme | `transport`, [`mlbuild_docker`] |
//! | a connection, and what is at its end | [`Client`], [`BuilderInfo`] | `client`, `info` |
//! | what the build may ask of us | [`Session`] | `session`, [`fsutil`] |
//! | the build | [`SolveOptions`], [`SolveOutput`] | `solve` |
//! | what happens meanwhile | `StatusResponse` | `mlbuild_proto` |
//! | why it failed | [`SolveError`] | `error` |
//!
//! Composing Dockerfiles, pushing to registries and showing progress are left to others; nothing
//! here prints.

mod bridge;
mod client;
mod discover;
mod endpoint;
mod error;
pub mod fsutil;
mod gateway;
mod history;
mod info;
mod session;
mod solve;
mod status;
mod transport;
mod unfinished;
mod wire;

pub use client::{Client, ConnectError, ConnectOptions, RequestError};
pub use discover::{DiscoverError, DiscoverOptions, Discovered, Tried, discover};
pub use endpoint::{Endpoint, ParseEndpointError};
pub use error::{BuildFailure, FailureSource, SolveError};
pub use gateway::LintWarning;
pub use history::Attestation;
pub use info::{BuildKitVersion, BuilderInfo, BuilderKind, Feature, ImageStore, Worker};
pub use mlbuild_docker::transport::DialError;
pub use mlbuild_docker::{
    CredentialsError, DockerTarget, Env, RegistryCredentials, SshTarget, TlsError, TlsOptions,
};
pub use mlbuild_proto::moby::buildkit::v1::sourcepolicy;
pub use mlbuild_proto::moby::buildkit::v1::{StatusResponse, VertexLog, VertexWarning};
pub use mlbuild_secrets::Secret;
pub use session::{
    AuthOptions, ExportTarget, GivenLogIns, LocalSource, RefusedHosts, SecretSource, Session,
    SessionBuilder, SessionError, SshSource, context_key,
};
pub use solve::{Answers, CacheOption, Export, Question, SolveOptions, SolveOutput};
pub use wire::DOCKERFILE_FRONTEND;
