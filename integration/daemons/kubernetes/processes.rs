//! Pods as processes of this machine, started from their specifications as a kubelet would start them: variables
//! with references and fields of the pod, `command` and `args` with references, and the names that a headless
//! Service gives to its pods, in an /etc/hosts of their own. Each pod has an address of its own on loopback.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader};
use std::os::unix::process::ExitStatusExt as _;
use std::path::PathBuf;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use super::cluster::Cluster;

/// The pods of a Job of several, found and bound to the node, by their numbers.
#[track_caller]
pub fn pods_of(cluster: &Cluster, job: &str, count: usize) -> Vec<Value> {
    pods_labelled(cluster, "batch.kubernetes.io/job-name", job, count)
}

/// The same of the pods whose `label` is `job`.
#[track_caller]
pub fn pods_labelled(cluster: &Cluster, label: &str, job: &str, count: usize) -> Vec<Value> {
    more_pods(cluster, label, job, count, &[])
}

/// The same of those that aren't `known`.
#[track_caller]
pub fn more_pods(
    cluster: &Cluster,
    label: &str,
    job: &str,
    count: usize,
    known: &[&str],
) -> Vec<Value> {
    let mut names: Vec<String> = Vec::new();
    for _ in 0..count {
        let all: Vec<&str> = names.iter().map(String::as_str).collect();
        names.push(cluster.pod_labelled(label, job, &[known, &all].concat()));
    }
    let pods = names.iter();
    let pods = pods.map(|name| cluster.get("api/v1", &format!("pods/{name}")).unwrap());
    let mut pods: Vec<Value> = pods.collect();
    pods.sort_by_key(number);
    pods
}

/// The name of a pod.
pub fn name(pod: &Value) -> String {
    pod["metadata"]["name"].as_str().unwrap().to_owned()
}

/// The number of a pod: that of an indexed Job's, or the one that Kubeflow's operators give it.
fn number(pod: &Value) -> u32 {
    let metadata = &pod["metadata"];
    let of_job = &metadata["annotations"]["batch.kubernetes.io/job-completion-index"];
    if let Some(number) = of_job.as_str() {
        return number.parse().unwrap();
    }
    let label = |name: &str| metadata["labels"][format!("training.kubeflow.org/{name}")].as_str();
    let own: u32 = label("replica-index").map_or(0, |number| number.parse().unwrap());
    own + u32::from(label("replica-type") == Some("worker"))
}

/// The lines of /etc/hosts that a cluster's DNS would answer for these pods: names of the headless Services
/// whose selectors they have.
pub fn hosts(cluster: &Cluster, pods: &[Value]) -> PathBuf {
    let [a, b] = rand_address();
    let mut text = "127.0.0.1 localhost\n".to_owned();
    let services = cluster.get("api/v1", "services").unwrap();
    for (at, pod) in pods.iter().enumerate() {
        let mut names = Vec::new();
        for service in services["items"].as_array().unwrap() {
            let selector = service["spec"]["selector"].as_object().unwrap();
            let has = |pod: &Value| {
                let labels = &pod["metadata"]["labels"];
                selector
                    .iter()
                    .all(|(label, value)| &labels[label] == value)
            };
            if !has(pod) {
                continue;
            }
            assert_eq!(service["spec"]["clusterIP"], "None");
            let own = name(service);
            match pod["spec"]["hostname"].as_str() {
                Some(host) if pod["spec"]["subdomain"] == own.as_str() => {
                    assert_eq!(service["spec"]["publishNotReadyAddresses"], true);
                    names.push(format!("{host}.{own}"));
                }
                // Of one pod alone it is the name.
                _ if pods.iter().filter(|pod| has(pod)).count() == 1 => names.push(own),
                _ => {}
            }
        }
        assert!(!names.is_empty(), "{} has no name", name(pod));
        text += &format!("127.{a}.{b}.{} {}\n", at + 1, names.join(" "));
    }
    let file = cluster.project.outside().join(format!("hosts-{a}-{b}"));
    std::fs::write(&file, text).unwrap();
    file
}

/// Tests run beside one another, each with its own addresses.
fn rand_address() -> [u8; 2] {
    let id = ulid::Ulid::r#gen().to_bytes();
    [id[14] % 250 + 2, id[15]]
}

/// Variables as the kubelet has them: fields of the pod, and references to those before.
pub fn variables(pod: &Value) -> BTreeMap<String, String> {
    let mut all = BTreeMap::new();
    let container = &pod["spec"]["containers"][0];
    for variable in container["env"].as_array().into_iter().flatten() {
        let name = variable["name"].as_str().unwrap().to_owned();
        let value = match variable["valueFrom"]["fieldRef"]["fieldPath"].as_str() {
            Some(path) => {
                let (of, key) = path.strip_suffix("']").unwrap().split_once("['").unwrap();
                let of = of.strip_prefix("metadata.").unwrap();
                pod["metadata"][of][key].as_str().unwrap().to_owned()
            }
            None => expand(variable["value"].as_str().unwrap_or_default(), &all),
        };
        all.insert(name, value);
    }
    all
}

/// `$(NAME)` of a known variable is its value, `$$` is `$`, and everything else stays.
fn expand(text: &str, known: &BTreeMap<String, String>) -> String {
    let reference = regex::Regex::new(r"\$\$|\$\(([A-Za-z_.-][A-Za-z0-9_.-]*)\)").unwrap();
    let replaced = reference.replace_all(text, |found: &regex::Captures<'_>| match found.get(1) {
        None => "$".to_owned(),
        Some(name) => known
            .get(name.as_str())
            .cloned()
            .unwrap_or_else(|| found[0].to_owned()),
    });
    replaced.into_owned()
}

/// The words that a pod's first container is started with.
pub fn words(pod: &Value) -> Vec<String> {
    words_of(pod, &pod["spec"]["containers"][0])
}

/// The same of any of its containers; images have no entry point here.
pub fn words_of(pod: &Value, container: &Value) -> Vec<String> {
    let all = ["command", "args"].into_iter();
    let all = all.flat_map(|key| container[key].as_array().cloned().unwrap_or_default());
    let known = variables(pod);
    all.map(|word| expand(word.as_str().unwrap(), &known))
        .collect()
}

/// A pod's process. It ends when the cluster removes the pod, as a kubelet ends it, and the cluster hears of
/// its output and its end.
pub struct Process(JoinHandle<ExitStatus>);

impl Process {
    /// Waits for its end.
    pub fn end(self) -> ExitStatus {
        self.0.join().unwrap()
    }
}

/// Starts the pods' processes, with `PATH` first among the folders of programs.
pub fn start(cluster: &Cluster, pods: &[Value], path: &str) -> Vec<Process> {
    start_with(cluster, pods, path, &hosts(cluster, pods))
}

/// /etc/hosts of pods that have no names.
pub fn hosts_of_none(cluster: &Cluster) -> PathBuf {
    let file = cluster.project.outside().join("hosts");
    std::fs::write(&file, "127.0.0.1 localhost\n").unwrap();
    file
}

/// The same, with this /etc/hosts.
pub fn start_with(
    cluster: &Cluster,
    pods: &[Value],
    path: &str,
    hosts: &std::path::Path,
) -> Vec<Process> {
    let start = |pod: &Value| {
        let (name, words, pod, hosts) = (name(pod), words(pod), pod.clone(), hosts.to_owned());
        let path = path.to_owned();
        let kubelet = cluster.api();
        Process(std::thread::spawn(move || {
            let script = "mount --bind \"$0\" /etc/hosts && exec \"$@\"";
            let mut command = Command::new("unshare");
            command
                .args(["--mount", "sh", "-c", script])
                .arg(&hosts)
                .args(&words)
                .env("PATH", path)
                .envs(variables(&pod))
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .stderr(Stdio::inherit());
            let mut child = command.spawn().unwrap();
            let output = BufReader::new(child.stdout.take().unwrap());
            let pid = Pid::from_child(&child);
            kubelet.runs(&name);
            let is_over = AtomicBool::new(false);
            let status = std::thread::scope(|scope| {
                scope.spawn(|| {
                    for line in output.lines() {
                        kubelet.prints(&name, line.unwrap().as_bytes());
                    }
                });
                scope.spawn(|| {
                    while !is_over.load(Ordering::Relaxed) {
                        if kubelet.is_removed(&name) {
                            let _ = kill_process(pid, Signal::TERM);
                        }
                        std::thread::sleep(Duration::from_millis(250));
                    }
                });
                let status = child.wait().unwrap();
                is_over.store(true, Ordering::Relaxed);
                status
            });
            let code = status.code().or(status.signal().map(|signal| 128 + signal));
            kubelet.has_ended(&name, code.unwrap());
            status
        }))
    };
    pods.iter().map(start).collect()
}
