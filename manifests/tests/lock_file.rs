//! The lock file: its samples, every way it can be broken, and writers side by side.

mod support;

use std::fs;
use std::path::{Path, PathBuf};

use mlbuild_manifests::lock::{PinnedConda, Pins};
use mlbuild_manifests::{LockError, LockFile};
use proptest::prelude::*;
use support::{derived, digest, full, pinned, small};

fn sample(name: &str, lock: &LockFile) -> (PathBuf, String) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/samples")
        .join(name);
    if std::env::var_os("UPDATE_SAMPLES").is_some() {
        fs::write(&path, lock.to_toml()).unwrap();
    }
    let text = fs::read_to_string(&path).unwrap();
    (path, text)
}

fn both() -> LockFile {
    let mut lock = LockFile::default();
    lock.insert(full("ghcr.io/acme/cracks"));
    lock.insert(small("127.0.0.1:5000/app"));
    lock
}

fn error(text: &str) -> String {
    LockFile::parse(text, Path::new("mlbuild.lock"))
        .unwrap_err()
        .to_string()
}

/// 1-based line of the first line that starts with `start`.
fn line_of(text: &str, start: &str) -> usize {
    1 + text.lines().position(|l| l.starts_with(start)).unwrap()
}

#[test]
fn the_sample_of_version_1_reads_and_writes_back_the_same() {
    let (path, text) = sample("v1.lock", &both());
    let lock = LockFile::load(&path).unwrap();
    assert_eq!(lock, both());
    assert_eq!(lock.to_toml(), text);
}

#[test]
fn the_sample_of_version_2_reads_and_writes_back_the_same() {
    let mut with_derived = both();
    with_derived.insert(derived("ghcr.io/acme/cracks"));
    let (path, text) = sample("v2.lock", &with_derived);
    assert!(text.contains("\nversion = 2\n"), "{text}");
    let lock = LockFile::load(&path).unwrap();
    assert_eq!(lock, with_derived);
    assert_eq!(lock.to_toml(), text);
}

#[test]
fn the_sample_of_version_3_reads_and_writes_back_the_same() {
    let mut with_pins = both();
    with_pins.insert(pinned("ghcr.io/acme/cracks"));
    let (path, text) = sample("v3.lock", &with_pins);
    assert!(text.contains("\nversion = 3\n"), "{text}");
    let lock = LockFile::load(&path).unwrap();
    assert_eq!(lock, with_pins);
    assert_eq!(lock.to_toml(), text);
}

#[test]
fn the_sample_of_version_5_has_variants_and_reads_and_writes_back_the_same() {
    let mut with_variants = both();
    for name in ["cpu", "cuda"] {
        let mut image = pinned("ghcr.io/acme/cracks");
        image.tag = Some(format!("v1-{name}"));
        image.variant = Some(name.to_owned());
        with_variants.insert(image);
    }
    let (path, text) = sample("v5.lock", &with_variants);
    assert!(text.contains("\nversion = 5\n"), "{text}");
    let lock = LockFile::load(&path).unwrap();
    assert_eq!(lock, with_variants);
    assert_eq!(lock.to_toml(), text);
}

#[test]
fn a_pinned_compiler_is_read_back() {
    let mut image = pinned("app");
    let build = image.build.as_mut().unwrap();
    let pins = build.platforms.get_mut("linux/amd64").unwrap();
    pins.build_requested = vec!["build-essential".to_owned()];
    pins.apt[0].build_only = true;
    let mut lock = both();
    lock.insert(image);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mlbuild.lock");
    std::fs::write(&path, lock.to_toml()).unwrap();
    assert_eq!(LockFile::load(&path).unwrap(), lock);
}

#[test]
fn packages_of_conda_are_read_back_and_checked() {
    let with = |change: &dyn Fn(&mut PinnedConda)| {
        let mut package = PinnedConda {
            name: "_libgcc_mutex".into(),
            version: "1!0.1_2".into(),
            build: "conda_forge".into(),
            file: "_libgcc_mutex-1!0.1_2-conda_forge.tar.bz2".into(),
            sha256: "0e".repeat(32),
            size: 2562,
            url: "https://h/c/linux-64/_libgcc_mutex-1!0.1_2-conda_forge.tar.bz2".into(),
        };
        change(&mut package);
        let mut image = pinned("app");
        let build = image.build.as_mut().unwrap();
        let pins = build.platforms.get_mut("linux/amd64").unwrap();
        pins.rattler.clone_from(&pins.uv);
        pins.conda = vec![package];
        let mut lock = LockFile::default();
        lock.insert(image);
        lock
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mlbuild.lock");
    let lock = with(&|_| {});
    std::fs::write(&path, lock.to_toml()).unwrap();
    assert!(lock.to_toml().contains("\nversion = 4\n"));
    assert_eq!(LockFile::load(&path).unwrap(), lock);
    let refused = |change: &dyn Fn(&mut PinnedConda)| error(&with(change).to_toml());
    let said = [
        refused(&|package| package.file = "../x.conda".into()),
        refused(&|package| package.build = "0; reboot".into()),
        refused(&|package| package.url = "file:///etc/passwd".into()),
        refused(&|package| package.url = "https://u:secret-1@h/a-1-0.conda".into()),
        refused(&|package| package.url = "https://h/a-1-0.conda\n- x".into()),
        refused(&|package| package.sha256 = "AB".into()),
    ];
    assert!(said.iter().all(|said| !said.contains("secret-1")));
    insta::assert_snapshot!(said.join("\n"), @r#"
    mlbuild.lock:5: app:pinned (target serve): `file` "../x.conda" can't be used
    mlbuild.lock:5: app:pinned (target serve): `build` "0; reboot" can't be used
    mlbuild.lock:5: app:pinned (target serve): a `url` is no address that packages come from
    mlbuild.lock:5: app:pinned (target serve): a `url` is no address that packages come from
    mlbuild.lock:5: app:pinned (target serve): a `url` is no address that packages come from
    mlbuild.lock:5: app:pinned (target serve): `sha256` "AB" isn't 64 hexadecimal digits
    "#);
}

#[test]
fn pins_that_lead_out_of_a_folder_or_into_a_shell_are_refused() {
    let refused = |change: &dyn Fn(&mut Pins)| {
        let mut image = pinned("app");
        let build = image.build.as_mut().unwrap();
        change(build.platforms.get_mut("linux/amd64").unwrap());
        let mut lock = LockFile::default();
        lock.insert(image);
        error(&lock.to_toml())
    };
    let said = [
        refused(&|pins| pins.apt[0].path = "pool/../../etc/passwd".into()),
        refused(&|pins| pins.apt[0].path = "/etc/passwd".into()),
        refused(&|pins| pins.apt[0].name = "tree; reboot".into()),
        refused(&|pins| pins.python_packages[0].file = "../six.whl".into()),
        refused(&|pins| pins.python_packages[0].version = "1 --index-url x".into()),
        refused(&|pins| pins.python_packages[0].sha256 = "AB".into()),
        refused(&|pins| pins.requested = vec!["$(reboot)".into()]),
    ];
    insta::assert_snapshot!(said.join("\n"), @r#"
    mlbuild.lock:5: app:pinned (target serve): `path` "pool/../../etc/passwd" leads out of its archive
    mlbuild.lock:5: app:pinned (target serve): `path` "/etc/passwd" leads out of its archive
    mlbuild.lock:5: app:pinned (target serve): `name` "tree; reboot" can't be used
    mlbuild.lock:5: app:pinned (target serve): `file` "../six.whl" can't be used
    mlbuild.lock:5: app:pinned (target serve): `version` "1 --index-url x" can't be used
    mlbuild.lock:5: app:pinned (target serve): `sha256` "AB" isn't 64 hexadecimal digits
    mlbuild.lock:5: app:pinned (target serve): `requested` "$(reboot)" can't be used
    "#);
}

#[test]
fn entries_are_sorted_and_found_by_key() {
    let lock = both();
    let names: Vec<_> = lock.images().map(|i| i.name.as_str()).collect();
    assert_eq!(names, ["127.0.0.1:5000/app", "ghcr.io/acme/cracks"]);
    let key = full("ghcr.io/acme/cracks").key();
    assert_eq!(key.to_string(), "ghcr.io/acme/cracks:v1 (target serve)");
    assert_eq!(lock.get(&key).unwrap().platforms.len(), 2);
}

#[test]
fn changing_one_layer_changes_three_lines() {
    let before = both().to_toml();
    let mut lock = both();
    let mut image = small("127.0.0.1:5000/app");
    image.platforms.get_mut("linux/amd64").unwrap().layers[1].digest = digest(0xee);
    image.platforms.get_mut("linux/amd64").unwrap().manifest = digest(0xef);
    lock.insert(image);
    let after = lock.to_toml();
    let changed = before
        .lines()
        .zip(after.lines())
        .filter(|(a, b)| a != b)
        .count();
    assert_eq!(
        (changed, before.lines().count()),
        (3, after.lines().count())
    );
}

#[test]
fn a_file_that_is_not_there_is_an_empty_lock() {
    let folder = tempfile::tempdir().unwrap();
    assert!(
        LockFile::load(&folder.path().join("mlbuild.lock"))
            .unwrap()
            .is_empty()
    );
}

#[test]
fn a_folder_in_its_place_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    assert!(matches!(
        LockFile::load(folder.path()),
        Err(LockError::Read { .. })
    ));
}

#[test]
fn conflict_markers_are_named_by_line() {
    let text = both().to_toml();
    let text = text.replacen(
        "name = \"127",
        "<<<<<<< HEAD\nname = \"a\"\n=======\nname = \"b\"\n>>>>>>> other\nname = \"127",
        1,
    );
    let first = line_of(&text, "<<<<<<<");
    let message = error(&text);
    assert!(
        message.starts_with(&format!(
            "mlbuild.lock:{first}: merge conflict (markers in lines {first}, {}, {})",
            first + 2,
            first + 4
        )),
        "{message}"
    );
}

#[test]
fn every_cut_is_noticed() {
    let text = both().to_toml();
    let whole = text.trim_end().len();
    for end in (0..whole).filter(|&end| text.is_char_boundary(end)) {
        let result = LockFile::parse(&text[..end], Path::new("mlbuild.lock"));
        assert!(
            matches!(result, Err(LockError::Truncated { .. })),
            "cut at {end}: {result:?}"
        );
    }
    assert!(LockFile::parse(&text[..whole], Path::new("mlbuild.lock")).is_ok());
    insta::assert_snapshot!(error("# Written by mlbuild.\nversion = 1\n"), @"mlbuild.lock:2: the file is cut off: its last line isn't `# end of lock`; take it back from version control, or delete it and build again");
}

#[test]
fn a_newer_format_is_told_even_if_nothing_else_of_it_is_known() {
    insta::assert_snapshot!(error("# hello\nversion = 6 # new\n{{{\n"), @"mlbuild.lock:2: made by a newer mlbuild: format 6, and this version reads up to 5; update mlbuild");
    insta::assert_snapshot!(error("version = 0\n# end of lock\n"), @"mlbuild.lock:1: `version` is 0; expected 1 to 5");
    assert!(error("version = \"x\"\n# end of lock\n").starts_with("mlbuild.lock:1: invalid type"));
}

#[test]
fn unknown_and_missing_keys_are_named_by_line() {
    let text = both().to_toml();
    let unknown = text.replacen("tag = \"v1\"", "tagg = \"v1\"", 1);
    let line = line_of(&unknown, "tagg");
    let message = error(&unknown);
    assert!(
        message.starts_with(&format!(
            "mlbuild.lock:{line}: unknown key `tagg`, expected one of"
        )),
        "{message}"
    );
    let missing = text.replacen("version = 1\n", "", 1);
    assert!(
        error(&missing).contains("missing key `version`"),
        "{}",
        error(&missing)
    );
    let nested = text.replacen("diff_id = ", "diffid = ", 1);
    let line = line_of(&nested, "  { digest");
    assert!(
        error(&nested).starts_with(&format!("mlbuild.lock:{line}: ")),
        "{}",
        error(&nested)
    );
}

#[test]
fn bad_values_are_named_by_line() {
    let text = both().to_toml();
    let bad = text.replacen("dockerfile = \"sha256:", "dockerfile = \"sha256:zz", 1);
    let line = line_of(&bad, "dockerfile");
    assert!(
        error(&bad).starts_with(&format!("mlbuild.lock:{line}: ")),
        "{}",
        error(&bad)
    );
    let bytes = [text.as_bytes(), b"\xff"].concat();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mlbuild.lock");
    fs::write(&path, bytes).unwrap();
    assert!(
        LockFile::load(&path)
            .unwrap_err()
            .to_string()
            .ends_with("the text isn't UTF-8")
    );
}

#[test]
fn an_edit_by_hand_is_told() {
    let text = both().to_toml();
    let edited = text.replacen("size = 1002", "size = 1003", 1);
    let line = line_of(&edited, "checksum");
    let message = error(&edited);
    assert!(
        message.starts_with(&format!(
            "mlbuild.lock:{line}: the entry of 127.0.0.1:5000/app was edited"
        )),
        "{message}"
    );
}

#[test]
fn an_entry_that_is_there_twice_is_an_error() {
    let text = both().to_toml();
    let start = text.find("[[image]]").unwrap();
    let end = text[start + 1..].find("[[image]]").unwrap() + start + 1;
    let twice = format!("{}{}{}", &text[..end], &text[start..end], &text[end..]);
    assert!(
        error(&twice).contains("127.0.0.1:5000/app has two entries"),
        "{}",
        error(&twice)
    );
}

#[test]
fn two_branches_that_lock_different_images_merge() {
    let mut ours = LockFile::default();
    ours.insert(small("a"));
    let mut theirs = LockFile::default();
    theirs.insert(small("b"));
    let mut merged = ours.clone();
    merged.insert(small("b"));
    // What a line-by-line merge gives: the blocks of both, one after the other.
    let block = |text: &str| {
        let start = text.find("\n[[image]]").unwrap();
        text[start..text.find("\n# end").unwrap()].to_owned()
    };
    let text = ours
        .to_toml()
        .replace("\n# end", &format!("{}\n# end", block(&theirs.to_toml())));
    assert_eq!(LockFile::parse(&text, Path::new("x")).unwrap(), merged);
}

#[test]
fn writers_side_by_side_are_all_recorded() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mlbuild.lock");
    std::thread::scope(|scope| {
        for n in 0..16 {
            let path = &path;
            scope.spawn(move || {
                LockFile::update(path, |lock| {
                    std::thread::sleep(std::time::Duration::from_millis(5));
                    lock.insert(small(&format!("image-{n:02}")))
                })
                .unwrap()
            });
        }
    });
    let lock = LockFile::load(&path).unwrap();
    assert_eq!(lock.images().count(), 16);
    let left: Vec<_> = fs::read_dir(folder.path())
        .unwrap()
        .map(|f| f.unwrap().file_name())
        .collect();
    assert_eq!(left, ["mlbuild.lock"], "nothing else lies about");
}

#[test]
fn an_update_that_changes_nothing_writes_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mlbuild.lock");
    LockFile::update(&path, |lock| lock.insert(small("a"))).unwrap();
    let before = fs::metadata(&path).unwrap().modified().unwrap();
    LockFile::update(&path, |lock| lock.insert(small("a"))).unwrap();
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), before);
}

#[test]
fn a_broken_lock_is_not_overwritten() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mlbuild.lock");
    fs::write(&path, "version = 1\n").unwrap();
    assert!(LockFile::update(&path, |lock| lock.insert(small("a"))).is_err());
    assert_eq!(fs::read_to_string(&path).unwrap(), "version = 1\n");
}

#[test]
fn a_folder_that_is_not_there_is_named() {
    let error = LockFile::update(Path::new("/nowhere/mlbuild.lock"), |_| ()).unwrap_err();
    assert!(
        error
            .to_string()
            .starts_with("/nowhere/mlbuild.lock: can't be written"),
        "{error}"
    );
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn what_is_written_reads_back(
        names in prop::collection::vec("[a-z]{1,8}(/[a-z0-9]{1,5})?", 0..4),
        args in prop::collection::btree_map("\\PC{1,12}", "(?s).{0,20}", 0..4),
        second in 0i64..4_000_000_000,
    ) {
        let mut lock = LockFile::default();
        for (n, name) in names.iter().enumerate() {
            let mut image = if n % 2 == 0 { full(name) } else { small(name) };
            image.inputs.args = args.clone();
            image.created = jiff::Timestamp::new(second, 7).unwrap();
            lock.insert(image);
        }
        let text = lock.to_toml();
        let read = LockFile::parse(&text, Path::new("x")).unwrap();
        prop_assert_eq!(&read, &lock);
        prop_assert_eq!(read.to_toml(), text);
    }

    #[test]
    fn no_edit_goes_unnoticed(at in 0usize..5000, with in "[a-z0-9]") {
        let text = both().to_toml();
        let at = at % text.len();
        prop_assume!(text.is_char_boundary(at) && text.is_char_boundary(at + 1));
        let edited = format!("{}{with}{}", &text[..at], &text[at + 1..]);
        if let Ok(read) = LockFile::parse(&edited, Path::new("x")) {
            prop_assert_eq!(read, both());
        }
    }
}

#[test]
fn a_lock_is_read_in_a_time_that_grows_with_its_size_and_not_with_its_square() {
    let image = full("ghcr.io/acme/cracks");
    let seconds = |entries: usize| {
        let mut lock = LockFile::default();
        for n in 0..entries {
            let mut image = image.clone();
            image.name = format!("{}-{n}", image.name);
            lock.insert(image);
        }
        let text = lock.to_toml();
        // The best of three: others use the machine, too.
        let read = || {
            let began = std::time::Instant::now();
            LockFile::parse(&text, std::path::Path::new("mlbuild.lock")).unwrap();
            began.elapsed()
        };
        [read(), read(), read()].into_iter().min().unwrap()
    };
    let (small, large) = (seconds(30), seconds(480));
    // Sixteen times as many; the square would be 256 times as long.
    assert!(large < small * 64, "{small:?}, {large:?}");
}

#[test]
fn how_an_assembled_image_is_made_is_kept() {
    let mut entry = pinned("app");
    let build = entry.build.as_mut().unwrap();
    build.method = Some("assemble".to_owned());
    build.platforms.get_mut("linux/amd64").unwrap().layers = vec!["six".to_owned()];
    let mut lock = LockFile::default();
    lock.insert(entry);
    let text = lock.to_toml();
    assert_eq!(
        LockFile::parse(&text, Path::new("mlbuild.lock")).unwrap(),
        lock
    );

    let mut other = pinned("app");
    other.build.as_mut().unwrap().method = Some("magic".to_owned());
    let mut lock = LockFile::default();
    lock.insert(other);
    let refused = error(&lock.to_toml());
    assert!(refused.contains("`method` is \"magic\""), "{refused}");
}
