//! A parameter of a sweep: which values it may have, and how one is drawn.

use std::collections::BTreeMap;

use serde_json::{Map, Number, Value};

use super::SweepError;
use crate::nearest::nearest;

const KEYS: [&str; 10] = [
    "value",
    "values",
    "probabilities",
    "distribution",
    "min",
    "max",
    "mu",
    "sigma",
    "q",
    "parameters",
];

/// What a parameter may be.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Parameter {
    /// One of these, by their weights.
    Choice {
        values: Vec<Value>,
        weights: Vec<f64>,
    },
    /// A whole number from the first to the last.
    Whole { min: i64, max: i64 },
    /// A number by a distribution.
    Drawn(Distribution),
    /// Parameters of its own.
    Nested(BTreeMap<String, Parameter>),
}

/// A distribution of numbers. `a` and `b` are its least and greatest value or exponent, or `mu` and
/// `sigma`.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Distribution {
    shape: Shape,
    a: f64,
    b: f64,
    /// Values are multiples of it.
    step: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Shape {
    Uniform,
    /// e to the power of what is drawn between the bounds.
    Exponent,
    /// The same, and one divided by it.
    InverseExponent,
    /// Between bounds that are values, with an even logarithm.
    LogValues,
    Normal,
    LogNormal,
}

/// Reads `parameters`.
pub(super) fn table(key: &str, value: Value) -> Result<BTreeMap<String, Parameter>, SweepError> {
    let Value::Object(table) = value else {
        return Err(SweepError::value(
            key,
            "write a name and its values in each line",
        ));
    };
    let read = |(name, value)| {
        let key = format!("{key}.{name}");
        parameter(&key, value).map(|parameter| (name, parameter))
    };
    table.into_iter().map(read).collect()
}

fn parameter(key: &str, value: Value) -> Result<Parameter, SweepError> {
    let Value::Object(mut table) = value else {
        return Err(SweepError::value(
            key,
            "write `value:`, `values:`, or `min:` and `max:` below it",
        ));
    };
    if let Some(unknown) = table.keys().find(|known| !KEYS.contains(&known.as_str())) {
        return Err(SweepError::UnknownKey {
            key: format!("{key}.{unknown}"),
            near: nearest(unknown, KEYS.iter().copied()),
        });
    }
    if let Some(nested) = table.remove("parameters") {
        return self::table(&format!("{key}.parameters"), nested).map(Parameter::Nested);
    }
    if let Some(value) = table.remove("value") {
        return Ok(Parameter::Choice {
            values: vec![value],
            weights: vec![1.0],
        });
    }
    match table.remove("values") {
        Some(values) => choice(key, values, table.remove("probabilities")),
        None => number(key, &table),
    }
}

fn choice(key: &str, values: Value, weights: Option<Value>) -> Result<Parameter, SweepError> {
    let values = match values {
        Value::Array(values) if !values.is_empty() => values,
        _ => return Err(SweepError::value(format!("{key}.values"), "write a list")),
    };
    let weights = match weights {
        None => vec![1.0; values.len()],
        Some(weights) => {
            let read: Option<Vec<f64>> = weights
                .as_array()
                .and_then(|list| list.iter().map(Value::as_f64).collect());
            let is_fine = |list: &Vec<f64>| {
                list.len() == values.len()
                    && list.iter().all(|w| *w >= 0.0)
                    && list.iter().sum::<f64>() > 0.0
            };
            let why = "write one number for each value, none below 0";
            read.filter(is_fine)
                .ok_or_else(|| SweepError::value(format!("{key}.probabilities"), why))?
        }
    };
    Ok(Parameter::Choice { values, weights })
}

fn number(key: &str, table: &Map<String, Value>) -> Result<Parameter, SweepError> {
    let get = |name: &str| match table.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(number) if number.is_finite() => Ok(Some(number)),
            _ => Err(SweepError::value(
                format!("{key}.{name}"),
                format!("{value} is no number"),
            )),
        },
    };
    let need = |name: &str| {
        get(name)?.ok_or_else(|| SweepError::value(key, format!("`{name}` is missing")))
    };
    let whole = |name: &str| table.get(name).and_then(Value::as_i64);
    let named = match table.get("distribution") {
        None => None,
        Some(Value::String(name)) => Some(name.as_str()),
        Some(_) => {
            return Err(SweepError::value(
                format!("{key}.distribution"),
                "write its name",
            ));
        }
    };
    // Without a name it is W&B's choice by the bounds.
    let name = named.unwrap_or(match (whole("min"), whole("max")) {
        (Some(_), Some(_)) => "int_uniform",
        _ => "uniform",
    });
    if name == "int_uniform" {
        let why = "`min` and `max` are whole numbers, and `min` isn't above `max`";
        return match (whole("min"), whole("max")) {
            (Some(min), Some(max)) if min <= max => Ok(Parameter::Whole { min, max }),
            _ => Err(SweepError::value(key, why)),
        };
    }
    let (is_stepped, base) = match name.strip_prefix("q_") {
        Some(base) => (true, base),
        None => (false, name),
    };
    let shape = match base {
        "uniform" => Shape::Uniform,
        "log_uniform" => Shape::Exponent,
        "log_uniform_values" => Shape::LogValues,
        "inv_log_uniform" if !is_stepped => Shape::InverseExponent,
        "inv_log_uniform_values" if !is_stepped => Shape::LogValues,
        "normal" => Shape::Normal,
        "log_normal" => Shape::LogNormal,
        _ => {
            return Err(SweepError::value(
                format!("{key}.distribution"),
                format!("no numbers are drawn by `{name}`"),
            ));
        }
    };
    let (a, b) = match shape {
        Shape::Normal | Shape::LogNormal => {
            (get("mu")?.unwrap_or(0.0), get("sigma")?.unwrap_or(1.0))
        }
        _ => (need("min")?, need("max")?),
    };
    let is_wrong = match shape {
        Shape::Normal | Shape::LogNormal => b < 0.0,
        Shape::LogValues => a <= 0.0 || a > b,
        _ => a > b,
    };
    if is_wrong {
        return Err(SweepError::value(key, "its bounds hold no value"));
    }
    let step = if is_stepped {
        Some(get("q")?.unwrap_or(1.0))
    } else {
        None
    };
    if step.is_some_and(|step| step <= 0.0) {
        return Err(SweepError::value(
            format!("{key}.q"),
            "write a number above 0",
        ));
    }
    Ok(Parameter::Drawn(Distribution { shape, a, b, step }))
}

/// A value for each parameter, by chance.
pub(super) fn draw(
    parameters: &BTreeMap<String, Parameter>,
    chance: &mut fastrand::Rng,
) -> Map<String, Value> {
    let mut drawn = Map::new();
    for (name, parameter) in parameters {
        let value = match parameter {
            Parameter::Choice { values, weights } => {
                let mut rest = chance.f64() * weights.iter().sum::<f64>();
                let at = weights.iter().position(|weight| {
                    rest -= weight;
                    rest < 0.0
                });
                values[at.unwrap_or(values.len() - 1)].clone()
            }
            Parameter::Whole { min, max } => chance.i64(*min..=*max).into(),
            Parameter::Drawn(distribution) => json_number(distribution.draw(chance)),
            Parameter::Nested(inner) => Value::Object(draw(inner, chance)),
        };
        drawn.insert(name.clone(), value);
    }
    drawn
}

impl Distribution {
    fn draw(&self, chance: &mut fastrand::Rng) -> f64 {
        let Self { shape, a, b, step } = *self;
        let between = |a: f64, b: f64, chance: &mut fastrand::Rng| a + (b - a) * chance.f64();
        let drawn = match shape {
            Shape::Uniform => between(a, b, chance),
            Shape::Exponent => between(a, b, chance).exp(),
            Shape::InverseExponent => (-between(a, b, chance)).exp(),
            Shape::LogValues => between(a.ln(), b.ln(), chance).exp().clamp(a, b),
            Shape::Normal => a + b * normal(chance),
            Shape::LogNormal => (a + b * normal(chance)).exp(),
        };
        match step {
            Some(step) => (drawn / step).round() * step,
            None => drawn,
        }
    }
}

/// A number of the standard normal distribution, by Box and Muller.
fn normal(chance: &mut fastrand::Rng) -> f64 {
    let radius = (-2.0 * (1.0 - chance.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * chance.f64()).cos()
}

/// A whole number without a point, as a step makes them.
fn json_number(number: f64) -> Value {
    #[allow(clippy::cast_possible_truncation)]
    if number.fract() == 0.0 && number.abs() < 1e15 {
        return (number as i64).into();
    }
    // What overflowed is the greatest that there is.
    Number::from_f64(number.clamp(f64::MIN, f64::MAX)).map_or(Value::Null, Value::Number)
}

/// A parameter of a grid.
pub(super) struct Axis {
    /// Its place, from the outermost name.
    pub(super) path: Vec<String>,
    values: AxisValues,
    /// How many values it has.
    pub(super) number: usize,
}

enum AxisValues {
    Listed(Vec<Value>),
    /// Whole numbers from this one on, of which there may be very many.
    From(i64),
}

impl Axis {
    /// A value by its place, which is below their number.
    pub(super) fn value(&self, at: usize) -> Value {
        match &self.values {
            AxisValues::Listed(values) => values[at].clone(),
            AxisValues::From(first) => i64::try_from(at)
                .map_or(i64::MAX, |at| first.saturating_add(at))
                .into(),
        }
    }
}

/// The values of each parameter of a grid.
pub(super) fn axes(
    key: &str,
    parameters: &BTreeMap<String, Parameter>,
) -> Result<Vec<Axis>, SweepError> {
    let mut axes = Vec::new();
    for (name, parameter) in parameters {
        let key = format!("{key}.{name}");
        let (values, number) = match parameter {
            Parameter::Choice { values, .. } => (AxisValues::Listed(values.clone()), values.len()),
            Parameter::Whole { min, max } => {
                let number = max.abs_diff(*min).saturating_add(1);
                let number = usize::try_from(number).unwrap_or(usize::MAX);
                (AxisValues::From(*min), number)
            }
            Parameter::Drawn(_) => {
                let why = "a grid has every value of a parameter: write `values:`, or whole numbers as `min` and `max`";
                return Err(SweepError::value(key, why));
            }
            Parameter::Nested(inner) => {
                for mut axis in self::axes(&key, inner)? {
                    axis.path.insert(0, name.clone());
                    axes.push(axis);
                }
                continue;
            }
        };
        let path = vec![name.clone()];
        axes.push(Axis {
            path,
            values,
            number,
        });
    }
    Ok(axes)
}

/// Puts a value to its place.
pub(super) fn put(run: &mut Map<String, Value>, path: &[String], value: Value) {
    match path {
        [] => {}
        [name] => drop(run.insert(name.clone(), value)),
        [name, rest @ ..] => {
            let inner = run.entry(name).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(inner) = inner {
                put(inner, rest, value);
            }
        }
    }
}
