//! What a use case tells its caller while it works, and what it may ask.
//!
//! Nothing below `cli` prints. A use case takes a `&dyn Reporter`; the command line's reporter
//! writes to the terminal, [`crate::testing::RecordingReporter`] keeps what it was told, and
//! [`Silent`] drops it.
//!
//! A build on a builder is told step by step:
//!
//! ```
//! # use mlbuild::reporter::{Reporter, Silent};
//! # async fn solve(reporter: &dyn Reporter) {
//! let mut progress = reporter.begin_solve(Box::new(|_| None));
//! let status = progress.sender(); // for the builder's messages
//! let steps = progress.local_steps(); // for mlbuild's own steps
//! let built = progress.during(async { /* solve, pack, push */ }).await;
//! let trace = progress.finish().await;
//! # }
//! ```

use std::future::Future;

use mlbuild_buildkit::StatusResponse;
use mlbuild_progress::{BuildTrace, Drawing, LocalSteps, Progress, ProgressHandle};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

pub use mlbuild_progress::{StepEvent, StepOutcome, Titles, Warning};
pub use mlbuild_templates::project::Finding;

use std::path::PathBuf;

/// Takes what a use case has to tell.
pub trait Reporter: Send + Sync {
    /// Takes an event. It is called from any thread, and must not block for long.
    fn event(&self, event: Event);

    /// Answers a question; `None` where nobody is there to answer it, and the use case does what
    /// is safe.
    fn ask(&self, question: &Question) -> Option<bool> {
        let _ = question;
        None
    }

    /// The token that stops the work once it is cancelled. It is asked for when work begins that has
    /// to be stopped in an orderly way, on the builder too; until then a caller may just drop it.
    fn cancellation(&self) -> CancellationToken {
        CancellationToken::new()
    }

    /// How the build that begins now is drawn from the builder's own messages, for a reporter that
    /// has a terminal or writes those messages on. Without one, [`Event::Step`] tells of its steps,
    /// as it does beside one.
    fn drawing(&self) -> Option<Drawing> {
        None
    }
}

/// Something that a use case tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A line of the story: what is done, or was chosen.
    Note(String),
    /// A line of the story for whoever watches the progress: left out where that is quiet, or is
    /// written for programs.
    Detail(String),
    /// A line with a log-in that was made for whoever reads it, and is to be shown as it is: the
    /// address of a server with its token.
    LogIn(String),
    /// A file of the project that bears on its environment, and what is done with it.
    ProjectFile(Finding),
    /// Something that is probably not meant, and doesn't stop the work.
    Warning(String),
    /// Nothing changed since the lock, so the image is not built again.
    Unchanged,
    /// The image was built, and is nowhere but in the cache of the builder at this address.
    InCacheOnly(String),
    /// The build argument of this name holds a secret, which ends up in the image's history if the
    /// Dockerfile uses it.
    SecretArgument(String),
    /// The image is for the processor, since this host has no GPU to choose one for.
    NoGpu,
    /// The image opens no window: warnings said what it lacks.
    CanOpenNoWindow,
    /// A program in a container complained of something that has a known cause.
    Explained {
        /// What its words mean.
        meaning: String,
        /// What mends it.
        remedy: Remedy,
    },
    /// A build begins on a builder. Steps are counted anew.
    SolveStarted,
    /// Something happened to a step of the build.
    Step(StepEvent),
    /// The build is over, however it ended.
    SolveFinished {
        /// How many steps it had.
        steps: usize,
        /// How many of them came from the cache.
        cached: usize,
    },
}

/// What mends that a program opens no window, or finds no camera or sound.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Remedy {
    /// Leave the program the variables that lead it to the display's cookie.
    KeepCookie,
    /// Leave the program the variables that name the display.
    KeepDisplay,
    /// Add Qt's libraries to the image, and have Qt in it once.
    AddQtLibraries,
    /// Share the memory in which pictures are handed to the display.
    ShareMemory,
    /// Install the OpenCV that has windows.
    TakeOpencvWithWindows,
    /// Add a driver of OpenGL to the image, or give the container the GPU.
    AddOpenGlDriver,
    /// Give the container a camera.
    GiveCamera,
    /// Give the container the sound server.
    GiveSound,
    /// Give the container the Wayland socket.
    GiveWayland,
    /// Add a library to the image.
    AddLibrary {
        /// Debian's package that has it, where that is known.
        package: Option<String>,
    },
}

/// A question with yes or no as its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Question {
    /// No builder was found: may a private one be fetched and started?
    StartPrivateBuilder,
    /// A project's files reach out of its folder: may they?
    TrustProject {
        /// The folder.
        folder: PathBuf,
        /// What they reach, in plain words.
        wishes: Vec<String>,
    },
}

impl dyn Reporter + '_ {
    /// Tells a line of the story.
    pub fn note(&self, text: impl Into<String>) {
        self.event(Event::Note(text.into()));
    }

    /// Tells a line that belongs to the progress.
    pub fn detail(&self, text: impl Into<String>) {
        self.event(Event::Detail(text.into()));
    }

    /// Tells a warning.
    pub fn warning(&self, text: impl Into<String>) {
        self.event(Event::Warning(text.into()));
    }

    /// Begins to tell of one build on a builder. `titles` gives a step its name for people from
    /// the builder's name for it.
    pub fn begin_solve(&self, titles: Titles) -> SolveProgress<'_> {
        self.event(Event::SolveStarted);
        let (out, events) = mpsc::unbounded_channel();
        let hear = move |event| {
            // Nobody hears where the solve was dropped.
            let _ = out.send(event);
        };
        SolveProgress {
            reporter: self,
            handle: Progress::follow(self.drawing(), titles, hear),
            events,
        }
    }
}

/// One build that is told to a reporter.
pub struct SolveProgress<'r> {
    reporter: &'r dyn Reporter,
    handle: ProgressHandle,
    events: mpsc::UnboundedReceiver<StepEvent>,
}

impl SolveProgress<'_> {
    /// Takes the builder's status messages.
    pub fn sender(&self) -> mpsc::Sender<StatusResponse> {
        self.handle.sender()
    }

    /// Begins steps that mlbuild takes itself, told among the builder's.
    pub fn local_steps(&self) -> LocalSteps {
        self.handle.local_steps()
    }

    /// Waits for work, and tells the reporter of steps meanwhile.
    pub async fn during<T>(&mut self, work: impl Future<Output = T>) -> T {
        let mut work = std::pin::pin!(work);
        loop {
            tokio::select! {
                Some(event) = self.events.recv() => self.reporter.event(Event::Step(event)),
                done = &mut work => return done,
            }
        }
    }

    /// Tells what has been sent so far, and returns what happened. What is written after this is
    /// written below the drawing. Senders that still exist get an error from then on.
    pub async fn finish(mut self) -> BuildTrace {
        let trace = self.handle.finish().await;
        while let Ok(event) = self.events.try_recv() {
            self.reporter.event(Event::Step(event));
        }
        self.reporter.event(Event::SolveFinished {
            steps: trace.steps.len(),
            cached: trace.cached(),
        });
        trace
    }
}

/// Drops everything, and answers nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn event(&self, _event: Event) {}
}
