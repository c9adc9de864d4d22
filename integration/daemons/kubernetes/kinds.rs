//! `mlbuild submit --kind`: runs as objects of JobSet, of Kubeflow's training operator and of its MPI operator,
//! whose own controllers make the pods.

use serde_json::{Value, json};

use super::cluster::{Cluster, end_of};
use super::nodes::{MET, lines, path, submit_meeting};
use super::processes::{pods_labelled, start};

const JOBSET: (&str, &str) = ("jobset", "jobset.sigs.k8s.io/jobset-name");
const PYTORCHJOB: (&str, &str) = ("pytorchjob", "training.kubeflow.org/job-name");
const MPIJOB: (&str, &str) = ("mpijob", "training.kubeflow.org/job-name");

/// Where the API server has the objects of a kind.
fn api(kind: &str) -> &'static str {
    match kind {
        "jobset" => "apis/jobset.x-k8s.io/v1alpha2",
        "pytorchjob" => "apis/kubeflow.org/v1",
        _ => "apis/kubeflow.org/v2beta1",
    }
}

fn object(cluster: &Cluster, kind: &str, name: &str) -> Option<Value> {
    cluster.get(api(kind), &format!("{kind}s/{name}"))
}

fn shown(cluster: &Cluster, name: &str) -> Value {
    let line = [
        "jobs",
        "show",
        name,
        "-n",
        &cluster.namespace,
        "--format",
        "json",
    ];
    cluster.run(&line).json()
}

#[test]
fn what_is_written_is_what_their_servers_take() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    for (kind, _) in [JOBSET, PYTORCHJOB, MPIJOB] {
        for flags in [
            &[][..],
            &["--nodes", "3", "--gpus", "8", "--spread", "--together"],
            &[
                "--rm",
                "--time-limit",
                "2h",
                "--queue",
                "q",
                "--ttl",
                "1h",
                "--nproc-per-node",
                "2",
            ],
            &[
                "-v",
                "data:/data",
                "-p",
                "80:80",
                "--shm-size",
                "2g",
                "--label",
                "a=b",
            ],
        ] {
            let own = ["--dry-run", "-o", "json", "--name", "t", "--kind", kind];
            let line = [&own, flags, &[&base, "true"]].concat();
            let object = cluster.verb("submit", &line).json();
            let strict = "?dryRun=All&fieldValidation=Strict";
            let path = cluster.path(api(kind), &format!("{kind}s{strict}"));
            cluster.create(&path, &object);
        }
    }
    assert_eq!(cluster.project.runs(), [""; 0]);
}

#[test]
fn pods_of_each_kind_find_one_another() {
    for (kind, label) in [JOBSET, PYTORCHJOB] {
        let cluster = Cluster::new();
        let flags = ["--kind", kind, "--rm", "-e", "MY_TOKEN=s3cr3t"];
        let child = submit_meeting(&cluster, "meet", &flags, "well");
        let pods = pods_labelled(&cluster, label, "meet", 3);
        for process in start(&cluster, &pods, &path()) {
            assert!(process.end().success(), "{kind}");
        }
        let ran = end_of(child);
        assert_eq!(ran.code, Some(0), "{kind}: {}", ran.stderr);
        assert_eq!(lines(&ran.stdout), MET, "{kind}: {}", ran.stderr);
        let record = cluster.project.read("mlbuild.runs/meet.toml");
        let kind_flag = format!("\"--kind={kind}\"");
        assert!(
            record.contains("exit_code = 0") && record.contains(&kind_flag),
            "{record}"
        );
        // With the object goes what it had beside it.
        cluster.wait_for("what it had beside it", || {
            let is_gone = object(&cluster, kind, "meet").is_none()
                && cluster.get("api/v1", "secrets/meet").is_none();
            is_gone.then_some(())
        });
        let again = cluster.run(&["restore", "meet", "--no-code", "--no-shell"]);
        assert!(
            again.answer().contains(&format!(" --kind={kind} ")),
            "{}",
            again.stdout
        );
    }
}

#[test]
fn one_that_fails_is_the_end_of_all_in_each_kind() {
    for (kind, label) in [JOBSET, PYTORCHJOB] {
        let cluster = Cluster::new();
        let child = submit_meeting(&cluster, "fail", &["--kind", kind], "fail");
        let pods = pods_labelled(&cluster, label, "fail", 3);
        let ends: Vec<_> = start(&cluster, &pods, &path())
            .into_iter()
            .map(|process| process.end().code())
            .collect();
        assert_eq!(ends, [None, Some(7), None], "{kind}");
        let ran = end_of(child);
        assert_eq!(ran.code, Some(7), "{kind}: {}", ran.stderr);
        assert!(
            ran.stderr.contains("rank 1 failed first"),
            "{kind}: {}",
            ran.stderr
        );
        assert!(
            ran.stdout.contains("[1] out of data\n"),
            "{kind}: {}",
            ran.stdout
        );
        let record = cluster.project.read("mlbuild.runs/fail.toml");
        assert!(record.contains("exit_code = 7"), "{record}");
        // Found by its name, and by its run, where the record says of which kind it is.
        let show = shown(&cluster, "fail");
        assert_eq!(
            (
                &show["state"],
                &show["exit_code"],
                &show["nodes"][1]["exit_code"]
            ),
            (&json!("failed"), &json!(7), &json!(7)),
            "{show}"
        );
        assert_eq!(
            show["object"].as_str().unwrap().to_lowercase(),
            kind,
            "{show}"
        );
        let own = cluster.run(&["logs", "fail", "--rank", "1"]);
        assert_eq!(own.answer(), "rank 1 of 3: 3\nout of data", "{kind}");
        let over = cluster.run(&["jobs", "cancel", "fail"]);
        assert!(
            over.refusal(2)
                .contains(&format!("kubectl delete {kind} fail")),
            "{}",
            over.stderr
        );
    }
}

#[test]
fn a_set_starts_all_of_its_pods_again() {
    let (kind, label) = JOBSET;
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let child = cluster.submit(&[
        "--kind",
        kind,
        "--nodes",
        "2",
        "--name",
        "again",
        "--restart",
        "on-failure:1",
        &base,
        "sh",
        "-c",
        "true",
    ]);
    let first = pods_labelled(&cluster, label, "again", 2);
    let names: Vec<String> = first.iter().map(super::processes::name).collect();
    cluster.prints(&names[0], b"first try");
    cluster.runs(&names[0]);
    cluster.prints(&names[1], b"first try");
    cluster.has_ended(&names[1], 3);
    cluster.wait_for("the end of the other one", || {
        cluster
            .is_removed(&names[0])
            .then(|| cluster.has_ended(&names[0], 143))
    });
    let known: Vec<&str> = names.iter().map(String::as_str).collect();
    let second = super::processes::more_pods(&cluster, label, "again", 2, &known);
    for pod in &second {
        let name = super::processes::name(pod);
        cluster.prints(&name, b"second try");
        cluster.has_ended(&name, 0);
    }
    let ran = end_of(child);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for line in ["[1] first try", "[0] second try", "[1] second try"] {
        assert!(ran.stdout.contains(line), "{}", ran.stdout);
    }
}

/// What a worker's kubelet says when its sshd listens.
fn is_ready(cluster: &Cluster, pod: &str) {
    let state = json!({"phase": "Running",
        "conditions": [{"type": "Ready", "status": "True"}],
        "containerStatuses": [{"name": "main", "image": "x", "imageID": "", "ready": true,
            "restartCount": 0, "state": {"running": {}}}]});
    cluster.status(pod, &state);
}

/// Starts an MPIJob and its workers; the launcher's pod.
fn mpi(cluster: &Cluster, name: &str) -> (std::process::Child, Vec<Value>, Value) {
    let base = cluster.engines.base.clone();
    let child = cluster.submit(&[
        "--kind",
        "mpijob",
        "--nodes",
        "2",
        "--nproc-per-node",
        "4",
        "--gpus",
        "4",
        "--launcher",
        "mpirun",
        "--name",
        name,
        "--run-id",
        name,
        &base,
        "python3",
        "train.py",
    ]);
    let workers = pods_labelled(cluster, MPIJOB.1, name, 2);
    for worker in &workers {
        is_ready(cluster, &super::processes::name(worker));
    }
    let known: Vec<String> = workers.iter().map(super::processes::name).collect();
    let known: Vec<&str> = known.iter().map(String::as_str).collect();
    let mut launcher = super::processes::more_pods(cluster, MPIJOB.1, name, 1, &known);
    (child, workers, launcher.remove(0))
}

#[test]
fn an_mpijob_is_its_launcher() {
    let cluster = Cluster::new();
    let (child, workers, launcher) = mpi(&cluster, "mpi");
    let container = |pod: &Value| pod["spec"]["containers"][0].clone();
    assert_eq!(
        container(&launcher)["args"],
        json!(["mpirun", "-n", "8", "python3", "train.py"])
    );
    assert_eq!(container(&launcher)["resources"], json!({}));
    for worker in &workers {
        let own = container(worker);
        assert_eq!(
            (&own["command"], &own["args"]),
            (&json!(["/usr/sbin/sshd"]), &json!(["-De"]))
        );
        assert_eq!(own["resources"]["limits"]["nvidia.com/gpu"], "4");
    }
    // What mpirun reads of the workers, as the operator wrote it.
    let hosts = cluster.get("api/v1", "configmaps/mpi-config").unwrap();
    let hosts = hosts["data"]["hostfile"].as_str().unwrap();
    assert_eq!(hosts.matches(" slots=4").count(), 2, "{hosts}");
    let names = super::processes::variables(&workers[0]);
    assert!(hosts.contains(&names["MASTER_ADDR"]), "{names:?} {hosts}");
    let pod = super::processes::name(&launcher);
    cluster.prints(&pod, b"epoch 1");
    cluster.runs(&pod);
    let list = cluster.run(&["jobs", "show", "mpi", "-n", &cluster.namespace]);
    let told = list.answer();
    assert!(
        told.contains("MPIJob") && told.contains("running") && told.contains("mpi-worker-1"),
        "{told}"
    );
    cluster.prints(&pod, b"out of memory");
    cluster.has_ended(&pod, 9);
    let ran = end_of(child);
    assert_eq!(ran.code, Some(9), "{}", ran.stderr);
    assert_eq!(ran.stdout, "epoch 1\nout of memory\n", "{}", ran.stderr);
    // Its operator removes the workers, which would wait for ever.
    for worker in &workers {
        let name = super::processes::name(worker);
        cluster.wait_for("a worker's end", || cluster.is_removed(&name).then_some(()));
    }
    let run = cluster.project.read("mlbuild.runs/mpi.toml");
    assert!(run.contains("exit_code = 9"), "{run}");
}

#[test]
fn a_cancelled_run_of_any_kind_leaves_nothing() {
    for (kind, label) in [JOBSET, PYTORCHJOB, MPIJOB] {
        let cluster = Cluster::new();
        let base = cluster.engines.base.clone();
        let line = [
            "-d",
            "--kind",
            kind,
            "--nodes",
            "2",
            "--name",
            "gone",
            "-e",
            "MY_TOKEN=x",
            &base,
            "true",
        ];
        assert_eq!(cluster.verb("submit", &line).answer(), "gone", "{kind}");
        let pods = pods_labelled(&cluster, label, "gone", 2);
        let list = [
            "jobs",
            "list",
            "--namespace",
            &cluster.namespace,
            "--format",
            "json",
        ];
        let list = cluster.run(&list).json();
        let names: Vec<&Value> = list["jobs"]
            .as_array()
            .unwrap()
            .iter()
            .map(|job| &job["id"])
            .collect();
        assert_eq!(names, [&json!("gone")], "{kind}: {list}");
        let cancelled = cluster.run(&["jobs", "cancel", "gone", "-n", &cluster.namespace]);
        assert_eq!(cancelled.code, Some(0), "{kind}: {}", cancelled.stderr);
        cluster.wait_for("the end of it", || {
            object(&cluster, kind, "gone").is_none().then_some(())
        });
        for pod in &pods {
            let name = super::processes::name(pod);
            cluster.wait_for("a pod's end", || cluster.is_removed(&name).then_some(()));
        }
        cluster.wait_for("the Secret's end", || {
            cluster
                .get("api/v1", "secrets/gone")
                .is_none()
                .then_some(())
        });
    }
}
