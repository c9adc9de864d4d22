//! One policy for every wait on somebody else: a builder, a registry, Docker, a cluster, a database,
//! git, a credential helper.
//!
//! | question | answer |
//! | --- | --- |
//! | who is waited for? | a [`Wait`] names the peer as long as it lives |
//! | is that said? | after [`WaitPolicy::notice`] without progress, and again later, to [`on_notice`] |
//! | for how long? | [`WaitPolicy::stall`] without *progress*; the total is never bounded |
//! | what is progress? | an answer; bytes of a body, at a rate that ends some day ([`Flow`]); a sign of life ([`Wait::alive`]); the processor time of a program ([`program`]) |
//! | and then? | [`Stalled`], which names the peer and the time |
//!
//! Keepalives of TCP find a peer whose machine is gone. They don't find a process that hangs, whose
//! kernel answers them: that is what this crate is for. HTTP/2 pings would find it, but Go's gRPC
//! servers hang up on clients that ping more often than every five minutes, so builders are asked
//! something instead.

mod board;
mod flow;
mod policy;
pub mod program;
mod wait;

pub use board::{Notice, Reason, on_notice, pause, release_all};
pub use flow::Flow;
pub use policy::{WaitPolicy, policy, set_policy};
pub use wait::{Stalled, Wait};

/// Waits for one answer of a peer.
///
/// # Errors
/// [`Stalled`], where it doesn't come within the limit.
pub async fn answer<T>(
    peer: impl Into<String>,
    work: impl Future<Output = T>,
) -> Result<T, Stalled> {
    Wait::on(peer).within(work).await
}

#[cfg(test)]
mod tests {
    use std::process::{Command, Stdio};
    use std::sync::{Mutex, PoisonError};
    use std::time::{Duration, Instant};

    use super::*;

    /// The policy and the board are the process's: one test at a time.
    static ALONE: Mutex<()> = Mutex::new(());

    fn alone() -> std::sync::MutexGuard<'static, ()> {
        let guard = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        set_policy(WaitPolicy {
            notice: Duration::from_millis(40),
            stall: Some(Duration::from_millis(200)),
        });
        guard
    }

    fn runtime() -> tokio::runtime::Runtime {
        tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap()
    }

    #[test]
    fn a_peer_that_never_answers_is_told_of_and_given_up() {
        let _alone = alone();
        static TOLD: Mutex<Vec<String>> = Mutex::new(Vec::new());
        on_notice(|notice| TOLD.lock().unwrap().push(notice.peer.clone()));
        let never = answer("the registry of the test", std::future::pending::<()>());
        let error = runtime().block_on(never).unwrap_err();
        assert_eq!(error.peer, "the registry of the test");
        let told = TOLD.lock().unwrap();
        assert!(told.iter().any(|peer| peer == "the registry of the test"));
    }

    #[test]
    fn a_peer_that_goes_on_is_waited_for_longer_than_the_limit() {
        let _alone = alone();
        let wait = Wait::on("a slow peer");
        let done = runtime().block_on(wait.within(async {
            for _ in 0..8 {
                tokio::time::sleep(Duration::from_millis(50)).await;
                wait.progress();
            }
        }));
        assert_eq!(done, Ok(()));
    }

    #[test]
    fn a_drip_is_no_progress() {
        let _alone = alone();
        let began = Instant::now();
        let stalled = runtime().block_on(async {
            let mut flow = Flow::from("a dripping peer");
            loop {
                let piece = async {
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    1
                };
                if let Err(stalled) = flow.next(piece, |size| *size).await {
                    return stalled;
                }
            }
        });
        assert_eq!(stalled.peer, "a dripping peer");
        assert!(began.elapsed() < Duration::from_secs(2));
    }

    #[test]
    fn whoever_reads_slowly_is_not_the_peer() {
        let _alone = alone();
        let read = runtime().block_on(async {
            let mut flow = Flow::from("a quick peer");
            for _ in 0..4 {
                flow.next(async { 1 }, |size| *size).await?;
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            Ok::<_, Stalled>(())
        });
        assert_eq!(read, Ok(()));
    }

    #[test]
    fn a_sign_of_life_is_asked_for_while_nothing_is_heard() {
        let _alone = alone();
        let work = || tokio::time::sleep(Duration::from_millis(500));
        let lives = runtime()
            .block_on(async { Wait::on("a builder").alive(work(), || async { true }).await });
        assert_eq!(lives, Ok(()));
        let hangs = runtime().block_on(async {
            let silent = || std::future::pending();
            Wait::on("a stopped builder").alive(work(), silent).await
        });
        assert_eq!(hangs.unwrap_err().peer, "a stopped builder");
    }

    #[test]
    fn a_program_that_hangs_is_killed_with_those_it_started_and_one_that_works_is_not() {
        let _alone = alone();
        let run = |script: &str| {
            let mut shell = Command::new("sh");
            let child = shell.args(["-c", script]).stdout(Stdio::null()).spawn();
            let mut child = child.unwrap();
            let wait = program::ProgramWait::on("a program", child.id());
            child.wait().unwrap();
            wait.stalled()
        };
        let began = Instant::now();
        assert!(run("sleep 100; true").is_some());
        assert!(began.elapsed() < Duration::from_secs(5));
        // By a library that keeps the program's id, and of a program that becomes another one.
        let wait = program::ProgramWait::on_children("a helper");
        let mut shell = Command::new("sh");
        let ended = shell.args(["-c", "exec sleep 100"]).status();
        assert!(!ended.unwrap().success() && wait.stalled().is_some());
        assert!(began.elapsed() < Duration::from_secs(10));
        let busy = "n=0; while [ $n -lt 400000 ]; do n=$((n+1)); done";
        assert_eq!(run(busy), None);
    }
}
