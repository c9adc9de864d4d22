//! Template variables of W&B's queues: `{{name}}` in the values of a configuration, for which a launch
//! gives a value within what the queue's `template_variables` say.
//!
//! ```yaml
//! cpus: "{{cpus}}"
//! template_variables:
//!   cpus:
//!     schema: {type: integer, default: 2, minimum: 1, maximum: 8}
//! ```
//!
//! The form is that of `Api.create_run_queue` of W&B's Python package: a JSON schema with `type` (`string`,
//! `integer` or `number`), `default`, `enum`, `minimum` and `maximum`. A value that is nothing but a
//! variable becomes a value of the variable's type; inside a longer text it is written out.

use std::collections::BTreeMap;

use mlbuild_secrets::holds_secret;
use serde_json::{Map, Number, Value};

use crate::nearest::nearest;

/// What a configuration's own key for them is.
pub(super) const KEY: &str = "template_variables";

/// The variables of a queue, by name.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct TemplateVariables(BTreeMap<String, Schema>);

/// What a variable may be.
#[derive(Debug, Clone, PartialEq, serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Schema {
    #[serde(rename = "type")]
    kind: Kind,
    #[serde(default)]
    default: Option<Value>,
    #[serde(default, rename = "enum")]
    choices: Option<Vec<Value>>,
    #[serde(default)]
    minimum: Option<f64>,
    #[serde(default)]
    maximum: Option<f64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Deserialize)]
#[serde(rename_all = "lowercase")]
enum Kind {
    String,
    Integer,
    Number,
}

/// A variable as it is written.
#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct Described {
    schema: Schema,
    #[serde(default, rename = "description")]
    _description: Option<String>,
}

/// What is wrong with a template variable, or with the value that a launch gives it.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum TemplateError {
    /// It stands in the configuration and isn't described.
    #[error(
        "`{{{{{name}}}}}` is described nowhere; write `{KEY}: {{{name}: {{schema: {{type: string}}}}}}`, \
         with type string, integer or number, and default, enum, minimum or maximum as you like"
    )]
    NotDescribed {
        /// Its name.
        name: String,
    },
    /// It is described and stands nowhere.
    #[error("{KEY}: `{{{{{name}}}}}` stands nowhere in the configuration")]
    NotUsed {
        /// Its name.
        name: String,
    },
    /// It stands in a key.
    #[error("`{{{{{name}}}}}` stands in a key: template variables are for values")]
    InKey {
        /// Its name.
        name: String,
    },
    /// The description isn't one.
    #[error("{KEY}: {name}: {why}")]
    Schema {
        /// Its name.
        name: String,
        /// Why.
        why: String,
    },
    /// The queue has none of this name.
    #[error(
        "the queue has no template variable `{name}`; it has {}",
        none_or(known)
    )]
    Unknown {
        /// What was named.
        name: String,
        /// The one that was probably meant.
        near: Option<String>,
        /// Those that it has.
        known: Vec<String>,
    },
    /// The launch gave no value, and there is no default.
    #[error("the queue's template variable `{name}` has no value: it is {what}")]
    Missing {
        /// Its name.
        name: String,
        /// What it may be.
        what: String,
    },
    /// The value isn't what the schema says.
    #[error("the template variable `{name}` can't be {value}: it is {what}")]
    Value {
        /// Its name.
        name: String,
        /// What was given.
        value: String,
        /// What it may be.
        what: String,
    },
    /// The value looks like a secret.
    #[error(
        "the value of the template variable `{name}` looks like a secret, and everybody sees the queue"
    )]
    Secret {
        /// Its name.
        name: String,
    },
}

fn none_or(known: &[String]) -> String {
    if known.is_empty() {
        return "none".to_owned();
    }
    known.join(", ")
}

impl TemplateVariables {
    /// Takes the descriptions out of a configuration, and holds them against its values.
    ///
    /// # Errors
    /// Where a variable is described or used alone, or a description is none.
    pub(super) fn take(tree: &mut Map<String, Value>) -> Result<Self, TemplateError> {
        let described = tree.remove(KEY).unwrap_or(Value::Null);
        let wrong = |name: &str, why: String| TemplateError::Schema {
            name: name.to_owned(),
            why,
        };
        let table = match described {
            Value::Null => Map::new(),
            Value::Object(table) => table,
            _ => return Err(wrong("", "a table of names is expected".to_owned())),
        };
        let mut variables = BTreeMap::new();
        for (name, described) in table {
            let described: Described = serde_json::from_value(described)
                .map_err(|error| wrong(&name, error.to_string()))?;
            described.schema.check(&name)?;
            variables.insert(name, described.schema);
        }
        let mut used = Vec::new();
        names_in(&Value::Object(tree.clone()), &mut used)?;
        if let Some(name) = used.iter().find(|name| !variables.contains_key(*name)) {
            return Err(TemplateError::NotDescribed { name: name.clone() });
        }
        if let Some(name) = variables.keys().find(|name| !used.contains(name)) {
            return Err(TemplateError::NotUsed { name: name.clone() });
        }
        Ok(Self(variables))
    }

    /// Whether there are any.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The configuration as a launch makes it that gives these values; otherwise the defaults stand.
    ///
    /// # Errors
    /// Where a value isn't known, missing, or not what the schema says.
    pub(super) fn fill(
        &self,
        tree: &Value,
        given: &BTreeMap<String, String>,
    ) -> Result<Value, TemplateError> {
        if let Some(name) = given.keys().find(|name| !self.0.contains_key(*name)) {
            let known: Vec<String> = self.0.keys().cloned().collect();
            return Err(TemplateError::Unknown {
                name: name.clone(),
                near: nearest(name, known.iter().map(String::as_str)).map(str::to_owned),
                known,
            });
        }
        let mut values = BTreeMap::new();
        for (name, schema) in &self.0 {
            let value = match (given.get(name), &schema.default) {
                (Some(text), _) => schema.read(name, text)?,
                (None, Some(default)) => default.clone(),
                (None, None) => {
                    return Err(TemplateError::Missing {
                        name: name.clone(),
                        what: schema.told(),
                    });
                }
            };
            values.insert(name.as_str(), value);
        }
        Ok(substituted(tree, &values))
    }

    /// The configuration with a value for each variable that its schema allows, so that the rest of it can
    /// be checked. Entries at the top that hold a text of which nothing is known are left out.
    pub(super) fn sample(&self, tree: &Map<String, Value>) -> Map<String, Value> {
        let samples = self
            .0
            .iter()
            .map(|(name, schema)| (name.as_str(), schema.sample()));
        let (known, unknown): (Vec<_>, Vec<_>) = samples.partition(|(_, sample)| sample.is_some());
        let known = known
            .into_iter()
            .filter_map(|(name, sample)| Some((name, sample?)));
        let known: BTreeMap<&str, Value> = known.collect();
        let holds_unknown = |value: &Value| {
            let mut names = Vec::new();
            // Keys were looked at before.
            let _ = names_in(value, &mut names);
            names
                .iter()
                .any(|name| unknown.iter().any(|(of, _)| of == name))
        };
        let kept = tree.iter().filter(|(_, value)| !holds_unknown(value));
        kept.map(|(key, value)| (key.clone(), substituted(value, &known)))
            .collect()
    }
}

impl Schema {
    /// Holds the schema against itself.
    fn check(&self, name: &str) -> Result<(), TemplateError> {
        let wrong = |why: String| TemplateError::Schema {
            name: name.to_owned(),
            why,
        };
        if self.kind == Kind::String && (self.minimum.is_some() || self.maximum.is_some()) {
            return Err(wrong("minimum and maximum are for numbers".to_owned()));
        }
        if let (Some(least), Some(most)) = (self.minimum, self.maximum)
            && least > most
        {
            return Err(wrong(format!(
                "the minimum {least} is above the maximum {most}"
            )));
        }
        if self.choices.as_ref().is_some_and(Vec::is_empty) {
            return Err(wrong("enum is empty: no value is left".to_owned()));
        }
        let mut values = self.choices.iter().flatten().chain(&self.default);
        match values.find(|value| !self.allows(value)) {
            Some(value) => Err(wrong(format!("{value} isn't {}", self.told()))),
            None => Ok(()),
        }
    }

    fn allows(&self, value: &Value) -> bool {
        let is_kind = match self.kind {
            Kind::String => value.is_string(),
            Kind::Integer => value.is_i64() || value.is_u64(),
            Kind::Number => value.is_number(),
        };
        let number = value.as_f64();
        let is_within = number.is_none_or(|number| {
            self.minimum.is_none_or(|least| number >= least)
                && self.maximum.is_none_or(|most| number <= most)
        });
        let same = |choice: &Value| match (choice.as_f64(), number) {
            (Some(a), Some(b)) => a == b,
            _ => choice == value,
        };
        is_kind
            && is_within
            && self
                .choices
                .as_ref()
                .is_none_or(|choices| choices.iter().any(same))
    }

    /// Reads what a launch gives.
    fn read(&self, name: &str, text: &str) -> Result<Value, TemplateError> {
        if holds_secret(text) {
            return Err(TemplateError::Secret {
                name: name.to_owned(),
            });
        }
        let read = match self.kind {
            Kind::String => Some(Value::from(text)),
            Kind::Integer => text.parse::<i64>().ok().map(Value::from),
            Kind::Number => {
                let whole = text.parse::<i64>().ok().map(Value::from);
                let number = || Number::from_f64(text.parse().ok()?).map(Value::Number);
                whole.or_else(number)
            }
        };
        read.filter(|value| self.allows(value))
            .ok_or_else(|| TemplateError::Value {
                name: name.to_owned(),
                value: format!("`{text}`"),
                what: self.told(),
            })
    }

    /// A value that it allows, where one is known.
    fn sample(&self) -> Option<Value> {
        let bound = self.minimum.or(self.maximum).map(|bound| match self.kind {
            Kind::Integer => Value::from(bound.ceil() as i64),
            _ => Value::from(bound),
        });
        let first = self.choices.iter().flatten().next().cloned();
        let one = (self.kind != Kind::String).then(|| Value::from(1));
        self.default.clone().or(first).or(bound).or(one)
    }

    /// What it may be, in words.
    fn told(&self) -> String {
        let kind = match self.kind {
            Kind::String => "a string",
            Kind::Integer => "a whole number",
            Kind::Number => "a number",
        };
        if let Some(choices) = &self.choices {
            let shown: Vec<String> = choices.iter().map(plain).collect();
            return format!("one of {}", shown.join(", "));
        }
        match (self.minimum, self.maximum) {
            (Some(least), Some(most)) => format!("{kind} from {least} to {most}"),
            (Some(least), None) => format!("{kind} from {least} on"),
            (None, Some(most)) => format!("{kind} up to {most}"),
            (None, None) => kind.to_owned(),
        }
    }
}

/// A value inside a longer text.
fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => value.to_string(),
    }
}

fn substituted(tree: &Value, values: &BTreeMap<&str, Value>) -> Value {
    match tree {
        Value::String(text) => in_text(text, values),
        Value::Array(items) => items.iter().map(|item| substituted(item, values)).collect(),
        Value::Object(table) => {
            let table = table.iter();
            let filled = table.map(|(key, value)| (key.clone(), substituted(value, values)));
            Value::Object(filled.collect())
        }
        other => other.clone(),
    }
}

fn in_text(text: &str, values: &BTreeMap<&str, Value>) -> Value {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, name, after)) = first(rest) {
        let Some(value) = values.get(name) else {
            out.push_str(&rest[..rest.len() - after.len()]);
            rest = after;
            continue;
        };
        if before.is_empty() && after.is_empty() && out.is_empty() {
            return value.clone();
        }
        out.push_str(before);
        out.push_str(&plain(value));
        rest = after;
    }
    out.push_str(rest);
    Value::String(out)
}

/// The first variable of a text: what stands before it, its name, what stands after it. Docker's own
/// templates begin with a dot: `{{.Name}}`.
fn first(text: &str) -> Option<(&str, &str, &str)> {
    let mut from = 0;
    loop {
        let at = from + text[from..].find("{{")?;
        let inside = &text[at + 2..];
        if let Some((name, after)) = inside.split_once("}}") {
            let is_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-');
            let name = name.trim();
            if !name.is_empty() && name.chars().all(is_name) {
                return Some((&text[..at], name, after));
            }
        }
        from = at + 1;
    }
}

/// The name of the first variable in a text.
pub(super) fn name_in(text: &str) -> Option<&str> {
    first(text).map(|(_, name, _)| name)
}

/// All variables in the values of a tree.
fn names_in(tree: &Value, names: &mut Vec<String>) -> Result<(), TemplateError> {
    match tree {
        Value::String(text) => {
            let mut rest = text.as_str();
            while let Some((_, name, after)) = first(rest) {
                names.push(name.to_owned());
                rest = after;
            }
            Ok(())
        }
        Value::Array(items) => items.iter().try_for_each(|item| names_in(item, names)),
        Value::Object(table) => table.iter().try_for_each(|(key, value)| {
            if let Some(name) = name_in(key) {
                let name = name.to_owned();
                return Err(TemplateError::InKey { name });
            }
            names_in(value, names)
        }),
        _ => Ok(()),
    }
}

/// A launch's value for a variable, as it stands among a job's overrides.
pub fn template_override(name: &str, value: &str) -> String {
    format!("{{{{{name}}}}}={value}")
}

/// A job's overrides: the values of template variables, and the others.
pub fn split_overrides(overrides: &[String]) -> (BTreeMap<String, String>, Vec<&str>) {
    let mut values = BTreeMap::new();
    let mut others = Vec::new();
    for text in overrides {
        let variable = text
            .strip_prefix("{{")
            .and_then(|rest| rest.split_once("}}="));
        match variable {
            Some((name, value)) => {
                values.insert(name.to_owned(), value.to_owned());
            }
            None => others.push(text.as_str()),
        }
    }
    (values, others)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn filled(tree: Value, given: &[(&str, &str)]) -> Result<Value, TemplateError> {
        let Value::Object(mut tree) = tree else {
            panic!("a table")
        };
        let variables = TemplateVariables::take(&mut tree)?;
        let given = given
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
        variables.fill(&Value::Object(tree), &given.collect())
    }

    #[test]
    fn values_have_the_type_of_their_schema() {
        let tree = json!({
            "cpus": "{{cpus}}", "name": "a-{{ team }}-{{cpus}}", "log": "{{.Name}}",
            "list": ["{{rate}}"],
            "template_variables": {
                "cpus": {"schema": {"type": "integer", "minimum": 1, "maximum": 8, "default": 2}, "description": "cores"},
                "team": {"schema": {"type": "string", "enum": ["ml", "cv"]}},
                "rate": {"schema": {"type": "number"}},
            },
        });
        let given = [("team", "cv"), ("rate", "0.5")];
        assert_eq!(
            filled(tree.clone(), &given).unwrap(),
            json!({"cpus": 2, "name": "a-cv-2", "log": "{{.Name}}", "list": [0.5]})
        );
        let given = [("team", "ml"), ("rate", "3"), ("cpus", "8")];
        assert_eq!(
            filled(tree.clone(), &given).unwrap(),
            json!({"cpus": 8, "name": "a-ml-8", "log": "{{.Name}}", "list": [3]})
        );
        for (given, said) in [
            (vec![("team", "cv")], "`rate` has no value: it is a number"),
            (
                vec![("rate", "1"), ("team", "x")],
                "`team` can't be `x`: it is one of ml, cv",
            ),
            (
                vec![("rate", "1"), ("team", "ml"), ("cpus", "9")],
                "`cpus` can't be `9`: it is a whole number from 1 to 8",
            ),
            (
                vec![("rate", "1"), ("team", "ml"), ("cpus", "1.5")],
                "`cpus` can't be `1.5`",
            ),
            (
                vec![("rate", "NaN"), ("team", "ml")],
                "`rate` can't be `NaN`",
            ),
            (
                vec![("rat", "1")],
                "no template variable `rat`; it has cpus, rate, team",
            ),
        ] {
            let error = filled(tree.clone(), &given).unwrap_err().to_string();
            assert!(error.contains(said), "{error}");
        }
    }

    #[test]
    fn what_is_given_stays_one_value() {
        let tree = json!({"volume": "/data/{{x}}:/d",
            "template_variables": {"x": {"schema": {"type": "string"}}}});
        let given = [("x", "a\nprivileged: true {{y}} ${run_id}")];
        let volume = "/data/a\nprivileged: true {{y}} ${run_id}:/d";
        assert_eq!(filled(tree, &given).unwrap(), json!({ "volume": volume }));
    }

    #[test]
    fn descriptions_are_held_against_the_configuration_and_themselves() {
        let schema =
            |schema: Value| json!({"a": "{{v}}", "template_variables": {"v": {"schema": schema}}});
        for (tree, said) in [
            (json!({"a": "{{v}}"}), "`{{v}}` is described nowhere"),
            (json!({"{{v}}": 1}), "stands in a key"),
            (
                json!({"template_variables": {"v": {"schema": {"type": "string"}}}}),
                "stands nowhere",
            ),
            (schema(json!({"type": "boolean"})), "unknown variant"),
            (
                schema(json!({"type": "string", "pattern": "x"})),
                "unknown field `pattern`",
            ),
            (
                schema(json!({"type": "integer", "default": 1.5})),
                "1.5 isn't a whole number",
            ),
            (
                schema(json!({"type": "integer", "minimum": 3, "maximum": 2})),
                "above the maximum",
            ),
            (
                schema(json!({"type": "string", "enum": []})),
                "enum is empty",
            ),
            (
                schema(json!({"type": "string", "enum": ["a"], "default": "b"})),
                "isn't one of a",
            ),
            (
                schema(json!({"type": "string", "minimum": 1})),
                "are for numbers",
            ),
        ] {
            let error = filled(tree.clone(), &[]).unwrap_err().to_string();
            assert!(error.contains(said), "{tree}: {error}");
        }
    }

    #[test]
    fn overrides_hold_them() {
        let overrides = [template_override("x", "a=b"), "shm-size=1g".to_owned()];
        let (values, others) = split_overrides(&overrides);
        assert_eq!(values["x"], "a=b");
        assert_eq!(others, ["shm-size=1g"]);
    }
}
