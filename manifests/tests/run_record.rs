//! Run records: what binds a run to an image, and what refuses to.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mlbuild_manifests::document::Document;
use mlbuild_manifests::run_record::{
    GitState, RunCommand, RunHost, RunImage, RunOutcome, RunPlatform,
};
use mlbuild_manifests::{Binding, LockedImage, RunId, RunRecord, RunRecordError};
use proptest::prelude::*;
use support::{digest, full};

fn image(manifest: u8, index: Option<u8>) -> RunImage {
    RunImage {
        reference: "ghcr.io/acme/cracks:v1".to_owned(),
        index: index.map(digest),
        platforms: BTreeMap::from([(
            "linux/amd64".to_owned(),
            RunPlatform {
                manifest: digest(manifest),
                config: digest(9),
            },
        )]),
    }
}

fn record(manifest: u8, index: Option<u8>) -> RunRecord {
    let created = "2026-03-01T12:00:00Z".parse().unwrap();
    RunRecord::new("exp-7".parse().unwrap(), created, image(manifest, index))
}

fn full_record() -> RunRecord {
    let mut record = record(1, Some(2));
    record.lock = Some(digest(3));
    record.git = Some(GitState {
        commit: "0123456789abcdef".to_owned(),
        dirty: true,
        patch: Some("--- a\n+++ b\n".to_owned()),
    });
    record.command = Some(RunCommand {
        argv: vec![
            "python".to_owned(),
            "train.py".to_owned(),
            "--name=a b".to_owned(),
        ],
        environment: vec!["WANDB_API_KEY".to_owned()],
        mounts: vec!["./data:/data:ro".to_owned()],
        accelerator: Some("cuda".to_owned()),
    });
    record.host = Some(RunHost {
        name: "node7".to_owned(),
        platform: "linux/amd64".to_owned(),
        runtime: Some("docker 28.5.2".to_owned()),
        devices: vec!["NVIDIA L4, driver 580.82".to_owned()],
    });
    record.outcome = Some(RunOutcome {
        started: "2026-03-01T12:00:00Z".parse().unwrap(),
        ended: "2026-03-01T13:00:00Z".parse().unwrap(),
        exit_code: 0,
    });
    record
}

#[test]
fn the_sample_of_version_1_reads_and_writes_back_the_same() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/samples/v1.run.toml");
    if std::env::var_os("UPDATE_SAMPLES").is_some() {
        fs::write(&path, full_record().to_toml()).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap();
    let read = RunRecord::load(&path).unwrap();
    assert_eq!(read, full_record());
    assert_eq!(read.to_toml(), text);
}

#[test]
fn a_run_is_bound_once() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("mlbuild.runs");
    let Binding::New(path) = record(1, Some(2)).bind(&folder).unwrap() else {
        panic!()
    };
    assert_eq!(path, folder.join("exp-7.toml"));
    let before = fs::read(&path).unwrap();

    // The same image again, though its provenance and so its index differ.
    let again = record(1, Some(4)).bind(&folder).unwrap();
    assert!(matches!(again, Binding::Same(_, old) if *old == record(1, Some(2))));

    let error = record(5, Some(2)).bind(&folder).unwrap_err();
    assert!(matches!(error, RunRecordError::BoundElsewhere { .. }));
    let message = error.to_string();
    assert!(
        message.starts_with("run exp-7 is bound to ghcr.io/acme/cracks:v1@sha256:0101"),
        "{message}"
    );
    assert_eq!(fs::read(&path).unwrap(), before);
    assert_eq!(
        fs::read_dir(&folder).unwrap().count(),
        1,
        "nothing half-written"
    );
}

#[test]
fn of_many_that_bind_one_run_one_wins() {
    let folder = tempfile::tempdir().unwrap();
    let results: Vec<_> = std::thread::scope(|scope| {
        let start = |n| {
            scope.spawn({
                let folder = folder.path();
                move || record(n, None).bind(folder)
            })
        };
        let all: Vec<_> = (1..9).map(start).collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let won = results
        .iter()
        .filter(|r| matches!(r, Ok(Binding::New(_))))
        .count();
    let refused = results
        .iter()
        .filter(|r| matches!(r, Err(RunRecordError::BoundElsewhere { .. })))
        .count();
    assert_eq!((won, refused), (1, 7));
}

#[test]
fn what_does_not_belong_in_a_record_is_named_by_line() {
    let text = full_record().to_toml();
    let read = |text: &str| {
        RunRecord::parse(text, Path::new("exp-7.toml"))
            .unwrap_err()
            .to_string()
    };
    let bad = text.replace("exit_code", "exitcode");
    let line = 1 + bad.lines().position(|l| l.starts_with("exitcode")).unwrap();
    assert!(
        read(&bad).starts_with(&format!("exp-7.toml:{line}: unknown key `exitcode`")),
        "{}",
        read(&bad)
    );
    let newer = read(&text.replace("version = 1", "version = 2\nnews = true"));
    assert!(
        newer.contains("made by a newer mlbuild: format 2"),
        "{newer}"
    );
    assert!(read("version = 1\nid = \"../x\"").contains("../x"));
    assert!(read("").contains("version"));
}

#[test]
fn ids_are_safe_as_file_names() {
    for good in [
        "exp-7",
        "a",
        "01JARZ3NDEKTSV4RRFFQ69G5FAV",
        "_x.y",
        &"a".repeat(128),
    ] {
        assert!(good.parse::<RunId>().is_ok(), "{good}");
    }
    for bad in [
        "",
        ".",
        "..",
        ".x",
        "-x",
        "a/b",
        "a b",
        "a\n",
        "é",
        "a:b",
        &"a".repeat(129),
    ] {
        assert!(bad.parse::<RunId>().is_err(), "{bad}");
    }
    insta::assert_snapshot!("a/b".parse::<RunId>().unwrap_err(), @r#"the run id "a/b" can't be used: '/' isn't a letter, a digit, `.`, `_` or `-`"#);
}

#[test]
fn a_run_gets_the_given_id_or_wandbs_or_a_new_one_that_sorts() {
    assert_eq!(RunId::choose(Some("a"), Some("b")).unwrap().as_str(), "a");
    assert_eq!(RunId::choose(None, Some("b")).unwrap().as_str(), "b");
    assert!(RunId::choose(Some(""), Some("b")).is_err());
    let first = RunId::choose(None, Some("")).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(2));
    assert!(first < RunId::generate());
}

#[test]
fn documents_read_back() {
    let (record, image) = (full_record(), full("ghcr.io/acme/cracks"));
    assert_eq!(RunRecord::from_json(&record.to_json()).unwrap(), record);
    assert_eq!(LockedImage::from_json(&image.to_json()).unwrap(), image);
    assert_eq!(image.to_json(), image.clone().to_json());
    let error = RunRecord::from_json(b"{}").unwrap_err().to_string();
    assert!(
        error.starts_with("the attached application/vnd.mlbuild.run.v1+json document"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_reads_back(
        argv in prop::collection::vec("(?s).{0,20}", 0..4),
        patch in prop::option::of("(?s).{0,60}"),
        exit_code in any::<i32>(),
    ) {
        let mut record = full_record();
        record.command.as_mut().unwrap().argv = argv;
        record.git.as_mut().unwrap().patch = patch;
        record.outcome.as_mut().unwrap().exit_code = exit_code;
        let text = record.to_toml();
        prop_assert_eq!(&RunRecord::parse(&text, Path::new("x")).unwrap(), &record);
        prop_assert_eq!(RunRecord::from_json(&record.to_json()).unwrap(), record);
    }
}
