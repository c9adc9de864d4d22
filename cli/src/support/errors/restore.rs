//! Errors of bringing a run back.

use crate::error::CommandError;
use mlbuild::records::GitError;
use mlbuild::records::checkout::CheckoutError;
use mlbuild::restore::{RestoreError, WandbSource};
use mlbuild::shell::word;

impl From<RestoreError> for CommandError {
    fn from(error: RestoreError) -> Self {
        let made = CommandError::new(error.kind(), &error);
        match error {
            RestoreError::Sif(error) => error.into(),
            RestoreError::Store(error) => error.into(),
            RestoreError::NotRecorded(error) => {
                CommandError::from(error).hint("or name its image: --from IMAGE")
            }
            RestoreError::Registry(error) => error.into(),
            RestoreError::Attached(error) => error.into(),
            RestoreError::NoPushedImage => {
                CommandError::user(format!("--from registry: {}", made.message()))
                    .hint("name one: --from IMAGE")
            }
            RestoreError::NotAttached { .. } => {
                made.hint("name the image that it ran: --from IMAGE")
            }
            RestoreError::NeverPushed {
                program, reference, ..
            } => made.hint(format!(
                "carry it over from there: {program} save {} | ssh THIS-MACHINE {program} load",
                word(reference)
            )),
            RestoreError::NotInRegistry(error) => {
                CommandError::from(error).hint("nothing was changed")
            }
            RestoreError::NotAnywhere { .. } => made.hint("nothing was changed"),
            RestoreError::NoCode { .. } => {
                CommandError::user(format!("--worktree: {}", made.message()))
            }
            RestoreError::Code {
                source: CheckoutError::WorktreeTaken(_),
                ..
            } => CommandError::user(format!("--worktree {}", made.message()))
                .hint("name another folder"),
            RestoreError::Code {
                run,
                remote,
                source,
            } => code_hints(&source, &run, remote.as_deref())
                .into_iter()
                .fold(made, CommandError::hint),
            RestoreError::Tracker(error) => error.into(),
            RestoreError::Wandb {
                from: WandbSource::File(_),
                ..
            } => CommandError::user(format!("--wandb-metadata {}", made.message())),
            RestoreError::WandbNoImage {
                from: WandbSource::File(_),
            } => CommandError::user(format!("--wandb-metadata {}", made.message()))
                .hint("give what it ran in as a digest: \"docker\": \"NAME@sha256:…\""),
            RestoreError::WandbNoImage { .. } => made.hint(
                "download its wandb-metadata.json, write \"docker\": \"NAME@sha256:…\" into it, and give it: --wandb-metadata FILE",
            ),
            RestoreError::MlflowNoImage { .. } => made.hint(
                "it wasn't started in a container of mlbuild's, or without the Python package mlbuild in the image",
            ),
            _ => made,
        }
    }
}

/// What to type where the code can't be had.
fn code_hints(error: &CheckoutError, run: &str, remote: Option<&str>) -> Vec<String> {
    let code_stays = "the image and the command only: --no-code".to_owned();
    match error {
        CheckoutError::Git(GitError::NotInstalled | GitError::Io { .. }) => {
            vec!["install git; or the image and the command only: --no-code".to_owned()]
        }
        CheckoutError::Git(GitError::NotARepository(_)) => vec![match remote {
            Some(remote) => format!("git clone {}, and restore in there", argument(remote)),
            None => code_stays,
        }],
        CheckoutError::BranchExists(branch) => vec![
            format!("git switch {}, if it is this run's", argument(branch)),
            format!(
                "to make it anew: git branch -m {} {}",
                argument(branch),
                word(format!("{branch}-old"))
            ),
        ],
        CheckoutError::Dirty(_) => vec![
            "put them away: git stash --include-untracked".to_owned(),
            format!("or leave them, and restore beside: mlbuild restore {run} --worktree ../{run}"),
        ],
        CheckoutError::OtherRepository { recorded, .. } => vec![
            format!("git clone {}, and restore in there", argument(recorded)),
            format!("or, if it moved: git remote add run {}", argument(recorded)),
        ],
        CheckoutError::NoSuchCommit { .. } => {
            vec!["push it from the repository that the run was started in (git push)".to_owned()]
        }
        CheckoutError::NoCommit(id) => vec![
            format!("all its files: mlbuild runs show {id} --patch | git apply"),
            code_stays,
        ],
        _ => Vec::new(),
    }
}

/// A word that can't be taken for an option.
fn argument(text: &str) -> String {
    let dashes = if text.starts_with('-') { "-- " } else { "" };
    format!("{dashes}{}", word(text))
}
