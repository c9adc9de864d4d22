//! The host's network settings reach the steps that need them, and nothing of the image.

use std::io::Read;

use super::Workshop;

/// Text that only the host's settings hold.
const MARKS: [&str; 3] = [
    "mark-of-the-bundle",
    "mark-of-the-index.example",
    "mark-of-the-proxy.example",
];

/// Whether bytes, or what they unpack to, hold one of the marks.
fn marks(bytes: &[u8]) -> Vec<String> {
    let mut unpacked = Vec::new();
    if bytes.starts_with(&[0x1f, 0x8b]) {
        flate2::read::MultiGzDecoder::new(bytes)
            .read_to_end(&mut unpacked)
            .expect("gzip");
    }
    let all = regex::bytes::Regex::new(&MARKS.map(regex::escape).join("|")).expect("a pattern");
    let found = |bytes: &[u8]| {
        all.find(bytes)
            .map(|m| String::from_utf8_lossy(m.as_bytes()).into_owned())
    };
    found(bytes).into_iter().chain(found(&unpacked)).collect()
}

#[test]
fn a_bundle_an_index_and_a_proxy_leave_no_trace() {
    let workshop = Workshop::new(&[("requirements.txt", "six\n"), (".dockerignore", "host\n")]);
    let base = workshop.engines.python_base.clone();
    let bundle =
        std::env::var("SSL_CERT_FILE").unwrap_or("/etc/ssl/certs/ca-certificates.crt".into());
    let bundle = std::fs::read_to_string(bundle).expect("the host's bundle");
    workshop.write("host/bundle.crt", &format!("# {}\n{bundle}", MARKS[0]));

    assert_eq!(
        marks(MARKS[2].as_bytes()),
        [MARKS[2]],
        "the search finds what is there"
    );

    let mut command = workshop.mlbuild(
        "templates-closed",
        &[
            "--base",
            &base,
            "--no-cache",
            "--apt",
            "tree",
            "--uid",
            "1000",
        ],
    );
    command
        .env("SSL_CERT_FILE", workshop.path().join("host/bundle.crt"))
        .env("PIP_TRUSTED_HOST", MARKS[1])
        .env("NO_PROXY", MARKS[2]);
    let output = command.output().expect("mlbuild runs");
    let story = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{story}");
    assert_eq!(marks(story.as_bytes()), Vec::<String>::new(), "the log");

    let history = workshop.docker(&["history", "--no-trunc", "templates-closed"]);
    // The steps speak of these paths only where the settings are mounted there.
    for path in ["/run/secrets/mlbuild-ca", "/run/secrets/mlbuild-pip-conf"] {
        assert!(history.contains(path), "{path} isn't mounted:\n{history}");
    }
    assert_eq!(
        marks(history.as_bytes()),
        Vec::<String>::new(),
        "the history"
    );
    let saved = workshop
        .docker_command(&["save", "templates-closed"])
        .output()
        .expect("docker save")
        .stdout;
    assert!(saved.len() > 10_000_000, "the image is missing");
    let mut archive = tar::Archive::new(&saved[..]);
    let mut blobs = 0;
    for entry in archive.entries().expect("a tar") {
        let mut entry = entry.expect("an entry");
        let name = entry.path().expect("a path").display().to_string();
        let mut bytes = Vec::new();
        entry.read_to_end(&mut bytes).expect("a blob");
        assert_eq!(marks(&bytes), Vec::<String>::new(), "{name}");
        blobs += 1;
    }
    assert!(blobs > 8, "{blobs} blobs");
    let env = workshop.docker(&[
        "image",
        "inspect",
        "--format",
        "{{json .Config}}",
        "templates-closed",
    ]);
    assert!(
        !env.contains("SSL_CERT_FILE") && !env.contains("PROXY"),
        "{env}"
    );
}
