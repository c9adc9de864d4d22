//! The line that starts a container, as words of bash.

use super::MLBUILD_ATTEMPT;
use super::script::Task;
use super::{ContainerRuntime, ImageDefaults};
use crate::shell::word_on_one_line as quoted;

/// Where a word of a line comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Word {
    /// Somebody's text, which is quoted.
    Text(String),
    /// Bash of this module's own.
    Bash(&'static str),
}

impl Word {
    fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    fn bash(&self) -> String {
        match self {
            Self::Text(text) => quoted(text),
            Self::Bash(code) => (*code).to_owned(),
        }
    }
}

/// The words, each ready for bash.
pub(super) fn bash(words: &[Word]) -> String {
    words.iter().map(Word::bash).collect::<Vec<_>>().join(" ")
}

/// What is started in the container. Podman knows the image's own; to the others it is said.
pub(in crate::runtime) fn program(
    runtime: ContainerRuntime,
    entrypoint: Option<&str>,
    command: &[String],
    image: &ImageDefaults,
) -> Vec<String> {
    if runtime == ContainerRuntime::Podman {
        return command.to_vec();
    }
    let own = |words: &[String]| words.to_vec();
    let mut words = match entrypoint {
        // As docker has it: another entry point, and the image's command isn't for it.
        Some(program) => Some(program)
            .filter(|p| !p.is_empty())
            .map(str::to_owned)
            .into_iter()
            .collect(),
        None => own(&image.entrypoint),
    };
    match (command, entrypoint) {
        ([], None) => words.extend(own(&image.command)),
        _ => words.extend(own(command)),
    }
    words
}

/// `podman run …` up to the image.
pub(super) fn podman(task: &Task<'_>) -> Vec<Word> {
    let mut words = vec![
        Word::text("podman"),
        Word::text("run"),
        Word::text("--pull=never"),
    ];
    words.extend(["--sig-proxy=false", "--log-driver=passthrough", "--name"].map(Word::text));
    words.push(Word::Bash("\"$name\""));
    if !task.words.iter().any(|word| word.starts_with("--network=")) {
        words.push(Word::text("--network=host"));
    }
    words.extend([
        Word::text("--env-file"),
        Word::Bash("\"$folder/variables\""),
        Word::text("--env=SLURM_*"),
        Word::Text(format!("--env={MLBUILD_ATTEMPT}")),
    ]);
    let names = task
        .by_name
        .iter()
        .chain(task.spread.ranks.iter().map(|(name, _)| name));
    words.extend(names.map(|name| Word::Text(format!("--env={name}"))));
    match task.gpus {
        Some(Gpus::Nvidia) => {
            words.extend(
                ["--device=nvidia.com/gpu=all", "--env=CUDA_VISIBLE_DEVICES"].map(Word::text),
            );
        }
        Some(Gpus::Amd) => {
            let all = [
                "--device=/dev/kfd",
                "--device=/dev/dri",
                "--group-add=keep-groups",
                "--env=ROCR_VISIBLE_DEVICES",
            ];
            words.extend(all.map(Word::text));
        }
        None => {}
    }
    words.extend(task.words.iter().map(Word::text));
    if let Some(program) = task.entrypoint {
        words.push(Word::Text(format!("--entrypoint={program}")));
    }
    words.push(Word::Bash("\"$image\""));
    words
}

/// `apptainer exec …` up to the program.
pub(super) fn apptainer(task: &Task<'_>) -> Vec<Word> {
    let all = [
        "apptainer",
        "--quiet",
        "exec",
        "--no-eval",
        "--cleanenv",
        "--no-home",
    ];
    let mut words: Vec<Word> = all.map(Word::text).into();
    if !task.is_read_only {
        words.push(Word::text("--writable-tmpfs"));
    }
    match task.gpus {
        Some(Gpus::Nvidia) => words.push(Word::text("--nv")),
        Some(Gpus::Amd) => words.push(Word::text("--rocm")),
        None => {}
    }
    if !task.words.iter().any(|word| word.starts_with("--cwd=")) {
        let folder = task.image.workdir.as_deref().unwrap_or("/");
        words.push(Word::Text(format!("--cwd={folder}")));
    }
    words.extend(task.words.iter().map(Word::text));
    words.push(Word::Bash("\"$sif\""));
    words
}

/// The flags of srun by which pyxis starts a container.
pub(super) fn pyxis(task: &Task<'_>) -> Vec<Word> {
    let mut words = vec![
        Word::Bash("--container-image=\"$sqsh\""),
        Word::text("--no-container-mount-home"),
    ];
    if !task.is_read_only {
        words.push(Word::text("--container-writable"));
    }
    let names: Vec<&str> = task.by_name.iter().map(String::as_str).collect();
    if !names.is_empty() {
        words.push(Word::Text(format!("--container-env={}", names.join(","))));
    }
    let mut mounts = Vec::new();
    for word in &task.words {
        match word.strip_prefix("--container-mounts=") {
            Some(mount) => mounts.push(mount),
            None => words.push(Word::text(word)),
        }
    }
    if !mounts.is_empty() {
        words.push(Word::Text(format!(
            "--container-mounts={}",
            mounts.join(",")
        )));
    }
    words
}

/// Whose GPUs a job asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gpus {
    /// NVIDIA's.
    Nvidia,
    /// AMD's.
    Amd,
}

impl Gpus {
    /// What a node has that has any.
    pub(super) fn device(self) -> &'static str {
        match self {
            Self::Nvidia => "/dev/nvidiactl",
            Self::Amd => "/dev/kfd",
        }
    }

    /// Where Slurm says which of them a task gets.
    pub(super) fn variable(self) -> &'static str {
        match self {
            Self::Nvidia => "CUDA_VISIBLE_DEVICES",
            Self::Amd => "ROCR_VISIBLE_DEVICES",
        }
    }
}
