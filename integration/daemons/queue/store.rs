//! What the stores promise, without containers: the same for both.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

use mlbuild::queue::{AgentRegistration, End, GpuNeed, Start, State, Store};

use super::{Setting, job};
use crate::support::wait::HANG;

pub fn registration(name: &str, gpus: &[&str]) -> AgentRegistration {
    AgentRegistration {
        name: name.into(),
        session: ulid::Ulid::r#gen().to_string(),
        host: "here".into(),
        engine: "engine".into(),
        queues: vec!["q".into()],
        gpus: gpus.iter().map(|id| (*id).to_owned()).collect(),
        lease: Duration::from_secs(20),
    }
}

/// Long enough that a busy machine does what must happen within it.
const SHORT: Duration = Duration::from_secs(2);

fn short(name: &str) -> AgentRegistration {
    AgentRegistration {
        lease: SHORT,
        ..registration(name, &[])
    }
}

/// Long enough that nothing is free before its end by itself.
fn long(name: &str) -> AgentRegistration {
    AgentRegistration {
        lease: Duration::from_secs(600),
        ..registration(name, &[])
    }
}

/// No process is known to be gone.
fn living(_session: &str, _host: &str) -> bool {
    false
}

fn begun() -> Start {
    Start {
        container: "c1".into(),
        run_id: "r1".into(),
        records: "/".into(),
        image: "img@sha256:1".into(),
    }
}

fn ended(code: i64) -> End {
    End {
        exit_code: Some(code),
        ..End::default()
    }
}

/// A store with a queue, and a name for messages.
fn each(test: impl Fn(&str, &Store)) {
    for (name, setting) in Setting::both() {
        let store = setting.open();
        store.create_queue("q", "", false).unwrap();
        test(name, &store);
    }
}

#[test]
fn jobs_go_by_priority_and_then_by_age() {
    each(|name, store| {
        for (id, priority) in [("a", 0), ("b", 5), ("c", -1), ("d", 5), ("e", 0)] {
            store.launch(id, &job(priority, GpuNeed::None)).unwrap();
        }
        let registration = registration("x", &[]);
        let order: String = std::iter::from_fn(|| store.claim(&registration).unwrap())
            .map(|claim| claim.id)
            .collect();
        assert_eq!(order, "bdaec", "{name}");
    });
}

#[test]
fn among_many_agents_each_job_goes_to_one() {
    const JOBS: usize = 120;
    for (name, setting) in Setting::both() {
        let store = setting.open();
        store.create_queue("q", "", false).unwrap();
        for n in 0..JOBS {
            store
                .launch(&format!("j{n}"), &job(0, GpuNeed::None))
                .unwrap();
        }
        let taken = Mutex::new(Vec::new());
        thread::scope(|scope| {
            for n in 0..6 {
                let (setting, taken) = (&setting, &taken);
                scope.spawn(move || {
                    let (store, registration) =
                        (setting.open(), registration(&format!("a{n}"), &[]));
                    while let Some(claim) = store.claim(&registration).unwrap() {
                        taken.lock().unwrap().push(claim.id);
                    }
                });
            }
        });
        let taken = taken.into_inner().unwrap();
        let different: BTreeSet<&String> = taken.iter().collect();
        assert_eq!((taken.len(), different.len()), (JOBS, JOBS), "{name}");
    }
}

#[test]
fn an_agent_that_slept_through_its_lease_changes_nothing() {
    each(|name, store| {
        store.launch("j", &job(0, GpuNeed::None)).unwrap();
        let (sleeper, other) = (short("sleeper"), registration("other", &[]));
        let old = store.claim(&sleeper).unwrap().unwrap();
        assert!(store.take_over(&other, &[]).unwrap().is_empty());
        assert!(
            store.claim(&other).unwrap().is_none(),
            "{name}: it is taken"
        );
        thread::sleep(SHORT + Duration::from_millis(100));
        assert!(
            store.take_over(&other, &[]).unwrap().is_empty(),
            "{name}: nothing was started"
        );
        let new = store.claim(&other).unwrap().unwrap();
        assert!(new.fencing_token > old.fencing_token);
        assert!(!store.begin(&sleeper, &old, &begun()).unwrap(), "{name}");
        assert_eq!(
            store.finish(&sleeper, &old, &ended(0)).unwrap(),
            None,
            "{name}"
        );
        assert!(!store.give_back(&sleeper, &old).unwrap());
        assert!(store.renew(&sleeper).unwrap().is_empty());
        assert!(store.begin(&other, &new, &begun()).unwrap());
        // Asked again, because the answer was lost; and about another container.
        assert!(store.begin(&other, &new, &begun()).unwrap(), "{name}");
        let another = Start {
            container: "c2".into(),
            ..begun()
        };
        assert!(
            !store.begin(&other, &new, &another).unwrap(),
            "{name}: once"
        );
        assert_eq!(
            store.finish(&other, &new, &ended(0)).unwrap(),
            Some("succeeded")
        );
        let done = store.job("j").unwrap();
        assert_eq!((done.state, done.exit_code), (State::Succeeded, Some(0)));
    });
}

#[test]
fn what_was_started_is_taken_over_on_the_same_engine_only() {
    each(|name, store| {
        store.launch("j", &job(0, GpuNeed::None)).unwrap();
        let lost = short("lost");
        let claim = store.claim(&lost).unwrap().unwrap();
        assert!(store.begin(&lost, &claim, &begun()).unwrap());
        thread::sleep(SHORT + Duration::from_millis(100));
        let elsewhere = AgentRegistration {
            engine: "another".into(),
            ..registration("elsewhere", &[])
        };
        assert!(
            store.take_over(&elsewhere, &[]).unwrap().is_empty(),
            "{name}"
        );
        assert!(store.claim(&elsewhere).unwrap().is_none(), "{name}");
        assert!(store.job("j").unwrap().agent_is_silent);
        assert!(
            store
                .retry("j", false)
                .unwrap_err()
                .to_string()
                .contains("its agent says nothing")
        );
        let here = registration("here", &[]);
        let taken = store.take_over(&here, &[]).unwrap();
        assert_eq!(taken[0].started, Some(begun()), "{name}");
        assert!(
            store
                .take_over(&here, &["j".to_owned()])
                .unwrap()
                .is_empty(),
            "{name}: once"
        );
        assert_eq!(
            store.finish(&here, &taken[0], &ended(3)).unwrap(),
            Some("failed")
        );
    });
}

#[test]
fn what_an_agent_was_given_without_hearing_of_it_is_not_forgotten() {
    each(|name, store| {
        store.launch("j", &job(0, GpuNeed::None)).unwrap();
        let agent = registration("deaf", &[]);
        // It was given the job, and the answer was lost: it waits again.
        let lost = store.claim(&agent).unwrap().unwrap();
        let working = ["j".to_owned()];
        assert!(store.take_over(&agent, &working).unwrap().is_empty());
        assert!(store.has(&agent, &lost).unwrap(), "{name}");
        assert!(store.take_over(&agent, &[]).unwrap().is_empty());
        assert!(!store.has(&agent, &lost).unwrap(), "{name}");
        // One that was started is followed.
        let claim = store.claim(&agent).unwrap().unwrap();
        assert!(store.begin(&agent, &claim, &begun()).unwrap());
        assert!(store.take_over(&agent, &working).unwrap().is_empty());
        let taken = store.take_over(&agent, &[]).unwrap();
        assert_eq!(taken[0].started, Some(begun()), "{name}");
    });
}

#[test]
fn a_heartbeat_keeps_what_an_agent_has() {
    each(|name, store| {
        store.launch("j", &job(0, GpuNeed::None)).unwrap();
        let registration = short("alive");
        store.register(&registration, &living).unwrap();
        let claim = store.claim(&registration).unwrap().unwrap();
        for _ in 0..5 {
            thread::sleep(SHORT / 4);
            assert_eq!(store.renew(&registration).unwrap()[0].id, "j");
            store.take_over(&short("other"), &[]).unwrap();
        }
        assert!(
            store.begin(&registration, &claim, &begun()).unwrap(),
            "{name}"
        );
        // The name of one that lives is its own.
        let twin = store
            .register(&short("alive"), &living)
            .unwrap_err()
            .to_string();
        assert!(
            twin.contains("an agent `alive` is at work on here"),
            "{twin}"
        );
        store.leave(&registration).unwrap();
        store.register(&short("alive"), &living).unwrap();
        // That of one whose process is gone is free at once, and so is what it had.
        store.launch("k", &job(0, GpuNeed::None)).unwrap();
        let killed = long("killed");
        store.register(&killed, &living).unwrap();
        let claim = store.claim(&killed).unwrap().unwrap();
        let is_gone = |session: &str, host: &str| session == killed.session && host == killed.host;
        let next = long("killed");
        store.register(&next, &is_gone).unwrap();
        assert_eq!(store.claim(&next).unwrap().unwrap().id, claim.id, "{name}");
    });
}

#[test]
fn a_gpu_is_handed_out_once() {
    each(|name, store| {
        let agent = registration("gpu", &["0", "1", "2"]);
        let ids = |list: &[&str]| GpuNeed::Ids(list.iter().map(|id| (*id).to_owned()).collect());
        store.launch("two", &job(9, GpuNeed::Count(2))).unwrap();
        store.launch("all", &job(8, GpuNeed::All)).unwrap();
        store.launch("first", &job(7, ids(&["0"]))).unwrap();
        store.launch("four", &job(6, GpuNeed::Count(4))).unwrap();
        store.launch("third", &job(5, ids(&["2"]))).unwrap();
        store.launch("none", &job(0, GpuNeed::None)).unwrap();
        let next = || {
            store
                .claim(&agent)
                .unwrap()
                .map(|c| (c.id.clone(), c.gpus.join(","), c))
        };
        let (id, gpus, two) = next().unwrap();
        assert_eq!((id.as_str(), gpus.as_str()), ("two", "0,1"), "{name}");
        let (id, gpus, third) = next().unwrap();
        assert_eq!((id.as_str(), gpus.as_str()), ("third", "2"), "{name}");
        let (id, gpus, _) = next().unwrap();
        assert_eq!((id.as_str(), gpus.as_str()), ("none", ""), "{name}");
        assert!(next().is_none(), "{name}: the others wait");
        let twin = registration("twin", &["0", "1", "2"]);
        assert!(
            store.claim(&twin).unwrap().is_none(),
            "{name}: the engine's GPUs are taken"
        );
        store.finish(&agent, &two, &ended(0)).unwrap();
        let (id, gpus, first) = next().unwrap();
        assert_eq!((id.as_str(), gpus.as_str()), ("first", "0"), "{name}");
        store.finish(&agent, &third, &ended(0)).unwrap();
        store.finish(&agent, &first, &ended(0)).unwrap();
        let (id, gpus, _) = next().unwrap();
        assert_eq!((id.as_str(), gpus.as_str()), ("all", "0,1,2"), "{name}");
        let without = registration("cpu", &[]);
        assert!(
            store.claim(&without).unwrap().is_none(),
            "{name}: no agent without GPUs takes it"
        );
    });
}

#[test]
fn under_a_crowd_no_gpu_is_handed_out_twice() {
    for (name, setting) in Setting::both() {
        let store = setting.open();
        store.create_queue("q", "", false).unwrap();
        for n in 0..40 {
            store
                .launch(&format!("j{n}"), &job(0, GpuNeed::Count(1)))
                .unwrap();
        }
        let held = Mutex::new(BTreeSet::new());
        thread::scope(|scope| {
            for n in 0..4 {
                let (setting, held) = (&setting, &held);
                scope.spawn(move || {
                    let (store, registration) =
                        (setting.open(), registration(&format!("a{n}"), &["0", "1"]));
                    while !store.is_idle(&registration.queues).unwrap() {
                        let Some(claim) = store.claim(&registration).unwrap() else {
                            thread::sleep(Duration::from_millis(2));
                            continue;
                        };
                        assert!(
                            held.lock().unwrap().insert(claim.gpus[0].clone()),
                            "{name}: twice"
                        );
                        thread::sleep(Duration::from_millis(2));
                        held.lock().unwrap().remove(&claim.gpus[0]);
                        store.finish(&registration, &claim, &ended(0)).unwrap();
                    }
                });
            }
        });
    }
}

#[test]
fn a_failed_job_is_tried_so_often_and_no_more() {
    each(|name, store| {
        let retried = mlbuild::queue::NewJob {
            retries: 1,
            ..job(0, GpuNeed::None)
        };
        store.launch("j", &retried).unwrap();
        let agent = registration("x", &[]);
        let claim = store.claim(&agent).unwrap().unwrap();
        assert_eq!(
            store.finish(&agent, &claim, &ended(1)).unwrap(),
            Some("queued")
        );
        assert!(
            store.claim(&agent).unwrap().is_none(),
            "{name}: not at once"
        );
        thread::sleep(Duration::from_millis(1100));
        let claim = store.claim(&agent).unwrap().unwrap();
        assert_eq!(claim.attempt, 2);
        assert_eq!(
            store.finish(&agent, &claim, &ended(1)).unwrap(),
            Some("failed")
        );
        assert_eq!(store.attempts("j").unwrap().len(), 2);
        store.retry("j", false).unwrap();
        let claim = store.claim(&agent).unwrap().unwrap();
        assert_eq!(
            (
                claim.attempt,
                store.finish(&agent, &claim, &ended(0)).unwrap()
            ),
            (3, Some("succeeded")),
            "{name}"
        );
    });
}

#[test]
fn a_cancelled_job_doesnt_start() {
    each(|name, store| {
        store.launch("waits", &job(0, GpuNeed::None)).unwrap();
        assert_eq!(store.cancel("waits").unwrap(), State::Cancelled);
        let agent = registration("x", &["0"]);
        assert!(store.claim(&agent).unwrap().is_none(), "{name}");
        store.launch("claimed", &job(0, GpuNeed::Count(1))).unwrap();
        let claim = store.claim(&agent).unwrap().unwrap();
        assert_eq!(store.cancel("claimed").unwrap(), State::Claimed);
        assert!(store.held(&agent).unwrap()[0].cancelled);
        assert!(!store.begin(&agent, &claim, &begun()).unwrap(), "{name}");
        // An agent that is lost before it says so leaves it cancelled, and the GPU free.
        assert!(store.give_back(&agent, &claim).unwrap());
        assert_eq!(
            store.job("claimed").unwrap().state,
            State::Cancelled,
            "{name}"
        );
        assert!(store.job("claimed").unwrap().gpus.is_empty());
        let error = store.cancel("claimed").unwrap_err().to_string();
        assert_eq!(error, "job claimed has ended: cancelled");
    });
}

#[test]
fn a_queue_that_is_gone_takes_and_starts_nothing() {
    each(|name, store| {
        let retried = mlbuild::queue::NewJob {
            retries: 5,
            ..job(0, GpuNeed::None)
        };
        store.launch("runs", &retried).unwrap();
        let agent = registration("x", &[]);
        let claim = store.claim(&agent).unwrap().unwrap();
        store.launch("waits", &retried).unwrap();
        let error = store.delete_queue("q", false).unwrap_err().to_string();
        assert_eq!(error, "jobs wait in `q`: 1", "{name}");
        assert_eq!(store.delete_queue("q", true).unwrap(), 1);
        assert_eq!(store.job("waits").unwrap().state, State::Cancelled);
        let error = store
            .launch("late", &job(0, GpuNeed::None))
            .unwrap_err()
            .to_string();
        assert_eq!(error, "there is no queue `q`", "{name}");
        // What runs goes on, and isn't tried again in a queue that isn't there.
        assert_eq!(
            store.finish(&agent, &claim, &ended(1)).unwrap(),
            Some("failed"),
            "{name}"
        );
        assert!(
            store
                .retry("runs", false)
                .unwrap_err()
                .to_string()
                .contains("is gone")
        );
        assert!(
            store.register(&agent, &living).is_err(),
            "{name}: nobody serves it"
        );
    });
}

#[test]
fn a_paused_queue_waits() {
    each(|name, store| {
        store.launch("j", &job(0, GpuNeed::None)).unwrap();
        store.pause_queue("q", true).unwrap();
        assert!(
            store.claim(&registration("x", &[])).unwrap().is_none(),
            "{name}"
        );
        store.pause_queue("q", false).unwrap();
        assert!(
            store.claim(&registration("x", &[])).unwrap().is_some(),
            "{name}"
        );
    });
}

#[test]
fn agents_are_woken() {
    for (name, setting) in Setting::both() {
        let store = setting.open();
        store.create_queue("q", "", false).unwrap();
        let mut watch = setting.place().watch().unwrap();
        watch.wait(Duration::from_millis(100)).unwrap();
        watch.wait(Duration::from_millis(100)).unwrap();
        let began = std::time::Instant::now();
        thread::scope(|scope| {
            scope.spawn(|| {
                thread::sleep(Duration::from_millis(200));
                store.launch("j", &job(0, GpuNeed::None)).unwrap();
            });
            watch.wait(2 * HANG).unwrap();
        });
        let took = began.elapsed();
        // Not before there was a job, and not by the end of its patience.
        assert!(
            took >= Duration::from_millis(180) && took < HANG,
            "{name}: {took:?}"
        );
    }
}

#[test]
fn after_a_restart_of_the_machine_leases_have_ended() {
    let setting = Setting::sqlite();
    let store = setting.open();
    store.create_queue("q", "", false).unwrap();
    store.launch("j", &job(0, GpuNeed::None)).unwrap();
    let before = registration("before", &[]);
    let claim = store.claim(&before).unwrap().unwrap();
    assert!(store.begin(&before, &claim, &begun()).unwrap());
    // The clock that leases are told by began anew: its time says nothing of theirs.
    let file = rusqlite::Connection::open(&setting.store).unwrap();
    file.execute("UPDATE jobs SET boot = 'another boot'", [])
        .unwrap();
    drop(file);
    assert_eq!(
        store
            .take_over(&registration("after", &[]), &[])
            .unwrap()
            .len(),
        1
    );
}

/// A statement of somebody who isn't mlbuild.
fn meddle(setting: &Setting, sql: &str) {
    if setting.store.starts_with("postgres") {
        let mut client = postgres::Client::connect(&setting.store, postgres::NoTls).unwrap();
        return client.batch_execute(sql).unwrap();
    }
    let file = rusqlite::Connection::open(&setting.store).unwrap();
    file.execute_batch(sql).unwrap();
}

#[test]
fn an_older_store_is_brought_up_and_a_newer_one_left_alone() {
    for (name, setting) in Setting::both() {
        let store = setting.open();
        store.create_queue("q", "", false).unwrap();
        store.launch("j", &job(0, GpuNeed::None)).unwrap();
        drop(store);
        // As the first version left it.
        meddle(&setting, "DROP INDEX jobs_of_queue");
        meddle(&setting, "ALTER TABLE jobs DROP COLUMN discarded");
        meddle(&setting, "UPDATE mlbuild_schema SET version = 1");
        let store = setting.open();
        let agent = registration("x", &[]);
        let claim = store.claim(&agent).unwrap().unwrap();
        assert!(store.begin(&agent, &claim, &begun()).unwrap(), "{name}");
        assert!(store.discard(&agent, &claim, Some("c1")).unwrap(), "{name}");
        drop(store);
        meddle(&setting, "UPDATE mlbuild_schema SET version = 99");
        let ran = setting.run(&["jobs", "list"]);
        let said = ran.refusal(3);
        assert!(
            said.contains("the store was made by a newer mlbuild") && said.contains("install"),
            "{name}: {said}"
        );
    }
}
