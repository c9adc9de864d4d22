//! What BuildKit refuses in a Dockerfile (`frontend/dockerfile/{parser,instructions}`), told before
//! anything is asked of a builder.

mod mounts;

use super::scan::{Refusal, Scan, Statement, scan};

/// The instructions there are.
const KEYWORDS: [&str; 18] = [
    "ADD",
    "ARG",
    "CMD",
    "COPY",
    "ENTRYPOINT",
    "ENV",
    "EXPOSE",
    "FROM",
    "HEALTHCHECK",
    "LABEL",
    "MAINTAINER",
    "ONBUILD",
    "RUN",
    "SHELL",
    "STOPSIGNAL",
    "USER",
    "VOLUME",
    "WORKDIR",
];

/// Looks through a Dockerfile.
///
/// # Errors
/// The first thing that BuildKit refuses.
pub fn check(text: &str) -> Result<(), Refusal> {
    checked(&scan(text))
}

pub(super) fn checked(scan: &Scan) -> Result<(), Refusal> {
    let mut in_stage = false;
    let refusal = scan.refusal.clone();
    for statement in &scan.statements {
        let refused = |reason: String| Refusal {
            line: statement.line,
            reason,
        };
        // Reading stops at the first line that can't be read, before any is judged.
        if let Err(reason) = readable(statement, scan.escape) {
            let first = refusal.clone().filter(|r| r.line < statement.line);
            return Err(first.unwrap_or(refused(reason)));
        }
    }
    if let Some(refusal) = refusal {
        return Err(refusal);
    }
    for statement in &scan.statements {
        let refused = |reason: String| Refusal {
            line: statement.line,
            reason,
        };
        instruction(statement, scan.escape).map_err(refused)?;
        match statement.keyword.as_str() {
            "FROM" => in_stage = true,
            "ARG" => {}
            _ if !in_stage => return Err(refused("no build stage in current context".into())),
            _ => {}
        }
    }
    if !in_stage {
        return Err(Refusal {
            line: scan.statements.last().map_or(1, |s| s.line),
            reason: "dockerfile contains no stages to build".into(),
        });
    }
    Ok(())
}

/// What stops BuildKit's reader: pairs that are none, lists of what isn't text.
fn readable(statement: &Statement, escape: char) -> Result<(), String> {
    let arguments = statement.arguments.as_str();
    match statement.keyword.as_str() {
        "ENV" => pairs(arguments, "ENV", escape),
        "LABEL" => pairs(arguments, "LABEL", escape),
        "ADD" | "COPY" | "CMD" | "ENTRYPOINT" | "RUN" | "SHELL" | "VOLUME" => list(arguments),
        "HEALTHCHECK" => list(after_word(arguments)),
        "ONBUILD" if !arguments.is_empty() => readable(&triggered(statement, escape), escape),
        _ => Ok(()),
    }
}

fn after_word(text: &str) -> &str {
    text.split_once(char::is_whitespace)
        .map_or("", |(_, rest)| rest.trim_start())
}

/// JSON lists hold text alone. What isn't JSON is a command line.
fn list(arguments: &str) -> Result<(), String> {
    let list = serde_json::from_str::<Vec<serde_json::Value>>(arguments);
    let is_text = |list: Vec<serde_json::Value>| list.iter().all(serde_json::Value::is_string);
    if list.is_ok_and(|list| !is_text(list)) {
        Err("when using JSON array syntax, arrays must be comprised of strings only".into())
    } else {
        Ok(())
    }
}

fn as_list(arguments: &str) -> Option<Vec<String>> {
    serde_json::from_str(arguments).ok()
}

fn pairs(arguments: &str, keyword: &str, escape: char) -> Result<(), String> {
    let words = words(arguments, escape);
    let Some(first) = words.first() else {
        return Ok(());
    };
    if !first.contains('=') {
        return if arguments.contains([' ', '\t', '\r', '\x0b', '\x0c']) {
            Ok(())
        } else {
            Err(format!("{keyword} must have two arguments"))
        };
    }
    match words.iter().find(|word| !word.contains('=')) {
        Some(word) => Err(format!(
            "Syntax error - can't find = in {word:?}. Must be of the form: name=value"
        )),
        None => Ok(()),
    }
}

/// The words of ENV, LABEL and ARG: quotes and escapes hold blanks, and stay.
pub(super) fn words(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word = String::new();
    let mut quote = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            None if c.is_whitespace() => {
                if !word.is_empty() {
                    words.push(std::mem::take(&mut word));
                }
                continue;
            }
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(open) if c == open => quote = None,
            _ => {}
        }
        if c == escape && quote != Some('\'') {
            // One at the very end is left out.
            let Some(escaped) = chars.next() else {
                break;
            };
            word.push(c);
            word.push(escaped);
        } else {
            word.push(c);
        }
    }
    if !word.is_empty() {
        words.push(word);
    }
    words
}

/// The instruction behind ONBUILD.
fn triggered(statement: &Statement, escape: char) -> Statement {
    let inner = scan(&format!("# escape={escape}\n{}", statement.arguments));
    let mut inner = inner
        .statements
        .into_iter()
        .next()
        .unwrap_or_else(|| Statement {
            keyword: String::new(),
            flags: Vec::new(),
            words: Vec::new(),
            arguments: String::new(),
            heredocs: Vec::new(),
            line: 0,
        });
    inner.line = statement.line;
    inner
}

fn instruction(statement: &Statement, escape: char) -> Result<(), String> {
    let keyword = statement.keyword.as_str();
    let arguments = statement.arguments.as_str();
    let count = statement.words.len();
    let (texts, booleans, lists) = known_flags(keyword);
    match keyword {
        "FROM" => from(statement)?,
        "ENV" | "LABEL" | "ARG" => {
            names(keyword, arguments, escape)?;
        }
        "MAINTAINER" | "WORKDIR" | "USER" | "STOPSIGNAL" if arguments.is_empty() => {
            return Err(format!("{keyword} requires exactly one argument"));
        }
        "EXPOSE" | "VOLUME" if count == 0 => {
            return Err(format!("{keyword} requires at least one argument"));
        }
        "VOLUME" if as_list(arguments).is_some_and(|l| l.iter().any(|v| v.trim().is_empty())) => {
            return Err("VOLUME specified can not be an empty string".into());
        }
        "ADD" | "COPY" => sources(keyword, statement)?,
        "SHELL" => match as_list(arguments) {
            Some(list) if list.is_empty() => {
                return Err("SHELL requires at least one argument".into());
            }
            Some(_) => {}
            None if arguments.is_empty() => {
                return Err("SHELL requires at least one argument".into());
            }
            None => return Err("SHELL requires the arguments to be in JSON form".into()),
        },
        "HEALTHCHECK" => health(statement)?,
        "ONBUILD" => return onbuild(statement, escape),
        _ if !KEYWORDS.contains(&keyword) => {
            let near = crate::nearest::nearest(keyword, KEYWORDS);
            let near = near
                .map(|near| format!(" (did you mean {near}?)"))
                .unwrap_or_default();
            return Err(format!("unknown instruction: {keyword}{near}"));
        }
        _ => {}
    }
    // These two have no flags, and don't look for any.
    let has_none = match keyword {
        "ARG" | "STOPSIGNAL" => true,
        "HEALTHCHECK" => is_none(arguments),
        _ => false,
    };
    if !has_none {
        flags(statement, texts, booleans, lists)?;
    }
    if keyword == "RUN" {
        mounts::check(statement)?;
    }
    Ok(())
}

type Flags = &'static [&'static str];

/// The flags of an instruction: with text, with a truth value, with several texts.
fn known_flags(keyword: &str) -> (Flags, Flags, Flags) {
    match keyword {
        "ADD" => (
            &["chown", "chmod", "checksum"],
            &["link", "keep-git-dir", "unpack"],
            &["exclude"],
        ),
        "COPY" => (
            &["chown", "from", "chmod"],
            &["link", "parents"],
            &["exclude"],
        ),
        "FROM" => (&["platform"], &[], &[]),
        "RUN" => (&["network", "security"], &[], &["mount", "device"]),
        "HEALTHCHECK" => (
            &[
                "interval",
                "timeout",
                "start-period",
                "start-interval",
                "retries",
            ],
            &[],
            &[],
        ),
        _ => (&[], &[], &[]),
    }
}

fn flags(statement: &Statement, texts: Flags, booleans: Flags, lists: Flags) -> Result<(), String> {
    let mut seen = Vec::new();
    for flag in &statement.flags {
        let (name, value) = match flag.text.split_once('=') {
            Some((name, value)) => (name, Some(value)),
            None => (flag.text.as_str(), None),
        };
        let plain = name.trim_start_matches("--");
        let is = |known: Flags| known.contains(&plain) && name == format!("--{plain}");
        if !is(texts) && !is(booleans) && !is(lists) {
            return Err(format!("unknown flag: {name}"));
        }
        if seen.contains(&plain) && !is(lists) {
            return Err(format!("duplicate flag specified: {name}"));
        }
        seen.push(plain);
        match value {
            Some("") if is(booleans) => return Err(format!("missing a value on flag: {name}")),
            Some(value)
                if is(booleans) && !matches!(value.to_lowercase().as_str(), "true" | "false") =>
            {
                return Err(format!(
                    "expecting boolean value for flag {name}, not: {value}"
                ));
            }
            None if !is(booleans) => return Err(format!("missing a value on flag: {name}")),
            _ => {}
        }
    }
    Ok(())
}

fn from(statement: &Statement) -> Result<(), String> {
    match statement.words.as_slice() {
        [_] => Ok(()),
        [_, keyword, name] if keyword.text.eq_ignore_ascii_case("as") => {
            let lower = name.text.to_lowercase();
            let rest = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || "-_.".contains(c);
            if lower.starts_with(|c: char| c.is_ascii_lowercase()) && lower.chars().all(rest) {
                Ok(())
            } else {
                Err(format!(
                    "invalid name for build stage: {:?}, name can't start with a number or contain symbols",
                    name.text
                ))
            }
        }
        _ => Err("FROM requires either one or three arguments".into()),
    }
}

fn names(keyword: &str, arguments: &str, escape: char) -> Result<(), String> {
    let words = words(arguments, escape);
    if words.is_empty() {
        return Err(format!("{keyword} requires at least one argument"));
    }
    if words.iter().any(|word| word.starts_with('=')) {
        Err(format!("{keyword} names can not be blank"))
    } else {
        Ok(())
    }
}

fn sources(keyword: &str, statement: &Statement) -> Result<(), String> {
    let list = as_list(&statement.arguments);
    let words: Vec<&str> = match &list {
        Some(list) => list.iter().map(String::as_str).collect(),
        None => statement
            .words
            .iter()
            .map(|word| word.text.as_str())
            .collect(),
    };
    if words.len() < 2 {
        return Err(format!(
            "{keyword} requires at least two arguments, but only one was provided. Destination could not be determined"
        ));
    }
    let last = words.last().copied().unwrap_or("");
    let after = last.trim_start_matches(|c: char| c.is_ascii_digit());
    let document = after
        .strip_prefix("<<")
        .map(|rest| rest.trim_start_matches('-'));
    if document.is_some_and(|name| !name.is_empty() && !name.contains('<')) {
        Err(format!(
            "{keyword} cannot accept a heredoc as a destination"
        ))
    } else {
        Ok(())
    }
}

fn is_none(arguments: &str) -> bool {
    let first = arguments.split_whitespace().next().unwrap_or("");
    first.eq_ignore_ascii_case("none")
}

fn health(statement: &Statement) -> Result<(), String> {
    let arguments = statement.arguments.as_str();
    let Some(kind) = arguments.split_whitespace().next() else {
        return Err("HEALTHCHECK requires at least one argument".into());
    };
    let rest = after_word(arguments);
    if is_none(arguments) {
        return if rest.is_empty() {
            Ok(())
        } else {
            Err("HEALTHCHECK NONE takes no arguments".into())
        };
    }
    let (texts, booleans, lists) = known_flags("HEALTHCHECK");
    flags(statement, texts, booleans, lists)?;
    if !kind.eq_ignore_ascii_case("cmd") {
        return Err(format!(
            "Unknown type {:?} in HEALTHCHECK (try CMD)",
            kind.to_uppercase()
        ));
    }
    if rest.is_empty() || as_list(rest).is_some_and(|list| list.is_empty()) {
        return Err("Missing command after HEALTHCHECK CMD".into());
    }
    for flag in &statement.flags {
        let Some((name, value)) = flag.text.split_once('=') else {
            continue;
        };
        if value.is_empty() {
            continue;
        }
        if name == "--retries" {
            match value.parse::<i32>() {
                Ok(n) if n >= 0 => {}
                Ok(n) => return Err(format!("--retries cannot be negative ({n})")),
                Err(_) => return Err(format!("--retries={value} isn't a number")),
            }
        } else {
            let nanoseconds = mlbuild_templates::value::nanoseconds(value)
                .ok_or_else(|| format!("time: invalid duration {value:?}"))?;
            if nanoseconds != 0 && nanoseconds < 1_000_000 {
                return Err(format!("Interval {:?} cannot be less than 1ms", &name[2..]));
            }
        }
    }
    Ok(())
}

fn onbuild(statement: &Statement, escape: char) -> Result<(), String> {
    if statement.arguments.is_empty() {
        return Err("ONBUILD requires at least one argument".into());
    }
    if let Some(flag) = statement.flags.first() {
        return Err(format!("unknown flag: {}", flag.text));
    }
    let trigger = triggered(statement, escape);
    match trigger.keyword.as_str() {
        "ONBUILD" => Err("Chaining ONBUILD via `ONBUILD ONBUILD` isn't allowed".into()),
        "MAINTAINER" | "FROM" => Err(format!(
            "{} isn't allowed as an ONBUILD trigger",
            trigger.keyword
        )),
        _ => Ok(()),
    }
}
