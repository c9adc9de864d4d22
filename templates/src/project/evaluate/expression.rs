//! Expressions of a Python script.

use std::rc::Rc;

use super::lex::{Token, tokens};

/// An expression.
#[derive(Debug)]
pub(super) enum Expr {
    Unknown,
    None,
    Bool(bool),
    Int(i64),
    Text(Rc<str>),
    Name(Rc<str>),
    /// An f-string.
    Format(Vec<Expr>),
    /// A list, tuple or set.
    List(Vec<Expr>),
    /// `*x` of a list.
    Star(Box<Expr>),
    /// Keys and values; `**x` has no key.
    Dict(Vec<(Option<Expr>, Expr)>),
    Chain(Box<Expr>, Vec<Trailer>),
    Binary(Box<Expr>, Vec<(&'static str, Expr)>),
    Compare(Box<Expr>, Vec<(&'static str, Expr)>),
    Not(Box<Expr>),
    Negative(Box<Expr>),
    /// Whether one is enough, and the operands.
    Logic(bool, Vec<Expr>),
    /// Condition, then, else.
    Choice(Box<[Expr; 3]>),
    /// Key of a dictionary, value, and clauses.
    Each(Option<Box<Expr>>, Box<Expr>, Vec<Clause>),
}

/// `for TARGET in SOURCE if CONDITION`.
#[derive(Debug)]
pub(super) struct Clause {
    pub target: Expr,
    pub source: Expr,
    pub conditions: Vec<Expr>,
}

/// What follows a value.
#[derive(Debug)]
pub(super) enum Trailer {
    Attribute(Rc<str>),
    Call(Vec<Argument>),
    Index(Expr),
    Slice(Option<Expr>, Option<Expr>),
}

/// An argument of a call.
#[derive(Debug)]
pub(super) enum Argument {
    Plain(Expr),
    Named(Rc<str>, Expr),
    Spread(Expr),
    SpreadNamed(Expr),
}

/// Most expressions that stand in one another.
const MOST_LEVELS: usize = 50;

const KEYWORDS: [&str; 17] = [
    "and", "as", "async", "await", "def", "elif", "else", "for", "from", "if", "import", "in",
    "is", "lambda", "not", "or", "yield",
];

const BINARY: [&[&str]; 5] = [
    &["|"],
    &["&", "^"],
    &["<<", ">>"],
    &["+", "-"],
    &["*", "/", "//", "%", "@"],
];

/// Reads tokens one after the other.
pub(super) struct Reader<'a> {
    pub tokens: &'a [Token],
    pub at: usize,
    level: usize,
}

impl<'a> Reader<'a> {
    pub fn new(tokens: &'a [Token]) -> Self {
        Self {
            tokens,
            at: 0,
            level: 0,
        }
    }

    pub fn is_at_end(&self) -> bool {
        self.at >= self.tokens.len()
    }

    /// Whether the last token was this sign.
    pub fn is_after(&self, sign: &str) -> bool {
        let before = self.at.checked_sub(1).and_then(|at| self.tokens.get(at));
        matches!(before, Some(Token::Op(found)) if *found == sign) && !self.is_at_end()
    }

    pub fn peek(&self) -> Option<&'a Token> {
        self.tokens.get(self.at)
    }

    pub fn next(&mut self) -> Option<Token> {
        let token = self.tokens.get(self.at)?;
        self.at += 1;
        Some(token.clone())
    }

    pub fn take_op(&mut self, op: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Op(found)) if *found == op);
        self.at += usize::from(is_it);
        is_it
    }

    pub fn op(&mut self, op: &str) -> Option<()> {
        self.take_op(op).then_some(())
    }

    pub fn take_word(&mut self, word: &str) -> bool {
        let is_it = matches!(self.peek(), Some(Token::Name(found)) if &**found == word);
        self.at += usize::from(is_it);
        is_it
    }

    pub fn word(&mut self, word: &str) -> Option<()> {
        self.take_word(word).then_some(())
    }

    pub fn name(&mut self) -> Option<Rc<str>> {
        match self.next()? {
            Token::Name(name) if !KEYWORDS.contains(&&*name) => Some(name),
            _ => None,
        }
    }

    /// An expression, or several with commas, which are a tuple.
    pub fn list(&mut self) -> Option<Expr> {
        let first = self.item()?;
        if !self.take_op(",") {
            return Some(first);
        }
        let mut items = vec![first];
        while !self.ends_list() {
            items.push(self.item()?);
            if !self.take_op(",") {
                break;
            }
        }
        Some(Expr::List(items))
    }

    fn ends_list(&self) -> bool {
        matches!(
            self.peek(),
            None | Some(Token::Newline | Token::Op("=" | ")" | "]" | "}" | ":" | ";"))
        )
    }

    fn item(&mut self) -> Option<Expr> {
        match self.take_op("*") {
            true => Some(Expr::Star(Box::new(self.expression()?))),
            false => self.expression(),
        }
    }

    /// The targets of a loop: names, in brackets or not.
    pub fn targets(&mut self) -> Option<Expr> {
        let mut items = Vec::new();
        loop {
            items.push(self.postfix()?);
            if !self.take_op(",") {
                break;
            }
            if matches!(self.peek(), Some(Token::Name(word)) if &**word == "in") {
                break;
            }
        }
        match items.len() {
            1 => items.pop(),
            _ => Some(Expr::List(items)),
        }
    }

    pub fn expression(&mut self) -> Option<Expr> {
        self.level += 1;
        let found = if self.level > MOST_LEVELS {
            None
        } else {
            self.choice()
        };
        self.level -= 1;
        found
    }

    fn choice(&mut self) -> Option<Expr> {
        if self.take_word("lambda") {
            while !self.take_op(":") {
                if matches!(self.next()?, Token::Newline) {
                    return None;
                }
            }
            self.expression()?;
            return Some(Expr::Unknown);
        }
        let then = self.logic(true)?;
        if !self.take_word("if") {
            return Some(then);
        }
        let condition = self.logic(true)?;
        self.word("else")?;
        let other = self.expression()?;
        Some(Expr::Choice(Box::new([condition, then, other])))
    }

    fn logic(&mut self, any: bool) -> Option<Expr> {
        let mut parts = Vec::new();
        loop {
            parts.push(match any {
                true => self.logic(false)?,
                false => self.negated()?,
            });
            if !self.take_word(if any { "or" } else { "and" }) {
                break;
            }
        }
        match parts.len() {
            1 => parts.pop(),
            _ => Some(Expr::Logic(any, parts)),
        }
    }

    fn negated(&mut self) -> Option<Expr> {
        let mut count = 0_usize;
        while self.take_word("not") {
            count += 1;
        }
        let found = self.comparison()?;
        Some(match count {
            0 => found,
            _ if count % 2 == 1 => Expr::Not(Box::new(found)),
            _ => Expr::Unknown,
        })
    }

    fn comparison(&mut self) -> Option<Expr> {
        let first = self.binary(0)?;
        let mut more = Vec::new();
        while let Some(op) = self.comparison_sign() {
            more.push((op, self.binary(0)?));
        }
        Some(match more.is_empty() {
            true => first,
            false => Expr::Compare(Box::new(first), more),
        })
    }

    fn comparison_sign(&mut self) -> Option<&'static str> {
        let signs = ["==", "!=", "<=", ">=", "<", ">"];
        if let Some(sign) = signs.into_iter().find(|sign| self.take_op(sign)) {
            return Some(sign);
        }
        if self.take_word("in") {
            return Some("in");
        }
        if self.take_word("is") {
            return Some(if self.take_word("not") { "!=" } else { "==" });
        }
        let next = self.tokens.get(self.at + 1);
        let is_not_in = matches!(next, Some(Token::Name(word)) if &**word == "in");
        if is_not_in && self.take_word("not") {
            self.at += 1;
            return Some("not in");
        }
        None
    }

    fn binary(&mut self, rank: usize) -> Option<Expr> {
        let Some(signs) = BINARY.get(rank) else {
            return self.unary();
        };
        let first = self.binary(rank + 1)?;
        let mut more = Vec::new();
        while let Some(sign) = signs.iter().copied().find(|sign| self.take_op(sign)) {
            more.push((sign, self.binary(rank + 1)?));
        }
        Some(match more.is_empty() {
            true => first,
            false => Expr::Binary(Box::new(first), more),
        })
    }

    fn unary(&mut self) -> Option<Expr> {
        if self.take_op("-") {
            return Some(Expr::Negative(Box::new(self.postfix()?)));
        }
        if self.take_op("+") || self.take_op("~") {
            self.postfix()?;
            return Some(Expr::Unknown);
        }
        let found = self.postfix()?;
        if self.take_op("**") {
            self.expression()?;
            return Some(Expr::Unknown);
        }
        Some(found)
    }

    fn postfix(&mut self) -> Option<Expr> {
        let base = self.atom()?;
        let mut trailers = Vec::new();
        loop {
            trailers.push(if self.take_op(".") {
                Trailer::Attribute(self.name()?)
            } else if self.take_op("(") {
                Trailer::Call(self.arguments()?)
            } else if self.take_op("[") {
                self.subscript()?
            } else {
                break;
            });
        }
        Some(match trailers.is_empty() {
            true => base,
            false => Expr::Chain(Box::new(base), trailers),
        })
    }

    fn subscript(&mut self) -> Option<Trailer> {
        let from = match self.peek() {
            Some(Token::Op(":")) => None,
            _ => Some(self.list()?),
        };
        if self.take_op("]") {
            return Some(Trailer::Index(from?));
        }
        self.op(":")?;
        let to = match self.peek() {
            Some(Token::Op("]")) => None,
            _ => Some(self.expression()?),
        };
        self.op("]")?;
        Some(Trailer::Slice(from, to))
    }

    fn arguments(&mut self) -> Option<Vec<Argument>> {
        let mut found = Vec::new();
        while !self.take_op(")") {
            let next = self.tokens.get(self.at + 1);
            if self.take_op("**") {
                found.push(Argument::SpreadNamed(self.expression()?));
            } else if self.take_op("*") {
                found.push(Argument::Spread(self.expression()?));
            } else if next == Some(&Token::Op("=")) {
                let name = self.name()?;
                self.at += 1;
                found.push(Argument::Named(name, self.expression()?));
            } else {
                let value = self.expression()?;
                let clauses = self.clauses()?;
                found.push(Argument::Plain(match clauses.is_empty() {
                    true => value,
                    false => Expr::Each(None, Box::new(value), clauses),
                }));
            }
            if !self.take_op(",") {
                self.op(")")?;
                break;
            }
        }
        Some(found)
    }

    fn clauses(&mut self) -> Option<Vec<Clause>> {
        let mut found = Vec::new();
        while self.take_word("for") {
            let target = self.targets()?;
            self.word("in")?;
            let source = self.logic(true)?;
            let mut conditions = Vec::new();
            while self.take_word("if") {
                conditions.push(self.logic(true)?);
            }
            found.push(Clause {
                target,
                source,
                conditions,
            });
        }
        Some(found)
    }

    fn atom(&mut self) -> Option<Expr> {
        Some(match self.next()? {
            Token::Number(number) => number.map_or(Expr::Unknown, Expr::Int),
            first @ (Token::Text(_) | Token::Format(_)) => self.text(first)?,
            Token::Bytes | Token::Op("...") => Expr::Unknown,
            Token::Name(name) => match &*name {
                "True" => Expr::Bool(true),
                "False" => Expr::Bool(false),
                "None" => Expr::None,
                _ if KEYWORDS.contains(&&*name) => return None,
                _ => Expr::Name(name),
            },
            Token::Op("(") => self.items(")")?,
            Token::Op("[") => self.items("]")?,
            Token::Op("{") => self.braces()?,
            _ => return None,
        })
    }

    /// Literals that stand side by side are one.
    fn text(&mut self, first: Token) -> Option<Expr> {
        let mut parts = Vec::new();
        let mut token = first;
        loop {
            match token {
                Token::Text(text) => parts.push(Expr::Text(text)),
                Token::Format(text) => self.pieces(&text, &mut parts)?,
                _ => return None,
            }
            if !matches!(self.peek(), Some(Token::Text(_) | Token::Format(_))) {
                break;
            }
            token = self.next()?;
        }
        match (parts.len(), parts.first()) {
            (1, Some(Expr::Text(_))) => parts.pop(),
            _ => Some(Expr::Format(parts)),
        }
    }

    /// The parts of an f-string.
    fn pieces(&mut self, text: &str, parts: &mut Vec<Expr>) -> Option<()> {
        let mut rest = text;
        while let Some(at) = rest.find(['{', '}']) {
            let (before, after) = rest.split_at(at);
            parts.push(Expr::Text(before.into()));
            if after.starts_with("{{") || after.starts_with("}}") {
                parts.push(Expr::Text(after[..1].into()));
                rest = &after[2..];
                continue;
            }
            let (inside, after) = after.strip_prefix('{')?.split_once('}')?;
            parts.push(self.piece(inside));
            rest = after;
        }
        parts.push(Expr::Text(rest.into()));
        Some(())
    }

    fn piece(&self, text: &str) -> Expr {
        let read = || {
            let tokens = tokens(text)?;
            let mut inner = Reader::new(&tokens);
            inner.level = self.level + 1;
            let found = inner.expression()?;
            matches!(inner.peek(), None | Some(Token::Newline)).then_some(found)
        };
        read().unwrap_or(Expr::Unknown)
    }

    /// What stands in brackets.
    fn items(&mut self, close: &str) -> Option<Expr> {
        if self.take_op(close) {
            return Some(Expr::List(Vec::new()));
        }
        let first = self.item()?;
        self.items_after(first, close)
    }

    fn items_after(&mut self, first: Expr, close: &str) -> Option<Expr> {
        let clauses = self.clauses()?;
        if !clauses.is_empty() {
            self.op(close)?;
            return Some(Expr::Each(None, Box::new(first), clauses));
        }
        if close == ")" && self.take_op(")") {
            return Some(first);
        }
        let mut items = vec![first];
        while self.take_op(",") {
            if matches!(self.peek(), Some(Token::Op(op)) if *op == close) {
                break;
            }
            items.push(self.item()?);
        }
        self.op(close)?;
        Some(Expr::List(items))
    }

    fn braces(&mut self) -> Option<Expr> {
        if self.take_op("}") {
            return Some(Expr::Dict(Vec::new()));
        }
        let is_spread = matches!(self.peek(), Some(Token::Op("**")));
        if !is_spread {
            let first = self.item()?;
            if !self.take_op(":") {
                return self.items_after(first, "}");
            }
            let value = self.expression()?;
            let clauses = self.clauses()?;
            if !clauses.is_empty() {
                self.op("}")?;
                return Some(Expr::Each(Some(Box::new(first)), Box::new(value), clauses));
            }
            let mut entries = vec![(Some(first), value)];
            self.entries(&mut entries)?;
            return Some(Expr::Dict(entries));
        }
        self.at += 1;
        let mut entries = vec![(None, self.expression()?)];
        self.entries(&mut entries)?;
        Some(Expr::Dict(entries))
    }

    fn entries(&mut self, entries: &mut Vec<(Option<Expr>, Expr)>) -> Option<()> {
        while self.take_op(",") {
            if matches!(self.peek(), Some(Token::Op("}"))) {
                break;
            }
            if self.take_op("**") {
                entries.push((None, self.expression()?));
                continue;
            }
            let key = self.expression()?;
            self.op(":")?;
            entries.push((Some(key), self.expression()?));
        }
        self.op("}")
    }
}
