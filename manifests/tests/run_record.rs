//! Run records: what binds a run to an image, and what refuses to.

mod support;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use mlbuild_manifests::digest::sha256;
use mlbuild_manifests::document::Document;
use mlbuild_manifests::run_record::{
    GitState, RunCluster, RunCommand, RunData, RunHost, RunImage, RunOutcome, RunPlatform,
    RunSlurm, RunStatus, RunSummary,
};
use mlbuild_manifests::{Binding, LockedImage, RunId, RunRecord, RunRecordError};
use proptest::prelude::*;
use support::{digest, full};

fn image(manifest: u8, index: Option<u8>) -> RunImage {
    RunImage {
        reference: "ghcr.io/acme/cracks:v1".to_owned(),
        index: index.map(digest),
        digest: None,
        image_id: None,
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

const PATCH: &[u8] = b"diff --git a/a b/a\n";

fn full_record() -> RunRecord {
    let mut record = record(1, Some(2));
    record.lock = Some(digest(3));
    record.git = Some(GitState {
        remote: Some("https://git.example/acme/cracks.git".to_owned()),
        commit: Some("0123456789abcdef".to_owned()),
        branch: Some("main".to_owned()),
        folder: Some("training".to_owned()),
        dirty: true,
        changes: Some(sha256(PATCH)),
        left_out: vec![".env: it looks like a secret".to_owned()],
        patch: None,
    });
    record.command = Some(RunCommand {
        program: Some("docker".to_owned()),
        options: [
            "--rm",
            "-e",
            "WANDB_API_KEY",
            "-v",
            "/home/ann/cracks/data:/data:ro",
        ]
        .map(str::to_owned)
        .to_vec(),
        argv: vec![
            "python".to_owned(),
            "train.py".to_owned(),
            "--name=a b".to_owned(),
        ],
        environment: vec!["WANDB_API_KEY".to_owned()],
        mounts: vec!["/home/ann/cracks/data:/data:ro".to_owned()],
        accelerator: Some("cuda".to_owned()),
        project: Some("/home/ann/cracks".to_owned()),
        display: Some("isolated".to_owned()),
    });
    record.host = Some(RunHost {
        name: "node7".to_owned(),
        platform: "linux/amd64".to_owned(),
        runtime: Some("docker 28.5.2".to_owned()),
        driver: Some("580.82".to_owned()),
        devices: vec!["NVIDIA L4".to_owned()],
    });
    record.outcome = Some(RunOutcome {
        status: RunStatus::Finished,
        started: "2026-03-01T12:00:00Z".parse().unwrap(),
        ended: Some("2026-03-01T13:00:00Z".parse().unwrap()),
        exit_code: Some(137),
        signal: Some("SIGKILL".to_owned()),
    });
    record
}

fn started(id: &str) -> RunRecord {
    let mut record = full_record();
    record.id = id.parse().unwrap();
    record.outcome = Some(RunOutcome {
        status: RunStatus::Started,
        started: "2026-03-01T12:00:00Z".parse().unwrap(),
        ended: None,
        exit_code: None,
        signal: None,
    });
    record
}

fn never_pushed() -> RunRecord {
    let mut record = started("local-1");
    record.image.index = None;
    record.image.platforms = BTreeMap::new();
    record.image.image_id = Some(digest(8));
    record
}

fn in_a_cluster() -> RunRecord {
    started("job-1").in_cluster(RunCluster {
        context: Some("prod".to_owned()),
        kubeconfig: Some("/home/ann/.kube/prod".to_owned()),
        server: "https://k8s.example:6443".to_owned(),
        namespace: "ml".to_owned(),
        job: "train".to_owned(),
        options: ["--queue=ml-team", "--pvc=datasets:/data"]
            .map(str::to_owned)
            .to_vec(),
    })
}

fn sample(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/samples")
        .join(name)
}

/// A sample reads as the file name that a run of this id has.
fn read_sample(name: &str) -> (RunRecord, String) {
    let path = sample(name);
    let text = fs::read_to_string(&path).unwrap();
    (RunRecord::parse(&text, &path).unwrap(), text)
}

#[test]
fn the_sample_of_version_1_reads_and_writes_back_the_same() {
    let (read, text) = read_sample("v1.run.toml");
    assert_eq!(read.to_toml(), text);
    assert_eq!(read.status(), RunStatus::Finished);
    let git = read.git.unwrap();
    assert_eq!(git.commit.as_deref(), Some("0123456789abcdef"));
    assert_eq!(git.patch.as_deref(), Some("--- a\n+++ b\n"));
    let outcome = read.outcome.unwrap();
    assert_eq!((outcome.exit_code, outcome.signal), (Some(0), None));
}

#[test]
fn the_samples_of_version_2_read_and_write_back_the_same() {
    let mut unasked = record(1, None);
    unasked.image.platforms.clear();
    unasked.image.digest = Some(digest(2));
    for (name, record) in [
        ("v2.run.toml", full_record()),
        ("v2-digest.run.toml", unasked),
        ("v2-started.run.toml", never_pushed()),
        ("v2-bound.run.toml", record(1, Some(2))),
    ] {
        if std::env::var_os("UPDATE_SAMPLES").is_some() {
            fs::write(sample(name), record.to_toml()).unwrap();
        }
        let (read, text) = read_sample(name);
        assert_eq!(read, record, "{name}");
        assert_eq!(read.to_toml(), text, "{name}");
    }
}

#[test]
fn the_sample_of_version_3_reads_and_writes_back_the_same() {
    let record = in_a_cluster();
    let name = "v3.run.toml";
    if std::env::var_os("UPDATE_SAMPLES").is_some() {
        fs::write(sample(name), record.to_toml()).unwrap();
    }
    let (read, text) = read_sample(name);
    assert_eq!(read, record);
    assert_eq!(read.to_toml(), text);
    assert_eq!(RunRecord::from_json(&record.to_json()).unwrap(), record);
    // What ran in none is readable to those who don't know of clusters.
    assert_eq!((record.version, started("exp-8").version), (3, 2));
}

#[test]
fn the_sample_of_version_5_reads_and_writes_back_the_same() {
    let slurm = RunSlurm {
        cluster: "hpc".to_owned(),
        login: Some("ann@login.example".to_owned()),
        job: Some(4711),
        runtime: "apptainer".to_owned(),
        options: ["--slurm", "--partition=gpu"].map(str::to_owned).to_vec(),
    };
    let record = started("job-1").under_slurm(slurm);
    let (read, text) = read_sample("v5.run.toml");
    assert_eq!(read, record);
    assert_eq!(read.to_toml(), text);
    assert_eq!(RunRecord::from_json(&record.to_json()).unwrap(), record);
}

#[test]
fn a_run_starts_once_and_ends() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("mlbuild.runs");
    let mut record = started("exp-8");
    let path = record.start(&folder, Some(PATCH)).unwrap();
    assert_eq!(RunRecord::load(&path).unwrap().status(), RunStatus::Started);
    assert_eq!(record.load_patch(&folder).unwrap().unwrap(), PATCH);

    // Another run of that id changes neither the record nor the patch.
    let error = started("exp-8").start(&folder, Some(b"other")).unwrap_err();
    assert!(matches!(error, RunRecordError::Taken { .. }), "{error}");
    assert_eq!(record.load_patch(&folder).unwrap().unwrap(), PATCH);

    record.outcome = full_record().outcome;
    record.replace(&folder).unwrap();
    assert_eq!(RunRecord::load(&path).unwrap(), record);
    assert_eq!(
        fs::read_dir(&folder).unwrap().count(),
        2,
        "a record and its patch, nothing half-written"
    );

    fs::write(RunRecord::patch_path(&folder, &record.id), b"changed").unwrap();
    let error = record.load_patch(&folder).unwrap_err();
    assert!(
        matches!(error, RunRecordError::PatchDiffers { .. }),
        "{error}"
    );
}

#[test]
fn a_bound_run_may_start_with_its_image_only() {
    let folder = tempfile::tempdir().unwrap();
    let bound = record(1, Some(2));
    bound.bind(folder.path()).unwrap();
    let mut other = started("exp-7");
    other.image = image(5, None);
    let error = other.start(folder.path(), None).unwrap_err();
    assert!(
        matches!(error, RunRecordError::BoundElsewhere { .. }),
        "{error}"
    );
    assert_eq!(
        RunRecord::find(folder.path(), &bound.id).unwrap(),
        Some(bound)
    );

    // What was asked for is known by its index alone; the record keeps what it knew.
    let started = |id| {
        let mut run = started(id);
        run.image = RunImage {
            reference: "ghcr.io/acme/cracks:v1".to_owned(),
            digest: Some(digest(2)),
            ..RunImage::default()
        };
        run
    };
    let starts: Vec<_> = std::thread::scope(|scope| {
        let all: Vec<_> = (0..8)
            .map(|_| scope.spawn(|| started("exp-7").start(folder.path(), None)))
            .collect();
        all.into_iter().map(|t| t.join().unwrap()).collect()
    });
    let won = starts.iter().filter(|r| r.is_ok()).count();
    let taken = starts
        .iter()
        .filter(|r| matches!(r, Err(RunRecordError::Taken { .. })));
    assert_eq!((won, taken.count()), (1, 7));
    let id = "exp-7".parse().unwrap();
    let kept = RunRecord::find(folder.path(), &id).unwrap().unwrap();
    assert_eq!(kept.image, image(1, Some(2)));
}

/// Twenty threads start and end fifty runs each, in one folder, while others do the same.
#[test]
fn of_1000_concurrent_runs_none_is_lost() {
    let folder = tempfile::tempdir().unwrap();
    let folder = folder.path().join("mlbuild.runs");
    std::thread::scope(|scope| {
        for thread in 0..20 {
            let folder = &folder;
            scope.spawn(move || {
                let mut runs: Vec<_> = (0..50)
                    .map(|n| started(&format!("run-{thread}-{n}")))
                    .collect();
                for run in &mut runs {
                    run.start(folder, Some(PATCH)).unwrap();
                }
                for run in &mut runs {
                    run.outcome = full_record().outcome;
                    run.replace(folder).unwrap();
                }
            });
        }
    });
    let mut seen = 0;
    for entry in fs::read_dir(&folder).unwrap() {
        let path = entry.unwrap().path();
        match path.extension().and_then(|e| e.to_str()) {
            Some("toml") => {
                let record = RunRecord::load(&path).unwrap();
                assert_eq!(record.status(), RunStatus::Finished);
                assert_eq!(record.load_patch(&folder).unwrap().unwrap(), PATCH);
                seen += 1;
            }
            Some("patch") => {}
            _ => panic!("{} was left behind", path.display()),
        }
    }
    assert_eq!(seen, 1000);
}

#[test]
fn a_record_cut_off_anywhere_is_seen() {
    let text = full_record().to_toml();
    let path = Path::new("mlbuild.runs/exp-7.toml");
    for end in 0..text.len() - 1 {
        let error = RunRecord::parse(&text[..end], path)
            .unwrap_err()
            .to_string();
        assert!(error.starts_with("mlbuild.runs/exp-7.toml:"), "{error}");
    }
    let error = RunRecord::parse(&text[..text.len() - 2], path).unwrap_err();
    insta::assert_snapshot!(error, @"mlbuild.runs/exp-7.toml:66: the record is cut off: its last line isn't `# end of record`; take it back from version control, or pull it from the registry");
}

#[test]
fn a_record_under_another_name_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("exp-9.toml");
    fs::write(&path, full_record().to_toml()).unwrap();
    let error = RunRecord::load(&path).unwrap_err().to_string();
    assert!(
        error.ends_with("exp-9.toml:3: it is the record of run exp-7; its file is exp-7.toml"),
        "{error}"
    );
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
fn a_record_with_data_is_of_a_format_of_its_own() {
    let data = vec![
        RunData {
            name: "data/ä \"x\"".to_owned(),
            files: Some(2),
            bytes: Some(8),
            sample: Some(digest(4)),
            times: Some(digest(5)),
            full: Some(digest(6)),
            left_out: vec!["pipe: it is \"odd\"".to_owned()],
        },
        RunData {
            name: "s3://bucket/x".to_owned(),
            ..RunData::default()
        },
    ];
    for record in [full_record(), in_a_cluster()] {
        let with = record.clone().with_data(data.clone());
        assert_eq!(with.version, 4);
        let text = with.to_toml();
        let path = Path::new("x.toml");
        assert_eq!(RunRecord::parse(&text, path).unwrap(), with, "{text}");
        assert_eq!(RunRecord::from_json(&with.to_json()).unwrap(), with);
        let file = format!("{}.toml", with.id);
        let summary = RunSummary::parse(&text, Path::new(&file)).unwrap();
        assert_eq!(summary, RunSummary::of(&record));
        // Without data it stays what older versions read.
        assert_eq!(record.clone().with_data(Vec::new()), record);
    }
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
    for news in ["version = 6\nnews = true", "version = 6"] {
        let newer = read(&text.replace("version = 2", news));
        assert!(
            newer.starts_with("exp-7.toml:2: made by a newer mlbuild: format 6"),
            "{newer}"
        );
    }
    assert!(read("version = 1\nid = \"../x\"").contains("../x"));
    assert!(read("").contains("cut off"));
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
    let newer = RunRecord::from_json(b"{\"version\": 6, \"news\": true}").unwrap_err();
    assert!(newer.to_string().contains("format 6"), "{newer}");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_reads_back(
        argv in prop::collection::vec("(?s).{0,20}", 0..4),
        branch in prop::option::of("(?s).{0,60}"),
        exit_code in prop::option::of(any::<i32>()),
    ) {
        let mut record = full_record();
        record.command.as_mut().unwrap().argv = argv;
        record.git.as_mut().unwrap().branch = branch;
        record.outcome.as_mut().unwrap().exit_code = exit_code;
        let text = record.to_toml();
        prop_assert_eq!(&RunRecord::parse(&text, Path::new("x")).unwrap(), &record);
        prop_assert_eq!(RunRecord::from_json(&record.to_json()).unwrap(), record);
    }
}
