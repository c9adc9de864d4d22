//! Records, locks, labels and queues that would move the cursor, answer for the person, or have a
//! command pasted that does something else.

use mlbuild_progress::printable::is_unseen;

use crate::support::mlbuild::{Project, Ran};
use crate::support::terminal::Terminal;

/// Clears the screen, writes to the clipboard, sets the title, turns the direction of writing.
const HOSTILE: &str = "x\\u001b[2J\\u001b]52;c;cm0=\\u0007\\u009b31m\\u202egnp.sh";

/// A record with that in every text that has no grammar of its own.
fn record(folder: &str) -> String {
    format!(
        "version = 3\nid = \"run-1\"\ncreated = \"2026-03-01T12:00:00Z\"\n\n[image]\n\
         reference = \"r.example/a:1\"\ndigest = \"sha256:{}\"\n\n[git]\nremote = \"{HOSTILE}\\nstatus    ok\"\n\
         commit = \"{}\"\nbranch = \"{HOSTILE}\"\nfolder = \"{folder}\"\ndirty = true\n\
         left_out = [\n  \"{HOSTILE}\",\n]\n\n[command]\nprogram = \"docker\"\noptions = [\n  \"--label={HOSTILE}\",\n]\n\
         argv = [\n  \"{HOSTILE}\",\n]\nmounts = [\n  \"{HOSTILE}\",\n]\n\n[host]\nname = \"{HOSTILE}\"\nplatform = \"linux/amd64\"\n\n\
         [outcome]\nstatus = \"started\"\nstarted = \"2026-03-01T12:00:00Z\"\n\n# end of record\n",
        "01".repeat(32),
        "ab".repeat(20),
    )
}

#[track_caller]
fn nothing_unseen(text: &str) {
    let unseen = text
        .chars()
        .find(|&c| is_unseen(c) && !matches!(c, '\n' | '\t' | '\r'));
    assert!(unseen.is_none(), "{unseen:?} in {text:?}");
}

#[test]
fn no_text_of_a_record_reaches_the_terminal_as_it_is() {
    let project = Project::new(&[("mlbuild.runs/run-1.toml", &record("a/b"))]);
    for words in [
        &["runs", "show", "run-1"][..],
        &["runs", "show", "run-1", "--format", "json"],
        &["runs", "list"],
        &["runs", "list", "--format", "json"],
        &["runs", "show", "\u{1b}[2J"],
        &["restore", "run-1", "--no-shell"],
        &["restore", "run-1", "--no-shell", "--no-code"],
    ] {
        let ran = project.run(words);
        nothing_unseen(&ran.stdout);
        nothing_unseen(&ran.stderr);
        let (shown, _) = Terminal::start(project.command(words).env("NO_COLOR", "1")).finish();
        nothing_unseen(&shown);
        println!("{words:?}: {}{}", ran.stdout, ran.stderr);
    }
    let shown = project.run(["runs", "show", "run-1"]);
    let shown = shown.answer();
    assert!(shown.contains("x\\u001b[2J"), "{shown}");
    assert!(!shown.lines().any(|line| line == "status    ok"), "{shown}");
    let json = project
        .run(["runs", "show", "run-1", "--format", "json"])
        .json();
    let argv = json["command"]["argv"][0].as_str().unwrap();
    assert!(
        argv.starts_with("x\u{1b}[2J") && argv.contains('\u{202e}'),
        "{argv:?}"
    );
}

#[test]
fn a_patch_goes_to_a_file_as_it_is_and_to_a_terminal_written_out() {
    use std::fmt::Write as _;
    let patch = "diff --git a/x b/x\n+\u{1b}[2J\n";
    let digest = sha2::Sha256::digest(patch.as_bytes())
        .iter()
        .fold(String::new(), |mut hex, b| {
            let _ = write!(hex, "{b:02x}");
            hex
        });
    use sha2::Digest as _;
    let text = record("a").replace(
        "dirty = true\n",
        &format!("dirty = true\nchanges = \"sha256:{digest}\"\n"),
    );
    let project = Project::new(&[
        ("mlbuild.runs/run-1.toml", &text),
        ("mlbuild.runs/run-1.patch", patch),
    ]);
    let words = ["runs", "show", "run-1", "--patch"];
    assert_eq!(project.run(words).answer(), patch.trim_end());
    let (shown, _) = Terminal::start(project.command(words).env("NO_COLOR", "1")).finish();
    nothing_unseen(&shown);
    assert!(shown.contains("+\\u001b[2J"), "{shown}");
}

#[test]
fn errors_and_configurations_of_others_are_written_out() {
    let lock = "version = 6\n\n[[image]]\nname = \"\u{202e}x\"\n";
    let toml = "[image]\nbase = \"\u{202e}x\u{9b}31m\"\nunknown\u{202e} = 1\n";
    let project = Project::new(&[("mlbuild.lock", lock), ("mlbuild.toml", toml)]);
    let named = [
        &["image", "-t", "r.example/a\u{1b}[2J:1"][..],
        &["verify", "-t", "r.example/a:1"],
        &["inspect", "r.example/\u{202e}:1"],
        &["doctor", "--registry", "h\u{1b}[2J"],
    ];
    for words in named {
        let ran: Ran = project.run(words);
        assert_ne!(ran.code, Some(0), "{words:?}");
        nothing_unseen(&ran.stdout);
        nothing_unseen(&ran.stderr);
        println!("{}", ran.stderr);
    }
}

#[test]
fn a_record_names_no_folder_outside_its_repository() {
    for folder in ["/etc", "..", "a/../..", "../x"] {
        let project = Project::new(&[("mlbuild.runs/run-1.toml", &record(folder))]);
        for words in [
            &["runs", "show", "run-1"][..],
            &["restore", "run-1", "--no-shell"],
        ] {
            let ran = project.run(words);
            let text = ran.refusal(2);
            assert!(text.contains("a relative path without `..`"), "{text}");
            println!("{text}");
        }
    }
}

#[test]
fn printed_commands_hold_the_words_of_others_as_words() {
    let hostile = "x; touch pwned #";
    let text = record("a").replace(
        &format!("remote = \"{HOSTILE}\\nstatus    ok\""),
        &format!("remote = \"{hostile}\""),
    );
    let text = text.replace(&format!("branch = \"{HOSTILE}\""), "branch = \"main\"");
    let text = text.replace(
        "reference = \"r.example/a:1\"\ndigest",
        "reference = \"$(touch pwned)\"\nimage_id",
    );
    let project = Project::new(&[("mlbuild.runs/run-1.toml", &text)]);
    for words in [
        &["restore", "run-1", "--no-shell"][..],
        &["restore", "run-1", "--no-shell", "--no-code"],
    ] {
        let ran = project.run(words);
        println!("{}", ran.stderr);
        for line in ran.stderr.lines().filter(|line| line.contains("hint:")) {
            assert!(
                !line.contains("clone x;") && !line.contains("save $("),
                "{line}"
            );
        }
    }
    let told = project.run(["restore", "run-1", "--no-shell"]).stderr;
    assert!(
        told.contains("docker save '$(touch pwned)' | ssh"),
        "{told}"
    );
}
