//! The lock reader, on anything: it may refuse, and what it takes it writes as something that it
//! reads as the same.
#![no_main]

use std::path::Path;

use libfuzzer_sys::fuzz_target;
use mlbuild_manifests::LockFile;

fuzz_target!(|text: &str| {
    let path = Path::new("mlbuild.lock");
    let Ok(lock) = LockFile::parse(text, path) else {
        return;
    };
    let written = lock.to_toml();
    let again = LockFile::parse(&written, path).expect("it reads what it wrote");
    assert_eq!(again, lock);
    assert_eq!(again.to_toml(), written);
});
