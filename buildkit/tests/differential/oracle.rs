//! The Go program that holds the upstream libraries, built once a run.

use std::io::{BufRead, BufReader, Write};
use std::path::PathBuf;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use std::sync::OnceLock;

use base64::Engine;
use serde::{Deserialize, Serialize};

/// Builds the program; its path.
pub fn program() -> &'static PathBuf {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| {
        let source = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/go-oracle");
        let out = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("go-oracle");
        let built = Command::new("go")
            .args(["build", "-buildvcs=false", "-o"])
            .arg(&out)
            .arg(".")
            .current_dir(source)
            .output()
            .expect("these tests compare with Go libraries: install Go 1.25 or newer");
        assert!(
            built.status.success(),
            "go build failed (is the Go module proxy reachable?):\n{}",
            String::from_utf8_lossy(&built.stderr)
        );
        out
    })
}

pub fn base64(bytes: &[u8]) -> String {
    base64::engine::general_purpose::STANDARD.encode(bytes)
}

pub fn unbase64(text: &str) -> Vec<u8> {
    base64::engine::general_purpose::STANDARD
        .decode(text)
        .expect("the oracle writes base64")
}

#[derive(Debug, Default, Serialize)]
pub struct Question {
    pub op: &'static str,
    pub patterns: Vec<String>,
    pub paths: Vec<String>,
    pub content: Option<String>,
    pub root: String,
    pub include: Option<Vec<String>>,
    pub exclude: Option<Vec<String>>,
    pub follow: Option<Vec<String>>,
}

#[derive(Debug, Default, Deserialize)]
pub struct Answer {
    pub error: String,
    pub matches: Option<Vec<String>>,
    pub lines: Option<Vec<String>>,
    pub entries: Option<Vec<Entry>>,
}

impl Answer {
    pub fn error(e: &impl std::fmt::Display) -> Self {
        Answer {
            error: e.to_string(),
            ..Answer::default()
        }
    }

    pub fn failed(&self) -> bool {
        !self.error.is_empty()
    }
}

/// An announced entry; names and values in base64.
#[derive(Debug, Default, Deserialize)]
pub struct Entry {
    pub path: Option<String>,
    pub mode: u32,
    pub size: i64,
    pub mtime: i64,
    pub linkname: Option<String>,
    pub major: i64,
    pub minor: i64,
    pub xattrs: Option<std::collections::BTreeMap<String, String>>,
}

/// A running question-and-answer process.
pub struct Oracle {
    child: Child,
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Oracle {
    pub fn start() -> Self {
        let mut child = Command::new(program())
            .arg("ask")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            // Its pattern reader remarks on odd bytes there.
            .stderr(Stdio::null())
            .spawn()
            .expect("the oracle starts");
        Oracle {
            stdin: child.stdin.take(),
            stdout: BufReader::new(child.stdout.take().expect("piped")),
            child,
        }
    }

    pub fn ask(&mut self, question: &Question) -> Answer {
        let mut line = serde_json::to_vec(question).expect("a question is JSON");
        line.push(b'\n');
        let stdin = self.stdin.as_mut().expect("running");
        stdin.write_all(&line).expect("the oracle reads");
        let mut answer = String::new();
        self.stdout
            .read_line(&mut answer)
            .expect("the oracle answers");
        serde_json::from_str(&answer).unwrap_or_else(|e| panic!("{e} in {answer:?}"))
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        drop(self.stdin.take());
        let _ = self.child.wait();
    }
}
