//! The modules of a wheel, as they are installed: what a compiler is given.

use std::io::Write;

use crate::bytecode::{cache_path, is_cached};
use crate::error::LayerError;
use crate::install::Installation;
use crate::layer::{Stopped, content};
use crate::target::Target;
use crate::wheel::Wheel;
use crate::zip::Scratch;

/// Bytes that one module may have to be compiled. The largest real ones have ten million.
const LARGEST: u64 = 64 << 20;

/// A module that can be compiled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleSource {
    /// Where its bytecode goes, below the environment's folder.
    pub(crate) cache: String,
    /// Bytes of the source.
    pub(crate) size: u64,
}

/// The modules of a wheel, in the order in which they were given to the compiler.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sources(pub(crate) Vec<ModuleSource>);

impl Sources {
    /// How many there are.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// True for a wheel without modules.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// True for pip's own modules, which no image has bytecode of.
fn is_pip(path: &str) -> bool {
    path.contains("/site-packages/pip/")
}

/// Writes the modules of a wheel that Python's `compileall` would find in `lib`: of each the length of
/// its path and of its content (32 bits each, the lowest byte first), the path below the environment's
/// folder, and the content.
///
/// # Errors
/// A wheel that can't be installed, and an `out` that can't be written.
pub fn write_sources(
    wheel: &Wheel,
    target: &Target,
    mut out: impl Write,
) -> Result<Sources, LayerError> {
    let mut scratch = Scratch::new();
    let plan = Installation::plan(wheel, target, &mut scratch)?;
    let mut sources = Sources::default();
    for (path, source) in &plan.files {
        let path = path.as_str();
        let size = source.size(wheel);
        let is_module =
            path.starts_with("lib/") && !is_cached(path) && !is_pip(path) && size <= LARGEST;
        let Some(cache) = cache_path(path, target.python).filter(|_| is_module) else {
            continue;
        };
        let length = |number: u64| u32::try_from(number).unwrap_or(u32::MAX).to_le_bytes();
        let start = [
            &length(path.len() as u64)[..],
            &length(size),
            path.as_bytes(),
        ]
        .concat();
        out.write_all(&start).map_err(LayerError::Write)?;
        let mut put = |bytes: &[u8]| out.write_all(bytes).map_err(Stopped::Write);
        content(wheel, source, &mut scratch, &mut put).map_err(|stopped| stopped.of(wheel))?;
        sources.0.push(ModuleSource { cache, size });
    }
    Ok(sources)
}
