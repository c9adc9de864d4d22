//! What happened in a build, once it is over.

use std::{fmt, time::Duration};

use super::{
    log::LogLine,
    state::{Nanos, State, StepStatus, Warning},
};

/// The story of a build that is over.
#[derive(Debug, Clone, Default)]
pub struct BuildTrace {
    /// Every step that began and was shown, in the order in which they began.
    pub steps: Vec<TraceStep>,
    /// What the builder warned of, each once.
    pub warnings: Vec<Warning>,
    /// Wall time from start to finish.
    pub duration: Duration,
}

/// One step of a [`BuildTrace`].
#[derive(Debug, Clone)]
pub struct TraceStep {
    /// In which order it began, from 1; the `#5` of plain progress.
    pub number: usize,
    /// The digests of the vertices that it stands for.
    pub vertices: Vec<String>,
    /// What it does, for example `[2/4] RUN make`.
    pub name: String,
    /// How it ended. A step still `Running` was cut off.
    pub status: StepStatus,
    /// Time at work.
    pub duration: Duration,
    /// The last lines that it wrote (at most 200, at most 64 KiB).
    pub log: Vec<LogLine>,
}

impl BuildTrace {
    pub(crate) fn new(state: &State, started: Nanos, now: Nanos) -> Self {
        let steps = state
            .steps()
            .iter()
            .filter(|s| s.is_shown())
            .map(|step| TraceStep {
                number: step.number,
                vertices: step.vertices().map(str::to_owned).collect(),
                name: step.name.clone(),
                status: step.status(),
                duration: step.elapsed(state.daemon_time(now)),
                log: step.log.lines().cloned().collect(),
            });
        let mut steps: Vec<TraceStep> = steps.collect();
        steps.sort_by_key(|step| step.number);
        Self {
            steps,
            warnings: state.warnings().to_vec(),
            duration: Duration::from_nanos((now - started).max(0).unsigned_abs()),
        }
    }

    /// How many steps came from the cache.
    pub fn cached(&self) -> usize {
        self.steps
            .iter()
            .filter(|s| s.status == StepStatus::Cached)
            .count()
    }

    /// The steps that failed, in the order in which they began.
    pub fn failed(&self) -> impl Iterator<Item = &TraceStep> {
        self.steps
            .iter()
            .filter(|s| matches!(s.status, StepStatus::Failed(_)))
    }

    /// The step that holds this vertex.
    pub fn step_of(&self, vertex: &str) -> Option<&TraceStep> {
        self.steps
            .iter()
            .find(|s| s.vertices.iter().any(|v| v == vertex))
    }
}

/// As a person reads it: `Dockerfile:5: message`, and the line it is about.
impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.source {
            Some(source) => {
                write!(f, "{}:{}: {}", source.file, source.first_line, self.short)?;
                for (offset, text) in source.text.iter().enumerate() {
                    write!(f, "\n  {:>4} | {text}", source.first_line + offset)?;
                }
            }
            None => f.write_str(&self.short)?,
        }
        for detail in &self.detail {
            write!(f, "\n  {detail}")?;
        }
        if !self.url.is_empty() {
            write!(f, "\n  {}", self.url)?;
        }
        Ok(())
    }
}
