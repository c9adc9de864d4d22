//! What a program hears of a build's steps: each begins once, says how far it is, and ends.

use std::{
    collections::{HashMap, HashSet},
    time::Duration,
};

use serde::Serialize;

use crate::{
    log::{LogStream, printable_str},
    state::{Event, State, StepStatus},
};

/// Something that happened to one step of a build. Steps are numbered from 1 in the order in which
/// they began, and so is the `#5` of plain progress.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "step", rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StepEvent {
    /// A step began.
    Started {
        /// Its number.
        number: usize,
        /// What it does, for example `[2/4] RUN make`, or its title where there is one.
        name: String,
    },
    /// A countable part of a step moved: a layer being pulled, the context being sent.
    Bytes {
        /// The step's number.
        number: usize,
        /// What the part is called.
        part: String,
        /// Bytes (of a few parts: items) that are done.
        current: u64,
        /// How many there are, where that is known.
        total: Option<u64>,
    },
    /// A step wrote a line.
    Log {
        /// The step's number.
        number: usize,
        /// Whether it was written to standard error.
        stderr: bool,
        /// The line, printable, without its end.
        line: String,
    },
    /// A step ended. It comes again where a step was taken up once more and ended otherwise.
    Finished {
        /// The step's number.
        number: usize,
        /// How.
        outcome: StepOutcome,
        /// Time at work, in milliseconds.
        milliseconds: u64,
    },
}

/// How a step ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
#[non_exhaustive]
pub enum StepOutcome {
    /// By doing the work.
    Done,
    /// Its result was in the cache.
    Cached,
    /// The build was cancelled, or another step failed.
    Canceled,
    /// With this message of the builder.
    Failed(String),
}

/// Turns changes of the state into events.
#[derive(Debug, Default)]
pub(crate) struct Announcer {
    started: HashSet<usize>,
    ended: HashMap<usize, (StepStatus, Duration)>,
}

impl Announcer {
    /// What is to be told of the changes that one message made.
    pub(crate) fn tell(
        &mut self,
        state: &State,
        changes: &[Event],
        now: i64,
        hear: &mut dyn FnMut(StepEvent),
    ) {
        for change in changes {
            match change {
                Event::Step(step) => {
                    self.begin(state, *step, hear);
                    self.end(state, *step, now, hear);
                }
                Event::Task(step, position) if self.begin(state, *step, hear) => {
                    let task = &state.steps()[*step].tasks[*position];
                    hear(StepEvent::Bytes {
                        number: state.steps()[*step].number,
                        part: task.id.clone(),
                        current: u64::try_from(task.current).unwrap_or(0),
                        total: u64::try_from(task.total).ok().filter(|total| *total > 0),
                    });
                }
                Event::Log(step, line) if self.begin(state, *step, hear) => hear(StepEvent::Log {
                    number: state.steps()[*step].number,
                    stderr: line.stream == LogStream::Stderr,
                    line: line.text.clone(),
                }),
                Event::Task(..) | Event::Log(..) | Event::Warning(_) => {}
            }
        }
    }

    /// Tells that a step began, once; whether it has.
    fn begin(&mut self, state: &State, index: usize, hear: &mut dyn FnMut(StepEvent)) -> bool {
        let step = &state.steps()[index];
        if !step.is_shown() || step.status() == StepStatus::Waiting {
            return false;
        }
        if self.started.insert(index) {
            hear(StepEvent::Started {
                number: step.number,
                name: step.shown_name().to_owned(),
            });
        }
        true
    }

    fn end(&mut self, state: &State, index: usize, now: i64, hear: &mut dyn FnMut(StepEvent)) {
        let step = &state.steps()[index];
        let status = step.status();
        let outcome = match &status {
            StepStatus::Waiting | StepStatus::Running => return,
            StepStatus::Done => StepOutcome::Done,
            StepStatus::Cached => StepOutcome::Cached,
            StepStatus::Canceled => StepOutcome::Canceled,
            StepStatus::Failed(message) => StepOutcome::Failed(printable_str(message).into_owned()),
        };
        let elapsed = step.elapsed(state.daemon_time(now));
        if !self.started.contains(&index) || !status.is_news(elapsed, self.ended.get(&index)) {
            return;
        }
        self.ended.insert(index, (status, elapsed));
        hear(StepEvent::Finished {
            number: step.number,
            outcome,
            milliseconds: u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX),
        });
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        state::State,
        testing::{failing_build, local},
    };

    use super::*;

    #[test]
    fn each_step_begins_once_and_ends_once() {
        let (mut state, mut announcer) = (State::default(), Announcer::default());
        let mut heard = Vec::new();
        for (seconds, message) in failing_build() {
            let now = local(seconds);
            let changes = state.apply(&message, now);
            announcer.tell(&state, &changes, now, &mut |event| heard.push(event));
        }
        let lines: Vec<String> = heard
            .iter()
            .map(|event| serde_json::to_string(event).unwrap())
            .collect();
        insta::assert_snapshot!(lines.join("\n"), @r#"
        {"step":"started","number":1,"name":"[internal] load build context"}
        {"step":"started","number":2,"name":"[1/3] FROM docker.io/library/debian:12"}
        {"step":"finished","number":2,"outcome":"cached","milliseconds":0}
        {"step":"bytes","number":1,"part":"transferring context:","current":1000000,"total":null}
        {"step":"bytes","number":1,"part":"transferring context:","current":209000000,"total":209000000}
        {"step":"started","number":3,"name":"[2/3] RUN apt-get install -y git"}
        {"step":"finished","number":1,"outcome":"done","milliseconds":400}
        {"step":"log","number":3,"stderr":false,"line":"Reading package lists..."}
        {"step":"started","number":4,"name":"[stage-1 2/2] RUN pip install nump"}
        {"step":"log","number":3,"stderr":false,"line":"Building dependency tree..."}
        {"step":"log","number":4,"stderr":false,"line":"Collecting nump"}
        {"step":"log","number":4,"stderr":false,"line":"ERROR: No matching distribution found for nump"}
        {"step":"finished","number":4,"outcome":{"failed":"process \"/bin/sh -c pip install nump\" did not complete successfully: exit code: 1"},"milliseconds":1400}
        {"step":"finished","number":3,"outcome":"canceled","milliseconds":1700}
        "#);
    }
}
