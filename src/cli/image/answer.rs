//! The answer on stdout, and the files that hold it.

use std::path::Path;

use mlbuild_progress::Warning;
use serde_json::{Value, json};

use super::publish::Confirmed;
use crate::builder::BuildOutput;
use crate::cli::output;
use crate::error::{CommandError, CommandResult};
use crate::flags::Format;
use crate::plan::{BuildPlan, Output};
use crate::settings::{AnswerSettings, ImageSettings};

/// What is printed at the end.
#[derive(Debug, Clone)]
pub struct Answer {
    text: String,
    json: Value,
    /// What `--iidfile` holds.
    id: Option<String>,
    /// What `--metadata-file` holds.
    metadata: Option<Value>,
    /// True if an output went to stdout: a word after its last byte would spoil it.
    stdout_is_taken: bool,
}

impl Answer {
    /// After a build.
    pub fn built(
        settings: &ImageSettings,
        built: &BuildOutput,
        confirmed: Option<&Confirmed>,
        run: Option<String>,
    ) -> Self {
        let digest = confirmed
            .map(|confirmed| confirmed.descriptor.digest().to_string())
            .or_else(|| built.docker_id.clone())
            .or_else(|| built.digest());
        let text = match (confirmed, &built.docker_id) {
            (Some(confirmed), _) => confirmed.pinned(),
            (None, Some(id)) => id.clone(),
            (None, None) => digest.clone().unwrap_or_default(),
        };
        let metadata: serde_json::Map<String, Value> = built
            .response
            .iter()
            .map(|(key, value)| (key.clone(), metadata_value(key, value)))
            .collect();
        Answer {
            json: json!({
                "action": "built",
                "image": settings.tags[0].to_string(),
                "tags": settings.tags.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "pinned": confirmed.map(Confirmed::pinned),
                "digest": digest,
                "image_id": built.docker_id,
                "pushed": confirmed.is_some(),
                "run_id": run,
                "lock": lock_file(settings),
            }),
            id: digest,
            metadata: Some(Value::Object(metadata)),
            text,
            stdout_is_taken: settings.build.outputs.iter().any(Output::is_stdout),
        }
    }

    /// Nothing had changed.
    pub fn unchanged(
        settings: &ImageSettings,
        digest: &str,
        pushed: bool,
        run: Option<String>,
    ) -> Self {
        let pinned = pushed.then(|| format!("{}@{digest}", settings.tags[0]));
        Answer {
            text: pinned.clone().unwrap_or_else(|| digest.to_owned()),
            json: json!({
                "action": "unchanged",
                "image": settings.tags[0].to_string(),
                "tags": settings.tags.iter().map(ToString::to_string).collect::<Vec<_>>(),
                "pinned": pinned,
                "digest": digest,
                "image_id": (!pushed).then_some(digest),
                "pushed": pushed,
                "run_id": run,
                "lock": lock_file(settings),
            }),
            id: Some(digest.to_owned()),
            metadata: Some(json!({ "containerimage.digest": digest })),
            stdout_is_taken: false,
        }
    }

    /// What would be built.
    pub fn dry_run(plan: &BuildPlan, changed: &[String]) -> Self {
        let mut text = String::new();
        if changed.is_empty() {
            text.push_str("nothing changed since the lock: no build\n");
        }
        for reason in changed {
            text.push_str(&format!("would build: {reason}\n"));
        }
        for (base, digest) in &plan.bases {
            text.push_str(&format!(
                "base {base}@{}\n",
                digest.as_deref().unwrap_or("(not pinned)")
            ));
        }
        Answer {
            json: json!({ "action": "dry-run", "changed": changed, "plan": plan }),
            id: None,
            metadata: None,
            text,
            stdout_is_taken: false,
        }
    }

    /// Prints it, and writes the files that were asked for.
    ///
    /// # Errors
    /// Where a file or stdout can't be written.
    pub fn print(&self, settings: &AnswerSettings) -> CommandResult {
        if let (Some(file), Some(id)) = (&settings.iidfile, &self.id) {
            write("--iidfile", file, id.as_bytes())?;
        }
        if let (Some(file), Some(metadata)) = (&settings.metadata_file, &self.metadata) {
            let mut text = serde_json::to_string_pretty(metadata).expect("metadata is plain JSON");
            text.push('\n');
            write("--metadata-file", file, text.as_bytes())?;
        }
        match settings.format {
            _ if self.stdout_is_taken => Ok(()),
            Format::Text if self.text.is_empty() => Ok(()),
            Format::Text => output::answer(&self.text),
            Format::Json => {
                output::answer(&serde_json::to_string_pretty(&self.json).expect("plain JSON"))
            }
        }
    }
}

fn lock_file(settings: &ImageSettings) -> Option<String> {
    settings
        .lock
        .file
        .as_ref()
        .map(|file| file.display().to_string())
}

fn write(flag: &str, file: &Path, bytes: &[u8]) -> CommandResult {
    mlbuild_manifests::atomic::replace(file, bytes)
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
    match key.starts_with("containerimage.") || key.starts_with("buildx.") {
        true => decoded().unwrap_or_else(|| Value::String(value.to_owned())),
        false => Value::String(value.to_owned()),
    }
}

/// A finding of BuildKit's linter in one line.
pub fn lint(warning: &Warning, dockerfile: &str) -> String {
    match &warning.source {
        Some(source) => format!("{dockerfile}:{}: {}", source.first_line, warning.short),
        None => warning.short.clone(),
    }
}
