//! Text that others wrote, as it may reach a terminal.
//!
//! Control characters move the cursor, rename the window and answer for the person; those for
//! writing direction make a line read in another order than it has. Both are written out, in the
//! form that JSON and TOML read back as the same character: `\u001b`.

use std::borrow::Cow;
use std::fmt::Write as _;

/// True for a character that changes the order in which others are shown.
fn is_bidi(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// True for a character that a terminal doesn't show but obeys. Ends of lines and tabs are ones too.
pub fn is_unseen(c: char) -> bool {
    c.is_control() || is_bidi(c) || matches!(c, '\u{2028}' | '\u{2029}')
}

/// The text with such characters written out; lines and tabs stay.
///
/// ```
/// # use mlbuild_progress::printable::text;
/// assert_eq!(text("a\u{1b}[2J\tb\r\n"), "a\\u001b[2J\tb\r\n");
/// assert_eq!(text("exe\u{202e}gpj.sh"), "exe\\u202egpj.sh");
/// ```
pub fn text(text: &str) -> Cow<'_, str> {
    written_out(text, |c, next| {
        matches!(c, '\n' | '\t') || (c == '\r' && next == Some('\n'))
    })
}

/// As [`text`], for what is to stay one line: a field of a record, a cell of a table.
///
/// ```
/// assert_eq!(mlbuild_progress::printable::line("a\nstatus  ok"), "a\\u000astatus  ok");
/// ```
pub fn line(text: &str) -> Cow<'_, str> {
    written_out(text, |_, _| false)
}

fn written_out(text: &str, stays: impl Fn(char, Option<char>) -> bool) -> Cow<'_, str> {
    // Nearly every text has none.
    let is_plain = |b: u8| (b' '..0x7f).contains(&b);
    if text.bytes().all(is_plain) || !text.chars().any(is_unseen) {
        return Cow::Borrowed(text);
    }
    let mut written = String::with_capacity(text.len() + 16);
    let mut characters = text.chars().peekable();
    while let Some(c) = characters.next() {
        if is_unseen(c) && !stays(c, characters.peek().copied()) {
            let _ = write!(written, "\\u{:04x}", u32::from(c));
        } else {
            written.push(c);
        }
    }
    Cow::Owned(written)
}

#[cfg(test)]
mod tests {
    use super::{line, text};

    #[test]
    fn json_stays_json_and_means_the_same() {
        let said = "a\u{1b}]0;x\u{7}\u{9b}\u{7f}\u{202e}é\u{2028}";
        let json = format!("{:#}", serde_json::json!({ "said": said }));
        let shown = text(&json);
        assert!(
            !shown.contains(|c: char| super::is_unseen(c) && c != '\n'),
            "{shown}"
        );
        let back: serde_json::Value = serde_json::from_str(&shown).unwrap();
        assert_eq!(back["said"], said);
    }

    #[test]
    fn what_is_plain_is_left_as_it_is() {
        for plain in ["", "plain", "日本語 é 👩‍🚀", "two\nlines\tand a tab\r\n"] {
            assert_eq!(text(plain), plain);
        }
        assert_eq!(line("日本語\t"), "日本語\\u0009");
        assert_eq!(text("10%\r100%"), "10%\\u000d100%");
    }
}
