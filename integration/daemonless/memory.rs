//! Memory is bounded for the whole process, whatever an image or a project holds: the most that a command
//! ever used is asserted, not a time.

use mlbuild::image::layer::{EntryKind, Packing, write_tar};
use serde_json::json;

use super::diff::entry;
use super::records::{finished, published};
use crate::support::layouts;
use crate::support::mlbuild::Project;
use crate::support::peak::measured;

#[test]
fn a_diff_of_large_images_takes_bounded_memory() {
    const LAYERS: usize = 4;
    let made = |time: i64| {
        let layer = |number: usize| {
            let entries = (0..25_000).map(|n| {
                let folder = "a-folder-with-a-name/and-another-one";
                let mut entry = entry(&format!("{folder}/{number}/{n:07}"), EntryKind::Folder);
                if n == 12_345 {
                    entry.mtime.seconds += time;
                }
                (entry, Vec::new())
            });
            ("RUN make", write_tar(&entries.collect::<Vec<_>>()))
        };
        let layers: Vec<_> = (0..LAYERS).map(layer).collect();
        layouts::built(&layers, Packing::Plain, json!({}))
    };
    let images = [made(0), made(1)];
    let [first, second] = images.each_ref().map(|image| image.folder.path());
    let project = Project::new(&[]);
    let mut command = project.command(["diff", "--format", "json"]);
    let (code, out, most) = measured(command.arg(first).arg(second));
    assert_eq!(code, Some(4));
    let answer: serde_json::Value = serde_json::from_slice(&out).unwrap();
    let layers = answer["platforms"]["linux/amd64"]["layers"]
        .as_array()
        .unwrap();
    assert_eq!(layers.len(), LAYERS);
    for layer in layers {
        assert_eq!(layer["counts"], json!({ "mtime": 1 }));
        assert_eq!(layer["order"], json!(null));
    }
    // 64 MB, of which the program itself is two thirds; 109 MB where all entries are held.
    assert!(most < 84_000, "{most} KiB");
}

#[test]
fn a_list_of_many_records_takes_bounded_memory() {
    let project = Project::new(&[]);
    let command = ["python", "train.py", "--name", &"n".repeat(2000)];
    finished(&project.path(""), "run-0", published(1), &command, 0);
    let record = project.read("mlbuild.runs/run-0.toml");
    for n in 1..5000 {
        let name = format!("mlbuild.runs/run-{n}.toml");
        project.write(&name, &record.replace("run-0", &format!("run-{n}")));
    }
    let (code, out, most) = measured(&mut project.command(["runs", "list", "--format", "json"]));
    assert_eq!(code, Some(0));
    let answer: serde_json::Value = serde_json::from_slice(&out).unwrap();
    assert_eq!(answer["runs"].as_array().unwrap().len(), 5000);
    // 53 MB; with all records held many times that.
    assert!(most < 84_000, "{most} KiB");
}
