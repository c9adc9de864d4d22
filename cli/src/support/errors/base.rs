//! Errors of `base`.

use crate::error::CommandError;
use mlbuild::base::BaseError;

impl From<BaseError> for CommandError {
    fn from(error: BaseError) -> Self {
        let made = match flag(&error) {
            Some(flag) => CommandError::new(error.kind(), format!("{flag} {error}")),
            None => CommandError::new(error.kind(), &error),
        };
        match error {
            BaseError::Epoch(error) => error.into(),
            BaseError::Registry(error) => error.into(),
            BaseError::SnapshotTime(_) => made.hint("write it as 20260301T000000Z"),
            BaseError::SnapshotOfNone(_) => {
                made.hint("add its address, without the time: --mirror URL")
            }
            BaseError::NotInstalled => made.hint("apt install mmdebstrap"),
            BaseError::NoArchive { .. } => made.hint("name one: --mirror URL"),
            BaseError::LogInOfArchive => {
                made.hint("give the address that the image is to name: --sources URL")
            }
            _ => made,
        }
    }
}

/// The flag that gave what the error begins with.
fn flag(error: &BaseError) -> Option<&'static str> {
    Some(match error {
        BaseError::Suite(_) | BaseError::NoList { .. } => "--suite",
        BaseError::Package(_) => "--include",
        BaseError::SnapshotTime(_) | BaseError::SnapshotOfNone(_) => "--snapshot",
        BaseError::Sources(_) => "--sources",
        BaseError::Output { .. } => "--output",
        _ => return None,
    })
}
