//! The lines of one task, of a job whose srun puts the task's number before each line.

use std::cell::RefCell;

use super::super::error::SubmitError;
use super::FoundSlurmJob;
use crate::runtime::slurm::SCRIPT_FILE;

/// So many lines of a script's end have its srun.
const LINES_OF_END: u32 = 8;

/// Takes an output in pieces, and hands on the lines of one task.
#[derive(Debug)]
pub struct LinesOfRank {
    rank: u32,
    rest: RefCell<Vec<u8>>,
}

impl LinesOfRank {
    /// The lines of this task.
    pub fn of(rank: u32) -> Self {
        Self {
            rank,
            rest: RefCell::default(),
        }
    }

    /// Its lines in what was printed by now, without the number.
    pub fn take(&self, piece: &[u8]) -> Vec<u8> {
        let mut rest = self.rest.borrow_mut();
        rest.extend_from_slice(piece);
        let whole = rest.iter().rposition(|byte| *byte == b'\n');
        let lines: Vec<u8> = rest.drain(..whole.map_or(0, |at| at + 1)).collect();
        let mut taken = Vec::new();
        for line in lines.split_inclusive(|byte| *byte == b'\n') {
            taken.extend_from_slice(self.own(line).unwrap_or_default());
        }
        taken
    }

    /// srun fills numbers up with blanks.
    fn own<'a>(&self, line: &'a [u8]) -> Option<&'a [u8]> {
        let line = line.trim_ascii_start();
        let colon = line.iter().position(|byte| *byte == b':')?;
        let rank: u32 = std::str::from_utf8(&line[..colon]).ok()?.parse().ok()?;
        let text = &line[colon + 1..];
        (rank == self.rank).then(|| text.strip_prefix(b" ").unwrap_or(text))
    }
}

impl FoundSlurmJob {
    /// Holds a task's number against those that the job has, and gives the node that it is on, from 0: Slurm
    /// starts as many on each.
    ///
    /// # Errors
    /// Where the job has no such task, or its folder can't be read.
    pub async fn node_of_rank(&self, rank: u32) -> Result<u32, SubmitError> {
        let script = format!("{}/{SCRIPT_FILE}", self.folder);
        let end = self.slurm.last_lines(&script, LINES_OF_END).await?;
        let end = String::from_utf8_lossy(&end.unwrap_or_default()).into_owned();
        let number = |flag: &str| -> Option<u32> {
            let (_, rest) = end.split_once(flag)?;
            rest.split_whitespace().next()?.parse().ok()
        };
        let tasks = number("--ntasks=");
        let nodes = number("--nodes=").unwrap_or(1).max(1);
        match tasks {
            Some(tasks) if tasks > 1 && rank < tasks => Ok(rank / (tasks / nodes).max(1)),
            tasks => Err(SubmitError::NoTask {
                run: self.run.clone(),
                rank,
                tasks: tasks.unwrap_or(1),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_one_task_are_told_from_others() {
        let lines = LinesOfRank::of(1);
        assert_eq!(lines.take(b"0: a\n1: b: c\n1"), b"b: c\n");
        assert_eq!(lines.take(b": d"), b"");
        assert_eq!(
            lines.take(b"\n11: e\n 1: f\n1:  g\n1: \nno label\n1x: h\n"),
            b"d\nf\n g\n\n"
        );
    }
}
