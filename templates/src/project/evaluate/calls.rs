//! What Python's own functions and methods give, as far as setup scripts use them to put lists together.

use std::rc::Rc;

use super::lex::tokens;
use super::parse::names;
use super::reckon::joined;
use super::run::{Done, Run, Stop};
use super::value::{MOST_ITEMS, Source, Value};

/// Most bytes of a text that is put together.
const MOST_TEXT: usize = 1 << 20;
/// Most bytes of a text that a regular expression goes through.
const MOST_SEARCHED: usize = 32 << 10;

/// Whether a base may set a variable.
fn is_of_base(name: &str) -> bool {
    [
        "CUDA", "NVIDIA", "NV_", "PYTHON", "PATH", "HOME", "LD_", "CONDA", "ROCM",
    ]
    .iter()
    .any(|of| name.starts_with(of))
}

impl Run<'_> {
    /// What a variable is in the build of a project, which nothing but the image and its base set: `Value::None`
    /// for one that isn't there, `None` for one that can't be told.
    pub fn variable(&self, name: &str) -> Option<Value> {
        if self.sets_variables {
            return None;
        }
        let mut set = self.environment.into_iter().flatten();
        match set.find(|(known, _)| known.as_str() == name) {
            // It may name others.
            Some((_, value)) => {
                (!value.as_str().contains('$')).then(|| Value::text(value.as_str()))
            }
            None => (!is_of_base(name)).then_some(Value::None),
        }
    }

    /// A function of Python's own, or of a module.
    pub fn builtin(
        &mut self,
        name: &str,
        plain: Vec<Value>,
        named: &[(Rc<str>, Value)],
    ) -> Done<Value> {
        let last = name.rsplit('.').next().unwrap_or(name);
        if let Some(found) = self.of_paths(name, last, &plain)? {
            return Ok(found);
        }
        let first = plain.first();
        match (name, first) {
            ("sorted", Some(source)) => {
                self.spend(source.weight(MOST_ITEMS) * 64)?;
                let Some(mut texts) = source.strings().filter(|_| named.is_empty()) else {
                    return Ok(Value::Unknown);
                };
                texts.sort();
                Ok(Value::texts(texts.into_iter()))
            }
            ("list" | "tuple" | "set" | "frozenset", Some(source)) => {
                let items = source.items();
                self.spend(items.as_ref().map_or(0, Vec::len) * 32)?;
                Ok(items.map_or(Value::Unknown, Value::list))
            }
            ("list" | "tuple" | "set" | "frozenset", None) => Ok(Value::list(Vec::new())),
            ("dict" | "collections.OrderedDict", _) => {
                let mut entries = match first {
                    None | Some(Value::Named(_)) => Vec::new(),
                    Some(Value::Dict(dict)) if !dict.is_lost.get() => dict.entries.borrow().clone(),
                    Some(_) => return Ok(Value::Unknown),
                };
                self.spend((entries.len() + 1) * (named.len() + 1) * 32)?;
                entries.retain(|(key, _)| !named.iter().any(|(other, _)| other == key));
                entries.extend(named.iter().cloned());
                Ok(Value::dict(entries))
            }
            ("str", Some(value)) => Ok(value.as_text().map_or(Value::Unknown, Value::Text)),
            ("len", Some(value)) => Ok(match value {
                Value::Text(text) => Value::Int(text.chars().count() as i64),
                value => value
                    .items()
                    .map_or(Value::Unknown, |items| Value::Int(items.len() as i64)),
            }),
            ("int", Some(Value::Text(text))) => {
                Ok(text.trim().parse().map_or(Value::Unknown, Value::Int))
            }
            ("print" | "warnings.warn", _) => Ok(Value::None),
            ("compile", Some(Value::Text(code))) => Ok(Value::Text(code.clone())),
            // With a second argument, that has the names.
            ("exec", Some(Value::Text(code))) if plain.len() == 1 && named.is_empty() => {
                self.spend(code.len() * 8)?;
                match tokens(code) {
                    Some(tokens) => self.lose(&names(&tokens)),
                    None => self.lose_all(),
                }
                Ok(Value::None)
            }
            ("exec", _) if plain.len() < 2 && named.is_empty() => {
                self.lose_all();
                Ok(Value::None)
            }
            ("globals" | "locals" | "vars" | "setattr" | "delattr", _) => {
                self.lose_all();
                Ok(Value::Unknown)
            }
            ("sum", Some(source)) if plain.len() == 2 || !named.is_empty() => {
                let start = plain.get(1).or(named.first().map(|(_, value)| value));
                self.flat(source.items(), start.and_then(Value::items))
            }
            ("itertools.chain.from_iterable" | "chain.from_iterable", Some(source)) => {
                self.flat(source.items(), Some(Vec::new()))
            }
            ("itertools.chain", _) => self.flat(Some(plain), Some(Vec::new())),
            ("map", Some(function)) if plain.len() == 2 => self.map(function, &plain[1]),
            ("filter", Some(Value::None)) if plain.len() == 2 => {
                let Some(mut items) = plain[1].items() else {
                    return Ok(Value::Unknown);
                };
                if items.iter().any(|item| item.truth().is_none()) {
                    return Ok(Value::Unknown);
                }
                items.retain(|item| item.truth() == Some(true));
                self.spend(items.len() * 32)?;
                Ok(Value::stream(Source::Items(items)))
            }
            ("re.findall", _) if plain.len() == 2 && named.is_empty() => self.find_all(&plain),
            ("platform.system", _) => Ok(Value::text("Linux")),
            ("os.getenv" | "os.environ.get", Some(Value::Text(name))) => {
                let is_set = self.variable(name);
                match is_set {
                    Some(Value::None) => Ok(plain.get(1).cloned().unwrap_or(Value::None)),
                    Some(value) => Ok(value),
                    None => {
                        self.unknowns += 1;
                        Ok(Value::Unknown)
                    }
                }
            }
            ("os.putenv" | "os.unsetenv", _) => {
                self.sets_variables = true;
                Ok(Value::None)
            }
            (name, _) if name.starts_with("os.environ.") => {
                self.sets_variables |=
                    !["os.environ.copy", "os.environ.keys", "os.environ.items"].contains(&name);
                self.unknowns += 1;
                Ok(Value::Unknown)
            }
            _ if last == "parse_requirements"
                && (name == last
                    || name.starts_with("pip.")
                    || name.starts_with("pkg_resources.")) =>
            {
                self.requirements(first)
            }
            _ => {
                self.unknowns += 1;
                plain.iter().for_each(Value::lose);
                named.iter().for_each(|(_, value)| value.lose());
                Ok(Value::Unknown)
            }
        }
    }

    /// Paths, and files at them. The folder of the script is `""`.
    fn of_paths(&mut self, name: &str, last: &str, plain: &[Value]) -> Done<Option<Value>> {
        let of_path =
            name.starts_with("os.path.") || name.starts_with("path.") || name.starts_with("osp.");
        let text = |at: usize| match plain.get(at) {
            Some(Value::Text(text)) => Some(text.clone()),
            _ => None,
        };
        let found = match (last, text(0)) {
            ("open", Some(path)) if ["open", "io.open", "codecs.open"].contains(&name) => {
                let file = self.read(&path)?;
                file.map_or(Value::Unknown, Value::file)
            }
            ("Path" | "PurePath", Some(path)) => Value::Text(path),
            ("abspath" | "realpath" | "normpath" | "expanduser", Some(path)) if of_path => {
                Value::Text(path)
            }
            ("dirname", Some(path)) if of_path && path.is_empty() => Value::Unknown,
            ("dirname", Some(path)) if of_path => {
                Value::text(path.rsplit_once('/').map_or("", |(folder, _)| folder))
            }
            ("basename", Some(path)) if of_path => {
                Value::text(path.rsplit_once('/').map_or(&*path, |(_, last)| last))
            }
            ("exists" | "isfile", Some(path)) if of_path => self.is_there(&path)?,
            ("join", Some(_)) if of_path => return self.join_paths(plain).map(Some),
            ("getcwd", None) if name == "os.getcwd" => Value::text(""),
            ("cwd", None) if name.ends_with("Path.cwd") => Value::text(""),
            _ => return Ok(None),
        };
        Ok(Some(found))
    }

    /// Whether a file is there; what can't be read may be a folder.
    fn is_there(&mut self, path: &str) -> Done<Value> {
        let found = self.read(path)?;
        Ok(found.map_or(Value::Unknown, |_| Value::Bool(true)))
    }

    fn join_paths(&mut self, parts: &[Value]) -> Done<Value> {
        let mut path = String::new();
        for part in parts {
            let Value::Text(part) = part else {
                return Ok(Value::Unknown);
            };
            path = joined(&path, part);
            self.spend(path.len())?;
        }
        Ok(Value::text(path))
    }

    /// Lists of a list, one after the other.
    fn flat(&mut self, lists: Option<Vec<Value>>, start: Option<Vec<Value>>) -> Done<Value> {
        let (Some(lists), Some(mut all)) = (lists, start) else {
            return Ok(Value::Unknown);
        };
        for list in lists {
            let Some(items) = list.items() else {
                return Ok(Value::Unknown);
            };
            self.spend(items.len() * 32)?;
            all.extend(items);
        }
        Ok(Value::list(all))
    }

    fn map(&mut self, function: &Value, source: &Value) -> Done<Value> {
        let Some(items) = source.items() else {
            return Ok(Value::Unknown);
        };
        let mut found = Vec::new();
        for item in items {
            self.spend(32)?;
            found.push(match function {
                Value::Named(name) if name.starts_with("str.") => {
                    self.method(&item, &name[4..], &[], &[])?
                }
                function => self.apply(function, vec![item], &[])?,
            });
        }
        Ok(Value::stream(Source::Items(found)))
    }

    /// Lines of a requirements file, as `pip` and `pkg_resources` read them.
    fn requirements(&mut self, source: Option<&Value>) -> Done<Value> {
        let lines = match source {
            Some(Value::Text(text)) if !text.contains('\n') && text.ends_with(".txt") => {
                match self.read(text)? {
                    Some(text) => Value::Text(text).strings(),
                    None => None,
                }
            }
            Some(source) => source.strings(),
            None => None,
        };
        let Some(lines) = lines else {
            return Ok(Value::Unknown);
        };
        self.spend(lines.len() * 32)?;
        let lines = lines.iter().map(|line| line.trim());
        let lines = lines.filter(|line| !line.is_empty() && !line.starts_with('#'));
        Ok(Value::texts(lines.map(|line| {
            line.split(" #").next().unwrap_or(line).trim_end()
        })))
    }

    fn find_all(&mut self, plain: &[Value]) -> Done<Value> {
        let [Value::Text(pattern), Value::Text(text)] = plain else {
            return Ok(Value::Unknown);
        };
        // Compiling one costs more than finding it, and a match may look at all of the rest.
        if text.len() > MOST_SEARCHED {
            return Ok(Value::Unknown);
        }
        self.spend(64 + 16 * pattern.len() + 16 * text.len())?;
        let compiled = regex::RegexBuilder::new(pattern)
            .size_limit(1 << 16)
            .build();
        let Ok(pattern) = compiled.map_err(drop) else {
            return Ok(Value::Unknown);
        };
        let mut found = Vec::new();
        for one in pattern.captures_iter(text).take(MOST_ITEMS) {
            let group = |at: usize| Value::text(one.get(at).map_or("", |group| group.as_str()));
            self.spend(64 + one.get(0).map_or(0, |whole| whole.len() * one.len()))?;
            found.push(match one.len() {
                1 => group(0),
                2 => group(1),
                count => Value::list((1..count).map(group).collect()),
            });
        }
        Ok(Value::list(found))
    }

    pub fn method(
        &mut self,
        holder: &Value,
        name: &str,
        plain: &[Value],
        named: &[(Rc<str>, Value)],
    ) -> Done<Value> {
        match holder {
            Value::Text(text) => self.of_text(text, name, plain, named),
            Value::Stream(stream) => Ok(match (name, &stream.source) {
                ("read", Source::File(text)) if !stream.is_read.replace(true) => {
                    Value::Text(text.clone())
                }
                ("readlines", Source::File(_)) => {
                    holder.items().map_or(Value::Unknown, Value::list)
                }
                ("close", Source::File(_)) => Value::None,
                _ => {
                    holder.lose();
                    Value::Unknown
                }
            }),
            Value::List(_) => self.of_list(holder, name, plain),
            Value::Dict(_) => self.of_dict(holder, name, plain, named),
            _ => Ok(Value::Unknown),
        }
    }

    fn of_text(
        &mut self,
        text: &Rc<str>,
        name: &str,
        plain: &[Value],
        named: &[(Rc<str>, Value)],
    ) -> Done<Value> {
        self.spend(text.len())?;
        let first = match plain.first() {
            Some(Value::Text(first)) => Some(&**first),
            Some(Value::None) | None => None,
            Some(Value::List(_)) if ["startswith", "endswith", "join"].contains(&name) => None,
            Some(_) if ["format", "join", "open", "read_text"].contains(&name) => None,
            Some(_) => return Ok(Value::Unknown),
        };
        let trimmed = |from_start: bool, from_end: bool| {
            let is_cut = |c: char| first.map_or(c.is_whitespace(), |set| set.contains(c));
            let text = if from_start {
                text.trim_start_matches(is_cut)
            } else {
                text
            };
            Value::text(if from_end {
                text.trim_end_matches(is_cut)
            } else {
                text
            })
        };
        Ok(match name {
            "strip" => trimmed(true, true),
            "lstrip" => trimmed(true, false),
            "rstrip" => trimmed(false, true),
            "lower" => Value::text(text.to_lowercase()),
            "upper" => Value::text(text.to_uppercase()),
            "splitlines" => Value::texts(text.lines()),
            "split" => {
                self.spend(text.len() * 8)?;
                split(
                    text,
                    first,
                    plain.get(1).or(named.first().map(|(_, value)| value)),
                )
            }
            "startswith" | "endswith" if plain.len() == 1 => {
                self.has_end(text, name, plain.first())?
            }
            "replace" => self.replaced(text, plain)?,
            "join" => self.joined_texts(text, plain.first())?,
            "format" => self.filled(text, plain, named)?,
            // Of paths.
            "resolve" | "absolute" | "as_posix" | "expanduser" | "encode" | "decode" => {
                Value::Text(text.clone())
            }
            "joinpath" | "with_name" => first.map_or(Value::Unknown, |more| match name {
                "joinpath" => Value::text(joined(text, more)),
                _ => Value::text(joined(
                    text.rsplit_once('/').map_or("", |(folder, _)| folder),
                    more,
                )),
            }),
            "read_text" => self.read(text)?.map_or(Value::Unknown, Value::Text),
            "open" => self.read(text)?.map_or(Value::Unknown, Value::file),
            "exists" | "is_file" => self.is_there(text)?,
            _ => Value::Unknown,
        })
    }

    fn has_end(&mut self, text: &str, name: &str, what: Option<&Value>) -> Done<Value> {
        let ends = match what {
            Some(Value::Text(one)) => vec![one.to_string()],
            Some(list @ Value::List(_)) => list.strings().unwrap_or_default(),
            _ => Vec::new(),
        };
        self.spend(ends.len() * 8)?;
        if ends.is_empty() {
            return Ok(Value::Unknown);
        }
        Ok(Value::Bool(ends.iter().any(|end| match name {
            "startswith" => text.starts_with(end),
            _ => text.ends_with(end),
        })))
    }

    fn replaced(&mut self, text: &str, plain: &[Value]) -> Done<Value> {
        let [Value::Text(old), Value::Text(new)] = plain else {
            return Ok(Value::Unknown);
        };
        let count = text.matches(&**old).count();
        let size = text.len().saturating_add(count.saturating_mul(new.len()));
        if size > MOST_TEXT {
            return Err(Stop::Spent);
        }
        self.spend(size)?;
        Ok(Value::text(text.replace(&**old, new)))
    }

    fn joined_texts(&mut self, between: &str, list: Option<&Value>) -> Done<Value> {
        let Some(texts) = list
            .filter(|list| !matches!(list, Value::Text(_)))
            .and_then(Value::strings)
        else {
            return Ok(Value::Unknown);
        };
        let size = texts.iter().map(|text| text.len() + between.len()).sum();
        if size > MOST_TEXT {
            return Err(Stop::Spent);
        }
        self.spend(size)?;
        Ok(Value::text(texts.join(between)))
    }

    /// `"{}=={}".format(…)`.
    fn filled(&mut self, form: &str, plain: &[Value], named: &[(Rc<str>, Value)]) -> Done<Value> {
        let (mut text, mut rest, mut next) = (String::new(), form, 0);
        while let Some(at) = rest.find(['{', '}']) {
            text.push_str(&rest[..at]);
            let after = &rest[at..];
            if after.starts_with("{{") || after.starts_with("}}") {
                text.push_str(&after[..1]);
                rest = &after[2..];
                continue;
            }
            let Some((key, after)) = after[1..].split_once('}') else {
                return Ok(Value::Unknown);
            };
            let value = match key.parse::<usize>() {
                _ if key.is_empty() => {
                    next += 1;
                    plain.get(next - 1)
                }
                Ok(at) => plain.get(at),
                Err(_) => named
                    .iter()
                    .find(|(name, _)| **name == *key)
                    .map(|(_, value)| value),
            };
            let Some(value) = value.and_then(Value::as_text) else {
                return Ok(Value::Unknown);
            };
            self.spend(value.len())?;
            text.push_str(&value);
            rest = after;
        }
        text.push_str(rest);
        Ok(Value::text(text))
    }

    fn of_list(&mut self, holder: &Value, name: &str, plain: &[Value]) -> Done<Value> {
        let Value::List(list) = holder else {
            return Ok(Value::Unknown);
        };
        match (name, plain) {
            ("append" | "add", [item]) => self.extend(holder, &Value::list(vec![item.clone()]))?,
            ("insert", [Value::Int(0), item @ Value::Text(_)]) if !list.is_lost.get() => {
                let mut items = list.items.borrow_mut();
                self.spend(items.len() * 32)?;
                items.insert(0, item.clone());
            }
            ("extend" | "update", [more]) => self.extend(holder, more)?,
            ("reverse", []) if !list.is_lost.get() => {
                let mut items = list.items.borrow_mut();
                self.spend(items.len() * 32)?;
                items.reverse();
            }
            ("copy", []) => return Ok(holder.items().map_or(Value::Unknown, Value::list)),
            ("index" | "count", _) => return Ok(Value::Unknown),
            ("remove" | "discard", [item @ Value::Text(_)]) if !list.is_lost.get() => {
                let mut items = list.items.borrow_mut();
                self.spend(items.len() * 8)?;
                if items.iter().any(|known| known.equals(item).is_none()) {
                    drop(items);
                    holder.lose();
                } else if let Some(at) = items
                    .iter()
                    .position(|known| known.equals(item) == Some(true))
                {
                    items.remove(at);
                } else {
                    self.unknowns += 1;
                }
            }
            _ => {
                holder.lose();
                return Ok(Value::Unknown);
            }
        }
        Ok(Value::None)
    }

    /// Adds items to a list that is there already.
    pub fn extend(&mut self, holder: &Value, more: &Value) -> Done<()> {
        let (Value::List(list), Some(items)) = (holder, more.items()) else {
            holder.lose();
            return Ok(());
        };
        let is_plain =
            |item: &Value| !matches!(item, Value::List(_) | Value::Dict(_) | Value::Method(_));
        if list.is_lost.get() || !items.iter().all(is_plain) {
            holder.lose();
            return Ok(());
        }
        self.spend(items.len() * 32)?;
        let mut known = list.items.borrow_mut();
        known.extend(items);
        match known.len() > MOST_ITEMS {
            true => Err(Stop::Spent),
            false => Ok(()),
        }
    }

    fn of_dict(
        &mut self,
        holder: &Value,
        name: &str,
        plain: &[Value],
        named: &[(Rc<str>, Value)],
    ) -> Done<Value> {
        let Value::Dict(dict) = holder else {
            return Ok(Value::Unknown);
        };
        if dict.is_lost.get() {
            return Ok(Value::Unknown);
        }
        self.spend(dict.entries.borrow().len() * 32)?;
        let entries = || dict.entries.borrow().clone();
        Ok(match (name, plain) {
            ("keys", []) => holder.items().map_or(Value::Unknown, Value::list),
            ("values", []) => Value::list(entries().into_iter().map(|(_, value)| value).collect()),
            ("items", []) => {
                let pairs = entries().into_iter();
                Value::list(
                    pairs
                        .map(|(key, value)| Value::list(vec![Value::Text(key), value]))
                        .collect(),
                )
            }
            ("copy", []) => Value::dict(entries()),
            ("get", [Value::Text(key), more @ ..]) => {
                let found = entries().into_iter().find(|(known, _)| known == key);
                let other = more.first().cloned().unwrap_or(Value::None);
                found.map_or(other, |(_, value)| value)
            }
            ("update", [] | [Value::Dict(_)]) => {
                let mut more = named.to_vec();
                if let Some(Value::Dict(other)) = plain.first() {
                    if other.is_lost.get() {
                        holder.lose();
                    }
                    more.extend(other.entries.borrow().iter().cloned());
                }
                for (key, value) in more {
                    self.put(holder, &Value::Text(key), value)?;
                }
                Value::None
            }
            _ => {
                holder.lose();
                Value::Unknown
            }
        })
    }
}

fn split(text: &str, by: Option<&str>, most: Option<&Value>) -> Value {
    let most = match most {
        None => None,
        Some(Value::Int(most)) => usize::try_from(*most).ok(),
        Some(_) => return Value::Unknown,
    };
    match (by, most) {
        (None, None) => Value::texts(text.split_whitespace()),
        (Some(""), _) | (None, Some(_)) => Value::Unknown,
        (Some(by), None) => Value::texts(text.split(by)),
        (Some(by), Some(most)) => Value::texts(text.splitn(most + 1, by)),
    }
}
