//! Scripts, makefiles, notebooks and workflows that install packages when somebody runs them.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use serde_json::Value;

use super::names;

/// Bytes of a script that are looked at.
const LOOKED_AT: u64 = 1 << 20;

/// Bytes of a notebook that are looked at: its pictures are in it.
const OF_NOTEBOOK: u64 = 8 << 20;

/// Bytes of all notebooks together that are looked at.
const OF_NOTEBOOKS: u64 = 64 << 20;

/// Notebooks that are looked into at most.
const NOTEBOOKS: usize = 200;

/// Lines that one call of a program's may have.
const LINES_OF_CALL: usize = 30;

/// Characters behind an installer's name in which packages are looked for.
const CHARS_OF_COMMAND: usize = 4000;

const INSTALLERS: [&str; 8] = [
    "pip install",
    "pip3 install",
    "conda install",
    "mamba install",
    "conda create",
    "conda env create",
    "apt-get install",
    "apt install",
];

/// What is behind `apt-get` and `apt` before `install`.
const APT_OPTIONS: [&str; 6] = ["-y ", "-qq ", "-q ", "--yes ", "-yq ", "-qy "];

/// What runs a file that installs packages besides those of the project's own manifests: `sh`, `python3`,
/// `make`; `None` for every other file.
pub(super) fn installs(folder: &Path, path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let lower = name.to_lowercase();
    let ends = |endings: &[&str]| endings.iter().any(|end| lower.ends_with(end));
    let runner = match name {
        "Makefile" | "makefile" | "GNUmakefile" => "make",
        "justfile" | "Justfile" => "just",
        "Taskfile.yml" | "Taskfile.yaml" => "task",
        // It is built with the project, and its text may describe how; the others are for tests.
        "setup.py" | "noxfile.py" | "conftest.py" => return None,
        "tasks.py" => "invoke",
        _ if ends(&[".sh", ".bash", ".zsh"]) => "sh",
        _ if ends(&[".slurm", ".sbatch", ".pbs", ".lsf", ".job"]) => "bash",
        _ if ends(&[".bat", ".cmd", ".ps1"]) => "windows",
        _ if ends(&[".py"]) => "python3",
        _ if !name.contains('.') => "",
        _ => return None,
    };
    let text = text_of(&folder.join(path))?;
    let first = text.lines().next().unwrap_or_default();
    let is_bash = first.starts_with("#!") && first.contains("bash");
    let runner = match runner {
        "" if first.starts_with("#!") && first.contains("sh") => "sh",
        "" => return None,
        runner => runner,
    };
    let found = match runner {
        "python3" | "invoke" => calls_installer(&text),
        _ => shell_installs(&text),
    };
    found.then_some(if runner == "sh" && is_bash {
        "bash"
    } else {
        runner
    })
}

/// Whether a makefile compiles with NVIDIA's compiler.
pub(in crate::project) fn calls_nvcc(folder: &Path, name: &str) -> bool {
    let is_makefile = ["Makefile", "makefile", "GNUmakefile"].contains(&name);
    let text = text_of(&folder.join(name)).filter(|_| is_makefile);
    text.is_some_and(|text| {
        commands(&text).iter().any(|line| {
            let is_word =
                |word: &str| word.rsplit('/').next() == Some("nvcc") || word.contains("$(NVCC)");
            let said = SAYS.iter().any(|says| line.contains(says));
            !said && line.split([' ', '\t', '=']).any(is_word)
        })
    })
}

/// What shows a text and runs nothing.
const SAYS: [&str; 6] = ["$(info", "$(warning", "$(error", "echo ", "printf ", "REM "];

/// Whether a script of a shell, of make or of the like installs something besides the project itself and what
/// its requirements files list.
fn shell_installs(text: &str) -> bool {
    commands(text).iter().any(|line| installs_more(line))
}

/// The lines of a script, with those that a backslash or a caret continues joined, without comments and texts
/// that `cat` writes.
fn commands(text: &str) -> Vec<String> {
    let joined = text
        .replace("\r\n", "\n")
        .replace("\\\n", " ")
        .replace("^\n", " ")
        .replace("`\n", " ");
    let mut lines = Vec::new();
    let mut text_until: Option<String> = None;
    for line in joined.lines().map(str::trim) {
        if let Some(end) = &text_until {
            if line == end {
                text_until = None;
            }
            continue;
        }
        if line.starts_with('#') || line.starts_with("::") {
            continue;
        }
        if let Some((before, end)) = line.split_once("<<")
            && before
                .split_whitespace()
                .any(|word| word == "cat" || word == "tee")
        {
            let end = end.trim_start_matches('-').trim();
            let end = end.split_whitespace().next().unwrap_or_default();
            text_until =
                Some(end.trim_matches(['"', '\'']).to_owned()).filter(|end| !end.is_empty());
            continue;
        }
        lines.push(line.to_owned());
    }
    lines
}

/// The commands of a line: what `&&`, `||`, `;` and `|` part outside of quotes, without a comment behind them.
fn parts(line: &str) -> Vec<String> {
    let mut parts = vec![String::new()];
    let mut quote = None;
    let mut before = ' ';
    for c in line.chars() {
        match (quote, c) {
            (None, '#') if before.is_whitespace() => break,
            (None, '"' | '\'') => quote = Some(c),
            (Some(open), c) if open == c => quote = None,
            _ => {}
        }
        if quote.is_none() && ['&', '|', ';'].contains(&c) {
            parts.push(String::new());
        } else if let Some(last) = parts.last_mut() {
            last.push(c);
        }
        before = c;
    }
    parts
}

/// Whether a command shows its words and runs none of them.
fn only_says(command: &str) -> bool {
    const SAYING: [&str; 20] = [
        "name:",
        "desc:",
        "description:",
        "title:",
        "summary:",
        "displayname:",
        "echo",
        "printf",
        "print",
        "write-host",
        "write-output",
        "warn",
        "info",
        "error",
        "die",
        "log",
        "fail",
        "rem",
        "msg",
        "usage",
    ];
    let command = command.trim_start_matches(['@', '-', ' ', '\t', '(', '{']);
    let command = command.strip_prefix("$(").unwrap_or(command);
    let mut words = command.split([' ', '\t', '(']);
    let first = words.next().unwrap_or_default().to_lowercase();
    let first = first.trim_start_matches(['_', '@']);
    SAYING.contains(&first)
        || SAYING
            .iter()
            .any(|word| first.starts_with(&format!("{word}_")))
}

/// Whether a line installs something besides the project itself and what its requirements files list.
fn installs_more(line: &str) -> bool {
    parts(line)
        .iter()
        .filter(|part| !only_says(part))
        .any(|part| names_installer(part))
}

/// A command with blanks for its quotes, with the letter of a text of Python's (`f"…"`), and for its commas.
fn unquoted(command: &str) -> String {
    let mut plain = String::with_capacity(command.len());
    for c in command.chars() {
        if !['\t', '"', '\'', ','].contains(&c) {
            plain.push(c);
            continue;
        }
        let mut last = plain.chars().rev();
        let is_letter = last.next().is_some_and(|c| ['f', 'r'].contains(&c));
        let is_alone = last.next().is_none_or(|c| !c.is_alphanumeric() && c != '_');
        if ['"', '\''].contains(&c) && is_letter && is_alone {
            plain.pop();
        }
        plain.push(' ');
    }
    plain
}

/// Whether a command, or a text that a program takes for one, installs packages.
fn names_installer(command: &str) -> bool {
    let mut plain = unquoted(command);
    while plain.contains("  ") {
        plain = plain.replace("  ", " ");
    }
    for option in APT_OPTIONS {
        plain = plain.replace(&format!("apt-get {option}"), "apt-get ");
        plain = plain.replace(&format!("apt {option}"), "apt ");
    }
    // A text of its own among the arguments of a call: `get("COMMAND", f"pip install …")`.
    let is_argument = |installer: &str| {
        [", \"", ", '", ", f\"", ", f'"].iter().any(|before| {
            let found = command.split_once(&format!("{before}{installer}"));
            found.is_some_and(|(_, rest)| names_package(rest))
        })
    };
    INSTALLERS.iter().any(|installer| {
        is_argument(installer)
            || plain.match_indices(installer).any(|(at, _)| {
                let rest = &plain[at + installer.len()..];
                is_command_behind(&plain[..at])
                    && (installer.ends_with("create") || names_package(rest))
            })
    })
}

/// Keys of YAML that hold commands.
const KEYS_OF_COMMANDS: [&str; 7] = [
    "run:",
    "cmd:",
    "command:",
    "script:",
    "bash:",
    "install:",
    "before_script:",
];

/// Whether what follows a text is a command, and no word of a sentence (`please pip install x`).
fn is_command_behind(before: &str) -> bool {
    const BEFORE: [&str; 18] = [
        "sudo", "-m", "uv", "then", "do", "else", "exec", "time", "env", "-E", "-y", "call",
        "xargs", "-c", "run", "&", "-H", "-",
    ];
    // A path or a variable that ends in the installer's name is one: `venv/bin/`, `{sudo}`.
    let is_glued = !before.is_empty() && !before.ends_with(' ');
    if is_glued {
        // A bracket within a sentence is none of the shell's.
        let is_bracket = matches!(before.trim(), "(" | "[" | "{") || before.ends_with("$(");
        return is_bracket
            || before.ends_with([
                '/', '}', ')', '!', '%', '@', '-', '=', '$', '\\', '&', '|', ';', '+',
            ]);
    }
    let mut words = before.split_whitespace().rev();
    let Some(word) = words.next() else {
        return true;
    };
    let is_assignment = word.split_once('=').is_some_and(|(name, _)| {
        name.chars()
            .all(|c| c.is_ascii_uppercase() || c.is_ascii_digit() || c == '_')
    });
    let runners = ["poetry", "conda", "uv", "pdm", "hatch", "pipenv"];
    let is_runner = word == "run" && words.next().is_some_and(|word| runners.contains(&word));
    let is_word = BEFORE.contains(&word) && word != "run";
    is_word
        || is_runner
        || is_assignment
        || word.starts_with("python")
        || word.ends_with([
            '(', '[', '{', '=', '&', '|', ';', '!', '%', '@', ')', '}', '+',
        ])
        || KEYS_OF_COMMANDS.contains(&word)
}

/// Whether the words behind `pip install` name a package that isn't the project, nor a tool to build with.
fn names_package(words: &str) -> bool {
    const WITH_VALUE: [&str; 12] = [
        "-r",
        "--requirement",
        "-c",
        "--constraint",
        "-i",
        "--index-url",
        "--extra-index-url",
        "-f",
        "--find-links",
        "-t",
        "--target",
        "--prefix",
    ];
    const TOOLS: [&str; 41] = [
        "pip",
        "setuptools",
        "wheel",
        "uv",
        "poetry",
        "build",
        "twine",
        "pre-commit",
        "tox",
        "nox",
        "pytest",
        "pytest-cov",
        "pytest-xdist",
        "coverage",
        "codecov",
        "black",
        "flake8",
        "ruff",
        "isort",
        "mypy",
        "pylint",
        "cibuildwheel",
        "mkdocs",
        "mkdocs-material",
        "sphinx",
        "sphinx-rtd-theme",
        "furo",
        "myst-parser",
        "huggingface_hub",
        "huggingface-hub",
        "hatch",
        "pdm",
        "pipenv",
        "virtualenv",
        "pyright",
        "yapf",
        "autopep8",
        "bandit",
        "pip-tools",
        "check-manifest",
        "sh",
    ];
    // A line may be a stranger's, and as long as a file.
    let most = words.char_indices().nth(CHARS_OF_COMMAND);
    let words = &words[..most.map_or(words.len(), |(at, _)| at)];
    let end = words.find(['&', '|', '#', '\n']).unwrap_or(words.len());
    let mut words = words[..end]
        .split([' ', '\t', ';'])
        .filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let word = word.trim_matches(['"', '\'', ')']);
        if WITH_VALUE.contains(&word) {
            words.next();
            continue;
        }
        let name: &str = word
            .split(['=', '<', '>', '[', '~', '!'])
            .next()
            .unwrap_or(word);
        let is_itself = name.is_empty() || name == "." || name == "./";
        if !word.starts_with('-') && !is_itself && !TOOLS.contains(&name) {
            return true;
        }
    }
    false
}

/// Whether a program of Python starts an installer.
fn calls_installer(text: &str) -> bool {
    const STARTS: [&str; 14] = [
        "subprocess",
        "os.system",
        "run_cmd(",
        "check_call(",
        "check_output(",
        "Popen(",
        ".run(",
        "run(",
        "pip.main(",
        "pip_main(",
        "pipmain(",
        "run_pip(",
        "sh(",
        "getoutput(",
    ];
    if !STARTS.iter().any(|way| text.contains(way)) {
        return false;
    }
    calls(text).iter().any(|call| {
        // `pip.main(["install", "x"])`, `run_pip("install x")`
        let by_function = ["pip.main(", "pip_main(", "pipmain(", "run_pip("]
            .iter()
            .any(|function| {
                let rest = call
                    .split_once(function)
                    .map(|(_, rest)| rest.trim_start_matches(['[', '"', '\'', 'f', 'r']));
                rest.and_then(|rest| rest.strip_prefix("install"))
                    .is_some_and(|rest| {
                        rest.contains('{')
                            || names_package(&rest.replace(['"', '\'', ',', ']'], " "))
                    })
            });
        by_function || (!shows(call) && names_installer(call))
    })
}

/// Whether a call shows its text to a person.
fn shows(call: &str) -> bool {
    const SHOWING: [&str; 14] = [
        "print(",
        "raise ",
        "logger",
        "logging",
        "log.",
        "warn",
        "help=",
        "description=",
        "echo(",
        "input(",
        "error(",
        "info(",
        "message",
        "fail(",
    ];
    SHOWING.iter().any(|word| call.contains(word))
}

/// The calls of a program, each on one line; comments and texts between triple quotes, which describe, are left
/// out.
fn calls(text: &str) -> Vec<String> {
    let mut calls: Vec<String> = Vec::new();
    let mut in_text: Option<&str> = None;
    let mut open = 0;
    let mut lines = 0;
    for line in text.lines() {
        let line = line.trim();
        if let Some(quotes) = in_text {
            if line.contains(quotes) {
                in_text = None;
            }
            continue;
        }
        let starts = ["\"\"\"", "'''"].into_iter().find(|quotes| {
            let line = line.trim_start_matches(['r', 'u', 'f']);
            line.starts_with(quotes)
        });
        if let Some(quotes) = starts {
            if line.matches(quotes).count() == 1 {
                in_text = Some(quotes);
            }
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        match calls
            .last_mut()
            .filter(|_| open > 0 && lines < LINES_OF_CALL)
        {
            Some(call) => {
                call.push(' ');
                call.push_str(line);
                lines += 1;
            }
            None => {
                calls.push(line.to_owned());
                (open, lines) = (0, 0);
            }
        }
        open += line.matches(['(', '[']).count();
        open = open.saturating_sub(line.matches([')', ']']).count());
    }
    calls
}

/// The notebooks of a folder and of those in it whose cells install packages, sorted.
pub(in crate::project) fn notebooks(folder: &Path) -> Vec<String> {
    let inner = names(folder, true).into_iter();
    let inner = inner
        .filter(|name| !name.starts_with('.') && name != "node_modules")
        .take(100);
    let places = std::iter::once(String::new()).chain(inner.map(|name| format!("{name}/")));
    let paths = places.flat_map(|place| {
        let found = names(&folder.join(&place), false).into_iter();
        let found = found.filter(|name| name.ends_with(".ipynb"));
        found
            .map(move |name| format!("{place}{name}"))
            .collect::<Vec<_>>()
    });
    let mut left = OF_NOTEBOOKS;
    let paths = paths.take(NOTEBOOKS).filter(|path| {
        let text = beginning(&folder.join(path), OF_NOTEBOOK.min(left)).unwrap_or_default();
        left -= text.len() as u64;
        cells_install(&text)
    });
    paths.collect()
}

/// Whether a notebook has a cell that installs something when it is run.
fn cells_install(text: &str) -> bool {
    let notebook = serde_json::from_str::<Value>(text).ok();
    let cells = notebook
        .as_ref()
        .and_then(|notebook| notebook.get("cells")?.as_array());
    if cells.is_none() {
        // Cut off, or of an old form: what stands behind `!` and `%` is found all the same.
        let text = text.replace("\\n", "\n");
        let mut pieces = text.split(['\n', '"']).map(str::trim_start);
        return pieces.any(|piece| piece.strip_prefix(['!', '%']).is_some_and(installs_more));
    }
    let cells = cells.into_iter().flatten();
    let code = cells.filter(|cell| cell.get("cell_type").is_none_or(|kind| kind == "code"));
    code.filter_map(|cell| cell.get("source")).any(|source| {
        let source = match source {
            Value::Array(lines) => lines.iter().filter_map(Value::as_str).collect(),
            source => source.as_str().unwrap_or_default().to_owned(),
        };
        cell_installs(&source)
    })
}

fn cell_installs(source: &str) -> bool {
    let first = source
        .lines()
        .find(|line| !line.trim().is_empty())
        .unwrap_or_default()
        .trim();
    let of_shell = ["%%bash", "%%sh", "%%script", "%%system", "%%!"];
    if of_shell.iter().any(|magic| first.starts_with(magic)) {
        return shell_installs(source);
    }
    let joined = source.replace("\\\n", " ");
    let marked = |line: &&str| line.trim_start().starts_with(['!', '%']);
    let mut commands = joined.lines().filter(marked);
    commands.any(|line| installs_more(line.trim_start().trim_start_matches(['!', '%'])))
        || calls_installer(
            &joined
                .lines()
                .filter(|line| !marked(line))
                .collect::<Vec<_>>()
                .join("\n"),
        )
}

/// Files of services that build and test: their steps aren't run.
const WORKFLOWS: [&str; 6] = [
    ".gitlab-ci.yml",
    ".circleci/config.yml",
    ".travis.yml",
    "azure-pipelines.yml",
    "Jenkinsfile",
    "appveyor.yml",
];

/// Workflows that are looked into at most.
const MOST_WORKFLOWS: usize = 50;

/// The workflows that install packages of the distribution, or of the index besides what the project lists and
/// what tests are run with; and the distribution's packages that they name.
pub(in crate::project) fn workflows(folder: &Path) -> (Vec<String>, Vec<String>) {
    let of_github = names(&folder.join(".github/workflows"), false).into_iter();
    let of_github = of_github
        .filter(|name| name.ends_with(".yml") || name.ends_with(".yaml"))
        .map(|name| format!(".github/workflows/{name}"));
    let files = of_github
        .chain(WORKFLOWS.map(str::to_owned))
        .take(MOST_WORKFLOWS);
    let (mut found, mut packages) = (Vec::new(), Vec::new());
    for file in files {
        let Some(text) = text_of(&folder.join(&file)) else {
            continue;
        };
        let mut installs = false;
        for line in commands(&text) {
            let line = line.trim_start_matches("- ");
            let line = line.strip_prefix("run:").unwrap_or(line);
            for part in parts(line).iter().filter(|part| !only_says(part)) {
                if names_installer(part) {
                    installs = true;
                    packages.extend(of_distribution(part));
                }
            }
        }
        if installs {
            found.push(file);
        }
    }
    packages.sort();
    packages.dedup();
    (found, packages)
}

/// The packages that a command of apt's names.
fn of_distribution(command: &str) -> Vec<String> {
    let (before, rest) = command.split_once(" install ").unwrap_or_default();
    if !before.contains("apt") {
        return Vec::new();
    }
    let is_name = |word: &&str| {
        let mut chars = word.chars();
        chars.next().is_some_and(|c| c.is_ascii_lowercase())
            && chars.all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || "+-.".contains(c))
    };
    rest.split_whitespace()
        .filter(is_name)
        .map(str::to_owned)
        .collect()
}

/// The beginning of a regular file; `None` where it can't be read.
pub(super) fn text_of(path: &Path) -> Option<String> {
    beginning(path, LOOKED_AT)
}

/// At most so many bytes of a regular file, as text.
fn beginning(path: &Path, most: u64) -> Option<String> {
    path.is_file().then_some(())?; // a pipe would be waited for
    let mut text = Vec::new();
    File::open(path)
        .ok()?
        .take(most)
        .read_to_end(&mut text)
        .ok()?;
    Some(String::from_utf8_lossy(&text).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_installed_already_is_no_reason_to_name_a_script() {
        for (file, text, runner) in [
            ("a.sh", "pip install torch\n", Some("sh")),
            (
                "a.sh",
                "#!/usr/bin/env bash\npip install torch\n",
                Some("bash"),
            ),
            (
                "install",
                "#!/bin/bash\napt-get install -y ffmpeg\n",
                Some("bash"),
            ),
            ("notes", "pip install torch\n", None),
            ("a.sh", "pip install -r requirements.txt\n", None),
            (
                "a.sh",
                "pip install --upgrade pip && pip install -e '.[dev]'\n",
                None,
            ),
            (
                "a.sh",
                "pip install -q -i https://x/simple \\\n  einops\n",
                Some("sh"),
            ),
            ("a.sh", "# pip install torch\n", None),
            (
                "Makefile",
                "install:\n\tpoetry run python -m pip install -U git+https://h/x.git\n",
                Some("make"),
            ),
            ("Makefile", "install:\n\tpip install -e .\n", None),
            (
                "launch.py",
                "import subprocess\nsubprocess.run(\"pip install torch\")\n",
                Some("python3"),
            ),
            ("launch.py", "print('pip install torch')\n", None),
            (
                "setup.py",
                "import subprocess\nrun('pip install torch')\n",
                None,
            ),
        ] {
            let dir = tempfile::tempdir().unwrap();
            std::fs::write(dir.path().join(file), text).unwrap();
            assert_eq!(installs(dir.path(), file), runner, "{file}: {text}");
        }
    }

    #[test]
    fn notebooks_that_install_are_found() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [
            ("1.ipynb", "{\"source\": [\"!pip install -q x\\n\"]}"),
            ("2.ipynb", "{\"source\": [\"%pip install x\"]}"),
            ("3.ipynb", "{\"source\": [\"import x\"]}"),
        ] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        assert_eq!(notebooks(dir.path()), ["1.ipynb", "2.ipynb"]);
    }
}
