//! Programs that die: git and credential helpers. What dies is the program itself, at one of its starts;
//! what it does until then is the real one's work.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::json;

use super::{Mortal, Round, each};
use crate::proxy::Death;
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};
use crate::support::repository::Repository;

/// A program before another one on PATH, which dies at one of its starts; until then it is `real`.
struct MortalProgram {
    folder: tempfile::TempDir,
}

impl MortalProgram {
    fn new(name: &str, real: &Path, round: &Round) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let (real, count) = (real.display(), folder.path().join("starts"));
        let count = count.display();
        let end = match round.death {
            Death::Stalls => &format!("exec {}", sleeper(name)),
            Death::Goes | Death::HangsUp => {
                // Half of what it says, and then nothing more.
                &format!("{real} \"$@\" | head -c 9; kill -9 $$")
            }
            Death::Resets => "echo 'it broke' >&2; exit 1",
            Death::Lags => &format!("sleep 0.3; exec {real} \"$@\""),
        };
        // A file's name is taken by one start alone.
        let dies = if round.death == Death::Goes {
            "-ge"
        } else {
            "-eq"
        };
        let script = format!(
            "#!/bin/sh\nn=0\nuntil (set -C; : > {count}-$n) 2> /dev/null; do n=$((n + 1)); done\n\
             if [ $n {dies} {} ]; then {end}; fi\nexec {real} \"$@\"\n",
            round.after
        );
        let file = folder.path().join(name);
        fs::write(&file, script).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o755)).unwrap();
        Self { folder }
    }

    /// PATH with it.
    fn path(&self, more: &Path) -> String {
        let (own, path) = (self.folder.path().display(), std::env::var("PATH").unwrap());
        format!("{own}:{}:{path}", more.display())
    }
}

fn found(name: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap();
    let mut places = std::env::split_paths(&path).map(|folder| folder.join(name));
    places.find(|file| file.is_file()).unwrap()
}

/// What a program does that says nothing any more: for so many seconds as nothing else on the machine.
fn sleeper(name: &str) -> String {
    format!("sleep 123{:02}", name.len())
}

/// Nothing of what was waited for is left.
fn no_sleeper_is_left(name: &str) {
    let left = Command::new("pgrep").args(["-f", &sleeper(name)]).output();
    assert_eq!(String::from_utf8_lossy(&left.unwrap().stdout), "");
}

#[test]
fn gits_that_die_lose_no_run_and_no_code() {
    let engines = Engines::from_env();
    let project = Project::new(&[("q.yaml", "{}\n")]);
    let repository = Repository::new(&project.path(""), &project.home());
    repository.write("train.py", "print(1)\n");
    repository.write(".gitignore", "mlbuild.*\nq.yaml\n");
    repository.commit("first");
    repository.write("train.py", "print(2)\n");
    let head = || repository.git(&["rev-parse", "HEAD"]);
    let status = || repository.git(&["status", "--porcelain"]);
    let before = (head(), status());
    let own = project.path("").display().to_string();
    let out = project.outside().join("out");
    fs::create_dir(&out).unwrap();
    let create = ["queue", "create", "q", "-c", "q.yaml"];
    project.run(create).answer();
    let volume = format!("{}:/out", out.display());
    let run = |id: &str| -> Vec<String> {
        let script = format!("echo started >> /out/{id}");
        let words = [
            "run",
            "--run-id",
            id,
            "--rm",
            "--network",
            "none",
            "-v",
            &volume,
        ];
        let rest = [&engines.base, "sh", "-c", &script];
        words.into_iter().chain(rest).map(str::to_owned).collect()
    };
    let real = found("git");
    let command = |words: &[String], path: String| {
        let mut command = project.command(words);
        command
            .env("PATH", path)
            .env("DOCKER_HOST", &engines.docker_containerd);
        command
    };
    let usual = format!(
        "{}:{}",
        engines.bin.display(),
        std::env::var("PATH").unwrap()
    );
    Ran::of(&mut command(&run("kept"), usual)).answer();
    // Each is restored from a repository of its own.
    let copy_of = |id: &str| project.outside().join(format!("{id}-repository"));
    let copy = |id: &str| {
        let to = copy_of(id);
        let mut cp = Command::new("cp");
        let copied = cp.arg("-r").arg(project.path("")).arg(&to).status();
        assert!(copied.unwrap().success());
        to
    };
    each(
        Mortal {
            // A git that gets no processor makes no progress.
            stall: 4,
            ..Mortal::new("git ", 12)
        },
        |round| {
            let id = format!("died-{}", round.number);
            let worktree = project.outside().join(&id).display().to_string();
            let git = format!("{own}@main");
            let words = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect();
            let words: Vec<String> = match round.number % 3 {
                0 => run(&id),
                1 => words(&["launch", "-q", "q", "--git", &git, "--", "true"]),
                _ => words(&["restore", "kept", "--no-shell", "--worktree", &worktree]),
            };
            let mortal = MortalProgram::new("git", &real, round);
            let mut command = command(&words, mortal.path(&engines.bin));
            if round.number % 3 == 2 {
                command.current_dir(copy(&id));
            }
            (command, mortal)
        },
        |round, ran| {
            let id = format!("died-{}", round.number);
            let what = format!("{id}: {:?} {}", ran.code, ran.stderr);
            let started = fs::read_to_string(out.join(&id)).unwrap_or_default();
            assert!(started.lines().count() <= 1, "{what}");
            match round.number % 3 {
                0 if ran.code == Some(0) => {
                    assert_eq!(started.lines().count(), 1, "{what}");
                    let shown = project
                        .run(["runs", "show", &id, "--format", "json"])
                        .json();
                    assert_eq!(shown["outcome"]["exit_code"], json!(0), "{what}: {shown}");
                }
                2 => {
                    let restored = project.outside().join(&id).join("train.py");
                    let text = fs::read_to_string(restored).ok();
                    let kept = Repository::at(&copy_of(&id), &project.home());
                    let branch = kept.git(&["branch", "--list", "mlbuild/kept"]);
                    if ran.code == Some(0) {
                        assert_eq!(text.as_deref(), Some("print(2)\n"), "{what}");
                    } else if round.death != Death::Goes {
                        // What was begun is undone, as long as there is a git that can.
                        assert_eq!((text, branch.as_str()), (None, ""), "{what}");
                    }
                    kept.git(&["fsck", "--strict"]);
                }
                _ => {}
            }
        },
    );
    let list = project.run(["runs", "list", "--format", "json"]).json();
    assert_eq!(list["unreadable"], json!([]));
    // The person's own tree is as it was, and whole.
    assert_eq!((head(), status()), before);
    repository.git(&["fsck", "--strict"]);
    no_sleeper_is_left("git");
}

#[test]
fn credential_helpers_that_die_are_named() {
    let engines = Engines::from_env();
    let registry = &engines.registry_auth;
    let built = crate::support::layouts::image(crate::support::layouts::fresh_seed(), &[2000]);
    let image = format!("{}/e2e/helped-{}:1", registry.host, std::process::id());
    let helpers = json!({ "credHelpers": { &registry.host: "mortal" } });
    let project = Project::new(&[("../home/.docker/config.json", &helpers.to_string())]);
    // The helper itself is a real one as far as skopeo can tell.
    let helper = project.outside().join("helper");
    let answer = json!({ "ServerURL": registry.host, "Username": registry.user, "Secret": registry.password });
    let script = format!(
        "#!/bin/sh\n[ \"$1\" = get ] || exit 1\nread -r asked\ncat << 'END'\n{answer}\nEND\n"
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let whole = MortalProgram::new("docker-credential-mortal", &helper, &Round::harmless());
    let mut skopeo = Command::new(engines.bin.join("skopeo"));
    skopeo
        .args(["copy", "--insecure-policy", "--dest-tls-verify=false"])
        .arg(format!("oci:{}", built.folder.path().display()))
        .arg(format!("docker://{image}"))
        .env("PATH", whole.path(&engines.bin))
        .env(
            "REGISTRY_AUTH_FILE",
            project.home().join(".docker/config.json"),
        );
    Ran::of(&mut skopeo).answer();
    let place = built.folder.path().display().to_string();
    each(
        Mortal::new("the credential helper docker-credential-mortal", 2),
        |round| {
            let mut command = match round.number % 2 {
                0 => project.command(["inspect", &image]),
                _ => project.command(["diff", &image, &place]),
            };
            let mortal = MortalProgram::new("docker-credential-mortal", &helper, round);
            command
                .env("PATH", mortal.path(&engines.bin))
                .env("DOCKER_HOST", "unix:///nowhere");
            (command, mortal)
        },
        |round, ran| {
            let what = format!("{:?}: {:?} {}", round.death, ran.code, ran.stderr);
            assert!(!ran.stderr.contains(&registry.password), "{what}");
            assert!(!ran.stdout.contains(&registry.password), "{what}");
            match ran.code {
                Some(3) => assert!(ran.stderr.contains("docker-credential-mortal"), "{what}"),
                // The images differ in how they are compressed.
                code => assert!(matches!(code, Some(0 | 4)), "{what}"),
            }
            assert!(round.death != Death::Lags || ran.code != Some(3), "{what}");
        },
    );
    no_sleeper_is_left("docker-credential-mortal");
}
