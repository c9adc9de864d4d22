//! What strangers could try: each test plays one, and prints what was refused.

mod exports;
mod git;
mod registries;
mod records;
mod secrets;
mod trust;
