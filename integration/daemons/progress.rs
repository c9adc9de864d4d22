//! What a user reads while a build runs and when it fails, from every builder.

use std::io::Write;
use std::process::{Command, Stdio};

use mlbuild_buildkit::{Client, ConnectOptions, LocalSource, Session, SolveError, SolveOptions};
use mlbuild_cli::support::hints;
use mlbuild_progress::explain::{Failure, explain};
use mlbuild_progress::{BuildTrace, Progress, ProgressMode, ProgressOutput, StepStatus};
use tokio_util::sync::CancellationToken;

use crate::support::engines::Engines;

/// Every builder's address as `--builder` takes it.
fn builders(engines: &Engines) -> Vec<String> {
    let docker = |unix: &String| unix.replacen("unix://", "docker://", 1);
    vec![
        engines.buildkitd.clone(),
        docker(&engines.docker_containerd),
        docker(&engines.docker_classic),
        docker(&engines.docker_20),
    ]
}

/// Builds a Dockerfile in a folder of its own and returns what was seen and how it ended.
async fn build(builder: &str, dockerfile: &str) -> (BuildTrace, Result<(), SolveError>) {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("Dockerfile"), dockerfile).expect("a Dockerfile");
    std::fs::write(folder.path().join("data.bin"), "data").expect("a file");
    std::fs::write(folder.path().join(".dockerignore"), "data.bin\n").expect("an ignore file");
    let endpoint = builder.parse().expect("an address");
    let client = Client::connect(&endpoint, &ConnectOptions::default()).await;
    let client = client.unwrap_or_else(|e| panic!("{builder}: {e}"));
    let session = Session::builder()
        .local("context", LocalSource::dir(folder.path()))
        .local("dockerfile", LocalSource::dir(folder.path()))
        .build()
        .expect("a session");
    let (status, progress) =
        Progress::start(ProgressMode::Tty, ProgressOutput::writer(std::io::sink()));
    let options = SolveOptions::default();
    let outcome = client
        .solve(options, session, status, CancellationToken::new())
        .await;
    (progress.finish().await, outcome.map(|_| ()))
}

async fn fail(builder: &str, dockerfile: &str) -> Failure {
    let (trace, outcome) = build(builder, dockerfile).await;
    match outcome {
        Err(SolveError::Build(failure)) => explain(&failure, &trace),
        other => panic!("{builder}: {dockerfile}: {other:?}"),
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn usual_causes_are_recognised_on_every_builder() {
    let engines = Engines::from_env();
    let base = &engines.base;
    let python = &engines.python_base;
    let nowhere = format!("{}/no/such:1", engines.registry);
    let cases = [
        (
            "command-not-found",
            Some(127),
            format!("FROM {base}\nRUN uvx ruff\n"),
        ),
        (
            "permission",
            Some(1),
            format!("FROM {base}\nUSER 1234\nRUN mkdir /opt/x\n"),
        ),
        (
            "out-of-memory",
            Some(137),
            format!("FROM {base}\nRUN sh -c 'kill -9 $$'\n"),
        ),
        (
            "module-missing",
            Some(1),
            format!("FROM {python}\nRUN python3 -c 'import nump'\n"),
        ),
        (
            "pip-requirements-missing",
            Some(1),
            format!("FROM {python}\nRUN pip install -r r.txt\n"),
        ),
        (
            "apt-no-package",
            Some(100),
            format!("FROM {base}\nRUN rm -rf /var/lib/apt/lists; apt-get install -y git\n"),
        ),
        (
            "copy-source-missing",
            None,
            format!("FROM {base}\nCOPY data.bin /\n"),
        ),
        ("base-not-found", None, format!("FROM {nowhere}\n")),
        (
            "dockerfile-instruction",
            None,
            format!("FROM {base}\nRUNN true\n"),
        ),
    ];
    let old_docker = builders(&engines).pop();
    let builders = builders(&engines);
    let (cases, old_docker) = (&cases, old_docker.as_ref());
    let checks = builders.iter().map(|builder| async move {
        for (id, code, dockerfile) in cases {
            let failure = fail(builder, dockerfile).await;
            let found = hints::of(&failure).map(|hint| hint.id);
            assert_eq!(found, Some(*id), "{builder}:\n{failure}");
            assert_eq!(failure.exit_code, *code, "{builder}:\n{failure}");
            if code.is_some() {
                let step = failure.step.as_deref().unwrap_or_default();
                assert!(step.contains("RUN"), "{builder}:\n{failure}");
                assert!(!failure.last_log_lines.is_empty(), "{builder}:\n{failure}");
            }
            // Docker 20.10 doesn't tell the line.
            if old_docker != Some(builder) {
                let source = failure
                    .source
                    .as_ref()
                    .map(|s| (s.file.as_str(), s.last_line));
                let expected = ("Dockerfile", dockerfile.lines().count());
                assert_eq!(source, Some(expected), "{builder}:\n{failure}");
            }
        }
    });
    futures::future::join_all(checks).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_build_is_told_as_cached() {
    let engines = Engines::from_env();
    for builder in builders(&engines) {
        let dockerfile = format!(
            "FROM {}\nRUN echo one; printf 'caf\\351 \\033[31mred\\033[0m\\n'; echo {}\n",
            engines.base,
            std::process::id()
        );
        let (trace, outcome) = build(&builder, &dockerfile).await;
        outcome.unwrap_or_else(|e| panic!("{builder}: {e}"));
        let run = trace
            .steps
            .iter()
            .find(|s| s.name.contains("RUN"))
            .expect("the step");
        assert_eq!(run.status, StepStatus::Done, "{builder}");
        assert!(
            run.duration.as_millis() > 0 && run.duration < trace.duration,
            "{builder}: {run:?}"
        );
        let log: Vec<&str> = run.log.iter().map(|l| l.text.as_str()).collect();
        assert_eq!(log[..2], ["one", "caf\u{fffd} red"], "{builder}");

        let (trace, _) = build(&builder, &dockerfile).await;
        let run = trace
            .steps
            .iter()
            .find(|s| s.name.contains("RUN"))
            .expect("the step");
        assert_eq!(run.status, StepStatus::Cached, "{builder}");
        assert!(trace.cached() >= 1, "{builder}");
    }
}

/// The names that occur in a stream of JSON objects, as paths without list positions.
fn shape(value: &serde_json::Value, path: &str, names: &mut std::collections::BTreeSet<String>) {
    match value {
        serde_json::Value::Object(object) => {
            for (name, value) in object {
                let path = format!("{path}.{name}");
                names.insert(path.clone());
                shape(value, &path, names);
            }
        }
        serde_json::Value::Array(list) => list.iter().for_each(|v| shape(v, path, names)),
        _ => {}
    }
}

fn shape_of(text: &[u8]) -> std::collections::BTreeSet<String> {
    let mut names = std::collections::BTreeSet::new();
    let values = serde_json::Deserializer::from_slice(text).into_iter::<serde_json::Value>();
    // After the objects buildx writes its error as text.
    for value in values.map_while(Result::ok) {
        shape(&value, "", &mut names);
    }
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn rawjson_has_the_names_that_buildx_writes() {
    let engines = Engines::from_env();
    let salt = std::process::id();
    let dockerfile = format!(
        "FROM {}\nCOPY a /\nRUN echo {salt}; echo two >&2; false\n",
        engines.base
    );
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("Dockerfile"), dockerfile).expect("a Dockerfile");
    std::fs::write(folder.path().join("a"), "a").expect("a file");

    let mut buildx = Command::new(engines.bin.join("docker"));
    buildx
        .args(["buildx", "build", "--progress=rawjson"])
        .arg(folder.path())
        .env("DOCKER_HOST", &engines.docker_containerd)
        .env("DOCKER_CONFIG", &engines.docker_config)
        .stdin(Stdio::null());
    // The first one has nothing cached on a daemon that never met the base.
    buildx.output().expect("buildx runs");
    let buildx = buildx.output().expect("buildx runs");
    let theirs = shape_of(&buildx.stderr);

    let out = tempfile::NamedTempFile::new().expect("a file");
    let endpoint = engines
        .docker_containerd
        .replacen("unix", "docker", 1)
        .parse()
        .expect("an address");
    let client = Client::connect(&endpoint, &ConnectOptions::default())
        .await
        .expect("a builder");
    let session = Session::builder()
        .local("context", LocalSource::dir(folder.path()))
        .local("dockerfile", LocalSource::dir(folder.path()))
        .build()
        .expect("a session");
    let writer = out.reopen().expect("the file");
    let (status, progress) = Progress::start(ProgressMode::RawJson, ProgressOutput::writer(writer));
    let mut options = SolveOptions::default();
    options
        .frontend_attrs
        .insert("no-cache".into(), String::new());
    let _ = client
        .solve(options, session, status, CancellationToken::new())
        .await;
    progress.finish().await;
    let ours = shape_of(&std::fs::read(out.path()).expect("the file"));

    for name in [
        ".vertexes.digest",
        ".vertexes.started",
        ".statuses.current",
        ".logs.data",
    ] {
        assert!(
            ours.contains(name) && theirs.contains(name),
            "{name}\n{ours:?}\n{theirs:?}"
        );
    }
    // buildx adds steps of its own for the image it would load or push.
    let unknown: Vec<_> = ours.difference(&theirs).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
}

#[test]
fn doctor_knows_every_builder() {
    let engines = Engines::from_env();
    let expected = [
        "buildkitd v",
        "Docker 2",
        "classic image store",
        "Docker 20.10",
    ];
    for (builder, expected) in builders(&engines).iter().zip(expected) {
        let output = Command::new(env!("CARGO_BIN_EXE_mlbuild"))
            .args(["doctor", "--format=json", "--builder", builder])
            .args(["--registry", &engines.registry])
            .output()
            .expect("mlbuild runs");
        let findings: Vec<serde_json::Value> =
            serde_json::from_slice(&output.stdout).expect("JSON findings");
        let of = |area: &str| {
            let mut of: Vec<&serde_json::Value> =
                findings.iter().filter(|f| f["area"] == area).collect();
            assert!(!of.is_empty(), "{builder}: {area}");
            of.remove(0).clone()
        };
        let first = of("builder");
        assert_eq!(first["level"], "ok", "{findings:?}");
        assert!(
            first["message"]
                .as_str()
                .is_some_and(|m| m.contains(expected)),
            "{first}"
        );
        let lets_in = format!("{} answers and lets us in", engines.registry);
        assert!(
            findings.iter().any(|f| f["message"] == lets_in.as_str()),
            "{findings:?}"
        );
        for area in ["gpu", "display", "disk", "network"] {
            of(area);
        }
        let failed = findings.iter().any(|f| f["level"] == "fail");
        assert_eq!(output.status.code(), Some(if failed { 3 } else { 0 }));
    }
}

#[test]
fn doctor_without_a_builder_says_what_was_tried() {
    let output = Command::new(env!("CARGO_BIN_EXE_mlbuild"))
        .args(["doctor", "--builder", "unix:///nowhere/b.sock"])
        .output()
        .expect("mlbuild runs");
    assert_eq!(output.status.code(), Some(3));
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("FAIL the builder doesn't answer"), "{text}");
    assert!(text.contains("→ start that builder"), "{text}");
}

#[test]
fn doctor_says_where_to_log_in() {
    let engines = Engines::from_env();
    let host = &engines.registry_auth;
    let folder = tempfile::tempdir().expect("a folder");
    let ask = || {
        let output = Command::new(env!("CARGO_BIN_EXE_mlbuild"))
            .args([
                "doctor",
                "--builder",
                &engines.buildkitd,
                "--registry",
                &host.host,
            ])
            .env("DOCKER_CONFIG", folder.path())
            .output()
            .expect("mlbuild runs");
        String::from_utf8_lossy(&output.stdout).into_owned()
    };
    assert!(
        ask().contains(&format!("→ docker login {}", host.host)),
        "{}",
        ask()
    );
    let mut login = Command::new(engines.bin.join("docker"))
        .args([
            "login",
            "--username",
            &host.user,
            "--password-stdin",
            &host.host,
        ])
        .env("DOCKER_CONFIG", folder.path())
        .env("DOCKER_HOST", &engines.docker_containerd)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("docker runs");
    let stdin = login.stdin.as_mut().expect("its input");
    stdin
        .write_all(host.password.as_bytes())
        .expect("the password is taken");
    assert!(login.wait().expect("docker ends").success());
    let text = ask();
    assert!(
        text.contains(&format!("{} answers and lets us in", host.host)),
        "{text}"
    );
    assert!(!text.contains(&host.password), "{text}");
}
