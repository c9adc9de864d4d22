//! What strangers could try: each test plays one, and prints what was refused.

mod git;
mod records;
mod secrets;
mod trust;
