//! `mlbuild env` in a container that has what a pod has: the service account's files, the kubelet's
//! mounts, the variables. The container is Docker's and the pod's status is written here; the
//! look-up, its token and its rights are the API server's own.

use std::path::PathBuf;
use std::process::Command;

use serde_json::{Value, json};

use super::cluster::Cluster;
use crate::support::http;
use crate::support::mlbuild::Ran;

const ACCOUNT: &str = "trainer";

/// A pod that the API server knows, and a container in its place.
struct PodLike {
    cluster: Cluster,
    name: String,
    uid: String,
    /// What stands for /var/lib/kubelet.
    kubelet: PathBuf,
    flags: Vec<String>,
}

impl PodLike {
    /// A pod with these containers, `NAME=IMAGE`, and this process in `own`.
    fn new(containers: &[(&str, &str)], own: Option<&str>) -> Self {
        let cluster = Cluster::new();
        let accounts = cluster.path("api/v1", "serviceaccounts");
        cluster.create(&accounts, &json!({"metadata": {"name": ACCOUNT}}));
        let wanted =
            json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {}});
        let token = cluster.create(&format!("{accounts}/{ACCOUNT}/token"), &wanted);
        let containers: Vec<Value> =
            containers.iter().map(|(name, image)| json!({"name": name, "image": image.replace("BASE", &cluster.engines.base)})).collect();
        let pod = cluster.create(
            &cluster.path("api/v1", "pods"),
            &json!({"metadata": {"name": "worker-0"}, "spec": {"containers": containers}}),
        );
        let uid = pod["metadata"]["uid"].as_str().unwrap().to_owned();
        let kubelet = cluster.project.outside().join("kubelet");
        let secrets = kubelet.join("token");
        std::fs::create_dir_all(&secrets).unwrap();
        let write = |name: &str, text: &str| std::fs::write(secrets.join(name), text).unwrap();
        write("token", token["status"]["token"].as_str().unwrap());
        write("namespace", &cluster.namespace);
        write(
            "ca.crt",
            &crate::support::read(&cluster.certs().join("ca.pem")),
        );
        let mut like = Self {
            name: "worker-0".to_owned(),
            flags: vec![
                format!(
                    "--volume={}:/var/run/secrets/kubernetes.io/serviceaccount:ro",
                    secrets.display()
                ),
                "--hostname=worker-0".to_owned(),
            ],
            cluster,
            uid,
            kubelet,
        };
        if let Some(own) = own {
            like.mount(own);
        }
        like
    }

    /// The file that the kubelet mounts into each container, in a folder named after pod and container.
    fn mount(&mut self, container: &str) {
        let folder = self
            .kubelet
            .join("pods")
            .join(&self.uid)
            .join("containers")
            .join(container);
        std::fs::create_dir_all(&folder).unwrap();
        let file = folder.join("0a1b2c3d");
        std::fs::write(&file, "").unwrap();
        self.flags
            .push(format!("--volume={}:/dev/termination-log", file.display()));
    }

    /// What a kubelet would say of the containers: name and imageID.
    fn status(&self, images: &[(&str, &str)]) {
        let statuses: Vec<Value> = images
            .iter()
            .map(|(name, id)| {
                json!({"name": name, "image": "x", "imageID": id, "ready": true, "restartCount": 0,
                    "state": {"running": {}}})
            })
            .collect();
        self.cluster.status(
            &self.name,
            &json!({"phase": "Running", "containerStatuses": statuses}),
        );
    }

    fn allow(&self) {
        let manifest = self.cluster.project.run([
            "env",
            "--rbac",
            "-n",
            &self.cluster.namespace,
            "--service-account",
            ACCOUNT,
        ]);
        let rbac = "apis/rbac.authorization.k8s.io/v1";
        for document in manifest.answer().split("---\n") {
            let object: Value = serde_saphyr::from_str(document).unwrap();
            let kind = object["kind"].as_str().unwrap().to_lowercase();
            self.cluster
                .create(&self.cluster.path(rbac, &format!("{kind}s")), &object);
        }
    }

    /// `mlbuild env` with arguments in the container.
    fn env(&self, flags: &[&str], args: &[&str]) -> Ran {
        self.env_in(&self.cluster.engines.base, flags, args)
    }

    fn env_in(&self, image: &str, flags: &[&str], args: &[&str]) -> Ran {
        let url = self.cluster.url();
        let (host, port) = url.trim_start_matches("https://").split_once(':').unwrap();
        let engines = &self.cluster.engines;
        let mut docker = Command::new(engines.bin.join("docker"));
        docker
            .args([
                "--host",
                &engines.docker_containerd,
                "run",
                "--rm",
                "--network=host",
            ])
            .args(&self.flags)
            .args(flags)
            .arg(format!("--env=KUBERNETES_SERVICE_HOST={host}"))
            .arg(format!("--env=KUBERNETES_SERVICE_PORT={port}"))
            .arg(format!(
                "--volume={}:/usr/bin/mlbuild:ro",
                env!("CARGO_BIN_EXE_mlbuild")
            ))
            .arg(image)
            .args(["mlbuild", "env"])
            .args(args);
        Ran::of(&mut docker)
    }
}

/// What `mlbuild env -- COMMAND` says in a container of `docker run` that has what a pod of this image has.
pub(crate) fn run_told(image: &str, flags: &[&str], command: &[&str]) -> Ran {
    let pod = PodLike::new(&[("train", image)], Some("train"));
    pod.allow();
    pod.status(&[("train", image)]);
    pod.env_in(image, flags, &[&["--"], command].concat())
}

/// The digests that the registry has of the base image: its own, and its configuration's.
fn base_digests(cluster: &Cluster) -> (String, String) {
    let (registry, rest) = cluster.engines.base.split_once('/').unwrap();
    let (name, tag) = rest.rsplit_once(':').unwrap();
    let answer = http::request("GET", registry, &format!("/v2/{name}/manifests/{tag}"));
    let manifest: Value = serde_json::from_slice(&answer.body).unwrap();
    let digest = {
        use sha2::Digest as _;
        format!("sha256:{}", hex::encode(sha2::Sha256::digest(&answer.body)))
    };
    (
        digest,
        manifest["config"]["digest"].as_str().unwrap().to_owned(),
    )
}

#[test]
fn the_right_container_is_found_beside_others() {
    let pod = PodLike::new(
        &[("proxy", "envoy:1"), ("train", "app:latest")],
        Some("train"),
    );
    let digest = |c: &str| format!("sha256:{}", c.repeat(64));
    let (proxy, train) = (
        format!("envoy@{}", digest("a")),
        format!("127.0.0.1:5000/app@{}", digest("b")),
    );

    // Before anything is allowed: what to type is said.
    let text = pod.env(&[], &[]);
    let text = text.refusal(3).replace(&pod.cluster.namespace, "NS");
    assert!(
        text.contains("you may not get the Pod worker-0 in the namespace NS: "),
        "{text}"
    );
    assert!(
        text.contains("hint: allow it: mlbuild env --rbac --namespace NS | kubectl apply -f -"),
        "{text}"
    );
    let optional = pod.env(
        &[],
        &["--optional", "--", "sh", "-c", "echo ${WANDB_DOCKER-none}"],
    );
    assert_eq!(optional.answer(), "none");
    assert!(
        optional
            .stderr
            .contains("warning: the image isn't known: you may not"),
        "{}",
        optional.stderr
    );
    pod.allow();

    for form in ["", "docker-pullable://", "containerd://"] {
        pod.status(&[("proxy", &proxy), ("train", &format!("{form}{train}"))]);
        assert_eq!(
            pod.env(&[], &["--format", "dotenv"]).answer(),
            format!("MLBUILD_IMAGE={train}\nWANDB_DOCKER={train}")
        );
    }
    assert_eq!(
        pod.env(&[], &[]).answer(),
        format!("export MLBUILD_IMAGE={train}\nexport WANDB_DOCKER={train}")
    );
    let json = pod.env(&[], &["--format", "json"]).json();
    assert_eq!(
        (&json["container"], &json["pod"]),
        (&json!("train"), &json!("worker-0"))
    );
    assert_eq!(
        (&json["namespace"], &json["digest_of"]),
        (&json!(pod.cluster.namespace), &json!("pulled"))
    );

    let ran = pod.env(&[], &["--", "sh", "-c", "echo $MLBUILD_IMAGE; exit 6"]);
    assert_eq!((ran.code, ran.stdout.trim()), (Some(6), train.as_str()));
    // By name, whatever the mounts say.
    let named = pod.env(&["--env=MLBUILD_CONTAINER=proxy"], &["--format", "dotenv"]);
    assert!(
        named
            .answer()
            .starts_with(&format!("MLBUILD_IMAGE={proxy}\n")),
        "{}",
        named.stdout
    );
    let wrong = pod.env(&[], &["--container", "tain"]);
    assert!(
        wrong
            .refusal(3)
            .contains("the pod worker-0 has no container `tain`; it has proxy, train"),
        "{}",
        wrong.stderr
    );
    // With the host's network the host's name is the node's.
    let node = pod.env(&["--env=HOSTNAME=node-7"], &[]);
    let text = node.refusal(3);
    assert!(
        text.contains("has no pod node-7, which is this host's name")
            && text.contains("MLBUILD_POD_NAME"),
        "{text}"
    );
    let told = pod.env(
        &["--env=HOSTNAME=node-7", "--env=MLBUILD_POD_NAME=worker-0"],
        &[],
    );
    assert!(told.answer().contains(&train));
}

#[test]
fn without_the_kubelets_mounts_several_containers_are_no_guess() {
    let pod = PodLike::new(&[("proxy", "envoy:1"), ("train", "app:latest")], None);
    pod.allow();
    pod.status(&[]);
    let ran = pod.env(&[], &[]);
    assert!(ran.refusal(3).contains("the pod worker-0 has several containers, and nothing tells which is this one: proxy, train"), "{}", ran.stderr);
}

#[test]
fn index_manifest_and_configuration_are_told_apart() {
    let pod = PodLike::new(&[("train", "BASE")], None);
    pod.allow();
    let (manifest, config) = base_digests(&pod.cluster);
    let (name, _) = pod.cluster.engines.base.rsplit_once(':').unwrap();
    let pinned = format!("{name}@{manifest}");
    pod.status(&[("train", &pinned)]);
    let json = pod.env(&[], &["--format", "json"]).json();
    assert_eq!(
        (&json["MLBUILD_IMAGE"], &json["digest_of"]),
        (&json!(pinned), &json!("manifest"))
    );

    // The node names the configuration: the tag's manifest that has it is found.
    for form in ["", "docker://"] {
        pod.status(&[("train", &format!("{form}{config}"))]);
        let json = pod.env(&[], &["--format", "json"]).json();
        assert_eq!(
            (&json["MLBUILD_IMAGE"], &json["digest_of"]),
            (&json!(pinned), &json!("manifest")),
            "{form}"
        );
    }
    // One that no registry has.
    let lost = format!("sha256:{}", "c".repeat(64));
    pod.status(&[("train", &lost)]);
    let ran = pod.env(&[], &["--format", "json"]);
    assert_eq!(
        (&ran.json()["MLBUILD_IMAGE"], &ran.json()["digest_of"]),
        (&json!(lost), &json!("configuration"))
    );
    assert!(
        ran.stderr.contains("nothing can be pulled by that"),
        "{}",
        ran.stderr
    );
}

#[test]
fn a_job_of_mlbuilds_own_needs_no_cluster() {
    let cluster = Cluster::new();
    let image = format!("reg.example/app@sha256:{}", "d".repeat(64));
    let mut command = cluster.project.command(["env"]);
    let ran = Ran::of(command.env("MLBUILD_IMAGE", &image));
    assert!(
        ran.answer()
            .starts_with(&format!("export MLBUILD_IMAGE={image}\n"))
    );
    let ran = cluster.project.run(["env"]);
    assert!(
        ran.refusal(3)
            .contains("this is no pod of Kubernetes: KUBERNETES_SERVICE_HOST isn't set"),
        "{}",
        ran.stderr
    );
}
