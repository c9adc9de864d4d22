//! Builds that fail, are cancelled, or lose their builder.

use std::time::{Duration, Instant};

use mlbuild_buildkit::{LocalSource, SolveError};

use super::{Build, all_builders, buildkitd, folder, own};
use crate::support::engines::Engines;
use crate::support::wait::HANG;

#[tokio::test]
async fn a_failing_step_points_at_its_line() {
    let base = Engines::from_env().base;
    let text = format!("FROM {base}\n\nRUN echo before && \\\n    exit 7\n");
    let dir = folder(&[("Dockerfile", &text)]);
    for (name, client) in all_builders().await {
        let outcome = Build::new(&client, dir.path())
            .attr("no-cache", "")
            .run()
            .await;
        assert!(outcome.logs().contains("before"), "{name}");
        let vertexes: Vec<_> = outcome
            .progress
            .iter()
            .flat_map(|m| m.vertexes.clone())
            .collect();
        let SolveError::Build(failure) = outcome.error() else {
            panic!("{name}: not a build failure");
        };
        assert!(
            failure.message.contains("exit code: 7"),
            "{name}: {failure:?}"
        );
        // The old one doesn't tell where.
        if name != "Docker 20.10" {
            assert_eq!(failure.sources[0].ranges, [(3, 4)], "{name}: {failure:?}");
            assert_eq!(failure.sources[0].content, text.as_bytes(), "{name}");
        }
        let step = failure.vertex.unwrap_or_else(|| panic!("{name}: no step"));
        let step = vertexes.iter().find(|v| v.digest == step).unwrap();
        assert!(step.name.contains("RUN echo before"), "{name}: {step:?}");
    }
}

#[tokio::test]
async fn a_bad_dockerfile_points_at_its_line() {
    let dir = folder(&[("Dockerfile", "FROM scratch\nCOPI a /\n")]);
    for (name, client) in all_builders().await {
        let error = Build::new(&client, dir.path())
            .run()
            .await
            .error()
            .to_string();
        assert!(
            error.contains("nknown instruction: COPI"),
            "{name}: {error}"
        );
        assert!(
            error.starts_with("Dockerfile:2: ") || error.contains("parse error line 2"),
            "{name}: {error}"
        );
    }
}

#[tokio::test]
async fn a_long_dockerfile_comes_back_whole_in_the_error() {
    let comments = "# This line is here to make the file long.\n".repeat(3000);
    let text = format!("{comments}FROM scratch\nCOPY gone /\n");
    let dir = folder(&[("Dockerfile", &text)]);
    for (name, client) in all_builders().await {
        let SolveError::Build(failure) = Build::new(&client, dir.path()).run().await.error() else {
            panic!("{name}: not a build failure");
        };
        assert!(failure.message.contains("gone"), "{name}: {failure}");
        if name != "Docker 20.10" {
            assert_eq!(failure.sources[0].ranges, [(3002, 3002)], "{name}");
        }
    }
}

#[tokio::test]
async fn a_missing_dockerfile_is_named() {
    let dir = folder(&[("a", "")]);
    for (name, client) in all_builders().await {
        let build = Build::new(&client, dir.path()).attr("filename", "Gone.Dockerfile");
        let error = build.run().await.error().to_string();
        assert!(error.contains("Gone.Dockerfile"), "{name}: {error}");
    }
}

#[tokio::test]
async fn a_file_that_cannot_be_read_is_named() {
    let dir = folder(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]);
    // A name longer than the daemon's own limit would be its error; a folder
    // that vanished is ours.
    let gone = dir.path().join("gone");
    std::fs::create_dir(&gone).unwrap();
    let client = buildkitd().await;
    let build =
        Build::new(&client, dir.path()).session(|s| s.local("context", LocalSource::dir(&gone)));
    let session = build.session.build().unwrap();
    std::fs::remove_dir(&gone).unwrap();
    let (sender, receiver) = tokio::sync::mpsc::channel(64);
    drop(receiver);
    let error = client
        .solve(build.options, session, sender, build.cancel)
        .await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains(gone.to_str().unwrap()), "{error}");
}

/// Whether a process with this argument runs anywhere on the machine.
fn runs(argument: &str) -> bool {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return false;
    };
    processes.flatten().any(|p| {
        let line = std::fs::read(p.path().join("cmdline")).unwrap_or_default();
        let mut words = line.split(|b| *b == 0);
        words.next() == Some(b"sleep") && words.any(|word| word == argument.as_bytes())
    })
}

async fn until(what: &str, mut is: impl FnMut() -> bool) {
    let since = Instant::now();
    while !is() {
        assert!(since.elapsed() < HANG, "{what}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn cancelling_ends_the_daemons_work() {
    let base = Engines::from_env().base;
    for (n, (name, client)) in all_builders().await.into_iter().enumerate() {
        let seconds = format!("{}", 70_000 + std::process::id() % 10_000 + n as u32);
        let dir = folder(&[("Dockerfile", &format!("FROM {base}\nRUN sleep {seconds}\n"))]);
        let build = Build::new(&client, dir.path());
        let cancel = build.cancel.clone();
        let started = seconds.clone();
        let canceller = tokio::spawn(async move {
            until("the step starts", || runs(&started)).await;
            cancel.cancel();
        });
        let error = build.run().await.error();
        canceller.await.unwrap();
        assert!(matches!(error, SolveError::Cancelled), "{name}: {error}");
        until("the step ends", || !runs(&seconds)).await;
    }
}

#[tokio::test]
async fn a_build_that_is_cancelled_before_it_starts_does_nothing() {
    let dir = folder(&[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    let client = buildkitd().await;
    let build = Build::new(&client, dir.path());
    build.cancel.cancel();
    assert!(matches!(build.run().await.error(), SolveError::Cancelled));
}

#[tokio::test]
async fn a_builder_that_dies_is_told_and_soon() {
    let engines = Engines::from_env();
    let (mut buildkitd, client) = own(&engines).await;
    // Reading the context from a fifo that nobody writes to takes for ever,
    // and needs no container.
    let dir = folder(&[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    let mut build = Build::new(&client, dir.path());
    let (never, reader) = tokio::io::duplex(64);
    let url = build.session.upload(reader);
    let build = build.attr("context", &url);
    let running = async {
        tokio::time::sleep(Duration::from_millis(700)).await;
        // At once, as a crash would.
        buildkitd.child.kill().unwrap();
    };
    let (outcome, ()) = tokio::join!(build.run(), running);
    drop(never);
    let error = outcome.error();
    assert!(matches!(&error, SolveError::Lost { .. }), "{error:?}");
    assert!(
        error.to_string().starts_with("lost the builder at unix://"),
        "{error}"
    );
}
