//! Paths: inside the build context (relative) and inside the image (absolute).

use super::{InvalidValue, checked_string};

checked_string!(
    /// A file or folder of the build context, relative to its root, such as `requirements.txt`.
    ContextPath,
    check_context_path
);

checked_string!(
    /// As [`ContextPath`], with `*` and `?` allowed in the last part: `requirements*.txt`.
    ContextPattern,
    check_context_pattern
);

checked_string!(
    /// A path inside the image, absolute and without `..`.
    ContainerPath,
    check_container_path,
    pattern = "^/.*$"
);

const CONTEXT_HINT: &str = "name a file inside the build context, relative to its root";

fn check_context_path(text: &str) -> Result<(), InvalidValue> {
    check_relative("file in the build context", text)?;
    match text.chars().find(|c| "*?[]".contains(*c)) {
        None => Ok(()),
        Some(c) => Err(InvalidValue::new(
            "file in the build context",
            text,
            format!("holds {c:?}, which COPY reads as a pattern"),
            "rename the file",
        )),
    }
}

fn check_context_pattern(text: &str) -> Result<(), InvalidValue> {
    check_relative("file in the build context", text)?;
    let folder = text.rsplit_once('/').map_or("", |(folder, _)| folder);
    if text.contains(['[', ']']) || folder.contains(['*', '?']) {
        return Err(InvalidValue::new(
            "file in the build context",
            text,
            "is a pattern that isn't understood",
            "use * and ? in the last part only, as in requirements*.txt",
        ));
    }
    Ok(())
}

fn check_relative(kind: &'static str, text: &str) -> Result<(), InvalidValue> {
    let bad = |reason: &str| Err(InvalidValue::new(kind, text, reason, CONTEXT_HINT));
    if text.is_empty() {
        return bad("is empty");
    }
    if text.starts_with('/') {
        return bad("is absolute");
    }
    if text.split('/').any(|part| part == "..") {
        return bad("leads outside the build context");
    }
    if text.chars().any(|c| c.is_control() || c == '\\') {
        return bad("holds a character that COPY would misread");
    }
    Ok(())
}

fn check_container_path(text: &str) -> Result<(), InvalidValue> {
    let bad = |reason: &str| {
        Err(InvalidValue::new(
            "path in the image",
            text,
            reason,
            "give an absolute path such as /app",
        ))
    };
    if !text.starts_with('/') {
        return bad("isn't absolute");
    }
    if text.split('/').any(|part| part == "..") {
        return bad("holds '..'");
    }
    if text
        .chars()
        .any(|c| c.is_control() || "\\\"'$`".contains(c))
    {
        return bad("holds a character that a shell would misread");
    }
    Ok(())
}

impl ContextPath {
    /// The folder part (`""` at the root) and the file name.
    pub fn split(&self) -> (&str, &str) {
        let path = self.0.trim_start_matches("./").trim_end_matches('/');
        path.rsplit_once('/').unwrap_or(("", path))
    }
}

impl ContextPattern {
    /// The folder part (`""` at the root) and the pattern of the file name.
    pub fn split(&self) -> (&str, &str) {
        let path = self.0.trim_start_matches("./");
        path.rsplit_once('/').unwrap_or(("", path))
    }

    /// Whether it names one file only.
    pub fn is_literal(&self) -> bool {
        !self.0.contains(['*', '?'])
    }

    /// Whether a file name (the last part) matches the last part of the pattern.
    pub fn matches_name(&self, name: &str) -> bool {
        glob(self.split().1.as_bytes(), name.as_bytes())
    }
}

/// `*` stands for any run of characters, `?` for one.
fn glob(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern.first(), text.first()) {
        (None, None) => true,
        (Some(b'*'), _) => {
            glob(&pattern[1..], text) || (!text.is_empty() && glob(pattern, &text[1..]))
        }
        (Some(b'?'), Some(_)) => glob(&pattern[1..], &text[1..]),
        (Some(p), Some(t)) if p == t => glob(&pattern[1..], &text[1..]),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn context_paths_stay_inside() {
        assert_eq!(
            "a/b.txt".parse::<ContextPath>().unwrap().split(),
            ("a", "b.txt")
        );
        assert_eq!(
            "./b.txt".parse::<ContextPath>().unwrap().split(),
            ("", "b.txt")
        );
        for bad in ["", "/etc/passwd", "../x", "a/../../x", "a\nb", "a*", "a\\b"] {
            assert!(bad.parse::<ContextPath>().is_err(), "{bad:?}");
        }
    }

    #[test]
    fn patterns_match_the_last_part() {
        let pattern: ContextPattern = "env/requirements*.txt".parse().unwrap();
        assert!(pattern.matches_name("requirements-dev.txt"));
        assert!(pattern.matches_name("requirements.txt"));
        assert!(!pattern.matches_name("constraints.txt"));
        assert!("*/requirements.txt".parse::<ContextPattern>().is_err());
        assert!("requirements[12].txt".parse::<ContextPattern>().is_err());
    }

    #[test]
    fn container_paths_are_absolute_and_plain() {
        assert!(
            "/media/vorph/datas/cracks defect"
                .parse::<ContainerPath>()
                .is_ok()
        );
        for bad in ["app", "", "/a/../b", "/a$b", "/a\"b", "/a\nb"] {
            assert!(bad.parse::<ContainerPath>().is_err(), "{bad:?}");
        }
    }
}
