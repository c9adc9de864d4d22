//! The shared libraries that a wheel brings, and those that its compiled files look for: what
//! `templates/data/resolve/libraries.sh` asks `ldd` for in a container, read from the files.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Seek as _, SeekFrom, Write as _};
use std::path::Path;

use object::elf::{DT_NEEDED, DT_NULL, DT_STRTAB, FileHeader32, FileHeader64, PT_LOAD};
use object::read::elf::{Dyn as _, FileHeader, ProgramHeader as _};
use object::{Endianness, FileKind, ReadCache, ReadRef};
use serde::{Deserialize, Serialize};

use crate::error::{Fault, LayerError};
use crate::layer::Stopped;
use crate::wheel::Wheel;
use crate::zip::{Entry, Scratch};

/// Bytes of a file's list of what the loader has to know; the longest real ones have a thousand.
const MOST_DYNAMIC: u64 = 1 << 20;
/// Names that one wheel may look for; the most of real ones is a hundred.
const MOST_NAMES: usize = 10_000;
/// Bytes of a library's name.
const LONGEST_NAME: u64 = 4096;

/// Shared libraries by the names of their files.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Libraries {
    /// Those that the wheel brings, its modules among them.
    pub brought: BTreeSet<String>,
    /// Those that its compiled files say they need.
    pub needed: BTreeSet<String>,
}

impl Libraries {
    /// Reads the compiled files of a wheel, each by way of a file in `folder` that has no name.
    ///
    /// # Errors
    /// A wheel that is damaged or says it needs more than any does, and a folder that can't be written to.
    pub fn of(wheel: &Wheel, folder: &Path) -> Result<Self, LayerError> {
        let mut libraries = Self::default();
        let mut scratch = Scratch::new();
        // Large, and looked for by others alone: their names are enough.
        let by_name = wheel.name.file.starts_with("nvidia_");
        for entry in wheel.archive.entries() {
            let Some(name) = library_name(entry) else {
                continue;
            };
            libraries.brought.insert(name.to_owned());
            if by_name || !is_looked_at(&entry.path, name) {
                continue;
            }
            let mut file = tempfile::tempfile_in(folder).map_err(LayerError::Write)?;
            let read = wheel.archive.content(entry, &mut scratch, |piece| {
                file.write_all(piece).map_err(Stopped::Write)
            });
            read.map_err(|stopped| stopped.of(wheel))?;
            libraries.needed.extend(needed(file)?);
            if libraries.needed.len() > MOST_NAMES {
                let fault = Fault::TooLarge {
                    what: "libraries that it needs",
                    found: libraries.needed.len() as u64,
                    most: MOST_NAMES as u64,
                };
                return Err(wheel.error(fault).into());
            }
        }
        Ok(libraries)
    }
}

/// The name of a file that may be a shared library.
fn library_name(entry: &Entry) -> Option<&str> {
    let name = entry.path.rsplit('/').next()?;
    (!entry.is_folder && name.contains(".so")).then_some(name)
}

/// Of Qt's plugins only the one for X windows counts.
fn is_looked_at(path: &str, name: &str) -> bool {
    let path = format!("/{path}");
    !path.contains("/qml/") && (!path.contains("/plugins/") || name == "libqxcb.so")
}

/// What a file says it needs; nothing where it is none that the loader would take.
fn needed(mut file: File) -> Result<Vec<String>, LayerError> {
    file.seek(SeekFrom::Start(0)).map_err(LayerError::Write)?;
    let data = ReadCache::new(file);
    let found = match FileKind::parse(&data) {
        Ok(FileKind::Elf64) => of_elf::<FileHeader64<Endianness>, _>(&data),
        Ok(FileKind::Elf32) => of_elf::<FileHeader32<Endianness>, _>(&data),
        _ => None,
    };
    Ok(found.unwrap_or_default())
}

/// The `DT_NEEDED` of an ELF file (System V ABI, "Dynamic Section"), by its segments alone: its sections may
/// be stripped.
fn of_elf<'a, Elf, Data>(data: Data) -> Option<Vec<String>>
where
    Elf: FileHeader<Endian = Endianness>,
    Data: ReadRef<'a>,
{
    let header = Elf::parse(data).ok()?;
    let endian = header.endian().ok()?;
    let segments = header.program_headers(endian, data).ok()?;
    let (mut names, mut table) = (Vec::new(), None);
    for segment in segments {
        if segment.p_filesz(endian).into() > MOST_DYNAMIC {
            continue;
        }
        let Ok(Some(entries)) = segment.dynamic(endian, data) else {
            continue;
        };
        for entry in entries {
            match entry.tag(endian) {
                DT_NULL => break,
                DT_NEEDED => names.push(entry.val(endian)),
                DT_STRTAB => table = Some(entry.val(endian)),
                _ => {}
            }
        }
    }
    let table = table?;
    // Where the table of names is loaded to says where it stands in the file.
    let start = segments.iter().find_map(|segment| {
        let loaded: u64 = segment.p_vaddr(endian).into();
        let size: u64 = segment.p_filesz(endian).into();
        let inside = table.checked_sub(loaded).filter(|inside| *inside < size)?;
        let is_loaded = segment.p_type(endian) == PT_LOAD;
        is_loaded.then(|| segment.p_offset(endian).into().checked_add(inside))?
    })?;
    let name = |at: &u64| {
        let at = start.checked_add(*at)?;
        let end = at.checked_add(LONGEST_NAME)?.min(data.len().ok()?);
        let bytes = data.read_bytes_at_until(at..end, 0).ok()?;
        Some(String::from_utf8_lossy(bytes).into_owned())
    };
    // A name that can't be read is one that no system has.
    let names = names.iter().take(MOST_NAMES + 1);
    Some(names.map(|at| name(at).unwrap_or_default()).collect())
}

impl Wheel {
    /// Writes the content of one of its files, by its path in the archive; false where there is none.
    ///
    /// # Errors
    /// A damaged wheel, and an `out` that can't be written.
    pub fn write_file(&self, path: &str, out: &mut impl io::Write) -> Result<bool, LayerError> {
        let mut entries = self.archive.entries().iter().rev();
        let Some(entry) = entries.find(|entry| &*entry.path == path) else {
            return Ok(false);
        };
        let mut scratch = Scratch::new();
        let read = self.archive.content(entry, &mut scratch, |piece| {
            out.write_all(piece).map_err(Stopped::Write)
        });
        read.map_err(|stopped| stopped.of(self))?;
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::SmallWheel;

    /// A shared library of this machine: the test's own program, which needs the C library.
    fn compiled() -> Vec<u8> {
        std::fs::read(std::env::current_exe().unwrap()).unwrap()
    }

    fn libraries(files: &[(&str, &[u8])]) -> Libraries {
        let folder = tempfile::tempdir().unwrap();
        let wheel = SmallWheel::new("x");
        let wheel = files
            .iter()
            .fold(wheel, |wheel, (path, bytes)| wheel.file(path, bytes));
        Libraries::of(&wheel.open().unwrap(), folder.path()).unwrap()
    }

    #[test]
    fn compiled_files_say_what_they_need() {
        let program = compiled();
        let found = libraries(&[
            ("x/_native.cpython-311-x86_64-linux-gnu.so", &program),
            ("x.libs/libgomp-a34b3233.so.1.0.0", b"none"),
            ("x/text.py", b"import x\n"),
        ]);
        assert_eq!(found.brought.len(), 2, "{found:?}");
        assert!(found.brought.contains("libgomp-a34b3233.so.1.0.0"));
        assert!(
            found.needed.iter().any(|name| name.starts_with("libc.so")),
            "{found:?}"
        );
    }

    #[test]
    fn of_plugins_the_one_for_x_windows_is_looked_at() {
        let program = compiled();
        for (path, is_looked_at) in [
            ("qt/plugins/platforms/libqxcb.so", true),
            ("qt/plugins/platforms/libqwayland.so", false),
            ("qml/libqxcb.so", false),
            ("qt/lib/libQt6Core.so.6", true),
        ] {
            let found = libraries(&[(path, &program)]);
            assert_eq!(!found.needed.is_empty(), is_looked_at, "{path}");
            assert_eq!(found.brought.len(), 1);
        }
    }

    /// Each byte of the headers is made another one: nothing panics, and no name is longer than the file.
    #[test]
    fn damaged_compiled_files_need_what_can_be_read() {
        use std::os::unix::fs::FileExt as _;
        let program = compiled();
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(&program).unwrap();
        for at in 0..600 {
            for value in [0, 1, 0x7f, 0xff] {
                file.write_all_at(&[value], at as u64).unwrap();
                let names = needed(file.try_clone().unwrap()).unwrap();
                assert!(names.len() <= MOST_NAMES + 1);
            }
            file.write_all_at(&program[at..=at], at as u64).unwrap();
        }
        assert!(!needed(file).unwrap().is_empty());
    }
}
