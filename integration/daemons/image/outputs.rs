//! Every place an image can go, and the files that say what came out.

use std::os::unix::fs::FileTypeExt;
use std::process::Command;

use serde_json::Value;

use super::{buildkitd, image, name_and_tag, tar_entries, tiny, unique};
use crate::support::engines::Engines;
use crate::support::http;

fn docker_inspect(engines: &Engines, socket: &str, name: &str) -> Value {
    let output = Command::new(engines.bin.join("docker"))
        .args(["--host", socket, "image", "inspect", name])
        .output()
        .unwrap();
    assert!(output.status.success(), "{output:?}");
    serde_json::from_slice(&output.stdout).unwrap()
}

fn docker_rmi(engines: &Engines, socket: &str, name: &str) {
    let _ = Command::new(engines.bin.join("docker"))
        .args(["--host", socket, "rmi", "-f", name])
        .output();
}

#[test]
fn load_prints_the_id_that_docker_has() {
    let engines = Engines::from_env();
    let mut ways: Vec<(&str, Vec<String>, &str)> = engines
        .dockers()
        .map(|(name, socket)| {
            let path = socket.strip_prefix("unix://").unwrap();
            (
                name,
                vec!["--builder".into(), format!("docker://{path}")],
                socket,
            )
        })
        .to_vec();
    ways.push((
        "buildkitd into containerd",
        buildkitd(&engines),
        &engines.docker_containerd,
    ));
    ways.push((
        "buildkitd into classic",
        buildkitd(&engines),
        &engines.docker_classic,
    ));
    for (name, builder, docker) in ways {
        let (_, project) = tiny(name);
        let tag = unique("docker.io", "loaded");
        let second = tag.replace(":v1", ":v2");
        let args = [
            "-f",
            "Dockerfile",
            "-t",
            &tag,
            "-t",
            &second,
            "--load",
            "--iidfile",
            "id",
        ];
        let mut command = project.command(image(&builder, &args));
        command.env("DOCKER_HOST", docker);
        let ran = crate::support::mlbuild::Ran::of(&mut command);
        let id = ran.answer().to_owned();
        for tag in [&tag, &second] {
            let found = docker_inspect(&engines, docker, tag);
            assert_eq!(found[0]["Id"].as_str(), Some(id.as_str()), "{name}");
        }
        assert_eq!(project.read("id"), id, "{name}");
        docker_rmi(&engines, docker, &tag);
        docker_rmi(&engines, docker, &second);
    }
}

#[test]
fn a_pushed_image_takes_the_exporter_s_attributes() {
    let (engines, project) = tiny("zstd");
    let tag = unique(&engines.registry, "zstd");
    let (name, _) = name_and_tag(&tag);
    let gzip = ["-f", "Dockerfile", "-t", &tag, "--push"];
    project.run(image(&buildkitd(&engines), &gzip)).answer();
    let zstd = [
        "-f",
        "Dockerfile",
        "-t",
        &tag,
        "-o",
        "type=registry,compression=zstd,force-compression=true",
    ];
    let ran = project.run(image(&buildkitd(&engines), &zstd));
    let digest = ran.answer().strip_prefix(&format!("{tag}@")).unwrap();
    let (_, manifest) = http::manifest(&engines.registry, name, digest);
    assert_eq!(
        manifest["layers"][0]["mediaType"],
        "application/vnd.oci.image.layer.v1.tar+zstd"
    );
    let lock = project.lock();
    let published = lock.images().next().unwrap().published.as_ref().unwrap();
    assert_eq!(published.digest.to_string(), digest);
    // The attributes are inputs: the same again is skipped, without them it isn't.
    let again = project.run(image(&buildkitd(&engines), &zstd));
    assert_eq!(again.answer(), ran.answer());
    assert!(again.stderr.contains("nothing changed"), "{}", again.stderr);
    let back = project.run(image(&buildkitd(&engines), &gzip));
    assert_ne!(back.answer(), ran.answer());
    assert!(!back.stderr.contains("nothing changed"), "{}", back.stderr);
}

#[test]
fn files_and_folders() {
    let (engines, project) = tiny("in a file");
    let tag = unique(&engines.registry, "file");
    let build = |more: &[&str]| {
        let args = ["-f", "Dockerfile", "-t", &tag, "--no-lock"];
        project.run(image(&buildkitd(&engines), &[&args[..], more].concat()))
    };

    let digest = build(&["-o", "type=oci,dest=oci.tar"]).answer().to_owned();
    let entries = tar_entries(&std::fs::read(project.path("oci.tar")).unwrap());
    let file = |name: &str| {
        let found = entries.iter().find(|(path, _)| path == name);
        serde_json::from_slice::<Value>(&found.expect(name).1).unwrap()
    };
    assert_eq!(
        file("index.json")["manifests"][0]["digest"],
        digest.as_str()
    );
    assert_eq!(
        file("index.json")["manifests"][0]["annotations"]["io.containerd.image.name"],
        tag.as_str()
    );

    build(&["-o", "type=docker,dest=docker.tar"]).answer();
    let entries = tar_entries(&std::fs::read(project.path("docker.tar")).unwrap());
    let manifest = &entries
        .iter()
        .find(|(path, _)| path == "manifest.json")
        .unwrap()
        .1;
    let manifest: Value = serde_json::from_slice(manifest).unwrap();
    assert_eq!(manifest[0]["RepoTags"][0], tag.as_str());

    assert_eq!(
        build(&["-o", "type=oci,dest=layout,tar=false"]).answer(),
        digest
    );
    let index: Value = serde_json::from_str(&project.read("layout/index.json")).unwrap();
    assert_eq!(index["manifests"][0]["digest"], digest.as_str());

    // Files have no digest: no answer but the files.
    assert_eq!(build(&["-o", "out"]).answer(), "");
    assert_eq!(project.read("out/data.txt"), "in a file");
    assert_eq!(build(&["-o", "type=tar,dest=out.tar"]).answer(), "");
    let entries = tar_entries(&std::fs::read(project.path("out.tar")).unwrap());
    assert!(entries.iter().any(|(name, _)| name == "data.txt"));
    assert!(!project.path("mlbuild.lock").exists());
    assert!(!project.path("mlbuild.runs").exists());
}

#[test]
fn an_output_on_stdout_is_alone_there() {
    let (engines, project) = tiny("on stdout");
    for output in [
        "-",
        "type=oci,dest=-",
        "type=docker,dest=-",
        "type=tar,dest=-",
    ] {
        for more in [&[][..], &["--format", "json"]] {
            let args = ["-f", "Dockerfile", "--no-lock", "-o", output];
            let output = project
                .command(image(&buildkitd(&engines), &[&args[..], more].concat()))
                .output()
                .unwrap();
            assert!(
                output.status.success(),
                "{}",
                String::from_utf8_lossy(&output.stderr)
            );
            assert!(!tar_entries(&output.stdout).is_empty());
            // A tar ends in zeros.
            assert_eq!(output.stdout.len() % 512, 0);
            assert!(output.stdout.ends_with(&[0; 1024]));
        }
    }
}

#[test]
fn the_files_for_scripts() {
    let (engines, project) = tiny("for scripts");
    let tag = unique(&engines.registry, "scripts");
    let args = [
        "-f",
        "Dockerfile",
        "-t",
        &tag,
        "--push",
        "--format",
        "json",
        "--iidfile",
        "id",
        "--metadata-file",
        "meta.json",
        "--run-id",
        "r",
        "--quiet",
    ];
    let ran = project.run(image(&buildkitd(&engines), &args));
    assert_eq!(ran.stderr, "");
    let json = ran.json();
    let (name, label) = name_and_tag(&tag);
    let (digest, _) = http::manifest(&engines.registry, name, label);
    assert_eq!(
        json,
        serde_json::json!({
            "action": "built",
            "digest": digest,
            "image": tag,
            "image_id": null,
            "lock": project.path("mlbuild.lock"),
            "pinned": format!("{tag}@{digest}"),
            "pushed": true,
            "run_id": "r",
            "tags": [tag],
        })
    );
    assert_eq!(project.read("id"), digest);
    let metadata: Value = serde_json::from_str(&project.read("meta.json")).unwrap();
    assert_eq!(metadata["containerimage.digest"], digest.as_str());
    assert_eq!(
        metadata["containerimage.descriptor"]["digest"],
        digest.as_str()
    );
    assert_eq!(metadata["image.name"], tag.as_str());
    // Skipped, the files are written all the same.
    std::fs::remove_file(project.path("id")).unwrap();
    std::fs::remove_file(project.path("meta.json")).unwrap();
    let again = project.run(image(&buildkitd(&engines), &args)).json();
    assert_eq!(again["action"], "unchanged");
    assert_eq!(project.read("id"), digest);
    assert!(project.read("meta.json").contains(&digest));
}

#[test]
fn what_docker_cant_write_is_refused_and_the_rest_works() {
    let engines = Engines::from_env();
    for (name, socket) in engines.dockers() {
        let (_, project) = tiny(name);
        let path = socket.strip_prefix("unix://").unwrap();
        let builder = ["--builder".to_owned(), format!("docker://{path}")];
        let build = |output: &str| {
            let args = ["-f", "Dockerfile", "--no-lock", "-o", output];
            project.run(image(&builder, &args))
        };
        build("out").answer();
        assert_eq!(project.read("out/data.txt"), name);
        let oci = build("type=oci,dest=oci.tar");
        if name.contains("containerd") {
            assert!(oci.answer().starts_with("sha256:"));
        } else {
            let told = oci.refusal(2);
            assert!(told.contains("error: --output type=oci: "), "{told}");
            assert!(!project.path("oci.tar").exists());
        }
    }
}

#[test]
fn a_local_build_keeps_what_the_lock_says_of_the_push() {
    let (engines, project) = tiny("both");
    let tag = unique(&engines.registry, "both");
    let build = |more: &[&str]| {
        let args = ["-f", "Dockerfile", "-t", &tag];
        project.run(image(&buildkitd(&engines), &[&args[..], more].concat()))
    };
    build(&["--push"]).answer();
    let lock = project.read("mlbuild.lock");
    build(&["-o", "../out"]).answer();
    assert_eq!(project.read("mlbuild.lock"), lock);
    // Other inputs, other image: what was pushed is not it.
    project.write("data.txt", "other");
    build(&["-o", "../out"]).answer();
    let changed = project.lock();
    let entry = changed.images().next().unwrap();
    assert!(entry.published.is_none() && entry.platforms.is_empty());
}

#[test]
fn a_pipe_is_written_to_and_stays() {
    let (engines, project) = tiny("through a pipe");
    let pipes = ["tar", "metadata"].map(|name| {
        let pipe = project.outside().join(name);
        assert!(
            Command::new("mkfifo")
                .arg(&pipe)
                .status()
                .unwrap()
                .success()
        );
        pipe
    });
    let readers = pipes
        .clone()
        .map(|pipe| std::thread::spawn(move || std::fs::read(pipe).unwrap()));
    let [tar, metadata] = pipes.clone().map(|pipe| pipe.display().to_string());
    let output = format!("type=tar,dest={tar}");
    let args = [
        "-f",
        "Dockerfile",
        "--no-lock",
        "-o",
        &output,
        "--metadata-file",
        &metadata,
    ];
    project.run(image(&buildkitd(&engines), &args)).answer();
    let [tar, metadata] = readers.map(|reader| reader.join().unwrap());
    let files = tar_entries(&tar);
    let file = files.iter().find(|(name, _)| name == "data.txt").unwrap();
    assert_eq!(file.1, b"through a pipe");
    serde_json::from_slice::<Value>(&metadata).unwrap();
    for pipe in pipes {
        assert!(std::fs::metadata(pipe).unwrap().file_type().is_fifo());
    }
}
