//! The lines that differ in small texts. Contents are held as far as there is room; the others are
//! read once more where they are wanted.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::causes;
use super::changes::unified;
use super::report::{Comparison, FileChange, FileDifference, Pair};
use super::side::Side;
use crate::image::layer::{EntryPath, LayerError, LayerLimits, read_layer};

/// Largest text that is shown, in bytes.
const LARGEST: u64 = 64 << 10;
/// Most texts of one comparison.
const MOST: usize = 100;
/// Most lines that are shown of one text.
const LINES: usize = 40;
/// Longest line that is shown, in characters.
const LONGEST: usize = 300;

/// Bytes of texts that are held before it is known which differ, of both images together.
const ROOM: usize = 48 << 20;
/// Bytes that a text takes beside its own and its path's.
const APIECE: usize = 128;

/// Contents by layer (from 1) and path.
pub(super) type Contents = BTreeMap<(usize, Vec<u8>), Vec<u8>>;

/// What is left for texts that may differ.
pub(super) struct TextBudget(AtomicUsize);

impl Default for TextBudget {
    fn default() -> Self {
        Self(AtomicUsize::new(ROOM))
    }
}

impl TextBudget {
    /// True if there is room for a text, which is then taken.
    pub(super) fn take(&self, path: &EntryPath, text: &[u8]) -> bool {
        let bytes = path.as_bytes().len() + text.len() + APIECE;
        let left = |left: usize| left.checked_sub(bytes);
        let (all, order) = (&self.0, Ordering::Relaxed);
        all.fetch_update(order, order, left).is_ok()
    }
}

/// True for a file whose lines would be shown, by its path and size.
pub(super) fn may_be_shown(path: &[u8], size: u64) -> bool {
    size <= LARGEST && !path.ends_with(b".pyc")
}

/// False for what has bytes of no text.
pub(super) fn may_be_text(bytes: &[u8]) -> bool {
    !bytes.contains(&0)
}

/// Shows the lines of small texts that differ.
pub(super) fn add(
    report: &mut Comparison,
    first: &Side<'_>,
    second: &Side<'_>,
    kept: Pair<Contents>,
) -> Result<(), LayerError> {
    let mut wanted: Vec<&mut FileDifference> = report
        .layers
        .iter_mut()
        .flat_map(|layers| &mut layers.files)
        .filter(|file| is_wanted(file))
        .take(MOST)
        .collect();
    let keys = |of: fn(&FileDifference) -> Option<usize>| -> BTreeSet<(usize, Vec<u8>)> {
        let keys = wanted
            .iter()
            .filter_map(|file| Some((of(file)?, file.raw.clone())));
        keys.collect()
    };
    let (a, b) = (keys(|f| f.layer.first), keys(|f| f.layer.second));
    let (a, b) = std::thread::scope(|scope| {
        let other = scope.spawn(|| contents(second, b, kept.second));
        let first = contents(first, a, kept.first);
        (first, other.join().expect("reading a layer doesn't panic"))
    });
    let (a, b) = (a?, b?);
    for file in &mut wanted {
        let of = |layer: Option<usize>, all: &'_ Contents| -> Option<String> {
            let bytes = all.get(&(layer?, file.raw.clone()))?;
            let text = String::from_utf8(bytes.clone()).ok()?;
            let is_text = !text
                .chars()
                .any(|c| c.is_control() && !c.is_ascii_whitespace());
            is_text.then_some(text)
        };
        let (Some(old), Some(new)) = (of(file.layer.first, &a), of(file.layer.second, &b)) else {
            continue;
        };
        if file.raw.starts_with(b"etc/shadow") && only_days_differ(&old, &new) {
            file.cause = Some(causes::SHADOW.why);
            file.remedy = Some(causes::SHADOW.remedy);
        }
        file.lines = Some(shown(&old, &new));
    }
    Ok(())
}

fn is_wanted(file: &FileDifference) -> bool {
    file.change == FileChange::Changed
        && file.fields.iter().any(|field| field.field == "content")
        && may_be_shown(&file.raw, file.size.first)
        && may_be_shown(&file.raw, file.size.second)
}

/// Reads the layers that have files of these which weren't kept once more, up to the last of them.
fn contents(
    side: &Side<'_>,
    mut keys: BTreeSet<(usize, Vec<u8>)>,
    mut found: Contents,
) -> Result<Contents, LayerError> {
    found.retain(|key, _| keys.contains(key));
    keys.retain(|key| !found.contains_key(key));
    let layers: BTreeSet<usize> = keys.iter().map(|(layer, _)| *layer).collect();
    for number in layers {
        let layer = &side.image.layers[number - 1];
        let limits = LayerLimits::for_blob(layer.blob.size());
        let mut left = keys.iter().filter(|(at, _)| *at == number).count();
        read_layer(side.open(layer)?, layer, &limits, &mut |entry, content| {
            let key = (number, entry.path.as_bytes().to_vec());
            if keys.contains(&key) && entry.size <= LARGEST {
                let mut bytes = Vec::new();
                content.read_to_end(&mut bytes)?;
                left -= usize::from(found.insert(key, bytes).is_none());
            }
            Ok(match left {
                0 => ControlFlow::Break(()),
                _ => ControlFlow::Continue(()),
            })
        })?;
    }
    Ok(found)
}

fn shown(old: &str, new: &str) -> String {
    let text = unified(old, new);
    let all: Vec<&str> = text.lines().collect();
    let cut = |line: &&str| -> String { line.chars().take(LONGEST).collect() };
    let mut lines: Vec<String> = all.iter().take(LINES).map(cut).collect();
    if all.len() > LINES {
        lines.push(format!("… {} more lines", all.len() - LINES));
    }
    lines.join("\n")
}

/// True if two shadow files differ in nothing but the days of the last change.
fn only_days_differ(old: &str, new: &str) -> bool {
    let without = |text: &str| -> Vec<Vec<String>> {
        let line = |line: &str| {
            let fields = line.split(':').enumerate().filter(|(at, _)| *at != 2);
            fields.map(|(_, field)| field.to_owned()).collect()
        };
        text.lines().map(line).collect()
    };
    without(old) == without(new)
}
