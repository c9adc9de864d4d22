//! A BuildKit client: endpoints, sessions, solves, progress.

pub mod fsutil;
pub mod progress;
