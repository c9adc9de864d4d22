//! What registries answer when something is wrong with them, and what is said of it.

use std::collections::BTreeMap;
use std::sync::Mutex;

use mlbuild::image::layer::{Packing, write_tar};
use serde_json::{Value, json};

use crate::diff::file;
use crate::support::http;
use crate::support::layouts::{self, Made};
use crate::support::mlbuild::{Project, Ran};

/// A registry that has one image and does something else now and then.
struct Odd {
    address: String,
}

/// An answer in the place of the usual one: to a request of this path, the n-th time from 0.
type Instead = dyn Fn(&str, u32) -> Option<String> + Send + Sync;

impl Odd {
    fn start(image: &Made, instead: Box<Instead>) -> Self {
        let blobs = image.folder.path().join("blobs/sha256");
        let top = image.top.to_string();
        let seen: Mutex<BTreeMap<String, u32>> = Mutex::default();
        let (port, _) = http::listener(move |head| {
            let path = head.split(' ').nth(1).unwrap_or_default().to_owned();
            let mut seen = seen.lock().unwrap();
            let times = seen.entry(path.clone()).or_default();
            *times += 1;
            if let Some(answer) = instead(&path, *times - 1) {
                return answer;
            }
            let last = path.rsplit('/').next().unwrap_or_default();
            let digest = if last == "1" { &top } else { last };
            let body = digest
                .strip_prefix("sha256:")
                .and_then(|hex| std::fs::read(blobs.join(hex)).ok());
            match body {
                None if path == "/v2/" => answer("200 OK", "", ""),
                None => answer("404 Not Found", "", "{}"),
                Some(body) => {
                    let body = String::from_utf8(body).unwrap();
                    let document: Value = serde_json::from_str(&body).unwrap_or_default();
                    let kind = document["mediaType"]
                        .as_str()
                        .unwrap_or("application/octet-stream");
                    answer("200 OK", &format!("content-type: {kind}\r\n"), &body)
                }
            }
        });
        Self {
            address: format!("127.0.0.1:{port}"),
        }
    }

    /// Its image beside another one.
    fn diff(&self, project: &Project, other: &Made) -> Ran {
        let image = format!("{}/x:1", self.address);
        project.run(["diff", &image, other.folder.path().to_str().unwrap()])
    }
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    let length = body.len();
    format!(
        "HTTP/1.1 {status}\r\nconnection: close\r\n{headers}content-length: {length}\r\n\r\n{body}"
    )
}

fn image(word: &str) -> Made {
    let tar = write_tar(&[file("a.txt", word)]);
    layouts::built(&[("RUN make", tar)], Packing::Plain, json!({}))
}

/// The manifest of an image that has only one.
fn manifest(image: &Made) -> Value {
    let hex = image.top.to_string().replace("sha256:", "");
    let bytes = std::fs::read(image.folder.path().join("blobs/sha256").join(hex)).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

#[test]
fn what_is_wrong_with_a_registry_is_said_in_plain_words() {
    let (ours, other) = (image("a"), image("b"));
    let document = manifest(&ours);
    let config = document["config"]["digest"].as_str().unwrap().to_owned();
    let layer = document["layers"][0]["digest"].as_str().unwrap().to_owned();
    let index = json!({ "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{ "mediaType": "application/vnd.oci.image.manifest.v1+json", "size": 2,
            "digest": format!("sha256:{}", "0".repeat(64)),
            "platform": { "os": "linux", "architecture": "amd64" } }] })
    .to_string();
    let is_tag = |path: &str| path.ends_with("/manifests/1");
    let of = |digest: &str| {
        let digest = digest.to_owned();
        move |path: &str| path.ends_with(&digest)
    };
    let (is_config, is_layer) = (of(&config), of(&layer));
    let (is_config_2, is_layer_2) = (of(&config), of(&layer));
    let gone = || Some(answer("404 Not Found", "", "{}"));
    let later = || {
        Some(answer(
            "429 Too Many Requests",
            "retry-after: 3\r\n",
            "slow down",
        ))
    };
    let odd = "{\"errors\":[{\"code\":\"MANIFEST_INVALID\",\"message\":\"a\\u0000b\\u001b[2Jc\"}]}";
    let cases: Vec<(Box<Instead>, Option<i32>, &str)> = vec![
        (
            Box::new(move |path, _| {
                is_tag(path)
                    .then(|| answer("500 Internal Server Error", "", "500 Internal Server Error"))
            }),
            Some(3),
            "failed on pulling REGISTRY/x:1: 500 Internal Server Error (6 tries)",
        ),
        (
            Box::new(move |path, _| {
                is_tag(path).then(|| {
                    answer(
                        "200 OK",
                        "content-type: application/vnd.oci.image.index.v1+json\r\n",
                        &index,
                    )
                })
            }),
            Some(3),
            "it lists sha256:0000000000000000000000000000000000000000000000000000000000000000, which isn't there",
        ),
        (
            Box::new(move |path, _| is_config(path).then(gone).flatten()),
            Some(2),
            "of REGISTRY/x, which REGISTRY/x:1 needs, isn't in the registry",
        ),
        (
            Box::new(move |path, _| is_layer(path).then(gone).flatten()),
            Some(3),
            "of REGISTRY/x, which REGISTRY/x:1 needs, isn't in the registry",
        ),
        (
            Box::new(move |path, _| is_tag(path).then(|| answer("400 Bad Request", "", odd))),
            Some(3),
            "a\\u0000b\\u001b[2Jc",
        ),
        (
            Box::new(move |path, times| (path == "/v2/" && times == 0).then(later).flatten()),
            Some(4),
            "asks to wait for 3 s",
        ),
        (
            Box::new(move |path, times| (is_tag(path) && times == 0).then(later).flatten()),
            Some(4),
            "asks to wait for 3 s",
        ),
        (
            Box::new(move |path, times| (is_config_2(path) && times == 0).then(later).flatten()),
            Some(4),
            "asks to wait for 3 s",
        ),
        (
            Box::new(move |path, times| (is_layer_2(path) && times == 0).then(later).flatten()),
            Some(4),
            "asks to wait for 3 s",
        ),
    ];
    let project = Project::new(&[]);
    std::thread::scope(|scope| {
        let running: Vec<_> = cases
            .into_iter()
            .map(|(instead, code, expected)| {
                let odd = Odd::start(&ours, instead);
                let (project, other) = (&project, &other);
                scope.spawn(move || (odd.diff(project, other), odd.address, code, expected))
            })
            .collect();
        for case in running {
            let (ran, address, code, expected) = case.join().unwrap();
            let told = ran.stderr.replace(&address, "REGISTRY");
            eprintln!("{:?}: {told}", ran.code);
            assert!(told.contains(expected), "{expected}: {told}");
            assert_eq!(ran.code, code, "{told}");
            assert!(!told.contains("500 500"), "{told}");
            assert!(
                !told.contains(|c: char| c.is_control() && c != '\n'),
                "{told:?}"
            );
        }
    });
}
