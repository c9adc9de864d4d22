//! A push in a process of its own, whose environment a test may choose: variables such as
//! `PATH` and `SSL_CERT_FILE` belong to the whole process.

use std::process::Command;

use mlbuild::registry::{CredentialStore, Registry, RegistryOptions};
use oci_spec::distribution::Reference;

use super::{options, silent};
use crate::support::layouts::{fresh_seed, image};

const REFERENCE: &str = "MLBUILD_TEST_CHILD_REFERENCE";

/// Pushes a small image with these variables set; `PUSHED …` or `FAILED …` is in what it says.
pub fn push_with(to: &Reference, variables: &[(&str, &str)]) -> String {
    let output = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            "registry::child::push",
            "--ignored",
            "--nocapture",
        ])
        .env(REFERENCE, to.to_string())
        .envs(variables.iter().copied())
        .output()
        .unwrap();
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[tokio::test]
#[ignore = "other tests run it, in a process of its own"]
async fn push() {
    let to = std::env::var(REFERENCE).unwrap().parse().unwrap();
    let credentials = CredentialStore::from_environment();
    let registry = Registry::new(RegistryOptions {
        credentials,
        ..options()
    });
    let made = image(fresh_seed(), &[10]);
    match registry.push_layout(&made.layout, &to, &[], silent()).await {
        Ok(published) => println!("PUSHED {}", published.descriptor.digest()),
        Err(error) => println!("FAILED {error}"),
    }
}
