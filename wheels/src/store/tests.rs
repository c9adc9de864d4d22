//! Tests of the store, with wheels that are made on the spot.

use std::path::Path;
use std::time::{Duration, SystemTime};

use super::*;
use crate::testing::SmallWheel;
use crate::write_wheels;

fn target() -> Target {
    Target::new("3.11".parse().unwrap(), "/opt/venv").unwrap()
}

fn make(store: &LayerStore, wheel: &SmallWheel) -> Result<StoredLayer, LayerError> {
    store.make(&[wheel.open().unwrap()], &target(), Compression::Zstd)
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).unwrap().flatten();
    let mut names: Vec<_> = entries
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn a_layer_is_made_once_and_found_by_what_it_was_made_from() {
    let top = tempfile::tempdir().unwrap();
    let store = LayerStore::open(top.path(), u64::MAX).unwrap();
    let wheel = SmallWheel::new("one").file("one.py", b"1");
    let key = LayerKey::of(
        [wheel.sha256().as_str()],
        &target(),
        Compression::Zstd,
        None,
    );
    assert_eq!(store.find(&key), None);
    let made = make(&store, &wheel).unwrap();
    assert_eq!(store.find(&key).as_ref(), Some(&made));
    assert_eq!(made.wheels, ["one-1.0-py3-none-any.whl"]);
    let paths: Vec<_> = made.files.0.iter().map(|f| f.path.as_str()).collect();
    assert_eq!(paths[3], "lib/python3.11/site-packages/one.py");
    let gzip = LayerKey::of(
        [wheel.sha256().as_str()],
        &target(),
        Compression::Gzip,
        None,
    );
    assert_eq!(store.find(&gzip), None);
    let again = LayerStore::open(top.path(), u64::MAX).unwrap();
    assert_eq!(again.find(&key), Some(made));
}

#[test]
fn two_at_once_make_one_layer() {
    let top = tempfile::tempdir().unwrap();
    let wheel = SmallWheel::new("one").file("one.py", &vec![7; 3 << 20]);
    let made: Vec<_> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..4)
            .map(|_| {
                scope.spawn(|| {
                    let store = LayerStore::open(top.path(), u64::MAX).unwrap();
                    make(&store, &wheel).unwrap()
                })
            })
            .collect();
        threads.into_iter().map(|t| t.join().unwrap()).collect()
    });
    assert!(made.iter().all(|one| *one == made[0]));
    assert_eq!(names(&top.path().join("blobs")).len(), 1);
    assert_eq!(names(&top.path().join("index")).len(), 2);
}

#[test]
fn a_wheel_that_cannot_be_installed_leaves_nothing() {
    let top = tempfile::tempdir().unwrap();
    let store = LayerStore::open(top.path(), u64::MAX).unwrap();
    let record = "one.py,sha256=AAAA,1\none-1.0.dist-info/RECORD,,\n";
    let wheel = SmallWheel::new("one").file("one.py", b"1").record(record);
    let error = make(&store, &wheel).unwrap_err();
    assert!(
        error.to_string().contains("RECORD lies about \"one.py\""),
        "{error}"
    );
    for folder in ["blobs", "index"] {
        assert_eq!(names(&top.path().join(folder)), [""; 0]);
    }
}

#[test]
fn what_was_not_used_for_long_goes_first_and_its_digest_stays_known() {
    let top = tempfile::tempdir().unwrap();
    let (old, new) = (
        SmallWheel::new("old").file("old.py", b"1"),
        SmallWheel::new("new").file("new.py", b"1"),
    );
    let store = LayerStore::open(top.path(), u64::MAX).unwrap();
    let (old_layer, new_layer) = (make(&store, &old).unwrap(), make(&store, &new).unwrap());
    let day = SystemTime::now() - Duration::from_secs(86_400);
    let blob = File::options()
        .append(true)
        .open(old_layer.blob.as_ref().unwrap());
    blob.unwrap().set_modified(day).unwrap();
    let key = LayerKey::of([old.sha256().as_str()], &target(), Compression::Zstd, None);
    // As long as somebody uses it, nothing goes.
    let second = LayerStore::open(top.path(), new_layer.layer.size).unwrap();
    assert_eq!(names(&top.path().join("blobs")).len(), 2);
    drop((store, second));
    let store = LayerStore::open(top.path(), new_layer.layer.size).unwrap();
    assert_eq!(names(&top.path().join("blobs")).len(), 1);
    let found = store.find(&key).unwrap();
    assert_eq!((found.blob, &found.layer), (None, &old_layer.layer));
    assert_eq!(make(&store, &old).unwrap(), old_layer);
}

#[test]
fn what_is_removed_on_purpose_is_counted_and_stays_while_somebody_uses_the_store() {
    let top = tempfile::tempdir().unwrap();
    let store = LayerStore::open(top.path(), u64::MAX).unwrap();
    let one = make(&store, &SmallWheel::new("one").file("one.py", b"1")).unwrap();
    let two = make(&store, &SmallWheel::new("two").file("two.py", b"2")).unwrap();
    let most = one.layer.size.max(two.layer.size);
    let prune = |since, keep_size, is_dry| prune_layers(top.path(), since, keep_size, is_dry);
    assert!(prune(None, None, false).is_err(), "it is in use");
    let dry = prune(None, Some(most), true).unwrap();
    assert_eq!((dry.removed, dry.kept), (1, 1));
    assert_eq!(names(&top.path().join("blobs")).len(), 2);
    drop(store);
    let day_ago = SystemTime::now() - Duration::from_secs(86_400);
    assert_eq!(prune(Some(day_ago), None, false).unwrap().removed, 0);
    let pruned = prune(None, Some(most), false).unwrap();
    assert_eq!((pruned.removed, pruned.kept), (1, 1));
    assert_eq!(names(&top.path().join("blobs")).len(), 1);
    let all = prune(None, None, false).unwrap();
    assert_eq!((all.removed, all.kept_bytes), (1, 0));
    let nowhere = prune_layers(&top.path().join("none"), None, None, false);
    assert_eq!(nowhere.unwrap(), PrunedLayers::default());
}

#[test]
fn a_store_that_cannot_be_written_is_done_without() {
    let top = tempfile::tempdir().unwrap();
    let file = top.path().join("file");
    std::fs::write(&file, "no folder").unwrap();
    let store = LayerStore::open(&file.join("store"), u64::MAX).unwrap();
    let made = make(&store, &SmallWheel::new("one").file("one.py", b"1")).unwrap();
    let blob = made.blob.unwrap();
    assert_eq!(std::fs::metadata(&blob).unwrap().len(), made.layer.size);
    drop(store);
    assert!(!blob.exists());
}

#[test]
fn a_damaged_index_and_a_short_blob_are_made_anew() {
    let top = tempfile::tempdir().unwrap();
    let store = LayerStore::open(top.path(), u64::MAX).unwrap();
    let wheel = SmallWheel::new("one").file("one.py", b"1");
    let made = make(&store, &wheel).unwrap();
    std::fs::write(made.blob.as_ref().unwrap(), "short").unwrap();
    assert_eq!(make(&store, &wheel).unwrap(), made);
    for name in names(&top.path().join("index")) {
        std::fs::write(top.path().join("index").join(name), "{").unwrap();
    }
    assert_eq!(make(&store, &wheel).unwrap(), made);
}

#[test]
fn a_full_disk_is_an_error_that_is_known_as_one() {
    let wheel = SmallWheel::new("one").file("one.py", &vec![7; 1 << 20]);
    let full = File::options().write(true).open("/dev/full").unwrap();
    let written = write_wheels(&[wheel.open().unwrap()], &target(), Compression::Zstd, full);
    assert!(written.unwrap_err().is_full_disk());
}
