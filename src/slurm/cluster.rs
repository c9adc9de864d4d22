//! What is asked of Slurm. No value of a variable is in any command: files have them, by standard input.

use std::ffi::OsString;
use std::time::{Duration, Instant};

use super::error::SlurmError;
use super::job::{BETWEEN, FIELDS, JobNumber, SlurmJob, exit_code};
use super::login::{Answer, Login};
use crate::shell::sh_word;

/// What a line of [`connect`] exits with where there is no sbatch.
const NO_COMMANDS: i32 = 93;
/// What one exits with where the job has written down its exit code.
const HAS_ENDED: i32 = 94;
/// What one exits with where a folder is there already.
pub(super) const TAKEN: i32 = 95;
/// A sbatch that fails after so long may have been heard.
const SLOW: Duration = Duration::from_secs(4);
/// How often such a job is looked for, and how long in between.
const LOOKS: u32 = 3;
const LOOK_PAUSE: Duration = Duration::from_secs(2);
/// At most so much of an output is read at once. Bytes.
const PIECE: usize = 1 << 20;

/// A cluster of Slurm's.
#[derive(Debug)]
pub struct Slurm {
    pub(super) login: Login,
    /// The version of its commands, such as `slurm-wlm 22.05.8`.
    pub version: String,
    /// The home of the user there.
    pub home: String,
    /// Its name; `None` where its daemon doesn't say.
    pub name: Option<String>,
    /// The containers' runtimes that the login node knows: pyxis, apptainer, podman.
    pub runtimes: Vec<String>,
}

/// A piece of what a job printed.
#[derive(Debug)]
pub struct Printed {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Whether the job has written down its exit code.
    pub has_ended: bool,
}

/// Whether this machine has commands of Slurm.
pub fn is_here() -> bool {
    crate::on_path::find("sbatch").is_some()
}

/// The cluster that this machine, or the login node, belongs to.
///
/// # Errors
/// Where there are no commands of Slurm, or the login node can't be reached.
pub async fn connect(login: Option<&str>) -> Result<Slurm, SlurmError> {
    let login = Login::open(login).await?;
    let script = format!(
        "command -v sbatch > /dev/null 2>&1 || exit {NO_COMMANDS}\n\
         sbatch --version\nprintf '%s\\n' \"$HOME\"\n\
         srun --help 2> /dev/null | grep -q -e --container-image && printf 'pyxis '\n\
         for name in apptainer podman; do command -v $name > /dev/null 2>&1 && printf '%s ' $name; done\n\
         echo\nscontrol show config | sed -n 's/^ClusterName *= *//p'"
    );
    let answer = login.shell(&script.replace('\n', "; "), &[]).await?;
    if answer.code == NO_COMMANDS {
        return Err(SlurmError::NoCommands {
            place: login.place(),
        });
    }
    let text = answer.text();
    let mut lines = text.lines();
    let mut next = || lines.next().unwrap_or_default().trim().to_owned();
    let (version, home, runtimes, name) = (next(), next(), next(), next());
    if !home.starts_with('/') {
        return Err(SlurmError::Failed {
            command: "sbatch --version",
            said: answer.said,
        });
    }
    Ok(Slurm {
        login,
        version,
        home,
        name: Some(name).filter(|name| !name.is_empty()),
        runtimes: runtimes.split_whitespace().map(str::to_owned).collect(),
    })
}

impl Slurm {
    /// Where its commands are, for messages.
    pub fn place(&self) -> String {
        self.login.place()
    }

    /// Makes a job's folder, which nobody else may look into, in a folder of such.
    ///
    /// # Errors
    /// Where it is there already, or can't be made.
    pub async fn make_folder(&self, folder: &str) -> Result<(), SlurmError> {
        let parent = folder.rsplit_once('/').map_or("/", |(parent, _)| parent);
        let script = format!(
            "umask 077; mkdir -p {} || exit 1; [ ! -e {folder} ] || exit {TAKEN}; mkdir {folder}",
            sh_word(format!("{parent}/images")),
            folder = sh_word(folder),
        );
        let answer = self.login.shell(&script, &[]).await?;
        match answer.code {
            0 => Ok(()),
            TAKEN => Err(SlurmError::FolderTaken {
                path: folder.to_owned(),
            }),
            _ => Err(answer.file(folder)),
        }
    }

    /// Writes a file that nobody else may read.
    ///
    /// # Errors
    /// Where it can't be written.
    pub async fn write(&self, path: &str, content: &[u8]) -> Result<(), SlurmError> {
        let script = format!("umask 077; cat > {}", sh_word(path));
        let answer = self.login.shell(&script, content).await?;
        if answer.code == 0 {
            Ok(())
        } else {
            Err(answer.file(path))
        }
    }

    /// Removes a folder of a job that isn't there.
    pub async fn remove_folder(&self, folder: &str) {
        let _ = self
            .login
            .shell(&format!("rm -rf {}", sh_word(folder)), &[])
            .await;
    }

    /// Hands a script in; its job's number. `comment` is its own, by which it is found where sbatch's answer
    /// is lost: the number is larger than `after`.
    ///
    /// # Errors
    /// Where Slurm refuses, or it can't be known whether the job is there.
    pub async fn submit(
        &self,
        script: &str,
        directives: &[String],
        comment: &str,
        after: u64,
    ) -> Result<u64, SlurmError> {
        // Said once more than in the script: the environment's SBATCH_… would win over that.
        let call = format!(
            "sbatch --parsable --export=ALL {} {} < /dev/null",
            directives.iter().map(sh_word).collect::<Vec<_>>().join(" "),
            sh_word(script)
        );
        let began = Instant::now();
        let answer = self.login.shell(&call, &[]).await;
        let said = match &answer {
            Ok(answer) if answer.code == 0 => match read_number(&answer.text()) {
                Some(job) => return Ok(job),
                None => format!("it answered `{}`", answer.text().trim()),
            },
            Ok(answer) => answer.said.clone(),
            Err(error) => error.to_string(),
        };
        let is_doubtful =
            answer.as_ref().map_or(true, |answer| answer.code <= 0) || began.elapsed() > SLOW;
        for look in 0..if is_doubtful { LOOKS } else { 1 } {
            if look > 0 {
                tokio::time::sleep(LOOK_PAUSE).await;
            }
            match self.jobs().await {
                Ok(jobs) => {
                    let is_it = |job: &&SlurmJob| job.comment == comment && job.number.id > after;
                    if let Some(job) = jobs.iter().find(is_it) {
                        return Ok(job.number.id);
                    }
                }
                Err(_) if !is_doubtful => return Err(SlurmError::Refused { said }),
                Err(_) if look + 1 == LOOKS => return Err(SlurmError::Unknown { said }),
                Err(_) => {}
            }
        }
        Err(SlurmError::Refused { said })
    }

    /// The user's jobs that Slurm still knows of.
    ///
    /// # Errors
    /// Where Slurm doesn't answer.
    pub async fn jobs(&self) -> Result<Vec<SlurmJob>, SlurmError> {
        let answer = self.squeue("--me").await?;
        if answer.code != 0 {
            return Err(answer.failed("squeue"));
        }
        Ok(answer.text().lines().filter_map(SlurmJob::read).collect())
    }

    /// One job.
    ///
    /// # Errors
    /// Where Slurm doesn't know it, or doesn't answer.
    pub async fn job(&self, id: JobNumber) -> Result<SlurmJob, SlurmError> {
        let mut tasks = self.tasks(id).await?;
        Ok(tasks.swap_remove(0))
    }

    /// The tasks of an array, or the one job; at least one.
    ///
    /// # Errors
    /// Where Slurm doesn't know it, or doesn't answer.
    pub async fn tasks(&self, id: JobNumber) -> Result<Vec<SlurmJob>, SlurmError> {
        let answer = self.squeue(&format!("-j {id}")).await?;
        let text = answer.text();
        let found: Vec<SlurmJob> = text.lines().filter_map(SlurmJob::read).collect();
        match found.first() {
            Some(_) => Ok(found),
            None if answer.code == 0 || answer.said.contains("Invalid job id") => {
                Err(SlurmError::NotFound { job: id })
            }
            None => Err(answer.failed("squeue")),
        }
    }

    async fn squeue(&self, which: &str) -> Result<Answer, SlurmError> {
        let fields = FIELDS.join(&BETWEEN.to_string());
        let call = format!("SLURM_TIME_FORMAT=%s squeue -h -r -t all {which} -o '{fields}'");
        self.login.shell(&call, &[]).await
    }

    /// A job's exit code as Slurm has it, a signal as 128 and its number; and its state, where only sacct
    /// remembers it.
    pub async fn exit_code(&self, id: JobNumber) -> Option<(i32, Option<String>)> {
        let call = format!("scontrol -o show job {id}");
        if let Ok(answer) = self.login.shell(&call, &[]).await
            && let Some((_, rest)) = answer.text().split_once(" ExitCode=")
        {
            return Some((exit_code(rest.split_whitespace().next()?)?, None));
        }
        // Not every cluster keeps accounts.
        let call = format!("sacct -X -P -n -j {id} -o State,ExitCode");
        let answer = self.login.shell(&call, &[]).await.ok()?;
        let text = answer.text();
        let (state, code) = text.lines().next()?.split_once('|')?;
        Some((exit_code(code)?, Some(state.to_owned())))
    }

    /// What a job printed, from this byte on.
    ///
    /// # Errors
    /// Where the login node can't be reached.
    pub async fn printed(
        &self,
        folder: &str,
        output: &str,
        ended: &str,
        from: u64,
    ) -> Result<Printed, SlurmError> {
        let script = format!(
            "tail -c +{} {} 2> /dev/null | head -c {PIECE}; [ ! -e {} ] || exit {HAS_ENDED}",
            from + 1,
            sh_word(format!("{folder}/{output}")),
            sh_word(format!("{folder}/{ended}")),
        );
        let answer = self.login.shell(&script, &[]).await?;
        Ok(Printed {
            has_ended: answer.code == HAS_ENDED,
            bytes: answer.stdout,
        })
    }

    /// The last lines of a file; `None` where there is no such file.
    ///
    /// # Errors
    /// Where the login node can't be reached.
    pub async fn last_lines(&self, path: &str, count: u32) -> Result<Option<Vec<u8>>, SlurmError> {
        let answer = self
            .login
            .shell(&format!("tail -n {count} {}", sh_word(path)), &[])
            .await?;
        Ok((answer.code == 0).then_some(answer.stdout))
    }

    /// A small file's text; `None` where there is none.
    ///
    /// # Errors
    /// Where the login node can't be reached.
    pub async fn read(&self, path: &str) -> Result<Option<String>, SlurmError> {
        let answer = self
            .login
            .shell(&format!("head -c 4096 {}", sh_word(path)), &[])
            .await?;
        Ok((answer.code == 0).then(|| answer.text()))
    }

    /// Ends a job.
    ///
    /// # Errors
    /// Where Slurm doesn't.
    pub async fn cancel(&self, id: JobNumber) -> Result<(), SlurmError> {
        let answer = self.login.shell(&format!("scancel {id}"), &[]).await?;
        if answer.code == 0 {
            Ok(())
        } else {
            Err(answer.failed("scancel"))
        }
    }

    /// The words that start a script's own program on a node of a job that runs, by the node's number, with one
    /// more variable.
    pub fn beside(
        &self,
        (id, node): (u64, u32),
        script: &str,
        variable: &str,
        program: &[String],
        terminal: bool,
    ) -> Vec<OsString> {
        let pty = if terminal { " --pty" } else { "" };
        let call = format!(
            "export {}; exec srun --jobid={id} --overlap --relative={node} --nodes=1 --ntasks=1 --export=ALL{pty} bash {} {}",
            sh_word(variable),
            sh_word(script),
            program.iter().map(sh_word).collect::<Vec<_>>().join(" ")
        );
        self.login.interactive(&call, terminal)
    }
}

/// The number of `ID` or `ID;CLUSTER`. A site's plugin may have printed lines before.
fn read_number(text: &str) -> Option<u64> {
    text.lines()
        .rev()
        .find(|line| !line.trim().is_empty())?
        .trim()
        .split(';')
        .next()?
        .parse()
        .ok()
}

impl Answer {
    pub(super) fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    fn failed(self, command: &'static str) -> SlurmError {
        SlurmError::Failed {
            command,
            said: self.said,
        }
    }

    pub(super) fn file(self, path: &str) -> SlurmError {
        SlurmError::File {
            path: path.to_owned(),
            said: self.said,
        }
    }
}
