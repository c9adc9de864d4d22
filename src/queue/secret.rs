//! What looks like a secret: a queue's configuration is read by everybody who may launch a job.

use crate::runtime::{Setting, Value};

/// Words that make a variable's name a secret's.
const WORDS: [&str; 9] = [
    "TOKEN",
    "SECRET",
    "SECRETS",
    "PASSWORD",
    "PASSWD",
    "PASSPHRASE",
    "APIKEY",
    "CREDENTIAL",
    "CREDENTIALS",
];
/// Pairs of words that do.
const PAIRS: [&str; 4] = ["API_KEY", "ACCESS_KEY", "PRIVATE_KEY", "AUTH_KEY"];
/// What keys of well-known services begin with, and how long they are at least.
const BEGINNINGS: [(&str, usize); 10] = [
    ("ghp_", 30),
    ("gho_", 30),
    ("ghs_", 30),
    ("github_pat_", 30),
    ("glpat-", 20),
    ("hf_", 25),
    ("sk-", 24),
    ("xoxb-", 20),
    ("AKIA", 20),
    ("-----BEGIN", 20),
];

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
            match names_one(&assignment.name, value) || is_one(value) {
                true => Err(SecretError {
                    what: format!("`{flag}`: {}", assignment.name),
                    name: assignment.name.clone(),
                }),
                false => Ok(()),
            }
        }
        value if is_one(&value.to_string()) => Err(SecretError {
            what: format!("`{flag}`"),
            name: "env: NAME".to_owned(),
        }),
        _ => Ok(()),
    }
}

/// Whether a variable of this name with this value is a secret: a switch, a number and the path of
/// a file are none.
fn names_one(name: &str, value: &str) -> bool {
    let name = name.to_ascii_uppercase().replace(['-', '.'], "_");
    let words: Vec<&str> = name.split('_').collect();
    let by_name = words.iter().any(|word| WORDS.contains(word))
        || PAIRS.iter().any(|pair| name.contains(pair));
    let harmless = value.is_empty()
        || value.starts_with('/')
        || value.parse::<f64>().is_ok()
        || ["true", "false", "yes", "no", "on", "off", "none"]
            .contains(&value.to_ascii_lowercase().as_str());
    by_name && !harmless
}

/// Whether a text is one by its form.
pub(super) fn is_one(text: &str) -> bool {
    let begins =
        |&(beginning, length): &(&str, usize)| text.starts_with(beginning) && text.len() >= length;
    let is_token = text.starts_with("eyJ") && text.split('.').count() == 3 && text.len() > 40;
    BEGINNINGS.iter().any(begins) || is_token || has_password(text)
}

/// `scheme://user:password@host`.
fn has_password(text: &str) -> bool {
    let Some((_, rest)) = text.split_once("://") else {
        return false;
    };
    let authority = rest.split(['/', '?', '#']).next().unwrap_or(rest);
    let user = authority.rsplit_once('@').map(|(user, _)| user);
    user.and_then(|user| user.split_once(':'))
        .is_some_and(|(_, password)| !password.is_empty())
}

/// Whether a word of a command holds one by its form, alone or after an equals sign.
pub fn holds_secret(word: &str) -> bool {
    is_one(word) || word.split_once('=').is_some_and(|(_, value)| is_one(value))
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
