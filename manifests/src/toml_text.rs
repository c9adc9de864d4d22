//! Writing TOML whose bytes hang on nothing but the values: fixed order, one way
//! to write a string. A library's idea of style may change between versions;
//! a committed file must not change with it.

use std::fmt::{Display, Write};

/// A TOML document being written, top to bottom.
#[derive(Default)]
pub(crate) struct TomlText {
    text: String,
}

impl TomlText {
    pub(crate) fn comment(&mut self, line: &str) {
        let _ = writeln!(self.text, "# {line}");
    }

    pub(crate) fn blank(&mut self) {
        self.text.push('\n');
    }

    /// `[name]`, set off by a blank line.
    pub(crate) fn table(&mut self, name: &str) {
        let _ = write!(self.text, "\n[{name}]\n");
    }

    /// `[[name]]`, set off by a blank line.
    pub(crate) fn array_table(&mut self, name: &str) {
        let _ = write!(self.text, "\n[[{name}]]\n");
    }

    pub(crate) fn string(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(
            self.text,
            "{} = {}",
            bare_or_quoted(key),
            quoted(&value.to_string())
        );
    }

    pub(crate) fn optional(&mut self, key: &str, value: Option<&impl Display>) {
        if let Some(value) = value {
            self.string(key, value);
        }
    }

    /// A number or a boolean: anything TOML writes without quotes.
    pub(crate) fn plain(&mut self, key: &str, value: impl Display) {
        let _ = writeln!(self.text, "{} = {value}", bare_or_quoted(key));
    }

    /// One item per line, so that a change touches one line.
    pub(crate) fn list(&mut self, key: &str, items: impl IntoIterator<Item = String>) {
        let mut items = items.into_iter().peekable();
        if items.peek().is_none() {
            let _ = writeln!(self.text, "{} = []", bare_or_quoted(key));
            return;
        }
        let _ = writeln!(self.text, "{} = [", bare_or_quoted(key));
        for item in items {
            let _ = writeln!(self.text, "  {item},");
        }
        self.text.push_str("]\n");
    }

    pub(crate) fn push(&mut self, text: &str) {
        self.text.push_str(text);
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }
}

/// An inline table; values are written by [`quoted`] or as plain numbers.
pub(crate) fn inline(fields: &[(&str, String)]) -> String {
    let fields: Vec<String> = fields.iter().map(|(k, v)| format!("{k} = {v}")).collect();
    format!("{{ {} }}", fields.join(", "))
}

/// A TOML basic string.
pub(crate) fn quoted(value: &str) -> String {
    let mut out = String::with_capacity(value.len() + 2);
    out.push('"');
    for c in value.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04X}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A key as TOML wants it: bare where that is allowed.
pub(crate) fn bare_or_quoted(key: &str) -> String {
    let bare = !key.is_empty()
        && key
            .bytes()
            .all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
    if bare { key.to_owned() } else { quoted(key) }
}
