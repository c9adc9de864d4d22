//! Errors of images and their layers.

use crate::error::CommandError;
use mlbuild::image::reown::{Remedy, ReownError};

impl From<ReownError> for CommandError {
    fn from(error: ReownError) -> Self {
        let ReownError::Refused { remedy, .. } = &error else {
            return CommandError::work(&error);
        };
        CommandError::user(&error).hint(match remedy {
            Remedy::BuildForOwner => "build it for these ids: mlbuild image --uid N --gid M",
            Remedy::KeepName => "leave out --name: the user then keeps its name and its home",
            Remedy::OtherName => "give another --name",
            Remedy::PushAgain => "push it again",
        })
    }
}
