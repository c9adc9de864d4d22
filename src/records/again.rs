//! The command that starts a recorded run again, here.

use std::path::{Path, PathBuf};

use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::RunCommand;
use mlbuild_templates::reference;

use crate::env_vars::{MLBUILD_IMAGE, MLBUILD_RUN_ID, WANDB_DOCKER};

/// Programs that start containers the way that records have it.
pub const PROGRAMS: [&str; 3] = ["docker", "podman", "nerdctl"];

/// What a run was told of itself, which another run isn't.
pub const TOLD: [&str; 3] = [MLBUILD_RUN_ID, MLBUILD_IMAGE, WANDB_DOCKER];

/// A run to be started again.
#[derive(Clone, Copy, Debug)]
pub struct Again<'a> {
    /// Its record.
    pub record: &'a RunRecord,
    /// Program that starts it.
    pub program: &'a str,
    /// The image by digest, or its ID.
    pub image: &'a str,
    /// Where the project is now.
    pub project: &'a Path,
}

/// The image that a record names: by digest in its repository, without the tag, which may
/// have moved (and which podman doesn't take beside a digest); else its ID.
pub fn exact_image(record: &RunRecord) -> Option<String> {
    let image = &record.image;
    if let Some(id) = &image.image_id {
        return Some(id.to_string());
    }
    let reference = reference::parse(&image.reference).ok()?;
    let digest = image.pinned()?.to_string();
    Some(reference.clone_with_digest(digest).to_string())
}

impl Again<'_> {
    /// The whole command.
    pub fn command(&self) -> Vec<String> {
        let unknown = RunCommand {
            options: ["--rm", "-it"].map(str::to_owned).to_vec(),
            ..RunCommand::default()
        };
        let recorded = self.record.command.as_ref().unwrap_or(&unknown);
        let moved = |option: &String| match self.moves() {
            Some((from, to)) => replace_path(option, &from, &to),
            None => option.clone(),
        };
        // What a window needs is of one session, and mlbuild gives it anew.
        let (start, is_told): (Vec<String>, fn(&&String) -> bool) = match &recorded.display {
            Some(access) => (
                vec![
                    "mlbuild".to_owned(),
                    "gui-run".to_owned(),
                    format!("--display-access={access}"),
                    format!("--runtime-cli={}", self.program),
                ],
                |option| {
                    TOLD.iter()
                        .any(|name| option.strip_prefix("--env=") == Some(name))
                },
            ),
            None => (vec![self.program.to_owned(), "run".to_owned()], |_| false),
        };
        start
            .into_iter()
            .chain(
                recorded
                    .options
                    .iter()
                    .filter(|option| !is_told(option))
                    .map(moved),
            )
            .chain([self.image.to_owned()])
            .chain(recorded.argv.iter().cloned())
            .collect()
    }

    /// Mounted folders and files of the first machine that aren't on this one.
    pub fn missing_mounts(&self) -> Vec<String> {
        let command = self.record.command.as_ref();
        let mounts = command.map_or(&[][..], |command| &command.mounts);
        let source = |mount: &String| {
            let source = mount.split(':').next().unwrap_or_default().to_owned();
            match self.moves() {
                Some((from, to)) => replace_path(&source, &from, &to),
                None => source,
            }
        };
        let is_missing = |source: &String| source.starts_with('/') && !Path::new(source).exists();
        mounts.iter().map(source).filter(is_missing).collect()
    }

    /// The repository's top then and now (or the project, where it was in no repository).
    fn moves(&self) -> Option<(String, String)> {
        let then = PathBuf::from(self.record.command.as_ref()?.project.as_ref()?);
        let folder = self.record.git.as_ref().and_then(|git| git.folder.clone());
        let up = |path: &Path| {
            let inside = folder.as_ref().map(Path::new);
            let levels = inside.map_or(0, |folder| folder.components().count());
            path.ancestors().nth(levels).unwrap_or(path).to_path_buf()
        };
        let text = |path: PathBuf| path.to_string_lossy().into_owned();
        Some((text(up(&then)), text(up(self.project))))
    }
}

/// Replaces a path, and what lies in it, where it stands as a whole: at the start, or after
/// `=`, `:` or `,`; up to the end, or one of those, or `/`.
fn replace_path(option: &str, from: &str, to: &str) -> String {
    if from.len() < 2 {
        return option.to_owned();
    }
    let mut text = String::new();
    let mut rest = option;
    while let Some(at) = rest.find(from) {
        let (before, found) = rest.split_at(at);
        let after = &found[from.len()..];
        let last = match before.is_empty() {
            true => text.chars().next_back(),
            false => before.chars().next_back(),
        };
        let starts = last.is_none_or(|c| "=:,".contains(c));
        let ends = after.chars().next().is_none_or(|c| "=:,/".contains(c));
        text.push_str(before);
        text.push_str(if starts && ends { to } else { from });
        rest = after;
    }
    text + rest
}

#[cfg(test)]
mod tests {
    use mlbuild_manifests::RunRecord;
    use mlbuild_manifests::run_record::{RunCommand, RunImage};

    use super::{Again, replace_path};

    #[test]
    fn a_run_with_windows_gets_its_display_anew() {
        let id = "exp-7".parse().unwrap();
        let mut record = RunRecord::new(id, jiff::Timestamp::UNIX_EPOCH, RunImage::default());
        record.command = Some(RunCommand {
            options: ["--rm", "--env=MLBUILD_RUN_ID", "--env=LR"]
                .map(str::to_owned)
                .to_vec(),
            argv: vec!["show.py".to_owned()],
            display: Some("uid".to_owned()),
            ..RunCommand::default()
        });
        let again = Again {
            record: &record,
            program: "podman",
            image: "img",
            project: "/p".as_ref(),
        };
        assert_eq!(
            again.command().join(" "),
            "mlbuild gui-run --display-access=uid --runtime-cli=podman --rm --env=LR img show.py"
        );
    }

    #[test]
    fn only_whole_paths_are_replaced() {
        for (option, replaced) in [
            ("/home/ann/code:/app", "/new:/app"),
            ("/home/ann/code/data:/data:ro", "/new/data:/data:ro"),
            (
                "type=bind,source=/home/ann/code,target=/app",
                "type=bind,source=/new,target=/app",
            ),
            ("--volume=/home/ann/code:/app", "--volume=/new:/app"),
            ("/home/ann/code2:/app", "/home/ann/code2:/app"),
            ("/mnt/home/ann/code:/app", "/mnt/home/ann/code:/app"),
            ("--name=x", "--name=x"),
        ] {
            assert_eq!(replace_path(option, "/home/ann/code", "/new"), replaced);
        }
        assert_eq!(replace_path("/a:/b", "/", "/new"), "/a:/b");
    }
}
