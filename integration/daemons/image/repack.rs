//! `--repack`: one digest from builders that agree on nothing but what is in the image.

use std::path::Path;
use std::process::Command;

use base64::Engine as _;

use super::{Builder, builder, builders, image, name_and_tag, tar_entries, unique};
use crate::support::engines::Engines;
use crate::support::http;
use crate::support::layouts::noise;
use crate::support::mlbuild::{Project, Ran};
use crate::support::mounts::Small;

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

/// With its state in a folder of its own.
fn repack_with(state: &Path, project: &Project, builder: &Builder, args: &[&str]) -> Ran {
    let all = [&["-f", "Dockerfile", "--repack", "--quiet"], args].concat();
    let mut command = project.command(image(&builder.flags, &all));
    command.env("SOURCE_DATE_EPOCH", "1700000000");
    Ran::of(command.env("MLBUILD_STATE_DIR", state))
}

#[test]
fn after_an_edit_neither_base_nor_unchanged_layers_leave_the_builder() {
    let engines = Engines::from_env();
    for name in ["buildkitd", "docker-containerd"] {
        let builder = builder(&engines, name);
        let text = format!(
            "FROM {}\nRUN head -c 9000000 /dev/urandom > /noise\nCOPY train.py /\n",
            engines.base
        );
        let project = Project::new(&[("Dockerfile", &text), ("train.py", "1\n")]);
        let tag = unique(&engines.registry, "edited");
        let digest = |ran: Ran| ran.answer().rsplit('@').next().unwrap().to_owned();
        let push = ["-t", &tag, "--push"];
        // Room for the second layer twice, but not for the base.
        let state = project.outside().join("small");
        let _small = Small::mount(&state, "24m");
        let first = digest(repack_with(&state, &project, &builder, &push));
        // And from now on for neither.
        std::fs::write(state.join("filler"), vec![1; 20_000_000]).unwrap();
        project.write("train.py", "2\n");
        let second = digest(repack_with(&state, &project, &builder, &push));
        assert_ne!(first, second, "{name}");
        std::fs::remove_file(state.join("filler")).unwrap();

        // What is kept in mind changes nothing but the time: with nothing in mind, and where the
        // registry lost what was made.
        let elsewhere = project.outside().join("elsewhere");
        let other = unique(&engines.registry, "edited");
        let fresh = ["-t", &other, "--push", "--no-skip"];
        let ran = repack_with(&elsewhere, &project, &builder, &fresh);
        assert_eq!(digest(ran), second, "{name}");
        let packed = std::fs::read_dir(state.join("packed")).unwrap().next();
        let packed = packed.unwrap().unwrap().path();
        let memory = std::fs::read_to_string(&packed).unwrap();
        let (manifest_name, tag_name) = name_and_tag(&tag);
        let (_, manifest) = http::manifest(&engines.registry, manifest_name, tag_name);
        let noise = manifest["layers"][1]["digest"].as_str().unwrap();
        assert!(memory.contains(noise), "{memory}");
        let lost = memory.replace(noise, &http::sha256(b"lost"));
        std::fs::write(&packed, lost).unwrap();
        let again = ["-t", &tag, "--push", "--no-skip"];
        let ran = repack_with(&state, &project, &builder, &again);
        assert_eq!(digest(ran), second, "{name}");
        let ran = engines.docker(
            &engines.docker_containerd,
            &["run", "--rm", &tag, "cat", "/train.py"],
        );
        assert_eq!(ran, "2", "{name}");
    }
}

/// Builders were seen to say that all went well where their disk was full.
#[test]
fn a_disk_that_is_full_before_the_image_is_written_is_one_error() {
    let engines = Engines::from_env();
    let builder = builder(&engines, "buildkitd");
    // Room for nothing, and for the builder's image without the packed one.
    for size in ["10m", "45m"] {
        let project = project(&engines);
        std::fs::write(project.path("noise.bin"), noise(7, 30_000_000)).unwrap();
        let text = format!("{}COPY noise.bin /\n", dockerfile(&engines.base));
        project.write("Dockerfile", &text);
        let state = project.outside().join("small");
        let _small = Small::mount(&state, size);
        let tag = unique(&engines.registry, "full");
        let args = [
            "-f",
            "Dockerfile",
            "--repack",
            "-t",
            &tag,
            "--push",
            "--quiet",
        ];
        let mut command = project.command(image(&builder.flags, &args));
        command.env("SOURCE_DATE_EPOCH", "1700000000");
        let ran = Ran::of(command.env("MLBUILD_STATE_DIR", &state));
        let said = ran.refusal(3);
        assert!(said.contains("No space left on device"), "{size}: {said}");
        assert!(!project.path("mlbuild.lock").exists(), "{size}");
        assert!(project.runs().is_empty(), "{size}");
        let left = std::fs::read_dir(state.join("tmp")).map_or(0, Iterator::count);
        assert_eq!(left, 0, "{size}");
        let (name, tag) = name_and_tag(&tag);
        let asked = http::request(
            "GET",
            &engines.registry,
            &format!("/v2/{name}/manifests/{tag}"),
        );
        assert_eq!(asked.status, 404, "{size}");
    }
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

/// gzip is written in pieces of 1 MiB, which whoever unpacks has to put together again.
#[test]
fn every_docker_unpacks_gzip_in_pieces() {
    let engines = Engines::from_env();
    let base = &engines.base;
    let text: String = (0..600_000u32).map(|n| format!("{n}\n")).collect();
    let dockerfile = format!("FROM {base}\nCOPY numbers.txt /\n");
    let project = Project::new(&[("Dockerfile", &dockerfile), ("numbers.txt", &text)]);
    let tag = unique(&engines.registry, "pieces");
    let buildkitd = builder(&engines, "buildkitd");
    let args = ["-f", "Dockerfile", "--repack=gzip", "-t", &tag, "--push"];
    let mut command = project.command(image(&buildkitd.flags, &args));
    let pushed = Ran::of(command.env("SOURCE_DATE_EPOCH", "1700000000"));
    let pinned = pushed.answer().to_owned();
    for (name, docker) in engines.dockers() {
        let said = engines.docker(
            docker,
            &["run", "--rm", &pinned, "sha256sum", "/numbers.txt"],
        );
        let sum = http::sha256(text.as_bytes()).replace("sha256:", "");
        assert!(said.starts_with(&sum), "{name}: {said}");
    }
}

#[test]
fn a_base_of_another_registry_comes_along() {
    let engines = Engines::from_env();
    for name in ["docker-classic", "buildkitd"] {
        let builder = builder(&engines, name);
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
        let ran = repack(&project, &builder, &["-t", &tag, "--push"]);
        assert!(ran.answer().contains("@sha256:"), "{name}");
    }
}

#[test]
fn what_can_t_be_is_said_before_anything_is_built() {
    let engines = Engines::from_env();
    let builder = builder(&engines, "buildkitd");
    let project = project(&engines);
    for (args, why) in [
        (
            &["--repack=brotli"][..],
            "no compression; there are zstd, gzip, none, estargz and zstd:chunked",
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
