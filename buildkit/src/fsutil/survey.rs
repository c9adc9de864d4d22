//! Every entry of a folder: whether a transfer takes it, how large it is, and which pattern of the
//! ignore list decided. For people who want to see what a build sends; transfers themselves are left
//! to [`super::sender`].

use rustix::fs::FileType;
use rustix::io::Errno;

use super::error::FsError;
use super::filter::{Filter, FolderMatch, Selection, Verdict};
use super::gopath;
use super::tree::Tree;
use super::walk::{Folder, is_unfinished};

/// An entry of the folder. A folder stands for itself only where all of it is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Surveyed {
    /// From the root, without a leading slash.
    pub path: String,
    /// Whether it is a folder.
    pub is_folder: bool,
    /// Bytes of the file, or of all files inside.
    pub bytes: u64,
    /// How many files it stands for.
    pub files: u64,
    /// Whether a transfer takes it.
    pub taken: bool,
    /// Whether it is a file that mlbuild is writing: no transfer takes it, whatever a pattern says.
    pub is_unfinished: bool,
    /// The pattern that decided, counted from 0 in the list that was given; `None` where none matched.
    pub decided_by: Option<usize>,
}

/// All entries of a folder in the order of a transfer. What a folder that is left out holds is
/// counted only with `measure`: it may be large.
///
/// # Errors
/// Where a pattern is none, or a part that a transfer would take can't be read.
pub fn survey(
    root: &std::path::Path,
    patterns: &[String],
    measure: bool,
) -> Result<Vec<Surveyed>, FsError> {
    let tree = Tree::open(root)?;
    let selection = Selection {
        exclude: patterns.to_vec(),
        ..Selection::default()
    };
    let filter = Filter::new(Some(&tree), &selection)?;
    let mut surveyor = Surveyor {
        tree: &tree,
        filter: &filter,
        measure,
        path: Vec::new(),
        found: Vec::new(),
    };
    surveyor.walk()?;
    Ok(surveyor.found)
}

struct Surveyor<'a> {
    tree: &'a Tree,
    filter: &'a Filter,
    measure: bool,
    path: Vec<u8>,
    found: Vec<Surveyed>,
}

impl Surveyor<'_> {
    fn walk(&mut self) -> Result<(), FsError> {
        let root = Folder::open(self.tree, b"", FolderMatch::default(), false)?;
        // Each with how many entries were found before it.
        let mut open = vec![(root, 0)];
        while let Some((folder, before)) = open.last_mut() {
            let Some(kind) = folder.advance(&mut self.path) else {
                self.close(folder, *before);
                open.pop();
                continue;
            };
            if let Some((fared, passed)) = self.entry(kind, &folder.fared)? {
                let inner = Folder::open(self.tree, &self.path, fared, passed)?;
                open.push((inner, self.found.len()));
            }
        }
        Ok(())
    }

    /// Puts a folder of which nothing is taken in the place of what it holds.
    fn close(&mut self, folder: &Folder, before: usize) {
        let inside = &self.found[before..];
        if !folder.passed || inside.iter().any(|entry| entry.taken) {
            return;
        }
        let (bytes, files) = inside.iter().fold((0, 0), |(bytes, files), entry| {
            (bytes + entry.bytes, files + entry.files)
        });
        self.found.truncate(before);
        self.found.push(Surveyed {
            path: gopath::lossy(&self.path[..folder.length]).into_owned(),
            is_folder: true,
            bytes,
            files,
            taken: false,
            is_unfinished: false,
            decided_by: folder.fared.excluded_by(),
        });
    }

    /// Judges the entry at `self.path`. For a folder to look into: how it fared, and whether it is
    /// left out itself.
    fn entry(
        &mut self,
        kind: FileType,
        above: &FolderMatch,
    ) -> Result<Option<(FolderMatch, bool)>, FsError> {
        let mut size = None;
        let mut kind = kind;
        if kind == FileType::Unknown || kind == FileType::RegularFile {
            let stat = match self.tree.lstat(&self.path) {
                Ok(stat) => stat,
                Err(Errno::NOENT | Errno::NOTDIR) => return Ok(None),
                Err(e) => return Err(self.tree.error("read", &self.path, e)),
            };
            kind = FileType::from_raw_mode(stat.st_mode);
            size = u64::try_from(stat.st_size).ok();
        }
        let is_folder = kind == FileType::Directory;
        let (verdict, here) = self.filter.judge(&self.path, is_folder, above)?;
        if is_folder && verdict != Verdict::Skip {
            return Ok(Some((here, verdict == Verdict::Pass)));
        }
        let is_unfinished = kind == FileType::RegularFile && is_unfinished(&self.path);
        let (mut bytes, mut files) = (0, 1);
        if is_folder {
            (bytes, files) = if self.measure {
                self.measured()
            } else {
                (0, 0)
            };
        } else if kind == FileType::RegularFile {
            bytes = size.unwrap_or(0);
        }
        self.found.push(Surveyed {
            path: gopath::lossy(&self.path).into_owned(),
            is_folder,
            bytes,
            files,
            taken: verdict == Verdict::Take && !is_unfinished,
            is_unfinished,
            decided_by: here.excluded_by(),
        });
        Ok(None)
    }

    /// Bytes and number of the files in the folder at `self.path`, as far as they can be read.
    fn measured(&self) -> (u64, u64) {
        let (mut bytes, mut files) = (0, 0);
        let mut folders = vec![self.path.clone()];
        while let Some(folder) = folders.pop() {
            let names = self.tree.list(&folder).unwrap_or_default();
            for (name, _) in (0..).map_while(|at| names.get(at)) {
                let path = [&folder[..], b"/", name].concat();
                let Ok(stat) = self.tree.lstat(&path) else {
                    continue;
                };
                match FileType::from_raw_mode(stat.st_mode) {
                    FileType::Directory => folders.push(path),
                    FileType::RegularFile => {
                        bytes += u64::try_from(stat.st_size).unwrap_or(0);
                        files += 1;
                    }
                    _ => files += 1,
                }
            }
        }
        (bytes, files)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn project() -> tempfile::TempDir {
        let root = tempfile::tempdir().unwrap();
        for (path, size) in [
            ("a.py", 1),
            ("data/x/1.bin", 10),
            ("data/x/2.bin", 20),
            ("data/keep.txt", 3),
            ("venv/lib/m.py", 7),
        ] {
            let path = root.path().join(path);
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, vec![b'x'; size]).unwrap();
        }
        root
    }

    fn shown(patterns: &[&str]) -> Vec<String> {
        let root = project();
        let patterns: Vec<String> = patterns.iter().map(ToString::to_string).collect();
        let found = survey(root.path(), &patterns, true).unwrap();
        let line = |e: &Surveyed| {
            let sign = if e.taken { '+' } else { '-' };
            let by = e.decided_by.map_or("none".into(), |n| patterns[n].clone());
            format!("{sign} {} {} {} {by}", e.path, e.bytes, e.files)
        };
        found.iter().map(line).collect()
    }

    #[test]
    fn a_folder_that_is_left_out_stands_for_what_it_holds() {
        assert_eq!(
            shown(&["venv", "data", "!data/keep.txt"]),
            [
                "+ a.py 1 1 none",
                "+ data/keep.txt 3 1 !data/keep.txt",
                "- data/x 30 2 data",
                "- venv 7 1 venv",
            ]
        );
    }

    #[test]
    fn what_an_exception_might_bring_back_is_looked_for() {
        assert_eq!(
            shown(&["*", "!**/*.py"]),
            [
                "+ a.py 1 1 !**/*.py",
                "- data 33 3 *",
                "+ venv/lib/m.py 7 1 !**/*.py",
            ]
        );
    }

    #[test]
    fn the_same_entries_are_taken_as_by_a_transfer() {
        let root = project();
        std::fs::write(root.path().join("data/.mlbuild-x.tmp"), "half").unwrap();
        for patterns in [
            vec!["data/*", "!data/x/2.bin"],
            vec!["**", "!venv"],
            vec!["*.py", "**/x"],
            vec!["[a-c].py", "data/**", "!data/**/1.bin"],
        ] {
            let exclude: Vec<String> = patterns.iter().map(ToString::to_string).collect();
            let selection = Selection {
                exclude: exclude.clone(),
                ..Selection::default()
            };
            let sent =
                super::super::walk::entries(root.path(), &selection, Default::default()).unwrap();
            let folder = |stat: &mlbuild_proto::fsutil::types::Stat| {
                stat.mode & super::super::walk::go_mode::DIR != 0
            };
            let sent: Vec<String> = sent
                .iter()
                .filter(|stat| !folder(stat))
                .map(|stat| String::from_utf8(stat.path.to_vec()).unwrap())
                .collect();
            let found = survey(root.path(), &exclude, false).unwrap();
            let taken: Vec<String> = found
                .into_iter()
                .filter(|entry| entry.taken)
                .map(|entry| entry.path)
                .collect();
            assert_eq!(taken, sent, "{patterns:?}");
        }
    }
}
