//! Folds the daemon's status stream into an ordered list of steps.
//!
//! The stream is a bag of facts that may come twice, late or in the wrong order: a vertex may run
//! in several intervals, its log may arrive before its name, several vertices may belong to one
//! progress group. Renderers and the [trace](super::BuildTrace) look only at this model.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use mlbuild_proto::moby::buildkit::v1::{
    StatusResponse, Vertex, VertexLog, VertexStatus, VertexWarning,
};
use prost_types::Timestamp;

use super::log::{LineBuffer, LogLine, LogStream, LogTail, printable, printable_str};

/// A point in time: nanoseconds since the Unix epoch, on the daemon's clock.
pub(crate) type Nanos = i64;

/// Where a step stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum StepStatus {
    /// Known, not begun.
    Waiting,
    /// At work.
    Running,
    /// Done, by doing the work.
    Done,
    /// Done: the result was in the cache.
    Cached,
    /// Stopped because the build was cancelled or another step failed.
    Canceled,
    /// Failed with this message.
    Failed(String),
}

impl StepStatus {
    /// Whether a step that ended like this after `elapsed` is worth telling of again, when it was
    /// told of `before`: vertices are looked up again after they are done, with no work to do.
    pub(crate) fn is_news(
        &self,
        elapsed: Duration,
        before: Option<&(StepStatus, Duration)>,
    ) -> bool {
        let Some((status, told)) = before else {
            return true;
        };
        elapsed.saturating_sub(*told) >= Duration::from_millis(100)
            || (status != self && matches!(self, Self::Failed(_) | Self::Canceled))
    }

    /// Whether nothing more is expected of the step.
    pub fn is_finished(&self) -> bool {
        !matches!(self, Self::Waiting | Self::Running)
    }
}

/// Something countable inside a step: a layer being pulled, the context being sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Task {
    /// What it is called, for example `transferring context:`.
    pub id: String,
    /// How many bytes (or items) are done.
    pub current: i64,
    /// How many there are; 0 where that isn't known.
    pub total: i64,
    pub(crate) timestamp: Nanos,
    pub(crate) started: Option<Nanos>,
    pub(crate) completed: Option<Nanos>,
}

/// One vertex of the build graph, or one group of them that is shown as one.
#[derive(Debug)]
pub struct Step {
    /// In which order it began, from 1; 0 until then.
    pub number: usize,
    /// The vertex digest, or the group's id.
    pub digest: String,
    /// What the step does, for example `[2/4] RUN make`.
    pub name: String,
    /// What a person reads in place of the name, if the caller knows better.
    pub(crate) title: Option<String>,
    /// What it counts, in order of appearance.
    pub tasks: Vec<Task>,
    /// The last lines that it wrote.
    pub log: LogTail,
    members: BTreeMap<String, Member>,
    stdout: LineBuffer,
    stderr: LineBuffer,
    /// A weak group is for machines: it is shown only when something in it fails.
    weak: bool,
}

/// What is known of one vertex of a step.
#[derive(Debug, Default)]
struct Member {
    /// Start → end of each time the vertex ran.
    intervals: BTreeMap<Nanos, Option<Nanos>>,
    cached: bool,
    error: String,
}

impl Step {
    fn new(digest: &str) -> Self {
        Self {
            number: 0,
            digest: digest.to_owned(),
            name: String::new(),
            title: None,
            tasks: Vec::new(),
            log: LogTail::default(),
            members: BTreeMap::new(),
            stdout: LineBuffer::default(),
            stderr: LineBuffer::default(),
            weak: false,
        }
    }

    /// What a person reads: the title, else the name.
    pub fn shown_name(&self) -> &str {
        self.title.as_deref().unwrap_or(&self.name)
    }

    /// Where the step stands.
    pub fn status(&self) -> StepStatus {
        let begun = || {
            self.members
                .values()
                .filter(|m| m.cached || !m.intervals.is_empty())
        };
        if let Some(failed) = begun().find(|m| !m.error.is_empty() && !m.was_canceled()) {
            StepStatus::Failed(failed.error.clone())
        } else if begun().any(|m| m.intervals.values().any(Option::is_none)) {
            StepStatus::Running
        } else if begun().any(Member::was_canceled) {
            StepStatus::Canceled
        } else if begun().next().is_none() {
            StepStatus::Waiting
        } else if begun().all(|m| m.cached) {
            StepStatus::Cached
        } else {
            StepStatus::Done
        }
    }

    /// Whether a person should see this step.
    pub fn is_shown(&self) -> bool {
        !self.members.is_empty() && (!self.weak || matches!(self.status(), StepStatus::Failed(_)))
    }

    /// The vertices that the step stands for.
    pub fn vertices(&self) -> impl Iterator<Item = &str> {
        self.members.keys().map(String::as_str)
    }

    /// When the step began for the first time.
    pub(crate) fn started(&self) -> Option<Nanos> {
        self.members
            .values()
            .filter_map(|m| m.intervals.keys().next())
            .min()
            .copied()
    }

    /// When it was last seen to end.
    pub(crate) fn completed(&self) -> Option<Nanos> {
        self.members
            .values()
            .flat_map(|m| m.intervals.values().flatten())
            .max()
            .copied()
    }

    /// The time spent at work, overlaps counted once, up to `now` where it still runs.
    pub(crate) fn elapsed(&self, now: Nanos) -> Duration {
        let mut intervals: Vec<(Nanos, Nanos)> = self
            .members
            .values()
            .flat_map(|m| &m.intervals)
            .map(|(&start, &end)| (start, end.unwrap_or(now).max(start)))
            .collect();
        intervals.sort_unstable();
        let (mut total, mut covered) = (0, Nanos::MIN);
        for (start, end) in intervals {
            total += (end - start.max(covered)).max(0);
            covered = covered.max(end);
        }
        Duration::from_nanos(total.unsigned_abs())
    }

    /// The unfinished line of the log, such as a progress bar.
    pub(crate) fn partial_line(&self) -> Option<String> {
        self.stderr.partial().or_else(|| self.stdout.partial())
    }
}

impl Member {
    fn was_canceled(&self) -> bool {
        self.error.ends_with("context canceled")
    }
}

/// Something the builder wants the user to know, such as a finding of its Dockerfile linter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Warning {
    /// The vertex it is about.
    pub vertex: String,
    /// 1 is the most serious.
    pub level: i64,
    /// One line.
    pub short: String,
    /// More, where there is more.
    pub detail: Vec<String>,
    /// Where to read about it.
    pub url: String,
    /// The file it is about, and its first and last line (from 1).
    pub source: Option<WarningSource>,
}

/// The lines of a file that a [`Warning`] is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WarningSource {
    /// File name, as the builder knows it.
    pub file: String,
    /// First line, from 1.
    pub first_line: usize,
    /// Last line, from 1.
    pub last_line: usize,
    /// Those lines.
    pub text: Vec<String>,
}

/// What one status message changed.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Event {
    /// The step's status or intervals.
    Step(usize),
    /// The task of a step, by its position.
    Task(usize, usize),
    /// A whole line of log.
    Log(usize, LogLine),
    /// A warning, by its position.
    Warning(usize),
}

/// The build so far.
#[derive(Debug, Default)]
pub struct State {
    steps: Vec<Step>,
    by_digest: HashMap<String, usize>,
    warnings: Vec<Warning>,
    warnings_seen: HashSet<(String, Option<usize>)>,
    begun: usize,
    /// Local clock minus the daemon's, learnt from the first start seen.
    clock_difference: Option<Nanos>,
}

impl State {
    /// All steps, in order of appearance, also those not shown.
    pub fn steps(&self) -> &[Step] {
        &self.steps
    }

    /// Gives a step its title.
    pub(crate) fn set_title(&mut self, step: usize, title: Option<String>) {
        self.steps[step].title = title;
    }

    /// The builder's warnings, each once.
    pub fn warnings(&self) -> &[Warning] {
        &self.warnings
    }

    /// The daemon's time at the local time `now`.
    pub(crate) fn daemon_time(&self, now: Nanos) -> Nanos {
        now - self.clock_difference.unwrap_or(0)
    }

    /// Takes in one message that arrived at the local time `now`.
    pub(crate) fn apply(&mut self, response: &StatusResponse, now: Nanos) -> Vec<Event> {
        let mut events = Vec::new();
        for vertex in &response.vertexes {
            self.vertex(vertex, now, &mut events);
        }
        for status in &response.statuses {
            self.task(status, &mut events);
        }
        for log in &response.logs {
            self.log(log, &mut events);
        }
        for warning in &response.warnings {
            self.warning(warning, &mut events);
        }
        // The log of a step that ended in this message belongs before its end.
        for index in 0..events.len() {
            if let Event::Step(step) = events[index]
                && self.steps[step].status().is_finished()
            {
                self.flush_lines(step, &mut events);
            }
        }
        events.sort_by_key(|event| match event {
            Event::Step(step) => u8::from(self.steps[*step].status().is_finished()) * 3,
            Event::Task(..) => 1,
            Event::Log(..) => 2,
            Event::Warning(_) => 4,
        });
        events
    }

    /// Ends every line in progress: nothing more will come.
    pub(crate) fn finish(&mut self) -> Vec<Event> {
        let mut events = Vec::new();
        for step in 0..self.steps.len() {
            self.flush_lines(step, &mut events);
        }
        events
    }

    fn step_index(&mut self, digest: &str) -> usize {
        if let Some(&index) = self.by_digest.get(digest) {
            return index;
        }
        self.steps.push(Step::new(digest));
        self.by_digest
            .insert(digest.to_owned(), self.steps.len() - 1);
        self.steps.len() - 1
    }

    /// What came for a vertex before its group was known belongs to the group's step.
    fn move_early(&mut self, from: usize, to: usize) {
        let early = &mut self.steps[from];
        let (tasks, log) = (
            std::mem::take(&mut early.tasks),
            std::mem::take(&mut early.log),
        );
        self.steps[to].tasks.extend(tasks);
        for line in log.lines() {
            self.steps[to].log.push(line.clone());
        }
    }

    fn vertex(&mut self, vertex: &Vertex, now: Nanos, events: &mut Vec<Event>) {
        let group = vertex.progress_group.as_ref().filter(|g| !g.id.is_empty());
        let index = match group {
            Some(group) => {
                let index = self.step_index(&group.id);
                if let Some(early) = self.by_digest.insert(vertex.digest.clone(), index)
                    && early != index
                {
                    self.move_early(early, index);
                }
                index
            }
            None => self.step_index(&vertex.digest),
        };
        let step = &mut self.steps[index];
        match group {
            Some(group) => {
                step.weak = group.weak && (step.weak || step.members.is_empty());
                step.name = printable_str(&group.name).into_owned();
            }
            None => step.name = printable_str(&vertex.name).into_owned(),
        }
        if step.number == 0
            && (vertex.started.is_some() || vertex.completed.is_some() || vertex.cached)
        {
            self.begun += 1;
            step.number = self.begun;
        }
        let member = step.members.entry(vertex.digest.clone()).or_default();
        if !vertex.error.is_empty() {
            member.error = vertex.error.clone();
        }
        if let Some(start) = vertex.started.as_ref().map(nanos) {
            self.clock_difference.get_or_insert(now - start);
            let latest = member
                .intervals
                .keys()
                .next_back()
                .is_none_or(|&last| last <= start);
            let end = member.intervals.entry(start).or_default();
            // A message that was overtaken by the end of its run says nothing new.
            if latest && (end.is_none() || vertex.completed.is_some()) {
                member.cached = vertex.cached;
            }
            *end = vertex.completed.as_ref().map(nanos).or(*end);
        } else if let Some(end) = vertex.completed.as_ref().map(nanos) {
            // An end without its start: the latest run that is open.
            match member
                .intervals
                .values_mut()
                .rev()
                .find(|end| end.is_none())
            {
                Some(open) => *open = Some(end),
                None => _ = member.intervals.entry(end).or_insert(Some(end)),
            }
        }
        if vertex.started.is_none() {
            member.cached |= vertex.cached;
        }
        events.push(Event::Step(index));
    }

    fn task(&mut self, status: &VertexStatus, events: &mut Vec<Event>) {
        let index = self.step_index(&status.vertex);
        let tasks = &mut self.steps[index].tasks;
        let id = printable_str(if status.id.is_empty() {
            &status.name
        } else {
            &status.id
        });
        let task = Task {
            id: id.into_owned(),
            current: status.current,
            total: status.total,
            timestamp: status.timestamp.as_ref().map_or(0, nanos),
            started: status.started.as_ref().map(nanos),
            completed: status.completed.as_ref().map(nanos),
        };
        let position = match tasks.iter().position(|t| t.id == task.id) {
            Some(position) => {
                let known = &mut tasks[position];
                let late = task.timestamp < known.timestamp && task.completed.is_none();
                if late || (known.completed.is_some() && task.completed.is_none()) {
                    return;
                }
                *known = Task {
                    started: task.started.or(known.started),
                    ..task
                };
                position
            }
            None => {
                tasks.push(task);
                tasks.len() - 1
            }
        };
        events.push(Event::Task(index, position));
    }

    fn log(&mut self, log: &VertexLog, events: &mut Vec<Event>) {
        let index = self.step_index(&log.vertex);
        let stream = LogStream::from_number(log.stream);
        let step = &mut self.steps[index];
        let at = match (log.timestamp.as_ref().map(nanos), step.started()) {
            (Some(time), Some(start)) => Duration::from_nanos((time - start).max(0).unsigned_abs()),
            _ => Duration::ZERO,
        };
        let buffer = match stream {
            LogStream::Stdout => &mut step.stdout,
            LogStream::Stderr => &mut step.stderr,
        };
        for text in buffer.push(&log.msg) {
            let line = LogLine { at, stream, text };
            step.log.push(line.clone());
            events.push(Event::Log(index, line));
        }
    }

    fn flush_lines(&mut self, index: usize, events: &mut Vec<Event>) {
        let step = &mut self.steps[index];
        let at = match (step.started(), step.completed()) {
            (Some(start), Some(end)) => Duration::from_nanos((end - start).max(0).unsigned_abs()),
            _ => step
                .log
                .lines()
                .next_back()
                .map_or(Duration::ZERO, |l| l.at),
        };
        let rest = [
            (LogStream::Stdout, step.stdout.take()),
            (LogStream::Stderr, step.stderr.take()),
        ];
        for (stream, text) in rest {
            if let Some(text) = text {
                let line = LogLine { at, stream, text };
                step.log.push(line.clone());
                events.push(Event::Log(index, line));
            }
        }
    }

    fn warning(&mut self, warning: &VertexWarning, events: &mut Vec<Event>) {
        let short = printable(&warning.short);
        let line = warning
            .ranges
            .first()
            .and_then(|r| r.start.as_ref())
            .map(|p| p.line as usize);
        // The same finding comes once per platform.
        if !self.warnings_seen.insert((short.clone(), line)) {
            return;
        }
        self.warnings.push(Warning {
            vertex: warning.vertex.clone(),
            level: warning.level,
            short,
            detail: warning.detail.iter().map(|d| printable(d)).collect(),
            url: warning.url.clone(),
            source: warning_source(warning),
        });
        events.push(Event::Warning(self.warnings.len() - 1));
    }
}

fn warning_source(warning: &VertexWarning) -> Option<WarningSource> {
    let info = warning.info.as_ref()?;
    let lines = |pick: fn(usize, usize) -> usize, start: bool| {
        let position = |r: &mlbuild_proto::pb::Range| if start { r.start } else { r.end };
        warning
            .ranges
            .iter()
            .filter_map(position)
            .map(|p| p.line.max(1) as usize)
            .reduce(pick)
    };
    let first_line = lines(usize::min, true)?;
    let last_line = lines(usize::max, false)
        .unwrap_or(first_line)
        .max(first_line);
    let data = String::from_utf8_lossy(&info.data);
    let text = data
        .lines()
        .skip(first_line - 1)
        .take(last_line - first_line + 1);
    Some(WarningSource {
        file: printable_str(&info.filename).into_owned(),
        first_line,
        last_line,
        text: text.map(|l| printable_str(l).into_owned()).collect(),
    })
}

/// Nanoseconds since the Unix epoch, held at the ends of the range that 64 bits can hold.
pub(crate) fn nanos(timestamp: &Timestamp) -> Nanos {
    timestamp
        .seconds
        .saturating_mul(1_000_000_000)
        .saturating_add(timestamp.nanos.into())
}

/// The local time.
pub(crate) fn now() -> Nanos {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    Nanos::try_from(since.as_nanos()).unwrap_or(Nanos::MAX)
}

#[cfg(test)]
mod tests;
