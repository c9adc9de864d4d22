//! `mlbuild` alone: what the folder holds, and what to type next.

use std::path::Path;

use mlbuild_templates::project::{ProjectFacts, detect};

use crate::error::CommandResult;
use crate::support::{output, project_file};
use mlbuild::config;
use mlbuild::settings;

/// Prints it; false where the folder holds nothing that an image could be made of.
///
/// # Errors
/// Where `mlbuild.toml` is wrong, or nothing can be printed.
pub fn run() -> CommandResult<bool> {
    let folder = settings::current_folder()?;
    let mut facts = detect(&folder);
    facts.use_lone_dockerfile();
    let file = config::find(&folder);
    if facts.findings.is_empty() && facts.scripts.is_empty() && file.is_none() {
        return Ok(false);
    }
    for problem in &facts.problems {
        output::warning(problem);
    }
    let has_command = match &file {
        Some(file) => config::read(file)?.image.command.is_some(),
        None => false,
    };
    output::answer(&text(&facts, file.as_deref(), has_command))?;
    Ok(true)
}

fn text(facts: &ProjectFacts, file: Option<&Path>, has_command: bool) -> String {
    let mut lines: Vec<String> = Vec::new();
    if let Some(name) = file.and_then(Path::file_name) {
        lines.push(format!("{}: used", name.to_string_lossy()));
    }
    lines.extend(facts.findings.iter().map(project_file::line));
    let up = match facts.scripts.first() {
        Some(script) if !has_command => {
            format!("mlbuild up python {}", mlbuild::shell::word(script))
        }
        _ => "mlbuild up".to_owned(),
    };
    let next = [
        (up, "make the image if anything changed, and run this in it"),
        (
            "mlbuild image --print dockerfile".to_owned(),
            "see what the image is made of",
        ),
    ];
    let width = next.iter().map(|(command, _)| command.len()).max();
    let width = width.unwrap_or_default();
    lines.extend([String::new(), "next:".to_owned()]);
    for (command, about) in &next {
        lines.push(format!("  {command:width$}    # {about}"));
    }
    lines.push(format!("  {:1$}    # all commands", "mlbuild help", width));
    lines.join("\n")
}
