//! `mlbuild templates`: the built-in templates as files that a person can read, and a check for
//! templates of one's own.

use std::path::{Path, PathBuf};

use clap::{Args, Subcommand, ValueHint};
use mlbuild_manifests::inside;
use mlbuild_templates::builtin::{self, Template};
use mlbuild_templates::own::{Finding, lint_template, taken_from_context};
use serde_json::json;

use crate::error::{CommandError, CommandResult};
use crate::support::format::Format;
use crate::support::output;

/// List, show, export and check templates.
#[derive(Debug, Clone, Args)]
pub struct TemplatesArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: TemplatesCommand,
}

/// What `mlbuild templates` does.
#[derive(Debug, Clone, Subcommand)]
pub enum TemplatesCommand {
    /// List the built-in templates.
    List {
        /// Form of the answer.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
    /// Print a template's Dockerfile.
    Show {
        /// Name of a built-in template.
        name: String,
    },
    /// Write a template's Dockerfile, to change it and use it with `--template FILE`.
    Export {
        /// Name of a built-in template.
        name: String,
        /// File to write.
        #[arg(default_value = "Dockerfile", value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Replace a file that is there.
        #[arg(long)]
        force: bool,
    },
    /// Check a template of your own: what it lacks and what a code edit would rebuild.
    Lint {
        /// A Dockerfile with ARGs.
        #[arg(value_hint = ValueHint::FilePath)]
        file: PathBuf,
        /// Form of the answer.
        #[arg(long, value_enum, default_value_t)]
        format: Format,
    },
}

/// Runs the verb.
///
/// # Errors
/// An unknown template, a file that can't be read or is there already; for `lint`,
/// [`mlbuild::error::ErrorKind::Work`] where something was found.
pub fn run(args: &TemplatesArgs) -> CommandResult {
    match &args.command {
        TemplatesCommand::List { format } => list(*format),
        TemplatesCommand::Show { name } => output::document(find(name)?.text),
        TemplatesCommand::Export { name, file, force } => export(&find(name)?, file, *force),
        TemplatesCommand::Lint { file, format } => lint(file, *format),
    }
}

fn find(name: &str) -> CommandResult<Template> {
    let all = builtin::list();
    if let Some(found) = all
        .into_iter()
        .find(|template| template.name.as_str() == name)
    {
        return Ok(found);
    }
    let names = all.map(|template| template.name.as_str());
    let error = CommandError::user(format!("there is no built-in template `{name}`"));
    Err(match mlbuild::nearest::nearest(name, names) {
        Some(near) => error.hint(format!("did you mean `{near}`?")),
        None => error.hint(format!("there are {}", names.join(", "))),
    })
}

fn list(format: Format) -> CommandResult {
    let all = builtin::list();
    match format {
        Format::Text => {
            let line = |template: &Template| {
                format!("{:<12}{}\n", template.name.as_str(), template.summary)
            };
            output::answer(&all.iter().map(line).collect::<String>())
        }
        Format::Json => {
            let object = |template: &Template| json!({ "name": template.name.as_str(), "summary": template.summary });
            let list: Vec<_> = all.iter().map(object).collect();
            output::answer(&serde_json::to_string_pretty(&list).expect("plain JSON"))
        }
    }
}

fn export(template: &Template, file: &Path, force: bool) -> CommandResult {
    let written = if force {
        inside::replace(Path::new("."), file, template.text.as_bytes())
    } else {
        mlbuild_manifests::atomic::create_new(file, template.text.as_bytes())
    };
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            CommandError::user(format!("{} is there already", file.display()))
                .hint("name another file, or give --force")
        }
        _ => CommandError::environment(format!("{}: {error}", file.display())),
    })?;
    output::note(&format!(
        "next: change it, then mlbuild image --template {}",
        mlbuild::shell::word(file.to_string_lossy())
    ));
    output::answer(&file.display().to_string())
}

/// What a Dockerfile copies and that lies in none of the folders that may be its context: its own, and those
/// above it up to where one stands.
fn absent(file: &Path, text: &str) -> Vec<Finding> {
    let Ok(file) = std::path::absolute(file) else {
        return Vec::new();
    };
    let here = std::env::current_dir().unwrap_or_default();
    let above = file.ancestors().skip(1);
    let contexts: Vec<&Path> = above
        .take_while(|folder| folder.starts_with(&here))
        .collect();
    let beside = file.parent().filter(|_| contexts.is_empty());
    let contexts: Vec<&Path> = contexts.into_iter().chain(beside).collect();
    let is_there = |path: &str| {
        let mut places = contexts.iter().map(|context| context.join(path));
        places.any(|place| place.symlink_metadata().is_ok())
    };
    let missing = taken_from_context(text, None).into_iter();
    let missing = missing.filter(|one| !is_there(&one.path));
    missing
        .map(|one| Finding {
            line: one.line,
            rule: "copy-missing",
            message: format!(
                "it takes {} from the context, and no such file is here",
                one.path
            ),
            hint: "correct the path, or make the file before the build".to_owned(),
        })
        .collect()
}

fn lint(file: &std::path::Path, format: Format) -> CommandResult {
    let name = file.display();
    let text = std::fs::read_to_string(file)
        .map_err(|error| CommandError::user(format!("{name}: {error}")))?;
    let refused = |refusal: mlbuild::pin::Refusal| {
        CommandError::user(format!("{name}:{}: {}", refusal.line, refusal.reason))
            .hint("BuildKit builds nothing from such a file")
    };
    mlbuild::pin::check(&text).map_err(refused)?;
    let mut findings =
        lint_template(&text).map_err(|error| CommandError::user(format!("{name}: {error}")))?;
    findings.extend(absent(file, &text));
    findings.sort_by_key(|finding| finding.line);
    match format {
        Format::Json => {
            output::answer(&serde_json::to_string_pretty(&findings).expect("plain JSON"))?
        }
        Format::Text => {
            for finding in &findings {
                output::answer(&format!(
                    "{name}:{}: {} ({})\n  {}",
                    finding.line, finding.message, finding.rule, finding.hint
                ))?;
            }
        }
    }
    match findings.len() {
        0 => Ok(()),
        count => Err(CommandError::work(format!(
            "{name}: {count} finding{}",
            if count == 1 { "" } else { "s" }
        ))),
    }
}
