//! A registry that lies: answers and tokens without end.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use mlbuild::registry::{CredentialStore, Registry, RegistryOptions};
use oci_spec::distribution::Reference;
use oci_spec::image::Digest;

use crate::support::http::listener;

/// Most that a client may have taken in when it gives up, in bytes; the system's own buffers
/// count too.
const ENOUGH: u64 = 64 << 20;

struct Liar {
    host: String,
    /// Bytes without end that it got rid of.
    sent: Arc<AtomicU64>,
}

/// A registry that answers each request as `answer` says: the head, and whether a body without
/// end follows.
fn liar(answer: impl Fn(&str, &str) -> (String, bool) + Send + Sync + 'static) -> Liar {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    let liar = Liar {
        host: host.clone(),
        sent: Arc::default(),
    };
    let (sent, answer) = (liar.sent.clone(), Arc::new(answer));
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let (sent, answer) = (sent.clone(), answer.clone());
            let host = host.clone();
            std::thread::spawn(move || {
                let mut stream = stream;
                let mut head = vec![0; 16 << 10];
                let read = stream.read(&mut head).unwrap_or(0);
                let head = String::from_utf8_lossy(&head[..read]).into_owned();
                let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
                let (text, is_endless) = answer(&path, &host);
                if stream.write_all(text.as_bytes()).is_err() {
                    return;
                }
                let piece = vec![b' '; 1 << 20];
                while is_endless && sent.load(Ordering::Relaxed) < 4 * ENOUGH {
                    if stream.write_all(&piece).is_err() {
                        return;
                    }
                    sent.fetch_add(piece.len() as u64, Ordering::Relaxed);
                }
            });
        }
    });
    liar
}

fn client() -> Registry {
    let mut options = RegistryOptions {
        credentials: CredentialStore::from_files([]),
        ..RegistryOptions::default()
    };
    options.retry.attempts = 1;
    Registry::new(options)
}

fn reference(host: &str) -> Reference {
    format!("{host}/a/b:1").parse().unwrap()
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n";

#[tokio::test(flavor = "multi_thread")]
async fn answers_without_end_are_cut_off() {
    let digest: Digest = format!("sha256:{}", "a".repeat(64)).parse().unwrap();
    let listing = liar(|path, _| (OK.to_owned(), path.contains("/referrers/")));
    let at = reference(&listing.host);
    let error = client().referrers(&at, &digest, None).await;
    println!("refused: {}", error.unwrap_err());
    let token = liar(|path, host| match path.starts_with("/token") {
        true => (OK.to_owned(), true),
        false => {
            let ask = format!("WWW-Authenticate: Bearer realm=\"http://{host}/token\"");
            (
                format!(
                    "HTTP/1.1 401 Unauthorized\r\n{ask}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
                ),
                false,
            )
        }
    });
    let error = client().head(&reference(&token.host)).await;
    println!("refused: {}", error.unwrap_err());
    for liar in [listing, token] {
        let sent = liar.sent.load(Ordering::Relaxed);
        assert!(sent > 0 && sent < ENOUGH, "{sent} bytes");
    }
}

const END: &str = "Content-Length: 0\r\nConnection: close\r\n\r\n";

/// One that wants a password.
fn wants_a_password(_: &str) -> String {
    format!("HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"x\"\r\n{END}")
}

/// Log-ins for a host, as Docker keeps them.
fn log_in(folder: &tempfile::TempDir, host: &str) -> RegistryOptions {
    let file = folder.path().join("config.json");
    // me:hunter2
    let text = format!("{{\"auths\": {{\"{host}\": {{\"auth\": \"bWU6aHVudGVyMg==\"}}}}}}");
    std::fs::write(&file, text).unwrap();
    let mut options = RegistryOptions {
        credentials: CredentialStore::from_files([file]),
        ..RegistryOptions::default()
    };
    options.retry.attempts = 1;
    options
}

fn has_log_in(heads: &Mutex<Vec<String>>) -> bool {
    let heads = heads.lock().unwrap();
    assert!(!heads.is_empty(), "it was asked");
    heads.iter().any(|head| head.contains("authorization:"))
}

/// Connections to `0.0.0.0` come to this machine, and it is no address of loopback.
#[tokio::test(flavor = "multi_thread")]
async fn a_password_goes_over_plain_http_to_named_hosts_only() {
    let folder = tempfile::tempdir().unwrap();
    for is_named in [false, true] {
        let (port, heads) = listener(wants_a_password);
        let host = format!("0.0.0.0:{port}");
        let mut options = log_in(&folder, &host);
        let mirrors = vec![format!("http://{host}")];
        options.mirrors = [("r.invalid".to_owned(), mirrors)].into();
        if is_named {
            options.insecure = [host].into();
        }
        let refused = Registry::new(options)
            .resolve(&reference("r.invalid"), None)
            .await;
        println!("refused: {}", refused.unwrap_err());
        assert_eq!(has_log_in(&heads), is_named);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redirect_takes_no_log_in_to_another_host() {
    let folder = tempfile::tempdir().unwrap();
    let (other, heard) = listener(|_| format!("HTTP/1.1 404 Not Found\r\n{END}"));
    let (port, heads) = listener(move |head| {
        if head.contains("authorization:") {
            format!("HTTP/1.1 307 Moved\r\nLocation: http://127.0.0.1:{other}/v2/x\r\n{END}")
        } else {
            wants_a_password(head)
        }
    });
    let host = format!("127.0.0.1:{port}");
    let registry = Registry::new(log_in(&folder, &host));
    let refused = registry.resolve(&reference(&host), None).await;
    println!("refused: {}", refused.unwrap_err());
    assert!(has_log_in(&heads), "the registry itself has it");
    assert!(!has_log_in(&heard), "the other host has none");
}
