//! Registries that die, are full, or can't be trusted.

use std::process::Command;
use std::sync::{Arc, Mutex};

use mlbuild::error::ErrorKind;
use mlbuild::registry::{PushEvent, PushProgress, Registry, RegistryError, RegistryOptions};
use mlbuild_cli::error::CommandError;
use oci_spec::distribution::Reference;

use super::child::push_with;
use super::own::Own;
use super::{Heard, client, options, reference, silent};
use crate::support::engines::Engines;
use crate::support::layouts::{fresh_seed, image};
use crate::support::mounts::Small;

const MIB: usize = 1 << 20;

/// Does something once, in the midst of an upload.
fn once_in_the_midst(act: impl FnMut() + Send + 'static) -> PushProgress {
    let done = Mutex::new(false);
    let act = Mutex::new(Box::new(act) as Box<dyn FnMut() + Send>);
    Arc::new(move |event| {
        if let PushEvent::Sent { bytes, .. } = event
            && bytes > 8 << 20
            && !std::mem::replace(&mut *done.lock().unwrap(), true)
        {
            (act.lock().unwrap())();
        }
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_dies_in_a_push_leaves_no_half_image() {
    let own = Arc::new(Mutex::new(Own::start()));
    let host = own.lock().unwrap().host.clone();
    let made = image(fresh_seed(), &[32 * MIB, 100]);
    let to = reference(&host, "dies:v1");
    let killer = own.clone();
    let progress = once_in_the_midst(move || killer.lock().unwrap().kill());
    let error = client()
        .push_layout(&made.layout, &to, &[], progress)
        .await
        .unwrap_err();
    assert!(
        matches!(&error, RegistryError::Interrupted { .. }),
        "{error}"
    );
    assert_eq!(CommandError::from(error).kind, ErrorKind::Environment);

    own.lock().unwrap().run();
    assert_eq!(client().head(&to).await.unwrap(), None);
    client()
        .push_layout(&made.layout, &to, &[], silent())
        .await
        .unwrap();
    assert!(client().exists(&to, &made.top).await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_restarts_in_a_push_gets_the_image() {
    let own = Arc::new(Mutex::new(Own::start()));
    let host = own.lock().unwrap().host.clone();
    let made = image(fresh_seed(), &[32 * MIB]);
    let to = reference(&host, "restarts:v1");
    let again = own.clone();
    let heard = Heard::default();
    let listener = heard.listener();
    let restart = once_in_the_midst(move || {
        again.lock().unwrap().kill();
        again.lock().unwrap().run();
    });
    let both: PushProgress = Arc::new(move |event: PushEvent| {
        listener(event.clone());
        restart(event);
    });
    client()
        .push_layout(&made.layout, &to, &[], both)
        .await
        .unwrap();
    assert!(heard.retries() >= 1);
    assert!(client().exists(&to, &made.top).await.unwrap());
}

#[tokio::test]
async fn nobody_there_is_told_at_once() {
    let to: Reference = "127.0.0.1:1/app:v1".parse().unwrap();
    let error = client().resolve(&to, None).await.unwrap_err();
    assert!(
        matches!(&error, RegistryError::Unreachable { .. }),
        "{error}"
    );
    let error = CommandError::from(error);
    assert_eq!(error.kind, ErrorKind::Environment);
    assert!(error.message().contains("127.0.0.1:1"), "{error}");
}

#[tokio::test]
async fn a_full_registry_is_told_so() {
    let mut disk = None;
    let own = Own::start_with("", |folder| {
        disk = Some(Small::mount(&folder.join("data"), "8m"))
    });
    let made = image(fresh_seed(), &[32 * MIB]);
    let to = reference(&own.host, "full:v1");
    let error = client()
        .push_layout(&made.layout, &to, &[], silent())
        .await
        .unwrap_err();
    let error = CommandError::from(error);
    assert_eq!(error.kind, ErrorKind::Environment);
    assert!(
        error.message().contains("no space left"),
        "{error}\n{}",
        own.log()
    );
    drop(own);
}

#[tokio::test]
async fn certificates_are_checked() {
    let tls = "  tls:\n    certificate: FOLDER/cert.pem\n    key: FOLDER/key.pem\n";
    let own = Own::start_with(tls, |folder| {
        let made = Command::new("openssl")
            .args([
                "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
            ])
            .args([
                "-subj",
                "/CN=registry",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
            ])
            .args(["-addext", "basicConstraints=critical,CA:FALSE"])
            .arg("-keyout")
            .arg(folder.join("key.pem"))
            .arg("-out")
            .arg(folder.join("cert.pem"))
            .output()
            .unwrap();
        assert!(
            made.status.success(),
            "{}",
            String::from_utf8_lossy(&made.stderr)
        );
    });
    let to = reference(&own.host, "tls:v1");
    let made = image(fresh_seed(), &[100]);
    let error = client()
        .push_layout(&made.layout, &to, &[], silent())
        .await
        .unwrap_err();
    assert!(matches!(&error, RegistryError::Untrusted { .. }), "{error}");
    let error = CommandError::from(error);
    assert_eq!(error.kind, ErrorKind::Environment);
    assert!(error.hints()[0].contains("SSL_CERT_FILE"), "{error}");

    // With any certificate allowed.
    let insecure = RegistryOptions {
        insecure: [own.host.clone()].into(),
        ..options()
    };
    let registry = Registry::new(insecure);
    registry
        .push_layout(&made.layout, &to, &[], silent())
        .await
        .unwrap();

    // With this one trusted for this registry, as Docker has it.
    let certificates = own.folder().join("certs.d");
    let folder = certificates.join(&own.host);
    std::fs::create_dir_all(&folder).unwrap();
    std::fs::copy(own.folder().join("cert.pem"), folder.join("ca.crt")).unwrap();
    let registry = Registry::new(RegistryOptions {
        certificates,
        ..options()
    });
    assert!(registry.exists(&to, &made.top).await.unwrap());

    // With the system's own way to trust one, and a proxy that loopback doesn't need.
    let certificate = own.folder().join("cert.pem").display().to_string();
    let proxy = ("HTTPS_PROXY", "http://127.0.0.1:1");
    let said = push_with(&to, &[("SSL_CERT_FILE", certificate.as_str()), proxy]);
    assert!(said.contains("PUSHED sha256:"), "{said}");
}

#[tokio::test]
async fn plain_http_needs_leave_off_loopback() {
    let own = Own::start();
    // Not a loopback name, though the kernel takes it for this machine.
    let host = own.host.replace("127.0.0.1", "0.0.0.0");
    let to = reference(&host, "plain:v1");
    let error = client().head(&to).await.unwrap_err();
    assert!(matches!(&error, RegistryError::PlainHttp { .. }), "{error}");
    let error = CommandError::from(error);
    assert!(
        error.hints()[0].contains(&format!("--insecure-registry {host}")),
        "{error}"
    );

    let leave = RegistryOptions {
        insecure: [host].into(),
        ..options()
    };
    assert_eq!(Registry::new(leave).head(&to).await.unwrap(), None);
}

#[tokio::test]
async fn a_damaged_layer_is_found_before_anyone_pulls_it() {
    let host = Engines::from_env().registry;
    let made = image(fresh_seed(), &[MIB]);
    let layer = made.layout.images().unwrap()[0].layers[0].blob.clone();
    let path = made
        .folder
        .path()
        .join("blobs/sha256")
        .join(layer.digest().digest());
    let mut bytes = std::fs::read(&path).unwrap();
    bytes[1000] ^= 1;
    std::fs::write(&path, bytes).unwrap();
    let to = reference(&host, "damaged:v1");
    let error = client()
        .push_layout(&made.layout, &to, &[], silent())
        .await
        .unwrap_err();
    assert!(matches!(&error, RegistryError::Layout(_)), "{error}");
    assert!(error.to_string().contains("is damaged"), "{error}");
    assert_eq!(client().head(&to).await.unwrap(), None);
}
