//! Statements of a Python script. One that isn't understood becomes [`Do::Other`], with the names in it: whatever
//! they hold afterwards isn't known.

use std::rc::Rc;

use super::expression::{Expr, Reader};
use super::lex::Token;

/// A statement, and every name in it.
#[derive(Debug)]
pub(super) struct Statement {
    pub what: Do,
    pub names: Vec<Rc<str>>,
    /// Whether it may end a loop or a function.
    pub leaves: bool,
    /// Whether it may fail, which the `try` around it goes on from.
    pub fails: bool,
    /// Whether it may call `setup`.
    pub sets_up: bool,
    /// Whether it may change a list or a dictionary.
    pub changes: bool,
}

/// What a statement does.
#[derive(Debug)]
pub(super) enum Do {
    Expr(Expr),
    /// Targets, and a value.
    Assign(Vec<Expr>, Expr),
    /// `+=`.
    Add(Expr, Expr),
    If(Vec<(Option<Expr>, Block)>),
    For(Expr, Expr, Block),
    With(Expr, Option<Expr>, Block),
    /// The body, and the names of what is run after it in any case.
    Try(Block, Vec<Rc<str>>),
    Def(Rc<Function>),
    /// A name, and what is imported under it.
    Import(Vec<(Rc<str>, Rc<str>)>),
    ImportAll,
    Return(Option<Expr>),
    Break,
    Continue,
    Raise,
    Assert,
    /// What the body of a class may change; its methods are run by others.
    Class(Vec<Rc<str>>),
    Nothing,
    Other,
}

pub(super) type Block = Vec<Statement>;

/// A function of the script.
#[derive(Debug)]
pub(super) struct Function {
    pub name: Rc<str>,
    /// Parameters in their order, with their defaults.
    pub parameters: Vec<(Rc<str>, Option<Expr>)>,
    /// `*args`.
    pub rest: Option<Rc<str>>,
    /// Whether it takes what isn't modelled: `**kwargs`, keyword-only parameters.
    pub is_open: bool,
    pub body: Block,
    pub names: Vec<Rc<str>>,
    /// Whether it may change a list or a dictionary that it finds.
    pub changes: bool,
}

/// Most statements that stand in one another.
const MOST_LEVELS: usize = 20;

/// The statements of a script.
pub(super) fn statements(tokens: &[Token]) -> Block {
    let mut parser = Parser {
        reader: Reader::new(tokens),
        level: 0,
    };
    let mut block = Vec::new();
    while !parser.reader.is_at_end() {
        parser.statement(&mut block);
    }
    block
}

struct Parser<'a> {
    reader: Reader<'a>,
    level: usize,
}

impl Parser<'_> {
    fn statement(&mut self, block: &mut Block) {
        let start = self.reader.at;
        let found = self.read();
        let what = found.unwrap_or_else(|| {
            self.reader.at = start;
            self.skip_one();
            Do::Other
        });
        // Whatever happens, it goes on.
        if self.reader.at == start {
            self.reader.at += 1;
        }
        let tokens = &self.reader.tokens[start..self.reader.at.min(self.reader.tokens.len())];
        let has = |words: &[&str]| {
            let mut tokens = tokens.iter();
            tokens.any(|token| matches!(token, Token::Name(name) if words.contains(&&**name)))
        };
        block.push(Statement {
            what,
            names: names(tokens),
            leaves: has(&["return", "break", "continue"]),
            fails: has(&["raise", "assert", "import"]),
            sets_up: tokens.windows(2).any(
                |two| matches!(two, [Token::Name(name), Token::Op("(")] if &**name == "setup"),
            ),
            changes: changes(tokens),
        });
    }

    /// Past a line and the block that belongs to it.
    fn skip_one(&mut self) {
        let mut depth = 0_usize;
        while let Some(token) = self.reader.next() {
            match token {
                Token::Indent => depth += 1,
                Token::Dedent => depth = depth.saturating_sub(1),
                Token::Newline => {}
                _ => continue,
            }
            if depth == 0 && self.reader.peek() != Some(&Token::Indent) {
                return;
            }
        }
    }

    fn read(&mut self) -> Option<Do> {
        let word = match self.reader.peek()? {
            Token::Name(name) => name.clone(),
            Token::Op("@") => {
                // A decorator: what becomes of the function isn't known.
                while self.reader.next()? != Token::Newline {}
                self.skip_one();
                return Some(Do::Other);
            }
            Token::Newline | Token::Indent | Token::Dedent => {
                self.reader.at += 1;
                return Some(Do::Nothing);
            }
            _ => Rc::from(""),
        };
        match &*word {
            "if" => self.conditional(),
            "for" => self.each(),
            "with" => self.with(),
            "try" => self.attempt(),
            "def" => self.function(),
            "import" => self.import(),
            "from" => self.import_from(),
            "assert" | "raise" | "pass" => {
                self.skip_one();
                Some(match &*word {
                    "assert" => Do::Assert,
                    "raise" => Do::Raise,
                    _ => Do::Nothing,
                })
            }
            "class" => self.class(),
            "while" | "global" | "nonlocal" | "del" | "async" | "match" | "yield" => None,
            _ => self.simple(),
        }
    }

    /// A simple statement.
    fn simple(&mut self) -> Option<Do> {
        let what = match self.reader.peek()? {
            Token::Name(word) if &**word == "return" => {
                self.reader.at += 1;
                let is_bare = matches!(self.reader.peek(), None | Some(Token::Newline));
                Do::Return(match is_bare {
                    true => None,
                    false => Some(self.reader.list()?),
                })
            }
            Token::Name(word) if &**word == "break" => {
                self.reader.at += 1;
                Do::Break
            }
            Token::Name(word) if &**word == "continue" => {
                self.reader.at += 1;
                Do::Continue
            }
            _ => self.assignment()?,
        };
        // What follows is the next statement.
        if self.reader.take_op(";") {
            return Some(what);
        }
        match self.reader.next() {
            None | Some(Token::Newline) => Some(what),
            _ => None,
        }
    }

    fn assignment(&mut self) -> Option<Do> {
        let first = self.reader.list()?;
        if self.reader.take_op("+=") {
            return Some(Do::Add(first, self.reader.list()?));
        }
        if self.reader.take_op(":") {
            self.reader.expression()?;
            if !self.reader.take_op("=") {
                return Some(Do::Nothing);
            }
            return Some(Do::Assign(vec![first], self.reader.list()?));
        }
        let mut parts = vec![first];
        while self.reader.take_op("=") {
            parts.push(self.reader.list()?);
        }
        let value = parts.pop()?;
        match parts.is_empty() {
            true => Some(Do::Expr(value)),
            false => Some(Do::Assign(parts, value)),
        }
    }

    fn block(&mut self) -> Option<Block> {
        self.reader.op(":")?;
        self.level += 1;
        let mut block = Vec::new();
        let is_deep = self.level > MOST_LEVELS;
        if !is_deep && self.reader.peek() == Some(&Token::Newline) {
            self.reader.at += 1;
            if self.reader.next()? != Token::Indent {
                self.level -= 1;
                return None;
            }
            while !matches!(self.reader.peek(), None | Some(Token::Dedent)) {
                self.statement(&mut block);
            }
            self.reader.next();
        } else if !is_deep {
            self.statement(&mut block);
            while self.reader.is_after(";") {
                self.statement(&mut block);
            }
        }
        self.level -= 1;
        (!is_deep).then_some(block)
    }

    fn conditional(&mut self) -> Option<Do> {
        let mut branches = Vec::new();
        self.reader.at += 1;
        let condition = self.reader.expression()?;
        branches.push((Some(condition), self.block()?));
        while self.reader.take_word("elif") {
            let condition = self.reader.expression()?;
            branches.push((Some(condition), self.block()?));
        }
        if self.reader.take_word("else") {
            branches.push((None, self.block()?));
        }
        Some(Do::If(branches))
    }

    fn each(&mut self) -> Option<Do> {
        self.reader.at += 1;
        let target = self.reader.targets()?;
        self.reader.word("in")?;
        let source = self.reader.list()?;
        let body = self.block()?;
        let has_else = matches!(self.reader.peek(), Some(Token::Name(name)) if &**name == "else");
        (!has_else).then_some(Do::For(target, source, body))
    }

    fn with(&mut self) -> Option<Do> {
        self.reader.at += 1;
        let value = self.reader.expression()?;
        let name = match self.reader.take_word("as") {
            true => Some(self.reader.targets()?),
            false => None,
        };
        Some(Do::With(value, name, self.block()?))
    }

    /// A class: its body is run as the script is, with names of its own.
    fn class(&mut self) -> Option<Do> {
        self.reader.at += 1;
        self.reader.name()?;
        if self.reader.take_op("(") {
            while !self.reader.take_op(")") {
                self.reader.next()?;
            }
        }
        let mut changed: Vec<Rc<str>> = Vec::new();
        for statement in self.block()? {
            let own = match &statement.what {
                Do::Def(_) | Do::Nothing | Do::Expr(Expr::Text(_)) => continue,
                Do::Assign(targets, _) => &targets[..],
                _ => &[],
            };
            let is_own = |name: &Rc<str>| {
                let mut own = own.iter();
                own.any(|one| matches!(one, Expr::Name(known) if known == name))
            };
            changed.extend(statement.names.iter().filter(|n| !is_own(n)).cloned());
        }
        Some(Do::Class(changed))
    }

    fn attempt(&mut self) -> Option<Do> {
        self.reader.at += 1;
        let body = self.block()?;
        let mut after = Vec::new();
        while let Some(Token::Name(word)) = self.reader.peek() {
            let is_handler = &**word == "except";
            if !is_handler && !["else", "finally"].contains(&&**word) {
                break;
            }
            let start = self.reader.at;
            self.skip_one();
            if !is_handler {
                after.extend(names(&self.reader.tokens[start..self.reader.at]));
            }
        }
        Some(Do::Try(body, after))
    }

    fn function(&mut self) -> Option<Do> {
        let start = self.reader.at;
        self.reader.at += 1;
        let name = self.reader.name()?;
        self.reader.op("(")?;
        let (mut parameters, mut rest, mut is_open) = (Vec::new(), None, false);
        while !self.reader.take_op(")") {
            if self.reader.take_op("**") {
                is_open = true;
            } else if self.reader.take_op("/") {
                self.reader.take_op(",");
                continue;
            } else if self.reader.take_op("*") {
                match self.reader.peek() {
                    Some(Token::Name(_)) if rest.is_none() && !is_open => {
                        rest = Some(self.reader.name()?);
                        self.annotation()?;
                    }
                    _ => is_open = true,
                }
                self.reader.take_op(",");
                continue;
            }
            is_open |= rest.is_some();
            let name = self.reader.name()?;
            self.annotation()?;
            let default = match self.reader.take_op("=") {
                true => Some(self.reader.expression()?),
                false => None,
            };
            parameters.push((name, default));
            self.reader.take_op(",");
        }
        if self.reader.take_op("->") {
            self.reader.expression()?;
        }
        let body = self.block()?;
        let tokens = &self.reader.tokens[start..self.reader.at];
        let (names, changes) = (names(tokens), changes(tokens));
        Some(Do::Def(Rc::new(Function {
            name,
            parameters,
            rest,
            is_open,
            body,
            names,
            changes,
        })))
    }

    fn annotation(&mut self) -> Option<()> {
        if self.reader.take_op(":") {
            self.reader.expression()?;
        }
        Some(())
    }

    fn dotted(&mut self) -> Option<String> {
        let mut path = String::new();
        while self.reader.take_op(".") || self.reader.take_op("...") {
            path.push('.');
        }
        while let Some(Token::Name(name)) = self.reader.peek() {
            if &**name == "import" || &**name == "as" {
                break;
            }
            path.push_str(name);
            self.reader.at += 1;
            if !self.reader.take_op(".") {
                break;
            }
            path.push('.');
        }
        Some(path)
    }

    fn import(&mut self) -> Option<Do> {
        self.reader.at += 1;
        let mut found = Vec::new();
        loop {
            let path = self.dotted()?;
            if self.reader.take_word("as") {
                found.push((self.reader.name()?, path.into()));
            } else {
                let first: Rc<str> = path.split('.').next()?.into();
                found.push((first.clone(), first));
            }
            if !self.reader.take_op(",") {
                break;
            }
        }
        self.end()?;
        Some(Do::Import(found))
    }

    fn import_from(&mut self) -> Option<Do> {
        self.reader.at += 1;
        let path = self.dotted()?;
        self.reader.word("import")?;
        if self.reader.take_op("*") {
            self.end()?;
            return Some(Do::ImportAll);
        }
        let in_brackets = self.reader.take_op("(");
        let mut found = Vec::new();
        while let Some(Token::Name(_)) = self.reader.peek() {
            let name = self.reader.name()?;
            let known = match self.reader.take_word("as") {
                true => self.reader.name()?,
                false => name.clone(),
            };
            found.push((known, format!("{path}.{name}").into()));
            if !self.reader.take_op(",") {
                break;
            }
        }
        if in_brackets {
            self.reader.op(")")?;
        }
        self.end()?;
        Some(Do::Import(found))
    }

    fn end(&mut self) -> Option<()> {
        match self.reader.next() {
            None | Some(Token::Newline) => Some(()),
            _ => None,
        }
    }
}

/// Methods that change a list, a dictionary or a set.
const CHANGING: [&str; 11] = [
    "append",
    "extend",
    "add",
    "update",
    "insert",
    "remove",
    "pop",
    "setdefault",
    "clear",
    "discard",
    "sort",
];

/// Whether a list or a dictionary may be changed in them.
fn changes(tokens: &[Token]) -> bool {
    let is_method = |token: &Token| matches!(token, Token::Name(name) if CHANGING.contains(&&**name) || &**name == "del");
    let is_put = |two: &[Token]| matches!(two, [Token::Op("]"), Token::Op("=")]);
    tokens
        .iter()
        .any(|token| is_method(token) || *token == Token::Op("+="))
        || tokens.windows(2).any(is_put)
}

/// The names in them, each once.
pub(super) fn names(tokens: &[Token]) -> Vec<Rc<str>> {
    let mut names: Vec<Rc<str>> = Vec::new();
    for token in tokens {
        if let Token::Name(name) = token {
            names.push(name.clone());
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}
