//! A BuildKit client: endpoints, sessions, solves, progress.
