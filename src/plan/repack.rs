//! How the final bytes of an image are written where mlbuild writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

/// Its name has the mark that levels have.
const CHUNKED: &str = "zstd:chunked";

/// What is written the same by everybody.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Repack {
    /// Seconds since 1970-01-01 that no time in the image lies after.
    pub epoch: i64,
    /// How layers are compressed.
    pub compression: Compression,
}

/// How layers are compressed. The compressors are part of this program, so the same level gives
/// the same bytes everywhere.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compression {
    /// zstd of a level from 1 to 22.
    Zstd(i32),
    /// gzip of a level from 1 to 9, for what can't read zstd.
    Gzip(u32),
    /// None.
    None,
    /// gzip of level 6 with a table of contents, to be pulled file by file by containerd's stargz snapshotter.
    Estargz,
    /// zstd of level 3 with a table of contents, to be pulled file by file by Podman and CRI-O.
    ZstdChunked,
}

impl Default for Compression {
    /// zstd's own default.
    fn default() -> Self {
        Compression::Zstd(3)
    }
}

impl Compression {
    /// By its name and level.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn new(name: &str, level: Option<i32>) -> Result<Self, String> {
        let within = |level: i32, most: i32| {
            if (1..=most).contains(&level) {
                Ok(level)
            } else {
                Err(format!("{name} has levels from 1 to {most}, not {level}"))
            }
        };
        match (name, level) {
            ("zstd", level) => Ok(Compression::Zstd(within(level.unwrap_or(3), 22)?)),
            ("gzip", level) => {
                let level = within(level.unwrap_or(6), 9)?;
                Ok(Compression::Gzip(level.unsigned_abs()))
            }
            ("none", None) => Ok(Compression::None),
            ("estargz", None) => Ok(Compression::Estargz),
            (CHUNKED, None) => Ok(Compression::ZstdChunked),
            ("none" | "estargz" | CHUNKED, Some(_)) => Err(format!("{name} has no level")),
            _ => Err(format!(
                "`{name}` is no compression; there are zstd, gzip, none, estargz and zstd:chunked"
            )),
        }
    }
}

impl Compression {
    /// Whether layers can be pulled file by file.
    pub fn is_lazy(self) -> bool {
        matches!(self, Compression::Estargz | Compression::ZstdChunked)
    }

    /// As a lock has it: with a level in every case.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_lock(name: &str, level: i32) -> Result<Self, String> {
        match (name, level) {
            ("estargz", 6) | (CHUNKED, 3) => Self::new(name, None),
            _ => Self::new(name, Some(level)),
        }
    }
}

impl FromStr for Compression {
    type Err = String;

    /// `zstd`, `zstd:19`, `gzip:9`, `none`, `estargz`, `zstd:chunked`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == CHUNKED {
            return Self::new(text, None);
        }
        match text.rsplit_once(':') {
            None => Self::new(text, None),
            Some((name, level)) => {
                let level = level
                    .parse()
                    .map_err(|_| format!("`{level}` is no level"))?;
                Self::new(name, Some(level))
            }
        }
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Compression::Zstd(level) => write!(f, "zstd:{level}"),
            Compression::Gzip(level) => write!(f, "gzip:{level}"),
            Compression::None => f.write_str("none"),
            Compression::Estargz => f.write_str("estargz"),
            Compression::ZstdChunked => f.write_str(CHUNKED),
        }
    }
}

impl Serialize for Compression {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

#[cfg(test)]
mod tests {
    use super::{CHUNKED, Compression};

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in ["zstd:3", "zstd:19", "gzip:6", "none", "estargz", CHUNKED] {
            assert_eq!(text.parse::<Compression>().unwrap().to_string(), text);
        }
        assert_eq!("zstd".parse(), Ok(Compression::default()));
    }

    #[test]
    fn what_it_can_t_be() {
        for (text, why) in [
            (
                "brotli",
                "`brotli` is no compression; there are zstd, gzip, none, estargz and zstd:chunked",
            ),
            ("zstd:23", "zstd has levels from 1 to 22, not 23"),
            ("gzip:0", "gzip has levels from 1 to 9, not 0"),
            ("none:1", "none has no level"),
            ("estargz:9", "estargz has no level"),
            ("zstd:chunked:9", "zstd:chunked has no level"),
            ("zstd:x", "`x` is no level"),
        ] {
            assert_eq!(text.parse::<Compression>().unwrap_err(), why);
        }
    }
}
