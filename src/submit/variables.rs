//! Variables: read here, because a pod knows nothing of this machine. What looks like a secret goes
//! into a Secret of the cluster, since everybody who may look at a Job sees its variables.

use mlbuild_manifests::RunId;
use mlbuild_secrets::must_hide;

use super::SubmitRequest;
use super::error::SubmitError;
use crate::env_vars::{MLBUILD_IMAGE, MLBUILD_RUN_ID, WANDB_API_KEY, WANDB_DOCKER, WANDB_RUN_ID};
use crate::runtime::kubernetes::run_of_each_point;
use crate::runtime::{Assignment, Value, assignments};
use crate::start::credentials;

/// The variables of the container, with their values.
pub(super) struct Variables {
    pub(super) plain: Vec<Assignment>,
    pub(super) secret: Vec<Assignment>,
}

pub(super) fn gather(
    request: &SubmitRequest,
    pinned: Option<&str>,
) -> Result<Variables, SubmitError> {
    let options = &request.spec.options;
    let mut all: Vec<Assignment> = Vec::new();
    let mut set = |name: &str, value: String| {
        all.retain(|known| known.name != name);
        all.push(Assignment {
            name: name.to_owned(),
            value: Some(value),
        });
    };
    set(MLBUILD_RUN_ID, request.run_id.to_string());
    if let Some(pinned) = pinned {
        set(MLBUILD_IMAGE, pinned.to_owned());
        set(WANDB_DOCKER, pinned.to_owned());
    }
    // The run that the tracker was told to log is this one.
    if std::env::var(WANDB_RUN_ID).is_ok_and(|id| id == request.run_id.as_str()) {
        set(WANDB_RUN_ID, request.run_id.to_string());
    }
    let mut given = Vec::new();
    for file in options.all("env-file") {
        given.extend(from_file("env-file", &file.to_string())?);
    }
    given.extend(request.spec.env().cloned());
    if request.defaults && !has_key(request, &given) {
        let key = credentials::tracker_key(options.all("env"));
        given.extend(key.map(|key| Assignment {
            name: WANDB_API_KEY.to_owned(),
            value: Some(key),
        }));
    }
    for Assignment { name, value } in given {
        check_name(&name)?;
        // By name alone it has this machine's value; where it has none here, it is not set.
        if let Some(value) = value.or_else(|| std::env::var(&name).ok()) {
            set(&name, value);
        }
    }
    let (secret, plain) = all.into_iter().partition(is_secret_variable);
    Ok(Variables { plain, secret })
}

/// Gives each point of an array the id of its own run.
pub(super) fn of_each_point(variables: &mut Variables, run: &RunId) {
    for variable in &mut variables.plain {
        let is_run = variable.value.as_deref() == Some(run.as_str());
        if is_run && [MLBUILD_RUN_ID, WANDB_RUN_ID].contains(&variable.name.as_str()) {
            variable.value = Some(run_of_each_point(run.as_str()));
        }
    }
}

fn is_secret_variable(variable: &Assignment) -> bool {
    must_hide(
        &variable.name,
        variable.value.as_deref().unwrap_or_default(),
    )
}

/// Whether the tracker's key is already spoken of: a Secret of the cluster may hold it.
fn has_key(request: &SubmitRequest, given: &[Assignment]) -> bool {
    let is_key = |assignment: &Assignment| assignment.name == WANDB_API_KEY;
    let of_secret = |value: &Value| matches!(value, Value::Assignment(a) if is_key(a));
    given.iter().any(is_key) || request.flags.options().all("secret-env").any(of_secret)
}

/// A file of variables or labels.
pub(super) fn from_file(flag: &'static str, path: &str) -> Result<Vec<Assignment>, SubmitError> {
    let text = std::fs::read_to_string(path).map_err(|source| SubmitError::File {
        flag,
        path: path.to_owned(),
        source,
    })?;
    assignments(&text).map_err(|(line, why)| SubmitError::Line {
        flag,
        path: path.to_owned(),
        line,
        why,
    })
}

/// What a variable may be called in a pod, and in a Secret.
pub(super) fn check_name(name: &str) -> Result<(), SubmitError> {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_-.".contains(c);
    if name.chars().all(is_plain) && !name.starts_with(|c: char| c.is_ascii_digit()) {
        return Ok(());
    }
    Err(SubmitError::VariableName {
        name: name.to_owned(),
    })
}
