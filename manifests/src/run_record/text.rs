//! A run record's text, written and read.

use std::path::Path;

use serde::Deserialize;

use super::{
    FORMAT_VERSION, GitState, RunCluster, RunCommand, RunHost, RunImage, RunOutcome, RunSlurm,
};
use super::{RunRecord, RunRecordError};
use crate::toml_text::{TomlText, bare_or_quoted, quoted};

/// The last line of a record, since format 2: a file that lacks it was cut off.
pub(super) const END: &str = "# end of record";

/// The first format that ends with [`END`].
const FIRST_WITH_END: u32 = 2;

impl RunRecord {
    /// Reads a record's text; `path` names it in errors.
    ///
    /// # Errors
    /// Where it is cut off, of a newer format, or not what the format says.
    pub fn parse(text: &str, path: &Path) -> Result<Self, RunRecordError> {
        if let Some(record) = super::quick::read(text).filter(|r| r.version <= FORMAT_VERSION) {
            return Ok(record);
        }
        match toml::from_str::<Self>(text) {
            Ok(record) if record.version <= FORMAT_VERSION => {
                if record.version < FIRST_WITH_END || is_whole(text) {
                    Ok(record)
                } else {
                    Err(truncated(text, path))
                }
            }
            Ok(record) => Err(newer(text, path, record.version)),
            Err(error) => Err(explain(text, path, &error)),
        }
    }

    /// The file's text: the same for equal records.
    pub fn to_toml(&self) -> String {
        let mut out = TomlText::default();
        out.comment(if self.version < FIRST_WITH_END {
            "Written by mlbuild, once: which image this run is bound to."
        } else {
            "Written by mlbuild: what this run was. Don't edit it by hand."
        });
        out.plain("version", self.version);
        out.string("id", &self.id);
        out.string("created", self.created);
        out.optional("lock", self.lock.as_ref());
        self.image.write(&mut out);
        if let Some(git) = &self.git {
            git.write(&mut out);
        }
        if let Some(command) = &self.command {
            command.write(&mut out);
        }
        if let Some(host) = &self.host {
            host.write(&mut out);
        }
        if let Some(cluster) = &self.cluster {
            cluster.write(&mut out);
        }
        if let Some(slurm) = &self.slurm {
            slurm.write(&mut out);
        }
        for data in &self.data {
            data.write(&mut out);
        }
        if let Some(outcome) = &self.outcome {
            outcome.write(&mut out, self.version);
        }
        if self.version >= FIRST_WITH_END {
            out.blank();
            out.push(END);
            out.blank();
        }
        out.finish()
    }
}

impl RunImage {
    fn write(&self, out: &mut TomlText) {
        out.table("image");
        out.string("reference", &self.reference);
        out.optional("index", self.index.as_ref());
        out.optional("digest", self.digest.as_ref());
        if let Some(id) = &self.image_id {
            out.comment("Never pushed: only the machine that ran it has this image.");
            out.string("image_id", id);
        } else if self.platforms.is_empty() && self.digest.is_none() {
            out.table("image.platforms");
        }
        for (name, platform) in &self.platforms {
            out.table(&format!("image.platforms.{}", bare_or_quoted(name)));
            out.string("manifest", &platform.manifest);
            out.string("config", &platform.config);
        }
    }
}

impl GitState {
    fn write(&self, out: &mut TomlText) {
        out.table("git");
        out.optional("remote", self.remote.as_ref());
        out.optional("commit", self.commit.as_ref());
        out.optional("branch", self.branch.as_ref());
        out.optional("folder", self.folder.as_ref());
        out.plain("dirty", self.dirty);
        out.optional("changes", self.changes.as_ref());
        list_if_any(out, "left_out", &self.left_out);
        out.optional("patch", self.patch.as_ref());
    }
}

impl RunCommand {
    fn write(&self, out: &mut TomlText) {
        out.table("command");
        out.optional("program", self.program.as_ref());
        list_if_any(out, "options", &self.options);
        out.list("argv", self.argv.iter().map(|a| quoted(a)));
        list_if_any(out, "environment", &self.environment);
        list_if_any(out, "mounts", &self.mounts);
        out.optional("accelerator", self.accelerator.as_ref());
        out.optional("project", self.project.as_ref());
        out.optional("display", self.display.as_ref());
    }
}

impl RunHost {
    fn write(&self, out: &mut TomlText) {
        out.table("host");
        out.string("name", &self.name);
        out.string("platform", &self.platform);
        out.optional("runtime", self.runtime.as_ref());
        out.optional("driver", self.driver.as_ref());
        list_if_any(out, "devices", &self.devices);
    }
}

impl RunCluster {
    fn write(&self, out: &mut TomlText) {
        out.table("cluster");
        out.optional("context", self.context.as_ref());
        out.optional("kubeconfig", self.kubeconfig.as_ref());
        out.string("server", &self.server);
        out.string("namespace", &self.namespace);
        out.string("job", &self.job);
        list_if_any(out, "options", &self.options);
    }
}

impl RunSlurm {
    fn write(&self, out: &mut TomlText) {
        out.table("slurm");
        out.string("cluster", &self.cluster);
        out.optional("login", self.login.as_ref());
        if let Some(job) = self.job {
            out.plain("job", job);
        }
        out.string("runtime", &self.runtime);
        list_if_any(out, "options", &self.options);
    }
}

impl RunOutcome {
    fn write(&self, out: &mut TomlText, version: u32) {
        out.table("outcome");
        if version >= FIRST_WITH_END {
            out.string("status", self.status.as_str());
        }
        out.string("started", self.started);
        out.optional("ended", self.ended.as_ref());
        if let Some(code) = self.exit_code {
            out.plain("exit_code", code);
        }
        out.optional("signal", self.signal.as_ref());
    }
}

fn list_if_any(out: &mut TomlText, key: &str, items: &[String]) {
    if !items.is_empty() {
        out.list(key, items.iter().map(|i| quoted(i)));
    }
}

fn is_whole(text: &str) -> bool {
    text.trim_end().lines().next_back() == Some(END)
}

fn truncated(text: &str, path: &Path) -> RunRecordError {
    RunRecordError::Truncated {
        path: path.to_path_buf(),
        line: text.lines().count().max(1),
    }
}

fn newer(text: &str, path: &Path, found: u32) -> RunRecordError {
    let line = text.lines().position(|l| l.starts_with("version"));
    RunRecordError::Newer {
        path: path.to_path_buf(),
        line: 1 + line.unwrap_or(0),
        found,
    }
}

/// Why a text is no record. A newer format and a file that is cut off come first: they are
/// why the rest makes no sense.
fn explain(text: &str, path: &Path, error: &toml::de::Error) -> RunRecordError {
    let version = stated_version(text);
    match version {
        Some(found) if found > FORMAT_VERSION => return newer(text, path, found),
        Some(found) if found >= FIRST_WITH_END && !is_whole(text) => return truncated(text, path),
        None if text.trim().is_empty() => return truncated(text, path),
        _ => {}
    }
    let at = error.span().map_or(0, |s| s.start).min(text.len());
    let before = &text.as_bytes()[..at];
    RunRecordError::Invalid {
        path: path.to_path_buf(),
        line: 1 + before.iter().filter(|&&b| b == b'\n').count(),
        message: error.message().replace("unknown field", "unknown key"),
    }
}

/// The format number, looked for line by line: the rest may not parse at all.
fn stated_version(text: &str) -> Option<u32> {
    let head = text.lines().take_while(|line| !line.starts_with('['));
    let mut values = head.filter_map(|line| line.strip_prefix("version")?.trim().strip_prefix('='));
    values.next()?.trim().parse().ok()
}

/// What a JSON document says of its format, read before the rest.
#[derive(Deserialize)]
pub(super) struct Stated {
    /// Format number.
    pub(super) version: u32,
}
