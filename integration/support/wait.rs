//! Waiting for what takes longer on a slow machine than on a quick one.

use std::time::{Duration, Instant};

/// What has not come after this long never comes: nothing here takes a tenth of it, so that a machine
/// under heavy load passes, and only a fault pays.
pub const HANG: Duration = Duration::from_secs(240);

/// Waits until something is so; panics with what was waited for.
#[track_caller]
pub fn until(what: &str, mut is: impl FnMut() -> bool) {
    until_some(what, || is().then_some(()));
}

/// Waits until there is something, and returns it; panics with what was waited for.
#[track_caller]
pub fn until_some<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let since = Instant::now();
    loop {
        if let Some(found) = look() {
            return found;
        }
        assert!(since.elapsed() < HANG, "waited for ever: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}
