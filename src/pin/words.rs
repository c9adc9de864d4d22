//! Words of a Dockerfile with their quotes removed and their variables filled in, by the rules of
//! BuildKit's own lexer (`frontend/dockerfile/shell`).

use regex::Regex;

/// How deep `${A:-${B}}` may be nested. What is read is read by recursion, and its writer a stranger.
const NESTING: usize = 200;

/// Gives the value of a variable; `None` where it isn't set.
pub(super) type Lookup<'a> = &'a dyn Fn(&str) -> Option<String>;

/// Fills in a word; the error is what BuildKit says.
pub(super) fn expand(word: &str, escape: char, lookup: Lookup) -> Result<String, String> {
    let mut lexer = Lexer {
        chars: word.chars().collect(),
        next: 0,
        depth: 0,
        escape,
        lookup,
    };
    lexer.until(None, false)
}

struct Lexer<'a> {
    chars: Vec<char>,
    next: usize,
    /// How many `${` are open.
    depth: usize,
    escape: char,
    lookup: Lookup<'a>,
}

impl Lexer<'_> {
    fn peek(&self) -> Option<char> {
        self.chars.get(self.next).copied()
    }

    fn take(&mut self) -> Option<char> {
        let taken = self.peek();
        self.next += usize::from(taken.is_some());
        taken
    }

    /// Up to a character, which is taken as well, or to the end. With `raw`, escapes stay.
    fn until(&mut self, stop: Option<char>, raw: bool) -> Result<String, String> {
        let mut result = String::new();
        while let Some(c) = self.peek() {
            if Some(c) == stop {
                self.next += 1;
                return Ok(result);
            }
            match c {
                '\'' => self.single(&mut result)?,
                '"' => self.double(&mut result, raw)?,
                '$' => result.push_str(&self.dollar()?),
                _ => {
                    self.next += 1;
                    if c != self.escape {
                        result.push(c);
                        continue;
                    }
                    if raw {
                        result.push(c);
                    }
                    match self.take() {
                        Some(escaped) => result.push(escaped),
                        None => break,
                    }
                }
            }
        }
        match stop {
            Some(stop) => Err(format!(
                "unexpected end of statement while looking for matching {stop}"
            )),
            None => Ok(result),
        }
    }

    fn single(&mut self, result: &mut String) -> Result<(), String> {
        self.next += 1;
        loop {
            match self.take() {
                None => {
                    return Err(
                        "unexpected end of statement while looking for matching single-quote"
                            .into(),
                    );
                }
                Some('\'') => return Ok(()),
                Some(c) => result.push(c),
            }
        }
    }

    fn double(&mut self, result: &mut String, raw: bool) -> Result<(), String> {
        self.next += 1;
        loop {
            match self.peek() {
                None => {
                    return Err(
                        "unexpected end of statement while looking for matching double-quote"
                            .into(),
                    );
                }
                Some('"') => {
                    self.next += 1;
                    return Ok(());
                }
                Some('$') => result.push_str(&self.dollar()?),
                Some(c) => {
                    self.next += 1;
                    let mut kept = c;
                    if c == self.escape {
                        if raw {
                            result.push(c);
                        }
                        match self.peek() {
                            None => continue,
                            Some(next) if next == '"' || next == '$' || next == self.escape => {
                                self.next += 1;
                                kept = next;
                            }
                            Some(_) => {}
                        }
                    }
                    result.push(kept);
                }
            }
        }
    }

    fn dollar(&mut self) -> Result<String, String> {
        if self.depth == NESTING {
            return Err(format!("variables are nested more than {NESTING} deep"));
        }
        self.depth += 1;
        let value = self.variable();
        self.depth -= 1;
        value
    }

    fn variable(&mut self) -> Result<String, String> {
        self.next += 1;
        if self.peek() != Some('{') {
            let name = self.name();
            if name.is_empty() {
                return Ok("$".into());
            }
            return Ok((self.lookup)(&name).unwrap_or_default());
        }
        self.next += 1;
        match self.peek() {
            None => return Err("syntax error: missing '}'".into()),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".into()),
            Some(_) => {}
        }
        let name = self.name();
        let unsupported = |what: &str| format!("unsupported modifier ({what}) in substitution");
        match self.take() {
            Some('}') => Ok((self.lookup)(&name).unwrap_or_default()),
            Some(':') => {
                let operator = self.take();
                let shown: String = [':'].into_iter().chain(operator).collect();
                match operator {
                    Some(c @ ('+' | '-' | '?')) => self.alternative(&name, c, true),
                    Some('#' | '%') => Err(unsupported(&shown)),
                    // What isn't known is told once the rest was read.
                    _ => self.braced('}', false).and(Err(unsupported(&shown))),
                }
            }
            Some(c @ ('+' | '-' | '?')) => self.alternative(&name, c, false),
            Some(c @ ('#' | '%')) => self.trimmed(&name, c),
            Some('/') => self.replaced(&name),
            Some(c) => Err(unsupported(&c.to_string())),
            // The text ends inside the braces.
            None => Err(String::new()),
        }
    }

    /// The rest of a `${…}` up to a character.
    fn braced(&mut self, stop: char, raw: bool) -> Result<String, String> {
        let read = self.until(Some(stop), raw);
        match read {
            Err(_) if self.peek().is_none() => Err(format!("syntax error: missing '{stop}'")),
            read => read,
        }
    }

    fn alternative(
        &mut self,
        name: &str,
        operator: char,
        empty_is_unset: bool,
    ) -> Result<String, String> {
        let word = self.braced('}', false)?;
        let value = (self.lookup)(name);
        let filled = value
            .clone()
            .filter(|value| !(empty_is_unset && value.is_empty()));
        match (operator, filled) {
            ('-', filled) => Ok(filled.unwrap_or(word)),
            ('+', filled) => Ok(filled.map_or_else(String::new, |_| word)),
            (_, Some(filled)) => Ok(filled),
            (_, None) => {
                let state = if value.is_none() { "unset" } else { "empty" };
                let message = if word.is_empty() {
                    format!("is not allowed to be {state}")
                } else {
                    word
                };
                Err(format!("{name}: {message}"))
            }
        }
    }

    /// `${X#pattern}`, `##`, `%`, `%%`.
    fn trimmed(&mut self, name: &str, operator: char) -> Result<String, String> {
        let word = self.braced('}', true)?;
        let (pattern, greedy) = match word.strip_prefix(operator) {
            Some(pattern) => (pattern, true),
            None => (word.as_str(), false),
        };
        let value = (self.lookup)(name).unwrap_or_default();
        if operator == '#' {
            return without_prefix(pattern, &value, greedy);
        }
        // The shortest match at the end is the shortest at the beginning of the reverse.
        let reverse: String = value.chars().rev().collect();
        let left = without_prefix(&reversed(pattern), &reverse, greedy)?;
        Ok(left.chars().rev().collect())
    }

    /// `${X/pattern/replacement}`, `${X//pattern/replacement}`.
    fn replaced(&mut self, name: &str) -> Result<String, String> {
        let all = self.peek() == Some('/');
        self.next += usize::from(all);
        let pattern = self.until(Some('/'), true);
        let pattern = match pattern {
            Err(_) if self.peek().is_none() => {
                return Err("syntax error: missing '/' in ${}".into());
            }
            pattern => pattern?,
        };
        let replacement = self.braced('}', true)?;
        let value = (self.lookup)(name).unwrap_or_default();
        let pattern = as_regex(&pattern, true, false)?;
        if all {
            return Ok(pattern
                .replace_all(&value, replacement.as_str())
                .into_owned());
        }
        Ok(match pattern.find(&value) {
            Some(found) => {
                format!(
                    "{}{replacement}{}",
                    &value[..found.start()],
                    &value[found.end()..]
                )
            }
            None => value,
        })
    }

    /// Letters, digits and `_`; digits alone; or one special parameter.
    fn name(&mut self) -> String {
        let mut name = String::new();
        let Some(first) = self.peek() else {
            return name;
        };
        if first.is_numeric() {
            while let Some(digit) = self.peek().filter(|c| c.is_numeric()) {
                name.push(digit);
                self.next += 1;
            }
            return name;
        }
        if "@*#?-$!0".contains(first) {
            self.next += 1;
            return first.to_string();
        }
        while let Some(c) = self.peek().filter(|c| c.is_alphanumeric() || *c == '_') {
            name.push(c);
            self.next += 1;
        }
        name
    }
}

fn without_prefix(pattern: &str, value: &str, greedy: bool) -> Result<String, String> {
    let pattern = as_regex(pattern, greedy, true)?;
    Ok(match pattern.find(value) {
        Some(found) => value[found.end()..].to_owned(),
        None => value.to_owned(),
    })
}

/// A pattern back to front; an escape stays before what it escapes.
fn reversed(pattern: &str) -> String {
    let chars: Vec<char> = pattern.chars().collect();
    let mut pieces: Vec<String> = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if chars[at] == '\\' && at + 1 < chars.len() {
            pieces.push(chars[at..at + 2].iter().collect());
            at += 2;
        } else {
            pieces.push(chars[at].to_string());
            at += 1;
        }
    }
    pieces.reverse();
    pieces.concat()
}

/// `?` is one character, `*` any run of them; the rest is itself.
fn as_regex(pattern: &str, greedy: bool, anchored: bool) -> Result<Regex, String> {
    let mut text = String::from(if anchored { "^" } else { "" });
    let mut chars = pattern.chars().peekable();
    let invalid = |why: String| format!("invalid pattern ({pattern}) in substitution: {why}");
    while let Some(c) = chars.next() {
        match c {
            '*' => text.push_str(if greedy { ".*" } else { ".*?" }),
            '?' => text.push('.'),
            '\\' if matches!(chars.peek(), Some('}' | '/')) => {}
            '\\' => match chars.next() {
                Some(escaped @ ('*' | '?' | '\\')) => {
                    text.push('\\');
                    text.push(escaped);
                }
                other => {
                    let shown: String = other.into_iter().collect();
                    return Err(invalid(format!("invalid escape '\\{shown}'")));
                }
            },
            '[' | ']' | '{' | '}' | '.' | '+' | '(' | ')' | '|' | '^' | '$' => {
                text.push('\\');
                text.push(c);
            }
            c => text.push(c),
        }
    }
    Regex::new(&text).map_err(|error| invalid(error.to_string()))
}
