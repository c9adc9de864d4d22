//! Values of expressions.

use std::rc::Rc;

use super::expression::{Argument, Clause, Expr, Trailer};
use super::run::{Done, Run};
use super::value::{MOST_ITEMS, Value};

/// Names that are there without being defined.
const BUILTIN: [&str; 24] = [
    "open",
    "list",
    "tuple",
    "set",
    "frozenset",
    "dict",
    "str",
    "int",
    "len",
    "sum",
    "map",
    "filter",
    "sorted",
    "print",
    "zip",
    "range",
    "any",
    "all",
    "bool",
    "enumerate",
    "isinstance",
    "setup",
    "Exception",
    "exec",
];

/// Most values in what `setup` is given.
const MOST_GIVEN: usize = 20_000;

impl Run<'_> {
    pub fn value(&mut self, expression: &Expr) -> Done<Value> {
        self.spend(0)?;
        let value = self.deeper(|run| run.value_of(expression))?;
        let is_unknown = match (&value, expression) {
            (Value::Named(name), Expr::Name(_)) => {
                !BUILTIN.contains(&&**name) && self.lookup(name).is_none()
            }
            (value, _) => matches!(value, Value::Unknown),
        };
        self.unknowns += usize::from(is_unknown);
        Ok(value)
    }

    fn value_of(&mut self, expression: &Expr) -> Done<Value> {
        Ok(match expression {
            Expr::Unknown | Expr::Star(_) => Value::Unknown,
            Expr::None => Value::None,
            Expr::Bool(known) => Value::Bool(*known),
            Expr::Int(number) => Value::Int(*number),
            Expr::Text(text) => Value::Text(text.clone()),
            Expr::Name(name) => match self.lookup(name) {
                Some(value) => value.clone(),
                None => Value::Named(name.clone()),
            },
            Expr::Format(parts) => self.format(parts)?,
            Expr::List(items) => self.list(items)?,
            Expr::Dict(entries) => self.dict(entries)?,
            Expr::Chain(base, trailers) => {
                let mut value = self.value(base)?;
                for trailer in trailers {
                    value = self.trailer(value, trailer)?;
                }
                value
            }
            Expr::Binary(first, more) => {
                let mut value = self.value(first)?;
                for (sign, other) in more {
                    let other = self.value(other)?;
                    value = self.binary(sign, &value, &other)?;
                }
                value
            }
            Expr::Compare(first, more) => self.compare(first, more)?,
            Expr::Not(inner) => truth(self.value(inner)?.truth().map(|known| !known)),
            Expr::Negative(inner) => match self.value(inner)? {
                Value::Int(number) => number.checked_neg().map_or(Value::Unknown, Value::Int),
                _ => Value::Unknown,
            },
            Expr::Logic(any, parts) => self.logic(*any, parts)?,
            Expr::Choice(parts) => {
                let [condition, then, other] = &**parts;
                match self.value(condition)?.truth() {
                    Some(true) => self.value(then)?,
                    Some(false) => self.value(other)?,
                    None => {
                        self.forks += 1;
                        Value::Unknown
                    }
                }
            }
            Expr::Each(key, value, clauses) => {
                self.comprehension(key.as_deref(), value, clauses)?
            }
        })
    }

    fn format(&mut self, parts: &[Expr]) -> Done<Value> {
        let mut text = String::new();
        for part in parts {
            let Some(more) = self.value(part)?.as_text() else {
                return Ok(Value::Unknown);
            };
            self.spend(more.len())?;
            text.push_str(&more);
        }
        Ok(Value::text(text))
    }

    fn list(&mut self, items: &[Expr]) -> Done<Value> {
        let mut found = Vec::new();
        for item in items {
            self.spend(32)?;
            match item {
                Expr::Star(inner) => match self.value(inner)?.items() {
                    Some(more) => {
                        self.spend(more.len() * 32)?;
                        found.extend(more);
                    }
                    None => return Ok(Value::Unknown),
                },
                item => found.push(self.value(item)?),
            }
        }
        self.spend(found.len() * 32)?;
        Ok(Value::list(found))
    }

    fn dict(&mut self, entries: &[(Option<Expr>, Expr)]) -> Done<Value> {
        let mut found: Vec<(Rc<str>, Value)> = Vec::new();
        for (key, value) in entries {
            let value = self.value(value)?;
            let more = match key {
                Some(key) => match self.value(key)? {
                    Value::Text(key) => vec![(key, value)],
                    _ => return Ok(Value::Unknown),
                },
                None => match &value {
                    Value::Dict(dict) if !dict.is_lost.get() => dict.entries.borrow().clone(),
                    _ => return Ok(Value::Unknown),
                },
            };
            self.spend(more.len() * (32 + found.len() * 4))?;
            for (key, value) in more {
                found.retain(|(known, _)| *known != key);
                found.push((key, value));
            }
        }
        Ok(Value::dict(found))
    }

    pub fn trailer(&mut self, value: Value, trailer: &Trailer) -> Done<Value> {
        self.spend(match &value {
            Value::Text(text) => text.len(),
            _ => 0,
        })?;
        match trailer {
            Trailer::Attribute(name) => Ok(attribute(value, name)),
            Trailer::Call(arguments) => self.called(&value, arguments),
            Trailer::Index(key) => {
                let key = self.value(key)?;
                if let Value::Dict(dict) = &value {
                    self.spend(dict.entries.borrow().len() * 4)?;
                }
                if let Value::Text(text) = &value {
                    self.spend(text.len())?;
                }
                let found = match (&value, &key) {
                    (Value::Named(holder), Value::Text(name)) if &**holder == "os.environ" => {
                        let found = self.variable(name);
                        found
                            .filter(|value| !matches!(value, Value::None))
                            .unwrap_or(Value::Unknown)
                    }
                    _ => index(&value, &key),
                };
                if matches!(found, Value::Unknown) {
                    self.unknowns += 1;
                }
                Ok(found)
            }
            Trailer::Slice(from, to) => {
                let mut ends = [None, None];
                for (end, part) in ends.iter_mut().zip([from, to]) {
                    if let Some(part) = part {
                        let Value::Int(number) = self.value(part)? else {
                            return Ok(Value::Unknown);
                        };
                        *end = Some(number);
                    }
                }
                self.slice(&value, ends)
            }
        }
    }

    fn slice(&mut self, value: &Value, [from, to]: [Option<i64>; 2]) -> Done<Value> {
        let range = |length: usize| {
            let place = |end: i64| match end < 0 {
                true => {
                    length.saturating_sub(usize::try_from(end.unsigned_abs()).unwrap_or(length))
                }
                false => usize::try_from(end).unwrap_or(length).min(length),
            };
            let (from, to) = (from.map_or(0, place), to.map_or(length, place));
            from..to.max(from)
        };
        if let Value::Text(text) = value {
            let range = range(text.chars().count());
            self.spend(text.len())?;
            let part: String = text.chars().skip(range.start).take(range.len()).collect();
            return Ok(Value::text(part));
        }
        let Some(items) = value.items() else {
            return Ok(Value::Unknown);
        };
        self.spend(items.len() * 32)?;
        Ok(Value::list(items[range(items.len())].to_vec()))
    }

    fn called(&mut self, value: &Value, arguments: &[Argument]) -> Done<Value> {
        let (mut plain, mut named, mut is_known) = (Vec::new(), Vec::new(), true);
        for argument in arguments {
            match argument {
                Argument::Plain(value) => plain.push(self.value(value)?),
                Argument::Named(name, value) => named.push((name.clone(), self.value(value)?)),
                Argument::Spread(value) => match self.value(value)?.items() {
                    Some(items) => {
                        self.spend(items.len() * 32)?;
                        plain.extend(items);
                    }
                    None => is_known = false,
                },
                Argument::SpreadNamed(value) => match self.value(value)? {
                    Value::Dict(dict) if !dict.is_lost.get() => {
                        self.spend(dict.entries.borrow().len() * 32)?;
                        named.extend(dict.entries.borrow().iter().cloned());
                    }
                    _ => is_known = false,
                },
            }
        }
        self.spend((plain.len() + named.len()) * 32)?;
        if is_setup(value) {
            let given = Value::dict(named);
            self.spend(given.weight(MOST_GIVEN) * 32)?;
            let is_known = is_known && given.weight(MOST_GIVEN) < MOST_GIVEN;
            self.setups.push(match is_known {
                true => given.copied(),
                false => Value::Unknown,
            });
            return Ok(Value::None);
        }
        if !is_known {
            self.unknowns += 1;
            plain.iter().for_each(Value::lose);
            named.iter().for_each(|(_, value)| value.lose());
            return Ok(Value::Unknown);
        }
        self.apply(value, plain, &named)
    }

    /// Calls something with arguments that are known.
    pub fn apply(
        &mut self,
        value: &Value,
        plain: Vec<Value>,
        named: &[(Rc<str>, Value)],
    ) -> Done<Value> {
        match value {
            Value::Function(function) => self.call(function, plain, named),
            Value::Named(name) => self.builtin(name, plain, named),
            Value::Method(method) => self.method(&method.0, &method.1, &plain, named),
            _ => {
                self.unknowns += 1;
                plain.iter().for_each(Value::lose);
                named.iter().for_each(|(_, value)| value.lose());
                Ok(Value::Unknown)
            }
        }
    }

    fn binary(&mut self, sign: &str, a: &Value, b: &Value) -> Done<Value> {
        match (sign, a, b) {
            ("+", ..) => self.sum(a, b),
            // `Path(…) / "requirements.txt"`.
            ("/", Value::Text(folder), Value::Text(name)) => {
                self.spend(folder.len() + name.len())?;
                Ok(Value::text(joined(folder, name)))
            }
            ("%", Value::Text(form), _) => self.percent(form, b),
            ("|", Value::Dict(a), Value::Dict(b)) if !a.is_lost.get() && !b.is_lost.get() => {
                let mut entries = a.entries.borrow().clone();
                let more = b.entries.borrow().clone();
                self.spend((entries.len() + more.len()) * 32)?;
                entries.retain(|(key, _)| !more.iter().any(|(other, _)| other == key));
                entries.extend(more);
                Ok(Value::dict(entries))
            }
            _ => Ok(Value::Unknown),
        }
    }

    pub fn sum(&mut self, a: &Value, b: &Value) -> Done<Value> {
        match (a, b) {
            (Value::Text(a), Value::Text(b)) => {
                self.spend(a.len() + b.len())?;
                Ok(Value::text(format!("{a}{b}")))
            }
            (Value::Int(a), Value::Int(b)) => {
                Ok(a.checked_add(*b).map_or(Value::Unknown, Value::Int))
            }
            (Value::List(_), Value::List(_)) => {
                let (Some(mut items), Some(more)) = (a.items(), b.items()) else {
                    return Ok(Value::Unknown);
                };
                self.spend((items.len() + more.len()) * 32)?;
                items.extend(more);
                Ok(Value::list(items))
            }
            _ => Ok(Value::Unknown),
        }
    }

    /// `"torch==%s" % version`.
    fn percent(&mut self, form: &str, value: &Value) -> Done<Value> {
        let mut values = match value {
            Value::List(_) => value.items().unwrap_or_default(),
            other => vec![other.clone()],
        }
        .into_iter();
        let mut text = String::new();
        let mut parts = form.split('%');
        text.push_str(parts.next().unwrap_or_default());
        for part in parts {
            let more = values.next().and_then(|value| value.as_text());
            let (Some(rest), Some(more)) = (part.strip_prefix(['s', 'd']), more) else {
                return Ok(Value::Unknown);
            };
            self.spend(more.len() + rest.len())?;
            text.push_str(&more);
            text.push_str(rest);
        }
        Ok(Value::text(text))
    }

    fn compare(&mut self, first: &Expr, more: &[(&str, Expr)]) -> Done<Value> {
        let [(sign, second)] = more else {
            return Ok(Value::Unknown);
        };
        let (a, b) = (self.value(first)?, self.value(second)?);
        for side in [&a, &b] {
            if let Value::Text(text) = side {
                self.spend(text.len())?;
            }
        }
        Ok(truth(match *sign {
            "==" => a.equals(&b).or_else(|| of_python(sign, &a, &b)),
            "!=" => a
                .equals(&b)
                .map(|known| !known)
                .or_else(|| of_python(sign, &a, &b)),
            "in" | "not in" => self.holds(&b, &a)?.map(|known| known == (*sign == "in")),
            sign => match (&a, &b) {
                (Value::Int(a), Value::Int(b)) => Some(match sign {
                    "<" => a < b,
                    ">" => a > b,
                    "<=" => a <= b,
                    _ => a >= b,
                }),
                _ => of_python(sign, &a, &b),
            },
        }))
    }

    fn holds(&mut self, holder: &Value, item: &Value) -> Done<Option<bool>> {
        match (holder, item) {
            (Value::Text(text), Value::Text(part)) => return Ok(Some(text.contains(&**part))),
            (Value::Named(holder), Value::Text(name)) if &**holder == "os.environ" => {
                let found = self.variable(name);
                return Ok(found.map(|value| !matches!(value, Value::None)));
            }
            _ => {}
        }
        let Some(items) = holder.items() else {
            return Ok(None);
        };
        self.spend(items.len() * 8)?;
        let mut is_sure = true;
        for known in items {
            match known.equals(item) {
                Some(true) => return Ok(Some(true)),
                Some(false) => {}
                None => is_sure = false,
            }
        }
        Ok(is_sure.then_some(false))
    }

    fn logic(&mut self, any: bool, parts: &[Expr]) -> Done<Value> {
        let mut last = Value::Unknown;
        for part in parts {
            last = self.value(part)?;
            match last.truth() {
                Some(known) if known == any => return Ok(last),
                Some(_) => {}
                None => {
                    self.forks += 1;
                    return Ok(Value::Unknown);
                }
            }
        }
        Ok(last)
    }

    fn comprehension(
        &mut self,
        key: Option<&Expr>,
        value: &Expr,
        clauses: &[Clause],
    ) -> Done<Value> {
        // Its names are its own.
        let names = self.locals.last().cloned().unwrap_or_default();
        self.spend(names.len() * 32)?;
        self.locals.push(names);
        let mut found = Vec::new();
        let done = self.clauses(key, value, clauses, &mut found);
        self.locals.pop();
        if !done? {
            self.forks += 1;
            return Ok(Value::Unknown);
        }
        if key.is_none() {
            return Ok(Value::list(
                found.into_iter().map(|(_, value)| value).collect(),
            ));
        }
        let mut entries: Vec<(Rc<str>, Value)> = Vec::new();
        for (key, value) in found {
            let Value::Text(key) = key else {
                return Ok(Value::Unknown);
            };
            self.spend(entries.len() * 4)?;
            entries.retain(|(known, _)| *known != key);
            entries.push((key, value));
        }
        Ok(Value::dict(entries))
    }

    /// Whether all of it is known.
    fn clauses(
        &mut self,
        key: Option<&Expr>,
        value: &Expr,
        clauses: &[Clause],
        found: &mut Vec<(Value, Value)>,
    ) -> Done<bool> {
        let Some((clause, rest)) = clauses.split_first() else {
            let key = key.map_or(Ok(Value::None), |key| self.value(key))?;
            let value = self.value(value)?;
            found.push((key, value));
            return Ok(found.len() <= MOST_ITEMS);
        };
        let Some(items) = self.value(&clause.source)?.items() else {
            return Ok(false);
        };
        self.spend(items.len() * 16)?;
        for item in items {
            self.spend(32)?;
            self.assign(&clause.target, item)?;
            let mut is_in = true;
            for condition in &clause.conditions {
                match self.value(condition)?.truth() {
                    Some(known) => is_in &= known,
                    None => return Ok(false),
                }
                if !is_in {
                    break;
                }
            }
            if is_in && !self.deeper(|run| run.clauses(key, value, rest, found))? {
                return Ok(false);
            }
        }
        Ok(true)
    }
}

fn truth(known: Option<bool>) -> Value {
    known.map_or(Value::Unknown, Value::Bool)
}

fn is_setup(value: &Value) -> bool {
    let Value::Named(name) = value else {
        return false;
    };
    [
        "setup",
        "setuptools.setup",
        "distutils.core.setup",
        "skbuild.setup",
        "numpy.distutils.core.setup",
    ]
    .contains(&&**name)
}

/// A comparison with the version of Python, as far as all that images have say the same.
fn of_python(sign: &str, a: &Value, b: &Value) -> Option<bool> {
    let Value::Named(name) = a else {
        return None;
    };
    let numbers: Vec<i64> = match (&**name, b) {
        ("sys.version_info", Value::List(_)) => {
            let items = b.items()?.into_iter().map(|item| match item {
                Value::Int(number) => Some(number),
                _ => None,
            });
            items.collect::<Option<_>>()?
        }
        ("sys.version_info.major", Value::Int(major)) => vec![*major],
        _ => return None,
    };
    let is_newer = match numbers[..] {
        [major] | [major, _, ..] if major < 3 => true,
        [3] => return (name.ends_with("major")).then_some(matches!(sign, "==" | ">=" | "<=")),
        [3, minor, ..] if minor < 6 => true,
        _ => return None,
    };
    Some(is_newer && matches!(sign, ">" | ">=" | "!="))
}

/// Paths in the project, as its folder is `""`.
pub(super) fn joined(folder: &str, name: &str) -> String {
    match folder {
        "" | "." => name.to_owned(),
        _ if name.starts_with('/') => name.to_owned(),
        folder => format!("{}/{name}", folder.trim_end_matches('/')),
    }
}

fn attribute(value: Value, name: &Rc<str>) -> Value {
    match value {
        Value::Named(path) => match format!("{path}.{name}").as_str() {
            "sys.platform" => Value::text("linux"),
            "os.name" => Value::text("posix"),
            "os.sep" => Value::text("/"),
            "os.curdir" => Value::text("."),
            _ if path.len() > 200 => Value::Unknown,
            path => Value::Named(path.into()),
        },
        // Of paths, and of requirements that pip reads.
        Value::Text(path) if &**name == "parent" && path.is_empty() => Value::Unknown,
        Value::Text(path) if &**name == "parent" => {
            Value::text(path.rsplit_once('/').map_or("", |(folder, _)| folder))
        }
        Value::Text(line) if &**name == "req" || &**name == "requirement" => Value::Text(line),
        Value::Unknown | Value::Method(_) => Value::Unknown,
        value => Value::Method(Rc::new((value, name.clone()))),
    }
}

fn index(value: &Value, key: &Value) -> Value {
    match (value, key) {
        (Value::Dict(dict), Value::Text(key)) if !dict.is_lost.get() => {
            let entries = dict.entries.borrow();
            let found = entries.iter().find(|(known, _)| known == key);
            found.map_or(Value::Unknown, |(_, value)| value.clone())
        }
        (Value::Named(name), Value::Int(0)) if &**name == "sys.version_info" => Value::Int(3),
        (Value::Text(text), Value::Int(number)) => {
            let at = usize::try_from(number.unsigned_abs()).unwrap_or(usize::MAX);
            let found = match *number < 0 {
                true => text.chars().rev().nth(at - 1),
                false => text.chars().nth(at),
            };
            found.map_or(Value::Unknown, |c| Value::text(c.to_string()))
        }
        (_, Value::Int(number)) => {
            let Value::List(list) = value else {
                return Value::Unknown;
            };
            let items = list.items.borrow();
            let at = match *number < 0 {
                true => items.len().checked_sub(number.unsigned_abs() as usize),
                false => usize::try_from(*number).ok(),
            };
            at.and_then(|at| items.get(at).cloned())
                .unwrap_or(Value::Unknown)
        }
        _ => Value::Unknown,
    }
}
