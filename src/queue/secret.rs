//! What looks like a secret: a queue's configuration is read by everybody who may launch a job.

use mlbuild_secrets::{holds_secret, is_secret};

use crate::runtime::{Setting, Value};

/// A value that looks like a secret. It isn't shown.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "{what} holds what looks like a secret; write the name alone, `{name}`, and its value is taken \
     from the agent's environment"
)]
pub struct SecretError {
    /// The flag and the name.
    what: String,
    name: String,
}

/// Whether the value of a variable looks like a secret.
pub(super) fn is_one(name: &str, value: &str) -> bool {
    is_secret(name, value)
}

/// Whether a text holds what looks like a secret.
pub(super) fn holds_one(text: &str) -> bool {
    holds_secret(text)
}

/// Refuses a setting that holds what looks like a secret.
///
/// # Errors
/// Where it does.
pub(super) fn refuse(setting: &Setting) -> Result<(), SecretError> {
    let flag = setting.flag.name;
    match &setting.value {
        Value::Assignment(assignment) => {
            let Some(value) = &assignment.value else {
                return Ok(());
            };
            if is_secret(&assignment.name, value) {
                Err(SecretError {
                    what: format!("`{flag}`: {}", assignment.name),
                    name: assignment.name.clone(),
                })
            } else {
                Ok(())
            }
        }
        value if holds_secret(&value.to_string()) => Err(SecretError {
            what: format!("`{flag}`"),
            name: "env: NAME".to_owned(),
        }),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_refused(flag: &str, text: &str) -> bool {
        let flag = crate::runtime::find(flag).unwrap();
        let refused = refuse(&Setting::parse(flag, text).unwrap());
        if let Err(error) = &refused
            && let Some((_, value)) = text.split_once('=')
        {
            assert!(!error.to_string().contains(value), "{error}");
        }
        refused.is_err()
    }

    #[test]
    fn secrets_are_seen_by_name_and_by_form() {
        for text in [
            "HF_TOKEN=abc",
            "WANDB_API_KEY=0123abcd",
            "db_password=x",
            "AWS_SECRET_ACCESS_KEY=xyz",
            "URL=postgres://me:word@db/x",
            "X=ghp_0123456789abcdef0123456789abcdef0123",
        ] {
            assert!(is_refused("env", text), "{text}");
        }
        assert!(is_refused("hostname", "hf_0123456789abcdef0123456789"));
    }

    #[test]
    fn what_only_sounds_like_one_is_let_through() {
        for text in [
            "HF_TOKEN",
            "TOKENIZERS_PARALLELISM=false",
            "MAX_TOKENS=512",
            "SECRET=",
            "GOOGLE_APPLICATION_CREDENTIALS=/run/key.json",
            "USE_TOKEN=true",
            "URL=http://me@host/x",
            "MONKEY=1",
        ] {
            assert!(!is_refused("env", text), "{text}");
        }
    }
}
