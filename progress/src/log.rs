//! Turns the byte chunks a step writes into lines of text, and keeps the last of them.
//!
//! A chunk may end in the middle of a line or of a UTF-8 character, may hold carriage returns
//! (progress bars) and escape sequences. What comes out is one line of printable text at a time.

use std::{borrow::Cow, collections::VecDeque, time::Duration};

use crate::printable::{self, is_unseen};

/// Longest line kept in one piece, in bytes; a longer one is split.
const MAX_LINE: usize = 8 * 1024;
/// How many bytes of text one step's tail may hold.
const TAIL_BYTES: usize = 512 * 1024;
/// How many lines one step's tail may hold.
const TAIL_LINES: usize = 4000;

/// The stream a log line was written to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogStream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

impl LogStream {
    pub(crate) fn from_number(number: i64) -> Self {
        if number == 2 {
            Self::Stderr
        } else {
            Self::Stdout
        }
    }
}

/// One line that a step wrote, without its line ending and escape sequences.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Time since the step started.
    pub at: Duration,
    /// Where it was written.
    pub stream: LogStream,
    /// The text, valid UTF-8 and printable.
    pub text: String,
}

/// Collects chunks until a line is whole.
#[derive(Debug, Default)]
pub(crate) struct LineBuffer {
    bytes: Vec<u8>,
}

impl LineBuffer {
    /// Adds a chunk and returns the lines that it completed.
    pub(crate) fn push(&mut self, chunk: &[u8]) -> Vec<String> {
        let mut lines = Vec::new();
        for piece in chunk.split_inclusive(|&b| b == b'\n') {
            self.bytes.extend_from_slice(piece);
            if piece.ends_with(b"\n") {
                lines.extend(self.take());
            }
            // A progress bar redraws one line for ever: what a carriage return followed is gone
            // from a screen, so it need not be kept.
            if self.bytes.len() > MAX_LINE
                && let Some(cr) = self.bytes[..self.bytes.len() - 1]
                    .iter()
                    .rposition(|&b| b == b'\r')
            {
                self.bytes.drain(..=cr);
            }
            while self.bytes.len() > MAX_LINE {
                let rest = self.bytes.split_off(char_boundary(&self.bytes, MAX_LINE));
                lines.extend(self.take());
                self.bytes = rest;
            }
        }
        lines
    }

    /// The line that isn't finished yet, as a screen would show it.
    pub(crate) fn partial(&self) -> Option<String> {
        (!self.bytes.is_empty()).then(|| printable(visible(&self.bytes)))
    }

    /// Ends the line in progress.
    pub(crate) fn take(&mut self) -> Option<String> {
        let bytes = std::mem::take(&mut self.bytes);
        (!bytes.is_empty()).then(|| printable(visible(&bytes)))
    }
}

/// The part of a line that a terminal would end up showing: what follows its last carriage return.
fn visible(line: &[u8]) -> &[u8] {
    let line = line.strip_suffix(b"\n").unwrap_or(line);
    line.split(|&b| b == b'\r')
        .rfind(|part| !part.is_empty())
        .unwrap_or_default()
}

/// A place to split at or just below `at` that doesn't cut a UTF-8 character.
fn char_boundary(bytes: &[u8], at: usize) -> usize {
    (at.saturating_sub(3)..=at)
        .rev()
        .find(|&i| bytes[i] & 0xc0 != 0x80)
        .unwrap_or(at)
}

/// Text that can't move the cursor: no escape sequences, no control characters, tabs as spaces;
/// what turns the direction of writing is written out.
pub(crate) fn printable(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = console::strip_ansi_codes(&text);
    if !text.chars().any(is_unseen) {
        return text.into_owned();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\t' => {
                let column = console::measure_text_width(&out);
                out.extend(std::iter::repeat_n(' ', 8 - column % 8));
            }
            '\n' => out.push(' '),
            c if c.is_control() => {}
            c => out.push(c),
        }
    }
    printable::line(&out).into_owned()
}

/// Like [`printable`] for text that is UTF-8 already, such as a step's name.
pub(crate) fn printable_str(text: &str) -> Cow<'_, str> {
    if text.chars().any(is_unseen) {
        Cow::Owned(printable(text.as_bytes()))
    } else {
        Cow::Borrowed(text)
    }
}

/// The last lines of a step: a ring bounded in lines and bytes.
#[derive(Debug, Default)]
pub struct LogTail {
    lines: VecDeque<LogLine>,
    bytes: usize,
    dropped: usize,
}

impl LogTail {
    pub(crate) fn push(&mut self, line: LogLine) {
        self.bytes += line.text.len();
        self.lines.push_back(line);
        while self.lines.len() > TAIL_LINES || (self.bytes > TAIL_BYTES && self.lines.len() > 1) {
            if let Some(old) = self.lines.pop_front() {
                self.bytes -= old.text.len();
                self.dropped += 1;
            }
        }
    }

    /// The lines kept, oldest first.
    pub fn lines(&self) -> impl DoubleEndedIterator<Item = &LogLine> + ExactSizeIterator {
        self.lines.iter()
    }

    /// How many older lines were let go.
    pub fn dropped(&self) -> usize {
        self.dropped
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn feed(chunks: &[&[u8]]) -> (Vec<String>, Option<String>) {
        let mut buffer = LineBuffer::default();
        let lines = chunks.iter().flat_map(|c| buffer.push(c)).collect();
        (lines, buffer.partial())
    }

    #[test]
    fn lines_are_joined_across_chunks() {
        let (lines, partial) = feed(&[b"one\ntw", b"o\nthree"]);
        assert_eq!(lines, ["one", "two"]);
        assert_eq!(partial.as_deref(), Some("three"));
    }

    #[test]
    fn a_utf8_character_may_be_cut_by_a_chunk() {
        let (lines, _) = feed(&[b"caf\xc3", b"\xa9\n"]);
        assert_eq!(lines, ["café"]);
    }

    #[test]
    fn bytes_that_are_not_utf8_become_replacement_characters() {
        let (lines, _) = feed(&[b"latin1: \xe9!\n"]);
        assert_eq!(lines, ["latin1: \u{fffd}!"]);
    }

    #[test]
    fn a_carriage_return_starts_the_line_again() {
        let (lines, partial) = feed(&[b" 10%\r 50%\r100%\r\nnext\r\n\r 3%\r 4%"]);
        assert_eq!(lines, ["100%", "next"]);
        assert_eq!(partial.as_deref(), Some(" 4%"));
    }

    #[test]
    fn empty_lines_are_kept() {
        assert_eq!(feed(&[b"a\n\nb\n"]).0, ["a", "", "b"]);
    }

    #[test]
    fn escape_sequences_and_controls_cannot_reach_the_terminal() {
        let (lines, _) = feed(&[b"\x1b[31mred\x1b[0m\x1b[2J \x07bell\tt\x1b]0;title\x07.\n"]);
        assert_eq!(lines, ["red bell        t."]);
        assert_eq!(feed(&["\u{202e}ko\n".as_bytes()]).0, ["\\u202eko"]);
    }

    #[test]
    fn a_line_without_end_is_split_at_a_character() {
        let long = "é".repeat(MAX_LINE);
        let (lines, partial) = feed(&[b"x", long.as_bytes()]);
        let all: String = lines.iter().cloned().chain(partial).collect();
        assert!(lines.iter().all(|l| l.len() <= MAX_LINE));
        assert_eq!(all, format!("x{long}"));
    }

    #[test]
    fn an_endless_progress_bar_is_bounded() {
        let mut buffer = LineBuffer::default();
        for i in 0..100_000 {
            assert!(
                buffer
                    .push(format!("\r{i} of 100000").as_bytes())
                    .is_empty()
            );
        }
        assert!(
            buffer.bytes.len() <= MAX_LINE + 32,
            "{}",
            buffer.bytes.len()
        );
        assert_eq!(buffer.partial().as_deref(), Some("99999 of 100000"));
    }

    #[test]
    fn the_tail_keeps_the_last_lines() {
        let mut tail = LogTail::default();
        for i in 0..TAIL_LINES + 5 {
            tail.push(LogLine {
                at: Duration::ZERO,
                stream: LogStream::Stdout,
                text: i.to_string(),
            });
        }
        assert_eq!(tail.dropped(), 5);
        assert_eq!(tail.lines().next().unwrap().text, "5");
        let big = "x".repeat(MAX_LINE);
        for _ in 0..100 {
            tail.push(LogLine {
                at: Duration::ZERO,
                stream: LogStream::Stdout,
                text: big.clone(),
            });
        }
        assert!(tail.bytes <= TAIL_BYTES);
    }
}
