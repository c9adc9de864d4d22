//! Templates of the user's own: a Dockerfile with ARGs, which a spec fills.
//!
//! The file's text is never changed. What the spec says travels as build arguments, so the file
//! also builds without mlbuild; what it has no ARG for is said in a warning.

mod copies;
mod fill;
mod lint;
mod parse;
mod stages;

pub use copies::{FromContext, taken_from_context};
pub use fill::Filled;
pub use lint::{Finding, lint_template};
pub use parse::{OwnTemplate, TemplateArg, TemplateError};
