//! Plays a server of Weights & Biases: its GraphQL and its files, as far as the real client asks for them
//! to read a run. `integration/daemons/trackers.rs` holds it against that client.

use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};

/// A key as servers give them: 40 characters.
pub const KEY: &str = "0123456789abcdef0123456789abcdef01234567";

/// What is answered where a file is asked for.
#[derive(Clone)]
pub enum Reply {
    Body(Vec<u8>),
    Redirect(String),
}

/// What the server has: one run, `acme/cracks/1abc2def`.
#[derive(Clone, Default)]
pub struct Has {
    pub commit: Option<String>,
    /// Names and addresses of files; `/…` is on this server.
    pub files: Vec<(String, String)>,
    /// What lies on this server, by path.
    pub replies: BTreeMap<String, Reply>,
    /// What is answered to every question instead of an answer.
    pub instead: Option<Reply>,
    /// Whether files are given without the key, as a storage does that signs addresses.
    pub is_storage: bool,
}

/// A request that came.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub authorization: Option<String>,
    pub body: String,
}

/// The server; it stands until the tests end.
pub struct WandbServer {
    pub port: u16,
    seen: Arc<Mutex<Vec<Seen>>>,
}

impl WandbServer {
    pub fn start(has: Has) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let seen: Arc<Mutex<Vec<Seen>>> = Arc::default();
        let (kept, has) = (seen.clone(), Arc::new(has));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (kept, has) = (kept.clone(), has.clone());
                std::thread::spawn(move || {
                    let Some(request) = read(&stream) else {
                        return;
                    };
                    // Kept first: whoever has the answer may look at once.
                    kept.lock().unwrap().push(request.clone());
                    let _ = (&stream).write_all(&answer(&has, port, &request));
                });
            }
        });
        Self { port, seen }
    }

    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.seen.lock().unwrap().clone()
    }
}

pub fn read(stream: &TcpStream) -> Option<Seen> {
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace().map(str::to_owned);
    let (method, path) = (words.next()?, words.next()?);
    let (mut length, mut authorization) = (0, None);
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.split_once(':') else {
            break;
        };
        match (name.to_ascii_lowercase().as_str(), value.trim()) {
            ("content-length", value) => length = value.parse().ok()?,
            ("authorization", value) => authorization = Some(value.to_owned()),
            _ => {}
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Seen {
        method,
        path,
        authorization,
        body: String::from_utf8(body).ok()?,
    })
}

fn answer(has: &Has, port: u16, request: &Seen) -> Vec<u8> {
    let expected = format!("Basic {}", STANDARD.encode(format!("api:{KEY}")));
    let is_known = request.authorization.as_deref() == Some(&expected);
    // What else the client sends is of no run.
    if request.path.starts_with("/sdk/") {
        return reply("200 OK", "", b"");
    }
    if !is_known && !has.is_storage {
        return reply("401 Unauthorized", "", b"{}");
    }
    let found = if request.path == "/graphql" {
        let data = || Reply::Body(data(has, port, &request.body).to_string().into_bytes());
        Some(has.instead.clone().unwrap_or_else(data))
    } else {
        has.replies.get(&request.path).cloned()
    };
    match found {
        Some(Reply::Body(body)) => reply("200 OK", "Content-Type: application/json\r\n", &body),
        Some(Reply::Redirect(to)) => reply(
            "307 Temporary Redirect",
            &format!("Location: {to}\r\n"),
            b"",
        ),
        None => reply("404 Not Found", "", b"{}"),
    }
}

/// The answer to a question, of all fields that the client may have asked for.
fn data(has: &Has, port: u16, question: &str) -> Value {
    let question: Value = serde_json::from_str(question).unwrap();
    let variables = &question["variables"];
    let viewer = json!({
        "id": "VXNlcjox", "entity": "acme", "username": "ann", "email": "ann@example.org",
        "flags": "{}", "teams": { "edges": [] },
    });
    if !question["query"]
        .as_str()
        .unwrap()
        .contains("project(name:")
    {
        return json!({ "data": { "viewer": viewer } });
    }
    let asked = ["entity", "project", "name"].map(|part| variables[part].as_str());
    if asked != [Some("acme"), Some("cracks"), Some("1abc2def")] {
        return json!({ "data": { "project": null } });
    }
    let wanted = variables["fileNames"].as_array();
    let is_wanted =
        |name: &str| wanted.is_none_or(|names| names.is_empty() || names.contains(&json!(name)));
    let files = has.files.iter().filter(|(name, _)| is_wanted(name));
    let edges: Vec<Value> = files
        .map(|(name, at)| {
            let local = at
                .starts_with('/')
                .then(|| format!("http://127.0.0.1:{port}{at}"));
            let url = local.unwrap_or_else(|| at.clone());
            let node = json!({
                "id": name, "name": name, "url": url, "directUrl": url, "sizeBytes": "0",
                "mimetype": "text/plain", "updatedAt": "2026-03-01T12:00:00Z", "md5": null,
            });
            json!({ "node": node, "cursor": name })
        })
        .collect();
    let run = json!({
        "projectId": 1, "id": "UnVuOjE=", "name": "1abc2def", "displayName": "brisk-fog-1",
        "tags": [], "sweepName": null, "state": "finished", "config": "{}", "group": null,
        "jobType": null, "commit": has.commit, "readOnly": false,
        "createdAt": "2026-03-01T12:00:00", "heartbeatAt": "2026-03-01T13:00:00",
        "description": null, "notes": null, "systemMetrics": "{}", "summaryMetrics": "{}",
        "historyLineCount": 0, "user": { "name": "Ann", "username": "ann" }, "historyKeys": null,
        "fileCount": edges.len(),
        "files": { "edges": edges, "pageInfo": { "endCursor": "x", "hasNextPage": false } },
    });
    json!({ "data": { "project": { "internalId": "1", "run": run } } })
}

pub fn reply(status: &str, headers: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let head = format!(
        "HTTP/1.1 {status}\r\n{headers}Connection: close\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), body].concat()
}
