//! Peers that die, stall and stumble at random moments of a command: it ends with a documented exit code,
//! says who was waited for, and the same command works once they are well again.
//! `MLBUILD_TEST_DEATHS` (of each peer) makes it longer, and `MLBUILD_TEST_SEED` repeats it.

mod clusters;
mod peers;
mod programs;
mod ssh;

use std::collections::BTreeMap;
use std::process::Command;
use std::sync::Mutex;
use std::thread;
use std::time::{Duration, Instant};

use crate::proxy::{DEATHS, Death, Proxy};
use crate::support::mlbuild::Ran;
use crate::support::random::Random;

/// Deaths of each peer, of a run that nobody asked to be longer.
const EACH: u64 = 30;
/// Most of the time a command waits.
const AT_ONCE: u64 = 6;
/// Seconds without progress, after which a peer is given up.
const STALL: u64 = 2;
/// The same of the first stall: longer than it takes until a line says who is waited for.
const FIRST_STALL: u64 = 6;

/// How many deaths of each peer.
fn deaths() -> u64 {
    std::env::var("MLBUILD_TEST_DEATHS").map_or(EACH, |text| text.parse().unwrap())
}

/// What becomes of a peer in one round.
struct Round {
    number: u64,
    death: Death,
    /// After so much of what passes: bytes, or starts of a program.
    after: u64,
}

impl Round {
    /// One in which nothing happens.
    fn harmless() -> Self {
        Self {
            number: 1,
            death: Death::Lags,
            after: u64::MAX,
        }
    }

    /// A peer (`host:port`, or `unix://PATH`) that dies.
    fn before(&self, peer: &str) -> Proxy {
        Proxy::to(peer, self.death, self.after)
    }
}

/// Somebody who dies.
#[derive(Clone, Copy)]
struct Mortal {
    /// How mlbuild names it.
    named: &'static str,
    /// How much passes, about, when nothing is wrong.
    largest: u64,
    /// Seconds without progress, after which it is given up.
    stall: u64,
}

impl Mortal {
    const fn new(named: &'static str, largest: u64) -> Self {
        Self {
            named,
            largest,
            stall: STALL,
        }
    }
}

/// Has `round` done for each death; it gives the command that meets it, and what is to be kept until the
/// command has ended.
fn each<Kept>(
    mortal: Mortal,
    round: impl Fn(&Round) -> (Command, Kept) + Sync,
    then: impl Fn(&Round, &Ran) + Sync,
) {
    let random = Mutex::new(Random::from_env());
    let next = Mutex::new(0..deaths());
    let counts = Mutex::new(BTreeMap::<String, u64>::new());
    thread::scope(|scope| {
        for _ in 0..AT_ONCE {
            scope.spawn(|| {
                loop {
                    let Some(number) = next.lock().unwrap().next() else {
                        return;
                    };
                    let one = Round {
                        number,
                        death: DEATHS[number as usize % DEATHS.len()],
                        after: random.lock().unwrap().below(mortal.largest),
                    };
                    let ran = meet(mortal, &one, &round);
                    let key = format!("{:?}: {:?}", one.death, ran.code);
                    *counts.lock().unwrap().entry(key).or_default() += 1;
                    then(&one, &ran);
                }
            });
        }
    });
    println!("{:?}", counts.into_inner().unwrap());
}

/// One command and one death.
fn meet<Kept>(mortal: Mortal, one: &Round, round: impl Fn(&Round) -> (Command, Kept)) -> Ran {
    let named = mortal.named;
    let (mut command, kept) = round(one);
    let stall = if one.number == 0 {
        FIRST_STALL.max(mortal.stall)
    } else {
        mortal.stall
    };
    command.env("MLBUILD_STALL_SECONDS", stall.to_string());
    let began = Instant::now();
    let ran = Ran::of(&mut command);
    let took = began.elapsed();
    drop(kept);
    let what = format!(
        "{:?} of {named} after {}, in {took:?}: {:?} {}",
        one.death, one.after, ran.code, ran.stderr
    );
    if std::env::var_os("MLBUILD_TEST_STORY").is_some() {
        println!("{:?}: {what}", command.get_args().collect::<Vec<_>>());
    }
    assert!(matches!(ran.code, Some(0..=4 | 125)), "{what}");
    assert!(!ran.stderr.contains("panicked"), "{what}");
    if one.death == Death::Stalls && ran.code == Some(3) {
        // On a busy machine somebody else may be too slow, who is named then.
        let is_named = |line: &&str| line.contains(named) || line.contains("no answer from ");
        let told = ran.stderr.lines().filter(is_named);
        assert!(told.clone().count() > 0, "nobody is named: {what}");
        let mut waits = told.filter(|line| line.starts_with("waiting for "));
        assert!(one.number > 0 || waits.next().is_some(), "{what}");
    }
    // Many times what it takes: only what waits for ever takes so long.
    assert!(took < Duration::from_secs(180), "{what}");
    ran
}
