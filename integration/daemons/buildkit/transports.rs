//! Each way to a builder, to its end: connect, build something small, or say
//! clearly why not.

use std::path::Path;
use std::process::Command;

use mlbuild_buildkit::{
    Client, ConnectError, ConnectOptions, DiscoverOptions, TlsOptions, discover,
};

use super::{Build, connect, docker, endpoint, env, folder, read, tls};
use crate::support::engines::Engines;
use crate::support::sshd::Sshd;

async fn builds(client: &Client) {
    let dir = folder(&[
        ("Dockerfile", "FROM scratch\nCOPY word /\n"),
        ("word", "yes"),
    ]);
    let out = Build::new(client, dir.path()).files().await;
    assert_eq!(read(&out, "word"), "yes");
}

async fn refused(url: &str, options: &ConnectOptions) -> String {
    let error = Client::connect(&endpoint(url), options).await;
    error.expect_err("it must fail").to_string()
}

#[tokio::test]
async fn tcp_with_both_certificates() {
    let engines = Engines::from_env();
    let tcp = endpoint(&engines.buildkitd_tcp);
    let options = tls(&engines.buildkitd_certs);
    builds(&Client::connect(&tcp, &options).await.unwrap()).await;

    // By another of the names in the server's certificate.
    let mut options = tls(&engines.buildkitd_certs);
    options.tls.as_mut().unwrap().server_name = Some("localhost".into());
    Client::connect(&tcp, &options).await.unwrap();
}

#[tokio::test]
async fn tcp_says_what_is_wrong_with_certificates() {
    let engines = Engines::from_env();
    let tcp = &engines.buildkitd_tcp;
    let plain = refused(tcp, &ConnectOptions::default()).await;
    assert!(plain.contains("if it wants TLS, give a CA file"), "{plain}");

    let mut options = tls(&engines.buildkitd_certs);
    options.tls.as_mut().unwrap().server_name = Some("other.example".into());
    let name = refused(tcp, &options).await;
    assert!(
        name.contains("not valid for name \"other.example\""),
        "{name}"
    );

    // Without the client's certificate.
    let options = ConnectOptions {
        tls: Some(TlsOptions {
            ca: Some(engines.buildkitd_certs.join("ca.pem")),
            ..Default::default()
        }),
        ..Default::default()
    };
    let anonymous = refused(tcp, &options).await;
    // The alert may be lost where the server hangs up right after it.
    assert!(
        anonymous.contains("CertificateRequired") || anonymous.contains("connection closed"),
        "{anonymous}"
    );

    // Trusting the system's authorities only.
    let options = ConnectOptions {
        tls: Some(TlsOptions::default()),
        ..Default::default()
    };
    let stranger = refused(tcp, &options).await;
    assert!(stranger.contains("UnknownIssuer"), "{stranger}");
}

#[tokio::test]
async fn what_is_no_builder_is_told_apart() {
    let engines = Engines::from_env();
    let options = ConnectOptions::default();
    let socket = engines.docker_classic.replace("unix://", "");
    let docker_as_buildkitd = refused(&engines.docker_classic, &options).await;
    let hint = format!("if this is Docker's socket, write docker://{socket}");
    assert!(docker_as_buildkitd.contains(&hint), "{docker_as_buildkitd}");

    let registry = refused(&format!("tcp://{}", engines.registry), &options).await;
    assert!(registry.contains("no BuildKit answers there"), "{registry}");

    let buildkitd_as_docker = engines.buildkitd.replace("unix://", "docker://");
    let client = Client::connect(&endpoint(&buildkitd_as_docker), &options).await;
    // It speaks BuildKit's gRPC directly, as new Dockers do; but it has no
    // Docker API around it.
    let error = client.unwrap().info().await.unwrap_err().to_string();
    assert!(error.contains("Docker's API"), "{error}");

    let closed = refused("tcp://127.0.0.1:9", &options).await;
    assert_eq!(closed, "127.0.0.1:9: connection refused");
}

#[tokio::test]
async fn docker_host_and_contexts_lead_to_docker() {
    let engines = Engines::from_env();
    let by_host = env(&[("DOCKER_HOST", &engines.docker_containerd)]);
    let config = folder(&[("config.json", r#"{"currentContext":"mine"}"#)]);
    use sha2::Digest as _;
    let id = hex::encode(sha2::Sha256::digest("mine"));
    let meta = config.path().join("contexts/meta").join(id);
    std::fs::create_dir_all(&meta).unwrap();
    let host = &engines.docker_classic;
    let json = format!(r#"{{"Name":"mine","Endpoints":{{"docker":{{"Host":"{host}"}}}}}}"#);
    std::fs::write(meta.join("meta.json"), json).unwrap();
    let by_context = env(&[("DOCKER_CONFIG", config.path().to_str().unwrap())]);

    for env in [by_host, by_context] {
        let options = DiscoverOptions {
            builder: None,
            connect: ConnectOptions {
                env,
                ..Default::default()
            },
        };
        let found = discover(&options).await.unwrap();
        assert_eq!(found.how, "Docker's current context");
        assert_eq!(found.endpoint.to_string(), "docker://");
        builds(&found.client).await;
    }
}

/// A container that sees the buildkitd's socket where buildctl looks for it.
struct Container<'a> {
    engines: &'a Engines,
    name: String,
}

impl<'a> Container<'a> {
    fn start(engines: &'a Engines) -> Self {
        let name = format!("mlbuild-wire-{}", std::process::id());
        let container = Self { engines, name };
        let socket = engines.buildkitd.replace("unix://", "");
        let buildctl = engines.bin.join("buildctl");
        container.docker(&[
            "run",
            "-d",
            "--rm",
            "--name",
            &container.name,
            "--network",
            "none",
            "-v",
            &format!("{socket}:/run/buildkit/buildkitd.sock"),
            "-v",
            &format!("{}:/usr/local/bin/buildctl:ro", buildctl.display()),
            &engines.base,
            "sleep",
            "600",
        ]);
        container
    }

    fn docker(&self, arguments: &[&str]) {
        let output = Command::new(self.engines.bin.join("docker"))
            .env("DOCKER_HOST", &self.engines.docker_containerd)
            .args(arguments)
            .output()
            .unwrap();
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{arguments:?}: {stderr}");
    }
}

impl Drop for Container<'_> {
    fn drop(&mut self) {
        self.docker(&["rm", "-f", &self.name]);
    }
}

fn path_with(engines: &Engines, first: Option<&Path>) -> String {
    let first = first
        .map(|p| format!("{}:", p.display()))
        .unwrap_or_default();
    let path = std::env::var("PATH").unwrap();
    format!("{first}{}:{path}", engines.bin.display())
}

#[tokio::test]
async fn docker_container_by_dial_stdio() {
    let engines = Engines::from_env();
    let container = Container::start(&engines);
    let options = ConnectOptions {
        env: env(&[
            ("PATH", &path_with(&engines, None)),
            ("DOCKER_HOST", &engines.docker_containerd),
        ]),
        ..Default::default()
    };
    let url = format!("docker-container://{}", container.name);
    builds(&Client::connect(&endpoint(&url), &options).await.unwrap()).await;

    let error = refused("docker-container://mlbuild-no-such", &options).await;
    assert!(error.contains("No such container"), "{error}");
    let nowhere = ConnectOptions {
        env: env(&[("PATH", "/nowhere")]),
        ..Default::default()
    };
    let error = refused(&url, &nowhere).await;
    assert!(error.starts_with("`docker` can't be started"), "{error}");
}

#[tokio::test]
async fn kube_pod_says_what_kubectl_says() {
    let engines = Engines::from_env();
    let config = folder(&[("kubeconfig", "")]);
    let kubeconfig = config.path().join("kubeconfig");
    let options = ConnectOptions {
        env: env(&[
            ("PATH", &path_with(&engines, None)),
            ("KUBECONFIG", kubeconfig.to_str().unwrap()),
            ("HOME", config.path().to_str().unwrap()),
        ]),
        ..Default::default()
    };
    let error = refused("kube-pod://mlbuild-no-such?context=none", &options).await;
    let told = error.contains("context") || error.contains("`kubectl` can't be started");
    assert!(told, "{error}");
}

fn ssh_options(sshd: &Sshd, engines: &Engines, more: &[(&str, &str)]) -> ConnectOptions {
    let path = path_with(engines, Some(&sshd.dir.path().join("bin")));
    let mut vars = vec![("PATH", path.as_str())];
    vars.extend(more);
    ConnectOptions {
        env: env(&vars),
        ..Default::default()
    }
}

#[tokio::test]
async fn ssh_leads_to_buildkitd_and_to_docker() {
    let engines = Engines::from_env();
    let sshd = Sshd::start(&engines, &engines.docker_classic, "");
    let options = ssh_options(&sshd, &engines, &[]);
    let socket = engines.buildkitd.replace("unix://", "");
    let url = format!("ssh://root@127.0.0.1:{}{socket}", sshd.port);
    builds(&Client::connect(&endpoint(&url), &options).await.unwrap()).await;

    // The default socket of buildctl, where nothing listens.
    let url = format!("ssh://root@127.0.0.1:{}", sshd.port);
    let error = refused(&url, &options).await;
    assert!(error.contains("buildkitd.sock"), "{error}");

    let docker_host = format!("ssh://root@127.0.0.1:{}", sshd.port);
    let options = ssh_options(&sshd, &engines, &[("DOCKER_HOST", &docker_host)]);
    let client = Client::connect(&endpoint("docker://"), &options)
        .await
        .unwrap();
    builds(&client).await;
    client.info().await.unwrap();
}

#[tokio::test]
async fn ssh_without_a_key_is_refused_at_once() {
    let engines = Engines::from_env();
    let sshd = Sshd::start(&engines, &engines.docker_classic, "");
    std::fs::remove_file(sshd.dir.path().join("authorized_keys")).unwrap();
    let url = format!("ssh://root@127.0.0.1:{}", sshd.port);
    let error = refused(&url, &ssh_options(&sshd, &engines, &[])).await;
    assert!(error.contains("Permission denied"), "{error}");
}

#[tokio::test]
async fn a_dead_socket_is_no_builder() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("b.sock");
    drop(std::os::unix::net::UnixListener::bind(&socket).unwrap());
    let url = format!("unix://{}", socket.display());
    let error = Client::connect(&endpoint(&url), &ConnectOptions::default()).await;
    let error = error.unwrap_err();
    assert!(matches!(error, ConnectError::Dial { .. }));
    assert!(
        error
            .to_string()
            .ends_with("nothing listens on this socket")
    );
    connect(&docker(&Engines::from_env().docker_containerd)).await;
}
