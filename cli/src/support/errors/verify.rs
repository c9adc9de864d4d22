//! Errors of `verify`.

use crate::error::CommandError;
use mlbuild::rebase::RebaseError;
use mlbuild::verify::VerifyError;

impl From<VerifyError> for CommandError {
    fn from(error: VerifyError) -> Self {
        let made = match &error {
            VerifyError::NoLock => CommandError::user(format!("--no-lock: {error}")),
            _ => CommandError::new(error.kind(), &error),
        };
        match error {
            VerifyError::Build(error) => (*error).into(),
            VerifyError::Sif(error) => (*error).into(),
            VerifyError::Run(error) => error.into(),
            VerifyError::LockBeside(error) => error.into(),
            VerifyError::Diff(error) => (*error).into(),
            VerifyError::Apart(error) => match *error {
                RebaseError::StrangeBase { base, .. } => made.hint(format!(
                    "if you know it, say that it is to be asked: --base {}",
                    mlbuild::shell::word(base.split('@').next().unwrap_or_default())
                )),
                RebaseError::Another { .. } => made.hint(
                    "it was changed after it was assembled, as by mlbuild adopt: verify the image that it was made from",
                ),
                error => error.into(),
            },
            VerifyError::NoLockBeside { .. } => {
                made.hint("images that mlbuild image pushes have one")
            }
            VerifyError::EmptyLock { .. } => {
                made.hint("build and push one: mlbuild image -t REGISTRY/NAME:TAG --push")
            }
            VerifyError::NoEntry { .. } => {
                made.hint("say which one: mlbuild verify -t NAME:TAG, with the image's other flags")
            }
            VerifyError::Derived { from, base, .. } => {
                let from = mlbuild::shell::word(from);
                let made = made.hint(format!(
                    "verify what it was made from: mlbuild verify {from}"
                ));
                match base {
                    Some(base) => made.hint(format!(
                        "and put that on the base once more, which prints the digest that this one has to have: mlbuild rebase {from} --base {} --dry-run",
                        mlbuild::shell::word(base)
                    )),
                    None => made,
                }
            }
            VerifyError::NotPinned { image, .. } => {
                let image = mlbuild::shell::word(image.to_string());
                made.hint(format!("what is in it can be seen, and held against another image: mlbuild inspect {image}, mlbuild diff {image} OTHER"))
                    .hint("from its next push on it can be proved: pin its packages with the image's flags (mlbuild lock --method=assemble), then push it again")
            }
            VerifyError::Unproved { image, .. } => {
                let image = mlbuild::shell::word(image.to_string());
                made.hint("its code and settings are proved, too, in a clone of its project with the lock that names it: mlbuild verify -t NAME:TAG")
                    .hint(format!("what is in it can be seen: mlbuild inspect {image}"))
            }
            VerifyError::NeverPushed { is_local: true, .. } => {
                made.hint("lock and push it under a registry's name: -t REGISTRY/NAME:TAG")
            }
            VerifyError::NeverPushed { .. } => {
                made.hint("push it, with the image's flags: mlbuild image --push --locked")
            }
            VerifyError::OtherProject { .. } => made.hint(
                "check out the commit that the image was built from, and give the flags that it was built with",
            ),
            VerifyError::RunNotPushed { .. } | VerifyError::NoLock => made,
        }
    }
}
