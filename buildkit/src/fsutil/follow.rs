//! Follow paths: names that a build step asks for, with the symlinks on their
//! way resolved into more names, so that a link is sent along with its target.
//!
//! Links are resolved inside the tree, as if its root were `/`. The result
//! becomes include patterns. Mirrors fsutil's `FollowLinks`.

use std::collections::BTreeSet;

use rustix::fs::FileType;
use rustix::io::Errno;

use super::error::FsError;
use super::gopath;
use super::tree::Tree;

/// Resolves follow paths against a tree (`None`: a tree without symlinks).
/// Gives sorted patterns, or nothing where one of them is the root itself and
/// the tree isn't narrowed at all.
pub(super) fn follow_links<P: AsRef<[u8]>>(
    tree: Option<&Tree>,
    paths: &[P],
) -> Result<Option<Vec<Vec<u8>>>, FsError> {
    let mut resolver = Resolver {
        tree,
        resolved: BTreeSet::new(),
    };
    for path in paths {
        resolver.add(path.as_ref())?;
    }
    Ok(drop_covered(resolver.resolved.into_iter().collect()))
}

/// Drops paths that lie below the one kept before them; `None` if the root is
/// among them.
pub(super) fn drop_covered(paths: Vec<Vec<u8>>) -> Option<Vec<Vec<u8>>> {
    let mut kept: Vec<Vec<u8>> = Vec::with_capacity(paths.len());
    for path in paths {
        if path == b"." {
            return None;
        }
        let last = kept.last().map_or(&b""[..], Vec::as_slice);
        let covered = path
            .strip_prefix(last)
            .is_some_and(|rest| rest.first() == Some(&b'/'));
        if !covered {
            kept.push(path);
        }
    }
    Some(kept)
}

struct Resolver<'a> {
    tree: Option<&'a Tree>,
    resolved: BTreeSet<Vec<u8>>,
}

impl Resolver<'_> {
    /// Adds a path, element by element; at a symlink, goes on from its target.
    fn add(&mut self, path: &[u8]) -> Result<(), FsError> {
        // A loop ends because every link followed joins `resolved`; a list of
        // work instead of recursion keeps long chains off the stack.
        let mut work = vec![gopath::join(b".", path)];
        while let Some(path) = work.pop() {
            let path = gopath::join(b".", &path);
            let mut rest = &path[..];
            let mut current = b".".to_vec();
            loop {
                let (first, after) = match rest.iter().position(|b| *b == b'/') {
                    Some(i) => (&rest[..i], &rest[i + 1..]),
                    None => (rest, &rest[rest.len()..]),
                };
                current = gopath::join(&current, first);
                let targets = self.targets(&current, true)?;
                rest = after;
                if (rest.is_empty() || !targets.is_empty()) && self.resolved.contains(&current) {
                    break;
                }
                if !targets.is_empty() {
                    self.resolved.insert(current);
                    let rest = rest.to_vec();
                    work.extend(targets.iter().rev().map(|t| gopath::join(t, &rest)));
                    break;
                }
                if rest.is_empty() {
                    self.resolved.insert(current);
                    break;
                }
            }
        }
        Ok(())
    }

    /// Where a path leads if it is a symlink, or the symlinks a glob finds.
    fn targets(&self, path: &[u8], globs: bool) -> Result<Vec<Vec<u8>>, FsError> {
        let Some(tree) = self.tree else {
            return Ok(Vec::new());
        };
        let base = gopath::base(path);
        if path.starts_with(b"..") && matches!(path.get(2), None | Some(b'/')) {
            return Ok(Vec::new());
        }
        if globs && gopath::has_wildcards(base) {
            let folder = gopath::dir(path);
            let names = match tree.list(&folder) {
                Ok(names) => names,
                Err(Errno::NOENT | Errno::NOTDIR | Errno::LOOP) => return Ok(Vec::new()),
                Err(e) => return Err(tree.error("read the directory", &folder, e)),
            };
            let mut found = Vec::new();
            for (name, _) in names.iter() {
                if gopath::glob_match(base, name) == Ok(true) {
                    found.extend(self.targets(&gopath::join(&folder, name), false)?);
                }
            }
            return Ok(found);
        }
        if path == b"." || path == b"/" {
            return Ok(Vec::new());
        }
        let stat = match tree.lstat(path) {
            Ok(stat) => stat,
            Err(Errno::NOENT | Errno::NOTDIR) => return Ok(Vec::new()),
            Err(e) => return Err(tree.error("read", path, e)),
        };
        if FileType::from_raw_mode(stat.st_mode) != FileType::Symlink {
            return Ok(Vec::new());
        }
        let link = match tree.read_link(path) {
            Ok(link) => gopath::clean(&link),
            Err(Errno::NOENT | Errno::INVAL) => return Ok(Vec::new()),
            Err(e) => return Err(tree.error("read the symlink", path, e)),
        };
        if link.starts_with(b"/") {
            return Ok(vec![link]);
        }
        let from = gopath::join(&gopath::dir(path), &link);
        Ok(vec![gopath::join(b"/", &from)])
    }
}

/// Resolves follow paths against a folder on disk: links stay inside the folder, and `None` means
/// everything.
pub fn follow_links_in(
    root: &std::path::Path,
    paths: &[String],
) -> Result<Option<Vec<Vec<u8>>>, FsError> {
    follow_links(Some(&Tree::open(root)?), paths)
}
