//! The records of a project, found again.

use std::io;
use std::path::{Path, PathBuf};
use std::thread;

use mlbuild_manifests::RunRecord;
use mlbuild_manifests::run_record::{FOLDER_NAME, RunRecordError, RunSummary};

use crate::nearest::nearest;

/// Records are read by this many threads at most: more than a disk answers at once.
const MOST_THREADS: usize = 8;
/// Room for most records, in bytes.
const BUFFER: usize = 64 << 10;
/// Candidates that are named where a prefix is ambiguous.
const MOST_NAMED: usize = 10;

/// The folder of a project's records.
#[derive(Clone, Debug)]
pub struct Store {
    folder: PathBuf,
}

/// All records of a project, or what was read of each.
#[derive(Debug)]
pub struct Listing<T> {
    /// Those that can be read, by id.
    pub records: Vec<T>,
    /// What is wrong with the others.
    pub unreadable: Vec<RunRecordError>,
}

/// A run that can't be found.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No run has this id.
    #[error("no run `{typed}` is recorded in {}", folder.display())]
    Unknown {
        /// What was typed.
        typed: String,
        /// Where it was looked for.
        folder: PathBuf,
        /// The id nearest to it.
        near: Option<String>,
    },
    /// Several runs begin so.
    #[error("`{typed}` could be {}", named(candidates))]
    Ambiguous {
        /// What was typed.
        typed: String,
        /// The runs that begin so.
        candidates: Vec<String>,
    },
    /// The folder can't be read.
    #[error("{}: can't be read: {source}", folder.display())]
    Folder {
        /// The folder.
        folder: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The record can't be used.
    #[error(transparent)]
    Record(#[from] RunRecordError),
}

impl Store {
    /// The records of a project.
    pub fn of(project: &Path) -> Self {
        Self {
            folder: project.join(FOLDER_NAME),
        }
    }

    /// Where they lie.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The ids of all records, sorted. A folder that isn't there has none.
    ///
    /// # Errors
    /// Where the folder is there and can't be read.
    pub fn ids(&self) -> Result<Vec<String>, StoreError> {
        let fail = |source| StoreError::Folder {
            folder: self.folder.clone(),
            source,
        };
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(source) => return Err(fail(source)),
        };
        let mut ids = Vec::new();
        for entry in entries {
            let name = entry.map_err(fail)?.file_name();
            if let Some(id) = name.to_str().and_then(|name| name.strip_suffix(".toml")) {
                ids.push(id.to_owned());
            }
        }
        ids.sort_unstable();
        Ok(ids)
    }

    /// The record with this id.
    ///
    /// # Errors
    /// Where it can't be used, or isn't there.
    pub fn load(&self, id: &str) -> Result<RunRecord, RunRecordError> {
        RunRecord::load(&self.path(id))
    }

    fn path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.toml"))
    }

    /// Every record. Those that can't be read don't hide the others.
    ///
    /// # Errors
    /// Where the folder can't be read.
    pub fn all(&self) -> Result<Listing<RunRecord>, StoreError> {
        self.each(|_, path| RunRecord::load(path))
    }

    /// What a list shows of every record, read in a fraction of the time.
    ///
    /// # Errors
    /// As [`Store::all`].
    pub fn summaries(&self) -> Result<Listing<RunSummary>, StoreError> {
        self.each(|buffer, path| {
            let read = read_into(buffer, path);
            let text = read.map_err(|source| RunRecordError::Read {
                path: path.to_path_buf(),
                source,
            })?;
            RunSummary::parse(text, path)
        })
    }

    /// As [`Store::summaries`], of the records that are wanted. Each is read as a whole, and only one at once
    /// by each thread is held.
    ///
    /// # Errors
    /// As [`Store::all`].
    pub fn summaries_of(
        &self,
        is_wanted: impl Fn(&RunRecord) -> bool + Sync,
    ) -> Result<Listing<RunSummary>, StoreError> {
        let listing = self.each(|_, path| {
            let record = RunRecord::load(path)?;
            Ok(is_wanted(&record).then(|| RunSummary::of(&record)))
        })?;
        Ok(Listing {
            records: listing.records.into_iter().flatten().collect(),
            unreadable: listing.unreadable,
        })
    }

    /// Reads every record by several threads, each with a buffer of its own.
    fn each<T: Send>(
        &self,
        read: impl Fn(&mut Vec<u8>, &Path) -> Result<T, RunRecordError> + Sync,
    ) -> Result<Listing<T>, StoreError> {
        let ids = self.ids()?;
        let threads = thread::available_parallelism().map_or(1, |n| n.get().min(MOST_THREADS));
        let part = ids.len().div_ceil(threads).max(1);
        let work = |ids: &[String]| -> Vec<_> {
            let mut buffer = Vec::with_capacity(BUFFER);
            let load = |id: &String| read(&mut buffer, &self.path(id));
            ids.iter().map(load).collect()
        };
        let parts: Vec<Vec<_>> = thread::scope(|scope| {
            let readers: Vec<_> = ids
                .chunks(part)
                .map(|ids| scope.spawn(move || work(ids)))
                .collect();
            let join = |reader: thread::ScopedJoinHandle<'_, _>| reader.join();
            readers
                .into_iter()
                .map(|reader| join(reader).expect("reading a record doesn't panic"))
                .collect()
        });
        let mut listing = Listing {
            records: Vec::with_capacity(ids.len()),
            unreadable: Vec::new(),
        };
        for read in parts.into_iter().flatten() {
            match read {
                Ok(record) => listing.records.push(record),
                Err(error) => listing.unreadable.push(error),
            }
        }
        Ok(listing)
    }

    /// The run with this id, or the only one that begins so.
    ///
    /// # Errors
    /// Where there is none, there are several, or its record can't be used.
    pub fn find(&self, typed: &str) -> Result<RunRecord, StoreError> {
        let ids = self.ids()?;
        let matching: Vec<&String> = match ids.iter().find(|id| *id == typed) {
            Some(id) => vec![id],
            None if typed.is_empty() => Vec::new(),
            None => ids.iter().filter(|id| id.starts_with(typed)).collect(),
        };
        match matching[..] {
            [id] => Ok(self.load(id)?),
            [] => Err(StoreError::Unknown {
                typed: typed.to_owned(),
                folder: self.folder.clone(),
                near: nearest(typed, ids.iter().map(String::as_str)).map(str::to_owned),
            }),
            _ => Err(StoreError::Ambiguous {
                typed: typed.to_owned(),
                candidates: matching.into_iter().cloned().collect(),
            }),
        }
    }
}

/// A file's text, in a buffer that serves for all of them.
fn read_into<'a>(buffer: &'a mut Vec<u8>, path: &Path) -> io::Result<&'a str> {
    mlbuild_files::read_into(path, buffer)?;
    str::from_utf8(buffer).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
}

fn named(candidates: &[String]) -> String {
    let first: Vec<&str> = candidates
        .iter()
        .take(MOST_NAMED)
        .map(String::as_str)
        .collect();
    match candidates.len().saturating_sub(MOST_NAMED) {
        0 => first.join(", "),
        more => format!("{}, and {more} more", first.join(", ")),
    }
}
