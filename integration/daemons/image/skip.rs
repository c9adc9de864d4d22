//! Nothing changed: no build. Anything changed: a build, always.
//!
//! Whether a build would have started is asked with a builder that isn't there:
//! a command that has nothing to build never notices.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use super::interrupt::is_running;
use super::{buildkitd, image, name_and_tag, unique};
use crate::support::engines::Engines;
use crate::support::http;
use crate::support::mlbuild::{Project, Ran};
use crate::support::wait;

/// A built and pushed project.
struct Built {
    engines: Engines,
    project: Project,
    tag: String,
    args: Vec<String>,
    pinned: String,
}

fn nowhere() -> Vec<String> {
    vec![
        "--builder".into(),
        "unix:///nonexistent/buildkitd.sock".into(),
    ]
}

impl Built {
    fn new(args: &[&str], prepare: impl FnOnce(&Project)) -> Self {
        let engines = Engines::from_env();
        let dockerfile = format!(
            "FROM {}\nARG VERSION=1\nCOPY . /app/\nRUN --mount=type=secret,id=token echo $VERSION > /v\n",
            engines.base
        );
        let project = Project::new(&[
            ("Dockerfile", &dockerfile),
            ("one.txt", "one\n"),
            ("two.txt", "two\n"),
        ]);
        prepare(&project);
        let tag = unique(&engines.registry, "skip");
        let mut all = vec![
            "-f".to_owned(),
            "Dockerfile".into(),
            "-t".into(),
            tag.clone(),
        ];
        all.extend(["--push".to_owned(), "--format".into(), "json".into()]);
        all.extend(args.iter().map(|&arg| arg.to_owned()));
        let mut built = Built {
            engines,
            project,
            tag,
            args: all,
            pinned: String::new(),
        };
        let json = built.run(&buildkitd(&built.engines), &[]).json();
        assert_eq!(json["action"], "built");
        built.pinned = json["pinned"].as_str().unwrap().to_owned();
        built
    }

    fn run(&self, builder: &[String], more: &[&str]) -> Ran {
        let mut args: Vec<&str> = self.args.iter().map(String::as_str).collect();
        args.extend(more);
        self.project.run(image(builder, &args))
    }

    #[track_caller]
    fn is_skipped(&self) {
        let json = self.run(&nowhere(), &[]).json();
        assert_eq!(json["action"], "unchanged", "{json}");
        assert_eq!(json["pinned"], self.pinned.as_str());
    }

    #[track_caller]
    fn is_built(&self, more: &[&str]) {
        let ran = self.run(&nowhere(), more);
        let told = ran.refusal(3);
        assert!(
            told.contains("the builder from --builder doesn't answer"),
            "{told}"
        );
    }
}

#[test]
fn the_second_build_is_none() {
    let built = Built::new(&[], |_| {});
    let lock = built.project.read("mlbuild.lock");
    let runs = built.project.runs();
    built.is_skipped();
    assert_eq!(built.project.read("mlbuild.lock"), lock);
    assert_eq!(built.project.runs(), runs, "no run used the image");

    // Asked for in words it says the same as a build; with a run id, the run is bound.
    let plain = [
        "-f",
        "Dockerfile",
        "-t",
        &built.tag,
        "--push",
        "--run-id",
        "again",
    ];
    let ran = built.project.run(image(&nowhere(), &plain));
    assert_eq!(ran.answer(), built.pinned);
    assert!(built.project.runs().contains(&"again.toml".to_owned()));
    assert_eq!(built.project.read("mlbuild.lock"), lock);

    built.is_built(&["--no-skip"]);
    built.is_built(&["--no-cache"]);
    built.is_built(&["--build-arg", "VERSION=2"]);
    built.is_built(&["--label", "a=b"]);
    built.is_built(&["--target", "0"]);
    built.is_built(&["-t", &built.tag.replace(":v1", ":v9")]);
    built.is_built(&["--load"]);
    built.is_skipped();
}

#[test]
fn a_changed_file_is_never_missed() {
    let built = Built::new(&[], |_| {});
    let path = built.project.path("one.txt");
    let stat = fs::metadata(&path).unwrap();
    let put_back = |name: &str| {
        let file = fs::File::options()
            .write(true)
            .open(built.project.path(name))
            .unwrap();
        file.set_modified(stat.modified().unwrap()).unwrap();
    };

    // Same size, same modification time.
    fs::write(&path, "One\n").unwrap();
    put_back("one.txt");
    built.is_built(&[]);
    fs::write(&path, "one\n").unwrap();
    put_back("one.txt");
    built.is_skipped();

    // The mode alone.
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    built.is_built(&[]);
    fs::set_permissions(&path, stat.permissions()).unwrap();
    built.is_skipped();

    // Two files swapped: the same inodes, sizes and times under each other's names.
    put_back("two.txt");
    let (one, two) = (path.clone(), built.project.path("two.txt"));
    let other = built.project.path("other");
    let swap = || {
        fs::rename(&one, &other).unwrap();
        fs::rename(&two, &one).unwrap();
        fs::rename(&other, &two).unwrap();
    };
    swap();
    built.is_built(&[]);
    swap();
    built.is_skipped();

    // Renamed, removed, added; an empty folder; a link.
    fs::rename(&one, &other).unwrap();
    built.is_built(&[]);
    fs::rename(&other, &one).unwrap();
    fs::create_dir(&other).unwrap();
    built.is_built(&[]);
    fs::remove_dir(&other).unwrap();
    std::os::unix::fs::symlink("one.txt", &other).unwrap();
    built.is_built(&[]);
    fs::remove_file(&other).unwrap();
    built.is_skipped();

    // Ignore files: the context's, and the Dockerfile's own.
    built.project.write(".dockerignore", "two.txt\n");
    built.is_built(&[]);
    fs::remove_file(built.project.path(".dockerignore")).unwrap();
    built.project.write("Dockerfile.dockerignore", "one.txt\n");
    built.is_built(&[]);
    fs::remove_file(built.project.path("Dockerfile.dockerignore")).unwrap();
    built.is_skipped();

    // The Dockerfile, in a comment only: history lines are no inputs, but texts are.
    let text = built.project.read("Dockerfile");
    built.project.write("Dockerfile", &text.replace("/v", "/w"));
    built.is_built(&[]);
    built.project.write("Dockerfile", &text);
    built.is_skipped();
}

#[test]
fn a_changed_secret_is_never_missed() {
    let built = Built::new(&["--secret", "id=token,src=../token"], |project| {
        fs::write(project.outside().join("token"), "first").unwrap();
    });
    let token = built.project.outside().join("token");
    built.is_skipped();
    fs::write(&token, "other").unwrap();
    built.is_built(&[]);

    // Built with the other secret and not pushed: what the registry has is from the first.
    let local: Vec<_> = built
        .args
        .iter()
        .filter(|arg| *arg != "--push")
        .map(String::as_str)
        .collect();
    built
        .project
        .run(image(
            &buildkitd(&built.engines),
            &[&local[..], &["-o", "type=oci,dest=../out.tar"]].concat(),
        ))
        .answer();
    built.is_built(&[]);
    fs::write(&token, "first").unwrap();
    // Nobody knows any more; in doubt, it builds.
    built.is_built(&[]);
    let again = built.run(&buildkitd(&built.engines), &[]).json();
    assert_eq!(again["action"], "built");
    // Another machine has the lock, and no memory of the secret.
    fs::remove_dir_all(built.project.outside().join("state")).unwrap();
    built.is_built(&[]);
}

#[test]
fn an_argument_that_sounds_secret_is_compared_and_not_written() {
    let built = Built::new(&["--build-arg", "API_TOKEN=s3cr3t-argument"], |_| {});
    built.is_skipped();
    let args: Vec<_> = built
        .args
        .iter()
        .map(|arg| arg.replace("s3cr3t-argument", "another"))
        .collect();
    let args: Vec<_> = args.iter().map(String::as_str).collect();
    built.project.run(image(&nowhere(), &args)).refusal(3);
    assert!(!built.project.read("mlbuild.lock").contains("s3cr3t"));
}

#[test]
fn an_image_that_is_gone_or_replaced_is_built_again() {
    let built = Built::new(&[], |_| {});
    let host = &built.engines.registry;
    let (name, label) = name_and_tag(&built.tag);
    let (digest, body) = http::get(host, &format!("/v2/{name}/manifests/{label}"));
    built.is_skipped();

    // The tag names something else.
    let mut other: serde_json::Value = serde_json::from_slice(&body).unwrap();
    let media_type = other["mediaType"].as_str().unwrap().to_owned();
    other["annotations"] = serde_json::json!({ "who": "someone else" });
    http::put_manifest(host, name, label, &media_type, other.to_string().as_bytes());
    built.is_built(&[]);
    http::put_manifest(host, name, label, &media_type, &body);
    built.is_skipped();

    let deleted = http::request("DELETE", host, &format!("/v2/{name}/manifests/{digest}"));
    assert_eq!(deleted.status, 202, "{}", deleted.headers);
    built.is_built(&[]);
    // And the build puts it back.
    let json = built.run(&buildkitd(&built.engines), &[]).json();
    assert_eq!(json["action"], "built");
    assert_eq!(
        http::manifest(host, name, label).0,
        json["digest"].as_str().unwrap()
    );
}

#[test]
fn a_changed_base_in_the_configuration_is_a_changed_image() {
    let engines = Engines::from_env();
    let project = Project::new(&[("train.py", "print()\n")]);
    let tag = unique(&engines.registry, "config");
    let config = |base: &str| {
        let text = format!("[image]\ntag = {tag:?}\ntemplate = \"python\"\nbase = {base:?}\n");
        project.write("mlbuild.toml", &text);
    };
    config(&engines.python_base);
    let pinned = project
        .run(image(&buildkitd(&engines), &["--push"]))
        .answer()
        .to_owned();
    assert_eq!(project.run(image(&nowhere(), &["--push"])).answer(), pinned);
    config(&engines.base);
    project.run(image(&nowhere(), &["--push"])).refusal(3);
    config(&engines.python_base);
    assert_eq!(project.run(image(&nowhere(), &["--push"])).answer(), pinned);
    project
        .run(image(&nowhere(), &["--push", "--env", "A=1"]))
        .refusal(3);
}

#[test]
fn a_file_that_changes_during_the_build_is_not_recorded_as_built() {
    let engines = Engines::from_env();
    let tag = unique(&engines.registry, "meanwhile");
    // A number of its own, to know the step by.
    let step = format!("sleep 5.{}", ulid::Ulid::r#gen().random() % 1_000_000_007);
    let dockerfile = format!("FROM {}\nCOPY data.txt /\nRUN {step}\n", engines.base);
    let project = Project::new(&[("Dockerfile", &dockerfile), ("data.txt", &tag)]);
    let args = [
        "-f",
        "Dockerfile",
        "-t",
        &tag,
        "--push",
        "--progress",
        "plain",
    ];
    let child = project
        .command(image(&buildkitd(&engines), &args))
        .spawn()
        .unwrap();
    wait::until("the step starts", || is_running(&step));
    project.write("data.txt", "edited while it was built");
    let ran: Ran = child.wait_with_output().unwrap().into();
    ran.answer();
    let lock = project.lock();
    let entry = lock.images().next().expect("an entry");
    assert_eq!(entry.inputs.context, None);
    // Neither the new nor the old state of the file counts as built.
    project.run(image(&nowhere(), &args)).refusal(3);
    project.write("data.txt", &tag);
    project.run(image(&nowhere(), &args)).refusal(3);
}

#[test]
fn dockers_own_store_is_asked_too() {
    let engines = Engines::from_env();
    for (name, socket) in engines.dockers() {
        let (_, project) = super::tiny(name);
        let tag = unique("docker.io", "load");
        let socket = socket.strip_prefix("unix://").unwrap();
        let docker = vec!["--builder".to_owned(), format!("docker://{socket}")];
        let args = ["-f", "Dockerfile", "-t", &tag, "--load", "--format", "json"];
        let run = || project.run(image(&docker, &args)).json();
        let first = run();
        assert_eq!(first["action"], "built", "{name}");
        let second = run();
        assert_eq!(second["action"], "unchanged", "{name}");
        assert_eq!(second["image_id"], first["image_id"], "{name}");
        // Gone from Docker.
        let removed = std::process::Command::new(engines.bin.join("docker"))
            .args(["--host", &format!("unix://{socket}"), "rmi", &tag])
            .output()
            .unwrap();
        assert!(removed.status.success(), "{removed:?}");
        assert_eq!(run()["action"], "built", "{name}");
        let _ = std::process::Command::new(engines.bin.join("docker"))
            .args(["--host", &format!("unix://{socket}"), "rmi", &tag])
            .output();
    }
}
