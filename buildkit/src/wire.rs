//! What both sides of every connection agree on.

/// gRPC's own limit of 4 MiB is too small for some of BuildKit's messages,
/// which go up to this. Bytes.
pub(crate) const MAX_MESSAGE: usize = 16 << 20;

/// The frontend that reads Dockerfiles, built into every daemon.
pub const DOCKERFILE_FRONTEND: &str = "dockerfile.v0";
