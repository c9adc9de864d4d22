//! The whole text of a job's script.

use std::fmt::Write as _;

use super::MLBUILD_ATTEMPT;
use super::carried::carried;
use super::flags::directive;
use super::grid;
use super::lines::{self, Gpus};
use super::nodes::Spread;
use super::variables::{self, VariableFiles};
use super::{
    COMMENT, Carried, ContainerRuntime, ImageDefaults, JobContext, OUTPUT_FILE, RenderedScript,
    folder,
};
use crate::runtime::options::{Options, Setting};
use crate::runtime::render::LeftOut;
use crate::runtime::spec::RunSpec;
use crate::shell::word_on_one_line as quoted;

/// As docker has it. Seconds.
const STOP_TIMEOUT: &str = "10";

/// All that a line which starts a container is made of.
pub(super) struct Task<'a> {
    /// The runtime's own words for docker's flags.
    pub(super) words: Vec<String>,
    /// The program that takes the place of the image's entry point.
    pub(super) entrypoint: Option<&'a str>,
    /// What the image starts.
    pub(super) image: &'a ImageDefaults,
    /// Names of variables that stand in the runtime's own environment.
    pub(super) by_name: Vec<String>,
    /// How many there are, and what tells each where it is.
    pub(super) spread: Spread,
    /// Whether the container's root can't be written to.
    pub(super) is_read_only: bool,
    /// GPUs, where some are asked for.
    pub(super) gpus: Option<Gpus>,
}

/// Puts a script together.
pub(super) struct Builder<'a> {
    spec: &'a RunSpec,
    own: &'a Options,
    context: &'a JobContext,
    directives: Vec<String>,
    words: Vec<String>,
    warnings: Vec<LeftOut>,
    refused: Vec<LeftOut>,
}

impl<'a> Builder<'a> {
    pub(super) fn new(spec: &'a RunSpec, own: &'a Options, context: &'a JobContext) -> Self {
        let mut builder = Self {
            spec,
            own,
            context,
            directives: Vec::new(),
            words: Vec::new(),
            warnings: Vec::new(),
            refused: Vec::new(),
        };
        if !spec.options.has("name") {
            builder
                .directives
                .push(format!("--job-name=mlbuild-{}", context.run));
        }
        builder
            .directives
            .push(format!("--comment={COMMENT}{}", context.run));
        for setting in spec.options.iter() {
            builder.take(setting, carried(setting, context.runtime));
        }
        for setting in own.iter() {
            builder.take(setting, directive(setting));
        }
        if !own.has("requeue") {
            builder.directives.push("--no-requeue".to_owned());
        }
        if let Some(user) = context
            .image
            .user
            .as_ref()
            .filter(|_| !spec.options.has("user"))
            && context.runtime != ContainerRuntime::Podman
        {
            builder.warnings.push(LeftOut {
                what: format!("the image's user {user}"),
                why: format!("{} runs a container as you", context.runtime),
            });
        }
        builder
    }

    fn take(&mut self, setting: &Setting, carried: Carried) {
        let left_out = |why: String| LeftOut {
            what: setting.word(),
            why,
        };
        match carried {
            Carried::Words(words) => self.words.extend(words),
            Carried::Directive(directive) => self.directives.push(directive),
            Carried::Nothing => {}
            Carried::Noted(why) => self.warnings.push(left_out(why.to_owned())),
            Carried::Refused(why) => self.refused.push(left_out(why)),
        }
    }

    pub(super) fn finish(mut self) -> RenderedScript {
        let (context, spec) = (self.context, self.spec);
        let spread = Spread::read(self.own, context, self.gpus_of_node()).unwrap_or_else(|part| {
            self.refused.push(part);
            Spread::default()
        });
        let variables = [context.variables.as_slice(), &spread.own].concat();
        let VariableFiles {
            files,
            mut by_name,
            refused,
        } = variables::files(&variables, context.runtime);
        for (what, why) in refused {
            if let Carried::Refused(why) = why {
                self.refused.push(LeftOut { what, why });
            }
        }
        let folder = folder(&context.root, &context.run);
        self.directives.push(format!("--chdir={folder}"));
        let point = context.array.as_ref().map_or("", |_| "-%a");
        self.directives
            .push(format!("--output={folder}{point}/{OUTPUT_FILE}"));
        if let Some(array) = &context.array {
            self.directives.push(grid::directive(array));
            self.refused
                .extend(grid::refused(array, spec, context.runtime));
            if context.runtime == ContainerRuntime::Pyxis {
                by_name.extend(array.axes.iter().map(|axis| axis.name.clone()));
            }
        }
        self.directives.push("--open-mode=append".to_owned());
        let entrypoint = spec.options.text("entrypoint");
        if spread.nodes > 1 {
            self.directives.push(format!("--nodes={}", spread.nodes));
        }
        if spread.nodes > 1 && !self.own.has("ntasks-per-node") {
            self.directives.push("--ntasks-per-node=1".to_owned());
        }
        let started = spread.started(entrypoint, &spec.command);
        let (entrypoint, words) = started.unwrap_or_else(|part| {
            self.refused.push(part);
            (None, spec.command.clone())
        });
        let entrypoint = entrypoint.as_deref();
        let command = lines::program(context.runtime, entrypoint, &words, &context.image);
        if command.is_empty() && context.runtime != ContainerRuntime::Podman {
            self.refused.push(LeftOut {
                what: "the command".to_owned(),
                why: "the image has none; write one after the image".to_owned(),
            });
        }
        let task = Task {
            words: std::mem::take(&mut self.words),
            entrypoint,
            image: &context.image,
            by_name,
            spread,
            is_read_only: spec.options.is_on("read-only"),
            gpus: self.gpus(),
        };
        let text = self.text(&folder, &task, &command);
        RenderedScript {
            text,
            directives: self.directives,
            folder,
            variables: files,
            warnings: self.warnings,
            refused: self.refused,
        }
    }

    /// How many GPUs each node has, where a number is asked for.
    fn gpus_of_node(&self) -> Option<u32> {
        let number = |directive: &String| {
            let of_node = directive.strip_prefix("--gpus-per-node=");
            let of_node = of_node.or_else(|| directive.strip_prefix("--gres=gpu:"))?;
            of_node.rsplit(':').next()?.parse().ok()
        };
        self.directives.iter().find_map(number)
    }

    /// Whose GPUs are asked for, if any are.
    fn gpus(&mut self) -> Option<Gpus> {
        let is_asked = |directive: &String| {
            directive
                .strip_prefix("--gpus")
                .is_some_and(|rest| !rest.ends_with("=0"))
                || directive.starts_with("--gres=gpu") && !directive.ends_with(":0")
        };
        self.directives.iter().any(is_asked).then_some(())?;
        match self.own.text("gpu-resource") {
            None | Some("nvidia") => Some(Gpus::Nvidia),
            Some("amd") => Some(Gpus::Amd),
            Some(other) => {
                self.refused.push(LeftOut {
                    what: format!("--gpu-resource={other}"),
                    why: "a job of Slurm says whose GPUs they are: nvidia or amd; which ones, --gres says".to_owned(),
                });
                None
            }
        }
    }

    fn text(&self, folder: &str, task: &Task<'_>, command: &[String]) -> String {
        let context = self.context;
        let mut out = String::from("#!/bin/bash\n");
        for directive in &self.directives {
            let _ = writeln!(out, "#SBATCH {directive}");
        }
        let images = format!("{}/images", context.root.trim_end_matches('/'));
        out += &fill(
            include_str!("bash/head.sh"),
            &[
                ("RUN", &context.run),
                (
                    "ARRAY",
                    &context.array.as_ref().map_or_else(String::new, |_| {
                        fill(
                            include_str!("bash/array.sh"),
                            &[("FOLDER", &quoted(folder))],
                        )
                    }),
                ),
                (
                    "FOLDER",
                    &match context.array {
                        Some(_) => "$folder".to_owned(),
                        None => quoted(folder),
                    },
                ),
                ("IMAGES", &quoted(&images)),
                ("IMAGE", &quoted(&self.spec.image)),
            ],
        );
        let words = grid::command(command, context.array.as_ref());
        out += &self.of_runtime(task, &words);
        let fetches = context.runtime != ContainerRuntime::Podman && self.pulls();
        out += &fill(
            include_str!("bash/end.sh"),
            &[
                (
                    "POINT",
                    &context.array.as_ref().map_or_else(String::new, |array| {
                        let point = grid::point(array, context);
                        fill(include_str!("bash/point.sh"), &[("POINT", &point)])
                    }),
                ),
                (
                    "RENDEZVOUS",
                    included(
                        !task.spread.ranks.is_empty(),
                        include_str!("bash/rendezvous.sh"),
                    ),
                ),
                ("FETCH", included(fetches, "fetch || finish 125")),
                ("START", &self.start(task, &words)),
            ],
        );
        out
    }

    /// The functions by which the runtime starts a container.
    fn of_runtime(&self, task: &Task<'_>, words: &str) -> String {
        let (ranks, gpus) = (exports(&task.spread.ranks), check_gpus(task.gpus));
        let (name, digest) = self
            .spec
            .image
            .split_once('@')
            .unwrap_or((&self.spec.image, "image"));
        match self.context.runtime {
            ContainerRuntime::Podman => fill(
                include_str!("bash/podman.sh"),
                &[
                    ("CONTAINER", &lines::bash(&lines::podman(task))),
                    ("RANKS", &ranks),
                    ("GPUS", &gpus),
                    (
                        "PULL",
                        included(self.pulls(), include_str!("bash/podman-pull.sh")),
                    ),
                    (
                        "VARIABLES",
                        included(
                            !task.by_name.is_empty(),
                            include_str!("bash/podman-variables.sh"),
                        ),
                    ),
                    ("COMMAND", words),
                    (
                        "TIMEOUT",
                        self.spec
                            .options
                            .text("stop-timeout")
                            .unwrap_or(STOP_TIMEOUT),
                    ),
                ],
            ),
            ContainerRuntime::Apptainer => fill(
                include_str!("bash/apptainer.sh"),
                &[
                    ("DIGEST", &quoted(digest.replace(':', "-"))),
                    ("CONTAINER", &lines::bash(&lines::apptainer(task))),
                    ("NAMES", &names(task)),
                    ("RANKS", &ranks),
                    ("GPUS", &gpus),
                    ("COMMAND", words),
                ],
            ),
            ContainerRuntime::Pyxis => fill(
                include_str!("bash/pyxis.sh"),
                &[
                    ("DIGEST", &quoted(digest.replace(':', "-"))),
                    ("SOURCE", &quoted(of_enroot(name, digest))),
                ],
            ),
        }
    }

    /// The one srun.
    fn start(&self, task: &Task<'_>, words: &str) -> String {
        let Spread { nodes, .. } = task.spread;
        let tasks = task.spread.all();
        let mut srun = format!("srun --nodes={nodes} --ntasks={tasks} --export=ALL --input=none");
        if let Some(cpus) = self
            .directives
            .iter()
            .find(|flag| flag.starts_with("--cpus-per-task="))
        {
            let _ = write!(srun, " {cpus}");
        }
        if tasks > 1 {
            // Whose line it is, is seen, and `mlbuild logs --rank` finds it.
            srun.push_str(" --kill-on-bad-exit=1 --label");
        }
        if self.context.runtime != ContainerRuntime::Pyxis {
            return format!("{srun} bash \"$folder/script\" task");
        }
        let line = lines::bash(&lines::pyxis(task));
        // A task learns which one it is inside.
        let inside = match task.spread.ranks.is_empty() {
            true => words.to_owned(),
            false => format!(
                "sh -c '{}; exec \"$@\"' sh {words}",
                exports(&task.spread.ranks).replace('\n', ";")
            ),
        };
        let variables = match task.by_name.is_empty() {
            true => "",
            false => {
                "while IFS= read -r -d '' pair; do export \"$pair\"; done < \"$folder/variables\"\n"
            }
        };
        format!("{variables}{srun} \\\n    {line} \\\n    {inside}")
    }

    /// Whether the image is fetched where it isn't there.
    fn pulls(&self) -> bool {
        self.spec.options.text("pull") != Some("never")
    }
}

/// Writes texts into a template at `@NAME@`. A line that becomes empty so is left out, and no text that was
/// put in is looked at again.
fn fill(template: &str, texts: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for line in template.split_inclusive('\n') {
        let mut filled = String::new();
        let mut rest = line;
        while let Some((before, name, text, after)) = next_of(rest, texts) {
            filled += before;
            filled += text.trim_end_matches('\n');
            debug_assert!(!name.is_empty());
            rest = after;
        }
        let is_all = rest.len() == line.len();
        filled += rest;
        if is_all || !filled.trim().is_empty() {
            out += &filled;
        }
    }
    out
}

/// The first `@NAME@` of a line: what stands before it, its name, its text, what comes after it.
fn next_of<'a>(
    line: &'a str,
    texts: &[(&'a str, &'a str)],
) -> Option<(&'a str, &'a str, &'a str, &'a str)> {
    line.match_indices('@').find_map(|(at, _)| {
        let (name, after) = line[at + 1..].split_once('@')?;
        let (_, text) = texts.iter().find(|(known, _)| *known == name)?;
        Some((&line[..at], name, *text, after))
    })
}

fn included(wanted: bool, text: &str) -> &str {
    if wanted { text } else { "" }
}

/// The value that somebody set of a variable.
pub(super) fn given<'a>(context: &'a JobContext, name: &str) -> Option<&'a str> {
    let mut all = context.variables.iter();
    let variable = all.find(|variable| variable.name == name)?;
    Some(variable.value.as_deref().unwrap_or_default())
}

fn exports(ranks: &[(String, String)]) -> String {
    let one = |(name, value): &(String, String)| format!("{name}={value}");
    match ranks {
        [] => String::new(),
        _ => format!(
            "export {}",
            ranks.iter().map(one).collect::<Vec<_>>().join(" ")
        ),
    }
}

/// apptainer and podman give a container no GPU, and say nothing, where the node has none.
fn check_gpus(gpus: Option<Gpus>) -> String {
    gpus.map_or_else(String::new, |gpus| {
        format!(
            "[ -e {} ] || {{ echo \"mlbuild: $SLURMD_NODENAME has no GPU that a container could be given\" >&2; ended 125; }}",
            gpus.device()
        )
    })
}

/// Variables of the job that the container has, beside Slurm's.
fn names(task: &Task<'_>) -> String {
    let ranks = task.spread.ranks.iter().map(|(name, _)| name.as_str());
    let all = ranks.chain(task.gpus.map(Gpus::variable));
    let all = [MLBUILD_ATTEMPT].into_iter().chain(all);
    all.collect::<Vec<_>>().join(" ")
}

/// enroot sets the registry apart.
fn of_enroot(name: &str, digest: &str) -> String {
    match name.split_once('/') {
        // The one that enroot knows without a word.
        Some(("docker.io", name)) => format!("docker://{name}@{digest}"),
        Some((registry, name)) => format!("docker://{registry}#{name}@{digest}"),
        None => format!("docker://{name}@{digest}"),
    }
}
