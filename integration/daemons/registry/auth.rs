//! Logging in: passwords, tokens, helpers, and who may not.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use mlbuild::error::ErrorKind;
use mlbuild::registry::{CredentialStore, Registry, RegistryError, RegistryOptions};
use mlbuild_cli::error::CommandError;
use oci_spec::distribution::Reference;
use tempfile::TempDir;

use super::child::push_with;
use super::{client, options, reference, silent};
use crate::support::engines::{AuthRegistry, Engines};
use crate::support::layouts::{fresh_seed, image};

fn both() -> [AuthRegistry; 2] {
    let engines = Engines::from_env();
    [engines.registry_auth, engines.registry_token]
}

pub fn config(registry: &AuthRegistry, password: &str) -> TempDir {
    let pair = format!("{}:{password}", registry.user);
    let auth = base64::engine::general_purpose::STANDARD.encode(pair);
    let folder = tempfile::tempdir().unwrap();
    let text = format!(r#"{{"auths":{{"{}":{{"auth":"{auth}"}}}}}}"#, registry.host);
    fs::write(folder.path().join("config.json"), text).unwrap();
    folder
}

fn client_with(folder: &Path) -> Registry {
    let credentials = CredentialStore::from_files([folder.join("config.json")]);
    Registry::new(RegistryOptions {
        credentials,
        ..options()
    })
}

#[tokio::test]
async fn a_stored_log_in_pushes_and_pulls() {
    for registry in both() {
        let config = config(&registry, &registry.password);
        let made = image(fresh_seed(), &[1 << 20, 10]);
        let to = reference(&registry.host, "secret:v1");
        let near = ["mlbuild-registry-tests/other".to_owned()];
        let with = client_with(config.path());
        with.push_layout(&made.layout, &to, &near, silent())
            .await
            .unwrap();
        // A client that knows nothing yet: challenge, log-in, answer.
        assert!(
            client_with(config.path())
                .exists(&to, &made.top)
                .await
                .unwrap()
        );
    }
}

#[tokio::test]
async fn without_a_log_in_it_is_asked_for() {
    for registry in both() {
        let to = reference(&registry.host, "secret:v1");
        let error = client().head(&to).await.unwrap_err();
        assert!(
            matches!(
                &error,
                RegistryError::Unauthorized {
                    had_credentials: false,
                    ..
                }
            ),
            "{error}"
        );
        let error = CommandError::from(error);
        assert_eq!(error.kind, ErrorKind::Environment);
        assert_eq!(error.hints(), [format!("docker login {}", registry.host)]);
    }
}

#[tokio::test]
async fn who_may_push_is_asked_before_a_build() {
    for registry in both() {
        let to = reference(&registry.host, "asked:v1");
        let error = client().check_push(&to).await.unwrap_err();
        assert!(
            matches!(&error, RegistryError::Unauthorized { .. }),
            "{error}"
        );
        let config = config(&registry, &registry.password);
        client_with(config.path()).check_push(&to).await.unwrap();
    }
    let token = Engines::from_env().registry_token;
    let public = format!("{}/public/open:v1", token.host).parse().unwrap();
    let error = client().check_push(&public).await.unwrap_err();
    assert!(
        matches!(&error, RegistryError::Unauthorized { .. }),
        "{error}"
    );
    let open = reference(&Engines::from_env().registry, "asked:v1");
    client().check_push(&open).await.unwrap();
    assert_eq!(
        client().head(&open).await.unwrap(),
        None,
        "nothing is left there"
    );
}

#[test]
fn a_build_that_could_not_be_pushed_is_not_begun() {
    let engines = Engines::from_env();
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("Dockerfile"),
        format!("FROM {}\n", engines.base),
    )
    .unwrap();
    for (host, message, hint) in [
        (
            engines.registry_auth.host.as_str(),
            "needs a log-in for app",
            "docker login",
        ),
        (
            "127.0.0.1:1",
            "the registry 127.0.0.1:1 can't be reached",
            "does it run?",
        ),
    ] {
        let output = Command::new(env!("CARGO_BIN_EXE_mlbuild"))
            .args([
                "image",
                "-f",
                "Dockerfile",
                "--push",
                "--builder",
                &engines.buildkitd,
            ])
            .args(["--progress", "plain", "-t", &format!("{host}/app:v1"), "."])
            .current_dir(folder.path())
            .env("DOCKER_CONFIG", folder.path())
            .env("REGISTRY_AUTH_FILE", folder.path().join("no-such-file"))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(3), "{said}");
        assert!(said.contains(message) && said.contains(hint), "{said}");
        assert!(!said.contains("load build definition"), "{said}");
        assert!(output.stdout.is_empty());
        assert!(!folder.path().join("mlbuild.lock").exists());
    }
}

#[tokio::test]
async fn a_wrong_password_is_told_and_not_shown() {
    for registry in both() {
        let config = config(&registry, "not-the-password");
        let to = reference(&registry.host, "secret:v1");
        let error = client_with(config.path()).head(&to).await.unwrap_err();
        assert!(
            matches!(
                &error,
                RegistryError::Unauthorized {
                    had_credentials: true,
                    ..
                }
            ),
            "{error}"
        );
        assert!(!format!("{error:?}").contains("not-the-password"));
    }
}

#[tokio::test]
async fn an_identity_token_buys_access() {
    let registry = Engines::from_env().registry_token;
    let answer = reqwest::Client::new()
        .get(format!("http://{}/v2/", registry.host))
        .send()
        .await
        .unwrap();
    let challenge = answer.headers()["www-authenticate"].to_str().unwrap();
    let realm = challenge.split('"').nth(1).unwrap();
    let answer = reqwest::Client::new()
        .get(format!("{realm}?service=mlbuild-test&offline_token=true"))
        .basic_auth(&registry.user, Some(&registry.password))
        .send()
        .await
        .unwrap();
    let answer: serde_json::Value = answer.json().await.unwrap();
    let token = answer["refresh_token"].as_str().unwrap();

    let store = |token: &str| {
        let folder = tempfile::tempdir().unwrap();
        let text = format!(
            r#"{{"auths":{{"{}":{{"auth":"MDA6","identitytoken":"{token}"}}}}}}"#,
            registry.host
        );
        fs::write(folder.path().join("config.json"), text).unwrap();
        folder
    };
    let made = image(fresh_seed(), &[10]);
    let to = reference(&registry.host, "identity:v1");
    let folder = store(token);
    let with = client_with(folder.path());
    with.push_layout(&made.layout, &to, &[], silent())
        .await
        .unwrap();
    assert!(with.exists(&to, &made.top).await.unwrap());

    let folder = store("stale");
    let error = client_with(folder.path()).head(&to).await.unwrap_err();
    assert!(
        matches!(
            &error,
            RegistryError::Unauthorized {
                had_credentials: true,
                ..
            }
        ),
        "{error}"
    );
}

#[tokio::test]
async fn anybody_may_pull_what_is_public_and_not_push_it() {
    let registry = Engines::from_env().registry_token;
    let to = format!("{}/public/open:v1", registry.host).parse().unwrap();
    let made = image(fresh_seed(), &[10]);
    let folder = config(&registry, &registry.password);
    let with = client_with(folder.path());
    with.push_layout(&made.layout, &to, &[], silent())
        .await
        .unwrap();

    assert_eq!(client().images(&to, None).await.unwrap().len(), 1);
    let error = client()
        .push_layout(&made.layout, &to, &[], silent())
        .await
        .unwrap_err();
    assert!(
        matches!(
            &error,
            RegistryError::Unauthorized {
                had_credentials: false,
                ..
            }
        ),
        "{error}"
    );
}

fn with_helper(folder: &Path, to: &Reference, helper: &str) -> String {
    let program = folder.join("docker-credential-mlbuild-test");
    fs::write(&program, helper).unwrap();
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
    let config = r#"{"credsStore":"mlbuild-test"}"#;
    fs::write(folder.join("config.json"), config).unwrap();
    let path = format!("{}:{}", folder.display(), std::env::var("PATH").unwrap());
    let nowhere = folder.join("no-such-file").display().to_string();
    let folder = folder.display().to_string();
    push_with(
        to,
        &[
            ("PATH", &path),
            ("DOCKER_CONFIG", &folder),
            ("REGISTRY_AUTH_FILE", &nowhere),
        ],
    )
}

#[test]
fn a_helper_on_path_gives_the_log_in() {
    let registry = Engines::from_env().registry_auth;
    let to = reference(&registry.host, "helped:v1");
    let folder = tempfile::tempdir().unwrap();
    let (host, user, password) = (&registry.host, &registry.user, &registry.password);
    let helper = format!(
        "#!/bin/sh\nread -r asked\n[ \"$1 $asked\" = 'get {host}' ] || exit 1\n\
         echo '{{\"ServerURL\":\"{host}\",\"Username\":\"{user}\",\"Secret\":\"{password}\"}}'\n"
    );
    let said = with_helper(folder.path(), &to, &helper);
    assert!(said.contains("PUSHED sha256:"), "{said}");

    let none =
        "#!/bin/sh\ncat >/dev/null\necho 'credentials not found in native keychain'\nexit 1\n";
    let said = with_helper(folder.path(), &to, none);
    assert!(
        said.contains(&format!("FAILED {host} needs a log-in")),
        "{said}"
    );

    let broken = "#!/bin/sh\ncat >/dev/null\necho 'the keyring is locked' >&2\nexit 1\n";
    let said = with_helper(folder.path(), &to, broken);
    let expected = format!(
        "FAILED the credential helper docker-credential-mlbuild-test gave no log-in for {host}: \
         the keyring is locked"
    );
    assert!(said.contains(&expected), "{said}");
}
