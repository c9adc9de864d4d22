//! Jobs as a person sees them, in containers of a real Docker.

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use super::{Agent, Setting};
use crate::support::wait;

const CONFIG: &str = r#"{"env": ["A=queue", "B=queue", "PASSED_ON", "RUN=${run_name}"], "rm": true, "init": true,
    "volume": "/tmp:/mnt:ro"}"#;

#[test]
fn a_job_runs_and_is_recorded() {
    for (name, setting) in Setting::both() {
        setting.project.write("queue.json", CONFIG);
        setting
            .run(&["queue", "create", "q", "--config", "queue.json"])
            .answer();
        let script =
            "echo $A $B $PASSED_ON; echo $MLBUILD_RUN_ID; cat /proc/1/comm; ls -d /mnt; echo $RUN";
        let id = setting.launch(&["--set", "env=A=job"], script);
        assert_eq!(setting.job(&id)["state"], "queued");
        let mut agent = setting.command(&["agent", "-q", "q", "--exit-when-idle", "--lease", "2"]);
        let ran = crate::support::mlbuild::Ran::of(agent.env("PASSED_ON", "agents"));
        assert_eq!(ran.code, Some(0), "{name}: {}", ran.stderr);
        let job = setting.job(&id);
        assert_eq!(
            (&job["state"], &job["exit_code"]),
            (&"succeeded".into(), &0.into()),
            "{name}: {job:#}"
        );
        // Its container is gone, as `rm` says; the end of its output isn't.
        assert!(setting.containers().is_empty(), "{name}");
        let log = setting.run(&["jobs", "logs", &id]);
        let lines: Vec<&str> = log.answer().lines().collect();
        assert_eq!(lines[0], "job queue agents", "{name}");
        assert_eq!(lines[1], id, "{name}");
        assert!(lines[2].contains("init"), "{name}: {lines:?}");
        assert_eq!(lines[3], "/mnt", "{name}");
        assert_eq!(lines[4], id, "{name}");
        // The run has a record, by digest.
        let run = setting
            .run(&["runs", "show", &id, "--format", "json"])
            .json();
        let shown = run.to_string();
        assert!(
            shown.contains("sha256:") && shown.contains("\"exit_code\":0"),
            "{name}: {run:#}"
        );
        assert!(
            job["image"].as_str().unwrap().contains("@sha256:"),
            "{name}"
        );
        assert!(
            !shown.contains("A=job"),
            "{name}: values of variables aren't recorded"
        );
        let list = setting.run(&["jobs", "list", "--state", "succeeded"]);
        assert!(list.answer().contains(&id), "{name}");
    }
}

#[test]
fn what_fails_is_tried_again_and_says_why() {
    let setting = Setting::sqlite();
    setting.run(&["queue", "create", "q"]).answer();
    let fails = setting.launch(&["--retries", "1"], "echo out; echo err >&2; exit 7");
    let missing = format!("{}/no/such:v1", setting.engines.registry);
    let pull = setting
        .run(&["launch", "-q", "q", "--image", &missing])
        .answer()
        .to_owned();
    let base = &setting.engines.base;
    let program = setting.run(&["launch", "-q", "q", "--image", base, "--", "/no/such"]);
    let program = program.answer().to_owned();
    let memory = setting.launch(&["--set", "memory=1k"], "true");
    setting.drain(&["--max-jobs", "4"]);
    let job = setting.job(&fails);
    assert_eq!(
        (&job["state"], &job["exit_code"], &job["attempt"]),
        (&"failed".into(), &7.into(), &2.into())
    );
    assert_eq!(job["attempts"].as_array().unwrap().len(), 2);
    assert_eq!(job["run_id"], format!("{fails}-2"));
    assert_eq!(setting.run(&["jobs", "logs", &fails]).stderr, "err\n");
    assert_eq!(setting.run(&["jobs", "logs", &fails]).answer(), "out");
    let why = |id: &str| {
        let job = setting.job(id);
        assert_eq!(job["state"], "failed");
        job["error"].as_str().unwrap().to_owned()
    };
    assert!(why(&pull).contains("docker can't pull"), "{}", why(&pull));
    assert!(why(&program).contains("/no/such"), "{}", why(&program));
    assert!(
        why(&memory).contains("docker create: Minimum memory limit"),
        "{}",
        why(&memory)
    );
    // A try by hand.
    setting.run(&["jobs", "retry", &fails]).answer();
    assert_eq!(setting.job(&fails)["state"], "queued");
    setting.run(&["jobs", "cancel", &fails]).answer();
    assert_eq!(setting.job(&fails)["state"], "cancelled");
}

#[test]
fn a_cancelled_jobs_container_is_stopped_at_once() {
    for (name, setting) in Setting::both() {
        setting.run(&["queue", "create", "q"]).answer();
        let id = setting.launch(&["--set", "init"], "echo begun; sleep 600");
        let _agent = Agent::start(&setting, &[]);
        let job = setting.wait_for_container(&id);
        setting.run(&["jobs", "cancel", &id]).answer();
        let ended = setting.wait_for(&id, "cancelled");
        // It was asked to end, and not killed because it didn't.
        assert_eq!(ended["exit_code"], 128 + 15, "{name}: {ended:#}");
        assert_eq!(ended["attempts"].as_array().unwrap().len(), 1);
        let running = setting.docker(&["ps", "-q", "--no-trunc"]);
        assert!(
            !running.contains(job["container"].as_str().unwrap()),
            "{name}"
        );
    }
}

#[test]
fn an_agent_that_ends_leaves_its_containers_to_the_next() {
    let setting = Setting::sqlite();
    setting.run(&["queue", "create", "q"]).answer();
    let gate = setting.project.outside().join("gate");
    std::fs::create_dir(&gate).unwrap();
    let volume = format!("volume={}:/gate", gate.display());
    let script = "until test -e /gate/go; do sleep 0.1; done; echo whole";
    let id = setting.launch(&["--set", "rm", "--set", &volume], script);
    let mut agent = Agent::start(&setting, &[]);
    let first = setting.wait_for_container(&id);
    let pid = rustix::process::Pid::from_child(&agent.0);
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert_eq!(agent.0.wait().unwrap().code(), Some(0));
    let mut next = setting.command(&["agent", "-q", "q", "--exit-when-idle", "--lease", "2"]);
    let mut next = next.stderr(Stdio::piped()).spawn().unwrap();
    let told = BufReader::new(next.stderr.take().unwrap()).lines();
    for line in told.map(Result::unwrap) {
        if line.contains("taken over") {
            std::fs::write(gate.join("go"), "").unwrap();
        }
    }
    assert_eq!(next.wait().unwrap().code(), Some(0));
    let job = setting.job(&id);
    assert_eq!(
        (&job["state"], &job["attempt"], &job["container"]),
        (&"succeeded".into(), &1.into(), &first["container"])
    );
    assert_ne!(job["agent"], first["agent"]);
    assert_eq!(setting.run(&["jobs", "logs", &id]).answer(), "whole");
    assert!(setting.containers().is_empty(), "`rm` is still known");
}

#[test]
fn what_a_person_gets_wrong() {
    let setting = Setting::sqlite();
    let base = setting.engines.base.clone();
    let refused = |args: &[&str], code: i32| {
        let ran = setting.run(args);
        setting.project.filtered(ran.refusal(code))
    };
    insta::assert_snapshot!(refused(&["agent"], 2), @r"
    error: no queue is named
      hint: mlbuild agent -q NAME; mlbuild queue list shows them
    ");
    insta::assert_snapshot!(refused(&["agent", "-q", "q"], 2), @r"
    error: there is no queue `q`
      hint: mlbuild queue create q
    ");
    insta::assert_snapshot!(refused(&["launch", "-q", "gpu", "--image", "img"], 2), @r"
    error: there is no queue `gpu`
      hint: mlbuild queue create gpu
    ");
    setting
        .project
        .write("wandb.json", r#"{"env": ["A=1"], "cpus": "{{cpus}}"}"#);
    let template = refused(&["queue", "create", "w", "--config", "wandb.json"], 2);
    assert!(
        template.contains("wandb.json:1:") && template.contains("`{{cpus}}` is described nowhere"),
        "{template}"
    );
    setting.run(&["queue", "create", "q"]).answer();
    insta::assert_snapshot!(refused(&["queue", "create", "q"], 2), @r"
    error: there is a queue `q` already
      hint: mlbuild queue create q --replace gives it this configuration
    ");
    insta::assert_snapshot!(refused(&["launch", "-q", "qq", "--image", "img"], 2), @r"
    error: there is no queue `qq`
      hint: did you mean `q`?
    ");
    insta::assert_snapshot!(refused(&["launch", "-q", "q", "--image", &base, "--set", "shm=1g"], 2), @r"
    error: --set shm=1g: unknown option `shm`
      hint: did you mean `rm`?
    ");
    insta::assert_snapshot!(refused(&["launch", "-q", "q", "--image", &base, "--", "x", "hf_0123456789abcdef0123456789"], 2), @r"
    error: word 2 of the command holds what looks like a secret
      hint: everybody who sees the queue sees it; use a variable: --set env=NAME, set where the agent runs
    ");
    insta::assert_snapshot!(refused(&["launch", "-q", "q", "--image", &base, "--set", "env=HF_TOKEN=hunter2"], 2), @"error: --set `env`: HF_TOKEN holds what looks like a secret; write the name alone, `HF_TOKEN`, and its value is taken from the agent's environment");
    let alone = Agent::start(&setting, &["--name", "alone"]);
    let twin = ["agent", "-q", "q", "--name", "alone", "--exit-when-idle"];
    wait::until("an agent of this name", || {
        let file = rusqlite::Connection::open(&setting.store).unwrap();
        let sql = "SELECT count(*) FROM agents WHERE name = 'alone'";
        let count = file.query_row(sql, [], |row| row.get::<_, i64>(0));
        count.unwrap() > 0
    });
    let said = refused(&twin, 2);
    assert!(said.contains("an agent `alone` is at work on "), "{said}");
    drop(alone);
    insta::assert_snapshot!(refused(&["launch", "-q", "q", "--git", "https://git.example/x"], 2), @r"
    error: --git https://git.example/x: not a repository with a revision
      hint: write --git https://git.example/me/project@main
    ");
    insta::assert_snapshot!(refused(&["launch", "-q", "q", "--git", "https://me:word@git.example/x@main"], 2), @r"
    error: --git: the address holds a password, and everybody sees the queue
      hint: leave it out: the agent's git has its own log-ins
    ");
    insta::assert_snapshot!(refused(&["launch", "-q", "q", "--job", "nowhere"], 2), @"error: --job nowhere: No such file or directory (os error 2)");
    insta::assert_snapshot!(refused(&["jobs", "show", "x"], 2), @r"
    error: no job `x`
      hint: mlbuild jobs list
    ");
    insta::assert_snapshot!(refused(&["queue", "list", "--store", "postgres://me:word@db/x"], 2), @r"
    error: --store: everybody on this machine can read a password on a command line
      hint: put the address into MLBUILD_QUEUE_STORE, or the password into PGPASSWORD
    ");
    insta::assert_snapshot!(refused(&["queue", "list", "--store", "postgres://me@127.0.0.1:1/x"], 3), @"error: the store in PostgreSQL: error connecting to server: Connection refused (os error 111)");
    setting.project.write(
        "text",
        "this is no database, and it is longer than its header",
    );
    insta::assert_snapshot!(refused(&["queue", "list", "--store", "text"], 2), @"error: text: not a store of queues");
    setting
        .project
        .write("launch.yaml", "queue:\n - q\nmax_job: 3\n");
    insta::assert_snapshot!(refused(&["agent", "--config", "launch.yaml"], 2), @r"
    error: launch.yaml: unknown key `max_job`
      hint: did you mean `max_jobs`?
    ");
}

/// The key of the tracker on the agent's machine goes to the jobs of queues that name it.
#[test]
fn the_trackers_key_goes_where_it_is_named() {
    for (config, script, is_told) in [
        ("{}", "test -z \"$WANDB_API_KEY\"", true),
        (
            "env: [WANDB_API_KEY]",
            "test \"$WANDB_API_KEY\" = planted-in-netrc",
            false,
        ),
    ] {
        let setting = Setting::sqlite();
        let netrc = "machine api.wandb.ai login user password planted-in-netrc\n";
        setting.project.write("../home/.netrc", netrc);
        setting.project.write("queue.yaml", config);
        let create = ["queue", "create", "q", "--config", "queue.yaml"];
        setting.run(&create).answer();
        let id = setting.launch(&[], script);
        let told = setting.drain(&[]).stderr;
        assert_eq!(
            setting.job(&id)["state"],
            "succeeded",
            "{}",
            setting.job(&id)
        );
        let words =
            "doesn't get this machine's WANDB_API_KEY; to hand it on, write `env: [WANDB_API_KEY]`";
        assert_eq!(told.contains(words), is_told, "{told}");
        assert!(!told.contains("planted"), "{told}");
    }
}

/// Whoever may launch gets nothing of the agent's machine that its policy doesn't name.
#[test]
fn a_launcher_gets_nothing_of_the_agents_machine() {
    let setting = Setting::sqlite();
    setting.run(&["queue", "create", "q"]).answer();
    let mark = setting.project.outside().join("mark");
    let script = format!("touch {}", mark.display());
    let jobs: Vec<(String, &str)> = [
        ("privileged", "policy.options: [privileged]"),
        ("volume=/etc:/host", "policy.mounts: [\"/etc\"]"),
        ("pid=host", "policy.options: [\"pid=host\"]"),
        ("env=PGPASSWORD", "policy.env: [PGPASSWORD]"),
        ("device=/dev/fuse", "policy.options: [\"device=/dev/fuse\"]"),
    ]
    .map(|(set, rule)| (setting.launch(&["--set", set], &script), rule))
    .into();
    let folder = setting.project.outside().display().to_string();
    let mounted = format!("volume={folder}:{folder}");
    let passes = setting.launch(&["--set", &mounted], &script);
    setting.drain(&[]);
    for (id, rule) in jobs {
        let job = setting.job(&id);
        let why = job["error"].as_str().unwrap_or_default();
        assert_eq!(job["state"], "failed", "{job}");
        assert!(
            why.contains(rule) && why.contains("launch-config.yaml"),
            "{why}"
        );
        println!("{why}");
    }
    assert_eq!(setting.job(&passes)["state"], "succeeded");
    assert!(mark.exists(), "what the policy names is mounted");
}
