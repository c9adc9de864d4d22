//! How a build is drawn, and the lines that others write meanwhile.

use mlbuild_proto::moby::buildkit::v1::StatusResponse;
use tokio::sync::mpsc;

use crate::{
    mode::ProgressMode, output::ProgressOutput, plain::Plain, rawjson::RawJson, renderer::Renderer,
    state::Nanos, tty::Tty,
};

/// What the client itself has to tell. Unlike the builder's messages these are few, and the end
/// of a step must not be lost.
pub(crate) enum Own {
    Note(String),
    Status(StatusResponse),
}

/// A build that is to be drawn, and where.
pub struct Drawing {
    mode: ProgressMode,
    output: ProgressOutput,
    own: OwnChannel,
}

impl Drawing {
    /// A drawing in the given form; [`Auto`](ProgressMode::Auto) is decided here.
    pub fn new(mode: ProgressMode, output: ProgressOutput) -> Self {
        let mode = match mode {
            ProgressMode::Auto if output.is_terminal => ProgressMode::Tty,
            ProgressMode::Auto => ProgressMode::Plain,
            chosen => chosen,
        };
        Self {
            mode,
            output,
            own: mpsc::unbounded_channel(),
        }
    }

    /// A way to write lines above the live region, which may be given away and outlives the
    /// drawing; `None` where they aren't shown, and where nothing can be torn:
    /// [`Quiet`](ProgressMode::Quiet) and [`RawJson`](ProgressMode::RawJson).
    pub fn notes(&self) -> Option<Notes> {
        let shown = !matches!(
            self.mode,
            ProgressMode::Quiet | ProgressMode::RawJson | ProgressMode::Json
        );
        shown.then(|| Notes {
            own: self.own.0.clone(),
        })
    }

    /// What is drawn on, and what the client tells.
    pub(crate) fn into_parts(self) -> (Canvas, OwnChannel) {
        let canvas = Canvas {
            mode: self.mode,
            output: self.output,
        };
        (canvas, self.own)
    }
}

/// Both ends of the channel for what the client itself tells.
pub(crate) type OwnChannel = (mpsc::UnboundedSender<Own>, mpsc::UnboundedReceiver<Own>);

/// A drawing on which nothing was drawn yet.
pub(crate) struct Canvas {
    mode: ProgressMode,
    output: ProgressOutput,
}

impl Canvas {
    /// Begins to draw a build that started at the local time `started`. It may block, as
    /// writing to a terminal does while it is paused.
    pub(crate) fn begin(self, started: Nanos) -> Option<Box<dyn Renderer>> {
        let ProgressOutput {
            out,
            is_stderr,
            size,
            looks,
            ..
        } = self.output;
        match self.mode {
            ProgressMode::Auto | ProgressMode::Quiet | ProgressMode::Json => None,
            ProgressMode::Plain => Some(Box::new(Plain::new(out))),
            ProgressMode::RawJson => Some(Box::new(RawJson::new(out))),
            ProgressMode::Tty => Some(Box::new(Tty::new(out, is_stderr, size, looks, started))),
        }
    }
}

/// Writes above the live region of a drawing, while there is one.
#[derive(Clone)]
pub struct Notes {
    own: mpsc::UnboundedSender<Own>,
}

impl Notes {
    /// Writes text; false where the drawing is over and the caller may write it itself.
    pub fn write(&self, text: impl Into<String>) -> bool {
        self.own.send(Own::Note(text.into())).is_ok()
    }
}
