//! A run's code brought back in real clones, and what is said and left alone where it can't be.

use std::path::Path;

use mlbuild::records::Snapshot;
use mlbuild::records::checkout::{CheckedOut, CheckoutError, Wanted};
use mlbuild_manifests::RunId;
use tempfile::TempDir;

use crate::support::repository::Repository;

/// An origin, the clone that a run was started in, and another clone.
struct Clones {
    folder: TempDir,
    first: Repository,
    second: Repository,
}

impl Clones {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        let origin = root.join("origin.git");
        let bare = Repository::at(&root, &root);
        bare.git(&["init", "-q", "--bare", "-b", "main", "origin.git"]);
        let from = format!("file://{}", origin.display());
        let first = Repository::clone_of(&from, &root.join("first"), &root, &[]);
        first.write("train.py", "print(1)\n");
        first.write("sub/data.bin", [0, 1, 2, 250]);
        first.commit("first");
        first.git(&["push", "-q", "origin", "HEAD:main"]);
        let second = Repository::clone_of(&from, &root.join("second"), &root, &[]);
        Self {
            folder,
            first,
            second,
        }
    }

    fn root(&self) -> std::path::PathBuf {
        self.folder.path().canonicalize().unwrap()
    }
}

fn take(repository: &Repository) -> Snapshot {
    Snapshot::take(&repository.folder).unwrap().unwrap()
}

fn restore(
    here: &Path,
    snapshot: &Snapshot,
    worktree: Option<&Path>,
) -> Result<CheckedOut, CheckoutError> {
    let id: RunId = "exp-7".parse().unwrap();
    Wanted {
        here,
        id: &id,
        state: &snapshot.state,
        patch: snapshot.patch.as_deref(),
        worktree,
    }
    .look()?
    .carry_out()
}

/// What must be as it was after a refusal.
fn state(repository: &Repository) -> (String, String, String) {
    (
        repository.git(&["rev-parse", "--abbrev-ref", "HEAD"]),
        repository.git(&["for-each-ref", "refs/heads"]),
        repository.status(),
    )
}

#[test]
fn a_pushed_commit_and_what_was_not_committed_come_back_in_another_clone() {
    let clones = Clones::new();
    // The second clone has never heard of this commit.
    clones.first.write("model.py", "model = 1\n");
    let commit = clones.first.commit("second");
    clones.first.git(&["push", "-q", "origin", "HEAD:main"]);
    clones.first.write("train.py", "print(2)\n");
    clones.first.write("sub/data.bin", [9, 8, 0, 255]);
    clones.first.write("new.py", "new = True\n");
    let snapshot = take(&clones.first);

    let done = restore(&clones.second.folder.join("sub"), &snapshot, None).unwrap();
    assert_eq!(done.branch, "mlbuild/exp-7");
    assert_eq!(done.top, clones.second.folder);
    assert_eq!(state(&clones.second).0, "mlbuild/exp-7");
    assert_eq!(clones.second.head(), commit);
    assert_eq!(clones.second.read("new.py"), "new = True\n");
    assert_eq!(take(&clones.second).patch, snapshot.patch);

    let again = restore(&clones.second.folder, &snapshot, None).unwrap_err();
    assert!(matches!(again, CheckoutError::BranchExists(_)), "{again}");
}

#[test]
fn a_worktree_leaves_a_dirty_tree_alone() {
    let clones = Clones::new();
    clones.first.write("sub/new.py", "new\n");
    let snapshot = Snapshot::take(&clones.first.folder.join("sub"))
        .unwrap()
        .unwrap();
    clones.second.write("train.py", "mine\n");
    clones.second.write("notes.txt", "mine too\n");
    let before = state(&clones.second);
    let refused = restore(&clones.second.folder, &snapshot, None).unwrap_err();
    assert_eq!(
        refused.to_string(),
        "the working tree holds changes that would be in the way: train.py, notes.txt"
    );
    assert_eq!(state(&clones.second), before);
    assert_eq!(clones.second.read("train.py"), "mine\n");

    let beside = clones.root().join("beside");
    let done = restore(&clones.second.folder, &snapshot, Some(&beside)).unwrap();
    assert_eq!((&done.top, &done.project), (&beside, &beside.join("sub")));
    let worktree = Repository::at(&beside, &clones.root());
    assert_eq!(worktree.read("sub/new.py"), "new\n");
    assert_eq!(worktree.read("train.py"), "print(1)\n");
    assert_eq!(clones.second.read("train.py"), "mine\n");

    std::fs::create_dir(clones.root().join("full")).unwrap();
    std::fs::write(clones.root().join("full/a"), "a").unwrap();
    clones
        .second
        .git(&["worktree", "remove", "--force", beside.to_str().unwrap()]);
    clones.second.git(&["branch", "-D", "mlbuild/exp-7"]);
    let full = clones.root().join("full");
    let taken = restore(&clones.second.folder, &snapshot, Some(&full)).unwrap_err();
    assert!(matches!(taken, CheckoutError::WorktreeTaken(_)), "{taken}");
}

#[test]
fn a_shallow_clone_fetches_what_it_lacks() {
    let clones = Clones::new();
    let old = take(&clones.first);
    clones.first.write("later.py", "later\n");
    clones.first.commit("later");
    clones.first.git(&["push", "-q", "origin", "HEAD:main"]);
    let from = old.state.remote.clone().unwrap();
    let root = clones.root();
    let shallow = Repository::clone_of(&from, &root.join("shallow"), &root, &["--depth=1"]);
    let done = restore(&shallow.folder, &old, None).unwrap();
    assert_eq!(shallow.head(), old.state.commit.unwrap());
    assert!(!done.top.join("later.py").exists());
}

#[test]
fn what_cant_be_had_is_explained_and_changes_nothing() {
    let clones = Clones::new();
    let root = clones.root();
    let filtered = |error: CheckoutError| {
        let text = error.to_string().replace(root.to_str().unwrap(), "");
        let commit = regex::Regex::new("[0-9a-f]{40}").unwrap();
        let text = commit.replace_all(&text, "[COMMIT]").into_owned();
        // What git says of a patch hangs on its version.
        match text.split_once("doesn't apply to commit [COMMIT]: ") {
            Some((before, said)) if !said.is_empty() => format!("{before}doesn't apply"),
            _ => text,
        }
    };
    let before = state(&clones.second);
    let mut said = String::new();
    let mut refuse = |here: &Path, snapshot: &Snapshot| {
        let error = restore(here, snapshot, None).unwrap_err();
        said += &format!("{}\n", filtered(error));
    };

    clones.first.write("train.py", "print(2)\n");
    clones.first.commit("never pushed");
    let unpushed = take(&clones.first);
    refuse(&clones.second.folder, &unpushed);

    let mut no_remote = unpushed.clone();
    no_remote.state.remote = None;
    refuse(&clones.second.folder, &no_remote);

    let other = Repository::new(&root.join("other"), &root);
    other.commit("other");
    refuse(&other.folder, &unpushed);
    other.git(&[
        "remote",
        "add",
        "origin",
        "https://ann:token@git.example/other.git",
    ]);
    refuse(&other.folder, &unpushed);

    let nowhere = root.join("nowhere");
    std::fs::create_dir(&nowhere).unwrap();
    refuse(&nowhere, &unpushed);

    let mut unborn = unpushed.clone();
    unborn.state.commit = None;
    refuse(&clones.second.folder, &unborn);

    clones.first.git(&["reset", "-q", "--hard", "origin/main"]);
    clones.first.write("train.py", "print(3)\n");
    let mut changed = take(&clones.first);
    let patch = String::from_utf8(changed.patch.unwrap()).unwrap();
    changed.patch = Some(patch.replace("-print(1)", "-print(0)").into_bytes());
    refuse(&clones.second.folder, &changed);
    changed.patch = Some(b"nonsense\n".to_vec());
    refuse(&clones.second.folder, &changed);

    assert_eq!(state(&clones.second), before);
    insta::assert_snapshot!(said, @"
    commit [COMMIT] isn't here, and origin (file:///origin.git) doesn't have it: it was never pushed, or is gone
    commit [COMMIT] isn't here, and the run's repository had no remote to fetch it from
    commit [COMMIT] isn't here, and the run's repository isn't one that this one knows: it came from file:///origin.git, and this one has no remote
    commit [COMMIT] isn't here, and the run's repository isn't one that this one knows: it came from file:///origin.git, and this one has origin = https://git.example/other.git
    /nowhere isn't in a git repository
    run exp-7 was started before its repository had a commit: there is none to check out
    the run's patch doesn't apply
    the run's patch doesn't apply
    ");
}

#[test]
fn a_step_that_fails_is_undone() {
    let clones = Clones::new();
    // A file that no checkout can make: its name is too long for every file system.
    let blob = clones.first.git(&["hash-object", "-w", "train.py"]);
    let entry = format!("100644,{blob},{}", "x".repeat(300));
    clones
        .first
        .git(&["update-index", "--add", "--cacheinfo", &entry]);
    clones.first.git(&["commit", "-q", "-m", "too long"]);
    clones.first.git(&["push", "-q", "origin", "HEAD:main"]);
    let mut snapshot = take(&clones.first);
    snapshot.patch = None;
    let before = state(&clones.second);
    restore(&clones.second.folder, &snapshot, None).unwrap_err();
    assert_eq!(state(&clones.second), before);
    let beside = clones.root().join("beside");
    restore(&clones.second.folder, &snapshot, Some(&beside)).unwrap_err();
    assert_eq!(state(&clones.second), before);
    assert!(!beside.exists());

    clones.second.git(&["switch", "-q", "--detach"]);
    let before = state(&clones.second);
    restore(&clones.second.folder, &snapshot, None).unwrap_err();
    assert_eq!(state(&clones.second), before);
}

#[test]
fn submodules_stand_where_they_stood() {
    let clones = Clones::new();
    let root = clones.root();
    let library = Repository::new(&root.join("library"), &root);
    library.write("a.py", "a\n");
    library.commit("one");
    let from = library.folder.to_str().unwrap();
    clones
        .first
        .git(&["submodule", "add", "-q", from, "library"]);
    clones.first.commit("with a submodule");
    clones.first.git(&["push", "-q", "origin", "HEAD:main"]);
    library.write("a.py", "b\n");
    let two = library.commit("two");
    let inside = Repository::at(&clones.first.folder.join("library"), &root);
    inside.git(&["fetch", "-q"]);
    inside.git(&["checkout", "-q", &two]);
    let snapshot = take(&clones.first);
    restore(&clones.second.folder, &snapshot, None).unwrap();
    clones.second.git(&["submodule", "update", "-q", "--init"]);
    assert_eq!(clones.second.read("library/a.py"), "b\n");
}

#[test]
fn another_address_is_no_hindrance_where_the_commit_is_here() {
    let clones = Clones::new();
    let id: RunId = "exp-7".parse().unwrap();
    let notes = |remote: String| {
        let mut state = take(&clones.first).state;
        state.remote = Some(remote);
        let wanted = Wanted {
            here: &clones.second.folder,
            id: &id,
            state: &state,
            patch: None,
            worktree: None,
        };
        wanted.look().unwrap().notes
    };
    let moved = notes("https://git.example/moved.git".to_owned());
    let expected = "the run's repository came from https://git.example/moved.git, and this one";
    assert!(moved[0].starts_with(expected), "{moved:?}");
    // The same address, written otherwise.
    let same = format!("file://{}/", clones.root().join("origin").display());
    assert_eq!(notes(same), Vec::<String>::new());
}
