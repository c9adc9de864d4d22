//! What of the context a build sends to the builder, and why: each entry with the line of an ignore
//! file that decided. And what of it is worth a word before the build.

use std::path::Path;

use mlbuild_buildkit::fsutil::dockerignore;
use mlbuild_buildkit::fsutil::survey::{Surveyed, survey};
use mlbuild_buildkit::fsutil::walk;
use mlbuild_templates::own::taken_from_context;
use serde::Serialize;

use super::PlanningError;
use super::ignore::{OWN_LINES, is_of_secrets};
use super::large::{LARGE, is_within};
use crate::pin::{self, ContextSource};
use crate::plan::{BuildPlan, Context, IgnoreFile, PlannedDockerfile};
use crate::reporter::Reporter;

/// From how many bytes on the size of a context is worth a word.
const HUGE: u64 = 1_000_000_000;

/// A build's main context, entry by entry.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ContextSurvey {
    /// The folder.
    pub context: String,
    /// The ignore file that counts, from the folder; absent where the usual lines count.
    pub ignore_file: Option<String>,
    /// What is sent, all together.
    pub sent: Amount,
    /// What isn't.
    pub left_out: Amount,
    /// Every file; a folder where all of it is left out.
    pub entries: Vec<SurveyEntry>,
}

/// Of some files together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Amount {
    /// How many they are.
    pub files: u64,
    /// How large they are.
    pub bytes: u64,
}

/// A file, or a folder that is left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct SurveyEntry {
    /// From the context's root; a folder's ends with a slash.
    pub path: String,
    /// Bytes of the file, or of all files inside.
    pub bytes: u64,
    /// How many files it stands for.
    pub files: u64,
    /// Whether it is sent.
    pub sent: bool,
    /// What decided.
    #[serde(flatten)]
    pub why: Why,
}

/// Why an entry is sent or not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "why", rename_all = "kebab-case")]
pub enum Why {
    /// No line leaves it out.
    NoLine,
    /// A line of the project's ignore file.
    Line {
        /// The ignore file, from the context's root.
        file: String,
        /// The line, from 1.
        line: usize,
        /// What stands there.
        pattern: String,
    },
    /// A line that counts where the project has no ignore file.
    Usual {
        /// The line.
        pattern: String,
    },
    /// What mlbuild writes itself.
    OwnFile {
        /// The line that leaves it out.
        pattern: String,
    },
    /// Data or weights of 100 MB or more, in a project without an ignore file.
    Large,
    /// No step of the Dockerfile reads it.
    Unread,
}

/// Looks at a plan's main context; `None` where it is no folder of this machine.
///
/// # Errors
/// Where a file that the build would send can't be read, or the ignore file is broken.
pub fn look(plan: &BuildPlan) -> Result<Option<ContextSurvey>, PlanningError> {
    let sent = Sent::look(&plan.context, &plan.dockerfile, true)?;
    Ok(sent.map(Sent::survey))
}

/// Says what of the context is worth a word before a build: files that it copies and that an ignore
/// file hides, secrets and large data that are left out by themselves, and a huge context.
///
/// # Errors
/// Where a composed image can't be built for a hidden file.
pub fn tell(
    plan: &BuildPlan,
    is_composed: bool,
    reporter: &dyn Reporter,
) -> Result<(), PlanningError> {
    if !is_composed {
        absent(plan).iter().for_each(|line| reporter.warning(line));
    }
    match Sent::look(&plan.context, &plan.dockerfile, false)? {
        Some(sent) => sent.tell(is_composed, reporter),
        None => Ok(()),
    }
}

/// What a plan's Dockerfile copies from its context, and isn't there: each with its line, as a sentence. Empty
/// where the context is no folder of this machine.
pub fn absent(plan: &BuildPlan) -> Vec<String> {
    let Context::Folder { path } = &plan.context else {
        return Vec::new();
    };
    absent_in(path, &plan.dockerfile, plan.target.as_deref())
}

fn absent_in(root: &Path, dockerfile: &PlannedDockerfile, target: Option<&str>) -> Vec<String> {
    let taken = taken_from_context(&dockerfile.text, target).into_iter();
    let missing = taken.filter(|one| std::fs::symlink_metadata(root.join(&one.path)).is_err());
    let missing = missing.map(|one| {
        format!(
            "{}:{}: it takes {} from the context, {}, which has no such file; correct the path, or build with the folder that has it as the context",
            dockerfile.name,
            one.line,
            one.path,
            root.display()
        )
    });
    missing.collect()
}

/// The name of an ignore file, from the context's root where it lies there.
pub(super) fn name_of(ignore: &IgnoreFile, context: &Context) -> String {
    let Context::Folder { path } = context else {
        return ignore.name.clone();
    };
    let relative = Path::new(&ignore.name).strip_prefix(path);
    relative.map_or(ignore.name.clone(), |name| name.display().to_string())
}

/// A context and the lines that decide about it.
struct Sent<'a> {
    root: &'a Path,
    dockerfile: &'a str,
    ignore: Option<&'a IgnoreFile>,
    /// The ignore file's name, from the root.
    name: String,
    /// Patterns, each with its line in the text with mlbuild's own lines.
    patterns: Vec<(usize, String)>,
    entries: Vec<Surveyed>,
    sources: Vec<ContextSource>,
}

impl<'a> Sent<'a> {
    fn look(
        context: &'a Context,
        dockerfile: &'a PlannedDockerfile,
        measure: bool,
    ) -> Result<Option<Self>, PlanningError> {
        let Context::Folder { path } = context else {
            return Ok(None);
        };
        let ignore = dockerfile.ignore.as_ref();
        let mut patterns = Vec::new();
        if let Some(file) = ignore {
            dockerignore::of_text(&file.name, file.text.as_bytes())?;
            patterns = dockerignore::parse_lines(file.text.as_bytes()).unwrap_or_default();
        }
        let texts: Vec<String> = patterns.iter().map(|(_, text)| text.clone()).collect();
        Ok(Some(Sent {
            root: path,
            dockerfile: &dockerfile.name,
            ignore,
            name: ignore.map_or(String::new(), |ignore| name_of(ignore, context)),
            patterns,
            entries: survey(path, &texts, measure)?,
            sources: pin::sources(&dockerfile.text),
        }))
    }

    fn tell(&self, is_composed: bool, reporter: &dyn Reporter) -> Result<(), PlanningError> {
        for hidden in self.hidden() {
            if is_composed {
                return Err(hidden);
            }
            reporter.warning(hidden.to_string());
        }
        self.tell_left_out(reporter);
        self.tell_size(reporter);
        Ok(())
    }

    fn survey(self) -> ContextSurvey {
        let mut survey = ContextSurvey {
            context: self.root.display().to_string(),
            ignore_file: self
                .ignore
                .filter(|file| file.is_of_project)
                .map(|_| self.name.clone()),
            sent: Amount::default(),
            left_out: Amount::default(),
            entries: Vec::new(),
        };
        for entry in &self.entries {
            let is_unread = entry.taken && !self.is_read(&entry.path);
            let sent = entry.taken && !is_unread;
            let amount = if sent {
                &mut survey.sent
            } else {
                &mut survey.left_out
            };
            amount.files += entry.files;
            amount.bytes += entry.bytes;
            let slash = if entry.is_folder { "/" } else { "" };
            survey.entries.push(SurveyEntry {
                path: format!("{}{slash}", entry.path),
                bytes: entry.bytes,
                files: entry.files,
                sent,
                why: if is_unread {
                    Why::Unread
                } else {
                    self.why(entry)
                },
            });
        }
        survey
    }

    /// Whether a step may read a path. A builder asks for no more than its steps read.
    fn is_read(&self, path: &str) -> bool {
        self.sources.iter().any(|source| match &source.path {
            None => true,
            Some(source) => source.is_empty() || is_within(path, source),
        })
    }

    fn why(&self, entry: &Surveyed) -> Why {
        if entry.is_unfinished {
            let pattern = walk::UNFINISHED.to_owned();
            return Why::OwnFile { pattern };
        }
        let decided = entry.decided_by.and_then(|at| self.patterns.get(at));
        let (Some((line, pattern)), Some(ignore)) = (decided, self.ignore) else {
            return Why::NoLine;
        };
        let pattern = pattern.clone();
        let lines_before_large = ignore.text.lines().count() - ignore.large.lines().count();
        if *line <= OWN_LINES {
            Why::OwnFile { pattern }
        } else if ignore.is_of_project {
            Why::Line {
                file: self.name.clone(),
                line: line - OWN_LINES,
                pattern,
            }
        } else if *line > lines_before_large {
            Why::Large
        } else {
            Why::Usual { pattern }
        }
    }

    /// What steps read by name, and isn't sent.
    fn hidden(&self) -> Vec<PlanningError> {
        let mut found = Vec::new();
        for source in &self.sources {
            let Some(path) = source.path.as_deref().filter(|path| !path.is_empty()) else {
                continue;
            };
            let mut entries = self.entries.iter();
            if entries.any(|entry| entry.taken && is_within(&entry.path, path)) {
                continue;
            }
            let covers = |entry: &&Surveyed| {
                let is_above = entry.is_folder && is_within(path, &entry.path);
                entry.path == path || is_above
            };
            // A path that isn't there is another fault, which the builder names.
            let is_there = std::fs::symlink_metadata(self.root.join(path)).is_ok();
            if let Some(entry) = self.entries.iter().find(covers).filter(|_| is_there) {
                found.push(PlanningError::Hidden {
                    dockerfile: self.dockerfile.to_owned(),
                    dockerfile_line: source.line,
                    path: path.to_owned(),
                    why: self.why(entry),
                });
            }
        }
        found
    }

    /// Says what nobody asked to leave out and somebody may miss.
    fn tell_left_out(&self, reporter: &dyn Reporter) {
        for entry in &self.entries {
            let slash = if entry.is_folder { "/" } else { "" };
            let path = format!("{}{slash}", entry.path);
            let what = match self.why(entry) {
                Why::Usual { pattern } if !entry.taken && is_of_secrets(&pattern) => {
                    format!("{path} isn't sent: by its name it holds a secret")
                }
                Why::Large => format!("{path} isn't sent: data of {} or more", megabytes(LARGE)),
                _ => continue,
            };
            reporter.note(format!(
                "{what}; a .dockerignore of the project's own, even an empty one, decides that instead"
            ));
        }
    }

    /// Says how large a huge context is, and what of it most.
    fn tell_size(&self, reporter: &dyn Reporter) {
        let mut total = 0;
        let mut parts: std::collections::BTreeMap<&str, u64> = Default::default();
        let taken = self.entries.iter().filter(|entry| entry.taken);
        for entry in taken.filter(|entry| self.is_read(&entry.path)) {
            total += entry.bytes;
            let end = entry.path.find('/').map_or(entry.path.len(), |at| at + 1);
            *parts.entry(&entry.path[..end]).or_default() += entry.bytes;
        }
        let largest = parts.into_iter().max_by_key(|(_, bytes)| *bytes);
        let Some((name, bytes)) = largest.filter(|_| total >= HUGE) else {
            return;
        };
        reporter.note(format!(
            "context is {}, of which {name} {}; a line `{}` in {} leaves that out",
            gigabytes(total),
            gigabytes(bytes),
            name.trim_end_matches('/'),
            self.ignore.map_or(".dockerignore", |_| &self.name)
        ));
    }
}

fn megabytes(bytes: u64) -> String {
    format!("{} MB", bytes / 1_000_000)
}

fn gigabytes(bytes: u64) -> String {
    format!("{:.1} GB", bytes as f64 / 1e9)
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Why::NoLine => f.write_str("no line leaves it out"),
            Why::Line {
                file,
                line,
                pattern,
            } => write!(f, "{file}:{line}: {pattern}"),
            Why::Usual { pattern } => write!(f, "by default: {pattern}"),
            Why::OwnFile { .. } => f.write_str("mlbuild's own file"),
            Why::Large => write!(f, "data of {} or more", megabytes(LARGE)),
            Why::Unread => f.write_str("no COPY, ADD or mount of the Dockerfile reads it"),
        }
    }
}

#[cfg(test)]
mod tests;
