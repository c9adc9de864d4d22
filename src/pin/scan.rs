//! The words of a Dockerfile's statements, with their places in the text.
//!
//! Follows the Dockerfile reference: comments, line continuations, the
//! `escape` directive and here-documents. It doesn't judge the text; BuildKit
//! does.

/// One instruction.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Statement {
    /// Upper-case keyword.
    pub keyword: String,
    /// The words after the keyword, separated by white space.
    pub words: Vec<Word>,
    /// Line of the keyword, from 1.
    pub line: usize,
}

/// A word, without continuation characters, and its place in bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub text: String,
    pub start: usize,
    pub end: usize,
}

pub(super) fn statements(text: &str) -> Vec<Statement> {
    let escape = escape_character(text);
    let mut statements = Vec::new();
    let mut lines = numbered(text).peekable();
    while let Some((number, start, line)) = lines.next() {
        if is_blank_or_comment(line) {
            continue;
        }
        let mut words = Vec::new();
        let mut current = (start, line);
        loop {
            let (content, continues) = without_continuation(current.1, escape);
            words.extend(split(content, current.0));
            if !continues {
                break;
            }
            // Comments and blank lines inside a continued statement are skipped.
            match lines
                .by_ref()
                .find(|(_, _, line)| !is_blank_or_comment(line))
            {
                Some((_, start, line)) => current = (start, line),
                None => break,
            }
        }
        let keyword = words.remove(0).text.to_ascii_uppercase();
        if matches!(keyword.as_str(), "RUN" | "COPY" | "ADD") {
            for end in words.iter().filter_map(|word| heredoc(&word.text)) {
                let ends = |line: &str| match end.strip_tabs {
                    true => line.trim_start_matches('\t') == end.word,
                    false => line == end.word,
                };
                lines
                    .by_ref()
                    .find(|(_, _, line)| ends(line.trim_end_matches('\r')));
            }
        }
        statements.push(Statement {
            keyword,
            words,
            line: number,
        });
    }
    statements
}

/// (line number from 1, byte offset, line without its end)
fn numbered(text: &str) -> impl Iterator<Item = (usize, usize, &str)> {
    let mut offset = 0;
    text.split_inclusive('\n')
        .enumerate()
        .map(move |(index, line)| {
            let start = offset;
            offset += line.len();
            (index + 1, start, line.trim_end_matches('\n'))
        })
}

fn is_blank_or_comment(line: &str) -> bool {
    let line = line.trim_start();
    line.is_empty() || line.starts_with('#')
}

/// The `# escape=` directive, which must stand before anything but directives.
fn escape_character(text: &str) -> char {
    for line in text.lines() {
        let Some(comment) = line.trim().strip_prefix('#') else {
            break;
        };
        match comment.split_once('=') {
            Some((name, value)) if name.trim().eq_ignore_ascii_case("escape") => {
                return value.trim().chars().next().unwrap_or('\\');
            }
            Some((name, _)) if name.trim().bytes().all(|b| b.is_ascii_alphanumeric()) => {}
            _ => break,
        }
    }
    '\\'
}

fn without_continuation(line: &str, escape: char) -> (&str, bool) {
    match line.trim_end().strip_suffix(escape) {
        Some(content) if !content.ends_with(escape) => (content, true),
        _ => (line, false),
    }
}

fn split(line: &str, offset: usize) -> impl Iterator<Item = Word> {
    line.split_whitespace().map(move |word| {
        let start = offset + (word.as_ptr() as usize - line.as_ptr() as usize);
        Word {
            text: word.to_owned(),
            start,
            end: start + word.len(),
        }
    })
}

struct Heredoc<'a> {
    word: &'a str,
    strip_tabs: bool,
}

/// `<<EOF`, `<<-EOF`, `<<"EOF"`, `3<<EOF` at the start of a word.
fn heredoc(word: &str) -> Option<Heredoc<'_>> {
    let rest = word
        .trim_start_matches(|c: char| c.is_ascii_digit())
        .strip_prefix("<<")?;
    let (rest, strip_tabs) = match rest.strip_prefix('-') {
        Some(rest) => (rest, true),
        None => (rest, false),
    };
    let name = rest.trim_matches(['"', '\'']);
    let length = name
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_' || c == '.'))
        .unwrap_or(name.len());
    (length > 0 && !name.starts_with('<')).then_some(Heredoc {
        word: &name[..length],
        strip_tabs,
    })
}
