//! Values under a name.

use crate::forms::holds_secret;
use crate::names::{is_harmless, is_secret_name};

/// True if a value of this name is a secret, by the name or by its form; for questions to a person,
/// where a false alarm is in the way.
pub fn is_secret(name: &str, value: &str) -> bool {
    is_secret_name(name) && !is_harmless(value) || holds_secret(value)
}

/// True if a value of this name goes into no file: whatever it is where the name is a secret's, and
/// what has a secret's form under any name.
pub fn must_hide(name: &str, value: &str) -> bool {
    is_secret_name(name) || holds_secret(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_are_none() {
        for value in ["", "1", "true", "/run/secrets/key", "$TOKEN", "<redacted>"] {
            assert!(!is_secret("API_TOKEN", value), "{value}");
            assert!(must_hide("API_TOKEN", value), "{value}");
        }
        assert!(is_secret("API_TOKEN", "hunter2"));
        assert!(is_secret("X", "postgres://me:word@db/x"));
        assert!(!must_hide("X", "http://me@host/x"));
    }
}
