//! The control plane that `integration/engines/up` starts, asked with curl, without any of the code
//! under test. It has no containers: what a kubelet would say of a pod is said here, through the
//! API, and what a container would print is written to where the node reads it.

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;

use serde_json::{Value, json};

use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};
use crate::support::wait;

/// A namespace of its own, and a project beside it.
pub struct Cluster {
    pub engines: Engines,
    pub project: Project,
    api: Api,
}

impl std::ops::Deref for Cluster {
    type Target = Api;

    fn deref(&self) -> &Api {
        &self.api
    }
}

/// The cluster as its administrator and its kubelet have it, in one namespace.
#[derive(Clone)]
pub struct Api {
    pub namespace: String,
    pub kubeconfig: PathBuf,
    logs: PathBuf,
    /// The node that pods are bound to.
    node: String,
}

impl Cluster {
    pub fn new() -> Self {
        let set = |name: &str| match std::env::var_os(name) {
            Some(value) => PathBuf::from(value),
            None => panic!("{name} is not set: run integration/engines/up kubernetes"),
        };
        let id = ulid::Ulid::r#gen().to_string().to_lowercase();
        let cluster = Self {
            engines: Engines::from_env(),
            project: Project::new(&[]),
            api: Api {
                namespace: format!("t-{id}"),
                kubeconfig: set("MLBUILD_TEST_KUBECONFIG"),
                logs: set("MLBUILD_TEST_KUBERNETES_LOGS"),
                node: set("MLBUILD_TEST_KUBERNETES_NODE").display().to_string(),
            },
        };
        cluster.create(
            "/api/v1/namespaces",
            &json!({"metadata": {"name": cluster.namespace}}),
        );
        cluster
    }

    /// What its kubelet has of it.
    pub fn api(&self) -> Api {
        self.api.clone()
    }

    /// `mlbuild` with arguments, which knows this cluster, not yet started.
    pub fn command(&self, args: &[&str]) -> Command {
        let mut command = self.project.command(args);
        command.env("KUBECONFIG", &self.kubeconfig);
        command
    }

    pub fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.command(args))
    }

    /// `mlbuild VERB -n NAMESPACE` with arguments.
    pub fn verb(&self, verb: &str, args: &[&str]) -> Ran {
        self.run(&[&[verb, "-n", &self.namespace], args].concat())
    }

    /// `mlbuild submit` with arguments, in the background.
    pub fn submit(&self, args: &[&str]) -> Child {
        let all = [&["submit", "-n", &self.namespace], args].concat();
        self.command(&all).spawn().unwrap()
    }
}

impl Api {
    /// The API server's address.
    pub fn url(&self) -> String {
        let text = crate::support::read(&self.kubeconfig);
        let address = regex::Regex::new(r"https://[0-9.:]+").unwrap();
        address.find(&text).unwrap().as_str().to_owned()
    }

    /// The folder of the certificates.
    pub fn certs(&self) -> PathBuf {
        self.kubeconfig.with_file_name("certs")
    }

    /// A client that asks for a path as the administrator.
    fn curl(&self, path: &str) -> Command {
        let certs = self.certs();
        let mut curl = Command::new("curl");
        curl.args(["--noproxy", "*", "--cacert"])
            .arg(certs.join("ca.pem"))
            .arg("--cert")
            .arg(certs.join("admin.pem"))
            .arg("--key")
            .arg(certs.join("admin-key.pem"))
            .arg(format!("{}{path}", self.url()));
        curl
    }

    /// One request as the administrator; the answer, and whether it is one of success.
    pub fn ask(&self, method: &str, path: &str, body: Option<(&str, &Value)>) -> (bool, Value) {
        let mut curl = self.curl(path);
        curl.args(["-sS", "-X", method, "--max-time", "120"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped());
        if let Some((kind, _)) = body {
            curl.args([
                "-H",
                &format!("Content-Type: {kind}"),
                "--data-binary",
                "@-",
            ]);
        }
        let mut child = curl.spawn().unwrap();
        let mut stdin = child.stdin.take().unwrap();
        if let Some((_, body)) = body {
            stdin.write_all(body.to_string().as_bytes()).unwrap();
        }
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success(), "curl {method} {path}");
        // Of a kind that it doesn't serve yet, the server says so in plain text.
        let answer: Value = serde_json::from_slice(&output.stdout).unwrap_or_else(
            |_| json!({"kind": "Status", "message": String::from_utf8_lossy(&output.stdout)}),
        );
        (
            answer["kind"] != "Status" || answer["status"] == "Success",
            answer,
        )
    }

    /// Whether it answers to a request at all, and well.
    pub fn ask_whether(&self, path: &str) -> bool {
        let mut curl = self.curl(path);
        curl.args(["-fsS", "-o", "/dev/null", "--max-time", "10"])
            .stderr(Stdio::null());
        curl.status().unwrap().success()
    }

    #[track_caller]
    pub fn create(&self, path: &str, object: &Value) -> Value {
        let (done, answer) = self.ask("POST", path, Some(("application/json", object)));
        assert!(done, "POST {path}: {answer}");
        answer
    }

    #[track_caller]
    pub fn patch(&self, path: &str, change: &Value) -> Value {
        let (done, answer) = self.ask(
            "PATCH",
            path,
            Some(("application/merge-patch+json", change)),
        );
        assert!(done, "PATCH {path}: {answer}");
        answer
    }

    /// Something of this namespace; `None` where there is none.
    pub fn get(&self, api: &str, what: &str) -> Option<Value> {
        let (done, answer) = self.ask("GET", &self.path(api, what), None);
        done.then_some(answer)
    }

    /// `api` is `api/v1` or `apis/GROUP/VERSION`.
    pub fn path(&self, api: &str, what: &str) -> String {
        format!("/{api}/namespaces/{}/{what}", self.namespace)
    }

    pub fn job(&self, name: &str) -> Option<Value> {
        self.get("apis/batch/v1", &format!("jobs/{name}"))
    }

    /// Waits until something is there.
    #[track_caller]
    pub fn wait_for<T>(&self, what: &str, look: impl FnMut() -> Option<T>) -> T {
        wait::until_some(what, look)
    }

    /// The newest pod of a Job that `known` doesn't hold, bound to the node.
    #[track_caller]
    pub fn pod_of(&self, job: &str, known: &[&str]) -> String {
        self.pod_labelled("batch.kubernetes.io/job-name", job, known)
    }

    /// The same of the pods whose `label` is `job`.
    #[track_caller]
    pub fn pod_labelled(&self, label: &str, job: &str, known: &[&str]) -> String {
        let selector = format!("pods?labelSelector={label}={job}");
        let pod = self.wait_for(&format!("pod of {job}"), || {
            let pods = self.get("api/v1", &selector)?;
            let names = pods["items"].as_array()?.iter();
            let mut names = names.map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned());
            names.find(|name| !known.contains(&name.as_str()))
        });
        let target =
            json!({"metadata": {"name": pod}, "target": {"kind": "Node", "name": self.node}});
        self.create(
            &self.path("api/v1", &format!("pods/{pod}/binding")),
            &target,
        );
        pod
    }

    /// What a kubelet would say of a pod's container.
    #[track_caller]
    pub fn says(&self, pod: &str, phase: &str, state: &Value) {
        let container = json!({
            "name": self.container(pod), "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": state,
        });
        self.status(
            pod,
            &json!({"phase": phase, "containerStatuses": [container]}),
        );
    }

    #[track_caller]
    pub fn status(&self, pod: &str, status: &Value) {
        let path = self.path("api/v1", &format!("pods/{pod}/status"));
        self.patch(&path, &json!({"status": status}));
    }

    /// Whether a pod is gone, or is to go.
    pub fn is_removed(&self, pod: &str) -> bool {
        let found = self.get("api/v1", &format!("pods/{pod}"));
        found.is_none_or(|pod| pod["metadata"]["deletionTimestamp"].is_string())
    }

    /// A pod's process has ended: the cluster hears so, and of a pod that is to go that it is gone.
    pub fn has_ended(&self, pod: &str, code: i32) {
        std::fs::write(self.log_file(pod).with_extension("end"), "").unwrap();
        let now = jiff::Timestamp::now().strftime("%Y-%m-%dT%H:%M:%SZ");
        let state = json!({"terminated": {"exitCode": code, "finishedAt": now.to_string()}});
        let container = json!({
            "name": self.container(pod), "image": "x", "imageID": "", "ready": false, "restartCount": 0, "state": state,
        });
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        let status = json!({"status": {"phase": phase, "containerStatuses": [container]}});
        let path = self.path("api/v1", &format!("pods/{pod}/status"));
        // It may be gone already.
        self.ask(
            "PATCH",
            &path,
            Some(("application/merge-patch+json", &status)),
        );
        if self.is_removed(pod) {
            let path = self.path("api/v1", &format!("pods/{pod}?gracePeriodSeconds=0"));
            self.ask("DELETE", &path, None);
        }
    }

    #[track_caller]
    pub fn runs(&self, pod: &str) {
        // A container that runs has a log, before it prints anything.
        let log = self.log_file(pod);
        std::fs::create_dir_all(log.parent().unwrap()).unwrap();
        let mut options = std::fs::OpenOptions::new();
        options.append(true).create(true).open(log).unwrap();
        self.says(pod, "Running", &json!({"running": {}}));
    }

    #[track_caller]
    pub fn exits(&self, pod: &str, code: i32) {
        std::fs::write(self.log_file(pod).with_extension("end"), "").unwrap();
        let phase = if code == 0 { "Succeeded" } else { "Failed" };
        self.says(pod, phase, &json!({"terminated": {"exitCode": code}}));
    }

    /// A line of a container's output.
    pub fn prints(&self, pod: &str, line: &[u8]) {
        let path = self.log_file(pod);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        let mut file = std::fs::OpenOptions::new()
            .append(true)
            .create(true)
            .open(path)
            .unwrap();
        // In one write: the node may be reading.
        let whole = [
            format!("{} ", jiff::Timestamp::now()).as_bytes(),
            line,
            b"\n",
        ]
        .concat();
        file.write_all(&whole).unwrap();
    }

    /// Gives a pod an address of this machine, whose ports are the pod's.
    pub fn has_address(&self, pod: &str, address: &str) {
        let folder = self.logs.join(&self.namespace).join(pod);
        std::fs::create_dir_all(&folder).unwrap();
        std::fs::write(folder.join("address"), address).unwrap();
    }

    fn log_file(&self, pod: &str) -> PathBuf {
        let folder = self.logs.join(&self.namespace).join(pod);
        folder.join(self.container(pod))
    }

    /// The name of a pod's first container, which never changes.
    fn container(&self, pod: &str) -> String {
        static KNOWN: Mutex<BTreeMap<String, String>> = Mutex::new(BTreeMap::new());
        let key = format!("{}/{pod}", self.namespace);
        if let Some(name) = KNOWN.lock().unwrap().get(&key) {
            return name.clone();
        }
        let found = self.get("api/v1", &format!("pods/{pod}"));
        let name =
            found.and_then(|pod| Some(pod["spec"]["containers"][0]["name"].as_str()?.to_owned()));
        let name = name.unwrap_or_else(|| "main".to_owned());
        KNOWN.lock().unwrap().insert(key, name.clone());
        name
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        // Nothing here empties a namespace that is to go.
        for (api, plural) in [
            ("apis/jobset.x-k8s.io/v1alpha2", "jobsets"),
            ("apis/kubeflow.org/v1", "pytorchjobs"),
            ("apis/kubeflow.org/v2beta1", "mpijobs"),
            ("apis/batch/v1", "jobs"),
        ] {
            let all = format!("{plural}?propagationPolicy=Background");
            self.ask("DELETE", &self.path(api, &all), None);
        }
        self.ask(
            "DELETE",
            &format!("/api/v1/namespaces/{}", self.namespace),
            None,
        );
        let _ = std::fs::remove_dir_all(self.logs.join(&self.namespace));
    }
}

/// Waits for a command that runs in the background.
pub fn end_of(child: Child) -> Ran {
    child.wait_with_output().unwrap().into()
}
