//! A project's folder inside its repository.
//!
//! A record may come from a stranger, and its folder is joined to a repository's path: a path from
//! the root, or one with `..`, would lead elsewhere.

use serde::de::{Error as _, Unexpected};
use serde::{Deserialize as _, Deserializer};

/// True for a path that stays below where it begins: names between slashes.
pub(super) fn is_inside(text: &str) -> bool {
    let is_name = |part: &str| !matches!(part, "" | "." | "..");
    !text.contains('\0')
        && text
            .strip_suffix('/')
            .unwrap_or(text)
            .split('/')
            .all(is_name)
}

/// For `#[serde(deserialize_with)]`: such a path, or nothing.
///
/// # Errors
/// Where the path leads elsewhere.
pub(super) fn optional<'de, D: Deserializer<'de>>(input: D) -> Result<Option<String>, D::Error> {
    let text = String::deserialize(input)?;
    if is_inside(&text) {
        return Ok(Some(text));
    }
    let expected = "a folder inside the repository: a relative path without `..`";
    Err(D::Error::invalid_value(Unexpected::Str(&text), &expected))
}

#[cfg(test)]
mod tests {
    use super::is_inside;

    #[test]
    fn folders_stay_inside() {
        for good in ["a", "a/b c", "a/..b/", "日本"] {
            assert!(is_inside(good), "{good}");
        }
        for bad in [
            "", "/", "/etc", "..", "a/../..", "../a", "./a", "a//b", "a/.", "a\0",
        ] {
            assert!(!is_inside(bad), "{bad:?}");
        }
    }
}
