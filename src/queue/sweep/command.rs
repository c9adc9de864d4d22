//! The command of a run: W&B's macros, each of which is a word or several.

use serde_json::{Map, Value};

use super::SweepError;

/// The command where the file has none.
pub(super) const USUAL: [&str; 4] = ["${env}", "${interpreter}", "${program}", "${args}"];
/// Macros that stand for parameters, which at least one of a command does.
const OF_PARAMETERS: [&str; 4] = [
    "args",
    "args_no_boolean_flags",
    "args_no_hyphens",
    "args_json",
];

/// Reads `command`: a list of words, or one text of them.
pub(super) fn read(value: Value) -> Result<Vec<String>, SweepError> {
    let wrong = || SweepError::value("command", "write a list of words");
    let words = match value {
        Value::String(text) => shlex::split(&text).ok_or_else(wrong)?,
        Value::Array(words) => {
            let word = |word: Value| match word {
                Value::String(word) => Ok(word),
                Value::Number(number) => Ok(number.to_string()),
                _ => Err(wrong()),
            };
            words.into_iter().map(word).collect::<Result<_, _>>()?
        }
        _ => return Err(wrong()),
    };
    if words.is_empty() {
        Err(wrong())
    } else {
        Ok(words)
    }
}

/// Refuses macros that stand for nothing here, and commands that no parameter reaches.
pub(super) fn check(words: &[String], has_program: bool) -> Result<(), SweepError> {
    let refuse = |why: String| Err(SweepError::value("command", why));
    let mut has_parameters = false;
    for word in words {
        let Some(name) = macro_of(word) else {
            if word.contains("${") {
                return refuse(format!("`{word}`: a macro is a word of its own"));
            }
            continue;
        };
        match name {
            "env" | "interpreter" => {}
            "program" if has_program => {}
            "program" => {
                return Err(SweepError::value(
                    "program",
                    "the command starts it, and it isn't named",
                ));
            }
            "args_json_file" => {
                return refuse(
                    "`${args_json_file}`: no file gets into a job; write ${args_json}".to_owned(),
                );
            }
            name if name == "envvar" || name.starts_with("envvar:") => {
                return refuse(format!(
                    "`{word}`: a variable reaches a job by its name; give the job env NAME, and read it in the program"
                ));
            }
            name if OF_PARAMETERS.contains(&name) => has_parameters = true,
            _ => return refuse(format!("`{word}` is no macro of a sweep")),
        }
    }
    if has_parameters {
        return Ok(());
    }
    refuse("it has no ${args}: all runs would be the same".to_owned())
}

/// The command of a run.
pub(super) fn fill(
    words: &[String],
    program: &str,
    parameters: &Map<String, Value>,
) -> Vec<String> {
    let mut filled = Vec::new();
    let each = |form: fn(&str, &Value) -> Option<String>| {
        parameters
            .iter()
            .filter_map(move |(name, value)| form(name, value))
    };
    for word in words {
        match macro_of(word) {
            None => filled.push(word.clone()),
            Some("env") => filled.push("/usr/bin/env".to_owned()),
            Some("interpreter") => filled.push("python".to_owned()),
            Some("program") => filled.push(program.to_owned()),
            Some("args") => filled.extend(each(flag)),
            Some("args_no_boolean_flags") => filled.extend(each(|name, value| match value {
                Value::Bool(true) => Some(format!("--{name}")),
                Value::Bool(false) => None,
                value => flag(name, value),
            })),
            Some("args_no_hyphens") => {
                filled.extend(each(|name, value| {
                    Some(format!("{name}={}", python(value)))
                }));
            }
            Some(_) => filled.push(Value::Object(parameters.clone()).to_string()),
        }
    }
    filled
}

fn flag(name: &str, value: &Value) -> Option<String> {
    Some(format!("--{name}={}", python(value)))
}

fn macro_of(word: &str) -> Option<&str> {
    word.strip_prefix("${")?.strip_suffix('}')
}

/// A value as Python prints it, which is what programs of sweeps read.
fn python(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        value => inner(value),
    }
}

fn inner(value: &Value) -> String {
    match value {
        Value::Null => "None".to_owned(),
        Value::Bool(true) => "True".to_owned(),
        Value::Bool(false) => "False".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::String(text) => format!("'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
        Value::Array(values) => {
            let values: Vec<String> = values.iter().map(inner).collect();
            format!("[{}]", values.join(", "))
        }
        Value::Object(table) => {
            let entry = |(key, value): (&String, &Value)| format!("'{key}': {}", inner(value));
            let entries: Vec<String> = table.iter().map(entry).collect();
            format!("{{{}}}", entries.join(", "))
        }
    }
}
