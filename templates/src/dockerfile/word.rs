//! A word of an instruction: literal text and `${VARIABLES}`, kept apart until it is rendered.

use crate::value::EnvName;

/// Text that may refer to ARG or ENV variables. Literal text is never expanded, whatever it holds.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Word(pub(super) Vec<Part>);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    Literal(String),
    Variable(EnvName),
}

impl Word {
    /// Text that is taken as it stands.
    pub fn literal(text: impl Into<String>) -> Self {
        Self(vec![Part::Literal(text.into())])
    }

    /// The value of a variable.
    pub fn variable(name: EnvName) -> Self {
        Self(vec![Part::Variable(name)])
    }

    /// This word with literal text after it.
    #[must_use]
    pub fn then(mut self, text: impl Into<String>) -> Self {
        self.0.push(Part::Literal(text.into()));
        self
    }

    /// The text, with what `value` says of each variable; one that isn't set is empty.
    pub fn expand(&self, value: impl Fn(&EnvName) -> Option<String>) -> String {
        let parts = self.0.iter().map(|part| match part {
            Part::Literal(text) => text.clone(),
            Part::Variable(name) => value(name).unwrap_or_default(),
        });
        parts.collect()
    }

    /// The word as a relative path that is no flag: `./--from=x` for a file of that name.
    pub(super) fn as_operand(&self) -> Self {
        let mut word = self.clone();
        if let Some(Part::Literal(text)) = word.0.first_mut()
            && text.starts_with('-')
        {
            text.insert_str(0, "./");
        }
        word
    }

    pub(super) fn has_space(&self) -> bool {
        self.0
            .iter()
            .any(|part| matches!(part, Part::Literal(text) if text.contains(char::is_whitespace)))
    }

    /// This word with the value of a variable after it.
    #[must_use]
    pub fn then_variable(mut self, name: EnvName) -> Self {
        self.0.push(Part::Variable(name));
        self
    }
}

impl From<&str> for Word {
    fn from(text: &str) -> Self {
        Self::literal(text)
    }
}

impl From<String> for Word {
    fn from(text: String) -> Self {
        Self::literal(text)
    }
}
