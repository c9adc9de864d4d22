//! Path arithmetic with the meaning it has in Go's `path/filepath` on Unix.
//!
//! BuildKit's patterns and symlink rules are defined by what those functions
//! return, so this module gives the same answers: over bytes, because a file
//! name need not be UTF-8. It leaves pattern lists to [`super::patterns`].

/// The shortest path that means the same: `.` and `..` resolved by text alone,
/// doubled and trailing slashes dropped, `.` for nothing.
pub fn clean(path: &[u8]) -> Vec<u8> {
    let rooted = path.first() == Some(&b'/');
    let mut parts: Vec<&[u8]> = Vec::new();
    for part in path.split(|b| *b == b'/') {
        match part {
            b"" | b"." => {}
            b".." => match parts.last() {
                Some(last) if *last != b".." => {
                    parts.pop();
                }
                _ if rooted => {}
                _ => parts.push(part),
            },
            _ => parts.push(part),
        }
    }
    let mut out = Vec::with_capacity(path.len().max(1));
    if rooted {
        out.push(b'/');
    }
    out.extend_from_slice(&parts.join(&b'/'));
    if out.is_empty() {
        out.push(b'.');
    }
    out
}

/// Joins two paths and cleans the result; an empty side is left out.
pub fn join(a: &[u8], b: &[u8]) -> Vec<u8> {
    match (a.is_empty(), b.is_empty()) {
        (true, true) => Vec::new(),
        (true, false) => clean(b),
        (false, true) => clean(a),
        (false, false) => clean(&[a, b].join(&b'/')),
    }
}

/// All but the last element, cleaned.
pub fn dir(path: &[u8]) -> Vec<u8> {
    match path.iter().rposition(|b| *b == b'/') {
        Some(i) => clean(&path[..=i]),
        None => b".".to_vec(),
    }
}

/// The last element; `.` for an empty path, `/` for slashes alone.
pub fn base(path: &[u8]) -> &[u8] {
    let Some(end) = path.iter().rposition(|b| *b != b'/') else {
        return if path.is_empty() { b"." } else { b"/" };
    };
    let start = path[..=end]
        .iter()
        .rposition(|b| *b == b'/')
        .map_or(0, |i| i + 1);
    &path[start..=end]
}

/// Decodes one character: invalid UTF-8 counts as U+FFFD, one byte long.
pub fn decode_char(bytes: &[u8]) -> (char, usize) {
    let width = match bytes.first() {
        None => return (char::REPLACEMENT_CHARACTER, 0),
        Some(b) if *b < 0x80 => return (*b as char, 1),
        Some(b) if *b >= 0xf0 => 4,
        Some(b) if *b >= 0xe0 => 3,
        Some(_) => 2,
    };
    let decoded = bytes
        .get(..width)
        .and_then(|b| std::str::from_utf8(b).ok())
        .and_then(|s| s.chars().next());
    match decoded {
        Some(c) => (c, width),
        None => (char::REPLACEMENT_CHARACTER, 1),
    }
}

/// The text of a byte string, each invalid byte as one U+FFFD.
pub fn lossy(bytes: &[u8]) -> std::borrow::Cow<'_, str> {
    if let Ok(s) = std::str::from_utf8(bytes) {
        return s.into();
    }
    let mut out = String::with_capacity(bytes.len() + 8);
    let mut rest = bytes;
    while !rest.is_empty() {
        let (c, n) = decode_char(rest);
        out.push(c);
        rest = &rest[n..];
    }
    out.into()
}

/// A glob that cannot be read, such as an unclosed `[`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("syntax error in pattern")]
pub struct BadGlob;

/// Whether a shell glob (`*`, `?`, `[…]`, `\c`) matches the whole name.
/// `*` and `?` never match `/`. Errors only where matching reached a fault.
pub fn glob_match(mut pattern: &[u8], mut name: &[u8]) -> Result<bool, BadGlob> {
    'segments: while !pattern.is_empty() {
        let (star, chunk, rest) = next_chunk(pattern);
        pattern = rest;
        if star && chunk.is_empty() {
            return Ok(!name.contains(&b'/'));
        }
        // The last chunk must use the whole name up.
        let fits = |left: &[u8]| left.is_empty() || !rest.is_empty();
        if let Some(left) = match_chunk(chunk, name)?
            && fits(left)
        {
            name = left;
            continue;
        }
        if star {
            for i in 0..name.iter().position(|b| *b == b'/').unwrap_or(name.len()) {
                if let Some(left) = match_chunk(chunk, &name[i + 1..])?
                    && fits(left)
                {
                    name = left;
                    continue 'segments;
                }
            }
        }
        return Ok(false);
    }
    Ok(name.is_empty())
}

/// Whether a name holds an unescaped glob character.
pub fn has_wildcards(name: &[u8]) -> bool {
    let mut bytes = name.iter();
    while let Some(b) = bytes.next() {
        match b {
            b'\\' => _ = bytes.next(),
            b'*' | b'?' | b'[' => return true,
            _ => {}
        }
    }
    false
}

/// Splits off the leading stars and the star-free text after them.
fn next_chunk(pattern: &[u8]) -> (bool, &[u8], &[u8]) {
    let stars = pattern.iter().take_while(|b| **b == b'*').count();
    let body = &pattern[stars..];
    let (mut i, mut in_class) = (0, false);
    while i < body.len() {
        match body[i] {
            b'\\' => i += 1,
            b'[' => in_class = true,
            b']' => in_class = false,
            b'*' if !in_class => break,
            _ => {}
        }
        i += 1;
    }
    let end = i.min(body.len());
    (stars > 0, &body[..end], &body[end..])
}

/// Matches a star-free chunk at the start of `name` and gives what is left.
/// The chunk is read to its end either way, so that its faults always show.
fn match_chunk<'n>(mut chunk: &[u8], mut name: &'n [u8]) -> Result<Option<&'n [u8]>, BadGlob> {
    let mut failed = false;
    while let Some(op) = chunk.first().copied() {
        failed |= name.is_empty();
        chunk = &chunk[1..];
        match op {
            b'[' => {
                let (c, width) = decode_char(name);
                let inside = match_class(&mut chunk, c)?;
                if !failed {
                    name = &name[width..];
                    failed = !inside;
                }
            }
            b'?' => {
                if !failed {
                    failed = name[0] == b'/';
                    name = &name[decode_char(name).1..];
                }
            }
            _ => {
                let literal = if op == b'\\' {
                    let escaped = *chunk.first().ok_or(BadGlob)?;
                    chunk = &chunk[1..];
                    escaped
                } else {
                    op
                };
                if !failed {
                    failed = name[0] != literal;
                    name = &name[1..];
                }
            }
        }
    }
    Ok((!failed).then_some(name))
}

/// Reads a class after its `[` and tells whether it holds `c`.
fn match_class(chunk: &mut &[u8], c: char) -> Result<bool, BadGlob> {
    let negated = chunk.first() == Some(&b'^');
    if negated {
        *chunk = &chunk[1..];
    }
    let (mut found, mut ranges) = (false, 0);
    loop {
        if ranges > 0 && chunk.first() == Some(&b']') {
            *chunk = &chunk[1..];
            return Ok(found != negated);
        }
        let low = class_char(chunk)?;
        let mut high = low;
        if chunk.first() == Some(&b'-') {
            *chunk = &chunk[1..];
            high = class_char(chunk)?;
        }
        found |= low <= c && c <= high;
        ranges += 1;
    }
}

/// Reads one possibly escaped character of a class, which must go on after it.
fn class_char(chunk: &mut &[u8]) -> Result<char, BadGlob> {
    match chunk.first() {
        None | Some(b'-' | b']') => return Err(BadGlob),
        Some(b'\\') => *chunk = &chunk[1..],
        Some(_) => {}
    }
    let (c, width) = decode_char(chunk);
    if c == char::REPLACEMENT_CHARACTER && width <= 1 {
        return Err(BadGlob);
    }
    *chunk = &chunk[width..];
    if chunk.is_empty() {
        return Err(BadGlob);
    }
    Ok(c)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clean_is_the_shortest_form() {
        for (input, want) in [
            ("", "."),
            ("./a//b/", "a/b"),
            ("a/../../b", "../b"),
            ("/../a", "/a"),
            ("//", "/"),
            ("!./a", "!./a"),
        ] {
            assert_eq!(clean(input.as_bytes()), want.as_bytes(), "{input}");
        }
    }

    #[test]
    fn base_and_dir_split_the_last_element() {
        assert_eq!(base(b"a/b/"), b"b");
        assert_eq!(base(b"//"), b"/");
        assert_eq!(dir(b"a/b"), b"a");
        assert_eq!(dir(b"a"), b".");
        assert_eq!(dir(b"/a"), b"/");
    }

    #[test]
    fn globs_stop_at_slashes() {
        assert_eq!(glob_match(b"*.py", b"a.py"), Ok(true));
        assert_eq!(glob_match(b"*.py", b"d/a.py"), Ok(false));
        assert_eq!(glob_match(b"[^a-c]?", b"dx"), Ok(true));
        assert_eq!(glob_match(b"a[", b"a"), Err(BadGlob));
        assert_eq!(glob_match(b"\\*", b"*"), Ok(true));
    }

    #[test]
    fn invalid_bytes_count_one_each() {
        assert_eq!(lossy(b"a\xe9\xe8b"), "a\u{fffd}\u{fffd}b");
    }
}
