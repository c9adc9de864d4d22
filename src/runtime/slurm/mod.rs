//! A [`RunSpec`] as a batch script of Slurm: one file of bash, with the directives of sbatch at its head and
//! a container runtime's line for each task.
//!
//! Every flag of `docker run` is either in the script, or named as left out: with a warning where training
//! doesn't notice, as refused where it would. No value can become a directive or a command: directives are
//! held to plain characters, and all else is quoted on one line. Values of variables are in a file beside
//! the script. Nothing here asks a cluster.
//!
//! | part | file |
//! | --- | --- |
//! | Slurm's own flags, as directives | `flags` |
//! | docker's flags, for each container runtime | `carried` |
//! | the line that starts a container | `lines` |
//! | the variables' file | `variables` |
//! | the points of an array | `grid` |
//! | several nodes, and who is who on them | `nodes` |
//! | the whole text | `script` |

mod carried;
mod flags;
mod grid;
mod lines;
mod nodes;
mod script;
mod variables;

use std::fmt;

pub(in crate::runtime) use flags::FLAGS;
pub use flags::{misplaced, runtime};
pub(in crate::runtime) use lines::program;
pub(in crate::runtime) use variables::why_not;

use super::array::Array;
use super::carried::Carried;
use super::options::Options;
use super::render::LeftOut;
use super::spec::RunSpec;
use super::value::Assignment;

/// What a job's comment begins with; the run's id follows.
pub const COMMENT: &str = "mlbuild:";
/// The file of a job's folder with what it printed.
pub const OUTPUT_FILE: &str = "output";
/// The file with its exit code, written when it has ended by itself.
pub const EXIT_CODE_FILE: &str = "exit_code";
/// The file with how often its run was begun, from 1.
pub const ATTEMPT_FILE: &str = "attempt";
/// The variable that tells the container the same.
const MLBUILD_ATTEMPT: &str = "MLBUILD_ATTEMPT";
/// The file with the script itself.
pub const SCRIPT_FILE: &str = "script";
/// The file with the variables.
pub const VARIABLES_FILE: &str = "variables";
/// What the script does instead of a job where it is called with this word: a program beside a task, whose number
/// the variable [`BESIDE_RANK`] has.
pub const BESIDE: &str = "beside";
/// The task that a program is started beside; the first one where it isn't set.
pub const BESIDE_RANK: &str = "MLBUILD_BESIDE_RANK";

/// What starts containers on the nodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContainerRuntime {
    /// Podman.
    Podman,
    /// Apptainer.
    Apptainer,
    /// pyxis, a plugin of Slurm's, over enroot.
    Pyxis,
}

impl ContainerRuntime {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Podman, Self::Apptainer, Self::Pyxis];

    /// Its name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Podman => "podman",
            Self::Apptainer => "apptainer",
            Self::Pyxis => "pyxis",
        }
    }
}

impl fmt::Display for ContainerRuntime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// What an image starts where nobody says otherwise; two of the runtimes don't look there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ImageDefaults {
    /// Its entry point.
    pub entrypoint: Vec<String>,
    /// Its command.
    pub command: Vec<String>,
    /// Its working directory.
    pub workdir: Option<String>,
    /// Its user, where that isn't root.
    pub user: Option<String>,
}

/// What can't stand in a flag: the run, its image, and where its files are.
#[derive(Debug, Clone)]
pub struct JobContext {
    /// The run's id.
    pub run: String,
    /// What the image starts.
    pub image: ImageDefaults,
    /// What starts containers.
    pub runtime: ContainerRuntime,
    /// The folder of all jobs, in which this one's has its run's id. Absolute, with a slash at the beginning.
    pub root: String,
    /// Variables, with their values.
    pub variables: Vec<Assignment>,
    /// The grid, where the job is an array.
    pub array: Option<Array>,
}

/// A script, what goes with it, and what isn't in it.
#[derive(Debug, Clone)]
pub struct RenderedScript {
    /// The script.
    pub text: String,
    /// Its directives, each a flag of sbatch.
    pub directives: Vec<String>,
    /// The job's folder.
    pub folder: String,
    /// The files with its variables, which nobody else may read: name and content.
    pub variables: Vec<(String, Vec<u8>)>,
    /// What a job of Slurm doesn't have, and training can do without.
    pub warnings: Vec<LeftOut>,
    /// What it doesn't have, or has under conditions that aren't met.
    pub refused: Vec<LeftOut>,
}

/// The script that does what `docker run` would.
pub fn script(spec: &RunSpec, own: &Options, context: &JobContext) -> RenderedScript {
    script::Builder::new(spec, own, context).finish()
}

/// The folder of a run's job.
pub fn folder(root: &str, run: &str) -> String {
    format!("{}/{run}", root.trim_end_matches('/'))
}

/// Why a folder can't hold jobs; `None` if it can.
pub fn why_no_folder(path: &str) -> Option<&'static str> {
    if !path.starts_with('/') {
        return Some(
            "write a path from the root, which is the same on the login node and the nodes",
        );
    }
    let is_plain =
        flags::is_plain(path) && !path.contains('%') && !path.split('/').any(|part| part == "..");
    (!is_plain).then_some("write a path without spaces, quotes, `%`, `#`, `$`, `..` and `\\`: sbatch reads more into them")
}

#[cfg(test)]
mod tests;
