//! Statements, one after the other, with a bound on everything.

use std::collections::HashMap;
use std::rc::Rc;

use super::Open;
use super::expression::Expr;
use super::parse::{Block, Do, Function, Statement};
use super::value::{MOST_ITEMS, Value};

/// Why a script isn't followed any further.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stop {
    /// A bound is reached: nothing of it is known.
    Spent,
    /// Which way a function or loop goes isn't known.
    Lost,
}

/// How a block ended.
pub(super) enum Flow {
    On,
    Return(Value),
    Break,
    Continue,
}

pub(super) type Done<T> = Result<T, Stop>;

/// Most steps, bytes made altogether, files read, and levels of calls, blocks and expressions.
const MOST_STEPS: usize = 300_000;
const MOST_BYTES: usize = 16 << 20;
const MOST_FILES: usize = 50;
const MOST_LEVELS: usize = 120;

/// A script that is followed.
pub(super) struct Run<'a> {
    /// The text of a file beside the script.
    pub open: Open<'a>,
    pub globals: HashMap<Rc<str>, Value>,
    pub locals: Vec<HashMap<Rc<str>, Value>>,
    /// The files that were read.
    pub files: Vec<String>,
    /// The arguments of each call of `setup`; unknown where some can't be told.
    pub setups: Vec<Value>,
    steps: usize,
    bytes: usize,
    level: usize,
    /// How many `try` are around the statement.
    tries: usize,
}

impl<'a> Run<'a> {
    pub fn new(open: Open<'a>) -> Self {
        let mut globals = HashMap::new();
        globals.insert("__name__".into(), Value::text("__main__"));
        globals.insert("__file__".into(), Value::text("setup.py"));
        Self {
            open,
            globals,
            locals: Vec::new(),
            files: Vec::new(),
            setups: Vec::new(),
            steps: 0,
            bytes: 0,
            level: 0,
            tries: 0,
        }
    }

    /// Counts work and memory.
    pub fn spend(&mut self, bytes: usize) -> Done<()> {
        self.steps += 1;
        self.bytes += bytes;
        match self.steps > MOST_STEPS || self.bytes > MOST_BYTES {
            true => Err(Stop::Spent),
            false => Ok(()),
        }
    }

    pub fn deeper<T>(&mut self, work: impl FnOnce(&mut Self) -> Done<T>) -> Done<T> {
        self.level += 1;
        let done = match self.level > MOST_LEVELS {
            true => Err(Stop::Spent),
            false => work(self),
        };
        self.level -= 1;
        done
    }

    pub fn read(&mut self, path: &str) -> Done<Option<Rc<str>>> {
        if self.files.len() >= MOST_FILES {
            return Err(Stop::Spent);
        }
        let Some(text) = (self.open)(path) else {
            return Ok(None);
        };
        self.spend(text.len())?;
        if !self.files.iter().any(|known| known == path) {
            self.files.push(path.to_owned());
        }
        Ok(Some(text.into()))
    }

    /// The statements of a script.
    pub fn module(&mut self, block: &Block) -> Done<()> {
        for statement in block {
            match self.statement(statement) {
                Err(Stop::Spent) => return Err(Stop::Spent),
                Err(Stop::Lost) => self.pass_over(&statement.names),
                Ok(_) => {}
            }
        }
        Ok(())
    }

    pub fn lookup(&self, name: &str) -> Option<&Value> {
        let local = self.locals.last().and_then(|names| names.get(name));
        local.or_else(|| self.globals.get(name))
    }

    /// From now on nothing is known of these names.
    pub fn lose(&mut self, names: &[Rc<str>]) {
        for name in names {
            if let Some(value) = self.lookup(name) {
                value.lose();
            }
            // Modules and functions are what they were.
            let is_fixed = matches!(
                self.lookup(name),
                Some(Value::Named(_) | Value::Function(_))
            );
            if !is_fixed && &**name != "__file__" {
                self.bind(name, Value::Unknown);
            }
        }
    }

    /// From now on nothing is known of any name.
    pub fn lose_all(&mut self) {
        let globals = self.globals.keys();
        let names: Vec<Rc<str>> = globals
            .chain(self.locals.iter().flat_map(HashMap::keys))
            .cloned()
            .collect();
        self.lose(&names);
    }

    /// Leaves out statements that may or may not be done: of all they name nothing is known, nor whether `setup` is
    /// called in them.
    fn pass_over(&mut self, names: &[Rc<str>]) {
        self.lose(names);
        if names.iter().any(|name| &**name == "setup") {
            self.setups.push(Value::Unknown);
        }
    }

    pub fn bind(&mut self, name: &Rc<str>, value: Value) {
        let names = self.locals.last_mut().unwrap_or(&mut self.globals);
        names.insert(name.clone(), value);
    }

    pub fn block(&mut self, block: &Block) -> Done<Flow> {
        for statement in block {
            match self.deeper(|run| run.statement(statement))? {
                Flow::On => {}
                other => return Ok(other),
            }
        }
        Ok(Flow::On)
    }

    fn statement(&mut self, statement: &Statement) -> Done<Flow> {
        self.spend(0)?;
        match &statement.what {
            Do::Nothing => {}
            Do::Other if statement.leaves && !self.locals.is_empty() => return Err(Stop::Lost),
            Do::Other => self.pass_over(&statement.names),
            Do::Expr(value) => drop(self.value(value)?),
            Do::Assign(targets, value) => {
                let value = self.value(value)?;
                for target in targets {
                    self.assign(target, value.clone())?;
                }
            }
            Do::Add(target, value) => self.add(target, value)?,
            Do::If(branches) => return self.conditional(branches, statement),
            Do::For(target, source, body) => return self.each(target, source, body, statement),
            Do::With(value, name, body) => {
                let value = self.value(value)?;
                if let Some(name) = name {
                    self.assign(name, value)?;
                }
                return self.block(body);
            }
            Do::Try(body, besides) => {
                self.tries += 1;
                let flow = self.block(body);
                self.tries -= 1;
                let flow = flow?;
                let mut names = besides.clone();
                names.retain(|name| !self.is_settled(body, name));
                self.lose(&names);
                return Ok(flow);
            }
            // What it sees of the function around it isn't modelled.
            Do::Def(_) if !self.locals.is_empty() => return Err(Stop::Lost),
            Do::Def(function) => self.bind(&function.name, Value::Function(function.clone())),
            Do::Import(names) => {
                for (name, path) in names {
                    self.bind(name, Value::Named(path.clone()));
                }
            }
            Do::ImportAll => self.lose_all(),
            Do::Class(changed) => self.lose(changed),
            // A `try` goes on somewhere else; without one there is no `setup`.
            Do::Raise => return Err(Stop::Lost),
            Do::Assert if self.tries > 0 => return Err(Stop::Lost),
            Do::Assert => {}
            Do::Return(value) => {
                return Ok(Flow::Return(match value {
                    Some(value) => self.value(value)?,
                    None => Value::None,
                }));
            }
            Do::Break => return Ok(Flow::Break),
            Do::Continue => return Ok(Flow::Continue),
        }
        Ok(Flow::On)
    }

    /// Whether the body of a `try` gave a name its value, with nothing in it that is likely to have failed.
    fn is_settled(&self, body: &Block, name: &Rc<str>) -> bool {
        let imports = body.iter().any(|one| matches!(one.what, Do::Import(_)));
        let is_named = body.iter().any(|one| one.names.contains(name));
        let is_known = |value: &Value| match value {
            Value::List(list) => !list.is_lost.get(),
            Value::Dict(dict) => !dict.is_lost.get(),
            other => !matches!(other, Value::Unknown),
        };
        !imports && is_named && self.lookup(name).is_some_and(is_known)
    }

    fn conditional(&mut self, branches: &[(Option<Expr>, Block)], whole: &Statement) -> Done<Flow> {
        for (condition, body) in branches {
            let known = match condition {
                Some(condition) => self.value(condition)?.truth(),
                None => Some(true),
            };
            match known {
                Some(true) => return self.block(body),
                Some(false) => {}
                None if whole.leaves || whole.fails && self.tries > 0 => return Err(Stop::Lost),
                None => {
                    self.pass_over(&whole.names);
                    return Ok(Flow::On);
                }
            }
        }
        Ok(Flow::On)
    }

    fn each(
        &mut self,
        target: &Expr,
        source: &Expr,
        body: &Block,
        whole: &Statement,
    ) -> Done<Flow> {
        let source = self.value(source)?;
        let Some(items) = source.items() else {
            if whole.leaves && !self.locals.is_empty() {
                return Err(Stop::Lost);
            }
            self.pass_over(&whole.names);
            return Ok(Flow::On);
        };
        self.spend(items.len() * 16)?;
        for at in 0.. {
            // A list may be changed while it is gone through, and Python goes on by its numbers.
            let item = match &source {
                Value::List(list) => list.items.borrow().get(at).cloned(),
                _ => items.get(at).cloned(),
            };
            let Some(item) = item else { break };
            self.spend(0)?;
            self.assign(target, item)?;
            match self.block(body)? {
                Flow::On | Flow::Continue => {}
                Flow::Break => break,
                Flow::Return(value) => return Ok(Flow::Return(value)),
            }
            if matches!(&source, Value::List(list) if list.is_lost.get()) {
                self.lose(&whole.names);
                break;
            }
        }
        Ok(Flow::On)
    }

    pub fn assign(&mut self, target: &Expr, value: Value) -> Done<()> {
        use super::expression::Trailer;
        match target {
            Expr::Name(name) => self.bind(name, value),
            Expr::List(targets) => {
                let items = value.items().filter(|items| items.len() == targets.len());
                for (at, target) in targets.iter().enumerate() {
                    let item = items
                        .as_ref()
                        .map_or(Value::Unknown, |items| items[at].clone());
                    self.deeper(|run| run.assign(target, item))?;
                }
            }
            Expr::Chain(base, trailers) => {
                let (last, before) = match trailers.split_last() {
                    Some(split) => split,
                    None => return Ok(()),
                };
                let mut holder = self.value(base)?;
                for trailer in before {
                    holder = self.trailer(holder, trailer)?;
                }
                let Trailer::Index(key) = last else {
                    holder.lose();
                    return Ok(());
                };
                let key = self.value(key)?;
                self.put(&holder, &key, value)?;
            }
            _ => {}
        }
        Ok(())
    }

    /// `holder[key] = value`.
    pub fn put(&mut self, holder: &Value, key: &Value, value: Value) -> Done<()> {
        let (Value::Dict(dict), Value::Text(key)) = (holder, key) else {
            holder.lose();
            return Ok(());
        };
        if !value.is_flat() || dict.is_lost.get() {
            holder.lose();
            return Ok(());
        }
        self.spend(key.len() + 32)?;
        let mut entries = dict.entries.borrow_mut();
        self.bytes += entries.len() * 4;
        if entries.len() >= MOST_ITEMS {
            return Err(Stop::Spent);
        }
        match entries.iter_mut().find(|(known, _)| known == key) {
            Some((_, known)) => *known = value,
            None => entries.push((key.clone(), value)),
        }
        Ok(())
    }

    /// `target += value`: a list is the same list afterwards.
    fn add(&mut self, target: &Expr, value: &Expr) -> Done<()> {
        let before = self.value(target)?;
        let value = self.value(value)?;
        if let Value::List(_) = &before {
            return self.extend(&before, &value);
        }
        let sum = self.sum(&before, &value)?;
        self.assign(target, sum)
    }

    /// A function of the script.
    pub fn call(
        &mut self,
        function: &Rc<Function>,
        plain: Vec<Value>,
        named: &[(Rc<str>, Value)],
    ) -> Done<Value> {
        let mut names = HashMap::new();
        let count = function.parameters.len();
        let is_known = named
            .iter()
            .all(|(name, _)| function.parameters.iter().any(|(known, _)| known == name));
        if function.is_open || !is_known || (plain.len() > count && function.rest.is_none()) {
            return Ok(self.lost_call(function, &plain, named));
        }
        for (at, (name, default)) in function.parameters.iter().enumerate() {
            let by_name = named.iter().find(|(known, _)| known == name);
            let value = match (plain.get(at), by_name, default) {
                (Some(value), ..) => value.clone(),
                (None, Some((_, value)), _) => value.clone(),
                (None, None, Some(default)) => self.value(default)?,
                (None, None, None) => Value::Unknown,
            };
            names.insert(name.clone(), value);
        }
        if let Some(rest) = &function.rest {
            names.insert(
                rest.clone(),
                Value::list(plain.get(count..).unwrap_or_default().to_vec()),
            );
        }
        self.locals.push(names);
        let done = self.deeper(|run| run.block(&function.body));
        self.locals.pop();
        match done {
            Ok(Flow::Return(value)) => Ok(value),
            Ok(_) => Ok(Value::None),
            Err(Stop::Lost) => Ok(self.lost_call(function, &plain, named)),
            Err(Stop::Spent) => Err(Stop::Spent),
        }
    }

    /// A call that can't be followed: whatever the function knows may be changed.
    fn lost_call(
        &mut self,
        function: &Function,
        plain: &[Value],
        named: &[(Rc<str>, Value)],
    ) -> Value {
        plain.iter().for_each(Value::lose);
        named.iter().for_each(|(_, value)| value.lose());
        for name in &function.names {
            if let Some(value) = self.globals.get(name) {
                value.lose();
            }
        }
        Value::Unknown
    }
}
