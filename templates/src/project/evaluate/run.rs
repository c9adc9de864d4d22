//! Statements, one after the other, with a bound on everything.

use std::collections::{HashMap, HashSet};
use std::rc::Rc;

use super::expression::Expr;
use super::parse::{Block, Do, Function, Statement};
use super::value::{MOST_ITEMS, Value};
use super::{Environment, Open};

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
    /// The variables that the image sets.
    pub environment: Environment<'a>,
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
    /// Whether the script sets variables of its own.
    pub sets_variables: bool,
    /// What was called or looked up without being understood, which may have failed.
    pub unknowns: usize,
    /// Conditions inside expressions that couldn't be told.
    pub forks: usize,
}

impl<'a> Run<'a> {
    pub fn new(open: Open<'a>, environment: Environment<'a>) -> Self {
        let mut globals = HashMap::new();
        globals.insert("__name__".into(), Value::text("__main__"));
        globals.insert("__file__".into(), Value::text("setup.py"));
        Self {
            open,
            environment,
            globals,
            locals: Vec::new(),
            files: Vec::new(),
            setups: Vec::new(),
            steps: 0,
            bytes: 0,
            level: 0,
            tries: 0,
            sets_variables: false,
            unknowns: 0,
            forks: 0,
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
            self.unknowns += 1;
            return Ok(None);
        };
        self.spend(text.len())?;
        let text = text.replace("\r\n", "\n");
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
                Err(Stop::Lost) => self.pass_over(statement),
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
        let all = self.reached(names);
        for name in &all {
            if let Some(value) = self.lookup(name) {
                value.lose();
            }
        }
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

    /// These names, and those that functions among them know.
    fn reached(&mut self, names: &[Rc<str>]) -> Vec<Rc<str>> {
        let mut seen: HashSet<Rc<str>> = names.iter().cloned().collect();
        let mut left: Vec<Rc<str>> = names.to_vec();
        let mut all = Vec::new();
        while let Some(name) = left.pop() {
            if let Some(Value::Function(function)) = self.lookup(&name) {
                // What only reads leads on to functions alone.
                let is_function =
                    |name: &Rc<str>| matches!(self.lookup(name), Some(Value::Function(_)));
                let further = function.names.iter();
                let further = further.filter(|name| function.changes || is_function(name));
                left.extend(further.filter(|name| seen.insert((*name).clone())).cloned());
            }
            all.push(name);
        }
        // Whoever does the next step is told.
        self.steps += all.len();
        all
    }

    /// What these names hold may have been changed.
    fn touch(&mut self, names: &[Rc<str>]) {
        for name in self.reached(names) {
            if let Some(value) = self.lookup(&name) {
                value.lose();
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
    fn pass_over(&mut self, statement: &Statement) {
        self.lose(&statement.names);
        if statement.sets_up {
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
        let forks = self.forks;
        let done = self.done(statement);
        let calls = |name: &Rc<str>| matches!(self.lookup(name), Some(Value::Function(_)));
        if self.forks != forks && (statement.changes || statement.names.iter().any(calls)) {
            self.touch(&statement.names);
        }
        done
    }

    fn done(&mut self, statement: &Statement) -> Done<Flow> {
        match &statement.what {
            Do::Nothing => {}
            Do::Other if statement.leaves && !self.locals.is_empty() => return Err(Stop::Lost),
            Do::Other => self.pass_over(statement),
            Do::Expr(value) => drop(self.value(value)?),
            Do::Assign(targets, value) => {
                let value = self.value(value)?;
                // An attribute that there may not be.
                self.unknowns += usize::from(matches!(value, Value::Method(_)));
                for target in targets {
                    self.assign(target, value.clone())?;
                }
            }
            Do::Add(target, value) => self.add(target, value)?,
            Do::If(branches) => return self.conditional(branches, statement),
            Do::For(target, source, body) => return self.each(target, source, body, statement),
            Do::With(value, name, body) => {
                let value = self.value(value)?;
                // What a file isn't may hide errors.
                if !matches!(value, Value::Stream(_)) {
                    return self.unsettled(statement);
                }
                if let Some(name) = name {
                    self.assign(name, value)?;
                }
                return self.block(body);
            }
            Do::Try(body, after) => {
                let before = self.unknowns;
                self.tries += 1;
                let flow = self.block(body);
                self.tries -= 1;
                let flow = flow?;
                if self.unknowns != before || body.iter().any(|one| one.fails) {
                    return self.unsettled(statement);
                }
                self.lose(after);
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

    /// A statement that may have ended anywhere.
    fn unsettled(&mut self, statement: &Statement) -> Done<Flow> {
        if statement.leaves && !self.locals.is_empty() {
            return Err(Stop::Lost);
        }
        self.pass_over(statement);
        Ok(Flow::On)
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
                    self.pass_over(whole);
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
            self.unknowns += 1;
            if whole.leaves && !self.locals.is_empty() {
                return Err(Stop::Lost);
            }
            self.pass_over(whole);
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
            Expr::Star(target) => self.deeper(|run| run.assign(target, Value::Unknown))?,
            Expr::List(targets) => {
                let items = value.items().filter(|items| items.len() == targets.len());
                let has_star = targets.iter().any(|one| matches!(one, Expr::Star(_)));
                let items = items.filter(|_| !has_star);
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
        if matches!(holder, Value::Named(name) if &**name == "os.environ") {
            self.sets_variables = true;
        }
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
                // Python works it out once, where the function stands.
                (
                    None,
                    None,
                    Some(default @ (Expr::Text(_) | Expr::Int(_) | Expr::Bool(_) | Expr::None)),
                ) => self.value(default)?,
                (None, None, _) => Value::Unknown,
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
        self.unknowns += 1;
        plain.iter().for_each(Value::lose);
        named.iter().for_each(|(_, value)| value.lose());
        self.touch(&function.names);
        Value::Unknown
    }
}
