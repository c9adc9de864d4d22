//! The folders of an array's points, each beside the array's own.

use super::cluster::{Slurm, TAKEN};
use super::error::SlurmError;
use crate::shell::sh_word;

impl Slurm {
    /// Makes the folders of an array's points beside its own, each with an empty file to follow.
    ///
    /// # Errors
    /// Where one is there already, or can't be made.
    pub async fn make_point_folders(
        &self,
        folder: &str,
        points: usize,
        output: &str,
    ) -> Result<(), SlurmError> {
        let points = numbered(folder, points);
        let outputs = points.replace("%g", &format!("%g/{output}"));
        let script = format!(
            "umask 077; [ -z \"$({points} | xargs ls -d 2> /dev/null)\" ] || exit {TAKEN}; \
             {points} | xargs mkdir && {outputs} | xargs touch"
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

/// The line that prints the paths of an array's points. No path of a job has a `%`, a space or a quote.
fn numbered(folder: &str, points: usize) -> String {
    let format = sh_word(format!("{folder}-%g"));
    format!("seq -f {format} 0 {}", points.saturating_sub(1))
}
