//! The files of two tables: which differ, and in what.

use std::collections::BTreeMap;

use super::causes;
use super::groups::Group;
use super::report::{FieldDifference, FileChange, FileDifference, LayersDifference, Pair};
use super::side::Side;
use super::table::{More, Row, Table};
use crate::image::layer::{EntryKind, EntryPath, Mtime};

/// Most files that are listed for one place.
const MOST: usize = 10_000;

/// Compares what the layers of a group hold.
pub(super) fn differences(
    first: &Side<'_>,
    second: &Side<'_>,
    group: &Group,
    a: &Table,
    b: &Table,
) -> LayersDifference {
    let mut found = LayersDifference::new(first, second, group);
    let mut add = |file: FileDifference| {
        let names: Vec<String> = match file.change {
            FileChange::Changed => file.fields.iter().map(|f| f.field.clone()).collect(),
            FileChange::OnlyInFirst => vec!["only in first".to_owned()],
            FileChange::OnlyInSecond => vec!["only in second".to_owned()],
        };
        for name in names {
            *found.counts.entry(name).or_default() += 1;
        }
        if found.files.len() < MOST {
            found.files.push(file)
        } else {
            found.unlisted += 1
        }
    };
    for (path, row) in &a.rows {
        match b.rows.get(path) {
            Some(other) => {
                let fields = fields(a, row, b, other);
                if !fields.is_empty() {
                    add(changed(path, row, other, fields));
                }
            }
            None => add(lone(path, row, FileChange::OnlyInFirst)),
        }
    }
    for (path, row) in b
        .rows
        .iter()
        .filter(|(path, _)| !a.rows.contains_key(*path))
    {
        add(lone(path, row, FileChange::OnlyInSecond));
    }
    found.files.sort_by(|x, y| x.path.cmp(&y.path));
    if group.first.len() == 1 && group.second.len() == 1 {
        found.order = out_of_order(&a.rows, &b.rows);
    }
    let alike = found.files.is_empty() && found.order.is_none();
    found.headers_only = alike && !group.first.is_empty() && !group.second.is_empty();
    found
}

fn lone(path: &EntryPath, row: &Row, change: FileChange) -> FileDifference {
    let layer = Some(usize::from(row.layer) + 1);
    let (layer, size) = match change {
        FileChange::OnlyInSecond => (
            Pair {
                first: None,
                second: layer,
            },
            (0, row.size),
        ),
        _ => (
            Pair {
                first: layer,
                second: None,
            },
            (row.size, 0),
        ),
    };
    let cause = causes::of_path(path.as_bytes());
    FileDifference {
        path: shown(path, row),
        change,
        fields: Vec::new(),
        layer,
        cause: cause.map(|c| c.why),
        remedy: cause.map(|c| c.remedy),
        lines: None,
        raw: path.as_bytes().to_vec(),
        size: Pair {
            first: size.0,
            second: size.1,
        },
    }
}

fn changed(path: &EntryPath, a: &Row, b: &Row, fields: Vec<FieldDifference>) -> FileDifference {
    let cause = causes::of(path.as_bytes(), a, b, &fields);
    let layer = |row: &Row| Some(usize::from(row.layer) + 1);
    FileDifference {
        path: shown(path, a),
        change: FileChange::Changed,
        fields,
        layer: Pair {
            first: layer(a),
            second: layer(b),
        },
        cause: cause.map(|c| c.why),
        remedy: cause.map(|c| c.remedy),
        lines: None,
        raw: path.as_bytes().to_vec(),
        size: Pair {
            first: a.size,
            second: b.size,
        },
    }
}

/// A path as it is shown: folders end in `/`, and what hides a path says so.
fn shown(path: &EntryPath, row: &Row) -> String {
    match row.kind {
        EntryKind::Folder if !path.as_bytes().is_empty() => format!("{path}/"),
        EntryKind::Whiteout => format!("{path} (removed)"),
        EntryKind::Opaque => format!("{path}/ (emptied)"),
        _ => path.to_string(),
    }
}

/// What differs between two entries of the same path.
fn fields(a: &Table, x: &Row, b: &Table, y: &Row) -> Vec<FieldDifference> {
    let mut found = Vec::new();
    let mut add = |field: &str, first: String, second: String| {
        if first != second {
            found.push(FieldDifference {
                field: field.to_owned(),
                first,
                second,
            });
        }
    };
    add("kind", kind(x), kind(y));
    if x.kind == y.kind {
        add("mode", format!("{:04o}", x.mode), format!("{:04o}", y.mode));
    }
    let owner = |row: &Row| format!("{}:{}", row.uid, row.gid);
    add("owner", owner(x), owner(y));
    let names = |table: &Table, row: &Row| {
        let (owner, group) = table.owner_names(row);
        format!("{}:{}", text(owner), text(group))
    };
    add("owner-name", names(a, x), names(b, y));
    if x.mtime != y.mtime {
        add("mtime", time(x.mtime), time(y.mtime));
    }
    if x.kind == EntryKind::File && y.kind == EntryKind::File && x.hash != y.hash {
        add("size", x.size.to_string(), y.size.to_string());
        let hash = |row: &Row| format!("sha256:{}", hex::encode(row.hash));
        add("content", hash(x), hash(y));
    }
    let none = More::default();
    let more = |row: &'_ Row| row.more.as_deref().cloned().unwrap_or_else(|| none.clone());
    if x.more.is_some() || y.more.is_some() {
        let (x, y) = (more(x), more(y));
        let link = |more: &More| more.link.as_deref().map(text).unwrap_or_default();
        add("link", link(&x), link(&y));
        add(
            "device",
            format!("{:?}", x.device),
            format!("{:?}", y.device),
        );
        let names = x.xattrs.keys().chain(y.xattrs.keys());
        let names: std::collections::BTreeSet<_> = names.collect();
        let value = |more: &More, name: &Vec<u8>| match more.xattrs.get(name) {
            Some(value) => text(value),
            None => "(not set)".to_owned(),
        };
        for name in names {
            add(
                &format!("xattr {}", text(name)),
                value(&x, name),
                value(&y, name),
            );
        }
    }
    found
}

fn kind(row: &Row) -> String {
    if row.is_opaque && row.kind == EntryKind::Folder {
        "folder that hides what lies below".to_owned()
    } else {
        row.kind.to_string()
    }
}

/// Bytes as text; what isn't text as hexadecimal digits.
fn text(bytes: &[u8]) -> String {
    match std::str::from_utf8(bytes) {
        Ok(text) if !text.chars().any(char::is_control) => text.to_owned(),
        _ => format!("0x{}", hex::encode(bytes)),
    }
}

fn time(at: Mtime) -> String {
    jiff::Timestamp::new(at.seconds, at.nanos as i32)
        .map_or_else(|_| format!("{} s", at.seconds), |time| time.to_string())
}

/// The first path that stands in another place, among those that both have.
fn out_of_order(a: &BTreeMap<EntryPath, Row>, b: &BTreeMap<EntryPath, Row>) -> Option<String> {
    let both = a
        .iter()
        .filter_map(|(path, x)| Some((x.order, b.get(path)?.order, path)));
    let mut both: Vec<_> = both.collect();
    both.sort_unstable_by_key(|(first, ..)| *first);
    let moved = both.windows(2).find(|pair| pair[1].1 < pair[0].1);
    moved.map(|pair| pair[1].2.to_string())
}
