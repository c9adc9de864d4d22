//! Whether mlbuild writes the image's final bytes, and to which time all others are held.

use super::PlanningError;
use crate::plan::{Context, Repack};
use crate::records::Git;
use crate::settings::ImageSettings;

/// How the final bytes are written, where the user asks for it.
///
/// # Errors
/// Where no time can be found that all others are held to, or the builder is asked for what only
/// it could write.
pub(super) fn repack(settings: &ImageSettings) -> Result<Option<Repack>, PlanningError> {
    let build = &settings.build;
    let Some(compression) = build.repack else {
        return Ok(None);
    };
    if let Some((name, _)) = build.attestations.iter().find(|(_, value)| value.is_some()) {
        return Err(PlanningError::RepackAttested { name: name.clone() });
    }
    let given = build.image.iter().flatten();
    let builders_own = |name: &str| name != "push" && !name.starts_with("annotation.");
    if let Some((name, _)) = given.clone().find(|(name, _)| builders_own(name)) {
        return Err(PlanningError::RepackOption { name: name.clone() });
    }
    let epoch = match build.source_date_epoch {
        Some(epoch) => epoch,
        None => commit_time(&settings.context).ok_or(PlanningError::RepackWithoutTime)?,
    };
    Ok(Some(Repack { epoch, compression }))
}

/// When the folder's commit was made, in seconds since 1970-01-01.
fn commit_time(context: &Context) -> Option<i64> {
    let Context::Folder { path } = context else {
        return None;
    };
    let time = Git::at(path).text(&["log", "-1", "--format=%ct"]).ok()?;
    time.trim().parse().ok()
}
