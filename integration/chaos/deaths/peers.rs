//! Registries, builders, Docker and databases.

use std::process::Command;
use std::sync::Mutex;

use super::{Mortal, deaths, each};
use crate::image::unique;
use crate::queue::Setting;
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};

#[test]
fn registries_that_die_take_nothing_with_them() {
    let engines = Engines::from_env();
    let project = Project::new(&[
        ("Dockerfile", "FROM scratch\nCOPY a.txt /\n"),
        ("a.txt", "a"),
    ]);
    let layer = mlbuild::image::layer::write_tar(&[]);
    let built = crate::support::layouts::built(
        &[("RUN make", layer)],
        mlbuild::image::layer::Packing::Gzip,
        serde_json::json!({ "User": "1000:1000" }),
    );
    let there = unique(&engines.registry, "dies");
    let session = std::process::id();
    let name_of = |number: u64| format!("e2e/died-{session}-{number}:1");
    push(&engines, &built, &there);
    each(
        Mortal::new("the registry 127.0.0.1:", 9_000),
        |round| {
            let (number, proxy) = (round.number, round.before(&engines.registry));
            let name = there.split_once('/').unwrap().1;
            let at = |name: &str| format!("{}/{name}", proxy.address);
            let place = built.folder.path().display().to_string();
            let mut command = match number % 3 {
                0 => project.command(["inspect", &at(name)]),
                1 => project.command(["diff", &at(name), &place]),
                // mlbuild pushes it by itself.
                _ => {
                    let to = at(&name_of(number));
                    let words = [
                        "image",
                        "-f",
                        "Dockerfile",
                        "-t",
                        &to,
                        "--push",
                        "--no-lock",
                        "--repack",
                    ];
                    let mut command = project.command(words);
                    command.args(["--builder", &engines.buildkitd]);
                    command.env("SOURCE_DATE_EPOCH", "1700000000");
                    command
                }
            };
            command.env("DOCKER_HOST", "unix:///nowhere");
            (command, proxy)
        },
        |round, ran| {
            let number = round.number;
            // What was said to be there is there.
            if number % 3 == 2 && ran.code == Some(0) {
                let image = format!("{}/{}", engines.registry, name_of(number));
                project.run(["inspect", &image]).answer();
            }
        },
    );
    // Once it is well again all is as it was.
    project.run(["inspect", &there]).answer();
}

/// Pushes a layout by skopeo.
fn push(engines: &Engines, image: &crate::support::layouts::Made, to: &str) {
    let mut command = Command::new(engines.bin.join("skopeo"));
    command
        .args(["copy", "--insecure-policy", "--dest-tls-verify=false"])
        .arg(format!("oci:{}", image.folder.path().display()))
        .arg(format!("docker://{to}"));
    Ran::of(&mut command).answer();
}

#[test]
fn builders_that_die_leave_a_project_that_builds() {
    let engines = Engines::from_env();
    let dockerfile = format!("FROM {}\nCOPY a.txt /\nRUN cat /a.txt\n", engines.base);
    let project = |number: u64| {
        let text = format!("{number}");
        Project::new(&[("Dockerfile", &dockerfile), ("a.txt", &text)])
    };
    let projects: Vec<Project> = (0..deaths()).map(project).collect();
    // The builder pushes: what passes the proxy is the build alone.
    let tags = (0..deaths()).map(|_| unique(&engines.registry, "builder-dies"));
    let tags: Vec<String> = tags.collect();
    let args = |number: u64, builder: &str| {
        let words = [
            "image",
            "-f",
            "Dockerfile",
            "-t",
            &tags[number as usize],
            "--push",
        ];
        let mut command = projects[number as usize].command(words);
        command.args(["--builder", builder]);
        command
    };
    each(
        // A builder that has not answered at all yet is named as what `--builder` says.
        Mortal::new("unix://", 60_000),
        |round| {
            let proxy = round.before(&engines.buildkitd);
            (args(round.number, &proxy.address), proxy)
        },
        |round, _| {
            let project = &projects[round.number as usize];
            let again = Ran::of(&mut args(round.number, &engines.buildkitd));
            again.answer();
            project.lock();
        },
    );
}

#[test]
fn dockers_that_die_lose_no_run() {
    let engines = Engines::from_env();
    let project = Project::new(&[]);
    let path = format!(
        "{}:{}",
        engines.bin.display(),
        std::env::var("PATH").unwrap()
    );
    each(
        Mortal::new("Docker", 6_000),
        |round| {
            let (number, proxy) = (round.number, round.before(&engines.docker_containerd));
            let id = format!("died-{number}");
            let words = [
                "run",
                "--run-id",
                &id,
                "--rm",
                "--network",
                "none",
                &engines.base,
                "true",
            ];
            let mut command = match number % 2 {
                0 => project.command(words),
                _ => project.command(["inspect", &engines.base]),
            };
            command
                .env("PATH", &path)
                .env("DOCKER_HOST", &proxy.address);
            (command, proxy)
        },
        |_, _| {},
    );
    let list = project.run(["runs", "list", "--format", "json"]).json();
    assert_eq!(list["unreadable"], serde_json::json!([]));
}

#[test]
fn databases_that_die_have_each_job_once() {
    let setting = Setting::postgres();
    setting.run(&["queue", "create", "q"]).answer();
    let (head, database) = setting.store.rsplit_once('/').unwrap();
    let (credentials, server) = head.rsplit_once('@').unwrap();
    let said = Mutex::new(Vec::new());
    each(
        Mortal::new("the database at 127.0.0.1:", 6_000),
        |round| {
            let (number, proxy) = (round.number, round.before(server));
            let image = format!("registry.example/a:{number}");
            let mut command = match number % 2 {
                0 => setting.command(&["launch", "-q", "q", "--image", &image, "--", "true"]),
                _ => setting.command(&["jobs", "list"]),
            };
            let store = format!("{credentials}@{}/{database}", proxy.address);
            command.env("MLBUILD_QUEUE_STORE", store);
            (command, proxy)
        },
        |round, ran| {
            let number = round.number;
            if number % 2 == 0 && ran.code == Some(0) {
                said.lock().unwrap().push(ran.stdout.trim().to_owned());
            }
        },
    );
    let jobs = setting.run(&["jobs", "list", "--format", "json"]).json();
    let text = jobs.to_string();
    for id in said.lock().unwrap().iter() {
        assert_eq!(
            text.matches(&format!("\"{id}\"")).count(),
            1,
            "{id}: {text}"
        );
    }
}
