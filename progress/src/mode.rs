//! In which form a build is shown.

use std::str::FromStr;

/// How progress is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum ProgressMode {
    /// [`Tty`](Self::Tty) on a capable terminal, else [`Plain`](Self::Plain).
    #[default]
    Auto,
    /// A live region at the bottom of a terminal.
    Tty,
    /// Lines.
    Plain,
    /// One JSON object per status message, in buildx's shape.
    RawJson,
    /// Nothing: the caller writes the events on, in a form of its own.
    Json,
    /// Nothing.
    Quiet,
}

impl ProgressMode {
    /// The names that a command line takes, as buildx spells them; `json` is ours.
    pub const NAMES: [&'static str; 6] = ["auto", "tty", "plain", "rawjson", "json", "quiet"];
}

impl FromStr for ProgressMode {
    type Err = String;

    fn from_str(name: &str) -> Result<Self, Self::Err> {
        match name {
            "auto" => Ok(Self::Auto),
            "tty" => Ok(Self::Tty),
            "plain" => Ok(Self::Plain),
            "rawjson" => Ok(Self::RawJson),
            "json" => Ok(Self::Json),
            "quiet" | "none" => Ok(Self::Quiet),
            _ => Err(format!(
                "unknown progress mode {name:?}: use one of {}",
                Self::NAMES.join(", ")
            )),
        }
    }
}
