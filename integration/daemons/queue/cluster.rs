//! Queues of Kubernetes, with a real API server, its Job controller, and both stores. What a kubelet would
//! say of a pod is said as in the other tests of clusters.

use std::collections::{BTreeMap, BTreeSet};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{Agent, Setting};
use crate::kubernetes::cluster::Cluster;
use crate::proxy::{Death, Proxy};
use crate::support::mlbuild::{Project, Ran};
use crate::support::random::Random;
use crate::support::wait::{self, HANG};

/// A queue `q` of Kubernetes.
struct Place {
    setting: Setting,
    cluster: Cluster,
}

const TRAINS: &str = r#"
spec:
  ttlSecondsAfterFinished: 3600
  template:
    spec:
      containers:
        - name: main
          image: ${image_uri}
          env: [{name: STAGE, value: "run-${run_id}"}]
          resources: {limits: {cpu: "{{cpus}}"}}
metadata: {labels: {team: cracks}}
template_variables:
  cpus: {schema: {type: integer, default: 2, minimum: 1, maximum: 8}}
"#;

impl Place {
    fn new(setting: Setting, config: &str) -> Self {
        setting.project.write("queue.yaml", config);
        setting.project.write("launch-config.yaml", "");
        setting
            .run(&["queue", "create", "q", "--config", "queue.yaml"])
            .answer();
        Self {
            setting,
            cluster: Cluster::new(),
        }
    }

    fn command(&self, args: &[&str]) -> Command {
        let mut command = self.setting.command(args);
        command
            .env("KUBECONFIG", &self.cluster.kubeconfig)
            // No Docker takes part.
            .env("DOCKER_HOST", "unix:///nowhere/docker.sock");
        command
    }

    fn run(&self, args: &[&str]) -> Ran {
        Ran::of(&mut self.command(args))
    }

    /// The words of an agent of this cluster.
    fn agent_words<'a>(&'a self, more: &[&'a str]) -> Vec<&'a str> {
        let own = [
            "agent",
            "-q",
            "q",
            "--lease",
            "2",
            "-n",
            &self.cluster.namespace,
            "--config",
            "launch-config.yaml",
        ];
        [&own[..], more].concat()
    }

    fn agent(&self, more: &[&str]) -> Agent {
        let mut command = self.command(&self.agent_words(more));
        command.stdout(Stdio::null());
        if std::env::var_os("MLBUILD_TEST_AGENT_STORY").is_none() {
            command.stderr(Stdio::null());
        } else {
            command.stderr(Stdio::inherit());
        }
        Agent(command.spawn().unwrap())
    }

    /// An agent that ends when nothing is left to do.
    fn drain(&self) -> Child {
        let mut command = self.command(&self.agent_words(&["--exit-when-idle"]));
        command.stdout(Stdio::null()).stderr(Stdio::piped());
        command.spawn().unwrap()
    }

    fn launch(&self, flags: &[&str], command: &[&str]) -> String {
        let base = self.setting.engines.base.clone();
        let head = ["launch", "-q", "q", "--image", &base];
        let words = [&head, flags, &["--"], command].concat();
        self.run(&words).answer().to_owned()
    }
}

fn story(child: Child) -> String {
    let ended = child.wait_with_output().unwrap();
    let story = String::from_utf8(ended.stderr).unwrap();
    assert_eq!(ended.status.code(), Some(0), "{story}");
    story
}

fn object_of(id: &str) -> String {
    format!("mlbuild-{}-1", id.to_lowercase())
}

#[test]
fn a_manifest_becomes_a_job_that_is_followed_to_its_end() {
    for (store, setting) in Setting::both() {
        let place = Place::new(setting, TRAINS);
        let cluster = &place.cluster;
        let id = place.launch(&["--set-var", "cpus=4"], &["python", "train.py"]);
        let agent = place.drain();
        let pod = cluster.pod_of(&object_of(&id), &[]);
        let found = cluster.get("api/v1", &format!("pods/{pod}")).unwrap();
        let (spec, container) = (&found["spec"], &found["spec"]["containers"][0]);
        let image = container["image"].as_str().unwrap();
        assert!(image.contains("/debian@sha256:"), "{store}: {image}");
        assert_eq!(container["args"], json!(["python", "train.py"]), "{store}");
        assert_eq!(container["resources"]["limits"]["cpu"], "4", "{store}");
        assert_eq!(spec["automountServiceAccountToken"], false, "{store}");
        assert_eq!(spec["restartPolicy"], "Never", "{store}");
        let env = container["env"].to_string();
        for part in [
            format!("run-{id}"),
            format!(r#""MLBUILD_RUN_ID","value":"{id}""#),
        ] {
            assert!(env.contains(&part), "{store}: {env}");
        }
        cluster.prints(&pod, b"loss 0.5");
        cluster.runs(&pod);
        wait::until("its log can be read while it runs", || {
            let logs = place.run(&["jobs", "logs", &id]);
            logs.code == Some(0) && logs.stdout == "loss 0.5\n"
        });
        // Its end isn't written down: the cluster is to keep it.
        let job = cluster.job(&object_of(&id)).unwrap();
        assert_eq!(
            job["spec"]["ttlSecondsAfterFinished"],
            Value::Null,
            "{store}"
        );
        assert_eq!(job["metadata"]["labels"]["team"], "cracks", "{store}");
        cluster.prints(&pod, b"no such file");
        cluster.exits(&pod, 7);
        let told = story(agent);
        assert!(told.contains("exit code 7"), "{store}: {told}");
        let job = place.setting.job(&id);
        assert_eq!(
            (&job["state"], &job["exit_code"], &job["image"]),
            (&"failed".into(), &7.into(), &image.into()),
            "{store}: {job:#}"
        );
        assert_eq!(
            place.run(&["jobs", "logs", &id]).answer(),
            "loss 0.5\nno such file",
            "{store}"
        );
        let shown = place.run(&["jobs", "show", &id]).answer().to_owned();
        let named = format!("Job {}/{}", cluster.namespace, object_of(&id));
        assert!(shown.contains(&named), "{store}: {shown}");
        let run = place
            .run(&["runs", "show", &id, "--format", "json"])
            .json()
            .to_string();
        assert!(
            run.contains("\"exit_code\":7") && run.contains(&cluster.namespace),
            "{store}: {run}"
        );
        let job = cluster.job(&object_of(&id)).unwrap();
        assert_eq!(job["spec"]["ttlSecondsAfterFinished"], 3600, "{store}");
    }
}

#[test]
fn a_try_again_is_another_object() {
    let place = Place::new(Setting::sqlite(), "kind: Job\n");
    let id = place.launch(&["--retries", "1"], &["train"]);
    let agent = place.drain();
    let pod = place.cluster.pod_of(&object_of(&id), &[]);
    place.cluster.prints(&pod, b"one");
    place.cluster.exits(&pod, 1);
    let second = format!("mlbuild-{}-2", id.to_lowercase());
    let pod = place.cluster.pod_of(&second, &[]);
    place.cluster.prints(&pod, b"done");
    place.cluster.exits(&pod, 0);
    story(agent);
    let job = place.setting.job(&id);
    assert_eq!(
        (&job["state"], &job["attempt"], &job["run_id"]),
        (&"succeeded".into(), &2.into(), &format!("{id}-2").into())
    );
}

#[test]
fn code_is_built_and_pushed_to_where_the_cluster_pulls_from() {
    let config = "metadata: {labels: {owner: '${entity_name}', of: '${project_name}'}}\n";
    let place = Place::new(Setting::sqlite(), config);
    let (registry, base) = (&place.setting.engines.registry, &place.setting.engines.base);
    let dockerfile = format!("FROM {base}\nCOPY . /app\n");
    let code = Project::new(&[
        ("Dockerfile", &dockerfile),
        ("mlbuild.toml", "[image]\ndockerfile = \"Dockerfile\"\n"),
        ("said", &ulid::Ulid::r#gen().to_string()),
    ]);
    let folder = code.path("").to_string_lossy().into_owned();
    let launch = || {
        let words = [
            "launch",
            "-q",
            "q",
            "--job",
            &folder,
            "--",
            "sh",
            "/app/said",
        ];
        place.run(&words).answer().to_owned()
    };
    let drain = || {
        let mut command = place.command(&place.agent_words(&["--exit-when-idle"]));
        command.env("BUILDKIT_HOST", &place.setting.engines.buildkitd);
        command.stdout(Stdio::null()).spawn().unwrap()
    };
    let unpushed = launch();
    story(drain());
    let job = place.setting.job(&unpushed);
    assert!(
        job["error"].as_str().unwrap().contains("no registry"),
        "{job:#}"
    );
    let text = format!("entity: acme\nregistry: {{uri: {registry}/cluster}}\n");
    place.setting.project.write("launch-config.yaml", &text);
    let id = launch();
    let agent = drain();
    let pod = place.cluster.pod_of(&object_of(&id), &[]);
    let found = place.cluster.get("api/v1", &format!("pods/{pod}")).unwrap();
    let image = found["spec"]["containers"][0]["image"].as_str().unwrap();
    let built = format!("{registry}/cluster/mlbuild-job@sha256:");
    assert!(image.starts_with(&built), "{image}");
    let made = place.cluster.job(&object_of(&id)).unwrap();
    assert_eq!(made["metadata"]["labels"]["owner"], "acme");
    place.cluster.prints(&pod, b"said");
    place.cluster.exits(&pod, 0);
    story(agent);
    assert_eq!(place.setting.job(&id)["state"], "succeeded");
    // It is a job of the queue, and no second one of the cluster.
    let words = [
        "jobs",
        "list",
        "--namespace",
        &place.cluster.namespace,
        "--format",
        "json",
    ];
    let listed = place.run(&words).json();
    let listed = listed["jobs"].as_array().unwrap();
    assert_eq!(listed.len(), 2, "{listed:#?}");
}

#[test]
fn a_cancelled_job_is_removed_from_the_cluster() {
    let place = Place::new(Setting::sqlite(), TRAINS);
    let id = place.launch(&[], &["train"]);
    let agent = place.drain();
    let pod = place.cluster.pod_of(&object_of(&id), &[]);
    place.cluster.runs(&pod);
    place.run(&["jobs", "cancel", &id]).answer();
    story(agent);
    assert_eq!(place.setting.job(&id)["state"], "cancelled");
    assert!(place.cluster.job(&object_of(&id)).is_none());
}

#[test]
fn what_cant_run_fails_and_says_why() {
    let place = Place::new(Setting::sqlite(), TRAINS);
    let registry = &place.setting.engines.registry;
    let missing = format!("{registry}/no/such:v1");
    let missing = place
        .run(&["launch", "-q", "q", "--image", &missing])
        .answer()
        .to_owned();
    let invalid = place.launch(&["--set", "spec.parallelism=-1"], &["train"]);
    let stuck = place.launch(&[], &["train"]);
    let gone = place.launch(&[], &["train"]);
    let mut words = place.agent_words(&["--exit-when-idle", "--max-jobs", "4"]);
    words.retain(|word| !word.is_empty());
    let mut agent = place.command(&words);
    let agent = agent.stderr(Stdio::piped()).spawn().unwrap();
    let pod = place.cluster.pod_of(&object_of(&stuck), &[]);
    let why = json!({"waiting": {"reason": "ImagePullBackOff", "message": "no such image"}});
    place.cluster.says(&pod, "Pending", &why);
    place.cluster.pod_of(&object_of(&gone), &[]);
    let path = place
        .cluster
        .path("apis/batch/v1", &format!("jobs/{}", object_of(&gone)));
    place.cluster.ask(
        "DELETE",
        &format!("{path}?propagationPolicy=Background"),
        None,
    );
    story(agent);
    for (id, said) in [
        (&missing, "no/such"),
        (&invalid, "spec.parallelism"),
        (&stuck, "can't start: ImagePullBackOff: no such image"),
        (&gone, "was removed before its end was seen"),
    ] {
        let job = place.setting.job(id);
        let error = job["error"].as_str().unwrap_or_default();
        assert!(
            job["state"] == "failed" && error.contains(said),
            "{said}: {job:#}"
        );
    }
    assert!(place.cluster.job(&object_of(&stuck)).is_none());
}

#[test]
fn an_agents_policy_holds_for_manifests() {
    let config = "spec: {template: {spec: {hostNetwork: true, containers: [{name: main}]}}}\n";
    let place = Place::new(Setting::sqlite(), config);
    let refused = place.launch(&[], &["train"]);
    story(place.drain());
    let job = place.setting.job(&refused);
    let error = job["error"].as_str().unwrap();
    assert!(
        error.contains("hostNetwork")
            && error.contains("policy.kubernetes.fields: [\"hostNetwork\"]"),
        "{error}"
    );
    assert!(place.cluster.job(&object_of(&refused)).is_none());
    let rules = "policy:\n  kubernetes:\n    fields: [hostNetwork]\n";
    place.setting.project.write("launch-config.yaml", rules);
    let passed = place.launch(&[], &["train"]);
    let agent = place.drain();
    let pod = place.cluster.pod_of(&object_of(&passed), &[]);
    place.cluster.prints(&pod, b"done");
    place.cluster.exits(&pod, 0);
    story(agent);
    assert_eq!(place.setting.job(&passed)["state"], "succeeded");
    // What bounds containers of a machine bounds nothing in a cluster.
    place
        .setting
        .project
        .write("launch-config.yaml", "policy: {gpus: 1}\n");
    let said = place.run(&place.agent_words(&["--exit-when-idle"]));
    assert!(said.refusal(2).contains("policy.gpus"), "{said:?}");
}

#[test]
fn kinds_that_the_cluster_learnt_are_followed_by_their_own_words() {
    let setting = Setting::sqlite();
    let place = Place::new(
        setting,
        "apiVersion: tests.mlbuild.dev/v1\nkind: Training\nmetadata: {name: 'my-${run_id}'}\n\
         spec: {parts: [{template: {spec: {containers: [{name: main, image: '${image_uri}'}]}}}]}\n",
    );
    place.setting.project.write(
        "launch-config.yaml",
        "policy: {kubernetes: {kinds: [Training.tests.mlbuild.dev]}}\n",
    );
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": "trainings.tests.mlbuild.dev"},
        "spec": {
            "group": "tests.mlbuild.dev", "scope": "Namespaced",
            "names": {"kind": "Training", "plural": "trainings", "singular": "training"},
            "versions": [{"name": "v1", "served": true, "storage": true, "subresources": {"status": {}},
                "schema": {"openAPIV3Schema": open}}],
        },
    });
    let definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
    let ask = |method: &str, path: &str| place.cluster.ask(method, path, None);
    // Before the cluster has learnt it.
    let early = place.launch(&[], &["train"]);
    story(place.drain());
    let error = place.setting.job(&early)["error"]
        .as_str()
        .unwrap()
        .to_owned();
    assert!(
        error.contains("no kind Training of tests.mlbuild.dev/v1"),
        "{error}"
    );
    place.cluster.create(definitions, &definition);
    wait::until("the cluster has the kind", || {
        ask("GET", "/apis/tests.mlbuild.dev/v1").1["resources"].is_array()
    });
    let ends = [("Succeeded", "succeeded"), ("Failed", "failed")];
    let ids = ends.map(|(condition, state)| {
        let id = place.launch(&[], &["train"]);
        let agent = place.drain();
        let name = format!("my-{}", id.to_lowercase());
        let what = format!("trainings/{name}");
        let made = place.cluster.wait_for("the object", || {
            place.cluster.get("apis/tests.mlbuild.dev/v1", &what)
        });
        let container = &made["spec"]["parts"][0]["template"]["spec"]["containers"][0];
        assert_eq!(container["args"], json!(["train"]));
        let path = place
            .cluster
            .path("apis/tests.mlbuild.dev/v1", &format!("{what}/status"));
        let all = json!([
            {"type": "Created", "status": "True"},
            {"type": condition, "status": "True", "reason": "Operator", "message": "said so"},
        ]);
        place
            .cluster
            .patch(&path, &json!({"status": {"conditions": all}}));
        story(agent);
        (id, state)
    });
    ask(
        "DELETE",
        &format!("{definitions}/trainings.tests.mlbuild.dev"),
    );
    for (id, state) in ids {
        let job = place.setting.job(&id);
        assert_eq!(job["state"], state, "{job:#}");
        if state == "failed" {
            assert_eq!(job["error"], "Operator: said so");
        }
    }
}

#[test]
fn what_doesnt_fit_is_refused_where_it_is_typed() {
    let place = Place::new(Setting::sqlite(), TRAINS);
    let base = place.setting.engines.base.clone();
    let launch =
        |flags: &[&str]| place.run(&[&["launch", "-q", "q", "--image", &base], flags].concat());
    for (flags, said) in [
        (&["--set-var", "cpus=9"][..], "from 1 to 8"),
        (&["--set-var", "cpu=1"], "did you mean `cpus`?"),
        (&["--gpus", "1"], "hands GPUs out itself"),
        (
            &["--set", "shm-size=1g", "--set", "kind=Pod"],
            "is the queue's to say",
        ),
    ] {
        let ran = launch(flags);
        assert!(ran.refusal(2).contains(said), "{ran:?}");
    }
    let docker = place.run(&[
        "queue",
        "create",
        "d",
        "--kind",
        "docker",
        "--config",
        "queue.yaml",
    ]);
    assert!(
        docker.refusal(2).contains("is one of kubernetes"),
        "{docker:?}"
    );
    place
        .run(&["queue", "create", "k", "--kind", "kubernetes"])
        .answer();
    assert_eq!(
        place.run(&["queue", "show", "k"]).answer(),
        "apiVersion: batch/v1\nkind: Job"
    );
    place.run(&["queue", "create", "d"]).answer();
    let other = place.run(&[
        "queue",
        "create",
        "d",
        "--replace",
        "--config",
        "queue.yaml",
    ]);
    assert!(other.refusal(2).contains("one of docker"), "{other:?}");
    let both = place.run(&["agent", "-q", "q", "-q", "d", "--exit-when-idle"]);
    assert!(
        both.refusal(2).contains("q (kubernetes), d (docker)"),
        "{both:?}"
    );
    let podman = place.run(&["agent", "-q", "q", "--runtime-cli", "podman"]);
    assert!(podman.refusal(2).contains("--runtime-cli"), "{podman:?}");
    let namespace = place.setting.run(&["agent", "-q", "d", "-n", "ml"]);
    assert!(
        namespace.refusal(2).contains("a kubeconfig is named"),
        "{namespace:?}"
    );
}

/// Where the API server has Jobs, and JobSets.
const JOBS: (&str, &str) = ("apis/batch/v1", "jobs");
const JOBSETS: (&str, &str) = ("apis/jobset.x-k8s.io/v1alpha2", "jobsets");

/// What a kubelet does, for all pods of a namespace: each runs for a moment and succeeds. Returns the objects
/// of a kind that were seen, each with what told it from others of its name.
fn kubelet(
    cluster: &Cluster,
    (api, plural): (&str, &str),
    stop: &AtomicBool,
) -> BTreeMap<String, BTreeSet<String>> {
    let mut seen: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    let mut done: BTreeSet<String> = BTreeSet::new();
    while !stop.load(Ordering::Relaxed) {
        let jobs = cluster.get(api, plural).unwrap_or_default();
        for job in jobs["items"].as_array().into_iter().flatten() {
            let text = |key: &str| job["metadata"][key].as_str().unwrap().to_owned();
            seen.entry(text("name")).or_default().insert(text("uid"));
        }
        let pods = cluster.get("api/v1", "pods").unwrap_or_default();
        for pod in pods["items"].as_array().into_iter().flatten() {
            let name = pod["metadata"]["name"].as_str().unwrap().to_owned();
            if !done.contains(&name) {
                let path = cluster.path("api/v1", &format!("pods/{name}/status"));
                let state = json!({"terminated": {"exitCode": 0}});
                let container = json!({"name": pod["spec"]["containers"][0]["name"], "image": "x", "imageID": "",
                    "ready": false, "restartCount": 0, "state": state});
                let status = json!({"phase": "Succeeded", "containerStatuses": [container]});
                let change = json!({ "status": status });
                let change = ("application/merge-patch+json", &change);
                if cluster.ask("PATCH", &path, Some(change)).0 {
                    done.insert(name);
                }
            }
        }
        thread::sleep(Duration::from_millis(100));
    }
    seen
}

/// Ends a [`kubelet`], also where the test fails.
struct Ends<'a>(&'a AtomicBool);

impl Drop for Ends<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Does something while pods come to their ends; gives the objects that were seen meanwhile, too.
fn with_pods<T>(
    cluster: &Cluster,
    kind: (&str, &str),
    work: impl FnOnce() -> T,
) -> (T, BTreeMap<String, BTreeSet<String>>) {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let pods = scope.spawn(|| kubelet(cluster, kind, &stop));
        let ends = Ends(&stop);
        let done = work();
        drop(ends);
        (done, pods.join().unwrap())
    })
}

/// Waits until all jobs are over, and holds each against its object: made once, and succeeded.
fn each_once(
    place: &Place,
    kind: (&str, &str),
    ids: &[String],
    during: impl FnOnce() -> [Agent; 2],
) {
    let ((), seen) = with_pods(&place.cluster, kind, || {
        let _agents = during();
        let until = Instant::now() + HANG;
        let store = place.setting.open();
        while !store.is_idle(&["q".to_owned()]).unwrap() {
            let left = store.jobs(&Default::default()).unwrap();
            let left: Vec<_> = left
                .iter()
                .map(|job| (&job.id, job.state, &job.container))
                .collect();
            assert!(Instant::now() < until, "{left:#?}");
            thread::sleep(Duration::from_millis(200));
        }
    });
    for id in ids {
        let job = place.setting.job(id);
        assert_eq!(
            (&job["state"], &job["attempt"]),
            (&"succeeded".into(), &1.into()),
            "{job:#}"
        );
        let uids = seen.get(&object_of(id));
        assert_eq!(uids.map(BTreeSet::len), Some(1), "{id}: {seen:?}");
    }
    assert_eq!(seen.len(), ids.len());
    let records = place.run(&["runs", "list", "--format", "json"]).json();
    assert_eq!(records["runs"].as_array().unwrap().len(), ids.len());
}

fn killed_at_random(setting: Setting, config: &str, kind: (&str, &str), jobs: usize, kills: usize) {
    let place = Place::new(setting, config);
    let ids: Vec<String> = (0..jobs).map(|_| place.launch(&[], &["train"])).collect();
    each_once(&place, kind, &ids, || {
        let begin = || place.agent(&["--max-jobs", "4"]);
        let mut agents = [begin(), begin()];
        let mut random = Random::from_env();
        for _ in 0..kills {
            thread::sleep(Duration::from_millis(20 + random.below(700)));
            let one = random.below(2) as usize;
            let was_alive = agents[one].0.try_wait().unwrap().is_none();
            assert!(was_alive, "the agent ended by itself");
            agents[one].0.kill().unwrap();
            agents[one].0.wait().unwrap();
            agents[one] = begin();
        }
        // Those that are alive do what is left.
        agents
    });
}

#[test]
fn killed_agents_lose_no_object_with_sqlite() {
    killed_at_random(Setting::sqlite(), TRAINS, JOBS, 24, 25);
}

#[test]
fn killed_agents_lose_no_object_with_postgresql() {
    killed_at_random(Setting::postgres(), TRAINS, JOBS, 24, 25);
}

/// A set of two pods, whose operator is JobSet's own.
const SET: &str = r#"
apiVersion: jobset.x-k8s.io/v1alpha2
kind: JobSet
spec:
  replicatedJobs:
    - name: node
      template:
        spec:
          completions: 2
          parallelism: 2
          backoffLimit: 0
          template:
            spec:
              restartPolicy: Never
              containers: [{name: main, image: "${image_uri}"}]
"#;

#[test]
fn killed_agents_lose_no_set() {
    killed_at_random(Setting::postgres(), SET, JOBSETS, 6, 10);
}

#[test]
fn what_operators_authors_show_is_done_as_a_queue() {
    let examples = std::env::var("MLBUILD_TEST_KUBERNETES_EXAMPLES").unwrap();
    // The image is the job's, and the namespace the agent's.
    let image = regex::Regex::new(r"image: .*").unwrap();
    let namespace = regex::Regex::new(r#"\n +namespace: .*"#).unwrap();
    let mut files: Vec<_> = std::fs::read_dir(examples)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.sort();
    assert_eq!(files.len(), 5, "{files:?}");
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let text = image.replace_all(&text, "image: $${image_uri}");
        let text = namespace.replace_all(&text, "");
        let place = Place::new(Setting::sqlite(), &text);
        let id = place.launch(&[], &[]);
        let mut command = place.command(&place.agent_words(&["--exit-when-idle"]));
        let (ran, _) = with_pods(&place.cluster, JOBS, || Ran::of(&mut command));
        let job = place.setting.job(&id);
        let file = file.display();
        assert_eq!(
            (&job["state"], ran.code),
            (&"succeeded".into(), Some(0)),
            "{file}: {job:#} {}",
            ran.stderr
        );
    }
}

#[test]
fn an_api_server_that_drops_makes_no_object_twice() {
    let place = Place::new(Setting::sqlite(), TRAINS);
    let url = place.cluster.url();
    let server = url.trim_start_matches("https://").to_owned();
    let text = std::fs::read_to_string(&place.cluster.kubeconfig).unwrap();
    for (n, death) in [Death::HangsUp, Death::Resets]
        .into_iter()
        .cycle()
        .take(10)
        .enumerate()
    {
        let proxy = Proxy::to(&server, death, 4000 + 2500 * n as u64);
        let through = text.replace(&url, &format!("https://{}", proxy.address));
        place.setting.project.write("kubeconfig", &through);
        let id = place.launch(&[], &["train"]);
        let mut command = place.command(&place.agent_words(&["--exit-when-idle"]));
        command.env("KUBECONFIG", place.setting.project.path("kubeconfig"));
        let (ran, seen) = with_pods(&place.cluster, JOBS, || Ran::of(&mut command));
        // It never had a connection, which is told at once; the next one does the job.
        if ran.code == Some(3) {
            place.run(&["jobs", "cancel", &id]).answer();
            continue;
        }
        assert_eq!(ran.code, Some(0), "{death:?} {n}: {}", ran.stderr);
        let job = place.setting.job(&id);
        assert_eq!(
            job["state"], "succeeded",
            "{death:?} {n}: {job:#} {}",
            ran.stderr
        );
        assert_eq!(seen[&object_of(&id)].len(), 1, "{death:?} {n}");
    }
}

#[test]
fn a_database_that_drops_loses_no_object() {
    let place = Place::new(Setting::postgres(), TRAINS);
    let (head, database) = place.setting.store.rsplit_once('/').unwrap();
    let (credentials, server) = head.rsplit_once('@').unwrap();
    let mut ids = Vec::new();
    for n in 0..8 {
        ids.push(place.launch(&[], &["train"]));
        let proxy = Proxy::to(server, Death::HangsUp, 3000 + 1500 * n);
        let mut command = place.command(&place.agent_words(&["--exit-when-idle"]));
        command.env(
            "MLBUILD_QUEUE_STORE",
            format!("{credentials}@{}/{database}", proxy.address),
        );
        let (ran, seen) = with_pods(&place.cluster, JOBS, || Ran::of(&mut command));
        assert_eq!(ran.code, Some(0), "{n}: {}", ran.stderr);
        let id = &ids[n as usize];
        assert_eq!(
            place.setting.job(id)["state"],
            "succeeded",
            "{n}: {}",
            ran.stderr
        );
        assert_eq!(seen[&object_of(id)].len(), 1, "{n}");
    }
}

/// Three jobs, while the API server or the database is killed twice and started again.
fn gone_and_back(config: &str, kind: (&str, &str), is_database: bool) {
    let place = Place::new(Setting::postgres(), config);
    let ids: Vec<String> = (0..3).map(|_| place.launch(&[], &["train"])).collect();
    let mut command = place.command(&place.agent_words(&["--exit-when-idle", "--max-jobs", "2"]));
    let url = place.cluster.url();
    let (head, database) = place.setting.store.rsplit_once('/').unwrap();
    let (credentials, server) = head.rsplit_once('@').unwrap();
    let (server, bytes) = if is_database {
        (server, 12_000)
    } else {
        (url.trim_start_matches("https://"), 40_000)
    };
    let proxy = Proxy::to(server, Death::Goes, bytes);
    if is_database {
        let through = format!("{credentials}@{}/{database}", proxy.address);
        command.env("MLBUILD_QUEUE_STORE", through);
    } else {
        let text = std::fs::read_to_string(&place.cluster.kubeconfig).unwrap();
        let through = text.replace(&url, &format!("https://{}", proxy.address));
        place.setting.project.write("kubeconfig", &through);
        command.env("KUBECONFIG", place.setting.project.path("kubeconfig"));
    }
    let (story, seen) = with_pods(&place.cluster, kind, || {
        let agent = command.stdout(Stdio::null()).stderr(Stdio::piped());
        let agent = agent.spawn().unwrap();
        for next in [bytes / 2, u64::MAX] {
            wait::until("its death", || proxy.is_over());
            thread::sleep(Duration::from_secs(3));
            proxy.comes_back(next);
        }
        story(agent)
    });
    for id in &ids {
        let job = place.setting.job(id);
        let end = (&job["state"], &job["attempt"]);
        assert_eq!(end, (&"succeeded".into(), &1.into()), "{job:#} {story}");
        let objects = seen.get(&object_of(id)).map(BTreeSet::len);
        assert_eq!(objects, Some(1), "{id}: {story}");
    }
    assert_eq!(seen.len(), ids.len(), "{story}");
}

#[test]
fn an_api_server_or_a_database_that_is_killed_loses_nothing_of_either_kind() {
    thread::scope(|scope| {
        for (config, kind) in [(TRAINS, JOBS), (SET, JOBSETS)] {
            for is_database in [false, true] {
                scope.spawn(move || gone_and_back(config, kind, is_database));
            }
        }
    });
}

#[test]
fn an_object_that_nobody_saw_end_isnt_made_again() {
    let place = Place::new(Setting::sqlite(), TRAINS);
    let id = place.launch(&[], &["train"]);
    let mut agent = place.agent(&[]);
    let pod = place.cluster.pod_of(&object_of(&id), &[]);
    place.cluster.runs(&pod);
    place.setting.wait_for(&id, "running");
    agent.0.kill().unwrap();
    agent.0.wait().unwrap();
    let path = place
        .cluster
        .path("apis/batch/v1", &format!("jobs/{}", object_of(&id)));
    place.cluster.ask(
        "DELETE",
        &format!("{path}?propagationPolicy=Background"),
        None,
    );
    wait::until("it is gone", || {
        place.cluster.job(&object_of(&id)).is_none()
    });
    story(place.drain());
    let job = place.setting.job(&id);
    assert_eq!(
        (&job["state"], &job["attempt"]),
        (&"failed".into(), &1.into())
    );
    assert!(
        job["error"]
            .as_str()
            .unwrap()
            .contains("nobody saw how it ended"),
        "{job:#}"
    );
    assert!(place.cluster.job(&object_of(&id)).is_none());
}
