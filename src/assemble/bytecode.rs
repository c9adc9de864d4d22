//! Bytecode that isn't kept yet: what a base's Python is asked to compile, and its answer.

use std::fs::File;
use std::io::{self, BufWriter, Write as _};
use std::path::Path;

use mlbuild_wheels::{AnswerError, BytecodeKey, LayerStore, Sources, Target, write_sources};

use super::AssembleError;
use super::named_wheel::{NamedWheel, open};

/// Wheels whose modules have to be compiled.
pub struct Uncompiled<'a> {
    pub(super) wheels: Vec<&'a NamedWheel>,
    pub(super) target: Target,
    pub(super) compiler: String,
}

/// What a compiler was given, wheel by wheel.
pub struct BytecodeQuestion(Vec<WheelQuestion>);

struct WheelQuestion {
    wheel: String,
    key: BytecodeKey,
    sources: Sources,
}

impl Uncompiled<'_> {
    /// True where all is kept.
    pub fn is_empty(&self) -> bool {
        self.wheels.is_empty()
    }

    /// How many wheels there are.
    pub fn len(&self) -> usize {
        self.wheels.len()
    }

    /// Writes the modules into a folder: `N.sources` for each wheel.
    ///
    /// # Errors
    /// A wheel that can't be installed, and a folder that can't be written to.
    pub fn write(&self, folder: &Path) -> Result<BytecodeQuestion, AssembleError> {
        let mut all = Vec::new();
        for (number, wheel) in self.wheels.iter().enumerate() {
            let path = folder.join(format!("{number}.sources"));
            let fail = |source| AssembleError::Blob {
                path: path.clone(),
                source,
            };
            let mut out = BufWriter::new(File::create(&path).map_err(fail)?);
            let sources = write_sources(&open(wheel)?, &self.target, &mut out)?;
            out.flush().map_err(fail)?;
            all.push(WheelQuestion {
                wheel: wheel.name.file.clone(),
                key: BytecodeKey::of(&wheel.sha256, &self.target, &self.compiler),
                sources,
            });
        }
        Ok(BytecodeQuestion(all))
    }
}

impl BytecodeQuestion {
    /// Checks and keeps the answers, which `answer` opens by their names (`N.bytecode`). They are what
    /// the base image's own programs wrote.
    ///
    /// # Errors
    /// With the wheel, and what is wrong with its answer.
    pub fn keep(
        &self,
        answer: impl Fn(&str) -> io::Result<File>,
        store: &LayerStore,
    ) -> Result<(), String> {
        for (number, one) in self.0.iter().enumerate() {
            let file = answer(&format!("{number}.bytecode")).map_err(AnswerError::from);
            let kept = file.and_then(|file| {
                store.keep_bytecode(&one.key, &one.sources, io::BufReader::new(file))
            });
            kept.map_err(|error| format!("{}: {error}", one.wheel))?;
        }
        Ok(())
    }
}
