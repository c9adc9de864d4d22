//! Ids of commits: 40 hexadecimal digits (SHA-1) or 64 (SHA-256).
//!
//! A record may come from a stranger, and its commit goes to git's command line: a text like
//! `--output=FILE` would be an option there.

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize as _, Deserializer};

const EXPECTED: &str = "a commit's id: 40 or 64 hexadecimal digits";

/// True for 40 or 64 hexadecimal digits.
pub fn is_commit(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// For `#[serde(deserialize_with)]`: a commit's id.
///
/// # Errors
/// Where the text is none.
pub fn required<'de, D: Deserializer<'de>>(input: D) -> Result<String, D::Error> {
    let text = String::deserialize(input)?;
    if is_commit(&text) {
        return Ok(text);
    }
    Err(D::Error::invalid_value(Unexpected::Str(&text), &EXPECTED))
}

/// True for a commit's id or its beginning, as records of other tools have it.
pub(super) fn is_commit_or_beginning(text: &str) -> bool {
    (7..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

/// For `#[serde(deserialize_with)]`: a commit's id or its beginning, or nothing.
///
/// # Errors
/// Where the text is neither.
pub fn optional<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(input)?;
    if is_commit_or_beginning(&text) {
        return Ok(Some(text));
    }
    Err(D::Error::invalid_value(Unexpected::Str(&text), &EXPECTED))
}

#[cfg(test)]
mod tests {
    use super::is_commit;

    #[test]
    fn commits_are_told_from_options_and_names() {
        assert!(is_commit(&"0aF".repeat(14)[..40]));
        assert!(is_commit(&"a".repeat(64)));
        for other in [
            "",
            "HEAD",
            "--output=/tmp/x",
            &"a".repeat(39),
            &"g".repeat(40),
        ] {
            assert!(!is_commit(other), "{other}");
        }
    }
}
