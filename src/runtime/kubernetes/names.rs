//! Names as Kubernetes takes them.

use super::job_kind::JobKind;

/// The longest name of a Job: its pods carry it in a label.
const LONGEST: usize = 63;

/// Why a text can't be a Job's name, with one that can; `None` if it can.
pub fn why_no_name(name: &str) -> Option<String> {
    let is_plain = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-';
    let edge = |c: Option<char>| c.is_some_and(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    let why = if name.len() > LONGEST {
        format!(
            "`{name}` has {} characters, and a Job's name at most {LONGEST}",
            name.len()
        )
    } else if !name.chars().all(is_plain)
        || !edge(name.chars().next())
        || !edge(name.chars().next_back())
    {
        format!(
            "`{name}` isn't a Job's name: those are a-z, 0-9 and `-`, the first and last no `-`"
        )
    } else {
        return None;
    };
    Some(match slug(name) {
        slug if slug.is_empty() => why,
        slug => format!("{why}; write --name {slug}"),
    })
}

/// The longest name of an object of so many pods. Each pod of several is called by it and its own number, which
/// a host's name must have room for.
pub fn longest_name(kind: JobKind, nodes: u32) -> usize {
    LONGEST - kind.longest_suffix(nodes).len()
}

/// The name of a run's object of so many pods where none is given.
pub fn name_for(run: &str, kind: JobKind, nodes: u32) -> String {
    let name = slug(&format!("mlbuild-{run}"));
    let name = name[..name.len().min(longest_name(kind, nodes))].trim_matches('-');
    if name.len() > "mlbuild-".len() {
        name.to_owned()
    } else {
        "mlbuild".to_owned()
    }
}

fn slug(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() {
            c.to_ascii_lowercase()
        } else {
            '-'
        }
    };
    let all: String = text.chars().map(plain).collect();
    let all = all.trim_matches('-');
    all[..all.len().min(LONGEST)].trim_matches('-').to_owned()
}

/// A text as a label's value: cut where it is too long, other characters replaced.
pub fn label_value(text: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || "-_.".contains(c) {
            c
        } else {
            '-'
        }
    };
    let all: String = text.chars().map(plain).collect();
    let edge = |c: char| !c.is_ascii_alphanumeric();
    let all = all.trim_matches(edge);
    all[..all.len().min(LONGEST)].trim_matches(edge).to_owned()
}

/// Whether a label or annotation can have this key: `[prefix/]name`.
pub(super) fn is_key(key: &str) -> bool {
    let (prefix, name) = match key.split_once('/') {
        Some((prefix, name)) => (Some(prefix), name),
        None => (None, key),
    };
    let is_prefix =
        |p: &str| p.split('.').all(|part| why_no_name(part).is_none()) && p.len() <= 253;
    is_label_text(name) && !name.is_empty() && prefix.is_none_or(is_prefix)
}

/// Whether a label can have this value.
pub(super) fn is_label_text(text: &str) -> bool {
    text.len() <= LONGEST && label_value(text) == text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_name_is_said_with_one_that_is() {
        assert_eq!(why_no_name("train-1"), None);
        let why = |name: &str| why_no_name(name).unwrap();
        insta::assert_snapshot!(why("My_Run"), @"`My_Run` isn't a Job's name: those are a-z, 0-9 and `-`, the first and last no `-`; write --name my-run");
        insta::assert_snapshot!(why("-"), @"`-` isn't a Job's name: those are a-z, 0-9 and `-`, the first and last no `-`");
        let long = "a".repeat(64);
        assert!(why(&long).contains("has 64 characters, and a Job's name at most 63"));
        assert!(why("").contains("isn't a Job's name"));
    }

    #[test]
    fn runs_become_names_and_labels() {
        assert_eq!(name_for("Exp_7.b", JobKind::Job, 1), "mlbuild-exp-7-b");
        assert_eq!(name_for("_", JobKind::Job, 1), "mlbuild");
        for (nodes, longest) in [(1, 63), (2, 61), (10, 61), (11, 60), (101, 59)] {
            let name = name_for(&"x".repeat(80), JobKind::Job, nodes);
            assert_eq!(name.len(), longest, "{nodes}");
        }
        for (kind, longest) in [
            (JobKind::JobSet, 63 - "-node-0-11-abcde".len()),
            (JobKind::PyTorchJob, 63 - "-worker-11".len()),
            (JobKind::MpiJob, 63 - "-worker-11".len()),
        ] {
            let name = name_for(&"x".repeat(80), kind, 12);
            assert_eq!(name.len(), longest, "{kind}");
        }
        assert_eq!(label_value("Exp_7.b"), "Exp_7.b");
        assert_eq!(label_value("_a/b_"), "a-b");
        for good in ["team", "kueue.x-k8s.io/queue-name", "a/b"] {
            assert!(is_key(good), "{good}");
        }
        for bad in ["", "a/", "/b", "a b", "A_/b", "a/b/c"] {
            assert!(!is_key(bad), "{bad}");
        }
    }
}
