//! Variables in `FROM`, as the Dockerfile reference has them before the first
//! stage: global ARGs, build arguments and the platform's automatic ARGs.

use std::collections::BTreeMap;

use super::PinContext;
use super::scan::Statement;

/// A `FROM` that can't be resolved.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A variable has no value.
    #[error("Dockerfile:{line}: ARG {name} in `FROM {written}` has no value")]
    Unset {
        /// Line, from 1.
        line: usize,
        /// The variable.
        name: String,
        /// The image as written.
        written: String,
    },
    /// The text is not a variable expression.
    #[error("Dockerfile:{line}: `{written}` has a broken variable expression")]
    Broken {
        /// Line, from 1.
        line: usize,
        /// The image as written.
        written: String,
    },
}

/// What a variable is known to be.
enum Value {
    Known(String),
    /// It differs from platform to platform.
    PerPlatform,
}

pub(super) struct Variables<'a> {
    build_args: &'a BTreeMap<&'a str, &'a str>,
    values: BTreeMap<String, Value>,
}

impl<'a> Variables<'a> {
    pub(super) fn new(context: &'a PinContext<'a>) -> Self {
        let mut values = BTreeMap::new();
        for side in ["TARGET", "BUILD"] {
            let mut parts = context.platform.map(|platform| platform.split('/'));
            for name in ["OS", "ARCH", "VARIANT"] {
                let value = match &mut parts {
                    Some(parts) => Value::Known(parts.next().unwrap_or("").to_owned()),
                    None => Value::PerPlatform,
                };
                values.insert(format!("{side}{name}"), value);
            }
            let platform = context.platform.map(str::to_owned);
            values.insert(
                format!("{side}PLATFORM"),
                platform.map_or(Value::PerPlatform, Value::Known),
            );
        }
        Variables {
            build_args: &context.build_args,
            values,
        }
    }

    /// Takes an `ARG a=1 b=2` before the first stage.
    pub(super) fn declare(&mut self, statement: &Statement) {
        for word in &statement.words {
            let (name, default) = match word.text.split_once('=') {
                Some((name, default)) => (name, Some(default)),
                None => (word.text.as_str(), None),
            };
            let value = match (self.build_args.get(name), default) {
                (Some(given), _) => Some((*given).to_owned()),
                (None, Some(default)) => {
                    let default = default.trim_matches(['"', '\'']);
                    expand(default, self, statement.line).ok().flatten()
                }
                (None, None) => None,
            };
            if let Some(value) = value {
                self.values.insert(name.to_owned(), Value::Known(value));
            }
        }
    }
}

/// `written` with its variables filled in; `None` where it differs from
/// platform to platform.
pub(super) fn expand(
    written: &str,
    variables: &Variables,
    line: usize,
) -> Result<Option<String>, ExpandError> {
    let broken = || ExpandError::Broken {
        line,
        written: written.to_owned(),
    };
    let mut result = String::new();
    let mut rest = written.trim_matches(['"', '\'']);
    while let Some(at) = rest.find('$') {
        result.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        let (name, operator, after) = if let Some(inner) = rest.strip_prefix('{') {
            let close = inner.find('}').ok_or_else(broken)?;
            let (body, after) = (&inner[..close], &inner[close + 1..]);
            let end = name_length(body);
            (&body[..end], &body[end..], after)
        } else {
            let end = name_length(rest);
            (&rest[..end], "", &rest[end..])
        };
        if name.is_empty() {
            return Err(broken());
        }
        rest = after;
        let value = match variables.values.get(name) {
            Some(Value::PerPlatform) => return Ok(None),
            Some(Value::Known(value)) => Some(value.as_str()),
            None => None,
        };
        let filled = value.filter(|value| !value.is_empty());
        let text = match operator {
            "" => value,
            _ if operator.starts_with(":-") => filled.or(Some(&operator[2..])),
            _ if operator.starts_with(":+") => Some(filled.map_or("", |_| &operator[2..])),
            _ if operator.starts_with('-') => value.or(Some(&operator[1..])),
            _ if operator.starts_with('+') => Some(value.map_or("", |_| &operator[1..])),
            _ => return Err(broken()),
        };
        match text {
            Some(text) => result.push_str(text),
            None => {
                return Err(ExpandError::Unset {
                    line,
                    name: name.to_owned(),
                    written: written.to_owned(),
                });
            }
        }
    }
    result.push_str(rest);
    Ok(Some(result))
}

fn name_length(text: &str) -> usize {
    text.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(text.len())
}
