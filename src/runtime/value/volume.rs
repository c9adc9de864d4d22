//! `--volume [SOURCE:]TARGET[:OPTIONS]`.

use std::fmt;
use std::str::FromStr;

use super::Mount;

/// A folder of the host or a volume, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Volume {
    /// A path of the host, or a volume's name; `None`: a new volume without a name.
    pub source: Option<String>,
    /// The path in the container.
    pub target: String,
    /// `ro`, `z`, `cached` and the like.
    pub options: Vec<String>,
}

impl Volume {
    /// The same as `--mount` says it; `None` if it has an option that only `--volume` has.
    pub fn as_mount(&self) -> Option<Mount> {
        let readonly = match self.options.as_slice() {
            [] => false,
            [one] if one == "rw" => false,
            [one] if one == "ro" => true,
            _ => return None,
        };
        let is_path = |source: &str| source.starts_with(['/', '.', '~']);
        let kind = match self.source.as_deref() {
            Some(source) if is_path(source) => "bind",
            _ => "volume",
        };
        Some(Mount {
            kind: kind.to_owned(),
            source: self.source.clone(),
            target: self.target.clone(),
            readonly,
            options: Vec::new(),
        })
    }
}

impl FromStr for Volume {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(':').collect();
        let (source, target, options) = match parts[..] {
            [target] => (None, target, ""),
            [source, target] => (Some(source), target, ""),
            [source, target, options] => (Some(source), target, options),
            _ => return Err("too many colons; write SOURCE:DIR or SOURCE:DIR:ro".to_owned()),
        };
        if source == Some("") {
            return Err("the source is empty; write SOURCE:DIR".to_owned());
        }
        if !target.starts_with('/') {
            return Err(format!(
                "the path in the container, `{target}`, must begin with /"
            ));
        }
        let options = options.split(',').filter(|o| !o.is_empty());
        Ok(Self {
            source: source.map(str::to_owned),
            target: target.to_owned(),
            options: options.map(str::to_owned).collect(),
        })
    }
}

impl fmt::Display for Volume {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(source) = &self.source {
            write!(f, "{source}:")?;
        }
        f.write_str(&self.target)?;
        if !self.options.is_empty() {
            write!(f, ":{}", self.options.join(","))?;
        }
        Ok(())
    }
}
