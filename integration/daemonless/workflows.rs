//! Workflows, those that `mlbuild ci` writes and those of the repository: what a stranger's pull request or
//! a moved tag could do with them.

use std::path::PathBuf;

use regex::Regex;
use serde_json::Value;

use crate::support::{read, repository};

/// Our own action, which is installed by its tag.
const OWN: &str = "@ACTION@";

/// Every workflow for GitHub, and the action: name and document.
fn documents() -> Vec<(String, Value)> {
    let root = repository();
    let mut files: Vec<PathBuf> = std::fs::read_dir(root.join(".github/workflows"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    files.push(root.join("cli/src/commands/ci/github.yml"));
    files.push(root.join("action.yml"));
    assert!(files.len() > 2);
    let parse = |file: PathBuf| {
        // What is no YAML yet: placeholders stand where a scalar begins.
        let text = read(&file).replace(&format!("uses: {OWN}"), "uses: own/action@v1");
        let parsed = serde_saphyr::from_str(&text);
        let document = parsed.unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        (file.display().to_string(), document)
    };
    files.into_iter().map(parse).collect()
}

/// The steps of a workflow's jobs, or of an action.
fn steps(document: &Value) -> Vec<&Value> {
    let jobs = document["jobs"]
        .as_object()
        .into_iter()
        .flat_map(|jobs| jobs.values());
    jobs.chain([&document["runs"]])
        .filter_map(|job| job["steps"].as_array())
        .flatten()
        .collect()
}

#[test]
fn actions_of_others_are_named_by_commit_and_hold_no_token() {
    let commit = Regex::new("^[a-z0-9-]+/[a-z0-9-]+@[0-9a-f]{40}$").unwrap();
    let mut seen = 0;
    for (name, document) in documents() {
        for step in steps(&document) {
            let Some(action) = step["uses"]
                .as_str()
                .filter(|action| !action.starts_with("own/"))
            else {
                continue;
            };
            seen += 1;
            assert!(commit.is_match(action), "{name}: {action}");
            if action.starts_with("actions/checkout@") {
                let keeps = &step["with"]["persist-credentials"];
                assert_eq!(keeps, false, "{name}: {action}");
            }
        }
    }
    assert!(seen >= 6, "{seen}");
}

/// A title or a branch of a pull request is text that a stranger chose: pasted into a script it is run.
#[test]
fn no_script_has_words_of_strangers_pasted_in() {
    let is_by_tag = Regex::new(r"docker run .*[a-z]:[\w.]+\s*$").unwrap();
    for (name, document) in documents() {
        for step in steps(&document) {
            let script = step["run"].as_str().unwrap_or_default();
            assert!(!script.contains("${{"), "{name}: {script}");
            assert!(!is_by_tag.is_match(script), "{name}: {script}");
        }
    }
}

#[test]
fn tokens_have_the_least_rights_and_pull_requests_get_none() {
    for (name, document) in documents() {
        let Some(jobs) = document["jobs"].as_object() else {
            continue;
        };
        let on = document["on"]
            .as_object()
            .unwrap_or_else(|| panic!("{name}"));
        for event in ["pull_request_target", "workflow_run", "issue_comment"] {
            assert!(!on.contains_key(event), "{name}: {event}");
        }
        let least = serde_json::json!({ "contents": "read" });
        assert_eq!(document["permissions"], least, "{name}");
        for (job, rights) in jobs {
            let may_write = rights["permissions"].to_string().contains("write");
            if may_write {
                let when = rights["if"].as_str().unwrap_or_default();
                assert!(when.contains("default_branch"), "{name}: {job}: {when}");
            }
            let text = rights.to_string();
            let has_secret = text.contains("secrets.");
            assert!(may_write || !has_secret, "{name}: {job} has a secret");
            let runner = rights["runs-on"].as_str().unwrap_or_default();
            assert!(!runner.ends_with("latest"), "{name}: {runner}");
        }
    }
}

/// GitLab's job has the log-in of its project.
#[test]
fn the_job_of_gitlab_is_for_the_default_branch_and_names_images_to_be_pinned() {
    let text = read(&repository().join("cli/src/commands/ci/gitlab.yml"));
    let images = Regex::new(r"(?m)^\s*(?:image|- name): (\S+)$").unwrap();
    let named: Vec<&str> = images
        .captures_iter(&text)
        .map(|found| found.get(1).unwrap().as_str())
        .collect();
    assert_eq!(named, ["@RUST@", "@DOCKER@", "@BUILDKIT@"]);
    assert!(text.contains("- if: $CI_COMMIT_BRANCH == $CI_DEFAULT_BRANCH"));
}

/// Every target is run on a schedule, by the same command as by hand.
#[test]
fn the_readers_are_fuzzed_every_night() {
    let root = repository();
    let (_, fuzz) = documents()
        .into_iter()
        .find(|(name, _)| name.ends_with("fuzz.yml"))
        .unwrap();
    assert!(fuzz["on"]["schedule"][0]["cron"].is_string());
    let runs = steps(&fuzz)
        .iter()
        .any(|step| step["run"] == "./test --fuzz");
    assert!(runs);
    assert!(read(&root.join("test")).contains("fuzz/run all"));
    assert!(std::fs::read_dir(root.join("fuzz/corpus")).unwrap().count() >= 10);
}
