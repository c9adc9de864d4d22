//! `mlbuild jobs` with queues and a cluster side by side.

use serde_json::Value;

use super::cluster::Cluster;
use crate::support::mlbuild::Ran;
use crate::support::read;

/// `mlbuild jobs` with arguments, of somebody whose kubeconfig is this one.
fn jobs(cluster: &Cluster, kubeconfig: &str, args: &[&str]) -> Ran {
    let file = cluster.project.outside().join("kubeconfig");
    std::fs::write(&file, kubeconfig).unwrap();
    let mut command = cluster.command(&[&["jobs"], args].concat());
    Ran::of(command.env("KUBECONFIG", file))
}

/// The kubeconfig with this namespace as the one that is meant where none is said.
fn own_kubeconfig(cluster: &Cluster) -> String {
    let whole = read(&cluster.kubeconfig);
    let own = whole.replace(
        "user: admin }",
        &format!("user: admin, namespace: {} }}", cluster.namespace),
    );
    assert_ne!(whole, own);
    own
}

/// A queue with a job in it; its id.
fn queued(cluster: &Cluster) -> String {
    cluster.project.write("queue.json", "{}");
    let create = ["queue", "create", "q", "--config", "queue.json"];
    cluster.project.run(create).answer();
    let base = cluster.engines.base.clone();
    let launch = ["launch", "-q", "q", "--image", &base, "--", "true"];
    cluster.project.run(launch).answer().to_owned()
}

#[test]
fn jobs_of_both_kinds_are_shown_and_ended() {
    let cluster = Cluster::new();
    let (own, base) = (own_kubeconfig(&cluster), cluster.engines.base.clone());
    let id = queued(&cluster);
    let submit = |name: &str, flags: &[&str], words: &[&str]| {
        let named = ["-d", "--name", name, "--run-id", &format!("Run_{name}")];
        let words = [&named, flags, &[&base], words].concat();
        cluster.verb("submit", &words).answer();
    };
    submit("first", &[], &["sh", "-c", "exit 3"]);
    let pod = cluster.pod_of("first", &[]);
    cluster.prints(&pod, b"one line");
    cluster.exits(&pod, 3);
    submit("second", &[], &["python", "train.py"]);
    let pod = cluster.pod_of("second", &[]);
    cluster.prints(&pod, b"goes on");
    cluster.runs(&pod);
    submit("third", &["--queue", "ml"], &[]);
    cluster.wait_for("end of the first", || {
        let job = cluster.job("first")?;
        job["status"]["failed"].as_i64()
    });

    let list = jobs(&cluster, &own, &["list", "--format", "json"]);
    let shown = |ran: &Ran| -> Vec<String> {
        let jobs = ran.json()["jobs"].as_array().unwrap().clone();
        let word = |job: &Value, key: &str| job[key].as_str().unwrap_or("-").to_owned();
        let line = |job: &Value| {
            ["kind", "id", "queue", "state"]
                .map(|key| word(job, key))
                .join(" ")
        };
        let mut lines: Vec<String> = jobs.iter().map(line).collect();
        // The cluster's times are whole seconds.
        lines.sort();
        lines
    };
    let all = [
        "kubernetes first - failed".to_owned(),
        "kubernetes second - running".to_owned(),
        "kubernetes third ml queued".to_owned(),
        format!("queue {id} q queued"),
    ];
    assert_eq!((shown(&list), list.stderr.as_str()), (all.to_vec(), ""));
    let only = |args: &[&str]| {
        shown(&jobs(
            &cluster,
            &own,
            &[&["list", "--format", "json"], args].concat(),
        ))
    };
    assert_eq!(only(&["--kind", "queue"]), all[3..]);
    assert_eq!(only(&["--kind", "kubernetes"]), all[..3]);
    assert_eq!(only(&["--queue", "q"]), all[3..]);
    assert_eq!(only(&["--kind", "kubernetes", "--queue", "ml"]), all[2..3]);
    assert_eq!(only(&["--state", "queued"]), all[2..]);
    assert_eq!(only(&["-n", "2"]).len(), 2);
    let text = jobs(&cluster, &own, &["list"]);
    let line = text
        .answer()
        .lines()
        .find(|line| line.starts_with("first "))
        .unwrap();
    assert!(
        line.contains("failed (3)") && line.contains(&format!("kubernetes/{}", cluster.namespace)),
        "{line}"
    );

    let show = |name: &str| jobs(&cluster, &own, &["show", name, "--format", "json"]).json();
    let first = show("Run_first");
    assert_eq!(
        (&first["id"], &first["exit_code"]),
        (&"first".into(), &3.into())
    );
    assert!(
        first["image"].as_str().unwrap().contains("@sha256:"),
        "{first}"
    );
    assert_eq!(
        (&first["asked"], &first["run_id"]),
        (&base.as_str().into(), &"Run_first".into())
    );
    assert!(
        jobs(&cluster, &own, &["show", "second"])
            .answer()
            .contains(&pod)
    );
    assert_eq!(show(&id)["kind"], "queue");
    assert_eq!(
        jobs(&cluster, &own, &["logs", "first"]).answer(),
        "one line"
    );

    let refused = jobs(&cluster, &own, &["cancel", "first"]);
    assert!(
        refused.refusal(2).contains("the Job first is over"),
        "{}",
        refused.stderr
    );
    jobs(&cluster, &own, &["cancel", "second", &id]).answer();
    cluster.wait_for("end of the second", || {
        cluster.job("second").is_none().then_some(())
    });
    assert_eq!(show(&id)["state"], "cancelled");
    let unknown = jobs(&cluster, &own, &["show", "nothing"]);
    let said = unknown.refusal(2);
    assert!(
        said.contains("no job `nothing`, in a queue or in the cluster"),
        "{said}"
    );
}

#[test]
fn a_cluster_that_cant_be_asked_hides_no_queue() {
    let cluster = Cluster::new();
    let id = queued(&cluster);
    // Nothing listens on this port.
    let away = own_kubeconfig(&cluster).replace(&cluster.url(), "https://127.0.0.1:1");
    let list = jobs(&cluster, &away, &["list"]);
    assert!(list.answer().contains(&id));
    let warned = "the Jobs of the Kubernetes cluster aren't listed: \
                  the cluster at https://127.0.0.1:1 doesn't answer: ";
    assert!(list.stderr.contains(warned), "{}", list.stderr);
    let broken = jobs(&cluster, "clusters: [", &["list"]);
    assert!(broken.answer().contains(&id) && broken.stderr.contains("aren't listed"));
    for args in [
        &["list", "--kind", "queue"][..],
        &["list", "-q", "q"],
        &["show", &id],
    ] {
        let ran = jobs(&cluster, &away, args);
        assert!(
            ran.answer().contains(&id) && ran.stderr.is_empty(),
            "{}",
            ran.stderr
        );
    }
    // Whoever asks for the cluster hears that it isn't there.
    let asked = jobs(&cluster, &away, &["list", "--kind", "kubernetes"]);
    assert!(
        asked.refusal(3).contains("doesn't answer"),
        "{}",
        asked.stderr
    );
    let unknown = jobs(&cluster, &away, &["cancel", "nothing"]);
    let said = unknown.refusal(2);
    assert!(
        said.contains("the cluster can't be asked: ") && said.contains("no job `nothing`"),
        "{said}"
    );

    let none = cluster.project.run(["jobs", "list"]);
    assert!(
        none.answer().contains(&id) && none.stderr.is_empty(),
        "{}",
        none.stderr
    );
}
