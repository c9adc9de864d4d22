//! A cluster of Slurm's, through its own commands: `sbatch`, `squeue`, `scontrol`, `scancel`, and `sacct` where
//! there is one. They run here, or on a login node through the user's own ssh.
//!
//! Only text forms are read, which are the same from Slurm 22.05 to 26.05; JSON isn't.
//!
//! | part | file |
//! | --- | --- |
//! | commands, here or on the login node | `login` |
//! | what is asked of Slurm | `cluster` |
//! | what it says of a job | `job` |
//! | the folders of an array's points | `points` |

mod cluster;
mod error;
mod job;
mod login;
mod points;

pub use cluster::{Printed, Slurm, connect, is_here};
pub use error::SlurmError;
pub use job::{FORGOTTEN, JobNumber, JobPhase, SlurmJob};
pub use points::TaskEnd;
