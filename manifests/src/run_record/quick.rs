//! A quick way to read what [`RunRecord::to_toml`] wrote: thousands of records are listed at
//! once, and a TOML parser takes most of that time.
//!
//! It reads line by line in the order of the writer, and knows strings without escapes only:
//! a small part of TOML that means the same there. On anything that it doesn't expect it gives
//! up, and the TOML parser has its turn.

use std::collections::BTreeMap;
use std::str::FromStr;

use super::{
    FORMAT_VERSION, GitState, RunCluster, RunCommand, RunHost, RunImage, RunOutcome, RunPlatform,
    RunRecord, RunSlurm, RunStatus, RunSummary,
};
use crate::RunId;

/// What comes after the last table.
const AFTER: &str = "\n# end of record\n";

/// The record, if the text is written as `to_toml` writes it.
pub(super) fn read(text: &str) -> Option<RunRecord> {
    let mut lines = Lines { rest: text };
    let record = lines.record()?;
    (lines.rest == AFTER).then_some(record)
}

/// What is listed of the record, if the text is written as `to_toml` writes it.
pub(super) fn summary(text: &str) -> Option<RunSummary> {
    let mut lines = Lines { rest: text };
    let summary = lines.summary()?;
    (lines.rest == AFTER).then_some(summary)
}

/// The name of a platform at the end of its table's header, and what follows the header. Names with escapes, or
/// with what would have to be escaped, are for the other reader.
fn platform(text: &str) -> Option<(&str, &str)> {
    let (name, after) = text.split_once("\"]\n")?;
    let is_plain = |c: char| !c.is_control() && !matches!(c, '\\' | '"');
    name.chars().all(is_plain).then_some((name, after))
}

struct Lines<'a> {
    rest: &'a str,
}

impl<'a> Lines<'a> {
    fn record(&mut self) -> Option<RunRecord> {
        self.skip();
        Some(RunRecord {
            version: self.plain("version")?,
            id: self.value("id")?,
            created: self.value("created")?,
            lock: self.value("lock"),
            image: self.image()?,
            git: self.table("git").and_then(|()| self.git()),
            command: self.table("command").and_then(|()| self.command()),
            host: self.table("host").and_then(|()| self.host()),
            cluster: self.table("cluster").and_then(|()| self.cluster()),
            slurm: self.table("slurm").and_then(|()| self.slurm()),
            // Records with data are for the other reader.
            data: Vec::new(),
            outcome: self.table("outcome").and_then(|()| self.outcome()),
        })
    }

    /// As [`Lines::record`], with what isn't listed passed over.
    fn summary(&mut self) -> Option<RunSummary> {
        self.skip();
        let version: u32 = self.plain("version")?;
        if version > FORMAT_VERSION {
            return None;
        }
        let id: RunId = self.value("id")?;
        let created = self.value("created")?;
        self.text("lock");
        self.table("image")?;
        let reference = self.text("reference")?.to_owned();
        self.text("index");
        self.text("digest");
        if self.rest.starts_with('#') {
            self.skip();
        }
        self.text("image_id");
        while let Some(after) = self.rest.strip_prefix("\n[image.platforms.\"") {
            self.rest = platform(after)?.1;
            self.text("manifest")?;
            self.text("config")?;
        }
        let (commit, dirty) = match self.table("git") {
            Some(()) => self.git_summary()?,
            None => (None, None),
        };
        let argv = self.table("command").map(|()| self.command_summary());
        let host = match self.table("host") {
            Some(()) => Some(self.host_summary()?),
            None => None,
        };
        if self.table("cluster").is_some() {
            self.cluster()?;
        }
        if self.table("slurm").is_some() {
            self.slurm()?;
        }
        let outcome = match self.table("outcome") {
            Some(()) => Some(self.outcome()?),
            None => None,
        };
        Some(RunSummary {
            id: id.into(),
            created,
            reference,
            commit,
            dirty,
            argv,
            host,
            status: outcome.as_ref().map_or(RunStatus::Bound, |o| o.status),
            started: outcome.as_ref().map(|o| o.started),
            ended: outcome.as_ref().and_then(|o| o.ended),
            exit_code: outcome.as_ref().and_then(|o| o.exit_code),
            signal: outcome.and_then(|o| o.signal),
        })
    }

    /// The commit, and whether there were changes on top of it.
    fn git_summary(&mut self) -> Option<(Option<String>, Option<bool>)> {
        self.text("remote");
        let commit = self.text("commit").map(str::to_owned);
        // The other reader says what is wrong with it.
        if !commit
            .as_deref()
            .is_none_or(super::commit::is_commit_or_beginning)
        {
            return None;
        }
        self.text("branch");
        if self
            .text("folder")
            .is_some_and(|folder| !super::folder::is_inside(folder))
        {
            return None;
        }
        let dirty = Some(self.plain("dirty")?);
        self.text("changes");
        self.pass_list("left_out");
        self.text("patch");
        Some((commit, dirty))
    }

    /// The command's words.
    fn command_summary(&mut self) -> Vec<String> {
        self.text("program");
        self.pass_list("options");
        let argv = self.list("argv");
        self.pass_list("environment");
        self.pass_list("mounts");
        self.text("accelerator");
        self.text("project");
        self.text("display");
        argv
    }

    /// The machine's name.
    fn host_summary(&mut self) -> Option<String> {
        let name = self.text("name")?.to_owned();
        self.text("platform")?;
        self.text("runtime");
        self.text("driver");
        self.pass_list("devices");
        Some(name)
    }

    fn image(&mut self) -> Option<RunImage> {
        self.table("image")?;
        let reference = self.value("reference")?;
        let index = self.value("index");
        let digest = self.value("digest");
        if self.rest.starts_with('#') {
            self.skip();
        }
        let image_id = self.value("image_id");
        let mut platforms = BTreeMap::new();
        while let Some(after) = self.rest.strip_prefix("\n[image.platforms.\"") {
            let (name, after) = platform(after)?;
            self.rest = after;
            let found = RunPlatform {
                manifest: self.value("manifest")?,
                config: self.value("config")?,
            };
            platforms.insert(name.to_owned(), found);
        }
        Some(RunImage {
            reference,
            index,
            digest,
            image_id,
            platforms,
        })
    }

    fn git(&mut self) -> Option<GitState> {
        Some(GitState {
            remote: self.value("remote"),
            commit: self.commit()?,
            branch: self.value("branch"),
            folder: self.folder()?,
            dirty: self.plain("dirty")?,
            changes: self.value("changes"),
            left_out: self.list("left_out"),
            patch: self.value("patch"),
        })
    }

    fn command(&mut self) -> Option<RunCommand> {
        Some(RunCommand {
            program: self.value("program"),
            options: self.list("options"),
            argv: self.list("argv"),
            environment: self.list("environment"),
            mounts: self.list("mounts"),
            accelerator: self.value("accelerator"),
            project: self.value("project"),
            display: self.value("display"),
        })
    }

    fn host(&mut self) -> Option<RunHost> {
        Some(RunHost {
            name: self.value("name")?,
            platform: self.value("platform")?,
            runtime: self.value("runtime"),
            driver: self.value("driver"),
            devices: self.list("devices"),
        })
    }

    fn cluster(&mut self) -> Option<RunCluster> {
        Some(RunCluster {
            context: self.value("context"),
            kubeconfig: self.value("kubeconfig"),
            server: self.value("server")?,
            namespace: self.value("namespace")?,
            job: self.value("job")?,
            options: self.list("options"),
        })
    }

    fn slurm(&mut self) -> Option<RunSlurm> {
        Some(RunSlurm {
            cluster: self.value("cluster")?,
            login: self.value("login"),
            job: self.plain("job"),
            runtime: self.value("runtime")?,
            options: self.list("options"),
        })
    }

    fn outcome(&mut self) -> Option<RunOutcome> {
        let status: String = self.value("status")?;
        let all = [RunStatus::Bound, RunStatus::Started, RunStatus::Finished];
        Some(RunOutcome {
            status: all.into_iter().find(|known| known.as_str() == status)?,
            started: self.value("started")?,
            ended: self.value("ended"),
            exit_code: self.plain("exit_code"),
            signal: self.value("signal"),
        })
    }

    fn skip(&mut self) {
        self.rest = split_line(self.rest).map_or("", |(_, rest)| rest);
    }

    /// Goes past `[name]` if it comes next.
    fn table(&mut self, name: &str) -> Option<()> {
        let rest = self.rest.strip_prefix("\n[")?.strip_prefix(name)?;
        self.rest = rest.strip_prefix("]\n")?;
        Some(())
    }

    /// What stands after `key = ` if that comes next, and what comes after its line.
    fn next(&self, key: &str) -> Option<(&'a str, &'a str)> {
        split_line(self.rest.strip_prefix(key)?.strip_prefix(" = ")?)
    }

    fn plain<T: FromStr>(&mut self, key: &str) -> Option<T> {
        let (value, rest) = self.next(key)?;
        let value = value.parse().ok()?;
        self.rest = rest;
        Some(value)
    }

    fn value<T: FromStr>(&mut self, key: &str) -> Option<T> {
        let (value, rest) = self.next(key)?;
        let value = unquoted(value)?.parse().ok()?;
        self.rest = rest;
        Some(value)
    }

    /// A string, as it stands in the text.
    fn text(&mut self, key: &str) -> Option<&'a str> {
        let (value, rest) = self.next(key)?;
        let value = unquoted(value)?;
        self.rest = rest;
        Some(value)
    }

    /// A commit that can be one; for another, the whole reader says what is wrong with it.
    fn commit(&mut self) -> Option<Option<String>> {
        let commit: Option<String> = self.value("commit");
        let is_one = commit
            .as_deref()
            .is_none_or(super::commit::is_commit_or_beginning);
        is_one.then_some(commit)
    }

    fn folder(&mut self) -> Option<Option<String>> {
        let folder: Option<String> = self.value("folder");
        let is_inside = folder.as_deref().is_none_or(super::folder::is_inside);
        is_inside.then_some(folder)
    }

    fn pass_list(&mut self, key: &str) {
        let rest = match self.next(key) {
            Some(("[", rest)) => rest,
            Some(("[]", rest)) => {
                self.rest = rest;
                return;
            }
            _ => return,
        };
        // A line of a list is indented: the first that isn't ends it, or ends the quick way.
        let is_item = |line: &str| {
            let item = line.strip_prefix("  ").and_then(|l| l.strip_suffix(','));
            item.and_then(unquoted).is_some()
        };
        self.rest = match rest.split_once("\n]\n") {
            Some((items, after)) if items.lines().all(is_item) => after,
            _ => "",
        };
    }

    fn list(&mut self, key: &str) -> Vec<String> {
        let mut items = Vec::new();
        let mut rest = match self.next(key) {
            Some(("[", rest)) => rest,
            Some(("[]", rest)) => {
                self.rest = rest;
                return items;
            }
            _ => return items,
        };
        while let Some((line, after)) = split_line(rest) {
            rest = after;
            if line == "]" {
                break;
            }
            let item = line.strip_prefix("  ").and_then(|l| l.strip_suffix(','));
            let Some(item) = item.and_then(unquoted) else {
                // Nothing can follow.
                rest = "";
                break;
            };
            items.push(item.to_owned());
        }
        self.rest = rest;
        items
    }
}

/// The first line, and what comes after it.
fn split_line(text: &str) -> Option<(&str, &str)> {
    let end = memchr::memchr(b'\n', text.as_bytes())?;
    Some((&text[..end], &text[end + 1..]))
}

/// A string without escapes.
fn unquoted(value: &str) -> Option<&str> {
    let inside = value.strip_prefix('"')?.strip_suffix('"')?;
    let is_plain = |b: u8| b >= b' ' && b != b'"' && b != b'\\' && b != 0x7f;
    // All of them, without a stop at the first: so the compiler takes many at once.
    let all_plain = inside.bytes().fold(true, |all, b| all & is_plain(b));
    all_plain.then_some(inside)
}

#[cfg(test)]
mod tests {
    use super::{RunRecord, RunSummary, read, summary};

    const FULL: &str = include_str!("../../tests/samples/v2.run.toml");

    /// What a fuzzer came upon: read as it stood, written with an escape, and then read as that.
    #[test]
    fn names_of_platforms_with_escapes_are_for_the_other_reader() {
        let text = include_str!("../../tests/samples/v2.run.toml");
        for name in [r"linux/\n", "linux/\n", "linux/\u{7f}"] {
            let text = text.replace("linux/amd64", name);
            assert!(text.contains(name));
            assert_eq!(read(&text), None, "{name:?}");
            assert_eq!(summary(&text), None, "{name:?}");
        }
    }

    #[test]
    fn what_is_written_is_read_the_quick_way() {
        for text in [
            FULL,
            include_str!("../../tests/samples/v2-started.run.toml"),
            include_str!("../../tests/samples/v2-bound.run.toml"),
            include_str!("../../tests/samples/v2-digest.run.toml"),
            include_str!("../../tests/samples/v3.run.toml"),
            include_str!("../../tests/samples/v5.run.toml"),
        ] {
            let record: RunRecord = toml::from_str(text).unwrap();
            assert_eq!(summary(text), Some(RunSummary::of(&record)));
            assert_eq!(read(text), Some(record));
        }
    }

    #[test]
    fn all_else_is_left_to_the_parser() {
        for (from, to) in [
            ("dirty = true", "dirty  = true"),
            ("exit_code = 137", "exit_code = x"),
            ("  \"NVIDIA L4\",\n]", "  \"NVIDIA L4\",\n# ]"),
            ("name = \"node7\"\n", "name = \"node7\"\nname = \"node8\"\n"),
            ("\"NVIDIA L4\"", "\"NVIDIA \\\"L4\\\"\""),
            ("program = \"docker\"\n", "program = \"docker\"\nmore = 1\n"),
            ("[host]", "[hosts]"),
            ("# end of record\n", ""),
            ("status = \"finished\"", "status = \"over\""),
        ] {
            assert!(FULL.contains(from));
            let changed = FULL.replace(from, to);
            assert_eq!(read(&changed), None, "{to}");
            assert_eq!(summary(&changed), None, "{to}");
        }
    }
}
