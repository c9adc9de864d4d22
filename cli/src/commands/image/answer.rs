//! The answer on stdout, and the files that hold it.

use std::path::Path;

use mlbuild_manifests::LockFile;
use mlbuild_manifests::inside;
use mlbuild_progress::printable;
use mlbuild_secrets::{redact, redact_json};
use serde::Serialize;
use serde_json::{Map, Value, json};

use crate::error::{CommandError, CommandResult};
use crate::support::errors::settings::typed;
use crate::support::format::Format;
use crate::support::image_args::{OutputArgs, Print};
use crate::support::{output, size};
use mlbuild::build::{BuildOutcome, DryRun, Planned};
use mlbuild::plan::Place;
use mlbuild::planning::explain::{Choice, Origin};
use mlbuild::planning::sent::{self, Amount, ContextSurvey};

/// Prints what came out, and writes the files that were asked for.
pub(super) fn built(outcome: &BuildOutcome, args: &OutputArgs) -> CommandResult {
    if let (Some(file), Some(digest)) = (&args.iidfile, &outcome.digest) {
        write("--iidfile", file, digest.as_bytes())?;
    }
    if let Some(file) = &args.metadata_file {
        let values = outcome.exporter_response.iter();
        let metadata: Map<String, Value> = values
            .map(|(key, value)| (key.clone(), metadata_value(key, value)))
            .collect();
        let mut text = pretty(&metadata);
        text.push('\n');
        write("--metadata-file", file, text.as_bytes())?;
    }
    match args.format {
        // A word after an output's last byte would spoil it.
        _ if outcome.wrote_stdout => Ok(()),
        Format::Text if outcome.name().is_empty() => Ok(()),
        Format::Text => output::answer(outcome.name()),
        Format::Json => output::answer(&pretty(&json!(outcome))),
    }
}

/// Prints what would be built.
pub(super) fn dry_run(outcome: &DryRun, format: Format) -> CommandResult {
    let DryRun::Planned { changed, plan } = outcome else {
        return output::answer("would pin packages anew, and build");
    };
    if format == Format::Json {
        let document = json!({ "action": "dry-run", "changed": changed, "plan": plan });
        return output::answer(&redact_json(&pretty(&document)));
    }
    let mut text = String::new();
    if changed.is_empty() {
        text.push_str("nothing changed since the lock: no build\n");
    }
    for reason in changed {
        text.push_str(&format!("would build: {}\n", printable::line(reason)));
    }
    for (base, digest) in &plan.bases {
        text.push_str(&format!(
            "base {}@{}\n",
            printable::line(base),
            digest.as_deref().unwrap_or("(not pinned)")
        ));
    }
    output::answer(&text)
}

/// Prints one document of the plan.
pub(super) fn print(what: Print, planned: &Planned, format: Format) -> CommandResult {
    let plan = &planned.plan;
    if matches!(what, Print::Context | Print::Plan) {
        sent::absent(plan)
            .iter()
            .for_each(|line| output::warning(line));
    }
    match what {
        Print::Context => match sent::look(plan)? {
            Some(survey) if format == Format::Json => output::answer(&pretty(&survey)),
            Some(survey) => output::answer(&context(&survey)),
            None => Err(CommandError::user(
                "the context is no folder of this machine; only the builder reads it",
            )),
        },
        Print::Dockerfile if plan.dockerfile.text.is_empty() => Err(CommandError::user(
            "the Dockerfile lies in the remote context; only the builder reads it",
        )),
        Print::Dockerfile => output::document(&plan.dockerfile.text),
        Print::Plan => output::answer(&redact_json(&pretty(plan))),
        Print::Lock => match &planned.locked {
            Some(entry) => {
                let mut one = LockFile::default();
                one.insert(entry.clone());
                output::document(&one.to_toml())
            }
            None => Err(CommandError::user(format!(
                "{} has no entry for {}",
                planned.lock.as_deref().unwrap_or("the lock"),
                planned.image
            ))
            .hint("build the image once: the same command without --print")),
        },
    }
}

/// Prints the decisions about an image, one line each.
pub(super) fn explained(choices: &[Choice], format: Format) -> CommandResult {
    if format == Format::Json {
        let one = |choice: &Choice| {
            let from = as_typed(&choice.from);
            json!({ "what": choice.what, "value": choice.value, "from": from })
        };
        let choices: Vec<Value> = choices.iter().map(one).collect();
        return output::answer(&redact_json(&pretty(&json!({ "choices": choices }))));
    }
    let row = |choice: &Choice| {
        let from = as_typed(&choice.from);
        let (value, from) = (redact(&choice.value), redact(&from));
        [
            choice.what.to_owned(),
            value.into_owned(),
            from.into_owned(),
        ]
    };
    let rows: Vec<[String; 3]> = choices.iter().map(row).collect();
    output::answer(output::table(&rows).trim_end())
}

/// Where a decision comes from, with the flag that a field of the request is.
fn as_typed(origin: &Origin) -> String {
    match origin {
        Origin::Asked { field, value } => {
            let flag = typed(Place::Request(field));
            match value {
                Some(value) => format!("{flag} {value}"),
                None => flag,
            }
        }
        Origin::Said(text) => text.clone(),
    }
}

/// What is sent and what isn't, one line an entry.
fn context(survey: &ContextSurvey) -> String {
    let mut rows: Vec<[String; 4]> = Vec::new();
    for entry in &survey.entries {
        let files = match entry.files {
            _ if !entry.path.ends_with('/') => String::new(),
            1 => " (1 file)".to_owned(),
            files => format!(" ({files} files)"),
        };
        rows.push([
            if entry.sent { "sent" } else { "left out" }.to_owned(),
            size::bytes(entry.bytes),
            format!("{}{files}", entry.path),
            entry.why.to_string(),
        ]);
    }
    let amount = |amount: Amount| {
        let size = size::bytes(amount.bytes);
        format!("{size} in {} files", amount.files)
    };
    let (sent, left_out) = (amount(survey.sent), amount(survey.left_out));
    format!("{}sent: {sent}; left out: {left_out}", output::table(&rows))
}

fn pretty(document: &impl Serialize) -> String {
    serde_json::to_string_pretty(document).expect("plain data")
}

fn write(flag: &str, file: &Path, bytes: &[u8]) -> CommandResult {
    inside::replace(Path::new("."), file, bytes)
        .map_err(|error| CommandError::environment(format!("{flag} {}: {error}", file.display())))
}

/// buildx decodes the values that are base64 JSON; people's scripts expect it.
fn metadata_value(key: &str, value: &str) -> Value {
    use base64::Engine as _;
    let decoded = || {
        let bytes = base64::engine::general_purpose::STANDARD
            .decode(value)
            .ok()?;
        serde_json::from_slice::<Value>(&bytes)
            .ok()
            .filter(Value::is_object)
    };
    let is_encoded = key.starts_with("containerimage.") || key.starts_with("buildx.");
    let decoded = is_encoded.then(decoded).flatten();
    decoded.unwrap_or_else(|| Value::String(value.to_owned()))
}
