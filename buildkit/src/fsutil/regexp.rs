//! Turns the regular expressions that ignore patterns stand for into ones
//! that the `regex` crate reads the same way.
//!
//! Patterns are defined by way of Go's RE2 syntax: a class such as `[a[b]` or
//! an escape such as `\d`, `\101` or `\Qa\E` goes through as it is, and there
//! the two dialects differ. This reads the subset that
//! [`super::patterns`] can produce (no groups but its own, no lazy repeats) and
//! writes it with every character and class spelled out.

use std::fmt::Write;
use std::iter::Peekable;
use std::str::Chars;

/// The expression isn't valid in Go's syntax.
#[derive(Debug, PartialEq, Eq)]
pub struct Invalid;

type Input<'a> = Peekable<Chars<'a>>;

/// Rewrites a Go expression; the result matches over bytes that are UTF-8.
pub fn translate(go: &str) -> Result<regex::bytes::Regex, Invalid> {
    let mut out = String::with_capacity(go.len() * 2);
    let mut input = go.chars().peekable();
    // Go refuses a repeat with nothing before it, and a repeat of a repeat.
    let mut repeatable = false;
    while let Some(c) = input.next() {
        let was = std::mem::replace(&mut repeatable, true);
        match c {
            '[' => class(&mut input, &mut out)?,
            '\\' => repeatable = escape(&mut input, &mut out)?,
            '.' => out.push_str("[^\\n]"),
            '(' => {
                out.push_str("(?:");
                repeatable = false;
            }
            ')' => out.push(')'),
            '*' | '?' => {
                if !was {
                    return Err(Invalid);
                }
                out.push(c);
                repeatable = false;
            }
            '|' => {
                out.push(c);
                repeatable = false;
            }
            '{' => match counted(&mut input)? {
                Some(_) if !was => return Err(Invalid),
                Some(text) => {
                    out.push_str(&text);
                    repeatable = false;
                }
                None => literal(c, &mut out),
            },
            '^' => out.push_str("\\A"),
            '$' => out.push_str("\\z"),
            _ => literal(c, &mut out),
        }
    }
    regex::bytes::Regex::new(&out).map_err(|_| Invalid)
}

fn literal(c: char, out: &mut String) {
    write!(out, "\\x{{{:x}}}", c as u32).expect("writing to a string");
}

fn range(low: u32, high: u32, out: &mut String) {
    write!(out, "\\x{{{low:x}}}-\\x{{{high:x}}}").expect("writing to a string");
}

/// A counted repeat after its `{`: `n}`, `n,}` or `n,m}`, up to 1000. `None`
/// where it isn't one, and the brace stands for itself.
fn counted(input: &mut Input<'_>) -> Result<Option<String>, Invalid> {
    let text: String = input.clone().take_while(|c| *c != '}').collect();
    let length = text.chars().count();
    let closed = input.clone().nth(length) == Some('}');
    let (low, high) = text.split_once(',').unwrap_or((&text, ""));
    let is_number = |n: &str| {
        n.bytes().all(|b| b.is_ascii_digit())
            && !n.is_empty()
            && (n.len() == 1 || !n.starts_with('0'))
    };
    if !closed || !is_number(low) || !(high.is_empty() || is_number(high)) {
        return Ok(None);
    }
    for _ in 0..=length {
        input.next();
    }
    let small = |n: &str| n.parse::<u32>().ok().filter(|n| *n <= 1000).ok_or(Invalid);
    if !high.is_empty() && small(high)? < small(low)? {
        return Err(Invalid);
    }
    small(low)?;
    Ok(Some(format!("{{{text}}}")))
}

/// An escape outside a class; tells whether a repeat may follow.
fn escape(input: &mut Input<'_>, out: &mut String) -> Result<bool, Invalid> {
    match input.peek() {
        Some('A') => out.push_str("\\A"),
        Some('z') => out.push_str("\\z"),
        Some('b') => out.push_str("(?-u:\\b)"),
        Some('B') => out.push_str("(?-u:\\B)"),
        Some('Q') => {
            input.next();
            return Ok(quoted(input, out));
        }
        Some('p' | 'P' | 'd' | 'D' | 's' | 'S' | 'w' | 'W') => {
            out.push('[');
            named_escape(input, out)?;
            out.push(']');
            return Ok(true);
        }
        _ => {
            literal(escaped_char(input)?, out);
            return Ok(true);
        }
    }
    input.next();
    Ok(true)
}

/// Literal text up to `\E` or the end.
fn quoted(input: &mut Input<'_>, out: &mut String) -> bool {
    let mut any = false;
    while let Some(c) = input.next() {
        if c == '\\' && input.peek() == Some(&'E') {
            input.next();
            break;
        }
        literal(c, out);
        any = true;
    }
    any
}

/// The sets with a letter for a name, as members of a class.
fn named_escape(input: &mut Input<'_>, out: &mut String) -> Result<(), Invalid> {
    match input.next() {
        Some('d') => out.push_str("0-9"),
        Some('D') => out.push_str("[^0-9]"),
        Some('s') => out.push_str("\\t\\n\\x0c\\r\\x20"),
        Some('S') => out.push_str("[^\\t\\n\\x0c\\r\\x20]"),
        Some('w') => out.push_str("0-9A-Za-z_"),
        Some('W') => out.push_str("[^0-9A-Za-z_]"),
        Some(sign @ ('p' | 'P')) => {
            let not = if sign == 'P' { "^" } else { "" };
            match input.next() {
                // Go leaves what isn't assigned out of "other".
                Some('C') => write!(out, "[{not}\\p{{Cc}}\\p{{Cf}}\\p{{Co}}]"),
                Some(c @ ('L' | 'M' | 'N' | 'P' | 'S' | 'Z')) => write!(out, "[{not}\\p{{{c}}}]"),
                _ => return Err(Invalid),
            }
            .expect("writing to a string");
        }
        _ => return Err(Invalid),
    }
    Ok(())
}

/// One escaped character, after its backslash.
fn escaped_char(input: &mut Input<'_>) -> Result<char, Invalid> {
    let c = input.next().ok_or(Invalid)?;
    let octal = |input: &mut Input<'_>| input.next_if(|c| ('0'..='7').contains(c));
    match c {
        'a' => Ok('\x07'),
        'f' => Ok('\x0c'),
        'n' => Ok('\n'),
        'r' => Ok('\r'),
        't' => Ok('\t'),
        'v' => Ok('\x0b'),
        '0'..='7' => {
            let mut value = c as u32 - '0' as u32;
            for i in 0..2 {
                match octal(input) {
                    Some(d) => value = value * 8 + (d as u32 - '0' as u32),
                    // One digit that isn't zero would be a back-reference.
                    None if i == 0 && c != '0' => return Err(Invalid),
                    None => break,
                }
            }
            char::from_u32(value).ok_or(Invalid)
        }
        'x' => {
            let mut digit = || input.next().and_then(|c| c.to_digit(16)).ok_or(Invalid);
            char::from_u32(digit()? * 16 + digit()?).ok_or(Invalid)
        }
        c if c.is_ascii() && !c.is_ascii_alphanumeric() => Ok(c),
        _ => Err(Invalid),
    }
}

/// A bracketed class, after its `[`.
fn class(input: &mut Input<'_>, out: &mut String) -> Result<(), Invalid> {
    out.push('[');
    if input.next_if_eq(&'^').is_some() {
        out.push('^');
    }
    let mut first = true;
    while first || input.peek() != Some(&']') {
        first = false;
        let low = match input.next().ok_or(Invalid)? {
            '[' if input.peek() == Some(&':') => {
                if posix(input, out)? {
                    continue;
                }
                '['
            }
            '\\' => match input.peek() {
                Some('p' | 'P' | 'd' | 'D' | 's' | 'S' | 'w' | 'W') => {
                    named_escape(input, out)?;
                    continue;
                }
                _ => escaped_char(input)?,
            },
            c => c,
        };
        let mut high = low;
        let mut ahead = input.clone();
        if ahead.next() == Some('-') && ahead.next().is_some_and(|c| c != ']') {
            input.next();
            high = match input.next().ok_or(Invalid)? {
                '\\' => escaped_char(input)?,
                c => c,
            };
            if high < low {
                return Err(Invalid);
            }
        }
        range(low as u32, high as u32, out);
    }
    input.next();
    out.push(']');
    Ok(())
}

/// `[:name:]`, after its first bracket; false where it is plain text.
fn posix(input: &mut Input<'_>, out: &mut String) -> Result<bool, Invalid> {
    let rest: String = input.clone().skip(1).collect();
    let Some(end) = rest.find(":]") else {
        return Ok(false);
    };
    let name = rest[..end].strip_prefix('^').unwrap_or(&rest[..end]);
    let known = [
        "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
        "space", "upper", "word", "xdigit",
    ];
    if !known.contains(&name) {
        return Err(Invalid);
    }
    write!(out, "[:{}:]", &rest[..end]).expect("writing to a string");
    for _ in 0..rest[..end].chars().count() + 3 {
        input.next();
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(go: &str, text: &str) -> bool {
        translate(go).unwrap().is_match(text.as_bytes())
    }

    #[test]
    fn classes_read_as_go_reads_them() {
        assert!(matches("^[a[b]$", "["));
        assert!(matches("^[]a]$", "]"));
        assert!(matches("^[a&&b]$", "&"));
        assert!(matches("^[[:digit:]x-]$", "-"));
        assert!(!matches("^[^a-c]$", "b"));
        assert!(matches("^[^a]$", "\n"));
        assert_eq!(translate("^[z-a]$").unwrap_err(), Invalid);
        assert_eq!(translate("^[[:no:]]$").unwrap_err(), Invalid);
    }

    #[test]
    fn escapes_read_as_go_reads_them() {
        assert!(matches("^\\101\\d\\.$", "A7."));
        assert!(!matches("^\\d$", "٣"));
        assert!(matches("^\\Qa.*$", "a.*$"));
        assert!(matches("^\\<$", "<"));
        for bad in ["^\\y$", "^\\1$", "^\\é$", "^\\x4$"] {
            assert_eq!(translate(bad).unwrap_err(), Invalid, "{bad}");
        }
    }

    #[test]
    fn a_dot_is_no_line_break() {
        assert!(!matches("^(.*/)?a$", "x\ny/a"));
        assert!(matches("^[^/]*$", "x\ny"));
    }
}
