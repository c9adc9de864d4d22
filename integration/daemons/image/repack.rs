//! `--repack`: one digest from builders that agree on nothing but what is in the image.

use std::process::Command;

use base64::Engine as _;

use super::{Builder, builders, image, name_and_tag, tar_entries, unique};
use crate::support::engines::Engines;
use crate::support::http;
use crate::support::mlbuild::{Project, Ran};

/// What builders treat differently: dates, logs, removed files, a file that is only opened, ports.
fn dockerfile(base: &str) -> String {
    format!(
        "FROM {base}\n\
         ARG SOURCE_DATE_EPOCH\n\
         RUN useradd -m ml && rm -rf /var/log/* && ln -s /etc/hostname /home/ml/link && ln /home/ml/.profile /home/ml/again\n\
         COPY --chmod=0755 train.py /app/\n\
         EXPOSE 8001 5000\n\
         ENV MODE=train\n\
         USER ml\n\
         CMD [\"/app/train.py\"]\n"
    )
}

fn project(engines: &Engines) -> Project {
    let script = "#!/bin/sh\necho trained as $(id -un)\n";
    Project::new(&[
        ("Dockerfile", &dockerfile(&engines.base)),
        ("train.py", script),
    ])
}

fn repack(project: &Project, builder: &Builder, args: &[&str]) -> Ran {
    let all = [&["-f", "Dockerfile", "--repack"], args].concat();
    let mut command = project.command(image(&builder.flags, &all));
    Ran::of(command.env("SOURCE_DATE_EPOCH", "1700000000"))
}

#[test]
fn every_builder_gives_the_same_digest() {
    let engines = Engines::from_env();
    let mut digests = Vec::new();
    for builder in builders(&engines) {
        let project = project(&engines);
        let tag = unique(&engines.registry, "repacked");
        let ran = repack(&project, &builder, &["-t", &tag, "--push"]);
        let pinned = ran.answer().to_owned();
        let (_, digest) = pinned.rsplit_once('@').unwrap();
        digests.push((builder.name, digest.to_owned()));
        let (name, tag) = name_and_tag(&tag);
        let (held, manifest) = http::manifest(&engines.registry, name, tag);
        assert_eq!(held, digest, "{}", builder.name);
        let kinds = manifest["layers"].as_array().unwrap();
        let kinds: Vec<_> = kinds
            .iter()
            .map(|l| l["mediaType"].as_str().unwrap())
            .collect();
        assert!(
            kinds[1..].iter().all(|kind| kind.ends_with("+zstd")),
            "{kinds:?}"
        );
        let lock = project.lock();
        let entry = lock.images().next().unwrap();
        assert_eq!(entry.published.as_ref().unwrap().digest.to_string(), digest);
    }
    let first = digests[0].1.clone();
    assert!(
        digests.iter().all(|(_, digest)| *digest == first),
        "{digests:#?}"
    );
}

#[test]
fn it_goes_wherever_images_go() {
    let engines = Engines::from_env();
    for builder in builders(&engines) {
        // Docker 20.10 can't unpack zstd; gzip it can.
        let project = project(&engines);
        let tag = unique("docker.io", "repacked");
        let (docker, how) = match builder.name {
            "docker-classic" => (&engines.docker_classic, "--repack"),
            "docker-20" => (&engines.docker_20, "--repack=gzip"),
            _ => (&engines.docker_containerd, "--repack=zstd:1"),
        };
        let out = project.path("image.tar");
        let output = format!("type=oci,dest={}", out.display());
        let args = [
            "-t",
            &tag,
            "--load",
            "-o",
            &output,
            how,
            "--metadata-file",
            "told.json",
        ];
        let all = [&["-f", "Dockerfile"][..], &args].concat();
        let mut command = project.command(image(&builder.flags, &all));
        command
            .env("SOURCE_DATE_EPOCH", "1700000000")
            .env("DOCKER_HOST", docker);
        Ran::of(&mut command).answer();
        let told: serde_json::Value = serde_json::from_str(&project.read("told.json")).unwrap();
        let docker_do = |args: &[&str]| {
            Ran::of(
                Command::new(engines.bin.join("docker"))
                    .args(["--host", docker])
                    .args(args),
            )
        };
        let said = docker_do(&["run", "--rm", &tag]);
        assert_eq!(said.answer(), "trained as ml", "{}", builder.name);
        docker_do(&["rmi", "-f", &tag]);
        let index = tar_entries(&std::fs::read(&out).unwrap());
        let index = index.iter().find(|(name, _)| name == "index.json").unwrap();
        let index: serde_json::Value = serde_json::from_slice(&index.1).unwrap();
        assert_eq!(
            index["manifests"][0]["digest"], told["containerimage.digest"],
            "{}",
            builder.name
        );
    }
}

#[test]
fn a_base_of_another_registry_comes_along() {
    let engines = Engines::from_env();
    let all = builders(&engines);
    for name in ["docker-classic", "buildkitd"] {
        let builder = all.iter().find(|builder| builder.name == name).unwrap();
        let project = project(&engines);
        let tag = unique(&engines.registry_auth.host, "repacked");
        let (user, password) = (&engines.registry_auth.user, &engines.registry_auth.password);
        let log_in = base64::engine::general_purpose::STANDARD.encode(format!("{user}:{password}"));
        let config =
            serde_json::json!({ "auths": { &engines.registry_auth.host: { "auth": log_in } } });
        std::fs::create_dir(project.home().join(".docker")).unwrap();
        std::fs::write(
            project.home().join(".docker/config.json"),
            config.to_string(),
        )
        .unwrap();
        let ran = repack(&project, builder, &["-t", &tag, "--push"]);
        assert!(ran.answer().contains("@sha256:"), "{name}");
    }
}

#[test]
fn what_can_t_be_is_said_before_anything_is_built() {
    let engines = Engines::from_env();
    let all = builders(&engines);
    let builder = all
        .iter()
        .find(|builder| builder.name == "buildkitd")
        .unwrap();
    let project = project(&engines);
    for (args, why) in [
        (
            &["--repack=brotli"][..],
            "no compression; there are zstd, gzip and none",
        ),
        (&["--repack=zstd:40"], "levels from 1 to 22"),
        (
            &["--repack", "--provenance=mode=max"],
            "would be about another image",
        ),
        (
            &["--repack", "-o", "type=image,compression=gzip"],
            "no part in the image's final bytes",
        ),
    ] {
        let args = [&["-f", "Dockerfile", "-t", "localhost/x/y:1"], args].concat();
        let ran = project.run(image(&builder.flags, &args));
        assert_eq!(ran.code, Some(2), "{ran:?}");
        assert!(ran.stderr.contains(why), "{}", ran.stderr);
    }
    // Without a commit and without SOURCE_DATE_EPOCH there is no time.
    let args = ["-f", "Dockerfile", "-t", "localhost/x/y:1", "--repack"];
    let ran = project.run(image(&builder.flags, &args));
    assert_eq!(ran.code, Some(2));
    assert!(
        ran.stderr.contains("SOURCE_DATE_EPOCH=$(date +%s)"),
        "{}",
        ran.stderr
    );
}
