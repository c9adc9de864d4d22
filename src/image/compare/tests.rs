//! How often layers are read to show the lines of texts that differ.

use oci_spec::image::MediaType;
use serde_json::json;

use std::io::{self, Read};

use super::*;
use crate::image::layer::{EntryKind, LayerEntry, Packing, write_tar};
use crate::image::{ImageLayer, PlatformImage};

/// One blob, and how often it was opened.
struct Counted {
    blob: Vec<u8>,
    opened: AtomicUsize,
}

impl LayerStore for Counted {
    fn open(&self, _: &ImageLayer) -> io::Result<Box<dyn Read + Send + '_>> {
        self.opened.fetch_add(1, Ordering::Relaxed);
        Ok(Box::new(self.blob.as_slice()))
    }
}

fn file(path: &str, content: Vec<u8>) -> (LayerEntry, Vec<u8>) {
    let mut entry = LayerEntry::plain(path, EntryKind::File);
    entry.size = content.len() as u64;
    (entry, content)
}

/// The lines that are shown of an image with these files and a last one that differs, and how often
/// the layers were opened.
fn shown(files: &[(LayerEntry, Vec<u8>)]) -> (Option<String>, usize) {
    let made = ["a", "b"].map(|word| {
        let last = file("z.py", format!("print('{word}')\n").into_bytes());
        let tar = write_tar(&[files, &[last]].concat());
        let (blob, layer) = Packing::Plain.pack(tar, MediaType::ImageLayer);
        let opened = AtomicUsize::new(0);
        (Counted { blob, opened }, layer)
    });
    let sides = made.each_ref().map(|(store, layer)| {
        let config = json!({ "word": layer.diff_id.to_string() });
        Side {
            image: PlatformImage::made_up(&config, vec![layer.clone()]),
            config,
            manifest: Some(json!({})),
            store,
        }
    });
    let report = compare(&sides[0], &sides[1]).unwrap();
    let files = report.layers.into_iter().flat_map(|layer| layer.files);
    let lines = files.filter_map(|file| file.lines).next();
    let opened = made
        .iter()
        .map(|(store, _)| store.opened.load(Ordering::Relaxed));
    (lines, opened.sum())
}

const LINES: &str = "@@ -1 +1 @@\n-print('a')\n+print('b')";

#[test]
fn texts_are_held_while_there_is_room() {
    let some = [file("a.txt", b"a\n".to_vec()), file("b.so", vec![0; 9])];
    assert_eq!(shown(&some), (Some(LINES.to_owned()), 2));
}

#[test]
fn what_there_was_no_room_for_is_read_once_more() {
    // More than fits of either image alone, whichever is read first, and then what fills the rest.
    let file = |n: usize, size| file(&format!("{n:04}.txt"), vec![b'x'; size]);
    let large = (0..900).map(|n| file(n, 60_000));
    let many: Vec<_> = large.chain((900..1500).map(|n| file(n, 1))).collect();
    assert_eq!(shown(&many), (Some(LINES.to_owned()), 4));
}

#[test]
fn contents_that_are_no_text_take_no_room() {
    let many: Vec<_> = (0..600)
        .map(|n| file(&format!("{n:03}.npy"), vec![0; 60_000]))
        .collect();
    assert_eq!(shown(&many), (Some(LINES.to_owned()), 2));
}
