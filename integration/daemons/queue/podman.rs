//! Agents that start containers with Debian's Podman, which has no daemon.

use super::{Agent, Setting};
use crate::support::mlbuild::Project;
use crate::support::wait;

#[test]
fn jobs_run_end_and_are_written_down() {
    let setting = Setting::podman();
    setting.run(&["queue", "create", "q"]).answer();
    let failed = setting.launch(&[], "echo $MLBUILD_RUN_ID; echo oops >&2; exit 5");
    let gone = setting.launch(&["--set", "rm"], "echo short");
    let base = setting.engines.base.clone();
    let missing = [
        "launch",
        "-q",
        "q",
        "--image",
        &base,
        "--",
        "no-such-program",
    ];
    let missing = setting.run(&missing).answer().to_owned();
    let code = Project::new(&[("train.py", "")]);
    let folder = code.path("").to_string_lossy().into_owned();
    let built = ["launch", "-q", "q", "--job", &folder, "--", "true"];
    let built = setting.run(&built).answer().to_owned();
    let agent = setting.drain(&["--max-jobs", "4"]);

    let job = setting.job(&failed);
    assert_eq!(
        (&job["state"], &job["exit_code"]),
        (&"failed".into(), &5.into()),
        "{}",
        agent.stderr
    );
    let logs = setting.run(&["jobs", "logs", &failed]);
    assert_eq!(
        (logs.answer(), logs.stderr.as_str()),
        (failed.as_str(), "oops\n")
    );
    let run = setting
        .run(&["runs", "show", &failed, "--format", "json"])
        .json();
    assert_eq!(run["command"]["program"], "podman");
    assert_eq!(run["outcome"]["exit_code"], 5);
    assert!(job["image"].as_str().unwrap().contains("@sha256:"), "{job}");

    assert_eq!(setting.job(&gone)["state"], "succeeded");
    assert_eq!(setting.run(&["jobs", "logs", &gone]).answer(), "short");
    let label = format!("label=mlbuild.job={gone}");
    assert_eq!(setting.docker(&["ps", "-aq", "--filter", &label]), "");

    let job = setting.job(&missing);
    let why = job["error"].as_str().unwrap();
    assert!(
        why.contains("the container can't be started") && why.contains("no-such-program"),
        "{why}"
    );
    let job = setting.job(&built);
    let why = job["error"].as_str().unwrap();
    assert!(
        why.contains("Podman, whose store no build writes to"),
        "{why}"
    );
}

#[test]
fn a_container_goes_on_without_its_agent_and_is_stopped_on_demand() {
    let setting = Setting::podman();
    setting.run(&["queue", "create", "q"]).answer();
    let agent = Agent::start(&setting, &["--lease", "1", "--max-jobs", "2"]);
    let script = "trap 'exit 4' TERM; until [ -e /tmp/go ]; do sleep 0.1; done; exit 3";
    let (ends, stops) = (setting.launch(&[], script), setting.launch(&[], script));
    let container = |id| {
        let job = setting.wait_for_container(id);
        job["container"].as_str().unwrap().to_owned()
    };
    let (first, second) = (container(&ends), container(&stops));
    // Killed.
    drop(agent);
    setting.docker(&["exec", &first, "touch", "/tmp/go"]);
    let _agent = Agent::start(&setting, &["--lease", "1", "--max-jobs", "2"]);
    let job = setting.wait_for(&ends, "failed");
    assert_eq!(
        (&job["exit_code"], &job["attempt"]),
        (&3.into(), &1.into()),
        "{job:#}"
    );
    setting.run(&["jobs", "cancel", &stops]).answer();
    let job = setting.wait_for(&stops, "cancelled");
    assert_eq!(job["exit_code"], 4, "{job:#}");
    wait::until("it is stopped", || {
        !setting
            .docker(&["ps", "-q", "--no-trunc"])
            .contains(&second)
    });
}

#[test]
fn nerdctl_is_refused() {
    let setting = Setting::podman();
    let ran = setting.run(&["agent", "-q", "q", "--runtime-cli", "nerdctl"]);
    assert!(
        ran.refusal(2).contains("write docker or podman"),
        "{}",
        ran.stderr
    );
}
