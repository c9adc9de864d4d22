//! `mlbuild submit --array`: a run for each point, as pods of one indexed Job.

use std::process::Child;

use serde_json::{Value, json};

use super::cluster::{Cluster, end_of};
use super::nodes::path;
use super::processes::{hosts_of_none, name, pods_of, start_with};

/// Waits for a command that is told to end.
fn exit_of(mut child: Child) -> Option<i32> {
    let pid = rustix::process::Pid::from_child(&child);
    rustix::process::kill_process(pid, rustix::process::Signal::INT).unwrap();
    child.wait().unwrap().code()
}

fn record(cluster: &Cluster, run: &str) -> String {
    cluster.project.read(&format!("mlbuild.runs/{run}.toml"))
}

fn show(cluster: &Cluster, what: &str) -> Value {
    let words = [
        "jobs",
        "show",
        what,
        "-n",
        &cluster.namespace,
        "--format=json",
    ];
    cluster.run(&words).json()
}

#[test]
fn an_array_is_a_run_for_each_point() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    // One point fails, and one value is nothing that a shell or the node could take for its own.
    let script =
        "echo \"lr=$lr note=$note run=$MLBUILD_RUN_ID word=$1\"; [ \"$lr\" != 2 ] || exit 9";
    let words = [
        "--run-id=grid",
        "--array=lr=1..2",
        "--array=note=a b,$(HOME)$$'x",
        "--env=V=v",
        &base,
        "sh",
        "-c",
        script,
        "sh",
        "<{lr}|{note}|{other}>",
    ];
    let child = cluster.submit(&words);
    let pods = pods_of(&cluster, "mlbuild-grid", 4);
    for process in start_with(&cluster, &pods, &path(), &hosts_of_none(&cluster)) {
        process.end();
    }
    let ran = end_of(child);
    assert_eq!(ran.code, Some(9), "{}", ran.stderr);
    for said in [
        "2 of 4 points failed",
        "grid-2 ended with 9",
        "mlbuild logs grid-3",
    ] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
    let shown = show(&cluster, "grid");
    assert_eq!(
        (&shown["state"], &shown["exit_code"], &shown["run_id"]),
        (&json!("failed"), &json!(9), &json!("grid")),
        "{shown:#}"
    );
    let points = [
        ("1", "a b"),
        ("1", "$(HOME)$$'x"),
        ("2", "a b"),
        ("2", "$(HOME)$$'x"),
    ];
    for (at, (lr, note)) in points.into_iter().enumerate() {
        let run = format!("grid-{at}");
        let code = if lr == "2" { 9 } else { 0 };
        let written = record(&cluster, &run);
        for part in [
            format!("exit_code = {code}"),
            format!("--array=lr={lr}"),
            format!("--array=note={note}"),
        ] {
            assert!(written.contains(&part), "{run}: {part}: {written}");
        }
        let wanted = format!("lr={lr} note={note} run={run} word=<{lr}|{note}|{{other}}>");
        for logs in [
            vec!["logs", run.as_str()],
            vec!["logs", "grid", "--point", &run[5..]],
        ] {
            let logs = cluster.run(&logs);
            assert_eq!(logs.answer(), wanted, "{}", logs.stderr);
        }
        assert_eq!(cluster.run(&["logs", "-f", &run]).code, Some(code));
        let point = &shown["points"][at];
        assert_eq!(
            (&point["run_id"], &point["values"], &point["exit_code"]),
            (&json!(run), &json!({"lr": lr, "note": note}), &json!(code)),
            "{shown:#}"
        );
        let alone = show(&cluster, &run);
        assert_eq!(
            (&alone["run_id"], &alone["exit_code"]),
            (&json!(run), &json!(code)),
            "{alone:#}"
        );
    }
    let diff = cluster.run(&["runs", "diff", "grid-0", "grid-2"]);
    assert!(diff.stdout.contains("lr=2"), "{}", diff.stdout);
    let line = cluster.run(&["restore", "grid-3", "--no-code", "--no-shell"]);
    let line = line.answer();
    assert!(
        line.contains("--array=lr=2") && !line.contains("--array=lr=1"),
        "{line}"
    );
    let logs = cluster.run(&["logs", "grid"]);
    assert!(
        logs.refusal(2).contains("array of 4 points"),
        "{}",
        logs.stderr
    );
    // Of no record: by the cluster's word alone.
    let elsewhere = cluster.verb("logs", &["grid-1"]);
    assert!(
        elsewhere.answer().contains("run=grid-1"),
        "{}",
        elsewhere.stderr
    );
    let none = cluster.verb("logs", &["grid-4"]);
    assert_eq!(none.code, Some(2), "{}", none.stderr);
    // The ids are taken, and nothing of the runs is touched.
    let again = cluster.verb("submit", &words);
    assert_eq!(again.code, Some(2), "{}", again.stderr);
    assert!(record(&cluster, "grid-0").contains("exit_code = 0"));
}

#[test]
fn points_end_in_their_own_ways_and_end_no_other() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let child = cluster.submit(&["--run-id=ends", "--array=n=0..4", "--rm", &base, "true"]);
    let pods = pods_of(&cluster, "mlbuild-ends", 5);
    let pods: Vec<String> = pods.iter().map(name).collect();
    pods.iter().for_each(|pod| cluster.runs(pod));
    let killed = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    cluster.says(&pods[0], "Failed", &killed);
    let evicted =
        json!({"phase": "Failed", "reason": "Evicted", "message": "The node was low on memory."});
    cluster.status(&pods[1], &evicted);
    cluster.exits(&pods[2], 3);
    // One is ended by hand, and the last one goes on.
    let cancelled = cluster.run(&["jobs", "cancel", "ends-3"]);
    cancelled.answer();
    cluster.has_ended(&pods[3], 143);
    cluster.wait_for("four points that failed", || {
        let job = cluster.job("mlbuild-ends")?;
        (job["status"]["failedIndexes"] == "0-3").then_some(())
    });
    let over = cluster.run(&["jobs", "cancel", "ends-0"]);
    assert!(over.refusal(2).contains("is over"), "{}", over.stderr);
    assert!(!cluster.is_removed(&pods[4]));
    cluster.exits(&pods[4], 0);
    let ran = end_of(child);
    assert_eq!(ran.code, Some(137), "{}", ran.stderr);
    for said in [
        "ends-0 ended with 137: it used more memory than its limit",
        "ends-1 ended without an exit code: evicted: The node was low on memory.",
        "ends-2 ended with 3; what it printed: mlbuild logs ends-2",
        "4 of 5 points failed",
    ] {
        assert!(ran.stderr.contains(said), "{said}: {}", ran.stderr);
    }
    assert!(record(&cluster, "ends-4").contains("exit_code = 0"));
    assert!(!record(&cluster, "ends-1").contains("exit_code"));
    cluster.wait_for("the end of the Job", || {
        cluster.job("mlbuild-ends").is_none().then_some(())
    });
}

#[test]
fn so_many_run_at_once_and_ctrl_c_ends_all() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let flags = [
        "--run-id=many",
        "--array=n=1..6",
        "--parallelism=2",
        &base,
        "true",
    ];
    let child = cluster.submit(&flags);
    let pods = pods_of(&cluster, "mlbuild-many", 2);
    let pods: Vec<String> = pods.iter().map(name).collect();
    let job = cluster.job("mlbuild-many").unwrap();
    let spec = &job["spec"];
    assert_eq!(
        (
            &spec["parallelism"],
            &spec["completions"],
            &spec["backoffLimitPerIndex"]
        ),
        (&json!(2), &json!(6), &json!(0))
    );
    pods.iter().for_each(|pod| cluster.runs(pod));
    cluster.exits(&pods[0], 0);
    cluster.wait_for("the first end", || {
        record(&cluster, "many-0")
            .contains("exit_code = 0")
            .then_some(())
    });
    let waits = cluster.run(&["jobs", "cancel", "many-5"]);
    assert!(waits.refusal(2).contains("no pod yet"), "{}", waits.stderr);
    assert_eq!(exit_of(child), Some(130));
    assert!(record(&cluster, "many-0").contains("exit_code = 0"));
    assert!(record(&cluster, "many-5").contains("exit_code = 130"));
    cluster.wait_for("the end of the Job", || {
        cluster.job("mlbuild-many").is_none().then_some(())
    });
}

#[test]
fn a_detached_array_is_found_by_its_runs() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let submit = cluster.verb(
        "submit",
        &["-d", "--run-id=left", "--array=n=1..2", &base, "true"],
    );
    assert_eq!(submit.answer(), "mlbuild-left");
    let pods = pods_of(&cluster, "mlbuild-left", 2);
    let pods: Vec<String> = pods.iter().map(name).collect();
    pods.iter().for_each(|pod| cluster.runs(pod));
    cluster.exits(&pods[1], 4);
    let inside = ["bash", "left-0", "--", "sh", "-c", "echo $n"];
    assert_eq!(cluster.run(&inside).answer(), "1");
    // The record of the one that is over is completed, and no other one's.
    let shown = cluster.run(&["runs", "show", "--live", "left-1"]);
    shown.answer();
    assert!(record(&cluster, "left-1").contains("exit_code = 4"));
    cluster.run(&["runs", "show", "--live", "left-0"]).answer();
    assert!(record(&cluster, "left-0").contains("status = \"started\""));
    let list = [
        "jobs",
        "list",
        "--namespace",
        &cluster.namespace,
        "--format=json",
    ];
    let listed = cluster.run(&list).json();
    assert_eq!(
        listed["jobs"][0]["points"].as_array().unwrap().len(),
        2,
        "{listed:#}"
    );
    cluster.run(&["jobs", "cancel", "left"]).answer();
    cluster.wait_for("the end of the Job", || {
        cluster.job("mlbuild-left").is_none().then_some(())
    });
}

#[test]
fn an_array_is_shown_before_it_is_made_and_what_it_cannot_be_is_refused() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    for mode in ["--dry-run", "--dry-run=server"] {
        let shown = cluster.verb(
            "submit",
            &[mode, "-o=json", "--array=n=1..3", &base, "a", "{n}"],
        );
        let job = shown.json();
        let spec = &job["spec"];
        assert_eq!(spec["completionMode"], "Indexed", "{job:#}");
        assert_eq!(spec["backoffLimitPerIndex"], 0, "{job:#}");
        assert_eq!(
            job["metadata"]["annotations"]["mlbuild/array"],
            r#"["n=1,2,3"]"#
        );
    }
    for (flags, said) in [
        (&["--array=n=1,2", "--nodes=2"][..], "--nodes"),
        (&["--array=n=1,2", "--env=n=3"], "--env=n"),
        (&["--array=n=1,1"], "twice"),
        (&["--parallelism=2"], "--array"),
        (&["--array=n=1,2", "--parallelism=0"], "from 1"),
        (
            &["--array=TOKEN=ghp_012345678901234567890123456789012345"],
            "secret",
        ),
    ] {
        let words = [flags, &[&base, "true"]].concat();
        let ran = cluster.verb("submit", &words);
        assert!(ran.refusal(2).contains(said), "{flags:?}: {}", ran.stderr);
    }
    assert!(!cluster.project.path("mlbuild.runs").exists());
}
