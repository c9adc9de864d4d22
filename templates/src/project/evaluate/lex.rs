//! Tokens of a Python script.

use std::rc::Rc;

use super::grammar;

/// A token.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Token {
    Name(Rc<str>),
    /// An integer; `None` for any other number.
    Number(Option<i64>),
    Text(Rc<str>),
    /// An f-string's text, its expressions still in it.
    Format(Rc<str>),
    Bytes,
    Op(&'static str),
    Newline,
    Indent,
    Dedent,
}

/// Most tokens of a script, and bytes of a name.
const MOST_TOKENS: usize = 60_000;
const LONGEST_NAME: usize = 100;

/// Longest first.
const OPS: [&str; 47] = [
    "**=", "//=", ">>=", "<<=", "...", "==", "!=", "<=", ">=", "->", "+=", "-=", "*=", "/=", "%=",
    "&=", "|=", "^=", "@=", ":=", "**", "//", "<<", ">>", "(", ")", "[", "]", "{", "}", ",", ":",
    ".", ";", "=", "+", "-", "*", "/", "%", "<", ">", "&", "|", "^", "~", "@",
];

/// The tokens; `None` where a string has no end, or where there are too many.
pub(super) fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut lexer = Lexer::new(text);
    lexer.all()?;
    Some(lexer.found)
}

/// The first place at which Python can't read a script, as far as its tokens tell: bytes from its beginning, and
/// what is wrong there.
pub(super) fn fault(text: &str) -> Option<(usize, &'static str)> {
    let mut lexer = Lexer::new(text);
    let is_whole = lexer.all().is_some();
    if let Some(fault) = lexer.fault {
        return Some(fault);
    }
    // Too much of it to be looked at says nothing.
    let found = is_whole.then(|| grammar::fault(&lexer.found))??;
    Some((*lexer.starts.get(found.0)?, found.1))
}

struct Lexer<'a> {
    text: &'a str,
    rest: &'a str,
    found: Vec<Token>,
    /// Where each of them begins, in bytes.
    starts: Vec<usize>,
    brackets: usize,
    indents: Vec<usize>,
    /// What no Python reads, and where.
    fault: Option<(usize, &'static str)>,
}

impl<'a> Lexer<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            text,
            rest: text,
            found: Vec::new(),
            starts: Vec::new(),
            brackets: 0,
            indents: vec![0],
            fault: None,
        }
    }

    fn all(&mut self) -> Option<()> {
        self.begin_line();
        self.starts.resize(self.found.len(), self.at());
        while !self.rest.is_empty() {
            let at = self.at();
            let step = self.step();
            // What begins the next line is where that one's first token is.
            let new = self.found[self.starts.len()..].iter();
            let next = self.at();
            let starts = new.map(|token| match token {
                Token::Indent | Token::Dedent => next,
                _ => at,
            });
            self.starts.extend(starts.collect::<Vec<_>>());
            step?;
            if self.found.len() > MOST_TOKENS {
                return None;
            }
        }
        self.newline();
        for _ in 1..self.indents.len() {
            self.found.push(Token::Dedent);
        }
        self.starts.resize(self.found.len(), self.text.len());
        Some(())
    }

    /// Bytes before the rest.
    fn at(&self) -> usize {
        self.text.len() - self.rest.len()
    }

    /// Takes in what no Python reads.
    fn wrong(&mut self, at: usize, why: &'static str) {
        self.fault.get_or_insert((at, why));
    }

    fn skip(&mut self, bytes: usize) {
        self.rest = self.rest.get(bytes..).unwrap_or_default();
    }

    fn newline(&mut self) {
        let is_open = self
            .found
            .last()
            .is_some_and(|last| !matches!(last, Token::Newline | Token::Indent | Token::Dedent));
        if is_open {
            self.found.push(Token::Newline);
        }
    }

    /// White space at the beginning of a line, past lines that are blank or a comment.
    fn begin_line(&mut self) {
        loop {
            let line = self.rest.split('\n').next().unwrap_or_default();
            let code = line.trim_start_matches([' ', '\t', '\x0c']);
            if !(code.trim().is_empty() || code.starts_with('#')) {
                let spaces = &line[..line.len() - code.len()];
                let width = spaces.chars().map(|c| if c == '\t' { 8 } else { 1 }).sum();
                self.skip(line.len() - code.len());
                return self.indent(width);
            }
            if self.rest.len() == line.len() {
                return self.rest = "";
            }
            self.skip(line.len() + 1);
        }
    }

    fn indent(&mut self, width: usize) {
        if self.indents.last().is_some_and(|last| width > *last) {
            self.indents.push(width);
            return self.found.push(Token::Indent);
        }
        while self.indents.last().is_some_and(|last| width < *last) {
            self.indents.pop();
            self.found.push(Token::Dedent);
        }
        let is_plain = !self.text[..self.at()].ends_with('\t');
        if is_plain && self.indents.last() != Some(&width) {
            self.wrong(self.at(), "an indentation that fits no block around it");
        }
    }

    fn step(&mut self) -> Option<()> {
        let first = self.rest.chars().next()?;
        match first {
            '\n' => {
                self.skip(1);
                if self.brackets == 0 {
                    self.newline();
                    self.begin_line();
                }
            }
            '\\' if self.rest[1..].starts_with('\n') => self.skip(2),
            '\\' if self.rest[1..].starts_with("\r\n") => self.skip(3),
            '#' => self.skip(self.rest.find('\n').unwrap_or(self.rest.len())),
            _ if first.is_whitespace() => self.skip(first.len_utf8()),
            '"' | '\'' => self.string("")?,
            _ if first.is_ascii_digit() => self.number(),
            _ if first.is_alphabetic() || first == '_' => {
                let is_word = |c: char| c.is_alphanumeric() || c == '_';
                let end = self.rest.find(|c| !is_word(c)).unwrap_or(self.rest.len());
                let (word, rest) = self.rest.split_at(end);
                self.rest = rest;
                let is_prefix = word.len() < 3 && word.chars().all(|c| "rRbBfFuU".contains(c));
                if is_prefix && rest.starts_with(['"', '\'']) {
                    return self.string(&word.to_lowercase());
                }
                if word.len() > LONGEST_NAME {
                    return None;
                }
                self.found.push(Token::Name(word.into()));
            }
            _ => {
                let Some(op) = OPS.into_iter().find(|op| self.rest.starts_with(*op)) else {
                    // `!`, `$` and the like.
                    self.wrong(self.at(), "a character that Python has no use for");
                    return None;
                };
                match op {
                    "(" | "[" | "{" => self.brackets += 1,
                    ")" | "]" | "}" => self.brackets = self.brackets.saturating_sub(1),
                    _ => {}
                }
                self.skip(op.len());
                self.found.push(Token::Op(op));
            }
        }
        Some(())
    }

    fn number(&mut self) {
        let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '.';
        let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
        let number = self.rest[..end].replace('_', "").parse();
        self.skip(end);
        self.found.push(Token::Number(number.ok()));
    }

    /// A string literal, its prefix already read.
    fn string(&mut self, prefix: &str) -> Option<()> {
        let start = self.at();
        let end = self.string_from(prefix);
        if end.is_none() {
            self.wrong(start, "the string that begins there has no end");
        }
        end
    }

    fn string_from(&mut self, prefix: &str) -> Option<()> {
        let quote = &self.rest[..1];
        let triple = quote.repeat(3);
        let close = if self.rest.starts_with(&triple) {
            triple.as_str()
        } else {
            quote
        };
        self.rest = &self.rest[close.len()..];
        let is_raw = prefix.contains('r');
        let mut text = String::new();
        loop {
            if let Some(rest) = self.rest.strip_prefix(close) {
                self.rest = rest;
                break;
            }
            let c = self.rest.chars().next()?;
            self.skip(c.len_utf8());
            if c == '\\' {
                let next = self.rest.chars().next()?;
                self.skip(next.len_utf8());
                escape(next, is_raw, &mut text);
            } else if c == '\n' && close.len() == 1 {
                return None;
            } else {
                text.push(c);
            }
        }
        self.found.push(match prefix {
            _ if prefix.contains('b') => Token::Bytes,
            _ if prefix.contains('f') => Token::Format(text.into()),
            _ => Token::Text(text.into()),
        });
        Some(())
    }
}

fn escape(next: char, is_raw: bool, text: &mut String) {
    match next {
        _ if is_raw => text.extend(['\\', next]),
        '\n' => {}
        'n' => text.push('\n'),
        't' => text.push('\t'),
        'r' => text.push('\r'),
        '\\' | '\'' | '"' => text.push(next),
        _ => text.extend(['\\', next]),
    }
}
