//! `mlbuild submit --nodes`: pods that find one another, as processes that do.

use std::process::Child;

use serde_json::{Value, json};

use super::cluster::{Cluster, end_of};
use super::processes::{self, pods_of, start};
use crate::proxy::{Death, Proxy};
use crate::support::read;

/// All meet at the first one, which hears from each of them and answers with the sum of their numbers, as
/// PyTorch's `env://` does by the same variables. Then each prints, and what MODE says.
pub const MEET: &str = r#"
import os, socket, sys, time
e = os.environ
rank, size = int(e["RANK"]), int(e["WORLD_SIZE"])
address = (e["MASTER_ADDR"], int(e["MASTER_PORT"]))
assert e["NNODES"] == e["PET_NNODES"] == e["WORLD_SIZE"] and e["PET_NODE_RANK"] == e["RANK"]
assert (e["PET_MASTER_ADDR"], int(e["PET_MASTER_PORT"])) == address
if rank == 0:
    server = socket.create_server(address)
    others = [server.accept()[0] for _ in range(size - 1)]
    total = sum(int(other.makefile().readline()) for other in others)
    for other in others:
        other.sendall(f"{total}\n".encode())
else:
    for _ in range(200):
        try:
            server = socket.create_connection(address)
            break
        except ConnectionRefusedError:
            time.sleep(0.05)
    server.sendall(f"{rank}\n".encode())
    total = int(server.makefile().readline())
print(f"rank {rank} of {size}: {total}", flush=True)
mode = sys.argv[1]
if mode == "fail" and rank == 1:
    print("out of data", flush=True)
    sys.exit(7)
if mode == "fail":
    time.sleep(600)
if mode == "slow":
    for epoch in range(40):
        print(f"epoch {epoch}", flush=True)
        time.sleep(0.1)
"#;

/// Submits a run of three pods that meet, with more flags.
pub fn submit_meeting(cluster: &Cluster, name: &str, flags: &[&str], mode: &str) -> Child {
    let own = ["--nodes", "3", "--name", name, "--run-id", name];
    let program = [&cluster.engines.base, "python3", "-c", MEET, mode];
    cluster.submit(&[&own[..], flags, &program].concat())
}

/// What the pods of a run that ended well have printed.
pub const MET: [&str; 3] = [
    "[0] rank 0 of 3: 3",
    "[1] rank 1 of 3: 3",
    "[2] rank 2 of 3: 3",
];

pub fn path() -> String {
    std::env::var("PATH").unwrap()
}

pub fn lines(text: &str) -> Vec<&str> {
    let mut lines: Vec<&str> = text.lines().collect();
    lines.sort_unstable();
    lines
}

#[test]
fn pods_of_one_job_find_one_another() {
    let cluster = Cluster::new();
    let child = submit_meeting(&cluster, "meet", &["--rm", "-e", "MY_TOKEN=s3cr3t"], "well");
    let pods = pods_of(&cluster, "meet", 3);
    let processes = start(&cluster, &pods, &path());
    for process in processes {
        assert!(process.end().success());
    }
    let ran = end_of(child);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert_eq!(lines(&ran.stdout), MET, "{}", ran.stderr);
    let record = cluster.project.read("mlbuild.runs/meet.toml");
    assert!(
        record.contains("exit_code = 0") && record.contains("\"--nodes=3\""),
        "{record}"
    );
    // With the Job goes what it had beside it.
    for what in ["services/meet", "secrets/meet"] {
        cluster.wait_for(what, || cluster.get("api/v1", what).is_none().then_some(()));
    }
    let here = [
        "restore",
        "meet",
        "--no-code",
        "--no-shell",
        "--runtime-cli",
        "docker",
    ];
    let here = cluster.run(&here);
    assert!(
        here.stderr.contains("the run had 3 nodes"),
        "{}",
        here.stderr
    );
    let again = cluster.run(&["restore", "meet", "--no-code", "--no-shell"]);
    assert!(again.answer().contains(" --nodes=3 "), "{}", again.stdout);
}

#[test]
fn one_that_fails_ends_all_and_its_exit_code_is_that_of_the_run() {
    let cluster = Cluster::new();
    let child = submit_meeting(&cluster, "fail", &[], "fail");
    let pods = pods_of(&cluster, "fail", 3);
    let processes = start(&cluster, &pods, &path());
    let ends: Vec<_> = processes
        .into_iter()
        .map(|process| process.end().code())
        .collect();
    // Those that wait for it for ever are ended by the cluster.
    assert_eq!(ends, [None, Some(7), None]);
    let ran = end_of(child);
    assert_eq!(ran.code, Some(7), "{}", ran.stderr);
    assert!(ran.stderr.contains("rank 1 failed first"), "{}", ran.stderr);
    assert!(ran.stdout.contains("[1] out of data\n"), "{}", ran.stdout);
    assert_eq!(ran.stdout.lines().count(), 4, "{}", ran.stdout);
    assert!(
        cluster
            .project
            .read("mlbuild.runs/fail.toml")
            .contains("exit_code = 7")
    );
    let show = [
        "jobs",
        "show",
        "fail",
        "-n",
        &cluster.namespace,
        "--format",
        "json",
    ];
    let show = cluster.run(&show).json();
    assert_eq!(
        (&show["state"], &show["exit_code"]),
        (&json!("failed"), &json!(7)),
        "{show}"
    );
    assert_eq!(show["nodes"][1]["exit_code"], json!(7), "{show}");
    let own = cluster.verb("logs", &["fail", "--rank", "1"]);
    assert_eq!(own.answer(), "rank 1 of 3: 3\nout of data");
    let none = cluster.verb("logs", &["fail", "--rank", "3"]);
    assert!(
        none.refusal(2)
            .contains("the Job fail has 3 nodes, of the ranks 0 to 2, and none of rank 3"),
        "{}",
        none.stderr
    );
}

#[test]
fn a_cluster_that_is_lost_in_between_loses_no_line_and_no_node() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let server = cluster.url().trim_start_matches("https://").to_owned();
    // Every connection ends twice while all three are followed.
    let first = Proxy::to(&server, Death::HangsUp, 40_000);
    let second = Proxy::to(&first.address, Death::Resets, 70_000);
    let file = cluster.project.outside().join("kubeconfig");
    std::fs::write(
        &file,
        read(&cluster.kubeconfig).replace(&server, &second.address),
    )
    .unwrap();
    let mut command = cluster.command(&[
        "submit",
        "-n",
        &cluster.namespace,
        "--nodes",
        "3",
        "--name",
        "lost",
        &base,
        "python3",
        "-c",
        MEET,
        "slow",
    ]);
    let child = command.env("KUBECONFIG", file).spawn().unwrap();
    let pods = pods_of(&cluster, "lost", 3);
    for process in start(&cluster, &pods, &path()) {
        assert!(process.end().success());
    }
    let ran = end_of(child);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    for rank in 0..3 {
        let of = |line: &&str| line.starts_with(&format!("[{rank}] epoch "));
        let epochs: Vec<&str> = ran.stdout.lines().filter(of).collect();
        let wanted: Vec<String> = (0..40).map(|n| format!("[{rank}] epoch {n}")).collect();
        assert_eq!(epochs, wanted, "{}", ran.stderr);
    }
    assert!(
        first.is_over() && second.is_over(),
        "nothing was cut: {}",
        ran.stderr
    );
}

#[test]
fn what_torchrun_is_started_with() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    // In the place of torchrun, a program that prints what it is given.
    let folder = cluster.project.outside().join("bin");
    std::fs::create_dir_all(&folder).unwrap();
    let program = folder.join("torchrun");
    std::fs::write(&program, "#!/bin/sh\necho \"$@\"\n").unwrap();
    std::fs::set_permissions(
        &program,
        std::os::unix::fs::PermissionsExt::from_mode(0o755),
    )
    .unwrap();
    let child = cluster.submit(&[
        "--nodes",
        "2",
        "--nproc-per-node",
        "4",
        "--launcher",
        "torchrun",
        "--name",
        "1t",
        "-e",
        "MASTER_PORT=29777",
        &base,
        "train.py",
        "--lr",
        "0.1",
    ]);
    let pods = pods_of(&cluster, "1t", 2);
    let environment = processes::variables(&pods[1]);
    let of_pet = environment
        .iter()
        .filter(|(name, _)| name.starts_with("PET_"));
    let of_pet: Vec<String> = of_pet
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    // A Service can't be called `1t`.
    let wanted = [
        "PET_MASTER_ADDR=1t-0.n-1t",
        "PET_MASTER_PORT=29777",
        "PET_NNODES=2",
        "PET_NODE_RANK=1",
        "PET_NPROC_PER_NODE=4",
    ];
    assert_eq!(of_pet, wanted);
    assert!(!environment.contains_key("RANK") && !environment.contains_key("WORLD_SIZE"));
    let path = format!("{}:{}", folder.display(), path());
    for process in start(&cluster, &pods, &path) {
        assert!(process.end().success());
    }
    let ran = end_of(child);
    let line = |rank: u32| {
        format!(
            "[{rank}] --nnodes=2 --nproc_per_node=4 --node_rank={rank} --master_addr=1t-0.n-1t \
             --master_port=29777 train.py --lr 0.1"
        )
    };
    assert_eq!(lines(&ran.stdout), [line(0), line(1)], "{}", ran.stderr);
}

#[test]
fn as_text_it_is_what_kubectl_takes() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let flags = [
        "--dry-run",
        "-o",
        "json",
        "--nodes",
        "2",
        "--name",
        "text",
        &base,
    ];
    let list = cluster.verb("submit", &flags).json();
    let kinds = list["items"].as_array().unwrap().iter();
    let kinds: Vec<&Value> = kinds.map(|item| &item["kind"]).collect();
    assert_eq!(
        (&list["kind"], kinds),
        (&json!("List"), vec![&json!("Service"), &json!("Job")])
    );
    let asked = [
        "--dry-run=server",
        "-o",
        "json",
        "--nodes",
        "2",
        "--name",
        "text",
        &base,
    ];
    let job = cluster.verb("submit", &asked).json();
    assert_eq!(job["spec"]["completionMode"], "Indexed");
    assert!(cluster.get("api/v1", "services/text").is_none());
    let retried = cluster.verb(
        "submit",
        &["--nodes", "2", "--restart", "on-failure:2", &base],
    );
    assert!(
        retried.refusal(2).contains("--restart: of several nodes"),
        "{}",
        retried.stderr
    );
}
