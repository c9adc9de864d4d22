//! Secrets whose form tells what they are, whatever they are called.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

use crate::REDACTED;
use crate::names::{is_harmless, is_secret_name};

/// Tokens and keys of well-known services.
static TOKENS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        // GitHub, GitLab, Hugging Face, Slack, Google
        r"(?-u:\bgh[pousr]_[A-Za-z0-9]{30,}",
        r"|\bgithub_pat_[A-Za-z0-9_]{30,}",
        r"|\bgl(?:pat|dt|rt|cbt|ptt|ft)-[A-Za-z0-9_.-]{20,}",
        r"|\bhf_[A-Za-z0-9]{22,}",
        r"|\bxox[abeprs]-[A-Za-z0-9-]{10,}",
        r"|\bAIza[A-Za-z0-9_-]{35}",
        r"|\bya29\.[A-Za-z0-9_-]{20,}",
        // AWS: ids of keys
        r"|\bA(?:KIA|SIA)[0-9A-Z]{16}\b",
        // Weights & Biases, NVIDIA, Replicate, Groq, Docker, PyPI, npm, Vault, Stripe, age
        r"|\bwandb_v1_[A-Za-z0-9_]{20,}",
        r"|\bnvapi-[A-Za-z0-9_-]{30,}",
        r"|\br8_[A-Za-z0-9]{30,}",
        r"|\bgsk_[A-Za-z0-9]{30,}",
        r"|\bdckr_[op]at_[A-Za-z0-9_-]{20,}",
        r"|\bpypi-[A-Za-z0-9_-]{50,}",
        r"|\bnpm_[A-Za-z0-9]{36}",
        r"|\bhv[sb]\.[A-Za-z0-9_-]{20,}",
        r"|\b[sr]k_live_[A-Za-z0-9]{16,}",
        r"|\bAGE-SECRET-KEY-1[A-Z0-9]{20,}",
        // JSON Web Tokens
        r"|\beyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
        // OpenAI, Anthropic: see `is_random`
        r"|\bsk-[A-Za-z0-9_-]{20,}",
        r")",
    ))
    .expect("a pattern")
});

/// Private keys, to their end or that of the text.
static BLOCKS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(
        r"(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY(?: BLOCK)?-----|\z)",
    )
    .expect("a pattern")
});

/// `scheme://user:password@`.
static LOG_INS: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(r#"(\b[A-Za-z][A-Za-z0-9+.-]*://[^\s/?#:@"'<>]*:)([^\s/?#"'<>]+)(@)"#)
        .expect("a pattern")
});

/// `?token=…`, `&X-Amz-Signature=…`
static QUERIES: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r#"([?&;])([A-Za-z0-9_.-]+)=([^&;\s"'#<>]+)"#).expect("a pattern"));

/// `wandb login KEY`, `wandb_api_key: KEY`, `aws_secret_access_key = KEY`: keys that have no form
/// of their own.
static NAMED: LazyLock<Regex> = LazyLock::new(|| {
    Regex::new(concat!(
        r"(?i)(\bwandb\s+login\s+(?:--?\S+\s+)*",
        r#"|\b(?:wandb_api_key|aws_secret_access_key)["']?\s*[:=]\s*["']?)"#,
        r"([A-Za-z0-9/+]{32,})",
    ))
    .expect("a pattern")
});

/// The passwords of addresses in a text: `scheme://user:PASSWORD@`, `scheme://TOKEN@`.
pub(crate) fn log_ins(text: &str) -> impl Iterator<Item = &str> {
    static ALONE: LazyLock<Regex> = LazyLock::new(|| {
        Regex::new(r#"\b(?:https?|git)://([^\s/?#:@"'<>]+)@"#).expect("a pattern")
    });
    let has = text.contains("://");
    let with_user = LOG_INS.captures_iter(if has { text } else { "" });
    let with_user = with_user.filter_map(|found| Some(found.get(2)?.as_str()));
    // A name alone may be a user's, who has the password elsewhere: tokens are longer.
    let alone = ALONE.captures_iter(if has { text } else { "" });
    let alone = alone.filter_map(|found| Some(found.get(1)?.as_str()));
    with_user.chain(alone.filter(|name| name.len() >= 16))
}

/// Cheap question first: most texts hold none of these, and patterns take time to compile.
fn may_hold(text: &str) -> bool {
    const SIGNS: [&str; 29] = [
        "ghp_",
        "gho_",
        "ghu_",
        "ghs_",
        "ghr_",
        "github_pat_",
        "gl",
        "hf_",
        "xox",
        "AIza",
        "ya29.",
        "AKIA",
        "ASIA",
        "wandb",
        "WANDB",
        "nvapi-",
        "r8_",
        "gsk_",
        "dckr_",
        "pypi-",
        "npm_",
        "hvs.",
        "hvb.",
        "k_live_",
        "AGE-SECRET",
        "eyJ",
        "sk-",
        "PRIVATE KEY",
        "aws_",
    ];
    text.len() > 6
        && (SIGNS.iter().any(|sign| text.contains(sign))
            || text.contains("://")
            || text.contains(['?', '&'])
            || text.contains("AWS_"))
}

/// True if a text holds a secret by its form: a known token, a private key, a URL with a password.
pub fn holds_secret(text: &str) -> bool {
    may_hold(text) && matches!(redact_forms(text), Cow::Owned(_))
}

/// As [`holds_secret`], for code and documents, in which addresses of examples stand: a password
/// for this machine, or for a host of example.com and the like, is none.
pub fn is_secret_in_code(text: &str) -> bool {
    may_hold(text) && text.lines().any(is_secret_line) || BLOCKS.is_match(text)
}

fn is_secret_line(line: &str) -> bool {
    let is_example = |url: &str| {
        let host = url.split(['/', '?', '"', '\'']).next().unwrap_or(url);
        let host = host.rsplit_once(':').map_or(host, |(host, _)| host);
        let ends = [
            "localhost",
            "127.0.0.1",
            "example",
            "example.com",
            "example.org",
            "test",
        ];
        host.is_empty()
            || host.starts_with(['$', '{', '%', '<'])
            || ends.iter().any(|end| host.ends_with(end))
    };
    let log_in = || {
        LOG_INS.captures_iter(line).any(|found| {
            let end = found.get(0).map_or(0, |all| all.end());
            !is_placeholder(&found[2]) && !is_example(&line[end..])
        })
    };
    may_hold(line)
        && (TOKENS
            .find_iter(line)
            .any(|found| is_random(found.as_str()))
            || NAMED.is_match(line)
            || log_in())
}

/// The text without secrets that tell themselves by their form. A URL keeps all but its password.
pub fn redact_forms(text: &str) -> Cow<'_, str> {
    if !may_hold(text) {
        return Cow::Borrowed(text);
    }
    let text = replace(&BLOCKS, Cow::Borrowed(text), |_| Some(REDACTED.to_owned()));
    let text = replace(&TOKENS, text, |found| {
        is_random(&found[0]).then(|| REDACTED.to_owned())
    });
    let text = replace(&LOG_INS, text, |found| {
        (!is_placeholder(&found[2])).then(|| format!("{}{REDACTED}{}", &found[1], &found[3]))
    });
    let text = replace(&QUERIES, text, |found| {
        let (name, value) = (&found[2], &found[3]);
        let is_signature = ["sig", "signature", "x-amz-signature", "x-goog-signature"]
            .iter()
            .any(|known| name.eq_ignore_ascii_case(known));
        let hide = (is_signature || is_secret_name(name)) && !is_harmless(value);
        hide.then(|| format!("{}{name}={REDACTED}", &found[1]))
    });
    replace(&NAMED, text, |found| {
        Some(format!("{}{REDACTED}", &found[1]))
    })
}

/// Replaces what is to be replaced; borrowed where nothing was.
fn replace<'a>(
    pattern: &Regex,
    text: Cow<'a, str>,
    with: impl Fn(&Captures) -> Option<String>,
) -> Cow<'a, str> {
    let mut any = false;
    let replaced = pattern.replace_all(&text, |found: &Captures| match with(found) {
        Some(new) => {
            any = true;
            new
        }
        None => found[0].to_owned(),
    });
    let replaced = replaced.into_owned();
    if any { Cow::Owned(replaced) } else { text }
}

/// `sk-learn-contrib-…` is a name: keys that begin so have 20 characters without a hyphen, of
/// which one is a digit or a capital, or all three kinds.
fn is_random(token: &str) -> bool {
    let Some(rest) = token.strip_prefix("sk-") else {
        return true;
    };
    let has = |is: fn(&char) -> bool| rest.chars().any(|c| is(&c));
    let (digit, upper, lower) = (
        has(char::is_ascii_digit),
        has(char::is_ascii_uppercase),
        has(char::is_ascii_lowercase),
    );
    let run = rest.split(['-', '_']).any(|part| part.len() >= 20);
    (run && (digit || upper)) || (digit && upper && lower)
}

/// A password that only says that one belongs here.
fn is_placeholder(password: &str) -> bool {
    password.starts_with(['$', '{', '*', '…', '[']) || password == REDACTED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_forms_are_seen() {
        for text in [
            "ghp_0123456789abcdef0123456789abcdef0123",
            "x gho_0123456789abcdef0123456789abcdef0123 y",
            "github_pat_11ABCDEFG0123456789_abcdefghijklmnop",
            "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH",
            "--token=hf_0123456789abcdef0123456789",
            "sk-0123456789abcdef0123456789abcdef",
            "sk-proj-Abc123-Def456_Ghi789",
            "sk-ant-api03-AbCdEf0123456789AbCdEf0123456789",
            "AKIAIOSFODNN7EXAMPLE",
            "ASIAIOSFODNN7EXAMPLE",
            "glpat-0123456789abcdefghij",
            "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0NTY3ODkwIn0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P",
            "-----BEGIN OPENSSH PRIVATE KEY-----\nabc",
            "postgres://me:word@db/x",
            "https://x.example/blob?sv=1&sig=abc%3D",
            "wandb login 0123456789abcdef0123456789abcdef01234567",
            "wandb_api_key = 0123456789abcdef0123456789abcdef01234567",
        ] {
            assert!(holds_secret(text), "{text}");
        }
    }

    #[test]
    fn other_texts_are_left_alone() {
        for text in [
            "sk-learn-contrib-imbalanced-learn-extras",
            "task-0123456789abcdef0123456789abcdef",
            "sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef",
            "http://me@host/x",
            "ssh://git@git.example/a/b",
            "git@git.example:a/b.git",
            "registry:5000/a/b:v1@sha256:00",
            "https://x.example/a?max_tokens=5&page=2",
            "hf_model",
            "-----BEGIN CERTIFICATE-----",
            "wandb login",
            "http://127.0.0.1:5000/x",
            "https://a.example/x:y@z",
        ] {
            assert!(!holds_secret(text), "{text}: {}", redact_forms(text));
        }
    }

    #[test]
    fn the_rest_of_the_text_stays() {
        assert_eq!(
            redact_forms("a postgres://me:w:o@db/x?token=abc&n=1 b"),
            "a postgres://me:<redacted>@db/x?token=<redacted>&n=1 b"
        );
        let key = "a\n-----BEGIN RSA PRIVATE KEY-----\nx\n-----END RSA PRIVATE KEY-----\nb";
        assert_eq!(redact_forms(key), "a\n<redacted>\nb");
        let once = redact_forms(key).into_owned();
        assert!(matches!(redact_forms(&once), Cow::Borrowed(_)));
        let url = redact_forms("https://u:p@h/?token=x").into_owned();
        assert!(matches!(redact_forms(&url), Cow::Borrowed(_)), "{url}");
    }
}
