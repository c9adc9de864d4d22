//! `--port-forward`: ports of this machine that lead to a pod, through the real API server. What the node answers
//! is what kubectl's own `port-forward` takes.

use std::io::{BufRead as _, BufReader, Lines, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::process::{Child, ChildStderr, Command, Stdio};

use super::cluster::{Cluster, end_of};
use super::processes::{name, pods_of};
use crate::proxy::{Death, Proxy};
use crate::support::read;

/// A program in a pod that answers each line with its own name and the line.
fn program(address: &str, own: &'static str) -> u16 {
    let listener = TcpListener::bind(address).unwrap();
    let port = listener.local_addr().unwrap().port();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            std::thread::spawn(move || {
                let mut out = stream.try_clone().unwrap();
                for line in BufReader::new(stream).lines().map_while(Result::ok) {
                    if writeln!(out, "{own} {line}").is_err() {
                        return;
                    }
                }
            });
        }
    });
    port
}

/// Says lines through a port; what is answered, up to as many lines or the end.
fn ask(address: &str, lines: usize) -> Vec<String> {
    let stream = TcpStream::connect(address).unwrap();
    let mut out = stream.try_clone().unwrap();
    // Only the sending side ends: the answers still come.
    let sends = std::thread::spawn(move || {
        let text = (0..lines).fold(String::new(), |text, n| text + &format!("{n:050}\n"));
        let _ = out.write_all(text.as_bytes());
        let _ = out.shutdown(std::net::Shutdown::Write);
    });
    let answers = BufReader::new(stream).lines();
    let answers = answers.map_while(Result::ok).take(lines).collect();
    sends.join().unwrap();
    answers
}

fn answers(own: &str, lines: usize) -> Vec<String> {
    (0..lines).map(|n| format!("{own} {n:050}")).collect()
}

type Said = Lines<BufReader<ChildStderr>>;

/// Starts a command that forwards; the addresses here that it names for as many ports.
fn start(command: &mut Command, ports: usize) -> (Child, Said, Vec<String>) {
    let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
    let mut said = BufReader::new(child.stderr.take().unwrap()).lines();
    let leads = said
        .by_ref()
        .map(Result::unwrap)
        .filter(|line| line.contains(" leads to port "));
    let addresses = leads.take(ports).map(|line| {
        let mut words = line.split(' ').map(str::to_owned);
        words.find(|word| word.starts_with("127.0.0.1:")).unwrap()
    });
    let addresses = addresses.collect();
    (child, said, addresses)
}

/// What kubectl's own `port-forward` gets from a pod.
fn by_kubectl(cluster: &Cluster, pod: &str, port: u16, lines: usize) -> Vec<String> {
    let program = std::path::PathBuf::from(std::env::var_os("MLBUILD_TEST_BIN").unwrap());
    let mut child = Command::new(program.join("kubernetes-control-plane"))
        .args([
            "kubectl",
            "port-forward",
            "--address=127.0.0.1",
            "--kubeconfig",
        ])
        .arg(&cluster.kubeconfig)
        .args([
            "-n",
            &cluster.namespace,
            &format!("pod/{pod}"),
            &format!(":{port}"),
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut line).unwrap();
    let address = line.split(' ').find(|word| word.starts_with("127.0.0.1:"));
    let answers = ask(address.unwrap_or_else(|| panic!("{line}")), lines);
    child.kill().unwrap();
    child.wait().unwrap();
    answers
}

#[test]
fn a_port_leads_to_the_pod_while_the_job_is_followed() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let port = program("127.0.0.1:0", "first");
    let pair = format!("0:{port}");
    let words = [
        "submit",
        "-n",
        &cluster.namespace,
        "--name",
        "serve",
        "--port-forward",
        &pair,
        &base,
        "serve",
    ];
    let (child, said, addresses) = start(&mut cluster.command(&words), 1);
    let address = &addresses[0];
    // Before the program runs, a connection is closed.
    let mut early = TcpStream::connect(address).unwrap();
    assert_eq!(early.read(&mut [0]).unwrap(), 0);
    let pod = cluster.pod_of("serve", &[]);
    cluster.has_address(&pod, "127.0.0.1");
    cluster.prints(&pod, b"listening");
    cluster.runs(&pod);
    assert_eq!(ask(address, 1), answers("first", 1));
    assert_eq!(
        by_kubectl(&cluster, &pod, port, 5000),
        answers("first", 5000)
    );
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| assert_eq!(ask(address, 5000), answers("first", 5000)));
        }
    });
    cluster.exits(&pod, 0);
    let rest: Vec<String> = said.map(Result::unwrap).collect();
    let ran = end_of(child);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(0), "listening\n"));
    let closed = "a connection was closed: the Job serve doesn't run yet";
    assert!(rest.iter().any(|line| line.contains(closed)), "{rest:?}");
    assert!(
        TcpStream::connect(address).is_err(),
        "it is still listened on"
    );
}

#[test]
fn several_ports_lead_to_rank_0_and_a_cut_connection_is_not_the_last() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let server = cluster.url().trim_start_matches("https://").to_owned();
    let proxy = Proxy::to(&server, Death::Resets, 300_000);
    let file = cluster.project.outside().join("kubeconfig");
    let text = read(&cluster.kubeconfig).replace(&server, &proxy.address);
    std::fs::write(&file, text).unwrap();
    let ports = [
        program("127.0.0.1:0", "first"),
        program("127.0.0.1:0", "second"),
    ];
    let other = program(&format!("127.0.0.2:{}", ports[0]), "other");
    // Nothing listens at this one.
    let nothing = TcpListener::bind("127.0.0.1:0")
        .unwrap()
        .local_addr()
        .unwrap()
        .port();
    let pairs = [ports[0], ports[1], nothing].map(|port| format!("--port-forward=0:{port}"));
    let own = [
        "submit",
        "-n",
        &cluster.namespace,
        "--nodes",
        "2",
        "--name",
        "two",
    ];
    let pairs: Vec<&str> = pairs.iter().map(String::as_str).collect();
    let words = [&own[..], &pairs, &[&base, "serve"]].concat();
    let mut command = cluster.command(&words);
    let (child, mut said, addresses) = start(command.env("KUBECONFIG", &file), 3);
    let pods: Vec<String> = pods_of(&cluster, "two", 2).iter().map(name).collect();
    for (pod, address) in pods.iter().zip(["127.0.0.1", "127.0.0.2"]) {
        cluster.has_address(pod, address);
        cluster.runs(pod);
    }
    assert_eq!(ask(&addresses[0], 1), answers("first", 1));
    assert_eq!(ask(&addresses[1], 1), answers("second", 1));
    assert_eq!(ask(&addresses[2], 1), answers("", 0));
    let refused = format!("reach port {nothing} of the Pod {}", pods[0]);
    assert!(said.any(|line| line.unwrap().contains(&refused)));
    let cut = ask(&addresses[0], 20_000);
    assert!(proxy.is_over() && cut.len() < 20_000, "nothing was cut");
    assert_eq!(ask(&addresses[0], 1000), answers("first", 1000));
    // Later, and to the other one.
    let pair = format!("0:{other}");
    let words = [
        "logs",
        "-n",
        &cluster.namespace,
        "-f",
        "two",
        "--rank",
        "1",
        "--port-forward",
        &pair,
    ];
    let (later, _, addresses) = start(&mut cluster.command(&words), 1);
    assert_eq!(ask(&addresses[0], 1), answers("other", 1));
    assert_eq!(
        by_kubectl(&cluster, &pods[1], other, 1),
        answers("other", 1)
    );
    for pod in &pods {
        cluster.exits(pod, 0);
    }
    drop(said);
    assert_eq!((end_of(child).code, end_of(later).code), (Some(0), Some(0)));
}

#[test]
fn pairs_that_are_none_and_ports_that_are_taken() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap();
    let pair = format!("{}:80", address.port());
    let said_of_it =
        format!("--port-forward: {address} can't be listened on: Address already in use");
    for (flags, code, said) in [
        (
            &["--port-forward", "80:0"][..],
            2,
            "--port-forward: `80:0` is no pair of ports",
        ),
        (
            &["-d", "--port-forward", "0:80"],
            2,
            "mlbuild logs --follow --port-forward",
        ),
        (
            &["--port-forward", "0:80", "--port-forward", &pair],
            3,
            &said_of_it,
        ),
    ] {
        let ran = cluster.verb("submit", &[flags, &[&base]].concat());
        assert!(ran.refusal(code).contains(said), "{}", ran.stderr);
    }
    assert_eq!(cluster.project.runs(), [""; 0]);
    let jobs = cluster.get("apis/batch/v1", "jobs").unwrap();
    assert!(jobs["items"].as_array().unwrap().is_empty(), "{jobs}");
}
