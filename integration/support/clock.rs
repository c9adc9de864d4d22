//! Another clock for a program: Debian's libfaketime.

use std::path::PathBuf;

/// The library that is to be preloaded.
pub fn library() -> PathBuf {
    let mut folders = std::fs::read_dir("/usr/lib").unwrap().flatten();
    let library = |folder: std::fs::DirEntry| {
        let file = folder.path().join("faketime/libfaketimeMT.so.1");
        file.exists().then_some(file)
    };
    folders
        .find_map(library)
        .expect("libfaketime: integration/engines/up installs it")
}

/// The environment in which a program's clock is off by `clock`, such as `+1d`; waiting takes as long
/// as ever, and files have the times that the system gives them.
pub fn off_by(clock: &str) -> [(&'static str, String); 5] {
    [
        ("LD_PRELOAD", library().display().to_string()),
        ("FAKETIME", clock.to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
        ("NO_FAKE_STAT", "1".to_owned()),
        ("FAKE_UTIME", "0".to_owned()),
    ]
}
