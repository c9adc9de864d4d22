//! The values of flags: read once, and written in one form.

mod assignment;
mod check;
mod device;
mod mount;
mod publish;
mod rule;
mod ulimit;
mod volume;

use std::fmt;

pub use assignment::Assignment;
pub use device::Device;
pub use mount::Mount;
pub use publish::Publish;
pub use rule::Rule;
pub use ulimit::Ulimit;
pub use volume::Volume;

use super::flag::Kind;

/// A flag's value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A switch.
    Bool(bool),
    /// Text; numbers, sizes and times too, which were looked at and are passed on as written.
    Text(String),
    /// A variable, label or option.
    Assignment(Assignment),
    /// A folder or volume, of `--volume`.
    Volume(Volume),
    /// A mount, of `--mount`.
    Mount(Mount),
    /// A published port.
    Publish(Publish),
    /// A device.
    Device(Device),
    /// A resource limit.
    Ulimit(Ulimit),
}

impl Rule {
    /// Whether a value is one that the rule takes.
    ///
    /// # Errors
    /// What is wrong with it, and what to write.
    pub fn takes(self, text: &str) -> Result<(), String> {
        self.check(text)
    }
}

impl Value {
    /// Reads a value; the error says what is wrong and what to write.
    pub(super) fn parse(kind: Kind, text: &str) -> Result<Self, String> {
        let checked = |result: Result<(), String>| result.map(|()| Self::Text(text.to_owned()));
        match kind {
            Kind::Bool => check::boolean(text).map(Self::Bool),
            Kind::Text => Ok(Self::Text(text.to_owned())),
            Kind::Integer => checked(check::integer(text)),
            Kind::Decimal => checked(check::decimal(text)),
            Kind::Bytes if text == "-1" => Err("a size can't be negative".to_owned()),
            Kind::Bytes => checked(check::bytes(text)),
            Kind::Rule(rule) => checked(rule.check(text)),
            Kind::Duration => checked(check::duration(text)),
            Kind::OneOf(words) => checked(check::one_of(text, words)),
            Kind::Assignment => text.parse().map(Self::Assignment),
            Kind::Volume => text.parse().map(Self::Volume),
            Kind::Mount => text.parse().map(Self::Mount),
            Kind::Publish => text.parse().map(Self::Publish),
            Kind::Device => text.parse().map(Self::Device),
            Kind::Ulimit => text.parse().map(Self::Ulimit),
        }
    }
}

impl fmt::Display for Value {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Bool(on) => on.fmt(f),
            Self::Text(text) => f.write_str(text),
            Self::Assignment(value) => value.fmt(f),
            Self::Volume(value) => value.fmt(f),
            Self::Mount(value) => value.fmt(f),
            Self::Publish(value) => value.fmt(f),
            Self::Device(value) => value.fmt(f),
            Self::Ulimit(value) => value.fmt(f),
        }
    }
}
