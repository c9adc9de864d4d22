//! What the program prints, watched beside the terminal: common messages are explained when they
//! appear.
//!
//! Without a terminal of its own the program's stderr passes through this process. With `-t` the
//! terminal stays the runtime's, and its log of the container is followed instead; what was found is
//! explained when the terminal is free again.

use std::future::Future;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use tokio::sync::mpsc::{UnboundedReceiver, UnboundedSender, unbounded_channel};

use super::setup::SetUp;
use crate::display::diagnostics::{Explanation, Listener};
use crate::reporter::{Event, Reporter};
use crate::runtime::{Options, RuntimeCli};
use crate::start::Start;

/// How often it is looked whether the container is there.
const POLL_INTERVAL: Duration = Duration::from_millis(20);
/// How long the log of a container that has ended may take to end.
const LOG_END_TIMEOUT: Duration = Duration::from_secs(1);

/// The file that the container's id is written to, where it is needed: adds `--cidfile`.
pub(super) fn id_file(start: &Start, set_up: &SetUp, options: &mut Options) -> Option<PathBuf> {
    let given = &start.spec.options;
    // Apptainer's containers have no ids.
    let has_none = start.runtime.cli == RuntimeCli::Apptainer;
    if has_none || !given.is_on("tty") && !given.is_on("detach") {
        return None;
    }
    Some(match given.text("cidfile") {
        Some(file) => PathBuf::from(file),
        None => {
            let file = set_up.folder.path("container");
            options.add("cidfile", &file.to_string_lossy());
            file
        }
    })
}

/// Explains what the program prints while it runs.
pub(super) struct StderrWatch {
    explanations: UnboundedReceiver<Explanation>,
    follower: Option<LogFollower>,
}

impl StderrWatch {
    /// For a run that is about to start: what gets its stderr, or a follower of its log. Neither
    /// where nobody waits for the program.
    pub(super) fn of(
        start: &Start,
        id_file: Option<&Path>,
    ) -> (Option<Box<dyn Write + Send>>, Self) {
        let (found, explanations) = unbounded_channel();
        let mut watch = Self {
            explanations,
            follower: None,
        };
        let has_terminal = start.spec.options.is_on("tty") && id_file.is_none();
        if start.spec.options.is_on("detach") || has_terminal {
            return (None, watch);
        }
        let Some(file) = id_file else {
            let listener = Listener::default();
            return (Some(Box::new(Stderr { listener, found })), watch);
        };
        let program = start.runtime.program.clone();
        watch.follower = Some(LogFollower::of(program, file.to_owned()));
        (None, watch)
    }

    /// Waits for the run's end, and explains meanwhile.
    pub(super) async fn beside<T>(
        mut self,
        running: impl Future<Output = T>,
        reporter: &dyn Reporter,
    ) -> T {
        tokio::pin!(running);
        let end = loop {
            tokio::select! {
                end = &mut running => break end,
                Some(found) = self.explanations.recv() => explain(&found, reporter),
            }
        };
        while let Ok(found) = self.explanations.try_recv() {
            explain(&found, reporter);
        }
        if let Some(follower) = self.follower {
            for found in follower.end().await {
                explain(&found, reporter);
            }
        }
        end
    }
}

fn explain(Explanation { meaning, remedy }: &Explanation, reporter: &dyn Reporter) {
    reporter.event(Event::Explained {
        meaning: meaning.clone(),
        remedy: remedy.clone(),
    });
}

/// Gets the program's stderr.
struct Stderr {
    listener: Listener,
    found: UnboundedSender<Explanation>,
}

impl Stderr {
    fn tell(&self, explanations: Vec<Explanation>) {
        for explanation in explanations {
            // Nobody waits for the run any more.
            let _ = self.found.send(explanation);
        }
    }
}

impl Write for Stderr {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let found = self.listener.feed(bytes);
        self.tell(found);
        Ok(bytes.len())
    }

    /// The program has ended.
    fn flush(&mut self) -> io::Result<()> {
        let found = self.listener.end();
        self.tell(found);
        Ok(())
    }
}

/// Follows the log of a container.
struct LogFollower {
    following: JoinHandle<Vec<Explanation>>,
    state: Arc<Mutex<FollowState>>,
}

#[derive(Default)]
struct FollowState {
    over: bool,
    client: Option<Child>,
}

impl LogFollower {
    fn of(program: PathBuf, file: PathBuf) -> Self {
        let state = Arc::new(Mutex::new(FollowState::default()));
        let shared = state.clone();
        Self {
            following: thread::spawn(move || follow(&program, &file, &shared).unwrap_or_default()),
            state,
        }
    }

    /// The run is over: what was found in its log.
    async fn end(self) -> Vec<Explanation> {
        let lock = || self.state.lock().unwrap_or_else(PoisonError::into_inner);
        lock().over = true;
        // A container that runs on, left with its detach keys, is not followed further.
        let since = Instant::now();
        while !self.following.is_finished() && since.elapsed() < LOG_END_TIMEOUT {
            tokio::time::sleep(POLL_INTERVAL).await;
        }
        if let Some(client) = &mut lock().client {
            let _ = client.kill();
        }
        self.following.join().unwrap_or_default()
    }
}

fn follow(program: &Path, file: &Path, state: &Mutex<FollowState>) -> Option<Vec<Explanation>> {
    let id = loop {
        match std::fs::read_to_string(file) {
            Ok(id) if !id.trim().is_empty() => break id.trim().to_owned(),
            _ if state.lock().ok()?.over => return None,
            _ => thread::sleep(POLL_INTERVAL),
        }
    };
    // What a terminal gets is one stream.
    let mut client = Command::new(program)
        .args(["logs", "--follow", &id])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .ok()?;
    let mut log = client.stdout.take()?;
    state.lock().ok()?.client = Some(client);
    let mut listener = Listener::default();
    let mut found = Vec::new();
    let mut piece = [0; 8192];
    while let Ok(length @ 1..) = log.read(&mut piece) {
        found.extend(listener.feed(&piece[..length]));
    }
    found.extend(listener.end());
    if let Some(client) = &mut state.lock().ok()?.client {
        let _ = client.wait();
    }
    Some(found)
}
