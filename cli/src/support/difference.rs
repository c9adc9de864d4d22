//! The difference of two images, for people.

use std::fmt::Write as _;

use serde_json::Value;

use crate::support::size::bytes;
use mlbuild::diff::{ImageDifference, count};
use mlbuild::image::compare::{
    Comparison, FieldDifference, FileChange, FileDifference, LayerAbout, LayersDifference,
};

/// Most files that are listed for one place.
const FILES: usize = 25;
/// Longest value and step that is shown, in characters.
const LONGEST: usize = 120;

/// All of it, as lines.
pub fn text(first: &str, second: &str, difference: &ImageDifference) -> String {
    let mut out = String::new();
    let verdict = if difference.is_same() {
        "same"
    } else {
        "different"
    };
    line(&mut out, 0, &format!("{verdict}: {first} and {second}"));
    for (names, which) in [
        (&difference.only_first, first),
        (&difference.only_second, second),
    ] {
        for name in names {
            line(&mut out, 0, &format!("{name}: only {which} has it"));
        }
    }
    for (name, compared) in &difference.platforms {
        platform(&mut out, name, compared);
    }
    out
}

fn platform(out: &mut String, name: &str, compared: &Comparison) {
    let digest = &compared.digest;
    if compared.same {
        return line(out, 0, &format!("{name}: the same, {}", digest.first));
    }
    line(
        out,
        0,
        &format!("{name}: {} and {}", digest.first, digest.second),
    );
    let size = &compared.size;
    if size.first != size.second {
        let (a, b) = (bytes(size.first), bytes(size.second));
        line(out, 1, &format!("size: {a} -> {b}"));
    }
    if !compared.config.is_empty() {
        line(out, 1, "configuration:");
    }
    for setting in &compared.config {
        let (a, b) = (value(&setting.first), value(&setting.second));
        line(out, 2, &format!("{}: {a} -> {b}", setting.field));
    }
    if !compared.packages.is_empty() {
        line(out, 1, "packages:");
    }
    for package in &compared.packages {
        let of = |version: &Option<String>| version.clone().unwrap_or_else(|| "(none)".into());
        let (a, b) = (of(&package.first), of(&package.second));
        line(
            out,
            2,
            &format!("{} {}: {a} -> {b}", package.kind, package.name),
        );
    }
    for layers in &compared.layers {
        place(out, layers);
    }
    if compared.config.is_empty() && compared.layers.is_empty() {
        line(
            out,
            1,
            "configuration, layers and files are the same; the manifests are written differently",
        );
    }
}

fn place(out: &mut String, layers: &LayersDifference) {
    let title = match (numbers(&layers.first), numbers(&layers.second)) {
        (Some(a), Some(b)) if a == b => a,
        (Some(a), Some(b)) => format!("{a} of the first and {b} of the second"),
        (Some(a), None) => format!("{a} of the first, which the second doesn't have"),
        (None, Some(b)) => format!("{b} of the second, which the first doesn't have"),
        (None, None) => String::new(),
    };
    let what = if layers.repacked {
        "the same files, compressed differently".to_owned()
    } else if layers.headers_only {
        "the same files; the tar's headers are written differently".to_owned()
    } else if layers.counts.is_empty() {
        "the same files in another order".to_owned()
    } else {
        let counts = layers.counts.iter().map(|(what, n)| format!("{what} {n}"));
        let counts = counts.collect::<Vec<_>>().join(", ");
        let paths = count(layers.files.len() as u64 + layers.unlisted, "path");
        format!("{paths} ({counts})")
    };
    line(out, 1, &format!("{title}: {what}"));
    steps(out, layers);
    if let Some(path) = &layers.order {
        line(out, 2, &format!("order: {path} stands in another place"));
    }
    // What differs in more than its times comes first.
    let of_times = |file: &&FileDifference| {
        file.change == FileChange::Changed && file.fields.iter().all(|f| f.field == "mtime")
    };
    let rest = layers.files.iter().filter(|file| !of_times(file));
    let all: Vec<_> = rest.chain(layers.files.iter().filter(of_times)).collect();
    for shown in all.iter().take(FILES) {
        file(out, shown, layers.first.len() + layers.second.len() > 2);
    }
    let hidden = (all.len().saturating_sub(FILES)) as u64 + layers.unlisted;
    if hidden > 0 {
        line(
            out,
            2,
            &format!(
                "… and {} more (--format json lists them)",
                count(hidden, "file")
            ),
        );
    }
}

/// The Dockerfile's steps, once where they are the same.
fn steps(out: &mut String, layers: &LayersDifference) {
    let of = |all: &[LayerAbout]| -> Vec<String> {
        let steps = all.iter().filter_map(|layer| layer.step.as_deref());
        steps.map(|step| cut(&one_line(step))).collect()
    };
    let (a, b) = (of(&layers.first), of(&layers.second));
    if a == b {
        for step in &a {
            line(out, 2, &format!("step: {step}"));
        }
        return;
    }
    for (steps, which) in [(&a, "first"), (&b, "second")] {
        for step in steps {
            line(out, 2, &format!("step of the {which}: {step}"));
        }
    }
}

fn file(out: &mut String, file: &FileDifference, tells_layer: bool) {
    let mut text = match file.change {
        FileChange::Changed => {
            let fields: Vec<String> = file.fields.iter().map(field).collect();
            format!("{}: {}", file.path, fields.join("; "))
        }
        FileChange::OnlyInFirst => format!("{}: only in the first", file.path),
        FileChange::OnlyInSecond => format!("{}: only in the second", file.path),
    };
    if tells_layer {
        let of = |layer: Option<usize>| layer.map(|n| n.to_string());
        let layers = [of(file.layer.first), of(file.layer.second)];
        let layers: Vec<String> = layers.into_iter().flatten().collect();
        let _ = write!(text, " (layer {})", layers.join(" and "));
    }
    line(out, 2, &text);
    if let (Some(cause), Some(remedy)) = (file.cause, file.remedy) {
        line(out, 3, &format!("cause: {cause}; {remedy}"));
    }
    for text in file.lines.iter().flat_map(|lines| lines.lines()) {
        line(out, 3, text);
    }
}

fn field(field: &FieldDifference) -> String {
    match field.field.as_str() {
        "content" => "content".to_owned(),
        name => {
            let of = |value: &str| {
                if value.is_empty() {
                    "(none)".to_owned()
                } else {
                    cut(value)
                }
            };
            format!("{name} {} -> {}", of(&field.first), of(&field.second))
        }
    }
}

fn numbers(layers: &[LayerAbout]) -> Option<String> {
    match layers {
        [] => None,
        [one] => Some(format!("layer {}", one.number)),
        [first, .., last] => Some(format!("layers {} to {}", first.number, last.number)),
    }
}

fn value(value: &Option<Value>) -> String {
    match value {
        None => "(not set)".to_owned(),
        Some(value) => cut(&value.to_string()),
    }
}

fn one_line(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

fn cut(text: &str) -> String {
    if text.chars().count() > LONGEST {
        text.chars().take(LONGEST - 1).chain(['…']).collect()
    } else {
        text.to_owned()
    }
}

/// Without what could rewrite a terminal.
fn plain(text: &str) -> String {
    let shown = |c: char| {
        if c.is_control() && c != '\t' {
            '\u{fffd}'
        } else {
            c
        }
    };
    text.chars().map(shown).collect()
}

fn line(out: &mut String, depth: usize, text: &str) {
    let _ = writeln!(out, "{}{}", "  ".repeat(depth), plain(text));
}
