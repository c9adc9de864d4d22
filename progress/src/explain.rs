//! Why a build failed, as a user would like to read it: the step, its last lines and the line of
//! the Dockerfile it came from.

use std::{fmt, sync::LazyLock};

use mlbuild_buildkit::{BuildFailure, FailureSource};
use regex::Regex;
use serde::Serialize;

use super::{
    BuildTrace, TraceStep,
    log::printable_str,
    state::StepStatus,
    text::{brief, fit},
};

/// Lines of the log that are shown.
const LOG_LINES: usize = 20;
/// Lines of the log that are kept for a search for its cause.
const KEPT_LINES: usize = 60;
/// Lines of the Dockerfile shown before and after the ones at fault.
const AROUND: usize = 2;
/// Lines of the Dockerfile that are shown at most.
const EXCERPT_LINES: usize = 16;
/// Columns of a step's name that are shown.
const NAME_WIDTH: usize = 100;

/// A failed build, explained. Its display is a report of several lines without a final newline.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Failure {
    /// The builder's words, without wrapping that tells nothing.
    pub message: String,
    /// What the failed step does, such as `[2/4] RUN make`.
    pub step: Option<String>,
    /// The exit code of the step's process.
    pub exit_code: Option<i32>,
    /// The last lines that the step wrote, as many as the report shows.
    pub last_log_lines: Vec<String>,
    /// Where it comes from.
    pub source: Option<Excerpt>,
    /// What the cause can be read from: the step's last 60 lines, and then the builder's words in
    /// full.
    #[serde(skip)]
    pub evidence: Evidence,
}

/// What a failed build left to search for its cause.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The last lines that the failed step wrote.
    pub log: Vec<String>,
    /// All of them: who can't be installed may be named long before the end.
    pub whole: Vec<String>,
    /// The builder's words, with all their wrapping.
    pub message: String,
}

/// A few lines of a source file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Excerpt {
    /// The file's name, as the builder knows it.
    pub file: String,
    /// First line at fault, from 1.
    pub first_line: usize,
    /// Last line at fault, from 1.
    pub last_line: usize,
    /// The lines at fault with some around them: number and text.
    pub lines: Vec<(usize, String)>,
}

/// Joins what the builder said at the end with what was seen on the way.
pub fn explain(failure: &BuildFailure, trace: &BuildTrace) -> Failure {
    let step = failure
        .vertex
        .as_deref()
        .and_then(|vertex| trace.step_of(vertex))
        .or_else(|| trace.failed().next());
    let tail = |count: usize| step.map(|s| last_lines(s, count)).unwrap_or_default();
    let message = printable_str(&failure.message).into_owned();
    Failure {
        step: step.map(|s| s.name.clone()),
        exit_code: exit_code(&message).or_else(|| match step.map(|s| &s.status) {
            Some(StepStatus::Failed(message)) => exit_code(message),
            _ => None,
        }),
        last_log_lines: tail(LOG_LINES),
        source: failure.sources.iter().find_map(excerpt),
        message: shorten(&message),
        evidence: Evidence {
            log: tail(KEPT_LINES),
            whole: tail(usize::MAX),
            message,
        },
    }
}

fn last_lines(step: &TraceStep, count: usize) -> Vec<String> {
    let skip = step.log.len().saturating_sub(count);
    step.log[skip..]
        .iter()
        .map(|line| line.text.trim_end().to_owned())
        .collect()
}

fn exit_code(message: &str) -> Option<i32> {
    static CODE: LazyLock<Regex> =
        LazyLock::new(|| Regex::new(r"exit code: (\d+)").expect("a valid pattern"));
    CODE.captures(message)?[1].parse().ok()
}

/// Drops what only says that something failed, and which internal reference did.
fn shorten(message: &str) -> String {
    static NOISE: LazyLock<Regex> = LazyLock::new(|| {
        let noise = r"failed to solve: |rpc error: code = \w+ desc = |failed to compute cache key: |failed to calculate checksum of ref \S+: |failed to solve with frontend \S+: ";
        Regex::new(&format!("^(?:{noise})+")).expect("a valid pattern")
    });
    NOISE.replace(message, "").into_owned()
}

fn excerpt(source: &FailureSource) -> Option<Excerpt> {
    let first_line = source.ranges.iter().map(|r| r.0).min()? as usize;
    let last_line = source.ranges.iter().map(|r| r.1).max()? as usize;
    let first = first_line.saturating_sub(AROUND).max(1);
    let last = last_line
        .saturating_add(AROUND)
        .min(first.saturating_add(EXCERPT_LINES - 1));
    let content = String::from_utf8_lossy(&source.content);
    let mut lines: Vec<(usize, String)> = content
        .lines()
        .enumerate()
        .map(|(index, text)| (index + 1, printable_str(text).into_owned()))
        .filter(|(number, _)| (first..=last).contains(number))
        .collect();
    let blank = |(number, text): &(usize, String)| *number > last_line && text.is_empty();
    while lines.last().is_some_and(blank) {
        lines.pop();
    }
    let file = printable_str(&source.filename).into_owned();
    Some(Excerpt {
        file,
        first_line,
        last_line,
        lines,
    })
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let step = self.step.as_deref().map(brief);
        let step = step.as_deref().map(|step| fit(step, NAME_WIDTH, "…"));
        match (step, self.exit_code) {
            (Some(step), Some(code)) => write!(f, "step failed with exit code {code}: {step}")?,
            (Some(step), None) => write!(f, "step failed: {step}\n  {}", self.message)?,
            (None, _) => f.write_str(&self.message)?,
        }
        if !self.last_log_lines.is_empty() {
            f.write_str("\n\nIts last lines:")?;
            for line in &self.last_log_lines {
                write!(f, "\n  {line}")?;
            }
        }
        if let Some(source) = &self.source {
            write!(f, "\n\n{source}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Excerpt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file, self.first_line)?;
        for (number, text) in &self.lines {
            let mark = if (self.first_line..=self.last_line).contains(number) {
                '>'
            } else {
                ' '
            };
            write!(f, "\n{}", format!(" {mark}{number:>4} | {text}").trim_end())?;
        }
        match self.lines.last() {
            Some((number, _)) if *number < self.last_line => {
                write!(f, "\n       … to line {}", self.last_line)
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{
        super::testing::{failing_build, fold, local},
        *,
    };

    fn trace() -> BuildTrace {
        let (mut state, _) = fold(failing_build().into_iter().map(|(_, m)| m));
        state.finish();
        BuildTrace::new(&state, local(0.0), local(3.0))
    }

    fn source(content: &str, lines: (u32, u32)) -> FailureSource {
        FailureSource {
            filename: "Dockerfile".into(),
            language: "Dockerfile".into(),
            content: content.into(),
            ranges: vec![lines],
        }
    }

    #[test]
    fn a_failed_command_shows_its_words_its_line_and_what_to_do() {
        let failure = BuildFailure {
            message: "process \"/bin/sh -c pip install nump\" did not complete successfully: exit code: 1".into(),
            vertex: Some("pip".into()),
            sources: vec![source("FROM debian:12\n\nRUN pip install \\\n    nump\n\n", (3, 4))],
            ..Default::default()
        };
        let explained = explain(&failure, &trace());
        assert_eq!(explained.exit_code, Some(1));
        insta::assert_snapshot!(explained, @r"
        step failed with exit code 1: [stage-1 2/2] RUN pip install nump

        Its last lines:
          Collecting nump
          ERROR: No matching distribution found for nump

        Dockerfile:3
             1 | FROM debian:12
             2 |
         >   3 | RUN pip install \
         >   4 |     nump
        ");
    }

    #[test]
    fn a_missing_file_has_no_log() {
        let failure = BuildFailure {
            message: "failed to compute cache key: failed to calculate checksum of ref a3p6::v6yo: \"/data.bin\": not found".into(),
            vertex: Some("base".into()),
            sources: vec![source("FROM debian:12\nCOPY data.bin /\n", (2, 2))],
            ..Default::default()
        };
        insta::assert_snapshot!(explain(&failure, &trace()), @r#"
        step failed: [1/3] FROM docker.io/library/debian:12
          "/data.bin": not found

        Dockerfile:2
             1 | FROM debian:12
         >   2 | COPY data.bin /
        "#);
    }

    #[test]
    fn without_details_the_failed_step_is_found_in_the_trace() {
        let failure = BuildFailure {
            message: "exit code: 1".into(),
            ..Default::default()
        };
        let explained = explain(&failure, &trace());
        assert_eq!(
            explained.step.as_deref(),
            Some("[stage-1 2/2] RUN pip install nump")
        );
        assert_eq!(explained.source, None);
    }

    #[test]
    fn without_a_step_the_message_is_all() {
        let failure = BuildFailure {
            message: "failed to solve: dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)".into(),
            sources: vec![source("FROM debian:12\nRUNN true\n", (2, 2))],
            ..Default::default()
        };
        insta::assert_snapshot!(explain(&failure, &BuildTrace::default()), @r"
        dockerfile parse error on line 2: unknown instruction: RUNN (did you mean RUN?)

        Dockerfile:2
             1 | FROM debian:12
         >   2 | RUNN true
        ");
    }

    #[test]
    fn a_long_instruction_is_cut() {
        let heredoc: String = (1..=60).map(|i| format!("line {i}\n")).collect();
        let excerpt = excerpt(&source(&heredoc, (10, 50))).unwrap();
        assert_eq!(excerpt.lines.first().unwrap().0, 8);
        assert_eq!(excerpt.lines.len(), EXCERPT_LINES);
        assert!(excerpt.to_string().ends_with("… to line 50"), "{excerpt}");
    }

    #[test]
    fn lines_outside_the_file_are_no_excerpt_lines() {
        let excerpt = excerpt(&source("FROM x\n", (7, u32::MAX))).unwrap();
        assert_eq!(excerpt.lines, []);
        assert!(super::excerpt(&FailureSource::default()).is_none());
    }
}
