//! A build in a closed network: an index and a proxy that ask for a password,
//! and a CA bundle of the company's own. The build works with them, and nothing
//! that is left behind holds any of them.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::Path;
use std::process::Command;

use base64::Engine as _;
use serde_json::Value;

use super::{Builder, builders, image, name_and_tag, unique};
use crate::support::engines::Engines;
use crate::support::http;
use crate::support::mlbuild::{Project, Ran};

const USER: &str = "indexuser";
const PASSWORD: &str = "index-s3cr3t";
const PROXY_PASSWORD: &str = "proxy-s3cr3t";
const MARK_IN_BUNDLE: &str = "Closed-Network-Mark-4711";

/// A package index that asks for a password, with one package; ends with the test.
fn index(wheel: Vec<u8>) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let host = listener.local_addr().unwrap().to_string();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let wheel = wheel.clone();
            std::thread::spawn(move || answer(stream, &wheel));
        }
    });
    host
}

fn answer(mut stream: TcpStream, wheel: &[u8]) {
    let mut lines = BufReader::new(stream.try_clone().unwrap()).lines();
    let Some(Ok(first)) = lines.next() else {
        return;
    };
    let path = first.split(' ').nth(1).unwrap_or("").to_owned();
    let login = base64::engine::general_purpose::STANDARD.encode(format!("{USER}:{PASSWORD}"));
    let allowed = lines
        .map_while(Result::ok)
        .take_while(|line| !line.is_empty())
        .any(|line| line.eq_ignore_ascii_case(&format!("authorization: Basic {login}")));
    let name = "closed_pkg-1.0-py3-none-any.whl";
    let (status, kind, body) = match path.as_str() {
        _ if !allowed => (
            "401 Unauthorized\r\nWWW-Authenticate: Basic realm=\"closed\"",
            "text/plain",
            b"no".to_vec(),
        ),
        "/simple/closed-pkg/" => (
            "200 OK",
            "text/html",
            format!("<a href=\"/{name}\">{name}</a>").into_bytes(),
        ),
        wheel_path if wheel_path.ends_with(name) => {
            ("200 OK", "application/octet-stream", wheel.to_vec())
        }
        _ => ("404 Not Found", "text/plain", b"no such package".to_vec()),
    };
    let _ = write!(
        stream,
        "HTTP/1.1 {status}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n",
        body.len()
    );
    let _ = stream.write_all(&body);
}

fn wheel(folder: &Path) -> Vec<u8> {
    let script = "import zipfile\n\
        z = zipfile.ZipFile('w.whl', 'w')\n\
        i = 'closed_pkg-1.0.dist-info/'\n\
        z.writestr('closed_pkg.py', 'answer = 42\\n')\n\
        z.writestr(i + 'METADATA', 'Metadata-Version: 2.1\\nName: closed-pkg\\nVersion: 1.0\\n')\n\
        z.writestr(i + 'WHEEL', 'Wheel-Version: 1.0\\nGenerator: t\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n')\n\
        z.writestr(i + 'RECORD', 'closed_pkg.py,,\\n' + i + 'METADATA,,\\n' + i + 'WHEEL,,\\n' + i + 'RECORD,,\\n')\n\
        z.close()\n";
    let made = Command::new("python3")
        .args(["-c", script])
        .current_dir(folder)
        .status()
        .unwrap();
    assert!(made.success());
    std::fs::read(folder.join("w.whl")).unwrap()
}

/// What must not be found, in every spelling that it could have been written in.
fn forbidden() -> Vec<String> {
    let standard = base64::engine::general_purpose::STANDARD;
    vec![
        PASSWORD.into(),
        PROXY_PASSWORD.into(),
        MARK_IN_BUNDLE.into(),
        standard.encode(format!("{USER}:{PASSWORD}")),
        standard.encode(PASSWORD),
        standard.encode(PROXY_PASSWORD),
    ]
}

/// Fails if any of them is in the bytes. grep looks: unoptimised code takes minutes for a layer.
#[track_caller]
fn is_clean(place: &str, bytes: &[u8]) {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(bytes).unwrap();
    let words = forbidden();
    let output = Command::new("grep")
        .args(["--text", "--only-matching", "--fixed-strings"])
        .args(words.iter().flat_map(|word| ["-e", word]))
        .arg(file.path())
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    let found = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "{place} holds {found}");
}

/// Everything that a registry has under a digest: indexes, manifests, configurations, layers.
/// The base's own layers are left out: they were there before.
fn is_clean_in_registry(engines: &Engines, name: &str, digest: &str) {
    let host = &engines.registry;
    let (_, base) = engines.python_base.split_once('/').unwrap();
    let (base, label) = base.rsplit_once(':').unwrap();
    let (_, base) = http::manifest(host, base, label);
    let base = base["layers"].as_array().unwrap();
    let (_, body) = http::get(host, &format!("/v2/{name}/manifests/{digest}"));
    is_clean(digest, &body);
    let document: Value = serde_json::from_slice(&body).unwrap();
    for inner in document["manifests"].as_array().into_iter().flatten() {
        is_clean_in_registry(engines, name, inner["digest"].as_str().unwrap());
    }
    let blobs = document["layers"]
        .as_array()
        .into_iter()
        .flatten()
        .chain(document.get("config"));
    for blob in blobs {
        if base.iter().any(|layer| layer["digest"] == blob["digest"]) {
            continue;
        }
        let digest = blob["digest"].as_str().unwrap();
        let (_, body) = http::get(host, &format!("/v2/{name}/blobs/{digest}"));
        if blob["mediaType"].as_str().unwrap().contains("gzip") {
            let mut unpacked = Vec::new();
            flate2::read::GzDecoder::new(body.as_slice())
                .read_to_end(&mut unpacked)
                .unwrap();
            is_clean(&format!("layer {digest}"), &unpacked);
        } else {
            is_clean(digest, &body);
        }
    }
}

fn is_clean_folder(folder: &Path) {
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            is_clean_folder(&path)
        } else {
            is_clean(&path.display().to_string(), &std::fs::read(&path).unwrap())
        }
    }
}

fn closed_network(index: &str) -> Project {
    let project = Project::new(&[
        ("requirements.txt", "closed-pkg==1.0\n"),
        ("train.py", "import closed_pkg\nprint(closed_pkg.answer)\n"),
    ]);
    let folder = project.home().join(".config/pip");
    std::fs::create_dir_all(&folder).unwrap();
    let conf = format!(
        "[global]\nindex-url = http://{USER}:{PASSWORD}@{index}/simple\ntrusted-host = 127.0.0.1\n"
    );
    std::fs::write(folder.join("pip.conf"), conf).unwrap();
    let mut bundle = std::fs::read_to_string("/etc/ssl/certs/ca-certificates.crt").unwrap();
    bundle.push_str(&format!("\n# {MARK_IN_BUNDLE}\n"));
    std::fs::write(project.home().join("bundle.pem"), bundle).unwrap();
    project
}

fn build(engines: &Engines, builder: &Builder, index: &str, more: &[&str]) {
    let project = closed_network(index);
    let tag = unique(&engines.registry, "closed");
    let args = [
        "--template",
        "python",
        "--base",
        &engines.python_base,
        "--installer",
        "pip",
        "-t",
        &tag,
        "--push",
        "--no-cache",
        "--network",
        "host",
    ];
    let args = [&args[..], more].concat();
    let mut command = project.command(image(&builder.flags, &args));
    command
        .env(
            "HTTP_PROXY",
            format!("http://proxyuser:{PROXY_PASSWORD}@127.0.0.1:9"),
        )
        .env(
            "HTTPS_PROXY",
            format!("http://proxyuser:{PROXY_PASSWORD}@127.0.0.1:9"),
        )
        .env("NO_PROXY", "127.0.0.1,localhost")
        .env("SSL_CERT_FILE", project.home().join("bundle.pem"));
    let ran = Ran::of(&mut command);
    let pinned = ran.answer();
    is_clean("stdout", ran.stdout.as_bytes());
    is_clean("the progress", ran.stderr.as_bytes());
    is_clean_folder(&project.path(""));
    is_clean_folder(&project.outside().join("state"));

    let (name, _) = name_and_tag(&tag);
    let (_, digest) = pinned.split_once('@').unwrap();
    is_clean_in_registry(engines, name, digest);
    let attached = http::referrers(&engines.registry, name, digest);
    assert_eq!(attached.len(), 2);
    for one in attached {
        is_clean_in_registry(engines, name, one["digest"].as_str().unwrap());
    }
    // What is printed of the plan is clean as well.
    let mut command = project.command(image(&[], &[&args[..], &["--print", "plan"]].concat()));
    command
        .env(
            "HTTP_PROXY",
            format!("http://proxyuser:{PROXY_PASSWORD}@127.0.0.1:9"),
        )
        .env("SSL_CERT_FILE", project.home().join("bundle.pem"));
    let plan = Ran::of(&mut command);
    is_clean("the plan", plan.answer().as_bytes());
}

#[test]
fn nothing_of_a_closed_network_is_left_behind() {
    let engines = Engines::from_env();
    let folder = tempfile::tempdir().unwrap();
    let index = index(wheel(folder.path()));
    std::thread::scope(|scope| {
        for builder in builders(&engines) {
            let more: &[&str] = match builder.name {
                "buildkitd-tcp" => &["--progress", "rawjson", "--provenance=mode=min"],
                // The same daemon.
                "buildkitd" => continue,
                _ => &["--progress", "plain"],
            };
            let (engines, index) = (&engines, &index);
            scope.spawn(move || build(engines, &builder, index, more));
        }
    });
}

#[test]
fn a_failing_step_does_not_show_them_either() {
    let engines = Engines::from_env();
    let folder = tempfile::tempdir().unwrap();
    let index = index(wheel(folder.path()));
    let project = closed_network(&index);
    project.write(
        "requirements.txt",
        "closed-pkg==1.0\nno-such-package-here==9\n",
    );
    for progress in ["plain", "rawjson"] {
        let args = [
            "--template",
            "python",
            "--base",
            &engines.python_base,
            "--installer",
            "pip",
            "-t",
            "a:1",
            "--network",
            "host",
            "--progress",
            progress,
        ];
        let ran = project.run(image(&super::buildkitd(&engines), &args));
        let told = ran.refusal(1);
        is_clean("the progress", told.as_bytes());
        assert!(told.contains("no-such-package-here"), "{told}");
    }
    assert_eq!(project.names(), ["requirements.txt", "train.py"]);
    is_clean_folder(&project.path(""));
}

#[test]
fn full_provenance_would_hold_the_proxys_password() {
    let (engines, project) = super::small("provenance");
    let tag = unique(&engines.registry, "provenance");
    let args = [
        "-f",
        "Dockerfile",
        "-t",
        &tag,
        "--push",
        "--quiet",
        "--provenance=mode=max",
    ];
    let run = |more: &[&str]| {
        let mut command = project.command(image(
            &super::buildkitd(&engines),
            &[&args[..], more].concat(),
        ));
        command.env(
            "HTTPS_PROXY",
            format!("http://u:{PROXY_PASSWORD}@127.0.0.1:9"),
        );
        Ran::of(&mut command)
    };
    insta::assert_snapshot!(run(&[]).refusal(2), @r"
    error: --provenance: the attestation would record HTTPS_PROXY with its password
      hint: give --provenance=mode=min, which records no arguments
      hint: or keep the proxy from RUN steps: --no-host-network-settings
    ");
    let ran = run(&["--no-host-network-settings"]);
    let (_, digest) = ran.answer().split_once('@').unwrap();
    is_clean_in_registry(&engines, name_and_tag(&tag).0, digest);
}
