//! The folders of an array's points, each beside the array's own.

use std::collections::BTreeMap;

use super::cluster::{Slurm, TAKEN};
use super::error::SlurmError;
use super::job::{JobNumber, JobPhase, SlurmJob, exit_code};
use crate::shell::sh_word;

impl Slurm {
    /// Makes the folders of an array's points beside its own, each with an empty file to follow.
    ///
    /// # Errors
    /// Where one is there already, or can't be made; none of them is left then.
    pub async fn make_point_folders(
        &self,
        folder: &str,
        points: usize,
        output: &str,
    ) -> Result<(), SlurmError> {
        let points = numbered(folder, points);
        let outputs = points.replace("%g", &format!("%g/{output}"));
        // Of folders that another one made meanwhile, none that is used is empty.
        let script = format!(
            "umask 077; [ -z \"$({points} | xargs ls -d 2> /dev/null)\" ] || exit {TAKEN}; \
             {points} | xargs mkdir || {{ {points} | xargs rmdir 2> /dev/null; exit 1; }}; \
             {outputs} | xargs touch || {{ {points} | xargs rm -rf; exit 1; }}"
        );
        let answer = self.login.shell(&script, &[]).await?;
        let path = format!("{folder}-…");
        match answer.code {
            0 => Ok(()),
            TAKEN => Err(SlurmError::FolderTaken { path }),
            _ => Err(answer.file(&path)),
        }
    }

    /// Removes the folders of an array that isn't there, with its points'.
    pub async fn remove_point_folders(&self, folder: &str, points: usize) {
        let script = format!(
            "{} | xargs rm -rf {}",
            numbered(folder, points),
            sh_word(folder)
        );
        let _ = self.login.shell(&script, &[]).await;
    }

    /// What the points of an array wrote down as their exit codes, by their numbers.
    ///
    /// # Errors
    /// Where the login node can't be reached.
    pub async fn point_codes(
        &self,
        folder: &str,
        points: usize,
        file: &str,
    ) -> Result<Vec<Option<i32>>, SlurmError> {
        let script = format!(
            "i=0; while [ $i -lt {points} ]; do c=; read c 2> /dev/null < {}-$i/{file}; \
             echo \"$i $c\"; i=$((i+1)); done",
            sh_word(folder)
        );
        let answer = self.login.shell(&script, &[]).await?;
        let mut codes = vec![None; points];
        for line in answer.text().lines() {
            if let Some((at, code)) = line.split_once(' ')
                && let Ok(at) = at.parse::<usize>()
                && let Some(known) = codes.get_mut(at)
            {
                *known = code.trim().parse().ok();
            }
        }
        Ok(codes)
    }
}

/// What Slurm says of how a task ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TaskEnd {
    /// Its state in Slurm's word.
    pub state: String,
    /// Its exit code, a signal as 128 and its number.
    pub code: Option<i32>,
}

impl Slurm {
    /// How the tasks of an array ended that have, as far as Slurm or its accounts know.
    pub async fn task_ends(&self, id: u64) -> BTreeMap<u32, TaskEnd> {
        let mut all = BTreeMap::new();
        // Not every cluster keeps accounts, and slurmctld forgets jobs after some minutes.
        let call = format!("sacct -X -P -n -j {id} -o JobID,State,ExitCode");
        if let Ok(answer) = self.login.shell(&call, &[]).await {
            all.extend(answer.text().lines().filter_map(of_accounts));
        }
        let call = format!("scontrol -o show job {id}");
        if let Ok(answer) = self.login.shell(&call, &[]).await {
            all.extend(answer.text().lines().filter_map(of_controller));
        }
        all
    }

    /// Removes files that aren't newer than another one.
    ///
    /// # Errors
    /// Where they can't be removed.
    pub async fn remove_older(&self, paths: &[String], than: &str) -> Result<(), SlurmError> {
        let script = format!(
            "while IFS= read -r path; do [ \"$path\" -nt {} ] || rm -f \"$path\" || exit 1; done",
            sh_word(than)
        );
        let lines: String = paths.iter().map(|path| format!("{path}\n")).collect();
        let answer = self.login.shell(&script, lines.as_bytes()).await?;
        match answer.code {
            0 => Ok(()),
            _ => Err(answer.file(paths.first().map_or("", String::as_str))),
        }
    }
}

/// `12_3|TIMEOUT|0:0`, of sacct. Tasks that wait are `12_[4-9]`.
fn of_accounts(line: &str) -> Option<(u32, TaskEnd)> {
    let mut fields = line.split('|');
    let number: JobNumber = fields.next()?.parse().ok()?;
    // `CANCELLED by 1000`
    let state = fields.next()?.split_whitespace().next()?.to_owned();
    let code = exit_code(fields.next()?);
    let has_ended = SlurmJob::phase_of(&state) == JobPhase::Ended;
    Some((number.task.filter(|_| has_ended)?, TaskEnd { state, code }))
}

/// `JobId=14 ArrayJobId=12 ArrayTaskId=3 … JobState=TIMEOUT … ExitCode=0:0 …`, of scontrol.
fn of_controller(line: &str) -> Option<(u32, TaskEnd)> {
    let field = |name: &str| {
        let of_name = |word: &str| Some(word.strip_prefix(name)?.strip_prefix('=')?.to_owned());
        line.split_whitespace().find_map(of_name)
    };
    let task = field("ArrayTaskId")?.parse().ok()?;
    let state = field("JobState")?;
    let code = field("ExitCode").and_then(|text| exit_code(&text));
    let has_ended = SlurmJob::phase_of(&state) == JobPhase::Ended;
    has_ended.then_some((task, TaskEnd { state, code }))
}

/// The line that prints the paths of an array's points. No path of a job has a `%`, a space or a quote.
fn numbered(folder: &str, points: usize) -> String {
    let format = sh_word(format!("{folder}-%g"));
    format!("seq -f {format} 0 {}", points.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ends_of_tasks_are_read_in_both_forms() {
        let end = |state: &str, code| TaskEnd {
            state: state.to_owned(),
            code,
        };
        for (line, wanted) in [
            ("12_3|TIMEOUT|0:0", Some((3, end("TIMEOUT", Some(0))))),
            (
                "12_0|CANCELLED by 1000|0:15",
                Some((0, end("CANCELLED", Some(143)))),
            ),
            ("12_1|RUNNING|0:0", None),
            ("12_[4-9]|PENDING|0:0", None),
            ("12|COMPLETED|0:0", None),
            ("", None),
        ] {
            assert_eq!(of_accounts(line), wanted, "{line}");
        }
        let line = "JobId=14 ArrayJobId=12 ArrayTaskId=3 JobName=a JobState=NODE_FAIL Reason=None Requeue=0 ExitCode=0:9 x=y";
        assert_eq!(of_controller(line), Some((3, end("NODE_FAIL", Some(137)))));
        for other in [
            line.replace("NODE_FAIL", "RUNNING"),
            line.replace("ArrayTaskId=3", "ArrayTaskId=3-9%2"),
            line.replace("ArrayTaskId=3", ""),
        ] {
            assert_eq!(of_controller(&other), None, "{other}");
        }
    }
}
