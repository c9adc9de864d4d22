//! `mlbuild run` with Debian's Podman: the same line, the same exit codes, the same record.

use std::process::Command;

use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::RunStatus;

use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};

struct Setting {
    engines: Engines,
    project: Project,
}

impl Setting {
    fn new() -> Self {
        Self {
            engines: Engines::from_env(),
            project: Project::new(&[]),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let path = std::env::var("PATH").unwrap_or_default();
        let mut command = self.project.command(args);
        command
            .env("PATH", format!("{}:{path}", self.engines.podman.display()))
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock")
            .env_remove("DOCKER_CONFIG");
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        let words = [&["run", "--runtime-cli", "podman"], args].concat();
        Ran::of(&mut self.command(&words))
    }

    fn record(&self, id: &str) -> RunRecord {
        let name = format!("mlbuild.runs/{id}.toml");
        RunRecord::load(&self.project.path(&name)).unwrap()
    }
}

#[test]
fn it_is_started_by_digest_and_written_down() {
    let setting = Setting::new();
    let base = setting.engines.base.as_str();
    let script = "echo $MLBUILD_IMAGE $MLBUILD_RUN_ID; exit 5";
    let ran = setting.run(&["--rm", "--run-id=exp-1", base, "sh", "-c", script]);
    assert_eq!(ran.code, Some(5), "{}", ran.stderr);
    let name = base.rsplit_once(':').unwrap().0;
    let record = setting.record("exp-1");
    let digest = record.image.pinned().unwrap();
    assert_eq!(ran.stdout, format!("{name}@{digest} exp-1\n"));
    assert_eq!(record.command.unwrap().program.as_deref(), Some("podman"));
    let outcome = record.outcome.unwrap();
    assert_eq!(outcome.status, RunStatus::Finished);
    assert_eq!(outcome.exit_code, Some(5));

    // Found by itself where there is no Docker.
    let mut command = setting.command(&["run", "--rm", base, "no-such-program"]);
    assert_eq!(Ran::of(&mut command).code, Some(127));
    let missing = format!("{name}-not-there:v1");
    let ran = setting.run(&["--rm", &missing]);
    assert!(
        ran.refusal(125).contains("podman can't pull"),
        "{}",
        ran.stderr
    );

    let ran = setting.run(&["-d", "--run-id=exp-2", base, "sh", "-c", "exit 3"]);
    let id = ran.answer().to_owned();
    let podman = |args: &[&str]| {
        let mut podman = Command::new(setting.engines.podman.join("podman"));
        Ran::of(podman.env_remove("DOCKER_CONFIG").args(args))
            .answer()
            .to_owned()
    };
    assert_eq!(podman(&["wait", &id]), "3");
    assert_eq!(setting.record("exp-2").status(), RunStatus::Started);
    let shown = Ran::of(&mut setting.command(&["runs", "show", "exp-2"]));
    assert!(shown.answer().contains("exit 3"), "{}", shown.stdout);
    assert_eq!(setting.record("exp-2").status(), RunStatus::Finished);
    podman(&["rm", &id]);
}
