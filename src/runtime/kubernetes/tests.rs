//! Jobs of a matrix of command lines, as a person would read them.

use serde_json::{Value as Json, json};

use super::*;
use crate::runtime::Rule;
use crate::runtime::{FLAGS, Kind, Owner};

const DIGEST: &str = "sha256:1111111111111111111111111111111111111111111111111111111111111111";

fn form(line: &str) -> RenderedJob {
    let words =
        shlex::split(&line.replace("IMG", &format!("reg.example/cracks@{DIGEST}"))).unwrap();
    let parsed = SUBMIT.parse_with_image(&words).unwrap();
    let context = RunContext {
        name: parsed
            .spec
            .options
            .text("name")
            .unwrap_or("train")
            .to_owned(),
        run: "exp-7".to_owned(),
        asked: "reg.example/cracks:1".to_owned(),
        env: parsed.spec.env().cloned().collect(),
        secret: Vec::new(),
        // Two Secrets and a half.
        code: Some(CodeArchive {
            bytes: vec![7; 2_500_000],
            here: "train".to_owned(),
        }),
        grid: Array::read(&parsed.own).unwrap().map(|array| Grid {
            array,
            image: (!parsed.own.is_on("local-image")).then(|| ImageWords {
                entrypoint: vec!["/entry".to_owned(), "$(X)".to_owned()],
                command: vec!["serve".to_owned()],
            }),
        }),
    };
    job(&parsed.spec, &SubmitFlags::new(parsed.own), &context)
}

/// The part of the Job below a path, without what all Jobs have.
fn part(line: &str, path: &str) -> String {
    let form = form(line);
    assert_eq!(form.refused, [], "{line}");
    let job = serde_json::to_value(&form.job).unwrap();
    let job = job.pointer(path).cloned().unwrap_or(Json::Null);
    serde_saphyr::to_string(&job).unwrap()
}

fn pod(line: &str) -> String {
    let text = part(line, "/spec/template/spec");
    text.replace(DIGEST, "sha256:…")
}

fn container(line: &str, key: &str) -> String {
    part(line, &format!("/spec/template/spec/containers/0/{key}"))
}

fn named(left_out: &[LeftOut]) -> String {
    left_out
        .iter()
        .map(|l| format!("{}: {}\n", l.what, l.why))
        .collect()
}

fn refused(line: &str) -> String {
    named(&form(line).refused)
}

fn warned(line: &str) -> String {
    let form = form(line);
    assert_eq!(form.refused, [], "{line}");
    named(&form.warnings)
}

#[test]
fn a_whole_job() {
    let form = form(
        "--rm --name train --gpus 2 --shm-size 16G -u 1000:1000 -w /app -e EPOCHS=3 \
         -v /raid/data:/data:ro --queue ml --pull-secret login IMG python train.py --lr 0.1",
    );
    let job = serde_saphyr::to_string(&form.job).unwrap();
    insta::assert_snapshot!(job.replace(DIGEST, "sha256:…"));
    assert_eq!(form.warnings, []);
    assert_eq!(form.refused, []);
}

#[test]
fn the_runs_of_the_manual_for_clusters() {
    // The line that Run:ai's page for Docker's users begins with.
    let line = "--runtime=nvidia --shm-size 16G -it --rm -e HOSTNAME=ws -v /raid/public/sets:/root/dataset:ro IMG";
    insta::assert_snapshot!(pod(line));
    insta::assert_snapshot!(warned(line));
}

#[test]
fn gpus_of_both_kinds() {
    let limits = |line: &str| container(line, "resources/limits");
    insta::assert_snapshot!(limits("--gpus 2 IMG"), @r#"nvidia.com/gpu: "2""#);
    insta::assert_snapshot!(limits("--gpus 2 --gpu-resource amd IMG"), @r#"amd.com/gpu: "2""#);
    insta::assert_snapshot!(limits("--gpus '\"device=0,2\"' IMG"), @r#"nvidia.com/gpu: "2""#);
    insta::assert_snapshot!(limits("--gpus '\"device=0,2\",capabilities=utility' IMG"), @r#"nvidia.com/gpu: "2""#);
    insta::assert_snapshot!(limits("--gpus count=3 IMG"), @r#"nvidia.com/gpu: "3""#);
    insta::assert_snapshot!(limits("--device /dev/kfd --device /dev/dri IMG"), @r#"amd.com/gpu: "1""#);
    insta::assert_snapshot!(limits("--device amd.com/gpu=0 --device amd.com/gpu=1 IMG"), @r#"amd.com/gpu: "2""#);
    insta::assert_snapshot!(limits("--gpus 1 --gpu-resource nvidia.com/mig-1g.5gb IMG"), @r#"nvidia.com/mig-1g.5gb: "1""#);
    insta::assert_snapshot!(limits("--resource rdma/hca=1 --gpus 8 IMG"), @r#"
    nvidia.com/gpu: "8"
    rdma/hca: "1"
    "#);
    insta::assert_snapshot!(refused("--gpus all IMG"), @"--gpus: `all`: a Job says how many, because nodes differ; write --gpus 1");
    insta::assert_snapshot!(refused("--device nvidia.com/gpu=all IMG"), @"--device nvidia.com/gpu=all: a Job says how many, because nodes differ; write --gpus 1");
    insta::assert_snapshot!(refused("--gpus 1 --gpu-resource intel IMG"), @"--gpu-resource: `intel` isn't nvidia, amd or a resource's name such as nvidia.com/mig-1g.5gb");
    insta::assert_snapshot!(warned("--gpus device=1 IMG"), @"--gpus: Kubernetes hands out GPUs by number, not by index: which ones is the node's choice");
}

#[test]
fn processors_and_memory() {
    insta::assert_snapshot!(container("--cpus 1.5 -m 16g --memory-reservation 8g -c 512 IMG", "resources"), @"
    limits:
      cpu: 1500m
      memory: 16Gi
    requests:
      cpu: 500m
      memory: 8Gi
    ");
    insta::assert_snapshot!(container("--cpu-quota 50000 --storage-opt size=10g IMG", "resources/limits"), @"
    cpu: 500m
    ephemeral-storage: 10Gi
    ");
}

#[test]
fn mounts_of_every_kind() {
    insta::assert_snapshot!(pod(
        "-v /data:/data:ro,rslave -v models:/models -v /scratch --tmpfs /fast:size=2g \
         --mount type=volume,source=models,target=/again,volume-subpath=v1 \
         --mount type=volume,target=/nfs,volume-opt=type=nfs,volume-opt=device=:/export,volume-opt=o=addr=nas \
         --mount type=image,source=reg.example/weights:1,target=/weights \
         --pvc results:/results:ro --nfs nas.example:/home:/home:ro --secret login:/etc/login \
         --shm-size 1g IMG"
    ));
    insta::assert_snapshot!(refused(
        "-v a_b:/x --mount type=npipe,source=a,target=/b --nfs nas:/x --pvc /a:/b --pvc a:/b:z IMG"
    ));
}

#[test]
fn who_it_is_and_what_it_may() {
    insta::assert_snapshot!(pod(
        "-u 1000 --group-add 44 --cap-add CAP_SYS_PTRACE --cap-drop all --privileged --read-only \
         --security-opt no-new-privileges --security-opt seccomp=unconfined \
         --security-opt apparmor=unconfined --security-opt label=level:s0:c1 \
         --sysctl net.core.somaxconn=1024 --ipc=host --pid=host --net=host --userns host IMG"
    ));
    insta::assert_snapshot!(refused(
        "-u ann --group-add video --security-opt seccomp=p.json --net none IMG"
    ));
}

#[test]
fn where_it_runs() {
    insta::assert_snapshot!(pod(
        "--platform linux/arm64 --node-selector gpu=a100 --toleration nvidia.com/gpu:NoSchedule \
         --toleration team=ml --service-account trainer --priority-class high --runtime kata \
         --pull always --hostname box --add-host db:10.0.0.1 --add-host db2:10.0.0.1 --dns 10.0.0.2 \
         --dns-search corp --dns-option ndots:2 -p 8080:80 --expose 9000-9001/udp --stop-timeout 30 IMG"
    ));
    insta::assert_snapshot!(refused(
        "--node-selector gpu --toleration a:Never --hostname a_b --namespace My IMG"
    ));
}

#[test]
fn programs_and_ends() {
    let command = |line: &str| {
        let command = container(line, "command");
        format!("{command}{}", container(line, "args"))
    };
    insta::assert_snapshot!(command("--entrypoint python IMG train.py"), @"
    - python
    - train.py
    ");
    insta::assert_snapshot!(command("IMG python"), @"
    null
    - python
    ");
    let retries = |line: &str| part(line, "/spec/backoffLimit");
    insta::assert_snapshot!(retries("IMG"), @"0");
    insta::assert_snapshot!(retries("--restart on-failure:3 IMG"), @"3");
    insta::assert_snapshot!(part("--local-image IMG", "/spec/template/spec/containers/0/imagePullPolicy"), @"Never");
    insta::assert_snapshot!(refused("--restart always --entrypoint '' IMG"));
}

#[test]
fn a_secret_holds_what_a_job_would_show() {
    let context = RunContext {
        name: "train".to_owned(),
        run: "exp-7".to_owned(),
        asked: "cracks".to_owned(),
        env: Vec::new(),
        secret: vec!["WANDB_API_KEY=0123".parse().unwrap()],
        code: None,
        grid: None,
    };
    let form = job(&RunSpec::default(), &SubmitFlags::default(), &context);
    let job = serde_json::to_string(&form.job).unwrap();
    assert!(!job.contains("0123"), "{job}");
    insta::assert_snapshot!(serde_saphyr::to_string(&form.secret.unwrap()).unwrap());
    insta::assert_snapshot!(container(
        "--secret-env HF_TOKEN=hub:token --secret-env KEY=keys IMG",
        "env"
    ));
}

#[test]
fn labels_are_those_that_kubernetes_takes() {
    insta::assert_snapshot!(part(
        "-l team=ml --annotation 'note=it is late' IMG",
        "/spec/template/metadata"
    ));
    insta::assert_snapshot!(refused("-l 'note=it is late' --annotation 'a b=c' IMG"));
}

/// A value that the flag takes, and that asks for something.
pub(in crate::runtime) fn sample(name: &str, kind: Kind) -> &'static str {
    match (name, kind) {
        ("storage-opt", _) => "size=1g",
        ("tmpfs", _) => "/t",
        ("expose", _) => "80",
        ("add-host", _) => "db:10.0.0.1",
        ("user" | "group-add", _) => "7",
        ("network" | "ipc" | "pid" | "userns", _) => "host",
        ("uts" | "cgroupns", _) => "host",
        ("security-opt", _) => "no-new-privileges",
        ("platform", _) => "linux/amd64",
        ("restart", _) => "on-failure:2",
        ("gpus", _) => "1",
        ("cpu-period", _) => "50000",
        ("attach", _) => "stdin",
        ("blkio-weight-device", _) => "/dev/sda:500",
        ("device-cgroup-rule", _) => "'c 189:* rmw'",
        ("dns" | "link-local-ip", _) => "10.0.0.2",
        ("dns-search", _) => "example.com",
        ("ip", _) => "172.30.0.4",
        ("ip6", _) => "2001:db8::4",
        ("mac-address", _) => "92:d0:c6:0a:29:33",
        (_, Kind::Rule(Rule::DeviceBytes | Rule::DeviceCount)) => "/dev/sda:7",
        (_, Kind::Rule(Rule::Time)) => "7s",
        (_, Kind::Rule(Rule::Swap)) => "7g",
        (_, Kind::Rule(_)) => "7",
        (_, Kind::Text) => "word",
        (_, Kind::Integer | Kind::Decimal) => "7",
        (_, Kind::Bytes) => "7g",
        (_, Kind::Duration) => "7s",
        (_, Kind::OneOf(words)) => words[0],
        (_, Kind::Assignment) => "a=b",
        (_, Kind::Volume) => "/a:/b",
        (_, Kind::Mount) => "type=bind,source=/a,target=/b",
        (_, Kind::Publish) => "80",
        (_, Kind::Device) => "/dev/x",
        (_, Kind::Ulimit) => "memlock=-1",
        (_, Kind::Bool) => "true",
    }
}

#[test]
fn no_flag_of_docker_is_dropped_without_a_word() {
    let plain = form("--name train IMG");
    // Alone it says nothing: it is the divisor of --cpu-quota. Files are read before, and the
    // name is the caller's to hand in.
    let alone = ["cpu-period", "env-file", "label-file", "env", "name"];
    for flag in FLAGS.iter().filter(|flag| flag.owner == Owner::Docker) {
        let line = format!(
            "--name train --{}={} IMG",
            flag.name,
            sample(flag.name, flag.kind)
        );
        let form = form(&line);
        let says = form.job != plain.job || !form.warnings.is_empty() || !form.refused.is_empty();
        let silent = flags::CLIENTS.contains(&flag.name) || alone.contains(&flag.name);
        assert!(says || silent, "{line}");
    }
}

/// mlbuild's own flags that say nothing of the Job: where it goes, and what is told and written of it.
const OF_THE_COMMAND: [&str; 14] = [
    "context",
    "kubeconfig",
    "dry-run",
    "output",
    "format",
    "no-defaults",
    "no-record",
    "data",
    "data-hash",
    "run-id",
    "trust",
    "help",
    // With --nodes it is the default.
    "launcher",
    "port-forward",
];

#[test]
fn each_of_mlbuilds_own_flags_has_its_place_in_the_job() {
    let pod = "/spec/template/spec";
    let main = "/spec/template/spec/containers/0";
    let selector = json!({"matchLabels": {"batch.kubernetes.io/job-name": "train"}});
    let terms = [
        "cloud.google.com/gke-nodepool",
        "eks.amazonaws.com/nodegroup",
        "kubernetes.azure.com/agentpool",
        "karpenter.sh/nodepool",
    ]
    .map(|key| json!({"matchExpressions": [{"key": key, "operator": "In", "values": ["a100"]}]}));
    let apart = |label: &str| json!([{"labelSelector": selector, "topologyKey": label}]);
    let required = "requiredDuringSchedulingIgnoredDuringExecution";
    let rows = [
        (
            "--namespace=ml",
            "/metadata/namespace".to_owned(),
            json!("ml"),
        ),
        (
            "--queue=q",
            "/metadata/labels/kueue.x-k8s.io~1queue-name".to_owned(),
            json!("q"),
        ),
        (
            "--priority-class=high",
            format!("{pod}/priorityClassName"),
            json!("high"),
        ),
        (
            "--node-selector=a=b",
            format!("{pod}/nodeSelector"),
            json!({"a": "b"}),
        ),
        (
            "--toleration=a",
            format!("{pod}/tolerations/0"),
            json!({"key": "a", "operator": "Exists"}),
        ),
        (
            "--service-account=t",
            format!("{pod}/serviceAccountName"),
            json!("t"),
        ),
        (
            "--pull-secret=s",
            format!("{pod}/imagePullSecrets/0/name"),
            json!("s"),
        ),
        (
            "--pvc=c:/d",
            format!("{pod}/volumes/0/persistentVolumeClaim/claimName"),
            json!("c"),
        ),
        (
            "--nfs=n:/e:/d",
            format!("{pod}/volumes/0/nfs/server"),
            json!("n"),
        ),
        (
            "--secret=s:/d",
            format!("{pod}/volumes/0/secret/secretName"),
            json!("s"),
        ),
        (
            "--secret-env=A=s:k",
            format!("{main}/env/0/valueFrom/secretKeyRef"),
            json!({"name": "s", "key": "k"}),
        ),
        (
            "--resource=rdma/hca=1",
            format!("{main}/resources/limits"),
            json!({"rdma/hca": "1"}),
        ),
        (
            "--gpus=1 --gpu-resource=amd",
            format!("{main}/resources/limits"),
            json!({"amd.com/gpu": "1"}),
        ),
        (
            "--local-image",
            format!("{main}/imagePullPolicy"),
            json!("Never"),
        ),
        ("--kind=jobset", "/kind".to_owned(), json!("JobSet")),
        ("--nodes=4", "/spec/completions".to_owned(), json!(4)),
        ("--nodes=4", "/spec/parallelism".to_owned(), json!(4)),
        (
            "--nodes=4",
            "/spec/completionMode".to_owned(),
            json!("Indexed"),
        ),
        ("--nodes=4", "/spec/backoffLimit".to_owned(), json!(0)),
        ("--nodes=4", format!("{pod}/subdomain"), json!("train")),
        (
            "--nodes=4",
            format!("{main}/env/1/value"),
            json!("train-0.train"),
        ),
        (
            "--nproc-per-node=2",
            format!("{main}/env/4/value"),
            json!("2"),
        ),
        (
            "--nodes=4 --launcher=torchrun",
            format!("{main}/args"),
            json!([
                "torchrun",
                "--nnodes=4",
                "--nproc_per_node=1",
                "--node_rank=$(NODE_RANK)",
                "--master_addr=$(MASTER_ADDR)",
                "--master_port=$(MASTER_PORT)",
                "train.py"
            ]),
        ),
        (
            "--node-pool=a100",
            format!("{pod}/affinity/nodeAffinity/{required}/nodeSelectorTerms"),
            json!(terms),
        ),
        (
            "--nodes=2 --spread",
            format!("{pod}/affinity/podAntiAffinity/{required}"),
            apart("kubernetes.io/hostname"),
        ),
        (
            "--nodes=2 --together=rack",
            format!("{pod}/affinity/podAffinity/{required}"),
            apart("rack"),
        ),
        (
            "--ephemeral-pvc=100g:/s:fast",
            format!("{pod}/volumes/0/ephemeral/volumeClaimTemplate/spec"),
            json!({
                "accessModes": ["ReadWriteOnce"],
                "resources": {"requests": {"storage": "100Gi"}},
                "storageClassName": "fast",
            }),
        ),
        (
            "--code",
            format!("{pod}/initContainers/0/volumeMounts/1/mountPath"),
            json!("/app"),
        ),
        (
            "--code=/src",
            format!("{main}/workingDir"),
            json!("/src/train"),
        ),
        ("--code -w /x", format!("{main}/workingDir"), json!("/x")),
        (
            "--idle-stop=30m",
            format!("{main}/livenessProbe/failureThreshold"),
            json!(60),
        ),
        (
            "--idle-stop=30m --expose 8888",
            format!("{main}/livenessProbe/exec/command/6"),
            json!("22B8"),
        ),
        (
            "--idle-stop=30m --port-forward 0:6006",
            format!("{main}/livenessProbe/exec/command/6"),
            json!("1776"),
        ),
        (
            "--time-limit=1h30m",
            "/spec/activeDeadlineSeconds".to_owned(),
            json!(5400),
        ),
        (
            "--array=n=1..3 --parallelism=2",
            "/spec/parallelism".to_owned(),
            json!(2),
        ),
        (
            "--ttl=24h",
            "/spec/ttlSecondsAfterFinished".to_owned(),
            json!(86400),
        ),
        (
            "--rm --ttl=0s",
            "/spec/ttlSecondsAfterFinished".to_owned(),
            json!(0),
        ),
        (
            "--rm",
            "/spec/ttlSecondsAfterFinished".to_owned(),
            json!(3600),
        ),
    ];
    for (line, path, wanted) in &rows {
        let form = form(&format!("--name train {line} IMG train.py"));
        assert_eq!((form.refused, form.warnings), (vec![], vec![]), "{line}");
        let job = serde_json::to_value(&form.job).unwrap();
        assert_eq!(job.pointer(path), Some(wanted), "{line} at {path}");
    }
    // Run:ai's alone, refused elsewhere.
    let refused = ["gpu-fraction", "gpu-memory"];
    for flag in SUBMIT.more {
        let is_in_a_row = rows.iter().any(|(line, ..)| {
            line.split(' ')
                .any(|word| word.split('=').next() == Some(&format!("--{}", flag.name)))
        });
        let is_known = OF_THE_COMMAND.contains(&flag.name) || refused.contains(&flag.name);
        assert!(is_in_a_row || is_known, "--{} has no row", flag.name);
    }
}

#[test]
fn code_goes_to_every_pod_of_every_kind() {
    for kind in JobKind::WORDS {
        let line = format!(
            "--name train --kind {kind} --nodes 2 --code --gpus 1 -m 1g -u 7:7 -e HOME=/h IMG x"
        );
        let form = form(&line);
        assert_eq!(form.refused, [], "{kind}");
        let names = form
            .code
            .iter()
            .map(|secret| secret.metadata.name.as_deref().unwrap());
        let names: Vec<&str> = names.collect();
        assert_eq!(
            names,
            ["train-code-0", "train-code-1", "train-code-2"],
            "{kind}"
        );
        let parts = form
            .code
            .iter()
            .flat_map(|secret| secret.data.clone().unwrap());
        let parts: Vec<usize> = parts.map(|(_, bytes)| bytes.0.len()).collect();
        assert_eq!(parts, [1_000_000, 1_000_000, 500_000], "{kind}");
        // Each template of pods is an object with `containers`.
        let text = form.job.to_string();
        let pods = text.matches("\"containers\":").count();
        assert_eq!(text.matches("\"initContainers\":").count(), pods, "{kind}");
        assert_eq!(
            text.matches("\"name\":\"train-code-2\"").count(),
            pods,
            "{kind}"
        );
    }
    // It is like the program's container, without its devices.
    let form = form("--code -u 7:7 --gpus 1 -m 1g --local-image IMG");
    let spec = &form.job["spec"]["template"]["spec"];
    let (before, main) = (&spec["initContainers"][0], &spec["containers"][0]);
    for key in ["image", "imagePullPolicy", "securityContext"] {
        assert!(main[key] != Json::Null && before[key] == main[key], "{key}");
    }
    let mut limits = main["resources"]["limits"].clone();
    assert!(
        limits
            .as_object_mut()
            .unwrap()
            .remove("nvidia.com/gpu")
            .is_some()
    );
    assert_eq!(before["resources"]["limits"], limits);
    assert!(refused("--code=app IMG").starts_with("--code: write a folder"));
    let taken = refused("--code -v data:/app/ IMG");
    assert!(
        taken.starts_with("--code=/app: a volume is mounted there"),
        "{taken}"
    );
}

#[test]
fn what_is_idle_is_not_for_everything() {
    for (line, said) in [
        (
            "--idle-stop=1s IMG",
            "--idle-stop=1s: write a time such as 30m",
        ),
        (
            "--idle-stop=x IMG",
            "--idle-stop=x: write a time such as 30m",
        ),
        (
            "--idle-stop=30m --kind mpijob IMG",
            "--idle-stop: an MPIJob's launcher waits",
        ),
        (
            "--idle-stop=30m --restart on-failure:2 IMG",
            "--idle-stop: with --restart",
        ),
    ] {
        assert!(refused(line).starts_with(said), "{line}: {}", refused(line));
    }
}

#[test]
fn what_pods_and_slices_cant_be() {
    insta::assert_snapshot!(refused("--gpus device=0:1 IMG"), @"--gpus=device=0:1: it is a slice of a GPU, and a cluster counts slices by their profile; write --gpus 1 --gpu-resource nvidia.com/mig-1g.5gb, or whichever kubectl describe nodes shows");
    assert!(
        refused("--device nvidia.com/gpu=0:1 IMG")
            .starts_with("--device=nvidia.com/gpu=0:1: it is a slice")
    );
    assert!(
        refused("--gpus device=MIG-7f8e IMG").starts_with("--gpus=device=MIG-7f8e: it is a slice")
    );
    let by_profile = "--gpus device=0:1 --gpu-resource nvidia.com/mig-2g.10gb IMG";
    insta::assert_snapshot!(container(by_profile, "resources/limits"), @r#"nvidia.com/mig-2g.10gb: "1""#);
    insta::assert_snapshot!(refused("--node-pool a/b --nodes 2 --spread=a/b/c --ephemeral-pvc 0:/x --time-limit 0s IMG"), @r"
    --node-pool=a/b: such names are letters, digits, `-`, `_` and `.`; another label of nodes: --node-selector LABEL=VALUE
    --spread=a/b/c: write the name of a label of nodes
    --ephemeral-pvc 0:/x: write SIZE:DIR or SIZE:DIR:CLASS, such as 100g:/scratch
    --time-limit=0s: write a time such as 12h or 90m
    ");
    insta::assert_snapshot!(warned("--spread IMG"), @"--spread: the Job has one pod; --nodes N makes several");
    insta::assert_snapshot!(refused("--nodes 2 --hostname box --restart on-failure:2 --nproc-per-node gpu IMG"), @"--nproc-per-node=gpu: a process for each GPU, and no number of GPUs is asked for; write --gpus N");
    insta::assert_snapshot!(refused("--nodes 2 --hostname box --restart on-failure:2 --launcher torchrun IMG"), @r"
    --restart: of several nodes a Job starts only the one anew that failed, and the others don't wait for it; --kind jobset starts all of them anew
    --hostname: each node has a name of its own: NAME-0, NAME-1, …
    --launcher=torchrun: it starts a command, and none is given after the image
    ");
}

#[test]
fn each_kind_is_written_in_its_operators_words() {
    let pod = "/template/spec/containers/0";
    let (set, torch, mpi) = (
        "/spec/replicatedJobs/0/template/spec",
        "/spec/pytorchReplicaSpecs",
        "/spec/mpiReplicaSpecs",
    );
    let args = format!("{torch}/Worker{pod}/args");
    for (line, path, wanted) in [
        ("jobset --nodes 4", format!("{set}/completions"), json!(4)),
        (
            "jobset --restart on-failure:2",
            "/spec/failurePolicy".to_owned(),
            json!({"maxRestarts": 2}),
        ),
        (
            "jobset --restart on-failure:2",
            format!("{set}/backoffLimit"),
            json!(0),
        ),
        (
            "jobset --time-limit 1h",
            format!("{set}/activeDeadlineSeconds"),
            json!(3600),
        ),
        (
            "jobset --ttl 1h",
            "/spec/ttlSecondsAfterFinished".to_owned(),
            json!(3600),
        ),
        (
            "jobset --ttl 1h",
            format!("{set}/ttlSecondsAfterFinished"),
            Json::Null,
        ),
        (
            "jobset --nodes 2",
            format!("{set}{pod}/env/1/value"),
            json!("train-node-0-0.train"),
        ),
        ("pytorchjob", format!("{torch}/Worker"), Json::Null),
        (
            "pytorchjob --nodes 4",
            format!("{torch}/Worker/replicas"),
            json!(3),
        ),
        (
            "pytorchjob --nodes 4",
            format!("{torch}/Master{pod}/name"),
            json!("pytorch"),
        ),
        (
            "pytorchjob --nodes 4 --gpus 8",
            "/spec/nprocPerNode".to_owned(),
            json!("8"),
        ),
        (
            "pytorchjob -e MASTER_PORT=1234",
            format!("{torch}/Master{pod}/ports/0/containerPort"),
            json!(1234),
        ),
        (
            "pytorchjob -e MASTER_PORT=1234",
            format!("{torch}/Master{pod}/env"),
            json!([]),
        ),
        (
            "pytorchjob --time-limit 1h --rm",
            "/spec/runPolicy".to_owned(),
            json!({
            "cleanPodPolicy": "Running", "activeDeadlineSeconds": 3600, "ttlSecondsAfterFinished": 3600}),
        ),
        (
            "pytorchjob --nodes 2 --launcher torchrun",
            args,
            json!([
                "torchrun",
                "--nnodes=2",
                "--nproc_per_node=1",
                "--node_rank=$(PET_NODE_RANK)",
                "--master_addr=$(MASTER_ADDR)",
                "--master_port=$(MASTER_PORT)",
                "train.py"
            ]),
        ),
        (
            "mpijob --nodes 4 --gpus 8",
            "/spec/slotsPerWorker".to_owned(),
            json!(8),
        ),
        (
            "mpijob --nodes 4 --gpus 8",
            format!("{mpi}/Launcher{pod}/resources"),
            Json::Null,
        ),
        (
            "mpijob --nodes 4 --gpus 8",
            format!("{mpi}/Worker/replicas"),
            json!(4),
        ),
        (
            "mpijob --nodes 2 --launcher mpirun",
            format!("{mpi}/Launcher{pod}/args"),
            json!(["mpirun", "-n", "2", "train.py"]),
        ),
        (
            "mpijob --restart on-failure:3",
            "/spec/runPolicy/backoffLimit".to_owned(),
            json!(3),
        ),
        (
            "mpijob -u 1000 -e HOME=/home/m",
            "/spec/sshAuthMountPath".to_owned(),
            json!("/home/m/.ssh"),
        ),
        (
            "mpijob -u 1000 -e HOME=/home/m",
            format!("{mpi}/Worker{pod}/args"),
            json!(["-De", "-f", "/home/m/.sshd_config"]),
        ),
    ] {
        let form = form(&format!("--kind {line} IMG train.py"));
        assert_eq!(form.refused, [], "{line}");
        let found = form.job.pointer(&path).cloned().unwrap_or(Json::Null);
        assert_eq!(found, wanted, "{line} at {path}");
        assert!(form.service.is_none(), "{line}");
    }
    let all = [
        "--kind pytorchjob --restart on-failure:2 -e RANK=0 -e MASTER_PORT=x IMG",
        "--kind jobset --name 1a --hostname box IMG",
        "--kind mpijob -u 1000 --launcher torchrun IMG train.py",
        "--kind jobset --launcher mpirun IMG train.py",
    ];
    insta::assert_snapshot!(all.map(refused).concat(), @r"
    --restart: of several nodes a PyTorchJob starts only the one anew that failed, and the others don't wait for it; --kind jobset starts all of them anew
    --env=RANK: a PyTorchJob's operator sets it in each pod; --kind job leaves it to you
    --env=MASTER_PORT=x: write a port's number
    --hostname: each node has a name of its own: NAME-0, NAME-1, …
    --name: a JobSet's name begins with a letter
    --user: an MPIJob's keys are put into the user's home: say which it is, as --env HOME=/home/mpiuser
    --launcher=torchrun: mpirun starts an MPIJob's processes; write --launcher mpirun, or mpirun in the command
    --launcher=mpirun: it is for --kind mpijob, on whose workers it starts processes
    ");
}

#[test]
fn an_array_is_an_indexed_job() {
    let line = "--name grid --array lr=1e-3,1e-4 --array seed=0..2 --parallelism 2 --restart on-failure:3 -e V=v \
                IMG python train.py --lr={lr} '{seed}' '$(V) it is'";
    let job = part(line, "");
    let job = job.replace(DIGEST, "sha256:…");
    insta::assert_snapshot!(job);
    let args = |line: &str| container(line, "args");
    // The image's command is for its entry point, and what is said takes the place of both.
    for (flags, wanted) in [
        ("--array n=1 IMG", ["/entry", "$$(X)", "serve"].as_slice()),
        ("--array n=1 IMG a", &["/entry", "$$(X)", "a"]),
        ("--array n=1 --entrypoint b IMG", &["b"]),
        ("--array n=1 --entrypoint b IMG a", &["b", "a"]),
    ] {
        let wanted: String = wanted.iter().map(|word| format!("- {word}\n")).collect();
        let said = args(flags).replace('"', "");
        assert_eq!(said, wanted, "{flags}");
    }
    let all = [
        "--array n=1,2 --nodes 2 IMG",
        "--array n=1,2 --kind jobset IMG",
        "--array n=1,2 --hostname box IMG",
        "--array n=1,2 --port-forward 8080 IMG",
        "--array n=1,2 --local-image IMG a",
        "--array n=1,2 -e n=3 IMG",
        "--array n=1,2 --secret-env n=s IMG",
    ];
    insta::assert_snapshot!(all.map(refused).concat(), @r"
    --nodes: each point of --array is one pod: submit the points one by one, without --array
    --kind=jobset: an array is a Job of Kubernetes itself: leave --kind out
    --hostname: each point has a name of its own: NAME-0, NAME-1, …
    --port-forward=8080: of an array the point has to be named: mlbuild logs -f --port-forward LOCAL:REMOTE RUN-0
    --local-image: no registry says what the image starts, which an array has to know: write --entrypoint PROGRAM
    --env=n: the array has a variable of this name: leave one of them out
    --env=n: the array has a variable of this name: leave one of them out
    ");
    let name = "a".repeat(62);
    assert!(refused(&format!("--name {name} --array n=1,2 IMG")).contains("61 characters"));
    let values: Vec<String> = (0..2000).map(|at| format!("{at}-{name}")).collect();
    assert!(refused(&format!("--array n={} IMG", values.join(","))).contains("in parts"));
}

#[test]
fn names_are_checked_before_the_cluster_is_asked() {
    let context = RunContext {
        name: "My_Job".to_owned(),
        ..RunContext::default()
    };
    let form = job(&RunSpec::default(), &SubmitFlags::default(), &context);
    insta::assert_snapshot!(named(&form.refused));
}
