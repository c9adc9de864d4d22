//! What is likely to go wrong with a template, beyond what BuildKit's own linter looks at: layers
//! that a code edit rebuilds, parameters that never arrive, users that break.

use mlbuild_secrets::must_hide;
use parse_dockerfile::{Command, Instruction, RunInstruction, Source};

use super::OwnTemplate;
use super::parse::{TemplateError, distinct, line_of, parse};
use super::stages;

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize)]
pub struct Finding {
    /// The line, from 1.
    pub line: usize,
    /// The rule's name.
    pub rule: &'static str,
    /// What was found.
    pub message: String,
    /// What to write instead.
    pub hint: String,
}

/// Looks at a template's text. An empty list means that nothing was found.
///
/// # Errors
/// Where it isn't a Dockerfile.
pub fn lint_template(text: &str) -> Result<Vec<Finding>, TemplateError> {
    let template = OwnTemplate::parse(text)?;
    let distinct = distinct(text);
    let parsed = parse(&distinct)?;
    let mut all = parsed.instructions.iter();
    let first_from = all.find_map(|instruction| match instruction {
        Instruction::From(from) => Some(line_of(text, from.image.span.start)),
        _ => None,
    });
    let mut linter = Linter {
        text,
        findings: Vec::new(),
        code_copied: None,
        has_lists: false,
        with_lists: Vec::new(),
        stages: Vec::new(),
        all_stages: stages::names(text, &parsed.instructions),
        template: &template,
        first_from: first_from.unwrap_or(usize::MAX),
    };
    for instruction in &parsed.instructions {
        linter.instruction(instruction);
    }
    linter.args(&template, &parsed.instructions);
    linter.names(&parsed.instructions);
    linter.cycles(&parsed.instructions);
    linter.findings.sort_by_key(|finding| finding.line);
    Ok(linter.findings)
}

struct Linter<'a> {
    text: &'a str,
    findings: Vec<Finding>,
    /// The line of the COPY that brought the whole context into the stage.
    code_copied: Option<usize>,
    /// Whether an earlier RUN of the stage left package lists of apt's.
    has_lists: bool,
    /// The stages so far whose images have such lists.
    with_lists: Vec<String>,
    /// Names of the stages so far, in lower case.
    stages: Vec<String>,
    /// Names of all stages: files may be taken from one that is still to come.
    all_stages: Vec<String>,
    template: &'a OwnTemplate,
    /// The line of the first FROM, from 1.
    first_from: usize,
}

/// Whether an image of this name is another one every few weeks.
fn floats(image: &str) -> bool {
    let name = image.rsplit('/').next().unwrap_or(image);
    let is_pinned = name.contains('@');
    match name.split_once(':') {
        _ if is_pinned => false,
        None => !name.contains('$'),
        Some((_, tag)) => FLOATING.contains(&tag.split('-').next().unwrap_or(tag)),
    }
}

/// Tags that name another image from time to time, alone or before a variant (`latest-gpu`).
const FLOATING: [&str; 13] = [
    "latest", "rolling", "nightly", "edge", "stable", "testing", "unstable", "sid", "main",
    "master", "mainline", "current", "lts",
];

/// Images that are named by a word alone, and that files are often taken from.
const OFFICIAL: [&str; 18] = [
    "alpine",
    "amazonlinux",
    "bash",
    "busybox",
    "caddy",
    "composer",
    "debian",
    "docker",
    "fedora",
    "golang",
    "nginx",
    "node",
    "postgres",
    "python",
    "redis",
    "ruby",
    "rust",
    "ubuntu",
];

/// Variables that images set themselves: a part of the image's name, and the variable.
const SET_BY_BASES: [(&str, &str); 9] = [
    ("nvidia/cuda", "CUDA_VERSION"),
    ("nvcr.io/nvidia/", "CUDA_VERSION"),
    ("nvcr.io/nvidia/pytorch", "PYTORCH_VERSION"),
    ("nvcr.io/nvidia/tensorflow", "TENSORFLOW_VERSION"),
    ("pytorch/pytorch", "PYTORCH_VERSION"),
    ("python", "PYTHON_VERSION"),
    ("node", "NODE_VERSION"),
    ("golang", "GOLANG_VERSION"),
    ("ruby", "RUBY_VERSION"),
];

/// Findings about the names of stages that are shown at most.
const MOST_OF_A_KIND: usize = 20;

/// Ids of users from which on a lastlog is large: `useradd` writes 292 bytes for each id below.
const LARGE_ID: u32 = 100_000;

impl Linter<'_> {
    fn find(&mut self, offset: usize, rule: &'static str, message: impl Into<String>, hint: &str) {
        self.findings.push(Finding {
            line: line_of(self.text, offset),
            rule,
            message: message.into(),
            hint: hint.to_owned(),
        });
    }

    fn instruction(&mut self, instruction: &Instruction) {
        match instruction {
            Instruction::From(from) => {
                self.code_copied = None;
                let written = from.image.value.as_ref();
                let image = self.filled(written);
                let is_stage = self.stages.contains(&image.to_lowercase());
                self.end_stage();
                self.has_lists = is_stage && self.with_lists.contains(&image.to_lowercase());
                if floats(&image) && image != "scratch" && !is_stage {
                    self.find(
                        from.image.span.start,
                        "floating-base",
                        format!("{image} is another image every few weeks"),
                        "name a version: debian:12, python:3.12-slim-bookworm",
                    );
                }
                self.stages.push(stages::name(self.text, from));
            }
            Instruction::Copy(copy)
                if copy.options.iter().any(|flag| flag.name.value == "from") =>
            {
                let from = copy.options.iter().find(|flag| flag.name.value == "from");
                let value = from.and_then(|flag| flag.value.as_ref());
                let image = value
                    .map(|value| value.value.to_string())
                    .unwrap_or_default();
                self.image_of_files(copy.copy.span.start, &image);
            }
            Instruction::Copy(copy) => {
                let whole = |source: &Source| matches!(source, Source::Path(path) if path.value == "." || path.value == "./");
                if copy.src.iter().any(whole) {
                    self.code_copied
                        .get_or_insert(line_of(self.text, copy.copy.span.start));
                }
            }
            Instruction::Run(run) => {
                for image in stages::mounted(run) {
                    self.image_of_files(run.run.span.start, &image);
                }
                self.run(run);
            }
            Instruction::Env(env) => {
                self.secret(env.env.span.start, &env.arguments.value);
            }
            Instruction::Arg(arg) => {
                self.secret(arg.arg.span.start, &arg.arguments.value);
            }
            _ => {}
        }
    }

    /// An image that files are taken from, where it isn't a stage.
    fn image_of_files(&mut self, offset: usize, image: &str) {
        let is_number = image.bytes().all(|b| b.is_ascii_digit());
        let is_stage = is_number || self.all_stages.contains(&image.to_lowercase());
        // Another plain word may be a context that the build is given.
        let is_image = image.contains(['/', ':']) || OFFICIAL.contains(&image);
        if !is_stage && is_image && floats(image) {
            self.find(
                offset,
                "floating-base",
                format!("{image} is another image every few weeks"),
                "name a version, or its digest",
            );
        }
    }

    /// Names that two stages have, and stages that are used before they are there.
    fn names(&mut self, instructions: &[Instruction]) {
        let twice = stages::duplicates(self.text, instructions).into_iter();
        for found in twice.take(MOST_OF_A_KIND) {
            let line = line_of(self.text, found.other);
            self.find(
                found.offset,
                "duplicate-stage",
                format!(
                    "the stage is called {} as the one of line {line}: files and targets of that name are of the last one",
                    found.name
                ),
                "give each stage a name of its own",
            );
        }
        let waits = stages::cycle(self.text, instructions).map(|(offset, _)| offset);
        let early = stages::too_early(self.text, instructions).into_iter();
        let early = early.filter(|found| Some(found.offset) != waits);
        for found in early.take(MOST_OF_A_KIND) {
            let line = line_of(self.text, found.other);
            self.find(
                found.offset,
                "stage-order",
                format!(
                    "files are taken of the stage {}, which line {line} only begins: no builder builds that",
                    found.name
                ),
                "move that stage above this one, and give each a name of its own",
            );
        }
    }

    /// Stages that wait for one another.
    fn cycles(&mut self, instructions: &[Instruction]) {
        if let Some((offset, name)) = stages::cycle(self.text, instructions) {
            let message =
                format!("the stage waits for {name}, which waits for it: no builder builds that");
            self.find(
                offset,
                "stage-cycle",
                message,
                "move what both need into a stage of its own",
            );
        }
    }

    /// A base with the defaults of the ARGs before the first FROM filled in, as far as they have any.
    fn filled(&self, written: &str) -> String {
        let default = |name: &str| {
            // One inside a stage is of that stage.
            let mut args = self.template.args.iter();
            let arg = args.find(|arg| arg.name == name && arg.line < self.first_from);
            arg.and_then(|arg| arg.default.clone())
        };
        let mut text = String::new();
        let mut rest = written;
        while let Some((before, after)) = rest.split_once('$') {
            text.push_str(before);
            let is_word = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let (name, other, after) = match after
                .strip_prefix('{')
                .and_then(|inner| inner.split_once('}'))
            {
                Some((inner, after)) => {
                    let (name, other) = inner.split_once(":-").unwrap_or((inner, ""));
                    (name, Some(other).filter(|other| !other.is_empty()), after)
                }
                None => {
                    let end = after.find(|c| !is_word(c)).unwrap_or(after.len());
                    (&after[..end], None, &after[end..])
                }
            };
            let value = default(name).or(other.map(str::to_owned));
            match value.filter(|value| !value.is_empty() && !value.contains('$')) {
                Some(value) if name.chars().all(is_word) => text.push_str(&value),
                // Whoever builds it gives the value.
                _ => return written.to_owned(),
            }
            rest = after;
        }
        text + rest
    }

    fn secret(&mut self, offset: usize, assignment: &str) {
        let (name, value) = assignment.split_once('=').unwrap_or((assignment, ""));
        let name = name.split_whitespace().next().unwrap_or(name);
        if must_hide(name, value) {
            self.find(
                offset,
                "secret-in-image",
                format!(
                    "{} would stay in the image's configuration or history",
                    name.trim()
                ),
                "mount it for the one step that needs it: RUN --mount=type=secret,id=NAME",
            );
        }
    }

    fn run(&mut self, run: &RunInstruction) {
        let Command::Shell(shell) = &run.arguments else {
            return;
        };
        let script: &str = shell.value;
        let at = run.run.span.start;
        let installs = [
            "pip install",
            "pip3 install",
            "uv sync",
            "conda install",
            "mamba install",
        ];
        let installs_python = installs.iter().any(|command| script.contains(command));
        let installs_apt = script.contains("apt-get install") || script.contains("apt install");
        if let (Some(line), true) = (self.code_copied, installs_python || installs_apt) {
            self.find(
                at,
                "code-before-packages",
                format!("packages are installed after all the code is copied (line {line}): every edit installs them again"),
                "copy the requirements files first, install, and copy the code last",
            );
        }
        let cached = run.options.iter().any(|flag| {
            flag.value
                .as_ref()
                .is_some_and(|value| value.value.contains("type=cache"))
        });
        let has_lists = self.has_lists;
        // add-apt-repository updates the lists by itself.
        let updates = script.contains("update") || script.contains("add-apt-repository");
        let removes = script.contains("/var/lib/apt/lists");
        self.has_lists = (self.has_lists || updates) && !removes;
        if installs_apt && !updates && !has_lists {
            self.find(
                at,
                "apt-without-update",
                "installs from package lists that the base doesn't have",
                "write apt-get update && apt-get install in one RUN",
            );
        }
        if installs_apt && !cached && !script.contains("/var/lib/apt/lists") {
            self.find(
                at,
                "apt-lists-left",
                "leaves the package lists in the layer",
                "add --mount=type=cache,target=/var/lib/apt/lists,sharing=locked, or rm -rf /var/lib/apt/lists/*",
            );
        }
        if installs_apt
            && !["-y", "--yes", "-qq"]
                .iter()
                .any(|yes| script.contains(yes))
        {
            self.find(
                at,
                "apt-asks",
                "waits for an answer that nobody gives",
                "add -y",
            );
        }
        if has_large_id(script) {
            self.find(
                at,
                "useradd-lastlog",
                "useradd writes a lastlog as large as the user id",
                "add -l (--no-log-init)",
            );
        }
        if run.here_docs.iter().len() > 0 {
            self.find(
                at,
                "heredoc",
                "Docker before 23.0 takes no here-documents",
                "join the lines with && \\",
            );
        }
    }

    /// Takes in what the stage that ends here has.
    fn end_stage(&mut self) {
        if let Some(name) = self
            .stages
            .last()
            .filter(|name| self.has_lists && !name.is_empty())
        {
            self.with_lists.push(name.clone());
        }
    }

    /// Whether something sets a variable before a line: an ENV since the last FROM, or the image that it names.
    fn is_set(&self, name: &str, line: usize, instructions: &[Instruction]) -> bool {
        let mut is_set = false;
        for instruction in instructions {
            match instruction {
                Instruction::From(from) if line_of(self.text, from.from.span.start) < line => {
                    let image = from.image.value.to_lowercase();
                    is_set = SET_BY_BASES.iter().any(|(part, variable)| {
                        let is_it = match part.contains('/') {
                            true => image.contains(part),
                            false => {
                                let last = image.rsplit('/').next().unwrap_or(&image);
                                last.split([':', '@']).next() == Some(part)
                            }
                        };
                        is_it && *variable == name
                    });
                }
                Instruction::Env(env) if line_of(self.text, env.env.span.start) < line => {
                    let words = env.arguments.value.split_whitespace();
                    let mut names = words.filter_map(|word| word.split('=').next());
                    is_set |= names.any(|set| set == name);
                }
                _ => {}
            }
        }
        is_set
    }

    /// ARGs that stand before FROM aren't seen after it, unless they are declared again.
    fn args(&mut self, template: &OwnTemplate, instructions: &[Instruction]) {
        let from = instructions.iter().find_map(|i| match i {
            Instruction::From(from) => Some(from.from.span.start),
            _ => None,
        });
        let Some(from) = from else {
            return;
        };
        let first = line_of(self.text, from);
        for arg in template.args.iter().filter(|arg| arg.line < first) {
            let again = template
                .args
                .iter()
                .any(|other| other.name == arg.name && other.line > first);
            let used = [format!("${}", arg.name), format!("${{{}", arg.name)];
            let lines = self.text.lines().enumerate().skip(first);
            let not_from = |line: &str| !line.trim_start().to_uppercase().starts_with("FROM ");
            let mut uses =
                lines.filter(|(_, line)| not_from(line) && used.iter().any(|u| mentions(line, u)));
            if let (Some((number, _)), false) = (uses.next(), again)
                && !self.is_set(&arg.name, number + 1, instructions)
            {
                self.findings.push(Finding {
                    line: number + 1,
                    rule: "arg-out-of-scope",
                    message: format!(
                        "{} is declared before FROM (line {}) and is empty here",
                        arg.name, arg.line
                    ),
                    hint: format!("declare it again after FROM: ARG {}", arg.name),
                });
            }
        }
    }
}

/// Whether a line uses a variable, not one whose name goes on.
fn mentions(line: &str, used: &str) -> bool {
    line.match_indices(used).any(|(at, _)| {
        let next = line[at + used.len()..].chars().next();
        !next.is_some_and(|c| c.is_ascii_alphanumeric() || c == '_')
    })
}

/// Whether a script makes a user whose id is large, or may be, without leaving the lastlog alone.
fn has_large_id(script: &str) -> bool {
    script.split(['&', ';', '|', '\n']).any(|command| {
        let mut words = command
            .split_whitespace()
            .skip_while(|word| !word.ends_with("useradd"));
        let mut is_large = false;
        while let Some(word) = words.next() {
            if is_no_log(word) {
                return false;
            }
            let id = match word.split_once('=') {
                Some(("--uid", id)) => Some(id),
                _ if word == "-u" || word == "--uid" => words.next(),
                _ => word.strip_prefix("-u").filter(|id| !id.is_empty()),
            };
            let id = id.map(|id| id.trim_matches(['"', '\'']));
            is_large |= id.is_some_and(|id| {
                id.parse()
                    .map_or(id.contains('$'), |id: u32| id >= LARGE_ID)
            });
        }
        is_large
    })
}

fn is_no_log(word: &str) -> bool {
    word == "--no-log-init"
        || (word.starts_with('-') && !word.starts_with("--") && word.contains('l'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules(text: &str) -> Vec<(usize, &'static str)> {
        lint_template(text)
            .unwrap()
            .iter()
            .map(|f| (f.line, f.rule))
            .collect()
    }

    #[test]
    fn each_rule_speaks() {
        assert_eq!(rules("FROM debian\n"), [(1, "floating-base")]);
        assert_eq!(
            rules("FROM registry:5000/debian:latest\n"),
            [(1, "floating-base")]
        );
        assert_eq!(
            rules("FROM a:1\nCOPY . /app\nRUN pip install -r /app/requirements.txt\n"),
            [(3, "code-before-packages")]
        );
        assert_eq!(
            rules("FROM a:1\nRUN apt-get install git\n"),
            [
                (2, "apt-without-update"),
                (2, "apt-lists-left"),
                (2, "apt-asks")
            ]
        );
        assert_eq!(
            rules("FROM a:1\nRUN useradd -m -u 1500001 x\n"),
            [(2, "useradd-lastlog")]
        );
        assert_eq!(
            rules("FROM a:1\nARG WANDB_API_KEY\nENV HF_TOKEN=x\n"),
            [(2, "secret-in-image"), (3, "secret-in-image")]
        );
        assert_eq!(
            rules("ARG V=1\nARG W=2\nFROM a:$V\nARG W\nRUN echo $V $W $VX\n"),
            [(5, "arg-out-of-scope")]
        );
        assert_eq!(
            rules("FROM a:1\nRUN <<EOF\necho hi\nEOF\n"),
            [(2, "heredoc")]
        );
    }

    #[test]
    fn the_seeds_dockerfile_has_only_what_it_has() {
        let text = "FROM nvcr.io/nvidia/tensorflow:21.02-tf2-py3\nCOPY requirements.txt .\nARG USERNAME=vorph\nRUN groupadd -g 1 -o $USERNAME\nRUN useradd -m -u 1 -g 1 -o -s /bin/bash $USERNAME\nUSER $USERNAME\nRUN /bin/bash -c \"pip install -r requirements.txt\"\nEXPOSE 5000\n";
        assert_eq!(rules(text), []);
    }

    #[test]
    fn usual_files_of_several_stages_raise_no_false_alarm() {
        let text = "ARG BASE=debian\nFROM a:1 AS build\nFROM build\nENV MAX_TOKENS=1 TOKENIZERS_PARALLELISM=false\nCOPY --from=build /x /x\nCOPY --from=0 /x /x\nCOPY --from=r.io/uv:latest /uv /uv\nFROM $BASE\n";
        assert_eq!(rules(text), [(7, "floating-base"), (8, "floating-base")]);
    }

    #[test]
    fn images_that_move_are_found_wherever_files_come_from() {
        const FLOATS: &str = "floating-base";
        for (text, found) in [
            (
                "FROM a:1\nCOPY --from=busybox /bin/sh /sh\n",
                &[(2, FLOATS)][..],
            ),
            (
                "FROM a:1\nCOPY --from=ghcr.io/astral-sh/uv /uv /uv\n",
                &[(2, FLOATS)],
            ),
            (
                "FROM a:1\nCOPY --from=r.io/uv:latest /uv /uv\n",
                &[(2, FLOATS)],
            ),
            (
                "FROM a:1\nRUN --mount=from=r.io/uv:latest,source=/uv,target=/uv /uv\n",
                &[(2, FLOATS)],
            ),
            (
                "FROM a:1\nRUN --mount=type=bind,from=busybox,target=/b true\n",
                &[(2, FLOATS)],
            ),
            ("ARG IMG=python:latest\nFROM ${IMG}\n", &[(2, FLOATS)]),
            ("ARG TAG=latest\nFROM python:$TAG\n", &[(2, FLOATS)]),
            ("ARG REG=r.io\nFROM ${REG}/python AS x\n", &[(2, FLOATS)]),
            ("FROM ${IMG:-debian}\n", &[(1, FLOATS)]),
            (
                "ARG REG=r.io\nARG TAG=stable-slim\nFROM ${REG}/debian:${TAG}\n",
                &[(3, FLOATS)],
            ),
            // Pinned, a stage, a context of the build, or a value that the builder is given.
            ("FROM a:1\nCOPY --from=busybox:1.36 /bin/sh /sh\n", &[]),
            ("FROM a:1\nCOPY --from=busybox@sha256:00 /bin/sh /sh\n", &[]),
            (
                "FROM a:1 AS Busybox\nFROM a:1\nCOPY --from=busybox /x /x\nRUN --mount=from=busybox,target=/b true\n",
                &[],
            ),
            (
                "FROM a:1\nCOPY --from=busybox /x /x\nFROM a:1 AS busybox\n",
                &[(2, "stage-order")],
            ),
            (
                "FROM a:1\nFROM a:1\nCOPY --from=assets /x /x\nCOPY --from=0 /x /x\n",
                &[],
            ),
            (
                "FROM a:1\nRUN --mount=type=cache,target=/c --mount=type=secret,id=x true\n",
                &[],
            ),
            ("ARG TAG\nFROM python:$TAG\n", &[]),
            ("ARG V=3.12\nFROM python:${V}-slim\n", &[]),
            ("ARG B\nFROM ${B}\n", &[]),
            ("ARG BASE=a:1\nFROM ${BASE} AS x\nFROM x\n", &[]),
        ] {
            assert_eq!(rules(text), found, "{text}");
        }
    }

    #[test]
    fn names_of_stages_that_builders_take_otherwise_are_found() {
        const TWICE: &str = "duplicate-stage";
        const ORDER: &str = "stage-order";
        for (text, found) in [
            ("FROM a:1 AS x\nFROM b:1 AS X\n", &[(2, TWICE)][..]),
            ("FROM a:1 AS x\nFROM x AS x\n", &[(2, TWICE)]),
            (
                "FROM a:1 AS x\nFROM b:1 AS y\nCOPY --from=x /f /f\nFROM c:1 AS x\n",
                &[(3, ORDER), (4, TWICE)],
            ),
            (
                "FROM a:1 AS y\nRUN --mount=from=x,target=/x true\nFROM c:1 AS x\n",
                &[(2, ORDER)],
            ),
            ("FROM a:1\nCOPY --from=1 /f /f\nFROM b:1\n", &[(2, ORDER)]),
            ("FROM a:1 AS x\nFROM b:1 AS y\nCOPY --from=x /f /f\n", &[]),
            ("FROM a:1\nFROM b:1\nCOPY --from=0 /f /f\n", &[]),
        ] {
            assert_eq!(rules(text), found, "{text}");
        }
    }

    #[test]
    fn stages_that_wait_for_one_another_are_found() {
        const CYCLE: &str = "stage-cycle";
        for (text, found) in [
            (
                "FROM a:1 AS x\nCOPY --from=y /f /f\nFROM a:1 AS y\nCOPY --from=x /f /f\n",
                &[(2, CYCLE)][..],
            ),
            (
                "FROM a:1 AS x\nCOPY --from=y /f /f\nFROM x AS y\n",
                &[(2, CYCLE)],
            ),
            ("FROM a:1 AS x\nCOPY --from=x /f /f\n", &[(2, CYCLE)]),
            (
                "FROM a:1 AS x\nRUN --mount=from=y,target=/y true\nFROM x AS y\nFROM y\n",
                &[(2, CYCLE)],
            ),
            (
                "FROM a:1\nCOPY --from=1 /f /f\nFROM a:1\nCOPY --from=0 /f /f\n",
                &[(2, CYCLE)],
            ),
            // One before the other, and images that stages are called after.
            (
                "FROM a:1 AS x\nFROM a:1 AS y\nCOPY --from=x /f /f\nFROM y\nCOPY --from=x /f /f\nCOPY --from=y /f /f\n",
                &[],
            ),
            ("FROM python:3 AS python\nFROM python AS two\n", &[]),
        ] {
            assert_eq!(rules(text), found, "{text}");
        }
        let many: String = (0..20_000)
            .map(|n| format!("FROM a:1 AS s{n}\nCOPY --from=s{} /f /f\n", n + 1))
            .collect();
        assert_eq!(rules(&many).len(), MOST_OF_A_KIND);
    }

    #[test]
    fn what_bases_and_earlier_steps_bring_is_no_fault() {
        for (text, found) in [
            (
                "ARG CUDA_VERSION=12.1.1\nFROM nvidia/cuda:${CUDA_VERSION}-base\nRUN echo $CUDA_VERSION\n",
                &[][..],
            ),
            (
                "ARG PYTHON_VERSION=3.11\nFROM docker.io/library/python:${PYTHON_VERSION}\nRUN echo $PYTHON_VERSION\n",
                &[],
            ),
            (
                "ARG PYTORCH_VERSION=2.1.0\nFROM pytorch/pytorch:${PYTORCH_VERSION}-devel\nRUN echo $PYTORCH_VERSION\n",
                &[],
            ),
            ("ARG V=1\nFROM a:$V\nENV V=2 W=3\nRUN echo $V\n", &[]),
            // Another image sets no such variable, and an ENV of an earlier stage is none of this one's.
            (
                "ARG PYTHON_VERSION=3\nFROM my-python:$PYTHON_VERSION\nRUN echo $PYTHON_VERSION\n",
                &[(3, "arg-out-of-scope")],
            ),
            (
                "ARG V=1\nFROM a:$V AS x\nENV V=2\nFROM b:$V\nRUN echo $V\n",
                &[(5, "arg-out-of-scope")],
            ),
            (
                "FROM a:1\nRUN apt update\nRUN apt install -y git && rm -rf /var/lib/apt/lists/*\n",
                &[],
            ),
            (
                "FROM a:1\nRUN apt-get update && rm -rf /var/lib/apt/lists/*\nRUN apt-get install -y git && rm -rf /var/lib/apt/lists/*\n",
                &[(3, "apt-without-update")],
            ),
            (
                "FROM a:1 AS x\nRUN apt-get update\nFROM x\nRUN apt-get install -y git && rm -rf /var/lib/apt/lists/*\n",
                &[],
            ),
            (
                "FROM a:1 AS x\nRUN apt-get update\nFROM b:1\nRUN apt-get install -y git && rm -rf /var/lib/apt/lists/*\n",
                &[(4, "apt-without-update")],
            ),
            (
                "FROM a:1\nRUN add-apt-repository ppa:x/y && apt-get install -y git && rm -rf /var/lib/apt/lists/*\n",
                &[],
            ),
            ("FROM a:1\nRUN useradd -m app\n", &[]),
            ("FROM a:1\nRUN useradd app -m -u 1000 -d /home/app\n", &[]),
            (
                "FROM a:1\nRUN groupadd -g 9999999 g && useradd -u 1000 -g 9999999 a\n",
                &[],
            ),
            (
                "FROM a:1\nRUN useradd -u 5000000 a\n",
                &[(2, "useradd-lastlog")],
            ),
            (
                "FROM a:1\nARG U\nRUN useradd --uid=$U a\n",
                &[(3, "useradd-lastlog")],
            ),
            ("FROM a:1\nARG U\nRUN useradd -l -u $U a\n", &[]),
        ] {
            assert_eq!(rules(text), found, "{text}");
        }
        for (image, is_floating) in [
            ("ubuntu:rolling", true),
            ("pytorch/pytorch:nightly", true),
            ("debian:stable-slim", true),
            ("docker.io/library/alpine:edge", true),
            ("tensorflow/tensorflow:latest-gpu", true),
            ("node:lts", true),
            ("debian:bookworm-slim", false),
            ("r.io:5000/x/stable:1.2", false),
            ("a:latest@sha256:0000", false),
            ("pytorch/pytorch:1.6.0-cuda10.1-cudnn7-devel", false),
            ("x:stabledata", false),
        ] {
            assert_eq!(floats(image), is_floating, "{image}");
        }
    }

    #[test]
    fn the_built_in_templates_are_clean() {
        for template in crate::builtin::list() {
            assert_eq!(rules(template.text), [], "{}", template.name);
        }
    }
}
