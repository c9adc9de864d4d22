//! The lines that differ in small texts. Only now are contents held: a few, and not for long.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::ControlFlow;

use similar::TextDiff;

use super::report::{Comparison, FileChange, FileDifference};
use super::{Side, causes};
use crate::image::layer::{LayerError, LayerLimits, read_layer};

/// Largest text that is shown, in bytes.
const LARGEST: u64 = 64 << 10;
/// Most texts of one comparison.
const MOST: usize = 100;
/// Most lines that are shown of one text.
const LINES: usize = 40;
/// Longest line that is shown, in characters.
const LONGEST: usize = 300;

/// Contents by layer (from 1) and path.
type Contents = BTreeMap<(usize, Vec<u8>), Vec<u8>>;

/// Shows the lines of small texts that differ.
pub(super) fn add(
    report: &mut Comparison,
    first: &Side<'_>,
    second: &Side<'_>,
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
    let (a, b) = (contents(first, &a)?, contents(second, &b)?);
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
        file.lines = Some(unified(&old, &new));
    }
    Ok(())
}

fn is_wanted(file: &FileDifference) -> bool {
    file.change == FileChange::Changed
        && file.fields.iter().any(|field| field.field == "content")
        && file.size.first <= LARGEST
        && file.size.second <= LARGEST
        && !file.raw.ends_with(b".pyc")
}

/// Reads the layers that have these files once more, up to the last of them.
fn contents(side: &Side<'_>, keys: &BTreeSet<(usize, Vec<u8>)>) -> Result<Contents, LayerError> {
    let mut found = Contents::new();
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

fn unified(old: &str, new: &str) -> String {
    let diff = TextDiff::from_lines(old, new);
    let text = diff.unified_diff().context_radius(0).to_string();
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
