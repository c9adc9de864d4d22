//! Reading a user's template: its ARGs, with the line of each.

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
        let parsed = parse(text)?;
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
