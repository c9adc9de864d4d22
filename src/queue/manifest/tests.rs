use std::path::Path;

use serde_json::{Value, json};

use super::*;
use crate::queue::{ClusterPolicy, Policy, PolicyError, QueueConfig, Source};

const IMAGE: &str = "r.example/me/train@sha256:0";

/// The object that a job of this configuration becomes.
fn made(text: &str, command: &[&str], overrides: &[&str]) -> Result<JobObject, String> {
    let config =
        QueueConfig::parse(text, Path::new("q.yaml")).map_err(|error| error.to_string())?;
    let config = config.of_job(&Default::default(), overrides);
    let manifest = config.map_err(|error| error.to_string())?.manifest.unwrap();
    let command: Vec<String> = command.iter().map(|word| (*word).to_owned()).collect();
    let source = Source::Image {
        image: "me/train".to_owned(),
    };
    let facts = JobFacts::of(&source, IMAGE, "01ABC", &command).of_entity(Some("acme".to_owned()));
    let made = manifest.object(&ObjectFacts {
        facts: &facts,
        command: &command,
        name: "mlbuild-01abc-1".to_owned(),
        namespace: "ml",
        labels: &[("mlbuild.job", "01ABC".to_owned())],
        env: &[("MLBUILD_RUN_ID", "01ABC".to_owned())],
    });
    made.map_err(|error| error.to_string())
}

/// Reconstructions of the forms that W&B's pages on Kubernetes, Kubeflow and Volcano show.
#[test]
fn the_documented_forms_become_objects() {
    let forms = [
        ("job", include_str!("forms/job.yaml"), "Job.batch"),
        ("usual", include_str!("forms/usual.yaml"), "Job.batch"),
        (
            "pytorch",
            include_str!("forms/pytorch.yaml"),
            "PyTorchJob.kubeflow.org",
        ),
        (
            "volcano",
            include_str!("forms/volcano.yaml"),
            "Job.batch.volcano.sh",
        ),
    ];
    for (name, text, resource) in forms {
        let object = made(text, &["python", "train.py"], &[])
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        let document = serde_saphyr::to_string(&object.object).unwrap();
        insta::assert_snapshot!(name, document);
        let config = QueueConfig::parse(text, Path::new("q")).unwrap();
        assert_eq!(config.manifest.unwrap().resource(), resource, "{name}");
        if object.namespace == "ml" {
            let admitted = Policy::default().admit_object(&object, IMAGE, "ml");
            assert_eq!(admitted, Ok(()), "{name}");
        }
    }
}

#[test]
fn a_launch_sets_places_of_the_manifest() {
    let text = "spec: {template: {spec: {containers: [{name: a, resources: {limits: {cpu: 1}}}]}}}";
    let object = made(
        text,
        &[],
        &[
            "spec.template.spec.containers[0].resources.limits.nvidia\\.com/gpu=2",
            "spec.template.spec.nodeSelector.pool=a100",
            "spec.template.spec.tolerations[0]={key: gpu, operator: Exists}",
        ],
    )
    .unwrap();
    let spec = &object.object["spec"]["template"]["spec"];
    assert_eq!(
        spec["containers"][0]["resources"]["limits"],
        json!({"cpu": 1, "nvidia.com/gpu": 2})
    );
    assert_eq!(spec["nodeSelector"], json!({"pool": "a100"}));
    assert_eq!(
        spec["tolerations"],
        json!([{"key": "gpu", "operator": "Exists"}])
    );
    for (set, said) in [
        ("spec", "write PATH=VALUE"),
        ("=1", "begins with a name"),
        (&format!("{}=1", ["a"; 65].join(".")), "64 steps at most"),
        ("spec..a=1", "a name is missing"),
        (
            "spec.template.spec.containers[2].name=a",
            "the list has 1 entries",
        ),
        ("spec.template[0]=1", "isn't a list"),
        ("spec.template.spec.containers[x]=1", "[N] is a place"),
        ("spec.template.spec.containers.name=a", "isn't a table"),
        ("spec.a={", "isn't YAML"),
        ("kind=Pod", "is the queue's to say"),
        ("metadata.namespace=kube-system", "is the queue's to say"),
        ("metadata={namespace: kube-system}", "is the queue's to say"),
        (
            "spec.template.spec.containers[0].env=[{name: HF_TOKEN, value: abc}]",
            "looks like a secret",
        ),
    ] {
        let error = made(text, &[], &[set]).unwrap_err();
        assert!(error.contains(said), "{set}: {error}");
    }
}

#[test]
fn what_cant_be_made_is_refused_by_name() {
    for (text, said) in [
        (
            "kind: Job\nspec:\n  template:\n    spec:\n      containers: []\n",
            "q.yaml:5:7: spec.template.spec.containers",
        ),
        ("kind: Job\nspec: 3\n", "q.yaml:2:1: spec: a table"),
        (
            "kind: Pod\napiVersion: v1\nspec: {containers: [{image: x}]}\n",
            "no container of the Pod runs",
        ),
        (
            "kind: Job\nmetadata: {name: \"${HOME}\"}\n",
            "metadata.name: `${HOME}`",
        ),
        (
            "kind: Job\nmetadata: {labels: {team: \"${author}\"}}\n",
            "`${author}` stands for nothing",
        ),
        (
            "kind: Job\nadditional_services: [{config: {kind: Service}}]\n",
            "q.yaml:2:1: `additional_services`",
        ),
        (
            "resource_args: {kubernetes: {kind: Job}}\nadditional_services: []\n",
            "`additional_services`",
        ),
        ("kind: Job\nwait_timeout: 3\n", "q.yaml:2:1: `wait_timeout`"),
        ("spec: {}\nconfigContext: other\n", "is told which cluster"),
        (
            "kind: Job\nspec: {a: '{{b}}'}\n",
            "q.yaml:2:12: `{{b}}` is described nowhere",
        ),
        ("kind: Job\nspec:\n  a: {{b}}\n", "stands in quotes"),
        (
            "kubernetes: {kind: Job}\nspec: {}\n",
            "stands beside `kubernetes`",
        ),
        (
            "RoleArn: a\nResourceConfig: {InstanceType: '{{kind}}'}\n",
            "an Amazon SageMaker queue",
        ),
        (
            "resource_args: {sagemaker: {RoleArn: x}}\n",
            "an Amazon SageMaker queue",
        ),
        (
            "resource_args: {gcp-vertex: {spec: {}}}\n",
            "a Vertex AI queue",
        ),
        (
            "spec: {worker_pool_specs: []}\nrun: {restart: true}\n",
            "a Vertex AI queue",
        ),
    ] {
        let error = made(text, &[], &[]).unwrap_err();
        assert!(error.contains(said), "{text}: {error}");
    }
    let hosted = "kind: Job\nspec: {template: {spec: {containers: [{env: [{name: A, value: ghp_0123456789abcdef0123456789abcdef0123}]}]}}}";
    let error = made(hosted, &[], &[]).unwrap_err();
    assert!(
        error.contains("looks like a secret") && !error.contains("ghp_"),
        "{error}"
    );
}

fn job(pod: Value) -> JobObject {
    let manifest = json!({"spec": {"template": {"spec": pod}}});
    made(&manifest.to_string(), &[], &[]).unwrap()
}

/// What reaches out of a pod, each with the rule that lets it pass.
fn reaching_out() -> Vec<(Value, ClusterPolicy, &'static str)> {
    let with = |change: Value| {
        let mut container = json!({"name": "a"});
        for (key, value) in change.as_object().unwrap() {
            container[key] = value.clone();
        }
        json!({ "containers": [container] })
    };
    let pod = |key: &str, value: Value| json!({"containers": [{"name": "a"}], key: value});
    let field = |rule: &str| ClusterPolicy {
        fields: vec![rule.to_owned()],
        ..Default::default()
    };
    let object = |rule: &str| ClusterPolicy {
        objects: vec![rule.to_owned()],
        ..Default::default()
    };
    vec![
        (
            pod("hostNetwork", json!(true)),
            field("hostNetwork"),
            "hostNetwork",
        ),
        (pod("hostPID", json!(true)), field("hostPID"), "hostPID"),
        (pod("hostIPC", json!(true)), field("hostIPC"), "hostIPC"),
        (
            pod("nodeName", json!("master")),
            field("nodeName=master"),
            "nodeName=master",
        ),
        (
            pod("priorityClassName", json!("high")),
            field("priorityClassName=high"),
            "priorityClassName",
        ),
        (
            pod("runtimeClassName", json!("runc")),
            field("runtimeClassName"),
            "runtimeClassName",
        ),
        (
            pod("ephemeralContainers", json!([{"name": "e"}])),
            field("ephemeralContainers"),
            "ephemeralContainers",
        ),
        (
            pod("a_field_of_tomorrow", json!({"a": 1})),
            field("a_field_of_tomorrow"),
            "a_field_of_tomorrow",
        ),
        (
            pod("serviceAccountName", json!("boss")),
            object("serviceaccount/boss"),
            "serviceaccount/boss",
        ),
        (
            pod("serviceAccount", json!("boss")),
            object("serviceaccount/b*"),
            "serviceaccount/boss",
        ),
        (
            pod("automountServiceAccountToken", json!(true)),
            field("automountServiceAccountToken"),
            "automount",
        ),
        (
            pod("imagePullSecrets", json!([{"name": "pull"}])),
            object("secret/pull"),
            "secret/pull",
        ),
        (
            pod(
                "securityContext",
                json!({"sysctls": [{"name": "a", "value": "1"}]}),
            ),
            field("sysctls"),
            "sysctls",
        ),
        (
            pod(
                "volumes",
                json!([{"name": "v", "hostPath": {"path": "/etc"}}]),
            ),
            field("hostPath=/etc"),
            "hostPath=/etc",
        ),
        (
            pod(
                "volumes",
                json!([{"name": "v", "nfs": {"server": "s", "path": "/"}}]),
            ),
            field("nfs"),
            "nfs",
        ),
        (
            pod("volumes", json!([{"name": "v", "csi": {"driver": "d"}}])),
            field("csi"),
            "csi",
        ),
        (
            pod(
                "volumes",
                json!([{"name": "v", "secret": {"secretName": "s"}}]),
            ),
            object("secret/s"),
            "secret/s",
        ),
        (
            pod(
                "volumes",
                json!([{"name": "v", "configMap": {"name": "c"}}]),
            ),
            object("configmap/c"),
            "configmap/c",
        ),
        (
            pod(
                "volumes",
                json!([{"name": "v", "persistentVolumeClaim": {"claimName": "c"}}]),
            ),
            object("persistentvolumeclaim/c"),
            "pvc/c",
        ),
        (
            pod(
                "volumes",
                json!([{"name": "v", "projected": {"sources": [{"serviceAccountToken": {"path": "t"}}]}}]),
            ),
            field("serviceAccountToken"),
            "serviceAccountToken",
        ),
        (
            pod(
                "volumes",
                json!([{"name": "v", "ephemeral": {"volumeClaimTemplate": {"spec": {"dataSource": {"name": "others"}}}}}]),
            ),
            field("dataSource"),
            "dataSource",
        ),
        (
            with(json!({"securityContext": {"privileged": true}})),
            field("privileged"),
            "privileged",
        ),
        (
            with(json!({"securityContext": {"procMount": "Unmasked"}})),
            field("procMount"),
            "procMount",
        ),
        (
            with(json!({"securityContext": {"capabilities": {"add": ["SYS_ADMIN"]}}})),
            field("capabilities.add=SYS_ADMIN"),
            "SYS_ADMIN",
        ),
        (
            with(json!({"securityContext": {"seccompProfile": {"type": "Unconfined"}}})),
            field("seccompProfile=Unconfined"),
            "Unconfined",
        ),
        (
            with(json!({"ports": [{"containerPort": 80, "hostPort": 80}]})),
            field("hostPort"),
            "hostPort",
        ),
        (
            with(
                json!({"volumeMounts": [{"name": "v", "mountPath": "/v", "mountPropagation": "Bidirectional"}]}),
            ),
            field("mountPropagation"),
            "mountPropagation",
        ),
        (
            with(
                json!({"env": [{"name": "A", "valueFrom": {"secretKeyRef": {"name": "s", "key": "k"}}}]}),
            ),
            object("secret/s"),
            "secret/s",
        ),
        (
            with(json!({"envFrom": [{"secretRef": {"name": "s"}}]})),
            object("secret/*"),
            "secret/s",
        ),
        (
            with(json!({"livenessProbe": {"httpGet": {"host": "169.254.169.254", "port": 80}}})),
            field("host"),
            "host=169.254.169.254",
        ),
    ]
}

#[test]
fn a_stranger_gains_nothing_by_a_manifest() {
    for (pod, rule, said) in reaching_out() {
        let object = job(pod.clone());
        let refused = Policy::default()
            .admit_object(&object, IMAGE, "ml")
            .unwrap_err();
        assert!(
            format!("{refused} {}", refused.rule()).contains(said),
            "{pod}: {refused}"
        );
        let policy = Policy {
            kubernetes: rule,
            ..Policy::default()
        };
        assert_eq!(policy.admit_object(&object, IMAGE, "ml"), Ok(()), "{pod}");
        // The same as a container that runs before, and where a kind of tomorrow puts its pods.
        let mut spec = pod.clone();
        spec["initContainers"] = spec["containers"].clone();
        spec["initContainers"][0]["image"] = json!("x");
        spec["containers"] = json!([{"name": "main"}]);
        let object = job(spec);
        assert!(
            Policy::default()
                .admit_object(&object, IMAGE, "ml")
                .is_err(),
            "{pod}"
        );
        let other = json!({"kind": "Thing", "apiVersion": "x.example/v1", "spec": {"parts": [{"pods": pod}]}});
        let object = made(&other.to_string(), &[], &[]).unwrap();
        let policy = Policy {
            kubernetes: ClusterPolicy {
                kinds: vec!["Thing.x.example".to_owned()],
                ..Default::default()
            },
            ..Policy::default()
        };
        assert!(policy.admit_object(&object, IMAGE, "ml").is_err(), "{pod}");
    }
}

#[test]
fn kinds_namespaces_and_images_are_the_agents_to_allow() {
    let admit = |text: &str, policy: Policy| {
        let object = made(text, &[], &[]).unwrap();
        policy.admit_object(&object, IMAGE, "ml")
    };
    let deployment = "apiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: {containers: [{name: a}]}}}\n";
    let kind = PolicyError::Kind {
        kind: "Deployment.apps".to_owned(),
    };
    assert_eq!(admit(deployment, Policy::default()), Err(kind));
    let elsewhere = PolicyError::Namespace {
        namespace: "kube-system".to_owned(),
    };
    for text in [
        "namespace: kube-system\n",
        "metadata: {namespace: kube-system}\n",
    ] {
        assert_eq!(
            admit(text, Policy::default()),
            Err(elsewhere.clone()),
            "{text}"
        );
    }
    let volcano = "apiVersion: batch.volcano.sh/v1alpha1\nkind: Job\nspec: {volumes: [{volumeClaimName: c}], tasks: [{template: {spec: {containers: [{}]}}}]}";
    assert!(
        admit(volcano, Policy::default())
            .unwrap_err()
            .rule()
            .contains("pvc/c")
    );
    let beside = "spec: {template: {spec: {containers: [{image: '${image_uri}'}, {image: evil.example/x}]}}}";
    let policy = Policy {
        registries: Some(vec!["r.example".to_owned()]),
        ..Policy::default()
    };
    assert!(matches!(
        admit(beside, policy),
        Err(PolicyError::Registry { .. })
    ));
    let unconfined = "spec: {template: {metadata: {annotations: {container.apparmor.security.beta.kubernetes.io/a: unconfined}}, spec: {containers: [{}]}}}";
    assert!(admit(unconfined, Policy::default()).is_err());
}

#[test]
fn a_queue_says_which_places_a_launch_sets() {
    let config = QueueConfig::parse(
        "kind: Job\noverrides: [spec.template.spec.nodeSelector, metadata.labels]\n",
        Path::new("q"),
    )
    .unwrap();
    let may = |text: &str| crate::queue::may_set(&config, &[text]).is_ok();
    assert!(may("spec.template.spec.nodeSelector.pool=a"));
    assert!(may("metadata.labels={a: b}"));
    assert!(!may("spec.template.spec.nodeSelectors.pool=a"));
    assert!(!may("spec.template.spec={nodeSelector: {}}"));
    assert!(!may("spec.backoffLimit=3"));
}
