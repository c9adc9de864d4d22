//! Project trust: what a project's own files may do without a word from the person.
//!
//! A folder that was cloned a minute ago may describe its image and what runs in it. What reaches out
//! of the folder is listed in plain words ([`wishes`]) and needs a yes, once for each folder and each
//! thing on the list ([`check`]). Which builder is used and which registries are reached without TLS
//! isn't the project's to say at all ([`refuse_own_affairs`]): that stands in the person's own
//! configuration ([`UserConfig`]) or in flags.

mod build;
mod error;
mod memory;
mod outside;
mod run;
mod user;

use std::path::Path;

use mlbuild_progress::printable;

use crate::config::{Config, FILE_NAME};
use crate::reporter::{Question, Reporter};

pub use error::TrustError;
pub use run::stays_inside;
pub use user::UserConfig;

/// What of a project's files reaches out of its folder, in plain words; sorted, each once.
pub fn wishes(config: &Config, project: &Path) -> Vec<String> {
    let mut wishes = build::wishes(config, project);
    wishes.extend(run::wishes(&config.run.0, project));
    listed(wishes)
}

/// Sorted, each once, and each on a line of its own: what a file says can't begin one.
fn listed(wishes: Vec<String>) -> Vec<String> {
    let lines = wishes.iter().map(|wish| printable::line(wish).into_owned());
    let mut lines: Vec<String> = lines.collect();
    lines.sort();
    lines.dedup();
    lines
}

/// What a recorded run reaches when it is started once more, in plain words. Its options are those of
/// `docker run`; one that isn't known is a wish as it is written.
pub fn wishes_of_record(
    options: &[String],
    submission: &[String],
    display: Option<&str>,
    project: &Path,
) -> Vec<String> {
    let words: Vec<&str> = options
        .iter()
        .map(String::as_str)
        .chain(["image"])
        .collect();
    let parsed = crate::runtime::parse(&words).ok();
    let mut wishes = match parsed.filter(|parsed| parsed.spec.image == "image") {
        Some(parsed) => run::of_options(&parsed.spec.options, project),
        None => vec![format!(
            "starts containers with {}",
            mlbuild_secrets::redact(&options.join(" "))
        )],
    };
    if !submission.is_empty() {
        let how = submission.join(" ");
        let how = mlbuild_secrets::redact(&how);
        wishes.push(format!("submits a Job to your cluster with {how}"));
    }
    wishes.extend(display.map(|access| format!("opens your display to it ({access})")));
    wishes
        .iter_mut()
        .for_each(|wish| wish.push_str(" (the run's record)"));
    listed(wishes)
}

/// Where the records of a project lead out of its folder, in plain words: for a verb that writes them, and
/// acts on nothing else of the project's files.
pub fn link_of_records(project: &Path) -> Option<String> {
    build::records(project)
}

/// That a lock is written outside the project, in plain words: what it is called, and the place that the
/// link of that name leads to.
pub fn link_of_lock(project: &Path, named: &Path, place: &Path) -> Option<String> {
    if named == place {
        return None;
    }
    let place = outside::outside(project, place)?;
    let name = named.strip_prefix(project).unwrap_or(named);
    Some(format!(
        "writes {}, to which {} is a link",
        place.display(),
        name.display()
    ))
}

/// Refuses what only the person may say: the builder, and registries without TLS.
///
/// # Errors
/// [`TrustError::OwnAffair`].
pub fn refuse_own_affairs(config: &Config, file: &Path) -> Result<(), TrustError> {
    let refused = |key: &'static str, value: &str| TrustError::OwnAffair {
        file: file.to_owned(),
        key,
        value: value.to_owned(),
        user_file: user::path(),
    };
    if let Some(builder) = &config.build.builder {
        return Err(refused("[build] builder", builder));
    }
    if let Some(host) = config.registry.insecure.first() {
        return Err(refused("[registry] insecure", host));
    }
    let plain = |mirror: &&String| mirror.starts_with("http://");
    let mirrors = config.registry.mirrors.values().flatten();
    if let Some(mirror) = mirrors.chain(&config.registry.mirror).find(plain) {
        return Err(refused("[registry] mirrors", mirror));
    }
    Ok(())
}

/// Lets the wishes pass where they were agreed to: now (`given`), by the person's configuration, or
/// before in this folder. Else asks, and remembers a yes.
///
/// # Errors
/// [`TrustError::Refused`] where nobody is there to ask, or the answer is no.
pub fn check(
    project: &Path,
    wishes: &[String],
    given: bool,
    reporter: &dyn Reporter,
) -> Result<(), TrustError> {
    if wishes.is_empty() || given {
        return Ok(());
    }
    let folder = project
        .canonicalize()
        .unwrap_or_else(|_| project.to_owned());
    // What others launched reaches nothing, whatever this machine's person trusts.
    let is_job = memory::is_of_job(&folder);
    let known = memory::known(&folder);
    let new: Vec<String> = wishes
        .iter()
        .filter(|wish| !known.contains(&memory::mark(wish)))
        .cloned()
        .collect();
    if !is_job && (new.is_empty() || UserConfig::load()?.trusts(&folder)) {
        return Ok(());
    }
    let question = Question::TrustProject {
        folder: folder.clone(),
        wishes: new.clone(),
    };
    if !is_job && reporter.ask(&question) == Some(true) {
        if !memory::remember(&folder, wishes) {
            reporter.warning("the answer can't be kept in the state folder: it is asked again");
        }
        return Ok(());
    }
    Err(TrustError::Refused {
        file: folder.join(FILE_NAME),
        folder,
        wishes: new,
        user_file: user::path(),
    })
}
