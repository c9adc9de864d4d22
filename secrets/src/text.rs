//! Texts and commands without their secrets.

use std::borrow::Cow;

use crate::REDACTED;
use crate::forms::redact_forms;
use crate::names::{is_harmless, is_secret_name};

/// The text without secrets: those that tell themselves by their form, and values of assignments
/// `NAME=VALUE` whose name is a secret's.
pub fn redact(text: &str) -> Cow<'_, str> {
    match redact_forms(text) {
        Cow::Borrowed(text) => redact_assignments(text),
        Cow::Owned(text) => match redact_assignments(&text) {
            Cow::Borrowed(_) => Cow::Owned(text),
            Cow::Owned(text) => Cow::Owned(text),
        },
    }
}

/// `NAME=VALUE` in a text: a shell's assignment, or an option.
fn redact_assignments(text: &str) -> Cow<'_, str> {
    let is_of_name = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    let mut out = String::new();
    let mut done = 0;
    for (at, _) in text.match_indices('=') {
        if at < done {
            continue;
        }
        let start = text[..at].rfind(|c| !is_of_name(c)).map_or(0, |before| {
            before + text[before..].chars().next().map_or(1, char::len_utf8)
        });
        let name = &text[start..at];
        if !is_secret_name(name) || is_reference(&text[..start], name) {
            continue;
        }
        let value = value_at(&text[at + 1..]);
        if is_harmless(value) {
            continue;
        }
        let begin = at + 1 + text[at + 1..].find(value).unwrap_or(0);
        out.push_str(&text[done..begin]);
        out.push_str(REDACTED);
        done = begin + value.len();
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[done..]);
    Cow::Owned(out)
}

/// mlbuild's own `--secret id=…`, `--secret=NAME:/folder` and `--secret-env=NAME=SECRET:KEY` name
/// a secret, and don't hold it.
fn is_reference(before: &str, name: &str) -> bool {
    name.trim_start_matches('-') == "secret" && name.starts_with("--")
        || before.ends_with("secret-env=")
        || before.ends_with("secret-env ")
}

/// The value that a text begins with: to the end of its quotes, else to a space or a separator.
fn value_at(text: &str) -> &str {
    for quote in ['"', '\''] {
        if let Some(rest) = text.strip_prefix(quote) {
            return &rest[..rest.find(quote).unwrap_or(rest.len())];
        }
    }
    let end = text.find(|c: char| c.is_whitespace() || "\"'`,;&)".contains(c));
    &text[..end.unwrap_or(text.len())]
}

/// The words of a program's command without secrets: also `--api-key VALUE`, and `wandb login KEY`.
/// Words with spaces are taken for a shell's script.
pub fn redact_command(words: &[String]) -> Vec<String> {
    let mut hide_next = false;
    let mut logs_in = false;
    let mut kept = Vec::with_capacity(words.len());
    for (at, word) in words.iter().enumerate() {
        let hide = std::mem::take(&mut hide_next) && !word.starts_with('-') && !is_harmless(word);
        let is_key = logs_in && word.len() >= 32 && word.bytes().all(|b| b.is_ascii_alphanumeric());
        if hide || is_key {
            kept.push(REDACTED.to_owned());
            continue;
        }
        let before = at.checked_sub(1).map_or("", |at| words[at].as_str());
        logs_in |= word == "login" && before.ends_with("wandb");
        hide_next = word.starts_with('-') && !word.contains('=') && is_secret_name(word);
        kept.push(redact_script(word));
    }
    kept
}

/// A word of a command; where it is a script, options in it too.
fn redact_script(word: &str) -> String {
    let word = redact(word).into_owned();
    if !word.contains(char::is_whitespace) {
        return word;
    }
    let mut out = String::with_capacity(word.len());
    let mut hide_next = false;
    for piece in word.split_inclusive(char::is_whitespace) {
        let bare = piece.trim_end();
        let quoted = bare.trim_matches(['"', '\'']);
        if std::mem::take(&mut hide_next) && !quoted.starts_with('-') && !is_harmless(quoted) {
            out.push_str(REDACTED);
            out.push_str(&piece[bare.len()..]);
            continue;
        }
        hide_next = bare.starts_with("--") && !bare.contains('=') && is_secret_name(bare);
        out.push_str(piece);
    }
    out
}

/// The options that a container was started with, without secrets.
pub fn redact_options(words: &[String]) -> Vec<String> {
    let whole = |word: &String| redact(word).into_owned();
    words.iter().map(whole).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn command(line: &[&str]) -> String {
        let words: Vec<_> = line.iter().map(|word| (*word).to_owned()).collect();
        redact_command(&words).join(" ")
    }

    #[test]
    fn assignments_lose_their_values() {
        for (with, without) in [
            ("HF_TOKEN=hunter2 x", "HF_TOKEN=<redacted> x"),
            ("a=1,token=xyz,b=2", "a=1,token=<redacted>,b=2"),
            ("--label=token=xyz", "--label=token=<redacted>"),
            (
                "DB_PASSWORD=\"two words\" x",
                "DB_PASSWORD=\"<redacted>\" x",
            ),
            ("MAX_TOKENS=512", "MAX_TOKENS=512"),
            ("set HF_TOKEN=…", "set HF_TOKEN=…"),
            (
                "--secret id=HF_TOKEN,env=HF_TOKEN",
                "--secret id=HF_TOKEN,env=HF_TOKEN",
            ),
            ("--secret=db:/run/db", "--secret=db:/run/db"),
            (
                "--secret-env=WANDB_API_KEY=wandb:key",
                "--secret-env=WANDB_API_KEY=wandb:key",
            ),
            ("HF_TOKEN: it is not set", "HF_TOKEN: it is not set"),
        ] {
            assert_eq!(redact(with), without);
        }
    }

    #[test]
    fn commands_lose_their_secrets() {
        assert_eq!(
            command(&[
                "train",
                "--api-key",
                "hunter2",
                "--lr",
                "3",
                "--pad-token",
                "x"
            ]),
            "train --api-key <redacted> --lr 3 --pad-token x"
        );
        assert_eq!(
            command(&["sh", "-c", "login --password 'hunter2' && A_TOKEN=x run"]),
            "sh -c login --password <redacted> && A_TOKEN=<redacted> run"
        );
        let key = "0123456789abcdef0123456789abcdef01234567";
        assert_eq!(command(&["wandb", "login", key]), "wandb login <redacted>");
        assert_eq!(
            command(&[
                "git",
                "checkout",
                key,
                "--token-file",
                "/x",
                "--token",
                "/run/t"
            ]),
            format!("git checkout {key} --token-file /x --token /run/t")
        );
    }
}
