//! Variables in `FROM`, as BuildKit fills them in: ARGs before the first stage, build arguments and
//! the platform's automatic ARGs. What isn't declared is empty.

use std::cell::{Cell, RefCell};
use std::collections::BTreeMap;

use super::PinContext;
use super::scan::{Refusal, Statement};
use super::words;

/// A `FROM` that can't be resolved, or a file that BuildKit doesn't take.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExpandError {
    /// A variable has no value, and nothing is left.
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
    #[error("Dockerfile:{line}: `{written}` has a broken variable expression{}", if reason.is_empty() { String::new() } else { format!(": {reason}") })]
    Broken {
        /// Line, from 1.
        line: usize,
        /// The image as written.
        written: String,
        /// What BuildKit says; empty where the text just ends.
        reason: String,
    },
    /// BuildKit doesn't take it.
    #[error(transparent)]
    Refused(#[from] Refusal),
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
    escape: char,
}

impl<'a> Variables<'a> {
    pub(super) fn new(context: &'a PinContext<'a>, escape: char) -> Self {
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
            values.insert(format!("{side}OSVERSION"), Value::Known(String::new()));
            let platform = context.platform.map(str::to_owned);
            values.insert(
                format!("{side}PLATFORM"),
                platform.map_or(Value::PerPlatform, Value::Known),
            );
        }
        let stage = context.target.unwrap_or("default").to_owned();
        values.insert("TARGETSTAGE".to_owned(), Value::Known(stage));
        Variables {
            build_args: &context.build_args,
            values,
            escape,
        }
    }

    /// Takes the words of an `ARG a=1 b=2` before the first stage.
    pub(super) fn declare(&mut self, arguments: &[String], line: usize) -> Result<(), ExpandError> {
        for word in arguments {
            let (name, default) = match word.split_once('=') {
                Some((name, default)) => (name, Some(default)),
                None => (word.as_str(), None),
            };
            let default = match default {
                Some(default) => {
                    Some(expand(default, self, line)?.map_or(Value::PerPlatform, Value::Known))
                }
                None => None,
            };
            let given = self
                .build_args
                .get(name)
                .map(|given| Value::Known((*given).to_owned()));
            if let Some(value) = given.or(default) {
                self.values.insert(name.to_owned(), value);
            }
        }
        Ok(())
    }

    /// The image of a `FROM`; `None` where it differs from platform to platform.
    pub(super) fn image(
        &self,
        statement: &Statement,
        written: &str,
    ) -> Result<Option<String>, ExpandError> {
        let unset = RefCell::new(None);
        let found = self.filled(written, statement.line, &unset)?;
        match (found, unset.into_inner()) {
            (Some(image), name) if is_nothing(&image, name.is_some()) => Err(match name {
                Some(name) => ExpandError::Unset {
                    line: statement.line,
                    name,
                    written: written.to_owned(),
                },
                None => ExpandError::Broken {
                    line: statement.line,
                    written: written.to_owned(),
                    reason: format!("base name ({written}) should not be blank"),
                },
            }),
            (found, _) => Ok(found),
        }
    }

    fn filled(
        &self,
        written: &str,
        line: usize,
        unset: &RefCell<Option<String>>,
    ) -> Result<Option<String>, ExpandError> {
        let per_platform = Cell::new(false);
        let lookup = |name: &str| match self.values.get(name) {
            Some(Value::Known(value)) => Some(value.clone()),
            Some(Value::PerPlatform) => {
                per_platform.set(true);
                Some(String::new())
            }
            None => {
                unset.borrow_mut().get_or_insert_with(|| name.to_owned());
                None
            }
        };
        let filled = words::expand(written, self.escape, &lookup);
        let filled = filled.map_err(|reason| ExpandError::Broken {
            line,
            written: written.to_owned(),
            reason,
        })?;
        Ok((!per_platform.get()).then_some(filled))
    }
}

/// Whether what is left names no image: blank or, for want of a variable, not a name at all.
fn is_nothing(image: &str, lacks: bool) -> bool {
    image.is_empty() || (lacks && mlbuild_templates::reference::parse(image).is_err())
}

/// `written` with its variables filled in; `None` where it differs from platform to platform.
fn expand(
    written: &str,
    variables: &Variables,
    line: usize,
) -> Result<Option<String>, ExpandError> {
    variables.filled(written, line, &RefCell::new(None))
}
