//! What a build is doing, for a person or a program to read.
//!
//! [`Progress::start`] gives a sender for the daemon's status messages and draws them on its own
//! thread, so that a slow terminal never keeps the session from answering the daemon.
//! [`ProgressHandle::finish`] ends the drawing and returns the [`BuildTrace`]: what happened, for
//! the result, the [failure report](explain) and the warnings.
//!
//! Nothing here talks to a daemon, and nothing prints what the caller didn't send.

pub mod explain;
mod hints;
mod local;
mod log;
mod plain;
mod rawjson;
mod state;
mod terminal;
#[cfg(test)]
mod testing;
mod text;
mod trace;
mod tty;

use std::{
    io::{self, IsTerminal, Write},
    str::FromStr,
    time::Duration,
};

use mlbuild_proto::moby::buildkit::v1::StatusResponse;
use tokio::sync::{mpsc, oneshot};

pub use self::{
    hints::{Hint, hint},
    local::{LocalStep, LocalSteps},
    log::{LogLine, LogStream, LogTail},
    state::{State, Step, StepStatus, Task, Warning, WarningSource},
    terminal::{Size, restore_terminal},
    text::{human_bytes, human_duration},
    trace::{BuildTrace, TraceStep},
};
use self::{
    plain::Plain,
    rawjson::RawJson,
    state::{Event, Nanos, now},
    terminal::Looks,
    tty::{SizeOf, Tty},
};

/// Time between drawings.
const TICK: Duration = Duration::from_millis(100);
/// Status messages that may wait while the terminal is slow.
const QUEUE: usize = 1024;

/// How progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProgressMode {
    /// [`Tty`](Self::Tty) on a capable terminal, else [`Plain`](Self::Plain).
    #[default]
    Auto,
    /// A live region at the bottom of a terminal.
    Tty,
    /// Lines.
    Plain,
    /// One JSON object per status message, in buildx's shape.
    RawJson,
    /// Nothing.
    Quiet,
}

impl ProgressMode {
    /// The names that a command line takes, as buildx spells them.
    pub const NAMES: [&'static str; 5] = ["auto", "tty", "plain", "rawjson", "quiet"];
}

impl FromStr for ProgressMode {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "auto" => Ok(Self::Auto),
            "tty" => Ok(Self::Tty),
            "plain" => Ok(Self::Plain),
            "rawjson" => Ok(Self::RawJson),
            "quiet" | "none" => Ok(Self::Quiet),
            _ => Err(format!(
                "unknown progress mode {name:?}: use one of {}",
                Self::NAMES.join(", ")
            )),
        }
    }
}

/// Where progress is written.
pub struct ProgressOutput {
    out: Box<dyn Write + Send>,
    is_stderr: bool,
    is_terminal: bool,
    size: SizeOf,
    looks: Looks,
    titles: TitleOf,
}

/// Gives the title of a step from its name, where there is a better one for people.
type TitleOf = Box<dyn Fn(&str) -> Option<String> + Send>;

impl ProgressOutput {
    /// The process's standard error, where the story belongs.
    pub fn stderr() -> Self {
        let dumb = std::env::var("TERM").is_ok_and(|t| t == "dumb");
        Self {
            out: Box::new(io::stderr()),
            is_stderr: true,
            is_terminal: io::stderr().is_terminal() && !dumb,
            size: Box::new(|| {
                let (height, width) = console::Term::stderr().size_checked()?;
                Some(Size {
                    width: width.into(),
                    height: height.into(),
                })
            }),
            looks: Looks::from_environment(),
            titles: Box::new(|_| None),
        }
    }

    /// Any writer: a file, a pipe, a buffer. It isn't a terminal.
    pub fn writer(out: impl Write + Send + 'static) -> Self {
        Self {
            out: Box::new(out),
            is_stderr: false,
            is_terminal: false,
            size: Box::new(|| None),
            looks: Looks {
                color: false,
                unicode: true,
            },
            titles: Box::new(|_| None),
        }
    }

    /// Shows a step under the title that `title_of` gives for its name, on a terminal and in
    /// plain lines. Failure reports and rawjson keep the name.
    #[must_use]
    pub fn with_titles(self, title_of: impl Fn(&str) -> Option<String> + Send + 'static) -> Self {
        Self {
            titles: Box::new(title_of),
            ..self
        }
    }

    /// A writer that behaves as a terminal of the size that `size` tells at each drawing.
    pub fn terminal(
        out: impl Write + Send + 'static,
        size: impl Fn() -> Option<Size> + Send + 'static,
    ) -> Self {
        Self {
            is_terminal: true,
            size: Box::new(size),
            ..Self::writer(out)
        }
    }
}

/// One way to tell the state of a build.
trait Renderer: Send {
    /// A message was taken into the state.
    fn update(
        &mut self,
        state: &State,
        response: &StatusResponse,
        events: &[Event],
        now: Nanos,
    ) -> io::Result<()>;

    /// Time passed.
    fn tick(&mut self, _state: &State, _now: Nanos) -> io::Result<()> {
        Ok(())
    }

    /// A line from the caller.
    fn note(&mut self, state: &State, text: &str, now: Nanos) -> io::Result<()>;

    /// Nothing more will come.
    fn finish(&mut self, _state: &State, _events: &[Event], _now: Nanos) -> io::Result<()> {
        Ok(())
    }
}

/// Starts progress; see the [module](self).
pub struct Progress;

impl Progress {
    /// Starts to tell progress on `output`. Status messages go into the sender, which may be
    /// cloned.
    ///
    /// # Panics
    /// Where the system gives no thread.
    pub fn start(
        mode: ProgressMode,
        output: ProgressOutput,
    ) -> (mpsc::Sender<StatusResponse>, ProgressHandle) {
        let ProgressOutput {
            out,
            is_stderr,
            is_terminal,
            size,
            looks,
            titles,
        } = output;
        let mode = match mode {
            ProgressMode::Auto if is_terminal => ProgressMode::Tty,
            ProgressMode::Auto => ProgressMode::Plain,
            chosen => chosen,
        };
        let shows_notes = !matches!(mode, ProgressMode::Quiet | ProgressMode::RawJson);
        let started = now();
        let (messages, incoming) = mpsc::channel(QUEUE);
        let (own, incoming_own) = mpsc::unbounded_channel();
        let (end, ended) = oneshot::channel();
        let (trace_out, trace) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime without input and output can be made");
        // Writing to a terminal blocks while it is paused (Ctrl-S); the runtime must go on.
        std::thread::Builder::new()
            .name("progress".into())
            .spawn(move || {
                let renderer: Option<Box<dyn Renderer>> = match mode {
                    ProgressMode::Auto | ProgressMode::Quiet => None,
                    ProgressMode::Plain => Some(Box::new(Plain::new(out))),
                    ProgressMode::RawJson => Some(Box::new(RawJson::new(out))),
                    ProgressMode::Tty => {
                        Some(Box::new(Tty::new(out, is_stderr, size, looks, started)))
                    }
                };
                let told = Telling {
                    state: State::default(),
                    renderer,
                    started,
                    titles,
                };
                let trace = runtime.block_on(told.run(incoming, incoming_own, ended));
                let _ = trace_out.send(trace);
            })
            .expect("a thread can be started");
        (
            messages.clone(),
            ProgressHandle {
                messages,
                own,
                shows_notes,
                end,
                trace,
            },
        )
    }
}

/// What the client itself has to tell. Unlike the builder's messages these are few, and the end
/// of a step must not be lost.
pub(crate) enum Own {
    Note(String),
    Status(StatusResponse),
}

/// A progress that is being told. Dropped without [`finish`](Self::finish), it stops soon after;
/// a process that ends at once calls [`restore_terminal`] first.
pub struct ProgressHandle {
    messages: mpsc::Sender<StatusResponse>,
    own: mpsc::UnboundedSender<Own>,
    shows_notes: bool,
    end: oneshot::Sender<()>,
    trace: oneshot::Receiver<BuildTrace>,
}

impl ProgressHandle {
    /// Another sender of status messages.
    pub fn sender(&self) -> mpsc::Sender<StatusResponse> {
        self.messages.clone()
    }

    /// Steps that the client itself takes, shown among the builder's.
    pub fn local_steps(&self) -> LocalSteps {
        LocalSteps::new(self.own.clone())
    }

    /// Writes text above the live region. Other writes to the same terminal would tear it.
    pub fn note(&self, text: impl Into<String>) {
        // After a failed write nobody listens, and there is nowhere to write the text to.
        let _ = self.own.send(Own::Note(text.into()));
    }

    /// A way to write such notes that may be given away and outlives the progress; `None` where
    /// they aren't shown, and where nothing can be torn: [`Quiet`](ProgressMode::Quiet) and
    /// [`RawJson`](ProgressMode::RawJson).
    pub fn notes(&self) -> Option<Notes> {
        self.shows_notes.then(|| Notes {
            own: self.own.clone(),
        })
    }

    /// Tells what has been sent so far, stops, and returns what happened. Senders that still
    /// exist get an error from then on.
    pub async fn finish(self) -> BuildTrace {
        drop(self.messages);
        let _ = self.end.send(());
        self.trace.await.unwrap_or_default()
    }
}

/// Writes above the live region of a progress, while there is one.
#[derive(Clone)]
pub struct Notes {
    own: mpsc::UnboundedSender<Own>,
}

impl Notes {
    /// Writes text; false where the progress is over and the caller may write it itself.
    pub fn write(&self, text: impl Into<String>) -> bool {
        self.own.send(Own::Note(text.into())).is_ok()
    }
}

/// What the drawing thread owns.
struct Telling {
    state: State,
    renderer: Option<Box<dyn Renderer>>,
    started: Nanos,
    titles: TitleOf,
}

impl Telling {
    async fn run(
        mut self,
        mut messages: mpsc::Receiver<StatusResponse>,
        mut own: mpsc::UnboundedReceiver<Own>,
        mut ended: oneshot::Receiver<()>,
    ) -> BuildTrace {
        let mut ticks = tokio::time::interval(TICK);
        ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                biased;
                // Also when the handle was dropped.
                _ = &mut ended => break,
                Some(own) = own.recv() => self.own(own),
                Some(message) = messages.recv() => self.message(&message),
                _ = ticks.tick() => self.tell(|r, state| r.tick(state, now())),
            }
        }
        messages.close();
        while let Some(message) = messages.recv().await {
            self.message(&message);
        }
        own.close();
        while let Some(own) = own.recv().await {
            self.own(own);
        }
        let events = self.state.finish();
        self.tell(|r, state| r.finish(state, &events, now()));
        // The cursor comes back before the caller writes anything.
        self.renderer = None;
        BuildTrace::new(&self.state, self.started, now())
    }

    fn message(&mut self, message: &StatusResponse) {
        let now = now();
        let events = self.state.apply(message, now);
        for event in &events {
            if let Event::Step(step) = event {
                let title = (self.titles)(&self.state.steps()[*step].name);
                self.state.set_title(*step, title);
            }
        }
        self.tell(|r, state| r.update(state, message, &events, now));
    }

    fn own(&mut self, own: Own) {
        match own {
            Own::Note(text) => self.tell(|r, state| r.note(state, &text, now())),
            Own::Status(message) => self.message(&message),
        }
    }

    /// A reader that went away ends the telling, not the build.
    fn tell(&mut self, tell: impl FnOnce(&mut dyn Renderer, &State) -> io::Result<()>) {
        if let Some(renderer) = &mut self.renderer
            && tell(renderer.as_mut(), &self.state).is_err()
        {
            self.renderer = None;
        }
    }
}

#[cfg(test)]
mod tests;
