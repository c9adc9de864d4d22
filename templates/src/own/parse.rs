//! Reading a user's template: its ARGs, with the line of each.

use std::borrow::Cow;
use std::collections::BTreeSet;

use parse_dockerfile::{Dockerfile, Instruction};

/// A template of the user's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnTemplate {
    /// Its text.
    pub text: String,
    /// Its ARGs, in order; the same name may come more than once.
    pub args: Vec<TemplateArg>,
}

/// One ARG of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TemplateArg {
    /// Its name.
    pub name: String,
    /// Its default as it is written, if it has one.
    pub default: Option<String>,
    /// Its line, from 1.
    pub line: usize,
}

/// A template that can't be read as a Dockerfile.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{reason}; correct the Dockerfile, or look at one that works: mlbuild templates show python"
)]
pub struct TemplateError {
    /// What is wrong and, where the parser can tell, at which line.
    pub reason: String,
}

impl OwnTemplate {
    /// Reads a template's text.
    ///
    /// # Errors
    /// Where it isn't a Dockerfile.
    pub fn parse(text: &str) -> Result<Self, TemplateError> {
        let distinct = distinct(text);
        let parsed = parse(&distinct)?;
        let args = parsed
            .instructions
            .iter()
            .filter_map(|instruction| match instruction {
                Instruction::Arg(arg) => {
                    Some((arg.arguments.value.clone(), arg.arguments.span.start))
                }
                _ => None,
            });
        let args = args.flat_map(|(names, at)| {
            let line = line_of(text, at);
            let names: Vec<TemplateArg> = split_args(&names)
                .into_iter()
                .map(|(name, default)| TemplateArg {
                    name,
                    default,
                    line,
                })
                .collect();
            names
        });
        Ok(Self {
            args: args.collect(),
            text: text.to_owned(),
        })
    }

    /// Whether it takes a parameter.
    pub fn takes(&self, name: &str) -> bool {
        self.args.iter().any(|arg| arg.name == name)
    }
}

/// Most stages that are called as others, as far as a file is read all the same: each takes reading it once more.
const MOST_DUPLICATES: usize = 50;

/// The text with other names for stages that are called as earlier ones, which the parser refuses and builders take.
/// Each is as long as the one it stands for, so that places are the same; the names themselves are in the text as it
/// was.
pub(super) fn distinct(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..MOST_DUPLICATES {
        let Err(error) = parse_dockerfile::parse(&text) else {
            break;
        };
        let Some((start, end)) = duplicate(&text, &error.to_string()) else {
            break;
        };
        let Some(name) = unused_name(&text, end - start) else {
            break;
        };
        text = Cow::Owned(format!("{}{name}{}", &text[..start], &text[end..]));
    }
    text
}

/// Where the name stands of which the parser says that another stage has it.
fn duplicate(text: &str, error: &str) -> Option<(usize, usize)> {
    let (name, place) = error
        .strip_prefix("duplicate stage name '")?
        .split_once("' at line ")?;
    let (line, column) = place.split_once(" column ")?;
    let (line, column): (usize, usize) = (line.parse().ok()?, column.parse().ok()?);
    let before = text.split_inclusive('\n').take(line.checked_sub(1)?);
    let start = before.map(str::len).sum::<usize>() + column.checked_sub(1)?;
    let end = start + name.len();
    (text.get(start..end)? == name).then_some((start, end))
}

/// A word of that many letters that the text hasn't.
fn unused_name(text: &str, length: usize) -> Option<String> {
    let is_part = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
    let words: BTreeSet<&str> = text.split(|c: char| !is_part(c)).collect();
    let mut names = (b'a'..=b'z').flat_map(|first| {
        let rest = if length > 1 { b'a'..=b'z' } else { b'a'..=b'a' };
        rest.map(move |last| {
            let middle = "q".repeat(length.saturating_sub(2));
            let end = if length > 1 {
                (last as char).to_string()
            } else {
                String::new()
            };
            format!("{}{middle}{end}", first as char)
        })
    });
    names.find(|name| !words.contains(name.as_str()))
}

pub(super) fn parse(text: &str) -> Result<Dockerfile<'_>, TemplateError> {
    parse_dockerfile::parse(text).map_err(|error| TemplateError {
        reason: error.to_string(),
    })
}

/// The line of a byte offset, from 1.
pub(super) fn line_of(text: &str, offset: usize) -> usize {
    text.as_bytes()[..offset.min(text.len())]
        .iter()
        .filter(|b| **b == b'\n')
        .count()
        + 1
}

/// `A=1 B="x y" C` as names with their defaults, unquoted.
fn split_args(arguments: &str) -> Vec<(String, Option<String>)> {
    let mut words: Vec<String> = Vec::new();
    let mut quote = None;
    let mut word = String::new();
    for c in arguments.chars() {
        match (quote, c) {
            (None, '"' | '\'') => quote = Some(c),
            (Some(q), c) if q == c => quote = None,
            (None, c) if c.is_whitespace() => {
                words.extend((!word.is_empty()).then(|| std::mem::take(&mut word)))
            }
            _ => word.push(c),
        }
    }
    words.extend((!word.is_empty()).then_some(word));
    words
        .into_iter()
        .map(|word| match word.split_once('=') {
            Some((name, default)) => (name.to_owned(), Some(default.to_owned())),
            None => (word, None),
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn args_are_found_with_their_lines() {
        let text = "ARG BASE_IMAGE=debian:12\nFROM $BASE_IMAGE\n\nARG USERNAME=vorph USER_UID\nARG X=\"a b\"\n";
        let template = OwnTemplate::parse(text).unwrap();
        let args: Vec<_> = template
            .args
            .iter()
            .map(|a| (a.name.as_str(), a.default.as_deref(), a.line))
            .collect();
        assert_eq!(
            args,
            [
                ("BASE_IMAGE", Some("debian:12"), 1),
                ("USERNAME", Some("vorph"), 4),
                ("USER_UID", None, 4),
                ("X", Some("a b"), 5)
            ]
        );
        assert!(template.takes("USER_UID") && !template.takes("USER_GID"));
    }

    #[test]
    fn what_isnt_a_dockerfile_is_an_error() {
        for text in ["", "hello\n", "FROM\n", "FROM a\nRAN b\n"] {
            assert!(OwnTemplate::parse(text).is_err(), "{text:?}");
        }
    }
}
