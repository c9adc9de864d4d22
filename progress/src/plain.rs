//! Progress as plain lines, for logs and pipes, in the form that buildx made familiar:
//! `#5 [2/4] RUN make`, `#5 0.314 a line of its log`, `#5 DONE 1.2s`.
//!
//! One step is written at a time as far as possible: what others say meanwhile is held back for
//! a few seconds, so that parallel steps can be read.

use std::{
    borrow::Cow,
    collections::{BTreeMap, HashMap},
    io::{self, Write},
    time::Duration,
};

use mlbuild_proto::moby::buildkit::v1::StatusResponse;

use super::{
    renderer::Renderer,
    state::{Event, Nanos, State, StepStatus, Task},
    text::{fit, human_bytes},
};

/// How long another running step's lines are held back while the current one is running.
const HOLD_BACK: Nanos = 5_000_000_000;
/// A task is told again when it moved by this share of its total …
const TASK_SHARE: f64 = 0.05;
/// … or after this time.
const TASK_PAUSE: Nanos = 5_000_000_000;
/// Columns that are shown of the script of a process that failed.
const SCRIPT_WIDTH: usize = 72;

/// See the [module](self).
pub(crate) struct Plain<W> {
    out: W,
    /// The step whose lines are being written.
    current: Option<usize>,
    waiting: BTreeMap<usize, Waiting>,
    told: HashMap<(usize, usize), Task>,
    ended: HashMap<usize, (StepStatus, Duration)>,
    first: bool,
}

/// What one step has to say that isn't written yet.
struct Waiting {
    since: Nanos,
    lines: Vec<Line>,
}

enum Line {
    Log(String),
    /// The task at this position, as it is when the line is written.
    Task(usize),
}

impl<W: Write> Plain<W> {
    pub(crate) fn new(out: W) -> Self {
        Self {
            out,
            current: None,
            waiting: BTreeMap::new(),
            told: HashMap::new(),
            ended: HashMap::new(),
            first: true,
        }
    }

    fn take_event(&mut self, state: &State, event: &Event, now: Nanos) {
        let (Event::Step(index) | Event::Task(index, _) | Event::Log(index, _)) = event else {
            return;
        };
        let step = &state.steps()[*index];
        if matches!(event, Event::Step(_))
            && (!step.is_shown() || step.status() == StepStatus::Waiting)
        {
            return;
        }
        let waiting = self.waiting.entry(*index).or_insert(Waiting {
            since: now,
            lines: Vec::new(),
        });
        match event {
            Event::Log(_, log) => {
                waiting.lines.push(Line::Log(format!(
                    "{:.3} {}",
                    log.at.as_secs_f64(),
                    log.text
                )));
            }
            Event::Task(_, task) => {
                let same = |line: &Line| matches!(line, Line::Task(known) if known == task);
                if !waiting.lines.iter().any(same) {
                    waiting.lines.push(Line::Task(*task));
                }
            }
            Event::Step(_) | Event::Warning(_) => {}
        }
    }

    /// Writes what is due.
    fn flush(&mut self, state: &State, now: Nanos) -> io::Result<()> {
        self.waiting
            .retain(|&step, w| state.steps()[step].is_shown() || !w.lines.is_empty());
        if let Some(current) = self.current {
            self.write(state, current, now)?;
        }
        let finished = |step: usize| state.steps()[step].status().is_finished();
        let shown = |step: usize| state.steps()[step].is_shown();
        let done: Vec<usize> = self
            .waiting
            .keys()
            .copied()
            .filter(|&s| shown(s) && finished(s))
            .collect();
        for step in done {
            self.write(state, step, now)?;
        }
        let oldest = self
            .waiting
            .iter()
            .filter(|(s, _)| shown(**s))
            .min_by_key(|(_, w)| w.since);
        if let Some((&step, waiting)) = oldest
            && (self.current.is_none() || now - waiting.since > HOLD_BACK)
        {
            self.write(state, step, now)?;
        }
        self.out.flush()
    }

    /// Writes what one step has to say, with its heading if another step was current.
    fn write(&mut self, state: &State, index: usize, now: Nanos) -> io::Result<()> {
        let Some(waiting) = self.waiting.remove(&index) else {
            return Ok(());
        };
        let step = &state.steps()[index];
        let (number, status) = (step.number, step.status());
        let mut lines = Vec::new();
        for line in waiting.lines {
            match line {
                Line::Log(text) => lines.push(text),
                Line::Task(position) => {
                    let task = &step.tasks[position];
                    let key = (index, position);
                    if worth_telling(self.told.get(&key), task) {
                        self.told.insert(key, task.clone());
                        lines.push(task_line(task));
                    }
                }
            }
        }
        if status.is_finished() {
            let elapsed = step.elapsed(now);
            if status.is_news(elapsed, self.ended.get(&index)) || !lines.is_empty() {
                lines.push(ending(&status, elapsed));
                self.ended.insert(index, (status.clone(), elapsed));
            }
            if lines.is_empty() {
                return Ok(());
            }
        }
        if self.current != Some(index) {
            if let Some(other) = self.current {
                writeln!(self.out, "#{} ...", state.steps()[other].number)?;
            }
            if !std::mem::take(&mut self.first) {
                writeln!(self.out)?;
            }
            writeln!(self.out, "#{number} {}", step.shown_name())?;
        }
        for line in lines {
            writeln!(self.out, "#{number} {line}")?;
        }
        self.current = (!status.is_finished()).then_some(index);
        Ok(())
    }
}

impl<W: Write + Send> Renderer for Plain<W> {
    fn update(
        &mut self,
        state: &State,
        _: &StatusResponse,
        events: &[Event],
        now: Nanos,
    ) -> io::Result<()> {
        // Written at the next tick: what is over by then needs fewer lines.
        for event in events {
            self.take_event(state, event, now);
        }
        Ok(())
    }

    fn tick(&mut self, state: &State, now: Nanos) -> io::Result<()> {
        self.flush(state, now)
    }

    fn note(&mut self, state: &State, text: &str, now: Nanos) -> io::Result<()> {
        self.flush(state, now)?;
        writeln!(self.out, "{text}")?;
        self.out.flush()
    }

    fn finish(&mut self, state: &State, events: &[Event], now: Nanos) -> io::Result<()> {
        for event in events {
            self.take_event(state, event, now);
        }
        if let Some(current) = self.current {
            self.write(state, current, now)?;
        }
        while let Some(&step) = self.waiting.keys().find(|&&s| state.steps()[s].is_shown()) {
            self.write(state, step, now)?;
        }
        self.out.flush()
    }
}

fn ending(status: &StepStatus, elapsed: Duration) -> String {
    match status {
        StepStatus::Cached => "CACHED".to_owned(),
        StepStatus::Canceled => "CANCELED".to_owned(),
        StepStatus::Failed(message) => {
            let message = super::log::printable_str(message);
            format!("ERROR: {}", without_script(&message))
        }
        _ => format!("DONE {:.1}s", elapsed.as_secs_f64()),
    }
}

/// A builder's words about a failed process, with no more of a long script than tells which it is.
fn without_script(message: &str) -> Cow<'_, str> {
    let Some((start, rest)) = message.split_once("process \"") else {
        return Cow::Borrowed(message);
    };
    match rest.rsplit_once("\" did not complete") {
        Some((script, end)) if start.is_empty() => {
            let script = fit(script, SCRIPT_WIDTH, "…");
            Cow::Owned(format!("process \"{script}\" did not complete{end}"))
        }
        _ => Cow::Borrowed(message),
    }
}

fn worth_telling(last: Option<&Task>, task: &Task) -> bool {
    let Some(last) = last else { return true };
    if task.completed.is_some() {
        return last.completed != task.completed;
    }
    let moved = (task.current - last.current) as f64;
    (task.total > 0 && moved >= TASK_SHARE * task.total as f64)
        || task.timestamp - last.timestamp >= TASK_PAUSE
}

fn task_line(task: &Task) -> String {
    let mut line = task.id.clone();
    match (task.current, task.total) {
        (0, 0) => {}
        (current, 0) => line += &format!(" {}", human_bytes(current)),
        (current, total) => line += &format!(" {} / {}", human_bytes(current), human_bytes(total)),
    }
    let end = task.completed.unwrap_or(task.timestamp);
    if let Some(start) = task.started
        && end - start > 10_000_000
    {
        line += &format!(" {:.1}s", (end - start) as f64 / 1e9);
    }
    if task.completed.is_some() {
        line += " done";
    }
    line
}

#[cfg(test)]
mod tests {
    use super::{super::testing::*, *};

    fn tell(messages: Vec<(f64, StatusResponse)>) -> String {
        let mut plain = Plain::new(Vec::new());
        let mut state = State::default();
        for (time, message) in messages {
            let events = state.apply(&message, local(time));
            plain
                .update(&state, &message, &events, local(time))
                .unwrap();
            plain.tick(&state, local(time)).unwrap();
        }
        let events = state.finish();
        plain.finish(&state, &events, local(1000.0)).unwrap();
        String::from_utf8(plain.out).unwrap()
    }

    #[test]
    fn a_failing_build() {
        insta::assert_snapshot!(tell(failing_build()), @r#"
        #2 [1/3] FROM docker.io/library/debian:12
        #2 CACHED

        #1 [internal] load build context
        #1 transferring context: 1.00MB 0.2s
        #1 transferring context: 209MB / 209MB 0.5s done
        #1 DONE 0.4s

        #3 [2/3] RUN apt-get install -y git
        #3 0.100 Reading package lists...
        #3 0.300 Building dependency tree...
        #3 ...

        #4 [stage-1 2/2] RUN pip install nump
        #4 0.100 Collecting nump
        #4 1.300 ERROR: No matching distribution found for nump
        #4 ERROR: process "/bin/sh -c pip install nump" did not complete successfully: exit code: 1

        #3 [2/3] RUN apt-get install -y git
        #3 CANCELED
        "#);
    }

    #[test]
    fn of_a_long_script_only_the_beginning_is_shown() {
        let script = "set -eu; ".repeat(100);
        let said =
            format!("process \"/bin/sh -c {script}\" did not complete successfully: exit code: 1");
        let shown = without_script(&said);
        assert!(
            shown.starts_with("process \"/bin/sh -c set -eu; "),
            "{shown}"
        );
        assert!(
            shown.ends_with("…\" did not complete successfully: exit code: 1"),
            "{shown}"
        );
        assert!(shown.len() < 140, "{shown}");
        for kept in [
            "failed to compute cache key: \"/x\": not found",
            "process \"a\" did not complete successfully: exit code: 2",
        ] {
            assert_eq!(without_script(kept), kept);
        }
    }

    #[test]
    fn a_step_that_writes_much_is_not_torn_apart_by_another() {
        let mut messages = vec![(
            0.0,
            vertices([started("a", "RUN a", 0.0), started("b", "RUN b", 0.0)]),
        )];
        for i in 0..8 {
            let time = f64::from(i);
            messages.push((
                time,
                logs([
                    log("a", time, &format!("a{i}\n")),
                    log("b", time, &format!("b{i}\n")),
                ]),
            ));
        }
        messages.push((9.0, vertices([done("a", "RUN a", 0.0, 9.0)])));
        insta::assert_snapshot!(tell(messages), @r"
        #1 RUN a
        #1 0.000 a0
        #1 1.000 a1
        #1 2.000 a2
        #1 3.000 a3
        #1 4.000 a4
        #1 5.000 a5
        #1 6.000 a6
        #1 ...

        #2 RUN b
        #2 0.000 b0
        #2 1.000 b1
        #2 2.000 b2
        #2 3.000 b3
        #2 4.000 b4
        #2 5.000 b5
        #2 6.000 b6
        #2 7.000 b7
        #2 ...

        #1 RUN a
        #1 7.000 a7
        #1 DONE 9.0s
        ");
    }

    #[test]
    fn tasks_are_told_now_and_then() {
        let mut messages = vec![(0.0, vertices([started("a", "FROM base", 0.0)]))];
        for i in 0..=100 {
            let time = f64::from(i) / 100.0;
            messages.push((
                time,
                tasks([task(
                    "a",
                    "sha256:0123",
                    i64::from(i) * 100_000,
                    10_000_000,
                    time,
                )]),
            ));
        }
        messages.push((1.0, tasks([task_done("a", "sha256:0123", 10_000_000, 1.0)])));
        messages.push((1.0, tasks([task_done("a", "sha256:0123", 10_000_000, 1.0)])));
        messages.push((1.1, vertices([done("a", "FROM base", 0.0, 1.1)])));
        let text = tell(messages);
        assert_eq!(text.matches("sha256:0123").count(), 22, "{text}");
        assert!(
            text.ends_with("#1 sha256:0123 10.0MB / 10.0MB 1.0s done\n#1 DONE 1.1s\n"),
            "{text}"
        );
    }

    #[test]
    fn a_vertex_that_is_reported_again_is_not_told_again() {
        let text = tell(vec![
            (0.0, vertices([cached("a", "RUN a", 0.0)])),
            (0.1, vertices([cached("a", "RUN a", 0.0)])),
            (0.2, vertices([cached("a", "RUN a", 0.2)])),
        ]);
        assert_eq!(text, "#1 RUN a\n#1 CACHED\n");
    }
}
