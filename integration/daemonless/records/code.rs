//! The code's state, taken from real repositories in every shape they come in.

use std::path::Path;

use mlbuild::records::{GitError, Snapshot};
use tempfile::TempDir;

use crate::support::mlbuild::Project;
use crate::support::repository::Repository;

/// A repository with one commit in a folder that goes with it.
fn repository() -> (TempDir, Repository) {
    let folder = tempfile::tempdir().unwrap();
    let home = folder.path().join("home");
    std::fs::create_dir(&home).unwrap();
    let repository = Repository::new(&folder.path().join("code"), &home);
    repository.write("train.py", "print(1)\n");
    repository.write("data.bin", [0, 159, 146, 150, 0, 1]);
    repository.write("gone.txt", "gone\n");
    repository.write(".gitignore", "*.log\n");
    repository.commit("first");
    (folder, repository)
}

fn take(repository: &Repository) -> Snapshot {
    Snapshot::take(&repository.folder).unwrap().unwrap()
}

/// Applies a patch to a clean copy of the commit; returns the copy.
fn applied(folder: &Path, repository: &Repository, snapshot: &Snapshot) -> Repository {
    let home = folder.join("home");
    let from = repository.folder.to_str().unwrap();
    let copy = Repository::clone_of(from, &folder.join("copy"), &home, &[]);
    copy.git(&["checkout", "-q", snapshot.state.commit.as_ref().unwrap()]);
    let patch = folder.join("the.patch");
    std::fs::write(&patch, snapshot.patch.as_ref().unwrap()).unwrap();
    copy.git(&["apply", "--binary", patch.to_str().unwrap()]);
    copy
}

#[test]
fn a_clean_tree() {
    let (_folder, repository) = repository();
    repository.git(&[
        "remote",
        "add",
        "origin",
        "https://ann:secret@git.example/acme/cracks.git",
    ]);
    let Snapshot { state, patch } = take(&repository);
    assert_eq!(state.commit, Some(repository.head()));
    assert_eq!(state.branch.as_deref(), Some("main"));
    assert_eq!(
        state.remote.as_deref(),
        Some("https://git.example/acme/cracks.git")
    );
    assert_eq!((state.dirty, state.folder, patch), (false, None, None));
}

#[test]
fn changed_new_deleted_binary_and_odd_files_come_back() {
    let (folder, repository) = repository();
    // What users configure must not change the patch.
    for (key, value) in [
        ("diff.noprefix", "true"),
        ("diff.external", "false"),
        ("color.ui", "always"),
        ("diff.renames", "copies"),
    ] {
        repository.git(&["config", key, value]);
    }
    repository.write("train.py", "print(2)\n");
    repository.git(&["add", "train.py"]);
    repository.write("train.py", "print(3)\n");
    repository.write("data.bin", [0, 1, 2, 255]);
    std::fs::remove_file(repository.folder.join("gone.txt")).unwrap();
    repository.write("new/räumlich und leer.txt", "");
    repository.write("new/latin1.txt", b"caf\xe9\r\n");
    repository.write("run.sh", "#!/bin/sh\n");
    repository.write("ignored.log", "no\n");
    repository.write("mlbuild.runs/old.toml", "no\n");
    use std::os::unix::fs::PermissionsExt;
    let script = repository.folder.join("run.sh");
    std::fs::set_permissions(&script, std::fs::Permissions::from_mode(0o755)).unwrap();
    std::os::unix::fs::symlink("train.py", repository.folder.join("link")).unwrap();

    let before = (
        repository.status(),
        std::fs::read(repository.folder.join(".git/index")).unwrap(),
    );
    let snapshot = take(&repository);
    let after = (
        repository.status(),
        std::fs::read(repository.folder.join(".git/index")).unwrap(),
    );
    assert_eq!(before, after, "the user's index stays as it is");
    assert_eq!(snapshot.state.left_out, Vec::<String>::new());
    assert!(snapshot.state.dirty);

    let copy = applied(folder.path(), &repository, &snapshot);
    assert_eq!(copy.read("train.py"), "print(3)\n");
    for name in ["data.bin", "new/latin1.txt", "new/räumlich und leer.txt"] {
        let read = |r: &Repository| std::fs::read(r.folder.join(name)).unwrap();
        assert_eq!(read(&copy), read(&repository), "{name}");
    }
    assert!(!copy.folder.join("gone.txt").exists());
    assert!(!copy.folder.join("ignored.log").exists());
    assert!(!copy.folder.join("mlbuild.runs").exists());
    let mode = std::fs::metadata(copy.folder.join("run.sh"))
        .unwrap()
        .permissions();
    assert_eq!(mode.mode() & 0o111, 0o111);
    let link = std::fs::read_link(copy.folder.join("link")).unwrap();
    assert_eq!(link, Path::new("train.py"));
}

#[test]
fn a_file_changed_in_the_second_of_the_commit_is_seen() {
    let (_folder, repository) = repository();
    repository.write("train.py", "print(8)\n");
    std::thread::sleep(std::time::Duration::from_millis(1100));
    let patch = String::from_utf8(take(&repository).patch.unwrap()).unwrap();
    assert!(patch.contains("+print(8)"), "{patch}");
}

#[test]
fn secrets_and_large_files_stay_out_and_are_named() {
    let (_folder, repository) = repository();
    repository.write(".env", "TOKEN=hunter2\n");
    repository.write("keys/server.pem", "x\n");
    repository.write(
        "config.py",
        "TOKEN = 'ghp_abcdefghijklmnopqrstuvwxyz0123456789'\n",
    );
    repository.write("large.bin", vec![7; (1 << 20) + 1]);
    repository.write("train.py", vec![b'x'; (1 << 20) + 1]);
    let nested = Repository::new(
        &repository.folder.join("nested"),
        &repository.folder.join("../home"),
    );
    nested.write("a", "a");
    nested.commit("nested");
    repository.write("fine.py", "fine = True\n");
    let snapshot = take(&repository);
    let patch = String::from_utf8(snapshot.patch.unwrap()).unwrap();
    insta::assert_snapshot!(snapshot.state.left_out.join("\n"), @r"
    .env: its name is that of a secret
    keys/server.pem: its name is that of a secret
    large.bin: it is larger than 1 MiB
    nested/: it is a repository of its own
    train.py: it is larger than 1 MiB
    config.py: it holds what looks like a secret
    ");
    assert!(patch.contains("fine = True"), "{patch}");
    for secret in ["hunter2", "ghp_", "server.pem"] {
        assert!(!patch.contains(secret), "{secret}");
    }
}

#[test]
fn thousands_of_new_files_are_not_taken() {
    let (_folder, repository) = repository();
    for n in 0..1100 {
        repository.write(&format!("frames/{n:04}.txt"), "frame\n");
    }
    let snapshot = take(&repository);
    let patch = String::from_utf8(snapshot.patch.unwrap()).unwrap();
    assert_eq!(patch.matches("diff --git").count(), 1000);
    assert_eq!(snapshot.state.left_out.len(), 21);
    assert_eq!(snapshot.state.left_out[20], "and 80 more");
}

#[test]
fn no_commits_yet() {
    let folder = tempfile::tempdir().unwrap();
    let repository = Repository::new(&folder.path().join("code"), folder.path());
    let empty = take(&repository);
    assert_eq!((empty.state.commit, empty.state.dirty), (None, false));
    repository.write("train.py", "print(1)\n");
    let snapshot = take(&repository);
    assert_eq!(snapshot.state.commit, None);
    assert_eq!(snapshot.state.branch.as_deref(), Some("main"));
    let patch = String::from_utf8(snapshot.patch.unwrap()).unwrap();
    assert!(patch.contains("+print(1)"), "{patch}");
}

#[test]
fn a_detached_head_a_shallow_clone_a_folder_and_a_conflict() {
    let (folder, repository) = repository();
    let home = folder.path().join("home");
    repository.write("sub/train.py", "print(1)\n");
    repository.commit("second");
    repository.git(&["checkout", "-q", "--detach"]);
    let detached = take(&repository);
    assert_eq!(detached.state.branch, None);
    assert_eq!(detached.state.commit, Some(repository.head()));

    let from = format!("file://{}", repository.folder.display());
    repository.git(&["checkout", "-q", "main"]);
    let shallow =
        Repository::clone_of(&from, &folder.path().join("shallow"), &home, &["--depth=1"]);
    shallow.write("train.py", "print(2)\n");
    let snapshot = Snapshot::take(&shallow.folder.join("sub"))
        .unwrap()
        .unwrap();
    assert_eq!(snapshot.state.commit, Some(repository.head()));
    assert_eq!(snapshot.state.folder.as_deref(), Some("sub"));
    assert_eq!(snapshot.state.remote, Some(from));
    let patch = String::from_utf8(snapshot.patch.unwrap()).unwrap();
    assert!(
        patch.starts_with("diff --git a/train.py b/train.py"),
        "changes above the project's folder belong to it: {patch}"
    );

    repository.git(&["checkout", "-q", "-b", "other"]);
    repository.write("train.py", "print('other')\n");
    repository.commit("other");
    repository.git(&["checkout", "-q", "main"]);
    repository.write("train.py", "print('main')\n");
    repository.commit("main");
    assert!(
        !repository
            .command(&["merge", "-q", "other"])
            .status()
            .unwrap()
            .success()
    );
    let snapshot = take(&repository);
    let patch = String::from_utf8(snapshot.patch.unwrap()).unwrap();
    assert!(patch.contains("+<<<<<<< HEAD"), "{patch}");
}

#[test]
fn submodules_go_with_their_commit_and_what_is_changed_inside_is_named() {
    let (folder, repository) = repository();
    let home = folder.path().join("home");
    let library = Repository::new(&folder.path().join("library"), &home);
    library.write("a.py", "a\n");
    library.commit("one");
    let from = library.folder.to_str().unwrap();
    repository.git(&["submodule", "add", "-q", from, "library"]);
    repository.commit("with a submodule");
    let inside = Repository::at(&repository.folder.join("library"), &home);
    inside.git(&["config", "user.name", "Ann"]);
    inside.git(&["config", "user.email", "ann@example.org"]);
    inside.write("a.py", "b\n");
    let two = inside.commit("two");
    inside.write("a.py", "c\n");
    let snapshot = take(&repository);
    let patch = String::from_utf8(snapshot.patch.unwrap()).unwrap();
    assert!(
        patch.ends_with(&format!("+Subproject commit {two}\n")),
        "{patch}"
    );
    assert_eq!(
        snapshot.state.left_out,
        ["library: changes inside a submodule"]
    );
}

#[test]
fn a_worktree_is_a_repository_too() {
    let (folder, repository) = repository();
    let beside = folder.path().join("beside");
    repository.git(&[
        "worktree",
        "add",
        "-q",
        "-b",
        "beside",
        beside.to_str().unwrap(),
    ]);
    let worktree = Repository::at(&beside, &folder.path().join("home"));
    worktree.write("new.py", "new\n");
    let snapshot = take(&worktree);
    assert_eq!(snapshot.state.branch.as_deref(), Some("beside"));
    let patch = String::from_utf8(snapshot.patch.unwrap()).unwrap();
    assert!(patch.contains("+new"), "{patch}");
}

#[test]
fn no_repository_is_no_error() {
    let folder = tempfile::tempdir().unwrap();
    assert_eq!(Snapshot::take(folder.path()).unwrap(), None);
    let missing = Snapshot::take(&folder.path().join("missing")).unwrap_err();
    assert!(matches!(missing, GitError::Failed { .. }), "{missing}");
}

/// `runs diff` goes on without git; it only can't count the lines between two commits.
#[test]
fn git_that_isnt_installed_is_missed_only_where_it_is_needed() {
    let project = Project::new(&[]);
    for (id, byte) in [("one", 1), ("two", 3)] {
        super::finished(&project.path(""), id, super::published(byte), &["true"], 0);
    }
    let mut command = project.command(["runs", "diff", "one", "two"]);
    let output = command.env("PATH", "").output().unwrap();
    assert!(output.status.success(), "{output:?}");
}
