//! The way to a registry through Docker's own store, for what only Docker has.

use std::process::Command;

use mlbuild::registry::{CredentialStore, Registry, RegistryError, RegistryOptions};
use mlbuild_buildkit::{Client, ConnectOptions};
use oci_spec::distribution::Reference;

use super::auth::config;
use super::{client, options, reference};
use crate::support::engines::Engines;
use crate::support::layouts::fresh_seed;

fn docker(engines: &Engines, host: &str, arguments: &[&str]) {
    let output = Command::new(engines.bin.join("docker"))
        .args(["--host", host])
        .args(arguments)
        .output()
        .unwrap();
    assert!(
        output.status.success(),
        "docker {arguments:?}: {}",
        String::from_utf8_lossy(&output.stderr)
    );
}

async fn connect(host: &str) -> Client {
    let socket = host.strip_prefix("unix://").unwrap();
    let endpoint = format!("docker://{socket}").parse().unwrap();
    Client::connect(&endpoint, &ConnectOptions::default())
        .await
        .unwrap()
}

#[tokio::test]
async fn every_docker_pushes_and_the_registry_confirms() {
    let engines = Engines::from_env();
    for (name, host) in engines.dockers() {
        let to = reference(&engines.registry, &format!("docker-{}:v1", fresh_seed()));
        docker(&engines, host, &["pull", "--quiet", &engines.base]);
        docker(&engines, host, &["tag", &engines.base, &to.to_string()]);
        let builder = connect(host).await;
        let api = builder.docker().unwrap();
        let registry = client();
        let published = registry.push_from_docker(api, &to, |_| {}).await.unwrap();
        let held = registry.resolve(&to, None).await.unwrap();
        assert_eq!(&published.descriptor, &held.descriptor, "{name}");
        docker(&engines, host, &["rmi", &to.to_string()]);
    }
}

#[tokio::test]
async fn docker_is_handed_the_log_in() {
    let engines = Engines::from_env();
    let host = &engines.docker_classic;
    let builder = connect(host).await;
    let api = builder.docker().unwrap();
    docker(&engines, host, &["pull", "--quiet", &engines.base]);
    for closed in [&engines.registry_auth, &engines.registry_token] {
        let to = reference(&closed.host, "from-docker:v1");
        docker(&engines, host, &["tag", &engines.base, &to.to_string()]);
        let error = client()
            .push_from_docker(api, &to, |_| {})
            .await
            .unwrap_err();
        assert!(matches!(&error, RegistryError::Docker { .. }), "{error}");

        let folder = config(closed, &closed.password);
        let credentials = CredentialStore::from_files([folder.path().join("config.json")]);
        let registry = Registry::new(RegistryOptions {
            credentials,
            ..options()
        });
        let published = registry.push_from_docker(api, &to, |_| {}).await.unwrap();
        assert!(published.pinned().starts_with(&format!("{to}@sha256:")));
    }
}

#[tokio::test]
async fn an_image_that_docker_lacks_is_its_error() {
    let engines = Engines::from_env();
    let builder = connect(&engines.docker_classic).await;
    let to: Reference = reference(&engines.registry, "docker-lacks-this:v1");
    let error = client()
        .push_from_docker(builder.docker().unwrap(), &to, |_| {})
        .await
        .unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with(&format!("Docker couldn't push {to}")),
        "{error}"
    );
}
