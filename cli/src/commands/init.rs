//! `mlbuild init`: a commented `mlbuild.toml` from what the folder holds.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use mlbuild_manifests::inside;
use mlbuild_templates::project::{ProjectFacts, detect};

use crate::error::{CommandError, CommandResult};
use crate::support::{output, project_file};
use mlbuild::config::FILE_NAME;

/// Write an mlbuild.toml from what the folder holds.
///
/// Requirements files, lock files, frameworks and scripts of the folder are
/// looked at; what they say is written down, the rest stands there as comments.
#[derive(Debug, Clone, Args)]
pub struct InitArgs {
    /// Folder of the project.
    #[arg(default_value = ".", value_hint = ValueHint::DirPath)]
    pub folder: PathBuf,
    /// Image name to write, such as ghcr.io/me/cracks.
    #[arg(short, long, value_name = "REFERENCE")]
    pub tag: Option<String>,
    /// Replace an mlbuild.toml that is there.
    #[arg(long)]
    pub force: bool,
    /// Print it instead of writing it.
    #[arg(long)]
    pub print: bool,
}

/// Runs the verb.
///
/// # Errors
/// Where the folder isn't one, or the file is there already.
pub fn run(args: &InitArgs) -> CommandResult {
    if !args.folder.is_dir() {
        return Err(CommandError::user(format!(
            "{}: there is no such folder",
            args.folder.display()
        )));
    }
    if let Some(tag) = &args.tag {
        crate::support::value::parse::<oci_spec::distribution::Reference>("--tag", tag)?;
    }
    let mut facts = detect(&args.folder);
    facts.use_lone_dockerfile();
    for problem in &facts.problems {
        output::warning(problem);
    }
    for found in &facts.findings {
        output::note(&project_file::line(found));
    }
    let text = render(&facts, args.tag.as_deref());
    if args.print {
        return output::document(&text);
    }
    let path = args.folder.join(FILE_NAME);
    let written = if args.force {
        inside::replace(&args.folder, &path, text.as_bytes())
    } else {
        mlbuild_manifests::atomic::create_new(&path, text.as_bytes())
    };
    written.map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => {
            CommandError::user(format!("{} is there already", path.display()))
                .hint("mlbuild init --print shows what would be written; --force replaces the file")
        }
        _ => CommandError::environment(format!("{}: {error}", path.display())),
    })?;
    output::note("next: mlbuild image --print dockerfile");
    output::answer(&path.display().to_string())
}

fn render(facts: &ProjectFacts, tag: Option<&str>) -> String {
    let mut text = String::from(
        "# What `mlbuild image` builds. Flags win over this file.\n# Every key: mlbuild schema\n\n[image]\n",
    );
    let mut line = |is_set: bool, code: &str, about: &str| {
        let mark = if is_set { "" } else { "# " };
        text.push_str(&format!("# {about}\n{mark}{code}\n"));
    };
    line(
        tag.is_some(),
        &format!(
            "tag = {}",
            quoted(tag.unwrap_or("registry.example/me/project"))
        ),
        "Where it is pushed; a list gives several names.",
    );
    if let Some(own) = facts.lone_dockerfile() {
        line(
            true,
            &format!("dockerfile = {}", quoted(own)),
            "The project's own, as it is; without it a template is filled.",
        );
    }
    let template = facts.template.to_string();
    line(
        facts.lone_dockerfile().is_none(),
        &format!("template = {}", quoted(&template)),
        "python, tensorflow, pytorch, cuda, or a Dockerfile or folder of yours.",
    );
    line(
        false,
        "base = \"python:3.12-slim\"",
        "Base image; without it the template and the accelerator choose.",
    );
    line(
        false,
        "gpu = \"cuda\"",
        "auto (what this host has), cuda, rocm or off.",
    );
    let version = facts
        .python
        .as_ref()
        .map_or("3.12".to_owned(), ToString::to_string);
    line(
        facts.python.is_some(),
        &format!("python = {}", quoted(&version)),
        "Python version.",
    );
    let inputs = requirements(facts);
    let shown = if inputs.is_empty() {
        vec!["requirements.txt".to_owned()]
    } else {
        inputs.clone()
    };
    line(
        !inputs.is_empty(),
        &format!("requirements = {}", list(&shown)),
        "Requirements files, a pylock.toml, or a pyproject.toml beside its uv.lock.",
    );
    let apt: Vec<String> = facts.apt.iter().map(ToString::to_string).collect();
    let shown = if apt.is_empty() {
        vec!["ffmpeg".to_owned()]
    } else {
        apt.clone()
    };
    line(
        !apt.is_empty(),
        &format!("apt = {}", list(&shown)),
        "Debian packages.",
    );
    if let Some(command) = facts.post_build_command() {
        let command = quoted(&command);
        line(
            true,
            &format!("run = [{{ command = {command}, when = \"after-code\" }}]"),
            "Commands of the project.",
        );
    }
    line(facts.gui, "gui = true", "What OpenCV and Qt windows need.");
    line(false, "ports = [5000, 8001]", "Ports to expose.");
    let script = facts.scripts.first().map_or("train.py", String::as_str);
    line(
        !facts.scripts.is_empty(),
        &format!(
            "command = {}",
            list(&["python".to_owned(), script.to_owned()])
        ),
        "What the container runs.",
    );
    // A Dockerfile of one's own has its own user.
    let mark = if facts.lone_dockerfile().is_some() {
        "# "
    } else {
        ""
    };
    text.push_str(&format!("\n# [image.env]\n# OMP_NUM_THREADS = \"4\"\n\n{mark}[image.user]\n{mark}name = \"ml\"\n# uid = 1000    # better as a flag: --uid $(id -u)\n"));
    text.push_str(
        "\n# [accelerator.cuda]\n# base_image = \"nvidia/cuda:12.8.1-runtime-ubuntu24.04\"\n",
    );
    text
}

fn requirements(facts: &ProjectFacts) -> Vec<String> {
    if facts.project.is_some() {
        return vec!["pyproject.toml".into()];
    }
    if let Some(lock) = &facts.pylock {
        return vec![lock.to_string()];
    }
    facts.requirements.iter().map(ToString::to_string).collect()
}

fn quoted(text: &str) -> String {
    toml::Value::String(text.to_owned()).to_string()
}

fn list(items: &[String]) -> String {
    let items: Vec<_> = items.iter().map(|item| quoted(item)).collect();
    format!("[{}]", items.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rendered(files: &[(&str, &str)]) -> String {
        let folder = tempfile::tempdir().unwrap();
        for (name, text) in files {
            std::fs::write(folder.path().join(name), text).unwrap();
        }
        render(&detect(folder.path()), None)
    }

    #[test]
    fn a_lone_dockerfile_and_a_script_are_written_down() {
        let text = rendered(&[("Dockerfile", "FROM x\n")]);
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(table["image"]["dockerfile"].as_str(), Some("Dockerfile"));
        assert!(table["image"].get("template").is_none() && table["image"].get("user").is_none());
        let text = rendered(&[("requirements.txt", "six\n"), ("postBuild", "")]);
        let table: toml::Table = text.parse().unwrap();
        assert_eq!(
            table["image"]["run"][0]["when"].as_str(),
            Some("after-code")
        );
        assert!(table["image"]["template"].is_str());
    }

    #[test]
    fn what_the_folder_holds_is_written_down_and_the_file_is_valid() {
        let text = rendered(&[
            ("requirements.txt", "tensorflow==2.18.1\nopencv-python\n"),
            ("requirements-dev.txt", "pytest\n"),
            ("train.py", ""),
        ]);
        let config = mlbuild::config::parse(&text, std::path::Path::new(FILE_NAME)).unwrap();
        assert_eq!(config.image.template.as_deref(), Some("tensorflow"));
        assert_eq!(config.image.gui, Some(true));
        let requirements = config.image.requirements.unwrap();
        assert_eq!(requirements, ["requirements-dev.txt", "requirements.txt"]);
    }

    #[test]
    fn every_comment_is_valid_too() {
        let text = rendered(&[]);
        let uncommented: String = text
            .lines()
            .map(|line| match line.strip_prefix("# ") {
                Some(code) if code.contains(" = ") || code.starts_with('[') => format!("{code}\n"),
                _ => format!("{line}\n"),
            })
            .collect();
        mlbuild::config::parse(&uncommented, std::path::Path::new(FILE_NAME)).unwrap();
    }
}
