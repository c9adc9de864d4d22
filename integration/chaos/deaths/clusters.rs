//! A real Kubernetes API server that dies: no Job runs that no record knows of, and none is there twice.

use std::process::Command;

use serde_json::{Value, json};

use super::{Mortal, Round, each};
use crate::kubernetes::cluster::Cluster;
use crate::proxy::Proxy;
use crate::support::mlbuild::Ran;
use crate::support::read;

/// A command that reaches the cluster through a proxy.
fn through(cluster: &Cluster, round: &Round, args: &[&str]) -> (Command, Proxy) {
    let (_, server) = cluster
        .url()
        .split_once("://")
        .map(|(a, b)| (a.to_owned(), b.to_owned()))
        .unwrap();
    let proxy = round.before(&server);
    let file = cluster
        .project
        .outside()
        .join(format!("kubeconfig-{}", round.number));
    let config = read(&cluster.kubeconfig).replace(&server, &proxy.address);
    std::fs::write(&file, config).unwrap();
    let mut command = cluster.command(args);
    command.env("KUBECONFIG", file);
    (command, proxy)
}

fn name(round: &Round) -> String {
    format!("died-{}", round.number)
}

/// The Job of a round is there, if its record says so; a record that says that it is over has none.
fn check_submitted(cluster: &Cluster, round: &Round, ran: &Ran) {
    let name = name(round);
    let job = cluster.job(&name);
    let file = cluster.project.path(&format!("mlbuild.runs/{name}.toml"));
    let record = file.exists().then(|| {
        let shown = cluster
            .run(&["runs", "show", &name, "--format", "json"])
            .json();
        shown["outcome"]["status"].clone()
    });
    let what = format!("{name}: {:?}, record {record:?}: {}", ran.code, ran.stderr);
    match &job {
        Some(job) => {
            assert_eq!(record, Some(json!("started")), "{what}");
            let labels = &job["metadata"]["labels"];
            assert_eq!(labels["mlbuild/run"], json!(name), "{what}");
            let path = cluster.path(
                "apis/batch/v1",
                &format!("jobs/{name}?propagationPolicy=Background"),
            );
            cluster.ask("DELETE", &path, None);
        }
        None => {
            assert_ne!(ran.code, Some(0), "{what}");
            // Where nobody can know it, that is said.
            let is_unknown = ran.stderr.contains("isn't known");
            assert!(is_unknown || record != Some(json!("started")), "{what}");
        }
    }
    // The Secret and the Service go with the Job, or are the Job's.
    let is_told = ["isn't known", "may be left"];
    if job.is_none() && !is_told.iter().any(|words| ran.stderr.contains(words)) {
        for kind in ["secrets", "services"] {
            let found = cluster.get("api/v1", &format!("{kind}/{name}"));
            assert!(found.is_none(), "{what}: {found:?}");
        }
    }
}

#[test]
fn clusters_that_die_have_each_job_once_and_on_record() {
    let cluster = Cluster::new();
    let (base, namespace) = (cluster.engines.base.clone(), cluster.namespace.clone());
    let kept = ["-d", "--name", "kept", "--run-id", "kept", &base];
    cluster.verb("submit", &kept).answer();
    let pod = cluster.pod_of("kept", &[]);
    for n in 0..200 {
        cluster.prints(&pod, format!("epoch {n}").as_bytes());
    }
    cluster.runs(&pod);
    let in_namespace = ["-n", &namespace];
    let submit = |round: &Round, more: &[&str]| {
        let name = name(round);
        let own = ["-d", "--name", &name, "--run-id", &name];
        let all = [&["submit"], &in_namespace[..], &own, more, &[&base, "true"]].concat();
        through(&cluster, round, &all)
    };
    each(
        Mortal::new("the cluster https://127.0.0.1:", 18_000),
        |round| match round.number % 4 {
            0 => submit(round, &[]),
            1 => submit(round, &["-e", "MY_TOKEN=s3cr3t", "--nodes", "2"]),
            2 => through(
                &cluster,
                round,
                &[&["logs"], &in_namespace[..], &["kept"]].concat(),
            ),
            _ => through(&cluster, round, &["jobs", "list"]),
        },
        |round, ran| match round.number % 4 {
            0 | 1 => check_submitted(&cluster, round, ran),
            2 if ran.code == Some(0) => assert_eq!(ran.stdout.lines().count(), 200),
            _ => {}
        },
    );
    let list = cluster.run(&["runs", "list", "--format", "json"]).json();
    assert_eq!(list["unreadable"], json!([]));
    let left = cluster.get("apis/batch/v1", "jobs").unwrap();
    let names = left["items"].as_array().unwrap().iter();
    let names: Vec<&Value> = names.map(|job| &job["metadata"]["name"]).collect();
    // Those that are being removed may still be there.
    assert!(names.contains(&&json!("kept")), "{names:?}");
}
