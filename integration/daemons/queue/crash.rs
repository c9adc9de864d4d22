//! Agents that are killed at any moment: no job is lost, and none is started twice.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use mlbuild::queue::{NewJob, Source, State, Store};

use super::{Agent, Setting};
use crate::support::random::Random;
use crate::support::wait::HANG;

/// Kills agents, one of three at a time, after random times. `MLBUILD_TEST_SEED` repeats the order and
/// the waits of an earlier run.
fn kill_at_random(setting: &Setting, store: &Store, jobs: usize, kills: usize) {
    let out = setting.project.outside().join("out");
    std::fs::create_dir(&out).unwrap();
    let run = ulid::Ulid::r#gen().to_string();
    store
        .create_queue("q", "init: false\nnetwork: none\n", false)
        .unwrap();
    for n in 0..jobs {
        let script = format!("echo $MLBUILD_RUN_ID >> /out/j{n}; sleep 0.{}", n % 4);
        let job = NewJob {
            queue: "q".into(),
            source: Source::Image {
                image: setting.engines.base.clone(),
            },
            overrides: vec![format!("volume={}:/out", out.display())],
            command: ["sh", "-c", &script].map(str::to_owned).to_vec(),
            gpus: mlbuild::queue::GpuNeed::None,
            retries: 0,
            priority: 0,
        };
        store.launch(&format!("{run}-{n}"), &job).unwrap();
    }
    let begin = || Agent::start(setting, &["--lease", "1", "--max-jobs", "3"]);
    let mut agents = [begin(), begin(), begin()];
    let mut random = Random::from_env();
    for _ in 0..kills {
        std::thread::sleep(Duration::from_millis(20 + random.below(330)));
        let one = random.below(3) as usize;
        agents[one].0.kill().unwrap();
        agents[one].0.wait().unwrap();
        agents[one] = begin();
    }
    let until = Instant::now() + HANG;
    while !store.is_idle(&["q".to_owned()]).unwrap() {
        let left = store.jobs(&Default::default()).unwrap();
        let left: Vec<_> = left
            .iter()
            .filter(|job| !job.state.is_final())
            .map(|job| (&job.id, job.state))
            .collect();
        assert!(Instant::now() < until, "{left:?}");
        std::thread::sleep(Duration::from_millis(200));
    }
    let done = store.jobs(&Default::default()).unwrap();
    let wrong: Vec<_> = done
        .iter()
        .filter(|job| job.state != State::Succeeded || job.attempt != 1)
        .map(|job| (&job.id, job.state, &job.error))
        .collect();
    assert!(wrong.is_empty(), "{wrong:?}");
    let mut starts: BTreeMap<String, usize> = BTreeMap::new();
    for file in std::fs::read_dir(&out).unwrap() {
        let file = file.unwrap();
        let lines = std::fs::read_to_string(file.path())
            .unwrap()
            .lines()
            .count();
        starts.insert(file.file_name().to_string_lossy().into_owned(), lines);
    }
    let twice: Vec<_> = starts.iter().filter(|(_, count)| **count != 1).collect();
    assert!(twice.is_empty(), "not started once: {twice:?}");
    assert_eq!(starts.len(), jobs, "every job was started");
    // Each has one record, which says how it ended.
    let records = setting.run(&["runs", "list", "--format", "json"]).json();
    let records = records["runs"].as_array().unwrap();
    assert_eq!(records.len(), jobs);
    assert!(
        records
            .iter()
            .all(|run| run.to_string().contains("\"exit_code\":0"))
    );
    drop(agents);
    let made = setting.docker(&[
        "ps",
        "-aq",
        "--filter",
        &format!("label=mlbuild.job={run}-0"),
    ]);
    assert_eq!(
        made.lines().count(),
        1,
        "no container is left that was never started"
    );
}

#[test]
fn killed_agents_lose_no_job_with_sqlite() {
    let setting = Setting::sqlite();
    let store = setting.open();
    kill_at_random(&setting, &store, 60, 100);
}

#[test]
fn killed_agents_lose_no_job_with_podman() {
    let setting = Setting::podman();
    let store = setting.open();
    kill_at_random(&setting, &store, 20, 25);
}

#[test]
fn killed_agents_lose_no_job_with_postgresql() {
    let setting = Setting::postgres();
    let store = setting.open();
    kill_at_random(&setting, &store, 25, 40);
}
