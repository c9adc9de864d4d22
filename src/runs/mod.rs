//! What is done with the records of runs: beside their images in registries.

pub mod attached;
