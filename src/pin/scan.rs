//! The instructions of a Dockerfile, by the rules of BuildKit's own reader
//! (`frontend/dockerfile/parser`): directives, comments, continued lines, flags and here-documents.
//! Each word keeps its place in the text.

use super::words;

/// One instruction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// Upper-case keyword.
    pub keyword: String,
    /// The flags before the arguments, quotes removed.
    pub flags: Vec<Word>,
    /// The words after the flags, separated by white space.
    pub words: Vec<Word>,
    /// All that stands after the flags.
    pub arguments: String,
    /// Names of here-documents.
    pub heredocs: Vec<String>,
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

/// A Dockerfile that BuildKit doesn't take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("Dockerfile:{line}: {reason}")]
pub struct Refusal {
    /// Line, from 1.
    pub line: usize,
    /// What BuildKit says.
    pub reason: String,
}

/// A Dockerfile, read.
#[derive(Debug)]
pub(super) struct Scan {
    pub statements: Vec<Statement>,
    /// The character that escapes and continues lines.
    pub escape: char,
    /// The image of `# syntax=`.
    pub syntax: Option<(Word, usize)>,
    /// The first thing that BuildKit would refuse while reading.
    pub refusal: Option<Refusal>,
}

pub(super) fn scan(text: &str) -> Scan {
    let mut reader = Reader {
        lines: lines(text),
        next: 0,
        directives: Directives::default(),
        scan: Scan {
            statements: Vec::new(),
            escape: '\\',
            syntax: None,
            refusal: None,
        },
    };
    while reader.next < reader.lines.len() {
        reader.instruction();
    }
    if reader.scan.statements.is_empty() {
        reader.refuse(1, "file with no instructions");
    }
    reader.scan
}

/// A line without its end, and its place.
#[derive(Clone, Copy)]
struct Line<'a> {
    start: usize,
    text: &'a str,
}

fn lines(text: &str) -> Vec<Line<'_>> {
    let mut start = 0;
    let mut lines = Vec::new();
    for line in text.split_inclusive('\n') {
        let mut this = Line {
            start,
            text: line.trim_end_matches(['\r', '\n']),
        };
        // A byte order mark is no part of the first line.
        if start == 0
            && let Some(rest) = this.text.strip_prefix('\u{feff}')
        {
            this = Line {
                start: '\u{feff}'.len_utf8(),
                text: rest,
            };
        }
        lines.push(this);
        start += line.len();
    }
    lines
}

/// Parser directives: the first lines, as long as each is one.
#[derive(Default)]
struct Directives {
    done: bool,
    seen: Vec<String>,
}

struct Reader<'a> {
    lines: Vec<Line<'a>>,
    next: usize,
    directives: Directives,
    scan: Scan,
}

/// The characters of a logical line, each with its place in the file.
#[derive(Default)]
struct Joined {
    text: String,
    /// Where pieces begin: in the joined text, in the file.
    pieces: Vec<(usize, usize)>,
}

impl Joined {
    fn push(&mut self, piece: &str, start: usize) {
        self.pieces.push((self.text.len(), start));
        self.text.push_str(piece);
    }

    fn place(&self, at: usize) -> usize {
        let piece = self.pieces.iter().rev().find(|(begin, _)| *begin <= at);
        piece.map_or(at, |(begin, start)| start + at - begin)
    }

    /// A word of the joined text. Its end is that of its last character: after it a line may go on.
    fn word(&self, text: &str, start: usize, end: usize) -> Word {
        Word {
            text: text.to_owned(),
            start: self.place(start),
            end: self.place(end.saturating_sub(1)) + usize::from(end > 0),
        }
    }
}

impl Reader<'_> {
    fn refuse(&mut self, line: usize, reason: impl Into<String>) {
        self.scan.refusal.get_or_insert(Refusal {
            line,
            reason: reason.into(),
        });
    }

    fn instruction(&mut self) {
        let number = self.next + 1;
        let line = self.lines[self.next];
        self.next += 1;
        let trimmed = line.text.trim_start();
        self.directive(trimmed, line, number);
        if trimmed.starts_with('#') {
            return;
        }
        let mut joined = Joined::default();
        let (content, mut continues) = self.without_continuation(trimmed);
        if !continues && content.is_empty() {
            return;
        }
        joined.push(content, line.start + line.text.len() - trimmed.len());
        while continues && self.next < self.lines.len() {
            let line = self.lines[self.next];
            self.next += 1;
            let blank = line.text.trim_start();
            if blank.is_empty() || blank.starts_with('#') {
                continue;
            }
            let (content, more) = self.without_continuation(line.text);
            joined.push(content, line.start);
            continues = more;
        }
        self.statement(&joined, number);
    }

    fn without_continuation<'t>(&self, line: &'t str) -> (&'t str, bool) {
        let escape = self.scan.escape;
        match line.trim_end_matches([' ', '\t']).strip_suffix(escape) {
            Some(content) if !content.ends_with(escape) => (content, true),
            _ => (line, false),
        }
    }

    fn directive(&mut self, line: &str, whole: Line<'_>, number: usize) {
        if self.directives.done {
            return;
        }
        let found = line.strip_prefix('#').and_then(|comment| {
            let (name, value) = comment.trim_start().split_once('=')?;
            let name = name.trim_end();
            let starts = name.starts_with(|c: char| c.is_ascii_alphabetic());
            let plain = name.bytes().all(|b| b.is_ascii_alphanumeric());
            let value = value.trim();
            let known = ["syntax", "escape", "check"].contains(&name.to_lowercase().as_str());
            (starts && plain && known && !value.is_empty()).then(|| (name.to_lowercase(), value))
        });
        let Some((name, value)) = found else {
            self.directives.done = true;
            return;
        };
        if self.directives.seen.contains(&name) {
            self.refuse(
                number,
                format!("only one {name} parser directive can be used"),
            );
            return;
        }
        match (name.as_str(), value) {
            ("escape", "\\" | "`") => self.scan.escape = value.chars().next().unwrap_or('\\'),
            ("escape", _) => {
                let reason = format!("invalid escape token '{value}' does not match ` or \\");
                self.refuse(number, reason);
            }
            ("syntax", _) => {
                let image = value.split(' ').next().unwrap_or(value);
                let start = whole.start + (image.as_ptr() as usize - whole.text.as_ptr() as usize);
                let word = Word {
                    text: image.to_owned(),
                    start,
                    end: start + image.len(),
                };
                self.scan.syntax = Some((word, number));
            }
            _ => {}
        }
        self.directives.seen.push(name);
    }

    fn statement(&mut self, joined: &Joined, number: usize) {
        let text = joined.text.trim_end();
        let begin = text.len() - text.trim_start().len();
        let is_blank = |c: char| matches!(c, '\t' | '\x0b' | '\x0c' | '\r' | ' ');
        let end = text[begin..]
            .find(is_blank)
            .map_or(text.len(), |at| begin + at);
        let keyword = text[begin..end].to_ascii_uppercase();
        let mut statement = Statement {
            keyword,
            flags: Vec::new(),
            words: Vec::new(),
            arguments: String::new(),
            heredocs: Vec::new(),
            line: number,
        };
        let rest = flags(text, end, self.scan.escape, joined, &mut statement.flags);
        statement.arguments = text[rest..].trim().to_owned();
        let mut at = rest;
        for word in text[rest..].split(char::is_whitespace) {
            if !word.is_empty() {
                statement.words.push(joined.word(word, at, at + word.len()));
            }
            let after = text[at + word.len()..].chars().next();
            at += word.len() + after.map_or(0, char::len_utf8);
        }
        self.heredocs(text, &mut statement);
        self.scan.statements.push(statement);
    }

    /// Passes over the here-documents of RUN, COPY and ADD, also behind ONBUILD.
    fn heredocs(&mut self, text: &str, statement: &mut Statement) {
        let first = statement.arguments.to_ascii_uppercase();
        let inner = first.split_whitespace().next().unwrap_or("");
        let takes = |keyword: &str| matches!(keyword, "RUN" | "COPY" | "ADD");
        let may = takes(&statement.keyword) || (statement.keyword == "ONBUILD" && takes(inner));
        let is_list = serde_json::from_str::<Vec<String>>(&statement.arguments).is_ok();
        if !may || is_list || !text.contains("<<") {
            return;
        }
        for document in heredocs_of(text) {
            let ends = |line: &str| {
                if document.strip_tabs {
                    line.trim_start_matches('\t') == document.name
                } else {
                    line == document.name
                }
            };
            let rest = &self.lines[self.next..];
            match rest.iter().position(|line| ends(line.text)) {
                Some(at) => self.next += at + 1,
                None => {
                    self.next = self.lines.len();
                    self.refuse(statement.line, "unterminated heredoc");
                }
            }
            statement.heredocs.push(document.name);
        }
    }
}

/// Takes the words that begin with `--`; gives where the arguments begin.
fn flags(text: &str, from: usize, escape: char, joined: &Joined, found: &mut Vec<Word>) -> usize {
    let mut at = from;
    loop {
        let rest = &text[at..];
        at += rest.len() - rest.trim_start().len();
        if !text[at..].starts_with("--") {
            return at;
        }
        let start = at;
        let mut word = String::new();
        let mut quote = None;
        let mut chars = text[at..].char_indices();
        let mut end = text.len();
        while let Some((offset, c)) = chars.next() {
            match quote {
                None if c.is_whitespace() => {
                    end = start + offset;
                    break;
                }
                None if c == '\'' || c == '"' => quote = Some(c),
                Some(open) if c == open => quote = None,
                _ if c == escape => word.extend(chars.next().map(|(_, c)| c)),
                _ => word.push(c),
            }
        }
        at = end;
        if word == "--" {
            return at;
        }
        found.push(joined.word(&word, start, end));
    }
}

struct Heredoc {
    name: String,
    strip_tabs: bool,
}

/// `<<EOF`, `<<-EOF`, `<<"EOF"`, `3<<EOF`: each a word of its own.
fn heredocs_of(text: &str) -> Vec<Heredoc> {
    let mut found = Vec::new();
    for word in shell_words(text) {
        let rest = word.trim_start_matches(|c: char| c.is_ascii_digit());
        let Some(rest) = rest.strip_prefix("<<") else {
            continue;
        };
        let (rest, strip_tabs) = match rest.strip_prefix('-') {
            Some(rest) => (rest, true),
            None => (rest, false),
        };
        let rest = rest.trim_start();
        if rest.is_empty() || rest.contains('<') {
            continue;
        }
        // A variable in the name stands for itself.
        let literal = |name: &str| Some(format!("${name}"));
        if let Ok(name) = words::expand(rest, '\\', &literal)
            && !name.is_empty()
            && !name.contains(char::is_whitespace)
        {
            found.push(Heredoc { name, strip_tabs });
        }
    }
    found
}

/// The words of a line, quotes kept; blanks after `<<` don't end one.
fn shell_words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match (quote, c) {
            (None, c) if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
            }
            (None, '\\') | (Some('"'), '\\') => {
                word.push(c);
                word.extend(chars.next());
            }
            (None, '\'' | '"') => {
                quote = Some(c);
                word.push(c);
            }
            (Some(open), c) if c == open => {
                quote = None;
                word.push(c);
            }
            (None, '<') if chars.peek() == Some(&'<') => {
                word.push_str("<<");
                chars.next();
                while let Some(blank) = chars
                    .peek()
                    .copied()
                    .filter(|c| matches!(c, ' ' | '\t' | '\r'))
                {
                    word.push(blank);
                    chars.next();
                }
            }
            (_, c) => word.push(c),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
}
