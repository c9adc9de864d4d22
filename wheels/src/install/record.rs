//! RECORD: which files a wheel has, with their hashes (PEP 376). What it says of the archive's
//! files must be true; then it is written anew for the files as they are installed.

use std::collections::{BTreeMap, HashMap};

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::metadata::bad;
use crate::error::Fault;
use crate::zip::{Entry, MOST_ENTRIES};

/// Lines that it may have: of each file of the archive one, and one of its bytecode.
const MOST_LINES: u64 = 2 * MOST_ENTRIES;

/// A line, sorted as it is written.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
struct Line {
    path: String,
    hash: Option<String>,
    size: Option<u64>,
}

pub(super) struct Record {
    lines: Vec<Line>,
    /// The first line of each path.
    by_path: HashMap<String, usize>,
}

impl Record {
    pub(super) fn parse(file: &str, bytes: &[u8]) -> Result<Self, Fault> {
        let mut reader = csv::ReaderBuilder::new()
            .has_headers(false)
            .from_reader(bytes);
        let mut lines = Vec::new();
        let mut by_path = HashMap::new();
        for line in reader.deserialize::<Line>() {
            if lines.len() as u64 == MOST_LINES {
                let (what, found, most) = ("lines in its RECORD", MOST_LINES + 1, MOST_LINES);
                return Err(Fault::TooLarge { what, found, most });
            }
            let mut line = line.map_err(|error| bad(file, error.to_string()))?;
            // Some wheels have absolute paths there.
            line.path = line.path.trim_start_matches('/').to_owned();
            by_path.entry(plain(&line.path)).or_insert(lines.len());
            lines.push(line);
        }
        Ok(Self { lines, by_path })
    }

    /// Compares sizes with the archive's, and gives back the hash of each entry that has one. That
    /// is compared when the entry is read.
    pub(super) fn check(
        &self,
        archive: &[Entry],
        entries: &BTreeMap<&str, usize>,
        stem: &str,
    ) -> Result<HashMap<usize, String>, Fault> {
        let own = format!("{stem}.dist-info/RECORD");
        let mut hashes = HashMap::new();
        for line in &self.lines {
            let path = plain(&line.path);
            let lie = |why: String| Fault::Record {
                path: line.path.clone(),
                why,
            };
            if path == own {
                continue;
            }
            let Some(&at) = entries.get(path.as_str()) else {
                // Compiled files are listed by some tools that don't pack them.
                if line.hash.is_none() || path.ends_with(".pyc") {
                    continue;
                }
                return Err(lie("the archive has no such file".to_owned()));
            };
            let found = archive[at].size;
            if let Some(size) = line.size.filter(|size| *size != found) {
                return Err(lie(format!(
                    "it is said to have {size} bytes, and has {found}"
                )));
            }
            if let Some(hash) = line.hash.as_ref().and_then(|h| h.strip_prefix("sha256=")) {
                hashes.insert(at, hash.trim_end_matches('=').to_owned());
            }
        }
        Ok(hashes)
    }

    /// Adds a file that was made here.
    pub(super) fn add(&mut self, path: String, bytes: &[u8]) {
        self.lines.push(Line {
            path,
            hash: Some(format!("sha256={}", encoded(&Sha256::digest(bytes)))),
            size: Some(bytes.len() as u64),
        });
    }

    /// Notes that a file went elsewhere; with its new hash and size where it was changed.
    pub(super) fn moved(
        &mut self,
        from: &str,
        to: String,
        changed: Option<(String, u64)>,
    ) -> Result<(), Fault> {
        let Some(&at) = self.by_path.get(from) else {
            return Err(Fault::Record {
                path: from.to_owned(),
                why: "it isn't listed, and has to be moved".to_owned(),
            });
        };
        let line = &mut self.lines[at];
        line.path = to;
        if let Some((hash, size)) = changed {
            line.hash = Some(format!("sha256={hash}"));
            line.size = Some(size);
        }
        Ok(())
    }

    pub(super) fn write(&mut self) -> Vec<u8> {
        self.lines.sort();
        let mut writer = csv::WriterBuilder::new()
            .has_headers(false)
            .from_writer(Vec::new());
        for line in &self.lines {
            writer.serialize(line).expect("memory can be written");
        }
        writer.into_inner().expect("memory can be written")
    }
}

/// A hash as RECORD has it.
pub(crate) fn encoded(hash: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(hash)
}

/// A path without `.` and doubled slashes.
fn plain(path: &str) -> String {
    let parts = path.split('/').filter(|part| !matches!(*part, "" | "."));
    parts.collect::<Vec<_>>().join("/")
}
