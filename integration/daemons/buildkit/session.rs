//! What builds ask of the client: folders, contexts, secrets, agents,
//! log-ins.

use std::path::Path;
use std::process::Command;

use mlbuild_buildkit::{ExportTarget, LocalSource, Secret, SecretSource, SshSource};
use tempfile::TempDir;

use super::{Build, all_builders, buildkitd, docker_config, folder, own, read};
use crate::servers::{GitDaemon, SshAgent};
use crate::support::engines::Engines;

fn with_base(text: &str) -> String {
    text.replace("BASE", &Engines::from_env().base)
}

#[tokio::test]
async fn secrets_are_mounted_and_stay_out_of_the_image() {
    let text = with_base(
        "FROM BASE AS run\n\
         RUN --mount=type=secret,id=file --mount=type=secret,id=env --mount=type=secret,id=value \
         cat /run/secrets/file /run/secrets/env /run/secrets/value | sha256sum > /sum && \
         ! test -e /run/secrets/other\n\
         FROM scratch\nCOPY --from=run /sum /sum\n",
    );
    let dir = folder(&[("Dockerfile", &text)]);
    let secret = folder(&[("secret", "one")]);
    let home = std::env::var("HOME").unwrap();
    use sha2::Digest as _;
    let expected = hex::encode(sha2::Sha256::digest(format!("one{home}three")));
    for (name, client) in all_builders().await {
        let out = Build::new(&client, dir.path())
            .session(|s| {
                s.secret("file", SecretSource::File(secret.path().join("secret")))
                    .secret("env", SecretSource::Env("HOME".into()))
                    .secret("value", SecretSource::Value(Secret::new("three")))
            })
            .attr("no-cache", "")
            .files()
            .await;
        assert!(read(&out, "sum").starts_with(&expected), "{name}");
    }
}

#[tokio::test]
async fn a_required_secret_that_nobody_gave_is_named() {
    let text = with_base("FROM BASE\nRUN --mount=type=secret,id=gone,required=true true\n");
    let dir = folder(&[("Dockerfile", &text)]);
    for (name, client) in all_builders().await {
        let error = Build::new(&client, dir.path())
            .run()
            .await
            .error()
            .to_string();
        assert!(
            error.contains("gone") && error.contains("not found"),
            "{name}: {error}"
        );
    }
}

#[tokio::test]
async fn an_ssh_agent_is_forwarded_for_reading_only() {
    let agent = SshAgent::start();
    let text = with_base(
        "FROM BASE\nCOPY ssh-add /usr/bin/\n\
         RUN --mount=type=ssh ssh-add -l && ! ssh-add -D\n\
         RUN --mount=type=ssh,id=second ssh-add -l\n",
    );
    let dir = folder(&[("Dockerfile", &text)]);
    std::fs::copy("/usr/bin/ssh-add", dir.path().join("ssh-add")).expect("openssh-client");
    let socket = agent.socket();
    for (name, client) in all_builders().await {
        let source = SshSource {
            socket: socket.clone(),
        };
        let outcome = Build::new(&client, dir.path())
            .session(|s| s.ssh("default", source.clone()).ssh("second", source))
            .attr("no-cache", "")
            .run()
            .await;
        let logs = outcome.logs();
        outcome.output();
        assert_eq!(
            logs.matches(&agent.fingerprint).count(),
            2,
            "{name}: {logs}"
        );
    }
}

#[tokio::test]
async fn a_private_base_is_pulled_with_a_login() {
    let engines = Engines::from_env();
    let client = buildkitd().await;
    for registry in [&engines.registry_auth, &engines.registry_token] {
        let name = format!("{}/wire/private:{}", registry.host, std::process::id());
        let config = docker_config(&registry.host, &registry.user, &registry.password);
        let base = folder(&[
            ("Dockerfile", "FROM scratch\nCOPY word /\n"),
            ("word", &name),
        ]);
        let attrs = [
            ("name", name.as_str()),
            ("push", "true"),
            ("registry.insecure", "true"),
        ];
        Build::new(&client, base.path())
            .session(|s| s.auth(super::auth(&config)))
            .export("image", &attrs, None)
            .run()
            .await
            .output();

        let dir = folder(&[("Dockerfile", &format!("FROM {name}\n"))]);
        let out = Build::new(&client, dir.path())
            .session(|s| s.auth(super::auth(&config)))
            .files()
            .await;
        assert_eq!(read(&out, "word"), name);

        let wrong = docker_config(&registry.host, &registry.user, "wrong");
        let missing = format!("FROM {}\n", name.replace("private", "other"));
        let dir = folder(&[("Dockerfile", &missing)]);
        let error = Build::new(&client, dir.path())
            .session(|s| s.auth(super::auth(&wrong)))
            .run()
            .await
            .error()
            .to_string();
        let unauthorized = ["401", "authorization failed", "log-in"];
        assert!(unauthorized.iter().any(|w| error.contains(w)), "{error}");
    }
}

#[tokio::test]
async fn a_context_may_be_in_memory() {
    let files = [
        (
            "Dockerfile".to_string(),
            b"FROM scratch\nCOPY a /\n".to_vec(),
        ),
        ("a".to_string(), b"memory".to_vec()),
    ];
    let empty = folder(&[]);
    for (name, client) in all_builders().await {
        let source = LocalSource::Memory(files.clone().into());
        let out = Build::new(&client, empty.path())
            .session(|s| {
                s.local("context", source.clone())
                    .local("dockerfile", source)
            })
            .files()
            .await;
        assert_eq!(read(&out, "a"), "memory", "{name}");
    }
}

#[tokio::test]
async fn ignore_files_are_applied_and_the_dockerfiles_own_wins() {
    let dir = folder(&[
        ("Dockerfile", "FROM scratch\nCOPY . /\n"),
        (".dockerignore", "*.log\nDockerfile*\n!keep.log\n"),
        ("a.txt", "a"),
        ("b.log", "b"),
        ("keep.log", "k"),
        ("Other", "FROM scratch\nCOPY . /\n"),
        ("Other.dockerignore", "*\n!b.log\n"),
    ]);
    for (name, client) in all_builders().await {
        let out = Build::new(&client, dir.path()).files().await;
        let names = |dir: &TempDir| {
            let mut names: Vec<String> = std::fs::read_dir(dir.path())
                .unwrap()
                .map(|e| e.unwrap().file_name().into_string().unwrap())
                .filter(|n| n != ".dockerignore")
                .collect();
            names.sort();
            names
        };
        assert_eq!(
            names(&out),
            ["Other", "Other.dockerignore", "a.txt", "keep.log"],
            "{name}"
        );
        let out = Build::new(&client, dir.path())
            .attr("filename", "Other")
            .files()
            .await;
        assert_eq!(names(&out), ["b.log"], "{name}");
    }
}

#[tokio::test]
async fn named_contexts_are_folders_images_and_layouts() {
    let engines = Engines::from_env();
    let client = buildkitd().await;
    let base = folder(&[
        ("Dockerfile", "FROM scratch\nCOPY word /\n"),
        ("word", "layout"),
    ]);
    let layout = tempfile::tempdir().unwrap();
    let target = ExportTarget::Dir(layout.path().to_path_buf());
    let made = Build::new(&client, base.path())
        .export("oci", &[], Some(target))
        .run()
        .await;
    let digest = made.output().descriptor.unwrap().digest().to_string();

    let dir = folder(&[(
        "Dockerfile",
        "FROM layout\nCOPY --from=folder other /\nCOPY --from=image /etc/debian_version /\n",
    )]);
    let other = folder(&[("other", "folder")]);
    let out = Build::new(&client, dir.path())
        .session(|s| {
            s.oci_layout("mine", layout.path())
                .local("folder", LocalSource::dir(other.path()))
        })
        .attr("context:layout", &format!("oci-layout://mine@{digest}"))
        .attr("context:folder", "local:folder")
        .attr("context:image", &format!("docker-image://{}", engines.base))
        .files()
        .await;
    assert_eq!(read(&out, "word"), "layout");
    assert_eq!(read(&out, "other"), "folder");
    assert!(read(&out, "debian_version").starts_with("12"));
}

#[tokio::test]
async fn an_ignore_file_may_be_very_long() {
    // Its patterns come back to us as headers of one call.
    let patterns: String = (0..3000)
        .map(|n| format!("some/rather/long/pattern-{n}\n"))
        .collect();
    let dir = folder(&[
        ("Dockerfile", "FROM scratch\nCOPY some /\n"),
        (".dockerignore", &patterns),
        ("some/rather/long/pattern-2999", "ignored"),
        ("some/rather/long/pattern-3000", "kept"),
    ]);
    for (name, client) in all_builders().await {
        let out = Build::new(&client, dir.path()).files().await;
        let folder = out.path().join("rather/long");
        let names: Vec<_> = std::fs::read_dir(folder)
            .unwrap()
            .map(|e| e.unwrap().file_name())
            .collect();
        assert_eq!(names, ["pattern-3000"], "{name}");
    }
}

fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut builder = tar::Builder::new(Vec::new());
    for (path, content) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        builder
            .append_data(&mut header, path, content.as_bytes())
            .unwrap();
    }
    builder.into_inner().unwrap()
}

#[tokio::test]
async fn a_context_may_be_a_tar_stream() {
    let tar = tar_of(&[
        ("Dockerfile", "FROM scratch\nCOPY word /\n"),
        ("word", "tar"),
    ]);
    let empty = folder(&[]);
    for (name, client) in all_builders().await {
        let mut build = Build::new(&client, empty.path());
        let url = build.session.upload(std::io::Cursor::new(tar.clone()));
        let out = build.attr("context", &url).files().await;
        assert_eq!(read(&out, "word"), "tar", "{name}");
    }
}

#[tokio::test]
async fn a_context_may_be_a_tar_on_a_web_server() {
    let tar = tar_of(&[
        ("Dockerfile", "FROM scratch\nCOPY word /\n"),
        ("word", "web"),
    ]);
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut request = [0; 4096];
            let _ = connection.read(&mut request).await;
            let head = format!(
                "HTTP/1.1 200 OK\r\nContent-Type: application/x-tar\r\n\
                 Content-Length: {}\r\nConnection: close\r\n\r\n",
                tar.len()
            );
            let _ = connection.write_all(head.as_bytes()).await;
            let _ = connection.write_all(&tar).await;
        }
    });
    let empty = folder(&[]);
    let client = buildkitd().await;
    let out = Build::new(&client, empty.path())
        .attr("context", &format!("http://127.0.0.1:{port}/context.tar"))
        .files()
        .await;
    assert_eq!(read(&out, "word"), "web");
}

fn git(dir: &Path, arguments: &[&str]) {
    let output = Command::new("git")
        .args([
            "-c",
            "user.name=ana",
            "-c",
            "user.email=ana@mlbuild.example",
        ])
        .args(arguments)
        .current_dir(dir)
        .output()
        .expect("git runs");
    assert!(output.status.success(), "git {arguments:?}: {output:?}");
}

#[tokio::test]
async fn a_context_may_be_a_git_url() {
    let repository = folder(&[
        ("sub/Dockerfile", "FROM scratch\nCOPY word /\n"),
        ("sub/word", "git"),
    ]);
    git(repository.path(), &["init", "-q", "-b", "main"]);
    git(repository.path(), &["add", "-A"]);
    git(repository.path(), &["commit", "-q", "-m", "first"]);
    let daemon = GitDaemon::start(repository.path());
    let empty = folder(&[]);
    let (_own, client) = own(&Engines::from_env()).await;
    let out = Build::new(&client, empty.path())
        .attr("context", &daemon.url(".git#main:sub"))
        .files()
        .await;
    assert_eq!(read(&out, "word"), "git");
}

#[tokio::test]
async fn a_session_outlives_many_health_checks() {
    // The builder asks every five seconds, and gives up after two silences.
    let text = with_base(
        "FROM BASE\nRUN sleep 22\nRUN --mount=type=secret,id=late cat /run/secrets/late\n",
    );
    let dir = folder(&[("Dockerfile", &text)]);
    let client = buildkitd().await;
    let outcome = Build::new(&client, dir.path())
        .session(|s| s.secret("late", SecretSource::Value(Secret::new("still here"))))
        .attr("no-cache", "")
        .run()
        .await;
    assert!(outcome.logs().contains("still here"));
    outcome.output();
}
