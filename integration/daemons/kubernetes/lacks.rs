//! A cluster that lacks a kind, or has another version of it: an API server of its own, with nothing in it.

use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};

use serde_json::json;

use super::cluster::{Api, Cluster};
use crate::support::mlbuild::Ran;
use crate::support::{read, wait};

struct Server {
    process: Child,
    api: Api,
}

impl Server {
    fn start(cluster: &Cluster) -> Self {
        let free = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = free.local_addr().unwrap().port();
        drop(free);
        let certs = cluster.certs();
        let folder = cluster.project.outside().join("empty");
        std::fs::create_dir_all(&folder).unwrap();
        std::os::unix::fs::symlink(&certs, folder.join("certs")).unwrap();
        let mut api = cluster.api();
        let text =
            read(&cluster.kubeconfig).replace(&cluster.url(), &format!("https://127.0.0.1:{port}"));
        api.kubeconfig = folder.join("kubeconfig");
        std::fs::write(&api.kubeconfig, text).unwrap();
        let file = |name: &str| certs.join(name).display().to_string();
        let program = PathBuf::from(std::env::var_os("MLBUILD_TEST_BIN").unwrap());
        let etcd = std::env::var("MLBUILD_TEST_ETCD").unwrap();
        let process = Command::new(program.join("kubernetes-control-plane"))
            .arg("apiserver")
            .arg(format!("--etcd-servers={etcd}"))
            .arg(format!("--etcd-prefix=/{}", cluster.namespace))
            .args(["--bind-address=127.0.0.1", "--advertise-address=127.0.0.1"])
            .arg(format!("--secure-port={port}"))
            .arg(format!("--tls-cert-file={}", file("server.pem")))
            .arg(format!("--tls-private-key-file={}", file("server-key.pem")))
            .arg(format!("--client-ca-file={}", file("ca.pem")))
            .arg(format!(
                "--service-account-key-file={}",
                file("tokens-key.pem")
            ))
            .arg(format!(
                "--service-account-signing-key-file={}",
                file("tokens-key.pem")
            ))
            .args([
                "--service-account-issuer=https://mlbuild.test",
                "--service-cluster-ip-range=10.96.0.0/24",
            ])
            .args([
                "--authorization-mode=RBAC",
                "--disable-admission-plugins=ServiceAccount",
            ])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let server = Self { process, api };
        wait::until("the API server", || {
            TcpListener::bind(("127.0.0.1", port)).is_err()
                && server.api.ask_whether("/api/v1/namespaces/default")
        });
        server
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

#[test]
fn a_kind_that_the_cluster_lacks_or_has_in_another_version_is_named() {
    let cluster = Cluster::new();
    let server = Server::start(&cluster);
    let base = cluster.engines.base.clone();
    let asked = |kind: &str| {
        let words = [
            "submit",
            "-n",
            "default",
            "--dry-run=server",
            "-o",
            "json",
            "--kind",
            kind,
            &base,
        ];
        Ran::of(
            cluster
                .command(&words)
                .env("KUBECONFIG", &server.api.kubeconfig),
        )
    };
    for (kind, said) in [
        ("jobset", "has no JobSet of jobset.x-k8s.io/v1alpha2\n"),
        ("pytorchjob", "has no PyTorchJob of kubeflow.org/v1\n"),
        ("mpijob", "has no MPIJob of kubeflow.org/v2beta1\n"),
    ] {
        let ran = asked(kind);
        let text = ran.refusal(2);
        assert!(
            text.contains(said) && text.contains("--kind job works there; "),
            "{text}"
        );
    }
    let open = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
    let learns = |kind: &str, group: &str, version: &str| {
        let plural = format!("{}s", kind.to_lowercase());
        let name = format!("{plural}.{group}");
        let definition = json!({
            "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": {"name": name},
            "spec": {
                "group": group, "scope": "Namespaced",
                "names": {"kind": kind, "plural": plural, "singular": kind.to_lowercase()},
                "versions": [{"name": version, "served": true, "storage": true, "schema": open}],
            },
        });
        server.api.create(
            "/apis/apiextensions.k8s.io/v1/customresourcedefinitions",
            &definition,
        );
        wait::until("the cluster has the kind", || {
            server.api.ask_whether(&format!("/apis/{group}/{version}"))
        });
    };
    // A newer one of JobSet, the training operator's older MPIJob, and the PyTorchJob that it is.
    learns("JobSet", "jobset.x-k8s.io", "v1");
    learns("MPIJob", "kubeflow.org", "v1");
    for (kind, said) in [
        (
            "jobset",
            "no JobSet of jobset.x-k8s.io/v1alpha2, and serves that group as v1\n",
        ),
        (
            "pytorchjob",
            "no PyTorchJob of kubeflow.org/v1, and serves that group as v1\n",
        ),
        (
            "mpijob",
            "no MPIJob of kubeflow.org/v2beta1, and serves that group as v1\n",
        ),
    ] {
        let ran = asked(kind);
        assert!(ran.refusal(2).contains(said), "{}", ran.stderr);
    }
    learns("PyTorchJob", "kubeflow.org", "v1");
    let made = wait::until_some("the kind is found", || {
        let ran = asked("pytorchjob");
        (ran.code == Some(0)).then(|| ran.json())
    });
    assert_eq!(made["kind"], "PyTorchJob");
    let ran = asked("jobset");
    assert!(
        ran.refusal(2)
            .contains("--kind job or pytorchjob works there"),
        "{}",
        ran.stderr
    );
}
