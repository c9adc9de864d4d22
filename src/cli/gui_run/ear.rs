//! What the program prints, heard beside the terminal: common messages are explained when they
//! appear.
//!
//! Without a terminal of its own the program's stderr passes through mlbuild. With `-t` the terminal
//! stays the runtime's, and its log of the container is followed instead; what was heard is explained
//! when the terminal is free again.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::setup::SetUp;
use crate::cli::output;
use crate::cli::run::Start;
use crate::display::words::{Explanation, Listener};
use crate::runtime::Options;

/// How often it is looked whether the container is there.
const OFTEN: Duration = Duration::from_millis(20);

/// Hears stderr.
struct Ear(Listener);

impl Write for Ear {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        explain(&self.0.hear(bytes));
        Ok(bytes.len())
    }

    /// The program has ended.
    fn flush(&mut self) -> io::Result<()> {
        explain(&self.0.end());
        Ok(())
    }
}

fn explain(explanations: &[Explanation]) {
    for Explanation { meaning, hint } in explanations {
        output::note(&format!("mlbuild: {meaning}\n  hint: {hint}"));
    }
}

/// The file that the container's id is written to, where it is needed: adds `--cidfile`.
pub(super) fn id_file(start: &Start, set_up: &SetUp, options: &mut Options) -> Option<PathBuf> {
    let given = &start.spec.options;
    if !given.is_on("tty") && !given.is_on("detach") {
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

/// An ear for stderr, or a follower of the log; neither where nobody waits for the program.
pub(super) fn for_run(
    start: &Start,
    id_file: Option<&Path>,
) -> (Option<Box<dyn Write + Send>>, Option<Follower>) {
    match id_file {
        _ if start.spec.options.is_on("detach") => (None, None),
        None => (Some(Box::new(Ear(Listener::default()))), None),
        Some(file) => {
            let follower = Follower::of(start.found.program.clone(), file.to_owned());
            (None, Some(follower))
        }
    }
}

/// Follows the log of a container.
pub(super) struct Follower {
    following: JoinHandle<Vec<Explanation>>,
    state: Arc<Mutex<State>>,
}

#[derive(Default)]
struct State {
    over: bool,
    client: Option<Child>,
}

impl Follower {
    fn of(program: PathBuf, file: PathBuf) -> Self {
        let state = Arc::new(Mutex::new(State::default()));
        let shared = state.clone();
        Self {
            following: thread::spawn(move || follow(&program, &file, &shared).unwrap_or_default()),
            state,
        }
    }

    /// The run is over: says what was heard.
    pub(super) fn tell(self) {
        {
            let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.over = true;
        }
        // A container that runs on, left with its detach keys, is not followed further.
        let since = std::time::Instant::now();
        while !self.following.is_finished() && since.elapsed() < Duration::from_secs(1) {
            thread::sleep(OFTEN);
        }
        if let Some(client) = &mut self
            .state
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .client
        {
            let _ = client.kill();
        }
        explain(&self.following.join().unwrap_or_default());
    }
}

fn follow(program: &PathBuf, file: &PathBuf, state: &Mutex<State>) -> Option<Vec<Explanation>> {
    let id = loop {
        match std::fs::read_to_string(file) {
            Ok(id) if !id.trim().is_empty() => break id.trim().to_owned(),
            _ if state.lock().ok()?.over => return None,
            _ => thread::sleep(OFTEN),
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
    let mut said = client.stdout.take()?;
    state.lock().ok()?.client = Some(client);
    let mut listener = Listener::default();
    let mut heard = Vec::new();
    let mut piece = [0; 8192];
    while let Ok(length @ 1..) = said.read(&mut piece) {
        heard.extend(listener.hear(&piece[..length]));
    }
    heard.extend(listener.end());
    if let Some(client) = &mut state.lock().ok()?.client {
        let _ = client.wait();
    }
    Some(heard)
}
