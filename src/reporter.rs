//! What a use case tells its caller while it works, and what it may ask.
//!
//! Nothing below `cli` prints. A use case takes a `&dyn Reporter`; the command line's reporter
//! writes to the terminal, [`crate::testing::RecordingReporter`] keeps what it was told, and
//! [`Silent`] drops it.

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
}

/// Something that a use case tells.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Event {
    /// A line of the story: what is done, or was chosen.
    Note(String),
    /// Something that is probably not meant, and doesn't stop the work.
    Warning(String),
}

/// A question with yes or no as its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Question {
    /// No builder was found: may a private one be fetched and started?
    StartPrivateBuilder,
}

impl dyn Reporter + '_ {
    /// Tells a line of the story.
    pub fn note(&self, text: impl Into<String>) {
        self.event(Event::Note(text.into()));
    }

    /// Tells a warning.
    pub fn warning(&self, text: impl Into<String>) {
        self.event(Event::Warning(text.into()));
    }
}

/// Drops everything, and answers nothing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Silent;

impl Reporter for Silent {
    fn event(&self, _event: Event) {}
}
