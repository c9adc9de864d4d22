//! mlbuild: parse, run, exit code.
fn main() {}
