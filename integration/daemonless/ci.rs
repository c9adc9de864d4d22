//! `mlbuild ci` without any daemon: where the file goes, and what is refused.

use std::sync::{Arc, Mutex};

use serde_json::Value;

use crate::support::http::{listener, sha256};
use crate::support::mlbuild::Project;

/// A mirror of Docker Hub that has every image, and what it was asked for. Its indexes are `body`.
fn hub(project: &Project, body: &'static str) -> Arc<Mutex<Vec<String>>> {
    let (port, asked) = listener(move |_| {
        format!(
            "HTTP/1.1 200 OK\r\nContent-Type: application/vnd.oci.image.index.v1+json\r\n\
             Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
            body.len()
        )
    });
    let config =
        format!("[registry]\nmirrors = {{ \"docker.io\" = [\"http://127.0.0.1:{port}\"] }}\n");
    project.write("../home/.config/mlbuild/config.toml", &config);
    asked
}

const INDEX: &str = "{\"schemaVersion\":2,\"manifests\":[]}";
const NEWER: &str = "{\"schemaVersion\":2,\"manifests\":[ ]}";

#[test]
fn images_that_a_workflow_starts_are_named_by_digest() {
    for (host, file, images) in [
        (
            "github",
            ".github/workflows/image.yml",
            &["moby/buildkit:"][..],
        ),
        (
            "gitlab",
            ".gitlab-ci.yml",
            &["moby/buildkit:", "rust:", "docker:28-dind"],
        ),
    ] {
        let project = Project::new(&[("requirements.txt", "six\n")]);
        let ci = |more: &[&str]| {
            let words = [
                &["ci", host][..],
                more,
                &["--", "-t", "ghcr.io/me/cracks:1"],
            ]
            .concat();
            let ran = project.run(words);
            assert_eq!(ran.code, Some(0), "{}", ran.stderr);
            assert!(!ran.stderr.contains("by its tag"), "{}", ran.stderr);
            project.read(file)
        };
        let asked = hub(&project, INDEX);
        let first = ci(&[]);
        assert_eq!(asked.lock().unwrap().len(), images.len());
        let digest = sha256(INDEX.as_bytes());
        assert_eq!(first.matches(&digest).count(), images.len(), "{first}");
        for image in images {
            let line = first.lines().find(|line| line.contains(image)).unwrap();
            assert!(line.ends_with(&format!("@{digest}")), "{line}");
        }
        // The tags are given to other images: the file stays as it is until newer ones are wanted.
        let asked = hub(&project, NEWER);
        assert_eq!(ci(&[]), first);
        assert_eq!(*asked.lock().unwrap(), [""; 0]);
        let second = ci(&["--force"]);
        let newer = sha256(NEWER.as_bytes());
        assert_eq!(second.replace(&newer, &digest), first);
    }
}

/// Words of a flag that mean something to YAML stay words of a shell.
#[test]
fn flags_are_no_yaml() {
    let project = Project::new(&[("requirements.txt", "six\n")]);
    hub(&project, INDEX);
    for label in [
        "a=b: c",
        "a=b #c",
        "a=- x",
        "a=\"b'",
        "a=@b%",
        "a=$(id)`id`",
        "a={b: [c]}",
    ] {
        for host in ["github", "gitlab"] {
            let flags = [
                "ci",
                host,
                "-o",
                "-",
                "--",
                "-t",
                "ghcr.io/me/x:1",
                "--label",
                label,
            ];
            let ran = project.run(flags);
            let workflow: Value = serde_saphyr::from_str(ran.answer()).unwrap();
            let steps = match host {
                "github" => &workflow["jobs"]["image"]["steps"],
                _ => &workflow["image"]["script"],
            };
            let build = steps.as_array().unwrap().iter().find_map(|step| {
                let text = step["run"].as_str().or(step.as_str())?;
                text.contains("mlbuild image").then(|| text.to_owned())
            });
            let build = build.unwrap();
            let inner = build
                .split_once("$(")
                .unwrap()
                .1
                .split("\"github")
                .next()
                .unwrap();
            let words = shlex::split(inner.split(" --run-id").next().unwrap()).unwrap();
            let at = words.iter().position(|word| word == "--label").unwrap();
            assert_eq!(words[at + 1], label, "{build}");
        }
    }
}

#[test]
fn a_workflow_is_written_once() {
    let project = Project::new(&[("requirements.txt", "six\n")]);
    hub(&project, INDEX);
    let ci = [
        "ci",
        "github",
        "--",
        "-t",
        "ghcr.io/me/cracks:1",
        "--uid",
        "1000",
    ];
    let ran = project.run(ci);
    assert!(ran.answer().ends_with(".github/workflows/image.yml"));
    assert!(
        ran.stderr.contains("pins no packages yet"),
        "{}",
        ran.stderr
    );
    let text = project.read(".github/workflows/image.yml");
    let image = "IMAGE=$(mlbuild image -t ghcr.io/me/cracks:1 --uid 1000 --locked --push";
    assert!(text.contains(image), "{text}");
    assert!(text.contains("docker login ghcr.io "), "{text}");
    assert!(
        !text.contains("@FLAGS@") && !text.contains("@REGISTRY@"),
        "{text}"
    );
    // The same again is no news; another one isn't written over it.
    project.run(ci).answer();
    let other = ["ci", "github", "--", "-t", "ghcr.io/me/cracks:2"];
    let why = project.run(other);
    assert!(why.refusal(2).contains("--force"), "{}", why.stderr);
    assert_eq!(project.read(".github/workflows/image.yml"), text);
    let forced = ["ci", "github", "--force", "--", "-t", "ghcr.io/me/cracks:2"];
    project.run(forced).answer();
    assert!(
        project
            .read(".github/workflows/image.yml")
            .contains("cracks:2")
    );
}

#[test]
fn flags_that_no_image_has_are_refused() {
    let project = Project::new(&[]);
    for (flags, why) in [
        (
            &["-t", "ghcr.io/me/x:1", "--uids", "1"][..],
            "after --: unexpected argument '--uids'",
        ),
        (&[], "which has no name"),
    ] {
        let words = [&["ci", "gitlab", "--"], flags].concat();
        let ran = project.run(words);
        assert!(ran.refusal(2).contains(why), "{}", ran.stderr);
    }
    assert_eq!(project.names(), [""; 0]);
}
