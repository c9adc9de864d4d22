//! The terminal that progress is drawn on: its size, what it can show, and the promise that its
//! cursor comes back however the process ends.

use std::{
    io::{self, Write},
    sync::{
        Once,
        atomic::{AtomicBool, Ordering},
    },
};

const HIDE_CURSOR: &str = "\x1b[?25l";
const SHOW_CURSOR: &str = "\x1b[?25h";
/// Long lines are cut at the right margin, not wrapped, so that a row stays a row.
const WRAP_OFF: &str = "\x1b[?7l";
const WRAP_ON: &str = "\x1b[?7h";

/// Whether this process has changed the terminal on its standard error.
static CHANGED: AtomicBool = AtomicBool::new(false);

/// Gives the user's terminal its cursor back if progress had hidden it. Call it before leaving
/// the process by any way that skips destructors, such as a second Ctrl-C.
pub fn restore_terminal() {
    if CHANGED.swap(false, Ordering::SeqCst) {
        let _ = io::stderr().write_all(format!("{WRAP_ON}{SHOW_CURSOR}\n").as_bytes());
    }
}

/// Columns and rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Size {
    /// Columns.
    pub width: usize,
    /// Rows.
    pub height: usize,
}

/// Asks for the terminal's size; `None` where it is no longer known.
pub(crate) type SizeOf = Box<dyn Fn() -> Option<Size> + Send>;

/// What the text on a terminal may consist of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Looks {
    pub(crate) color: bool,
    pub(crate) unicode: bool,
}

impl Looks {
    /// From `NO_COLOR` (<https://no-color.org>) and the locale.
    pub(crate) fn from_environment() -> Self {
        let set = |name| std::env::var(name).ok().filter(|v| !v.is_empty());
        let locale = ["LC_ALL", "LC_CTYPE", "LANG"].into_iter().find_map(set);
        Self {
            color: set("NO_COLOR").is_none(),
            unicode: locale.is_some_and(|l| {
                let l = l.to_ascii_lowercase();
                l.contains("utf-8") || l.contains("utf8")
            }),
        }
    }

    pub(crate) fn paint(self, code: &str, text: &str) -> String {
        if self.color && !text.is_empty() {
            format!("\x1b[{code}m{text}\x1b[0m")
        } else {
            text.to_owned()
        }
    }

    pub(crate) fn ellipsis(self) -> &'static str {
        if self.unicode { "…" } else { "..." }
    }
}

/// Hides the cursor and keeps lines from wrapping until it is dropped.
pub(crate) struct Cursor<W: Write> {
    pub(crate) out: W,
    /// The process's own terminal must be restored also when no destructor runs.
    is_stderr: bool,
}

impl<W: Write> Cursor<W> {
    pub(crate) fn hide(mut out: W, is_stderr: bool) -> Self {
        if is_stderr {
            CHANGED.store(true, Ordering::SeqCst);
            restore_on_panic();
        }
        // A terminal that is gone is found out by the first drawing.
        let _ = out.write_all(format!("{HIDE_CURSOR}{WRAP_OFF}").as_bytes());
        Self { out, is_stderr }
    }
}

impl<W: Write> Drop for Cursor<W> {
    fn drop(&mut self) {
        if !self.is_stderr || CHANGED.swap(false, Ordering::SeqCst) {
            let _ = self
                .out
                .write_all(format!("{WRAP_ON}{SHOW_CURSOR}").as_bytes());
            let _ = self.out.flush();
        }
    }
}

/// Release builds abort on panic, so that no destructor runs then.
fn restore_on_panic() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let next = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore_terminal();
            next(info);
        }));
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cursor_comes_back_when_a_drawing_thread_unwinds() {
        let mut screen = Vec::new();
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            let _cursor = Cursor::hide(&mut screen, false);
            panic!("drawing failed");
        }));
        assert!(result.is_err());
        assert_eq!(
            String::from_utf8(screen).unwrap(),
            "\x1b[?25l\x1b[?7l\x1b[?7h\x1b[?25h"
        );
    }
}
