//! Flags with buildx's names, each seen to do its work.

use std::io::Write;
use std::process::{Command, Stdio};

use super::{builders, buildkitd, image, name_and_tag, tar_entries, unique};
use crate::servers::{GitDaemon, SshAgent};
use crate::support::engines::Engines;
use crate::support::http;
use crate::support::mlbuild::{Project, Ran};

/// Builds a Dockerfile to a folder on every builder that has the features, and
/// returns what each file there says.
fn built(project: &Project, builder: &[String], args: &[&str]) {
    let _ = std::fs::remove_dir_all(project.path("out"));
    let all = [&["-f", "Dockerfile", "--no-lock", "-o", "out"][..], args].concat();
    project.run(image(builder, &all)).answer();
}

#[test]
fn targets_arguments_secrets_and_networks() {
    let engines = Engines::from_env();
    let dockerfile = format!(
        "FROM {base} AS work\n\
         ARG WORD=none\n\
         ARG FROM_ENV=none\n\
         RUN --mount=type=secret,id=file --mount=type=secret,id=env \
         mkdir /o && cat /run/secrets/file > /o/file && cat /run/secrets/env > /o/env && \
         echo \"$WORD,$FROM_ENV\" > /o/args && cat /etc/hosts > /o/hosts && \
         ls /sys/class/net > /o/net\n\
         FROM scratch AS files\n\
         COPY --from=work /o/ /\n\
         FROM scratch AS last\n\
         COPY wrong /\n",
        base = engines.base
    );
    for builder in builders(&engines) {
        let project = Project::new(&[("Dockerfile", &dockerfile), ("token", "from a file")]);
        let args = [
            "-f",
            "Dockerfile",
            "--no-lock",
            "-o",
            "out",
            "--target",
            "files",
            "--build-arg",
            "WORD=a, b \"c\" $d",
            "--build-arg",
            "FROM_ENV",
            "--secret",
            "id=file,src=token",
            "--secret",
            "id=env,env=TOKEN",
            "--add-host",
            "models.example:10.1.2.3",
            "--network",
            "none",
            "--no-cache",
        ];
        let mut command = project.command(image(&builder.flags, &args));
        command
            .env("TOKEN", "from the environment")
            .env("FROM_ENV", "here");
        Ran::of(&mut command).answer();
        let read = |name: &str| project.read(&format!("out/{name}"));
        assert_eq!(read("file"), "from a file", "{}", builder.name);
        assert_eq!(read("env"), "from the environment", "{}", builder.name);
        assert_eq!(read("args"), "a, b \"c\" $d,here\n", "{}", builder.name);
        assert!(
            read("hosts").contains("10.1.2.3\tmodels.example"),
            "{}: {}",
            builder.name,
            read("hosts")
        );
        assert_eq!(read("net"), "lo\n", "{}", builder.name);
    }
}

#[test]
fn further_contexts() {
    let engines = Engines::from_env();
    let project = Project::new(&[
        (
            "Dockerfile",
            "FROM scratch\nCOPY --from=data x.txt /\nCOPY --from=img /etc/debian_version /\nCOPY --from=lay /y.txt /\nCOPY main.txt /\n",
        ),
        ("main.txt", "main"),
        ("sub/Dockerfile", "FROM scratch\nCOPY y.txt /\n"),
        ("sub/y.txt", "from a layout"),
    ]);
    let data = project.outside().join("data");
    std::fs::create_dir(&data).unwrap();
    std::fs::write(data.join("x.txt"), "from a folder").unwrap();
    let builder = buildkitd(&engines);
    let layout = [
        "sub",
        "-f",
        "sub/Dockerfile",
        "--no-lock",
        "-t",
        "y:v1",
        "-o",
        "type=oci,dest=layout,tar=false",
    ];
    project.run(image(&builder, &layout)).answer();
    let base = format!("img=docker-image://{}", engines.base);
    built(
        &project,
        &builder,
        &[
            "--build-context",
            "data=../data",
            "--build-context",
            &base,
            "--build-context",
            "lay=oci-layout://layout",
        ],
    );
    assert_eq!(project.read("out/x.txt"), "from a folder");
    assert!(project.read("out/debian_version").starts_with("12."));
    assert_eq!(project.read("out/y.txt"), "from a layout");
    assert_eq!(project.read("out/main.txt"), "main");
}

fn tar_of(files: &[(&str, &str)]) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    for (name, text) in files {
        let mut header = tar::Header::new_gnu();
        header.set_size(text.len() as u64);
        header.set_mode(0o644);
        tar.append_data(&mut header, name, text.as_bytes()).unwrap();
    }
    tar.into_inner().unwrap()
}

#[test]
fn a_tar_on_standard_input() {
    let engines = Engines::from_env();
    let tar = tar_of(&[
        ("Dockerfile", "FROM scratch\nCOPY a.txt /\n"),
        ("other/File", "FROM scratch\nCOPY a.txt /other\n"),
        ("a.txt", "from the tar"),
    ]);
    for builder in builders(&engines) {
        let cases: [(&[&str], &str); 4] = [
            (&[], "a.txt"),
            (&["-f", "Dockerfile"], "a.txt"),
            (&["-f", "other/File"], "other"),
            (&["-f", "/LOCAL"], "local"),
        ];
        for (flags, made) in cases {
            // A file of the same name here is not the one that is meant.
            let project = Project::new(&[
                ("Dockerfile", "FROM scratch\nCOPY wrong /\n"),
                ("Local", "FROM scratch\nCOPY a.txt /local\n"),
            ]);
            let local = project.path("Local").to_string_lossy().into_owned();
            let flags: Vec<_> = flags
                .iter()
                .map(|&flag| if flag == "/LOCAL" { &local } else { flag })
                .collect();
            let args = [&["-", "--no-lock", "-o", "out"][..], &flags].concat();
            let mut command = project.command(image(&builder.flags, &args));
            let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
            child.stdin.take().unwrap().write_all(&tar).unwrap();
            let ran: Ran = child.wait_with_output().unwrap().into();
            assert_eq!(
                ran.code,
                Some(0),
                "{} {flags:?}: {}",
                builder.name,
                ran.stderr
            );
            assert_eq!(project.read(&format!("out/{made}")), "from the tar");
        }
    }
}

#[test]
fn a_git_address() {
    let engines = Engines::from_env();
    let project = Project::new(&[]);
    let repository = project.outside().join("repo");
    std::fs::create_dir(&repository).unwrap();
    std::fs::write(
        repository.join("Dockerfile"),
        "FROM scratch\nCOPY a.txt /\n",
    )
    .unwrap();
    std::fs::write(repository.join("a.txt"), "from git").unwrap();
    let git = |args: &[&str]| {
        let output = Command::new("git")
            .args(["-c", "user.name=t", "-c", "user.email=t@example.com"])
            .args(args)
            .current_dir(&repository)
            .output()
            .unwrap();
        assert!(output.status.success(), "{output:?}");
    };
    git(&["init", "-q", "-b", "main"]);
    git(&["add", "."]);
    git(&["commit", "-qm", "first"]);
    let daemon = GitDaemon::start(project.outside());
    let url = daemon.url("repo#main");
    let ran = project.run(image(
        &buildkitd(&engines),
        &[&url, "--no-lock", "-o", "out"],
    ));
    ran.answer();
    assert_eq!(project.read("out/a.txt"), "from git");
}

/// True if the RUN step was not run.
fn took_from_cache(ran: &Ran) -> bool {
    let step = ran.stderr.lines().find(|line| line.contains("] RUN cat"));
    let number = step.expect("the step").split(' ').next().unwrap();
    // CACHED, or its layer fetched: a step that runs fetches none.
    ran.stderr.lines().any(|line| {
        line == format!("{number} CACHED") || line.starts_with(&format!("{number} sha256:"))
    })
}

#[test]
fn labels_and_caches() {
    let engines = Engines::from_env();
    let host = &engines.registry;
    let tag = unique(host, "cache");
    let (name, label) = name_and_tag(&tag);
    let cache = tag.replace(":v1", ":cache");
    let registry_cache = format!("type=registry,ref={cache}");
    // The step's output tells whether it ran again.
    let dockerfile = format!(
        "FROM {}\nRUN cat /proc/sys/kernel/random/uuid > /id # {tag}\n",
        engines.base
    );
    let project = Project::new(&[("Dockerfile", &dockerfile)]);
    let build = |more: &[&str]| {
        let args = [
            "-f",
            "Dockerfile",
            "-t",
            &tag,
            "--push",
            "--no-skip",
            "--progress",
            "plain",
        ];
        let ran = project.run(image(&buildkitd(&engines), &[&args[..], more].concat()));
        ran.answer();
        ran
    };
    let first = build(&[
        "--label",
        "who=a b",
        "--label",
        "org.opencontainers.image.title=T=1",
        "--cache-to",
        &format!("{registry_cache},mode=max"),
    ]);
    assert!(!took_from_cache(&first), "{}", first.stderr);
    let (_, manifest) = http::manifest(host, name, label);
    let config = http::json_blob(host, name, &manifest["config"]["digest"]);
    assert_eq!(config["config"]["Labels"]["who"], "a b");
    assert_eq!(
        config["config"]["Labels"]["org.opencontainers.image.title"],
        "T=1"
    );
    assert_eq!(
        http::request("GET", host, &format!("/v2/{name}/manifests/cache")).status,
        200
    );

    // To and from a folder, past the builder's own cache.
    let folder = project.outside().join("cache");
    build(&[
        "--cache-to",
        &format!("type=local,dest={},mode=max", folder.display()),
    ]);
    assert!(folder.join("index.json").is_file());
    let (again, _) = http::manifest(host, name, label);
    let anew = build(&["--no-cache", "--cache-to", "type=inline"]);
    assert!(!took_from_cache(&anew), "{}", anew.stderr);
    let (other, manifest) = http::manifest(host, name, label);
    assert_ne!(again, other, "--no-cache runs the step again");
    let config = http::json_blob(host, name, &manifest["config"]["digest"]);
    assert!(config.get("moby.buildkit.cache.v0").is_some(), "{config}");

    // Another builder has nothing of its own, and takes the step from the caches.
    let docker = format!(
        "docker://{}",
        engines.docker_containerd.strip_prefix("unix://").unwrap()
    );
    for from in [
        registry_cache.clone(),
        format!("type=local,src={}", folder.display()),
    ] {
        let args = [
            "-f",
            "Dockerfile",
            "-t",
            &tag,
            "--no-lock",
            "--progress",
            "plain",
            "--cache-from",
            &from,
        ];
        let ran = project.run(image(&["--builder".into(), docker.clone()], &args));
        ran.answer();
        assert!(took_from_cache(&ran), "{from}: {}", ran.stderr);
    }
}

#[test]
fn ssh_keys_by_agent_and_by_file() {
    let engines = Engines::from_env();
    let project = Project::new(&[]);
    let agent = SshAgent::start();
    let socket = agent.socket();
    // The base has no ssh-add: ask the agent for its keys in the protocol's own bytes.
    let dockerfile = format!(
        "FROM {}\nRUN --mount=type=ssh,required=true python3 -c \"\
         import os,socket; s=socket.socket(socket.AF_UNIX); s.connect(os.environ['SSH_AUTH_SOCK']); \
         s.sendall(bytes([0,0,0,1,11])); open('/keys','wb').write(s.recv(9999))\" && cp /keys /keys.txt\n\
         # {}\n",
        engines.python_base,
        socket.display()
    );
    project.write(
        "Dockerfile",
        &format!("{dockerfile}FROM scratch\nCOPY --from=0 /keys.txt /\n"),
    );
    let args = [
        "-f",
        "Dockerfile",
        "--no-lock",
        "--no-cache",
        "-o",
        "out",
        "--ssh",
        "default",
    ];
    let mut command = project.command(image(&buildkitd(&engines), &args));
    let ran = Ran::of(command.env("SSH_AUTH_SOCK", &socket));
    let named = format!("default={}", socket.display());
    let key = format!("default={}", agent.key().display());
    let args = [
        "-f",
        "Dockerfile",
        "--no-lock",
        "--no-cache",
        "-o",
        "out2",
        "--ssh",
        &named,
    ];
    let by_path = project.run(image(&buildkitd(&engines), &args));
    let by_key = [
        "-f",
        "Dockerfile",
        "--no-lock",
        "--no-cache",
        "-o",
        "out4",
        "--ssh",
        &key,
    ];
    let by_key = project.run(image(&buildkitd(&engines), &by_key));
    let without = [
        "-f",
        "Dockerfile",
        "--no-lock",
        "--no-cache",
        "-o",
        "out3",
        "--ssh",
        "default",
    ];
    let without = project.run(image(&buildkitd(&engines), &without));
    for (ran, file) in [
        (ran, "out/keys.txt"),
        (by_path, "out2/keys.txt"),
        (by_key, "out4/keys.txt"),
    ] {
        ran.answer();
        let keys = std::fs::read(project.path(file)).unwrap();
        assert!(
            String::from_utf8_lossy(&keys).contains(SshAgent::COMMENT),
            "{keys:?}"
        );
    }
    insta::assert_snapshot!(project.filtered(without.refusal(2)), @"error: --ssh default: SSH_AUTH_SOCK is not set: start an agent, or give ID=SOCKET or ID=KEYFILE");
}

#[test]
fn environment_values_arrive_as_they_were_typed() {
    let engines = Engines::from_env();
    let project = Project::new(&[]);
    let tag = unique(&engines.registry, "env");
    let values = [
        ("SPACES", "  a  b "),
        ("QUOTES", "it's \"so\" `said`"),
        ("DOLLAR", "$HOME ${PATH} $$ $(id) \\$X"),
        ("BACKSLASH", "a\\b\\nc\\"),
        ("HASH", "# no comment"),
        ("EQUALS", "a=b=c"),
        ("EMPTY", ""),
        ("UNICODE", "größe 模型"),
    ];
    let pairs: Vec<_> = values
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    let mut args = vec![
        "--base",
        &engines.python_base,
        "--template",
        "python",
        "--no-code",
        "-t",
        &tag,
        "--push",
    ];
    for pair in &pairs {
        args.extend(["--env", pair]);
    }
    project.run(image(&buildkitd(&engines), &args)).answer();
    let (name, label) = name_and_tag(&tag);
    let (_, manifest) = http::manifest(&engines.registry, name, label);
    let config = http::json_blob(&engines.registry, name, &manifest["config"]["digest"]);
    let env: Vec<_> = config["config"]["Env"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line.as_str().unwrap())
        .collect();
    for pair in &pairs {
        assert!(env.contains(&pair.as_str()), "{pair:?} is not in {env:#?}");
    }
}

#[test]
fn a_tar_output_holds_what_the_image_does() {
    let engines = Engines::from_env();
    let project = Project::new(&[
        ("Dockerfile", "FROM scratch\nCOPY . /\n"),
        ("a b.txt", "x"),
        ("ü", "y"),
    ]);
    let args = [
        "-f",
        "Dockerfile",
        "--no-lock",
        "-o",
        "type=tar,dest=../out.tar",
    ];
    project.run(image(&buildkitd(&engines), &args)).answer();
    let bytes = std::fs::read(project.outside().join("out.tar")).unwrap();
    let names: Vec<_> = tar_entries(&bytes)
        .into_iter()
        .map(|(name, _)| name)
        .collect();
    assert_eq!(names, ["Dockerfile", "a b.txt", "ü"]);
}

#[test]
fn a_key_that_ssh_add_refuses_is_named() {
    let project = Project::new(&[("Dockerfile", "FROM scratch\n"), ("no-key", "words")]);
    let locked = project.outside().join("locked");
    let made = Command::new("ssh-keygen")
        .args(["-q", "-t", "ed25519", "-N", "a passphrase", "-f"])
        .arg(&locked)
        .status()
        .unwrap();
    assert!(made.success());
    for key in ["no-key", locked.to_str().unwrap()] {
        let ssh = format!("default={key}");
        // No builder is asked: the key comes first.
        let args = [
            "--builder",
            "unix:///missing.sock",
            "-f",
            "Dockerfile",
            "--ssh",
            &ssh,
        ];
        let mut command = project.command(["image"].iter().chain(&args));
        command.env_remove("DISPLAY").stdin(Stdio::null());
        let ran = Ran::of(&mut command);
        let told = ran.refusal(2);
        assert!(
            told.starts_with(&format!("error: --ssh default={key}: ssh-add: ")),
            "{told}"
        );
        assert!(told.contains("hint: a key with a passphrase"), "{told}");
    }
}
