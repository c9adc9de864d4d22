//! Scripts, makefiles and notebooks that install packages when somebody runs them.

use std::fs::File;
use std::io::Read as _;
use std::path::Path;

use super::names;

/// Bytes of a script that are looked at.
const LOOKED_AT: u64 = 1 << 20;

/// Notebooks of a folder that are looked into at most.
const NOTEBOOKS: usize = 200;

const INSTALLERS: [&str; 7] = [
    "pip install",
    "pip3 install",
    "conda install",
    "mamba install",
    "conda create",
    "apt-get install",
    "apt install",
];

/// What runs a file that installs packages besides those of the project's own manifests: `sh`, `python3`,
/// `make`; `None` for every other file.
pub(super) fn installs(folder: &Path, path: &str) -> Option<&'static str> {
    let name = path.rsplit('/').next().unwrap_or(path);
    let runner = match name {
        "Makefile" | "makefile" | "GNUmakefile" => "make",
        "justfile" | "Justfile" => "just",
        "Taskfile.yml" | "Taskfile.yaml" => "task",
        // It is built with the project, and its text may describe how.
        "setup.py" => return None,
        _ if name.ends_with(".sh") || name.ends_with(".bash") => "sh",
        _ if name.ends_with(".py") => "python3",
        _ if !name.contains('.') => "",
        _ => return None,
    };
    let text = text_of(&folder.join(path))?;
    let is_bash = text
        .lines()
        .next()
        .is_some_and(|line| line.starts_with("#!") && line.contains("bash"));
    let is_shell =
        text.starts_with("#!") && text.lines().next().is_some_and(|line| line.contains("sh"));
    let runner = match runner {
        "" if is_shell => "sh",
        "" => return None,
        runner => runner,
    };
    let found = match runner {
        "python3" => calls_installer(&text),
        _ => commands(&text).any(|line| installs_more(&line)),
    };
    found.then_some(if runner == "sh" && is_bash {
        "bash"
    } else {
        runner
    })
}

/// The lines of a script, with those that a backslash continues joined, without comments.
fn commands(text: &str) -> impl Iterator<Item = String> {
    let joined = text.replace("\\\n", " ");
    let lines: Vec<String> = joined
        .lines()
        .map(str::trim)
        .filter(|line| !line.starts_with('#'))
        .map(str::to_owned)
        .collect();
    lines.into_iter()
}

/// Whether a command installs something besides the project itself and what its requirements files list.
fn installs_more(line: &str) -> bool {
    INSTALLERS.iter().any(|installer| {
        line.match_indices(installer).any(|(at, _)| {
            !installer.contains("pip") || names_package(&line[at + installer.len()..])
        })
    })
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
    const TOOLS: [&str; 9] = [
        "pip",
        "setuptools",
        "wheel",
        "uv",
        "poetry",
        "build",
        "twine",
        "pre-commit",
        "tox",
    ];
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

/// Whether a program of Python starts pip.
fn calls_installer(text: &str) -> bool {
    let starts = ["subprocess", "os.system", "run_cmd(", "check_call("]
        .iter()
        .any(|way| text.contains(way));
    let mut lines = text
        .lines()
        .filter(|line| !line.trim_start().starts_with('#'));
    starts
        && lines.any(|line| {
            let asks = line.contains("pip install")
                || line.contains("\"pip\", \"install\"")
                || line.contains("'pip', 'install'");
            // What is printed for a person isn't run.
            asks && !line.contains("print(") && !line.contains("raise ")
        })
}

/// The notebooks of a folder whose cells install packages, sorted.
pub(in crate::project) fn notebooks(folder: &Path) -> Vec<String> {
    let found = names(folder, false).into_iter();
    let found = found
        .filter(|name| name.ends_with(".ipynb"))
        .take(NOTEBOOKS);
    found
        .filter(|name| text_of(&folder.join(name)).is_some_and(|text| cell_installs(&text)))
        .collect()
}

/// Whether a cell has `!pip install` or `%pip install`, or another installer behind `!`.
fn cell_installs(text: &str) -> bool {
    ["!", "%"].iter().any(|sign| {
        INSTALLERS
            .iter()
            .any(|installer| text.contains(&format!("{sign}{installer}")))
    })
}

/// The beginning of a regular file; `None` where it can't be read.
pub(super) fn text_of(path: &Path) -> Option<String> {
    path.is_file().then_some(())?; // a pipe would be waited for
    let mut text = Vec::new();
    File::open(path)
        .ok()?
        .take(LOOKED_AT)
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
