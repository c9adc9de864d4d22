//! What is particular to Docker: which daemon is meant, and the few calls of
//! its REST API that a builder inside Docker needs besides BuildKit.

mod answers;
pub mod api;
pub mod containers;
pub mod context;
