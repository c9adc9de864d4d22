//! The code that goes with a run: what its record says of it, so that restoring the run brings back the same.

use super::SubmitRequest;
use super::error::SubmitError;
use crate::records::{Snapshot, project_folder};
use crate::reporter::Reporter;
use crate::runtime::kubernetes::{CodeArchive, MOST_CODE};

/// The project's code as an archive, where it is to go with the run. `known` is its state, where the record has it.
///
/// # Errors
/// Where the project is in no repository or has no commit, git fails, or there is too much.
pub(super) fn archive(
    request: &SubmitRequest,
    known: Option<Snapshot>,
    reporter: &dyn Reporter,
) -> Result<Option<CodeArchive>, SubmitError> {
    if request.flags.code_folder().is_none() {
        return Ok(None);
    }
    let project = project_folder(&request.folder);
    let is_told = known.is_some();
    let snapshot = match known {
        Some(known) => known,
        None => Snapshot::take(&project)
            .map_err(|error| SubmitError::Code(error.into()))?
            .ok_or_else(|| SubmitError::NoRepository {
                folder: project.clone(),
            })?,
    };
    let packed = snapshot.pack(&project).map_err(SubmitError::Code)?;
    let (size, state) = (packed.bytes.len(), &snapshot.state);
    if size > MOST_CODE {
        return Err(SubmitError::CodeTooLarge {
            size,
            largest: packed.largest,
        });
    }
    let unrecorded = state.left_out.iter();
    if is_told && !state.left_out.is_empty() {
        reporter.warning("what isn't recorded of the code isn't sent either");
    }
    for left_out in unrecorded.filter(|_| !is_told).chain(&packed.left_out) {
        reporter.warning(format!("not sent: {left_out}"));
    }
    let commit = state.commit.as_deref().unwrap_or_default();
    let changes = if snapshot.patch.is_some() {
        " and what was changed since"
    } else {
        ""
    };
    let commit = commit.get(..12).unwrap_or(commit);
    let size = size.div_ceil(1024);
    reporter.note(format!("code: {commit}{changes}, {size} KiB as an archive"));
    let here = request.folder.strip_prefix(&project).unwrap_or(&project);
    let here = if here.is_absolute() {
        String::new()
    } else {
        here.to_string_lossy().into_owned()
    };
    Ok(Some(CodeArchive {
        bytes: packed.bytes,
        here,
    }))
}
