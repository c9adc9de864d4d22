//! What commands share: how errors of the library read at a terminal, what is usually meant, and values
//! that several commands take.

mod errors;
pub mod hints;
mod job_state;
pub mod size;
