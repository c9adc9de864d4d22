//! What strangers could try: each test plays one, and prints what was refused.

mod exports;
mod git;
mod jobs;
mod records;
mod registries;
mod secrets;
mod terminal;
mod trust;
mod writers;
