//! What an expression comes to.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use super::parse::Function;

/// A value; lists and dictionaries are shared, as Python shares them.
#[derive(Debug, Clone)]
pub(super) enum Value {
    Unknown,
    None,
    Bool(bool),
    Int(i64),
    Text(Rc<str>),
    List(Rc<List>),
    Dict(Rc<Dict>),
    Function(Rc<Function>),
    /// Something of Python's own or imported, by its whole name: `os.path.join`.
    Named(Rc<str>),
    /// A method of a value.
    Method(Rc<(Value, Rc<str>)>),
    /// What is gone through once.
    Stream(Rc<Stream>),
}

/// An open file, or what `map`, `filter` and `zip` give: nothing is left of it after it was read.
#[derive(Debug)]
pub(super) struct Stream {
    pub is_read: Cell<bool>,
    pub source: Source,
}

/// What a stream gives.
#[derive(Debug)]
pub(super) enum Source {
    File(Rc<str>),
    Items(Vec<Value>),
}

/// A list, tuple or set.
#[derive(Debug)]
pub(super) struct List {
    /// How many lists stand in one another.
    pub depth: usize,
    /// Whether something unknown may have changed it.
    pub is_lost: Cell<bool>,
    pub items: RefCell<Vec<Value>>,
}

/// A dictionary with texts for keys.
#[derive(Debug)]
pub(super) struct Dict {
    pub depth: usize,
    pub is_lost: Cell<bool>,
    pub entries: RefCell<Vec<(Rc<str>, Value)>>,
}

/// Most lists and dictionaries that stand in one another.
const MOST_LEVELS: usize = 50;

/// Most bytes of the texts of a list.
const MOST_TEXTS: usize = 1 << 20;

/// Most items of a list.
pub(super) const MOST_ITEMS: usize = 10_000;

impl Value {
    pub fn text(text: impl Into<Rc<str>>) -> Self {
        Self::Text(text.into())
    }

    /// A new list; unknown where it is too deep or too long.
    pub fn list(items: Vec<Self>) -> Self {
        let depth = 1 + items.iter().map(Self::depth).max().unwrap_or(0);
        if depth > MOST_LEVELS || items.len() > MOST_ITEMS {
            return Self::Unknown;
        }
        Self::List(Rc::new(List {
            depth,
            is_lost: Cell::new(false),
            items: RefCell::new(items),
        }))
    }

    pub fn stream(source: Source) -> Self {
        Self::Stream(Rc::new(Stream {
            is_read: Cell::new(false),
            source,
        }))
    }

    pub fn file(text: Rc<str>) -> Self {
        Self::stream(Source::File(text))
    }

    pub fn texts(items: impl Iterator<Item = impl Into<Rc<str>>>) -> Self {
        Self::list(items.take(MOST_ITEMS + 1).map(Self::text).collect())
    }

    pub fn dict(entries: Vec<(Rc<str>, Self)>) -> Self {
        let depth = 1 + entries.iter().map(|(_, v)| v.depth()).max().unwrap_or(0);
        if depth > MOST_LEVELS || entries.len() > MOST_ITEMS {
            return Self::Unknown;
        }
        Self::Dict(Rc::new(Dict {
            depth,
            is_lost: Cell::new(false),
            entries: RefCell::new(entries),
        }))
    }

    fn depth(&self) -> usize {
        match self {
            Self::List(list) => list.depth,
            Self::Dict(dict) => dict.depth,
            // What a method is of isn't put away: it is called.
            Self::Method(_) | Self::Stream(_) => MOST_LEVELS,
            _ => 0,
        }
    }

    /// Whether it may be put into what is there already: a text, or a list that holds nothing but such. So nothing
    /// ever holds itself.
    pub fn is_flat(&self) -> bool {
        match self {
            Self::List(list) => list.depth == 1,
            other => other.depth() == 0,
        }
    }

    /// As it is now: what is changed later isn't seen in it.
    pub fn copied(&self) -> Self {
        match self {
            Self::List(list) => Self::List(Rc::new(List {
                depth: list.depth,
                is_lost: list.is_lost.clone(),
                items: RefCell::new(list.items.borrow().iter().map(Self::copied).collect()),
            })),
            Self::Dict(dict) => {
                let entries = dict.entries.borrow();
                let entries = entries.iter().map(|(k, v)| (k.clone(), v.copied()));
                Self::Dict(Rc::new(Dict {
                    depth: dict.depth,
                    is_lost: dict.is_lost.clone(),
                    entries: RefCell::new(entries.collect()),
                }))
            }
            other => other.clone(),
        }
    }

    /// How many values it holds, itself among them, as far as they are counted.
    pub fn weight(&self, most: usize) -> usize {
        let mut sum = 1;
        let mut add = |value: &Self| {
            if sum < most {
                sum += value.weight(most - sum);
            }
        };
        match self {
            Self::List(list) => list.items.borrow().iter().for_each(&mut add),
            Self::Dict(dict) => dict
                .entries
                .borrow()
                .iter()
                .for_each(|(_, value)| add(value)),
            _ => {}
        }
        sum
    }

    /// From now on nobody knows what it holds.
    pub fn lose(&self) {
        match self {
            Self::Stream(stream) => stream.is_read.set(true),
            Self::List(list) if !list.is_lost.replace(true) => {
                let items = std::mem::take(&mut *list.items.borrow_mut());
                items.iter().for_each(Self::lose);
            }
            Self::Dict(dict) if !dict.is_lost.replace(true) => {
                let entries = std::mem::take(&mut *dict.entries.borrow_mut());
                entries.iter().for_each(|(_, value)| value.lose());
            }
            _ => {}
        }
    }

    /// Whether Python takes it for true.
    pub fn truth(&self) -> Option<bool> {
        Some(match self {
            Self::None => false,
            Self::Bool(known) => *known,
            Self::Int(number) => *number != 0,
            Self::Text(text) => !text.is_empty(),
            Self::List(list) if !list.is_lost.get() => !list.items.borrow().is_empty(),
            Self::Dict(dict) if !dict.is_lost.get() => !dict.entries.borrow().is_empty(),
            _ => return None,
        })
    }

    /// Whether two are equal; only of what is plain.
    pub fn equals(&self, other: &Self) -> Option<bool> {
        Some(match (self, other) {
            (Self::Text(a), Self::Text(b)) => a == b,
            (Self::Int(a), Self::Int(b)) => a == b,
            (Self::Bool(a), Self::Bool(b)) => a == b,
            (Self::None, Self::None) => true,
            (
                Self::Text(_) | Self::Int(_) | Self::Bool(_) | Self::None,
                Self::List(_) | Self::Dict(_),
            )
            | (Self::List(_) | Self::Dict(_), Self::Text(_) | Self::Int(_) | Self::None)
            | (Self::Text(_), Self::Int(_) | Self::None | Self::Bool(_))
            | (Self::Int(_) | Self::None | Self::Bool(_), Self::Text(_)) => false,
            _ => return None,
        })
    }

    /// The text that `str` makes of it.
    pub fn as_text(&self) -> Option<Rc<str>> {
        Some(match self {
            Self::Text(text) => text.clone(),
            Self::Int(number) => number.to_string().into(),
            Self::Bool(true) => "True".into(),
            Self::Bool(false) => "False".into(),
            Self::None => "None".into(),
            _ => return None,
        })
    }

    /// What a loop goes through; a stream is read by it.
    pub fn items(&self) -> Option<Vec<Self>> {
        match self {
            Self::List(list) if !list.is_lost.get() => Some(list.items.borrow().clone()),
            Self::Dict(dict) if !dict.is_lost.get() => {
                let entries = dict.entries.borrow();
                Some(
                    entries
                        .iter()
                        .map(|(key, _)| Self::Text(key.clone()))
                        .collect(),
                )
            }
            Self::Stream(stream) if !stream.is_read.replace(true) => match &stream.source {
                Source::File(text) => {
                    let lines = text.split_inclusive('\n').take(MOST_ITEMS + 1);
                    let lines: Vec<Self> = lines.map(Self::text).collect();
                    (lines.len() <= MOST_ITEMS).then_some(lines)
                }
                Source::Items(items) => Some(items.clone()),
            },
            _ => None,
        }
    }

    /// What a list of texts holds; a single text is the lines of one.
    pub fn strings(&self) -> Option<Vec<String>> {
        if let Self::Text(text) = self {
            return Some(text.lines().map(str::to_owned).collect());
        }
        let items = self.items()?;
        let texts = items.iter().map(|item| match item {
            Self::Text(text) => Some(&**text),
            _ => None,
        });
        let texts: Vec<&str> = texts.collect::<Option<_>>()?;
        let size: usize = texts.iter().map(|text| text.len()).sum();
        (size <= MOST_TEXTS).then(|| texts.into_iter().map(str::to_owned).collect())
    }
}
