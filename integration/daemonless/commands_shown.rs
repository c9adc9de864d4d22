//! Every `mlbuild` command that a document shows must parse, and every file that
//! a document links to must be there.

use std::path::{Path, PathBuf};

use crate::support::{read, repository};

/// The documents that people read: those at the top, and those in `docs/` and `examples/`.
fn documents() -> Vec<PathBuf> {
    let root = repository();
    let mut found = Vec::new();
    collect(&root, &mut found, false);
    collect(&root.join("docs"), &mut found, true);
    collect(&root.join("examples"), &mut found, true);
    found.sort();
    found
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>, deep: bool) {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display()));
    for entry in entries {
        let path = entry.expect("a folder can be read").path();
        if path.is_dir() && deep {
            collect(&path, found, deep);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path);
        }
    }
}

/// A command of a document: the line it begins in, and its text in one line.
struct Shown {
    line: usize,
    text: String,
}

/// The lines of ```console and ```sh blocks that run mlbuild.
fn commands(markdown: &str) -> Vec<Shown> {
    let mut shown: Vec<Shown> = Vec::new();
    let mut language: Option<&str> = None;
    let mut continued = false;
    for (number, line) in markdown.lines().enumerate() {
        if let Some(fence) = line.trim_start().strip_prefix("```") {
            language = match language {
                Some(_) => None,
                None => Some(fence.trim()),
            };
            continued = false;
            continue;
        }
        let line = match language {
            Some("console") if continued => line,
            // The rest is output.
            Some("console") => match line.strip_prefix("$ ") {
                Some(command) => command,
                None => continue,
            },
            Some("sh") => line,
            _ => continue,
        };
        let (text, goes_on) = match line.trim().strip_suffix('\\') {
            Some(text) => (text.trim(), true),
            None => (line.trim(), false),
        };
        if continued {
            let last = shown.last_mut().expect("what is continued began");
            last.text = format!("{} {text}", last.text);
        } else {
            shown.push(Shown {
                line: number + 1,
                text: text.to_owned(),
            });
        }
        continued = goes_on;
    }
    shown.retain(|command| words(&command.text).is_some_and(|words| words[0] == "mlbuild"));
    shown
}

/// The words of the mlbuild command in a line of shell: without `NAME=value` before
/// it, and without pipes, redirections and comments after it.
fn words(line: &str) -> Option<Vec<String>> {
    let line = line.replace("$(id -u)", "1000").replace("$(id -g)", "1000");
    let words = shlex::split(line.split(" # ").next()?)?;
    let words = words
        .into_iter()
        .skip_while(|word| {
            word.split_once('=').is_some_and(|(name, _)| {
                !name.is_empty() && name.chars().all(|c| c.is_ascii_uppercase() || c == '_')
            })
        })
        .take_while(|word| !matches!(word.as_str(), "|" | ">" | ">>" | "&&" | "||" | "2>" | ";"))
        .collect::<Vec<_>>();
    (!words.is_empty()).then_some(words)
}

#[test]
fn every_command_that_is_shown_parses() {
    let mut wrong = Vec::new();
    let mut count = 0;
    for document in documents() {
        for command in commands(&read(&document)) {
            count += 1;
            let words = words(&command.text).expect("commands() kept it");
            if words.len() == 1 {
                continue; // it says what is in the folder
            }
            if let Err(error) = mlbuild_cli::definition().try_get_matches_from(&words) {
                use clap::error::ErrorKind;
                if !matches!(
                    error.kind(),
                    ErrorKind::DisplayHelp | ErrorKind::DisplayVersion
                ) {
                    wrong.push(format!(
                        "{}:{}: {}\n{error}",
                        document.display(),
                        command.line,
                        command.text
                    ));
                }
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert!(
        count > 30,
        "only {count} commands were found in the documents"
    );
}

#[test]
fn every_file_that_is_linked_to_is_there() {
    let link = regex::Regex::new(r"\]\(([^)#:\s]+)(#[^)]*)?\)").expect("a pattern");
    let mut wrong = Vec::new();
    for document in documents() {
        let folder = document.parent().expect("a file lies in a folder");
        for found in link.captures_iter(&read(&document)) {
            if !folder.join(&found[1]).exists() {
                wrong.push(format!("{}: {}", document.display(), &found[1]));
            }
        }
    }
    assert!(wrong.is_empty(), "links to nothing:\n{}", wrong.join("\n"));
}

#[test]
fn commands_are_found_in_the_forms_that_documents_use() {
    let text = "```console\n$ mlbuild image \\\n    --gpu\nmlbuild output\n$ ls\n```\n```sh\nmlbuild schema > x # why\nA=b mlbuild init\n```\n```toml\nmlbuild = 1\n```\n";
    let found: Vec<_> = commands(text)
        .iter()
        .map(|c| words(&c.text).unwrap().join(" "))
        .collect();
    assert_eq!(
        found,
        ["mlbuild image --gpu", "mlbuild schema", "mlbuild init"]
    );
}
