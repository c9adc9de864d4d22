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
        self.key(key);
        push_quoted(&mut self.text, &value.to_string());
        self.text.push('\n');
    }

    pub(crate) fn optional(&mut self, key: &str, value: Option<&impl Display>) {
        if let Some(value) = value {
            self.string(key, value);
        }
    }

    /// A number or a boolean: anything TOML writes without quotes.
    pub(crate) fn plain(&mut self, key: &str, value: impl Display) {
        self.key(key);
        let _ = writeln!(self.text, "{value}");
    }

    fn key(&mut self, key: &str) {
        if is_bare(key) {
            self.text.push_str(key)
        } else {
            push_quoted(&mut self.text, key)
        }
        self.text.push_str(" = ");
    }

    /// One item per line, so that a change touches one line.
    pub(crate) fn list(&mut self, key: &str, items: impl IntoIterator<Item = String>) {
        let mut items = items.into_iter().peekable();
        self.key(key);
        if items.peek().is_none() {
            self.text.push_str("[]\n");
            return;
        }
        self.text.push_str("[\n");
        for item in items {
            self.text.push_str("  ");
            self.text.push_str(&item);
            self.text.push_str(",\n");
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
    push_quoted(&mut out, value);
    out
}

fn push_quoted(out: &mut String, value: &str) {
    // Whatever a caller overlooked: these files are committed and pushed.
    let value = &*mlbuild_secrets::redact_forms(value);
    out.push('"');
    let is_plain = |b: u8| (b' '..0x7f).contains(&b) && b != b'"' && b != b'\\';
    if value.bytes().all(is_plain) {
        out.push_str(value);
    } else {
        value.chars().for_each(|c| push_escaped(out, c));
    }
    out.push('"');
}

fn push_escaped(out: &mut String, c: char) {
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

/// A key as TOML wants it: bare where that is allowed.
pub(crate) fn bare_or_quoted(key: &str) -> String {
    if is_bare(key) {
        key.to_owned()
    } else {
        quoted(key)
    }
}

fn is_bare(key: &str) -> bool {
    let is_bare = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
    !key.is_empty() && key.bytes().all(is_bare)
}
