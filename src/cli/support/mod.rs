//! What commands share: how errors of the library read at a terminal, and what is usually meant.

mod errors;
pub mod hints;
mod job_state;
