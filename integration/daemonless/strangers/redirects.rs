//! A server that is asked over TLS and sends to one in the clear, where somebody reads along: each client
//! of HTTP refuses, and the other one hears nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use mlbuild::kubernetes::{ClusterTarget, connect};
use mlbuild::registry::{CredentialStore, Registry, RegistryOptions};
use oci_spec::distribution::Reference;
use oci_spec::image::{Descriptor, Digest, MediaType};

use crate::support::http::listener;
use crate::support::mlbuild::Project;
use crate::support::tls;

const END: &str = "Content-Length: 0\r\nConnection: close\r\n\r\n";
/// One of each sort: a `POST` becomes a `GET`, or everything becomes one, or the body is sent again.
const REDIRECTS: [&str; 3] = [
    "301 Moved Permanently",
    "303 See Other",
    "307 Temporary Redirect",
];

/// Whoever reads along: keeps what comes, and gives everybody what they may want.
fn in_the_clear() -> (u16, Arc<Mutex<Vec<String>>>) {
    let body = "{\"token\":\"t\"}";
    let length = body.len();
    listener(move |_| {
        format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{body}")
    })
}

/// Which answer leads away.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Leads {
    /// The one to whoever has logged in by a password.
    Everything,
    /// The token server's.
    Token,
    /// The place of an upload.
    Upload,
}

/// A registry by TLS that sends to `to`.
fn registry(leads: Leads, status: &'static str, to: u16) -> u16 {
    let own = Arc::new(Mutex::new(0));
    let known = own.clone();
    let (port, _) = tls::serve(move |head| {
        let away = format!("HTTP/1.1 {status}\r\nLocation: http://localhost:{to}/x\r\n{END}");
        let port = *known.lock().unwrap();
        let line = head.lines().next().unwrap_or_default();
        let has_log_in = head.contains("authorization:");
        let ask = match leads {
            Leads::Token => format!("Bearer realm=\"https://127.0.0.1:{port}/token\""),
            _ => "Basic realm=\"x\"".to_owned(),
        };
        if leads == Leads::Token && line.contains("/token") {
            return away;
        }
        if !has_log_in {
            return format!("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {ask}\r\n{END}");
        }
        match leads {
            Leads::Upload if line.starts_with("head") => format!("HTTP/1.1 404 Not Found\r\n{END}"),
            Leads::Upload => {
                format!("HTTP/1.1 202 Accepted\r\nLocation: http://localhost:{to}/x\r\n{END}")
            }
            _ => away,
        }
    });
    *own.lock().unwrap() = port;
    port
}

/// A client that trusts the server, with a log-in for it.
fn client(folder: &Path, host: &str, log_in: &str) -> Registry {
    let file = folder.join("config.json");
    let text = format!("{{\"auths\": {{\"{host}\": {log_in}}}}}");
    std::fs::write(&file, text).unwrap();
    let trusted = folder.join("certs.d").join(host);
    std::fs::create_dir_all(&trusted).unwrap();
    std::fs::copy(tls::certificate(), trusted.join("ca.crt")).unwrap();
    let mut options = RegistryOptions {
        credentials: CredentialStore::from_files([file]),
        certificates: folder.join("certs.d"),
        ..RegistryOptions::default()
    };
    options.retry.attempts = 1;
    Registry::new(options)
}

/// me:hunter2
const PASSWORD: &str = "{\"auth\": \"bWU6aHVudGVyMg==\"}";
const IDENTITY: &str = "{\"auth\": \"bWU6\", \"identitytoken\": \"hunter2\"}";

/// What is asked of a registry, by name.
const ASKED: [&str; 7] = [
    "resolve",
    "head",
    "blob",
    "large blob",
    "referrers",
    "attached",
    "attach",
];

async fn ask(what: &str, client: &Registry, at: &Reference) -> String {
    let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
    let blob = Descriptor::new(MediaType::ImageConfig, 2, digest.clone());
    let failure = match what {
        "resolve" => client.resolve(at, None).await.map(drop),
        "head" => client.head(at).await.map(drop),
        "blob" => client.pull_blob(at, &blob).await.map(drop),
        "referrers" => client.referrers(at, &digest, None).await.map(drop),
        "attached" => client.pull_attached(at, &blob).await.map(drop),
        "attach" => {
            let none = BTreeMap::new();
            client
                .attach(at, &blob, "a/b", b"text", &none)
                .await
                .map(drop)
        }
        _ => {
            let (client, at) = (client.clone(), at.clone());
            let runtime = tokio::runtime::Handle::current();
            let open = move || client.open_blob(&at, &blob, &runtime).map(drop);
            tokio::task::spawn_blocking(open).await.unwrap()
        }
    };
    failure.expect_err(what).to_string()
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_that_is_asked_of_a_registry_by_tls_is_asked_in_the_clear() {
    let folder = tempfile::tempdir().unwrap();
    let (to, heard) = in_the_clear();
    let mut asked = 0;
    for status in REDIRECTS {
        let everything = ASKED.map(|what| (Leads::Everything, PASSWORD, what));
        let others = [
            (Leads::Token, PASSWORD, "head"),
            (Leads::Token, IDENTITY, "head"),
            (Leads::Upload, PASSWORD, "attach"),
        ];
        for (leads, log_in, what) in everything.into_iter().chain(others) {
            let host = format!("127.0.0.1:{}", registry(leads, status, to));
            let client = client(folder.path(), &host, log_in);
            let at = format!("{host}/a/b:1").parse().unwrap();
            let why = ask(what, &client, &at).await;
            println!("{status}, {leads:?}, {what}: {why}");
            assert!(
                why.contains("leads from https to plain http"),
                "{what}: {why}"
            );
            asked += 1;
        }
    }
    assert_eq!(asked, 30);
    assert_eq!(*heard.lock().unwrap(), [""; 0]);
}

/// A token that is in a call's body: 307 and 308 would have it sent once more.
#[tokio::test(flavor = "multi_thread")]
async fn a_log_in_in_a_body_goes_to_no_other_server_by_tls_either() {
    let folder = tempfile::tempdir().unwrap();
    for status in REDIRECTS {
        let (other, heads) = tls::serve(|_| format!("HTTP/1.1 404 Not Found\r\n{END}"));
        let own = Arc::new(Mutex::new(0));
        let known = own.clone();
        let (port, _) = tls::serve(move |head| {
            if head.contains("post /token") {
                return format!(
                    "HTTP/1.1 {status}\r\nLocation: https://127.0.0.1:{other}/x\r\n{END}"
                );
            }
            let port = *known.lock().unwrap();
            let ask = format!("Bearer realm=\"https://127.0.0.1:{port}/token\"");
            format!("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: {ask}\r\n{END}")
        });
        *own.lock().unwrap() = port;
        let host = format!("127.0.0.1:{port}");
        let client = client(folder.path(), &host, IDENTITY);
        let at = format!("{host}/a/b:1").parse().unwrap();
        let why = ask("head", &client, &at).await;
        assert!(why.contains("sends log-ins to another server"), "{why}");
        assert_eq!(*heads.lock().unwrap(), [""; 0], "{status}");
    }
}

#[test]
fn the_private_builder_is_not_fetched_in_the_clear() {
    for status in REDIRECTS {
        let (to, heard) = in_the_clear();
        let (port, heads) = tls::serve(move |_| {
            format!("HTTP/1.1 {status}\r\nLocation: http://localhost:{to}/x\r\n{END}")
        });
        let project = Project::new(&[]);
        let from = format!("https://me:hunter2@127.0.0.1:{port}/b.tar.gz");
        let zeros = "0".repeat(64);
        let mut command = project.command(["engine", "up", "--from", &from, "--sha256", &zeros]);
        let output = command.env("SSL_CERT_FILE", tls::certificate()).output();
        let said = String::from_utf8(output.unwrap().stderr).unwrap();
        println!("{status}: {said}");
        assert!(said.contains("leads from https to plain http"), "{said}");
        assert!(heads.lock().unwrap()[0].contains("authorization: basic"));
        assert_eq!(*heard.lock().unwrap(), [""; 0], "{status}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cluster_that_sends_elsewhere_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    for status in REDIRECTS {
        let (to, heard) = in_the_clear();
        let (port, heads) = tls::serve(move |_| {
            format!("HTTP/1.1 {status}\r\nLocation: http://localhost:{to}/x\r\n{END}")
        });
        let config = format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: c\n\
             contexts: [{{name: c, context: {{cluster: c, user: u}}}}]\n\
             clusters: [{{name: c, cluster: {{server: \"https://127.0.0.1:{port}\", \
             certificate-authority: \"{}\"}}}}]\n\
             users: [{{name: u, user: {{token: hunter2}}}}]\n",
            tls::certificate().display()
        );
        let file = folder.path().join("config");
        std::fs::write(&file, config).unwrap();
        let target = ClusterTarget {
            kubeconfig: Some(file),
            ..ClusterTarget::default()
        };
        let cluster = connect(&target).await.unwrap();
        let why = cluster.version().await.unwrap_err();
        println!("{status}: {why}");
        assert!(heads.lock().unwrap()[0].contains("authorization: bearer"));
        assert_eq!(*heard.lock().unwrap(), [""; 0], "{status}");
    }
}
