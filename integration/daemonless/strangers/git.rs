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

/// A working tree whose configuration gets more lines, and what nobody may find in force.
#[test]
fn what_a_repository_says_of_programs_and_connections_is_in_force_for_nobody() {
    let project = Project::new(&[("a.txt", "a\n")]);
    let repository = Repository::new(&project.path(""), &project.home());
    repository.commit("one");
    let keys = [
        "lfs.extension.evil.clean",
        "lfs.extension.evil.smudge",
        "lfs.customtransfer.evil.path",
        "lfs.standalonetransferagent",
        "lfs.https://g.example/.standalonetransferagent",
        "lfs.storage",
        "hook.evil.command",
        "http.proxy",
        "http.https://g.example/.proxy",
        "http.sslCAInfo",
        "http.cookieFile",
        "http.curloptResolve",
        "remote.origin.proxy",
    ];
    for key in keys {
        repository.git(&["config", key, "evil"]);
    }
    repository.git(&["config", "http.https://g.example/.sslVerify", "false"]);
    let git = Git::at(&project.path(""));
    for key in keys {
        let value = git.text(&["config", "--get", key]).unwrap();
        assert_ne!(value, "evil", "{key}");
        println!("{key}: {value:?}, and not the repository's");
        assert_eq!(repository.git(&["config", "--get", key]).trim(), "evil");
    }
    let matched = [
        "config",
        "--get-urlmatch",
        "http.sslVerify",
        "https://g.example/x",
    ];
    assert_eq!(git.text(&matched).unwrap(), "true");
}

#[test]
fn what_no_argument_can_set_back_is_refused() {
    for (key, is_run) in [
        ("filter.a=b.clean", true),
        ("includeIf.onbranch:*.path", true),
    ] {
        let project = Project::new(&[("requirements.txt", "six\n"), ("a.txt", "a\n")]);
        project.write(".gitattributes", "*.txt filter=a=b\n");
        let repository = Repository::new(&project.path(""), &project.home());
        repository.commit("one");
        let mark = project.outside().join("sprung");
        let program = format!("touch {}; cat", mark.display());
        if key.starts_with("includeIf") {
            let file = project.outside().join("more.config");
            let text = format!("[filter \"a=b\"]\nclean = \"{program}\"\n");
            std::fs::write(&file, text).unwrap();
            repository.git(&["config", key, &file.display().to_string()]);
        } else {
            repository.git(&["config", key, &program]);
        }
        // Of the same size, so that git has to look into it.
        project.write("a.txt", "b\n");
        let refused = Snapshot::take(&project.path("")).unwrap_err().to_string();
        println!("{refused}");
        assert!(refused.contains(&key.to_lowercase()), "{refused}");
        for words in [
            &["image", "--print", "plan"][..],
            &["init"],
            &["runs", "list"],
        ] {
            project.run(words);
            assert!(!mark.exists(), "mlbuild {} ran it", words.join(" "));
        }
        let _ = repository.command(&["status"]).output().unwrap();
        assert_eq!(mark.exists(), is_run, "git alone runs it");
    }
}

#[test]
fn a_branch_that_is_made_brings_no_configuration_into_force() {
    let project = Project::new(&[("requirements.txt", "six\n"), ("a.txt", "a\n")]);
    project.write(".gitattributes", "*.txt filter=trap\n");
    let repository = Repository::new(&project.path(""), &project.home());
    repository.commit("one");
    project.write("a.txt", "changed\n");
    let snapshot = Snapshot::take(&project.path("")).unwrap().unwrap();
    repository.git(&["checkout", "-q", "."]);
    let mark = project.outside().join("sprung");
    let file = project.outside().join("more.config");
    let text = format!(
        "[filter \"trap\"]\nsmudge = \"touch {}; cat\"\n",
        mark.display()
    );
    std::fs::write(&file, text).unwrap();
    for condition in ["onbranch:mlbuild/**", "gitdir:**/worktrees/**"] {
        let key = format!("includeIf.{condition}.path");
        repository.git(&["config", &key, &file.display().to_string()]);
        for (id, worktree) in [("exp-1", false), ("exp-2", true)] {
            let id: RunId = id.parse().unwrap();
            let beside = project.outside().join("beside");
            let wanted = Wanted {
                here: &project.path(""),
                id: &id,
                state: &snapshot.state,
                patch: snapshot.patch.as_deref(),
                worktree: worktree.then_some(beside.as_path()),
            };
            let refused = wanted.look().and_then(|checkout| checkout.carry_out());
            assert!(!mark.exists(), "{condition}: it ran");
            println!("{}", refused.unwrap_err());
        }
        repository.git(&["config", "--unset", &key]);
    }
    // Git alone runs it: on such a branch it is in force.
    let key = "includeIf.onbranch:mlbuild/**.path";
    repository.git(&["config", key, &file.display().to_string()]);
    repository.git(&["switch", "-q", "-c", "mlbuild/exp-9"]);
    std::fs::remove_file(project.path("a.txt")).unwrap();
    repository.git(&["checkout", "-q", "."]);
    assert!(mark.exists());
}

#[test]
fn submodules_are_left_alone_where_code_is_brought_back() {
    let project = Project::new(&[("requirements.txt", "six\n")]);
    project.write("sub/.gitattributes", "* filter=trap\n");
    project.write("sub/a.txt", "a\n");
    let sub = Repository::new(&project.path("sub"), &project.home());
    sub.commit("inside");
    let repository = Repository::new(&project.path(""), &project.home());
    repository.git(&["submodule", "--quiet", "add", "./sub", "sub"]);
    repository.commit("with a submodule");
    let before = Snapshot::take(&project.path("")).unwrap().unwrap();
    project.write("sub/a.txt", "b\n");
    sub.commit("further");
    repository.git(&["add", "sub"]);
    repository.commit("the submodule is further");
    let mark = project.outside().join("sprung");
    let program = format!("touch {}; cat", mark.display());
    sub.git(&["config", "filter.trap.smudge", &program]);
    repository.git(&["config", "submodule.recurse", "true"]);
    repository.git(&["config", "submodule.sub.active", "true"]);
    repository.git(&["submodule", "--quiet", "absorbgitdirs"]);
    let id: RunId = "exp-1".parse().unwrap();
    let wanted = Wanted {
        here: &project.path(""),
        id: &id,
        state: &before.state,
        patch: None,
        worktree: None,
    };
    wanted.look().unwrap().carry_out().unwrap();
    assert!(!mark.exists(), "a program of the submodule ran");
    repository.git(&["switch", "-q", "main"]);
    let commit = before.state.commit.unwrap();
    repository.git(&["checkout", "-q", &commit]);
    assert!(mark.exists(), "git alone runs it");
}

/// A proxy of the repository's choice would hear what the user's credential helper says for the server.
#[test]
fn no_proxy_of_a_repository_is_asked() {
    let project = Project::new(&[("a.txt", "a\n")]);
    let repository = Repository::new(&project.path(""), &project.home());
    repository.commit("one");
    let proxy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    proxy.set_nonblocking(true).unwrap();
    let address = format!("http://{}", proxy.local_addr().unwrap());
    let remote = "http://g.invalid/x.git";
    repository.git(&["remote", "add", "origin", remote]);
    repository.git(&["config", "http.proxy", &address]);
    let mut state = Snapshot::take(&project.path("")).unwrap().unwrap().state;
    state.commit = Some("a".repeat(40));
    let id: RunId = "exp-1".parse().unwrap();
    let wanted = Wanted {
        here: &project.path(""),
        id: &id,
        state: &state,
        patch: None,
        worktree: Some(&project.outside().join("beside")),
    };
    println!("{}", wanted.look().unwrap_err());
    assert!(proxy.accept().is_err(), "the proxy was asked");
    // Git alone asks it.
    let mut fetch = repository
        .command(&["fetch", "-q", "origin"])
        .spawn()
        .unwrap();
    proxy.set_nonblocking(false).unwrap();
    drop(proxy.accept().unwrap());
    fetch.wait().unwrap();
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
