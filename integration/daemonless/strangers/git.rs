//! A repository that came out of an archive, with a configuration, hooks and attributes that name
//! programs; and records whose commit is an option. Looking runs none of them.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

use mlbuild::records::checkout::Wanted;
use mlbuild::records::{Git, Snapshot};
use mlbuild_manifests::RunId;
use mlbuild_manifests::run_record::{GitState, RunRecord};

use crate::support::mlbuild::Project;
use crate::support::repository::Repository;

/// A project that is a repository with one commit, an edit, and every trap that is known.
struct Trapped {
    project: Project,
    repository: Repository,
}

impl Trapped {
    fn new() -> Self {
        let project = Project::new(&[("requirements.txt", "six==1.17.0\n")]);
        project.write("train.py", "print(1)\n");
        project.write(
            ".gitattributes",
            "*.py filter=trap diff=trap\n*.bin diff=trap merge=trap\n",
        );
        let repository = Repository::new(&project.path(""), &project.home());
        repository.commit("first");
        let trapped = Self {
            project,
            repository,
        };
        trapped.set();
        trapped.project.write("train.py", "print(2)\n");
        trapped
    }

    /// A program that leaves its name behind; it passes on what it is given.
    fn program(&self, name: &str) -> String {
        let path = self.project.outside().join(format!("trap-{name}"));
        let sprung = self.project.outside().join("sprung");
        std::fs::create_dir_all(&sprung).unwrap();
        let text = format!("#!/bin/sh\n: > {}\ncat\n", sprung.join(name).display());
        std::fs::write(&path, text).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    fn set(&self) {
        for key in [
            "core.fsmonitor",
            "core.sshCommand",
            "core.gitProxy",
            "core.askPass",
            "core.alternateRefsCommand",
            "core.pager",
            "core.editor",
            "diff.external",
            "diff.trap.command",
            "diff.trap.textconv",
            "filter.trap.clean",
            "filter.trap.smudge",
            "filter.trap.process",
            "merge.trap.driver",
            "credential.helper",
            "gpg.program",
            "remote.origin.uploadpack",
        ] {
            let program = self.program(key);
            self.repository.git(&["config", key, &program]);
        }
        self.repository
            .git(&["config", "log.showSignature", "true"]);
        self.repository
            .git(&["config", "filter.trap.required", "true"]);
        let hooks = self.project.path(".git/hooks");
        std::fs::create_dir_all(&hooks).unwrap();
        for hook in [
            "post-checkout",
            "post-index-change",
            "reference-transaction",
            "pre-auto-gc",
        ] {
            std::fs::copy(self.program(hook), hooks.join(hook)).unwrap();
        }
    }

    #[track_caller]
    fn assert_none_sprung(&self, by: &str) {
        let sprung = std::fs::read_dir(self.project.outside().join("sprung")).unwrap();
        let names: Vec<_> = sprung.map(|entry| entry.unwrap().file_name()).collect();
        assert!(names.is_empty(), "{by} ran {names:?}");
        println!("{by}: none of the programs ran");
    }
}

#[test]
fn the_traps_are_set() {
    let trapped = Trapped::new();
    let _ = trapped.repository.command(&["status"]).output().unwrap();
    let _ = trapped.repository.command(&["diff"]).output().unwrap();
    let sprung = trapped.project.outside().join("sprung");
    assert!(std::fs::read_dir(sprung).unwrap().count() > 1, "git alone");
}

#[test]
fn looking_at_a_repository_runs_nothing_of_it() {
    let trapped = Trapped::new();
    let folder = trapped.project.path("");
    Snapshot::take(&folder).unwrap().unwrap();
    trapped.assert_none_sprung("the state of the code");
    for words in [
        &["image", "--print", "plan"][..],
        &["image", "--print", "dockerfile"],
        &["init"],
        &["runs", "list"],
    ] {
        trapped.project.run(words);
        trapped.assert_none_sprung(&format!("mlbuild {}", words.join(" ")));
    }
}

#[test]
fn a_submodules_own_configuration_runs_nothing() {
    let project = Project::new(&[(".gitattributes", ""), ("requirements.txt", "six\n")]);
    let repository = Repository::new(&project.path(""), &project.home());
    project.write("sub/.gitattributes", "* filter=trap\n");
    project.write("sub/a.txt", "a\n");
    let sub = Repository::new(&project.path("sub"), &project.home());
    sub.commit("inside");
    repository.git(&["add", "."]);
    repository.commit("with a submodule");
    let mark = project.outside().join("sprung");
    for key in ["filter.trap.clean", "core.fsmonitor"] {
        sub.git(&["config", key, &format!("touch {}; cat", mark.display())]);
    }
    project.write("sub/a.txt", "changed\n");
    let snapshot = Snapshot::take(&project.path("")).unwrap().unwrap();
    assert!(!mark.exists(), "a program of the submodule ran");
    let left_out = &snapshot.state.left_out;
    assert_eq!(left_out, &["sub: changes inside a submodule"]);
    let _ = repository.command(&["status"]).output().unwrap();
    assert!(mark.exists(), "git alone runs it");
}

#[test]
fn files_outside_a_repository_are_not_recorded() {
    let project = Project::new(&[("a.txt", "a\n")]);
    let repository = Repository::new(&project.path(""), &project.home());
    repository.commit("one");
    project.write("../home/secret.txt", "hunter2\n");
    let home = project.home().display().to_string();
    repository.git(&["config", "core.worktree", &home]);
    let refused = Snapshot::take(&project.path("")).unwrap_err().to_string();
    assert!(refused.contains("core.worktree leads to"), "{refused}");
    println!("{refused}");
}

#[test]
fn bringing_code_back_runs_nothing_of_the_repository() {
    let trapped = Trapped::new();
    let folder = trapped.project.path("");
    let mut snapshot = Snapshot::take(&folder).unwrap().unwrap();
    let id: RunId = "exp-7".parse().unwrap();
    let beside = trapped.project.outside().join("beside");
    let restore = |state: &GitState, patch: Option<&[u8]>, worktree: Option<&Path>| {
        let wanted = Wanted {
            here: &folder,
            id: &id,
            state,
            patch,
            worktree,
        };
        wanted.look().and_then(|checkout| checkout.carry_out())
    };
    restore(&snapshot.state, snapshot.patch.as_deref(), Some(&beside)).unwrap();
    trapped.assert_none_sprung("a worktree with the run's code");
    assert_eq!(
        std::fs::read_to_string(beside.join("train.py")).unwrap(),
        "print(2)\n"
    );

    // A commit that isn't here is asked for at the remote that the repository names.
    let address = "ssh://git@127.0.0.1:1/x.git";
    Git::at(&folder)
        .text(&["remote", "add", "--", "other", address])
        .unwrap();
    snapshot.state.commit = Some("a".repeat(40));
    for remote in [address, "ext::sh -c 'exit 1'", "git://127.0.0.1:1/x"] {
        let _ = Git::at(&folder).text(&["remote", "set-url", "--", "other", remote]);
        snapshot.state.remote = Some(remote.to_owned());
        let error = restore(
            &snapshot.state,
            None,
            Some(&trapped.project.outside().join("b2")),
        );
        println!("{remote}: {}", error.unwrap_err());
        trapped.assert_none_sprung(remote);
    }
}

#[test]
fn a_commit_that_is_an_option_is_refused_where_it_is_read() {
    let record = |commit: &str| {
        format!(
            "version = 3\nid = \"exp-7\"\ncreated = \"2026-03-01T10:00:00Z\"\n\n[image]\n\
             reference = \"r.example/a@sha256:{0}\"\ndigest = \"sha256:{0}\"\n\n[git]\n\
             commit = \"{commit}\"\ndirty = false\n# end of record\n",
            "a".repeat(64)
        )
    };
    for commit in [
        "--output=/tmp/x",
        "--upload-pack=touch /tmp/x",
        "HEAD",
        "-",
        "main:train.py",
        "",
    ] {
        let project = Project::new(&[("mlbuild.runs/exp-7.toml", &record(commit))]);
        for words in [
            &["runs", "show", "exp-7"][..],
            &["restore", "exp-7", "--no-shell"],
        ] {
            let ran = project.run(words);
            assert_eq!(ran.code, Some(2), "{commit}: {}", ran.stderr);
            println!("{}", ran.stderr.trim_end());
            assert!(ran.stderr.contains("exp-7.toml:"), "{}", ran.stderr);
            assert!(ran.stderr.contains("commit's id"), "{}", ran.stderr);
        }
        let ran = project.run(["runs", "list"]);
        assert!(ran.stderr.contains("exp-7.toml"), "{}", ran.stderr);
    }
    let whole: RunRecord = toml::from_str(&record(&"b".repeat(40))).unwrap();
    assert_eq!(whole.git.unwrap().commit, Some("b".repeat(40)));
}
