//! A cached fingerprint must tell every change that a fresh one tells.

use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::time::Duration;

use mlbuild_buildkit::fsutil::{ContextSelection, Fingerprint, Normalise, fingerprint};

struct Context {
    dir: tempfile::TempDir,
    state: tempfile::TempDir,
    dockerfile: Option<PathBuf>,
}

impl Context {
    fn new() -> Self {
        Context {
            dir: tempfile::tempdir().unwrap(),
            state: tempfile::tempdir().unwrap(),
            dockerfile: None,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn write(&self, name: &str, content: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, content).unwrap();
    }

    fn selection(&self) -> ContextSelection {
        ContextSelection {
            root: self.dir.path().to_owned(),
            dockerfile: self.dockerfile.clone(),
            ..Default::default()
        }
    }

    fn cache(&self) -> PathBuf {
        self.state.path().join("deep/hashes")
    }

    fn cached(&self) -> Fingerprint {
        fingerprint(&self.selection(), Some(&self.cache())).unwrap()
    }

    /// The cached digest, after checking it against one without a cache.
    fn digest(&self) -> String {
        let cached = self.cached().digest;
        let fresh = fingerprint(&self.selection(), None).unwrap().digest;
        assert_eq!(cached, fresh, "the cache hid a change");
        cached
    }
}

/// Long enough for the cache to take files as being at rest.
fn come_to_rest() {
    std::thread::sleep(Duration::from_millis(2100));
}

/// Writes without any trace in size or modification time.
fn edit_in_place(path: &Path, content: &[u8]) {
    let before = fs::metadata(path).unwrap();
    assert_eq!(before.len(), content.len() as u64);
    fs::write(path, content).unwrap();
    let file = fs::File::options().write(true).open(path).unwrap();
    file.set_modified(before.modified().unwrap()).unwrap();
    let after = fs::metadata(path).unwrap();
    assert_eq!(before.modified().unwrap(), after.modified().unwrap());
    assert_eq!(before.ino(), after.ino());
}

#[test]
fn unchanged_files_are_not_read_again() {
    let context = Context::new();
    for i in 0..50 {
        context.write(&format!("d{}/f{i}", i % 7), format!("content {i}"));
    }
    come_to_rest();
    let first = context.cached();
    assert_eq!(first.read, 50);
    let second = context.cached();
    assert_eq!((second.read, &second.digest), (0, &first.digest));
    assert_eq!(second.entries, 57);
    context.write("d1/new", "x");
    assert_eq!(context.cached().read, 1);
}

#[test]
fn a_touch_is_no_change() {
    let context = Context::new();
    context.write("a", "1");
    let before = context.digest();
    let file = fs::File::options()
        .write(true)
        .open(context.path("a"))
        .unwrap();
    file.set_modified(std::time::UNIX_EPOCH + Duration::from_secs(1))
        .unwrap();
    assert_eq!(context.digest(), before);
}

#[test]
fn every_change_shows() {
    let context = Context::new();
    for name in [
        "same", "mode", "left", "right", "old", "grow", "attr", "e/one", "e/two",
    ] {
        context.write(name, format!("{name:>8}"));
    }
    context.write("linked", "x");
    fs::hard_link(context.path("linked"), context.path("linked2")).unwrap();
    context.write("apart", "x");
    fs::create_dir(context.path("empty")).unwrap();
    symlink("same", context.path("to")).unwrap();
    come_to_rest();
    let mut last = context.digest();
    assert_eq!(context.cached().read, 0, "the cache is warm");

    let rename = |a: &str, b: &str| fs::rename(context.path(a), context.path(b)).unwrap();
    let mode = |name: &str, mode| {
        fs::set_permissions(context.path(name), fs::Permissions::from_mode(mode)).unwrap();
    };
    type Step<'a> = (&'static str, Box<dyn Fn() + 'a>);
    let steps: Vec<Step<'_>> = vec![
        (
            "same size, same mtime",
            Box::new(|| edit_in_place(&context.path("same"), b"    SAME")),
        ),
        ("mode", Box::new(|| mode("mode", 0o755))),
        ("setuid", Box::new(|| mode("mode", 0o4755))),
        ("mode of a folder", Box::new(|| mode("empty", 0o700))),
        ("renamed", Box::new(|| rename("old", "older"))),
        (
            "swapped",
            Box::new(|| {
                rename("left", "tmp");
                rename("right", "left");
                rename("tmp", "right");
            }),
        ),
        (
            "grown",
            Box::new(|| context.write("grow", "longer than before")),
        ),
        (
            "emptied folder",
            Box::new(|| fs::remove_file(context.path("e/one")).unwrap()),
        ),
        (
            "symlink target",
            Box::new(|| {
                fs::remove_file(context.path("to")).unwrap();
                symlink("mode", context.path("to")).unwrap();
            }),
        ),
        (
            "file for a symlink",
            Box::new(|| {
                fs::remove_file(context.path("to")).unwrap();
                context.write("to", "mode");
            }),
        ),
        (
            "hard link moved to a file of equal content",
            Box::new(|| {
                fs::remove_file(context.path("linked2")).unwrap();
                fs::hard_link(context.path("apart"), context.path("linked2")).unwrap();
            }),
        ),
        (
            "hard link broken",
            Box::new(|| {
                fs::remove_file(context.path("linked2")).unwrap();
                context.write("linked2", "x");
            }),
        ),
        (
            "extended attribute",
            Box::new(|| xattr::set(context.path("attr"), "user.k", b"1").unwrap()),
        ),
        (
            "extended attribute's value",
            Box::new(|| xattr::set(context.path("attr"), "user.k", b"2").unwrap()),
        ),
        (
            "new ignore file",
            Box::new(|| context.write(".dockerignore", "grow\n")),
        ),
        (
            "changed ignore file",
            Box::new(|| context.write(".dockerignore", "mode\n")),
        ),
        (
            "new folder",
            Box::new(|| fs::create_dir(context.path("more")).unwrap()),
        ),
    ];
    let mut seen = vec![last.clone()];
    for (what, change) in steps {
        change();
        let now = context.digest();
        assert!(!seen.contains(&now), "{what} went unseen");
        assert_eq!(context.digest(), now, "{what}");
        seen.push(now.clone());
        last = now;
    }
    assert_eq!(context.digest(), last);
}

/// Edits right behind the hashing, within a tick of the clock.
#[test]
fn edits_in_the_same_tick_show() {
    let context = Context::new();
    context.write("f", "0000");
    let mut last = context.digest();
    for i in 1..300 {
        edit_in_place(&context.path("f"), format!("{i:04}").as_bytes());
        let now = context.cached().digest;
        assert_ne!(now, last, "edit {i} went unseen");
        last = now;
    }
}

/// The daemon can't see such an edit; the key tells it to start over.
#[test]
fn an_edit_in_disguise_changes_the_transfer_key() {
    let context = Context::new();
    context.write("f", "0000");
    context.write("g", "0000");
    let first = context.cached().transfer_key;
    context.write("g", "00000");
    assert_eq!(context.cached().transfer_key, first, "an honest edit");
    edit_in_place(&context.path("f"), b"1111");
    let second = context.cached().transfer_key;
    assert_ne!(second, first);
    assert_eq!(context.cached().transfer_key, second);
    come_to_rest();
    assert_eq!(context.cached().transfer_key, second);
    assert_eq!(context.cached().read, 0);
    edit_in_place(&context.path("f"), b"2222");
    assert_ne!(context.cached().transfer_key, second);
    // A lost cache must not lead back to a key that was used.
    fs::remove_file(context.cache()).unwrap();
    let fresh = context.cached().transfer_key;
    assert!(fresh != first && fresh != second);
    // Without times, the content alone tells.
    let mut selection = context.selection();
    selection.normalise.mtime = Some(0);
    let one = fingerprint(&selection, Some(&context.cache())).unwrap();
    context.write("f", "3333");
    let two = fingerprint(&selection, Some(&context.cache())).unwrap();
    assert_ne!(one.transfer_key, two.transfer_key);
}

#[test]
fn what_is_ignored_does_not_count() {
    let context = Context::new();
    context.write("kept", "1");
    context.write(".dockerignore", "*.log\n!kept.log\n");
    let before = context.digest();
    context.write("a.log", "noise");
    assert_eq!(context.digest(), before);
    context.write("kept.log", "counts");
    assert_ne!(context.digest(), before);
}

#[test]
fn the_dockerfiles_own_ignore_file_wins() {
    let mut context = Context::new();
    context.write("Dockerfile", "FROM scratch\n");
    context.write(".dockerignore", "a\n");
    context.write("a", "1");
    context.write("b", "1");
    context.dockerfile = Some(context.path("Dockerfile"));
    let digest = context.digest();
    context.write("a", "2");
    assert_eq!(context.digest(), digest);
    context.write("Dockerfile.dockerignore", "b\n");
    let digest = context.digest();
    context.write("b", "2");
    assert_eq!(context.digest(), digest);
    context.write("a", "3");
    assert_ne!(context.digest(), digest);
}

#[test]
fn an_ignore_file_is_read_inside_the_context_only() {
    let context = Context::new();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("ignore"), "a\n").unwrap();
    context.write("a", "1");
    symlink(outside.path().join("ignore"), context.path(".dockerignore")).unwrap();
    let before = context.digest();
    context.write("a", "2");
    assert_ne!(
        context.digest(),
        before,
        "a link out of the context is no ignore file"
    );
    fs::remove_file(context.path(".dockerignore")).unwrap();
    context.write("conf/ignore", "a\n");
    symlink("/conf/ignore", context.path(".dockerignore")).unwrap();
    let before = context.digest();
    context.write("a", "3");
    assert_eq!(context.digest(), before);
}

#[test]
fn a_broken_ignore_file_is_named() {
    let context = Context::new();
    context.write(".dockerignore", "ok\na[\n");
    let error = fingerprint(&context.selection(), None)
        .unwrap_err()
        .to_string();
    assert!(
        error.ends_with(".dockerignore: syntax error in pattern \"a[\""),
        "{error}"
    );
}

#[test]
fn a_missing_context_is_named() {
    let mut selection = Context::new().selection();
    selection.root = selection.root.join("nowhere");
    let error = fingerprint(&selection, None).unwrap_err().to_string();
    assert!(error.contains("nowhere: No such file"), "{error}");
}

#[test]
fn normalised_modes_are_alike() {
    let context = Context::new();
    context.write("a", "1");
    let mut selection = context.selection();
    selection.normalise = Normalise {
        modes: true,
        ..Default::default()
    };
    let before = fingerprint(&selection, None).unwrap();
    fs::set_permissions(context.path("a"), fs::Permissions::from_mode(0o664)).unwrap();
    assert_eq!(fingerprint(&selection, None).unwrap().digest, before.digest);
}

#[test]
fn two_at_once_do_no_harm() {
    let context = Context::new();
    for i in 0..200 {
        context.write(&format!("f{i}"), vec![i as u8; 3000]);
    }
    come_to_rest();
    let want = fingerprint(&context.selection(), None).unwrap().digest;
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..10 {
                    assert_eq!(context.cached().digest, want);
                    let _ = fs::remove_file(context.cache());
                }
            });
        }
    });
    let folder = context.cache().parent().unwrap().to_owned();
    let left: Vec<_> = fs::read_dir(folder).unwrap().collect();
    assert!(left.len() <= 1, "no temporary file is left: {left:?}");
}

#[test]
fn only_narrows_to_what_is_copied() {
    let context = Context::new();
    context.write("src/main.py", "1");
    context.write("data/big", "1");
    let mut selection = context.selection();
    selection.only = vec!["src".into()];
    let before = fingerprint(&selection, None).unwrap();
    assert_eq!(before.entries, 2);
    context.write("data/big", "2");
    assert_eq!(fingerprint(&selection, None).unwrap().digest, before.digest);
}
