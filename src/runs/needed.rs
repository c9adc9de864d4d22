//! Which images a project needs: those that its lock or a run record names, in the folder or on any branch
//! that this clone knows.

use std::collections::BTreeSet;
use std::path::Path;

use mlbuild_manifests::RunRecord;
use oci_spec::distribution::Reference;

use super::RunsError;
use crate::records::{Git, GitError, Store, exact_image};
use crate::registry::RegistryError;

/// The project's lock.
pub(super) const LOCK: &str = "mlbuild.lock";
/// What the tag of a run begins with.
const TAG: &str = "run-";

/// What must stay.
#[derive(Debug, Default)]
pub(super) struct Needed {
    /// Ids of runs that have a record.
    pub runs: BTreeSet<String>,
    /// `sha256:…` of all that locks and records name.
    pub digests: BTreeSet<String>,
}

/// The tag of a run.
pub(super) fn tag_of(run: &str) -> String {
    format!("{TAG}{run}")
}

/// The run that a tag is of.
pub(super) fn run_of(tag: &str) -> Option<&str> {
    tag.strip_prefix(TAG).filter(|run| !run.is_empty())
}

/// The image of a run by digest, where a registry has it.
pub(super) fn published(record: &RunRecord) -> Result<Option<Reference>, RunsError> {
    let exact = exact_image(record).filter(|_| record.image.is_published());
    Ok(exact
        .map(|exact| RegistryError::reference(&exact))
        .transpose()?)
}

impl Needed {
    /// What the project's folder names, and each branch and tag of its repository.
    ///
    /// # Errors
    /// Where a file or a branch can't be read: what isn't known to be needless stays.
    pub fn of(project: &Path) -> Result<Self, RunsError> {
        let mut needed = Self::default();
        let store = Store::of(project);
        for id in store.ids()? {
            needed.read(&store.folder().join(format!("{id}.toml")))?;
            needed.runs.insert(id);
        }
        needed.read(&project.join(LOCK))?;
        let git = Git::at(project).never_prompting();
        match git.text(&["rev-parse", "--is-inside-work-tree"]) {
            Ok(_) => needed.branches(
                &git,
                store.folder().file_name().unwrap_or_default().as_ref(),
            )?,
            // No repository, so no branches.
            Err(GitError::NotARepository(_)) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(needed)
    }

    fn read(&mut self, path: &Path) -> Result<(), RunsError> {
        match mlbuild_files::read(path) {
            Ok(bytes) => self.scan(&bytes),
            Err(source) if source.kind() == std::io::ErrorKind::NotFound => {}
            Err(source) => {
                return Err(RunsError::Read {
                    path: path.to_path_buf(),
                    source,
                });
            }
        }
        Ok(())
    }

    fn branches(&mut self, git: &Git, records: &Path) -> Result<(), RunsError> {
        let listed = git.text(&["for-each-ref", "--format=%(objectname)"])?;
        let commits: BTreeSet<&str> = listed.lines().collect();
        let mut blobs = BTreeSet::new();
        for commit in commits {
            let folder = format!("{}/", records.display());
            let words = ["ls-tree", "-z", commit, LOCK, &folder];
            // A tag may name something else than a commit.
            let tree = match git.text(&words) {
                Err(GitError::Failed { .. }) => continue,
                tree => tree?,
            };
            for entry in tree.split('\0') {
                let Some((about, name)) = entry.split_once('\t') else {
                    continue;
                };
                let id = name
                    .strip_prefix(&folder)
                    .and_then(|file| file.strip_suffix(".toml"));
                self.runs.extend(id.map(str::to_owned));
                if name == LOCK || id.is_some() {
                    blobs.extend(about.split(' ').nth(2).map(str::to_owned));
                }
            }
        }
        if !blobs.is_empty() {
            let input: String = blobs.iter().map(|blob| format!("{blob}\n")).collect();
            self.scan(&git.bytes(&["cat-file", "--batch"], input.as_bytes())?);
        }
        Ok(())
    }

    /// Takes up all digests of a text, whatever names them there.
    fn scan(&mut self, text: &[u8]) {
        const HEX: usize = 64;
        let marker = b"sha256:";
        for at in memchr::memmem::find_iter(text, marker) {
            let digest = text.get(at..at + marker.len() + HEX);
            let digest = digest.and_then(|digest| std::str::from_utf8(digest).ok());
            self.digests.extend(digest.map(str::to_owned));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn digests_are_found_wherever_they_stand() {
        let hex = "0123456789abcdef".repeat(4);
        let mut needed = Needed::default();
        needed.scan(format!("a = \"x@sha256:{hex}\"\nsha256:ff\nsha256:").as_bytes());
        assert_eq!(needed.digests, BTreeSet::from([format!("sha256:{hex}")]));
    }

    #[test]
    fn a_tag_is_of_one_run() {
        assert_eq!(run_of(&tag_of("exp-7")), Some("exp-7"));
        for tag in ["run-", "runs", "latest", "Run-x"] {
            assert_eq!(run_of(tag), None, "{tag}");
        }
    }
}
