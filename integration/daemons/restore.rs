//! A run of one clone restored in another: only git and the registry are common.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use mlbuild::records::{RunExit, RunStart, Snapshot, StartedRun, this_host};
use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::{RunCommand, RunImage, RunPlatform};
use tempfile::TempDir;

use crate::image::{name_and_tag, unique};
use crate::support::engines::Engines;
use crate::support::http;
use crate::support::mlbuild::Ran;
use crate::support::repository::Repository;
use crate::support::terminal::Terminal;

/// Two clones of one repository, and an image in the registry.
pub(crate) struct Stage {
    pub(crate) engines: Engines,
    folder: TempDir,
    pub(crate) first: Repository,
    pub(crate) second: Repository,
    /// `HOST/NAME:TAG`
    pub(crate) image: String,
    docker: String,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let engines = Engines::from_env();
        let folder = tempfile::tempdir().unwrap();
        let root = folder.path().canonicalize().unwrap();
        Repository::at(&root, &root).git(&["init", "-q", "--bare", "-b", "main", "origin.git"]);
        let from = format!("file://{}", root.join("origin.git").display());
        let first = Repository::clone_of(&from, &root.join("first"), &root, &[]);
        first.write(
            "run.sh",
            "echo committed; cat /app/notes.txt; echo \"$@\"; exit 7\n",
        );
        first.write("notes.txt", "committed\n");
        first.commit("first");
        first.git(&["push", "-q", "origin", "HEAD:main"]);
        let second = Repository::clone_of(&from, &root.join("second"), &root, &[]);
        let image = unique(&engines.registry, "restore");
        let stage = Self {
            docker: engines.docker_containerd.clone(),
            engines,
            folder,
            first,
            second,
            image,
        };
        stage.docker(&["pull", "-q", &stage.engines.base]);
        stage.docker(&["tag", &stage.engines.base, &stage.image]);
        stage.docker(&["push", "-q", &stage.image]);
        stage
    }

    /// How many files that a shell was started with are still there.
    fn start_up_files(&self) -> usize {
        let entries = std::fs::read_dir(self.root()).unwrap();
        let names = entries.map(|entry| entry.unwrap().file_name());
        names
            .filter(|name| name.to_string_lossy().starts_with("mlbuild-restore"))
            .count()
    }

    pub(crate) fn root(&self) -> PathBuf {
        self.folder.path().canonicalize().unwrap()
    }

    #[track_caller]
    pub(crate) fn docker(&self, args: &[&str]) -> String {
        self.engines.docker(&self.docker, args)
    }

    /// `mlbuild` in a clone, with Docker on PATH.
    pub(crate) fn command(&self, clone: &Repository, args: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = Command::new(env!("CARGO_BIN_EXE_mlbuild"));
        command
            .args(args)
            .env_clear()
            .env("PATH", format!("{}:{path}", self.engines.bin.display()))
            .env("HOME", self.root())
            .env("DOCKER_HOST", &self.docker)
            .env("MLBUILD_STATE_DIR", self.root().join("state"))
            .current_dir(&clone.folder)
            .stdin(Stdio::null());
        command
    }

    pub(crate) fn mlbuild(&self, clone: &Repository, args: &[&str]) -> Ran {
        Ran::of(&mut self.command(clone, args))
    }

    /// The image as the registry has it.
    pub(crate) fn published(&self) -> RunImage {
        let (name, tag) = name_and_tag(&self.image);
        let (digest, manifest) = http::manifest(&self.engines.registry, name, tag);
        let (index, manifest, text) = match manifest["manifests"].as_array() {
            None => (None, digest, manifest),
            Some(all) => {
                let of_platform = all
                    .iter()
                    .find(|m| m["platform"]["architecture"] == "amd64");
                let inner = of_platform.unwrap()["digest"].as_str().unwrap().to_owned();
                let (_, text) = http::manifest(&self.engines.registry, name, &inner);
                (Some(digest), inner, text)
            }
        };
        let platform = RunPlatform {
            manifest: manifest.parse().unwrap(),
            config: text["config"]["digest"].as_str().unwrap().parse().unwrap(),
        };
        RunImage {
            reference: self.image.clone(),
            index: index.map(|digest| digest.parse().unwrap()),
            digest: None,
            image_id: None,
            platforms: [("linux/amd64".to_owned(), platform)].into(),
        }
    }

    /// Starts a run in the first clone, as `mlbuild run` writes it down.
    fn start(&self, id: &str, image: RunImage) -> StartedRun {
        let project = &self.first.folder;
        let mount = format!("{}:/app", project.display());
        let words = |words: &[&str]| words.iter().map(|&w| w.to_owned()).collect::<Vec<_>>();
        RunStart {
            id: id.parse().unwrap(),
            lock: None,
            image,
            code: Snapshot::take(project).unwrap(),
            command: RunCommand {
                program: Some("docker".to_owned()),
                options: words(&["--rm", "-e", "LR=0.0625", "-v", &mount, "-w", "/app"]),
                argv: words(&["sh", "run.sh", "a b", "$HOME", "it's"]),
                environment: words(&["LR"]),
                mounts: vec![mount],
                accelerator: None,
                project: Some(project.to_str().unwrap().to_owned()),
                display: None,
            },
            host: this_host(),
            cluster: None,
            slurm: None,
            data: Vec::new(),
        }
        .write(project)
        .unwrap()
    }
}

#[test]
fn a_run_of_one_clone_runs_again_in_another() {
    let stage = Stage::new();
    stage.first.write("notes.txt", "never committed\n");
    let run = stage.start("exp-7", stage.published());
    let pushed = stage.mlbuild(&stage.first, &["runs", "push", "exp-7"]);
    assert!(pushed.answer().starts_with("exp-7 "), "{pushed:?}");
    // Pushed again when it has ended: the later record counts.
    let ended = run.finish(RunExit::of_code(7)).unwrap();
    stage
        .mlbuild(&stage.first, &["runs", "push", "--all"])
        .answer();
    // The image's tag moves on; the run's image stays, and is named by its digest.
    let exact = stage.mlbuild(
        &stage.first,
        &["restore", "exp-7", "--no-code", "--format", "json"],
    );
    let exact = exact.json()["image"].as_str().unwrap().to_owned();
    stage.docker(&["pull", "-q", &stage.engines.python_base]);
    stage.docker(&["tag", &stage.engines.python_base, &stage.image]);
    stage.docker(&["push", "-q", &stage.image]);

    let from = ["restore", "exp", "--from", &exact];
    let digest = ended.image.pinned().unwrap().to_string();
    assert!(exact.ends_with(&format!("@{digest}")), "{exact}");

    let ran = stage.mlbuild(&stage.second, &[&from[..], &["--exec", "--trust"]].concat());
    assert_eq!(ran.code, Some(7), "{ran:?}");
    assert_eq!(ran.stdout, "committed\nnever committed\na b $HOME it's\n");
    assert!(
        ran.stderr.contains("on branch mlbuild/exp-7"),
        "{}",
        ran.stderr
    );
    assert!(
        ran.stderr.contains("the run had values for LR"),
        "{}",
        ran.stderr
    );
    let mounted = format!("-v {}:/app", stage.second.folder.display());
    assert!(ran.stderr.contains(&mounted), "{}", ran.stderr);
    assert_eq!(stage.second.read("notes.txt"), "never committed\n");

    // Pulled, the record and its patch are what they were.
    let pull = ["runs", "pull", &exact];
    assert_eq!(stage.mlbuild(&stage.second, &pull).answer(), "exp-7");
    let folder = stage.second.folder.join("mlbuild.runs");
    let pulled = RunRecord::find(&folder, &ended.id).unwrap().unwrap();
    assert_eq!(pulled, ended);
    assert!(pulled.load_patch(&folder).unwrap().is_some());
    let again = stage.mlbuild(&stage.second, &pull);
    assert_eq!(
        (again.answer(), again.stderr.as_str()),
        ("", "1 of them were here already\n")
    );
}

#[test]
fn an_image_that_is_gone_is_noticed_before_anything_is_touched() {
    let stage = Stage::new();
    let mut image = stage.published();
    let missing: oci_spec::image::Digest = format!("sha256:{}", "ab".repeat(32)).parse().unwrap();
    image.index = None;
    image.platforms.get_mut("linux/amd64").unwrap().manifest = missing;
    drop(stage.start("gone", image));
    let before = stage.first.git(&["for-each-ref"]);
    let ran = stage.mlbuild(&stage.first, &["restore", "gone"]);
    let said = ran.refusal(2);
    assert!(
        said.contains("the image of run gone can't be had"),
        "{said}"
    );
    assert!(said.contains("nothing was changed"), "{said}");
    assert_eq!(stage.first.git(&["for-each-ref"]), before);
    let push = stage.mlbuild(&stage.first, &["runs", "push", "gone"]);
    assert!(
        push.refusal(2).contains("isn't in the registry"),
        "{}",
        push.stderr
    );
}

#[test]
fn an_image_that_was_never_pushed_restores_where_it_is() {
    let mut stage = Stage::new();
    let id = stage.docker(&[
        "image",
        "inspect",
        "--format",
        "{{.Id}}",
        &stage.engines.base,
    ]);
    let image = RunImage {
        reference: stage.engines.base.clone(),
        image_id: Some(id.parse().unwrap()),
        ..RunImage::default()
    };
    let run = stage.start("local", image);
    run.finish(RunExit::of_code(0)).unwrap();
    let shown = ["restore", "local", "--no-code", "--format", "json"];
    let json = stage.mlbuild(&stage.first, &shown).json();
    assert_eq!(json["image"], id.as_str());
    let push = stage.mlbuild(&stage.first, &["runs", "push", "local"]);
    assert!(
        push.refusal(2).contains("was never pushed"),
        "{}",
        push.stderr
    );

    // Another daemon doesn't have it under that ID.
    stage.docker = stage.engines.docker_20.clone();
    let ran = stage.mlbuild(&stage.first, &shown);
    let said = ran.refusal(2);
    assert!(
        said.contains("never pushed, and docker doesn't have it here"),
        "{said}"
    );
    assert!(said.contains(&id), "{said}");
}

#[test]
fn a_terminal_gets_a_shell_with_the_command_in_its_history() {
    let stage = Stage::new();
    drop(stage.start("exp-8", stage.published()));
    std::fs::write(
        stage.root().join(".bashrc"),
        "PS1='> '; echo own start-up\n",
    )
    .unwrap();
    let mut command = stage.command(&stage.first, &["restore", "exp-8", "--no-code"]);
    command
        .env("SHELL", "/bin/bash")
        .env("TMPDIR", stage.root());
    let mut terminal = Terminal::start(&command);
    let mut text = terminal.until("> ");
    terminal.type_in("history | tail -n 2\nexit\n");
    text += &terminal.finish().0;
    assert!(text.contains("own start-up"), "{text}");
    let command = "-w /app";
    let listed = text
        .lines()
        .filter(|l| l.contains("mlbuild run") && l.contains(command));
    assert_eq!(
        listed.count(),
        2,
        "once printed, once in the history: {text}"
    );
    assert_eq!(
        stage.start_up_files(),
        0,
        "the start-up file removes itself"
    );
}

#[test]
fn in_zsh_the_up_arrow_has_it_too() {
    let stage = Stage::new();
    drop(stage.start("exp-9", stage.published()));
    // As many have it: the other files lie elsewhere, and a history is kept.
    let (home, elsewhere) = (stage.root(), stage.root().join("zsh"));
    std::fs::create_dir(&elsewhere).unwrap();
    std::fs::write(home.join(".zshenv"), "ZDOTDIR=$HOME/zsh\n").unwrap();
    let rc = "PS1='> '; HISTFILE=$ZDOTDIR/history; HISTSIZE=100; SAVEHIST=100; unsetopt zle; echo own start-up\n";
    std::fs::write(elsewhere.join(".zshrc"), rc).unwrap();
    std::fs::write(elsewhere.join("history"), "echo of old\n").unwrap();
    let mut command = stage.command(&stage.first, &["restore", "exp-9", "--no-code"]);
    command
        .env("SHELL", "/usr/bin/zsh")
        .env("TMPDIR", stage.root());
    let mut terminal = Terminal::start(&command);
    let mut text = terminal.until("> ");
    terminal.type_in("fc -l -n -2 | sed 's/^/entry: /'; echo $ZDOTDIR\nexit\n");
    text += &terminal.finish().0;
    assert!(text.contains("own start-up"), "{text}");
    let entries: Vec<&str> = text
        .lines()
        .filter_map(|line| line.trim_start().strip_prefix("entry: "))
        .collect();
    assert_eq!(entries.len(), 2, "{text}");
    assert_eq!(entries[0], "echo of old", "{text}");
    assert!(
        entries[1].starts_with("mlbuild run --runtime-cli=docker ")
            && entries[1].contains("-w /app"),
        "{text}"
    );
    assert!(text.contains(&format!("{}", elsewhere.display())), "{text}");
    assert_eq!(
        stage.start_up_files(),
        0,
        "the start-up files remove themselves"
    );
}

#[test]
fn a_run_of_weights_and_biases() {
    let stage = Stage::new();
    let commit = stage.first.head();
    stage.first.write("notes.txt", "from W&B\n");
    let patch = stage.first.git(&["diff", "HEAD"]) + "\n";
    let exact = format!(
        "{}@{}",
        stage.image.rsplit_once(':').unwrap().0,
        stage.published().pinned().unwrap()
    );
    let files = stage.root().join("files");
    std::fs::create_dir(&files).unwrap();
    std::fs::write(files.join("diff.patch"), patch).unwrap();
    let metadata = |docker: &str| {
        let text = serde_json::json!({
            "os": "Linux", "python": "3.11", "docker": docker,
            "git": { "remote": stage.first.git(&["remote", "get-url", "origin"]), "commit": commit },
            "program": "/app/run.sh", "codePath": "run.sh", "executable": "/bin/sh",
            "args": ["--lr", "0.1 x"],
        });
        std::fs::write(files.join("wandb-metadata.json"), text.to_string()).unwrap();
    };
    let file = files.join("wandb-metadata.json");
    let restore = [
        "restore",
        "acme/cracks:1abc2def",
        "--wandb-metadata",
        file.to_str().unwrap(),
    ];

    metadata(&stage.image);
    let tag = stage.mlbuild(&stage.second, &restore);
    assert!(
        tag.refusal(2).contains("is a tag, which may have moved"),
        "{}",
        tag.stderr
    );
    metadata(&exact);
    let ran = stage.mlbuild(&stage.second, &restore);
    let mount = format!("{}:/app", stage.second.folder.display());
    assert_eq!(
        ran.answer(),
        format!(
            "mlbuild run --runtime-cli=docker --rm -it -v {mount} -w /app {exact} sh run.sh --lr '0.1 x'"
        )
    );
    assert_eq!(stage.second.read("notes.txt"), "from W&B\n");
    let branch = stage.second.git(&["rev-parse", "--abbrev-ref", "HEAD"]);
    assert_eq!(branch, "mlbuild/1abc2def");
}

#[test]
fn a_run_that_nobody_knows_is_looked_for_in_the_registry_too() {
    let stage = Stage::new();
    let unknown = stage.mlbuild(&stage.second, &["restore", "exp-9"]);
    assert!(
        unknown
            .refusal(2)
            .contains("or name its image: --from IMAGE"),
        "{}",
        unknown.stderr
    );
    let from = stage.mlbuild(&stage.second, &["restore", "exp-9", "--from", &stage.image]);
    assert!(
        from.refusal(2)
            .contains("no run `exp-9` is recorded here or attached to")
    );
    let pull = stage.mlbuild(&stage.second, &["runs", "pull", &stage.image, "exp-9"]);
    assert!(
        pull.refusal(2).contains("no run `exp-9` is attached to"),
        "{}",
        pull.stderr
    );
    let registry = stage.mlbuild(&stage.second, &["restore", "exp-9", "--from", "registry"]);
    assert!(
        registry
            .refusal(2)
            .contains("names no image that was pushed")
    );
    for id in ["two-1", "two-2"] {
        drop(stage.start(id, stage.published()));
    }
    stage
        .mlbuild(&stage.first, &["runs", "push", "--all"])
        .answer();
    let both = stage.mlbuild(&stage.second, &["restore", "two", "--from", &stage.image]);
    assert!(
        both.refusal(2).contains("`two` could be two-1, two-2"),
        "{}",
        both.stderr
    );
}

/// All of it by the commands that a person types.
#[test]
fn what_mlbuild_run_started_is_restored_elsewhere() {
    let stage = Stage::new();
    stage.first.write("notes.txt", "never committed\n");
    let line = [
        "run",
        "--run-id",
        "exp-1",
        "--rm",
        "-v",
        ".:/app",
        "-w",
        "/app",
        "-e",
        "LR=0.0625",
        &stage.image,
        "sh",
        "run.sh",
        "a b",
        "$HOME",
        "it's",
    ];
    let ran = stage.mlbuild(&stage.first, &line);
    let expected = "committed\nnever committed\na b $HOME it's\n";
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(7), expected),
        "{ran:?}"
    );

    let show = stage.mlbuild(&stage.first, &["runs", "show", "exp-1", "--format", "json"]);
    let record = show.json();
    assert_eq!(record["status"], "finished");
    assert_eq!(record["outcome"]["exit_code"], 7);
    assert_eq!(record["git"]["commit"], stage.first.head());
    assert_eq!(record["command"]["argv"][3], "$HOME");
    assert!(
        record["command"]["environment"]
            .as_array()
            .unwrap()
            .contains(&"LR".into())
    );
    assert!(
        !record.to_string().contains("0.0625"),
        "values aren't recorded: {record:#}"
    );
    assert!(
        record["host"]["runtime"]
            .as_str()
            .unwrap()
            .starts_with("docker ")
    );

    let taken = stage.mlbuild(&stage.first, &line);
    assert!(
        taken.refusal(2).contains("run exp-1 was started before"),
        "{}",
        taken.stderr
    );

    let pushed = stage.mlbuild(&stage.first, &["runs", "push", "exp-1"]);
    let image = pushed.answer().split_once(' ').unwrap().1.to_owned();
    let again = ["restore", "exp-1", "--from", &image, "--exec", "--trust"];
    let ran = stage.mlbuild(&stage.second, &again);
    assert_eq!(
        (ran.code, ran.stdout.as_str()),
        (Some(7), expected),
        "{ran:?}"
    );
    assert!(
        ran.stderr.contains("the run had values for LR, which"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_crash_leaves_a_record_that_says_started() {
    let stage = Stage::new();
    let line = [
        "run",
        "--run-id",
        "exp-2",
        "--rm",
        "-i",
        &stage.image,
        "sh",
        "-c",
        "echo ready; cat",
    ];
    let mut command = stage.command(&stage.first, &line);
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut word = [0; 6];
    use std::io::Read as _;
    child.stdout.take().unwrap().read_exact(&mut word).unwrap();
    // Nothing can be done at SIGKILL.
    child.kill().unwrap();
    child.wait().unwrap();
    let list = stage.mlbuild(
        &stage.first,
        &["runs", "list", "--status", "started", "--format", "json"],
    );
    assert_eq!(list.json()["runs"][0]["id"], "exp-2");

    let line = ["run", "--no-record", "--rm", &stage.image, "true"];
    stage.mlbuild(&stage.first, &line).answer();
    let count = std::fs::read_dir(stage.first.folder.join("mlbuild.runs"))
        .unwrap()
        .count();
    assert_eq!(count, 1);
}
