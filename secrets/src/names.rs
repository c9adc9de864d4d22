//! Names of variables, options and build arguments whose values are secrets.
//!
//! A name is read as words: `WANDB_API_KEY`, `db-password`, `authToken`. So `MAX_TOKENS`,
//! `TOKENIZERS_PARALLELISM`, `AUTHOR` and `KEYBOARD` are no secrets.

/// A word that ends like this is a secret's name, alone or glued: `DBPASSWORD`, `AUTHTOKEN`.
const WORD_ENDS: [&str; 10] = [
    "PASSWORD",
    "PASSWORDS",
    "PASSWD",
    "PASSPHRASE",
    "SECRET",
    "SECRETS",
    "TOKEN",
    "APIKEY",
    "CREDENTIAL",
    "CREDENTIALS",
];

/// Words that are a secret's name where another word stands before them: `DB_PASS`, `MYSQL_PWD`,
/// and not the folder `PWD`.
const LAST_WORDS: [&str; 4] = ["PASS", "PWD", "PAT", "AUTH"];

/// What a key that opens something is called: the word before `KEY`.
const BEFORE_KEY: [&str; 28] = [
    "API",
    "ACCESS",
    "ACCOUNT",
    "ADMIN",
    "ANTHROPIC",
    "APP",
    "AUTH",
    "CLIENT",
    "COSIGN",
    "DEPLOY",
    "ENCRYPTION",
    "GPG",
    "HF",
    "HMAC",
    "LICENSE",
    "MASTER",
    "NGC",
    "OPENAI",
    "PGP",
    "PRIV",
    "PRIVATE",
    "RSA",
    "SERVICE",
    "SIGNING",
    "SSH",
    "STORAGE",
    "TLS",
    "WANDB",
];

/// Words before `TOKEN` that make it a word of a vocabulary.
const OF_VOCABULARY: [&str; 22] = [
    "PAD",
    "EOS",
    "BOS",
    "UNK",
    "CLS",
    "SEP",
    "MASK",
    "SPECIAL",
    "STOP",
    "START",
    "END",
    "IMAGE",
    "AUDIO",
    "VIDEO",
    "NEXT",
    "NEW",
    "PER",
    "MAX",
    "MIN",
    "NUM",
    "TRIGGER",
    "PLACEHOLDER",
];

/// Words after a secret's that say something about it, and aren't it.
const ABOUT: [&str; 38] = [
    "LIMIT",
    "LIMITS",
    "COUNT",
    "LENGTH",
    "LEN",
    "DIM",
    "SIZE",
    "TYPE",
    "TYPES",
    "BUDGET",
    "ID",
    "IDS",
    "INDEX",
    "RATE",
    "DROPOUT",
    "DROP",
    "URL",
    "URI",
    "ENDPOINT",
    "PATH",
    "DIR",
    "FILE",
    "FILES",
    "NAME",
    "NAMES",
    "ENV",
    "REF",
    "EMBEDDING",
    "EMBEDDINGS",
    "MERGING",
    "LEVEL",
    "TTL",
    "EXPIRY",
    "HELPER",
    "PROVIDER",
    "STORE",
    "MANAGER",
    "SUPPORT",
];

/// True if values of this name are secrets: of a variable, a build argument or an option.
pub fn is_secret_name(name: &str) -> bool {
    let words = words_of(name);
    let any = words.iter().enumerate().any(|(at, word)| {
        let before = at.checked_sub(1).map(|at| words[at].as_str());
        let after = words.get(at + 1).map(String::as_str);
        // `AWS_ACCESS_KEY_ID` is half of a log-in; `TOKEN_ID` is a number.
        let is_key = word == "KEY" && before.is_some_and(|before| BEFORE_KEY.contains(&before));
        if is_key {
            return !after.is_some_and(|after| ABOUT.contains(&after) && after != "ID");
        }
        if after.is_some_and(|after| ABOUT.contains(&after)) {
            return false;
        }
        let is_last = after.is_none() && before.is_some();
        if is_last && LAST_WORDS.contains(&word.as_str()) && before != Some("OLD") {
            return true;
        }
        if word == "TOKEN" && before.is_some_and(|before| OF_VOCABULARY.contains(&before)) {
            return false;
        }
        WORD_ENDS.iter().any(|end| word.ends_with(end))
    });
    any || glued_key(&words)
}

/// `PRIVATEKEY`, `accesskey`: two words without anything between them.
fn glued_key(words: &[String]) -> bool {
    words.iter().any(|word| {
        [
            "PRIVATEKEY",
            "ACCESSKEY",
            "SECRETKEY",
            "AUTHKEY",
            "SIGNINGKEY",
        ]
        .iter()
        .any(|key| word.ends_with(key))
    })
}

/// The words of a name, in capitals and without numbers at their ends.
fn words_of(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in name.chars() {
        if !c.is_ascii_alphanumeric() {
            words.push(String::new());
            was_lower = false;
            continue;
        }
        // `authToken`
        if was_lower && c.is_ascii_uppercase() {
            words.push(String::new());
        }
        was_lower = c.is_ascii_lowercase();
        words
            .last_mut()
            .expect("begins with one")
            .push(c.to_ascii_uppercase());
    }
    for word in &mut words {
        let kept = word.trim_end_matches(|c: char| c.is_ascii_digit()).len();
        word.truncate(kept);
    }
    words.retain(|word| !word.is_empty());
    words
}

/// True if a value under a secret's name plainly is none: a switch, a number, the path of a file, a
/// reference to a variable, or a placeholder.
pub fn is_harmless(value: &str) -> bool {
    value.is_empty()
        || value.starts_with(['/', '$', '<', '{', '…', '~', '*', '['])
        || value.starts_with("./")
        || value.starts_with("../")
        || value.parse::<f64>().is_ok()
        || [
            "true", "false", "yes", "no", "on", "off", "none", "null", "VALUE", "NAME",
        ]
        .iter()
        .any(|word| value.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_secrets() {
        for name in [
            "WANDB_API_KEY",
            "token",
            "HF_TOKEN",
            "DB_PASSWORD",
            "DBPASSWORD",
            "PASSWORD1",
            "SIGNING_PRIVATE_KEY",
            "PRIVATE_KEY",
            "GPG_PASSPHRASE",
            "AWS_SECRET_ACCESS_KEY",
            "AWS_ACCESS_KEY_ID",
            "AWS_SESSION_TOKEN",
            "ACTIONS_RUNTIME_TOKEN",
            "GOOGLE_APPLICATION_CREDENTIALS",
            "authToken",
            "--api-key",
            "secret_access_key",
            "MYSQL_PWD",
            "SMTP_PASS",
            "GITHUB_PAT",
            "NPM_CONFIG__AUTH",
            "OPENAI_KEY",
            "ssh-key",
            "accessKey",
            "MYTOKEN",
        ] {
            assert!(is_secret_name(name), "{name}");
        }
    }

    #[test]
    fn names_that_only_sound_like_it() {
        for name in [
            "VERSION",
            "TORCH",
            "KEYBOARD",
            "MONKEY",
            "MAX_TOKENS",
            "max_new_tokens",
            "TOKENIZERS_PARALLELISM",
            "TOKENIZER",
            "TOKEN_LIMIT",
            "PAD_TOKEN",
            "eos-token-id",
            "AUTHOR",
            "AUTHORS",
            "AUTH",
            "PWD",
            "OLDPWD",
            "PASS",
            "BYPASS",
            "COMPASS",
            "PUBLIC_KEY",
            "SORT_KEY",
            "KEY",
            "SECRETARY",
            "PASSWORD_FILE",
            "secret-env",
            "PATH",
            "PYTHONPATH",
            "XAUTHORITY",
        ] {
            assert!(!is_secret_name(name), "{name}");
        }
    }
}
