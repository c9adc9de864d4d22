//! Errors of `rebase`.

use crate::error::CommandError;
use mlbuild::rebase::RebaseError;

impl From<RebaseError> for CommandError {
    fn from(error: RebaseError) -> Self {
        let anew = "make it on that base in its project: mlbuild image --base NEW, with the image's other flags";
        let made = CommandError::new(error.kind(), &error);
        match error {
            RebaseError::Build(error) => (*error).into(),
            RebaseError::NotAssembled { .. } => made.hint(anew).hint(
                "images that mlbuild assembles say so: mlbuild image --method=assemble --push",
            ),
            RebaseError::Note { .. } | RebaseError::Layers { .. } => made.hint(anew),
            RebaseError::OldBase { .. } => made
                .hint("what is the image's own is told from its base: name a copy of it (--old-base)")
                .hint(anew),
            RebaseError::StrangeBase { base, .. } => made.hint(format!(
                "if you know it, say that it is to be asked: --old-base {}",
                mlbuild::shell::word(base.split('@').next().unwrap_or_default())
            )),
            RebaseError::Another { .. } => made
                .hint("it was changed after it was assembled, as by adopt: rebase the image that it was made from")
                .hint(anew),
            RebaseError::Platform { .. } => {
                made.hint("name a base that has the image's platforms (--base)")
            }
            RebaseError::Unfit { .. } => made
                .hint("name a base that is nearer to the one that it has (--base)")
                .hint(anew),
            RebaseError::Docker { .. } => {
                made.hint("push it (--push), or write it to a file: -o type=oci,dest=image.tar")
            }
            RebaseError::NoImage { .. } | RebaseError::Layer(_) => made,
        }
    }
}
