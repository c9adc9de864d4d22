//! What ARCHITECTURE.md and CONTRIBUTING.md name is there: files, folders and types.

use std::path::Path;

use regex::Regex;

use crate::support::{read, repository};

#[test]
fn files_and_types_that_are_named_exist() {
    let root = repository();
    let path = Regex::new(
        r"`((?:src|cli|docker|buildkit|progress|templates|manifests|secrets|waits|wheels|proto|integration|examples|docs)/[\w./-]*)`",
    )
    .expect("a pattern");
    let kind = Regex::new(r"`([A-Z][a-z]+[A-Za-z]*)`").expect("a pattern");
    let mut sources = String::new();
    for room in [
        "src",
        "cli/src",
        "docker/src",
        "buildkit/src",
        "progress/src",
        "templates/src",
        "manifests/src",
    ] {
        collect(&root.join(room), &mut sources);
    }
    let mut missing = Vec::new();
    for document in ["ARCHITECTURE.md", "CONTRIBUTING.md"] {
        let text = read(&root.join(document));
        for found in path.captures_iter(&text) {
            if !root.join(&found[1]).exists() {
                missing.push(format!("{document}: {}", &found[1]));
            }
        }
        for found in kind.captures_iter(&text) {
            let name = &found[1];
            let is_type = ["struct", "enum", "trait"].iter().any(|word| {
                Regex::new(&format!(r"\b{word} {name}\b"))
                    .expect("a pattern")
                    .is_match(&sources)
            });
            // What is set in code type and isn't a type of ours.
            let is_other = matches!(name, "Debug");
            if !is_type && !is_other {
                missing.push(format!("{document}: {name}"));
            }
        }
    }
    assert!(
        missing.is_empty(),
        "named, but not there:\n{}",
        missing.join("\n")
    );
}

fn collect(folder: &Path, text: &mut String) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            collect(&path, text);
        } else if path.extension().is_some_and(|ending| ending == "rs") {
            text.push_str(&read(&path));
        }
    }
}
