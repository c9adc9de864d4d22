//! The pages of the documentation that need no builder are typed, and print what they show.

use std::path::Path;

use crate::support::pages::type_page;

/// Types a page where this machine's own settings are not seen.
fn page(name: &str) {
    let bin = Path::new(env!("CARGO_BIN_EXE_mlbuild")).parent().unwrap();
    type_page(name, bin, &[], |_| {});
}

#[test]
fn cuda() {
    page("cuda.md");
}

#[test]
fn coming_from_cog() {
    page("coming-from-cog.md");
}

#[test]
fn coming_from_conda() {
    page("coming-from-conda.md");
}

#[test]
fn coming_from_wandb() {
    page("coming-from-wandb.md");
}
