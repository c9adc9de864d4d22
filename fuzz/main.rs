//! One target of the tests' own under libFuzzer: the one that `MLBUILD_FUZZ_TARGET` names.
#![no_main]

#[path = "../integration/daemonless/fuzz/targets.rs"]
mod targets;

use std::sync::OnceLock;

use libfuzzer_sys::fuzz_target;
use targets::{TARGETS, Target};

fn find() -> &'static Target {
    let name = std::env::var("MLBUILD_FUZZ_TARGET").unwrap_or_default();
    let found = TARGETS.iter().find(|target| target.name == name);
    let found = found.unwrap_or_else(|| {
        let names: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        panic!("MLBUILD_FUZZ_TARGET is one of: {}", names.join(" "))
    });
    // What the tests begin with.
    for seed in found.seeds {
        (found.run)(seed);
    }
    found
}

fuzz_target!(|data: &[u8]| {
    static TARGET: OnceLock<&Target> = OnceLock::new();
    (TARGET.get_or_init(find).run)(data);
});
