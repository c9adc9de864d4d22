//! Whether a run's image can be had: asked before anything is changed.

use std::process::{Command, Stdio};

use mlbuild_manifests::RunRecord;

use super::command::PROGRAMS;
use crate::error::{CommandError, CommandResult};
use crate::records::exact_image;
use crate::registry::{Registry, RegistryError};
use crate::reporter::Reporter;

/// The image by digest (or by ID, where it was never pushed), once it is certain that a
/// registry or this machine's `program` has it. Without a program, only a registry will do.
///
/// # Errors
/// Where neither has it.
pub async fn check(
    record: &RunRecord,
    program: Option<&str>,
    registry: &Registry,
    reporter: &dyn Reporter,
) -> CommandResult<String> {
    let exact = exact_image(record).ok_or_else(|| {
        CommandError::user(format!(
            "run {} names no image that can be had: `{}` without a digest",
            record.id, record.image.reference
        ))
    })?;
    if !record.image.is_published() {
        let program = program.unwrap_or(PROGRAMS[0]);
        return match is_here(program, &exact) {
            true => Ok(exact),
            false => Err(never_pushed(record, program)),
        };
    }
    let reference = RegistryError::reference(&exact)?;
    let why: CommandError = match registry.head(&reference).await {
        Ok(Some(_)) => return Ok(exact),
        Ok(None) => RegistryError::NotFound {
            reference: exact.clone(),
        }
        .into(),
        Err(error) => error.into(),
    };
    let Some(program) = program else {
        return Err(why.hint("nothing was changed"));
    };
    if is_here(program, &exact) {
        reporter.note(format!("{}; this machine has the image", why.message()));
        return Ok(exact);
    }
    Err(CommandError::new(
        why.kind,
        format!(
            "the image of run {} can't be had: {}, and {program} doesn't have it either",
            record.id,
            why.message()
        ),
    )
    .hint("nothing was changed"))
}

fn is_here(program: &str, image: &str) -> bool {
    let status = Command::new(program)
        .args(["image", "inspect", image])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn never_pushed(record: &RunRecord, program: &str) -> CommandError {
    let host = record.host.as_ref().map(|host| host.name.as_str());
    let id = record.image.image_id.as_ref().map(ToString::to_string);
    let reference = &record.image.reference;
    CommandError::user(format!(
        "the image of run {} was never pushed, and {program} doesn't have it here: {reference}, \
         image ID {}, on {}",
        record.id,
        id.as_deref().unwrap_or("unknown"),
        host.unwrap_or("the machine that ran it"),
    ))
    .hint(format!(
        "carry it over from there: {program} save {reference} | ssh THIS-MACHINE {program} load"
    ))
}
