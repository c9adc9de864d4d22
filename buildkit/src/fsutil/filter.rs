//! Which entries of a tree a transfer takes: the daemon's include patterns,
//! follow paths and exclude patterns, applied on this side.
//!
//! [`super::walk`] asks about each path on its way down and learns whether to
//! take it, to pass over it but look inside, or to skip it with all it holds.
//! Mirrors fsutil's `NewFilterFS`.

use super::error::FsError;
use super::follow;
use super::patterns::{MatchInfo, Pattern, PatternMatcher};
use super::tree::Tree;

/// What a transfer is asked to take, as the daemon words it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Selection {
    /// Take only what matches one of these; empty means everything.
    pub include: Vec<String>,
    /// Leave out what matches these (`!` makes exceptions).
    pub exclude: Vec<String>,
    /// Take only these, and what symlinks on their way lead to.
    pub follow: Vec<String>,
}

impl Selection {
    /// Reads a `DiffCopy` request's headers (`include-patterns`,
    /// `exclude-patterns`, `followpaths`), undoing their query escaping where
    /// the matching `-encoded` header says so.
    pub fn from_headers<'a>(headers: impl IntoIterator<Item = (&'a str, &'a str)> + Clone) -> Self {
        let values = |key: &str| -> Vec<String> {
            let flag = format!("{key}-encoded");
            let encoded = headers
                .clone()
                .into_iter()
                .find(|(k, _)| *k == flag)
                .is_some_and(|(_, v)| matches!(v, "1" | "t" | "T" | "true" | "TRUE" | "True"));
            headers
                .clone()
                .into_iter()
                .filter(|(k, _)| *k == key)
                .map(|(_, v)| {
                    if encoded {
                        query_unescape(v)
                    } else {
                        v.to_owned()
                    }
                })
                .collect()
        };
        Selection {
            include: values("include-patterns"),
            exclude: values("exclude-patterns"),
            follow: values("followpaths"),
        }
    }
}

/// Undoes query escaping; text that isn't escaped properly becomes nothing,
/// as on the daemon's side.
fn query_unescape(value: &str) -> String {
    let mut out = Vec::with_capacity(value.len());
    let mut bytes = value.bytes();
    let digit = |b: Option<u8>| b.and_then(|b| (b as char).to_digit(16));
    while let Some(b) = bytes.next() {
        match b {
            b'+' => out.push(b' '),
            b'%' => match (digit(bytes.next()), digit(bytes.next())) {
                (Some(high), Some(low)) => out.push((high * 16 + low) as u8),
                _ => return String::new(),
            },
            _ => out.push(b),
        }
    }
    super::gopath::lossy(&out).into_owned()
}

/// What to do with an entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// Take it.
    Take,
    /// Don't take it; something inside may still be taken.
    Pass,
    /// Don't take it, nor anything inside.
    Skip,
}

/// How a folder fared, for the judgement of what is inside.
#[derive(Debug, Clone, Default)]
pub(super) struct FolderMatch {
    include: MatchInfo,
    exclude: MatchInfo,
}

impl FolderMatch {
    /// The exclude pattern that decided, counted from 0.
    pub(super) fn excluded_by(&self) -> Option<usize> {
        self.exclude.decided_by()
    }
}

/// A selection, ready to judge paths.
#[derive(Debug, Default)]
pub struct Filter {
    include: Option<PatternMatcher>,
    exclude: Option<PatternMatcher>,
    /// The patterns that could match inside a folder are plain paths, so that
    /// a folder which none of them leads to need not be read.
    plain_includes: bool,
    plain_exceptions: bool,
}

impl Filter {
    /// Readies a selection; follow paths are resolved in `tree` now. Without
    /// a tree there are no symlinks to follow.
    pub fn new(tree: Option<&Tree>, selection: &Selection) -> Result<Self, FsError> {
        let mut include: Vec<Vec<u8>> = selection
            .include
            .iter()
            .map(|p| p.as_bytes().to_vec())
            .collect();
        if !selection.follow.is_empty()
            && let Some(targets) = follow::follow_links(tree, &selection.follow)?
        {
            include.extend(targets);
            include = follow::drop_covered(include).unwrap_or_default();
        }
        let matcher = |list, patterns: &[Vec<u8>]| match patterns {
            [] => Ok(None),
            _ => PatternMatcher::new(patterns)
                .map(Some)
                .map_err(|source| FsError::Pattern { list, source }),
        };
        let exclude: Vec<Vec<u8>> = selection
            .exclude
            .iter()
            .map(|p| p.as_bytes().to_vec())
            .collect();
        let include = matcher("include", &include)?;
        let exclude = matcher("exclude", &exclude)?;
        let all_plain = |matcher: &Option<PatternMatcher>, exclusions: bool| {
            matcher.iter().flat_map(PatternMatcher::patterns).all(|p| {
                p.is_exclusion() != exclusions
                    || !p
                        .without_trailing_glob()
                        .iter()
                        .any(|b| b"*[]?^\\".contains(b))
            })
        };
        Ok(Filter {
            plain_includes: all_plain(&include, false),
            plain_exceptions: all_plain(&exclude, true),
            include,
            exclude,
        })
    }

    /// Judges a path, given how the folder above it fared.
    pub(super) fn judge(
        &self,
        path: &[u8],
        is_dir: bool,
        above: &FolderMatch,
    ) -> Result<(Verdict, FolderMatch), FsError> {
        let mut verdict = Verdict::Take;
        let mut here = FolderMatch::default();
        if let Some(include) = &self.include {
            let (matched, info) = include
                .matches_using_parent_results(path, &above.include)
                .map_err(|source| FsError::Pattern {
                    list: "include",
                    source,
                })?;
            here.include = info;
            if !matched {
                if is_dir && self.plain_includes && !leads_inside(include, path, false) {
                    return Ok((Verdict::Skip, here));
                }
                verdict = Verdict::Pass;
            }
        }
        if let Some(exclude) = &self.exclude {
            let (matched, info) = exclude
                .matches_using_parent_results(path, &above.exclude)
                .map_err(|source| FsError::Pattern {
                    list: "exclude",
                    source,
                })?;
            here.exclude = info;
            if matched {
                if is_dir && self.plain_exceptions && !leads_inside(exclude, path, true) {
                    return Ok((Verdict::Skip, here));
                }
                verdict = Verdict::Pass;
            }
        }
        Ok((verdict, here))
    }
}

/// Whether a pattern (an exception or not) names something inside `folder`.
fn leads_inside(matcher: &PatternMatcher, folder: &[u8], exclusions: bool) -> bool {
    let inside = |p: &Pattern| {
        let text = p.without_trailing_glob();
        // `text` + "/" begins with `folder` + "/".
        text.strip_prefix(folder)
            .is_some_and(|rest| rest.is_empty() || rest[0] == b'/')
    };
    matcher
        .patterns()
        .iter()
        .any(|p| p.is_exclusion() == exclusions && inside(p))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_unescaped_only_where_marked() {
        let selection = Selection::from_headers([
            ("dir-name", "context"),
            ("exclude-patterns", "caf%C3%A9+x"),
            ("exclude-patterns-encoded", "1"),
            ("followpaths", "a+b%20"),
        ]);
        assert_eq!(selection.exclude, ["café x"]);
        assert_eq!(selection.follow, ["a+b%20"]);
    }
}
