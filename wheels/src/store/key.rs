//! What a layer is found by.

use sha2::{Digest as _, Sha256};

use crate::layer::LAYER_FORMAT;
use crate::sink::Compression;
use crate::target::Target;

/// The hash of all that a layer's bytes depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerKey(String);

impl LayerKey {
    /// The key of the layer of wheels, by their hashes (hex), in any order.
    pub fn of<'a>(
        wheels: impl IntoIterator<Item = &'a str>,
        target: &Target,
        compression: Compression,
    ) -> Self {
        let mut wheels: Vec<&str> = wheels.into_iter().collect();
        wheels.sort_unstable();
        let text = format!(
            "{LAYER_FORMAT}\n{}\n{}\n{}\n{}\n",
            compression.name(),
            target.python,
            target.prefix(),
            wheels.join("\n")
        );
        Self(hex::encode(Sha256::digest(text)))
    }

    /// Hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
