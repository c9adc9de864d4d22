//! A bad line: a TCP relay in front of a real registry that cuts connections.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

/// When to cut, asked with each piece that a client sends. Counts for itself.
pub type Cut = Box<dyn FnMut(&Request) -> bool + Send>;

/// The request that is being sent.
#[derive(Clone, Debug, Default)]
pub struct Request {
    /// `PATCH`, `PUT`, …
    pub method: String,
    /// Its path and query.
    pub path: String,
    /// The `Content-Range` header, if there is one.
    pub range: Option<String>,
    /// Bytes of it that passed before this piece.
    pub passed: usize,
}

/// The relay.
pub struct Cable {
    /// `127.0.0.1:PORT` of the near end.
    pub host: String,
    seen: Arc<Mutex<Vec<Request>>>,
    passed: Arc<AtomicUsize>,
}

impl Cable {
    /// A line to `registry` that is cut whenever `cut` says so.
    pub async fn to(registry: &str, cut: Cut) -> Self {
        let near = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let host = near.local_addr().unwrap().to_string();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let passed = Arc::new(AtomicUsize::new(0));
        let count = passed.clone();
        let (far, cut, log) = (registry.to_owned(), Arc::new(Mutex::new(cut)), seen.clone());
        tokio::spawn(async move {
            while let Ok((client, _)) = near.accept().await {
                tokio::spawn(relay(
                    client,
                    far.clone(),
                    cut.clone(),
                    log.clone(),
                    count.clone(),
                ));
            }
        });
        Self { host, seen, passed }
    }

    /// Bytes that clients sent and that went through.
    pub fn passed(&self) -> usize {
        self.passed.load(Ordering::Relaxed)
    }

    /// The requests that came, in order, those that were cut too.
    pub fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

async fn relay(
    client: TcpStream,
    far: String,
    cut: Arc<Mutex<Cut>>,
    seen: Arc<Mutex<Vec<Request>>>,
    count: Arc<AtomicUsize>,
) {
    let Ok(server) = TcpStream::connect(&far).await else {
        return;
    };
    let (mut from_client, mut to_client) = client.into_split();
    let (mut from_server, mut to_server) = server.into_split();
    let answers = async move {
        let _ = tokio::io::copy(&mut from_server, &mut to_client).await;
    };
    let requests = async move {
        let (mut buffer, mut now) = (vec![0; 64 << 10], Request::default());
        loop {
            let Ok(n @ 1..) = from_client.read(&mut buffer).await else {
                return;
            };
            if let Some(next) = parse(&buffer[..n]) {
                seen.lock().unwrap().push(next.clone());
                now = next;
            }
            if (cut.lock().unwrap())(&now) {
                return;
            }
            now.passed += n;
            count.fetch_add(n, Ordering::Relaxed);
            if to_server.write_all(&buffer[..n]).await.is_err() {
                return;
            }
        }
    };
    // Whichever side ends takes the other with it.
    tokio::select! {
        () = answers => {}
        () = requests => {}
    }
}

/// A client sends its next request only after an answer, so one starts a piece.
fn parse(piece: &[u8]) -> Option<Request> {
    let methods = ["GET ", "HEAD ", "POST ", "PUT ", "PATCH "];
    if !methods.iter().any(|m| piece.starts_with(m.as_bytes())) {
        return None;
    }
    let head = String::from_utf8_lossy(&piece[..piece.len().min(8192)]).into_owned();
    let mut lines = head.lines();
    let mut words = lines.next()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    let range = lines.take_while(|l| !l.is_empty()).find_map(|l| {
        l.to_lowercase()
            .strip_prefix("content-range: ")
            .map(str::to_owned)
    });
    Some(Request {
        method,
        path,
        range,
        passed: 0,
    })
}
