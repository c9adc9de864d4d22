//! What a `setup.py` gives to `setup`, read and never run: expressions of literals, lists, dictionaries, files beside
//! it and small functions of its own are followed. Everything has a bound, and whatever isn't understood makes
//! unknown what it may have touched.

mod calls;
mod expression;
mod grammar;
mod lex;
mod parse;
mod reckon;
mod run;
mod value;

use std::collections::BTreeMap;

use self::lex::Token;
use self::run::Run;
use self::value::Value;
use crate::value::{EnvName, EnvValue};

/// Most bytes of a script.
const MOST_BYTES: usize = 256 << 10;

/// An argument of `setup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Argument<T> {
    /// It isn't given.
    Absent,
    /// It can't be told.
    Unknown,
    Known(T),
}

/// What a script gives to `setup`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Setup {
    pub requires: Argument<Vec<String>>,
    /// Extras, and the lines of each where they can be told.
    pub extras: Argument<Vec<(String, Option<Vec<String>>)>>,
    pub python: Argument<String>,
    /// Files beside the script that it reads.
    pub files: Vec<String>,
}

/// Gives the text of a file beside a script.
pub(super) type Open<'a> = &'a (dyn Fn(&str) -> Option<String> + Sync);

/// The variables that the image sets, which a script sees as it is built.
pub(super) type Environment<'a> = Option<&'a BTreeMap<EnvName, EnvValue>>;

/// The line at which Python can't read a script, from 1, and why, as far as its tokens tell.
pub(super) fn fault(text: &str) -> Option<(usize, &'static str)> {
    let looked_at = if text.len() > MOST_BYTES { "" } else { text };
    let (at, why) = lex::fault(looked_at)?;
    Some((text.get(..at)?.matches('\n').count() + 1, why))
}

/// Bytes of the stack for the levels that are followed: a thread may have little of it left.
const STACK: usize = 16 << 20;

/// Follows a script. `None` where no call of `setup` is found.
pub(super) fn setup(text: &str, open: Open, environment: Environment) -> Option<Setup> {
    if text.len() > MOST_BYTES {
        return None;
    }
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(STACK);
        let thread = thread
            .spawn_scoped(scope, || followed(text, open, environment))
            .ok()?;
        thread.join().ok()?
    })
}

/// Words of scripts that aren't followed: what they do isn't modelled, and would be missed.
const NOT_FOLLOWED: [&str; 6] = [
    "yield",
    "global",
    "nonlocal",
    "lambda",
    "defaultdict",
    "chdir",
];

fn followed(text: &str, open: Open, environment: Environment) -> Option<Setup> {
    let tokens = lex::tokens(text)?;
    let is_left =
        |token: &Token| matches!(token, Token::Name(name) if NOT_FOLLOWED.contains(&&**name));
    if tokens.iter().any(is_left) {
        return None;
    }
    let block = parse::statements(&tokens);
    let mut run = Run::new(open, environment);
    run.module(&block).ok()?;
    // Several calls are for several ways to build it.
    let [arguments] = &run.setups[..] else {
        return None;
    };
    let Value::Dict(arguments) = arguments else {
        return None;
    };
    let entries = arguments.entries.borrow();
    let argument = |name: &str| {
        let found = entries.iter().rev().find(|(known, _)| **known == *name);
        found
            .map(|(_, value)| value)
            .filter(|value| !matches!(value, Value::None))
    };
    Some(Setup {
        requires: known(argument("install_requires"), Value::strings),
        extras: known(argument("extras_require"), extras),
        python: known(argument("python_requires"), |value| match value {
            Value::Text(text) => Some(text.to_string()),
            _ => None,
        }),
        files: run.files.clone(),
    })
}

fn known<T>(value: Option<&Value>, read: impl Fn(&Value) -> Option<T>) -> Argument<T> {
    match value {
        None => Argument::Absent,
        Some(value) => read(value).map_or(Argument::Unknown, Argument::Known),
    }
}

fn extras(value: &Value) -> Option<Vec<(String, Option<Vec<String>>)>> {
    let Value::Dict(extras) = value else {
        return None;
    };
    let extras = (!extras.is_lost.get()).then(|| extras.entries.borrow())?;
    let extras = extras
        .iter()
        .map(|(name, lines)| (name.to_string(), lines.strings()));
    Some(extras.collect())
}

#[cfg(test)]
mod tests;
