//! The look at a condition's text that comes before parsing it.
//!
//! The expression library has no limits of its own: nested brackets make its parser try alternatives again and again,
//! ranges and repetitions make values of any size. So a condition is cut into tokens first, and only what keeps parsing and
//! evaluation small goes on to the library. What is refused here is refused when a template is checked, not in the middle of
//! a rollout.

use super::{
    Problem,
    functions::{FUNCTIONS, takes_predicate},
};

/// Longest source, in bytes. The longest condition found in public templates has about 600.
pub(super) const MAX_SOURCE_BYTES: usize = 4096;
/// Most tokens.
const MAX_TOKENS: usize = 256;
/// Most operators: each may be one level of recursion in evaluation, about 20 KiB of stack without optimisation. Half of
/// a worker thread's 2 MiB must be enough. Thirteen clauses like `result[0] > 0.9 &&` have 39.
const MAX_OPERATORS: usize = 40;
/// Deepest nesting of brackets of all kinds.
const MAX_DEPTH: usize = 12;
/// Deepest nesting of `[`. The parser tries each one twice, so its time doubles with each level.
const MAX_INDEX_DEPTH: usize = 4;
/// Most `?`, `??` and `?.`: each is one level of recursion in the parser, whatever follows.
const MAX_QUESTIONS: usize = 8;
/// Longest regular expression, in bytes.
const MAX_PATTERN_BYTES: usize = 128;

/// What the scan found out about a condition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Facts {
    /// How many tokens there are.
    pub tokens: usize,
    /// It uses `isNaN`.
    pub tests_nan: bool,
    /// It uses `isInf`.
    pub tests_infinite: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Token<'s> {
    Name(&'s str),
    Number(&'s str),
    /// A string with its quotes.
    Text(&'s str),
    /// An operator or bracket, see [`PAIRS`].
    Sign(&'s str),
}

/// Signs of two characters.
const PAIRS: &[&str] = &["??", "?.", "..", "==", "!=", "<=", ">=", "&&", "||", "**"];

/// Cuts `source` into tokens and checks the limits and the names that it uses.
pub(super) fn scan(source: &str) -> Result<(Vec<Token<'_>>, Facts), Problem> {
    if source.len() > MAX_SOURCE_BYTES {
        return Err(Problem::TooLong {
            bytes: source.len(),
            limit: MAX_SOURCE_BYTES,
        });
    }
    let tokens = tokens(source)?;
    if tokens.len() > MAX_TOKENS {
        return Err(Problem::TooComplex {
            what: "tokens",
            limit: MAX_TOKENS,
        });
    }
    check_nesting(&tokens)?;
    if tokens.iter().filter(|token| token.is_operator()).count() > MAX_OPERATORS {
        return Err(Problem::TooComplex {
            what: "operators",
            limit: MAX_OPERATORS,
        });
    }
    let mut facts = Facts {
        tokens: tokens.len(),
        ..Facts::default()
    };
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| tokens[at]);
        let after = tokens.get(at + 1).copied();
        match *token {
            Token::Name(name) => check_name(name, before, after)?,
            Token::Sign("??") => check_default(&tokens[at + 1..])?,
            Token::Number(number) => check_number(number, after)?,
            Token::Sign("..") => return Err(not_served("the range operator `..`")),
            Token::Sign("{") => check_brace(before, after, tokens.get(at + 2).copied())?,
            Token::Text(_) | Token::Sign(_) => {}
        }
        facts.note(*token, before);
    }
    check_bodies(&tokens)?;
    check_chains(&tokens)?;
    Ok((tokens, facts))
}

impl Token<'_> {
    /// Whether evaluation may recurse at this token.
    pub(super) fn is_operator(&self) -> bool {
        match self {
            Token::Sign(sign) => !matches!(*sign, "(" | ")" | "{" | "}" | "]" | "," | ":"),
            Token::Name(name) => {
                matches!(
                    *name,
                    "not" | "and" | "or" | "in" | "contains" | "startsWith" | "endsWith" | "matches"
                )
            }
            Token::Number(_) | Token::Text(_) => false,
        }
    }

    /// Whether a value may end at this token.
    pub(super) fn ends_value(&self) -> bool {
        match self {
            Token::Sign(sign) => matches!(*sign, ")" | "]" | "}"),
            Token::Name(_) => !self.is_operator(),
            Token::Number(_) | Token::Text(_) => true,
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Token::Name(text) | Token::Number(text) | Token::Text(text) | Token::Sign(text) => text,
        }
    }
}

impl Facts {
    fn note(&mut self, token: Token<'_>, before: Option<Token<'_>>) {
        if is_member(before) {
            return;
        }
        match token {
            Token::Name("isNaN") => self.tests_nan = true,
            Token::Name("isInf") => self.tests_infinite = true,
            _ => {}
        }
    }
}

fn check_nesting(tokens: &[Token<'_>]) -> Result<(), Problem> {
    let (mut depth, mut index_depth, mut questions) = (0_usize, 0_usize, 0_usize);
    for token in tokens {
        let Token::Sign(sign) = token else { continue };
        match *sign {
            "(" | "{" => depth += 1,
            "[" => (depth, index_depth) = (depth + 1, index_depth + 1),
            ")" | "}" => depth = depth.saturating_sub(1),
            "]" => (depth, index_depth) = (depth.saturating_sub(1), index_depth.saturating_sub(1)),
            "?" | "??" | "?." => questions += 1,
            _ => {}
        }
        if depth > MAX_DEPTH {
            return Err(Problem::TooComplex {
                what: "nested brackets",
                limit: MAX_DEPTH,
            });
        }
        if index_depth > MAX_INDEX_DEPTH {
            return Err(Problem::TooComplex {
                what: "nested `[`",
                limit: MAX_INDEX_DEPTH,
            });
        }
        if questions > MAX_QUESTIONS {
            return Err(Problem::TooComplex {
                what: "uses of `?`",
                limit: MAX_QUESTIONS,
            });
        }
    }
    Ok(())
}

fn check_name(name: &str, before: Option<Token<'_>>, after: Option<Token<'_>>) -> Result<(), Problem> {
    if is_member(before) {
        return if after == Some(Token::Sign("(")) {
            Err(not_served(&format!("the method `{name}`")))
        } else {
            Ok(())
        };
    }
    match name {
        "matches" => return check_pattern(after),
        "result" | "#" | "#acc" | "#index" | "true" | "false" | "nil" | "not" | "and" | "or" | "in" | "contains"
        | "startsWith" | "endsWith" => return Ok(()),
        _ => {}
    }
    if matches!(name, "let" | "if" | "else") {
        return Err(not_served(&format!("`{name}`")));
    }
    if after != Some(Token::Sign("(")) {
        return Err(Problem::UnknownName(name.to_owned()));
    }
    if FUNCTIONS.contains(&name) || takes_predicate(name) {
        Ok(())
    } else {
        Err(not_served(&format!("the function `{name}`")))
    }
}

/// After `??` the library takes all that follows as what stands for nil; the language takes one value. So nothing may follow
/// it within the same brackets, but another `??`.
fn check_default(rest: &[Token<'_>]) -> Result<(), Problem> {
    let mut depth = 0_usize;
    for (at, token) in rest.iter().enumerate() {
        match token {
            Token::Sign("(" | "[" | "{") => depth += 1,
            Token::Sign(")" | "]" | "}") if depth > 0 => depth -= 1,
            Token::Sign(")" | "]" | "}" | "," | ":" | "??") if depth == 0 => return Ok(()),
            Token::Sign("." | "?.") => {}
            // A sign before the value.
            Token::Sign("-" | "+") if at == 0 => {}
            token if depth == 0 && (token.is_operator() || *token == Token::Sign("|")) => {
                return Err(not_served(
                    "`??` beside another operator without brackets, as in `(result.a ?? 0) < 1`: that",
                ));
            }
            _ => {}
        }
    }
    Ok(())
}

/// The language reads `1 < a < 5` as `1 < a and a < 5`, the library as `(1 < a) < 5`.
fn check_chains(tokens: &[Token<'_>]) -> Result<(), Problem> {
    let mut compared = vec![false];
    for token in tokens {
        match token.text() {
            "(" | "[" | "{" => compared.push(false),
            ")" | "]" | "}" if compared.len() > 1 => {
                compared.pop();
            }
            "&&" | "||" | "and" | "or" | "?" | ":" | "," | "|" => {
                if let Some(last) = compared.last_mut() {
                    *last = false;
                }
            }
            "<" | "<=" | ">" | ">=" => {
                if let Some(last) = compared.last_mut()
                    && std::mem::replace(last, true)
                {
                    return Err(not_served("a chain of comparisons such as `1 < a < 5`"));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// `#` and `.field` stand for the item that a body looks at, and for nothing outside of bodies.
fn check_bodies(tokens: &[Token<'_>]) -> Result<(), Problem> {
    let mut open: Vec<bool> = Vec::new();
    for (at, token) in tokens.iter().enumerate() {
        let before = at.checked_sub(1).map(|at| tokens[at]);
        match token {
            Token::Sign("(" | "[" | "{") => {
                let of_body =
                    matches!((token, before), (Token::Sign("("), Some(Token::Name(name))) if takes_predicate(name));
                open.push(of_body);
            }
            Token::Sign(")" | "]" | "}") => {
                open.pop();
            }
            Token::Name("#" | "#acc" | "#index") | Token::Sign(".") => {
                let is_item = matches!(token, Token::Name(_)) || !before.is_some_and(|token| token.ends_value());
                if is_item && !open.contains(&true) {
                    return Err(not_served(
                        "`#` or `.field` outside of the body of a function such as `all`: it",
                    ));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// A number may not run into a word (`1or2`), which the library would read as two tokens.
fn check_number(number: &str, after: Option<Token<'_>>) -> Result<(), Problem> {
    let plain = number
        .bytes()
        .all(|b| b.is_ascii_hexdigit() || matches!(b, b'x' | b'X' | b'o' | b'O' | b'_' | b'.' | b'+' | b'-'));
    if plain && after != Some(Token::Sign("(")) {
        Ok(())
    } else {
        Err(Problem::Syntax(format!("`{number}` is not a number")))
    }
}

/// Patterns are constant and small: a regular expression is compiled wherever it is not.
fn check_pattern(after: Option<Token<'_>>) -> Result<(), Problem> {
    match after {
        Some(Token::Text(text)) if text.len() <= MAX_PATTERN_BYTES + 2 && !text.contains('{') => {
            let pattern = unquoted(text);
            match regex::Regex::new(&pattern) {
                Ok(_) => Ok(()),
                Err(_) => Err(Problem::Syntax(
                    "the pattern of `matches` is no regular expression".to_owned(),
                )),
            }
        }
        _ => Err(Problem::TooComplex {
            what: "bytes in the pattern of `matches`, which is a string without `{`",
            limit: MAX_PATTERN_BYTES,
        }),
    }
}

/// Braces begin the body of `all`, `any` ...; maps are not served (the library panics on most of them).
fn check_brace(before: Option<Token<'_>>, first: Option<Token<'_>>, second: Option<Token<'_>>) -> Result<(), Problem> {
    let body = matches!(before, Some(Token::Sign("(" | ",")));
    let key = matches!(first, Some(Token::Name(_) | Token::Text(_))) && second == Some(Token::Sign(":"));
    if body && !key && first != Some(Token::Sign("}")) {
        Ok(())
    } else {
        Err(not_served("a map `{...}`"))
    }
}

fn is_member(before: Option<Token<'_>>) -> bool {
    matches!(before, Some(Token::Sign("." | "?.")))
}

fn not_served(what: &str) -> Problem {
    Problem::NotServed(what.to_owned())
}

fn tokens(source: &str) -> Result<Vec<Token<'_>>, Problem> {
    let mut rest = source;
    let mut tokens = Vec::new();
    loop {
        rest = skip_blank(rest)?;
        let Some(first) = rest.chars().next() else {
            return Ok(tokens);
        };
        let length = match first {
            '"' | '\'' | '`' => quoted(rest, first)?,
            '#' | '$' | '_' | 'a'..='z' | 'A'..='Z' => {
                1 + rest[1..].find(|c: char| !is_word(c)).unwrap_or(rest.len() - 1)
            }
            _ if is_number(rest) => number(rest),
            _ => sign(rest, first),
        };
        let (token, tail) = rest.split_at(length);
        tokens.push(match first {
            '"' | '\'' | '`' => Token::Text(token),
            '#' | '$' | '_' | 'a'..='z' | 'A'..='Z' => Token::Name(token),
            _ if is_number(token) => Token::Number(token),
            _ => Token::Sign(token),
        });
        rest = tail;
    }
}

fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// White space and comments.
fn skip_blank(mut rest: &str) -> Result<&str, Problem> {
    loop {
        rest = rest.trim_start_matches([' ', '\t', '\r', '\n']);
        if let Some(comment) = rest.strip_prefix("//") {
            rest = comment.find('\n').map_or("", |end| &comment[end..]);
        } else if let Some(comment) = rest.strip_prefix("/*") {
            let end = comment
                .find("*/")
                .ok_or_else(|| Problem::Syntax("a comment has no end".to_owned()))?;
            rest = &comment[end + 2..];
        } else {
            return Ok(rest);
        }
    }
}

/// What a string means, which has its quotes here.
pub(super) fn unquoted(text: &str) -> String {
    let inner = &text[1..text.len() - 1];
    if text.starts_with('`') {
        return inner.to_owned();
    }
    let mut meant = String::new();
    let mut rest = inner.chars();
    while let Some(c) = rest.next() {
        if c != '\\' {
            meant.push(c);
            continue;
        }
        match rest.next() {
            Some('b') => meant.push('\u{8}'),
            Some('f') => meant.push('\u{c}'),
            Some('n') => meant.push('\n'),
            Some('r') => meant.push('\r'),
            Some('t') => meant.push('\t'),
            Some('u') => {
                let digits: String = rest.by_ref().take(4).collect();
                let code = u32::from_str_radix(&digits, 16).ok().and_then(char::from_u32);
                meant.push(code.unwrap_or(char::REPLACEMENT_CHARACTER));
            }
            Some(other) => meant.push(other),
            None => {}
        }
    }
    meant
}

/// Length of a string with its quotes. Backquotes know no escapes.
fn quoted(rest: &str, quote: char) -> Result<usize, Problem> {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' if quote != '`' => escaped = true,
            _ if c == quote => return Ok(at + 1),
            _ => {}
        }
    }
    Err(Problem::Syntax("a string has no end".to_owned()))
}

/// Whether a number begins here: `5` or `.5`.
fn is_number(rest: &str) -> bool {
    let digits = rest.strip_prefix('.').unwrap_or(rest);
    digits.starts_with(|c: char| c.is_ascii_digit())
}

/// Length of a number, letters and the sign of its exponent included; a range operator ends it.
fn number(rest: &str) -> usize {
    let range = rest.find("..").unwrap_or(rest.len());
    let word = |rest: &str| rest.find(|c: char| !(is_word(c) || c == '.')).unwrap_or(rest.len());
    let length = word(&rest[..range]);
    let (number, tail) = rest[..range].split_at(length);
    let hexadecimal = number.starts_with("0x") || number.starts_with("0X");
    if number.ends_with(['e', 'E']) && !hexadecimal && tail.starts_with(['+', '-']) {
        length + 1 + word(&tail[1..])
    } else {
        length
    }
}

fn sign(rest: &str, first: char) -> usize {
    if PAIRS.iter().any(|pair| rest.starts_with(pair)) {
        2
    } else {
        first.len_utf8()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_tests_for_nan_and_infinity_is_found_in_the_expression_only() {
        for (source, nan, infinite) in [
            ("isNaN(result) || result > 1", true, false),
            ("isInf(result) or isNaN(result)", true, true),
            ("all(result, {not isNaN(#)})", true, false),
            ("string(result) == 'nil isNaN'", false, false),
            ("result > 1 // isNaN(result) len(result)", false, false),
            ("result.isNaN == 1 or result?.isInf == 1", false, false),
        ] {
            let (_, facts) = scan(source).unwrap_or_else(|problem| panic!("{source}: {problem}"));
            assert_eq!((facts.tests_nan, facts.tests_infinite), (nan, infinite), "{source}");
        }
    }

    #[test]
    fn tokens_are_cut_as_the_grammar_does() {
        let texts = |source| {
            let tokens = tokens(source).unwrap();
            tokens.iter().map(Token::text).collect::<Vec<_>>().join(" ")
        };
        for (source, expected) in [
            ("result[0]>=0.95", "result [ 0 ] >= 0.95"),
            ("all(result,{#<1e-3})", "all ( result , { # < 1e-3 } )"),
            ("a?.b??c?d:e||f", "a ?. b ?? c ? d : e || f"),
            ("0..5", "0 .. 5"),
            (".5+0x1e-1", ".5 + 0x1e - 1"),
            ("#.a.b[.5]", "# . a . b [ .5 ]"),
            ("'a\\'b' + \"c\\\\\" + `d\\`", "'a\\'b' + \"c\\\\\" + `d\\`"),
            ("1 // x\n+ /*/ y */ 2", "1 + 2"),
            ("é", "é"),
        ] {
            assert_eq!(texts(source), expected, "{source}");
        }
    }
}
