//! A child's stderr that goes on to this process's own, and to somebody who reads along.

use std::io::{Read, Write};

/// Copies `from` to this process's stderr, and every piece to `watch` after that. Returns when
/// `from` ends; `watch` is flushed then.
pub fn tee_stderr(mut from: impl Read, mut watch: impl Write) {
    let mut piece = [0; 8192];
    while let Ok(length @ 1..) = from.read(&mut piece) {
        // A closed stderr is no reason to stop the program.
        let _ = std::io::stderr().write_all(&piece[..length]);
        let _ = watch.write_all(&piece[..length]);
    }
    let _ = watch.flush();
}
