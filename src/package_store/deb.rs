//! When a Debian package was made: the time in its archive's first header.

use std::fs::File;
use std::io::{self, Read, Seek as _};

/// Seconds since 1970-01-01; nothing in the package is newer.
///
/// # Errors
/// Where the file is no Debian package.
pub(super) fn made(file: &mut File) -> io::Result<i64> {
    let bad = || io::Error::new(io::ErrorKind::InvalidData, "not a Debian package");
    // "!<arch>\n", then a name of 16 bytes and a decimal time of 12.
    let mut head = [0; 8 + 16 + 12];
    file.read_exact(&mut head)?;
    file.rewind()?;
    if !head.starts_with(b"!<arch>\ndebian-binary") {
        return Err(bad());
    }
    let time = std::str::from_utf8(&head[24..]).map_err(|_| bad())?;
    time.trim().parse().map_err(|_| bad())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_is_read_and_other_files_are_refused() {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(
            &file,
            "!<arch>\ndebian-binary   1700000000  0     0     100644  4         `\n2.0\n",
        )
        .unwrap();
        assert_eq!(
            made(&mut File::open(&file).unwrap()).unwrap(),
            1_700_000_000
        );
        std::fs::write(&file, "PK").unwrap();
        assert!(made(&mut File::open(&file).unwrap()).is_err());
    }
}
