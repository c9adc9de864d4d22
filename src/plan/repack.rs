//! How the final bytes of an image are written where mlbuild writes them.

use std::fmt;
use std::str::FromStr;

use serde::{Serialize, Serializer};

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
            ("none", Some(_)) => Err("none has no level".to_owned()),
            _ => Err(format!(
                "`{name}` is no compression; there are zstd, gzip and none"
            )),
        }
    }
}

impl FromStr for Compression {
    type Err = String;

    /// `zstd`, `zstd:19`, `gzip:9`, `none`.
    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once(':') {
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
    use super::Compression;

    #[test]
    fn it_is_written_as_it_is_read() {
        for text in ["zstd:3", "zstd:19", "gzip:6", "none"] {
            assert_eq!(text.parse::<Compression>().unwrap().to_string(), text);
        }
        assert_eq!("zstd".parse(), Ok(Compression::default()));
    }

    #[test]
    fn what_it_can_t_be() {
        for (text, why) in [
            (
                "brotli",
                "`brotli` is no compression; there are zstd, gzip and none",
            ),
            ("zstd:23", "zstd has levels from 1 to 22, not 23"),
            ("gzip:0", "gzip has levels from 1 to 9, not 0"),
            ("none:1", "none has no level"),
            ("zstd:x", "`x` is no level"),
        ] {
            assert_eq!(text.parse::<Compression>().unwrap_err(), why);
        }
    }
}
