//! The engines are the ones the other tests believe they talk to.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::process::Command;

use crate::support::engines::Engines;

/// GETs a path over an open connection and returns the whole answer.
fn get(mut connection: impl Read + Write, path: &str) -> String {
    write!(connection, "GET {path} HTTP/1.0\r\nHost: localhost\r\n\r\n")
        .expect("a request is sent");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    answer
}

fn docker(endpoint: &str, path: &str) -> String {
    let socket = endpoint
        .strip_prefix("unix://")
        .expect("a unix:// endpoint");
    get(
        UnixStream::connect(socket).unwrap_or_else(|e| panic!("{socket}: {e}")),
        path,
    )
}

#[test]
fn each_docker_has_the_store_it_is_named_after() {
    let engines = Engines::from_env();
    for (name, endpoint) in engines.dockers() {
        let info = docker(endpoint, "/info");
        assert!(info.starts_with("HTTP/1.0 200"), "{name}: {info}");
        let containerd_store = info.contains("io.containerd.snapshotter.v1");
        assert_eq!(
            containerd_store,
            endpoint == engines.docker_containerd,
            "{name}"
        );
    }
    assert!(docker(&engines.docker_20, "/version").contains(r#""Version":"20.10."#));
}

#[test]
fn the_registry_serves_the_base_images() {
    let engines = Engines::from_env();
    for base in [&engines.base, &engines.python_base, &engines.ubuntu_base] {
        let (repository, tag) = base
            .strip_prefix(&format!("{}/", engines.registry))
            .and_then(|rest| rest.rsplit_once(':'))
            .unwrap_or_else(|| panic!("{base} is not in {}", engines.registry));
        let connection = TcpStream::connect(&engines.registry).expect("the registry");
        let answer = get(connection, &format!("/v2/{repository}/tags/list"));
        assert!(answer.contains(&format!(r#""{tag}""#)), "{base}: {answer}");
    }
}

#[test]
fn the_other_registries_ask_who_is_there() {
    let engines = Engines::from_env();
    for (registry, scheme) in [
        (&engines.registry_auth, "Basic"),
        (&engines.registry_token, "Bearer"),
    ] {
        let answer = get(
            TcpStream::connect(&registry.host).expect("the registry"),
            "/v2/",
        );
        assert!(answer.contains(" 401 "), "{answer}");
        assert!(
            answer
                .to_lowercase()
                .contains(&format!("www-authenticate: {}", scheme.to_lowercase()))
        );
    }
}

#[test]
fn buildkitd_answers_on_both_addresses_and_wants_a_certificate() {
    let engines = Engines::from_env();
    let buildctl = |arguments: &[&str]| {
        let mut command = Command::new(engines.bin.join("buildctl"));
        command.args(arguments).args(["debug", "workers"]);
        command.output().expect("buildctl runs").status.success()
    };
    let certs = |file: &str| engines.buildkitd_certs.join(file).display().to_string();
    let (ca, cert, key) = (certs("ca.pem"), certs("cert.pem"), certs("key.pem"));
    assert!(buildctl(&["--addr", &engines.buildkitd]));
    let tcp = ["--addr", &engines.buildkitd_tcp, "--tlscacert", &ca];
    assert!(buildctl(
        &[&tcp[..], &["--tlscert", &cert, "--tlskey", &key]].concat()
    ));
    assert!(!buildctl(&tcp), "a client without a certificate was let in");
}
