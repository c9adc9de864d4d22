//! The bytes of a requirements file as text, as pip reads them: a byte order mark, else a coding
//! line in one of the first two lines, else UTF-8.

/// A file's text, and whether only pip reads that encoding.
pub(super) struct Decoded {
    pub text: String,
    /// The encoding, where uv doesn't read it.
    pub only_pip: Option<&'static str>,
}

/// Decodes; the error says why it can't be.
pub(super) fn decode(bytes: &[u8]) -> Result<Decoded, String> {
    let utf8 = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).map_err(|_| not_utf8(bytes));
    if let Some(rest) = bytes.strip_prefix(b"\xef\xbb\xbf") {
        return Ok(Decoded {
            text: utf8(rest)?,
            only_pip: None,
        });
    }
    // The marks of UTF-32 begin with those of UTF-16.
    let wide = [
        (&b"\xff\xfe\0\0"[..], "UTF-32", 4, false),
        (b"\0\0\xfe\xff", "UTF-32", 4, true),
        (b"\xff\xfe", "UTF-16", 2, false),
        (b"\xfe\xff", "UTF-16", 2, true),
    ];
    for (mark, name, width, big) in wide {
        if let Some(rest) = bytes.strip_prefix(mark) {
            let text = units(rest, width, big).ok_or(format!("it is damaged {name}"))?;
            return Ok(Decoded {
                text,
                only_pip: (width == 4).then_some(name),
            });
        }
    }
    match coding(bytes) {
        None | Some("utf-8" | "utf8") => Ok(Decoded {
            text: utf8(bytes)?,
            only_pip: None,
        }),
        Some("latin-1" | "latin1" | "iso-8859-1" | "iso8859-1") => Ok(Decoded {
            text: bytes.iter().map(|byte| char::from(*byte)).collect(),
            only_pip: Some("Latin-1"),
        }),
        Some("ascii" | "us-ascii") => Ok(Decoded {
            text: utf8(bytes)?,
            only_pip: None,
        }),
        Some(other) => Err(format!("its coding line says {other}")),
    }
}

fn not_utf8(bytes: &[u8]) -> String {
    let valid = std::str::from_utf8(bytes).map_or_else(|error| error.valid_up_to(), str::len);
    let line = bytes[..valid].iter().filter(|byte| **byte == b'\n').count() + 1;
    format!("it isn't UTF-8 text (line {line})")
}

fn units(bytes: &[u8], width: usize, big: bool) -> Option<String> {
    if !bytes.len().is_multiple_of(width) {
        return None;
    }
    let number = |unit: &[u8]| {
        let fold = |sum: u32, byte: &u8| (sum << 8) | u32::from(*byte);
        if big {
            unit.iter().fold(0, fold)
        } else {
            unit.iter().rev().fold(0, fold)
        }
    };
    let numbers = bytes.chunks(width).map(number);
    if width == 4 {
        return numbers.map(char::from_u32).collect();
    }
    let halves: Vec<u16> = numbers.filter_map(|n| u16::try_from(n).ok()).collect();
    String::from_utf16(&halves).ok()
}

/// The coding line of PEP 263: a comment with `coding: NAME` or `coding=NAME`.
fn coding(bytes: &[u8]) -> Option<&str> {
    let mut lines = bytes.split(|byte| *byte == b'\n').take(2);
    lines.find_map(|line| {
        let line = std::str::from_utf8(line).ok()?;
        let comment = line.strip_prefix('#')?;
        let after = comment.split_once("coding")?.1;
        let name = after.strip_prefix([':', '='])?.trim_start();
        let end = name
            .find(|c: char| !(c.is_ascii_alphanumeric() || "-_.".contains(c)))
            .unwrap_or(name.len());
        (end > 0).then_some(&name[..end])
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(bytes: &[u8]) -> (String, Option<&'static str>) {
        let decoded = decode(bytes).unwrap();
        (decoded.text, decoded.only_pip)
    }

    #[test]
    fn marks_and_coding_lines_are_followed() {
        assert_eq!(text(b"\xef\xbb\xbfa"), ("a".into(), None));
        assert_eq!(text(b"\xff\xfea\0b\0"), ("ab".into(), None));
        assert_eq!(text(b"\xfe\xff\0a"), ("a".into(), None));
        assert_eq!(text(b"\xff\xfe\0\0a\0\0\0"), ("a".into(), Some("UTF-32")));
        let latin = b"# -*- coding: latin-1 -*-\n# caf\xe9\n";
        assert_eq!(text(latin).1, Some("Latin-1"));
        assert!(decode(b"\xff\xfea").is_err());
        let error = decode(b"a\n\xe9\n").err().unwrap();
        assert_eq!(error, "it isn't UTF-8 text (line 2)");
    }
}
