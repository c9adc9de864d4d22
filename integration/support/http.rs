//! Asks a registry, and plays one, without any of the code under test: plain HTTP by hand.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use serde_json::Value;
use sha2::{Digest as _, Sha256};

const MANIFESTS: &str = "application/vnd.oci.image.index.v1+json, application/vnd.oci.image.manifest.v1+json, \
     application/vnd.docker.distribution.manifest.v2+json, application/vnd.docker.distribution.manifest.list.v2+json";

/// An answer.
pub struct Answer {
    pub status: u16,
    pub headers: String,
    pub body: Vec<u8>,
}

/// A server that answers with what `answer` makes of a request's head, and keeps the heads.
pub fn listener(
    answer: impl Fn(&str) -> String + Send + 'static,
) -> (u16, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let heads: Arc<Mutex<Vec<String>>> = Arc::default();
    let kept = heads.clone();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = vec![0; 16 << 10];
            let read = stream.read(&mut head).unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..read]).to_lowercase();
            // Kept first: whoever has the answer may look at the heads at once.
            let answer = answer(&head);
            kept.lock().unwrap().push(head);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (port, heads)
}

/// Sends a request without a body.
pub fn request(method: &str, host: &str, path: &str) -> Answer {
    let mut stream = TcpStream::connect(host).unwrap_or_else(|e| panic!("{host}: {e}"));
    write!(
        stream,
        "{method} {path} HTTP/1.0\r\nHost: {host}\r\nAccept: {MANIFESTS}\r\n\r\n"
    )
    .unwrap();
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).unwrap();
    let end = bytes
        .windows(4)
        .position(|four| four == b"\r\n\r\n")
        .unwrap();
    let headers = String::from_utf8(bytes[..end].to_vec()).unwrap();
    Answer {
        status: headers[9..12].parse().unwrap(),
        body: bytes[end + 4..].to_vec(),
        headers,
    }
}

/// Puts a manifest under a tag.
pub fn put_manifest(host: &str, name: &str, tag: &str, media_type: &str, body: &[u8]) {
    let mut stream = TcpStream::connect(host).unwrap();
    let length = body.len();
    write!(
        stream,
        "PUT /v2/{name}/manifests/{tag} HTTP/1.0\r\nHost: {host}\r\nContent-Type: {media_type}\r\nContent-Length: {length}\r\n\r\n"
    )
    .unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer[9..].starts_with("201"), "{answer}");
}

/// Puts a blob in place; returns its digest.
pub fn put_blob(host: &str, name: &str, body: &[u8]) -> String {
    let digest = sha256(body);
    let opened = request("POST", host, &format!("/v2/{name}/blobs/uploads/"));
    let location = opened
        .headers
        .lines()
        .find_map(|line| line.strip_prefix("Location: "))
        .unwrap_or_else(|| panic!("{}", opened.headers));
    let path = &location[location.find("/v2/").unwrap()..];
    let join = if path.contains('?') { '&' } else { '?' };
    let length = body.len();
    let mut stream = TcpStream::connect(host).unwrap();
    write!(
        stream,
        "PUT {path}{join}digest={digest} HTTP/1.0\r\nHost: {host}\r\nContent-Type: application/octet-stream\r\nContent-Length: {length}\r\n\r\n"
    )
    .unwrap();
    stream.write_all(body).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer[9..].starts_with("201"), "{answer}");
    digest
}

/// A document that a registry has, with its digest; panics where it has none.
pub fn get(host: &str, path: &str) -> (String, Vec<u8>) {
    let answer = request("GET", host, path);
    assert_eq!(answer.status, 200, "{host}{path}: {}", answer.headers);
    (sha256(&answer.body), answer.body)
}

/// The manifest or index under a tag or digest, with its digest.
pub fn manifest(host: &str, name: &str, reference: &str) -> (String, Value) {
    let (digest, body) = get(host, &format!("/v2/{name}/manifests/{reference}"));
    (digest, serde_json::from_slice(&body).unwrap())
}

/// A blob that is JSON.
pub fn json_blob(host: &str, name: &str, digest: &Value) -> Value {
    let digest = digest.as_str().unwrap();
    let (found, body) = get(host, &format!("/v2/{name}/blobs/{digest}"));
    assert_eq!(found, digest);
    serde_json::from_slice(&body).unwrap()
}

/// The descriptors of what refers to a digest.
pub fn referrers(host: &str, name: &str, digest: &str) -> Vec<Value> {
    let answer = request("GET", host, &format!("/v2/{name}/referrers/{digest}"));
    let body = match answer.status {
        200 => answer.body,
        // Registries without the API have the same index under a tag.
        404 => {
            let tag = digest.replace(':', "-");
            let answer = request("GET", host, &format!("/v2/{name}/manifests/{tag}"));
            if answer.status == 404 {
                return Vec::new();
            }
            answer.body
        }
        other => panic!("{other}: {}", answer.headers),
    };
    let index: Value = serde_json::from_slice(&body).unwrap();
    index["manifests"].as_array().unwrap().clone()
}

pub fn sha256(bytes: &[u8]) -> String {
    format!("sha256:{}", hex::encode(Sha256::digest(bytes)))
}
