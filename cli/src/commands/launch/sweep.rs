//! `mlbuild launch --sweep FILE`: the runs that the file describes.

use std::io;
use std::path::Path;

use serde_json::{Value, json};

use super::LaunchArgs;
use crate::error::{CommandError, CommandResult};
use crate::support::output;
use mlbuild::queue::{Sweep, SweepError, SweepRun};
use mlbuild::shell::word;

/// The runs of a sweep, and the seed that drew them.
pub(super) struct SweepRuns {
    pub(super) runs: Vec<SweepRun>,
    seed: Option<u64>,
}

impl SweepRuns {
    /// The jobs, with what each of them tries.
    pub(super) fn as_json(&self, ids: &[&str], queue: &str) -> Value {
        let job =
            |(id, run): (&&str, &SweepRun)| json!({ "job": id, "parameters": run.parameters });
        let jobs: Vec<Value> = ids.iter().zip(&self.runs).map(job).collect();
        json!({ "jobs": jobs, "queue": queue, "seed": self.seed })
    }
}

/// Reads a sweep's file, and has its runs drawn.
pub(super) fn read(file: &Path, args: &LaunchArgs) -> CommandResult<SweepRuns> {
    let shown = file.display();
    // A person names it, also as a pipe; it may be a stranger's all the same.
    let text = std::fs::File::open(file)
        .and_then(mlbuild_files::read_all)
        .and_then(|bytes| String::from_utf8(bytes).map_err(io::Error::other))
        .map_err(|error| CommandError::user(format!("{shown}: {error}")))?;
    let wrong = |error: SweepError| {
        let made = CommandError::new(error.kind(), format!("{shown}: {error}"));
        match hint(&error) {
            Some(hint) => made.hint(hint),
            None => made,
        }
    };
    let sweep = Sweep::parse(&text).map_err(wrong)?;
    for key in &sweep.unused {
        output::warning(&format!(
            "{shown}: `{key}` means nothing here: it is for W&B's server"
        ));
    }
    let seed = sweep
        .is_random()
        .then(|| args.seed.unwrap_or_else(|| fastrand::u64(..)));
    if let (Some(seed), None) = (seed, args.seed) {
        output::note(&format!(
            "the same values again: --sweep {} --seed {seed}",
            word(shown.to_string())
        ));
    }
    let most = args.runs.map(|most| most as usize);
    let runs = sweep.runs(most, seed.unwrap_or_default()).map_err(wrong)?;
    Ok(SweepRuns { runs, seed })
}

fn hint(error: &SweepError) -> Option<String> {
    Some(match error {
        SweepError::UnknownKey {
            near: Some(near), ..
        } => format!("did you mean `{near}`?"),
        SweepError::Method(_) => {
            "write method: random, or leave the sweep to wandb agent".to_owned()
        }
        SweepError::NoEnd => "--runs N, or run_cap: N in the file".to_owned(),
        SweepError::TooLarge { .. } => {
            "--runs N launches the first of them; large values belong into files of the job"
                .to_owned()
        }
        SweepError::TooMany(_) => "--runs N launches the first of them".to_owned(),
        _ => return None,
    })
}
