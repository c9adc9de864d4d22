//! The state of a job as a flag's value.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::queue::State;

impl ValueEnum for State {
    fn value_variants<'a>() -> &'a [Self] {
        &Self::ALL
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(self.as_str()).help(self.about()))
    }
}
