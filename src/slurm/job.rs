//! What Slurm says of a job, in its text forms.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use mlbuild_manifests::run_record::RunOutcome;

/// Between two fields of squeue; no name of a job has it that mlbuild made.
pub(super) const BETWEEN: char = '\u{1f}';

/// What squeue is asked for. Times are seconds by `SLURM_TIME_FORMAT`.
pub(super) const FIELDS: [&str; 13] = [
    "%A", "%F", "%K", "%T", "%r", "%N", "%V", "%S", "%e", "%P", "%D", "%k", "%j",
];

/// The state of a job that Slurm has forgotten, which isn't Slurm's own word.
pub const FORGOTTEN: &str = "FORGOTTEN";

/// A job's number, as Slurm's commands take it: `12`, or `12_3` for one task of an array.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JobNumber {
    /// The number; of all tasks of an array, that of the array.
    pub id: u64,
    /// Which task of an array.
    pub task: Option<u32>,
}

impl From<u64> for JobNumber {
    fn from(id: u64) -> Self {
        Self { id, task: None }
    }
}

impl fmt::Display for JobNumber {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.task {
            Some(task) => write!(f, "{}_{task}", self.id),
            None => write!(f, "{}", self.id),
        }
    }
}

impl FromStr for JobNumber {
    type Err = std::num::ParseIntError;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (id, task) = match text.split_once('_') {
            Some((id, task)) => (id, Some(task.parse()?)),
            None => (text, None),
        };
        Ok(Self {
            id: id.parse()?,
            task,
        })
    }
}

/// How far a job got.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum JobPhase {
    /// It waits, or waits again.
    Waiting,
    /// It runs.
    Running,
    /// It is over.
    Ended,
}

/// A job, as far as squeue tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlurmJob {
    /// A number that no other task of its array has.
    pub id: u64,
    /// Its number, by which it is named.
    pub number: JobNumber,
    /// Its state in Slurm's word, such as `PENDING`.
    pub state: String,
    /// Why it waits or ended, in Slurm's word; `None` where there is nothing to say.
    pub reason: Option<String>,
    /// Its nodes, once it has some.
    pub nodes: Option<String>,
    /// When it was submitted.
    pub submitted: Option<Timestamp>,
    /// When it started, or is thought to start.
    pub started: Option<Timestamp>,
    /// When it ended, or is over at the latest.
    pub ended: Option<Timestamp>,
    /// Its partition.
    pub partition: String,
    /// How many nodes it has or wants.
    pub node_count: String,
    /// Its comment.
    pub comment: String,
    /// Its name.
    pub name: String,
}

impl SlurmJob {
    /// Reads a line of squeue; `None` for one that isn't as it was asked for.
    pub(super) fn read(line: &str) -> Option<Self> {
        let mut fields = line.splitn(FIELDS.len(), BETWEEN);
        let mut next = || fields.next();
        let said = |text: &str| {
            Some(text.to_owned())
                .filter(|text| !matches!(text.as_str(), "" | "None" | "(null)" | "N/A"))
        };
        let time = |text: &str| Timestamp::from_second(text.parse().ok()?).ok();
        Some(Self {
            id: next()?.parse().ok()?,
            number: JobNumber {
                id: next()?.parse().ok()?,
                // `N/A` where it is no array's.
                task: next()?.parse().ok(),
            },
            state: next()?.to_owned(),
            reason: said(next()?),
            nodes: said(next()?),
            submitted: time(next()?),
            started: time(next()?),
            ended: time(next()?),
            partition: next()?.to_owned(),
            node_count: next()?.to_owned(),
            comment: next()?.to_owned(),
            name: next()?.to_owned(),
        })
    }

    /// A task that Slurm has forgotten, as far as a record knows it.
    pub fn forgotten(number: JobNumber, comment: String, outcome: Option<&RunOutcome>) -> Self {
        Self {
            id: number.id,
            number,
            state: FORGOTTEN.to_owned(),
            reason: None,
            nodes: None,
            submitted: outcome.map(|outcome| outcome.started),
            started: None,
            ended: outcome.and_then(|outcome| outcome.ended),
            partition: String::new(),
            node_count: String::new(),
            comment,
            name: String::new(),
        }
    }

    /// How far it got.
    pub fn phase(&self) -> JobPhase {
        Self::phase_of(&self.state)
    }

    /// How far one got that is in this state.
    pub(super) fn phase_of(state: &str) -> JobPhase {
        match state {
            "PENDING" | "CONFIGURING" | "REQUEUED" | "REQUEUE_FED" | "REQUEUE_HOLD"
            | "SPECIAL_EXIT" | "RESV_DEL_HOLD" => JobPhase::Waiting,
            "RUNNING" | "COMPLETING" | "SUSPENDED" | "STOPPED" | "SIGNALING" | "STAGE_OUT"
            | "RESIZING" => JobPhase::Running,
            _ => JobPhase::Ended,
        }
    }
}

/// The exit code of `scontrol -o show job` or sacct, `CODE:SIGNAL`, as a shell has it.
pub(super) fn exit_code(text: &str) -> Option<i32> {
    let (code, signal) = text.trim().split_once(':')?;
    let (code, signal): (i32, i32) = (code.parse().ok()?, signal.parse().ok()?);
    Some(if signal == 0 { code } else { 128 + signal })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_squeue_are_read() {
        let line = "12\u{1f}12\u{1f}N/A\u{1f}PENDING\u{1f}Resources\u{1f}\u{1f}1796004858\u{1f}N/A\u{1f}N/A\u{1f}main\u{1f}2\u{1f}mlbuild:x\u{1f}a\u{1f}b";
        let job = SlurmJob::read(line).unwrap();
        assert_eq!((job.id, job.phase()), (12, JobPhase::Waiting));
        assert_eq!(job.number, JobNumber::from(12));
        let task = line.replacen("12\u{1f}12\u{1f}N/A", "14\u{1f}12\u{1f}3", 1);
        let task = SlurmJob::read(&task).unwrap();
        assert_eq!((task.id, task.number.to_string().as_str()), (14, "12_3"));
        assert_eq!("12_3".parse(), Ok(task.number));
        assert_eq!("12".parse(), Ok(JobNumber::from(12)));
        for bad in ["", "x", "12_", "12_[0-3]"] {
            assert!(bad.parse::<JobNumber>().is_err(), "{bad}");
        }
        assert_eq!(job.reason.as_deref(), Some("Resources"));
        assert_eq!((job.nodes, job.started), (None, None));
        assert_eq!(job.name, "a\u{1f}b");
        for bad in ["", "slurm_load_jobs error: x", "x\u{1f}PENDING"] {
            assert_eq!(SlurmJob::read(bad), None);
        }
    }

    #[test]
    fn codes_of_slurm_are_those_of_a_shell() {
        for (text, code) in [
            ("3:0", Some(3)),
            ("0:9", Some(137)),
            ("0:0", Some(0)),
            ("", None),
            ("x:1", None),
        ] {
            assert_eq!(exit_code(text), code, "{text}");
        }
    }
}
