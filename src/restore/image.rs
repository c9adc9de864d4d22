//! Whether a run's image can be had: asked before anything is changed.

use std::process::{Command, Stdio};

use mlbuild_manifests::RunRecord;

use super::command::PROGRAMS;
use super::error::RestoreError;
use crate::pull::cache;
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
) -> Result<String, RestoreError> {
    let exact = exact_image(record).ok_or_else(|| RestoreError::NoDigest {
        run: record.id.to_string(),
        reference: record.image.reference.clone(),
    })?;
    if !record.image.is_published() {
        let program = program.unwrap_or(PROGRAMS[0]);
        if is_here(program, &exact) {
            return Ok(exact);
        }
        return Err(never_pushed(record, program));
    }
    let reference = RegistryError::reference(&exact)?;
    let why = match registry.head(&reference).await {
        Ok(Some(_)) => return Ok(exact),
        Ok(None) => RegistryError::NotFound {
            reference: exact.clone(),
        },
        Err(error) => error,
    };
    let Some(program) = program else {
        return Err(RestoreError::NotInRegistry(why));
    };
    if is_here(program, &exact) {
        reporter.note(format!("{why}; this machine has the image"));
        return Ok(exact);
    }
    Err(RestoreError::NotAnywhere {
        run: record.id.to_string(),
        program: program.to_owned(),
        source: Box::new(why),
    })
}

fn is_here(program: &str, image: &str) -> bool {
    // It has a file of each image that it has started.
    if program == "apptainer" {
        return cache::has(image);
    }
    let status = Command::new(program)
        .args(["image", "inspect", "--", image])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status();
    status.is_ok_and(|status| status.success())
}

fn never_pushed(record: &RunRecord, program: &str) -> RestoreError {
    RestoreError::NeverPushed {
        run: record.id.to_string(),
        program: program.to_owned(),
        reference: record.image.reference.clone(),
        image_id: record.image.image_id.as_ref().map(ToString::to_string),
        host: record.host.as_ref().map(|host| host.name.clone()),
    }
}
