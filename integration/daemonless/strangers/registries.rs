//! A registry that lies: answers and tokens without end.

use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use mlbuild::registry::{CredentialStore, Registry, RegistryOptions};
use oci_spec::distribution::Reference;
use oci_spec::image::Digest;

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
