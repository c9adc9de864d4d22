//! The data of a run, by fingerprints.

use oci_spec::image::Digest;
use serde::{Deserialize, Serialize};

use crate::toml_text::{TomlText, quoted};

/// A file, a folder or an address that a run had its data from. `docs/run-records.md` specifies the digests.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunData {
    /// Its path, from the project's folder where it lies in there; or its address, which nobody looked at.
    pub name: String,
    /// Regular files in it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub files: Option<u64>,
    /// Bytes of those.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// Of names, sizes and samples of the content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Digest>,
    /// Of names and the times of the last changes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub times: Option<Digest>,
    /// Of names, sizes and the whole content, where that was asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub full: Option<Digest>,
    /// What wasn't read, as `path: why`: the first of it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub left_out: Vec<String>,
}

impl RunData {
    pub(super) fn write(&self, out: &mut TomlText) {
        out.array_table("data");
        out.string("name", &self.name);
        for (key, number) in [("files", self.files), ("bytes", self.bytes)] {
            if let Some(number) = number {
                out.plain(key, number);
            }
        }
        out.optional("sample", self.sample.as_ref());
        out.optional("times", self.times.as_ref());
        out.optional("full", self.full.as_ref());
        if !self.left_out.is_empty() {
            out.list("left_out", self.left_out.iter().map(|item| quoted(item)));
        }
    }
}
