//! A sweep: many runs of one program, each with other values, as a file of W&B's sweeps describes
//! them.
//!
//! W&B's server hands out one run after the other. Here all runs of a grid, or so many of a random
//! search, are known at once and go into a queue as jobs. What needs the results of runs before it
//! (`method: bayes`, `early_terminate`) isn't done, and said.

mod command;
mod parameter;

use std::collections::BTreeMap;

use serde_json::{Map, Value};

use self::parameter::Parameter;
use crate::error::ErrorKind;
use crate::nearest::nearest;

/// Most runs of a sweep.
const MOST_RUNS: usize = 10_000;

/// Most bytes that the parameters of all runs may take, as JSON: each run holds its own.
const MOST_BYTES: usize = 256 << 20;

const KEYS: [&str; 5] = ["method", "parameters", "program", "command", "run_cap"];
/// Keys that only say something to W&B's server, or wait for the results of runs.
const OF_WANDB: [&str; 11] = [
    "controller",
    "description",
    "display_name",
    "early_terminate",
    "entity",
    "job",
    "launch",
    "metric",
    "name",
    "project",
    "settings",
];

/// What a sweep's file says.
#[derive(Debug, Clone, PartialEq)]
pub struct Sweep {
    method: Method,
    parameters: BTreeMap<String, Parameter>,
    program: Option<String>,
    command: Vec<String>,
    run_cap: Option<usize>,
    /// Bytes of `parameters` as JSON: no run has more.
    size: usize,
    /// Keys of the file that mean nothing here.
    pub unused: Vec<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Method {
    Grid,
    Random,
}

/// A run of a sweep.
#[derive(Debug, Clone, PartialEq)]
pub struct SweepRun {
    /// Its parameters.
    pub parameters: Map<String, Value>,
    /// Its command.
    pub command: Vec<String>,
}

/// Why a sweep can't be launched.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SweepError {
    /// Not YAML.
    #[error("{0}")]
    Yaml(String),
    /// A key that nobody knows.
    #[error("unknown key `{key}`")]
    UnknownKey {
        /// The key with those above it.
        key: String,
        /// The key that was probably meant.
        near: Option<&'static str>,
    },
    /// A key is missing, or has a value of the wrong kind.
    #[error("{key}: {why}")]
    Value {
        /// The key with those above it.
        key: String,
        /// What is wrong with it.
        why: String,
    },
    /// A search that waits for results.
    #[error(
        "method: `{0}` chooses values by the results of runs before, which nobody here collects"
    )]
    Method(String),
    /// A random search has no end of its own.
    #[error("a random search has no end of its own, and no number of runs is given")]
    NoEnd,
    /// More runs than anybody meant.
    #[error("the grid has {0} runs, and a sweep at most {MOST_RUNS}")]
    TooMany(usize),
    /// Runs that no machine holds, of a file that is small.
    #[error(
        "{runs} runs with up to {bytes} bytes of parameters each are more than {} MiB", MOST_BYTES >> 20
    )]
    TooLarge {
        /// How many runs there are.
        runs: usize,
        /// The bytes of all that the file says of parameters.
        bytes: usize,
    },
}

impl SweepError {
    /// Always what the user wrote.
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::User
    }

    fn value(key: impl Into<String>, why: impl Into<String>) -> Self {
        Self::Value {
            key: key.into(),
            why: why.into(),
        }
    }
}

impl Sweep {
    /// Reads a file's text: YAML, of which JSON is a part.
    ///
    /// # Errors
    /// With the key of what is wrong.
    pub fn parse(text: &str) -> Result<Self, SweepError> {
        let document: Map<String, Value> =
            serde_saphyr::from_str(text).map_err(|error: serde_saphyr::Error| {
                SweepError::Yaml(error.without_snippet().to_string())
            })?;
        let mut sweep = Self {
            method: Method::Grid,
            parameters: BTreeMap::new(),
            program: None,
            command: command::USUAL.map(str::to_owned).to_vec(),
            run_cap: None,
            size: 0,
            unused: Vec::new(),
        };
        let mut has_method = false;
        for (key, value) in document {
            match key.as_str() {
                "method" => {
                    has_method = true;
                    sweep.method = method(&value)?;
                }
                "parameters" => {
                    sweep.size = value.to_string().len();
                    sweep.parameters = parameter::table("parameters", value)?;
                }
                "program" => sweep.program = Some(text_of("program", value)?),
                "command" => sweep.command = command::read(value)?,
                "run_cap" => {
                    let number = value.as_u64().filter(|number| *number > 0);
                    let number = number.and_then(|number| usize::try_from(number).ok());
                    let wrong = || SweepError::value("run_cap", "write a number of runs");
                    sweep.run_cap = Some(number.ok_or_else(wrong)?);
                }
                key if OF_WANDB.contains(&key) => sweep.unused.push(key.to_owned()),
                key => {
                    let near = nearest(key, KEYS.iter().copied());
                    let key = key.to_owned();
                    return Err(SweepError::UnknownKey { key, near });
                }
            }
        }
        if !has_method {
            return Err(SweepError::value("method", "write grid or random"));
        }
        if sweep.parameters.is_empty() {
            return Err(SweepError::value("parameters", "a sweep has at least one"));
        }
        command::check(&sweep.command, sweep.program.is_some())?;
        Ok(sweep)
    }

    /// Whether its runs are drawn by chance.
    pub fn is_random(&self) -> bool {
        self.method == Method::Random
    }

    /// The runs: all of a grid, or those that the seed draws; `most` stands over the file's `run_cap`.
    ///
    /// # Errors
    /// Where a grid has a parameter with no end of values, or too many runs; where a random search has
    /// no number of runs.
    pub fn runs(&self, most: Option<usize>, seed: u64) -> Result<Vec<SweepRun>, SweepError> {
        let most = most.or(self.run_cap);
        let choices = match self.method {
            Method::Grid => self.grid(most)?,
            Method::Random => {
                let number = most.ok_or(SweepError::NoEnd)?;
                if number > MOST_RUNS {
                    return Err(SweepError::TooMany(number));
                }
                self.refuse_large(number)?;
                let mut chance = fastrand::Rng::with_seed(seed);
                let draw = |_| parameter::draw(&self.parameters, &mut chance);
                (0..number).map(draw).collect()
            }
        };
        let program = self.program.as_deref().unwrap_or_default();
        let run = |parameters: Map<String, Value>| SweepRun {
            command: command::fill(&self.command, program, &parameters),
            parameters,
        };
        Ok(choices.into_iter().map(run).collect())
    }

    fn refuse_large(&self, runs: usize) -> Result<(), SweepError> {
        let bytes = self.size;
        if runs.saturating_mul(bytes) > MOST_BYTES {
            return Err(SweepError::TooLarge { runs, bytes });
        }
        Ok(())
    }

    /// Every combination; the last parameter changes first.
    fn grid(&self, most: Option<usize>) -> Result<Vec<Map<String, Value>>, SweepError> {
        let axes = parameter::axes("parameters", &self.parameters)?;
        let all = axes
            .iter()
            .fold(1_usize, |all, axis| all.saturating_mul(axis.number));
        let number = most.map_or(all, |most| most.min(all));
        if number > MOST_RUNS {
            return Err(SweepError::TooMany(all));
        }
        self.refuse_large(number)?;
        let mut runs = Vec::with_capacity(number);
        for index in 0..number {
            let (mut rest, mut run) = (index, Map::new());
            for axis in axes.iter().rev() {
                parameter::put(&mut run, &axis.path, axis.value(rest % axis.number));
                rest /= axis.number;
            }
            runs.push(run);
        }
        Ok(runs)
    }
}

fn method(value: &Value) -> Result<Method, SweepError> {
    match value.as_str() {
        Some("grid") => Ok(Method::Grid),
        Some("random") => Ok(Method::Random),
        Some(other @ ("bayes" | "custom")) => Err(SweepError::Method(other.to_owned())),
        _ => Err(SweepError::value("method", "write grid or random")),
    }
}

fn text_of(key: &str, value: Value) -> Result<String, SweepError> {
    match value {
        Value::String(text) if !text.is_empty() => Ok(text),
        _ => Err(SweepError::value(key, "write a text")),
    }
}

#[cfg(test)]
mod tests;
