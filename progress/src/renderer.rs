//! What every form of progress does.

use std::io;

use mlbuild_proto::moby::buildkit::v1::StatusResponse;

use crate::state::{Event, Nanos, State};

/// One way to show the state of a build.
pub(crate) trait Renderer: Send {
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
