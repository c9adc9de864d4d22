//! Macros of W&B Launch in the values of a queue's options: `${run_id}` and the like, which stand for
//! something of the job.
//!
//! W&B's documentation, "Set up launch queue": `${image_uri}`, `${project_name}`, `${run_id}`,
//! `${run_name}`, `${entity_name}`, and in its agent `${author}`; any other name stands for a variable of
//! the agent there, which here reaches a job by name alone. `${entry_point}` is the job's command. `$${`
//! stands for `${`.

use super::error::QueueConfigError;
use super::job::Source;
use super::template;
use crate::runtime::{Options, Setting, shell_line};

/// What macros stand for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct JobFacts {
    /// `${image_uri}`: the image, as it is started.
    pub image_uri: String,
    /// `${run_id}` and `${run_name}`: a job's run has its id for a name.
    pub run_id: String,
    /// `${project_name}`: the folder, repository or image that the job was launched from.
    pub project_name: String,
    /// `${entry_point}`: the command as a shell reads it; empty where it is the image's own.
    pub entry_point: String,
    /// `${entity_name}`: the `entity` of the agent's `launch-config.yaml`, where there is one.
    pub entity_name: Option<String>,
}

impl JobFacts {
    /// The facts of a job.
    pub fn of(source: &Source, image_uri: &str, run_id: &str, command: &[String]) -> Self {
        let from = match source {
            Source::Image { image } => {
                let name = image.split('@').next().unwrap_or(image);
                let last = name.rsplit('/').next().unwrap_or(name);
                last.split(':').next().unwrap_or(last)
            }
            Source::Folder { name, .. } => name,
            Source::Git { url, .. } => {
                let url = url.trim_end_matches('/');
                let last = url.rsplit(['/', ':']).next().unwrap_or(url);
                last.strip_suffix(".git").unwrap_or(last)
            }
        };
        Self {
            image_uri: image_uri.to_owned(),
            run_id: run_id.to_owned(),
            project_name: plain(from),
            entry_point: shell_line(command),
            entity_name: None,
        }
    }

    /// The same, of an agent's entity.
    #[must_use]
    pub fn of_entity(self, entity_name: Option<String>) -> Self {
        Self {
            entity_name,
            ..self
        }
    }

    fn get(&self, name: &str) -> Option<&str> {
        Some(match name {
            "image_uri" => &self.image_uri,
            "run_id" | "run_name" => &self.run_id,
            "project_name" => &self.project_name,
            "entry_point" => &self.entry_point,
            "entity_name" => self.entity_name.as_ref()?,
            _ => return None,
        })
    }
}

/// A name that can stand in a path, a label or a list: whoever launches the job chose it.
fn plain(name: &str) -> String {
    let keeps = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let kept: String = name
        .chars()
        .map(|c| if keeps(c) { c } else { '-' })
        .collect();
    let kept = kept.trim_start_matches(['.', '-']);
    if kept.is_empty() { "job" } else { kept }.to_owned()
}

/// A macro that stands for nothing here.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MacroError {
    /// An entity, which the agent has none of.
    #[error(
        "`${{{0}}}` stands for the agent's entity, and it has none: write `entity: NAME` into its \
         launch-config.yaml"
    )]
    Entity(String),
    /// W&B's, without a counterpart.
    #[error(
        "`${{{0}}}` stands for nothing here: a job of mlbuild has no author; write the name out"
    )]
    Author(String),
    /// Any other.
    #[error(
        "`${{{0}}}` is none of the macros image_uri, project_name, run_id, run_name and entry_point; a \
         variable of the agent reaches a job by its name alone (env: NAME), and `$${{` stands for `${{` \
         itself"
    )]
    Unknown(String),
    /// A template variable.
    #[error(
        "`{{{{{0}}}}}`: template variables stand in a queue's configuration; whoever adds a job gives them values"
    )]
    Template(String),
}

/// Refuses a value with a macro that stands for nothing.
///
/// # Errors
/// [`MacroError`], with its name.
pub(super) fn check(setting: &Setting) -> Result<(), MacroError> {
    let text = setting.value.to_string();
    check_text(&text)
}

/// As [`check`], for a value that isn't read yet.
///
/// # Errors
/// As [`check`].
pub(super) fn check_text(text: &str) -> Result<(), MacroError> {
    if let Some(name) = template::name_in(text) {
        return Err(MacroError::Template(name.to_owned()));
    }
    let sample = JobFacts {
        image_uri: "image".into(),
        run_id: "run".into(),
        project_name: "project".into(),
        entry_point: "command".into(),
        entity_name: Some("entity".into()),
    };
    fill(text, &sample).map(drop)
}

/// The options, with macros filled in.
///
/// # Errors
/// A macro that stands for nothing; an option that doesn't take what it became.
pub(super) fn filled(options: Options, facts: &JobFacts) -> Result<Options, QueueConfigError> {
    let fill_one = |setting: Setting| {
        let text = setting.value.to_string();
        if !text.contains("${") {
            return Ok(setting);
        }
        let value = fill(&text, facts)?;
        Setting::parse(setting.flag, &value).map_err(|why| QueueConfigError::Value {
            key: setting.flag.name.to_owned(),
            value,
            why,
        })
    };
    options.iter().cloned().map(fill_one).collect()
}

/// A text, with macros filled in.
///
/// # Errors
/// A macro that stands for nothing.
pub(super) fn fill(text: &str, facts: &JobFacts) -> Result<String, MacroError> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        let (before, from) = rest.split_at(at);
        let inside = &from[2..];
        if let Some(before) = before.strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = inside;
            continue;
        }
        out.push_str(before);
        let Some((name, after)) = inside.split_once('}') else {
            return Err(MacroError::Unknown(inside.to_owned()));
        };
        match facts.get(name) {
            Some(value) => out.push_str(value),
            None if name == "entity_name" => return Err(MacroError::Entity(name.to_owned())),
            None if name == "author" => return Err(MacroError::Author(name.to_owned())),
            None => return Err(MacroError::Unknown(name.to_owned())),
        }
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts() -> JobFacts {
        let source = Source::Git {
            url: "git@git.example:me/Cracks.git".into(),
            revision: "main".into(),
            commit: "0".repeat(40),
            variant: None,
        };
        let command = ["python", "a b.py"].map(str::to_owned);
        JobFacts::of(&source, "r.example/me/a@sha256:0", "01ABC", &command)
    }

    #[test]
    fn each_macro_stands_for_something_of_the_job() {
        for (text, filled) in [
            ("plain $HOME {{.Name}}", "plain $HOME {{.Name}}"),
            ("${run_id}", "01ABC"),
            (
                "/out/${project_name}/${run_name}:/out",
                "/out/Cracks/01ABC:/out",
            ),
            ("${entry_point}", "python 'a b.py'"),
            ("${image_uri}", "r.example/me/a@sha256:0"),
            ("$${run_id} ${run_id}", "${run_id} 01ABC"),
            ("é${run_id}é", "é01ABCé"),
        ] {
            assert_eq!(fill(text, &facts()).as_deref(), Ok(filled), "{text}");
            assert_eq!(check_text(text), Ok(()), "{text}");
        }
    }

    #[test]
    fn what_stands_for_nothing_is_refused_by_name() {
        for (text, name) in [
            ("${author}", "${author}"),
            ("a${HOME}b", "${HOME}"),
            ("${}", "${}"),
            ("${run_id", "${run_id}"),
            ("${A:-b}", "${A:-b}"),
            ("{{gpus}}", "{{gpus}}"),
            ("x{{ my-var }}", "{{my-var}}"),
        ] {
            let said = check_text(text).unwrap_err().to_string();
            assert!(said.contains(name), "{text}: {said}");
        }
    }

    #[test]
    fn a_project_s_name_leads_nowhere() {
        for (name, kept) in [
            ("cracks", "cracks"),
            ("../../etc", "etc"),
            ("a,b:c d", "a-b-c-d"),
            ("..", "job"),
            ("", "job"),
        ] {
            assert_eq!(plain(name), kept, "{name}");
        }
        let image = |image: &str| {
            let image = image.to_owned();
            JobFacts::of(&Source::Image { image }, "i", "r", &[]).project_name
        };
        assert_eq!(image("r.example:5000/me/cracks:v1@sha256:0"), "cracks");
        assert_eq!(image("cracks"), "cracks");
    }

    #[test]
    fn an_entity_is_the_agents_to_name() {
        let owned = facts().of_entity(Some("acme".into()));
        assert_eq!(fill("of-${entity_name}", &owned).as_deref(), Ok("of-acme"));
        let said = fill("of-${entity_name}", &facts()).unwrap_err().to_string();
        assert!(said.contains("entity: NAME"), "{said}");
    }
}
