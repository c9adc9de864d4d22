//! Logical lines, as pip makes them: ends of lines as Python's `splitlines` sees them, lines that end in a
//! backslash joined with the next, comments and blank lines left out.

/// A logical line with the numbers, from 1, of its first and last line in the file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::project) struct Line {
    pub number: usize,
    pub last: usize,
    pub text: String,
    /// Whether the file ends with its backslash.
    pub open: bool,
}

pub(in crate::project) fn logical_lines(text: &str) -> Vec<Line> {
    let mut lines = Vec::new();
    let mut open: Option<Line> = None;
    for (index, raw) in split_lines(text).into_iter().enumerate() {
        let number = index + 1;
        let comment = raw.trim_start().starts_with('#');
        let continues = raw.ends_with('\\') && !comment;
        let line = open.get_or_insert(Line {
            number,
            last: number,
            text: String::new(),
            open: false,
        });
        line.last = number;
        if comment {
            // With a blank before it, a comment at the end of a joined line is still one.
            line.text.push(' ');
        }
        // pip strips every backslash there is at both ends of a line that goes on.
        line.text.push_str(if continues {
            raw.trim_matches('\\')
        } else {
            raw
        });
        if !continues {
            lines.extend(open.take());
        }
    }
    if let Some(mut line) = open {
        line.open = true;
        lines.push(line);
    }
    for line in &mut lines {
        line.text = without_comment(&line.text).trim().to_owned();
    }
    lines.retain(|line| !line.text.is_empty());
    lines
}

fn split_lines(text: &str) -> Vec<&str> {
    const ENDS: [char; 10] = [
        '\n', '\r', '\x0b', '\x0c', '\x1c', '\x1d', '\x1e', '\u{85}', '\u{2028}', '\u{2029}',
    ];
    let mut lines = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(ENDS) {
        lines.push(&rest[..at]);
        let end = rest[at..].chars().next().map_or(1, char::len_utf8);
        let end = if rest[at..].starts_with("\r\n") {
            2
        } else {
            end
        };
        rest = &rest[at + end..];
    }
    if !rest.is_empty() {
        lines.push(rest);
    }
    lines
}

/// A `#` at the beginning or after white space begins a comment; one inside a URL doesn't.
fn without_comment(text: &str) -> &str {
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        if c == '#' && before.is_whitespace() {
            return &text[..at];
        }
        before = c;
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(text: &str) -> Vec<(usize, usize, String)> {
        let lines = logical_lines(text).into_iter();
        lines.map(|l| (l.number, l.last, l.text)).collect()
    }

    #[test]
    fn lines_are_joined_and_comments_dropped() {
        assert_eq!(
            lines("a \\\n b\n# c \\\nd\t# e\nf\\\n# g\nh#i\nj\\"),
            [
                (1, 2, "a  b".into()),
                (4, 4, "d".into()),
                (5, 6, "f".into()),
                (7, 7, "h#i".into()),
                (8, 8, "j".into()),
            ]
        );
        assert_eq!(lines("a\r\nb\rc\x0cd").len(), 4);
    }
}
