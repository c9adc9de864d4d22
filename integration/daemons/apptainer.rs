//! `mlbuild run --runtime-cli apptainer` with the real Apptainer, as an ordinary user of a machine that has
//! neither Docker nor Podman. What `docker run` does with the same image is what is right.

use std::os::unix::fs::{PermissionsExt as _, chown};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use mlbuild_manifests::RunRecord;
use rustix::process::{Pid, Signal, kill_process};

use crate::image::{name_and_tag, unique};
use crate::lock::{builder, run};
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};
use crate::support::server::{Act, Server};
use crate::support::terminal::Terminal;
use crate::support::wait;

/// This user's number, here and inside.
pub const ANN: u32 = 1000;

/// In the root of Apptainer: as that user, whom its passwd knows, with a device of FUSE that she may open.
const AS_ANN: &str = r#"set -e
tools=$1; shift
mount --bind "$tools/fuse" /dev/fuse
mount --bind "$tools/passwd" /etc/passwd
mount --bind "$tools/group" /etc/group
export LD_LIBRARY_PATH=$tools
exec "$tools/setpriv" --reuid=1000 --regid=1000 --clear-groups env -u LD_LIBRARY_PATH "$@""#;

const DOCKERFILE: &str = "\
RUN mkdir -p /opt/a && echo one > /opt/a/one && chmod 777 /opt/a\n\
ENV GREETING=\"a b\\$c\" EMPTY= PATH=/opt/a:$PATH\n\
WORKDIR /opt/a\nUSER 0\n\
ENTRYPOINT [\"/usr/bin/printf\", \"%s|\"]\n\
CMD [\"first\", \"second word\"]\n";

/// A project of ann's, who is nobody special, on a machine with Apptainer.
pub struct Setting {
    pub engines: Engines,
    pub project: Project,
}

impl Setting {
    pub fn new() -> Self {
        let setting = Self {
            engines: Engines::from_env(),
            project: Project::new(&[]),
        };
        let outside = setting.project.outside();
        let tools = outside.join("tools");
        std::fs::create_dir(&tools).unwrap();
        std::fs::set_permissions(outside, std::fs::Permissions::from_mode(0o755)).unwrap();
        for name in ["project", "home", "state"] {
            chown(outside.join(name), Some(ANN), Some(ANN)).unwrap();
        }
        let root = setting.root();
        let home = setting.project.home();
        let line = format!("ann:x:{ANN}:{ANN}::{}:/bin/sh\n", home.display());
        for (name, line) in [("passwd", line), ("group", format!("ann:x:{ANN}:\n"))] {
            let known = std::fs::read_to_string(root.join("etc").join(name)).unwrap();
            std::fs::write(tools.join(name), known + &line).unwrap();
        }
        let library = "/lib/x86_64-linux-gnu/libcap-ng.so.0";
        std::fs::copy(library, tools.join("libcap-ng.so.0")).unwrap();
        std::fs::copy("/usr/bin/setpriv", tools.join("setpriv")).unwrap();
        std::fs::copy(env!("CARGO_BIN_EXE_mlbuild"), tools.join("mlbuild")).unwrap();
        let fuse = tools.join("fuse");
        let made = Command::new("mknod")
            .args(["-m", "666"])
            .arg(&fuse)
            .args(["c", "10", "229"])
            .status();
        assert!(made.unwrap().success());
        setting
    }

    fn bin() -> PathBuf {
        let program =
            std::env::var("MLBUILD_TEST_APPTAINER").expect("integration/engines/up apptainer");
        Path::new(&program).parent().unwrap().to_owned()
    }

    fn root(&self) -> PathBuf {
        Self::bin().join("../root")
    }

    pub fn command(&self, args: &[&str]) -> Command {
        let known = self.project.command([""; 0]);
        let tools = self.project.outside().join("tools");
        let mut command = Command::new("unshare");
        command
            .args(["-m", "--propagation", "private"])
            .arg(Self::bin().join("in-sid"))
            .arg(self.root().canonicalize().unwrap())
            .args(["bash", "-c", AS_ANN, "bash"])
            .arg(&tools)
            .arg(tools.join("mlbuild"))
            .args(args)
            .env_clear()
            .envs(
                known
                    .get_envs()
                    .filter_map(|(name, value)| Some((name, value?))),
            )
            .current_dir(self.project.path(""))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.command(args))
    }

    fn record(&self, id: &str) -> RunRecord {
        RunRecord::load(&self.project.path(&format!("mlbuild.runs/{id}.toml"))).unwrap()
    }

    fn files(&self) -> Vec<String> {
        let folder = std::fs::read_dir(self.project.outside().join("state/sif"));
        let names = folder.into_iter().flatten().flatten();
        names
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .collect()
    }

    /// What runs left among the temporary things.
    fn left(&self) -> Vec<PathBuf> {
        let folder = std::fs::read_dir(self.project.outside().join("state/tmp"));
        folder
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.path())
            .collect()
    }

    /// Starts it, and waits until it has printed `ready` into a file of the project.
    fn started(&self, args: &[&str]) -> Child {
        let child = self.command(args).spawn().unwrap();
        let ready = self.project.path("ready");
        wait::until("the program runs", || ready.exists());
        child
    }

    /// An image that Docker has or can pull, under a name that no other test has.
    pub fn of_its_own(&self, image: &str) -> String {
        let tag = unique(&self.engines.registry, "apptainer");
        let docker = |args: &[&str]| {
            let mut docker = Command::new(self.engines.bin.join("docker"));
            let host = ["--host", &self.engines.docker_containerd];
            Ran::of(docker.args(host).args(args))
        };
        if docker(&["image", "inspect", image]).code != Some(0) {
            let ran = docker(&["pull", "-q", image]);
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        }
        for words in [["tag", image, &tag].as_slice(), &["push", "-q", &tag]] {
            let ran = docker(words);
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
        }
        tag
    }

    fn image(&self) -> String {
        let project = Project::new(&[]);
        project.write(
            "Dockerfile",
            &format!("FROM {}\n{DOCKERFILE}", self.engines.base),
        );
        let tag = unique(&self.engines.registry, "apptainer");
        let words = ["image", "-f", "Dockerfile", "-t", &tag, "--push"].map(str::to_owned);
        let flags = builder(&self.engines, "buildkitd").flags;
        run(&project, &[words.to_vec(), flags].concat()).answer();
        tag
    }
}

/// Code and output of a program that gets this to read.
fn ended(command: &mut Command, input: &str) -> (Option<i32>, String) {
    use std::io::Write as _;
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Who reads nothing may be gone.
    let _ = child.stdin.take().unwrap().write_all(input.as_bytes());
    let output = child.wait_with_output().unwrap();
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stdout).into_owned(),
    )
}

#[test]
fn a_run_does_what_docker_run_does() {
    let setting = Setting::new();
    let image = setting.image();
    let folder = setting.project.path("");
    setting.project.write("data,1/file", "content\n");
    setting.project.write(
        "variables",
        "# of a file\nOF_FILE=a b \"c\" $d\nGREETING=from file\n",
    );
    chown(folder.join("data,1"), Some(ANN), Some(ANN)).unwrap();
    let folder = folder.to_str().unwrap();
    let mount = format!("--mount=type=bind,\"source={folder}/data,1\",target=/new/data");
    let read_only = format!("{mount},readonly");
    let volume = format!("--volume={folder}:/srv/here:ro");
    let file = format!("--env-file={folder}/variables");
    let sh = "--entrypoint=sh";
    let cases: &[(&[&str], &[&str])] = &[
        (&[], &[]),
        (&[], &["mine", "$HOME `id`", "\"q\""]),
        (&["--entrypoint=pwd"], &[]),
        (&["--entrypoint=pwd", "--workdir=/usr"], &[]),
        (&["--entrypoint="], &["printenv", "GREETING", "PATH"]),
        (
            &["--entrypoint=printenv", "--env=GREETING=x,y \"z\" $A"],
            &["GREETING"],
        ),
        (&["--entrypoint=printenv", "--env=TWO=a\nb"], &["TWO"]),
        (
            &["--entrypoint=printenv", "--env=PATH=/bin:/usr/bin"],
            &["PATH"],
        ),
        (&["--entrypoint=printenv", "--env=LEAK"], &["LEAK"]),
        (&["--entrypoint=printenv", "--env=NOWHERE"], &["NOWHERE"]),
        (&["--entrypoint=printenv"], &["LEAK"]),
        (&["--entrypoint=printenv", &file], &["OF_FILE", "GREETING"]),
        (
            &["--entrypoint=printenv", &file, "--env=GREETING=flag"],
            &["GREETING"],
        ),
        (
            &[sh, &mount],
            &[
                "-c",
                "cat /new/data/file; rm -f /new/data/w; echo w > /new/data/w && cat /new/data/w",
            ],
        ),
        (
            &[sh, &read_only],
            &[
                "-c",
                "cat /new/data/file; : 2> /dev/null > /new/data/no || echo no",
            ],
        ),
        (
            &[sh, &volume],
            &[
                "-c",
                "cat /srv/here/data,1/file; rm /srv/here/variables 2> /dev/null || echo no",
            ],
        ),
        (&["--entrypoint=hostname", "--hostname=n1"], &[]),
        (
            &[sh, "--read-only"],
            &["-c", "touch /opt/a/x 2> /dev/null || echo no"],
        ),
        (
            &[sh],
            &[
                "-c",
                "touch /opt/a/x /new /tmp/x && echo yes; ls -A /tmp | grep -v '^[.]tmp\\|^team'",
            ],
        ),
        (
            &[sh, "--tmpfs=/scratch"],
            &["-c", "echo a > /scratch/a && cat /scratch/a"],
        ),
        (&[sh, "--network=none"], &["-c", "wc -l < /proc/net/dev"]),
        (&["--entrypoint=cat", "-i"], &[]),
        (&["--entrypoint=cat"], &[]),
        (&[sh], &["-c", "exit 7"]),
        (&[sh, "--init"], &["-c", "kill -9 $$"]),
        (&[sh], &["-c", "sleep 100 & echo left"]),
        (
            &[
                sh,
                "--init",
                "--rm",
                "--label=a=b",
                "--memory=1g",
                "--shm-size=64m",
            ],
            &["-c", "echo fine"],
        ),
    ];
    for (flags, words) in cases {
        let after = [&["run", "--no-record"], *flags, &[image.as_str()], *words].concat();
        let mut ours = setting.command(&after);
        let mut docker = Command::new(setting.engines.bin.join("docker"));
        docker.args([
            "--host",
            &setting.engines.docker_containerd,
            "run",
            "--rm",
            "-q",
        ]);
        docker.args(*flags).arg(&image).args(*words);
        for command in [&mut ours, &mut docker] {
            command.env("LEAK", "of the machine");
        }
        let wanted = ended(&mut docker, "typed\n");
        let got = ended(&mut ours, "typed\n");
        assert_eq!(
            got,
            wanted,
            "{flags:?} {words:?}: {}",
            setting.run(&after).stderr
        );
    }
    // What is another's with docker: who it is.
    let id = setting.run(&["run", "--entrypoint=id", &image, "-u"]);
    assert_eq!(id.answer(), ANN.to_string());
    assert!(id.stderr.contains(", by apptainer 1."), "{}", id.stderr);
    let root = setting.run(&["run", "-u", "0", "--entrypoint=id", &image, "-u"]);
    assert_eq!(root.answer(), "0");
    let named = setting.run(&["run", "--memory=1g", &image]);
    assert!(
        named.stderr.contains("left out: --memory=1g"),
        "{}",
        named.stderr
    );
}

#[test]
fn a_run_is_recorded_and_restored_and_no_secret_is_seen() {
    let setting = Setting::new();
    // Other tests' runs are kept beside the images that all have.
    let base = setting.of_its_own(&setting.engines.base);
    let here = setting.project.path("");
    let volume = format!("--volume={}:/here", here.display());
    let script = "echo $MLBUILD_RUN_ID $MLBUILD_IMAGE $API_TOKEN > /here/said; touch /here/ready; trap 'exit 5' TERM; while :; do sleep 0.1; done";
    let args = [
        "run",
        "--run-id=exp-1",
        "-e",
        "API_TOKEN",
        "-e",
        "LR=0.1",
        &volume,
        &base,
        "sh",
        "-c",
        script,
    ];
    let secret = "s3cr3t-value-of-this-test";
    let mut command = setting.command(&args);
    let mut child = command.env("API_TOKEN", secret).spawn().unwrap();
    wait::until("the program runs", || here.join("ready").exists());
    let mut lines = Vec::new();
    for process in std::fs::read_dir("/proc").unwrap().flatten() {
        let line = std::fs::read(process.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        assert!(!line.contains(secret), "{line}");
        lines.push(line);
    }
    assert!(
        lines
            .iter()
            .any(|line| line.contains("Apptainer runtime parent"))
    );
    assert_eq!(setting.left().len(), 1);
    let sent = Command::new("kill")
        .args(["-s", "TERM", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(5));
    assert_eq!(setting.left(), Vec::<PathBuf>::new());
    let said = setting.project.read("said");
    let (name, _) = name_and_tag(&base);
    let host = base.split('/').next().unwrap();
    assert!(
        said.starts_with(&format!("exp-1 {host}/{name}@sha256:")),
        "{said}"
    );
    assert!(said.trim_end().ends_with(secret));

    let record = setting.record("exp-1");
    let text = setting.project.read("mlbuild.runs/exp-1.toml");
    assert!(
        !text.contains(secret) && text.contains("runtime = \"apptainer 1."),
        "{text}"
    );
    assert_eq!(record.outcome.unwrap().exit_code, Some(5));
    assert_eq!(
        record.command.unwrap().program.as_deref(),
        Some("apptainer")
    );
    let restored = setting.run(&["restore", "exp-1", "--no-code"]);
    let line = restored.answer();
    assert!(
        line.starts_with("mlbuild run --runtime-cli=apptainer --env=API_TOKEN --env=LR "),
        "{line}"
    );
    // A file of the same image says which it is, and leads to its run.
    setting
        .run(&["pull", &base, "--sif", "-o", "base.sif"])
        .answer();
    let about = setting
        .run(&["inspect", "base.sif", "--format", "json"])
        .json();
    assert_eq!(about["read_from"], "sif");
    assert_eq!(about["runs"][0]["id"], "exp-1");
    assert!(said.contains(about["pinned"].as_str().unwrap()), "{about}");
    let by_file = setting.run(&["restore", "base.sif", "--no-code"]);
    assert_eq!(by_file.answer(), line);
    let again = setting.run(&["run", "--run-id=exp-2", &base, "sh", "-c", "exit 9"]);
    assert_eq!(again.code, Some(9));
    let several = setting.run(&["restore", "base.sif", "--no-code"]);
    assert!(several.refusal(2).contains("exp-2"), "{}", several.stderr);
    let again = setting.run(&["restore", "exp-2", "--no-code", "--exec"]);
    assert_eq!(again.code, Some(9), "{}", again.stderr);
}

#[test]
fn what_cannot_be_is_refused_before_anything_starts() {
    let setting = Setting::new();
    let base = &setting.engines.base;
    for (flags, says) in [
        (&["-d"][..], "tmux"),
        (&["-v", "/no/such:/x"], "mkdir -p /no/such"),
        (
            &["--mount", "type=bind,source=/no/such,target=/x"],
            "there is no such file or folder",
        ),
        (&["-v", "name:/x"], "-v /FOLDER:DIR"),
        (&["-p", "80:8080"], "under its own number"),
        (&["-u", "7"], "as you"),
        (&["--gpus", "all"], "no GPU"),
        (&["--privileged"], "your rights"),
        (&["--pull=never"], "--pull=never"),
    ] {
        let args = [&["run"], flags, &[base.as_str(), "true"]].concat();
        let ran = setting.run(&args);
        assert!(
            !matches!(ran.code, Some(0 | 255)),
            "{flags:?}: {}",
            ran.stderr
        );
        assert!(ran.stderr.contains(says), "{flags:?}: {}", ran.stderr);
    }
    assert_eq!(setting.project.runs(), Vec::<String>::new());
    // It has its own words for what only it can know.
    let ran = setting.run(&["run", base, "no-such-program"]);
    assert_eq!(ran.code, Some(255));
    assert!(ran.stderr.contains("no-such-program"), "{}", ran.stderr);
}

#[test]
fn an_image_is_made_once_and_whole() {
    let setting = Setting::new();
    let (name, tag) = name_and_tag(&setting.engines.base);
    let slow = Arc::new(AtomicBool::new(true));
    let is_slow = slow.clone();
    let server = Server::before(&setting.engines.registry, move |request| {
        if request.path.contains("/blobs/") && is_slow.load(Ordering::SeqCst) {
            std::thread::sleep(Duration::from_secs(1));
        }
        Act::Pass
    });
    let image = format!("{}/{name}:{tag}", server.address);
    let args = ["run", "--no-record", image.as_str(), "echo", "fine"];
    // One is killed while it fetches.
    let mut killed = setting.command(&args).spawn().unwrap();
    wait::until("it makes the file", || !setting.files().is_empty());
    std::thread::sleep(Duration::from_millis(500));
    killed.kill().unwrap();
    killed.wait().unwrap();
    assert!(
        !setting.files().iter().any(|file| file.ends_with(".sif")),
        "{:?}",
        setting.files()
    );
    // What it had asked for is written down a second later.
    std::thread::sleep(Duration::from_secs(2));
    server.seen();
    // Two at once: each asks what the image is, and the layer is fetched once.
    let two = [0, 1].map(|_| setting.command(&args).spawn().unwrap());
    for child in two {
        let ran = Ran::from(child.wait_with_output().unwrap());
        assert_eq!(ran.answer(), "fine");
    }
    let mut blobs = server.seen();
    blobs.retain(|line| line.starts_with("GET ") && line.contains("/blobs/"));
    let all = blobs.len();
    blobs.sort();
    blobs.dedup();
    assert_eq!((blobs.len(), all), (2, 3), "{blobs:?}");
    let files = setting.files();
    assert!(
        files.len() == 1 && files[0].ends_with("-linux-amd64.sif"),
        "{files:?}"
    );
    // By its digest it needs no registry.
    slow.store(false, Ordering::SeqCst);
    let digest = files[0].strip_prefix("sha256-").unwrap();
    let digest = digest.strip_suffix("-linux-amd64.sif").unwrap();
    let exact = format!("{}/{name}@sha256:{digest}", server.address);
    server.seen();
    let never = setting.run(&["run", "--no-record", "--pull=never", &exact, "echo", "fine"]);
    assert_eq!(never.answer(), "fine");
    assert_eq!(server.seen(), Vec::<String>::new());
    // A damaged one is made again.
    let path = setting.project.outside().join("state/sif").join(&files[0]);
    std::fs::write(&path, "half").unwrap();
    assert_eq!(setting.run(&args).answer(), "fine");

    let pruned = setting.run(&["prune", "--all", "--dry-run"]);
    assert!(
        pruned
            .stderr
            .contains("would remove 1 images that Apptainer starts"),
        "{}",
        pruned.stderr
    );
    assert_eq!(setting.files(), files);
    setting.run(&["prune", "--older-than=1d"]).answer();
    assert_eq!(setting.files(), files);
    setting.run(&["prune", "--all"]).answer();
    assert_eq!(setting.files(), Vec::<String>::new());
}

#[test]
fn what_a_program_leaves_behind_goes_with_it() {
    let setting = Setting::new();
    let base = &setting.engines.base;
    let volume = format!("--volume={}:/here", setting.project.path("").display());
    let script = "mkdir -p /tmp/closed/in && touch /tmp/closed/in/file && chmod 0 /tmp/closed/in /tmp/closed; touch /here/ready; exec sleep 300";
    let mut child = setting.started(&["run", "--no-record", &volume, base, "sh", "-c", script]);
    // Nobody may stay where mlbuild is killed alone.
    let sent = Command::new("kill")
        .args(["-s", "INT", &child.id().to_string()])
        .status();
    assert!(sent.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert_eq!(setting.left(), Vec::<PathBuf>::new());
}

#[test]
fn a_terminal_is_the_containers_and_ctrl_c_arrives_once() {
    let setting = Setting::new();
    let base = setting.engines.base.clone();
    let script = "n=0; trap 'n=$((n+1)); echo int $n' INT; trap 'echo term; exit 7' TERM; \
                  test -t 0 && test -t 1 && stty size; echo ready; while :; do sleep 0.1; done";
    let line = ["run", "--no-record", "-it", &base, "sh", "-c", script];
    let mut terminal = Terminal::start(&setting.command(&line));
    terminal.resize(91, 37);
    terminal.until("ready");
    for heard in ["int 1", "int 2"] {
        terminal.type_in("\x03");
        terminal.until(heard);
    }
    kill_process(Pid::from_child(&terminal.child), Signal::TERM).unwrap();
    let (heard, status) = terminal.finish();
    assert_eq!(heard.trim(), "term");
    assert_eq!(status.code(), Some(7));
    assert_eq!(setting.left(), Vec::<PathBuf>::new());
}

#[test]
fn dev_opens_a_shell_in_the_mounted_project() {
    let setting = Setting::new();
    setting.project.write("train.py", "");
    let base = setting.engines.base.clone();
    let mut command = setting.command(&["dev", "--runtime-cli=apptainer", &base]);
    let mut terminal = Terminal::start(command.env("TERM", "dumb"));
    terminal.type_in("id -u; ls; echo made > made; test -t 0 && echo interactive; exit 6\n");
    let (said, status) = terminal.finish();
    assert_eq!(status.code(), Some(6), "{said}");
    for word in [ANN.to_string().as_str(), "train.py", "interactive\n"] {
        assert!(said.contains(word), "{word}: {said}");
    }
    assert_eq!(setting.project.read("made"), "made\n");
}
