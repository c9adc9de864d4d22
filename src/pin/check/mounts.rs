//! `RUN --mount`, `--network` and `--security`: what BuildKit tells before a build.

use crate::pin::scan::Statement;

pub(super) fn check(statement: &Statement) -> Result<(), String> {
    for flag in &statement.flags {
        let Some((name, value)) = flag.text.split_once('=') else {
            continue;
        };
        match (name, value) {
            ("--mount", value) => mount(value)?,
            ("--network", "none" | "default" | "host") => {}
            ("--network", value) => return Err(format!("invalid network mode {value:?}")),
            ("--security", "insecure" | "sandbox") => {}
            ("--security", value) => return Err(format!("security {value:?} is not valid")),
            _ => {}
        }
    }
    Ok(())
}

/// Only `from` is looked at now: everything else may hold variables of the stage.
fn mount(value: &str) -> Result<(), String> {
    for field in fields(value)? {
        let Some((key, value)) = field.split_once('=') else {
            continue;
        };
        let is_last = |at: usize| at + 1 == value.len();
        if key.eq_ignore_ascii_case("from") && value.find('$').is_some_and(|at| !is_last(at)) {
            return Err(
                "'from' doesn't support variable expansion, define alias stage instead".into(),
            );
        }
    }
    Ok(())
}

/// The fields of one line of comma-separated values.
fn fields(text: &str) -> Result<Vec<String>, String> {
    let broken = |why: &str| Err(format!("failed to parse csv mounts: {why}"));
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let Some(quoted) = rest.strip_prefix('"') else {
            let (field, after) = match rest.split_once(',') {
                Some((field, after)) => (field, Some(after)),
                None => (rest, None),
            };
            if field.contains('"') {
                return broken("a quote inside a field");
            }
            fields.push(field.to_owned());
            match after {
                Some(after) => rest = after,
                None => return Ok(fields),
            }
            continue;
        };
        let mut field = String::new();
        let mut tail = quoted;
        loop {
            let Some((before, after)) = tail.split_once('"') else {
                return broken("a quote isn't closed");
            };
            field.push_str(before);
            tail = after;
            match after.strip_prefix('"') {
                Some(after) => {
                    field.push('"');
                    tail = after;
                }
                None => break,
            }
        }
        fields.push(field);
        match tail.strip_prefix(',') {
            Some(after) => rest = after,
            None if tail.is_empty() => return Ok(fields),
            None => return broken("text behind a closing quote"),
        }
    }
}
