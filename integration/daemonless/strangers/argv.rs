//! Words that begin as a flag does, from wherever they come: no program that mlbuild starts takes one for a
//! flag. Git and ssh-add are the real ones; in front of each program stands a script that writes down what
//! it was told.

use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;

use mlbuild_manifests::run_record::RunRecord;

use crate::support::mlbuild::{Project, Ran};
use crate::support::repository::Repository;

/// Programs that are told names of others.
const PROGRAMS: [&str; 9] = [
    "git", "docker", "podman", "nerdctl", "kubectl", "cosign", "ssh", "ssh-add", "buildctl",
];

/// What no program may take for a flag.
const EVIL: &str = "--output=evil";

struct Told {
    project: Project,
    bin: PathBuf,
    log: PathBuf,
}

impl Told {
    fn new(files: &[(&str, &str)]) -> Self {
        let project = Project::new(files);
        let bin = project.outside().join("bin");
        let log = project.outside().join("told");
        std::fs::create_dir_all(&bin).unwrap();
        for program in PROGRAMS {
            let script = format!(
                "#!/bin/sh\n{{ printf %s {program}; printf '\\t%s' \"$@\"; echo; }} >> {}\n\
                 PATH=${{PATH#*:}}\n{}\n",
                log.display(),
                match program {
                    "git" => "exec git \"$@\"",
                    // It has the image, and does what it is asked for.
                    _ => "exit 0",
                }
            );
            let path = bin.join(program);
            std::fs::write(&path, script).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        }
        Self { project, bin, log }
    }

    /// Runs `mlbuild`; gives what it said, and the lines of those programs that were told the word.
    fn run(&self, words: &[&str]) -> (Ran, Vec<Vec<String>>) {
        let path = std::env::var("PATH").unwrap();
        let path = format!("{}:{path}", self.bin.display());
        let _ = std::fs::remove_file(&self.log);
        let ran = Ran::of(self.project.command(words).env("PATH", path));
        let told = std::fs::read_to_string(&self.log).unwrap_or_default();
        let lines = told.lines().map(|line| line.split('\t').map(str::to_owned));
        let lines = lines.map(Iterator::collect::<Vec<_>>);
        let lines = lines.filter(|line| line.iter().any(|word| word.starts_with(EVIL)));
        (ran, lines.collect())
    }
}

/// That each such word stands behind the end of the flags.
#[track_caller]
fn assert_no_flag(by: &str, lines: &[Vec<String>]) {
    for line in lines {
        let at = line.iter().position(|word| word.starts_with(EVIL)).unwrap();
        let ended = line[..at]
            .iter()
            .any(|word| word == "--" || word == "--end-of-options");
        assert!(ended, "{by}: {line:?}");
    }
}

#[test]
fn no_name_on_the_command_line_becomes_a_flag_of_a_program() {
    let told = Told::new(&[("requirements.txt", "six\n")]);
    let with = |words: &[&'static str]| words.to_vec();
    for words in [
        with(&["run", "--", EVIL]),
        with(&["run", "--runtime-cli=podman", "--", EVIL]),
        with(&["dev", "--", EVIL]),
        with(&["gui-run", "--", EVIL]),
        with(&["inspect", "--", EVIL]),
        with(&["diff", "--", EVIL, "r.example/a:1"]),
        with(&["verify", "--image=--output=evil"]),
        with(&["restore", "--no-code", "--", EVIL]),
        with(&["restore", "--from=--output=evil", "run-1"]),
        with(&["runs", "show", "--", EVIL]),
        with(&["runs", "push", "--", EVIL]),
        with(&["logs", "--", EVIL]),
        with(&["adopt", "--uid=1", "--", EVIL]),
        with(&["rebase", "--dry-run", "--base=b", "--", EVIL]),
        with(&["attest", "--sign", "--", EVIL]),
        with(&["image", "-t", "--output=evil", "--print=plan"]),
        with(&["image", "--base=--output=evil", "--print=plan"]),
        with(&["launch", "--image=--output=evil"]),
        with(&["launch", "--git=--output=evil@main"]),
        with(&["launch", "--git=https://g.invalid/x@--output=evil"]),
    ] {
        let (ran, lines) = told.run(&words);
        let by = words.join(" ");
        assert_ne!(ran.code, Some(0), "{by}: {}", ran.stdout);
        assert_no_flag(&by, &lines);
        println!("{by}: {}", ran.stderr.lines().next().unwrap_or_default());
    }
}

/// Names that a repository brings along: of remotes, of branches, of files.
#[test]
fn no_name_of_a_repository_becomes_a_flag_of_git() {
    let told = Told::new(&[("a.txt", "a\n"), (EVIL, "a\n")]);
    let project = &told.project;
    let repository = Repository::new(&project.path(""), &project.home());
    repository.commit("one");
    let commit = repository.git(&["rev-parse", "HEAD"]).trim().to_owned();
    project.write(EVIL, "changed\n");
    // What is recorded of a change of that file: nothing is started, and git is asked all the same.
    told.run(&["image", "--print=plan"]);
    repository.git(&["checkout", "-q", "."]);

    let mut config = project.read(".git/config");
    config.push_str("[remote \"--output=evil\"]\n\turl = file:///nowhere/x.git\n");
    project.write(".git/config", &config);
    let head = format!("refs/heads/{EVIL}");
    project.write(&format!(".git/{head}"), &format!("{commit}\n"));
    project.write(".git/HEAD", &format!("ref: {head}\n"));
    let mut reached = 0;
    for (id, commit) in [("run-1", "a".repeat(40)), ("run-2", commit)] {
        write_record(&told, id, &commit);
        let (ran, lines) = told.run(&["restore", id, "--no-shell", "--runtime-cli=docker"]);
        println!("{id}: {}", ran.stderr.trim_end());
        assert_no_flag(id, &lines);
        reached += lines.len();
        assert!(!project.path("evil").exists(), "git wrote the file");
    }
    assert!(reached > 0, "no git was told the name of the remote");
}

/// A record of a local image, whose code is at a commit of a repository with an odd name.
fn write_record(told: &Told, id: &str, commit: &str) {
    let text = format!(
        "version = 3\nid = \"{id}\"\ncreated = \"2026-03-01T12:00:00Z\"\n\n[image]\nreference = \"r.example/a:1\"\n\
         image_id = \"sha256:{}\"\n\n[git]\nremote = \"file:///nowhere/x.git\"\ncommit = \"{commit}\"\nbranch = \"{EVIL}\"\n\
         dirty = true\n\n[command]\nprogram = \"docker\"\nargv = [\n  \"true\",\n]\n\n# end of record\n",
        "01".repeat(32),
    );
    let _: RunRecord = toml::from_str(&text).unwrap();
    told.project
        .write(&format!("mlbuild.runs/{id}.toml"), &text);
}
