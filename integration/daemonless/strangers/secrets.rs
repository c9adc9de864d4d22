//! Secrets by name and by form: no writer and no printer lets one through.

use std::collections::BTreeMap;

use mlbuild::records::RunStart;
use mlbuild_manifests::RunId;
use mlbuild_manifests::document::Document;
use mlbuild_manifests::run_record::{RunCluster, RunCommand, RunHost, RunImage};
use proptest::prelude::*;

use crate::support::mlbuild::Project;

/// A secret, and where it would stand: by its form alone, or under a secret's name.
fn form() -> impl Strategy<Value = String> {
    prop_oneof![
        "ghp_[A-Za-z0-9]{36}",
        "gho_[A-Za-z0-9]{36}",
        "github_pat_[A-Za-z0-9]{22}_[A-Za-z0-9]{30}",
        "hf_[A-Za-z]{34}",
        "sk-[A-Za-z0-9]{8}[0-9][A-Za-z0-9]{39}",
        "sk-proj-[A-Z][a-z][0-9][A-Za-z0-9_-]{40}[A-Z]",
        "(AKIA|ASIA)[0-9A-Z]{16}",
        "glpat-[A-Za-z0-9]{20}",
        "eyJ[A-Za-z0-9]{20}\\.eyJ[A-Za-z0-9]{20}\\.[A-Za-z0-9_]{30}",
    ]
}

/// A value that has no form.
fn word() -> impl Strategy<Value = String> {
    "[g-z][a-z0-9]{11}Q"
}

fn name() -> impl Strategy<Value = &'static str> {
    prop::sample::select(vec![
        "HF_TOKEN",
        "WANDB_API_KEY",
        "DEPLOY_PRIVATE_KEY",
        "GPG_PASSPHRASE",
        "DB_PASSWORD",
        "AWS_SECRET_ACCESS_KEY",
        "client_secret",
    ])
}

/// What a run has, with secrets in every text that a person may put one into.
fn start(id: &str, form: &str, name: &str, word: &str) -> RunStart {
    let text = |line: &str| {
        let line = line.replace("{form}", form).replace("{name}", name);
        line.replace("{word}", word)
    };
    let list = |lines: &[&str]| lines.iter().map(|line| text(line)).collect();
    RunStart {
        id: id.parse::<RunId>().unwrap(),
        lock: None,
        image: RunImage {
            reference: "r.example/a:1".to_owned(),
            ..RunImage::default()
        },
        code: None,
        command: RunCommand {
            program: Some("docker".to_owned()),
            options: list(&[
                "-e",
                "X={form}",
                "--env={name}={word}",
                "--label={name}={word}",
                "--label=x={form}",
                "--hostname={form}",
            ]),
            argv: list(&[
                "train",
                "--api-key",
                "{word}",
                "--password={word}",
                "{form}",
                "{name}={word}",
                "--db=postgres://u:{word}@h/d",
                "sh -c '{name}={word} train --auth-token {word} --url https://h/?access_token={word}'",
            ]),
            mounts: list(&["/data/{form}:/data"]),
            project: Some(text("/home/u/{form}")),
            ..RunCommand::default()
        },
        host: RunHost::default(),
        data: Vec::new(),
        slurm: None,
        cluster: Some(RunCluster {
            context: None,
            kubeconfig: None,
            server: text("https://u:{word}@k8s.example"),
            namespace: "n".to_owned(),
            job: "j".to_owned(),
            options: list(&["--annotation={name}={word}", "--annotation=a={form}"]),
        }),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn no_record_holds_a_planted_secret(form in form(), name in name(), word in word()) {
        let folder = tempfile::tempdir().unwrap();
        let run = start("run-1", &form, name, &word).write(folder.path()).unwrap();
        let file = std::fs::read_to_string(folder.path().join("mlbuild.runs/run-1.toml")).unwrap();
        let document = String::from_utf8(run.record().to_json()).unwrap();
        for text in [&file, &document] {
            prop_assert!(!text.contains(&form), "{form} in {text}");
            prop_assert!(!text.contains(&word), "{word} in {text}");
        }
        // What a writer overlooks, the file's own writer doesn't.
        let mut record = run.record().clone();
        record.command.as_mut().unwrap().argv = vec![form.clone()];
        prop_assert!(!record.to_toml().contains(&form));
        prop_assert!(!String::from_utf8(record.to_json()).unwrap().contains(&form));
    }

    #[test]
    fn no_text_keeps_a_planted_secret(form in form(), name in name(), word in word()) {
        let text = format!("cannot open {form}: {name}={word} https://u:{word}@h/x?token={word}");
        let shown = mlbuild_secrets::redact(&text);
        prop_assert!(!shown.contains(&form) && !shown.contains(&word), "{shown}");
        prop_assert_eq!(mlbuild_secrets::redact(&shown), shown.clone());
    }
}

/// Names and values of build arguments, and what may be seen of them.
fn args() -> BTreeMap<&'static str, &'static str> {
    [
        ("SIGNING_PRIVATE_KEY", "kQ7xPlanted1"),
        ("GPG_PASSPHRASE", "kQ7xPlanted2"),
        ("DB_PASSWORD", "12345678"),
        ("INDEX", "https://me:kQ7xPlanted3@pypi.example/simple"),
        ("ANY", "hf_abcdefghijklmnopqrstuvwxyzABCDEFGH"),
    ]
    .into()
}

#[test]
fn the_printed_plan_holds_none() {
    let project = Project::new(&[("Dockerfile", "FROM debian:12\n")]);
    let mut words = vec!["image", "--print", "plan", "-t", "r.example/a:1"];
    let given: Vec<String> = args().iter().map(|(n, v)| format!("{n}={v}")).collect();
    for arg in &given {
        words.extend(["--build-arg", arg]);
    }
    words.extend(["--build-arg", "MAX_TOKENS=512", "--build-arg", "AUTHOR=ann"]);
    words.extend([
        "--cache-to",
        "type=gha",
        "--cache-from",
        "type=s3,bucket=b,secret_access_key=kQ7xPlanted4",
    ]);
    words.push(".");
    let ran = {
        let mut command = project.command(&words);
        command
            .env("ACTIONS_RUNTIME_TOKEN", "kQ7xPlanted5")
            .env("ACTIONS_RESULTS_URL", "https://results.example/");
        crate::support::mlbuild::Ran::of(&mut command)
    };
    let plan = ran.json();
    for text in [&ran.stdout, &ran.stderr] {
        assert!(!text.contains("kQ7xPlanted"), "{text}");
        assert!(
            !text.contains("hf_abc") && !text.contains("12345678"),
            "{text}"
        );
    }
    assert_eq!(plan["build_args"]["MAX_TOKENS"], "512");
    assert_eq!(plan["build_args"]["AUTHOR"], "ann");
    assert_eq!(plan["build_args"]["DB_PASSWORD"], "<redacted>");
    println!("not shown: {}", plan["build_args"]);
}

#[test]
fn lines_that_would_be_started_hold_none() {
    let project = Project::new(&[]);
    for words in [
        &["run", "--dry-run"][..],
        &["run", "--dry-run", "--format", "json"],
        &["run", "--dry-run", "--format", "devcontainer"],
        &["submit", "--format", "runai"],
        &["submit", "--format", "runai-training"],
        &["devcontainer", "--dry-run"],
    ] {
        let options = [
            "-e",
            "WANDB_API_KEY=kQ7xPlanted1",
            "-e",
            "ANY=hf_abcdefghijklmnopqrstuvwxyzABCDEFGH",
            "-e",
            "MAX_TOKENS=512",
            "--label",
            "db-password=kQ7xPlanted2",
            "img",
        ];
        let command = ["train", "--api-key", "kQ7xPlanted3", "--max-tokens", "7"];
        let command = if words[0] == "devcontainer" {
            &[][..]
        } else {
            &command[..]
        };
        let ran = project.run(words.iter().chain(&options).chain(command));
        let shown = ran.answer();
        for text in [shown, &ran.stderr] {
            assert!(
                !text.contains("kQ7xPlanted") && !text.contains("hf_abc"),
                "{text}"
            );
        }
        // A line of Run:ai's tools takes no variable by name: what isn't in it is told beside it.
        let named = match words[0] {
            "submit" => &ran.stderr,
            _ => shown,
        };
        assert!(
            named.contains("WANDB_API_KEY") && shown.contains("512"),
            "{shown}\n{}",
            ran.stderr
        );
        println!("{}\n{}", ran.stderr, shown);
    }
}

#[test]
fn errors_hold_none() {
    let project = Project::new(&[]);
    for words in [
        &[
            "image",
            "-t",
            "r.example/a:1",
            "--cache-to",
            "type=gha,token=kQ7xPlanted",
            "--build-arg",
            "A_TOKEN=kQ7xPlanted",
            "--cache-from",
            "x=y,token=kQ7xPlanted",
            ".",
        ][..],
        &[
            "launch",
            "--store",
            "postgres://u:kQ7xPlanted@127.0.0.1:1/x",
            "q",
        ],
        &["image", "-t", "https://u:kQ7xPlanted@r.example/a", "."],
    ] {
        let ran = project.run(words);
        assert_ne!(ran.code, Some(0));
        assert!(!ran.stderr.contains("kQ7xPlanted"), "{}", ran.stderr);
        println!("{}", ran.stderr);
    }
}
