//! A run that `mlbuild submit` made, found and made again by its record alone.

use std::process::Command;

use serde_json::json;

use super::cluster::Cluster;
use crate::support::mlbuild::Ran;
use crate::support::read;
use crate::support::repository::Repository;

/// `mlbuild` with arguments, of somebody who uses another cluster where nothing is said.
fn command(cluster: &Cluster, args: &[&str]) -> Command {
    let file = cluster.project.outside().join("kubeconfig");
    let real = read(&cluster.kubeconfig);
    let two = real
        .replace("current-context: test", "current-context: away")
        .replace(
            "clusters: [",
            "clusters: [{ name: away, cluster: { server: \"https://127.0.0.1:1\" } }, ",
        )
        .replace(
            "contexts: [",
            "contexts: [{ name: away, context: { cluster: away, user: admin } }, ",
        );
    std::fs::write(&file, two).unwrap();
    let mut command = cluster.command(args);
    command.env("KUBECONFIG", file);
    command
}

fn run(cluster: &Cluster, args: &[&str]) -> Ran {
    Ran::of(&mut command(cluster, args))
}

/// Submits a detached run from a clean repository; its pod.
fn submitted(cluster: &Cluster, id: &str, more: &[&str]) -> String {
    let folder = cluster.project.path("");
    let repository = Repository::new(&folder, &cluster.project.home());
    repository.write("train.py", "print(1)\n");
    repository.write(".gitignore", "mlbuild.runs\n");
    repository.commit("first");
    let namespace = cluster.namespace.clone();
    let base = cluster.engines.base.clone();
    let flags = ["submit", "--context", "test", "-n", &namespace, "-d"];
    let own = [
        "--run-id",
        id,
        "--pvc",
        "datasets:/data",
        "-e",
        "MY_TOKEN=s3cr3t",
    ];
    let line = [&flags, &own[..], more, &[&base, "sh", "-c", "exit 3"]].concat();
    let job = run(cluster, &line).answer().to_owned();
    let pod = cluster.pod_of(&job, &[]);
    cluster.prints(&pod, b"one line");
    cluster.runs(&pod);
    pod
}

#[test]
fn a_run_is_found_where_its_record_says() {
    let cluster = Cluster::new();
    let pod = submitted(&cluster, "Exp_9", &["--name", "train"]);
    // Not in the cluster that is usual here.
    let usual = run(&cluster, &["logs", "train"]);
    assert!(usual.refusal(3).contains("127.0.0.1:1"), "{}", usual.stderr);

    assert_eq!(run(&cluster, &["logs", "Exp_9"]).answer(), "one line");
    assert_eq!(run(&cluster, &["logs", "Exp_"]).answer(), "one line");
    let inside = run(&cluster, &["bash", "Exp_9", "--", "echo", "inside"]);
    assert_eq!(inside.answer(), "inside");
    let shown = run(&cluster, &["jobs", "show", "Exp_9", "--format", "json"]).json();
    assert_eq!(
        (&shown["id"], &shown["namespace"], &shown["state"]),
        (
            &json!("train"),
            &json!(cluster.namespace),
            &json!("running")
        )
    );

    let shown = run(&cluster, &["runs", "show", "Exp_9"]);
    let said = shown.answer();
    for line in [
        "status    started",
        &format!("cluster   {}", cluster.url()),
        "context   test",
        &format!("namespace {}", cluster.namespace),
        "job       train",
        "submit    --pvc=datasets:/data",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    let record = cluster.project.read("mlbuild.runs/Exp_9.toml");
    assert!(!record.contains("s3cr3t"), "{record}");
    assert!(record.contains("version = 3"), "{record}");

    // Nobody waited for its end: the cluster is asked.
    cluster.exits(&pod, 3);
    let ended = run(
        &cluster,
        &["runs", "show", "Exp_9", "--live", "--format", "json"],
    )
    .json();
    assert_eq!(
        (&ended["outcome"]["status"], &ended["outcome"]["exit_code"]),
        (&json!("finished"), &json!(3))
    );

    // What can't be found is said with the place.
    let mut elsewhere = cluster.command(&["logs", "Exp_9"]);
    let renamed = read(&cluster.kubeconfig).replace("name: test, context", "name: other, context");
    let file = cluster.project.outside().join("renamed");
    std::fs::write(&file, renamed).unwrap();
    let ran = Ran::of(elsewhere.env("KUBECONFIG", file));
    let said = ran.refusal(2);
    let place = format!("run Exp_9 is at {}", cluster.url());
    assert!(
        said.contains("no context `test`") && said.contains(&place),
        "{said}"
    );
    run(&cluster, &["jobs", "cancel", "Exp_9"]).refusal(2);
    let path = cluster.path("apis/batch/v1", "jobs/train");
    cluster.ask(
        "DELETE",
        &format!("{path}?propagationPolicy=Background"),
        None,
    );
    let gone = run(&cluster, &["logs", "Exp_9"]);
    assert!(
        gone.refusal(2).contains("mlbuild restore Exp_9"),
        "{}",
        gone.stderr
    );
}

#[test]
fn a_run_is_submitted_again_from_its_record() {
    let cluster = Cluster::new();
    let pod = submitted(&cluster, "Exp_10", &["--name", "train", "--queue", "ml"]);
    let first = cluster.get("api/v1", &format!("pods/{pod}")).unwrap();
    let image = first["spec"]["containers"][0]["image"].as_str().unwrap();
    cluster.exits(&pod, 3);

    let restored = run(&cluster, &["restore", "Exp_10", "--format", "json"]).json();
    let words: Vec<&str> = restored["command"]
        .as_array()
        .unwrap()
        .iter()
        .map(|word| word.as_str().unwrap())
        .collect();
    let namespace = format!("--namespace={}", cluster.namespace);
    assert_eq!(
        words[..4],
        ["mlbuild", "submit", "--context=test", &namespace]
    );
    for word in [
        "--queue=ml",
        "--pvc=datasets:/data",
        "--detach",
        "--env=MY_TOKEN",
    ] {
        assert!(words.contains(&word), "{word}: {words:?}");
    }
    assert_eq!(words[words.len() - 4..], [image, "sh", "-c", "exit 3"]);
    assert_eq!(restored["branch"], "mlbuild/Exp_10");

    // The same once more, started: another Job of the same image, with the token that is set here.
    let mut again = command(
        &cluster,
        &["restore", "Exp_10", "--no-code", "--exec", "--trust"],
    );
    let ran = Ran::of(again.env("MY_TOKEN", "other").env("WANDB_RUN_ID", "Exp_11"));
    let job = ran.answer();
    assert_eq!(job, "mlbuild-exp-11");
    let second = cluster.job(job).unwrap();
    let container = &second["spec"]["template"]["spec"]["containers"][0];
    assert_eq!(container["image"], image);
    assert_eq!(container["args"], json!(["sh", "-c", "exit 3"]));
    let label = &second["metadata"]["labels"]["kueue.x-k8s.io/queue-name"];
    assert_eq!(label, "ml");
    let secret = cluster.get("api/v1", &format!("secrets/{job}")).unwrap();
    assert_eq!(secret["data"], json!({"MY_TOKEN": "b3RoZXI="}));
    // Here instead of there.
    let here = ["restore", "Exp_10", "--no-code", "--no-shell"];
    let here = run(
        &cluster,
        &[&here[..], &["--runtime-cli", "docker"]].concat(),
    );
    assert!(
        here.answer()
            .starts_with("mlbuild run --runtime-cli=docker ")
            && here.answer().contains(" --name=train ")
    );

    let diff = run(
        &cluster,
        &["runs", "diff", "Exp_10", "Exp_11", "--format", "json"],
    )
    .json();
    let areas = diff["differences"].as_array().unwrap();
    // Of the image only the tag is gone, which the digest stands for.
    let differs = |d: &serde_json::Value| d["area"] == "cluster" || d["what"] == "digest";
    assert!(!areas.iter().any(differs), "{diff}");
    let line = [
        "submit",
        "--context",
        "test",
        "-n",
        &cluster.namespace,
        "-d",
    ];
    let line = [&line[..], &["--run-id", "Exp_12", &cluster.engines.base]].concat();
    run(&cluster, &line).answer();
    let diff = run(&cluster, &["runs", "diff", "Exp_10", "Exp_12"]);
    let said = diff.answer();
    assert!(
        said.contains("cluster\n") && said.contains("--queue=ml"),
        "{said}"
    );
}
