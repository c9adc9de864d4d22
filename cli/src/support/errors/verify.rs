//! Errors of `verify`.

use crate::error::CommandError;
use mlbuild::verify::VerifyError;

impl From<VerifyError> for CommandError {
    fn from(error: VerifyError) -> Self {
        let made = match &error {
            VerifyError::NoLock => CommandError::user(format!("--no-lock: {error}")),
            _ => CommandError::new(error.kind(), &error),
        };
        match error {
            VerifyError::Build(error) => (*error).into(),
            VerifyError::Run(error) => error.into(),
            VerifyError::LockBeside(error) => error.into(),
            VerifyError::Diff(error) => (*error).into(),
            VerifyError::NoLockBeside { .. } => {
                made.hint("images that mlbuild image pushes have one")
            }
            VerifyError::EmptyLock { .. } => {
                made.hint("build and push one: mlbuild image -t REGISTRY/NAME:TAG --push")
            }
            VerifyError::NoEntry { .. } => {
                made.hint("say which one: mlbuild verify -t NAME:TAG, with the image's other flags")
            }
            VerifyError::Derived { from, .. } => made.hint(format!(
                "verify what it was made from: mlbuild verify {}",
                mlbuild::shell::word(from)
            )),
            VerifyError::NotPinned { .. } => made.hint(
                "pin them with the image's flags, then push it again: mlbuild lock --method=assemble",
            ),
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
