//! JSON texts without secrets. The text's own order and spaces stay.

use std::borrow::Cow;

use crate::REDACTED;
use crate::forms::redact_forms;
use crate::names::is_secret_name;

/// A JSON text without secrets: strings that hold one by their form, and strings under a key whose
/// name is a secret's.
pub fn redact_json(text: &str) -> Cow<'_, str> {
    let mut out = String::new();
    let mut done = 0;
    let mut key: Option<String> = None;
    let mut at = 0;
    let bytes = text.as_bytes();
    while at < bytes.len() {
        match bytes[at] {
            b'"' => {
                let end = end_of_string(bytes, at);
                let literal = &text[at..end];
                let is_key = text[end..].trim_start().starts_with(':');
                let value: String = serde_json::from_str(literal).unwrap_or_default();
                if is_key {
                    key = Some(value);
                } else if let Some(new) = without_secret(key.as_deref(), &value) {
                    out.push_str(&text[done..at]);
                    out.push_str(&serde_json::Value::String(new).to_string());
                    done = end;
                }
                at = end;
                continue;
            }
            // What stands in a list or an object under a key isn't the key's own value.
            b'{' | b'[' | b',' | b'}' | b']' => key = None,
            _ => {}
        }
        at += 1;
    }
    if done == 0 {
        return Cow::Borrowed(text);
    }
    out.push_str(&text[done..]);
    Cow::Owned(out)
}

fn without_secret(key: Option<&str>, value: &str) -> Option<String> {
    let by_name = key.is_some_and(is_secret_name) && !value.is_empty() && !value.starts_with('<');
    if by_name {
        return Some(REDACTED.to_owned());
    }
    match redact_forms(value) {
        Cow::Borrowed(_) => None,
        Cow::Owned(new) => Some(new),
    }
}

/// The place after the string's closing quote.
fn end_of_string(bytes: &[u8], start: usize) -> usize {
    let mut at = start + 1;
    while at < bytes.len() {
        match bytes[at] {
            b'\\' => at += 1,
            b'"' => return at + 1,
            _ => {}
        }
        at += 1;
    }
    bytes.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_the_rest_stays_as_it_is() {
        let text = r#"{"z": 1, "token": "abc", "secrets": {"HF_TOKEN": {"env": "HF_TOKEN"}},
  "max_tokens": "5", "a": ["x\"y", "https://u:pw@h/"], "k": "-----BEGIN PRIVATE KEY-----\nabc", "e": "é"}"#;
        assert_eq!(
            redact_json(text),
            r#"{"z": 1, "token": "<redacted>", "secrets": {"HF_TOKEN": {"env": "HF_TOKEN"}},
  "max_tokens": "5", "a": ["x\"y", "https://u:<redacted>@h/"], "k": "<redacted>", "e": "é"}"#
        );
        let once = redact_json(text).into_owned();
        assert!(matches!(redact_json(&once), Cow::Borrowed(_)));
    }
}
