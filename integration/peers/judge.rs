//! mlbuild's readers beside those of its peers: docker's client, BuildKit's Dockerfile frontend,
//! distribution's references, and pip. What they take is taken, what they refuse is refused.
//!
//! The peers are programs of their own (`main.go`, `ask.py`), made on first use in `.state`: Go and
//! Python fetch the modules through their ordinary clients.

mod files;
mod lines;
mod requirements;

use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::OnceLock;

use serde_json::Value;

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Runs a program to its end; its standard output.
fn output(command: &mut Command, input: &str) -> String {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let writer = std::thread::spawn(move || stdin.write_all(input.as_bytes()));
    let output = child.wait_with_output().unwrap();
    let _ = writer.join().unwrap();
    assert!(output.status.success(), "{command:?}: {}", output.status);
    String::from_utf8(output.stdout).unwrap()
}

/// The program of the peers that are written in Go.
fn peers() -> &'static Path {
    static PEERS: OnceLock<PathBuf> = OnceLock::new();
    PEERS.get_or_init(|| {
        let program = root().join(".state/peers");
        let folder = root().join("integration/peers");
        let mut build = Command::new("go");
        build
            .args(["build", "-o"])
            .arg(&program)
            .arg(".")
            .current_dir(folder);
        output(&mut build, "");
        program
    })
}

/// A folder of a Go module that the peers are made of.
fn module(name: &str) -> PathBuf {
    let mut list = Command::new("go");
    list.args(["list", "-m", "-f", "{{.Dir}}", name])
        .current_dir(root().join("integration/peers"));
    PathBuf::from(output(&mut list, "").trim())
}

/// What a peer says to each question: the answer, or why it refuses.
fn ask(kind: &str, questions: &[Value]) -> Vec<Result<Value, String>> {
    let lines: String = questions.iter().map(|q| format!("{q}\n")).collect();
    answers(
        &output(Command::new(peers()).arg(kind), &lines),
        questions.len(),
    )
}

fn answers(text: &str, count: usize) -> Vec<Result<Value, String>> {
    let answers: Vec<_> = text
        .lines()
        .map(|line| {
            let mut answer: Value = serde_json::from_str(line).unwrap();
            match answer["error"].take() {
                Value::String(error) => Err(error),
                _ => Ok(answer["ok"].take()),
            }
        })
        .collect();
    assert_eq!(answers.len(), count);
    answers
}

/// Shows where the two differ, and fails where they do.
fn agree(what: &str, count: usize, differences: &[String]) {
    println!("{what}: {} of {count} alike", count - differences.len());
    assert!(
        differences.is_empty(),
        "{what}: {} of {count} differ:\n{}",
        differences.len(),
        differences.join("\n")
    );
}
