//! Registries, builders, Docker and databases that die, stall and stumble at random moments of a command:
//! it ends with a documented exit code, and the same command works once they are well again.
//! `MLBUILD_TEST_DEATHS` (of each peer) makes it longer, and `MLBUILD_TEST_SEED` repeats it.

use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::image::unique;
use crate::proxy::{DEATHS, Proxy};
use crate::queue::Setting;
use crate::support::engines::Engines;
use crate::support::mlbuild::{Project, Ran};
use crate::support::random::Random;

/// Deaths of each peer, of a run that nobody asked to be longer.
const EACH: u64 = 30;
/// Most of the time a command waits.
const AT_ONCE: u64 = 6;
/// Seconds.
const STALL: &str = "2";

fn deaths() -> u64 {
    std::env::var("MLBUILD_TEST_DEATHS").map_or(EACH, |text| text.parse().unwrap())
}

/// Has `round` done for each death; it gets the proxy, and gives the command that goes through it.
/// `largest`: bytes that pass, about, when nothing is wrong.
fn each(
    peer: &str,
    largest: u64,
    round: impl Fn(u64, &Proxy) -> Command + Sync,
    then: impl Fn(u64, &Ran) + Sync,
) {
    let random = Mutex::new(Random::from_env());
    let next = Mutex::new(0..deaths());
    let counts = Mutex::new(std::collections::BTreeMap::<String, u64>::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(number) = next.lock().unwrap().next() else {
                        return;
                    };
                    let after = random.lock().unwrap().below(largest);
                    let death = DEATHS[number as usize % DEATHS.len()];
                    let proxy = Proxy::to(peer, death, after);
                    let mut command = round(number, &proxy);
                    command.env("MLBUILD_STALL_SECONDS", STALL);
                    let began = Instant::now();
                    let ran = Ran::of(&mut command);
                    let took = began.elapsed();
                    let what = format!(
                        "{death:?} after {after} bytes: {:?} {}",
                        ran.code, ran.stderr
                    );
                    assert!(matches!(ran.code, Some(0..=4 | 125)), "{what}");
                    assert!(!ran.stderr.contains("panicked"), "{what}");
                    // Many times what it takes: only what waits for ever takes so long.
                    assert!(took < Duration::from_secs(180), "{took:?}, {what}");
                    let key = format!("{death:?}: {:?}", ran.code);
                    *counts.lock().unwrap().entry(key).or_default() += 1;
                    then(number, &ran);
                }
            });
        }
    });
    println!("{counts:?}");
}

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
        &engines.registry,
        9_000,
        |number, proxy| {
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
            command
        },
        |number, ran| {
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
        &engines.buildkitd,
        60_000,
        |number, proxy| args(number, &proxy.address),
        |number, _| {
            let project = &projects[number as usize];
            let again = Ran::of(&mut args(number, &engines.buildkitd));
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
        &engines.docker_containerd,
        6_000,
        |number, proxy| {
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
            command
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
        server,
        6_000,
        |number, proxy| {
            let image = format!("registry.example/a:{number}");
            let mut command = match number % 2 {
                0 => setting.command(&["launch", "-q", "q", "--image", &image, "--", "true"]),
                _ => setting.command(&["jobs", "list"]),
            };
            let store = format!("{credentials}@{}/{database}", proxy.address);
            command.env("MLBUILD_QUEUE_STORE", store);
            command
        },
        |number, ran| {
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
