//! Fingerprints, held against the program in `docs/run-records.md`.

use std::path::Path;
use std::process::Command;
use std::time::{Duration, SystemTime};

use mlbuild_manifests::run_record::RunData;

use super::{DataHash, DataState, DataWish, Look, is_address, state, take};

fn taken(name: &str, hash: DataHash, project: &Path) -> RunData {
    let name = name.to_owned();
    take(&DataWish { name, hash }, project, project).unwrap()
}

fn write(project: &Path, name: &str, bytes: &[u8]) {
    let path = project.join(name);
    std::fs::create_dir_all(path.parent().unwrap()).unwrap();
    std::fs::write(path, bytes).unwrap();
}

/// Puts the time of the last change back, by so many seconds.
fn age(path: &Path, seconds: u64) {
    let file = std::fs::File::options().write(true).open(path).unwrap();
    let time = SystemTime::now() - Duration::from_secs(seconds);
    file.set_modified(time).unwrap();
}

/// A folder with what folders have.
fn folder(project: &Path) {
    for (name, size) in [
        ("d/a", 0),
        ("d/b/x", 1),
        ("d/b.txt", 196_608),
        ("d/b/large", 196_609),
        ("d/ä ö", 1_000_001),
    ] {
        let bytes: Vec<u8> = (0..size).map(|n: u32| (n / 251 + n) as u8).collect();
        write(project, name, &bytes);
    }
    std::fs::create_dir(project.join("d/empty")).unwrap();
    std::os::unix::fs::symlink("../nowhere", project.join("d/link")).unwrap();
    std::os::unix::fs::symlink("b", project.join("d/c")).unwrap();
    let pipe = Command::new("mkfifo").arg(project.join("d/pipe")).status();
    assert!(pipe.unwrap().success());
}

#[test]
fn anyone_computes_the_same_fingerprint() {
    let project = tempfile::tempdir().unwrap();
    folder(project.path());
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/run-records.md");
    let page = std::fs::read_to_string(page).unwrap();
    let program = page.split_once("```python\n").unwrap().1;
    let program = program.split_once("```").unwrap().0;
    for name in ["d", "d/b.txt", "d/b/large", "d/c", "d/empty"] {
        let data = taken(name, DataHash::Full, project.path());
        let ran = Command::new("python3")
            .args(["-c", program])
            .arg(project.path().join(name))
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&ran.stderr).into_owned();
        let digest =
            |digest: &Option<oci_spec::image::Digest>| digest.as_ref().unwrap().to_string();
        let own = [
            digest(&data.sample),
            digest(&data.times),
            digest(&data.full),
        ];
        let theirs = String::from_utf8(ran.stdout).unwrap();
        assert_eq!(theirs.lines().collect::<Vec<_>>(), own, "{name}: {said}");
        let sampled = taken(name, DataHash::Sampled, project.path());
        assert_eq!(
            (&sampled.sample, &sampled.full),
            (&data.sample, &None),
            "{name}"
        );
    }
    let data = taken("d", DataHash::Sampled, project.path());
    assert_eq!((data.files, data.bytes), (Some(5), Some(1_393_219)));
    assert_eq!(data.left_out.len(), 1, "{:?}", data.left_out);
    assert!(data.left_out[0].starts_with("pipe: it is neither"));
}

#[test]
fn what_became_of_data_is_told() {
    type Act = fn(&Path);
    let large = |at: usize| {
        let mut bytes = vec![0; 1_000_000];
        bytes[at] = 1;
        bytes
    };
    let same = |state: &DataState| state.as_str();
    for (what, hash, act, expected) in [
        ("nothing", DataHash::Sampled, (|_| {}) as Act, "same"),
        ("nothing", DataHash::Full, |_| {}, "same"),
        (
            "a new time",
            DataHash::Sampled,
            |d| age(&d.join("x"), 90),
            "touched",
        ),
        (
            "a new time",
            DataHash::Full,
            |d| age(&d.join("x"), 90),
            "touched",
        ),
        (
            "a new file",
            DataHash::Sampled,
            |d| write(d, "y", b""),
            "changed",
        ),
        (
            "a new name",
            DataHash::Full,
            |d| std::fs::rename(d.join("x"), d.join("z")).unwrap(),
            "changed",
        ),
        (
            "an empty folder",
            DataHash::Sampled,
            |d| std::fs::create_dir(d.join("e")).unwrap(),
            "changed",
        ),
        (
            "no file",
            DataHash::Sampled,
            |d| std::fs::remove_file(d.join("x")).unwrap(),
            "changed",
        ),
        (
            "no folder",
            DataHash::Full,
            |d| std::fs::remove_dir_all(d).unwrap(),
            "gone",
        ),
        (
            "a link in its place",
            DataHash::Sampled,
            |d| {
                std::fs::remove_file(d.join("x")).unwrap();
                std::os::unix::fs::symlink("/etc/passwd", d.join("x")).unwrap();
            },
            "changed",
        ),
    ] {
        let project = tempfile::tempdir().unwrap();
        write(project.path(), "d/x", &large(0));
        age(&project.path().join("d/x"), 1000);
        let data = taken("d", hash, project.path());
        act(&project.path().join("d"));
        assert_eq!(
            same(&state(&data, project.path(), Look::Known)),
            expected,
            "{what} {hash:?}"
        );
    }
    // Beside the samples: by its time it is told that it was written, by its content that it changed.
    for (hash, expected) in [(DataHash::Sampled, "touched"), (DataHash::Full, "changed")] {
        let project = tempfile::tempdir().unwrap();
        write(project.path(), "d/x", &large(0));
        age(&project.path().join("d/x"), 1000);
        let data = taken("d", hash, project.path());
        let mut bytes = large(0);
        bytes[300_000] = 1;
        write(project.path(), "d/x", &bytes);
        assert_eq!(
            same(&state(&data, project.path(), Look::Known)),
            expected,
            "{hash:?}"
        );
        assert_eq!(data.name, "d");
    }
}

#[test]
fn what_cannot_be_read_is_said_and_does_not_keep_the_rest_from_it() {
    let project = tempfile::tempdir().unwrap();
    for n in 0..30 {
        let name = format!("d/pipe{n}");
        std::fs::create_dir_all(project.path().join("d")).unwrap();
        let made = Command::new("mkfifo")
            .arg(project.path().join(name))
            .status();
        assert!(made.unwrap().success());
    }
    write(project.path(), "d/x", b"x");
    let data = taken("d", DataHash::Full, project.path());
    assert_eq!((data.files, data.left_out.len()), (Some(1), 21));
    assert_eq!(data.left_out[20], "and 10 more");
    let mut missing = DataWish {
        name: "nosuch".to_owned(),
        hash: DataHash::Sampled,
    };
    assert!(
        take(&missing, project.path(), project.path())
            .unwrap_err()
            .to_string()
            .contains("nosuch")
    );
    missing.name = "d/pipe0".to_owned();
    assert!(
        take(&missing, project.path(), project.path())
            .unwrap_err()
            .to_string()
            .contains("neither")
    );
}

#[test]
fn addresses_are_recorded_by_name_without_a_log_in() {
    let project = tempfile::tempdir().unwrap();
    for (name, is) in [
        ("s3://bucket/x", true),
        ("hf+https://h/x", true),
        ("a/b://c", false),
        ("://x", false),
        ("data:x", false),
    ] {
        assert_eq!(is_address(name), is, "{name}");
    }
    let data = taken(
        "https://ann:s3cr3t-of-ann@h.example/x",
        DataHash::Full,
        project.path(),
    );
    assert!(!data.name.contains("s3cr3t"), "{}", data.name);
    assert_eq!(
        state(&data, project.path(), Look::Known),
        DataState::NotLookedAt
    );
}
