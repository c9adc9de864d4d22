//! Ignore patterns with the meaning that BuildKit gives them.
//!
//! A list is read in order and the last pattern that matches wins; `!` makes
//! an exception. `*` and `?` stay within a path element, `**` crosses them,
//! and a pattern that matches a folder holds for all below it. The behaviour
//! mirrors `github.com/moby/patternmatcher` v0.6.1, oddities included, because
//! the daemon expects the client to select by just those rules. Reading ignore
//! files is left to [`super::dockerignore`], walking to [`super::walk`].

use super::gopath;
use super::regexp;

/// A pattern list that can't be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    /// A lone `!`.
    #[error("illegal exclusion pattern: \"!\"")]
    LoneExclamation,
    /// An unclosed class, a backslash at the end, a reversed range…
    #[error("syntax error in pattern {0:?}")]
    Syntax(String),
}

/// How a pattern is compared; the simple shapes need no expression.
#[derive(Debug)]
enum Matcher {
    Exact,
    Prefix,
    Suffix,
    Expression(regex::bytes::Regex),
    Invalid,
}

/// One pattern of a list, cleaned, without its `!`.
#[derive(Debug)]
pub struct Pattern {
    text: Vec<u8>,
    exclusion: bool,
    matcher: Matcher,
}

/// Which patterns of a list matched a folder; handed down to its children.
/// The default value stands for "not known".
#[derive(Debug, Clone, Default)]
pub struct MatchInfo(Vec<bool>);

impl MatchInfo {
    /// The pattern that decided, counted from 0 in the list: the last that matched. `None` where
    /// none did.
    pub fn decided_by(&self) -> Option<usize> {
        self.0.iter().rposition(|hit| *hit)
    }
}

/// A list of patterns, ready to be asked about paths.
#[derive(Debug)]
pub struct PatternMatcher {
    patterns: Vec<Pattern>,
    exclusions: bool,
}

impl PatternMatcher {
    /// Reads a list; empty entries are dropped.
    pub fn new<P: AsRef<[u8]>>(
        patterns: impl IntoIterator<Item = P>,
    ) -> Result<Self, PatternError> {
        let mut list = Vec::new();
        for raw in patterns {
            let trimmed = trim(raw.as_ref());
            if trimmed.is_empty() {
                continue;
            }
            let cleaned = gopath::clean(trimmed);
            let (exclusion, text) = match cleaned.strip_prefix(b"!") {
                Some(b"") => return Err(PatternError::LoneExclamation),
                Some(rest) => (true, rest.to_vec()),
                None => (false, cleaned),
            };
            if gopath::glob_match(&text, b".").is_err() {
                return Err(PatternError::Syntax(gopath::lossy(&text).into_owned()));
            }
            let matcher = compile(&gopath::lossy(&text));
            list.push(Pattern {
                text,
                exclusion,
                matcher,
            });
        }
        let exclusions = list.iter().any(|p| p.exclusion);
        Ok(PatternMatcher {
            patterns: list,
            exclusions,
        })
    }

    /// The patterns, in order.
    pub fn patterns(&self) -> &[Pattern] {
        &self.patterns
    }

    /// Whether any pattern is an exception (`!`).
    pub fn has_exclusions(&self) -> bool {
        self.exclusions
    }

    /// Whether the list holds for `path` (relative, slash-separated), looking
    /// at the path and at every folder above it.
    pub fn matches_or_parent_matches(&self, path: &[u8]) -> Result<bool, PatternError> {
        Ok(self
            .matches_using_parent_results(path, &MatchInfo::default())?
            .0)
    }

    /// Same, for a walk: `parent` is what this call gave for the folder above
    /// (the default value at the top), which saves matching it again.
    pub fn matches_using_parent_results(
        &self,
        path: &[u8],
        parent: &MatchInfo,
    ) -> Result<(bool, MatchInfo), PatternError> {
        let mut matched = false;
        let mut info = vec![false; self.patterns.len()];
        for (i, pattern) in self.patterns.iter().enumerate() {
            let mut hit = parent.0.get(i).copied().unwrap_or(false);
            if !hit {
                // An inclusion can't add to a match, nor an exception to none.
                if pattern.exclusion != matched {
                    continue;
                }
                hit = pattern.matches(path)?;
                if !hit && parent.0.is_empty() {
                    hit = pattern.matches_a_parent(path);
                }
            }
            info[i] = hit;
            if hit {
                matched = !pattern.exclusion;
            }
        }
        Ok((matched, MatchInfo(info)))
    }
}

impl Pattern {
    /// Whether this is an exception (`!`).
    pub fn is_exclusion(&self) -> bool {
        self.exclusion
    }

    /// The text without one trailing `/**` and one trailing `/*`.
    pub fn without_trailing_glob(&self) -> &[u8] {
        let text = self.text.strip_suffix(b"/**").unwrap_or(&self.text);
        text.strip_suffix(b"/*").unwrap_or(text)
    }

    fn matches(&self, path: &[u8]) -> Result<bool, PatternError> {
        match &self.matcher {
            Matcher::Exact => Ok(path == self.text),
            Matcher::Prefix => Ok(path.starts_with(&self.text[..self.text.len() - 2])),
            Matcher::Suffix => {
                let suffix = &self.text[2..];
                Ok(path.ends_with(suffix) || suffix.strip_prefix(b"/") == Some(path))
            }
            Matcher::Expression(regex) => Ok(regex.is_match(gopath::lossy(path).as_bytes())),
            Matcher::Invalid => Err(PatternError::Syntax(gopath::lossy(&self.text).into_owned())),
        }
    }

    fn matches_a_parent(&self, path: &[u8]) -> bool {
        let parent = gopath::dir(path);
        if parent == b"." {
            return false;
        }
        (0..=parent.len())
            .filter(|i| *i == parent.len() || parent[*i] == b'/')
            .any(|i| self.matches(&parent[..i]).unwrap_or(false))
    }
}

/// Trims white space as Unicode defines it, leaving other bytes alone.
fn trim(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    loop {
        let (c, n) = gopath::decode_char(rest);
        if n == 0 || !c.is_whitespace() {
            break;
        }
        rest = &rest[n..];
    }
    while let Some(start) = (1..=rest.len().min(4)).map(|n| rest.len() - n).find(|i| {
        let (c, n) = gopath::decode_char(&rest[*i..]);
        n == rest.len() - i && c.is_whitespace()
    }) {
        rest = &rest[..start];
    }
    rest
}

/// Finds the cheapest way to compare a cleaned pattern, translating globs to
/// an expression where there is no cheaper one.
fn compile(text: &str) -> Matcher {
    #[derive(PartialEq)]
    enum Shape {
        Exact,
        Prefix,
        Suffix,
        Expression,
    }
    let mut shape = Shape::Exact;
    let mut expression = String::from("^");
    // The reader that defines the format takes a byte order mark for none.
    let body = text.strip_prefix('\u{feff}').unwrap_or(text);
    let mut chars = body.chars().peekable();
    let mut first = true;
    while let Some(c) = chars.next() {
        match c {
            '*' if chars.next_if_eq(&'*').is_some() => {
                chars.next_if_eq(&'/');
                if chars.peek().is_some() {
                    expression.push_str("(.*/)?");
                    shape = Shape::Expression;
                } else if shape == Shape::Exact {
                    shape = Shape::Prefix;
                } else {
                    expression.push_str(".*");
                    shape = Shape::Expression;
                }
                if first {
                    shape = Shape::Suffix;
                }
            }
            '*' => {
                expression.push_str("[^/]*");
                shape = Shape::Expression;
            }
            '?' => {
                expression.push_str("[^/]");
                shape = Shape::Expression;
            }
            // Upstream means to escape `|`, `{` and `}` too, but doesn't.
            '.' | '+' | '(' | ')' | '$' => {
                expression.push('\\');
                expression.push(c);
            }
            '\\' => {
                expression.push('\\');
                if let Some(escaped) = chars.next() {
                    expression.push(escaped);
                    shape = Shape::Expression;
                }
            }
            '[' | ']' => {
                expression.push(c);
                shape = Shape::Expression;
            }
            _ => expression.push(c),
        }
        first = false;
    }
    match shape {
        Shape::Exact => Matcher::Exact,
        Shape::Prefix => Matcher::Prefix,
        Shape::Suffix => Matcher::Suffix,
        Shape::Expression => {
            expression.push('$');
            regexp::translate(&expression).map_or(Matcher::Invalid, Matcher::Expression)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(patterns: &[&str], path: &str) -> bool {
        PatternMatcher::new(patterns)
            .unwrap()
            .matches_or_parent_matches(path.as_bytes())
            .unwrap()
    }

    #[test]
    fn the_last_match_wins() {
        assert!(matches(&["docs"], "docs/a.md"));
        assert!(!matches(&["docs", "!docs/a.md"], "docs/a.md"));
        assert!(matches(&["docs", "!docs/a.md", "docs/a.*"], "docs/a.md"));
        assert!(!matches(&["*", "!src"], "src/deep/x"));
    }

    #[test]
    fn stars_and_double_stars() {
        assert!(matches(&["*.py"], "a.py"));
        assert!(!matches(&["*.py"], "d/a.py"));
        assert!(matches(&["**/*.py"], "a.py"));
        assert!(matches(&["**/*.py"], "d/e/a.py"));
        assert!(matches(&["a/**"], "a/b/c"));
        assert!(!matches(&["a/**"], "a"));
        assert!(matches(&["**"], "anything/at/all"));
        assert!(matches(&["a/**/b"], "a/b"));
    }

    #[test]
    fn a_name_need_not_be_utf8() {
        let m = PatternMatcher::new(["caf?"]).unwrap();
        assert!(m.matches_or_parent_matches(b"caf\xe9").unwrap());
    }

    #[test]
    fn faults_are_named() {
        assert_eq!(
            PatternMatcher::new(["!"]).unwrap_err(),
            PatternError::LoneExclamation
        );
        assert_eq!(
            PatternMatcher::new(["a["]).unwrap_err().to_string(),
            "syntax error in pattern \"a[\""
        );
    }

    #[test]
    fn a_walk_gives_the_same_as_a_single_question() {
        let m = PatternMatcher::new(["a", "!a/b", "a/b/*.log"]).unwrap();
        let (hit, top) = m
            .matches_using_parent_results(b"a", &MatchInfo::default())
            .unwrap();
        assert!(hit);
        let (hit, below) = m.matches_using_parent_results(b"a/b", &top).unwrap();
        assert!(!hit);
        let (hit, _) = m
            .matches_using_parent_results(b"a/b/x.log", &below)
            .unwrap();
        assert!(hit);
    }
}
