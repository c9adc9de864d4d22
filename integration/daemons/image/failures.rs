//! Builders and registries that refuse, die or are full; what can't be read;
//! each is one clear error, and nothing is left half-written.

use std::fs;
use std::io::{BufRead, BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::sync::{Arc, Mutex};

use super::{builders, buildkitd, image, small, unique};
use crate::registry::cable::{Cable, Request};
use crate::registry::own::Own;
use crate::support::buildkitd::OwnBuildkitd;
use crate::support::engines::Engines;
use crate::support::http;
use crate::support::mlbuild::{Project, Ran};
use crate::support::mounts::Small;

const UNTOUCHED: [&str; 2] = ["Dockerfile", "data.txt"];

#[test]
fn a_builder_that_dies_in_a_build_is_one_error() {
    let engines = Engines::from_env();
    let mut own = OwnBuildkitd::start(&engines);
    // No RUN: the step would outlive its daemon. The context never ends instead.
    let project = Project::new(&[("Dockerfile", "FROM scratch\nCOPY . /\n")]);
    let file = fs::File::create(project.path("big")).unwrap();
    file.set_len(64 << 30).unwrap();
    let tag = unique(&engines.registry, "dies");
    let args = [
        "-f",
        "Dockerfile",
        "-t",
        &tag,
        "--push",
        "--progress",
        "plain",
        "--no-lock",
    ];
    let mut child = project.command(image(&own.flags(), &args)).spawn().unwrap();
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let begun = lines
        .by_ref()
        .map(Result::unwrap)
        .find(|line| line.contains("transferring context"));
    assert!(begun.is_some());
    own.child.kill().unwrap();
    own.child.wait().unwrap();
    let rest: Vec<_> = lines.map(Result::unwrap).collect();
    let status = child.wait().unwrap();
    let from = rest
        .iter()
        .position(|line| line.starts_with("error:"))
        .expect("an error");
    let told = rest[from..].join("\n");
    assert_eq!(status.code(), Some(3), "{told}");
    let told = told.replace(&own.folder.path().display().to_string(), "[OWN]");
    let told = project.filtered(&told);
    // How the connection broke is the system's word, and differs.
    assert!(
        told.starts_with("error: lost the builder at unix://[OWN]/sock: "),
        "{told}"
    );
    assert!(
        told.trim_end()
            .ends_with("hint: see whether the builder still runs: mlbuild doctor"),
        "{told}"
    );
    assert_eq!(project.names(), ["Dockerfile", "big"]);
}

#[test]
fn a_failing_step_names_its_line_and_leaves_nothing() {
    let engines = Engines::from_env();
    for builder in builders(&engines) {
        let dockerfile = format!(
            "FROM {}\n\nRUN echo before && \\\n    false\n",
            engines.base
        );
        let project = Project::new(&[("Dockerfile", &dockerfile), ("data.txt", "x")]);
        let tag = unique(&engines.registry, "fails");
        let args = ["-f", "Dockerfile", "-t", &tag, "--push", "--quiet"];
        let ran = project.run(image(&builder.flags, &args));
        let told = project.filtered(ran.refusal(1));
        let (what, place) = told.split_at(told.find("\nDockerfile:3").unwrap_or(told.len()));
        assert_eq!(
            what,
            "error: step failed with exit code 1: [2/2] RUN echo before && false\n\n\
             Its last lines:\n  before\n",
            "{}",
            builder.name
        );
        // Docker 20.10 doesn't say where a step comes from.
        if builder.name != "docker-20" {
            assert_eq!(
                place,
                "\nDockerfile:3\n     1 | FROM [REGISTRY]/debian:bookworm@sha256:[DIGEST]\n     2 |\n \
                 >   3 | RUN echo before && \\\n >   4 |     false\n",
                "{}",
                builder.name
            );
        }
        assert_eq!(project.names(), UNTOUCHED);
    }
}

#[test]
fn a_package_that_cannot_be_had_is_named_by_the_projects_own_line() {
    let engines = Engines::from_env();
    let flags = super::builder(&engines, "docker-containerd").flags;
    for (name, files, place, cause) in [
        (
            "uv",
            vec![("requirements.txt", "six\nno-such-pkg-xyz==9  # ours\n")],
            "requirements.txt:2: no-such-pkg-xyz==9",
            "the package index has no `no-such-pkg-xyz`",
        ),
        (
            "pip",
            vec![
                ("requirements.txt", "six\n\nidna==99.9\n"),
                ("mlbuild.toml", "[image]\ninstaller = \"pip\"\n"),
            ],
            "requirements.txt:3: idna==99.9",
            "no version of idna fits",
        ),
        (
            "pyproject",
            vec![(
                "pyproject.toml",
                "[project]\nname = \"x\"\nversion = \"1\"\ndependencies = [\n  \"six\",\n  \"no-such-pkg-xyz>1\",\n]\n",
            )],
            "pyproject.toml:6: \"no-such-pkg-xyz>1\",",
            "the package index has no `no-such-pkg-xyz`",
        ),
        (
            "apt",
            vec![(
                "mlbuild.toml",
                "[image]\napt = [\n  \"tree\",\n  \"libnosuch-dev\",\n]\n",
            )],
            "mlbuild.toml:4: \"libnosuch-dev\",",
            "the distribution has no package libnosuch-dev",
        ),
    ] {
        let project = Project::new(&files);
        let tag = unique(&engines.registry, "unavailable");
        let python = engines.python_base.as_str();
        let args = ["--base", python, "-t", &tag, "--no-lock", "--quiet"];
        let ran = project.run(image(&flags, &args));
        let told = ran.refusal(1).to_owned();
        let error = told.find("error:").map_or("", |at| &told[at..]);
        let mut lines = error.lines();
        assert_eq!(
            lines.next(),
            Some(&*format!("error: {place}")),
            "{name}: {told}"
        );
        let next = lines.next().unwrap_or_default();
        assert!(
            next.starts_with(&format!("  hint: {cause}")),
            "{name}: {told}"
        );
        assert!(!told.contains("set -eu"), "{name}: {told}");
        let verbose = project.run(image(&flags, &[&args[..], &["--verbose"]].concat()));
        assert!(
            verbose.refusal(1).contains("set -eu"),
            "{name}: {}",
            verbose.stderr
        );
    }
}

#[test]
fn a_registry_that_asks_for_a_login() {
    let engines = Engines::from_env();
    for builder in builders(&engines) {
        let (_, project) = small("login");
        let tag = unique(&engines.registry_auth.host, "login");
        let args = ["-f", "Dockerfile", "-t", &tag, "--push", "--quiet"];
        let ran = project.run(image(&builder.flags, &args));
        let told = project
            .filtered(ran.refusal(3))
            .replace(super::name_and_tag(&tag).0, "NAME");
        assert!(told.starts_with("error: "), "{}: {told}", builder.name);
        assert!(
            told.contains("docker login [REGISTRY]"),
            "{}: {told}",
            builder.name
        );
        assert_eq!(project.names(), UNTOUCHED, "{}", builder.name);

        // The wrong password, then the right one.
        let login = |password: &str| {
            use base64::Engine as _;
            let user = &engines.registry_auth.user;
            let auth =
                base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
            let config =
                serde_json::json!({ "auths": { &engines.registry_auth.host: { "auth": auth } } });
            fs::create_dir_all(project.home().join(".docker")).unwrap();
            fs::write(
                project.home().join(".docker/config.json"),
                config.to_string(),
            )
            .unwrap();
        };
        login("wrong-s3cr3t");
        let ran = project.run(image(&builder.flags, &args));
        assert!(!ran.refusal(3).contains("s3cr3t"), "{}", ran.stderr);
        login(&engines.registry_auth.password);
        let ran = project.run(image(&builder.flags, &args));
        assert!(
            ran.answer().starts_with(&format!("{tag}@sha256:")),
            "{}",
            builder.name
        );
    }
}

#[test]
fn a_registry_that_nobody_answers_for_or_that_is_full() {
    let engines = Engines::from_env();
    // Docker's classic store tries again for a minute by itself, so it has no turn here.
    let direct = builders(&engines)
        .into_iter()
        .filter(|builder| builder.has_manifests);
    for builder in direct {
        let mut disk = None;
        let full = Own::start_with("", |folder| {
            disk = Some(Small::mount(&folder.join("data"), "8m"))
        });
        for (what, host) in [("nobody", "127.0.0.1:1"), ("full", full.host.as_str())] {
            let (_, project) = small("trouble");
            let tag = unique(host, "trouble");
            let args = ["-f", "Dockerfile", "-t", &tag, "--push", "--quiet"];
            let ran = project.run(image(&builder.flags, &args));
            let told = ran.refusal(3);
            assert!(
                told.starts_with("error: "),
                "{} {what}: {told}",
                builder.name
            );
            assert!(told.contains(host), "{} {what}: {told}", builder.name);
            assert_eq!(project.names(), UNTOUCHED, "{} {what}", builder.name);
        }
        drop(full);
        drop(disk);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_registry_that_dies_in_a_push() {
    let engines = Engines::from_env();
    // Docker's classic store tries again for a minute by itself, so it has no turn here.
    let direct = builders(&engines)
        .into_iter()
        .filter(|builder| builder.has_manifests);
    for builder in direct {
        let own = Arc::new(Mutex::new(Own::start()));
        let (host, dying) = (own.lock().unwrap().host.clone(), own.clone());
        let mut died = false;
        let dies = move |request: &Request| {
            let is_upload = matches!(request.method.as_str(), "PATCH" | "PUT");
            if is_upload && request.passed > 1 << 20 && !std::mem::replace(&mut died, true) {
                dying.lock().unwrap().kill();
            }
            false
        };
        let line = Cable::to(&host, Box::new(dies)).await;
        let project = Project::new(&[("Dockerfile", "FROM scratch\nCOPY noise /\n")]);
        let mut noise = vec![0; 16 << 20];
        let mut random = fs::File::open("/dev/urandom").unwrap();
        random.read_exact(&mut noise).unwrap();
        fs::write(project.path("noise"), noise).unwrap();
        let tag = unique(&line.host, "dies");
        let args = ["-f", "Dockerfile", "-t", &tag, "--push", "--quiet"];
        let push = || tokio::task::block_in_place(|| project.run(image(&builder.flags, &args)));

        let ran = push();
        let told = ran.refusal(3);
        assert!(told.starts_with("error: "), "{}: {told}", builder.name);
        assert!(told.contains(&line.host), "{}: {told}", builder.name);
        let names = project.names();
        assert_eq!(names, ["Dockerfile", "noise"], "{}", builder.name);

        own.lock().unwrap().run();
        assert!(push().answer().starts_with(&tag), "{}", builder.name);
    }
}

#[test]
fn a_base_that_no_registry_has() {
    let engines = Engines::from_env();
    let mut said = String::new();
    for base in [
        format!("{}/e2e/no-such-image:v1", engines.registry),
        "127.0.0.1:1/nobody/there:v1".to_owned(),
        "UPPER/Case".to_owned(),
    ] {
        let project = Project::new(&[("Dockerfile", &format!("FROM {base}\n"))]);
        let ran = project.run(image(
            &buildkitd(&engines),
            &["-f", "Dockerfile", "-t", "a:1", "--quiet"],
        ));
        assert!(matches!(ran.code, Some(1..=3)), "{ran:?}");
        said += &format!("{}: {}", ran.code.unwrap(), project.filtered(&ran.stderr));
        assert_eq!(project.names(), ["Dockerfile"]);
    }
    insta::assert_snapshot!(said, @"
    2: error: [REGISTRY]/e2e/no-such-image:v1 isn't in the registry
      hint: line 1 of the Dockerfile names it (mlbuild image --print dockerfile)
    3: error: the registry [REGISTRY] can't be reached: Connection refused (os error 111)
      hint: is `[REGISTRY]` the right name, and does it run?
      hint: line 1 of the Dockerfile names it (mlbuild image --print dockerfile)
    2: error: base image UPPER/Case: a repository name is lower-case
    ");

    // A digest is only the builder's to look for.
    let base = format!("{}@sha256:{}", engines.base, "0".repeat(64));
    let project = Project::new(&[("Dockerfile", &format!("FROM {base}\n"))]);
    let flags = ["-f", "Dockerfile", "-t", "a:1", "--quiet"];
    let ran = project.run(image(&buildkitd(&engines), &flags));
    let told = ran.refusal(1);
    assert!(told.contains(&format!("{base}: not found")), "{told}");
    assert!(told.contains("Dockerfile:1\n >   1 | FROM "), "{told}");
    assert_eq!(project.names(), ["Dockerfile"]);
}

#[test]
fn a_base_for_another_platform() {
    let engines = Engines::from_env();
    // An image that is for another machine, though nothing in it is.
    let maker = Project::new(&[("Dockerfile", "FROM scratch\nCOPY Dockerfile /\n")]);
    let base = unique(&engines.registry, "arm");
    let (name, label) = super::name_and_tag(&base);
    let args = ["-f", "Dockerfile", "-t", &base, "--push", "--no-lock"];
    maker.run(image(&buildkitd(&engines), &args)).answer();
    let (_, manifest) = http::manifest(&engines.registry, name, label);
    let index = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": "application/vnd.oci.image.index.v1+json",
        "manifests": [{
            "mediaType": manifest["mediaType"],
            "digest": http::manifest(&engines.registry, name, label).0,
            "size": manifest.to_string().len(),
            "platform": { "os": "linux", "architecture": "arm64" },
        }],
    });
    let media_type = index["mediaType"].as_str().unwrap();
    http::put_manifest(
        &engines.registry,
        name,
        label,
        media_type,
        index.to_string().as_bytes(),
    );
    for builder in builders(&engines) {
        let project = Project::new(&[("Dockerfile", &format!("FROM {base}\n"))]);
        let args = ["-f", "Dockerfile", "-t", "a:1", "--quiet"];
        let ran = project.run(image(&builder.flags, &args));
        let told = project.filtered(ran.refusal(2)).replace(name, "NAME");
        insta::allow_duplicates! {
            insta::assert_snapshot!(told, @"
            error: the base image [REGISTRY]/NAME:v1 (line 1 of the Dockerfile) is for linux/arm64, and this build is for linux/amd64
              hint: name one that is for linux/amd64, or build for it: --platform linux/arm64
            ");
        }
        assert_eq!(project.names(), ["Dockerfile"], "{}", builder.name);
    }
}

#[test]
fn names_that_arent_utf8_and_links_in_a_circle() {
    let engines = Engines::from_env();
    let (_, project) = small("odd names");
    let odd = std::ffi::OsStr::from_bytes(b"odd-\xff-name");
    fs::write(project.path("").join(odd), "odd").unwrap();
    symlink("loop-b", project.path("loop-a")).unwrap();
    symlink("loop-a", project.path("loop-b")).unwrap();
    symlink("..", project.path("up")).unwrap();
    project.write("Dockerfile", "FROM scratch\nCOPY . /\n");
    let args = ["-f", "Dockerfile", "-t", "a:1", "--quiet", "-o", "../out"];
    project.run(image(&buildkitd(&engines), &args)).answer();
    let out = project.outside().join("out");
    assert_eq!(fs::read_to_string(out.join(odd)).unwrap(), "odd");
    assert_eq!(
        fs::read_link(out.join("loop-a")).unwrap().to_str(),
        Some("loop-b")
    );
    assert_eq!(fs::read_link(out.join("up")).unwrap().to_str(), Some(".."));

    // A Dockerfile that is such a link.
    let ran = project.run(image(
        &buildkitd(&engines),
        &["-f", "loop-a", "-t", "a:1", "--quiet"],
    ));
    insta::assert_snapshot!(project.filtered(ran.refusal(2)), @"error: --file loop-a: there is no such file");
}

#[test]
fn a_file_that_may_not_be_read() {
    let engines = Engines::from_env();
    let (_, project) = small("private");
    project.write("sub/private.txt", "x");
    fs::set_permissions(
        project.path("sub/private.txt"),
        fs::Permissions::from_mode(0o600),
    )
    .unwrap();
    project.write("Dockerfile", "FROM scratch\nCOPY . /\n");
    for folder in ["", "../home", "../state"] {
        std::os::unix::fs::chown(project.path("").join(folder), Some(65534), Some(65534)).unwrap();
    }
    fs::set_permissions(project.outside(), fs::Permissions::from_mode(0o755)).unwrap();
    // The program where anyone may run it: a build folder need not be open to all.
    let program = project.outside().join("mlbuild");
    fs::copy(env!("CARGO_BIN_EXE_mlbuild"), &program).unwrap();
    let tcp = builders(&engines).pop().unwrap();
    let mut flags = tcp.flags.clone();
    for (at, name) in [(3, "ca.pem"), (5, "cert.pem"), (7, "key.pem")] {
        let copy = project.outside().join(name);
        fs::copy(&flags[at], &copy).unwrap();
        std::os::unix::fs::chown(&copy, Some(65534), Some(65534)).unwrap();
        flags[at] = copy.to_string_lossy().into_owned();
    }
    let run = || {
        let args = image(
            &flags,
            &[
                "-f",
                "Dockerfile",
                "-t",
                "a:1",
                "--quiet",
                "-o",
                "type=oci,dest=a.tar",
            ],
        );
        let original = project.command(&args);
        let mut command = Command::new(&program);
        command
            .args(&args)
            .env_clear()
            .current_dir(project.path(""))
            .uid(65534)
            .gid(65534);
        for (name, value) in original.get_envs() {
            command.env(name, value.unwrap());
        }
        Ran::of(&mut command)
    };
    let ran = run();
    insta::assert_snapshot!(project.filtered(ran.refusal(2)), @"error: cannot open /project/sub/private.txt: Permission denied (os error 13)");
    assert_eq!(project.names(), ["Dockerfile", "data.txt", "sub"]);
    // Left out, it is no trouble.
    project.write(".dockerignore", "sub/private.txt\n");
    run().answer();
}

#[test]
fn certificates_of_a_builder() {
    let engines = Engines::from_env();
    let (_, project) = small("certificates");
    let ca = engines
        .buildkitd_certs
        .join("ca.pem")
        .to_string_lossy()
        .into_owned();
    let mut said = String::new();
    for flags in [
        &[][..],
        &["--tlscacert", &ca],
        &["--tlscacert", "missing.pem"],
        &["--tlscacert", &ca, "--tlscert", "data.txt"],
        &["--tlscacert", "data.txt"],
    ] {
        let args = [
            &[
                "image",
                "-f",
                "Dockerfile",
                "-t",
                "a:1",
                "--builder",
                &engines.buildkitd_tcp,
            ][..],
            flags,
        ]
        .concat();
        let ran = project.run(args);
        assert!(matches!(ran.code, Some(2 | 3)), "{ran:?}");
        let told = project.filtered(&ran.stderr).replace(&ca, "CA");
        said += &format!("{}: {told}", ran.code.unwrap());
        assert_eq!(project.names(), UNTOUCHED);
    }
    // How a refused handshake ends is the system's word, and differs.
    let lines: Vec<_> = said
        .lines()
        .filter(|line| !line.starts_with("  hint: "))
        .collect();
    let asked = "3: error: the builder from --builder doesn't answer: tcp://[REGISTRY]: no BuildKit answers there: ";
    assert!(lines[0].starts_with(asked), "{said}");
    assert!(
        lines[0].contains("if it wants TLS, give a CA file, a certificate and a key"),
        "{said}"
    );
    assert!(lines[1].starts_with(asked), "{said}");
    assert_eq!(
        lines[2..],
        [
            "2: error: --tlscacert missing.pem: there is no such file",
            "2: error: --tlscert and --tlskey belong together",
            "3: error: the builder from --builder doesn't answer: CA file data.txt: no certificate in it",
        ],
        "{said}"
    );
}
