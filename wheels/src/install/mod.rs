//! Where each file of a wheel goes, and what is made beside them: as uv does it.
//!
//! First everything is unpacked into `site-packages`; then come the programs of entry points, then
//! the `.data` folder's parts move to where they belong, and last RECORD is written anew. A later
//! step takes the place of an earlier one's file. As with `UV_NO_INSTALLER_METADATA`, no
//! INSTALLER, REQUESTED or `direct_url.json` is written: they would say who installed, not what.

mod data;
mod entry_points;
mod metadata;
mod path;
mod record;

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::bytecode::{Bytecode, is_cached};
use crate::error::{Fault, WheelError};
use crate::target::Target;
use crate::wheel::Wheel;
use crate::zip::Scratch;

use entry_points::Programs;
pub(crate) use path::InstallPath;
use record::Record;

/// Bytes that one file of the metadata may have. The largest RECORDs have two million.
const MOST_METADATA: u64 = 12 << 20;

/// What a wheel comes to, below the environment's folder.
pub(crate) struct Installation {
    pub(crate) files: BTreeMap<InstallPath, Source>,
    /// Folders that the archive names; those above files come with them.
    pub(crate) folders: BTreeSet<InstallPath>,
    /// Hashes that RECORD has of entries, by their place in the archive's list.
    pub(crate) hashes: HashMap<usize, String>,
}

/// Where a file's content comes from.
#[derive(Clone, Debug)]
pub(crate) enum Source {
    /// An entry of the archive, as it is.
    Entry { at: usize, is_executable: bool },
    /// An entry with its first bytes replaced.
    Rewritten {
        at: usize,
        skip: u64,
        start: Vec<u8>,
    },
    /// Made here.
    Made { bytes: Vec<u8>, is_executable: bool },
    /// Bytecode of the wheel, by its path.
    Compiled { path: String, size: u64 },
}

impl Source {
    /// Bytes that it comes to.
    pub(crate) fn size(&self, wheel: &Wheel) -> u64 {
        let entries = wheel.archive.entries();
        match self {
            Source::Made { bytes, .. } => bytes.len() as u64,
            Source::Entry { at, .. } => entries[*at].size,
            Source::Rewritten { at, skip, start } => entries[*at].size - skip + start.len() as u64,
            Source::Compiled { size, .. } => *size,
        }
    }

    /// The entry of the archive that it is of.
    pub(crate) fn entry(&self) -> Option<usize> {
        match self {
            Source::Entry { at, .. } | Source::Rewritten { at, .. } => Some(*at),
            Source::Made { .. } | Source::Compiled { .. } => None,
        }
    }
}

/// An installation in the making.
struct Installer<'a> {
    wheel: &'a Wheel,
    target: &'a Target,
    scratch: &'a mut Scratch,
    /// The entry of each path of the archive; of two with one path the later one.
    entries: BTreeMap<&'a str, usize>,
    /// `NAME-VERSION` of `NAME-VERSION.dist-info`.
    stem: String,
    record: Record,
    programs: Programs,
    out: Installation,
}

impl Installation {
    /// Reads a wheel's metadata and decides where its files go. Contents are only looked at where
    /// that decides something.
    pub(crate) fn plan(
        wheel: &Wheel,
        target: &Target,
        scratch: &mut Scratch,
    ) -> Result<Self, WheelError> {
        plan(wheel, target, scratch).map_err(|fault| wheel.error(fault))
    }

    /// Takes bytecode in, in place of all that the wheel brings.
    pub(crate) fn compiled(&mut self, bytecode: &Bytecode) {
        self.files.retain(|path, _| !is_cached(path.as_str()));
        self.folders.retain(|path| !is_cached(path.as_str()));
        for (path, size) in bytecode.entries() {
            let source = Source::Compiled {
                path: path.to_owned(),
                size,
            };
            self.files.insert(InstallPath::new(path.to_owned()), source);
        }
    }
}

fn plan(wheel: &Wheel, target: &Target, scratch: &mut Scratch) -> Result<Installation, Fault> {
    let entries = entries_by_path(wheel)?;
    let stem = metadata::stem(&entries)?;
    let read = |file: &str, scratch: &mut Scratch| match entries.get(file) {
        Some(&at) => wheel
            .archive
            .bytes(&wheel.archive.entries()[at], scratch, MOST_METADATA),
        None => Err(metadata::bad(file, "it is missing")),
    };
    let in_info = |file: &str| format!("{stem}.dist-info/{file}");
    metadata::check_package(
        &in_info("METADATA"),
        &read(&in_info("METADATA"), scratch)?,
        wheel,
    )?;
    metadata::check_format(&in_info("WHEEL"), &read(&in_info("WHEEL"), scratch)?)?;
    let record = Record::parse(&in_info("RECORD"), &read(&in_info("RECORD"), scratch)?)?;
    let file = in_info("entry_points.txt");
    let programs = if entries.contains_key(file.as_str()) {
        Programs::parse(&file, read(&file, scratch)?, target)?
    } else {
        Programs::default()
    };
    let hashes = record.check(wheel.archive.entries(), &entries, &stem)?;
    let mut installer = Installer {
        wheel,
        target,
        scratch,
        entries,
        stem,
        record,
        programs,
        out: Installation {
            files: BTreeMap::new(),
            folders: BTreeSet::new(),
            hashes,
        },
    };
    installer.unpack();
    installer.add_programs()?;
    installer.move_data()?;
    installer.write_record()?;
    installer.out.without_clashes()
}

fn entries_by_path(wheel: &Wheel) -> Result<BTreeMap<&str, usize>, Fault> {
    let mut entries = BTreeMap::new();
    for (at, entry) in wheel.archive.entries().iter().enumerate() {
        if !entry.is_folder {
            entries.insert(&*entry.path, at);
        }
    }
    Ok(entries)
}

impl Installer<'_> {
    fn data_folder(&self) -> String {
        format!("{}.data/", self.stem)
    }

    /// Everything but the `.data` folder, into `site-packages`.
    fn unpack(&mut self) {
        let site = self.target.site_packages();
        let data = self.data_folder();
        let archive = self.wheel.archive.entries();
        for (path, &at) in &self.entries {
            if !path.starts_with(&data) {
                let is_executable = is_executable(archive[at].mode);
                let source = Source::Entry { at, is_executable };
                let path = InstallPath::new(format!("{site}/{path}"));
                self.out.files.insert(path, source);
            }
        }
        for folder in archive.iter().filter(|entry| entry.is_folder) {
            let is_data = format!("{}/", folder.path).starts_with(&data);
            if !folder.path.is_empty() && !is_data {
                let path = InstallPath::new(format!("{site}/{}", folder.path));
                self.out.folders.insert(path);
            }
        }
    }

    fn add_programs(&mut self) -> Result<(), Fault> {
        for program in &self.programs.all {
            let bytes = program.launcher(&self.target.executable()).into_bytes();
            let path = format!("bin/{}", program.name);
            let relative = path::relative(&path, &self.target.site_packages());
            self.record.add(relative, &bytes);
            let source = Source::Made {
                bytes,
                is_executable: true,
            };
            self.out.files.insert(InstallPath::new(path), source);
        }
        Ok(())
    }

    fn write_record(&mut self) -> Result<(), Fault> {
        let file = format!("{}.dist-info/RECORD", self.stem);
        let at = self.entries[file.as_str()];
        let source = Source::Made {
            bytes: self.record.write(),
            is_executable: is_executable(self.wheel.archive.entries()[at].mode),
        };
        let path = format!("{}/{file}", self.target.site_packages());
        self.out.files.insert(InstallPath::new(path), source);
        // What it says of itself is no hash of it, and it is another file now.
        self.out.hashes.remove(&at);
        Ok(())
    }
}

impl Installation {
    /// Refuses a path that is a file and a folder.
    fn without_clashes(self) -> Result<Self, Fault> {
        let mut file: Option<&InstallPath> = None;
        let folders = self.folders.iter().map(|path| (path, false));
        let files = self.files.keys().map(|path| (path, true));
        let mut all: Vec<_> = folders.chain(files).collect();
        all.sort();
        for (path, is_file) in all {
            if let Some(file) = file
                && path.is_in(file)
            {
                return Err(Fault::Path {
                    path: file.to_string(),
                    why: "is a file and a folder",
                });
            }
            if is_file {
                file = Some(path);
            }
        }
        Ok(self)
    }
}

/// uv gives a file all its x bits if it has one.
fn is_executable(mode: u16) -> bool {
    mode & 0o111 != 0
}
