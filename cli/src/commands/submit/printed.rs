//! The Job as text.

use std::borrow::Cow;

use mlbuild_secrets::{redact_command, redact_forms};
use serde_json::{Value, json};

use crate::error::{CommandError, CommandResult};
use crate::support::output;
use mlbuild::runtime::Options;
use mlbuild::runtime::kubernetes::RenderedJob;
use mlbuild::submit::SubmitOutcome;

/// `--output`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Yaml,
    Json,
}

impl Form {
    /// YAML where nothing is said.
    pub(super) fn of(own: &Options) -> Self {
        match own.text("output") {
            Some("json") => Self::Json,
            _ => Self::Yaml,
        }
    }
}

/// Prints the Job as it was written. Of its Secret, only names are shown.
pub(super) fn print(rendered: &RenderedJob, output: Form) -> CommandResult {
    if let Some(secret) = &rendered.secret {
        let name = secret.metadata.name.as_deref().unwrap_or_default();
        let keys = secret
            .string_data
            .iter()
            .flatten()
            .map(|(key, _)| key.as_str());
        output::note(&format!(
            "with the Secret {name}, which isn't printed: {}",
            keys.collect::<Vec<_>>().join(", ")
        ));
    }
    if !rendered.code.is_empty() {
        let names = rendered.code.iter();
        let names = names.filter_map(|secret| secret.metadata.name.as_deref());
        let names = names.collect::<Vec<_>>().join(", ");
        output::note(&format!(
            "with the code in the Secrets {names}, which aren't printed"
        ));
    }
    let mut all = vec![rendered.job.clone()];
    if let Some(service) = &rendered.service {
        // Before the Job, whose pods look for it.
        let service = serde_json::to_value(service).map_err(not_written)?;
        all.insert(0, service);
    }
    print_all(all, output)
}

/// The answer of `--detach`.
pub(super) fn print_started(outcome: &SubmitOutcome, own: &Options) -> CommandResult {
    if own.has("output") {
        return print_job(&outcome.job, Form::of(own));
    }
    match own.text("format") {
        Some("json") => output::answer(&format!(
            "{:#}",
            json!({
                "image": outcome.image,
                "job": outcome.at.name,
                "kind": outcome.at.kind.name(),
                "namespace": outcome.namespace,
                "run": outcome.run_id.as_str(),
            })
        )),
        _ => output::answer(&outcome.at.name),
    }
}

/// Prints a Job.
pub(super) fn print_job(job: &Value, output: Form) -> CommandResult {
    print_all(vec![job.clone()], output)
}

fn not_written(error: impl std::fmt::Display) -> CommandError {
    CommandError::work(format!("the Job can't be written: {error}"))
}

/// Prints objects as kubectl takes them: several documents of YAML, or a List of JSON.
fn print_all(mut documents: Vec<Value>, output: Form) -> CommandResult {
    let mut hid = false;
    for document in &mut documents {
        tidy(document);
        hid |= hide_secrets(document);
    }
    if hid {
        output::note("the Job holds what looks like a secret, which is not shown");
    }
    output::answer(&match (output, documents.as_slice()) {
        (Form::Json, [document]) => format!("{document:#}"),
        (Form::Json, all) => {
            format!(
                "{:#}",
                json!({"apiVersion": "v1", "kind": "List", "items": all})
            )
        }
        (Form::Yaml, all) => {
            let texts: CommandResult<Vec<String>> = all.iter().map(yaml).collect();
            texts?.join("---\n")
        }
    })
}

fn yaml(document: &Value) -> CommandResult<String> {
    // A reference on the line of its key, however long it is.
    serde_saphyr::to_string_with_options(
        document,
        serde_saphyr::ser_options! { prefer_block_scalars: false },
    )
    .map_err(not_written)
}

/// Takes secrets out of what is printed; true if there was one. Variables with secrets are in the
/// Job's Secret.
fn hide_secrets(document: &mut Value) -> bool {
    match document {
        Value::Object(map) => map.iter_mut().fold(false, |any, (key, value)| {
            let words = value
                .as_array()
                .filter(|_| key == "args" || key == "command");
            let words: Option<Vec<String>> = words.and_then(|words| {
                let text = |word: &Value| word.as_str().map(str::to_owned);
                words.iter().map(text).collect()
            });
            let Some(words) = words else {
                return hide_secrets(value) || any;
            };
            let shown = redact_command(&words);
            let hid = shown != words;
            *value = json!(shown);
            hid || any
        }),
        Value::Array(list) => {
            // All of them, without a stop at the first.
            let hidden = list
                .iter_mut()
                .filter_map(|value| hide_secrets(value).then_some(()));
            hidden.count() > 0
        }
        Value::String(text) => match redact_forms(text) {
            Cow::Owned(shown) => {
                *text = shown;
                true
            }
            Cow::Borrowed(_) => false,
        },
        _ => false,
    }
}

/// Leaves out what says nothing.
fn tidy(document: &mut Value) {
    if let Value::Object(map) = document {
        map.values_mut().for_each(tidy);
        map.retain(|key, value| {
            key != "managedFields" && (*value != json!({}) || key == "emptyDir")
        });
    } else if let Value::Array(list) = document {
        list.iter_mut().for_each(tidy);
    }
}
