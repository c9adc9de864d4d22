//! What is a secret, said once for everything that writes or prints.
//!
//! | question | answer |
//! | --- | --- |
//! | does a variable, an option or a build argument hold one, by its name? | [`is_secret_name`] |
//! | is this value of this name one? | [`is_secret`], [`must_hide`] |
//! | does a text hold one, by its form? | [`holds_secret`] |
//! | does a file hold secrets, by its name? | [`is_secret_file`] |
//! | the text, without values that are known, also in pieces | [`KnownSecrets`], [`StreamRedactor`] |
//! | the text, without | [`redact`], [`redact_forms`], [`redact_json`], [`redact_command`], [`redact_options`] |
//! | a value that is never shown | [`Secret`] |
//!
//! A writer of files that are committed or pushed hides by name alone ([`must_hide`]): a secret may
//! be a number. A question to a person uses [`is_secret`], which knows switches, numbers and paths.

mod files;
mod forms;
mod json;
mod known;
mod named_values;
mod names;
mod text;
mod value;

pub use files::is_secret_file;
pub use forms::{holds_secret, is_secret_in_code, redact_forms};
pub use json::redact_json;
pub use known::{KnownSecrets, StreamRedactor, passwords_of_addresses};
pub use named_values::{is_secret, must_hide};
pub use names::{is_harmless, is_secret_name};
pub use text::{redact, redact_command, redact_options};
pub use value::Secret;

/// What stands where a secret was taken out.
pub const REDACTED: &str = "<redacted>";
