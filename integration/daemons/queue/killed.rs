//! What a killed agent leaves on its machine: its name, its jobs, and containers that were to go.

use std::process::Stdio;

use super::{Agent, Setting};
use crate::proxy::{Death, Proxy};
use crate::support::mlbuild::Ran;
use crate::support::wait;

/// Long after the end of any of these tests.
const LEASE: &str = "600";

#[test]
fn a_killed_agents_name_and_jobs_are_free_at_once_on_its_machine() {
    let setting = Setting::sqlite();
    setting.run(&["queue", "create", "q"]).answer();
    let id = setting.launch(&[], "sleep 4; echo whole");
    let args = ["--name", "mine", "--lease", LEASE];
    let mut agent = Agent::start(&setting, &args);
    setting.wait_for_container(&id);
    // As long as it lives the name is its own.
    let twin = setting.run(&[&["agent", "-q", "q"], &args[..]].concat());
    let told = twin.refusal(2);
    assert!(told.contains("an agent `mine` is at work on"), "{told}");
    agent.0.kill().unwrap();
    agent.0.wait().unwrap();
    let next = setting.run(&[&["agent", "-q", "q", "--exit-when-idle"], &args[..]].concat());
    assert_eq!(next.code, Some(0), "{}", next.stderr);
    assert!(next.stderr.contains("taken over"), "{}", next.stderr);
    let job = setting.job(&id);
    assert_eq!(
        (&job["state"], &job["attempt"]),
        (&"succeeded".into(), &1.into())
    );
}

#[test]
fn what_was_to_go_after_a_job_goes_with_the_next_agent() {
    let setting = Setting::sqlite();
    setting.run(&["queue", "create", "q"]).answer();
    let id = setting.launch(&[], "true");
    setting.drain(&[]);
    setting.wait_for(&id, "succeeded");
    let store = setting.open().id().unwrap();
    // As an agent leaves it that is killed between the job's end and the removal.
    let left = |more: &str| {
        let labels = [
            format!("mlbuild.job={id}"),
            format!("mlbuild.store={store}"),
            "mlbuild.epoch=1".to_owned(),
            more.to_owned(),
        ];
        let mut words = vec!["run", "-d", "--network", "none"];
        for label in &labels {
            words.extend(["--label", label]);
        }
        words.extend([setting.engines.base.as_str(), "true"]);
        setting.docker(&words)
    };
    let (to_go, to_stay) = (left("mlbuild.remove="), left("other="));
    let all = || setting.docker(&["ps", "-aq", "--no-trunc", "--filter", "status=exited"]);
    wait::until("both have ended", || {
        all().contains(&to_go) && all().contains(&to_stay)
    });
    setting.drain(&[]);
    let here = all();
    assert!(!here.contains(&to_go) && here.contains(&to_stay), "{here}");
}

#[test]
fn a_database_that_drops_while_an_agent_starts_is_asked_again() {
    let setting = Setting::postgres();
    setting.run(&["queue", "create", "q"]).answer();
    let (head, database) = setting.store.rsplit_once('/').unwrap();
    let (credentials, server) = head.rsplit_once('@').unwrap();
    let start = |after: u64| {
        let proxy = Proxy::to(server, Death::HangsUp, after);
        let mut command = setting.command(&["agent", "-q", "q", "--exit-when-idle"]);
        let store = format!("{credentials}@{}/{database}", proxy.address);
        command
            .env("MLBUILD_QUEUE_STORE", store)
            .stdin(Stdio::null());
        Ran::of(&mut command)
    };
    let (mut refused, mut asked_again) = (0, 0);
    for after in (0..24).map(|n| n * 250) {
        let ran = start(after);
        match ran.code {
            Some(0) => asked_again += u64::from(ran.stderr.contains("it is asked again until")),
            // It never had a connection.
            Some(3) if after <= 1000 => refused += 1,
            _ => panic!("{after}: {ran:?}"),
        }
    }
    assert!(asked_again >= 3, "{asked_again}, {refused} refused");
}
