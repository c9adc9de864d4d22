//! The state of a job as a flag's value.

use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};

use mlbuild::queue::State;

/// Reads one of a job's states, and lists them in the help.
pub(crate) fn parser() -> impl TypedValueParser<Value = State> {
    let values = State::ALL.map(|state| PossibleValue::new(state.as_str()).help(state.about()));
    PossibleValuesParser::new(values).try_map(|word| {
        let found = State::ALL.into_iter().find(|state| state.as_str() == word);
        found.ok_or("no state of a job")
    })
}
