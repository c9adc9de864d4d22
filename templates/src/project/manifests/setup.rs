//! `setup.cfg`, and `setup.py` as far as its lists stand there as text: no code of the project runs.

use std::path::Path;

use super::chosen::Chosen;
use super::{
    Asked, Choice, Manifest, Unused, UnusedKind, beside, folder_of, place, refuse_many, text_of,
    unreadable,
};
use crate::dockerfile::shell_quote;
use crate::project::evaluate::{self, Argument, Setup};
use crate::project::{LocalProject, ProjectError, is_outside};

pub(super) fn read(project: &Path, file: &str, choice: Choice) -> Result<Manifest, ProjectError> {
    let text = text_of(project, file)?;
    let mut manifest = if file.ends_with(".cfg") {
        cfg(file, &text, choice)?
    } else {
        script(project, file, &text, choice)?
    };
    if file.ends_with(".py")
        && let Some((line, why)) = evaluate::fault(&text)
    {
        manifest.unused.push(Unused {
            kind: UnusedKind::Broken,
            what: format!("{file}:{line}"),
            why: format!("Python can't read the script: {why}"),
            next: format!("correct it: python -m py_compile {}", shell_quote(file)).into(),
        });
    }
    // A setup.py that only calls setup() leaves its lists to setup.cfg.
    let beside_it = beside(file, "setup.cfg");
    if file.ends_with(".py")
        && manifest.requirements.is_empty()
        && project.join(&beside_it).is_file()
    {
        let more = cfg(&beside_it, &text_of(project, &beside_it)?, choice)?;
        // Every source archive has a setup.cfg, which may say nothing of them.
        if !more.requirements.is_empty() || !more.files.is_empty() {
            let unused = std::mem::replace(&mut manifest, more).unused;
            manifest.unused.extend(unused);
        }
    }
    let has = |name: &str| project.join(beside(file, name)).is_file();
    if has("setup.py") || has("pyproject.toml") {
        manifest.local.push(LocalProject {
            folder: folder_of(file).to_owned(),
            extras: Vec::new(),
            editable: true,
            origin: file.to_owned(),
        });
    } else {
        manifest.unused.push(Unused {
            kind: UnusedKind::default(),
            what: format!("{file}: the project itself"),
            why: "no installer builds a project of a setup.cfg alone".into(),
            next: "write a setup.py beside it: from setuptools import setup; setup()".into(),
        });
    }
    Ok(manifest)
}

fn cfg(file: &str, text: &str, choice: Choice) -> Result<Manifest, ProjectError> {
    let mut manifest = Manifest::default();
    let chosen = Chosen::extras(file, choice.extras);
    let mut extras: Vec<String> = Vec::new();
    let mut section = String::new();
    let mut key = String::new();
    for (number, line) in text.lines().enumerate() {
        let trimmed = line.trim();
        if trimmed.is_empty() || trimmed.starts_with(['#', ';']) {
            continue;
        }
        if let Some(name) = trimmed.strip_prefix('[').and_then(|l| l.strip_suffix(']')) {
            section = name.trim().to_owned();
            key.clear();
            continue;
        }
        let continued = line.starts_with([' ', '\t']);
        let value = match line.split_once('=') {
            Some((name, value)) if !continued => {
                key = name.trim().to_owned();
                value.trim()
            }
            _ => trimmed,
        };
        if section == "options.extras_require" && !extras.contains(&key) {
            extras.push(key.clone());
            refuse_many(file, "extra", extras.len(), 0)?;
        }
        if value.is_empty() {
            continue;
        }
        let asked = Asked {
            text: value.to_owned(),
            origin: format!("{file}:{}", number + 1),
        };
        match (section.as_str(), key.as_str()) {
            ("options", "install_requires") => match value.strip_prefix("file:") {
                Some(names) => manifest
                    .files
                    .extend(names.split(',').map(|name| beside(file, name.trim()))),
                None => manifest.requirements.push(asked),
            },
            ("options", "python_requires") => manifest.python = Some(asked),
            ("options.extras_require", extra) if chosen.has(extra) => {
                manifest.requirements.push(asked);
            }
            _ => {}
        }
    }
    let extras: Vec<&str> = extras.iter().map(String::as_str).collect();
    chosen.check(&extras)?;
    Chosen::groups(file, choice.groups).check(&[])?;
    manifest.unused.extend(chosen.left(&extras));
    Ok(manifest)
}

fn script(
    project: &Path,
    file: &str,
    text: &str,
    choice: Choice,
) -> Result<Manifest, ProjectError> {
    let mut manifest = Manifest::default();
    let open = |path: &str| text_beside(project, file, path);
    let followed = evaluate::setup(text, &open, choice.env);
    match followed.as_ref().map(|setup| &setup.extras) {
        Some(Argument::Known(extras)) => {
            extras_followed(file, text, choice, extras, &mut manifest)?
        }
        _ => extras_of_script(file, text, choice, &mut manifest)?,
    }
    let mut is_done = false;
    if let Some(setup) = &followed {
        if let Argument::Known(python) = &setup.python {
            manifest.python = Some(Asked {
                text: python.clone(),
                origin: place(file, text, "python_requires"),
            });
        }
        is_done = requires_followed(file, text, setup, &open, &mut manifest);
    }
    if !is_done {
        // Where it was followed, a list that stands there as text isn't all.
        let as_text = followed.is_none();
        dependencies_of_script(project, file, text, as_text, &mut manifest);
    }
    Ok(manifest)
}

/// The text of a file that a script reads, where it lies in the project.
fn text_beside(project: &Path, file: &str, path: &str) -> Option<String> {
    let path = beside(file, path);
    let is_inside =
        !path.is_empty() && !Path::new(&path).is_absolute() && !is_outside(project, &path);
    let is_there = is_inside && project.join(&path).is_file();
    is_there.then(|| text_of(project, &path).ok()).flatten()
}

/// Requirements of a list: neither blank nor a comment.
fn requirements_of(lines: &[String]) -> Vec<&str> {
    let lines = lines
        .iter()
        .map(|line| line.split(" #").next().unwrap_or(line).trim());
    lines
        .filter(|line| !line.is_empty() && !line.starts_with('#'))
        .collect()
}

/// What a script that was followed gives to `install_requires`; whether it could be told.
fn requires_followed(
    file: &str,
    text: &str,
    setup: &Setup,
    open: evaluate::Open,
    manifest: &mut Manifest,
) -> bool {
    let listed = match &setup.requires {
        Argument::Absent => return true,
        Argument::Unknown => return false,
        Argument::Known(listed) => requirements_of(listed),
    };
    let read: Vec<(&String, String)> = setup
        .files
        .iter()
        .filter_map(|name| Some((name, open(name)?)))
        .collect();
    // All of a file is that file, with its options.
    let is_whole = |text: &str| {
        let lines: Vec<String> = text.lines().map(str::to_owned).collect();
        let mut lines = requirements_of(&lines);
        lines.retain(|line| !is_of_index(line) || listed.contains(line));
        !lines.is_empty() && lines == listed
    };
    if let Some((name, _)) = read.iter().find(|(_, text)| is_whole(text)) {
        manifest.files.push(beside(file, name));
        return true;
    }
    // Options, and lines that pip alone reads: `setup` itself would refuse them.
    if listed
        .iter()
        .any(|line| line.starts_with('-') || line.contains("://") && !line.contains(" @ "))
    {
        return false;
    }
    for line in listed {
        let origin = origin_of(file, text, line, &read);
        if let Some((name, _)) = read
            .iter()
            .find(|(name, _)| origin.starts_with(&beside(file, name)))
        {
            manifest.inputs.insert(beside(file, name));
        }
        manifest.requirements.push(Asked {
            text: line.to_owned(),
            origin,
        });
    }
    true
}

/// Options that say where packages are.
fn is_of_index(line: &str) -> bool {
    [
        "--index-url",
        "--extra-index-url",
        "--find-links",
        "-i ",
        "-f ",
    ]
    .iter()
    .any(|option| line.starts_with(option))
}

/// Where a requirement stands: in the script, or in a file that it reads.
fn origin_of(file: &str, text: &str, line: &str, read: &[(&String, String)]) -> String {
    // Each line is looked for, which is too much in a text that nobody wrote.
    if text.len() > super::MOST_BYTES_WITH_LINES {
        return file.to_owned();
    }
    let quoted = ["'", "\""].map(|quote| format!("{quote}{line}{quote}"));
    if let Some(quoted) = quoted.iter().find(|quoted| text.contains(*quoted)) {
        return place(file, text, quoted);
    }
    let holder = read
        .iter()
        .find(|(_, text)| text.lines().any(|one| one.trim().starts_with(line)));
    match holder {
        Some((name, text)) => place(&beside(file, name), text, line),
        None if text.contains(line) => place(file, text, line),
        None => place(file, text, "install_requires"),
    }
}

/// The extras of a script that was followed.
fn extras_followed(
    file: &str,
    text: &str,
    choice: Choice,
    extras: &[(String, Option<Vec<String>>)],
    manifest: &mut Manifest,
) -> Result<(), ProjectError> {
    Chosen::groups(file, choice.groups).check(&[])?;
    refuse_many(file, "extra", extras.len(), 0)?;
    let chosen = Chosen::extras(file, choice.extras);
    // `cuda:python_version<"3.9"` is an extra with a condition.
    let names: Vec<&str> = extras.iter().map(|(name, _)| plain_name(name)).collect();
    chosen.check(&names)?;
    for (name, lines) in extras
        .iter()
        .filter(|(name, _)| chosen.has(plain_name(name)))
    {
        let Some(lines) = lines else {
            return Err(by_code(file, text, name));
        };
        let condition = name.split_once(':').map(|(_, condition)| condition.trim());
        for line in requirements_of(lines) {
            manifest.requirements.push(Asked {
                text: match condition {
                    Some(condition) if !line.contains(';') => format!("{line} ; {condition}"),
                    _ => line.to_owned(),
                },
                origin: origin_of(file, text, line, &[]),
            });
        }
    }
    let of = |is_known: bool| -> Vec<&str> {
        let some = extras
            .iter()
            .filter(|(_, lines)| lines.is_some() == is_known);
        some.map(|(name, _)| plain_name(name))
            .filter(|name| !name.is_empty())
            .collect()
    };
    manifest.unused.extend(chosen.left(&of(true)));
    let unknown = of(false);
    if !unknown.is_empty() {
        manifest.unused.push(extras_by_code(file, text, &unknown));
    }
    Ok(())
}

fn plain_name(extra: &str) -> &str {
    extra.split(':').next().unwrap_or(extra).trim()
}

/// That an extra was chosen whose packages nobody can tell.
fn by_code(file: &str, text: &str, name: &str) -> ProjectError {
    unreadable(
        &place(file, text, "extras_require"),
        format!("what the extra {name} needs is worked out by code"),
        "list its packages in a requirements file, or name them under [image] packages",
    )
}

/// `extras_require`, where it stands there as text.
fn extras_of_script(
    file: &str,
    text: &str,
    choice: Choice,
    manifest: &mut Manifest,
) -> Result<(), ProjectError> {
    Chosen::groups(file, choice.groups).check(&[])?;
    let chosen = Chosen::extras(file, choice.extras);
    let Some(value) = value_of(text, "extras_require") else {
        // They may be in its setup.cfg, or be put together elsewhere.
        let elsewhere = text.contains("extras_require") || !text.contains("install_requires");
        return if elsewhere { Ok(()) } else { chosen.check(&[]) };
    };
    let Some(extras) = value_or_assigned(text, value, '{').and_then(table_of) else {
        if let Some(first) = choice.extras.first() {
            return Err(unreadable(
                &place(file, text, "extras_require"),
                format!("whether it has the extra {first} is worked out by code"),
                "list its packages in a requirements file, or name them under [image] packages",
            ));
        }
        let names = names_by_code(text, value);
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        manifest.unused.push(extras_by_code(file, text, &names));
        return Ok(());
    };
    let names: Vec<&str> = extras.iter().map(|(name, _)| name.as_str()).collect();
    chosen.check(&names)?;
    for (_, lines) in extras.iter().filter(|(name, _)| chosen.has(name)) {
        manifest.requirements.extend(lines.iter().map(|line| Asked {
            text: line.clone(),
            origin: place(file, text, line),
        }));
    }
    manifest.unused.extend(chosen.left(&names));
    Ok(())
}

/// The names of extras that code puts together, as far as they stand there.
fn names_by_code(text: &str, value: &str) -> Vec<String> {
    let name: String = value
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    let table = match value.starts_with('{') {
        true => Some(value),
        false => assigned(text, &name).filter(|table| table.starts_with('{')),
    };
    table.map(keys_of).unwrap_or_default()
}

/// That a project has extras whose packages its own code puts together.
fn extras_by_code(file: &str, text: &str, names: &[&str]) -> Unused {
    let names = &names[..names.len().min(MOST_NAMED)];
    let named = match names {
        [] => String::new(),
        names => format!(" {}", names.join(", ")),
    };
    Unused {
        kind: UnusedKind::NotChosen,
        what: format!("{}: extras{named}", place(file, text, "extras_require")),
        why: "their packages are put together by code, so none can be chosen".into(),
        next: "list the packages that are needed in a requirements file".into(),
    }
}

/// The names before the colons of a dictionary, as far as they are string literals at its first level.
fn keys_of(text: &str) -> Vec<String> {
    let mut names: Vec<String> = Vec::new();
    let mut depth = 0_usize;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        if let Some((inside, after)) = literal(rest) {
            if depth == 1 && after.trim_start().starts_with(':') && names.len() < MOST_NAMED {
                names.push(inside);
            }
            rest = after;
            continue;
        }
        match c {
            '{' | '[' | '(' => depth += 1,
            '}' | ']' | ')' => depth = depth.saturating_sub(1),
            '#' => {
                rest = rest.split_once('\n').map_or("", |(_, after)| after);
                continue;
            }
            _ => {}
        }
        rest = &rest[c.len_utf8()..];
        if depth == 0 {
            break;
        }
    }
    names
}

/// Extras that are named at most where code puts them together.
const MOST_NAMED: usize = 20;

fn dependencies_of_script(
    project: &Path,
    file: &str,
    text: &str,
    as_text: bool,
    manifest: &mut Manifest,
) {
    if let Some(python) = value_of(text, "python_requires").and_then(literal) {
        manifest.python.get_or_insert(Asked {
            text: python.0,
            origin: place(file, text, "python_requires"),
        });
    }
    let Some(value) = value_of(text, "install_requires") else {
        // Arguments that are put together elsewhere may hold them.
        if text.contains("install_requires") || text.contains("**") {
            worked_out(file, text, manifest);
        }
        return;
    };
    let listed = value_or_assigned(text, value, '[').and_then(list_of);
    if let Some(list) = listed.filter(|_| as_text) {
        manifest
            .requirements
            .extend(list.into_iter().map(|line| Asked {
                origin: place(file, text, &line),
                text: line,
            }));
        return;
    }
    if nbdev(project, file, text, manifest) {
        return;
    }
    // The usual way around: it reads a requirements file that lies beside it.
    let is_there = |name: &str| project.join(beside(file, name)).is_file();
    let usual = [
        "requirements.txt",
        "requirements/base.txt",
        "requirements/requirements.txt",
    ];
    let usual = usual
        .into_iter()
        .find(|name| text.contains(name) && is_there(name));
    let argument = argument_of(value).filter(|name| name.ends_with(".txt") && is_there(name));
    if let Some(name) = argument.or(usual.map(str::to_owned)) {
        let list = beside(file, &name);
        manifest.unused.push(Unused {
            kind: UnusedKind::Guessed,
            what: place(file, text, "install_requires"),
            why: format!(
                "what it makes of {list} ({}) is worked out by code that can't be followed, so all of that file is installed",
                place(file, text, &name)
            ),
            next: "where the script leaves some of it out or adds to it, name a list of what is meant: requirements = [\"…\"] under [image]".into(),
        });
        manifest.files.push(list);
        return;
    }
    worked_out(file, text, manifest);
}

/// The name that nbdev's `settings.ini` gives a project.
pub(super) fn name_of_nbdev(settings: &str) -> Option<String> {
    setting(settings, "lib_name")
}

/// `KEY = VALUE` of `settings.ini`.
fn setting(text: &str, key: &str) -> Option<String> {
    text.lines().find_map(|line| {
        let (name, value) = line.split_once('=')?;
        (name.trim() == key).then(|| value.trim().to_owned())
    })
}

/// `settings.ini` of nbdev, which its `setup.py` reads: `requirements`, `pip_requirements`, `min_python`. Whether
/// it is one.
fn nbdev(project: &Path, file: &str, script: &str, manifest: &mut Manifest) -> bool {
    let settings = beside(file, "settings.ini");
    if !script.contains("settings.ini") || !project.join(&settings).is_file() {
        return false;
    }
    let text = text_of(project, &settings).unwrap_or_default();
    let value = |key: &str| setting(&text, key);
    if value("lib_name").is_none() {
        return false;
    }
    for key in ["requirements", "pip_requirements"] {
        let origin = place(&settings, &text, &format!("{key} ="));
        let listed = value(key).unwrap_or_default();
        manifest
            .requirements
            .extend(listed.split_whitespace().map(|word| Asked {
                text: word.to_owned(),
                origin: origin.clone(),
            }));
    }
    if let Some(oldest) = value("min_python") {
        manifest.python = Some(Asked {
            text: format!(">={oldest}"),
            origin: place(&settings, &text, "min_python"),
        });
    }
    if value("dev_requirements").is_some_and(|listed| !listed.is_empty()) {
        manifest.unused.push(Unused {
            kind: UnusedKind::NotChosen,
            what: format!(
                "{}: dev_requirements",
                place(&settings, &text, "dev_requirements")
            ),
            why: "they are for whoever works on the project".into(),
            next: "list those that the image needs in a requirements file".into(),
        });
    }
    manifest.inputs.insert(settings);
    true
}

/// A value that stands where it is used, or what is assigned once, at the beginning of a line, to
/// the name that does.
fn value_or_assigned<'a>(text: &'a str, value: &'a str, open: char) -> Option<&'a str> {
    if value.starts_with(open) {
        return Some(value);
    }
    let name: String = value
        .chars()
        .take_while(|c| c.is_alphanumeric() || *c == '_')
        .collect();
    // `base + more` is more than what is assigned to the first name.
    let after = value[name.len()..].trim_start();
    let is_all = after.is_empty() || after.starts_with([',', ')', '#', '}']);
    assigned(text, &name).filter(|_| is_all && !is_changed(text, &name))
}

/// `FILE` of `read_requirements('FILE')`.
fn argument_of(value: &str) -> Option<String> {
    let (name, inside) = value.split_once('(')?;
    let is_name = name.chars().all(|c| c.is_alphanumeric() || c == '_');
    let (argument, _) = literal(inside.trim_start())?;
    (is_name && !name.is_empty()).then_some(argument)
}

/// The name that a script gives its project, where it stands there as text.
pub(super) fn name_of(text: &str) -> Option<String> {
    value_of(text, "name")
        .and_then(literal)
        .map(|(name, _)| name)
}

fn worked_out(file: &str, text: &str, manifest: &mut Manifest) {
    manifest.unused.push(Unused {
        kind: UnusedKind::OfItsBuild,
        what: place(file, text, "install_requires"),
        why: "its dependencies are worked out by code, and no code of a project runs before it is built".into(),
        next: "list them in a requirements file, or lock the project".into(),
    });
}

/// What stands behind `name=` of a call.
fn value_of<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.match_indices(name).find_map(|(at, _)| {
        let before = text[..at].chars().next_back();
        let after = text[at + name.len()..].trim_start();
        let is_word =
            before.is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '"' || c == '\'');
        let value = after
            .strip_prefix('=')
            .filter(|rest| !rest.starts_with('='))?;
        // At the beginning of a line it is assigned to, and no argument.
        let is_assigned = before.is_none_or(|c| c == '\n');
        (!is_word && !is_assigned).then(|| value.trim_start())
    })
}

fn assigned<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let rest = line.strip_prefix(name).map(str::trim_start);
        if !name.is_empty()
            && let Some(value) = rest.and_then(|rest| rest.strip_prefix('='))
            && !value.starts_with('=')
        {
            let start = at + line.len() - value.len();
            return Some(text[start..].trim_start());
        }
        at += line.len();
    }
    None
}

/// Whether a name is assigned again, or its list added to.
fn is_changed(text: &str, name: &str) -> bool {
    let ways = [
        ".append(", ".extend(", ".insert(", ".remove(", ".update(", " +=", "+=", "[",
    ];
    let assignments = text.lines().filter(|line| {
        let rest = line.trim_start().strip_prefix(name).map(str::trim_start);
        rest.is_some_and(|rest| rest.starts_with('=') && !rest.starts_with("=="))
            && !line.trim_end().ends_with(',')
    });
    assignments.count() > 1
        || ways
            .iter()
            .any(|way| text.contains(&format!("{name}{way}")))
}

/// A string literal and what follows it.
fn literal(text: &str) -> Option<(String, &str)> {
    let quote = text.chars().next().filter(|c| matches!(c, '"' | '\''))?;
    let (inside, after) = text[1..].split_once(quote)?;
    (!inside.contains('\\')).then(|| (inside.to_owned(), after))
}

/// A dictionary of lists of string literals; `None` where anything else stands in it.
fn table_of(text: &str) -> Option<Vec<(String, Vec<String>)>> {
    let mut rest = text.strip_prefix('{')?;
    let mut table = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(comment) = rest.strip_prefix('#') {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(after) = rest.strip_prefix(',') {
            rest = after;
        } else if rest.starts_with('}') {
            return Some(table);
        } else {
            let (name, after) = literal(rest)?;
            let value = after.trim_start().strip_prefix(':')?.trim_start();
            let (list, after) = list_and_rest(value)?;
            table.push((name, list));
            rest = after;
        }
    }
}

/// A list of string literals; `None` where anything else stands in it.
fn list_of(text: &str) -> Option<Vec<String>> {
    list_and_rest(text).map(|(list, _)| list)
}

fn list_and_rest(text: &str) -> Option<(Vec<String>, &str)> {
    let mut rest = text.strip_prefix('[')?;
    let mut list = Vec::new();
    loop {
        rest = rest.trim_start();
        if let Some(comment) = rest.strip_prefix('#') {
            rest = comment.split_once('\n').map_or("", |(_, after)| after);
        } else if let Some(after) = rest.strip_prefix(',') {
            rest = after;
        } else if let Some(after) = rest.strip_prefix(']') {
            // A list that is added to isn't all of it.
            let added =
                after.trim_start().starts_with(['+', '*']) || after.trim_start().starts_with("if ");
            return (!added).then_some((list, after));
        } else {
            let (line, after) = literal(rest)?;
            list.push(line);
            rest = after;
        }
    }
}
