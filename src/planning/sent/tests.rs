//! What is said of contexts.

use std::path::Path;

use super::*;
use crate::reporter::Event;

fn files(root: &Path, files: &[(&str, u64)]) {
    for (path, size) in files {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::File::create(path).unwrap().set_len(*size).unwrap();
    }
}

/// The Dockerfile of a plan of the folder, as `build_plan` makes it.
fn dockerfile(root: &Path, text: &str, own: bool) -> PlannedDockerfile {
    let path = root.join("Dockerfile");
    let ignore = crate::planning::ignore::effective(root, own.then_some(&path), &[]).unwrap();
    PlannedDockerfile {
        name: if own { "Dockerfile" } else { "template python" }.into(),
        file_name: "Dockerfile".into(),
        text: text.into(),
        ignore: Some(ignore),
        sha256: String::new(),
    }
}

fn lines(root: &Path, dockerfile: &PlannedDockerfile) -> Vec<String> {
    let context = Context::Folder { path: root.into() };
    let sent = Sent::look(&context, dockerfile, true).unwrap().unwrap();
    let survey = sent.survey();
    let line = |e: &SurveyEntry| {
        let sign = if e.sent { '+' } else { '-' };
        format!("{sign} {} {}: {}", e.path, e.bytes, e.why)
    };
    survey.entries.iter().map(line).collect()
}

/// Keeps what is told.
#[derive(Default)]
struct Kept(std::sync::Mutex<Vec<String>>);

impl Reporter for Kept {
    fn event(&self, event: Event) {
        match event {
            Event::Note(text) | Event::Warning(text) => self.0.lock().unwrap().push(text),
            other => panic!("{other:?}"),
        }
    }
}

/// Notes and warnings before a build, and why there can be none.
fn told(root: &Path, dockerfile: &PlannedDockerfile, is_composed: bool) -> (Vec<String>, String) {
    let context = Context::Folder { path: root.into() };
    let sent = Sent::look(&context, dockerfile, false).unwrap().unwrap();
    let reporter = Kept::default();
    let result = sent.tell(is_composed, &reporter);
    let error = result
        .err()
        .map_or(String::new(), |error| error.to_string());
    (reporter.0.into_inner().unwrap(), error)
}

#[test]
fn each_entry_has_the_line_that_decided() {
    let root = tempfile::tempdir().unwrap();
    files(
        root.path(),
        &[
            ("a.py", 1),
            ("data/x", 5),
            ("data/y", 6),
            ("mlbuild.lock", 2),
        ],
    );
    std::fs::write(
        root.path().join(".dockerignore"),
        "# ours\n\ndata/*\n!data/y\n",
    )
    .unwrap();
    assert_eq!(
        lines(
            root.path(),
            &dockerfile(root.path(), "FROM a\nCOPY . .\n", false)
        ),
        [
            "+ .dockerignore 23: no line leaves it out",
            "+ a.py 1: no line leaves it out",
            "- data/x 5: .dockerignore:3: data/*",
            "+ data/y 6: .dockerignore:4: !data/y",
            "- mlbuild.lock 2: mlbuild's own file",
        ]
    );
}

#[test]
fn defaults_are_named_and_what_they_leave_out_is_said() {
    let root = tempfile::tempdir().unwrap();
    files(
        root.path(),
        &[
            ("a.py", 1),
            ("conf/server.pem", 4),
            (".env", 3),
            (".git/HEAD", 9),
            ("data/all.csv", LARGE),
        ],
    );
    let file = dockerfile(root.path(), "FROM a\nCOPY . .\n", false);
    assert_eq!(
        lines(root.path(), &file),
        [
            "- .env 3: by default: **/.env",
            "- .git/ 9: by default: .git",
            "+ a.py 1: no line leaves it out",
            "- conf/server.pem 4: by default: **/*.pem",
            "- data/ 100000000: data of 100 MB or more",
        ]
    );
    let said = told(root.path(), &file, true).0.join("\n");
    for what in [
        ".env isn't sent: by its name it holds a secret",
        "conf/server.pem isn't sent: by its name it holds a secret",
        "data/ isn't sent: data of 100 MB or more",
    ] {
        assert!(said.contains(what), "{said}");
    }
    assert!(!said.contains(".git"), "{said}");
}

#[test]
fn only_what_steps_read_is_sent_and_a_huge_context_is_said() {
    let root = tempfile::tempdir().unwrap();
    files(
        root.path(),
        &[("a.py", 1), ("big/x", 2 * HUGE), ("other/y", 3 * HUGE)],
    );
    let file = dockerfile(root.path(), "FROM a\nCOPY a.py big/ /app/\n", true);
    assert_eq!(
        lines(root.path(), &file),
        [
            "+ a.py 1: no line leaves it out",
            "+ big/x 2000000000: no line leaves it out",
            "- other/y 3000000000: no COPY, ADD or mount of the Dockerfile reads it",
        ]
    );
    assert_eq!(
        told(root.path(), &file, false).0,
        ["context is 2.0 GB, of which big/ 2.0 GB; a line `big` in .dockerignore leaves that out"]
    );
}

#[test]
fn what_is_copied_and_hidden_is_said_with_both_lines() {
    let root = tempfile::tempdir().unwrap();
    files(
        root.path(),
        &[
            ("requirements.txt", 1),
            ("src/a.py", 1),
            ("data/x", 1),
            ("docs/keep", 1),
        ],
    );
    std::fs::write(root.path().join(".dockerignore"), "*.txt\n**\n!docs/keep\n").unwrap();
    let text = "FROM a\nCOPY requirements.txt /opt/\nCOPY src docs missing /app/\n";
    let (said, error) = told(root.path(), &dockerfile(root.path(), text, false), true);
    assert_eq!(said, [""; 0]);
    assert_eq!(
        error,
        "template python:2 copies requirements.txt, which isn't sent to the builder (.dockerignore:1: *.txt)"
    );
    let (said, error) = told(root.path(), &dockerfile(root.path(), text, true), false);
    assert_eq!(error, "");
    assert_eq!(
        said,
        [
            "Dockerfile:2 copies requirements.txt, which isn't sent to the builder (.dockerignore:1: *.txt)",
            "Dockerfile:3 copies src, which isn't sent to the builder (.dockerignore:2: **)",
        ]
    );
}
