//! The `.data` folder: its parts move to where the environment has them.

use sha2::{Digest as _, Sha256};

use super::entry_points::shebang;
use super::metadata::bad;
use super::record::encoded;
use super::{InstallPath, Installer, Source, is_executable, path};
use crate::error::Fault;

/// How a script begins that is for the environment's Python.
const PLACEHOLDER: &[u8] = b"#!python";

impl Installer<'_> {
    /// Moves each file of the `.data` folder. Scripts that an entry point replaces are dropped.
    pub(super) fn move_data(&mut self) -> Result<(), Fault> {
        let data = self.data_folder();
        let below = self
            .entries
            .iter()
            .filter(|(path, _)| path.starts_with(&data));
        let files: Vec<(String, usize)> =
            below.map(|(path, at)| ((*path).to_owned(), *at)).collect();
        for (path, at) in files {
            let inside = &path[data.len()..];
            let Some((part, rest)) = inside.split_once('/') else {
                return Err(bad(&path, "it belongs to no part of the environment"));
            };
            if part == "scripts" {
                self.script(&path, rest, at)?;
                continue;
            }
            let folder = self.folder_of(&path, part)?;
            let target = format!("{folder}{rest}");
            self.place(&path, target, at)?;
        }
        self.move_folders()
    }

    /// Where a part of the `.data` folder goes, with a slash at its end.
    fn folder_of(&self, path: &str, part: &str) -> Result<String, Fault> {
        Ok(match part {
            "purelib" | "platlib" => format!("{}/", self.target.site_packages()),
            "headers" => format!("{}/{}/", self.target.headers(), self.wheel.name.name),
            "data" => String::new(),
            _ => {
                let why = format!("{part:?} is no part of an environment");
                return Err(bad(path, why));
            }
        })
    }

    fn place(&mut self, path: &str, target: String, at: usize) -> Result<(), Fault> {
        let relative = path::relative(&target, &self.target.site_packages());
        self.record.moved(path, relative, None)?;
        let is_executable = is_executable(self.wheel.archive.entries()[at].mode);
        let source = Source::Entry { at, is_executable };
        self.insert(path, target, source)
    }

    /// Puts a file where it goes, but never in the place of the environment's Python.
    fn insert(&mut self, path: &str, target: String, source: Source) -> Result<(), Fault> {
        let target = InstallPath::new(target);
        self.refuse_own(path, &target)?;
        self.out.files.insert(target, source);
        Ok(())
    }

    /// Refuses what would stand in the place of a link or a file of the environment itself: also a
    /// folder of its name, and what is in that.
    fn refuse_own(&self, path: &str, target: &InstallPath) -> Result<(), Fault> {
        let minor = format!("bin/python{}", self.target.python);
        let own = ["bin/python", "bin/python3", &minor, "pyvenv.cfg", "lib64"];
        let mut own = own
            .map(|part| InstallPath::new(part.to_owned()))
            .into_iter();
        if own.any(|part| target.is_in(&part)) {
            return Err(Fault::Path {
                path: path.to_owned(),
                why: "would replace a part of the environment itself",
            });
        }
        Ok(())
    }

    fn script(&mut self, path: &str, name: &str, at: usize) -> Result<(), Fault> {
        if name.contains('/') {
            return Err(bad(path, "scripts can't be in folders"));
        }
        if self.programs.replaces(name) {
            return Ok(());
        }
        let target = format!("bin/{name}");
        let relative = path::relative(&target, &self.target.site_packages());
        let (source, changed) = self.with_shebang(at)?;
        self.record.moved(path, relative, changed)?;
        self.insert(path, target, source)
    }

    /// A script that begins with `#!python` gets the environment's as its first line, without
    /// what else stands there; others stay as they are. Either way it can be executed.
    fn with_shebang(&mut self, at: usize) -> Result<(Source, Option<(String, u64)>), Fault> {
        let archive = &self.wheel.archive;
        let entry = &archive.entries()[at];
        let first = archive.start(entry, self.scratch, PLACEHOLDER.len())?;
        if first != PLACEHOLDER {
            let is_executable = true;
            return Ok((Source::Entry { at, is_executable }, None));
        }
        let start = format!("{}\n", shebang(&self.target.executable())).into_bytes();
        let mut hash = Sha256::new_with_prefix(&start);
        let (mut skip, mut is_first_line) = (0, true);
        archive.content(entry, self.scratch, |mut piece| {
            if is_first_line {
                let end = piece.iter().position(|&byte| byte == b'\n');
                is_first_line = end.is_none();
                let line = end.map_or(piece.len(), |end| end + 1);
                skip += line as u64;
                piece = &piece[line..];
            }
            hash.update(piece);
            Ok::<(), Fault>(())
        })?;
        let size = start.len() as u64 + entry.size - skip;
        let changed = Some((encoded(&hash.finalize()), size));
        Ok((Source::Rewritten { at, skip, start }, changed))
    }

    /// Folders of the `.data` folder, also those without files.
    fn move_folders(&mut self) -> Result<(), Fault> {
        let data = self.data_folder();
        for entry in self.wheel.archive.entries() {
            let Some(inside) = entry.path.strip_prefix(&data) else {
                continue;
            };
            let Some((part, rest)) = inside.split_once('/') else {
                continue;
            };
            if !entry.is_folder {
                continue;
            }
            if part == "scripts" {
                return Err(bad(&entry.path, "scripts can't be in folders"));
            }
            let folder = self.folder_of(&entry.path, part)?;
            let target = InstallPath::new(format!("{folder}{rest}"));
            self.refuse_own(&entry.path, &target)?;
            self.out.folders.insert(target);
        }
        Ok(())
    }
}
