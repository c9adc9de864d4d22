//! mlbuild
fn main() {}
