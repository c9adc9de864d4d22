//! What of a script no Python reads, as far as its tokens tell: brackets, words side by side, blocks. What passes may
//! still be wrong.

use super::lex::Token;

/// Words of Python that aren't values: beside them anything may stand.
const WORDS: [&str; 32] = [
    "and", "as", "assert", "async", "await", "break", "class", "continue", "def", "del", "elif",
    "else", "except", "finally", "for", "from", "global", "if", "import", "in", "is", "lambda",
    "nonlocal", "not", "or", "pass", "raise", "return", "try", "while", "with", "yield",
];

/// Words that are names as well, and the statements of Python 2, of which more is said elsewhere.
const NAMES_AS_WELL: [&str; 5] = ["match", "case", "type", "print", "exec"];

/// The first token that is wrong, and why.
pub(super) fn fault(tokens: &[Token]) -> Option<(usize, &'static str)> {
    brackets(tokens)
        .or_else(|| side_by_side(tokens))
        .or_else(|| blocks(tokens))
}

fn brackets(tokens: &[Token]) -> Option<(usize, &'static str)> {
    let mut open: Vec<(usize, &str)> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let Token::Op(op) = token else { continue };
        let close = match *op {
            "(" => ")",
            "[" => "]",
            "{" => "}",
            ")" | "]" | "}" => match open.pop() {
                Some((_, close)) if close == *op => continue,
                Some(_) => return Some((at, "a bracket that closes another than was opened")),
                None => return Some((at, "a bracket that closes and was never opened")),
            },
            _ => continue,
        };
        open.push((at, close));
    }
    let (at, _) = open.pop()?;
    Some((at, "the bracket that opens there is never closed"))
}

/// Two values with nothing between them: `name="x" version="1"`.
fn side_by_side(tokens: &[Token]) -> Option<(usize, &'static str)> {
    let is_name = |name: &str| !WORDS.contains(&name) && !NAMES_AS_WELL.contains(&name);
    let pair = tokens.windows(2).position(|pair| {
        let ends = match &pair[0] {
            Token::Name(name) => is_name(name),
            Token::Number(_) | Token::Text(_) | Token::Bytes => true,
            Token::Op(op) => matches!(*op, ")" | "]" | "}"),
            // Newer Pythons take its own quotes inside of it.
            _ => false,
        };
        let begins = match (&pair[0], &pair[1]) {
            (_, Token::Name(name)) => is_name(name),
            (Token::Text(_) | Token::Bytes, Token::Text(_) | Token::Bytes) => false,
            (_, Token::Number(_) | Token::Text(_) | Token::Bytes) => true,
            _ => false,
        };
        ends && begins
    })?;
    Some((pair + 1, "something is missing before it, such as a comma"))
}

fn blocks(tokens: &[Token]) -> Option<(usize, &'static str)> {
    let opens = |at: usize| matches!(tokens.get(at), Some(Token::Op(":")));
    tokens
        .iter()
        .enumerate()
        .find_map(|(at, token)| match token {
            Token::Indent if at < 2 || !opens(at - 2) => {
                Some((at, "it is indented, and no block begins before it"))
            }
            Token::Newline if at > 0 && opens(at - 1) => {
                let is_there = matches!(tokens.get(at + 1), Some(Token::Indent));
                (!is_there).then_some((at - 1, "the block that begins there is empty"))
            }
            _ => None,
        })
}
