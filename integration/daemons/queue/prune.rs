//! Jobs that are over are removed, and code goes with the last job that needs it.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use mlbuild::queue::{End, GpuNeed, NewJob, Prune, Source, State, Store, archive};

use super::store::registration;
use super::{Setting, job};
use crate::support::mlbuild::Project;
use crate::support::wait;

fn code(said: &str) -> archive::Archive {
    let project = Project::new(&[("train.sh", said)]);
    archive::pack(&project.path("")).unwrap()
}

fn of_code(code: &archive::Archive) -> NewJob {
    NewJob {
        source: Source::Folder {
            name: "cracks".into(),
            digest: code.digest.clone(),
            variant: None,
        },
        ..job(0, GpuNeed::None)
    }
}

/// Ends the next job with this code.
fn end_next(store: &Store, exit_code: i64) {
    let agent = registration("x", &[]);
    let claim = store.claim(&agent).unwrap().unwrap();
    let end = End {
        exit_code: Some(exit_code),
        ..End::default()
    };
    store.finish(&agent, &claim, &end).unwrap();
}

fn ids(store: &Store) -> Vec<String> {
    let jobs = store.jobs(&Default::default()).unwrap();
    jobs.into_iter().map(|job| job.id).collect()
}

#[test]
fn code_goes_with_the_last_job_that_needs_it() {
    for (name, setting) in Setting::both() {
        let store = setting.open();
        store.create_queue("q", "", false).unwrap();
        let (common, own) = (code("common"), code("own"));
        for (id, code) in [("a", &common), ("b", &own), ("c", &common), ("d", &common)] {
            store.launch_with(id, &of_code(code), Some(code)).unwrap();
        }
        end_next(&store, 0);
        end_next(&store, 3);
        end_next(&store, 0);
        // `d` waits.
        let all = Prune {
            dry_run: true,
            ..Prune::default()
        };
        let would = store.prune(&all).unwrap();
        assert_eq!(
            (would.jobs.join(" "), would.archives),
            ("c b a".into(), 1),
            "{name}"
        );
        assert_eq!(would.archive_bytes, own.bytes.len() as u64, "{name}");
        assert_eq!(ids(&store).join(" "), "d c b a", "{name}: only looked");

        let old = Prune {
            older_than: Some(jiff::Timestamp::UNIX_EPOCH),
            ..Prune::default()
        };
        assert!(store.prune(&old).unwrap().jobs.is_empty(), "{name}");
        let one = Prune {
            state: Some(State::Succeeded),
            keep: 1,
            ..Prune::default()
        };
        let pruned = store.prune(&one).unwrap();
        assert_eq!(
            (pruned.jobs.join(" "), pruned.archives),
            ("a".into(), 0),
            "{name}"
        );
        // One that failed can be tried again: it has its code.
        assert_eq!(store.archive(&own.digest).unwrap(), own.bytes, "{name}");
        store.retry("b", false).unwrap();
        let rest = store.prune(&Prune::default()).unwrap();
        assert_eq!(
            (rest.jobs.join(" "), rest.archives),
            ("c".into(), 0),
            "{name}"
        );
        store.cancel("b").unwrap();
        let rest = store.prune(&Prune::default()).unwrap();
        assert_eq!(
            (rest.jobs.join(" "), rest.archives),
            ("b".into(), 1),
            "{name}"
        );
        assert!(store.attempts("b").unwrap().is_empty(), "{name}");
        let gone = store.archive(&own.digest).unwrap_err().to_string();
        assert!(gone.contains("no code sha256:"), "{gone}");
        assert_eq!(
            store.archive(&common.digest).unwrap(),
            common.bytes,
            "{name}"
        );
        // A queue that isn't there takes no code either.
        let lost = NewJob {
            queue: "gone".into(),
            ..of_code(&own)
        };
        store.launch_with("lost", &lost, Some(&own)).unwrap_err();
        assert!(store.archive(&own.digest).is_err(), "{name}");
    }
}

#[test]
fn code_that_is_launched_meanwhile_stays() {
    const JOBS: usize = 60;
    for (name, setting) in Setting::both() {
        let store = setting.open();
        store.create_queue("q", "", false).unwrap();
        let code = code("print(1)");
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            let pruner = scope.spawn(|| {
                let (store, mut removed) = (setting.open(), 0);
                while !done.load(Ordering::Relaxed) {
                    removed += store.prune(&Prune::default()).unwrap().archives;
                }
                removed
            });
            for n in 0..JOBS {
                let id = format!("j{n}");
                store
                    .launch_with(&id, &of_code(&code), Some(&code))
                    .unwrap();
                // Whoever has the job has its code.
                assert_eq!(
                    store.archive(&code.digest).unwrap(),
                    code.bytes,
                    "{name} {n}"
                );
                end_next(&store, 0);
                if n % 20 == 0 {
                    wait::until("it is removed", || store.archive(&code.digest).is_err());
                }
            }
            done.store(true, Ordering::Relaxed);
            assert!(pruner.join().unwrap() > 0, "{name}");
        });
    }
}

#[test]
fn the_command_says_what_it_removes() {
    let setting = Setting::sqlite();
    setting.run(&["queue", "create", "q"]).answer();
    // Nothing that a compressor makes small.
    let mut noise = vec![0; 3 << 20];
    getrandom(&mut noise);
    let code = Project::new(&[("mlbuild.toml", "")]);
    std::fs::write(code.path("noise"), noise).unwrap();
    let folder = code.path("").to_string_lossy().into_owned();
    let id = setting.run(&["launch", "-q", "q", "--job", &folder, "--", "true"]);
    let id = id.answer().to_owned();
    let refused = setting.run(&["jobs", "prune"]);
    assert!(
        refused
            .refusal(2)
            .contains("nothing says which jobs to remove"),
        "{}",
        refused.stderr
    );
    let none = setting.run(&["jobs", "prune", "--keep", "0"]);
    assert_eq!(
        (none.answer(), none.stderr.as_str()),
        ("", "no such jobs\n")
    );
    setting.run(&["jobs", "cancel", &id]).answer();
    let size = || std::fs::metadata(&setting.store).unwrap().len();
    let before = size();
    let dry = setting.run(&["jobs", "prune", "--keep", "0", "--dry-run"]);
    assert_eq!(dry.answer(), id);
    assert!(dry.stderr.contains("nothing is removed") && dry.stderr.contains("1 archives, 3."));
    let words = ["jobs", "prune", "--state", "cancelled", "--format", "json"];
    let removed = setting.run(&words).json();
    assert_eq!(removed["removed"], serde_json::json!([id]));
    assert_eq!(removed["archives"], 1);
    assert!(size() + (3 << 20) <= before, "{before} {}", size());
    setting.run(&["jobs", "show", &id]).refusal(2);
}

fn getrandom(bytes: &mut [u8]) {
    use std::io::Read as _;
    let mut source = std::fs::File::open("/dev/urandom").unwrap();
    source.read_exact(bytes).unwrap();
}
