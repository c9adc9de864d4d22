//! `mlbuild run` with real Dockers: it has to be `docker run` to whoever calls it, and what it adds
//! has to be there inside.

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::process::{Child, Command, Stdio};

use mlbuild::registry::RegistryError;
use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::RunStatus;
use rustix::process::{Pid, Signal, kill_process};

use crate::image::unique;
use crate::support::engines::Engines;
use crate::support::http::manifest as manifest_of;
use crate::support::mlbuild::{Project, Ran};
use crate::support::terminal::Terminal;
use crate::support::wait;

/// One Docker, and a project to start containers from.
struct Setting {
    engines: Engines,
    host: String,
    project: Project,
}

impl Setting {
    fn new(host: impl FnOnce(&Engines) -> &str) -> Self {
        let engines = Engines::from_env();
        Self {
            host: host(&engines).to_owned(),
            project: Project::new(&[]),
            engines,
        }
    }

    fn path(&self) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        format!("{}:{path}", self.engines.bin.display())
    }

    /// `mlbuild run` with arguments, not yet started.
    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.project.command(["run"].iter().chain(args));
        command
            .env("PATH", self.path())
            .env("DOCKER_HOST", &self.host);
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.command(args))
    }

    /// The program's output in the base image.
    fn shell(&self, flags: &[&str], script: &str) -> Ran {
        let tail = [self.engines.base.as_str(), "sh", "-c", script];
        self.run(&[&["--rm"], flags, &tail].concat())
    }

    #[track_caller]
    fn docker(&self, args: &[&str]) -> String {
        self.engines.docker(&self.host, args)
    }

    /// A new image in the daemon's store alone, whose file /what holds `text`.
    fn local_image(&self, name: &str, text: &str) -> String {
        let id = ulid::Ulid::r#gen().to_string().to_lowercase();
        let image = format!("{}/run/{name}-{id}:v1", self.engines.registry);
        self.docker(&["pull", "--quiet", &self.engines.base]);
        let script = format!("echo {text} > /what");
        let container = format!("{name}-{id}");
        self.docker(&[
            "run",
            "--name",
            &container,
            &self.engines.base,
            "sh",
            "-c",
            &script,
        ]);
        self.docker(&[
            "commit",
            "--change",
            "CMD [\"cat\", \"/what\"]",
            &container,
            &image,
        ]);
        self.docker(&["rm", &container]);
        image
    }
}

fn every_docker() -> Vec<(&'static str, Setting)> {
    let names = Engines::from_env()
        .dockers()
        .map(|(name, host)| (name, host.to_owned()));
    let setting = |(name, host): (&'static str, String)| {
        let mut setting = Setting::new(|engines| &engines.registry);
        setting.host = host;
        (name, setting)
    };
    names.into_iter().map(setting).collect()
}

fn classic() -> Setting {
    Setting::new(|engines| &engines.docker_classic)
}

#[test]
fn the_program_is_told_its_run_and_gets_what_it_needs() {
    let digest = regex::Regex::new("@sha256:[0-9a-f]{64}").unwrap();
    for (name, setting) in every_docker() {
        let script = "echo $MLBUILD_RUN_ID $MLBUILD_IMAGE; test $WANDB_DOCKER = $MLBUILD_IMAGE; \
                      df -k --output=size /dev/shm | tail -1 | tr -d ' '; ulimit -s";
        let ran = setting.shell(&["--run-id", "exp-7"], script);
        let repository = setting.engines.base.rsplit_once(':').unwrap().0;
        let said = digest
            .replace_all(ran.answer(), "@DIGEST")
            .replace(repository, "BASE");
        assert_eq!(said, "exp-7 BASE@DIGEST\n1048576\n65536", "{name}");
        assert!(ran.stderr.contains("run exp-7: "), "{name}: {}", ran.stderr);

        let ran = setting.shell(
            &["--no-defaults", "-e", "WANDB_DOCKER=mine"],
            "echo $WANDB_DOCKER; df -k --output=size /dev/shm | tail -1",
        );
        assert_eq!(
            ran.answer().split_whitespace().collect::<Vec<_>>(),
            ["mine", "65536"],
            "{name}"
        );
    }
}

#[test]
fn exit_codes_are_dockers() {
    for (name, setting) in every_docker() {
        assert_eq!(setting.shell(&[], "exit 42").code, Some(42), "{name}");
        assert_eq!(
            setting.shell(&[], "sh -c 'kill -9 $$'; exit $?").code,
            Some(137),
            "{name}"
        );
        let base = setting.engines.base.clone();
        assert_eq!(
            setting.run(&["--rm", &base, "no-such-program"]).code,
            Some(127),
            "{name}"
        );
        assert_eq!(
            setting.run(&["--rm", &base, "/etc"]).code,
            Some(126),
            "{name}"
        );
    }
}

#[test]
fn standard_streams_are_the_containers() {
    let setting = classic();
    let base = setting.engines.base.clone();
    let mut command = setting.command(&["--rm", "-i", &base, "sh", "-c", "cat; echo err >&2"]);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    child.stdin.take().unwrap().write_all(b"hello").unwrap();
    let ran = Ran::from(child.wait_with_output().unwrap());
    assert_eq!(ran.stdout, "hello");
    assert!(ran.stderr.ends_with("err\n"), "{}", ran.stderr);
}

#[test]
fn the_image_stays_the_same_when_its_tag_moves() {
    for (name, setting) in every_docker() {
        let image = setting.local_image("moves", "first");
        setting.docker(&["push", &image]);
        let id = setting.run(&["-d", &image, "sh", "-c", "sleep 1; cat /what"]);
        let id = id.answer();
        let started = setting.docker(&["inspect", "--format", "{{.Config.Image}}", id]);
        let repository = image.rsplit_once(':').unwrap().0;
        assert!(
            started.starts_with(&format!("{repository}@sha256:")),
            "{name}: {started}"
        );
        // The tag now means another image, here and in the registry.
        let other = setting.local_image("other", "second");
        setting.docker(&["tag", &other, &image]);
        setting.docker(&["push", &image]);
        assert_eq!(setting.run(&["--rm", &started]).answer(), "first", "{name}");
        assert_eq!(setting.run(&["--rm", &image]).answer(), "second", "{name}");
        assert_eq!(setting.docker(&["wait", id]), "0", "{name}");
        assert_eq!(setting.docker(&["logs", id]), "first", "{name}");
        setting.docker(&["rm", id]);
    }
}

#[test]
fn a_missing_image_is_pulled_and_keeps_its_tag() {
    for (name, setting) in every_docker() {
        let image = setting.local_image("pulled", "far");
        setting.docker(&["push", &image]);
        setting.docker(&["rmi", &image]);
        let refused = setting.run(&["--rm", "--pull=never", &image]);
        assert!(
            refused.refusal(125).contains("--pull=never forbids"),
            "{name}: {refused:?}"
        );
        let ran = setting.run(&["--rm", &image, "sh", "-c", "cat /what; echo $MLBUILD_IMAGE"]);
        assert!(
            ran.answer().starts_with("far\n") && ran.answer().contains("@sha256:"),
            "{name}: {ran:?}"
        );
        setting.docker(&["image", "inspect", &image]);
    }
}

#[test]
fn an_image_that_was_never_pushed_starts_and_says_so() {
    let setting = classic();
    let image = setting.local_image("local", "here");
    let ran = setting.run(&["--rm", &image, "sh", "-c", "cat /what; echo $WANDB_DOCKER"]);
    let id = setting.docker(&["image", "inspect", "--format", "{{.Id}}", &image]);
    assert_eq!(ran.answer(), format!("here\n{id}"));
    assert!(
        ran.stderr.contains(&format!("{image} was never pushed")),
        "{}",
        ran.stderr
    );
}

#[test]
fn the_record_learns_what_the_digest_is_of() {
    let setting = classic();
    // The same image by its manifest, and by an index that has its provenance too.
    let index = unique(&setting.engines.registry, "told-apart");
    let text = format!("FROM {}\nLABEL a=b\n", setting.engines.base);
    setting.project.write("Dockerfile", &text);
    let build = ["image", "-f", "Dockerfile", "--no-lock", "--push"];
    let builder = format!("--builder={}", setting.engines.buildkitd);
    let flags = [builder.as_str(), "--provenance=mode=min", "-t", &index];
    let mut command = setting.project.command(build.iter().chain(&flags));
    Ran::of(&mut command).answer();
    let manifest = setting.engines.base.clone();
    for (image, is_index) in [(&index, true), (&manifest, false)] {
        let folder = setting.project.path("");
        let mount = format!("--volume={}:/here", folder.display());
        let id = format!("--run-id=told-{is_index}");
        let wait = "until test -e /here/go; do sleep 0.1; done; rm /here/go";
        let words = ["--rm", &mount, &id, image, "sh", "-c", wait];
        let mut run = setting.command(&words).spawn().unwrap();
        let path = setting
            .project
            .path(&format!("mlbuild.runs/told-{is_index}.toml"));
        let told = wait::until_some("what the digest is of", || {
            let record = RunRecord::load(&path).ok()?;
            (!record.image.platforms.is_empty()).then_some(record.image)
        });
        setting.project.write("go", "");
        assert!(run.wait().unwrap().success());
        let record = RunRecord::load(&path).unwrap();
        assert_eq!(record.image, told, "the end of the run forgot it");
        assert_eq!(record.status(), RunStatus::Finished);
        assert_eq!(told.index.is_some(), is_index, "{told:?}");
        assert_eq!((told.digest.as_ref(), told.platforms.len()), (None, 1));
        // As the registry has it.
        let reference = RegistryError::reference(image).unwrap();
        let (repository, tag) = (reference.repository(), reference.tag().unwrap());
        let (digest, document) = manifest_of(&setting.engines.registry, repository, tag);
        let platform = &told.platforms["linux/amd64"];
        let (named, inner) = if is_index {
            (told.index.as_ref(), &document["manifests"][0]["digest"])
        } else {
            (Some(&platform.manifest), &document["config"]["digest"])
        };
        assert_eq!(named.unwrap().as_ref(), digest);
        let expected = if is_index {
            &platform.manifest
        } else {
            &platform.config
        };
        assert_eq!(inner, expected.as_ref());
    }
}

#[test]
fn detached_it_prints_the_id_alone() {
    for (name, setting) in every_docker() {
        let base = setting.engines.base.clone();
        let ran = setting.run(&["-d", &base, "sh", "-c", "exit 5"]);
        let id = ran.answer();
        assert!(
            id.len() == 64 && id.bytes().all(|b| b.is_ascii_hexdigit()),
            "{name}: {id}"
        );
        assert_eq!(setting.docker(&["wait", id]), "5", "{name}");
        // Nobody waited for its end but Docker, which is asked.
        let mut list = setting.project.command(["runs", "list", "--format=json"]);
        list.env("PATH", setting.path())
            .env("DOCKER_HOST", &setting.host);
        let listed = Ran::of(&mut list).json();
        assert_eq!(listed["runs"][0]["outcome"]["exit_code"], 5, "{name}");
        assert!(listed["runs"][0]["outcome"]["ended"].is_string(), "{name}");
        setting.docker(&["rm", id]);
    }
}

/// Starts a program that prints `ready`, and waits for that word.
fn ready(command: &mut Command) -> (Child, BufReader<std::process::ChildStdout>) {
    let mut child = command.spawn().unwrap();
    let mut out = BufReader::new(child.stdout.take().unwrap());
    let mut line = String::new();
    while !line.contains("ready") {
        line.clear();
        assert!(
            out.read_line(&mut line).unwrap() > 0,
            "it ended before it was ready"
        );
    }
    (child, out)
}

const TRAPS: &str = "trap 'echo term; exit 7' TERM; trap 'n=$((n+1)); echo int $n' INT; \
                     trap 'echo usr1' USR1; echo ready; while :; do sleep 0.1; done";

#[test]
fn signals_reach_the_program_once() {
    for (name, setting) in every_docker() {
        let base = setting.engines.base.clone();
        let (mut child, mut out) = ready(&mut setting.command(&["--rm", &base, "sh", "-c", TRAPS]));
        let pid = Pid::from_child(&child);
        let mut heard = String::new();
        for (signal, word) in [
            (Signal::INT, "int 1"),
            (Signal::USR1, "usr1"),
            (Signal::INT, "int 2"),
        ] {
            kill_process(pid, signal).unwrap();
            heard.clear();
            out.read_line(&mut heard).unwrap();
            assert_eq!(heard.trim(), word, "{name}");
        }
        kill_process(pid, Signal::TERM).unwrap();
        heard.clear();
        out.read_to_string(&mut heard).unwrap();
        assert_eq!(heard.trim(), "term", "{name}");
        assert_eq!(child.wait().unwrap().code(), Some(7), "{name}");
    }
}

#[test]
fn a_terminal_is_the_containers_and_ctrl_c_arrives_once() {
    let setting = classic();
    let base = setting.engines.base.clone();
    // With -t the container has a terminal of its own; without, Ctrl-C is the host's signal.
    for flags in [&["-it"][..], &["-i"][..]] {
        let tail = [base.as_str(), "sh", "-c", TRAPS];
        let line = [&["--rm"], flags, &tail].concat();
        let mut terminal = Terminal::start(&setting.command(&line));
        terminal.until("ready");
        for heard in ["int 1", "int 2"] {
            terminal.type_in("\x03");
            terminal.until(heard);
        }
        kill_process(Pid::from_child(&terminal.child), Signal::TERM).unwrap();
        let (heard, status) = terminal.finish();
        assert_eq!(heard.trim(), "term", "{flags:?}");
        assert_eq!(status.code(), Some(7), "{flags:?}");
    }
    let asks = "test -t 0 && test -t 1 && echo terminal";
    let line = ["--rm", "-it", &base, "sh", "-c", asks];
    let (said, _) = Terminal::start(&setting.command(&line)).finish();
    assert!(said.contains("terminal"), "{said}");
}

/// The processes that a process started.
pub fn children(parent: u32) -> Vec<u32> {
    // Each thread has a list of its own.
    let threads = std::fs::read_dir(format!("/proc/{parent}/task")).unwrap();
    let of_thread = |thread: std::io::Result<std::fs::DirEntry>| {
        std::fs::read_to_string(thread.unwrap().path().join("children")).unwrap_or_default()
    };
    let lists: Vec<String> = threads.map(of_thread).collect();
    let pids = lists.iter().flat_map(|list| list.split_whitespace());
    pids.map(|pid| pid.parse().unwrap()).collect()
}

#[test]
fn the_trackers_key_stands_on_no_command_line() {
    let setting = classic();
    let base = setting.engines.base.clone();
    let key = "0123456789abcdef";
    let netrc = setting.project.home().join(".netrc");
    std::fs::write(
        netrc,
        format!("machine api.wandb.ai login user password {key}\n"),
    )
    .unwrap();
    let script = "echo ready; echo $WANDB_API_KEY; read -r line";
    let mut command = setting.command(&["--rm", "-i", &base, "sh", "-c", script]);
    let (mut child, mut out) = ready(command.stdin(Stdio::piped()));
    let docker = children(child.id());
    assert_eq!(docker.len(), 1);
    let line = std::fs::read(format!("/proc/{}/cmdline", docker[0])).unwrap();
    let line = String::from_utf8_lossy(&line).replace('\0', " ");
    assert!(
        line.contains("--env=WANDB_API_KEY ") && !line.contains(key),
        "{line}"
    );
    child.stdin.take().unwrap().write_all(b"go on\n").unwrap();
    let mut said = String::new();
    out.read_to_string(&mut said).unwrap();
    assert_eq!(said.trim(), key);
    assert!(child.wait().unwrap().success());
    assert_eq!(
        setting
            .shell(&["--no-defaults"], "echo [$WANDB_API_KEY]")
            .answer(),
        "[]"
    );
}

/// Whether this machine has a GPU's device files; run_gpu.rs tests machines with one.
fn has_gpu() -> bool {
    ["/dev/nvidiactl", "/dev/kfd", "/dev/dxg"]
        .iter()
        .any(|device| std::path::Path::new(device).exists())
}

#[test]
fn what_keeps_a_container_from_starting_is_said() {
    let setting = classic();
    let missing = format!("{}/run/not-there:v1", setting.engines.registry);
    let base = setting.engines.base.clone();
    let mut said = String::new();
    let mut note = |line: &[&str], code: i32, command: &mut Command| {
        let ran = Ran::of(command);
        let stderr = ran
            .refusal(code)
            .replace(&missing, "MISSING")
            .replace(&base, "BASE");
        said += &format!(
            "$ mlbuild run {}\n{}",
            line.join(" "),
            setting.project.filtered(&stderr)
        );
    };
    note(&["MISSING"], 125, &mut setting.command(&[&missing]));
    let mut down = setting.command(&["--runtime-cli=docker", &base]);
    note(
        &["(no daemon)"],
        3,
        down.env("DOCKER_HOST", "unix:///nowhere/docker.sock"),
    );
    insta::assert_snapshot!(said, @r"
    $ mlbuild run MISSING
    pulling MISSING
    error: docker can't pull MISSING: manifest for MISSING not found: manifest unknown: manifest unknown
      hint: is the name right? docker image ls lists what is here; mlbuild image --push puts one there
    $ mlbuild run (no daemon)
    error: nothing here starts containers; tried:
      docker: unix:///nowhere/docker.sock: /nowhere/docker.sock: no such socket
      hint: install Docker or Podman, or start it: sudo systemctl start docker
      hint: or a private Docker, which changes nothing else here: mlbuild engine up --source packages
    ");

    if !has_gpu() {
        let ran = setting.run(&["--gpu=required", &base]);
        assert!(ran.refusal(3).contains("no GPU"), "{}", ran.stderr);
        let ran = setting.shell(&["--gpu=auto"], "echo started");
        assert_eq!(ran.answer(), "started");
    }

    let mount = "type=bind,source=/no/such/folder,target=/x";
    let ran = setting.run(&["--rm", "--mount", mount, &base, "true"]);
    assert!(
        ran.refusal(125).contains("/no/such/folder"),
        "{}",
        ran.stderr
    );
    let source = setting.project.outside().join("new");
    let volume = format!("{}:/x", source.display());
    let ran = setting.run(&["--rm", "-v", &volume, &base, "true"]);
    assert_eq!(ran.code, Some(0));
    assert!(
        ran.stderr
            .contains("there is no such folder; docker makes an empty one"),
        "{}",
        ran.stderr
    );
}

#[test]
fn ended_by_a_signal_it_leaves_no_client_behind() {
    let setting = classic();
    let base = setting.engines.base.clone();
    let (mut child, _out) = ready(&mut setting.command(&["--rm", &base, "sh", "-c", TRAPS]));
    let client = children(child.id())[0];
    kill_process(Pid::from_child(&child), Signal::TERM).unwrap();
    child.wait().unwrap();
    wait::until("docker's client ends", || {
        !std::path::Path::new(&format!("/proc/{client}")).exists()
    });
}
