//! Jobs of Slurm's that failed, once more: the same script, of an array for those points alone. Runs keep their ids,
//! their folders and their outputs, which go on in the same files.

use std::path::Path;

use mlbuild_manifests::RunId;

use super::super::error::SubmitError;
use super::{FoundSlurm, FoundSlurmJob};
use crate::records::{project_folder, start_again};
use crate::reporter::Reporter;
use crate::runtime::array::{point_of_run, run_of_point};
use crate::runtime::slurm::{COMMENT, EXIT_CODE_FILE, SCRIPT_FILE};
use crate::slurm::{JobPhase, Slurm};

/// What its beginning marks in a script of sbatch.
const DIRECTIVE: &str = "#SBATCH ";
/// A file of a job's folder that is as old as its last retry.
const RETRIED_FILE: &str = "retried";

/// A job that was handed in once more.
#[derive(Debug)]
pub struct Retried {
    /// Its number.
    pub job: u64,
    /// The runs that are tried again.
    pub runs: Vec<String>,
}

/// What is to be tried again.
struct Wanted {
    /// The folder that has the script.
    folder: String,
    /// The id that the script's comment has.
    run: String,
    /// The tasks, where it is an array.
    tasks: Vec<u32>,
    /// The number of the last job that did it.
    last: u64,
}

/// Has Slurm run a job once more that failed; of an array those points that did.
///
/// # Errors
/// Where none has failed, its script is gone, or Slurm can't be asked or refuses.
pub async fn retry(
    found: FoundSlurm,
    folder: &Path,
    reporter: &dyn Reporter,
) -> Result<Retried, SubmitError> {
    let (slurm, wanted) = match found {
        FoundSlurm::Job(job) => {
            let wanted = of_job(&job).await?;
            (job.slurm, wanted)
        }
        FoundSlurm::Array(array) => {
            let points = array.points().await?.into_iter();
            let failed = points.filter(|(_, end)| {
                let code = end.as_ref().map(|end| end.code);
                code.is_some_and(|code| code != Some(0))
            });
            let tasks: Vec<u32> = failed.filter_map(|(job, _)| job.number.task).collect();
            if tasks.is_empty() {
                return Err(SubmitError::NothingFailed { run: array.run });
            }
            let jobs = array.jobs.values();
            let last = jobs.map(|job| job.number.id).max().unwrap_or(array.id);
            let wanted = Wanted {
                folder: array.folder,
                run: array.run,
                tasks,
                last,
            };
            (array.slurm, wanted)
        }
    };
    hand_in(&slurm, wanted, folder, reporter).await
}

async fn of_job(job: &FoundSlurmJob) -> Result<Wanted, SubmitError> {
    let run = job.run.clone();
    let is_live = |job: &crate::slurm::SlurmJob| job.phase() != JobPhase::Ended;
    if job.job.as_ref().is_some_and(is_live) || job.end().await?.code == Some(0) {
        return Err(SubmitError::NothingFailed { run });
    }
    let number = job.id;
    let task = number.and_then(|number| number.task);
    let last = number.map_or(0, |number| number.id);
    let of_array = task.and_then(|task| {
        let suffix = format!("-{task}");
        let (array, _) = point_of_run(&run)?;
        Some(Wanted {
            folder: job.folder.strip_suffix(&suffix)?.to_owned(),
            run: array.to_owned(),
            tasks: vec![task],
            last,
        })
    });
    Ok(of_array.unwrap_or(Wanted {
        folder: job.folder.clone(),
        run,
        tasks: Vec::new(),
        last,
    }))
}

async fn hand_in(
    slurm: &Slurm,
    wanted: Wanted,
    folder: &Path,
    reporter: &dyn Reporter,
) -> Result<Retried, SubmitError> {
    let Wanted {
        folder: of_job,
        run,
        tasks,
        last,
    } = wanted;
    let script = format!("{of_job}/{SCRIPT_FILE}");
    let Some(text) = slurm.read(&script).await? else {
        return Err(SubmitError::ScriptGone { run, path: script });
    };
    let lines = text.lines().filter_map(|line| line.strip_prefix(DIRECTIVE));
    let is_kept = |line: &&str| tasks.is_empty() || !line.starts_with("--array=");
    let mut directives: Vec<String> = lines.filter(is_kept).map(str::to_owned).collect();
    let (runs, folders): (Vec<String>, Vec<String>) = if tasks.is_empty() {
        (vec![run.clone()], vec![of_job.clone()])
    } else {
        directives.push(format!("--array={}", listed(&tasks)));
        let of_task = |task: &u32| {
            let point = run_of_point(&run, *task as usize);
            (point, format!("{of_job}-{task}"))
        };
        tasks.iter().map(of_task).unzip()
    };
    let mark = format!("{of_job}/{RETRIED_FILE}");
    slurm.write(&mark, &[]).await?;
    let comment = format!("{COMMENT}{run}");
    let job = slurm.submit(&script, &directives, &comment, last).await?;
    // Nobody takes the last end for that of this time.
    let ends = folders.iter();
    let ends: Vec<String> = ends
        .map(|path| format!("{path}/{EXIT_CODE_FILE}"))
        .collect();
    slurm.remove_older(&ends, &mark).await?;
    let project = project_folder(folder);
    for run in &runs {
        let id: Result<RunId, _> = run.parse();
        if let Ok(id) = id
            && let Err(error) = start_again(&project, &id, job)
        {
            reporter.warning(format!("{run} isn't recorded as tried again: {error}"));
        }
    }
    Ok(Retried { job, runs })
}

/// Tasks as `--array` takes them: `0,2-4`.
fn listed(tasks: &[u32]) -> String {
    let mut parts: Vec<(u32, u32)> = Vec::new();
    for task in tasks {
        match parts.last_mut() {
            Some((_, last)) if *last + 1 == *task => *last = *task,
            _ => parts.push((*task, *task)),
        }
    }
    let part = |(first, last): &(u32, u32)| match first == last {
        true => first.to_string(),
        false => format!("{first}-{last}"),
    };
    parts.iter().map(part).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::listed;

    #[test]
    fn tasks_are_listed_in_ranges() {
        for (tasks, wanted) in [
            (&[3][..], "3"),
            (&[0, 2, 3, 4, 7], "0,2-4,7"),
            (&[5, 6], "5-6"),
        ] {
            assert_eq!(listed(tasks), wanted);
        }
    }
}
