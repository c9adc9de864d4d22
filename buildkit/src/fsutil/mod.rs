//! Sending and receiving file trees: BuildKit's fsutil protocol.
//!
//! The parts, from the ground up: [`patterns`] and [`dockerignore`] say what
//! is selected, [`walk`] visits a folder in the order the protocol demands,
//! [`sender`] and [`receiver`] speak the protocol, and [`fingerprint`] digests
//! what a build would send. Carrying packets over gRPC is left to the session.

pub mod dockerignore;
mod gopath;
pub mod patterns;
mod regexp;
