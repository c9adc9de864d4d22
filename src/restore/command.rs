//! The command that starts a recorded run again, here.

use std::path::{Path, PathBuf};

use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::{RunCluster, RunCommand, RunSlurm};

use crate::env_vars::{MLBUILD_IMAGE, MLBUILD_RUN_ID, WANDB_DOCKER};
use crate::runtime;

/// Programs that start containers the way that records have it.
pub const PROGRAMS: [&str; 4] = ["docker", "podman", "nerdctl", "apptainer"];

/// This program, where it starts the run.
pub const OWN: &str = "mlbuild";

/// What a run was told of itself, which another run isn't.
pub const TOLD: [&str; 3] = [MLBUILD_RUN_ID, MLBUILD_IMAGE, WANDB_DOCKER];

/// A run to be started again.
#[derive(Clone, Copy, Debug)]
pub struct Again<'a> {
    /// Its record.
    pub record: &'a RunRecord,
    /// Program that starts it.
    pub program: &'a str,
    /// The cluster that it is submitted to, where it isn't started here.
    pub cluster: Option<&'a RunCluster>,
    /// The cluster of Slurm's that it is submitted to, where it isn't started here.
    pub slurm: Option<&'a RunSlurm>,
    /// The image by digest, or its ID.
    pub image: &'a str,
    /// Where the project is now.
    pub project: &'a Path,
}

/// An option that a record can't have: a kubeconfig may name programs, the place stands apart, and trust
/// is the person's to give.
fn is_persons(option: &str) -> bool {
    [
        "--kubeconfig",
        "--context",
        "--namespace",
        "-n",
        "--trust",
        "--ssh",
        "--job-folder",
    ]
    .iter()
    .any(|flag| option.starts_with(flag))
}

/// A variable that a run is told of itself, by which another would be taken for it.
fn is_told_to_the_run(option: &&String) -> bool {
    let name = option.strip_prefix("--env=");
    name.is_some_and(|name| TOLD.contains(&name))
}

impl Again<'_> {
    /// The whole command.
    pub fn command(&self) -> Vec<String> {
        let unknown = RunCommand {
            options: ["--rm", "-it"].map(str::to_owned).to_vec(),
            ..RunCommand::default()
        };
        let recorded = self.record.command.as_ref().unwrap_or(&unknown);
        if self.is_submitted() {
            return self.submitted(recorded);
        }
        // What a window needs is of one session, and mlbuild gives it anew.
        let verb = match &recorded.display {
            Some(access) => vec!["gui-run".to_owned(), format!("--display-access={access}")],
            None => vec!["run".to_owned()],
        };
        let options = self.options(&recorded.options).into_iter();
        // It is mlbuild that starts it, so that it is a run with a record, too.
        [OWN.to_owned()]
            .into_iter()
            .chain(verb)
            .chain([format!("--runtime-cli={}", self.program)])
            .chain(options.filter(|option| !is_told_to_the_run(&option)))
            .chain([self.image.to_owned()])
            .chain(recorded.argv.iter().cloned())
            .collect()
    }

    /// The options of the container, less those by which a run is told of itself.
    pub fn recorded_options(&self) -> Vec<String> {
        let recorded = self.record.command.as_ref();
        let recorded = recorded.map_or(&[][..], |command| &command.options);
        let mut options = self.options(recorded);
        options.retain(|option| !is_told_to_the_run(&option));
        options
    }

    fn is_submitted(&self) -> bool {
        self.cluster.is_some() || self.slurm.is_some()
    }

    /// Where and how it is submitted, where it isn't started here: words of `mlbuild submit`.
    pub fn submission(&self) -> Vec<String> {
        if let Some(slurm) = self.slurm {
            let options = slurm.options.iter();
            let options = options.filter(|option| *option != "--slurm" && !is_persons(option));
            return ["--slurm".to_owned()]
                .into_iter()
                .chain(options.cloned())
                .collect();
        }
        let Some(cluster) = self.cluster else {
            return Vec::new();
        };
        let place = [
            ("context", cluster.context.as_ref()),
            ("namespace", Some(&cluster.namespace)),
        ];
        let place = place.into_iter().filter_map(|(flag, value)| {
            let value = value?;
            Some(format!("--{flag}={value}"))
        });
        let options = cluster.options.iter().filter(|option| !is_persons(option));
        place.chain(options.cloned()).collect()
    }

    /// The command that submits it again. Its name is the first Job's, which may still be there.
    fn submitted(&self, recorded: &RunCommand) -> Vec<String> {
        let is_left_out = |option: &&String| option.starts_with("--name=") || is_persons(option);
        let options = recorded.options.iter();
        let options = options.filter(|option| !is_left_out(option));
        [OWN, "submit"]
            .map(str::to_owned)
            .into_iter()
            .chain(self.submission())
            .chain(options.map(|option| self.file_moved(option)))
            .chain([self.image.to_owned()])
            .chain(recorded.argv.iter().cloned())
            .collect()
    }

    /// A file that is read here, taken from where the project is now. Folders of mounts are the node's.
    fn file_moved(&self, option: &str) -> String {
        let moved = ["--env-file=", "--label-file="].iter().find_map(|flag| {
            let moved = self.moved(option.strip_prefix(flag)?)?;
            Some(format!("{flag}{moved}"))
        });
        moved.unwrap_or_else(|| option.to_owned())
    }

    /// The options, with the project's files of then taken from where the project is now. Inside, all
    /// is where it was: the program may know of it.
    fn options(&self, words: &[String]) -> Vec<String> {
        let mut options = Vec::new();
        let mut rest = words;
        while let Some(first) = rest.first() {
            // A flag is a word, or two: what follows it would else be taken for its value.
            let (flag, parsed) = [1, 2]
                .into_iter()
                .filter_map(|count| rest.get(..count))
                .find_map(|flag| {
                    let line: Vec<&str> =
                        flag.iter().map(String::as_str).chain(["image"]).collect();
                    let parsed = runtime::parse(&line).ok()?;
                    (parsed.spec.image == "image").then_some((flag, parsed))
                })
                .map_or((&rest[..1], None), |(flag, parsed)| (flag, Some(parsed)));
            rest = &rest[flag.len()..];
            let Some(mut parsed) = parsed else {
                // Nothing that is known.
                options.push(first.clone());
                continue;
            };
            let before = parsed.spec.options.clone();
            parsed.spec.each_source(|path| {
                if let Some(moved) = self.moved(path) {
                    *path = moved;
                }
            });
            if parsed.spec.options == before {
                options.extend_from_slice(flag);
                continue;
            }
            match (flag, parsed.spec.options.iter().last()) {
                // As it was written: `-itv`, and its value.
                ([letters, _], Some(setting)) => {
                    options.extend([letters.clone(), setting.value.to_string()]);
                }
                _ => options.extend(parsed.spec.options.words()),
            }
        }
        options
    }

    /// Where a path of the first machine is now, if it is the project's.
    fn moved(&self, path: &str) -> Option<String> {
        let (from, to) = self.moves()?;
        let inside = Path::new(path).strip_prefix(&from).ok()?;
        // Without a slash at the end.
        let moved = if inside.as_os_str().is_empty() {
            PathBuf::from(to)
        } else {
            Path::new(&to).join(inside)
        };
        (from.len() > 1).then(|| moved.to_string_lossy().into_owned())
    }

    /// Mounted folders and files of the first machine that aren't on this one.
    pub fn missing_mounts(&self) -> Vec<String> {
        // Those of a cluster are its nodes'.
        if self.is_submitted() {
            return Vec::new();
        }
        let command = self.record.command.as_ref();
        let mounts = command.map_or(&[][..], |command| &command.mounts);
        let source = |mount: &String| {
            let source = mount.split(':').next().unwrap_or_default().to_owned();
            self.moved(&source).unwrap_or(source)
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

#[cfg(test)]
mod tests {
    use mlbuild_manifests::RunRecord;
    use mlbuild_manifests::run_record::{RunCluster, RunCommand, RunImage, RunSlurm};

    use super::Again;

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
            cluster: None,
            slurm: None,
            image: "img",
            project: "/p".as_ref(),
        };
        assert_eq!(
            again.command().join(" "),
            "mlbuild gui-run --display-access=uid --runtime-cli=podman --rm --env=LR img show.py"
        );
    }

    #[test]
    fn a_run_of_a_cluster_is_submitted_again() {
        let id = "exp-7".parse().unwrap();
        let mut record = RunRecord::new(id, jiff::Timestamp::UNIX_EPOCH, RunImage::default());
        record.command = Some(RunCommand {
            options: [
                "--name=train",
                "--env-file=/home/ann/code/.env",
                "--volume=/home/ann/code:/app",
            ]
            .map(str::to_owned)
            .to_vec(),
            argv: vec!["train.py".to_owned()],
            project: Some("/home/ann/code".to_owned()),
            ..RunCommand::default()
        });
        let cluster = RunCluster {
            context: Some("prod".to_owned()),
            namespace: "ml".to_owned(),
            job: "train".to_owned(),
            options: vec!["--queue=ml-team".to_owned()],
            ..RunCluster::default()
        };
        let again = Again {
            record: &record,
            program: "docker",
            cluster: Some(&cluster),
            slurm: None,
            image: "img",
            project: "/new".as_ref(),
        };
        assert_eq!(
            again.command().join(" "),
            "mlbuild submit --context=prod --namespace=ml --queue=ml-team --env-file=/new/.env \
             --volume=/home/ann/code:/app img train.py"
        );
        let here = Again {
            cluster: None,
            ..again
        };
        assert!(
            here.command()
                .join(" ")
                .starts_with("mlbuild run --runtime-cli=docker --name=train")
        );
    }

    #[test]
    fn a_run_under_slurm_is_submitted_again_and_leads_nobody_to_its_login_node() {
        let id = "exp-7".parse().unwrap();
        let mut record = RunRecord::new(id, jiff::Timestamp::UNIX_EPOCH, RunImage::default());
        record.command = Some(RunCommand {
            options: vec!["--gpus=2".to_owned(), "--trust".to_owned()],
            argv: vec!["train.py".to_owned()],
            ..RunCommand::default()
        });
        let slurm = RunSlurm {
            cluster: "hpc".to_owned(),
            login: Some("evil".to_owned()),
            options: [
                "--slurm",
                "--partition=gpu",
                "--ssh=evil",
                "--job-folder=/etc",
            ]
            .map(str::to_owned)
            .to_vec(),
            ..RunSlurm::default()
        };
        let again = Again {
            record: &record,
            program: "docker",
            cluster: None,
            slurm: Some(&slurm),
            image: "img",
            project: "/new".as_ref(),
        };
        assert_eq!(
            again.command().join(" "),
            "mlbuild submit --slurm --partition=gpu --gpus=2 img train.py"
        );
    }

    #[test]
    fn sources_move_and_nothing_else_does() {
        let options = |words: &str| {
            let id = "exp-7".parse().unwrap();
            let mut record = RunRecord::new(id, jiff::Timestamp::UNIX_EPOCH, RunImage::default());
            record.command = Some(RunCommand {
                options: shlex::split(words).unwrap(),
                project: Some("/home/ann/code".to_owned()),
                ..RunCommand::default()
            });
            let again = Again {
                record: &record,
                program: "docker",
                cluster: None,
                slurm: None,
                image: "img",
                project: "/new".as_ref(),
            };
            let words = again.command();
            words[3..words.len() - 1].join(" ")
        };
        for (then, now) in [
            ("-v /home/ann/code:/app", "-v /new:/app"),
            (
                "--volume=/home/ann/code/data:/data:ro",
                "--volume=/new/data:/data:ro",
            ),
            (
                "--mount type=bind,source=/home/ann/code,target=/app",
                "--mount type=bind,source=/new,target=/app",
            ),
            // The same place inside, which -w and the program know.
            (
                "--rm -itv /home/ann/code:/home/ann/code -w /home/ann/code",
                "--rm -itv /new:/home/ann/code -w /home/ann/code",
            ),
            ("--env-file /home/ann/code/.env", "--env-file /new/.env"),
            ("-v/home/ann/code:/app", "--volume=/new:/app"),
            ("-e DATA=/home/ann/code", "-e DATA=/home/ann/code"),
            ("-v /home/ann/code2:/app", "-v /home/ann/code2:/app"),
            ("-v /mnt/home/ann/code:/app", "-v /mnt/home/ann/code:/app"),
            ("--of-a-later-docker x --rm", "--of-a-later-docker x --rm"),
        ] {
            assert_eq!(options(then), now);
        }
    }
}
