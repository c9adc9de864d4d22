//! How long each test takes, for `./test` to print the slowest.

use std::cell::RefCell;
use std::io::Write as _;
use std::time::Instant;

/// From its making to the end of its thread, which is one test's.
struct Timed(Instant);

impl Drop for Timed {
    fn drop(&mut self) {
        let Some(path) = std::env::var_os("MLBUILD_TEST_TIMES") else {
            return;
        };
        let thread = std::thread::current();
        // A thread that a test started has no test's name.
        let Some(name) = thread.name().filter(|name| name.contains("::")) else {
            return;
        };
        let line = format!("{:.1}\t{name}\n", self.0.elapsed().as_secs_f64());
        // One write: other tests append to the same file.
        let mut options = std::fs::OpenOptions::new();
        if let Ok(mut file) = options.append(true).create(true).open(path) {
            let _ = file.write_all(line.as_bytes());
        }
    }
}

thread_local! {
    static TIMED: RefCell<Option<Timed>> = const { RefCell::new(None) };
}

/// Starts the clock of the test that calls it, unless it runs: a line `SECONDS<TAB>TEST` goes to
/// the file of `MLBUILD_TEST_TIMES` when the test ends.
pub fn start() {
    if std::env::var_os("MLBUILD_TEST_TIMES").is_some() {
        TIMED.with_borrow_mut(|timed| {
            timed.get_or_insert_with(|| Timed(Instant::now()));
        });
    }
}
