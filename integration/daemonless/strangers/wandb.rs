//! A server of Weights & Biases that is a stranger, or is somebody else's.

use serde_json::{Value, json};

use crate::support::mlbuild::{Project, Ran};
use crate::support::wandb::{Has, KEY, Reply, WandbServer};

const RUN: &str = "acme/cracks:1abc2def";

/// A run whose files are these.
fn with(files: &[(&str, &str, Reply)]) -> Has {
    let own = |(name, at, _): &(&str, &str, Reply)| (name.to_string(), at.to_string());
    Has {
        files: files.iter().map(own).collect(),
        replies: files
            .iter()
            .map(|(_, at, reply)| (at.to_string(), reply.clone()))
            .collect(),
        ..Has::default()
    }
}

/// A run whose metadata are these.
fn of(metadata: &Value) -> Has {
    body(metadata.to_string().into_bytes())
}

fn body(bytes: Vec<u8>) -> Has {
    with(&[("wandb-metadata.json", "/m", Reply::Body(bytes))])
}

fn restore(project: &Project, run: &str, settings: &[(&str, &str)]) -> Ran {
    Ran::of(
        project
            .command(["restore", run])
            .envs(settings.iter().copied()),
    )
}

fn pinned() -> String {
    format!("127.0.0.1:1/x@sha256:{}", "a".repeat(64))
}

#[test]
fn what_a_server_says_is_read_in_bounds_and_believed_in_nothing() {
    let other = WandbServer::start(Has::default());
    let elsewhere = Reply::Redirect(format!("{}/graphql", other.address()));
    let instead = |reply| Has {
        instead: Some(reply),
        ..Has::default()
    };
    let said = |text: &str| instead(Reply::Body(text.as_bytes().to_vec()));
    let commit = |commit: &str| of(&json!({ "docker": pinned(), "git": { "commit": commit } }));
    let at = |url: &str| with(&[("wandb-metadata.json", url, Reply::Body(Vec::new()))]);
    for (has, code, words) in [
        (
            instead(elsewhere),
            3,
            "sends log-ins on to http://127.0.0.1:",
        ),
        (said("<html>"), 3, "the run of 127.0.0.1:"),
        (said("{}"), 3, "it says nothing"),
        (
            said(r#"{"errors":[{"message":"no \u001b[31mway"}]}"#),
            3,
            r"no \u001b[31mway",
        ),
        (
            said(r#"{"data":{"project":{"run":null}}}"#),
            2,
            "has no run `acme/cracks/1abc2def`",
        ),
        (
            said(r#"{"data":{"project":{"run":{"name":"../../x","files":{"edges":[]}}}}}"#),
            3,
            "it is another one",
        ),
        (Has::default(), 2, "it has no wandb-metadata.json"),
        (
            with(&[("../wandb-metadata.json", "/m", Reply::Body(b"{}".to_vec()))]),
            2,
            "it has no wandb-metadata.json",
        ),
        (at("file:///etc/passwd"), 3, "which isn't https"),
        (at("/missing/../m"), 3, "status 404"),
        (
            body(vec![b' '; (4 << 20) + 1]),
            3,
            "it is larger than 4194304 bytes",
        ),
        (
            body(b"[".repeat(100_000)),
            2,
            "acme/cracks/1abc2def at 127.0.0.1:",
        ),
        (of(&json!({})), 2, "started without WANDB_DOCKER"),
        (of(&json!({ "docker": "r.example/x:1" })), 2, "is a tag"),
        (of(&json!({ "docker": "--privileged" })), 2, "--privileged"),
        (commit("--output=/tmp/x"), 2, "is no commit's id"),
        (commit("HEAD"), 2, "is no commit's id"),
        (
            Has {
                commit: Some("-x".to_owned()),
                ..of(&json!({ "docker": pinned() }))
            },
            2,
            "is no commit's id",
        ),
    ] {
        let project = Project::new(&[]);
        let server = WandbServer::start(has);
        let settings = [
            ("WANDB_BASE_URL", &*server.address()),
            ("WANDB_API_KEY", KEY),
        ];
        let ran = restore(&project, RUN, &settings);
        let said = ran.refusal(code);
        assert!(said.contains(words), "{words}: {said}");
        assert!(!said.contains(KEY), "{said}");
        assert!(said.lines().all(|line| line.len() < 1000), "{said}");
        let left: Vec<_> = std::fs::read_dir(project.path("")).unwrap().collect();
        assert!(left.is_empty(), "{left:?}");
    }
    assert_eq!(other.seen().len(), 0, "{:?}", other.seen());
}

#[test]
fn a_key_goes_to_the_server_that_it_is_for() {
    let server = WandbServer::start(Has::default());
    let address = server.address();
    let asked = |ran: Ran, code: i32, words: &str| {
        let said = ran.refusal(code).to_owned();
        assert!(said.contains(words), "{words}: {said}");
        assert!(!said.contains(KEY), "{said}");
    };
    // A project's file names the server: not the key that is for none in particular.
    let local = format!("[default]\nbase_url = {address}\n");
    let project = Project::new(&[("wandb/settings", &local)]);
    let key = ("WANDB_API_KEY", KEY);
    let said = format!("export WANDB_BASE_URL={address}");
    asked(restore(&project, RUN, &[key]), 2, &said);
    assert_eq!(server.seen().len(), 0);
    // The one that is for that server.
    let netrc = format!(
        "machine 127.0.0.1:{} login user password {KEY}\n",
        server.port
    );
    std::fs::write(project.home().join(".netrc"), netrc).unwrap();
    asked(
        restore(&project, RUN, &[]),
        2,
        "it has no wandb-metadata.json",
    );
    let before = server.seen().len();
    assert!(before > 0);

    let project = Project::new(&[]);
    let base = ("WANDB_BASE_URL", address.as_str());
    let token = ("WANDB_IDENTITY_TOKEN_FILE", "/token");
    let default = "default login user password 0123\n";
    std::fs::write(project.home().join(".netrc"), default).unwrap();
    for (run, settings, code, words) in [
        (RUN, &[base][..], 3, "there is no key for 127.0.0.1:"),
        (RUN, &[base, token], 3, "WANDB_IDENTITY_TOKEN_FILE is set"),
        (
            RUN,
            &[key, ("WANDB_BASE_URL", "ftp://x")],
            2,
            "WANDB_BASE_URL: `ftp://x`",
        ),
        (
            RUN,
            &[key, ("WANDB_BASE_URL", "http://api.wandb.ai")],
            2,
            "is asked by https",
        ),
        (
            "https://w.example/acme/cracks/runs/1",
            &[base, key],
            2,
            "is set to 127.0.0.1:",
        ),
        (
            "https://wandb.ai/acme/cracks/runs/1",
            &[base, key],
            2,
            "api.forge.coreweave.com",
        ),
        (
            "acme/cracks:",
            &[base, key],
            2,
            "names no run of Weights & Biases",
        ),
    ] {
        asked(restore(&project, run, settings), code, words);
    }
    assert_eq!(server.seen().len(), before, "{:?}", server.seen());
    let wrong = ("WANDB_API_KEY", "f000000000000000000000000000000000000000");
    asked(
        restore(&project, RUN, &[base, wrong]),
        3,
        "refuses the log-in: status 401",
    );
    let from = Ran::of(&mut project.command(["restore", RUN, "--from", "r.example/x:1"]));
    asked(from, 2, "whose server has its record");
}
