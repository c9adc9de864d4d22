//! `mlbuild submit --slurm` with real daemons of Slurm's, two nodes on this machine, and Debian's Podman there.

use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::RwLock;
use std::time::Duration;

use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::RunStatus;

use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};
use crate::support::sshd::Sshd;
use crate::support::wait;

mod arrays;
mod deaths;
mod nodes;

/// Held by those who need slurmctld; alone by who ends it.
static CONTROLLER: RwLock<()> = RwLock::new(());

struct Setting {
    engines: Engines,
    project: Project,
    slurm: PathBuf,
}

impl Setting {
    fn new() -> Self {
        let slurm = std::env::var_os("MLBUILD_TEST_SLURM");
        Self {
            engines: Engines::from_env(),
            project: Project::new(&[]),
            slurm: slurm
                .expect("MLBUILD_TEST_SLURM: integration/engines/up")
                .into(),
        }
    }

    fn path(&self, first: &str) -> String {
        let path = std::env::var("PATH").unwrap_or_default();
        format!(
            "{first}{}:{}:{path}",
            self.slurm.display(),
            self.engines.podman.display()
        )
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.project.command(args);
        command
            .env("PATH", self.path(""))
            .env_remove("DOCKER_CONFIG");
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.command(args))
    }

    /// `mlbuild submit --slurm`, with these flags.
    fn submit<'a>(&'a self, flags: &[&'a str], script: &'a str) -> Vec<&'a str> {
        let first = ["submit", "--slurm", "--container-runtime=podman", "-m=50m"];
        let last = [self.engines.base.as_str(), "sh", "-c", script];
        [&first, flags, &last].concat()
    }

    fn slurm(&self, program: &str, args: &[&str]) -> String {
        let ran = Ran::of(Command::new(self.slurm.join(program)).args(args));
        format!("{}{}", ran.stdout, ran.stderr)
    }

    fn record(&self, id: &str) -> RunRecord {
        RunRecord::load(&self.project.path(&format!("mlbuild.runs/{id}.toml"))).unwrap()
    }

    fn folder(&self, run: &str) -> PathBuf {
        self.project.home().join(".mlbuild/slurm").join(run)
    }

    /// Starts a detached run, and waits until it has printed this.
    fn detached(&self, run: &str, script: &str, printed: &str) -> String {
        let id = format!("--run-id={run}");
        let job = self
            .run(&self.submit(&["-d", &id], script))
            .answer()
            .to_owned();
        self.prints(run, printed);
        job
    }

    fn prints(&self, run: &str, printed: &str) {
        wait::until(&format!("{run} prints {printed}"), || {
            let text = std::fs::read_to_string(self.folder(run).join("output"));
            text.is_ok_and(|text| text.contains(printed))
        });
    }

    fn podman(&self, args: &[&str]) -> String {
        Ran::of(Command::new(self.engines.podman.join("podman")).args(args)).stdout
    }
}

fn exit_within(child: &mut Child, seconds: u64) -> Option<i32> {
    for _ in 0..seconds * 10 {
        if let Some(status) = child.try_wait().unwrap() {
            return status.code();
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    let _ = child.kill();
    panic!("it doesn't end");
}

#[test]
fn a_run_is_a_job_with_its_values_output_code_and_record() {
    let _alive = CONTROLLER.read().unwrap();
    let setting = Setting::new();
    let values = ["a b,c", "it's \"so\" $HOME %j", "two\nlines\n#SBATCH -w x"];
    let variables: Vec<String> = values
        .iter()
        .enumerate()
        .map(|(at, value)| format!("--env=V{at}={value}"))
        .collect();
    let script = "printf '%s|' \"$V0\" \"$V1\" \"$V2\" \"$API_TOKEN\"; echo $MLBUILD_RUN_ID $SLURM_JOB_ID; echo err >&2; exit 7";
    let mut flags = vec!["--run-id=exp-1", "--env=API_TOKEN=s3cr3t-value-of-the-test"];
    flags.extend(variables.iter().map(String::as_str));
    let ran = setting.run(&setting.submit(&flags, script));
    assert_eq!(ran.code, Some(7), "{}", ran.stderr);
    let job = setting.record("exp-1").slurm.unwrap().job.unwrap();
    let wanted = format!(
        "{}|s3cr3t-value-of-the-test|exp-1 {job}\n",
        values.join("|")
    );
    assert!(ran.stdout.contains(&wanted), "{}", ran.stdout);
    assert!(ran.stdout.contains("err\n"), "{}", ran.stdout);

    // The secret is in one file of the folder, which nobody else may read, and not in Slurm's own.
    use std::os::unix::fs::PermissionsExt as _;
    let mut holders = Vec::new();
    for file in std::fs::read_dir(setting.folder("exp-1")).unwrap() {
        let file = file.unwrap();
        let mode = file.metadata().unwrap().permissions().mode();
        assert_eq!(mode & 0o077, 0, "{:?}", file.path());
        if std::fs::read_to_string(file.path())
            .unwrap()
            .contains("s3cr3t")
        {
            holders.push(file.file_name());
        }
    }
    holders.retain(|name| name != "output");
    assert_eq!(holders, ["variables"]);
    assert!(
        !setting
            .slurm("scontrol", &["show", "job", &job.to_string()])
            .contains("s3cr3t")
    );

    let record = setting.record("exp-1");
    assert_eq!((record.version, record.status()), (5, RunStatus::Finished));
    assert_eq!(record.outcome.unwrap().exit_code, Some(7));
    assert_eq!(record.slurm.unwrap().cluster, "mlb");
    let text = setting.project.read("mlbuild.runs/exp-1.toml");
    assert!(!text.contains("s3cr3t"), "{text}");
    is_found(&setting, &ran, job);
}

/// By its run's id, and by its number where that is said to be Slurm's.
fn is_found(setting: &Setting, ran: &Ran, job: u64) {
    // The same run is taken, and is told before Slurm is.
    let again = setting.run(&setting.submit(&["--run-id=exp-1"], "exit 0"));
    assert!(again.refusal(2).contains("exp-1"), "{}", again.stderr);
    assert_eq!(
        setting.run(&["logs", "exp-1"]).answer(),
        ran.stdout.trim_end()
    );
    assert_eq!(setting.run(&["logs", "-f", "exp-1"]).code, Some(7));
    let number = job.to_string();
    let shown = setting
        .run(&["jobs", "show", "--slurm", &number, "--format=json"])
        .json();
    assert_eq!(
        (shown["run_id"].as_str(), shown["exit_code"].as_i64()),
        (Some("exp-1"), Some(7))
    );
    let listed = setting
        .run(&["jobs", "list", "--kind=slurm", "--format=json"])
        .json();
    let mut jobs = listed["jobs"].as_array().unwrap().iter();
    assert!(
        jobs.any(|job| job["run_id"] == "exp-1" && job["state"] == "failed"),
        "{listed}"
    );
    let restored = setting.run(&["restore", "exp-1", "--no-code", "--no-shell"]);
    let line = restored.answer();
    assert!(
        line.contains("mlbuild submit --slurm --container-runtime=podman"),
        "{line}"
    );
}

#[test]
fn a_job_is_cancelled_and_its_container_with_it() {
    let _alive = CONTROLLER.read().unwrap();
    let setting = Setting::new();
    // One that says good-bye, and one that doesn't hear.
    let polite = "trap 'echo bye; exit 9' TERM; echo up; sleep 100 & wait";
    let words = setting.submit(&["--run-id=c-1"], polite);
    let mut child = setting
        .command(&words)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    setting.prints("c-1", "up");
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    assert_eq!(exit_within(&mut child, 20), Some(130));
    assert_eq!(setting.record("c-1").outcome.unwrap().exit_code, Some(130));
    setting.prints("c-1", "bye");

    let job = setting.detached("c-2", "trap '' TERM; echo up; sleep 100; sleep 100", "up");
    let beside = setting.run(&[
        "bash",
        "c-2",
        "--",
        "sh",
        "-c",
        "echo $MLBUILD_RUN_ID; exit 5",
    ]);
    assert_eq!(
        (beside.code, beside.stdout.trim()),
        (Some(5), "c-2"),
        "{}",
        beside.stderr
    );
    setting.run(&["jobs", "cancel", "c-2"]).answer();
    let name = format!("mlbuild-{job}-0");
    wait::until("the container is gone", || {
        !setting.podman(&["ps", "-a"]).contains(&name)
    });
    wait::until("the job is over", || {
        setting
            .slurm("squeue", &["-h", "-t", "all", "-j", &job, "-o", "%T"])
            .trim()
            == "CANCELLED"
    });
    let over = setting.run(&["jobs", "cancel", "--slurm", &job]);
    assert_eq!(over.code, Some(2), "{}", over.stderr);
}

#[test]
fn an_answer_of_sbatch_that_is_lost_makes_no_second_job() {
    let _alive = CONTROLLER.read().unwrap();
    let setting = Setting::new();
    // The real one is called, and nobody hears what it says.
    let folder = setting.project.outside().join("bin");
    std::fs::create_dir(&folder).unwrap();
    let real = setting.slurm.join("sbatch");
    let text = format!(
        "#!/bin/sh\n{} \"$@\" > /dev/null || exit\n[ \"$1\" = --version ] && exec {} --version\n\
         echo 'sbatch: error: Batch job submission failed: Socket timed out on send/recv operation' >&2\nexit 1\n",
        real.display(),
        real.display()
    );
    std::fs::write(folder.join("sbatch"), text).unwrap();
    use std::os::unix::fs::PermissionsExt as _;
    std::fs::set_permissions(
        folder.join("sbatch"),
        std::fs::Permissions::from_mode(0o755),
    )
    .unwrap();
    let words = setting.submit(&["--run-id=lost-1"], "exit 3");
    let mut command = setting.command(&words);
    command.env("PATH", setting.path(&format!("{}:", folder.display())));
    let ran = Ran::of(&mut command);
    assert_eq!(ran.code, Some(3), "{}", ran.stderr);
    let listed = setting.slurm("squeue", &["-h", "-t", "all", "-o", "%k"]);
    assert_eq!(
        listed
            .lines()
            .filter(|line| *line == "mlbuild:lost-1")
            .count(),
        1
    );
}

#[test]
fn what_slurm_refuses_leaves_no_job_and_no_folder() {
    let _alive = CONTROLLER.read().unwrap();
    let setting = Setting::new();
    let ran = setting.run(&setting.submit(&["--run-id=no-1", "--partition=nowhere"], "exit 0"));
    assert!(
        ran.refusal(2).contains("nvalid partition"),
        "{}",
        ran.stderr
    );
    assert!(!setting.folder("no-1").exists());
}

#[test]
fn a_login_node_is_reached_by_ssh_only_where_the_person_says_so() {
    let _alive = CONTROLLER.read().unwrap();
    let setting = Setting::new();
    // The nodes' PATH is the login's.
    let force = format!(
        "ForceCommand PATH={}:{}:$PATH sh -c \"$SSH_ORIGINAL_COMMAND\"",
        setting.slurm.display(),
        setting.engines.podman.display()
    );
    let sshd = Sshd::start(&setting.engines, "unix:///nowhere", &force);
    let root = setting.project.outside().join("jobs");
    let (login, folder) = (
        format!("--ssh=ssh://root@127.0.0.1:{}", sshd.port),
        format!("--job-folder={}", root.display()),
    );
    let script = "echo \"$A\"; exit 4";
    let words = setting.submit(
        &["--run-id=ssh-1", &login, &folder, "--env=A=it's\n$x"],
        script,
    );
    let path = std::env::var("PATH").unwrap();
    let path = format!("{}:{path}", sshd.dir.path().join("bin").display());
    let ran = Ran::of(setting.project.command(&words).env("PATH", &path));
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    assert!(ran.stdout.contains("it's\n$x\n"), "{}", ran.stdout);
    // The record names the node, and leads nobody there.
    let ran = Ran::of(
        setting
            .project
            .command(["logs", "ssh-1"])
            .env("PATH", &path),
    );
    assert!(ran.refusal(3).contains("--ssh"), "{}", ran.stderr);
    let ran = Ran::of(
        setting
            .project
            .command(["logs", "ssh-1", &login, &folder])
            .env("PATH", &path),
    );
    assert!(ran.answer().contains("it's"), "{}", ran.stdout);
}
