//! A container, or another user, that writes to the same folder and swaps folders in it for links out of
//! it, all the time: nothing is written outside, and nothing but what was asked for is read.

use std::os::unix::fs::symlink;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use mlbuild::image::{LayoutWriter, OciLayout, copy_into};
use mlbuild::records::{RunExit, StartedRun};
use mlbuild_manifests::RunRecord;
use mlbuild_manifests::held::HeldFolder;
use oci_spec::image::MediaType;

use super::exports::swapping;
use crate::support::mlbuild::Project;

/// Does something again and again while a folder is swapped; how often it was done, and refused.
fn beside_swaps(
    folder: &Path,
    outside: &Path,
    mut work: impl FnMut() -> Result<(), String>,
) -> (usize, usize) {
    let stop: Arc<AtomicBool> = Arc::default();
    let links = swapping(folder, outside, stop.clone());
    let (mut done, mut refused) = (0, 0);
    let end = Instant::now() + Duration::from_millis(1500);
    while Instant::now() < end {
        match work() {
            Ok(()) => done += 1,
            Err(_) => refused += 1,
        }
    }
    stop.store(true, Ordering::Relaxed);
    let links = links.join().unwrap();
    println!("{links} links, {done} times done, {refused} refused");
    assert!(links > 50 && done > 0 && refused > 0, "they met");
    (done, refused)
}

#[test]
fn a_layout_is_written_where_it_was_asked_for() {
    let (from, all) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    let (dest, outside) = (all.path().join("dest"), all.path().join("outside"));
    let names = ["index.json", "blobs/sha256/a", "blobs/sha256/b"].map(str::to_owned);
    for folder in [from.path(), &outside, &dest] {
        std::fs::create_dir_all(folder.join("blobs/sha256")).unwrap();
    }
    for name in &names {
        std::fs::write(from.path().join(name), "theirs").unwrap();
    }
    let outside = outside.join("blobs");
    std::fs::write(outside.join("sha256/a"), "mine").unwrap();
    beside_swaps(&dest.join("blobs"), &outside, || {
        copy_into(from.path(), &names, &dest).map_err(|(_, error)| error.to_string())
    });
    assert_eq!(
        std::fs::read_to_string(outside.join("sha256/a")).unwrap(),
        "mine"
    );
    assert_eq!(
        std::fs::read_dir(outside.join("sha256")).unwrap().count(),
        1
    );
}

#[test]
fn a_layout_is_read_as_its_digests_say() {
    let written = LayoutWriter::new().unwrap();
    let top = written
        .document(MediaType::ImageManifest, b"{\"a\":1}")
        .unwrap();
    let layout = written.finish(&top).unwrap();
    let outside = tempfile::tempdir().unwrap();
    std::fs::create_dir(outside.path().join("sha256")).unwrap();
    let other = outside.path().join("sha256").join(top.digest().digest());
    std::fs::write(other, b"{\"a\":2}").unwrap();
    beside_swaps(&layout.path().join("blobs"), outside.path(), || {
        let layout = OciLayout::open(layout.path()).map_err(|error| error.to_string())?;
        let bytes = layout.document(&top).map_err(|error| error.to_string())?;
        assert_eq!(bytes, b"{\"a\":1}");
        Ok(())
    });
}

fn record(id: &str, status: &str) -> String {
    format!(
        "version = 2\nid = \"{id}\"\ncreated = \"2026-03-01T12:00:00Z\"\n\n[image]\nreference = \"r.example/a:1\"\n\
         digest = \"sha256:{}\"\n\n[command]\nprogram = \"docker\"\nargv = []\n\n\
         [outcome]\nstatus = \"{status}\"\nstarted = \"2026-03-01T12:00:00Z\"\n\n# end of record\n",
        "01".repeat(32)
    )
}

/// What `mlbuild runs pull` does with each record.
#[test]
fn pulled_records_stay_in_the_project() {
    let project = Project::new(&[]);
    let outside = tempfile::tempdir().unwrap();
    let folder = project.path("mlbuild.runs");
    std::fs::create_dir(&folder).unwrap();
    let mut count = 0;
    beside_swaps(&folder, outside.path(), || {
        count += 1;
        let id = format!("job-{count}");
        let file = project.outside().join(format!("{id}.toml"));
        std::fs::write(&file, record(&id, "started")).unwrap();
        let mut record = RunRecord::load(&file).unwrap();
        let held = HeldFolder::inside(&project.path(""), &folder).map_err(|e| e.to_string())?;
        record.start_in(&held, None).map_err(|e| e.to_string())?;
        record.replace_in(&held).map_err(|e| e.to_string())
    });
    assert_eq!(std::fs::read_dir(outside.path()).unwrap().count(), 0);
}

/// A container has the project mounted: while it runs, it puts links in the record's place and in its
/// folder's. They lead nowhere in the container, and to the person's files where the record is written.
#[test]
fn the_end_of_a_run_is_written_into_its_own_record_or_nowhere() {
    for swaps_folder in [false, true] {
        let project = Project::new(&[("mlbuild.runs/job-1.toml", &record("job-1", "started"))]);
        project.write("../home/job-1.toml", "mine");
        let id = "job-1".parse().unwrap();
        let run = StartedRun::resume(&project.path(""), &id).unwrap().unwrap();
        let folder = project.path("mlbuild.runs");
        if swaps_folder {
            std::fs::rename(&folder, project.path("aside")).unwrap();
            symlink(project.home(), &folder).unwrap();
        } else {
            std::fs::remove_file(folder.join("job-1.toml")).unwrap();
            symlink(project.home().join("job-1.toml"), folder.join("job-1.toml")).unwrap();
        }
        run.finish(RunExit::of_code(0)).unwrap();
        assert_eq!(project.read("../home/job-1.toml"), "mine");
        let own = if swaps_folder {
            "aside"
        } else {
            "mlbuild.runs"
        };
        let written = project.read(&format!("{own}/job-1.toml"));
        assert!(written.contains("finished"), "{written}");
    }
}
