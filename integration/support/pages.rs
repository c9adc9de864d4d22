//! Types what a page of the documentation types, in the order of the page and in one shell, and holds
//! what it shows against what was printed.
//!
//! Of blocks of `sh` all has to succeed. In blocks of `console` a line that begins with `$ ` is typed, and
//! the lines after it are what it prints on both of its outputs; `…` stands for anything, on a line of its
//! own for any lines. `<!-- not typed: WHY -->` before a block leaves it out.

use std::fmt::Write as _;
use std::path::Path;
use std::process::Command;

use regex::Regex;

use super::mlbuild::{Project, Ran};
use super::{read, repository};

/// What is typed, and what it is to print, where the page says so.
struct Typed {
    line: usize,
    text: String,
    prints: Option<String>,
}

/// Between what one command prints and the next: a control character that nothing prints.
const SEPARATOR: char = '\u{1e}';

/// Types a page, in a project without files. `mlbuild` is found in `bin`; `replaced` are words that stand
/// for something that only this machine knows.
pub fn type_page(
    name: &str,
    bin: &Path,
    replaced: &[(&str, &str)],
    prepare: impl Fn(&mut Command),
) {
    let project = Project::new(&[]);
    let page = read(&repository().join("docs").join(name));
    let all = typed(&page);
    assert!(!all.is_empty(), "{name} types nothing");
    let mut script = script(&all);
    for (word, with) in replaced {
        script = script.replace(word, with);
    }
    let mut command = project.bash(&script, bin);
    command
        .env("GIT_AUTHOR_NAME", "A")
        .env("GIT_AUTHOR_EMAIL", "a@a.example")
        .env("GIT_COMMITTER_NAME", "A")
        .env("GIT_COMMITTER_EMAIL", "a@a.example");
    prepare(&mut command);
    let ran = Ran::of(&mut command);
    let mut said = ran.stdout.clone();
    for (word, with) in replaced {
        said = said.replace(with, word);
    }
    let parts: Vec<&str> = said.split(SEPARATOR).skip(1).collect();
    for (number, one) in all.iter().enumerate() {
        let at = format!("docs/{name}:{}: {}", one.line, one.text);
        let printed = parts
            .get(number)
            .unwrap_or_else(|| panic!("{at}: not reached\n{said}"));
        if let Some(prints) = &one.prints {
            let is_shown = pattern(prints).is_match(printed);
            assert!(
                is_shown,
                "{at}\n--- the page\n{prints}\n--- printed\n{printed}\n{}",
                ran.stderr
            );
        }
    }
    assert_eq!(ran.code, Some(0), "docs/{name}: {said}\n{}", ran.stderr);
}

/// The commands of a page.
fn typed(page: &str) -> Vec<Typed> {
    let mut all: Vec<Typed> = Vec::new();
    let mut language = None;
    let mut is_left_out = false;
    for (number, line) in page.lines().enumerate() {
        let line_number = number + 1;
        if line.starts_with("<!-- not typed: ") {
            is_left_out = true;
        }
        if let Some(fence) = line.strip_prefix("```") {
            language = match language {
                Some(_) => {
                    is_left_out = false;
                    None
                }
                None => Some(fence),
            };
            if language == Some("sh") && !is_left_out {
                all.push(Typed {
                    line: line_number,
                    text: String::new(),
                    prints: None,
                });
            }
            continue;
        }
        if is_left_out {
            continue;
        }
        let last = all.last_mut();
        match (language, line.strip_prefix("$ "), last) {
            (Some("console"), Some(text), _) => all.push(Typed {
                line: line_number,
                text: text.to_owned(),
                prints: Some(String::new()),
            }),
            (
                Some("console"),
                None,
                Some(Typed {
                    prints: Some(prints),
                    ..
                }),
            ) => {
                writeln!(prints, "{line}").unwrap();
            }
            (Some("sh"), _, Some(last)) => writeln!(last.text, "{line}").unwrap(),
            _ => {}
        }
    }
    all
}

/// One script: a command that shows an error may fail, any other ends it.
fn script(all: &[Typed]) -> String {
    let mut script = String::from("set -euo pipefail\n");
    for one in all {
        let fails = one
            .prints
            .as_ref()
            .is_some_and(|prints| prints.contains("error: "));
        let (before, after) = if fails {
            ("if ", "; then false; fi")
        } else {
            ("", "")
        };
        let text = one.text.trim_end();
        writeln!(
            script,
            "printf '{SEPARATOR}'\n{before}{{\n{text}\n}} 2>&1{after}"
        )
        .unwrap();
    }
    script
}

/// What is shown, as a pattern of what is printed.
fn pattern(shown: &str) -> Regex {
    let mut pattern = String::from(r"\A");
    for line in shown.lines() {
        if line == "…" {
            pattern.push_str(r"(?:.*\n)*?");
            continue;
        }
        let parts: Vec<String> = line.split('…').map(regex::escape).collect();
        pattern.push_str(&parts.join(".*"));
        pattern.push_str(r"[ \t]*\n");
    }
    pattern.push_str(r"\z");
    Regex::new(&pattern).unwrap()
}
