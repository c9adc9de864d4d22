//! Follows one build from its first message to its trace.

use std::{io, time::Duration};

use mlbuild_proto::moby::buildkit::v1::StatusResponse;
use tokio::sync::{mpsc, oneshot};

use crate::{
    drawing::{Drawing, Own},
    events::{Announcer, StepEvent},
    local::LocalSteps,
    mode::ProgressMode,
    output::ProgressOutput,
    renderer::Renderer,
    state::{Event, Nanos, State, now},
    trace::BuildTrace,
};

/// Time between drawings.
const TICK: Duration = Duration::from_millis(100);
/// Status messages that may wait while the terminal is slow.
const QUEUE: usize = 1024;

/// Gives the title of a step from its name, where there is a better one for people. Failure
/// reports and rawjson keep the name.
pub type Titles = Box<dyn Fn(&str) -> Option<String> + Send>;

/// Starts progress; see the [crate](crate).
pub struct Progress;

impl Progress {
    /// Follows a build that is drawn on `output`. Status messages go into the sender, which may be
    /// cloned.
    ///
    /// # Panics
    /// Where the system gives no thread.
    pub fn start(
        mode: ProgressMode,
        output: ProgressOutput,
    ) -> (mpsc::Sender<StatusResponse>, ProgressHandle) {
        let drawing = Drawing::new(mode, output);
        let handle = Self::follow(Some(drawing), Box::new(|_| None), |_| {});
        (handle.sender(), handle)
    }

    /// Follows a build: draws it where a drawing is given, and calls `hear` with what happens to
    /// its steps. `hear` is called on a thread of its own and may block; messages wait meanwhile.
    ///
    /// # Panics
    /// Where the system gives no thread.
    pub fn follow(
        drawing: Option<Drawing>,
        titles: Titles,
        hear: impl FnMut(StepEvent) + Send + 'static,
    ) -> ProgressHandle {
        let started = now();
        let (messages, incoming) = mpsc::channel(QUEUE);
        let (canvas, (own, incoming_own)) = match drawing.map(Drawing::into_parts) {
            Some((canvas, own)) => (Some(canvas), own),
            None => (None, mpsc::unbounded_channel()),
        };
        let (end, ended) = oneshot::channel();
        let (trace_out, trace) = oneshot::channel();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .build()
            .expect("a runtime without input and output can be made");
        // Writing to a terminal blocks while it is paused (Ctrl-S); the caller's runtime must go on.
        std::thread::Builder::new()
            .name("progress".into())
            .spawn(move || {
                let follower = Follower {
                    state: State::default(),
                    renderer: canvas.and_then(|canvas| canvas.begin(started)),
                    announcer: Announcer::default(),
                    hear: Box::new(hear),
                    started,
                    titles,
                };
                let trace = runtime.block_on(follower.run(incoming, incoming_own, ended));
                let _ = trace_out.send(trace);
            })
            .expect("a thread can be started");
        ProgressHandle {
            messages,
            own,
            end,
            trace,
        }
    }
}

/// A progress that is being told. Dropped without [`finish`](Self::finish), it stops soon after;
/// a process that ends at once calls [`restore_terminal`](crate::restore_terminal) first.
pub struct ProgressHandle {
    messages: mpsc::Sender<StatusResponse>,
    own: mpsc::UnboundedSender<Own>,
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

    /// Tells what has been sent so far, stops, and returns what happened. Senders that still
    /// exist get an error from then on.
    pub async fn finish(self) -> BuildTrace {
        drop(self.messages);
        let _ = self.end.send(());
        self.trace.await.unwrap_or_default()
    }
}

/// What the thread of a progress owns.
struct Follower {
    state: State,
    renderer: Option<Box<dyn Renderer>>,
    announcer: Announcer,
    hear: Box<dyn FnMut(StepEvent) + Send>,
    started: Nanos,
    titles: Titles,
}

impl Follower {
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
                _ = ticks.tick() => self.draw(|r, state| r.tick(state, now())),
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
        self.announce(&events);
        self.draw(|r, state| r.finish(state, &events, now()));
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
        self.announce(&events);
        self.draw(|r, state| r.update(state, message, &events, now));
    }

    fn announce(&mut self, events: &[Event]) {
        self.announcer
            .tell(&self.state, events, now(), &mut self.hear);
    }

    fn own(&mut self, own: Own) {
        match own {
            Own::Note(text) => self.draw(|r, state| r.note(state, &text, now())),
            Own::Status(message) => self.message(&message),
        }
    }

    /// A reader that went away ends the drawing, not the build.
    fn draw(&mut self, draw: impl FnOnce(&mut dyn Renderer, &State) -> io::Result<()>) {
        if let Some(renderer) = &mut self.renderer
            && draw(renderer.as_mut(), &self.state).is_err()
        {
            self.renderer = None;
        }
    }
}
