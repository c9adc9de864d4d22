//! Bytecode of a wheel's modules, which an image's own Python makes and this crate puts beside them.
//!
//! | step | type | file |
//! | --- | --- | --- |
//! | which modules there are, and what goes to the compiler | [`Sources`] | `sources.rs` |
//! | what may come back, and the file that keeps it | [`Bytecode`] | `kept.rs` |
//!
//! Whoever compiles is the base image's Python, and what it gives is read as if an enemy had made it: it
//! names no path, only the number of a source, and each content is bounded by the size of its source.
//! So it can put bytes at `…/__pycache__/NAME.cpython-XY.pyc` of a module that the wheel has, and nowhere
//! else.

mod kept;
mod sources;
#[cfg(test)]
mod tests;

use crate::target::{PythonVersion, Target};

pub(crate) use kept::read_answer;
pub use kept::{AnswerError, Bytecode};
pub use sources::{ModuleSource, Sources, write_sources};

/// What bytecode is found by: the wheel, where it is installed, and the Python that made it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BytecodeKey(String);

impl BytecodeKey {
    /// The key of a wheel's bytecode, by its hash (hex). `compiler` names the Python that makes it, with
    /// all that it loads: another image's could answer anything.
    pub fn of(wheel: &str, target: &Target, compiler: &str) -> Self {
        use sha2::{Digest as _, Sha256};
        let text = format!(
            "bytecode {FORMAT}\n{}\n{}\n{compiler}\n{wheel}\n",
            target.python,
            target.prefix()
        );
        Self(hex::encode(Sha256::digest(text)))
    }

    pub(crate) fn as_str(&self) -> &str {
        &self.0
    }
}

/// How modules are compiled. Another number wherever the same Python comes to other bytes.
const FORMAT: u32 = 2;

/// The name of the folder that Python keeps bytecode in.
const CACHE: &str = "__pycache__";

/// Where Python looks for a module's bytecode (PEP 3147).
fn cache_path(source: &str, python: PythonVersion) -> Option<String> {
    let (folder, file) = source.rsplit_once('/')?;
    let name = file.strip_suffix(".py")?;
    let (major, minor) = (python.major, python.minor);
    Some(format!(
        "{folder}/{CACHE}/{name}.cpython-{major}{minor}.pyc"
    ))
}

/// True for what lies in a folder of bytecode.
pub(crate) fn is_cached(path: &str) -> bool {
    path.split('/').any(|part| part == CACHE)
}
