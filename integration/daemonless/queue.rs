//! `mlbuild queue render`, and queues as far as no daemon is asked.

use crate::support::mlbuild::Project;

const TUTORIAL: &str = r#"{
  "env": ["MY_ENV_VAR=value", "MY_EXISTING_ENV_VAR"],
  "volume": "/mnt/datasets:/mnt/datasets",
  "rm": true,
  "gpus": "all"
}
"#;

#[test]
fn the_tutorials_configuration_becomes_a_command_with_the_image_last() {
    let project = Project::new(&[("q.json", TUTORIAL)]);
    let words = [
        "queue", "render", "q.json", "--image", "img:1", "--format", "json", "--", "python",
        "train.py", "--rm",
    ];
    let json = project.run(words).json();
    let argv: Vec<&str> = json["argv"]
        .as_array()
        .unwrap()
        .iter()
        .map(|w| w.as_str().unwrap())
        .collect();
    insta::assert_snapshot!(argv.join("\n"), @r"
    docker
    run
    --env=MY_ENV_VAR=value
    --env=MY_EXISTING_ENV_VAR
    --volume=/mnt/datasets:/mnt/datasets
    --rm
    --gpus=all
    img:1
    python
    train.py
    --rm
    ");
    let keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
    assert_eq!(keys, ["argv"]);
}

#[test]
fn a_jobs_overrides_stand_over_the_queue() {
    let project = Project::new(&[(
        "q.yaml",
        "shm-size: 1g\nenv:\n  - A=queue\n  - B=queue\nprivileged: true\n",
    )]);
    let words = [
        "queue",
        "render",
        "q.yaml",
        "--image",
        "img",
        "--set",
        "env=A=job",
        "--set",
        "privileged=false",
    ];
    insta::assert_snapshot!(project.run(words).answer(), @"docker run --shm-size=1g --env=B=queue --env=A=job --privileged=false img");
}

#[test]
fn mistakes_are_named_with_their_place() {
    let project = Project::new(&[
        (
            "unknown.json",
            "{\n  \"rm\": true,\n  \"shm_size\": \"1g\"\n}",
        ),
        ("broken.json", "{\n  \"rm\": true,\n"),
        ("value.yaml", "rm: true\nvolume:\n- /a:/a\n- b:c\n"),
        ("secret.yaml", "env:\n- A=1\n- HF_TOKEN=hunter2\n"),
    ]);
    let refused = |file: &str| {
        let ran = project.run(["queue", "render", file, "--image", "img"]);
        assert!(!ran.stderr.contains("hunter2"));
        ran.refusal(2).to_owned()
    };
    insta::assert_snapshot!(refused("unknown.json"), @r"
    error: unknown.json:3:12: unknown option `shm_size`
      hint: did you mean `shm-size`?
    ");
    insta::assert_snapshot!(refused("broken.json"), @"error: broken.json:3:1: EOF while parsing a value");
    insta::assert_snapshot!(refused("value.yaml"), @r#"error: value.yaml:4:3: volume "b:c": the path in the container, `c`, must begin with /"#);
    insta::assert_snapshot!(refused("secret.yaml"), @"error: secret.yaml:2:3: `env`: HF_TOKEN holds what looks like a secret; write the name alone, `HF_TOKEN`, and its value is taken from the agent's environment");
    insta::assert_snapshot!(refused("nowhere.json"), @"error: nowhere.json: No such file or directory (os error 2)");
    // And none of it gets into a store.
    let ran = project.run(["queue", "create", "q", "--config", "secret.yaml"]);
    ran.refusal(2);
    assert_eq!(
        project.run(["queue", "list", "--format", "json"]).json()["queues"],
        serde_json::json!([])
    );
}

#[test]
fn queues_are_made_shown_and_removed() {
    let project = Project::new(&[("q.json", TUTORIAL)]);
    project
        .run(["queue", "create", "gpu", "--config", "q.json"])
        .answer();
    project.run(["queue", "create", "cpu"]).answer();
    assert_eq!(
        project.run(["queue", "show", "gpu"]).answer(),
        TUTORIAL.trim_end()
    );
    project.run(["queue", "pause", "cpu"]).answer();
    let id = project.run(["launch", "-q", "cpu", "--image", "img", "--", "train"]);
    assert!(id.stderr.contains("paused"), "{}", id.stderr);
    insta::assert_snapshot!(project.run(["queue", "list"]).answer(), @r"
    QUEUE  WAITING  RUNNING
    cpu    1        0        paused
    gpu    0        0
    ");
    insta::assert_snapshot!(project.run(["queue", "delete", "cpu"]).refusal(2), @r"
    error: jobs wait in `cpu`: 1
      hint: mlbuild queue delete cpu --cancel-jobs cancels them
    ");
    insta::assert_snapshot!(project.run(["queue", "delete", "cpu", "--cancel-jobs"]).stderr, @"jobs cancelled: 1");
    let job = project
        .run(["jobs", "show", id.answer(), "--format", "json"])
        .json();
    assert_eq!(
        (&job["state"], &job["error"]),
        (&"cancelled".into(), &"its queue was deleted".into())
    );
    insta::assert_snapshot!(project.run(["queue", "show", "gpus"]).refusal(2), @r"
    error: there is no queue `gpus`
      hint: did you mean `gpu`?
    ");
}

#[test]
fn a_sweep_is_a_job_for_each_run_or_none() {
    let sweep = "program: train.py\nmethod: grid\nmetric: {name: loss}\nparameters:\n  lr: {values: [0.1, 0.01]}\n  epochs: {value: 3}\n";
    let project = Project::new(&[("sweep.yaml", sweep), ("bayes.yaml", "method: bayes\n")]);
    project.run(["queue", "create", "gpu"]).answer();
    let launch = ["launch", "-q", "gpu", "--image", "img", "--sweep"];
    let launched = project.run(launch.iter().chain(&["sweep.yaml"]));
    assert!(
        launched.stderr.contains("`metric` means nothing here"),
        "{}",
        launched.stderr
    );
    let commands: Vec<String> = launched
        .answer()
        .lines()
        .map(|id| {
            let job = project.run(["jobs", "show", id, "--format", "json"]).json();
            job["command"].to_string()
        })
        .collect();
    insta::assert_snapshot!(commands.join("\n"), @r#"
    ["/usr/bin/env","python","train.py","--epochs=3","--lr=0.1"]
    ["/usr/bin/env","python","train.py","--epochs=3","--lr=0.01"]
    "#);
    let told = project
        .run(
            launch
                .iter()
                .chain(&["sweep.yaml", "--runs", "1", "--format", "json"]),
        )
        .json();
    assert_eq!(told["jobs"].as_array().map(Vec::len), Some(1));
    assert_eq!(told["jobs"][0]["parameters"]["lr"], 0.1);
    insta::assert_snapshot!(project.run(launch.iter().chain(&["bayes.yaml"])).refusal(2), @r"
    error: bayes.yaml: method: `bayes` chooses values by the results of runs before, which nobody here collects
      hint: write method: random, or leave the sweep to wandb agent
    ");
    let gone = project.run([
        "launch",
        "-q",
        "none",
        "--image",
        "img",
        "--sweep",
        "sweep.yaml",
    ]);
    gone.refusal(2);
    let jobs = project
        .run(["jobs", "list", "--kind", "queue", "--format", "json"])
        .json();
    assert_eq!(jobs["jobs"].as_array().map(Vec::len), Some(3), "{jobs}");
}
