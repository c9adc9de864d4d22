//! The files of a build context with their contents, for whoever writes them himself.
//!
//! The entries are those that a transfer would announce, in its order; their contents are read
//! as the visitor asks for them, and a file that changes meanwhile is an error.

use std::io::{self, Read};

/// What is said of an entry; its mode is Go's, see [`super::walk::go_mode`].
pub use mlbuild_proto::fsutil::types::Stat as EntryStat;
use rustix::fs::FileType;
use rustix::io::Errno;

use super::dockerignore;
use super::error::FsError;
use super::filter::{Filter, Selection};
use super::fingerprint::ContextSelection;
use super::tree::Tree;
use super::walk::{self, Found};

/// Takes an entry and the content that it has: of a file, exactly as many bytes as the entry says.
pub type VisitFile<'a> = dyn FnMut(&EntryStat, &mut dyn Read) -> io::Result<()> + 'a;

/// Visits the selected entries of a context.
///
/// # Errors
/// A file that can't be read or is written to meanwhile, and the visitor's own.
pub fn read_files(context: &ContextSelection, visit: &mut VisitFile<'_>) -> Result<(), FsError> {
    read_some_files(context, &mut |_| true, visit)
}

/// The same, of the entries that `takes` says; no other file is opened.
///
/// # Errors
/// As [`read_files`].
pub fn read_some_files(
    context: &ContextSelection,
    takes: &mut dyn FnMut(&EntryStat) -> bool,
    visit: &mut VisitFile<'_>,
) -> Result<(), FsError> {
    let tree = Tree::open(&context.root)?;
    let exclude = match &context.ignore {
        Some((file, content)) => dockerignore::of_text(file, content.as_bytes())?,
        None => dockerignore::of_context(&tree, context.dockerfile.as_deref())?,
    };
    let selection = Selection {
        exclude,
        follow: context.only.clone(),
        ..Selection::default()
    };
    let filter = Filter::new(Some(&tree), &selection)?;
    walk::walk(&tree, &filter, context.normalise, &mut |found| {
        let Some(stat) = found.to_stat()? else {
            return Ok(());
        };
        if !takes(&stat) {
            return Ok(());
        }
        let failed = |source| {
            let path = tree
                .absolute(found.path)
                .into_os_string()
                .into_encoded_bytes();
            FsError::io("take into the image", &path, source)
        };
        if found.kind() != FileType::RegularFile || found.hard_link.is_some() {
            return visit(&stat, &mut io::empty()).map_err(failed);
        }
        let mut content = open(&tree, found)?;
        let announced = u64::try_from(stat.size).unwrap_or(0);
        visit(&stat, &mut content.by_ref().take(announced)).map_err(failed)?;
        check(&tree, found, &content)
    })
}

fn open(tree: &Tree, found: &Found<'_>) -> Result<std::fs::File, FsError> {
    let file = tree.open_file(found.path).map_err(|error| match error {
        Errno::NOENT | Errno::NOTDIR => changed(tree, found, "disappeared"),
        Errno::LOOP | Errno::NXIO => changed(tree, found, "was replaced"),
        other => tree.error("open", found.path, other),
    })?;
    check(tree, found, &file)?;
    Ok(file)
}

/// A log that grows goes in as its beginning; any other change would give a mixture.
fn check(tree: &Tree, found: &Found<'_>, file: &std::fs::File) -> Result<(), FsError> {
    let now = rustix::fs::fstat(file).map_err(|error| tree.error("read", found.path, error))?;
    let before = found.stat;
    if (now.st_dev, now.st_ino) != (before.st_dev, before.st_ino) {
        return Err(changed(tree, found, "was replaced"));
    }
    if now.st_size < before.st_size {
        return Err(changed(tree, found, "became shorter"));
    }
    if now.st_size == before.st_size && walk::mtime(&now) != walk::mtime(before) {
        return Err(changed(tree, found, "was written to"));
    }
    Ok(())
}

fn changed(tree: &Tree, found: &Found<'_>, what: &'static str) -> FsError {
    FsError::changed(
        tree.absolute(found.path).as_os_str().as_encoded_bytes(),
        what,
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_come_with_their_contents_and_without_what_is_ignored() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("a")).unwrap();
        std::fs::write(root.path().join("a/x.py"), "print(1)").unwrap();
        std::fs::write(root.path().join("a/x.log"), "no").unwrap();
        std::os::unix::fs::symlink("a/x.py", root.path().join("link")).unwrap();
        let context = ContextSelection {
            root: root.path().to_owned(),
            ignore: Some(("i".to_owned(), "**/*.log".to_owned())),
            ..ContextSelection::default()
        };
        let mut seen = Vec::new();
        read_files(&context, &mut |stat, content| {
            let mut text = String::new();
            content.read_to_string(&mut text)?;
            let path = String::from_utf8_lossy(&stat.path);
            let link = String::from_utf8_lossy(&stat.linkname);
            seen.push(format!("{path}|{text}|{link}"));
            Ok(())
        })
        .unwrap();
        assert_eq!(seen, ["a||", "a/x.py|print(1)|", "link||a/x.py"]);
    }

    #[test]
    fn a_file_that_is_written_to_meanwhile_is_no_content() {
        let root = tempfile::tempdir().unwrap();
        let path = root.path().join("x");
        std::fs::write(&path, "12345").unwrap();
        let context = ContextSelection {
            root: root.path().to_owned(),
            ..ContextSelection::default()
        };
        let error = read_files(&context, &mut |_, content| {
            std::fs::write(&path, "1")?;
            io::copy(content, &mut io::sink()).map(drop)
        });
        assert!(error.unwrap_err().to_string().contains("became shorter"));
    }
}
