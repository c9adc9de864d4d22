//! What a layer is found by.

use sha2::{Digest as _, Sha256};

use crate::layer::LAYER_FORMAT;
use crate::sink::Compression;
use crate::target::Target;

/// The hash of all that a layer's bytes depend on.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerKey(String);

impl LayerKey {
    /// The key of the layer of wheels, by their hashes (hex), in any order; `compiler` names the Python
    /// whose bytecode is in it (see [`BytecodeKey`](crate::BytecodeKey)).
    pub fn of<'a>(
        wheels: impl IntoIterator<Item = &'a str>,
        target: &Target,
        compression: Compression,
        compiler: Option<&str>,
    ) -> Self {
        let mut wheels: Vec<&str> = wheels.into_iter().collect();
        wheels.sort_unstable();
        let mut text = format!(
            "{LAYER_FORMAT}\n{}\n{}\n{}\n{}\n",
            compression.name(),
            target.python,
            target.prefix(),
            wheels.join("\n")
        );
        if let Some(compiler) = compiler {
            text.push_str(&format!("bytecode of {compiler}\n"));
        }
        Self(hex::encode(Sha256::digest(text)))
    }

    /// The key of a layer of something else than wheels, by a text that says all that its bytes depend on.
    pub fn of_text(text: &str) -> Self {
        Self(hex::encode(Sha256::digest(format!(
            "{LAYER_FORMAT}\nnot of wheels\n{text}"
        ))))
    }

    /// Hexadecimal digits.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}
