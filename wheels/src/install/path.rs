//! Paths below the environment's folder.

use std::cmp::Ordering;
use std::fmt;

/// A path, sorted as a walk through the tree meets it: a folder, what is in it, then what comes
/// after it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct InstallPath(Box<str>);

impl InstallPath {
    pub(crate) fn new(path: String) -> Self {
        Self(path.into_boxed_str())
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }

    /// True for `folder` itself and for what is below it.
    pub(crate) fn is_in(&self, folder: &InstallPath) -> bool {
        let rest = self.0.strip_prefix(&*folder.0);
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
    }

    /// The folders above it, from the top.
    pub(crate) fn parents(&self) -> impl Iterator<Item = &str> {
        self.0.match_indices('/').map(|(at, _)| &self.0[..at])
    }
}

impl fmt::Display for InstallPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Ord for InstallPath {
    fn cmp(&self, other: &Self) -> Ordering {
        let key = |byte: u8| if byte == b'/' { 0 } else { byte };
        self.0.bytes().map(key).cmp(other.0.bytes().map(key))
    }
}

impl PartialOrd for InstallPath {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// `path` as it is written from the folder `from`; both are below one folder.
pub(super) fn relative(path: &str, from: &str) -> String {
    let (path, from): (Vec<_>, Vec<_>) = (path.split('/').collect(), from.split('/').collect());
    let common = path.iter().zip(&from).take_while(|(a, b)| a == b).count();
    let up = std::iter::repeat_n("..", from.len() - common);
    let parts: Vec<&str> = up.chain(path[common..].iter().copied()).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tree_is_sorted_as_it_is_walked() {
        let mut paths = ["a-b", "a/b", "a", "a/b/c", "a.b"].map(|p| InstallPath::new(p.into()));
        paths.sort();
        let text: Vec<_> = paths.iter().map(InstallPath::as_str).collect();
        assert_eq!(text, ["a", "a/b", "a/b/c", "a-b", "a.b"]);
        let long = InstallPath::new("x/y/z".into());
        assert_eq!(long.parents().collect::<Vec<_>>(), ["x", "x/y"]);
        assert!(long.is_in(&InstallPath::new("x/y".into())));
        assert!(!long.is_in(&InstallPath::new("x/y/zz".into())));
    }

    #[test]
    fn paths_are_written_from_site_packages() {
        let site = "lib/python3.11/site-packages";
        assert_eq!(relative("bin/foo", site), "../../../bin/foo");
        assert_eq!(relative("lib/python3.11/a.py", site), "../a.py");
        assert_eq!(
            relative("lib/python3.11/site-packages/a/b.py", site),
            "a/b.py"
        );
    }
}
