//! The files of two tables: which differ, and in what.

use std::cmp::Ordering;
use std::collections::BTreeSet;
use std::io;
use std::iter::Peekable;

use super::causes;
use super::groups::Group;
use super::report::{FieldDifference, FileChange, FileDifference, LayersDifference, Pair};
use super::row::{More, Row};
use super::side::Side;
use super::table::{Rows, Table};
use crate::image::layer::{EntryKind, EntryPath, Mtime};

/// Compares what the layers of a group hold, and lists at most so many files. Packages whose files aren't
/// there any more are dropped from the tables.
pub(super) fn differences(
    first: &Side<'_>,
    second: &Side<'_>,
    group: &Group,
    a: &mut Table,
    b: &mut Table,
    most: usize,
) -> io::Result<LayersDifference> {
    let mut found = Listed {
        list: LayersDifference::new(first, second, group),
        most,
    };
    let is_one_by_one = group.first.len() == 1 && group.second.len() == 1;
    let mut places = Vec::new();
    let mut there: Pair<BTreeSet<EntryPath>> = Pair::default();
    for both in Both::of(a, b)? {
        let (path, x, y) = both?;
        if x.is_some() && a.packages.has(&path) {
            there.first.insert(path.clone());
        }
        if y.is_some() && b.packages.has(&path) {
            there.second.insert(path.clone());
        }
        match (x, y) {
            (Some(x), Some(y)) => {
                if is_one_by_one {
                    places.push((x.order, y.order));
                }
                let fields = fields(&x, &y);
                if !fields.is_empty() {
                    found.add(changed(&path, &x, &y, fields));
                }
            }
            (Some(x), None) => found.add(lone(&path, &x, FileChange::OnlyInFirst)),
            (None, Some(y)) => found.add(lone(&path, &y, FileChange::OnlyInSecond)),
            (None, None) => {}
        }
    }
    a.packages.keep(&there.first);
    b.packages.keep(&there.second);
    let mut found = found.list;
    found.files.sort_by(|x, y| x.path.cmp(&y.path));
    found.order = match out_of_order(places) {
        Some(place) => path_at(a, place)?,
        None => None,
    };
    let alike = found.files.is_empty() && found.order.is_none();
    found.headers_only = alike && !group.first.is_empty() && !group.second.is_empty();
    Ok(found)
}

/// The files that differ: all are counted, and some are listed.
struct Listed {
    list: LayersDifference,
    most: usize,
}

impl Listed {
    fn add(&mut self, file: FileDifference) {
        let names: Vec<String> = match file.change {
            FileChange::Changed => file.fields.iter().map(|f| f.field.clone()).collect(),
            FileChange::OnlyInFirst => vec!["only in first".to_owned()],
            FileChange::OnlyInSecond => vec!["only in second".to_owned()],
        };
        for name in names {
            *self.list.counts.entry(name).or_default() += 1;
        }
        if self.list.files.len() < self.most {
            self.list.files.push(file)
        } else {
            self.list.unlisted += 1
        }
    }
}

/// The rows of two tables by path, those of one path together.
struct Both<'a> {
    first: Peekable<Rows<'a>>,
    second: Peekable<Rows<'a>>,
}

impl<'a> Both<'a> {
    fn of(a: &'a Table, b: &'a Table) -> io::Result<Self> {
        Ok(Self {
            first: a.rows()?.peekable(),
            second: b.rows()?.peekable(),
        })
    }
}

impl Iterator for Both<'_> {
    type Item = io::Result<(EntryPath, Option<Row>, Option<Row>)>;

    fn next(&mut self) -> Option<Self::Item> {
        let order = match (self.first.peek(), self.second.peek()) {
            (None, None) => return None,
            (Some(Ok((x, _))), Some(Ok((y, _)))) => x.cmp(y),
            // An error comes first.
            (Some(_), None) | (Some(Err(_)), _) => Ordering::Less,
            (None, Some(_)) | (_, Some(Err(_))) => Ordering::Greater,
        };
        let mut of_first = || self.first.next();
        let mut of_second = || self.second.next();
        let row = match order {
            Ordering::Less => of_first()?.map(|(path, x)| (path, Some(x), None)),
            Ordering::Greater => of_second()?.map(|(path, y)| (path, None, Some(y))),
            Ordering::Equal => of_first()?.and_then(|(path, x)| {
                let other = of_second().transpose()?;
                Ok((path, Some(x), other.map(|(_, y)| y)))
            }),
        };
        Some(row)
    }
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
fn fields(x: &Row, y: &Row) -> Vec<FieldDifference> {
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
    let names = |row: &Row| format!("{}:{}", text(&row.owner), text(&row.group));
    add("owner-name", names(x), names(y));
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

/// The place in the first tar of the first path that stands elsewhere in the second. Takes the places of
/// what both have, by path.
fn out_of_order(mut places: Vec<(u32, u32)>) -> Option<u32> {
    places.sort_unstable();
    let moved = places.windows(2).find(|pair| pair[1].1 < pair[0].1);
    moved.map(|pair| pair[1].0)
}

/// The path that stands at a place of a table's only tar.
fn path_at(table: &Table, place: u32) -> io::Result<Option<String>> {
    for row in table.rows()? {
        let (path, row) = row?;
        if row.order == place {
            return Ok(Some(path.to_string()));
        }
    }
    Ok(None)
}
