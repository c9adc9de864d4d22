//! What can go wrong between a command line and a running container: each with one clear error, and
//! nothing left in the cluster.

use std::io::Read as _;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::{Value, json};

use super::cluster::{Cluster, end_of};
use crate::support::mlbuild::Ran;

/// Everything on stderr, with what differs from run to run replaced.
fn said(cluster: &Cluster, text: &str) -> String {
    // Its name first: the end of it may look like a time.
    let text = text
        .replace(&cluster.url(), "[CLUSTER]")
        .replace(&cluster.namespace, "[NAMESPACE]");
    cluster.project.filtered(&text)
}

/// `mlbuild submit` that must fail with this code and leave nothing.
#[track_caller]
fn refused(cluster: &Cluster, code: i32, args: &[&str]) -> String {
    let base = cluster.engines.base.clone();
    let ran = cluster.verb("submit", &[args, &[&base]].concat());
    let text = said(cluster, ran.refusal(code));
    assert_eq!(
        cluster.project.runs(),
        [""; 0],
        "a record of what never started"
    );
    text
}

fn kubeconfig(cluster: &Cluster, user: &Value) -> std::path::PathBuf {
    let path = cluster.project.outside().join("kubeconfig");
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "test",
        "clusters": [{"name": "c", "cluster": {"server": cluster.url(), "certificate-authority": cluster.certs().join("ca.pem")}}],
        "users": [{"name": "u", "user": user}],
        "contexts": [{"name": "test", "context": {"cluster": "c", "user": "u"}}],
    });
    std::fs::write(&path, config.to_string()).unwrap();
    path
}

/// A token of a service account that may do nothing.
fn token(cluster: &Cluster, account: &str) -> String {
    let accounts = cluster.path("api/v1", "serviceaccounts");
    cluster.create(&accounts, &json!({"metadata": {"name": account}}));
    let wanted =
        json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
    let answer = cluster.create(&format!("{accounts}/{account}/token"), &wanted);
    answer["status"]["token"].as_str().unwrap().to_owned()
}

#[test]
fn kubeconfigs_that_are_absent_wrong_or_expired() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let submit = |kubeconfig: &str, more: &[&str]| {
        let mut command = cluster
            .project
            .command(["submit"].iter().chain(more).chain([&base.as_str()]));
        if !kubeconfig.is_empty() {
            command.env("KUBECONFIG", kubeconfig);
        }
        Ran::of(&mut command)
    };
    insta::assert_snapshot!(said(&cluster, submit("", &[]).refusal(3)), @r"
    error: no cluster is known: there is no kubeconfig (/home/.kube/config)
      hint: give it by --kubeconfig FILE or KUBECONFIG; kubectl config view shows what kubectl uses
    ");
    insta::assert_snapshot!(said(&cluster, submit("/nowhere", &[]).refusal(3)), @r"
    error: no cluster is known: there is no kubeconfig (KUBECONFIG=/nowhere)
      hint: give it by --kubeconfig FILE or KUBECONFIG; kubectl config view shows what kubectl uses
    ");
    let admin = cluster.kubeconfig.to_str().unwrap();
    let context = submit(admin, &["--context", "tset"]);
    assert!(
        context
            .refusal(2)
            .contains("has no context `tset`; it has test\n  hint: did you mean --context test?"),
        "{}",
        context.stderr
    );

    let expired = kubeconfig(&cluster, &json!({"token": "eyJhbGciOiJub25lIn0.e30."}));
    insta::assert_snapshot!(said(&cluster, submit(expired.to_str().unwrap(), &[]).refusal(3)), @r"
    error: the cluster at [CLUSTER] doesn't accept the log-in: it is wrong or has expired
      hint: log in again, as you did for kubectl; kubectl get pods tells whether that works
    ");
    let plugin = kubeconfig(
        &cluster,
        &json!({"exec": {
        "apiVersion": "client.authentication.k8s.io/v1", "command": "false", "interactiveMode": "Never"}}),
    );
    let ran = submit(plugin.to_str().unwrap(), &[]);
    assert!(
        ran.refusal(3).contains("the cluster's log-in can't be had"),
        "{}",
        ran.stderr
    );

    let broken = cluster.project.outside().join("broken");
    std::fs::write(&broken, "clusters: [").unwrap();
    let ran = submit(broken.to_str().unwrap(), &[]);
    assert!(
        ran.refusal(3)
            .contains("/broken: failed to parse kubeconfig YAML"),
        "{}",
        ran.stderr
    );

    let away = cluster.project.outside().join("away");
    let text =
        crate::support::read(&cluster.kubeconfig).replace(&cluster.url(), "https://127.0.0.1:1");
    std::fs::write(&away, text).unwrap();
    let ran = submit(away.to_str().unwrap(), &[]);
    assert!(
        ran.refusal(3)
            .contains("the cluster at https://127.0.0.1:1 doesn't answer: "),
        "{}",
        ran.stderr
    );
    assert_eq!(cluster.project.runs(), [""; 0]);
}

#[test]
fn what_the_cluster_forbids() {
    let cluster = Cluster::new();
    let token = token(&cluster, "nobody");
    let path = kubeconfig(&cluster, &json!({"token": token}));
    let text = refused(
        &cluster,
        3,
        &["--kubeconfig", path.to_str().unwrap(), "--name", "train"],
    );
    insta::assert_snapshot!(text, @r#"
    error: you may not create the Job train in the namespace [NAMESPACE]: jobs.batch is forbidden: User "system:serviceaccount:[NAMESPACE]:nobody" cannot create resource "jobs" in API group "batch" in the namespace "[NAMESPACE]"
      hint: kubectl auth can-i create jobs; whoever runs the cluster can allow it
    "#);
}

#[test]
fn who_may_make_a_job_and_not_see_it_hears_so_and_loses_nothing() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let token = token(&cluster, "half");
    let rbac = "apis/rbac.authorization.k8s.io/v1";
    cluster.create(
        &cluster.path(rbac, "roles"),
        &json!({"metadata": {"name": "half"}, "rules": [{
            "apiGroups": ["batch"], "resources": ["jobs"], "verbs": ["create", "get"]}]}),
    );
    cluster.create(
        &cluster.path(rbac, "rolebindings"),
        &json!({"metadata": {"name": "half"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "half"},
            "subjects": [{"kind": "ServiceAccount", "name": "half", "namespace": cluster.namespace}]}),
    );
    let path = kubeconfig(&cluster, &json!({"token": token}));
    let path = path.to_str().unwrap();
    let flags = [
        "--kubeconfig",
        path,
        "--name",
        "half",
        "--run-id",
        "half",
        &base,
    ];
    let ran = cluster.verb("submit", &flags);
    let text = said(&cluster, ran.refusal(3));
    assert!(
        text.contains("you may not list the Pods in the namespace [NAMESPACE]")
            && text.contains("kubectl auth can-i list pods")
            && text.contains("the Job may run on; to look again: mlbuild logs -f half"),
        "{text}"
    );
    // It does, and the record doesn't say that it is over.
    assert!(cluster.job("half").is_some());
    let record = cluster.project.read("mlbuild.runs/half.toml");
    assert!(record.contains("status = \"started\""), "{record}");
}

#[test]
fn namespaces_names_and_flags() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let nowhere = cluster.run(&["submit", "--namespace", "nowhere", &base]);
    insta::assert_snapshot!(said(&cluster, nowhere.refusal(2)), @r"
    error: the cluster at [CLUSTER] has no namespace nowhere
      hint: kubectl get namespaces lists them; --namespace NAME takes one
    ");
    insta::assert_snapshot!(refused(&cluster, 2, &["--name", "My_Job"]), @r"
    error: --name: `My_Job` isn't a Job's name: those are a-z, 0-9 and `-`, the first and last no `-`; write --name my-job
      hint: leave it out, or say it in the way of Kubernetes: mlbuild submit --help
    ");
    let long = "a".repeat(64);
    assert!(
        refused(&cluster, 2, &["--name", &long])
            .contains("has 64 characters, and a Job's name at most 63")
    );
    insta::assert_snapshot!(refused(&cluster, 2, &["--gpus", "all", "--link", "db"]), @r"
    error: --gpus: `all`: a Job says how many, because nodes differ; write --gpus 1
    --link=db: Kubernetes has nothing like it
      hint: leave it out, or say it in the way of Kubernetes: mlbuild submit --help
    ");
    // What only the server finds, it says.
    assert!(
        refused(&cluster, 2, &["--dns-search", "Corp"]).contains("the cluster doesn't take it: ")
    );
    insta::assert_snapshot!(refused(&cluster, 2, &["--output", "yaml"]), @"error: --output is for --dry-run and --detach: stdout is the container's");

    let there = cluster.verb("submit", &["-d", "--name", "taken", "--no-record", &base]);
    there.answer();
    insta::assert_snapshot!(refused(&cluster, 2, &["--name", "taken"]), @r"
    error: the namespace [NAMESPACE] already has the Job taken
      hint: give it another --name, or remove that one: kubectl delete job NAME
    ");
    let secret = refused(&cluster, 2, &["--name", "taken", "-e", "MY_TOKEN=1"]);
    assert!(secret.contains("already has the Job taken"), "{secret}");
    assert!(
        cluster.get("api/v1", "secrets/taken").is_none(),
        "a Secret is left"
    );
}

#[test]
fn images_that_cant_be_had() {
    let cluster = Cluster::new();
    let missing = format!("{}/no-such-image:v1", cluster.engines.registry);
    let ran = cluster.verb("submit", &[&missing]);
    assert!(
        ran.refusal(2).contains(
            "push it first: mlbuild image --push; or, where a node has it: --local-image"
        ),
        "{}",
        ran.stderr
    );

    // A node that can't pull it, as its kubelet says.
    let base = cluster.engines.base.clone();
    let mut child = cluster.submit(&["--name", "pull", "--run-id", "pull", &base]);
    let pod = cluster.pod_of("pull", &[]);
    let waits =
        |reason: &str| json!({"waiting": {"reason": reason, "message": "pull access denied"}});
    cluster.says(&pod, "Pending", &waits("ErrImagePull"));
    // Which isn't the end yet.
    says_in_the_end(&mut child, "waiting: ErrImagePull");
    cluster.says(&pod, "Pending", &waits("ImagePullBackOff"));
    let ran = end_of(child);
    let text = ran.refusal(125);
    assert!(
        text.contains(&format!(
            "the container of {pod} can't start: ImagePullBackOff: pull access denied"
        )),
        "{text}"
    );
    assert!(text.contains("--pull-secret NAME"), "{text}");
    cluster.wait_for("end of the Job", || {
        cluster.job("pull").is_none().then_some(())
    });
    assert!(
        cluster
            .project
            .read("mlbuild.runs/pull.toml")
            .contains("status = \"finished\"")
    );
}

#[test]
fn a_pod_that_is_evicted_or_out_of_memory() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let child = cluster.submit(&["--name", "evicted", "--run-id", "evicted", &base]);
    let pod = cluster.pod_of("evicted", &[]);
    let why = "The node was low on resource: memory.";
    cluster.status(
        &pod,
        &json!({"phase": "Failed", "reason": "Evicted", "message": why}),
    );
    let ran = end_of(child);
    let text = ran.refusal(1);
    assert!(
        text.contains(&format!(
            "the Job evicted ended without an exit code: evicted: {why}"
        )),
        "{text}"
    );
    assert!(
        cluster
            .project
            .read("mlbuild.runs/evicted.toml")
            .contains("status = \"finished\"")
    );

    let child = cluster.submit(&["--name", "oom", &base]);
    let pod = cluster.pod_of("oom", &[]);
    cluster.prints(&pod, b"all of it");
    let ended = json!({"terminated": {"exitCode": 137, "reason": "OOMKilled"}});
    cluster.says(&pod, "Failed", &ended);
    let ran = end_of(child);
    assert_eq!((ran.code, ran.stdout.as_str()), (Some(137), "all of it\n"));
    assert!(
        ran.stderr
            .contains("oom: it used more memory than its limit"),
        "{}",
        ran.stderr
    );
}

#[test]
fn quotas_that_are_used_up() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let quotas = cluster.path("api/v1", "resourcequotas");
    cluster.create(
        &quotas,
        &json!({"metadata": {"name": "jobs"}, "spec": {"hard": {"count/jobs.batch": "0"}}}),
    );
    let counted = |name: &str| {
        let quota = cluster.get("api/v1", &format!("resourcequotas/{name}"))?;
        quota["status"]["used"].is_object().then_some(())
    };
    cluster.wait_for("counted quota", || counted("jobs"));
    insta::assert_snapshot!(refused(&cluster, 3, &["--name", "train"]), @r"
    error: the namespace [NAMESPACE] has no room: exceeded quota: jobs, requested: count/jobs.batch=1, used: count/jobs.batch=0, limited: count/jobs.batch=0
      hint: kubectl describe quota shows what is used; ask for less, or wait
    ");
    cluster.ask("DELETE", &format!("{quotas}/jobs"), None);

    // Where the Job fits and its pod doesn't, it waits, and that is said.
    cluster.create(
        &quotas,
        &json!({"metadata": {"name": "pods"}, "spec": {"hard": {"pods": "0"}}}),
    );
    cluster.wait_for("counted quota", || counted("pods"));
    let mut child = cluster.submit(&["--name", "waits", &base]);
    let said = says_in_the_end(&mut child, "exceeded quota: pods");
    assert!(said.contains("waiting: no pod can be made: "), "{said}");
    kill_process(Pid::from_child(&child), Signal::INT).unwrap();
    assert_eq!(end_of(child).code, Some(130));
}

#[test]
fn a_job_that_somebody_removes() {
    let cluster = Cluster::new();
    let base = cluster.engines.base.clone();
    let child = cluster.submit(&["--name", "gone", &base]);
    cluster.pod_of("gone", &[]);
    cluster.ask(
        "DELETE",
        &format!(
            "{}?propagationPolicy=Background",
            cluster.path("apis/batch/v1", "jobs/gone")
        ),
        None,
    );
    let ran = end_of(child);
    assert!(
        ran.refusal(1)
            .contains("the Job gone was removed while it ran"),
        "{}",
        ran.stderr
    );
}

/// Reads what a command says until it has said something.
#[track_caller]
fn says_in_the_end(child: &mut Child, text: &str) -> String {
    let mut said = String::new();
    let stderr = child.stderr.as_mut().unwrap();
    while !said.contains(text) {
        let mut byte = [0];
        let read = stderr.read(&mut byte).unwrap();
        assert!(read > 0, "it never said `{text}`: {said}");
        said.push(char::from(byte[0]));
    }
    said
}
